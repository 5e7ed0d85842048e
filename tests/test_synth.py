"""synth.ecg: a plausible ECG, the same for the same arguments."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ecgkit as ek
from ecgkit.record import STANDARD_LEADS


def test_the_default_is_twelve_leads_of_ten_seconds_without_quality_flags():
    rec = ek.synth.ecg()
    assert rec.signal.shape == (12, 5000)
    assert rec.leads == STANDARD_LEADS
    assert rec.fs == 500
    assert rec.labels["rhythm"] == "sinus"
    assert rec.quality().ok
    assert 0.5 < np.ptp(rec["II"]) < 3


@given(
    duration=st.floats(3, 30),
    fs=st.sampled_from([100, 250, 360, 500, 1000]),
    heart_rate=st.floats(30, 180),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=25, deadline=None)
def test_the_beats_are_where_the_record_says(duration, fs, heart_rate, seed):
    rec = ek.synth.ecg(duration, fs, heart_rate, noise=0.01, seed=seed)
    assert rec.n_samples == round(duration * fs)
    truth = np.array(rec.meta["r_times"])
    inside = truth[(truth > 0.2) & (truth < rec.duration - 0.2)]
    found = rec.beats().time
    nearest = abs(found - inside[:, None]).min(axis=1, initial=9)
    assert (nearest < 0.025).all()
    assert len(truth) / duration * 60 == pytest.approx(heart_rate, abs=60 / duration + 5)


def test_the_mean_rate_and_the_variability_are_those_asked_for():
    rec = ek.synth.ecg(600, 100, 75, hrv=0.05)
    rr = np.diff(rec.meta["r_times"])
    assert 60 / rr.mean() == pytest.approx(75, rel=0.02)
    assert rr.std() / rr.mean() == pytest.approx(0.05, rel=0.2)


def test_limb_leads_obey_einthoven_and_goldberger():
    rec = ek.synth.ecg(noise=0.1, seed=3)
    i, ii = rec["I"], rec["II"]
    np.testing.assert_allclose(rec["III"], ii - i, atol=1e-6)
    np.testing.assert_allclose(rec["aVR"], -(i + ii) / 2, atol=1e-6)
    np.testing.assert_allclose(rec["aVL"], i - ii / 2, atol=1e-6)
    np.testing.assert_allclose(rec["aVF"], ii - i / 2, atol=1e-6)


def test_same_seed_same_samples_and_leads_in_the_order_asked_for():
    a, b = ek.synth.ecg(noise=0.05, seed=1), ek.synth.ecg(noise=0.05, seed=1)
    assert np.array_equal(a.signal, b.signal)
    assert not np.array_equal(a.signal, ek.synth.ecg(noise=0.05, seed=2).signal)
    two = ek.synth.ecg(noise=0.05, seed=1, leads=["v2", "AVR"])
    assert two.leads == ("V2", "aVR")
    assert np.array_equal(two["V2"], a["V2"])


def test_noise_has_the_asked_size():
    clean, noisy = ek.synth.ecg(60, seed=4), ek.synth.ecg(60, seed=4, noise=0.2)
    rms = np.sqrt(((noisy["V2"] - clean["V2"]) ** 2).mean())
    assert rms == pytest.approx(0.2, rel=0.05)


def test_fibrillation_is_irregular_and_has_no_p_wave():
    rec = ek.synth.ecg(120, 250, 90, rhythm="af")
    truth = np.array(rec.meta["r_times"])
    rr = np.diff(truth)
    assert rr.std() / rr.mean() == pytest.approx(0.2, rel=0.25)
    sinus = ek.synth.ecg(120, 250, 90)
    p_window = np.arange(-50, -25)

    def mean_p(r):
        at = (np.array(r.meta["r_times"])[2:-2] * 250).round().astype(int)
        return np.ptp(r["II"][at[:, None] + p_window].mean(axis=0))

    assert mean_p(rec) < 0.3 * mean_p(sinus)


@pytest.mark.parametrize(
    ("kw", "error", "match"),
    [
        ({"leads": ["II", "X1"]}, ek.LeadError, "X1"),
        ({"fs": 0}, ek.RateError, "positive"),
        ({"duration": 0}, ek.LayoutError, "no sample"),
        ({"duration": -1}, ValueError, "duration"),
        ({"heart_rate": 500}, ValueError, "20 to 250"),
        ({"heart_rate": float("nan")}, ValueError, "heart_rate"),
        ({"noise": -1}, ValueError, "noise"),
        ({"hrv": 1}, ValueError, "hrv"),
        ({"rhythm": "vt"}, ValueError, "'sinus' or 'af'"),
        ({"leads": ["II", "ii"]}, ek.LeadError, "more than once"),
    ],
)
def test_bad_arguments_are_named(kw, error, match):
    with pytest.raises(error, match=match):
        ek.synth.ecg(**kw)


@pytest.mark.parametrize("duration", [0.002, 0.1, 1])
def test_short_records_work(duration):
    assert ek.synth.ecg(duration, rhythm="af").n_samples == round(duration * 500)
