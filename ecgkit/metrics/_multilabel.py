"""Decisions and rankings of several labels: Fmax, F and G, ranking loss, coverage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .._config import _core
from .._typing import Array, ArrayLike
from ..errors import LayoutError, MetricError
from . import _labels
from ._labels import Average, Undefined, average


@dataclass(frozen=True)
class Fmax:
    """Largest F over thresholds.

    Attributes
    ----------
    value : float
    threshold : float, or ndarray of shape (classes,) with ``kind="label"``
        Where it is reached; the lowest such.
    precision, recall : float, or ndarray
        There.
    per_class : ndarray, shape (classes,), or None
        With ``kind="label"``.
    """

    value: float
    threshold: Any
    precision: Any
    recall: Any
    kind: str
    per_class: Array | None = None


def fmax_curve(
    y: ArrayLike,
    s: ArrayLike,
    *,
    kind: Literal["sample", "label", "micro"] = "sample",
    thresholds: ArrayLike | None = None,
    undefined: Undefined = "raise",
    threads: int | None = None,
) -> Fmax:
    """Like :func:`fmax`, with the threshold, precision and recall of the maximum."""
    truth, score = _labels.pair(y, s)
    if kind not in ("sample", "label", "micro"):
        raise ValueError(f"kind must be 'sample', 'label' or 'micro', got {kind!r}")
    grid = np.arange(101) / 100 if thresholds is None else np.asarray(thresholds, np.float64)
    if grid.ndim != 1 or not grid.size or not np.isfinite(grid).all() or (np.diff(grid) <= 0).any():
        raise MetricError("thresholds must be finite, ascending and at least one")
    sums, counts, labelled = _core.metric_sweep(truth, score, grid, threads)
    with np.errstate(invalid="ignore", divide="ignore"):
        if kind == "sample":
            if labelled < len(truth) and undefined == "raise":
                raise MetricError(
                    f"fmax: {len(truth) - labelled} records have no true label, so that their "
                    "recall is not defined; leave them out, or pass undefined='omit'"
                )
            precision, recall = sums[:, 0] / sums[:, 1], sums[:, 2] / labelled
        else:
            hit, called = counts[..., 0].astype(float), counts[..., 1].astype(float)
            positive = truth.sum(0, dtype=np.int64)[:, None].astype(float)
            if kind == "micro":
                hit, called, positive = hit.sum(0), called.sum(0), positive.sum()
            precision, recall = hit / called, hit / positive
        f = 2 * precision * recall / (precision + recall)
        f = np.where(precision + recall == 0, 0.0, f)
    best = np.where(np.isnan(f), -1.0, f).argmax(-1)
    if kind == "label":
        at = np.arange(len(f)), best
        value = average(f[at], "macro", undefined, positive[:, 0], False, "fmax")
        return Fmax(value, grid[best], precision[at], recall[at], kind, f[at])
    if np.isnan(f[best]):
        raise MetricError("fmax: nothing is called positive at any threshold, or nothing is true")
    return Fmax(
        float(f[best]), float(grid[best]), float(precision[best]), float(recall[best]), kind
    )


def fmax(
    y: ArrayLike,
    s: ArrayLike,
    *,
    kind: Literal["sample", "label", "micro"] = "sample",
    thresholds: ArrayLike | None = None,
    undefined: Undefined = "raise",
    threads: int | None = None,
) -> float:
    """Largest F over thresholds; a label is called where its score is at least the threshold.

    Parameters
    ----------
    y, s : array_like, shape (n, classes)
        Labels 0 or 1, and scores (compared with the thresholds in double).
    kind : {"sample", "label", "micro"}
        "sample": precision is the mean over records with a call, recall the mean over all records,
        F of the two (the sample-centred Fmax of the PTB-XL benchmark's published tables).
        "label": every class at its own best threshold, mean over classes. "micro": all labels
        pooled.
    thresholds : array_like, optional
        Ascending. Default: 0.00, 0.01, ..., 1.00.
    undefined : {"raise", "omit"}
        Records ("sample") or classes ("label") without a true label: refuse, or leave them out.
    threads : int, optional
        Default: the process setting.

    Returns
    -------
    float

    Raises
    ------
    MetricError, LayoutError
        As :func:`auroc`.

    Notes
    -----
    Radivojac et al., Nature Methods 10, 2013; the benchmark's thresholds from Strodthoff et al.,
    IEEE JBHI 25(5), 2021.
    """
    return fmax_curve(
        y, s, kind=kind, thresholds=thresholds, undefined=undefined, threads=threads
    ).value


def _counts(
    y: ArrayLike, p: ArrayLike, per_label_weight: bool, threads: int | None
) -> tuple[Array, bool]:
    truth, called = _labels.labels(y), _labels.labels(p, "p")
    if truth.shape != called.shape or truth.size == 0:
        raise LayoutError(
            f"y and p must have one shape and hold something, got {truth.shape} and {called.shape}"
        )
    single = truth.ndim == 1
    if single:
        truth, called = truth[:, None], called[:, None]
    weight = None
    if per_label_weight:
        found = truth.sum(1, dtype=np.int64)
        if (found == 0).any():
            raise MetricError(
                f"{int((found == 0).sum())} records have no true label: their weight 1 / labels is "
                "not defined; leave them out"
            )
        weight = 1.0 / found
    return _core.metric_confusion(truth, called, weight, threads), single


def _combined(each: Array, how: Average, support: Array, single: bool) -> Any:
    if how not in ("macro", "weighted", "micro", None):
        raise ValueError(f"average must be 'macro', 'weighted', 'micro' or None, got {how!r}")
    if single or how == "micro":
        return float(each[0])
    if how is None:
        return each
    if how == "macro":
        return float(each.mean())
    return float((each * support).sum() / support.sum()) if support.any() else 0.0


def f_beta(
    y: ArrayLike,
    p: ArrayLike,
    *,
    beta: float = 1.0,
    average: Average = "macro",
    per_label_weight: bool = False,
    threads: int | None = None,
) -> Any:
    """F of decisions, ``(1 + b^2) TP / ((1 + b^2) TP + FP + b^2 FN)``.

    Parameters
    ----------
    y, p : array_like, shape (n,) or (n, classes)
        Labels and decisions, 0 or 1 (see :func:`binarize`).
    beta : float
        Weight of recall; the PhysioNet challenge of 2018-style F2 has 2.
    average : {"macro", "weighted", "micro", None}
    per_label_weight : bool
        Let a record weigh one over the number of its true labels, as the challenge metrics do.
    threads : int, optional
        Default: the process setting.

    Returns
    -------
    float, or ndarray of shape (classes,) with ``average=None``
        0 where the ratio is 0/0 (scikit-learn's ``zero_division=0``).

    Raises
    ------
    MetricError, LayoutError
        Labels or decisions that are not 0 or 1; shapes that differ.
    """
    if not beta >= 0:
        raise ValueError(f"beta must not be negative, got {beta}")
    cells, single = _counts(y, p, per_label_weight, threads)
    support = cells[:, 0] + cells[:, 2]
    if average == "micro":
        cells = cells.sum(0, keepdims=True)
    hit, false, missed = cells[:, 0], cells[:, 1], cells[:, 2]
    below = (1 + beta**2) * hit + false + beta**2 * missed
    each = np.divide((1 + beta**2) * hit, below, out=np.zeros_like(hit), where=below > 0)
    return _combined(each, average, support, single)


def g_beta(
    y: ArrayLike,
    p: ArrayLike,
    *,
    beta: float = 2.0,
    average: Average = "macro",
    per_label_weight: bool = False,
    threads: int | None = None,
) -> Any:
    """Generalised Jaccard figure of decisions, ``TP / (TP + FP + b FN)``; see :func:`f_beta`."""
    if not beta >= 0:
        raise ValueError(f"beta must not be negative, got {beta}")
    cells, single = _counts(y, p, per_label_weight, threads)
    support = cells[:, 0] + cells[:, 2]
    if average == "micro":
        cells = cells.sum(0, keepdims=True)
    hit = cells[:, 0]
    below = hit + cells[:, 1] + beta * cells[:, 2]
    each = np.divide(hit, below, out=np.zeros_like(hit), where=below > 0)
    return _combined(each, average, support, single)


def binarize(s: ArrayLike, thresholds: ArrayLike = 0.5, *, at_least_one: bool = False) -> Array:
    """Decisions from scores: above the threshold of the class.

    Parameters
    ----------
    s : array_like, shape (n, classes)
    thresholds : float or array_like of shape (classes,)
    at_least_one : bool
        A record in which no class fires gets its largest (the challenge metrics' rule).

    Returns
    -------
    ndarray of uint8, shape (n, classes)
    """
    score = _labels.scores(s)
    if np.isnan(score).any():
        raise MetricError("scores hold NaN")
    out = (score > np.asarray(thresholds)).astype(np.uint8)
    if at_least_one:
        silent = np.flatnonzero(~out.any(1))
        out[silent, score[silent].argmax(1)] = 1
    return out


def _ranking(y: ArrayLike, s: ArrayLike, coverage: bool, threads: int | None) -> Array:
    truth, score = _labels.pair(y, s)
    return _core.metric_ranking(truth, score, coverage, threads)


def ranking_loss(y: ArrayLike, s: ArrayLike, *, threads: int | None = None) -> float:
    """Mean share of pairs of a true and a false label that are not in order, ties counting.

    Parameters
    ----------
    y, s : array_like, shape (n, classes)

    Returns
    -------
    float
        A record with all labels or none counts 0, as in scikit-learn.

    Notes
    -----
    Tsoumakas, Katakis and Vlahavas, Mining Multi-label Data, 2010.
    """
    return float(_ranking(y, s, False, threads)[:, 0].mean())


def coverage_error(y: ArrayLike, s: ArrayLike, *, threads: int | None = None) -> float:
    """Mean number of top-scored labels that it takes to cover every true one; see
    :func:`ranking_loss`."""
    return float(_ranking(y, s, True, threads)[:, 1].mean())


def label_ranking_average_precision(
    y: ArrayLike, s: ArrayLike, *, threads: int | None = None
) -> float:
    """Mean over true labels of the share of true labels among those ranked no lower; a record
    with all labels or none counts 1. See :func:`ranking_loss`."""
    return float(_ranking(y, s, False, threads)[:, 2].mean())
