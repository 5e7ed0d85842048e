"""RMSE, PRD, correlation and SSIM: NumPy's and scikit-image's values in double."""

import numpy as np
import pytest

import ecgkit as ek
from ecgkit import metrics


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("t", [1, 3, 64, 1001])
def test_errors_per_row_are_numpys(isa, dtype, t):
    rng = np.random.default_rng(t)
    x = rng.normal(0.3, 1, (3, 4, t)).astype(dtype)
    y = (x + 0.1 * rng.normal(size=x.shape)).astype(dtype)
    a, b = x.astype(np.float64), y.astype(np.float64)
    apart = ((a - b) ** 2).sum(-1)
    np.testing.assert_allclose(metrics.rmse(x, y), np.sqrt(apart / t), rtol=1e-12)
    want = 100 * np.sqrt(apart / (a**2).sum(-1))
    np.testing.assert_allclose(metrics.prd(x, y), want, rtol=1e-12)
    if t > 1:
        about = ((a - a.mean(-1, keepdims=True)) ** 2).sum(-1)
        np.testing.assert_allclose(
            metrics.prd(x, y, centred=True), 100 * np.sqrt(apart / about), rtol=1e-12
        )
        r = [[np.corrcoef(p, q)[0, 1] for p, q in zip(m, n)] for m, n in zip(a, b)]
        np.testing.assert_allclose(metrics.correlation(x, y), r, rtol=1e-11)
    assert np.array_equal(metrics.rmse(x, y, threads=1), metrics.rmse(x, y, threads=2))


def test_edges_of_signals(isa):
    x = np.ones((2, 50))
    assert np.isnan(metrics.correlation(x, x)).all()
    assert metrics.rmse(x[0], x[0]) == 0.0
    assert np.isnan(metrics.prd(0 * x, x)).all()
    x[0, 3] = np.nan
    assert np.isnan(metrics.rmse(x, np.ones((2, 50)))).tolist() == [True, False]
    far = 1e8 + np.arange(50.0)
    assert metrics.correlation(far, 2 * far) == pytest.approx(1.0, abs=1e-14)
    with pytest.raises(ek.LayoutError, match="one shape"):
        metrics.rmse(x, x[0])
    with pytest.raises(ek.LayoutError, match="samples"):
        metrics.prd(x[:, :0], x[:, :0])


@pytest.mark.parametrize("shape", [(7, 7), (40, 33), (64, 200)])
@pytest.mark.parametrize("kind", ["uint8", "float64"])
def test_ssim_is_scikit_images(isa, shape, kind):
    skimage = pytest.importorskip("skimage.metrics", exc_type=ImportError)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, shape).astype(np.float64)
    y = np.clip(x + rng.normal(0, 20, shape), 0, 255)
    if kind == "uint8":
        x, y, span = x.astype(np.uint8), y.astype(np.uint8), {}
    else:
        span = {"data_range": 255.0}
    want = skimage.structural_similarity(x, y, data_range=255)
    assert metrics.ssim(x, y, **span) == pytest.approx(want, abs=1e-12)
    if min(shape) >= 11:
        want = skimage.structural_similarity(
            x, y, data_range=255, gaussian_weights=True, use_sample_covariance=False
        )
        got = metrics.ssim(x, y, **span, gaussian=True, sample_covariance=False)
        assert got == pytest.approx(want, abs=1e-12)


def windows(x, y, side, span):
    """The definition at every place, window by window."""
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    out = []
    for i in range(x.shape[0] - side + 1):
        for j in range(x.shape[1] - side + 1):
            a = x[i : i + side, j : j + side].ravel()
            b = y[i : i + side, j : j + side].ravel()
            s = np.cov(a, b)
            out.append(
                (2 * a.mean() * b.mean() + c1)
                * (2 * s[0, 1] + c2)
                / ((a.mean() ** 2 + b.mean() ** 2 + c1) * (s[0, 0] + s[1, 1] + c2))
            )
    return np.mean(out)


@pytest.mark.parametrize("side", [3, 5, 7])
def test_ssim_is_the_definition_in_batches(isa, side):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 2, 3, 20, 18))
    got = metrics.ssim(x, y, data_range=4, window=side)
    want = [[windows(a, b, side, 4) for a, b in zip(p, q)] for p, q in zip(x, y)]
    np.testing.assert_allclose(got, want, atol=1e-12)
    assert np.array_equal(got, metrics.ssim(x, y, data_range=4, window=side, threads=1))
    assert metrics.ssim(x, x, data_range=4)[0, 0] == pytest.approx(1.0, abs=1e-14)
    x[0, 1, 3, 3] = np.nan
    assert np.isnan(metrics.ssim(x, y, data_range=4)).sum() == 1


def test_ssim_says_what_it_needs():
    x = np.zeros((20, 20))
    with pytest.raises(ek.MetricError, match="data_range is needed"):
        metrics.ssim(x, x)
    with pytest.raises(ek.MetricError, match="above 0"):
        metrics.ssim(x, x, data_range=0)
    with pytest.raises(ek.LayoutError, match="window"):
        metrics.ssim(x, x, data_range=1, window=21)
    with pytest.raises(ek.LayoutError, match="window"):
        metrics.ssim(x, x, data_range=1, window=4)
    with pytest.raises(ek.LayoutError, match="one shape"):
        metrics.ssim(x, x[1:], data_range=1)
