"""What the engine's tests share: PyTorch as the witness, in float32 and in float64."""

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

grid = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def numbers(*shape, seed=0, scale=1.0):
    return (scale * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)


def check(got, function, *arrays):
    """``function`` is PyTorch's; it runs in float32 and in float64."""
    tensors = [None if a is None else torch.from_numpy(a) for a in arrays]
    f32 = function(*tensors).numpy()
    f64 = function(*(None if t is None else t.double() for t in tensors)).numpy()
    assert got.dtype == np.float32
    assert got.shape == f64.shape
    if f64.size == 0:
        return
    scale = max(1.0, np.abs(f64).max())
    ours, theirs = np.abs(got - f64).max(), np.abs(f32 - f64).max()
    assert ours <= 2 * theirs + 1e-7 * scale, f"ours {ours:.3g}, PyTorch {theirs:.3g}"


def both(function, *args, **kwargs):
    """The result on one thread, after checking that two threads give the same bits."""
    one = function(*args, **kwargs, threads=1)
    assert np.array_equal(one, function(*args, **kwargs, threads=2), equal_nan=True)
    return one


def same_specials(got, want):
    """NaN and infinities where PyTorch has them, the rest within the rounding of both."""
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_array_equal(np.isposinf(got), np.isposinf(want))
    np.testing.assert_array_equal(np.isneginf(got), np.isneginf(want))
    kept = np.isfinite(want)
    np.testing.assert_allclose(got[kept], want[kept], rtol=1e-5, atol=1e-5)
