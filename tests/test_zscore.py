"""zscore: the smallest kernel, and the pattern for the tests of all others."""

import numpy as np
import pytest

import ecgkit as ek


def oracle(x):
    x = np.asarray(x, np.float64)
    d = x.std(axis=-1, keepdims=True)
    return np.divide(x - x.mean(axis=-1, keepdims=True), d, out=np.zeros_like(x), where=d != 0)


@pytest.mark.parametrize("t", [1, 2, 7, 8, 9, 1000, 5001])
def test_agrees_with_numpy_in_double(isa, t):
    x = np.random.default_rng(t).normal(3, 2, (3, t)).astype(np.float32)
    np.testing.assert_allclose(ek.signal.zscore(x), oracle(x), atol=1e-6)


def test_float64_stays_float64():
    x = np.random.default_rng(0).normal(1e6, 1, (3, 1001))
    got = ek.signal.zscore(x)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, oracle(x), atol=1e-9)
    assert np.array_equal(ek.signal.zscore(x, out=x.copy(), threads=2), got)


def test_constant_rows_become_zero_and_nan_stays_in_its_row(isa):
    x = np.ones((3, 50), np.float32)
    x[1, 7] = np.nan
    got = ek.signal.zscore(x)
    assert (got[[0, 2]] == 0).all()
    assert np.isnan(got[1]).all()


def test_any_dtype_and_stride_gives_the_same_bits(isa):
    x = np.arange(240, dtype=np.int16).reshape(12, 20)
    want = ek.signal.zscore(np.ascontiguousarray(x[:, ::-2]).astype(np.float32))
    assert np.array_equal(ek.signal.zscore(x[:, ::-2]), want)


def test_out_may_be_the_input():
    x = np.random.default_rng(0).normal(size=(2, 33)).astype(np.float32)
    want = ek.signal.zscore(x)
    got = ek.signal.zscore(x, out=x)
    assert got is x
    assert np.array_equal(x, want)


def test_same_bits_for_any_thread_count(isa):
    x = np.random.default_rng(0).normal(size=(200, 5000)).astype(np.float32)
    assert np.array_equal(ek.signal.zscore(x, threads=1), ek.signal.zscore(x, threads=2))


@pytest.mark.parametrize(
    ("x", "error"),
    [
        (np.zeros(3, complex), TypeError),
        (["a"], TypeError),
        (np.zeros((2, 0)), ValueError),
        (1.0, ValueError),
    ],
)
def test_what_is_not_a_signal_is_refused(x, error):
    with pytest.raises(error, match="zscore"):
        ek.signal.zscore(x)
