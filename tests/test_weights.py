"""Weight files: whole or an error, never a pickle run; misfits are all listed at once."""

import numpy as np
import pytest

import ecgkit as ek


def some():
    rng = np.random.default_rng(0)
    return {
        "conv.weight": rng.normal(size=(4, 3, 5)).astype(np.float32),
        "conv.bias": rng.normal(size=4).astype(np.float16),
        "count": np.array(7, np.int64),
        "empty": np.zeros((0, 3), np.float32),
        "mask": np.array([True, False]),
        "column": np.asfortranarray(rng.normal(size=(3, 2))),
    }


def test_what_is_saved_is_read_back(tmp_path):
    given = some()
    ek.weights.save(tmp_path / "w.safetensors", given)
    got = ek.weights.read(tmp_path / "w.safetensors")
    assert got.keys() == given.keys()
    for key, value in given.items():
        assert got[key].dtype == value.dtype
        assert np.array_equal(got[key], value)
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_bfloat16_comes_as_its_float32_values(tmp_path):
    torch = pytest.importorskip("torch")
    st = pytest.importorskip("safetensors.torch")
    x = torch.tensor([1.0, -2.5, 3.1415926, 1e-30], dtype=torch.bfloat16)
    st.save_file({"x": x}, tmp_path / "b.safetensors")
    got = ek.weights.read(tmp_path / "b.safetensors")["x"]
    assert np.array_equal(got, x.float().numpy())


@pytest.mark.parametrize("cut", [0, 5, 30, -1])
def test_a_cut_file_is_an_error(tmp_path, cut):
    ek.weights.save(tmp_path / "w.safetensors", some())
    data = (tmp_path / "w.safetensors").read_bytes()
    (tmp_path / "w.safetensors").write_bytes(data[:cut])
    with pytest.raises(ek.WeightsError, match=r"w.safetensors: not a whole"):
        ek.weights.read(tmp_path / "w.safetensors")


def test_a_header_that_claims_more_than_there_is_is_an_error(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(b"\xff" * 7 + b"\x7f" + b"{}")
    with pytest.raises(ek.WeightsError, match="not a whole"):
        ek.weights.read(tmp_path / "w.safetensors")


def test_an_absent_file_is_an_error(tmp_path):
    with pytest.raises(ek.WeightsError, match=r"cannot be read.*safetensors"):
        ek.weights.read(tmp_path / "none.safetensors")


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".bin"])
def test_a_text_pickle_is_not_run(tmp_path, suffix):
    (tmp_path / f"w{suffix}").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    with pytest.raises(ek.WeightsError, match=r"nor one that torch\.save wrote"):
        ek.weights.read(tmp_path / f"w{suffix}")


def test_a_digest_that_differs_is_an_error(tmp_path):
    ek.weights.save(tmp_path / "w.safetensors", some())
    with pytest.raises(ek.WeightsError, match="sha256"):
        ek.weights.read(tmp_path / "w.safetensors", sha256="0" * 64)


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "w.safetensors"
    ek.weights.save(path, some())
    before = path.read_bytes()
    with pytest.raises(ek.WeightsError, match="'x' has dtype"):
        ek.weights.save(path, {"x": np.array(["a"])})
    assert path.read_bytes() == before
    with pytest.raises(ek.WeightsError, match="cannot be written"):
        ek.weights.save(tmp_path / "no" / "such" / "w.safetensors", some())
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_check_lists_everything_that_is_wrong():
    expected = {"a": (2, 3), "b": (4,), "c": (1,), "d": (2,)}
    given = {
        "a": np.zeros((3, 2)),
        "c": np.zeros(1),
        "d": np.array([1, np.nan]),
        "x.y": np.zeros(1),
        "bn.num_batches_tracked": np.array(3),
    }
    with pytest.raises(ek.WeightsError) as info:
        ek.weights.check(expected, given, what="net")
    text = str(info.value)
    wrong = "a has (3, 2), wanted (2, 3)"
    for part in ("net", "1 missing: b", "1 unexpected: x.y", wrong, "real numbers: d"):
        assert part in text
    assert "num_batches_tracked" not in text


def test_check_gives_float32_in_the_expected_order():
    given = {
        "b": np.ones(2, np.float16),
        "a": np.arange(6).reshape(2, 3),
        "n.num_batches_tracked": 1,
    }
    got = ek.weights.check({"a": (2, 3), "b": (2,)}, given)
    assert list(got) == ["a", "b"]
    assert all(v.dtype == np.float32 for v in got.values())


def test_the_fingerprint_depends_on_keys_values_and_dtype_alone():
    a = some()
    same = dict(reversed(a.items()))
    assert ek.weights.fingerprint(a) == ek.weights.fingerprint(same)
    assert ek.weights.fingerprint(a) != ek.weights.fingerprint({**a, "count": np.array(8)})
    assert ek.weights.fingerprint(a) != ek.weights.fingerprint(
        {**a, "count": np.array(7, np.int32)}
    )
