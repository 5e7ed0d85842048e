"""quality: every kind of trouble raises its own number and no other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import ecgkit as ek
from ecgkit import Record
from ecgkit.signal._quality import THRESHOLDS

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


def clean(fs=500, duration=10.0):
    """Twelve leads with a plausible axis: R large in I, II, V4-V6, S in V1, V2."""
    t = np.arange(int(duration * fs)) / fs
    beat = np.zeros((3, t.size))  # P, QRS, T
    for at in np.arange(0.5, duration, 0.8):
        for k, (shift, width) in enumerate([(-0.16, 0.025), (0, 0.012), (0.28, 0.05)]):
            beat[k] += np.exp(-0.5 * ((t - at - shift) / width) ** 2)
    i, ii = np.array([0.08, 0.7, 0.2]), np.array([0.12, 1.0, 0.3])
    limb = [i, ii, ii - i, -(i + ii) / 2, i - ii / 2, ii - i / 2]
    chest = [(0.02, q, w) for q, w in [(-0.8, 0), (-1, 0.3), (-0.2, 0.4), (0.8, 0.4)]]
    chest += [(0.05, 1.2, 0.35), (0.05, 1.0, 0.3)]
    x = np.array([*limb, *chest]) @ beat
    return x + 0.003 * np.random.default_rng(0).normal(size=x.shape)


def flags(x, fs=500):
    return ek.signal.quality(Record(x, fs, LEADS)).flags


@pytest.mark.parametrize("fs", [100, 128, 250, 360, 500, 1000])
def test_a_clean_ecg_has_no_flags(isa, fs):
    q = ek.signal.quality(Record(clean(fs), fs, LEADS))
    assert q.ok
    assert q.flags == {}
    assert np.isnan(q.mains).all() == (fs <= 110)
    assert q.reversal < 0


def trouble(kind):
    x, fs = clean(), 500
    t = np.arange(x.shape[1]) / fs
    if kind == "missing":
        x[3, 100:110] = np.nan
    if kind == "flat":
        x[3, 1000:2500] = x[3, 1000]
    if kind == "saturated":
        x[3] = np.clip(x[3], -0.25, 1)
    if kind == "steps":
        x[3, 2600:] += 0.8
        x[3] -= 0.8 * (t > 8)
    if kind == "wander":
        x[3] += 0.7 * np.sin(2 * np.pi * 0.25 * t)
    if kind == "mains":
        x[3] += 0.05 * np.sin(2 * np.pi * 60 * t)
    if kind == "muscle":
        x[3] += 0.08 * np.random.default_rng(1).normal(size=t.size)
    return x


@pytest.mark.parametrize("kind", [k for k in THRESHOLDS if k != "reversal"])
def test_each_trouble_is_named_in_its_lead(isa, kind):
    found = flags(trouble(kind))
    assert found.pop(kind) == ("aVR",)
    assert set(found) <= ({"wander"} if kind == "steps" else set())


def test_numbers_have_their_units():
    q = ek.signal.quality(Record(trouble("mains"), 500, LEADS))
    assert q.mains[3] == pytest.approx(0.05, rel=0.05)
    q = ek.signal.quality(Record(trouble("missing"), 500, LEADS))
    assert q.missing[3] == pytest.approx(10 / 5000)
    q = ek.signal.quality(Record(trouble("wander"), 500, LEADS))
    assert q.wander[3] == pytest.approx(1.38, rel=0.05)
    q = ek.signal.quality(Record(trouble("flat"), 500, LEADS))
    assert q.flat[3] == pytest.approx(1500 / 5000, abs=0.01)
    q = ek.signal.quality(Record(trouble("steps"), 500, LEADS))
    assert q.steps[3] == 2


@pytest.mark.parametrize(
    ("kind", "recorded"),
    [
        ("RA-LA", [[-1, 0], [-1, 1]]),
        ("RA-LL", [[1, -1], [0, -1]]),
        ("RA-LA-LL", [[-1, 1], [-1, 0]]),
        ("RA-LL-LA", [[0, -1], [1, -1]]),
    ],
)
def test_exchanged_limb_electrodes_are_suspected(kind, recorded):
    x = clean()
    x[:2] = np.array(recorded) @ x[:2]
    q = ek.signal.quality(Record(x, 500, LEADS))
    assert q.flags["reversal"] == ("record",)
    assert kind in repr(q) or q.reversal_kind in ("RA-LA", "RA-LL-LA", "RA-LL", "RA-LA-LL")


def test_arrays_without_names_and_short_signals_are_judged_as_far_as_possible():
    q = ek.signal.quality(clean()[0], fs=500)
    assert q.leads == ("0",)
    assert np.isnan(q.reversal)
    q = ek.signal.quality(np.zeros((2, 3)), fs=500)
    assert np.isnan([q.wander, q.mains, q.muscle]).all()


@given(
    x=arrays(np.float32, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=400)),
    fs=st.floats(10, 4000),
)
@settings(max_examples=100, deadline=None)
def test_no_content_is_an_error(x, fs):
    x = x.T if x.shape[0] > x.shape[1] else x
    q = ek.signal.quality(x, fs=fs)
    for share in (q.missing, q.flat, q.saturated):
        assert ((share >= 0) & (share <= 1)).all()


def test_tables_and_html():
    q = Record(trouble("mains"), 500, LEADS).quality()
    frame = q.to_frame()
    assert frame.loc["aVR", "flags"] == "mains"
    assert frame.loc["I", "flags"] == ""
    assert "mains" in q._repr_html_()
    assert repr(q) == "<Quality of 12 leads: mains aVR>"


def test_same_numbers_for_any_thread_count(isa):
    x = trouble("muscle")
    one, two = (ek.signal.quality(x, fs=500, threads=n) for n in (1, 2))
    assert np.array_equal(one.muscle, two.muscle)
    assert np.array_equal(one.wander, two.wander)


@pytest.mark.parametrize(
    ("x", "fs", "error", "match"),
    [
        (np.zeros((2, 0)), 500, ek.LayoutError, "samples"),
        (np.zeros((2, 9)), None, ek.RateError, "pass fs="),
        (np.zeros((2, 9)), -1, ek.RateError, "positive"),
        (np.zeros((5000, 120)), 500, ek.LayoutError, "x.T"),
        (np.zeros(9, bool), 500, TypeError, "real"),
    ],
)
def test_bad_arguments_are_named(x, fs, error, match):
    with pytest.raises(error, match=match):
        ek.signal.quality(x, fs=fs)


def test_exchanged_arms_are_named_so_where_lead_I_resembles_II():
    rec = ek.sample()
    x = rec.signal.copy()
    x[:5] = [-rec["I"], rec["III"], rec["II"], rec["aVL"], rec["aVR"]]
    found = ek.Record(x, rec.fs, rec.leads).quality()
    assert found.reversal > 1
    assert found.reversal_kind == "RA-LA"
