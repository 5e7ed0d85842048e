"""filtfilt, sosfiltfilt, Record.filter: against SciPy in double."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

import ecgkit as ek

TF = {
    "notch": signal.iirnotch(50, 30, fs=500),
    "band of ECGFounder": signal.butter(4, [0.67, 40], "bandpass", fs=500),
    "high": signal.butter(2, 0.5, "highpass", fs=500),
    "order 5": signal.butter(5, 40, fs=500),
    "order 12": signal.butter(6, [5, 20], "bandpass", fs=500),
    "moving average": (np.ones(7) / 7, [1.0]),
    "b longer than a": ([0.2, 0.3, 0.1, -0.1], [2.0, -0.8]),
    "a longer than b": ([0.5], [1.0, -0.6, 0.1]),
}
SOS = {
    order: signal.butter(order, [0.5, 40], "bandpass", fs=500, output="sos")
    for order in (1, 2, 3, 4, 5, 7, 9)
} | {"low 3": signal.butter(3, 30, fs=500, output="sos")}


def wander(*shape):
    """Noise with a drift: the start-up state matters."""
    return np.random.default_rng(0).normal(size=shape).cumsum(axis=-1)


@pytest.mark.parametrize("name", TF)
def test_filtfilt_has_scipys_digits(isa, name):
    b, a = TF[name]
    x = wander(13, 1000)
    want = signal.filtfilt(b, a, x, axis=-1)
    np.testing.assert_allclose(ek.signal.filtfilt(b, a, x), want, atol=1e-10 * abs(want).max())


@pytest.mark.parametrize("name", SOS)
def test_sosfiltfilt_has_scipys_digits(isa, name):
    x = wander(13, 1000)
    want = signal.sosfiltfilt(SOS[name], x, axis=-1)
    got = ek.signal.sosfiltfilt(SOS[name], x)
    np.testing.assert_allclose(got, want, atol=1e-10 * abs(want).max())


@given(
    rows=st.integers(0, 10),
    t=st.integers(28, 300),
    order=st.integers(1, 4),
    edge=st.floats(0.01, 0.9),
    kind=st.sampled_from(["lowpass", "highpass"]),
)
@settings(max_examples=60, deadline=None)
def test_any_design_and_shape_agrees(rows, t, order, edge, kind):
    x = np.random.default_rng(t).normal(size=(rows, t))
    sos = signal.butter(order, edge, kind, output="sos")
    got = ek.signal.sosfiltfilt(sos, x)
    assert got.shape == x.shape
    if rows:
        want = signal.sosfiltfilt(sos, x, axis=-1)
        np.testing.assert_allclose(got, want, atol=1e-9 * max(1, abs(want).max()))


def test_the_chain_of_ecgfounder_reaches_its_golden_values(isa):
    t = np.arange(5000) / 500
    x = np.sin(2 * np.pi * 1.2 * t) + 0.3 * np.sin(2 * np.pi * 50 * t)
    x += 0.5 * np.sin(2 * np.pi * 0.1 * t) + 0.1 * np.cos(2 * np.pi * 13 * t)
    y = ek.signal.filtfilt(*TF["band of ECGFounder"], ek.signal.filtfilt(*TF["notch"], x))
    y -= ek.signal.median_filter(y, 201)
    # 5e-6: SciPy 1.10, which made the golden values, and later SciPy differ by 1.6e-6 here.
    assert y[0] == pytest.approx(-0.1041466387784922, abs=5e-6)
    assert y[4999] == pytest.approx(-0.02272511179760279, abs=5e-6)
    assert y.std() == pytest.approx(0.15605688252487437, abs=1e-7)


def test_float32_is_computed_in_double_and_rounded_once(isa):
    b, a = TF["band of ECGFounder"]
    x = wander(3, 1000).astype(np.float32)
    want = signal.filtfilt(b, a, x.astype(np.float64), axis=-1).astype(np.float32)
    got = ek.signal.filtfilt(b, a, x)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=2e-7, atol=1e-9)


def test_any_dtype_stride_and_batch_axis_gives_the_same_bits(isa):
    x = np.arange(2 * 3 * 200, dtype=np.int16).reshape(2, 3, 200) % 37
    plain = np.ascontiguousarray(x[..., ::-2]).astype(np.float32)
    want = ek.signal.sosfiltfilt(SOS[2], plain)
    assert np.array_equal(ek.signal.sosfiltfilt(SOS[2], x[..., ::-2]), want)
    assert np.array_equal(ek.signal.sosfiltfilt(SOS[2], plain[1, 2]), want[1, 2])


def test_nan_spoils_its_row_alone(isa):
    x = wander(6, 200)
    clean = ek.signal.sosfiltfilt(SOS[2], x)
    x[2, 100] = np.nan
    got = ek.signal.sosfiltfilt(SOS[2], x)
    assert np.isnan(got[2]).all()
    keep = [0, 1, 3, 4, 5]
    assert np.array_equal(got[keep], clean[keep])


def test_out_may_be_the_input():
    x = wander(5, 300)
    want = ek.signal.sosfiltfilt(SOS[2], x)
    assert ek.signal.sosfiltfilt(SOS[2], x, out=x) is x
    assert np.array_equal(x, want)
    with pytest.raises(ValueError, match="out must be"):
        ek.signal.sosfiltfilt(SOS[2], x, out=np.empty((5, 300), np.float32))


def test_same_bits_for_any_thread_count(isa):
    x = wander(50, 1000)
    one = ek.signal.filtfilt(*TF["notch"], x, threads=1)
    assert np.array_equal(one, ek.signal.filtfilt(*TF["notch"], x, threads=2))


@pytest.mark.parametrize(
    ("b", "a", "match"),
    [
        ([1], [1, -1], "unstable"),
        ([1], [1, -2.5, 1.2], "unstable"),
        ([1], [0, 1], "leading zeros"),
        ([np.nan], [1], "finite"),
        ([[1]], [1], "lists"),
        ([], [1], "lists"),
    ],
)
def test_bad_coefficients_are_named(b, a, match):
    with pytest.raises(ValueError, match=match):
        ek.signal.filtfilt(b, a, np.zeros(100))


@pytest.mark.parametrize(
    ("sos", "match"),
    [
        (np.ones(6), "sections, 6"),
        (np.array([[1, 0, 0, 2, 0, 0.5]]), "a0"),
        (np.array([[1, 0, 0, 1, 0, 1.5]]), "unstable"),
        (np.array([[1, 0, 0, 1, np.inf, 0]]), "finite"),
    ],
)
def test_bad_sections_are_named(sos, match):
    with pytest.raises(ValueError, match=match):
        ek.signal.sosfiltfilt(sos, np.zeros(100))


def test_too_short_a_signal_is_named():
    with pytest.raises(ek.LayoutError, match="more than 27"):
        ek.signal.filtfilt(*TF["band of ECGFounder"], np.zeros(27))
    with pytest.raises(ek.LayoutError, match="0 samples"):
        ek.signal.sosfiltfilt(SOS[2], np.zeros((2, 0)))


def test_a_record_is_filtered_by_named_arguments():
    rec = ek.synth.ecg(10, 500, noise=0.05)
    t = np.arange(5000) / 500
    x = rec.signal + 0.2 * np.sin(2 * np.pi * 50 * t) + np.sin(2 * np.pi * 0.1 * t)
    dirty = ek.Record(x, 500, rec.leads)
    got = dirty.filter(bandpass=(0.67, 40), notch=50)
    want = signal.sosfiltfilt(
        signal.butter(4, [0.67, 40], "bandpass", fs=500, output="sos"),
        signal.filtfilt(*TF["notch"], dirty.signal.astype(np.float64)),
    )
    np.testing.assert_allclose(got.signal, want, atol=2e-5)
    assert got.leads == rec.leads
    assert got.quality().mains.max() < 0.001
    assert abs(dirty.filter(baseline=True)["I"].mean()) < 0.1
    assert dirty.filter(highpass=0.5).quality().wander.max() < 0.2
    assert dirty.filter(lowpass=20, notch=[50, 100]).n_samples == 5000


@pytest.mark.parametrize(
    ("kw", "match"),
    [
        ({}, "nothing to do"),
        ({"bandpass": (0.5, 300)}, "between 0 and 250"),
        ({"bandpass": (40, 0.5)}, "low < high"),
        ({"notch": 0}, "notch"),
        ({"bandpass": (1, 40), "lowpass": 3}, "not both"),
    ],
)
def test_bad_filters_of_a_record_are_named(kw, match):
    with pytest.raises(ValueError, match=match):
        ek.synth.ecg(2).filter(**kw)


@pytest.mark.parametrize("rows", [1, 4, 5, 8, 12, 13])
def test_filters_in_turn_keep_float64_in_between(isa, rows):
    from ecgkit.signal._filter import filtfilt_in_turn

    x = wander(rows, 700)
    want = ek.signal.filtfilt(*TF["band of ECGFounder"], ek.signal.filtfilt(*TF["notch"], x))
    both = [TF["notch"], TF["band of ECGFounder"]]
    np.testing.assert_array_equal(filtfilt_in_turn(both, x), want)
    single = x.astype(np.float32)
    want = filtfilt_in_turn(both, single.astype(np.float64)).astype(np.float32)
    np.testing.assert_array_equal(filtfilt_in_turn(both, single), want)
