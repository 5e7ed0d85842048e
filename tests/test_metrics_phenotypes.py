"""Associations of scores and outcomes, multiplicity, distances of prototypes."""

import numpy as np
import pytest
import scipy.spatial.distance as sd
import scipy.stats

import ecgkit as ek
from ecgkit import metrics


def cohort(n=400, p=11, d=5, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    y = (rng.random((n, d)) < 0.1).astype(np.uint8)
    s = rng.normal(size=(n, p)).astype(dtype)
    s[:, 0] += y[:, 1]
    s[:, 3] = np.round(s[:, 3])
    return s, y


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_areas_and_tests_are_scikit_learns_and_scipys(dtype):
    s, y = cohort(dtype=dtype)
    got = metrics.associate(s, y)
    for f in range(s.shape[1]):
        for k in range(y.shape[1]):
            assert got.auroc[f, k] == pytest.approx(metrics.auroc(y[:, k], s[:, f]), abs=1e-14)
            cases, rest = (s[y[:, k] == v, f].astype(np.float64) for v in (1, 0))
            want = scipy.stats.mannwhitneyu(
                cases, rest, use_continuity=False, method="asymptotic"
            ).pvalue
            assert 10 ** got.log10_p[f, k] == pytest.approx(want, rel=1e-9)
    lists = {k: np.flatnonzero(y[:, k]) for k in range(y.shape[1])}
    assert np.array_equal(metrics.associate(s, lists, threads=2).z, got.z)
    assert got.significant()[0, 1]


def test_a_mapped_file_is_read_in_columns(tmp_path):
    s, y = cohort()
    np.save(tmp_path / "s.npy", s)
    mapped = np.load(tmp_path / "s.npy", mmap_mode="r")
    assert np.array_equal(metrics.associate(mapped, y).auroc, metrics.associate(s, y).auroc)


def test_absent_outcomes_constant_scores_and_underflow():
    s, y = cohort(n=6000)
    y[:, 2], s[:, 5] = 0, 1.0
    s[:, 0] += 100 * y[:, 1]
    got = metrics.associate(s, y)
    assert np.isnan(got.z[:, 2]).all()
    assert got.z[5, 0] == 0
    assert -1000 < got.log10_p[0, 1] < -300
    assert got.significant(method="bh")[0, 1]


def test_bad_input_is_refused():
    s, y = cohort()
    with pytest.raises(ek.MetricError, match="twice"):
        metrics.associate(s, {"a": [1, 1]})
    with pytest.raises(ek.MetricError, match=r"0\.\.399"):
        metrics.associate(s, {"a": [400]})
    with pytest.raises(ek.MetricError, match="0 or 1"):
        metrics.associate(s, y + 1)
    with pytest.raises(ek.LayoutError, match="rows"):
        metrics.associate(s, y[1:])
    s[0, 0] = np.nan
    with pytest.raises(ek.MetricError, match="NaN"):
        metrics.associate(s, y)


def test_adjusted_p_values():
    p = [0.01, 0.04, 0.03, 0.005]
    np.testing.assert_allclose(metrics.adjust(p), [0.02, 0.04, 0.04, 0.02], rtol=1e-15)
    np.testing.assert_allclose(
        metrics.adjust(p, method="bonferroni"), [0.04, 0.16, 0.12, 0.02], rtol=1e-15
    )
    many = np.random.default_rng(0).random(500) ** 3
    np.testing.assert_allclose(
        metrics.adjust(many), scipy.stats.false_discovery_control(many), rtol=1e-12
    )
    np.testing.assert_allclose(
        10 ** metrics.adjust(np.log10(many), log10=True), metrics.adjust(many), rtol=1e-12
    )
    assert np.isnan(metrics.adjust([0.1, np.nan])[1])
    assert metrics.adjust([0.1, np.nan])[0] == 0.1
    with pytest.raises(ek.MetricError, match=r"0\.\.1"):
        metrics.adjust([1.5])


def test_mann_whitney_golden():
    assert metrics.mann_whitney([1, 2, 3], [2, 4, 6]).u == 1.5
    assert metrics.mann_whitney([2, 4, 6], [1, 2, 3]).u == 7.5


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_prototype_distances_are_the_pairs(metric):
    rng = np.random.default_rng(1)
    x, classes = rng.normal(size=(40, 6, 5)), rng.integers(0, 6, 40)
    classes[classes == 4] = 5
    classes[0], classes[1:][classes[1:] == 0] = 0, 1
    x[np.flatnonzero(classes == 5)[1]] = x[np.flatnonzero(classes == 5)[0]]
    got = metrics.prototype_distances(x, classes, metric=metric)
    d = sd.cdist(x.reshape(40, -1), x.reshape(40, -1), metric)
    for i, a in enumerate(got.classes):
        for j, b in enumerate(got.classes):
            block = d[np.ix_(classes == a, classes == b)]
            if i == j:
                block = block[np.triu_indices(len(block), 1)]
            if block.size:
                assert got.inter[i, j] == pytest.approx(block.mean(), abs=1e-12)
    assert np.isnan(got.intra[0])
    assert got.duplicates.tolist()[-1] == 1
    golden = metrics.prototype_distances([[1, 0], [0, 1], [1, 1]], [0, 0, 0])
    assert golden.intra[0] == pytest.approx(0.5285954792, abs=1e-10)


def test_class_sums_have_the_same_bits_for_any_thread_count():
    rng = np.random.default_rng(3)
    x, classes = rng.normal(size=(300, 130)), rng.integers(0, 7, 300)
    one = metrics.prototype_distances(x, classes, threads=1)
    two = metrics.prototype_distances(x, classes, threads=2)
    assert np.array_equal(one.inter, two.inter)
    assert np.isfinite(one.inter).all()


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_prototypes_that_are_not_finite_are_refused(metric, bad):
    x = np.ones((4, 3))
    x[2, 1] = bad
    with pytest.raises(ek.MetricError, match=r"NaN|not finite"):
        metrics.prototype_distances(x, [0, 0, 1, 1], metric=metric)
    with pytest.raises(ek.MetricError, match="zero"):
        metrics.prototype_distances(np.zeros((2, 3)), [0, 0])


def test_equal_prototypes_are_counted_within_their_class():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(6, 5))[[0, 0, 0, 1, 1, 2, 3, 4]]
    got = metrics.prototype_distances(x, [0, 0, 1, 1, 1, 1, 0, 0])
    assert got.duplicates.tolist() == [1, 1]


def test_mixed_classes():
    rng = np.random.default_rng(2)
    classes = np.repeat(np.arange(30), 4)
    wide = np.repeat(np.arange(30) % 2 == 0, 4)
    centre = rng.normal(size=(30, 20))[classes]
    x = centre + np.where(wide, 2.0, 0.1)[:, None] * rng.normal(size=(120, 20))
    flags = np.where(wide[:, None], rng.random((120, 8)) < 0.5, classes[:, None] % 3 == 0)
    got = metrics.mixed_class_test(flags, classes, metrics.prototype_distances(x, classes))
    assert got.mean_mixed > got.mean_consistent
    assert got.permutation_p < 0.001
    with pytest.raises(ek.MetricError, match="both kinds"):
        metrics.mixed_class_test(
            np.ones((120, 3), bool), classes, metrics.prototype_distances(x, classes)
        )
