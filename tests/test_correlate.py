"""correlate and autocorrelate against the sums written out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ecgkit as ek


def oracle(x, y, lags, normalize):
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if normalize:
        sx, sy = x.std(), y.std()
        if sx == 0 or sy == 0:
            return np.zeros(2 * lags + 1)
        x, y = (x - x.mean()) / sx / len(x), (y - y.mean()) / sy
    whole = np.correlate(y, x, "full")
    return whole[len(x) - 1 - lags : len(x) + lags]


@given(t=st.integers(1, 300), share=st.floats(0, 0.999), normalize=st.booleans())
@settings(max_examples=80, deadline=None)
def test_the_sums_are_those_of_the_definition(t, share, normalize):
    rng = np.random.default_rng(t)
    x, y = rng.normal(size=(2, t))
    lags = int(share * t)
    got = ek.signal.correlate(x, y, max_lag=lags, normalize=normalize)
    scale = 1 if normalize else np.sqrt((x**2).sum() * (y**2).sum())
    np.testing.assert_allclose(got, oracle(x, y, lags, normalize), atol=1e-12 * max(1, scale))
    auto = ek.signal.autocorrelate(x, max_lag=lags, normalize=normalize)
    np.testing.assert_allclose(
        auto, oracle(x, x, lags, normalize)[lags:], atol=1e-12 * max(1, scale)
    )


def test_a_shift_peaks_at_its_lag():
    x = np.random.default_rng(0).normal(size=(11, 5000)).astype(np.float32)
    for k in (-40, 0, 3):
        got = ek.signal.correlate(x, np.roll(x, k, axis=1), max_lag=50)
        assert got.dtype == np.float32
        assert got.shape == (11, 101)
        assert (got.argmax(axis=1) == 50 + k).all()


def test_constant_rows_give_zero_and_nan_spoils_its_row_alone():
    x = np.random.default_rng(0).normal(size=(3, 100))
    x[0] = 5
    x[1, 7] = np.nan
    got = ek.signal.autocorrelate(x, max_lag=10)
    assert (got[0] == 0).all()
    assert np.isnan(got[1]).all()
    assert got[2, 0] == pytest.approx(1)


def test_strides_batch_axes_and_threads_give_the_same_bits(isa):
    x = np.random.default_rng(0).normal(size=(2, 6, 800))
    y = x[:, ::-1, ::-1]
    one = ek.signal.correlate(x[..., ::2], y[..., ::2], max_lag=30, threads=1)
    plain = [np.ascontiguousarray(v[..., ::2]) for v in (x, y)]
    assert np.array_equal(one, ek.signal.correlate(*plain, max_lag=30, threads=2))
    assert np.array_equal(
        one[1, 2], ek.signal.correlate(plain[0][1, 2], plain[1][1, 2], max_lag=30)
    )
    assert ek.signal.autocorrelate(np.zeros((0, 9)), max_lag=3).shape == (0, 4)


@pytest.mark.parametrize(
    ("x", "y", "lag", "error", "match"),
    [
        (np.zeros(5), np.zeros(6), 2, ek.LayoutError, "one shape"),
        (np.zeros(5), np.zeros(5), 5, ek.LayoutError, "below the 5 samples"),
        (np.zeros((2, 0)), np.zeros((2, 0)), 0, ek.LayoutError, "below the 0"),
        (np.zeros(5), np.zeros(5), -1, ValueError, "max_lag"),
        (np.zeros(5, complex), np.zeros(5), 1, TypeError, "real"),
    ],
)
def test_bad_arguments_are_named(x, y, lag, error, match):
    with pytest.raises(error, match=match):
        ek.signal.correlate(x, y, max_lag=lag)
