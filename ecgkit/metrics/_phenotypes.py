"""Prototypes as phenotypes: which scores go with which diagnoses, and how far classes spread."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .._config import _core
from .._typing import Array, ArrayLike
from ..errors import LayoutError, MetricError
from . import _labels

_COLUMNS = 8  # features ordered at a time


@dataclass(frozen=True)
class Associations:
    """Every score against every outcome.

    Attributes
    ----------
    auroc : ndarray, shape (features, outcomes)
        Below 0.5 where cases score lower.
    z : ndarray, shape (features, outcomes)
        Mann-Whitney's statistic, normal approximation with correction for ties.
    log10_p : ndarray, shape (features, outcomes)
        Two-sided, in logarithms: right where the p itself would be 0.
    cases : ndarray of int, shape (outcomes,)
    n : int
        Records.
    """

    auroc: Array
    z: Array
    log10_p: Array
    cases: Array
    n: int

    def significant(
        self, alpha: float = 0.05, method: Literal["bonferroni", "bh"] = "bonferroni"
    ) -> Array:
        """Pairs that stay below ``alpha`` over all tests, as booleans."""
        return adjust(self.log10_p, method=method, log10=True) < math.log10(alpha)


def associate(
    scores: ArrayLike,
    outcomes: ArrayLike | Mapping[Any, ArrayLike],
    *,
    threads: int | None = None,
) -> Associations:
    """Diagnostic AUROC and rank test of every score for every outcome.

    Parameters
    ----------
    scores : array_like, shape (n, features)
        Similarity scores; a memory-mapped array is read eight columns at a time and never held
        whole.
    outcomes : array_like of shape (n, outcomes), or mapping of name to record numbers
        Labels 0 or 1, or the cases of every outcome, each record at most once.
    threads : int, optional
        Features are shared between threads. Default: the process setting.

    Returns
    -------
    Associations
        NaN for an outcome without cases or controls, and z 0 for a constant score.

    Raises
    ------
    MetricError
        NaN scores, labels not 0 or 1, a case out of range or given twice.
    LayoutError
        Shapes do not fit.

    Notes
    -----
    A score is ordered once, an outcome costs its cases alone. Mann and Whitney, Ann. Math. Stat.
    18, 1947; the variance with ties as in Lehmann, Nonparametrics, 1975.
    """
    array = np.asanyarray(scores)
    if array.ndim != 2 or array.shape[0] < 2 or array.dtype.kind not in "iuf":
        raise LayoutError(
            f"scores must be real numbers of shape (records, features), got {array.dtype} "
            f"{array.shape}"
        )
    n, features = array.shape
    start, cases = _cases(outcomes, n)
    count = np.diff(start)
    twice, ties = np.empty((features, len(count))), np.empty(features)
    for at in range(0, features, _COLUMNS):
        block = np.ascontiguousarray(array[:, at : at + _COLUMNS])
        if block.dtype not in (np.float32, np.float64):
            block = block.astype(np.float64)
        order = _core.metric_order(None, block, threads)
        here = slice(at, at + block.shape[1])
        twice[here], ties[here] = _core.metric_rank_sums(order, start, cases, threads)
    n1, n0 = count.astype(float), (n - count).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        u = twice / 2 - n1 * (n1 + 1) / 2
        auroc = u / (n1 * n0)
        spread = (n1 * n0 / 12) * ((n + 1) - ties[:, None] / (n * (n - 1.0)))
        z = np.divide(u - n1 * n0 / 2, np.sqrt(spread), out=np.zeros_like(u), where=spread > 0)
    z[:, (n1 == 0) | (n0 == 0)] = np.nan
    return Associations(auroc, z, _two_sided_log10(z), count, n)


def _cases(outcomes: ArrayLike | Mapping[Any, ArrayLike], n: int) -> tuple[Array, Array]:
    if isinstance(outcomes, Mapping):
        lists = [np.asarray(v).ravel() for v in outcomes.values()]
        for name, found in zip(outcomes, lists):
            if found.size and found.dtype.kind not in "iu":
                raise MetricError(f"outcome {name!r}: cases must be record numbers")
            if found.size and (found.min() < 0 or found.max() >= n):
                raise MetricError(f"outcome {name!r}: cases must lie in 0..{n - 1}")
            if len(np.unique(found)) != len(found):
                raise MetricError(f"outcome {name!r}: a record is given twice")
    else:
        truth = _labels.labels(outcomes, "outcomes")
        truth = truth[:, None] if truth.ndim == 1 else truth
        if len(truth) != n:
            raise LayoutError(f"outcomes must have {n} rows, as scores has, got {len(truth)}")
        lists = [np.flatnonzero(column) for column in truth.T]
    start = np.cumsum([0, *map(len, lists)], dtype=np.int64)
    return start, np.concatenate([np.empty(0), *lists]).astype(np.int32)


def _two_sided_log10(z: Array) -> Array:
    from scipy.special import log_ndtr

    return (np.log(2.0) + log_ndtr(-np.abs(z))) / np.log(10.0)


def adjust(
    p: ArrayLike, *, method: Literal["bonferroni", "bh"] = "bh", log10: bool = False
) -> Array:
    """P-values corrected for their number.

    Parameters
    ----------
    p : array_like
        P-values of any shape, all of one family of tests; NaN is no test and stays.
    method : {"bh", "bonferroni"}
        Benjamini-Hochberg's q (false discovery rate), or p times the number of tests.
    log10 : bool
        ``p`` and the result are base-10 logarithms, for values below the smallest double.

    Returns
    -------
    ndarray, the shape of ``p``
        At most 1 (at most 0 with ``log10``).

    Notes
    -----
    Benjamini and Hochberg, J. R. Stat. Soc. B 57, 1995.

    Examples
    --------
    >>> ek.metrics.adjust([0.01, 0.04, 0.03, 0.005]).tolist()
    [0.02, 0.04, 0.04, 0.02]
    """
    array = np.asarray(p, np.float64)
    tests = np.flatnonzero(~np.isnan(array.ravel()))
    flat = array.ravel()[tests]
    top = 0.0 if log10 else 1.0
    if flat.size and (flat.max() > top or (not log10 and flat.min() < 0)):
        raise MetricError(f"p-values must lie in 0..1 (log10: at most 0), got {flat.max():g}")
    m = len(flat)
    if method == "bonferroni":
        q = flat + math.log10(max(m, 1)) if log10 else flat * m
    elif method == "bh":
        order = np.argsort(flat, kind="stable")
        factor = m / np.arange(1, m + 1)
        ranked = flat[order] + np.log10(factor) if log10 else flat[order] * factor
        q = np.empty(m)
        q[order] = np.minimum.accumulate(ranked[::-1])[::-1]
    else:
        raise ValueError(f"method must be 'bh' or 'bonferroni', got {method!r}")
    out = np.full(array.size, np.nan)
    out[tests] = np.minimum(q, top)
    return out.reshape(array.shape)


@dataclass(frozen=True)
class RankTest:
    """Mann-Whitney's U of the first sample, its normal deviate, and the two-sided p."""

    u: float
    z: float
    p: float
    log10_p: float


def mann_whitney(x: ArrayLike, y: ArrayLike) -> RankTest:
    """Two-sided rank test of two samples, normal approximation with correction for ties.

    Parameters
    ----------
    x, y : array_like, shapes (n,) and (m,)

    Returns
    -------
    RankTest
        ``u`` counts the pairs in which ``x`` is larger, ties half.
    """
    a, b = np.asarray(x, np.float64).ravel(), np.asarray(y, np.float64).ravel()
    if not len(a) or not len(b):
        raise LayoutError(f"two samples with values are needed, got {len(a)} and {len(b)}")
    truth = np.r_[np.ones(len(a), np.uint8), np.zeros(len(b), np.uint8)]
    got = associate(np.r_[a, b][:, None], truth)
    z = float(got.z[0, 0])
    u = float(got.auroc[0, 0]) * len(a) * len(b)
    return RankTest(u, z, math.erfc(abs(z) / math.sqrt(2)), float(got.log10_p[0, 0]))


@dataclass(frozen=True)
class PrototypeDistances:
    """Spread of prototypes within and between classes.

    Attributes
    ----------
    classes : tuple
    size : ndarray of int, shape (classes,)
    intra : ndarray, shape (classes,)
        Mean distance over unordered pairs of a class; NaN for a class of one.
    inter : ndarray, shape (classes, classes)
        Mean distance over pairs of two classes; the diagonal is ``intra``.
    duplicates : ndarray of int, shape (classes,)
        Prototypes that equal an earlier one of their class: projected to the same record.
    """

    classes: tuple[Any, ...]
    size: Array
    intra: Array
    inter: Array
    duplicates: Array


def prototype_distances(
    prototypes: ArrayLike,
    classes: ArrayLike,
    *,
    metric: Literal["cosine", "euclidean"] = "cosine",
    threads: int | None = None,
) -> PrototypeDistances:
    """Mean distances of prototypes within and between their classes.

    Parameters
    ----------
    prototypes : array_like, shape (p, ...)
        Flattened to vectors; none may be zero with "cosine".
    classes : array_like, shape (p,)
        Class of every prototype. Prototypes of branches with other dimensions: one call each.
    metric : {"cosine", "euclidean"}
        ``1 - cos``, from sums over classes in time linear in p; or the Euclidean distance.
    threads : int, optional
        Of the sums. Default: the process setting.

    Returns
    -------
    PrototypeDistances

    Raises
    ------
    MetricError
        A prototype that is not finite, or is zero with "cosine".
    LayoutError
        Shapes do not fit.
    """
    x = np.asarray(prototypes, np.float64)
    if x.ndim < 2 or not len(x):
        raise LayoutError(f"prototypes must have shape (p, ...), got {x.shape}")
    x = x.reshape(len(x), -1)
    names, member = np.unique(np.asarray(classes), return_inverse=True)
    if member.shape != (len(x),):
        raise LayoutError(f"classes must have shape ({len(x)},), got {np.shape(classes)}")
    size = np.bincount(member)
    pairs = np.outer(size, size).astype(float) - np.diag(size)
    if metric == "cosine":
        length, sums = _core.metric_class_sums(x, member.astype(np.int64), len(size), threads)
        cosines = sums @ sums.T - np.diag(size)
        alone = np.full_like(pairs, np.nan)
        inter = np.maximum(1.0 - np.divide(cosines, pairs, out=alone, where=pairs > 0), 0.0)
    elif metric == "euclidean":
        if not np.isfinite(x).all():
            raise MetricError("prototypes hold NaN or infinity")
        order = np.argsort(member, kind="stable")
        first = np.append(0, np.cumsum(size)[:-1])
        length = np.sqrt((x * x).sum(1))
        z = (x - x.mean(0))[order]
        square = (z * z).sum(1)
        apart = np.sqrt(np.maximum(square[:, None] + square - 2 * z @ z.T, 0.0))
        np.fill_diagonal(apart, 0.0)
        sums = np.add.reduceat(np.add.reduceat(apart, first, axis=0), first, axis=1)
        with np.errstate(invalid="ignore"):
            inter = sums / pairs
    else:
        raise ValueError(f"metric must be 'cosine' or 'euclidean', got {metric!r}")
    return PrototypeDistances(
        tuple(names.tolist()), size, np.diag(inter).copy(), inter, _twins(x, member, length, size)
    )


def _twins(x: Array, member: Array, length: Array, size: Array) -> Array:
    """Rows that equal an earlier one of their class; only rows of one length are compared."""
    order = np.lexsort((length, member))
    alike = (np.diff(length[order]) == 0) & (np.diff(member[order]) == 0)
    doubtful = np.zeros(len(x), bool)
    doubtful[order[1:][alike]] = doubtful[order[:-1][alike]] = True
    seen, twins = set(), np.zeros_like(size)
    for i in np.flatnonzero(doubtful):
        row = (int(member[i]), x[i].tobytes())
        twins[member[i]] += row in seen
        seen.add(row)
    return twins


@dataclass(frozen=True)
class MixedClassTest:
    """Intra-class distance of mixed against consistent (class, outcome) pairs.

    ``rank`` treats the pairs as independent, which they are not: a class's distance comes once per
    outcome. ``permutation_p`` exchanges whole classes and is the honest one.
    """

    mixed: Array
    mean_mixed: float
    mean_consistent: float
    rank: RankTest
    permutation_p: float
    draws: int


def mixed_class_test(
    significant: ArrayLike,
    classes: ArrayLike,
    distances: PrototypeDistances,
    *,
    draws: int = 10_000,
    seed: int = 0,
) -> MixedClassTest:
    """Do classes in which only some prototypes are significant spread wider?

    Parameters
    ----------
    significant : array_like of bool, shape (p, outcomes)
        From :meth:`Associations.significant`.
    classes : array_like, shape (p,)
        As given to :func:`prototype_distances`.
    distances : PrototypeDistances
    draws, seed : int
        Of the permutation test.

    Returns
    -------
    MixedClassTest
        Classes of one prototype cannot be mixed and are left out.

    Raises
    ------
    MetricError
        No pair is mixed, or all are.
    """
    flags = np.asarray(significant, bool)
    member = np.searchsorted(np.array(distances.classes), np.asarray(classes))
    if flags.ndim != 2 or flags.shape[0] != len(member):
        raise LayoutError(f"significant must have shape ({len(member)}, outcomes)")
    hits = np.zeros((len(distances.size), flags.shape[1]))
    np.add.at(hits, member, flags)
    kept = distances.size > 1
    mixed = ((hits > 0) & (hits < distances.size[:, None]))[kept]
    spread = distances.intra[kept]
    if not mixed.any() or mixed.all():
        raise MetricError("mixed_class_test: pairs of both kinds are needed")
    each = np.repeat(spread, mixed.shape[1])
    flat = mixed.ravel()
    times = mixed.sum(1).astype(float)
    ranks = np.searchsorted(np.sort(spread), spread, "left") + np.searchsorted(
        np.sort(spread), spread, "right"
    )
    expected = times.sum() * ranks.mean()
    rng = np.random.default_rng(seed)
    drawn = np.array([times @ rng.permutation(ranks) for _ in range(draws)])
    extreme = np.abs(drawn - expected) >= abs(times @ ranks - expected) - 1e-9
    return MixedClassTest(
        mixed, float(each[flat].mean()), float(each[~flat].mean()),
        mann_whitney(each[flat], each[~flat]), float((1 + extreme.sum()) / (draws + 1)), draws,
    )  # fmt: skip
