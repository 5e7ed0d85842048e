"""Wavelet transform and scalogram: the definition, golden values, independent witnesses."""

import numpy as np
import pytest
import wavelet_oracle as oracle
from hypothesis import given, settings
from hypothesis import strategies as st

import ecgkit as ek
from ecgkit.errors import LayoutError, RateError

FREQS = np.geomspace(1, 40, 12)
TOL_F32 = 2e-6  # of the largest coefficient: a few roundings of float32 transforms
TOL_F64 = 1e-13
PADS = ["reflect", "zero", "periodic"]


def error(got, want):
    return abs(got - want).max() / max(abs(want).max(), 1e-300)


@pytest.mark.parametrize("pad", PADS)
@pytest.mark.parametrize("t", [1, 2, 3, 7, 50, 100, 501, 1000, 2500])
def test_agrees_with_the_definition(isa, t, pad):
    x = np.random.default_rng(t).normal(size=(3, t))
    want = oracle.cwt(x, 100, FREQS, pad=pad)
    double = ek.wavelet.cwt(x, fs=100, freqs=FREQS, pad=pad)
    assert double.dtype == np.complex128
    assert error(double, want) < TOL_F64
    single = ek.wavelet.cwt(x.astype(np.float32), fs=100, freqs=FREQS, pad=pad)
    assert single.dtype == np.complex64
    assert error(single, want) < TOL_F32


@given(
    seed=st.integers(0, 99),
    t=st.integers(1, 300),
    pad=st.sampled_from(PADS),
    w0=st.floats(2, 12),
    top=st.floats(5, 180),
    double=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_agrees_with_the_definition_for_any_parameters(seed, t, pad, w0, top, double):
    x = np.random.default_rng(seed).normal(size=t).astype(np.float64 if double else np.float32)
    f = np.geomspace(top / 50, top, 7)
    got = ek.wavelet.cwt(x, fs=360, freqs=f, w0=w0, pad=pad)
    want = oracle.cwt(x, 360, f, w0, pad)
    scale = max(abs(want).max(), abs(x).max())
    assert abs(got - want).max() < scale * (TOL_F64 if double else TOL_F32)


def test_a_unit_cosine_on_a_grid_frequency_has_magnitude_one():
    f = np.geomspace(1, 100, 64)
    t = np.arange(500) / 500
    for j in np.flatnonzero(f >= 8):
        m = abs(ek.wavelet.cwt(np.cos(2 * np.pi * f[j] * t), fs=500, freqs=f))[:, 200:300]
        assert (m.argmax(axis=0) == j).all()
        np.testing.assert_allclose(m[j], 1, atol=1e-3)


def test_a_constant_gives_zero(isa):
    x = np.full(500, 3.0)
    assert abs(ek.wavelet.cwt(x, fs=500, freqs=FREQS)).max() < 1e-13
    assert abs(ek.wavelet.cwt(x.astype(np.float32), fs=500, freqs=FREQS)).max() < 2e-6


def test_linear(isa):
    a, b = np.random.default_rng(0).normal(size=(2, 400))
    ya, yb, y = (ek.wavelet.cwt(v, fs=200, freqs=FREQS) for v in (a, b, 2 * a - 3 * b))
    assert error(y, 2 * ya - 3 * yb) < TOL_F64


def test_equals_direct_convolution_in_the_interior():
    """y(t) = sum of x(t - u) h(u), h the sampled wavelet: O(N^2), no transform anywhere."""
    fs, n = 500, 1500
    x = np.random.default_rng(1).normal(size=n)
    freqs = np.geomspace(12, 80, 6)
    y = ek.wavelet.cwt(x, fs=fs, freqs=freqs, w0=8.0)
    for f, row in zip(freqs, y):
        s = 8.0 * fs / (2 * np.pi * f)
        half = int(9 * s)
        u = np.arange(-half, half + 1) / s
        h = 2 / (s * np.sqrt(2 * np.pi)) * np.exp(8j * u - 0.5 * u**2)
        inside = slice(half, n - half)
        want = np.convolve(x, h, "same")[inside]
        assert error(row[inside], want) < 1e-6


def test_equals_convolution_with_the_cmor_wavelet_of_pywavelets():
    """cmorB-C with B = 2 and C = w0/(2 pi), sampled by PyWavelets itself, times 2/s."""
    pywt = pytest.importorskip("pywt")
    fs, n, w0 = 500, 3000, 8.0
    x = np.random.default_rng(2).normal(size=n)
    s = np.array([64, 32, 16, 8])
    freqs = w0 * fs / (2 * np.pi * s)
    wavelet = pywt.ContinuousWavelet(f"cmor2.0-{w0 / (2 * np.pi):.17f}")
    wavelet.lower_bound, wavelet.upper_bound = -9, 9
    for scale, row in zip(s, ek.wavelet.cwt(x, fs=fs, freqs=freqs, w0=w0)):
        half = 9 * scale
        h, _ = wavelet.wavefun(length=2 * half + 1)
        inside = slice(half, n - half)
        assert error(row[inside], np.convolve(x, 2 / scale * h, "same")[inside]) < 1e-6


@pytest.mark.parametrize("width", [1, 2, 7, 64, 99, 100, 150, 333])
@pytest.mark.parametrize("power", [False, True])
def test_scalogram_is_the_resized_magnitude(isa, width, power):
    x = np.random.default_rng(width).normal(size=(2, 3, 100))
    m = abs(oracle.cwt(x, 100, FREQS))
    want = oracle.resized(m**2 if power else m, width)
    got = ek.wavelet.scalogram(x, fs=100, freqs=FREQS, width=width, power=power)
    assert got.dtype == np.float64
    assert error(got, want) < TOL_F64
    single = ek.wavelet.scalogram(
        x.astype(np.float32), fs=100, freqs=FREQS, width=width, power=power
    )
    assert single.dtype == np.float32
    assert error(single, want) < 2 * TOL_F32


@pytest.mark.parametrize("pad", PADS)
def test_short_transforms_agree_with_the_definition_for_long_signals(isa, pad):
    """Twenty leads fill more than one group of lanes; rows from 9 bins to half the spectrum."""
    x = np.random.default_rng(0).normal(size=(20, 1200)).cumsum(axis=1).astype(np.float32)
    x -= x.mean(axis=1, keepdims=True)
    x[7, 3] = np.nan
    f = np.geomspace(0.4, 120, 24)
    good = np.arange(20) != 7
    want = oracle.resized(abs(oracle.cwt(x[good], 250, f, pad=pad)), 200)
    got = ek.wavelet.scalogram(x, fs=250, freqs=f, width=200, pad=pad)
    assert np.isnan(got[7]).all()
    assert error(got[good], want) < 2 * TOL_F32
    two = ek.wavelet.scalogram(x, fs=250, freqs=f, width=200, pad=pad, threads=2)
    assert np.array_equal(got, two, equal_nan=True)


@pytest.mark.parametrize("pad", PADS)
@pytest.mark.parametrize("t", [5000, 4999, 777])
def test_float32_follows_float64_where_rows_are_interpolated(isa, t, pad):
    x = np.random.default_rng(0).normal(size=(2, t)).cumsum(axis=1).astype(np.float32)
    x -= x.mean(axis=1, keepdims=True)
    f = np.geomspace(0.5, 249, 48)
    want = ek.wavelet.cwt(x.astype(np.float64), fs=500, freqs=f, pad=pad)
    assert error(ek.wavelet.cwt(x, fs=500, freqs=f, pad=pad), want) < TOL_F32
    assert error(ek.wavelet.scalogram(x, fs=500, freqs=f, pad=pad), abs(want)) < TOL_F32
    power = ek.wavelet.scalogram(x, fs=500, freqs=f, pad=pad, power=True)
    assert error(power, abs(want) ** 2) < 2 * TOL_F32


@pytest.mark.parametrize("f", [ek.wavelet.cwt, ek.wavelet.scalogram])
def test_batch_axes_strides_dtypes_and_empty(isa, f):
    x = np.random.default_rng(0).integers(-99, 99, (2, 3, 240)).astype(np.int16)
    want = f(np.ascontiguousarray(x[:, ::-1, ::2]).astype(np.float32), fs=100, freqs=FREQS)
    got = f(x[:, ::-1, ::2], fs=100, freqs=FREQS)
    assert got.shape == (2, 3, 12, 120)
    assert np.array_equal(got, want)
    assert np.array_equal(f(x[0, 0, ::2], fs=100, freqs=FREQS), want[0, 2])
    assert f(np.zeros((0, 50)), fs=100, freqs=FREQS).shape == (0, 12, 50)


@pytest.mark.parametrize("f", [ek.wavelet.cwt, ek.wavelet.scalogram])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_spoils_its_signal_only(isa, f, bad):
    x = np.random.default_rng(0).normal(size=(3, 100)).astype(np.float32)
    want = f(x, fs=100, freqs=FREQS)
    want[1] = np.nan
    x[1, 5] = bad
    got = f(x, fs=100, freqs=FREQS)
    assert np.isnan(got[1].real).all()
    assert np.array_equal(got[[0, 2]], want[[0, 2]])


@pytest.mark.parametrize("f", [ek.wavelet.cwt, ek.wavelet.scalogram])
def test_out_and_threads_do_not_change_a_bit(isa, f):
    x = np.random.default_rng(0).normal(size=(12, 1000)).astype(np.float32)
    want = f(x, fs=100, freqs=FREQS, threads=1)
    out = np.empty_like(want)
    assert f(x, fs=100, freqs=FREQS, out=out, threads=2) is out
    assert np.array_equal(out, want)
    with pytest.raises(ValueError, match="out must be"):
        f(x, fs=100, freqs=FREQS, out=out[:, :5])


@pytest.mark.parametrize("f", [ek.wavelet.cwt, ek.wavelet.scalogram, ek.wavelet.stacked_scalogram])
@pytest.mark.parametrize(
    ("kwargs", "kind", "message"),
    [
        ({"fs": 0}, RateError, "positive number, got 0"),
        ({"fs": None}, RateError, "positive number, got None"),
        ({"freqs": [10, 60]}, RateError, "up to 60 Hz, but fs=100 Hz"),
        ({"freqs": [10, 5]}, ValueError, "strictly increasing"),
        ({"freqs": [0, 5]}, ValueError, "positive"),
        ({"freqs": [np.nan]}, ValueError, "positive"),
        ({"freqs": []}, LayoutError, "non-empty"),
        ({"freqs": [[1, 2]]}, LayoutError, "non-empty"),
        ({"freqs": ["a"]}, TypeError, "real numbers"),
        ({"w0": 0.5}, ValueError, "w0"),
        ({"pad": "wrap"}, ValueError, "pad must be one of reflect, zero, periodic"),
        ({"x": np.zeros((2, 0))}, LayoutError, "samples"),
        ({"x": np.zeros((2, 100), complex)}, TypeError, "real numbers"),
        ({"x": 1.0}, ValueError, "dimensions"),
    ],
)
def test_wrong_arguments_are_named(f, kwargs, kind, message):
    good = {"x": np.zeros((2, 200)), "fs": 100, "freqs": FREQS}
    with pytest.raises(kind, match=message):
        f(**{**good, **kwargs})


def test_width_must_be_a_positive_integer():
    for width in (0, -3, 2.5):
        with pytest.raises((ValueError, TypeError), match="width"):
            ek.wavelet.scalogram(np.zeros(100), fs=100, freqs=FREQS, width=width)
