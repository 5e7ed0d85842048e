"""Median beats."""

import numpy as np
import pytest

import ecgkit as ek
from ecgkit import _core


@pytest.fixture(scope="module")
def record():
    return ek.synth.ecg(duration=30, heart_rate=75, noise=0.02, hrv=0.01, seed=2)


def test_the_median_is_numpys_whatever_the_gaps():
    x = np.random.default_rng(0).normal(size=(3, 900)).astype(np.float32)
    x[1, 100:140] = np.nan
    beats = np.array([5, 60, 130, 300, 895])
    got = _core.median_beat(x, beats, 20, 50)
    padded = np.pad(x, ((0, 0), (50, 50)), constant_values=np.nan)
    want = np.nanmedian([padded[:, b + 30 : b + 80] for b in beats], 0)
    assert np.array_equal(got, want.astype(np.float32))


def test_the_template_is_the_clean_beat(record):
    clean = ek.synth.ecg(duration=30, heart_rate=75, noise=0.0, hrv=0.01, seed=2)
    t = ek.signal.template(record)
    assert t.used.sum() >= len(t.used) - 2
    one = clean.signal[:, t.beats[10] - t.before : t.beats[10] - t.before + t.signal.shape[1]]
    assert np.abs(t.signal - one).max() < 0.1
    assert t.signal.dtype == np.float32
    assert t.time[t.before] == 0


def test_beats_that_differ_are_rejected_and_the_rest_kept(record):
    x = record.signal.copy()
    peaks = ek.signal.rpeaks(record)
    odd = peaks[[5, 12, 20]]
    for at in odd:
        x[:, at - 60 : at + 100] += np.hanning(160) * 3
    t = ek.signal.template(x, fs=500, rpeaks=peaks)
    assert not t.used[[5, 12, 20]].any()
    assert t.used.sum() >= len(peaks) - 5
    assert np.isin(t.beats[[5, 12, 20]], t.rejected).all()
    assert (t.similarity[t.used] >= t.threshold).all()


def test_misplaced_peaks_are_aligned(record):
    peaks = ek.signal.rpeaks(record)
    jitter = np.random.default_rng(0).integers(-6, 7, len(peaks))
    t = ek.signal.template(record, rpeaks=peaks + jitter)
    shift = (t.beats - peaks)[t.used]
    assert np.ptp(shift) <= 3


def test_two_kinds_of_beat_give_the_commoner_one():
    fs, at = 250, np.arange(100, 7400, 180)
    t = np.arange(7500)
    x = np.zeros(7500)
    for k, s in enumerate(at):
        sign = -1 if k % 5 in (1, 3) else 1
        x += sign * np.exp(-0.5 * ((t - s) / 4) ** 2)
    got = ek.signal.template(x, fs=fs, rpeaks=at)
    assert got.used.sum() == sum(k % 5 not in (1, 3) for k in range(len(at)))
    assert got.signal[0, got.before] == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("x", [np.zeros((2, 5000)), np.zeros((2, 0)), np.full(5000, np.nan)])
def test_without_beats_there_is_no_template(x):
    t = ek.signal.template(x, fs=500)
    assert np.isnan(t.signal).all()
    assert len(t.used) == 0
    assert "0 of 0" in repr(t)


def test_thread_count_does_not_change_a_bit(record):
    one, two = (ek.signal.template(record, threads=k) for k in (1, 2))
    assert np.array_equal(one.signal, two.signal)
    assert np.array_equal(one.similarity, two.similarity, equal_nan=True)


def test_the_table_shows_itself(record):
    t = ek.signal.template(record)
    assert list(t.to_frame().columns) == list(record.leads)
    assert "similarity" in t._repr_html_()
    with pytest.raises(AttributeError):
        t.fs = 1


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({}, ek.RateError, "pass fs="),
        ({"fs": 500, "window": (0, 0.4)}, ek.LayoutError, "positive times"),
        ({"fs": 500, "rpeaks": [9, 3]}, ek.LayoutError, "ascend"),
    ],
)
def test_bad_arguments_are_named(arguments, error, match):
    with pytest.raises(error, match=match):
        ek.signal.template(np.zeros(900), **arguments)
