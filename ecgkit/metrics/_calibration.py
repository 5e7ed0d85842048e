"""Are probabilities what they say: Brier score, expected calibration error, reliability."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .._config import _core
from .._typing import Array, ArrayLike
from . import _labels
from ._labels import Average


def brier(
    y: ArrayLike, p: ArrayLike, *, average: Average = "macro", threads: int | None = None
) -> Any:
    """Mean squared distance of probability and label.

    Parameters
    ----------
    y : array_like, shape (n,) or (n, classes)
        Labels 0 or 1.
    p : array_like, the shape of ``y``
        Probabilities in 0..1.
    average : {"macro", "weighted", "micro", None}
        As in :func:`auroc`.
    threads : int, optional
        Default: the process setting.

    Returns
    -------
    float, or ndarray of shape (classes,) with ``average=None``

    Raises
    ------
    MetricError
        A probability outside 0..1 or NaN, labels not 0 or 1.

    Notes
    -----
    Brier, Mon. Weather Rev. 78, 1950.
    """
    truth, score = _labels.pair(y, p)
    _, square = _core.metric_calibration(truth, score, 1, threads)
    return _over_classes(square / len(truth), truth, average, np.ndim(y) == 1)


def ece(
    y: ArrayLike,
    p: ArrayLike,
    *,
    bins: int = 15,
    norm: Literal["l1", "l2", "max"] = "l1",
    average: Average = "macro",
    threads: int | None = None,
) -> Any:
    """Expected calibration error of a probability: distance of mean probability and frequency,
    over bins of equal width, weighted by their records.

    Parameters
    ----------
    y, p : array_like, shape (n,) or (n, classes)
        Labels 0 or 1, probabilities of label 1.
    bins : int
    norm : {"l1", "l2", "max"}
        Weighted mean of the distances, root of the weighted mean of their squares, the largest.
    average : {"macro", "weighted", None}
        Over classes.
    threads : int, optional
        Default: the process setting.

    Returns
    -------
    float, or ndarray of shape (classes,) with ``average=None``

    Notes
    -----
    Naeini, Cooper and Hauskrecht, AAAI 2015. It grows with the number of bins and shrinks with
    records: compare only at equal both.
    """
    if norm not in ("l1", "l2", "max"):
        raise ValueError(f"norm must be 'l1', 'l2' or 'max', got {norm!r}")
    truth, score = _labels.pair(y, p)
    single = np.ndim(y) == 1
    if average == "micro":
        truth, score, single = truth.reshape(-1, 1), score.reshape(-1, 1), True
    table, _ = _core.metric_calibration(truth, score, bins, threads)
    count = table[..., 0]
    gap = np.divide(
        np.abs(table[..., 1] - table[..., 2]), count, out=np.zeros_like(count), where=count > 0
    )
    share = count / len(truth)
    if norm == "l1":
        each = (gap * share).sum(-1)
    elif norm == "l2":
        each = np.sqrt((gap**2 * share).sum(-1))
    else:
        each = gap.max(-1)
    return _over_classes(each, truth, average, single)


def _over_classes(each: Array, truth: Array, how: Average, single: bool) -> Any:
    support = truth.sum(0, dtype=np.int64)
    return _labels.average(each, "macro" if how == "micro" else how, "raise", support, single, "")


@dataclass(frozen=True)
class Reliability:
    """Mean probability and observed frequency per bin; see :func:`reliability`.

    Attributes
    ----------
    edges : ndarray, shape (bins + 1,)
    count, probability, frequency, low, high : ndarray, shape (bins,)
        NaN in an empty bin; ``low`` to ``high`` is Wilson's interval of the frequency.
    ece, brier, level : float
    """

    edges: Array
    count: Array
    probability: Array
    frequency: Array
    low: Array
    high: Array
    ece: float
    brier: float
    level: float


def reliability(y: ArrayLike, p: ArrayLike, *, bins: int = 10, level: float = 0.95) -> Reliability:
    """Table of a reliability diagram for one label.

    Parameters
    ----------
    y, p : array_like, shape (n,)
        Labels 0 or 1 and probabilities of 1; two-dimensional input is pooled.
    bins : int
        Of equal width.
    level : float
        Coverage of Wilson's interval of every bin's frequency.

    Returns
    -------
    Reliability
    """
    from statistics import NormalDist

    if not 0 < level < 1:
        raise ValueError(f"level must lie inside (0, 1), got {level}")
    truth, score = (a.reshape(-1, 1) for a in _labels.pair(y, p))
    table, square = _core.metric_calibration(truth, score, bins)
    count, total, hits = table[0].T
    with np.errstate(invalid="ignore", divide="ignore"):
        probability, frequency = total / count, hits / count
        z = NormalDist().inv_cdf(0.5 + level / 2)
        middle = (frequency + z * z / (2 * count)) / (1 + z * z / count)
        half = np.sqrt(frequency * (1 - frequency) / count + z * z / (4 * count**2))
        half *= z / (1 + z * z / count)
    gap = np.nansum(np.abs(probability - frequency) * count) / len(truth)
    return Reliability(
        np.arange(bins + 1) / bins, count.astype(np.int64), probability, frequency, middle - half,
        middle + half, float(gap), math.fsum(square) / len(truth), level,
    )  # fmt: skip
