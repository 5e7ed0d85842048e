"""Fmax, F and G, ranking figures, Brier and calibration: scikit-learn's and the papers' values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

import ecgkit as ek
from ecgkit import metrics


def labelled(n=400, c=9, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    y = (rng.random((n, c)) < rng.uniform(0.05, 0.5, c)).astype(np.uint8)
    y[y.sum(1) == 0, 0] = 1
    y[0], y[1] = 1, np.arange(c) == 3
    p = 1 / (1 + np.exp(-(rng.normal(size=(n, c)) + 2.0 * y - 1)))
    p[:, ::3] = np.round(p[:, ::3], 2)
    return y, p.astype(dtype)


def published_fmax(y, s, thresholds):
    """The benchmark's loop: sample-centred precision and recall at every threshold."""
    best, where = -1.0, None
    for t in thresholds:
        called = s >= t
        hit = (called & (y == 1)).sum(1)
        some = called.sum(1) > 0
        if not some.any():
            continue
        precision = (hit[some] / called[some].sum(1)).mean()
        recall = (hit / y.sum(1)).mean()
        f = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        if f > best:
            best, where = f, t
    return best, where


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "grid", [np.arange(101) / 100, np.array([0.3]), np.array([0.01, 0.02, 0.5, 0.500001, 0.97])]
)
def test_fmax_per_sample_is_the_published_loop(dtype, grid):
    y, s = labelled(dtype=dtype)
    value, where = published_fmax(y, s.astype(np.float64), grid)
    got = metrics.fmax_curve(y, s, thresholds=grid)
    assert got.value == pytest.approx(value, abs=1e-14)
    assert got.threshold == where


def test_fmax_per_label_and_pooled_are_scikit_learns_best():
    y, s = labelled()
    grid = np.arange(101) / 100
    each = np.array([sk.f1_score(y, s >= t, average=None, zero_division=0) for t in grid])
    got = metrics.fmax_curve(y, s, kind="label")
    np.testing.assert_allclose(got.per_class, each.max(0), atol=1e-14)
    assert got.value == pytest.approx(each.max(0).mean(), abs=1e-14)
    pooled = max(sk.f1_score(y, s >= t, average="micro") for t in grid)
    assert metrics.fmax(y, s, kind="micro") == pytest.approx(pooled, abs=1e-14)


def test_fmax_says_what_it_cannot_do():
    y, s = labelled()
    y[5] = 0
    with pytest.raises(ek.MetricError, match="1 records have no true label"):
        metrics.fmax(y, s)
    kept = np.arange(len(y)) != 5
    got = metrics.fmax_curve(y, s, undefined="omit", thresholds=[0.5])
    assert got.recall == pytest.approx(
        metrics.fmax_curve(y[kept], s[kept], thresholds=[0.5]).recall, abs=1e-14
    )
    with pytest.raises(ek.MetricError, match="thresholds"):
        metrics.fmax(y, s, thresholds=[0.5, 0.1])
    y[:, 2] = 0
    with pytest.raises(ek.MetricError, match="class 2"):
        metrics.fmax(y, s, kind="label")
    s[0, 0] = np.nan
    with pytest.raises(ek.MetricError, match="NaN"):
        metrics.fmax(y, s, kind="micro")


@pytest.mark.parametrize("average", ["macro", "micro", "weighted", None])
@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_f_beta_is_scikit_learns(average, beta):
    y, s = labelled()
    y[:, 4] = 0
    called = metrics.binarize(s)
    called[:, 4] = 0
    want = sk.fbeta_score(y, called, beta=beta, average=average, zero_division=0)
    np.testing.assert_allclose(
        metrics.f_beta(y, called, beta=beta, average=average), want, atol=1e-15
    )


def test_challenge_figures_weigh_by_labels():
    y, s = labelled(n=60)
    called = metrics.binarize(s, 0.9, at_least_one=True)
    assert called.any(1).all()
    f, g = [], []
    for k in range(y.shape[1]):  # the definition, record by record
        cells = {"tp": 0.0, "fp": 0.0, "fn": 0.0}
        for i in range(len(y)):
            name = {(1, 1): "tp", (0, 1): "fp", (1, 0): "fn"}.get((y[i, k], called[i, k]))
            if name:
                cells[name] += 1 / y[i].sum()
        f.append(5 * cells["tp"] / (5 * cells["tp"] + cells["fp"] + 4 * cells["fn"]))
        g.append(cells["tp"] / (cells["tp"] + cells["fp"] + 2 * cells["fn"]))
    kw = {"beta": 2, "per_label_weight": True}
    assert metrics.f_beta(y, called, **kw) == pytest.approx(np.mean(f), abs=1e-14)
    assert metrics.g_beta(y, called, **kw) == pytest.approx(np.mean(g), abs=1e-14)
    y[3] = 0
    with pytest.raises(ek.MetricError, match="no true label"):
        metrics.g_beta(y, called, **kw)


@pytest.mark.parametrize("n", [1, 254, 255, 256, 1000])
@pytest.mark.parametrize("c", [1, 63, 64, 130])
def test_confusion_counts_every_record(n, c):
    rng = np.random.default_rng(n)
    y, p = rng.integers(0, 2, (2, n, c)).astype(np.uint8)
    hit = (y & p).sum(0)
    want = 2 * hit / np.maximum(y.sum(0).astype(int) + p.sum(0), 1)
    np.testing.assert_allclose(metrics.f_beta(y, p, average=None), want, atol=1e-15)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 12), st.integers(2, 9), st.integers(0, 2**31))
def test_ranking_figures_are_scikit_learns_with_ties_and_empty_records(n, c, seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, (n, c))
    s = rng.integers(0, 4, (n, c)).astype(np.float32)
    assert metrics.ranking_loss(y, s) == pytest.approx(sk.label_ranking_loss(y, s), abs=1e-14)
    assert metrics.coverage_error(y, s) == pytest.approx(sk.coverage_error(y, s), abs=1e-14)
    assert metrics.label_ranking_average_precision(y, s) == pytest.approx(
        sk.label_ranking_average_precision_score(y, s), abs=1e-14
    )


def test_brier_is_scikit_learns():
    y, p = labelled()
    want = [sk.brier_score_loss(y[:, k], p[:, k]) for k in range(y.shape[1])]
    np.testing.assert_allclose(metrics.brier(y, p, average=None), want, atol=1e-15)
    assert metrics.brier(y[:, 0], p[:, 0]) == pytest.approx(want[0], abs=1e-15)


@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
@pytest.mark.parametrize("bins", [1, 10, 15])
def test_ece_is_the_definition(norm, bins):
    y, p = labelled()
    edges = np.arange(bins + 1) / bins
    at = np.clip(np.searchsorted(edges, p[:, 0], side="right") - 1, 0, bins - 1)
    gap = np.array([
        abs(p[at == b, 0].mean() - y[at == b, 0].mean()) if (at == b).any() else 0.0
        for b in range(bins)
    ])  # fmt: skip
    share = np.bincount(at, minlength=bins) / len(y)
    want = {"l1": gap @ share, "l2": np.sqrt(gap**2 @ share), "max": gap.max()}[norm]
    assert metrics.ece(y[:, 0], p[:, 0], bins=bins, norm=norm) == pytest.approx(want, abs=1e-14)


def test_reliability_table():
    y, p = labelled(n=3000, c=1)
    got = metrics.reliability(y[:, 0], p[:, 0], bins=10)
    assert got.count.sum() == 3000
    assert got.ece == pytest.approx(metrics.ece(y[:, 0], p[:, 0], bins=10), abs=1e-14)
    inside = (got.low < got.frequency + 1e-12) & (got.frequency - 1e-12 < got.high)
    assert inside[got.count > 0].all()
    assert np.isnan(metrics.reliability([0, 1], [0.05, 0.95]).frequency[4])


@pytest.mark.parametrize("bad", [-0.01, 1.01, np.nan])
def test_probabilities_outside_their_range_are_refused(bad):
    y, p = labelled()
    p[7, 2] = bad
    for figure in (metrics.brier, metrics.ece, metrics.reliability):
        with pytest.raises(ek.MetricError, match=r"0\.\.1"):
            figure(y, p)


@pytest.mark.parametrize("name", metrics.SCORED)
def test_same_bits_for_any_thread_count_and_every_name_can_be_resampled(name):
    y, p = labelled()
    if name in ("f_beta", "g_beta"):
        p = metrics.binarize(p)
    figure = getattr(metrics, name)
    assert figure(y, p, threads=1) == figure(y, p, threads=2)
    assert figure(y[::-1, ::-1], p[::-1, ::-1]) == pytest.approx(figure(y, p), abs=1e-13)
    got = metrics.bootstrap(y, p, name, n=8)
    assert got.low <= got.point * 1.1
    assert np.isfinite(got.samples).all()
