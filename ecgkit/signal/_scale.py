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
        C-contiguous, the shape and dtype of the result; may be ``x`` itself.
    threads : int, optional
        Default: the process setting.

    Returns
    -------
    ndarray, shape (..., time)
        float64 if ``x`` is float64, else float32. A constant row becomes 0; a NaN makes its row
        NaN.
    """
    return _core.zscore(x, out, threads)
