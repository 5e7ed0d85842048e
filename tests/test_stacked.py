"""Stacked scalograms: the whole chain against a NumPy witness in float64."""

import numpy as np
import pytest
import wavelet_oracle as oracle

import ecgkit as ek
from ecgkit.errors import LayoutError

FREQS = np.geomspace(1, 40, 16)
TOL = 1e-5  # of the result's range: float32 against float64


def ecg_like(n, t, seed=0):
    """Steps and drift: most energy at low frequencies, as an ECG has."""
    x = np.random.default_rng(seed).normal(size=(n, t)).cumsum(axis=1)
    x -= x.mean(axis=1, keepdims=True)
    return (x / x.std(axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"width": 100},
        {"width": 37, "power": True},
        {"window": 2.5, "width": 128},
        {"cwt_first": True},
        {"pad": "zero", "w0": 5.0},
        {"pad": "periodic"},
        {"scale": "lead"},
        {"scale": None},
        {"scale": None, "power": True, "cwt_first": True},
        {"image": (96, 80)},
        {"image": (8, 8), "width": 100},
        {"image": (56, 60), "scale": "lead", "cwt_first": True},
    ],
    ids=str,
)
def test_agrees_with_numpy_in_double(isa, kwargs):
    x = ecg_like(3, 1030)
    want = oracle.stacked(x, 100, FREQS, **kwargs)
    got = ek.wavelet.stacked_scalogram(x, fs=100, freqs=FREQS, **kwargs)
    assert got.dtype == np.float32
    assert got.shape == want.shape
    assert abs(got - want).max() < TOL * max(1, abs(want).max())


def test_agrees_with_numpy_at_500_hz_with_the_default_frequencies(isa):
    x = ecg_like(2, 1500)
    want = oracle.stacked(x, 500, np.geomspace(1, 100, 64))
    got = ek.wavelet.stacked_scalogram(x, fs=500)
    assert got.shape == (3, 128, 64)
    assert abs(got - want).max() < TOL


def test_jet_takes_its_colours_from_the_table(isa):
    x = ecg_like(2, 200)
    want = oracle.stacked(x, 100, FREQS, image=(40, 40), colormap="jet")
    got = ek.wavelet.stacked_scalogram(x, fs=100, freqs=FREQS, image=(40, 40), colormap="jet")
    step = 4 / 255 / 0.224  # where the grey value sits on a border of two entries
    assert abs(got - want).max() < step + TOL
    assert np.mean(abs(got - want) > TOL) < 1e-3


def test_a_record_alone_and_in_a_batch_has_the_same_bits(isa):
    x = ecg_like(12, 1000).reshape(3, 4, 1000)
    batch = ek.wavelet.stacked_scalogram(x, fs=100, freqs=FREQS)
    assert batch.shape == (3, 10, 64, 64)
    for i in range(3):
        assert np.array_equal(ek.wavelet.stacked_scalogram(x[i], fs=100, freqs=FREQS), batch[i])


@pytest.mark.parametrize("kwargs", [{}, {"cwt_first": True}, {"image": (32, 32)}])
def test_out_and_threads_do_not_change_a_bit(isa, kwargs):
    x = ecg_like(36, 1000).reshape(3, 12, 1000)
    want = ek.wavelet.stacked_scalogram(x, fs=100, freqs=FREQS, threads=1, **kwargs)
    out = np.empty_like(want)
    got = ek.wavelet.stacked_scalogram(x, fs=100, freqs=FREQS, threads=2, out=out, **kwargs)
    assert got is out
    assert np.array_equal(out, want)


def test_pictures_span_zero_to_one_with_the_highest_frequency_on_top():
    t = np.arange(1000) / 100
    x = np.stack([np.cos(2 * np.pi * FREQS[-3] * t), 0.5 * np.cos(2 * np.pi * FREQS[6] * t)])
    got = ek.wavelet.stacked_scalogram(x, fs=100, freqs=FREQS)
    assert got.min() == 0
    assert got.max() == 1
    assert (got[:, :16, 32].argmax(axis=1) == 2).all()
    assert (got[:, 16:, 32].argmax(axis=1) == 9).all()


def test_flat_leads_give_zeros():
    assert (ek.wavelet.stacked_scalogram(np.zeros((2, 300)), fs=100, scale="lead") == 0).all()
    assert (ek.wavelet.stacked_scalogram(np.zeros((2, 300)), fs=100) == 0).all()


def test_what_is_not_finite_spoils_what_it_touches_only(isa):
    x = ecg_like(3, 400)
    free = ek.wavelet.stacked_scalogram(x, fs=100, freqs=FREQS, scale="lead")
    whole = ek.wavelet.stacked_scalogram(x, fs=100, freqs=FREQS)
    x[1, 250] = np.nan
    free[2, 16:32] = np.nan
    whole[2] = np.nan
    got = ek.wavelet.stacked_scalogram(x, fs=100, freqs=FREQS, scale="lead")
    assert np.array_equal(got, free, equal_nan=True)
    got = ek.wavelet.stacked_scalogram(x, fs=100, freqs=FREQS)
    assert np.array_equal(got, whole, equal_nan=True)


def test_strides_and_dtypes():
    x = (ecg_like(4, 800) * 500).astype(np.int16)
    want = ek.wavelet.stacked_scalogram(x[::-1, ::2].astype(np.float32).copy(), fs=100)
    assert np.array_equal(ek.wavelet.stacked_scalogram(x[::-1, ::2], fs=100), want)


def test_empty_batch():
    assert ek.wavelet.stacked_scalogram(np.zeros((0, 12, 1000)), fs=100).shape == (0, 10, 768, 64)


@pytest.mark.parametrize(
    ("kwargs", "kind", "message"),
    [
        ({"window": 11}, LayoutError, "window has 1100 samples but x only 1000"),
        ({"window": 0}, ValueError, "window must be at least one sample"),
        ({"scale": "max"}, ValueError, "scale must be 'minmax', 'lead' or None"),
        ({"colormap": "jet"}, ValueError, "colormap needs image"),
        ({"colormap": "hot", "image": (8, 8)}, ValueError, "colormap must be one of jet"),
        ({"image": (0, 8)}, ValueError, "image height must be at least 1"),
        ({"width": 0}, ValueError, "width must be at least 1"),
        ({"x": np.zeros(1000)}, ValueError, "x must have 2 to 3 dimensions"),
        ({"out": np.zeros((10, 32, 64))}, ValueError, "out must be"),
    ],
)
def test_wrong_arguments_are_named(kwargs, kind, message):
    good = {"x": np.zeros((2, 1000)), "fs": 100, "freqs": FREQS}
    with pytest.raises(kind, match=message):
        ek.wavelet.stacked_scalogram(**{**good, **kwargs})
