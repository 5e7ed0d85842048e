"""Errors of reconstructed signals, and structural similarity of images."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._config import _core
from .._typing import Array, ArrayLike
from ..errors import LayoutError, MetricError


def _rows(
    x: ArrayLike, y: ArrayLike, about: bool, threads: int | None
) -> tuple[Array, tuple[int, ...], int]:
    a, b = np.asarray(x), np.asarray(y)
    if a.shape != b.shape or a.ndim == 0 or a.shape[-1] == 0:
        raise LayoutError(
            f"x and y must have one shape (..., time) with samples, got {a.shape} and {b.shape}"
        )
    t = a.shape[-1]
    return _core.metric_rows(a.reshape(-1, t), b.reshape(-1, t), about, threads), a.shape[:-1], t


def _given(values: Array, lead: tuple[int, ...]) -> Any:
    return values.reshape(lead) if lead else float(values[0])


def rmse(x: ArrayLike, y: ArrayLike, *, threads: int | None = None) -> Any:
    """Root mean square error per row, summed in double.

    Parameters
    ----------
    x, y : array_like, shape (..., time)
    threads : int, optional
        Default: the process setting.

    Returns
    -------
    float, or ndarray of float64 of the leading shape
        A NaN spoils its row.
    """
    sums, lead, t = _rows(x, y, False, threads)
    return _given(np.sqrt(sums[:, 0] / t), lead)


def prd(x: ArrayLike, y: ArrayLike, *, centred: bool = False, threads: int | None = None) -> Any:
    """Percentage root-mean-square difference of ``y`` from ``x`` per row.

    Parameters
    ----------
    x : array_like, shape (..., time)
        The original.
    y : array_like, the shape of ``x``
        The reconstruction.
    centred : bool
        Divide by the power of ``x`` about its mean: without it an offset flatters the figure.
    threads : int, optional
        Default: the process setting.

    Returns
    -------
    float, or ndarray of float64 of the leading shape
        ``100 sqrt(sum (x - y)^2 / sum x^2)``; NaN where ``x`` has no power.
    """
    sums, lead, _ = _rows(x, y, centred, threads)
    power = sums[:, 2 if centred else 1]
    ratio = np.divide(sums[:, 0], power, out=np.full(len(sums), np.nan), where=power > 0)
    return _given(100.0 * np.sqrt(ratio), lead)


def correlation(x: ArrayLike, y: ArrayLike, *, threads: int | None = None) -> Any:
    """Pearson's correlation per row (per lead), in two passes in double.

    Parameters
    ----------
    x, y : array_like, shape (..., time)
    threads : int, optional
        Default: the process setting.

    Returns
    -------
    float, or ndarray of float64 of the leading shape
        NaN where a row is constant.
    """
    sums, lead, _ = _rows(x, y, True, threads)
    power = np.sqrt(sums[:, 2]) * np.sqrt(sums[:, 3])
    r = np.divide(sums[:, 4], power, out=np.full(len(sums), np.nan), where=power > 0)
    return _given(np.clip(r, -1.0, 1.0), lead)


def ssim(
    x: ArrayLike,
    y: ArrayLike,
    *,
    data_range: float | None = None,
    window: int | None = None,
    gaussian: bool = False,
    sample_covariance: bool = True,
    k1: float = 0.01,
    k2: float = 0.03,
    threads: int | None = None,
) -> Any:
    """Structural similarity of images, averaged over every place where the window fits.

    Parameters
    ----------
    x, y : array_like, shape (..., height, width)
        Images; computed in double. Colours are leading axes.
    data_range : float, optional
        Largest minus smallest possible value. Default: that of an integer type; required for
        floats, since guessing it from the data changes the figure.
    window : int, optional
        Odd side of the window. Default: 7, or 11 with ``gaussian``.
    gaussian : bool
        Weigh by a Gaussian of 1.5 pixels, cut after 3.5 deviations, in place of evenly.
    sample_covariance : bool
        Variances by n - 1 (scikit-image's default); ``False`` is the original paper's.
    k1, k2 : float
        The constants.
    threads : int, optional
        Default: the process setting.

    Returns
    -------
    float, or ndarray of float64 of the leading shape
        A NaN spoils its image.

    Raises
    ------
    MetricError
        No ``data_range`` for floats, or one not above 0.
    LayoutError
        Shapes differ, or an image is smaller than the window.

    Notes
    -----
    Wang, Bovik, Sheikh and Simoncelli, IEEE TIP 13(4), 2004; definitions as in scikit-image's
    ``structural_similarity``.
    """
    a, b = np.asarray(x), np.asarray(y)
    if a.shape != b.shape or a.ndim < 2:
        raise LayoutError(
            f"x and y must have one shape (..., height, width), got {a.shape} and {b.shape}"
        )
    if data_range is None:
        if a.dtype.kind not in "iu" or a.dtype != b.dtype:
            raise MetricError(
                f"ssim: data_range is needed for {a.dtype}: the largest minus the smallest value "
                "an image may have"
            )
        data_range = float(np.iinfo(a.dtype).max) - float(np.iinfo(a.dtype).min)
    if not data_range > 0:
        raise MetricError(f"ssim: data_range must be above 0, got {data_range}")
    side = (11 if gaussian else 7) if window is None else window
    if side < 1 or side % 2 == 0 or side > min(a.shape[-2:]):
        raise LayoutError(
            f"ssim: the window must be odd and fit the images, got {side} for {a.shape[-2:]}"
        )
    if gaussian:
        at = np.arange(side) - side // 2
        weight = np.exp(-0.5 * (at / 1.5) ** 2)
        weight /= weight.sum()
    else:
        weight = np.full(side, 1.0 / side)
    count = side * side
    norm = count / (count - 1) if sample_covariance and count > 1 else 1.0
    lead = a.shape[:-2]
    values = _core.metric_ssim(
        a.reshape(-1, *a.shape[-2:]), b.reshape(-1, *a.shape[-2:]), weight, norm,
        (k1 * data_range) ** 2, (k2 * data_range) ** 2, threads,
    )  # fmt: skip
    return _given(values, lead)
