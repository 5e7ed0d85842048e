"""merge_checkpoint: what it computes, and that no accident leaves half a model."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from lora_data import adapter, base, pairs, read, read_folder, store, value, write

import ecgkit as ek
from ecgkit.lora import merge, merge_checkpoint

P = "base_model.model."


@pytest.fixture
def place(tmp_path):
    """base/, adapter/ with all three kinds of projections, and where the result goes."""
    tensors = base(tmp_path / "base")
    adapter(tmp_path / "adapter", pairs(tensors))
    return tmp_path


def merged(place, **options):
    return merge_checkpoint(place / "base", place / "adapter", place / "out", **options)


def tree(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def expected(tensors, lora, scale=2.0):
    out = dict(tensors)
    for key in lora:
        if key.endswith("lora_A.weight"):
            module = key.removeprefix(P).removesuffix(".lora_A.weight")
            a, b = lora[key], lora[key.replace("lora_A", "lora_B")]
            out[module + ".weight"] = merge(tensors[module + ".weight"], a, b, scale)
    return out


def same(got, want):
    assert set(got) == set(want)
    for name in want:
        assert got[name].dtype == want[name].dtype, name
        assert np.array_equal(got[name], want[name], equal_nan=True), name


# ------------------------------------------------------------------ what is computed
@pytest.mark.parametrize("dtype", ["F32", "BF16", "F16", "F64"])
@pytest.mark.parametrize("shards", [1, 3])
def test_is_merge_on_every_tensor_and_copies_the_rest(tmp_path, dtype, shards):
    tensors = base(tmp_path / "base", dtype, shards)
    lora = pairs(tensors)
    adapter(tmp_path / "adapter", lora)
    report = merged(tmp_path)
    same(read_folder(tmp_path / "out"), expected(tensors, lora))
    assert len(report.tensors) == 12
    assert report.copied == len(tensors) - 12
    assert (tmp_path / "out" / "tokenizer.model").read_bytes() == b"\0tokens"
    assert not (tmp_path / "out.parts").exists()


def test_headers_and_index_stay_as_they_were(place):
    merged(place)
    for path in (place / "base").glob("*.safetensors"):
        n = 8 + int.from_bytes(path.read_bytes()[:8], "little")
        assert (place / "out" / path.name).read_bytes()[:n] == path.read_bytes()[:n]
    index = "model.safetensors.index.json"
    want = json.loads((place / "base" / index).read_text())
    got = json.loads((place / "out" / index).read_text())
    assert got["weight_map"] == want["weight_map"]
    assert got["metadata"]["total_size"] == want["metadata"]["total_size"]


@pytest.mark.parametrize("dtype", ["F32", "BF16", "F16"])
def test_another_dtype_is_rounded_once(place, dtype):
    merged(place, dtype=dtype)
    got, tensors = read_folder(place / "out"), read_folder(place / "base")
    lora = read(place / "adapter" / "adapter_model.safetensors")
    wide = {k: value(v).astype(np.float32) for k, v in tensors.items() if k != "model.steps"}
    want = {k: store(v, dtype) for k, v in expected(wide, lora).items()}
    same(got, want | {"model.steps": tensors["model.steps"]})
    config = json.loads((place / "out" / "config.json").read_text())
    assert config["torch_dtype"] == {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}[dtype]
    from safetensors import safe_open

    for path in (place / "out").glob("*.safetensors"):
        with safe_open(path, "np") as file:
            assert set(file.keys()) <= set(got)


def test_blocks_and_threads_change_no_bit(place, monkeypatch):
    merged(place, threads=1)
    whole = tree(place / "out")
    shutil.rmtree(place / "out")
    monkeypatch.setattr("ecgkit.lora._stream.BLOCK", 700)
    monkeypatch.setattr("ecgkit.lora._stream.SYNC", 2000)
    merged(place, threads=2)
    for name, data in tree(place / "out").items():
        assert name == "merge_report.json" or data == whole[name]


def test_rank_and_alpha_patterns_and_rslora(tmp_path):
    tensors = base(tmp_path / "base", "F32")
    lora = pairs(tensors, ["q_proj"]) | pairs(tensors, ["v_proj"], r=2)
    adapter(
        tmp_path / "adapter", lora, use_rslora=True,
        rank_pattern={"v_proj": 2}, alpha_pattern={r"layers\.1\..*q_proj": 32, "q_proj": 1},
    )  # fmt: skip
    scales = {t.name: t.scale[0] for t in merged(tmp_path).tensors}
    assert scales["model.layers.0.self_attn.v_proj.weight"] == 8 / np.sqrt(2)
    assert scales["model.layers.1.self_attn.q_proj.weight"] == 32 / 2
    assert scales["model.layers.2.self_attn.q_proj.weight"] == 1 / 2


def test_several_adapters_are_added_before_rounding(place):
    tensors = read_folder(place / "base")
    lora = read(place / "adapter" / "adapter_model.safetensors")
    more = pairs(tensors, ["q_proj"], r=2, seed=5)
    adapter(place / "more", more, r=2)
    merge_checkpoint(
        place / "base", [place / "adapter", place / "more"], place / "out", weights=[0.5, -1.0]
    )
    got = read_folder(place / "out")
    q = "model.layers.0.self_attn.q_proj"
    a, b = f"{P}{q}.lora_A.weight", f"{P}{q}.lora_B.weight"
    want = merge(tensors[q + ".weight"], [lora[a], more[a]], [lora[b], more[b]], [1.0, -4.0])
    assert np.array_equal(got[q + ".weight"], want)


def test_bias_rows_whole_modules_and_new_ones(tmp_path):
    tensors = base(tmp_path / "base", "F32")
    lora = pairs(tensors, ["v_proj"])
    bias = "model.layers.0.self_attn.q_proj.bias"
    lora[f"{P}{bias}"] = np.full(32, 3, np.float32)
    lora[f"{P}score.weight"] = np.ones((2, 32), np.float32)
    lora[f"{P}lm_head.weight"] = np.full((60, 32), 7, np.float32)
    lora[f"{P}model.embed_tokens.token_adapter.trainable_tokens_delta"] = np.full(
        (2, 32), 9, np.float32
    )
    adapter(
        tmp_path / "adapter", lora, bias="all", modules_to_save=["score", "lm_head"],
        trainable_token_indices={"embed_tokens": [3, 49]},
    )  # fmt: skip
    report = merged(tmp_path)
    got = read_folder(tmp_path / "out")
    assert (got[bias] == 3).all()
    assert (got["score.weight"] == 1).all()
    assert got["lm_head.weight"].shape == (60, 32)
    rows = got["model.embed_tokens.weight"]
    assert (rows[[3, 49]] == 9).all()
    keep = np.delete(np.arange(50), [3, 49])
    assert np.array_equal(rows[keep], tensors["model.embed_tokens.weight"][keep])
    assert any("was added" in note for note in report.notes)
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"]) == set(got)


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("model.language_model.layers.0.x", "language_model.model.layers.0.x"),
        ("language_model.model.layers.0.x", "model.language_model.layers.0.x"),
        ("visual.x", "model.visual.x"),
        ("language_model.lm_head", "lm_head"),
        ("encoder.layer.0.x", "bert.encoder.layer.0.x"),
        ("vit.encoder.x", "encoder.x"),
    ],
)
def test_other_spellings_of_a_module_are_found(tmp_path, stored, asked):
    w = np.ones((6, 5), np.float32)
    (tmp_path / "base").mkdir()
    write(tmp_path / "base" / "model.safetensors", {f"{stored}.weight": w})
    a, b = np.ones((4, 5), np.float32), np.ones((6, 4), np.float32)
    adapter(
        tmp_path / "adapter",
        {f"{P}{asked}.lora_A.default.weight": a, f"{P}{P}{asked}.lora_B.weight": b},
    )
    merged(tmp_path)
    assert (read_folder(tmp_path / "out")[f"{stored}.weight"] == 1 + 2 * 4).all()


def test_the_report_states_norms_and_what_rounding_lost(place):
    report = merged(place)
    tensors, lora = read_folder(place / "base"), read(place / "adapter/adapter_model.safetensors")
    got = read_folder(place / "out")
    for t in report.tensors:
        module = t.name.removesuffix(".weight")
        a, b = lora[f"{P}{module}.lora_A.weight"], lora[f"{P}{module}.lora_B.weight"]
        change = 2.0 * b.astype(float) @ a
        made = value(got[t.name]) - value(tensors[t.name])
        assert t.delta_norm == pytest.approx(np.linalg.norm(change), rel=1e-5)
        assert t.weight_norm == pytest.approx(np.linalg.norm(value(tensors[t.name])), rel=1e-5)
        assert t.unchanged == (made == 0).mean()
        lost = np.linalg.norm(made - change) / np.linalg.norm(change)
        assert t.loss == pytest.approx(lost, rel=1e-3)
    assert set(report.loss_by_dtype) == {"BF16"}
    json.dumps(report.to_dict(), allow_nan=False)
    assert len(report.to_frame()) == 12
    assert "rounding lost" in repr(report)
    assert "down_proj" in report._repr_html_()
    again = merged(place)
    assert again.resumed == 3
    assert [t.name for t in again.tensors] == [t.name for t in report.tensors]


def test_a_dry_run_writes_nothing_and_foresees_the_norms(place):
    before = sorted(p.name for p in place.iterdir())
    dry = merged(place, dry_run=True)
    assert sorted(p.name for p in place.iterdir()) == before
    done = merged(place)
    for x, y in zip(dry.tensors, done.tensors, strict=True):
        assert x.delta_norm == pytest.approx(y.delta_norm, rel=1e-4)
    assert dry.bytes == done.bytes


# --------------------------------------------------------------------- what is refused
@pytest.mark.parametrize(
    ("config", "change", "message"),
    [
        ({"peft_type": "IA3"}, {}, "peft_type"),
        ({"use_qalora": True}, {}, "use_qalora"),
        ({"target_parameters": ["x"]}, {}, "target_parameters"),
        ({"layer_replication": [[0, 2]]}, {}, "layer_replication"),
        ({"alora_invocation_tokens": [1]}, {}, "alora"),
        ({"arrow_config": {"k": 1}}, {}, "arrow_config"),
        ({"kasa_config": {"k": 1}}, {}, "kasa_config"),
        ({"use_bdlora": {"k": 1}}, {}, "use_bdlora"),
        ({"r": 5}, {}, "rank 5"),
        ({"r": 0}, {}, "r is 0"),
        ({"r": "4"}, {}, "r is '4'"),
        ({"lora_alpha": None}, {}, "lora_alpha"),
        ({"bias": "some"}, {}, "bias"),
        ({"rank_pattern": {"(": 3}}, {}, "regular expression"),
        ({"rank_pattern": ["a"]}, {}, "rank_pattern"),
        ({"use_dora": True}, {}, "magnitude"),
        ({"layers_to_transform": [0]}, {}, "does not target"),
        ({"exclude_modules": ["v_proj"]}, {}, "does not target"),
        ({"target_modules": "model.*q_proj"}, {}, "does not target"),
        ({}, {f"{P}model.layers.9.self_attn.q_proj.lora_A.weight": 0}, "no lora_B"),
        ({}, {f"{P}score.weight": np.ones((2, 32), np.float32)}, "modules_to_save"),
        ({}, {f"{P}model.layers.0.self_attn.q_proj.lora_Z.weight": 0}, "lora_Z"),
        ({}, {f"{P}model.layers.0.self_attn.q_proj.lora_B.bias": np.ones(32, np.float32)}, "bias"),
        ({}, {f"{P}model.layers.0.self_attn.q_proj.lora_A.weight": np.ones((4, 31), np.float32)},
         "A is"),
        ({}, {f"{P}model.layers.0.self_attn.q_proj.lora_A.weight": np.ones((4, 32), np.int64)},
         "float dtype"),
        ({}, {f"{P}model.layers.0.self_attn.q_proj.lora_A.x.weight": np.ones((4, 32), np.float32)},
         "same tensor"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(place, config, change, message):
    lora = pairs(read_folder(place / "base"))
    change = {
        k: np.ones((4, 32), np.float32) if isinstance(v, int) else v for k, v in change.items()
    }
    fields = {"target_modules": ["q_proj", "v_proj", "down_proj"]} | config
    adapter(place / "adapter", lora | change, **fields)
    with pytest.raises((ek.WeightsError, ek.FormatError), match=message):
        merged(place)
    assert not (place / "out").exists()
    assert not (place / "out.parts").exists()


def test_an_adapter_of_another_model_lists_its_tensors_or_is_left_out(place):
    lora = pairs(read_folder(place / "base"))
    strange = {k.replace("layers.3", "layers.7"): v for k, v in lora.items()}
    adapter(place / "adapter", strange)
    with pytest.raises(ek.WeightsError, match=r"6 tensors.*layers\.7.*strict=False"):
        merged(place)
    report = merged(place, strict=False)
    assert len(report.skipped) == 6
    assert len(report.tensors) == 9


@pytest.mark.torch
@pytest.mark.parametrize("dtype", ["F32", "BF16", "F16"])
def test_a_pickled_adapter_is_read_as_data_and_gives_the_same_bytes(tmp_path, dtype):
    import torch

    tensors = base(tmp_path / "base")
    lora = pairs(tensors, dtype=dtype)
    folder = adapter(tmp_path / "adapter", lora)
    want = merge_checkpoint(tmp_path / "base", folder, tmp_path / "want")
    (folder / "adapter_model.safetensors").unlink()
    kind = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}[dtype]
    state = {k: torch.from_numpy(value(v)).to(kind) for k, v in lora.items()}
    torch.save(state, folder / "adapter_model.bin")
    got = merged(tmp_path)
    assert len(got.tensors) == len(want.tensors)
    same(read_folder(tmp_path / "out"), read_folder(tmp_path / "want"))


def test_a_pickle_that_would_run_code_is_refused_and_runs_none(place):
    import pickle

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(place / "ran"),)

    folder = place / "adapter"
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(ek.WeightsError, match=r"neither adapter_model\.safetensors nor"):
        merged(place)
    (folder / "adapter_model.bin").write_bytes(pickle.dumps({"a": Evil()}, protocol=2))
    with pytest.raises(ek.EcgkitError):
        merged(place)
    assert not (place / "ran").exists()
    assert not (place / "out").exists()


def test_quantised_weights_are_refused(tmp_path):
    (tmp_path / "base").mkdir()
    write(tmp_path / "base" / "model.safetensors", {"q.weight": np.ones((6, 5), np.int64)})
    lora = {
        "q.lora_A.weight": np.ones((4, 5), np.float32),
        "q.lora_B.weight": np.ones((6, 4), np.float32),
    }
    adapter(tmp_path / "adapter", lora)
    with pytest.raises(ek.WeightsError, match="quantised"):
        merged(tmp_path)


def test_sums_beyond_float16_stop_the_merge_unless_clamped(tmp_path):
    tensors = base(tmp_path / "base", "F16")
    lora = {k: v * 1e4 for k, v in pairs(tensors).items()}
    adapter(tmp_path / "adapter", lora)
    with pytest.raises(ek.WeightsError, match="clamp"):
        merged(tmp_path)
    assert not (tmp_path / "out").exists()
    report = merged(tmp_path, clamp=True, resume=False)
    assert sum(t.clamped for t in report.tensors) > 0
    assert all(np.isfinite(v).all() for v in read_folder(tmp_path / "out").values())
    with pytest.raises(ek.OutputError, match="another merge"):
        merged(tmp_path, strict=False)
    assert sum(t.broken for t in merged(tmp_path, strict=False, resume=False).tensors) > 0


def test_out_is_never_the_base_nor_a_folder_of_something_else(place):
    with pytest.raises(ek.OutputError, match="base"):
        merge_checkpoint(place / "base", place / "adapter", place / "base" / "sub")
    (place / "out").mkdir()
    (place / "out" / "thesis.txt").write_text("mine")
    for resume in (True, False):
        with pytest.raises(ek.OutputError, match="not made by a merge"):
            merged(place, resume=resume)
    assert (place / "out" / "thesis.txt").read_text() == "mine"


def test_another_merge_is_replaced_only_on_request(place):
    merged(place)
    first = tree(place / "out")
    adapter(place / "adapter", pairs(read_folder(place / "base"), seed=9))
    with pytest.raises(ek.OutputError, match="resume=False"):
        merged(place)
    assert tree(place / "out") == first
    merged(place, resume=False)
    assert tree(place / "out") != first
    assert not (place / "out.parts").exists()


def test_too_little_room_is_seen_before_anything_is_written(place, monkeypatch):
    usage = shutil.disk_usage(place)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    for dry in (True, False):
        with pytest.raises(ek.OutputError, match="needs"):
            merged(place, dry_run=dry)
    assert not (place / "out").exists()


# ------------------------------------------------------------------------- accidents
RUN = """
import sys
import ecgkit as ek
ek.lora.merge_checkpoint(*sys.argv[1:4])
"""


def run(place, code=RUN, *args, **options):
    command = [sys.executable, "-c", code, place / "base", place / "adapter", place / "out", *args]
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)


@pytest.mark.slow
def test_a_full_disk_leaves_nothing_half_written_and_the_next_run_goes_on(place):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000))

    failed = run(place, preexec_fn=limit)
    assert failed.returncode != 0
    assert "OutputError" in failed.stderr
    assert not (place / "out").exists()
    names = {p.name for p in (place / "out.parts" / "model").iterdir()}
    assert all(not name.endswith(".tmp") for name in names)
    merged(place)
    lora = read(place / "adapter" / "adapter_model.safetensors")
    same(read_folder(place / "out"), expected(read_folder(place / "base"), lora))


KILLED = """
import os, sys
nth = int(sys.argv[4])
count = 0
def counted(name):
    real = getattr(os, name)
    def call(*args, **kw):
        global count
        count += 1
        if count == nth:
            os.kill(os.getpid(), 9)
        return real(*args, **kw)
    setattr(os, name, call)
for name in ("pwrite", "copy_file_range", "fsync", "rename", "replace", "mkdir", "unlink", "rmdir"):
    counted(name)
import ecgkit as ek
ek.lora.merge_checkpoint(*sys.argv[1:4], resume=sys.argv[5] == "resume")
print("steps", count)
"""


@pytest.mark.slow
def test_killed_before_any_step_on_disk_it_ends_with_the_same_bytes(place):
    whole = place / "whole"
    merge_checkpoint(place / "base", place / "adapter", whole)
    want = tree(whole)
    want.pop("merge_report.json")
    counted = run(place, KILLED, 0, "resume")
    steps = int(counted.stdout.split()[-1])
    assert steps > 20
    shutil.rmtree(place / "out")
    for nth in range(1, steps + 1, 2):
        killed = run(place, KILLED, nth, "resume")
        assert killed.returncode in (0, -signal.SIGKILL), killed.stderr
        if (place / "out").exists():
            got = tree(place / "out")
            got.pop("merge_report.json")
            assert got == want, f"killed before step {nth}"
        merged(place)
        got = tree(place / "out")
        got.pop("merge_report.json")
        assert got == want, f"killed before step {nth} of {steps}"
        assert not (place / "out.parts").exists()
        shutil.rmtree(place / "out")


@pytest.mark.slow
def test_killed_while_it_replaces_an_older_merge_one_of_the_two_is_whole(place):
    merged(place)
    old = tree(place / "out")
    shutil.copytree(place / "out", place / "kept")
    adapter(place / "adapter", pairs(read_folder(place / "base"), seed=9))
    steps = int(run(place, KILLED, 0, "anew").stdout.split()[-1])
    new = {k: v for k, v in tree(place / "out").items() if k != "merge_report.json"}
    for nth in range(steps - 14, steps + 1):
        for folder in ("out", "out.parts"):
            shutil.rmtree(place / folder, ignore_errors=True)
        shutil.copytree(place / "kept", place / "out")
        run(place, KILLED, nth, "anew")
        if (place / "out").exists():
            got = tree(place / "out")
            assert got == old or new == {k: got[k] for k in new}
        else:
            assert tree(place / "out.parts" / "old") == old
        merged(place, resume=False)
        assert new.items() <= tree(place / "out").items()


INTERRUPTED = """
import os, signal, sys
import ecgkit as ek
share = float(sys.argv[4])
def progress(done, total):
    if done >= share * total:
        os.kill(os.getpid(), signal.SIGINT)
try:
    ek.lora.merge_checkpoint(*sys.argv[1:4], progress=progress)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_ctrl_c_leaves_nothing_half_written_and_the_next_run_goes_on(place, share):
    before = {name: tree(place / name) for name in ("base", "adapter")}
    stopped = run(place, INTERRUPTED, share)
    assert stopped.stdout.split() == ["interrupted"], stopped.stderr
    assert not (place / "out").exists()
    assert {name: tree(place / name) for name in before} == before
    report = merged(place)
    assert report.resumed == {0.05: 0, 0.5: 1, 0.9: 2}[share]
    assert not (place / "out.parts").exists()
    lora = read(place / "adapter" / "adapter_model.safetensors")
    same(read_folder(place / "out"), expected(read_folder(place / "base"), lora))


def test_finished_shards_are_kept_and_the_rest_is_made(place, monkeypatch):
    from ecgkit.lora import _checkpoint

    real, made = _checkpoint.write_shard, []

    def stop_at_second(path, model, name, *rest):
        made.append(name)
        if len(made) == 2:
            raise KeyboardInterrupt
        return real(path, model, name, *rest)

    monkeypatch.setattr(_checkpoint, "write_shard", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        merged(place)
    assert not (place / "out").exists()
    report = merged(place)
    assert report.resumed == 1
    assert len(report.tensors) == 12
    assert made[2:] == made[1:2] + [m for m in made if m not in made[:2]]


def test_parts_of_another_merge_are_not_mixed_in(place, monkeypatch):
    from ecgkit.lora import _checkpoint

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_checkpoint, "_companions", stop)
        with pytest.raises(KeyboardInterrupt):
            merged(place)
    with pytest.raises(ek.OutputError, match="resume=False"):
        merged(place, dtype="F32")
    merged(place, dtype="F32", resume=False)
    assert read_folder(place / "out")["lm_head.weight"].dtype == np.float32


def test_two_jobs_do_not_write_one_result(place):
    import fcntl

    (place / "out.parts").mkdir()
    with open(place / "out.parts" / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ek.OutputError, match="another job"):
            merged(place)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_model(tmp_path):
    """Four times the weights take no more but the larger factors and blocks."""
    peak = {}
    for name, width in (("small", 1024), ("large", 2048)):
        place = tmp_path / name
        tensors = base(place / "base", "F32", shards=2, layers=4, width=width, inner=2 * width)
        adapter(place / "adapter", pairs(tensors))
        code = RUN + "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
        peak[name] = int(run(place, code).stdout)
        shutil.rmtree(place)
    assert peak["large"] < 1 << 20  # KiB
    assert peak["large"] - peak["small"] < 100_000


SHARD = """
import pathlib, sys
import numpy as np
from lora_data import write
rng = np.random.default_rng(int(sys.argv[2]))
names = sys.argv[3:]
one = rng.integers(0x3C00, 0x3D00, (4096, 4096), dtype=np.uint16)
sign = rng.integers(0, 2, (4096, 4096), dtype=np.uint16) << np.uint16(15)
tensors = {n: np.roll(one | sign, k) for k, n in enumerate(names)}
write(pathlib.Path(sys.argv[1]), tensors)
"""


@pytest.mark.slow
def test_six_gigabytes_are_merged_in_less_than_one(tmp_path):
    """Six shards of thirty bfloat16 weights, 32 MB each."""
    if shutil.disk_usage(tmp_path).free < 14 << 30:
        pytest.skip("needs 14 GB on the disk of the temporary folder")
    (tmp_path / "base").mkdir()
    where, rng, lora = {}, np.random.default_rng(0), {}
    for s in range(6):
        file = f"model-{s + 1:05d}-of-00006.safetensors"
        names = [f"model.layers.{30 * s + k}.q_proj.weight" for k in range(30)]
        made = subprocess.run(
            [sys.executable, "-c", SHARD, str(tmp_path / "base" / file), str(s), *names],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        assert made.returncode == 0
        where |= dict.fromkeys(names, file)
        for name in names:
            module = P + name.removesuffix(".weight")
            lora[module + ".lora_A.weight"] = rng.standard_normal((4, 4096), np.float32)
            lora[module + ".lora_B.weight"] = rng.standard_normal((4096, 4), np.float32) / 64
    index = {"metadata": {}, "weight_map": where}
    (tmp_path / "base" / "model.safetensors.index.json").write_text(json.dumps(index))
    adapter(tmp_path / "adapter", lora)
    size = sum(p.stat().st_size for p in (tmp_path / "base").glob("*.safetensors"))
    assert size > 6_000_000_000
    code = RUN + "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    done = run(tmp_path, code)
    assert int(done.stdout) < 1 << 20, done.stdout  # KiB
    from ecgkit.lora._safetensors import File

    last = "model-00006-of-00006.safetensors"
    name = "model.layers.179.q_proj.weight"
    module = P + name.removesuffix(".weight")
    with File(tmp_path / "base" / last) as old, File(tmp_path / "out" / last) as new:
        a, b = lora[module + ".lora_A.weight"], lora[module + ".lora_B.weight"]
        assert np.array_equal(new.read(name), merge(old.read(name), a, b, 2.0))


# ------------------------------------------------------------------- command line
def command(*args):
    return subprocess.run(
        [sys.executable, "-m", "ecgkit", "merge-lora", *map(str, args)],
        capture_output=True, text=True, env=os.environ | {"COLUMNS": "200"},
    )  # fmt: skip


@pytest.mark.slow
def test_the_command_merges_and_reports(place):
    dry = command(place / "base", place / "adapter", place / "out", "--dry-run", "--json")
    assert dry.returncode == 0, dry.stderr
    assert json.loads(dry.stdout)["dry_run"] is True
    assert not (place / "out").exists()
    done = command(place / "base", place / "adapter", place / "out")
    assert done.returncode == 0, done.stderr
    assert "12 changed" in done.stdout
    assert (place / "out" / "merge_report.json").exists()
    failed = command(place / "base", place / "base", place / "out")
    assert failed.returncode == 1
    assert failed.stderr.startswith("ecgkit: ")
    assert command(place / "base").returncode == 2
