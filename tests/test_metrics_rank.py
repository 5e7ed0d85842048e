"""AUROC, average precision, their bootstrap and DeLong: exact with ties and absent classes."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.metrics import precision_recall_curve as sk_pr
from sklearn.metrics import roc_curve as sk_roc

import ecgkit as ek
from ecgkit import metrics


def labelled(n=300, c=7, seed=0, ties=True, dtype=np.float64):
    rng = np.random.default_rng(seed)
    y = (rng.random((n, c)) < rng.uniform(0.02, 0.6, c)).astype(np.uint8)
    y[0], y[1], y[2], y[3] = 1, 0, 1, 0
    s = (rng.normal(size=(n, c)) + y).astype(dtype)
    if ties:
        s[:, ::2] = np.round(s[:, ::2] * 2) / 2
    return y, s


def pairs_auroc(y, s):
    """The definition: every pair, ties half, in exact integers."""
    a, b = s[y == 1][:, None], s[y == 0][None]
    return float((2 * (a > b).sum() + (a == b).sum()) / (2 * a.size * b.size))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_auroc_is_the_count_of_pairs(dtype):
    y, s = labelled(dtype=dtype)
    got = metrics.auroc(y, s, average=None)
    assert got.tolist() == [pairs_auroc(y[:, k], s[:, k]) for k in range(y.shape[1])]
    assert metrics.auroc(y[:, 0], s[:, 0]) == got[0]


@pytest.mark.parametrize("average", ["macro", "weighted", "micro", None])
def test_agrees_with_scikit_learn(average):
    y, s = labelled()
    for ours, theirs in (
        (metrics.auroc, roc_auc_score),
        (metrics.average_precision, average_precision_score),
    ):
        np.testing.assert_allclose(
            ours(y, s, average=average), theirs(y, s, average=average), rtol=0, atol=1e-14
        )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.booleans(), st.sampled_from([-np.inf, -1.5, -0.0, 0.0, 5e-324, 1e-9, 2.0, np.inf])
        ),
        min_size=2,
        max_size=40,
    )
)
def test_any_scores_with_ties_infinities_and_signed_zeros(rows):
    y = np.array([a for a, _ in rows], np.uint8)
    s = np.array([b for _, b in rows])
    if 0 < y.sum() < len(y):
        assert metrics.auroc(y, s) == pairs_auroc(y, s)
        assert metrics.auroc(y, -s) == pytest.approx(1 - metrics.auroc(y, s), abs=1e-15)
    else:
        with pytest.raises(ek.MetricError, match="not defined"):
            metrics.auroc(y, s)


def test_golden_values():
    assert metrics.auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) == 0.75
    assert metrics.auroc([0, 1, 0, 1], [1, 1, 2, 2]) == 0.5


def test_curves_are_scikit_learns():
    y, s = labelled()
    for k in range(2):
        fpr, tpr, at = metrics.roc_curve(y[:, k], s[:, k])
        want = sk_roc(y[:, k], s[:, k], drop_intermediate=False)
        for a, b in zip((fpr, tpr, at), want):
            np.testing.assert_allclose(a, b, atol=1e-15)
        precision, recall, _ = metrics.precision_recall_curve(y[:, k], s[:, k])
        want_p, want_r, _ = sk_pr(y[:, k], s[:, k])
        np.testing.assert_allclose(precision, want_p[::-1], atol=1e-15)
        np.testing.assert_allclose(recall, want_r[::-1], atol=1e-15)


def test_absent_classes_are_refused_or_left_out():
    y, s = labelled()
    y[:, 2], y[:, 4] = 0, 1
    with pytest.raises(ek.MetricError, match="class 2, 4"):
        metrics.auroc(y, s)
    each = metrics.auroc(y, s, average=None, undefined="omit")
    assert np.flatnonzero(np.isnan(each)).tolist() == [2, 4]
    assert metrics.auroc(y, s, undefined="omit") == pytest.approx(np.nanmean(each), abs=1e-15)


@pytest.mark.parametrize("bad", [2, -1, 0.5, np.nan])
def test_labels_other_than_0_and_1_are_refused(bad):
    y, s = labelled()
    y = y.astype(float)
    y[5, 1] = bad
    with pytest.raises(ek.MetricError, match="0 or 1"):
        metrics.auroc(y, s)


def test_nan_scores_wrong_shapes_and_nothing_are_refused():
    y, s = labelled()
    s[3, 3] = np.nan
    with pytest.raises(ek.MetricError, match="NaN"):
        metrics.auroc(y, s)
    with pytest.raises(ek.LayoutError, match="one shape"):
        metrics.auroc(y, s[:, :3])
    with pytest.raises(ek.LayoutError, match="nothing"):
        metrics.auroc(y[:0], s[:0])
    with pytest.raises(ek.MetricError, match="dtype"):
        metrics.auroc(y, s.astype(complex))
    with pytest.raises(ValueError, match="average"):
        metrics.auroc(y, np.nan_to_num(s), average="mean")


def test_strided_and_other_types_give_the_same():
    y, s = labelled(dtype=np.float32)
    want = metrics.auroc(y[::-1, ::2].copy(), s[::-1, ::2].astype(np.float64))
    assert metrics.auroc(y[::-1, ::2].astype(np.int64), s[::-1, ::2]) == want
    assert metrics.auroc(y.astype(bool)[::-1, ::2], s[::-1, ::2], threads=2) == want


# -------------------------------------------------------------------------- bootstrap
def loop(figure, y, s, indices):
    out = np.full((len(indices), y.shape[1]), np.nan)
    for b, at in enumerate(indices):
        for k in range(y.shape[1]):
            if 0 < y[at, k].sum() < len(at):
                out[b, k] = figure(y[at, k], s[at, k])
    return out


@pytest.mark.parametrize("figure", ["auroc", "average_precision"])
@pytest.mark.parametrize("draws", [1, 63, 64, 70])
def test_given_indices_agree_with_the_loop(isa, figure, draws):
    y, s = labelled(n=90, c=4)
    y[:, 1] = 0
    y[:2, 1] = 1  # absent in some draws
    indices = np.random.default_rng(1).integers(0, 90, (draws, 90))
    theirs = {"auroc": roc_auc_score, "average_precision": average_precision_score}[figure]
    want = loop(theirs, y, s, indices)
    got = metrics.bootstrap(y, s, figure, indices=indices)
    if figure == "average_precision":
        defined = ~np.isnan(want)
        np.testing.assert_allclose(got.per_class[defined], want[defined], atol=1e-13)
    else:
        np.testing.assert_allclose(got.per_class, want, rtol=0, atol=1e-14)
        np.testing.assert_allclose(got.samples, np.nanmean(want, 1), atol=1e-14)
        assert got.omitted == np.isnan(want).any(1).sum()


def test_heavy_counts_leave_the_bytes_and_stay_exact(isa):
    y, s = labelled(n=60, c=3)
    indices = np.r_["1", np.full((5, 400), 7), np.tile(np.arange(60), (5, 1))]
    want = loop(roc_auc_score, y, s, indices)
    got = metrics.bootstrap(y, s, indices=indices)
    np.testing.assert_allclose(got.per_class, want, rtol=0, atol=1e-14)


@pytest.mark.parametrize("n", [40_000, 70_000])
def test_many_records_do_not_overflow(isa, n):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, n).astype(np.uint8)
    s = rng.normal(size=n) + 0.1 * y
    indices = rng.integers(0, n, (2, n))
    got = metrics.bootstrap(y, s, indices=indices)
    want = [roc_auc_score(y[at], s[at]) for at in indices]
    np.testing.assert_allclose(got.samples, want, rtol=0, atol=1e-13)


def test_patients_are_drawn_with_all_their_records(isa):
    y, s = labelled(n=120, c=3)
    groups = np.random.default_rng(2).integers(100, 130, 120)
    got = metrics.bootstrap(y, s, n=20, seed=3, groups=groups)
    names = np.unique(groups)
    rng = np.random.default_rng(3)
    drawn = rng.integers(0, len(names), (20, len(names)), dtype=np.int32)
    rows = [np.concatenate([np.flatnonzero(groups == names[u]) for u in d]) for d in drawn]
    want = np.vstack([loop(roc_auc_score, y, s, [at]) for at in rows])
    np.testing.assert_allclose(got.per_class, want, rtol=0, atol=1e-14)
    assert got.units == len(names)
    assert "patients" in got.rule


def test_strata_keep_their_sizes():
    y, s = labelled(n=200, c=1)
    got = metrics.bootstrap(y, s, n=50, strata=y[:, 0])
    assert got.omitted == 0
    with pytest.raises(ek.LayoutError, match="two strata"):
        metrics.bootstrap(y, s, strata=np.arange(200), groups=np.arange(200) // 2)


def test_rejection_keeps_draws_with_every_class_and_counts_the_rest():
    y, s = labelled(n=80, c=3)
    y[:, 1] = 0
    y[5, 1] = 1
    got = metrics.bootstrap(y, s, n=100, reject_undefined=True)
    assert len(got.samples) == 100
    assert got.rejected > 20
    assert not np.isnan(got.per_class).any()
    plain = metrics.bootstrap(y, s, n=100)
    both = ~np.isnan(plain.per_class).any(1)
    assert np.array_equal(got.per_class[: both.sum()], plain.per_class[both])


def test_same_bits_for_any_thread_count_and_instruction_set(isa):
    y, s = labelled(n=500, c=9)
    one = metrics.bootstrap(y, s, n=130, threads=1)
    assert np.array_equal(one.per_class, metrics.bootstrap(y, s, n=130, threads=2).per_class)
    before = ek.simd.use("ref")
    try:
        assert np.array_equal(one.per_class, metrics.bootstrap(y, s, n=130).per_class)
    finally:
        ek.simd.use(before)


def test_any_function_can_be_resampled_and_names_are_checked():
    y, s = labelled(n=100, c=2)
    fast = metrics.bootstrap(y, s, n=12)
    slow = metrics.bootstrap(y, s, lambda a, b: metrics.auroc(a, b, undefined="omit"), n=12)
    np.testing.assert_allclose(fast.samples, slow.samples, atol=1e-15)
    with pytest.raises(ValueError, match="metric must be one of"):
        metrics.bootstrap(y, s, "loss")


@pytest.mark.parametrize("metric", ["auroc", "average_precision", metrics.auroc])
def test_indices_out_of_range_are_refused(metric):
    y, s = labelled(n=50, c=2)
    for bad in (50, -1):
        with pytest.raises(ek.MetricError, match="indices"):
            metrics.bootstrap(y, s, metric, indices=[[0, 1, bad]])
    with pytest.raises(ek.LayoutError, match="indices"):
        metrics.bootstrap(y, s, metric, indices=[0, 1])


def test_ptbxl_protocol_rejects_and_is_bit_equal_given_its_indices():
    y, s = labelled(n=150, c=4, dtype=np.float32)
    y[:, 2] = 0
    y[[4, 9], 2] = 1
    rng = np.random.RandomState(5)
    kept = []
    while len(kept) < 100:  # the published loop
        at = rng.randint(0, 150, 150)
        if (y[at].sum(0) > 0).all():
            kept.append(at)
    got = metrics.bootstrap_ptbxl(y, s, seed=5)
    given = metrics.bootstrap_ptbxl(y, s, indices=kept)
    assert np.array_equal(got.per_class, given.per_class)
    assert got.rejected > 0
    assert got.level == 0.9
    exact = [[pairs_auroc(y[at, k], s[at, k]) for k in range(4)] for at in kept]
    assert np.array_equal(given.per_class, exact)
    assert given.low == np.quantile(given.samples, 0.05)


# ----------------------------------------------------------------------------- DeLong
def delong_by_pairs(y, models):
    """DeLong's covariance from the definition: every pair, then numpy.cov."""
    parts = []
    for s in models:
        a, b = s[y == 1][:, None], s[y == 0][None]
        psi = (a > b) + 0.5 * (a == b)
        parts.append((psi.mean(1), psi.mean(0)))
    v10, v01 = np.array([p for p, _ in parts]), np.array([q for _, q in parts])
    covariance = np.cov(v10) / v10.shape[1] + np.cov(v01) / v01.shape[1]
    return v10.mean(1), np.atleast_2d(covariance)


def test_delong_is_the_definition_with_ties():
    y, s = labelled(n=200, c=2)
    truth = y[:, 0]
    area, covariance = delong_by_pairs(truth, [s[:, 0], s[:, 1]])
    got = metrics.delong(truth, s[:, 0], s[:, 1])
    np.testing.assert_allclose(got.areas.ravel(), area, atol=1e-14)
    np.testing.assert_allclose(got.covariance, covariance, rtol=1e-12)
    gap = math.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert got.difference_error == pytest.approx(gap, rel=1e-12)
    assert got.z == pytest.approx((area[0] - area[1]) / gap, rel=1e-12)
    assert got.z * metrics.delong(truth, s[:, 1], s[:, 0]).z < 0


def test_delong_of_macro_is_the_variance_of_the_mean():
    y, s = labelled(n=300, c=5)
    got = metrics.delong(y, s)
    assert got.auroc == pytest.approx(metrics.auroc(y, s), abs=1e-15)
    assert got.standard_error == pytest.approx(math.sqrt(got.covariance.mean()), rel=1e-12)
    drawn = metrics.bootstrap(y, s, n=4000).standard_error
    assert got.standard_error == pytest.approx(drawn, rel=0.1)


def test_delong_by_patient_widens_for_repeated_records():
    y, s = labelled(n=200, c=2)
    y4, s4 = np.tile(y, (4, 1)), np.tile(s, (4, 1))
    one = metrics.delong(y, s).standard_error
    assert metrics.delong(y4, s4).standard_error < 0.6 * one
    groups = np.tile(np.arange(200), 4)
    assert metrics.delong(y4, s4, groups=groups).standard_error == pytest.approx(one, rel=0.02)


def test_delong_edges():
    y = np.array([0, 0, 0, 1, 1])
    s = np.arange(5.0)
    perfect = metrics.delong(y, s)
    assert (perfect.auroc, perfect.low, perfect.high) == (1.0, 1.0, 1.0)
    same = metrics.delong(y, s, s)
    assert (same.z, same.p, same.difference) == (0.0, 1.0, 0.0)
    with pytest.raises(ek.MetricError, match="two positives"):
        metrics.delong([0, 0, 1], [1, 2, 3])
    many = np.c_[y, [0, 0, 0, 0, 1]]
    left = metrics.delong(many, np.c_[s, s], undefined="omit")
    assert left.omitted == (1,)
    assert left.auroc == 1.0
    inside = metrics.delong(*[a[:, 0] for a in labelled()], scale="logit")
    assert 0 < inside.low < inside.auroc < inside.high < 1


def test_delong_of_many_records_does_not_overflow():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 300_000)
    s = rng.normal(size=300_000) + y
    got = metrics.delong(y, s, -s)
    assert 0.75 < got.low < got.auroc < got.high < 0.77
    assert got.p == 0.0
    assert -1e9 < got.log10_p < -1000
