"""Running median: equal to SciPy, sample for sample."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage, signal

import ecgkit as ek
from ecgkit.errors import LayoutError


def scipy_median(x, size, edge):
    rows = x.reshape(-1, x.shape[-1])
    if edge == "zero":
        with warnings.catch_warnings():  # a window longer than the signal
            warnings.simplefilter("ignore", UserWarning)
            got = [signal.medfilt(row, size) for row in rows]
    else:
        got = [ndimage.median_filter(row, size, mode=edge) for row in rows]
    return np.reshape(got, x.shape)


@pytest.mark.parametrize("edge", ["zero", "reflect", "nearest"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("t", "size"), [(1, 1), (2, 3), (20, 1), (20, 3), (20, 39), (1000, 21), (1000, 61), (5000, 301)]
)
def test_equals_scipy(isa, edge, dtype, t, size):
    x = np.random.default_rng(t).normal(size=(3, t)).cumsum(axis=1).astype(dtype)
    got = ek.signal.median_filter(x, size, edge=edge)
    assert got.dtype == dtype
    assert np.array_equal(got, scipy_median(x, size, edge))


@given(
    x=hnp.arrays(
        st.sampled_from([np.float32, np.float64]),
        st.integers(1, 80),
        elements=st.floats(-1e6, 1e6, width=32) | st.sampled_from([0.0, -0.0, 1.0, 2.0]),
    ),
    half=st.integers(0, 79),
    edge=st.sampled_from(["zero", "reflect", "nearest"]),
)
@settings(max_examples=300, deadline=None)
def test_equals_scipy_with_ties_and_any_window(x, half, edge):
    size = 2 * min(half, len(x) - 1) + 1
    assert np.array_equal(ek.signal.median_filter(x, size, edge=edge), scipy_median(x, size, edge))


def test_infinities_are_ordinary_values(isa):
    x = np.array([1, np.inf, 2, -np.inf, -np.inf, 3, 4], np.float32)
    assert np.array_equal(ek.signal.median_filter(x, 3), [1, 2, 2, -np.inf, -np.inf, 3, 3])


@pytest.mark.parametrize("edge", ["zero", "reflect", "nearest"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_nan_spoils_the_windows_that_hold_it_and_no_other(edge, dtype):
    x = np.random.default_rng(0).normal(size=(2, 200)).astype(dtype)
    want = ek.signal.median_filter(x, 21, edge=edge)
    want[0, 90:111] = np.nan
    want[0, :12] = np.nan
    x[0, [100, 1]] = np.nan
    assert np.array_equal(ek.signal.median_filter(x, 21, edge=edge), want, equal_nan=True)


def test_any_dtype_stride_and_batch_shape():
    x = np.random.default_rng(0).integers(-999, 999, (2, 3, 80)).astype(np.int16)
    got = ek.signal.median_filter(x[:, ::-1, ::2], 5)
    assert got.dtype == np.float32
    assert np.array_equal(got, scipy_median(x[:, ::-1, ::2].astype(np.float32), 5, "zero"))
    assert ek.signal.median_filter(np.zeros((0, 4)), 3).shape == (0, 4)


def test_out_may_be_the_input_and_input_is_not_modified():
    x = np.random.default_rng(0).normal(size=(4, 100))
    x.flags.writeable = False
    want = ek.signal.median_filter(x, 7)
    y = x.copy()
    assert ek.signal.median_filter(y, 7, out=y) is y
    assert np.array_equal(y, want)
    with pytest.raises(ValueError, match="shares memory"):
        ek.signal.median_filter(y[:2], 7, out=y[1:3])


def test_same_bits_for_any_thread_count():
    x = np.random.default_rng(0).normal(size=(40, 3000)).astype(np.float32)
    assert np.array_equal(
        ek.signal.median_filter(x, 101, threads=1), ek.signal.median_filter(x, 101, threads=2)
    )


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"size": 4}, ValueError, "size must be odd .* got 4"),
        ({"size": 0}, ValueError, "size must be at least 1"),
        ({"size": 21}, ValueError, "at most 2\\*time - 1 = 19 for 10 samples, got 21"),
        ({"size": 3.0}, TypeError, "size must be an integer"),
        ({"size": 3, "edge": "wrap"}, ValueError, "edge must be one of zero, reflect, nearest"),
        ({"size": 3, "out": np.zeros(10, np.float32)}, ValueError, "out must be"),
        ({"size": 3, "x": np.zeros((2, 0))}, LayoutError, "no samples"),
        ({"size": 3, "x": np.zeros(4, complex)}, TypeError, "real numbers"),
        ({"size": 3, "x": 1.0}, ValueError, "dimensions"),
    ],
)
def test_wrong_arguments_are_named(kwargs, error, message):
    with pytest.raises(error, match=message):
        ek.signal.median_filter(**{"x": np.zeros(10), **kwargs})
