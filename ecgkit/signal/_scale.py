"""Amplitude scaling."""

from .._config import _core
from .._typing import Array, ArrayLike


def zscore(x: ArrayLike, *, out: Array | None = None, threads: int | None = None) -> Array:
    """Zero mean and unit population deviation along the last axis.

    Parameters
    ----------
    x : array_like, shape (..., time)
        Real numbers.
    out : ndarray, optional
        float32, C-contiguous, the shape of ``x``; may be ``x`` itself.
    threads : int, optional
        Default: the process setting.

    Returns
    -------
    ndarray, float32, shape (..., time)
        A constant row becomes 0; a NaN makes its row NaN.
    """
    return _core.zscore(x, out, threads)
