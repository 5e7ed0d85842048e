"""Running median."""

from .._config import _core
from .._typing import Array, ArrayLike


def median_filter(
    x: ArrayLike,
    size: int,
    *,
    edge: str = "zero",
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """Running median along the last axis, centred.

    The time does not depend on ``size``.

    Parameters
    ----------
    x : array_like, shape (..., time)
        Real numbers.
    size : int
        Samples in the window: odd, at most ``2 * time - 1``.
    edge : {"zero", "reflect", "nearest"}
        What lies beyond the ends: zeros (default, ``scipy.signal.medfilt``), the mirrored signal
        with its end sample repeated, or the end sample (``scipy.ndimage.median_filter`` with the
        mode of that name).
    out : ndarray, optional
        C-contiguous, the shape and dtype of the result; may be ``x`` itself.
    threads : int, optional
        Default: the process setting.

    Returns
    -------
    ndarray, shape (..., time)
        float64 if ``x`` is float64, else float32. Exact: every value is a sample of the row (or 0).

    Raises
    ------
    ValueError
        ``size`` is even or too large, ``edge`` is unknown, ``out`` does not fit.
    LayoutError
        ``x`` has no samples.

    Notes
    -----
    A window that holds a NaN gives NaN; the other windows are not touched by it.

    Examples
    --------
    Baseline of an ECG by two medians, 200 ms then 600 ms at 500 Hz:

    >>> baseline = ek.signal.median_filter(ek.signal.median_filter(x, 101), 301)
    """
    return _core.median_filter(x, size, edge, out, threads)
