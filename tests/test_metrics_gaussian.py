"""Gaussian Frechet distance and kernel distance: high precision, any rank, nothing added."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

import ecgkit as ek
from ecgkit import metrics
from ecgkit.metrics import FeatureStatistics, frechet_features, frechet_gaussian


def features(n, d, seed=0, rank=None, shift=0.0):
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(rank or d, d)) / np.sqrt(rank or d)
    return rng.normal(size=(n, rank or d)) @ mix + shift


def by_singular_values(x, y):
    """The identity behind it: tr (S1 S2)^(1/2) is the nuclear norm of centred X Y^T."""
    a = (x - x.mean(0)) / np.sqrt(len(x) - 1)
    b = (y - y.mean(0)) / np.sqrt(len(y) - 1)
    root = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    gap = x.mean(0) - y.mean(0)
    return gap @ gap + (a**2).sum() + (b**2).sum() - 2 * root


def scale(x, y):
    return np.var(x, axis=0, ddof=1).sum() + np.var(y, axis=0, ddof=1).sum()


@pytest.mark.parametrize("d", [1, 2, 17, 64, 200])
def test_agrees_with_sqrtm_and_with_singular_values(d):
    x, y = features(3 * d + 10, d, 0), features(3 * d + 20, d, 1, shift=0.3)
    s1, s2 = np.atleast_2d(np.cov(x.T)), np.atleast_2d(np.cov(y.T))
    got = frechet_gaussian(x.mean(0), s1, y.mean(0), s2)
    root = np.trace(scipy.linalg.sqrtm(s1 @ s2).real)
    gap = x.mean(0) - y.mean(0)
    assert got.value == pytest.approx(gap @ gap + np.trace(s1 + s2) - 2 * root, rel=1e-9)
    assert got.value == pytest.approx(by_singular_values(x, y), rel=1e-9)
    assert frechet_features(x, y).value == pytest.approx(got.value, rel=1e-9)
    assert got.rank1 == got.rank2 == d
    assert got.clipped == 0


@pytest.mark.parametrize(
    ("n", "m", "d"), [(11, 11, 300), (30, 500, 80), (500, 30, 80), (80, 81, 80), (2, 2, 5)]
)
def test_fewer_records_than_dimensions_are_exact(n, m, d):
    x, y = features(n, d, 2), features(m, d, 3, shift=0.1)
    got = frechet_features(x, y)
    want = by_singular_values(x, y)
    assert abs(got.value - want) < 1e-9 * scale(x, y)
    assert got.rank1 == min(n - 1, d)
    by_covariance = frechet_gaussian(x.mean(0), np.cov(x.T), y.mean(0), np.cov(y.T))
    assert abs(by_covariance.value - want) < 1e-9 * scale(x, y)


def test_singular_covariances_need_no_help():
    x, y = features(400, 60, 4, rank=20), features(400, 60, 5, rank=35)
    got = frechet_gaussian(x.mean(0), np.cov(x.T), y.mean(0), np.cov(y.T))
    assert abs(got.value - by_singular_values(x, y)) < 1e-9 * scale(x, y)
    assert (got.rank1, got.rank2) == (20, 35)
    zero = frechet_gaussian(np.zeros(3), np.zeros((3, 3)), np.ones(3), np.eye(3))
    assert zero.value == 6.0


@settings(max_examples=30, deadline=None)
@given(d=st.integers(1, 12), seed=st.integers(0, 2**31))
def test_properties(d, seed):
    x, y = features(40, d, seed), features(50, d, seed + 1, shift=1)
    ab, ba = frechet_features(x, y), frechet_features(y, x)
    assert ab.value == pytest.approx(ba.value, rel=1e-9)
    assert ab.value > 0
    assert abs(frechet_features(x, x).value) < 1e-10 * scale(x, x)
    moved = frechet_features(x + 7, y + 7)
    assert moved.value == pytest.approx(ab.value, rel=1e-8)


def test_golden_value():
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1.0]])
    assert frechet_features(x, 2 * x + 1).value == pytest.approx(5.166666666666666, rel=1e-14)


def test_large_means_do_not_cancel():
    x, y = features(300, 20, 6), features(300, 20, 7)
    far = frechet_features(x + 1e6, y + 1e6)
    assert far.value == pytest.approx(frechet_features(x, y).value, rel=1e-6)
    got = metrics.feature_statistics((x + 1e3).astype(np.float32))
    want = np.cov((x + 1e3).astype(np.float32).astype(np.float64).T)
    np.testing.assert_allclose(got.covariance, want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("n", "d"), [(600, 5), (1500, 300), (513, 129), (9, 30)])
def test_moments_are_numpys_for_any_thread_count(n, d):
    x = features(n, d, 8)
    got = metrics.feature_statistics(x, threads=2)
    np.testing.assert_allclose(got.mean, x.mean(0), atol=1e-13)
    if n > d:
        np.testing.assert_allclose(got.covariance, np.cov(x.T), atol=1e-12)
        one = metrics.feature_statistics(x, threads=1)
        assert np.array_equal(got.covariance, one.covariance)
        assert np.array_equal(got.covariance, got.covariance.T)
    else:
        np.testing.assert_allclose(got.rows.T @ got.rows, np.cov(x.T), atol=1e-12)


def test_bad_covariances_are_refused():
    eye, zero = np.eye(3), np.zeros(3)
    skew = eye.copy()
    skew[0, 1] = 0.1
    with pytest.raises(ek.MetricError, match="not symmetric"):
        frechet_gaussian(zero, skew, zero, eye)
    for pair in ((np.diag([1, 1, -0.1]), eye), (eye, np.diag([1, -2, 1.0])), (-eye, eye)):
        with pytest.raises(ek.MetricError, match="below zero"):
            frechet_gaussian(zero, pair[0], zero, pair[1])
    with pytest.raises(ek.MetricError, match="NaN"):
        frechet_gaussian(zero, eye * np.nan, zero, eye)
    with pytest.raises(ek.LayoutError, match="shape"):
        frechet_gaussian(zero, np.eye(2), zero, eye)
    with pytest.raises(ek.LayoutError, match="dimension"):
        frechet_gaussian(zero, eye, np.zeros(2), np.eye(2))
    rounding = np.diag([1, 1, -1e-9])
    got = frechet_gaussian(zero, rounding, zero, eye)
    assert got.clipped == pytest.approx(1e-9)
    with pytest.raises(ek.LayoutError, match="two records"):
        frechet_features(np.zeros((1, 3)), np.zeros((5, 3)))
    bad = features(10, 3)
    bad[2, 1] = np.inf
    with pytest.raises(ek.MetricError, match="NaN or infinity"):
        frechet_features(bad, features(10, 3))


@pytest.mark.parametrize("n", [20, 200])
def test_statistics_are_saved_and_used(tmp_path, n):
    x, y = features(n, 50, 9), features(150, 50, 10)
    made = metrics.feature_statistics(x)
    made.save(tmp_path / "reference.safetensors")
    read = FeatureStatistics.load(tmp_path / "reference.safetensors")
    assert read.n == n
    assert frechet_features(read, y).value == frechet_features(x, y).value
    ek.weights.save(tmp_path / "other.safetensors", {"a": np.zeros(3, np.float32)})
    with pytest.raises(ek.FormatError, match="not feature statistics"):
        FeatureStatistics.load(tmp_path / "other.safetensors")


def test_interval_and_extrapolation():
    x, y = features(400, 10, 11), features(400, 10, 12)
    got = frechet_features(x, y, bootstrap=40, extrapolate=True)
    assert got.low < got.high
    assert len(got.samples) == 40
    assert got.unlimited < got.value
    assert "biased upwards" in got.note
    again = frechet_features(x, y, bootstrap=40, extrapolate=True)
    assert np.array_equal(again.samples, got.samples)


def test_kid_is_the_unbiased_estimate():
    x, y = features(150, 12, 13), features(170, 12, 14, shift=0.2)

    def kernel(a, b):
        return (a @ b.T / 12 + 1) ** 3

    xx, yy = kernel(x, x), kernel(y, y)
    want = (xx.sum() - np.trace(xx)) / (150 * 149) + (yy.sum() - np.trace(yy)) / (170 * 169)
    want -= 2 * kernel(x, y).mean()
    assert metrics.kid(x, y).value == pytest.approx(want, rel=1e-11)
    assert metrics.kid(x, y, threads=1).value == metrics.kid(x, y, threads=2).value
    part = metrics.kid(x, y, subsets=20, subset_size=50, seed=1)
    assert part.samples.shape == (20,)
    assert part.value == metrics.kid(x, y, subsets=20, subset_size=50, seed=1).value
    with pytest.raises(ek.MetricError, match="NaN"):
        metrics.kid(x * np.nan, y)


def test_presets_are_named_and_differ_from_the_plain_distance():
    rng = np.random.default_rng(0)
    real, made = rng.normal(size=(2, 3, 11, 64))
    plain = [frechet_features(a, b).value for a, b in zip(real, made)]
    got = metrics.frechet_clips(real, made, preset="echopulse-fid")
    np.testing.assert_allclose(got, np.array(plain) / 11, rtol=1e-12)
    np.testing.assert_allclose(
        metrics.frechet_clips(real, made, preset="echopulse-fid-notebook"), plain, rtol=1e-12
    )
    scaled = metrics.frechet_clips(real, made, preset="echopulse-fvd")

    def unit(x):
        return (x - x.min(0)) / (x.max(0) - x.min(0))

    want = [frechet_features(unit(a), unit(b)).value for a, b in zip(real, made)]
    np.testing.assert_allclose(scaled, want, rtol=1e-12)
    with pytest.raises(ek.MetricError, match="preset must be one of"):
        metrics.frechet_clips(real, made, preset="fid")
