"""Heart-rate variability against NeuroKit2, closed forms and bad input."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ecgkit as ek
from ecgkit import _core

RELATIVE = 1e-9
"""Both compute in double; sums run in another order."""
DIFFERENT = {"TINN", *(f"{name}{k}" for name in ("SDANN", "SDNNI") for k in (1, 2, 5))}
"""NeuroKit2 0.2.13 leaves the last interval of every window out of SDANN and SDNNI, and searches
TINN's M for the first N alone (its inner loop is never started again)."""


def intervals(n, seed=0):
    rng = np.random.default_rng(seed)
    t = 0.8 * np.arange(n)
    waves = 40 * np.sin(2 * np.pi * 0.1 * t) + 30 * np.sin(2 * np.pi * 0.25 * t)
    return 800 + waves + 20 * np.sin(2 * np.pi * 0.01 * t) + rng.normal(0, 15, n)


@pytest.mark.parametrize(("n", "seed"), [(60, 1), (310, 2), (1200, 3)])
def test_every_figure_is_neurokits(n, seed):
    nk = pytest.importorskip("neurokit2")
    peaks = np.cumsum(np.concatenate([[500], np.round(intervals(n, seed) / 2)])).astype(int)
    got = ek.signal.hrv(peaks, fs=500)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = {
            **nk.hrv_time(peaks, 500).iloc[0],
            **nk.hrv_frequency(peaks, 500, normalize=False).iloc[0],
            **nk.hrv_nonlinear(peaks, 500).iloc[0],
        }
    compared = 0
    for name in got:
        want = theirs.get(f"HRV_{name}", np.nan)
        if name in DIFFERENT or np.isnan(want):
            continue
        assert got[name] == pytest.approx(want, rel=RELATIVE), name
        compared += 1
    assert compared >= 55


def test_windowed_figures_use_every_interval_of_a_window():
    rr = np.tile([601.37, 1002.91], 400)
    rr[300:] += 50
    got = ek.signal.hrv(rr=rr)
    at = np.cumsum(rr) / 1e3
    count = round(at[-1] / 60)
    parts = [rr[(at >= 60 * k) & (at < 60 * k + 60)] for k in range(count)]
    assert got["SDANN1"] == pytest.approx(np.std([p.mean() for p in parts], ddof=1))
    assert got["SDNNI1"] == pytest.approx(np.mean([p.std(ddof=1) for p in parts]))


def test_tinn_is_the_base_of_a_triangular_histogram():
    width = 1e3 / 128
    heights = np.concatenate([np.arange(0, 21), np.arange(19, -1, -1)])
    rr = np.repeat((100 + np.arange(heights.size) + 0.5) * width, heights)
    assert ek.signal.hrv(rr=rr)["TINN"] == pytest.approx(38 * width, abs=1.5 * width)


def test_lomb_is_scipys_and_its_bands_hold_the_waves():
    signal = pytest.importorskip("scipy.signal")
    rng = np.random.default_rng(0)
    t = np.cumsum(rng.uniform(0.5, 1.1, 300))
    x = np.sin(2 * np.pi * 0.1 * t) + rng.normal(0, 0.1, 300)
    f = np.linspace(0.01, 0.5, 200)
    assert np.allclose(_core.lomb(t, x, f), signal.lombscargle(t, x, 2 * np.pi * f), rtol=1e-8)
    rr = intervals(600)
    lomb, welch = ek.signal.hrv(rr=rr, psd="lomb"), ek.signal.hrv(rr=rr)
    assert lomb["LF"] == pytest.approx(40**2 / 2, rel=0.15)
    assert lomb["HF"] == pytest.approx(30**2 / 2, rel=0.5)
    assert lomb["LF"] == pytest.approx(welch["LF"], rel=0.3)


def entropies(x):
    """The definitions, pair by pair."""
    r, n = 0.2 * x.std(ddof=1), len(x)

    def counts(m, last):
        v = np.lib.stride_tricks.sliding_window_view(x, m)[:last]
        return (np.abs(v[:, None] - v[None]).max(2) <= r).sum(1)

    phi = [np.log(counts(m, n - m + 1) / (n - m + 1)).mean() for m in (2, 3)]
    a, b = ((counts(m, n - 2) - 1).sum() for m in (3, 2))
    return phi[0] - phi[1], -np.log(a / b) if a and b else None


@given(st.integers(6, 200), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_entropies_are_the_definitions(n, seed):
    rr = np.round(intervals(n, seed), 1)
    got = ek.signal.hrv(rr=rr)
    approximate, sample = entropies(rr)
    assert got["ApEn"] == pytest.approx(approximate, rel=1e-9, abs=1e-12)
    if sample is not None:
        assert got["SampEn"] == pytest.approx(sample, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_templates_of_any_length_are_counted(m):
    x = np.random.default_rng(0).normal(size=80)
    v = np.lib.stride_tricks.sliding_window_view(x, m)
    near = np.abs(v[:, None] - v[None]).max(2) <= 0.5
    same, longer, inner = _core.template_matches(x, m, 0.5)
    assert np.array_equal(same[: len(v)], near.sum(1))
    assert np.array_equal(inner[: len(v)], near[:, :-1].sum(1))
    v = np.lib.stride_tricks.sliding_window_view(x, m + 1)
    near = np.abs(v[:, None] - v[None]).max(2) <= 0.5
    assert np.array_equal(longer[: len(v)], near.sum(1))


def test_white_noise_and_a_random_walk_have_their_exponents():
    rng = np.random.default_rng(0)
    white = ek.signal.hrv(rr=800 + rng.normal(0, 20, 5000))
    walk = ek.signal.hrv(rr=2000 + np.cumsum(rng.normal(0, 1, 5000)))
    assert white["DFA_alpha2"] == pytest.approx(0.5, abs=0.05)
    assert walk["DFA_alpha2"] == pytest.approx(1.5, abs=0.08)


def test_thread_count_does_not_change_a_bit():
    rr = intervals(900)
    one, two = (ek.signal.hrv(rr=rr, psd="lomb", threads=k) for k in (1, 2))
    assert {k: repr(v) for k, v in one.items()} == {k: repr(v) for k, v in two.items()}


def test_a_missing_interval_breaks_the_succession():
    rr = intervals(200)
    with_gap = rr.copy()
    with_gap[100] = np.nan
    got = ek.signal.hrv(rr=with_gap)
    d = np.concatenate([np.diff(rr[:100]), np.diff(rr[101:])])
    assert got["RMSSD"] == pytest.approx(np.sqrt((d**2).mean()))
    assert len(got.rr) == 199


@given(st.lists(st.floats(200, 3000), max_size=40))
@settings(deadline=None)
def test_any_list_of_intervals_gives_figures_or_nan(rr):
    got = ek.signal.hrv(rr=rr)
    assert len(got) == len(list(got))
    for name in got:
        assert isinstance(got[name], float)


@pytest.mark.parametrize("peaks", [[], [5], [5, 400], [5, 400, 800]])
def test_too_few_beats_give_nan(peaks):
    got = ek.signal.hrv(np.asarray(peaks, int), fs=500)
    assert np.isnan(got["LF"])
    assert np.isnan(got["SampEn"])
    assert "HRV" in repr(got)


def test_the_table_names_units_and_is_frozen():
    rec = ek.synth.ecg(duration=120, heart_rate=70, hrv=0.05)
    got = ek.signal.hrv(ek.signal.beats(rec))
    again = ek.signal.hrv(ek.signal.delineate(rec))
    assert got["SDNN"] == again["SDNN"]
    frame = got.to_frame()
    assert list(frame.columns) == ["domain", "value", "unit"]
    assert frame.loc["SDNN", "unit"] == "ms"
    assert frame.loc["LF", "unit"] == "ms2"
    assert "SDNN" in got._repr_html_()
    with pytest.raises(AttributeError):
        got.rr = 1
    with pytest.raises(TypeError):
        got.time["SDNN"] = 1
    with pytest.raises(KeyError):
        got["nothing"]


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({}, ek.LayoutError, "not both"),
        ({"peaks": [1, 2], "rr": [800.0], "fs": 500}, ek.LayoutError, "not both"),
        ({"peaks": [1, 400]}, ek.RateError, "pass fs="),
        ({"peaks": [400, 1], "fs": 500}, ek.LayoutError, "ascend"),
        ({"peaks": [[1, 400]], "fs": 500}, ek.LayoutError, "list of samples"),
        ({"peaks": ["a"], "fs": 500}, ek.LayoutError, "list of samples"),
        ({"rr": [[800.0]]}, ek.LayoutError, "one-dimensional"),
        ({"rr": [800.0, -1.0]}, ek.LayoutError, "positive"),
        ({"rr": [800.0, np.inf]}, ek.LayoutError, "positive"),
        ({"rr": [800.0] * 9, "psd": "burg"}, ValueError, "'welch' or 'lomb'"),
    ],
)
def test_bad_arguments_are_named(arguments, error, match):
    with pytest.raises(error, match=match):
        ek.signal.hrv(**arguments)
