"""resample: another rate by polyphase FIR and straight lines, against SciPy and NumPy in double."""

from itertools import permutations
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

import ecgkit as ek
from ecgkit.signal._resample import fir_taps, ratio

RATES = (128, 250, 257, 360, 400, 500, 1000)
TOL = {"float32": 3e-6, "float64": 1e-12}  # of the largest sample; f32: sums of up to 721 terms


def extended(x, width):
    """x continued by point reflection about its ends, then held."""
    n = x.shape[-1]
    s = np.arange(1, width + 1).clip(max=n - 1)
    left = 2 * x[..., :1] - x[..., s[::-1]]
    right = 2 * x[..., -1:] - x[..., n - 1 - s]
    return np.concatenate([left, x, right], axis=-1)


def fir_oracle(x, fs_in, fs_out):
    """scipy.signal.resample_poly with our taps on the extended signal."""
    x = np.asarray(x, np.float64)
    up, down = ratio(fs_in, fs_out)
    phases, reach = fir_taps(up, down, "float64")
    k = phases.shape[1]
    h = np.zeros((2 * k + 1) * up)  # the prototype filter, centred at k * up
    for p in range(up):
        for j in range(k):
            h[k * up + p + (reach - j) * up] = phases[p, j]
    pad = (k // down + 1) * down
    wide = signal.resample_poly(
        extended(x, pad), up, down, axis=-1, window=h[: 2 * k * up + 1] / up
    )
    first = pad * up // down
    return wide[..., first : first + ceil(x.shape[-1] * up / down)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("a", "b"), list(permutations(RATES, 2)))
def test_fir_is_scipys_resample_poly_with_the_same_taps(a, b, dtype):
    x = np.random.default_rng(a + b).normal(size=(2, 700)).astype(dtype)
    got = ek.signal.resample(x, a, b)
    assert got.dtype == x.dtype
    np.testing.assert_allclose(got, fir_oracle(x, a, b), atol=TOL[dtype] * abs(x).max())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("a", "b"), [(500, 100), (100, 500), (360, 250), (257, 250), (3, 1)])
@pytest.mark.parametrize("t", [1, 2, 3, 17, 129, 1000, 20011])
def test_every_instruction_set_and_length_gives_the_filter(isa, a, b, t, dtype):
    x = np.random.default_rng(t).normal(size=t).astype(dtype)
    np.testing.assert_allclose(
        ek.signal.resample(x, a, b), fir_oracle(x, a, b), atol=TOL[dtype] * abs(x).max()
    )


@pytest.mark.parametrize(("a", "b"), [(500, 100), (100, 500), (360, 250), (250, 257)])
def test_the_filter_is_flat_to_85_percent_and_80_db_down_from_nyquist_on(a, b):
    up, down = ratio(a, b)
    phases, reach = fir_taps(up, down, "float64")
    j, p = np.meshgrid(np.arange(phases.shape[1]), np.arange(up))
    u = p + (reach - j) * up
    f = np.concatenate([np.linspace(0, 0.85, 91), np.linspace(1, 3, 301)]) / max(up, down) / 2
    gain = np.abs(np.exp(-2j * np.pi * f[:, None] * u.ravel()) @ phases.ravel()) / up
    db = 20 * np.log10(gain)
    assert np.abs(db[:91]).max() < 1e-3
    assert db[91:].max() < -80


@pytest.mark.parametrize("method", ["fir", "linear", "fft"])
@given(
    value=st.floats(-1e3, 1e3, width=32),
    t=st.integers(1, 400),
    rates=st.tuples(st.sampled_from(RATES), st.sampled_from(RATES)),
)
@settings(max_examples=60, deadline=None)
def test_a_constant_stays_and_the_length_is_the_ceiling(method, value, t, rates):
    got = ek.signal.resample(np.full(t, value), *rates, method=method)
    assert got.shape == (ceil(t * rates[1] / rates[0]),)
    np.testing.assert_allclose(got, value, rtol=1e-12)


@given(t=st.integers(1, 300), a=st.integers(1, 1000), b=st.integers(1, 1000))
@settings(max_examples=60, deadline=None)
def test_linear_is_numpys_interp(t, a, b):
    x = np.random.default_rng(t).normal(size=t)
    got = ek.signal.resample(x, a, b, method="linear")
    want = np.interp(np.arange(len(got)) * (a / b), np.arange(t), x)
    np.testing.assert_allclose(got, want, atol=1e-11)


def test_a_sine_comes_out_at_the_new_instants():
    def sine(fs):
        return np.sin(2 * np.pi * 7.3 * np.arange(int(10 * fs)) / fs)

    for a, b in [(500, 100), (128, 360), (257, 1000)]:
        inner = slice(b, -b)
        got = ek.signal.resample(sine(a), a, b)
        np.testing.assert_allclose(got[inner], sine(b)[inner], atol=1e-4)


@pytest.mark.parametrize("method", ["fir", "linear", "fft"])
def test_equal_rates_copy(method):
    x = np.random.default_rng(0).normal(size=(2, 50)).astype(np.float32)
    got = ek.signal.resample(x, 360.0, 360, method=method)
    assert np.array_equal(got, x)
    assert not np.shares_memory(got, x)


def test_a_quotient_of_whole_numbers_is_found_exactly():
    assert ratio(1000 / 3, 250) == (3, 4)
    assert ratio(249.99, 500) == (50000, 24999)
    for a, b in permutations(RATES, 2):
        up, down = ratio(a, b)
        assert a * up == b * down


@pytest.mark.parametrize("method", ["fir", "linear"])
def test_nan_stays_near_and_in_its_row(isa, method):
    x = np.random.default_rng(0).normal(size=(2, 5000)).astype(np.float32)
    x[1, 2500] = np.nan
    got = ek.signal.resample(x, 500, 100, method=method)
    assert np.isfinite(got[0]).all()
    bad = np.flatnonzero(np.isnan(got[1]))
    assert bad.size > 0
    assert abs(bad - 500).max() <= 52


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("a", "b"), list(permutations(RATES, 2)))
def test_fft_is_scipys_resample_where_whole_periods_are_given(a, b, dtype):
    up, down = ratio(a, b)
    for turns in (3, 4):
        x = np.random.default_rng(turns).normal(size=(2, turns * down)).astype(dtype)
        got = ek.signal.resample(x, a, b, method="fft")
        want = signal.resample(x.astype(np.float64), turns * up, axis=-1)
        np.testing.assert_allclose(got, want, atol=1e-6 if dtype == "float32" else 1e-12)


def test_fft_completes_the_period_with_a_straight_line():
    x = np.random.default_rng(0).normal(size=103)
    x[60] = x[-1] + 1
    got = ek.signal.resample(x, 360, 250, method="fft")  # 25/36: 108 samples make three periods
    whole = np.concatenate([x, np.linspace(x[-1], x[0], 7)[1:-1]])
    np.testing.assert_allclose(got, signal.resample(whole, 75)[:72], atol=1e-12)


def test_fft_lets_a_nan_spoil_its_row_alone():
    x = np.zeros((2, 100))
    x[1, 50] = np.nan
    got = ek.signal.resample(x, 100, 250, method="fft")
    assert (got[0] == 0).all()
    assert np.isnan(got[1]).all()


def test_any_dtype_stride_and_batch_axis_gives_the_same_bits(isa):
    x = np.arange(2 * 3 * 80, dtype=np.int16).reshape(2, 3, 80)
    want = ek.signal.resample(np.ascontiguousarray(x[..., ::-2]).astype(np.float32), 250, 360)
    assert np.array_equal(ek.signal.resample(x[..., ::-2], 250, 360), want)
    assert np.array_equal(ek.signal.resample(x[1, 2, ::-2], 250, 360), want[1, 2])
    assert ek.signal.resample(np.zeros((0, 3, 80)), 250, 360).shape == (0, 3, 116)


@pytest.mark.parametrize("method", ["fir", "linear", "fft"])
def test_out_is_filled_and_checked(method):
    x = np.random.default_rng(0).normal(size=(2, 100)).astype(np.float32)
    out = np.empty((2, 200), np.float32)
    assert ek.signal.resample(x, 100, 200, method=method, out=out) is out
    assert np.array_equal(out, ek.signal.resample(x, 100, 200, method=method))
    with pytest.raises(ValueError, match="out must be"):
        ek.signal.resample(x, 100, 200, method=method, out=np.empty((2, 201), np.float32))
    with pytest.raises(ValueError, match="shares memory"):
        ek.signal.resample(x, 100, 100, method=method, out=x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("method", ["fir", "linear", "fft"])
def test_same_bits_for_any_thread_count(isa, method, dtype):
    x = np.random.default_rng(0).normal(size=(3, 200_000)).astype(dtype)
    one = ek.signal.resample(x, 360, 250, method=method, threads=1)
    assert np.array_equal(one, ek.signal.resample(x, 360, 250, method=method, threads=2))
    assert np.array_equal(one[1], ek.signal.resample(x[1], 360, 250, method=method, threads=2))


@pytest.mark.parametrize(
    ("args", "error", "match"),
    [
        ((np.zeros(3), 0, 100), ek.RateError, "fs_in"),
        ((np.zeros(3), 100, float("nan")), ek.RateError, "fs_out"),
        ((np.zeros(3), None, 100), ek.RateError, "fs_in"),
        ((np.zeros(3), np.pi, 100), ek.RateError, "linear"),
        ((np.zeros((2, 0)), 100, 200), ek.LayoutError, "samples"),
        ((np.zeros(3, complex), 100, 200), TypeError, "real"),
        ((1.0, 100, 200), ValueError, "dimensions"),
    ],
)
def test_bad_input_is_named(args, error, match):
    with pytest.raises(error, match=match):
        ek.signal.resample(*args)


def test_an_unknown_method_is_named():
    with pytest.raises(ValueError, match="cubic"):
        ek.signal.resample(np.zeros(5), 100, 200, method="cubic")
