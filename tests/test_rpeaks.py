"""R peaks, beats, and the matching of beats."""

import numpy as np
import pytest
from beat_data import between, ludb_records, mitbih_records, outside
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import ecgkit as ek
from ecgkit import Record


def train(fs, duration=20.0, rr=0.8, width=0.012):
    """A lead with P, QRS and T bumps and the R peaks' instants (s)."""
    t = np.arange(int(duration * fs)) / fs
    at = np.arange(0.5, duration - 0.3, rr)
    bumps = ((0.0, 1.0, width), (-0.16, 0.12, 0.025), (0.28, 0.3, 0.05), (0.03, -0.25, width))
    x = sum(a * np.exp(-0.5 * ((t - s - d) / w) ** 2) for s in at for d, a, w in bumps)
    return x, at


@pytest.mark.parametrize("fs", [50, 100, 128, 250, 257, 360, 500, 1000, 2000])
@pytest.mark.parametrize("rr", [0.35, 0.8, 1.8])
def test_every_beat_is_found_at_every_rate(isa, fs, rr):
    x, at = train(fs, rr=rr)
    got = ek.signal.rpeaks(x, fs=fs)
    assert got.dtype == np.int64
    assert len(got) == len(at)
    assert abs(got / fs - at).max() <= max(0.005, 1 / fs)


@pytest.mark.parametrize("factor", [-1, 1e-6, -1e6])
def test_polarity_unit_and_offset_do_not_matter(factor):
    x, _ = train(360)
    got = ek.signal.rpeaks(x * factor + 3 * factor, fs=360)
    assert abs(got - ek.signal.rpeaks(x, fs=360)).max() <= 1


def test_a_noisy_lead_does_no_harm_when_fused():
    x, at = train(250)
    noise = np.random.default_rng(0).normal(size=(2, x.size))
    got = ek.signal.rpeaks(np.stack([noise[0], x + 0.02 * noise[1], 0 * x]), fs=250)
    assert len(got) == len(at)
    assert abs(got / 250 - at).max() < 0.02


@pytest.mark.parametrize(
    "x",
    [
        np.zeros(5000),
        np.full((12, 5000), 7.5),
        np.full(5000, np.nan),
        np.full((2, 5000), np.inf),
        np.zeros((12, 0)),
        np.zeros((0, 5000)),
        np.ones(1),
        np.arange(100),
    ],
)
def test_flat_short_and_invalid_signals_have_no_beats(x):
    got = ek.signal.rpeaks(x, fs=500)
    assert got.shape == (0,)
    assert got.dtype == np.int64
    beats = ek.signal.beats(x, fs=500)
    assert len(beats) == 0
    assert np.isnan(beats.mean_rate)


def test_a_gap_is_bridged_and_holds_no_beat():
    x, at = train(250)
    x[1000:1500] = np.nan
    got = ek.signal.rpeaks(x, fs=250)
    assert not ((got >= 1000) & (got < 1500)).any()
    inside = (at * 250 < 1000 - 20) | (at * 250 > 1500 + 20)
    assert len(got) == inside.sum()


@given(
    x=arrays(np.float32, array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=900)),
    fs=st.floats(50, 2000),
)
@settings(max_examples=150, deadline=None)
def test_no_content_is_an_error(x, fs):
    if x.ndim == 2:
        x = x.T if x.shape[0] > x.shape[1] else x
    got = ek.signal.rpeaks(x, fs=fs)
    assert (np.diff(got) > 0).all()
    assert ((got >= 0) & (got < x.shape[-1])).all()


def test_any_dtype_and_stride_gives_the_same_beats():
    x, _ = train(250)
    wide = np.zeros((2, 2 * x.size), np.int16)
    wide[:, ::2] = np.round(1000 * x)
    want = ek.signal.rpeaks(np.ascontiguousarray(wide[:, ::2]).astype(np.float32), fs=250)
    assert np.array_equal(ek.signal.rpeaks(wide[:, ::2], fs=250), want)


def test_same_beats_for_any_thread_count(isa):
    x, _ = train(250, duration=120)
    x = np.stack([x + 0.3 * np.random.default_rng(i).normal(size=x.size) for i in range(5)])
    one = ek.signal.rpeaks(x, fs=250, threads=1)
    assert np.array_equal(one, ek.signal.rpeaks(x, fs=250, threads=2))


@pytest.mark.parametrize(
    ("x", "fs", "error", "match"),
    [
        (np.zeros(9), None, ek.RateError, "pass fs="),
        (np.zeros(9), 49.9, ek.RateError, "between 50 and 2000"),
        (np.zeros(9), 4000, ek.RateError, "between 50 and 2000"),
        (np.zeros(9), "x", ek.RateError, "positive"),
        (np.zeros((2, 3, 4)), 250, ek.LayoutError, "lead, time"),
        (np.zeros((5000, 12)), 250, ek.LayoutError, "x.T"),
        (np.zeros(9, complex), 250, TypeError, "real"),
    ],
)
def test_bad_arguments_are_named(x, fs, error, match):
    with pytest.raises(error, match=match):
        ek.signal.rpeaks(x, fs=fs)


def test_a_record_brings_its_rate_and_refuses_another():
    x, at = train(250)
    rec = Record(x[None], 250, ["II"])
    assert len(ek.signal.rpeaks(rec)) == len(at)
    with pytest.raises(ek.RateError, match="leave fs out"):
        ek.signal.rpeaks(rec, fs=500)


def test_the_table_of_beats_holds_rr_rate_and_variability():
    x, at = train(500, rr=0.75)
    beats = Record(x[None], 500, ["II"]).beats()
    assert len(beats) == len(at)
    assert beats.mean_rate == pytest.approx(80, abs=0.1)
    assert beats.min_rate <= beats.mean_rate <= beats.max_rate
    rr = np.diff(beats.sample) / 500 * 1e3
    assert beats.sdnn == pytest.approx(rr.std(ddof=1))
    assert beats.rmssd == pytest.approx(np.sqrt((np.diff(rr) ** 2).mean()))
    frame = beats.to_frame()
    assert list(frame.columns) == ["sample", "time", "rr", "rate"]
    assert len(frame) == len(beats)
    assert np.isnan(frame.rr[0])
    assert "80" in beats._repr_html_()
    assert "Beats" in repr(beats)
    with pytest.raises(AttributeError):
        beats.fs = 1


def test_matching_is_one_to_one_and_as_large_as_possible():
    m = ek.signal.match_beats([100, 200, 300], [90, 110, 205, 500], fs=100, window=0.15)
    assert list(m.error) == [-0.1, 0.05]
    assert list(m.missed) == [300]
    assert list(m.extra) == [110, 500]
    assert m.sensitivity == pytest.approx(2 / 3)
    assert m.predictivity == pytest.approx(2 / 4)
    assert np.isnan(ek.signal.match_beats([], [], fs=100).sensitivity)


@given(
    st.lists(st.integers(0, 300), max_size=30).map(sorted),
    st.lists(st.integers(0, 300), max_size=30).map(sorted),
)
@settings(deadline=None)
def test_no_matching_has_more_pairs(ref, got):
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_bipartite_matching

    m = ek.signal.match_beats(ref, got, fs=100, window=0.1)
    near = abs(np.subtract.outer(ref, got)) <= 10 if ref and got else np.zeros((1, 1), bool)
    most = (maximum_bipartite_matching(csr_matrix(near)) >= 0).sum()
    assert len(m.error) == most
    assert len(m.error) + len(m.missed) == len(ref)
    assert len(m.error) + len(m.extra) == len(got)


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("leads", [1, 2])
def test_mitbih_ds1_reaches_99_7_percent(mitbih, leads):
    counts = np.zeros(3, int)
    for _, x, fs, ref, flutter in mitbih_records(mitbih):
        window = round(0.15 * fs)
        got = outside(ek.signal.rpeaks(x[:leads], fs=fs), flutter, window)
        m = ek.signal.match_beats(outside(ref, flutter, window), got, fs=fs)
        counts += len(m.error), len(m.missed), len(m.extra)
    hit, missed, extra = counts
    assert hit / (hit + missed) >= 0.997
    assert hit / (hit + extra) >= 0.997


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("rate", [500, 100])
def test_ludb_reaches_99_9_percent(ludb, rate):
    counts = np.zeros(3, int)
    for _, x, fs, ref in ludb_records(ludb):
        got = ek.signal.rpeaks(ek.signal.resample(x, fs, rate), fs=rate)
        ref = np.round(ref * rate / fs).astype(int)
        window = round(0.15 * rate)
        got = between(got, ref[0] - window, ref[-1] + window)
        m = ek.signal.match_beats(ref, got, fs=rate)
        counts += len(m.error), len(m.missed), len(m.extra)
    hit, missed, extra = counts
    assert hit / (hit + missed) >= 0.999
    assert hit / (hit + extra) >= 0.999
