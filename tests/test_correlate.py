"""correlate and autocorrelate against the sums written out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ecgkit as ek
from ecgkit.errors import LayoutError


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


def test_conserved_segments_are_mean_correlations_about_the_beats():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(2, 3, 2000))
    peaks = np.array([20, 500, 900, 1990])  # the first and last lose segments at the ends
    got = ek.signal.conserved_segments(x, y, fs=250, peaks=peaks)
    assert list(got) == ["P", "PQ", "QRS", "ST", "T"]
    for name, (start, end) in {"QRS": (-0.05, 0.05), "P": (-0.24, -0.12)}.items():
        parts = [(p + round(250 * start), p + round(250 * end)) for p in peaks]
        parts = [(i, j) for i, j in parts if i >= 0 and j <= 2000]
        for lead in range(3):
            r = [np.corrcoef(x[lead, i:j], y[lead, i:j])[0, 1] for i, j in parts]
            np.testing.assert_allclose(got[name][lead], np.mean(r), rtol=1e-12)
    same = ek.signal.conserved_segments(x, 3 * x + 1, fs=250, peaks=peaks)
    for value in same.values():
        np.testing.assert_allclose(value, 1)


def test_conserved_segments_find_the_beats_and_name_what_is_wrong():
    rec = ek.synth.ecg()
    noisy = rec.signal.copy()
    noisy[:, :] += np.random.default_rng(0).normal(size=noisy.shape).astype(np.float32) * 0.02
    got = ek.signal.conserved_segments(rec.signal, noisy, fs=rec.fs)
    assert (got["QRS"] > 0.9).all()
    assert (got["QRS"] > got["PQ"]).mean() > 0.8
    flat = np.zeros((2, 500))
    empty = ek.signal.conserved_segments(flat, flat, fs=100)
    assert np.isnan(empty["QRS"]).all()
    with pytest.raises(LayoutError, match="one shape"):
        ek.signal.conserved_segments(flat, flat[:1], fs=100)
    with pytest.raises(LayoutError, match="peaks must be"):
        ek.signal.conserved_segments(flat, flat, fs=100, peaks=[0.5])
    with pytest.raises(ValueError, match="two samples"):
        ek.signal.conserved_segments(flat, flat, fs=100, peaks=[50], segments={"x": (0, 0)})
