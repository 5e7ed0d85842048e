"""Cross- and autocorrelation."""

from __future__ import annotations

import numpy as np

from .._config import _core
from .._typing import Array, ArrayLike


def correlate(
    x: ArrayLike,
    y: ArrayLike,
    *,
    max_lag: int,
    normalize: bool = True,
    threads: int | None = None,
) -> Array:
    """Cross-correlation of rows over a range of lags, computed in double through the spectrum.

    Parameters
    ----------
    x, y : array_like, shape (..., time)
        Real numbers, of one shape.
    max_lag : int
        Largest lag in samples, below the number of samples.
    normalize : bool
        ``True``: ``sum (x[n] - mx) (y[n + l] - my) / (N sx sy)`` (biased, -1 to 1; a constant row
        gives 0). ``False``: the plain sum of ``x[n] y[n + l]``.
    threads : int, optional
        Default: the process setting.

    Returns
    -------
    ndarray, shape (..., 2 * max_lag + 1)
        Lag ``l`` is at index ``l + max_lag``: a ``y`` that comes ``k`` samples later than ``x``
        peaks at lag ``k``. float64 if ``x`` or ``y`` is float64, else float32. A NaN spoils its
        row.

    Raises
    ------
    LayoutError
        The shapes differ, or ``max_lag`` is not below the number of samples.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=1000)
    >>> int(ek.signal.correlate(x, np.roll(x, 7), max_lag=20).argmax()) - 20
    7
    """
    a, b = np.asarray(x), np.asarray(y)
    got = _core.correlate(a, b, max_lag, normalize, threads)
    return got if np.float64 in (a.dtype, b.dtype) else got.astype(np.float32)


def autocorrelate(
    x: ArrayLike, *, max_lag: int, normalize: bool = True, threads: int | None = None
) -> Array:
    """Autocorrelation of rows at the lags 0 to ``max_lag``; see :func:`correlate`.

    Returns
    -------
    ndarray, shape (..., max_lag + 1)
        The value at index ``l`` belongs to lag ``l``; with ``normalize`` the first is 1.
    """
    a = np.asarray(x)
    got = _core.correlate(a, None, max_lag, normalize, threads)
    return got if a.dtype == np.float64 else got.astype(np.float32)
