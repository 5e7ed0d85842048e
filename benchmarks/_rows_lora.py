"""Rows of the metrics table: LoRA merges in memory and on disk."""

import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from _harness import bench, peer

import ecgkit as ek

SIDE, RANK, SCALE = 4096, 16, 2.0
SHARDS, SHARD_BYTES = 2, 1_000_000_000


def _addmm(torch, w, a, b):
    """In place, as ours: the weight drifts, the time does not."""
    return lambda: w.addmm_(b, a, alpha=SCALE)


def _added(torch, w, a, b):
    return lambda: w.add_((b @ a) * SCALE)


def _peft(torch, dtype, w, a, b):
    import peft

    layer = torch.nn.Sequential(torch.nn.Linear(SIDE, SIDE, bias=False, dtype=dtype))
    layer[0].weight.data = w.clone()
    config = peft.LoraConfig(r=RANK, lora_alpha=int(SCALE * RANK), target_modules=["0"])
    model = peft.get_peft_model(layer, config)
    lora = model.base_model.model[0]
    lora.lora_A["default"].weight.data = a.float()
    lora.lora_B["default"].weight.data = b.float()

    def run():
        lora.merge()
        lora.unmerge()

    return run


def _rounded(x, name):
    if name == "bfloat16":
        return ek.lora.to_float32(ek.lora.to_bfloat16(x))
    return x.astype(name).astype(np.float32)


def in_memory():
    rng = np.random.default_rng(0)
    w = rng.normal(0, 0.02, (SIDE, SIDE)).astype(np.float32)
    a = rng.normal(0, 1, (RANK, SIDE)).astype(np.float32)
    b = rng.normal(0, 1e-5, (SIDE, RANK)).astype(np.float32)
    for name, stored in (
        ("float32", w),
        ("bfloat16", ek.lora.to_bfloat16(w)),
        ("float16", w.astype(np.float16)),
    ):
        ours = stored.copy()
        # Both get the factors in the type that PyTorch needs them in.
        a1, b1 = (_rounded(x, name) for x in (a, b))

        def tensors(torch, name=name):
            dtype = getattr(torch, name)
            # In PyTorch's own memory: on that of NumPy (16 bytes aligned) it is six times slower.
            return dtype, *(torch.from_numpy(x).to(dtype, copy=True) for x in (w, a, b))

        cases = {
            "ours": lambda ours=ours, a=a1, b=b1: ek.lora.merge(ours, a, b, SCALE, out=ours),
            "torch addmm_": peer("torch", lambda t: _addmm(t, *tensors(t)[1:])),
            "torch add": peer("torch", lambda t: _added(t, *tensors(t)[1:])),
        }
        if name == "float16":  # PyTorch multiplies half precision on a CPU a hundred times slower
            del cases["torch add"]
        bench(
            f"LoRA merge in place, {SIDE}x{SIDE}, r={RANK}, {name}",
            cases,
            check="in place: the weights drift; results are compared in the tests",
            bar={"torch addmm_": 1.15},
        )
        if name == "float16":
            continue
        both = stored.copy()

        def merge_and_back(both=both):
            ek.lora.merge(both, a, b, SCALE, out=both)
            ek.lora.unmerge(both, a, b, SCALE, out=both)

        bench(
            f"LoRA merge and unmerge, {SIDE}x{SIDE}, r={RANK}, {name}",
            {
                "ours": merge_and_back,
                "PEFT": peer("peft", lambda _, tensors=tensors: _with_torch(tensors)),
            },
            check="in place; results are compared in the tests",
            bar={"PEFT": 8.0},
        )


def _with_torch(tensors):
    import torch

    dtype, w, a, b = tensors(torch)
    return _peft(torch, dtype, w, a, b)


# ------------------------------------------------------------------------- on disk
def _checkpoint(folder: Path, shards: int, shard_bytes: int) -> None:
    """Random bfloat16 shards of square weights, and an adapter of all of them."""
    from ecgkit.lora._safetensors import lay_out

    rng = np.random.default_rng(0)
    each = shard_bytes // (2 * SIDE * SIDE)
    (folder / "base").mkdir()
    (folder / "adapter").mkdir()
    where, lora = {}, {}
    for s in range(shards):
        file = f"model-{s + 1:05d}-of-{shards:05d}.safetensors"
        names = [f"model.layers.{s * each + k}.q_proj.weight" for k in range(each)]
        header, placed = lay_out(((n, "BF16", (SIDE, SIDE)) for n in names), {"format": "pt"})
        with open(folder / "base" / file, "wb") as out:
            out.write(len(header).to_bytes(8, "little") + header)
            for t in placed:
                weight = rng.standard_normal((SIDE, SIDE), np.float32) * np.float32(0.02)
                out.write(ek.lora.to_bfloat16(weight).tobytes())
                module = "base_model.model." + t.name.removesuffix(".weight")
                lora[f"{module}.lora_A.weight"] = rng.standard_normal((RANK, SIDE), np.float32)
                lora[f"{module}.lora_B.weight"] = (
                    rng.standard_normal((SIDE, RANK), np.float32) / 1e3
                )
        where |= dict.fromkeys(names, file)
    (folder / "base" / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": where})
    )
    ek.weights.save(folder / "adapter" / "adapter_model.safetensors", lora)
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": 32, "target_modules": ["q_proj"]}
    (folder / "adapter" / "adapter_config.json").write_text(json.dumps(config))


def _copy(folder: Path) -> None:
    """Read and written by cp's loop, and on the disk when it returns."""
    target = folder / "copy"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for path in sorted((folder / "base").glob("*.safetensors")):
        with open(path, "rb") as source, open(target / path.name, "wb") as out:
            while block := source.read(16 << 20):
                out.write(block)
            os.fsync(out.fileno())


def on_disk(shards: int = SHARDS, shard_bytes: int = SHARD_BYTES, folder: str | None = None):
    """``ECGKIT_SCRATCH`` names the folder; three times the model must be free in it."""
    root = folder or os.environ.get("ECGKIT_SCRATCH") or tempfile.gettempdir()
    needed = 3 * shards * shard_bytes + (4 << 30)
    if shutil.disk_usage(root).free < needed:
        print(
            f"LoRA merge on disk left out: {needed / 1e9:.0f} GB must be free in the scratch folder"
        )
        return
    with tempfile.TemporaryDirectory(dir=root, prefix="ecgkit-lora-") as name:
        place = Path(name)
        _checkpoint(place, shards, shard_bytes)

        def ours():
            shutil.rmtree(place / "out", ignore_errors=True)
            ek.lora.merge_checkpoint(place / "base", place / "adapter", place / "out")

        bench(
            f"LoRA merge of a checkpoint, {shards * shard_bytes / 1e9:.0f} GB of bfloat16",
            {"ours": ours, "copy of the files": lambda: _copy(place)},
            check="a copy computes nothing; results are compared in the tests",
            threads=(2,),
            min_time=0.0,
            work=(shards * shard_bytes / 1e9, "GB"),
            bar={"copy of the files": 0.9},
            note=f"peak resident memory {_peak()}; both end with fsync",
        )


def _peak() -> str:
    text = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
    return f"of the whole benchmark process before it {int(text) / 1024:.0f} MiB"


def run():
    in_memory()
    on_disk()
