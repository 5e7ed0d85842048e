"""Intervals by resampling: plain, by patient, stratified, from given indices, with rejection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .._config import _core
from .._typing import Array, ArrayLike
from ..errors import LayoutError, MetricError
from . import _labels
from ._labels import Undefined

_FAST = ("auroc", "average_precision")
_CHUNK = 4_000_000  # indices drawn at a time


@dataclass(frozen=True)
class Interval:
    """A figure with its bootstrap distribution.

    Attributes
    ----------
    point, low, high : float
        Value on the data, and the quantiles of the resamples at ``level``.
    samples : ndarray, shape (draws,)
        The figure in every accepted resample.
    per_class : ndarray, shape (draws, classes), or None
        Per class, NaN where undefined in the draw; for "auroc" and "average_precision".
    level : float
        Coverage of ``low`` to ``high``.
    draws, rejected : int
        Resamples kept and thrown away.
    units : int
        What was resampled: records, or patients with ``groups``.
    omitted : int
        Draws in which some class was undefined and left out of the mean.
    rule : str
        How the resamples were made, in words.
    """

    point: float
    low: float
    high: float
    samples: Array
    per_class: Array | None
    level: float
    draws: int
    rejected: int
    units: int
    omitted: int
    rule: str

    @property
    def mean(self) -> float:
        """Mean of the resamples."""
        return float(np.nanmean(self.samples))

    @property
    def standard_error(self) -> float:
        """Standard deviation of the resamples."""
        return float(np.nanstd(self.samples, ddof=1)) if self.draws > 1 else float("nan")

    def __str__(self) -> str:
        return f"{self.point:.4f} ({self.low:.4f}-{self.high:.4f})"

    def to_dict(self) -> dict[str, Any]:
        """JSON types, without the samples."""
        return {
            "value": self.point, "low": self.low, "high": self.high, "level": self.level,
            "draws": self.draws, "rejected": self.rejected, "units": self.units,
            "omitted": self.omitted, "rule": self.rule,
        }  # fmt: skip


def bootstrap(
    y: ArrayLike,
    s: ArrayLike,
    metric: str | Callable[[Array, Array], float] = "auroc",
    *,
    n: int = 1000,
    seed: int = 0,
    groups: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    indices: ArrayLike | None = None,
    reject_undefined: bool = False,
    level: float = 0.95,
    undefined: Undefined = "omit",
    threads: int | None = None,
) -> Interval:
    """Percentile bootstrap interval of a figure.

    Parameters
    ----------
    y, s : array_like, shape (records,) or (records, classes)
        Labels 0 or 1, and scores.
    metric : str or function
        ``"auroc"`` or ``"average_precision"`` (macro mean): the scores are ordered once and every
        resample is a count per record, so that a thousand cost what scikit-learn needs for a
        fraction of one. Any other name of this module (``"brier"``, ``"fmax"``, ...) or a function
        of ``(y, s)`` is called once per resample.
    n : int
        Resamples.
    seed : int
        The draws are ``numpy.random.default_rng(seed).integers(0, units, (n, units), dtype=int32)``
        (with ``strata``: one such block per stratum), for anybody to repeat.
    groups : array_like, shape (records,), optional
        Patient of every record; patients are drawn, with all their records.
    strata : array_like, shape (records,), optional
        Draw within every stratum, keeping its size; with ``groups``, of patients.
    indices : array_like of int, shape (draws, m), optional
        The resamples themselves (records; or with ``groups``, ranks of the sorted distinct
        patients) in place of drawn ones.
    reject_undefined : bool
        Throw away a draw in which some class lacks a label and draw again until ``n`` are kept;
        given ``indices`` are only thrown away. At most ``1000 n`` draws are tried.
    level : float
        Coverage of the interval between the two quantiles (linear interpolation).
    undefined : {"omit", "raise"}
        A class (for "fmax", a record) that lacks a label in the whole data: leave it out
        everywhere, or refuse. A class that lacks one in a draw alone is left out of that draw's
        mean, and counted.
    threads : int, optional
        Default: the process setting.

    Returns
    -------
    Interval

    Raises
    ------
    MetricError
        Labels not 0 or 1, NaN scores, indices out of range, or no draw that can be kept.
    LayoutError
        Shapes do not fit.

    Notes
    -----
    Efron, Ann. Statist. 7, 1979. Several recordings of one patient are not independent: without
    ``groups`` such an interval is too narrow.
    """
    if n < 1 or not 0 < level < 1:
        raise ValueError(f"n must be at least 1 and level inside (0, 1), got {n} and {level}")
    truth, score = _labels.pair(y, s)
    units, member = _units(groups, len(truth))
    strata_of = _strata(strata, len(truth), units, member)
    given = None if indices is None else _indices(indices)
    evaluate = _evaluator(metric, truth, score, np.ndim(y) == 1, member, units, undefined, threads)
    whole = np.arange(units, dtype=np.int32)[None]
    first = evaluate(whole)[0]
    kept = ~np.isnan(first)
    if (not kept.all() and undefined == "raise") or not kept.any():
        raise MetricError(
            f"bootstrap: not defined on the whole data for class "
            f"{', '.join(map(str, np.flatnonzero(~kept)[:10]))}; pass undefined='omit'"
        )
    blocks = iter([given]) if given is not None else _draws(units, strata_of, n, seed)
    parts, tried, accepted = [], 0, 0
    for block in blocks:
        each = evaluate(block)
        tried += len(block)
        if reject_undefined:
            each = each[~np.isnan(each[:, kept]).any(1)]
        each = each[: n - accepted] if given is None else each
        parts.append(each)
        accepted += len(each)
        if given is not None or accepted >= n:
            break
        if not reject_undefined or tried >= 1000 * n:
            break
    each = np.concatenate(parts)
    if not len(each) or (given is None and accepted < n):
        raise MetricError(
            f"bootstrap: {accepted} of {tried} resamples had every label in every class, {n} "
            "wanted; leave rare classes out, or do without reject_undefined"
        )
    lost = np.isnan(each[:, kept])
    samples = _row_means(each[:, kept])
    low, high = np.nanquantile(samples, [(1 - level) / 2, (1 + level) / 2])
    what = "records" if groups is None else "patients"
    rule = (
        f"{len(each)} resamples of {units} {what}"
        + (", stratified" if strata is not None else "")
        + (", given indices" if given is not None else f", seed {seed}")
        + (", draws with an absent class rejected" if reject_undefined else "")
    )
    fast = isinstance(metric, str) and metric in _FAST
    return Interval(
        point=float(first[kept].mean()), low=float(low), high=float(high), samples=samples,
        per_class=each if fast else None, level=level, draws=len(each),
        rejected=tried - accepted if reject_undefined else 0, units=units,
        omitted=int(lost.any(1).sum()), rule=rule,
    )  # fmt: skip


def bootstrap_ptbxl(
    y: ArrayLike,
    s: ArrayLike,
    *,
    n: int = 100,
    seed: int = 0,
    indices: ArrayLike | None = None,
    threads: int | None = None,
) -> Interval:
    """Macro AUROC by the protocol of the PTB-XL benchmark.

    ``n`` resamples drawn with NumPy's legacy ``randint``, a draw in which a class has no positive
    rejected, the 5 % and 95 % quantiles: a **90 %** interval, though often quoted as 95 %.

    Parameters
    ----------
    y, s : array_like, shape (records, classes)
    n : int
        Accepted resamples.
    seed : int
        Of ``numpy.random.RandomState``; the published code does not set one.
    indices : array_like of int, shape (draws, records), optional
        The published resamples, used as they are: the same figures to the last bit.
    threads : int, optional
        Default: the process setting.

    Returns
    -------
    Interval
        A draw in which a class has no negative, where the published code stops with an error, is
        rejected as well.

    Notes
    -----
    Strodthoff, Wagner, Schaeffter and Samek, IEEE JBHI 25(5), 2021, doi 10.1109/jbhi.2020.3022989.
    """
    if indices is not None:
        return bootstrap(y, s, indices=indices, level=0.9, undefined="raise", threads=threads)
    truth, _ = _labels.pair(y, s)
    rng = np.random.RandomState(seed)
    size = len(truth)
    kept: list[Array] = []
    rejected = 0
    while len(kept) < n:
        drawn = rng.randint(0, size, size)
        found = truth[drawn].sum(0, dtype=np.int64)
        if found.min() > 0 and found.max() < size:
            kept.append(drawn)
        else:
            rejected += 1
            if rejected > 1000 * n:
                raise MetricError(
                    f"bootstrap_ptbxl: {len(kept)} of {rejected} draws hold every class, {n} wanted"
                )
    got = bootstrap(y, s, indices=np.array(kept), level=0.9, undefined="raise", threads=threads)
    rule = f"PTB-XL benchmark: {n} resamples of {size} records, RandomState({seed}).randint"
    return Interval(**(got.__dict__ | {"rejected": rejected, "rule": rule}))


def _row_means(each: Array) -> Array:
    """Mean of every row over what is not NaN; NaN for a row of nothing."""
    defined = ~np.isnan(each)
    if defined.all():
        return each.mean(1)
    count = defined.sum(1)
    total = np.where(defined, each, 0.0).sum(1)
    return np.divide(total, count, out=np.full(len(each), np.nan), where=count > 0)


def _units(groups: ArrayLike | None, records: int) -> tuple[int, Array | None]:
    if groups is None:
        return records, None
    array = np.asarray(groups)
    if array.shape != (records,):
        raise LayoutError(f"groups must have shape ({records},), got {array.shape}")
    names, member = np.unique(array, return_inverse=True)
    return len(names), member.astype(np.int32)


def _strata(
    strata: ArrayLike | None, records: int, units: int, member: Array | None
) -> list[Array] | None:
    if strata is None:
        return None
    array = np.asarray(strata)
    if array.shape != (records,):
        raise LayoutError(f"strata must have shape ({records},), got {array.shape}")
    codes = np.unique(array, return_inverse=True)[1]
    if member is not None:
        of_unit = np.full(units, -1)
        of_unit[member] = codes
        if (of_unit[member] != codes).any():
            raise LayoutError("strata: a patient belongs to two strata; give one per patient")
        codes = of_unit
    return [np.flatnonzero(codes == k).astype(np.int32) for k in range(codes.max() + 1)]


def _indices(indices: ArrayLike) -> Array:
    array = np.asarray(indices)
    if array.ndim != 2 or array.dtype.kind not in "iu" or array.size == 0:
        raise LayoutError(
            f"indices must be integers of shape (draws, m), got {array.dtype} {array.shape}"
        )
    if array.min() < 0 or array.max() > np.iinfo(np.int32).max:
        raise MetricError("indices must not be negative")
    return np.ascontiguousarray(array, np.int32)


def _draws(units: int, strata: list[Array] | None, n: int, seed: int) -> Iterator[Array]:
    """Blocks of resamples without end, the first ``n`` those of the documented rule."""
    rng = np.random.default_rng(seed)
    rows = max(64, _CHUNK // units // 64 * 64)
    if strata is not None:
        while True:
            yield np.concatenate(
                [at[rng.integers(0, len(at), (n, len(at)), dtype=np.int32)] for at in strata], 1
            )
    done = 0
    while True:
        count = min(rows, n - done) or min(rows, n)
        yield rng.integers(0, units, (count, units), dtype=np.int32)
        done = min(n, done + count)


def _evaluator(
    metric: str | Callable[[Array, Array], float],
    truth: Array,
    score: Array,
    single: bool,
    member: Array | None,
    units: int,
    undefined: Undefined,
    threads: int | None,
) -> Callable[[Array], Array]:
    if isinstance(metric, str) and metric in _FAST:
        order = _core.metric_order(truth, score, threads)
        return lambda index: _core.metric_resample(order, index, metric, member, units, threads)
    function = _named(metric, undefined) if isinstance(metric, str) else metric
    y, s = (truth[:, 0], score[:, 0]) if single else (truth, score)
    rows = None
    if member is not None:
        by_unit = np.argsort(member, kind="stable")
        rows = np.split(by_unit, np.cumsum(np.bincount(member, minlength=units))[:-1])

    def one(drawn: Array) -> float:
        at = drawn if rows is None else np.concatenate([rows[u] for u in drawn])
        try:
            return float(function(y[at], s[at]))
        except MetricError:
            return float("nan")

    def many(index: Array) -> Array:
        if index.max() >= units:
            raise MetricError(f"indices must lie in 0..{units - 1}, got {index.max()}")
        return np.array([[one(drawn)] for drawn in index])

    return many


def _named(name: str, undefined: Undefined) -> Callable[[Array, Array], float]:
    from .. import metrics

    function = getattr(metrics, name, None) if name in metrics.SCORED else None
    if function is None:
        raise ValueError(f"metric must be one of {', '.join(metrics.SCORED)}; got {name!r}")
    return partial(function, undefined=undefined) if name == "fmax" else function
