"""Waves: against the NumPy transcription, on made and on annotated recordings, and bad input."""

from pathlib import Path

import delineate_oracle as oracle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import ecgkit as ek
from ecgkit import _core
from ecgkit.signal._delineate import _weights

BIN = 0.008
"""s: a float32 score that ties with another may move a bound by one score bin."""


@pytest.fixture(scope="module")
def record():
    return ek.synth.ecg(heart_rate=72, noise=0.01, seed=3)


@pytest.mark.parametrize("fs", [100, 128, 250, 360, 500, 1000])
def test_points_are_those_of_the_numpy_transcription(isa, record, fs):
    x = ek.signal.resample(record.signal, 500, fs)
    d = ek.signal.delineate(x, fs=fs)
    want = oracle.delineate(x, fs, d.rpeaks, _weights())
    got = d.samples[:, :-1]
    assert ((got < 0) == (want < 0)).mean() > 0.998
    both = (got >= 0) & (want >= 0)
    far = np.abs(got - want)[both] > 1
    assert far.mean() < 0.002
    assert np.abs(got - want)[..., [0, 2]][both[..., [0, 2]]].max() <= np.ceil(BIN * fs) + 1


def test_instruction_sets_agree(record):
    found = []
    for name in ek.simd.available():
        before = ek.simd.use(name)
        found.append(ek.signal.delineate(record).samples)
        ek.simd.use(before)
    for other in found[1:]:
        assert ((other < 0) == (found[0] < 0)).all()
        assert np.abs(other - found[0]).max() <= 2


def test_thread_count_does_not_change_a_bit():
    rec = ek.synth.ecg(duration=120, heart_rate=80, noise=0.02)
    one = ek.signal.delineate(rec, threads=1)
    assert np.array_equal(one.samples, ek.signal.delineate(rec, threads=2).samples)


def test_a_long_record_in_pieces_has_no_joint():
    rec = ek.synth.ecg(duration=90, heart_rate=75, noise=0.005, hrv=0.02)
    whole = ek.signal.delineate(rec)
    start, end = 30 * 500, 45 * 500
    part = ek.signal.delineate(rec.signal[:, start:end], fs=500)
    inside = (whole.rpeaks > start + 1000) & (whole.rpeaks < end - 1000)
    own = (part.rpeaks > 1000) & (part.rpeaks < end - start - 1000)
    a, b = whole.samples[inside], part.samples[own] + start
    both = (a >= 0) & (b >= start)
    assert both.mean() > 0.95
    assert np.median(np.abs(a - b)[both]) <= 1


def test_a_batch_is_its_records_one_by_one(record):
    x = np.stack([record.signal, ek.synth.ecg(heart_rate=90, seed=1).signal])
    both = ek.signal.delineate(x, fs=500, threads=2)
    assert isinstance(both, tuple)
    for row, d in zip(x, both):
        assert np.array_equal(d.samples, ek.signal.delineate(row, fs=500).samples)
    assert ek.signal.delineate(np.zeros((0, 12, 500)), fs=500) == ()


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_unit_does_not_move_a_point(record, factor):
    peaks = ek.signal.rpeaks(record)
    got = ek.signal.delineate(record.signal * factor, fs=500, rpeaks=peaks)
    want = ek.signal.delineate(record, rpeaks=peaks)
    assert ((got.samples < 0) == (want.samples < 0)).all()
    assert np.abs(got.samples - want.samples).max() <= 2


def test_any_dtype_and_stride_is_taken(record):
    whole = np.round(record.signal * 1000).astype(np.int16)
    wide = np.zeros((12, 2 * whole.shape[1]), np.int16)
    wide[:, ::2] = whole
    wide.setflags(write=False)
    peaks = ek.signal.rpeaks(whole, fs=500)
    a = ek.signal.delineate(wide[:, ::2], fs=500, rpeaks=peaks)
    b = ek.signal.delineate(whole.astype(np.float64), fs=500, rpeaks=peaks)
    assert np.array_equal(a.samples, b.samples)


def test_the_table_is_rectangular_and_absent_waves_are_blank(record):
    d = ek.signal.delineate(record)
    rows = len(d.rpeaks) * 13 * 3
    assert len(d) == rows
    for column in (d.beat, d.lead, d.wave, d.onset, d.peak, d.offset):
        assert column.shape == (rows,)
    frame = d.to_frame()
    assert list(frame.columns) == ["beat", "lead", "wave", "onset", "peak", "offset"]
    assert frame.onset.isna().sum() == (d.onset < 0).sum()
    assert d.points("T", "II").shape == (len(d.rpeaks), 3)
    assert "QT" in repr(d)
    assert "qtc_bazett" in d._repr_html_()
    with pytest.raises(AttributeError):
        d.fs = 1
    with pytest.raises(ek.LeadError, match="no lead 'X'"):
        d.points("T", "X")
    with pytest.raises(ValueError, match="P, QRS, T"):
        d.points("U")


@given(
    x=arrays(
        np.float32,
        array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=900),
        elements=st.floats(width=32),
    ),
    fs=st.floats(50, 2000),
    seed=st.integers(0, 9),
)
@settings(max_examples=150, deadline=None)
def test_whatever_the_content_points_are_in_order_or_absent(x, fs, seed):
    x = x.T if x.ndim == 2 and x.shape[0] > x.shape[1] else x
    t = x.shape[-1]
    count = seed if t > 20 * seed else 0
    peaks = np.sort(np.random.default_rng(seed).choice(max(t, 1), count, replace=False))
    d = ek.signal.delineate(x, fs=fs, rpeaks=peaks)
    s = d.samples
    assert s.shape[0] == count
    absent = s[..., 0] < 0
    assert (s[absent] == -1).all()
    here = s[~absent]
    assert (here < t).all()
    assert (np.diff(here, axis=-1) > 0).all()
    d.summary()
    d.amplitudes()


@pytest.mark.parametrize(
    ("x", "fs"),
    [
        (np.zeros((12, 5000)), 500),
        (np.full((2, 5000), np.nan), 500),
        (np.zeros((0, 5000)), 500),
        (np.zeros((12, 0)), 500),
        (np.ones(1), 500),
    ],
)
def test_no_beat_no_row(x, fs):
    d = ek.signal.delineate(x, fs=fs)
    assert len(d) == 0
    assert np.isnan(d.summary()["qt"])
    assert len(d.to_frame()) == 0
    assert "nan" in repr(d)


def test_an_unconnected_lead_and_a_gap_have_no_waves(record):
    x = record.signal.copy()
    x[3] = 0.0
    x[4] = np.nan
    x[5, 2000:3000] = np.nan
    d = ek.signal.delineate(x, fs=500)
    assert (d.samples[:, 3] == -1).all()
    assert (d.samples[:, 4] == -1).all()
    gap = d.samples[:, 5].ravel()
    assert not ((gap >= 2000) & (gap < 3000)).any()
    assert (d.samples[:, -1, 1] >= 0).all()


def test_one_beat_alone():
    x = ek.synth.ecg(duration=10, heart_rate=60).signal[:, :800]
    d = ek.signal.delineate(x, fs=500, rpeaks=[400])
    assert d.samples.shape == (1, 13, 3, 3)
    assert np.isnan(d.intervals().rr).all()


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"x": np.zeros(900)}, ek.RateError, "pass fs="),
        ({"x": np.zeros(900), "fs": 20}, ek.RateError, "between 50 and 2000"),
        ({"x": np.zeros((2, 2, 2, 2)), "fs": 250}, ek.LayoutError, "lead, time"),
        ({"x": np.zeros((5000, 12)), "fs": 250}, ek.LayoutError, "x.T"),
        ({"x": np.zeros(9, complex), "fs": 250}, TypeError, "real"),
        ({"x": np.zeros(900), "fs": 250, "rpeaks": [5, 5]}, ek.LayoutError, "ascend"),
        ({"x": np.zeros(900), "fs": 250, "rpeaks": [900]}, ek.LayoutError, "within 0..899"),
        ({"x": np.zeros(900), "fs": 250, "rpeaks": [[1]]}, ek.LayoutError, "one-dimensional"),
        ({"x": np.zeros(900), "fs": 250, "rpeaks": [1.5]}, ek.LayoutError, "dtype float64"),
        ({"x": np.zeros((2, 1, 900)), "fs": 250, "rpeaks": [[]]}, ek.LayoutError, "per record"),
    ],
)
def test_bad_arguments_are_named(arguments, error, match):
    with pytest.raises(error, match=match):
        ek.signal.delineate(arguments.pop("x"), **arguments)


def test_intervals_and_the_four_corrections(record):
    d = ek.signal.delineate(record)
    i = d.intervals()
    s = d.samples[:, -1].astype(float)
    assert np.allclose(i.qt, (s[:, 2, 2] - s[:, 1, 0]) * 2, equal_nan=False) or (s < 0).any()
    rr = i.rr[1:] / 1e3
    qt = i.qt[1:]
    assert np.allclose(i.qtc_bazett[1:], qt / np.sqrt(rr), equal_nan=True)
    assert np.allclose(i.qtc_fridericia[1:], qt / rr ** (1 / 3), equal_nan=True)
    assert np.allclose(i.qtc_framingham[1:], qt + 154 * (1 - rr), equal_nan=True)
    assert np.allclose(i.qtc_hodges[1:], qt + 1.75 * (60 / rr - 60), equal_nan=True)
    short = d.intervals(qt_reference="qrs_offset")
    assert np.allclose(i.qt - short.qt, i.qrs, equal_nan=True)
    assert next(iter(i.to_frame().columns)) == "rr"
    with pytest.raises(ValueError, match="qrs_onset"):
        d.intervals(qt_reference="j")


def test_amplitudes_are_those_of_the_made_waves():
    fs, at = 500, np.arange(0.6, 9.6, 0.8)
    t = np.arange(10 * fs) / fs
    x = np.zeros_like(t)
    bumps = ((-0.16, 0.15, 0.02), (-0.025, -0.1, 0.006), (0, 1.0, 0.009), (0.03, -0.3, 0.008))
    for shift, height, width in (*bumps, (0.3, 0.35, 0.04)):
        for s in at:
            x += height * np.exp(-0.5 * ((t - s - shift) / width) ** 2)
    x = x + 0.7 + 0.05 * np.sin(2 * np.pi * 0.2 * t)
    d = ek.signal.delineate(x, fs=fs)
    assert len(d.rpeaks) == len(at)
    a = {name: np.nanmedian(v) for name, v in d.amplitudes().items()}
    assert a["R"] == pytest.approx(0.99, abs=0.03)
    assert a["T"] == pytest.approx(0.35, abs=0.03)
    assert a["P"] == pytest.approx(0.15, abs=0.03)
    assert a["Q"] == pytest.approx(-0.08, abs=0.03)
    assert a["S"] == pytest.approx(-0.29, abs=0.04)
    assert a["J"] == pytest.approx(0.0, abs=0.03)
    assert abs(np.median(d.points("T", "0")[:, 1] / fs - at - 0.3)) < 0.01
    assert abs(np.nanmedian(d.points("P", "0")[:, 1] / fs - at) + 0.16) < 0.01


def test_axis_of_a_known_vector():
    angle = np.radians(40)
    lead = ek.synth.ecg(heart_rate=70, leads=["V5"]).signal[0]
    rec = ek.Record(
        np.stack([np.cos(angle) * lead, np.cos(angle - np.pi / 3) * lead, lead]),
        500,
        ["I", "II", "V5"],
    )
    axes = ek.signal.delineate(rec).axes()
    assert np.nanmedian(axes["QRS"]) == pytest.approx(40, abs=1)
    assert ek.signal.delineate(rec).summary()["qrs_axis"] == pytest.approx(40, abs=1)
    with pytest.raises(ek.LeadError, match="aVF, II, III"):
        ek.signal.delineate(rec.pick(["V5"])).axes()


def test_fused_bounds_follow_the_stated_rule(record):
    d = ek.signal.delineate(record)
    within = (0.016, 0.012, 0.024)
    for beat in d.samples:
        for wave in range(3):
            leads = beat[:-1, wave]
            leads = leads[leads[:, 0] >= 0]
            if len(leads) < 3:
                assert (beat[-1, wave] == -1).all()
                continue
            for point, sign in ((0, 1), (2, -1)):
                v = np.sort(sign * leads[:, point])
                ok = v[2:] - v[:-2] <= within[wave] * 500
                want = v[np.argmax(ok)] if ok.any() else v[len(v) // 2]
                assert beat[-1, wave, point] == sign * want


@pytest.mark.slow
@pytest.mark.data
def test_waves_of_unseen_patients_of_ludb(ludb):
    """The cross-validated figures of docs/accuracy_delineation.md, one lead of each patient."""
    wfdb = pytest.importorskip("wfdb")
    from safetensors.numpy import load_file

    held = load_file(Path(__file__).parents[1] / "benchmarks" / "delineate_folds.safetensors")
    hit, missed, extra, errors = (np.zeros(3), np.zeros(3), np.zeros(3), [[], [], []])
    for header in sorted(ludb.rglob("*.hea")):
        path = str(header.with_suffix(""))
        record, notes = wfdb.rdrecord(path), wfdb.rdann(path, "ii")
        x = record.p_signal.T.astype(np.float32)
        beats = ek.signal.rpeaks(x, fs=500)
        weights = held[f"fold{held['fold'][int(header.stem) - 1]}"]
        start = np.array([0, len(beats)], np.int64)
        found = _core.delineate(x[None], 500.0, beats, start, weights)[:, 1]
        symbols = np.array(notes.symbol)
        for k, symbol in enumerate("pNt"):
            wanted = notes.sample[symbols == symbol]
            got = np.sort(found[:, 3 * k + 1])
            m = ek.signal.match_beats(wanted, got[got >= 0], fs=500)
            inside = (m.extra >= notes.sample[0]) & (m.extra <= notes.sample[-1])
            hit[k] += len(m.error)
            missed[k] += len(m.missed)
            extra[k] += inside.sum()
            errors[k].extend(m.error)
    assert (hit / (hit + missed) >= (0.97, 0.999, 0.99)).all()
    assert (hit / (hit + extra) >= (0.95, 0.999, 0.99)).all()
    assert (np.array([np.std(e) for e in errors]) <= (0.015, 0.016, 0.02)).all()


def test_leads_that_contradict_one_another_give_no_fused_wave_out_of_order():
    rng = np.random.default_rng(0)
    for _ in range(30):
        x = rng.normal(size=(12, 1000)) + 3 * rng.normal(size=(12, 250)).repeat(4, 1)
        d = ek.signal.delineate(x, fs=100, rpeaks=np.arange(60, 950, 70))
        fused = d.samples[:, -1]
        here = fused[fused[..., 0] >= 0]
        assert (np.diff(here, axis=-1) > 0).all()
        d.amplitudes()
