"""Figures of ranked scores: area under the ROC curve, average precision."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._config import _core
from .._typing import Array, ArrayLike
from ._labels import Average, Undefined, average, pair


def _figure(
    name: str, y: ArrayLike, s: ArrayLike, how: Average, undefined: Undefined, threads: int | None
) -> Any:
    truth, score = pair(y, s)
    single = np.ndim(y) == 1
    if how == "micro":
        truth, score, single = truth.reshape(-1, 1), score.reshape(-1, 1), True
    order = _core.metric_order(truth, score, threads)
    each = _core.metric_rank(order, name, threads)
    return average(each, how, undefined, truth.sum(0, dtype=np.int64), single, name)


def auroc(
    y: ArrayLike,
    s: ArrayLike,
    *,
    average: Average = "macro",
    undefined: Undefined = "raise",
    threads: int | None = None,
) -> Any:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties half.

    Parameters
    ----------
    y : array_like, shape (n,) or (n, classes)
        Labels 0 or 1.
    s : array_like, the shape of ``y``
        Scores, larger for the positive; any scale, infinities allowed, NaN refused.
    average : {"macro", "weighted", "micro", None}
        Mean over classes, mean by number of positives, all classes pooled, or every class.
    undefined : {"raise", "omit"}
        What to do with a class that lacks positives or negatives: refuse, or leave it out of the
        mean (NaN in its place with ``average=None``).
    threads : int, optional
        Default: the process setting.

    Returns
    -------
    float, or ndarray of shape (classes,) with ``average=None``
        The count of pairs is an exact integer; the area is one division from it.

    Raises
    ------
    MetricError
        Labels not 0 or 1, NaN scores, an undefined class with ``undefined="raise"``.
    LayoutError
        Shapes differ or are empty.

    Notes
    -----
    Mann-Whitney's U over n1 n0 (Hanley and McNeil, Radiology 143, 1982).

    Examples
    --------
    >>> ek.metrics.auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    return _figure("auroc", y, s, average, undefined, threads)


def average_precision(
    y: ArrayLike,
    s: ArrayLike,
    *,
    average: Average = "macro",
    undefined: Undefined = "raise",
    threads: int | None = None,
) -> Any:
    """Average precision: precision at every distinct score, weighted by the recall it adds.

    Parameters, errors and averages are those of :func:`auroc`; only positives are needed.

    Returns
    -------
    float, or ndarray of shape (classes,) with ``average=None``

    Notes
    -----
    ``sum (R_k - R_{k-1}) P_k`` over thresholds, without interpolation.

    Examples
    --------
    >>> round(ek.metrics.average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 4)
    0.8333
    """
    return _figure("average_precision", y, s, average, undefined, threads)


def roc_curve(y: ArrayLike, s: ArrayLike) -> tuple[Array, Array, Array]:
    """ROC curve of one label.

    Parameters
    ----------
    y, s : array_like, shape (n,)

    Returns
    -------
    fpr, tpr, thresholds : ndarray, shape (k + 1,)
        One point per distinct score, descending, after (0, 0) at threshold infinity. A record is
        called positive where its score is at least the threshold.
    """
    hit, false, at = _steps(y, s)
    with np.errstate(invalid="ignore"):
        return false / false[-1], hit / hit[-1], at


def precision_recall_curve(y: ArrayLike, s: ArrayLike) -> tuple[Array, Array, Array]:
    """Precision and recall of one label at every distinct score.

    Returns
    -------
    precision, recall, thresholds : ndarray, shape (k + 1,)
        As in :func:`roc_curve`, starting at recall 0 with precision 1.
    """
    hit, false, at = _steps(y, s)
    called = hit + false
    precision = np.divide(hit, called, out=np.ones_like(hit), where=called > 0)
    with np.errstate(invalid="ignore"):
        return precision, hit / hit[-1], at


def _steps(y: ArrayLike, s: ArrayLike) -> tuple[Array, Array, Array]:
    truth, score = pair(y, s)
    if truth.shape[1] != 1:
        raise ValueError(f"a curve belongs to one label: pass columns, got shape {truth.shape}")
    order = _core.metric_order(truth, score)[0, ::-1]
    rows = (order & 0x3FFFFFFF).astype(np.intp)
    # A step ends where the next record scores less: before a "last of its group", and at the end.
    ends = np.append(order[1:] & 0x40000000 != 0, True)
    hit = np.cumsum(order >> 31, dtype=np.float64)[ends]
    seen = np.flatnonzero(ends) + 1.0
    at = score[rows[ends], 0].astype(np.float64)
    zero = np.zeros(1)
    return np.append(zero, hit), np.append(zero, seen - hit), np.append(np.inf, at)
