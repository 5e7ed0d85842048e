"""Small checkpoints and adapters, made without PyTorch."""

import json

import numpy as np

from ecgkit.lora import to_bfloat16, to_float32
from ecgkit.lora._safetensors import lay_out

KIND = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16, "F64": np.float64, "I64": np.int64}


def store(x, dtype):
    """Values as the array a file of this dtype holds."""
    return to_bfloat16(x) if dtype == "BF16" else np.asarray(x, KIND[dtype])


def value(x):
    """Stored values as float64; uint16 are the bits of bfloat16."""
    return (to_float32(x) if x.dtype == np.uint16 else x).astype(np.float64)


def dtype_of(x):
    return {np.dtype(kind): name for name, kind in KIND.items()}[x.dtype]


def write(path, tensors, metadata=None):
    """A safetensors file."""
    header, placed = lay_out(
        ((k, dtype_of(v), v.shape) for k, v in tensors.items()), metadata or {"format": "pt"}
    )
    data = b"".join(np.ascontiguousarray(tensors[t.name]).tobytes() for t in placed)
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)


def read(path):
    from ecgkit.lora._safetensors import File

    with File(path) as file:
        return {
            name: file.read(name)
            if t.dtype in ("F32", "F16", "BF16", "F64")
            else np.frombuffer(
                path.read_bytes()[file.start + t.begin : file.start + t.end], KIND[t.dtype]
            ).reshape(t.shape)
            for name, t in file.tensors.items()
        }


def read_folder(folder):
    """All tensors of a checkpoint."""
    out = {}
    for path in sorted(folder.glob("*.safetensors")):
        out.update(read(path))
    return out


def base(folder, dtype="BF16", shards=3, layers=4, width=32, inner=48, vocab=50, seed=0):
    """A checkpoint of a small transformer in shards, with the files that lie beside it."""
    rng = np.random.default_rng(seed)
    shapes = {"model.embed_tokens.weight": (vocab, width)}
    for k in range(layers):
        p = f"model.layers.{k}."
        shapes |= {
            p + "self_attn.q_proj.weight": (width, width),
            p + "self_attn.q_proj.bias": (width,),
            p + "self_attn.v_proj.weight": (width // 2, width),
            p + "mlp.down_proj.weight": (width, inner),
            p + "input_layernorm.weight": (width,),
        }
    shapes["lm_head.weight"] = (vocab, width)
    tensors = {name: store(rng.normal(0, 0.05, s), dtype) for name, s in shapes.items()}
    tensors["model.steps"] = np.arange(3)
    folder.mkdir(parents=True, exist_ok=True)
    names = list(tensors)
    if shards == 1:
        write(folder / "model.safetensors", tensors)
    else:
        where = {}
        for k in range(shards):
            file = f"model-{k + 1:05d}-of-{shards:05d}.safetensors"
            part = names[k * len(names) // shards : (k + 1) * len(names) // shards]
            write(folder / file, {n: tensors[n] for n in part})
            where |= dict.fromkeys(part, file)
        index = {"metadata": {"total_size": sum(t.nbytes for t in tensors.values())}}
        text = json.dumps(index | {"weight_map": where})
        (folder / "model.safetensors.index.json").write_text(text)
    (folder / "config.json").write_text(
        json.dumps({"model_type": "toy", "torch_dtype": "bfloat16"})
    )
    (folder / "tokenizer.model").write_bytes(b"\0tokens")
    return tensors


def pairs(tensors, names=("q_proj", "v_proj", "down_proj"), r=4, seed=1, dtype="F32"):
    """lora_A and lora_B of every linear weight with one of these names."""
    rng = np.random.default_rng(seed)
    out = {}
    for name, w in tensors.items():
        module = name.removesuffix(".weight")
        if name.endswith(".weight") and w.ndim == 2 and module.split(".")[-1] in names:
            p = f"base_model.model.{module}."
            out[p + "lora_A.weight"] = store(rng.normal(0, 0.3, (r, w.shape[1])), dtype)
            out[p + "lora_B.weight"] = store(rng.normal(0, 0.1, (w.shape[0], r)), dtype)
    return out


def adapter(folder, tensors, **config):
    """An adapter on disk."""
    folder.mkdir(parents=True, exist_ok=True)
    fields = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": None} | config
    (folder / "adapter_config.json").write_text(json.dumps(fields))
    write(folder / "adapter_model.safetensors", tensors)
    return folder
