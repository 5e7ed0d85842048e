"""Distances of feature sets: Frechet distance of Gaussians (FID's formula), kernel distance."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .._config import _core
from .._typing import Array, ArrayLike
from ..errors import LayoutError, MetricError

_SYMMETRIC = 1e-8  # of the largest entry


@dataclass(frozen=True)
class GaussianDistance:
    """Squared Frechet distance of two Gaussians and its parts; ``float()`` gives the value.

    Attributes
    ----------
    value : float
        ``mean_term + covariance_term``.
    mean_term : float
        ``|mu1 - mu2|^2``.
    covariance_term : float
        ``tr(S1 + S2 - 2 (S1 S2)^(1/2))``.
    root : float
        ``sqrt(value)``, what some papers print.
    rank1, rank2 : int
        Ranks that entered.
    clipped : float
        Sum of the negative eigenvalues that were set to zero; rounding, or a covariance that is
        none.
    n1, n2 : int or None
        Records behind the two sides.
    low, high : float or None
        Bootstrap interval, where one was asked for.
    unlimited : float or None
        Extrapolation to infinitely many records, where it was asked for.
    """

    value: float
    mean_term: float
    covariance_term: float
    rank1: int
    rank2: int
    clipped: float
    n1: int | None = None
    n2: int | None = None
    low: float | None = None
    high: float | None = None
    samples: Array | None = field(default=None, repr=False)
    unlimited: float | None = None

    def __float__(self) -> float:
        return self.value

    @property
    def root(self) -> float:
        return math.sqrt(max(self.value, 0.0))

    @property
    def note(self) -> str:
        """What a reader must know of the number of records."""
        if self.n1 is None or self.n2 is None:
            return "numbers of records unknown; the estimate is biased upwards for few"
        return (
            f"{self.n1} and {self.n2} records; the estimate is biased upwards by about 1/n: "
            "compare only at equal numbers"
        )


@dataclass(frozen=True)
class FeatureStatistics:
    """Mean and covariance of a feature set, for repeated use against one reference.

    Attributes
    ----------
    mean : ndarray of float64, shape (d,)
    n : int
        Records.
    covariance : ndarray of float64, shape (d, d), or None
    rows : ndarray of float64, shape (n, d), or None
        Centred records over ``sqrt(n - 1)``, kept in place of a covariance while ``n <= d``: their
        Gram matrix is smaller, and no root of a singular matrix is needed.
    """

    mean: Array
    n: int
    covariance: Array | None = None
    rows: Array | None = None

    @property
    def trace(self) -> float:
        """Trace of the covariance."""
        if self.rows is not None:
            return float(np.einsum("ij,ij->", self.rows, self.rows))
        assert self.covariance is not None
        return float(np.trace(self.covariance))

    def factor(self) -> tuple[Array, int, float]:
        """``f`` (r, d) with ``f.T @ f`` the covariance, its rank, and the clipped mass."""
        if self.rows is not None:
            return self.rows, min(self.n - 1, len(self.mean)), 0.0
        assert self.covariance is not None
        f, rank, clipped = _core.metric_factor(self.covariance)
        return f[:rank], rank, clipped

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write as safetensors, whole or not at all."""
        from .. import weights

        tensors = {"mean": self.mean, "n": np.array([self.n], np.int64)}
        if self.rows is not None:
            tensors["rows"] = self.rows
        if self.covariance is not None:
            tensors["covariance"] = self.covariance
        weights.save(path, tensors)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FeatureStatistics:
        """Read what :meth:`save` wrote.

        Raises
        ------
        FormatError
            Not such a file.
        """
        from .. import weights
        from ..errors import FormatError

        got = weights.read(path)
        mean, n = got.get("mean"), got.get("n")
        body = got.get("rows", got.get("covariance"))
        if mean is None or n is None or body is None or body.shape[-1] != len(mean):
            raise FormatError(
                f"{os.fspath(path)}: not feature statistics; wanted mean, n and rows or covariance,"
                f" got {', '.join(sorted(got))}"
            )
        return cls(mean, int(n[0]), got.get("covariance"), got.get("rows"))


def feature_statistics(x: ArrayLike, *, threads: int | None = None) -> FeatureStatistics:
    """Mean and covariance (by n - 1) of features, in two passes, summed in double.

    Parameters
    ----------
    x : array_like, shape (n, d)
        At least two records; finite.
    threads : int, optional
        Default: the process setting.

    Returns
    -------
    FeatureStatistics
    """
    array = _features(x, "x")
    n, d = array.shape
    few = n <= d
    mean, covariance, rows = _core.metric_moments(array, not few, few, threads)
    if not np.isfinite(mean).all():
        raise MetricError("features hold NaN or infinity, or are too large for double")
    if rows is not None:
        rows /= math.sqrt(n - 1)
    return FeatureStatistics(mean, n, covariance, rows)


def frechet_gaussian(
    mu1: ArrayLike, cov1: ArrayLike, mu2: ArrayLike, cov2: ArrayLike
) -> GaussianDistance:
    """Squared Frechet distance of two Gaussians, ``|mu1-mu2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))``.

    Not the distance of two curves: that is :func:`frechet_curve`.

    Parameters
    ----------
    mu1, mu2 : array_like, shape (d,)
    cov1, cov2 : array_like, shape (d, d)
        Symmetric to 1e-8 of the largest entry, positive semi-definite to 1e-6 of the largest
        eigenvalue; singular ones are fine.

    Returns
    -------
    GaussianDistance
        Computed in double. Nothing is added to the diagonal.

    Raises
    ------
    MetricError
        A covariance that is not finite, not symmetric, or has a negative eigenvalue.
    LayoutError
        Shapes do not fit.

    Notes
    -----
    Dowson and Landau, J. Multivariate Anal. 12, 1982; used on features by Heusel et al., NIPS 2017
    (FID). The trace of the root is the sum of the roots of the eigenvalues of ``L^T S2 L``,
    ``S1 = L L^T``, where these are accurate enough, else the sum of the singular values of the
    product of rank-revealing factors.

    Examples
    --------
    >>> x = np.array([[0, 0], [0, 1], [1, 0], [1, 1.0]])
    >>> y = 2 * x + 1
    >>> round(ek.metrics.frechet_gaussian(x.mean(0), np.cov(x.T), y.mean(0), np.cov(y.T)).value, 9)
    5.166666667
    """
    m1, s1 = _moments(mu1, cov1, "1")
    m2, s2 = _moments(mu2, cov2, "2")
    if m1.shape != m2.shape:
        raise LayoutError(f"the two sides differ in dimension: {m1.size} and {m2.size}")
    return _from_covariances(m1, s1, m2, s2)


def frechet_features(
    x: ArrayLike | FeatureStatistics,
    y: ArrayLike | FeatureStatistics,
    *,
    bootstrap: int = 0,
    extrapolate: bool = False,
    seed: int = 0,
    level: float = 0.95,
    threads: int | None = None,
) -> GaussianDistance:
    """:func:`frechet_gaussian` of two feature sets.

    Parameters
    ----------
    x, y : array_like of shape (n, d), or FeatureStatistics
        Features, one record a row; statistics of a reference set made once.
    bootstrap : int
        Resamples for ``low`` and ``high`` (records of both sides that come as features). A
        resample holds fewer distinct records, so that the interval lies high, most of all for n
        near d.
    extrapolate : bool
        Fit the distance of subsets against 1/n and report the value at 0 as ``unlimited``.
    seed : int
        Of the resamples and subsets.
    level : float
        Coverage of the interval.
    threads : int, optional
        Default: the process setting.

    Returns
    -------
    GaussianDistance
        A side of no more records than dimensions enters through its centred records: the sum of
        the singular values of their product with the other side is exact, whatever the ranks.

    Raises
    ------
    MetricError
        Features that are not finite.
    LayoutError
        Fewer than two records, or dimensions that differ.

    Notes
    -----
    The bias in 1/n and the extrapolation: Chong and Forsyth, CVPR 2020.
    """
    if bootstrap < 0 or not 0 < level < 1:
        raise ValueError(f"bootstrap must not be negative and level inside (0, 1), got {level}")
    a = x if isinstance(x, FeatureStatistics) else feature_statistics(x, threads=threads)
    b = y if isinstance(y, FeatureStatistics) else feature_statistics(y, threads=threads)
    if a.mean.shape != b.mean.shape:
        raise LayoutError(f"the two sides differ in dimension: {a.mean.size} and {b.mean.size}")
    got = _of_statistics(a, b)
    rng = np.random.default_rng(seed)

    def subset(side: Any, whole: FeatureStatistics, count: int, again: bool) -> FeatureStatistics:
        if isinstance(side, FeatureStatistics):
            return whole
        rows = rng.choice(whole.n, min(count, whole.n), replace=again)
        return feature_statistics(np.asarray(side)[rows], threads=threads)

    if bootstrap:
        drawn = np.array([
            _of_statistics(subset(x, a, a.n, True), subset(y, b, b.n, True)).value
            for _ in range(bootstrap)
        ])  # fmt: skip
        low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
        got = replace(got, samples=drawn, low=float(low), high=float(high))
    if extrapolate:
        drawn_from = [s.n for s, side in ((a, x), (b, y)) if side is not s]
        smallest = min(drawn_from, default=0)
        counts = np.unique(np.linspace(smallest / 2, smallest, 15).astype(int))
        counts = counts[counts >= 2]
        if len(counts) < 3:
            raise LayoutError(f"extrapolate: too few records, {smallest}")
        values = [
            _of_statistics(subset(x, a, int(k), False), subset(y, b, int(k), False)).value
            for k in counts
        ]
        got = replace(got, unlimited=float(np.polyfit(1 / counts, values, 1)[1]))
    return got


def kid(
    x: ArrayLike,
    y: ArrayLike,
    *,
    subsets: int | None = None,
    subset_size: int = 1000,
    seed: int = 0,
    threads: int | None = None,
) -> KernelDistance:
    """Kernel distance of two feature sets: unbiased squared MMD with ``(x . y / d + 1)^3``.

    Parameters
    ----------
    x, y : array_like, shape (n, d) and (m, d)
    subsets : int, optional
        Mean over that many random subsets of ``min(subset_size, n, m)`` records of each side, as
        the usual packages do (100 of 1000). Default: all records, one exact value.
    subset_size : int
        Of either side.
    seed : int
        Of the subsets (``numpy.random.default_rng``).
    threads : int, optional
        Default: the process setting.

    Returns
    -------
    KernelDistance
        It may be negative: the estimate is unbiased.

    Notes
    -----
    Binkowski et al., ICLR 2018.
    """
    a, b = _features(x, "x"), _features(y, "y")
    if a.shape[1] != b.shape[1]:
        raise LayoutError(f"the two sides differ in dimension: {a.shape[1]} and {b.shape[1]}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise MetricError("features hold NaN or infinity")
    a, b = np.ascontiguousarray(a, np.float64), np.ascontiguousarray(b, np.float64)

    def once(p: Array, q: Array) -> float:
        gamma, n, m = 1.0 / p.shape[1], len(p), len(q)
        xx = _core.metric_cubic_sum(p, None, gamma, 1.0, threads) / (n * (n - 1))
        yy = _core.metric_cubic_sum(q, None, gamma, 1.0, threads) / (m * (m - 1))
        return xx + yy - 2.0 * _core.metric_cubic_sum(p, q, gamma, 1.0, threads) / (n * m)

    if subsets is None:
        return KernelDistance(once(a, b), None, None)
    size = min(subset_size, len(a), len(b))
    if subsets < 1 or size < 2:
        raise ValueError(f"subsets of at least two records, got {subsets} of {size}")
    rng = np.random.default_rng(seed)
    values = np.array([
        once(a[rng.choice(len(a), size, replace=False)], b[rng.choice(len(b), size, replace=False)])
        for _ in range(subsets)
    ])  # fmt: skip
    return KernelDistance(float(values.mean()), float(values.std(ddof=1)), values)


@dataclass(frozen=True)
class KernelDistance:
    """Kernel distance: ``value``, and over subsets their standard deviation and ``samples``."""

    value: float
    deviation: float | None
    samples: Array | None = field(default=None, repr=False)

    def __float__(self) -> float:
        return self.value


def _features(x: ArrayLike, name: str) -> Array:
    array = np.asarray(x)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    if array.ndim != 2 or array.shape[0] < 2 or array.shape[1] == 0:
        raise LayoutError(
            f"{name} must have shape (records, features) with two records or more, got "
            f"{array.shape}"
        )
    return array if array.dtype == np.float32 else np.asarray(array, np.float64)


def _moments(mu: ArrayLike, cov: ArrayLike, side: str) -> tuple[Array, Array]:
    m, s = np.atleast_1d(np.asarray(mu, np.float64)), np.asarray(cov, np.float64)
    s = s.reshape(1, 1) if s.ndim == 0 else s
    if m.ndim != 1 or s.shape != (m.size, m.size) or m.size == 0:
        raise LayoutError(
            f"mu{side} must have shape (d,) and cov{side} (d, d), got {m.shape} and {s.shape}"
        )
    if not (np.isfinite(m).all() and np.isfinite(s).all()):
        raise MetricError(f"mu{side} or cov{side} holds NaN or infinity")
    largest, apart = np.abs(s).max(), np.abs(s - s.T).max()
    if apart > _SYMMETRIC * largest:
        raise MetricError(
            f"cov{side} is not symmetric: entries differ by {apart:.3g} at a scale of "
            f"{largest:.3g}; is it a covariance?"
        )
    return m, s


def _from_covariances(m1: Array, s1: Array, m2: Array, s2: Array) -> GaussianDistance:
    root, clipped, rank1, rank2, _ = _core.metric_root_trace(s1, s2)
    return _assemble(m1, m2, float(np.trace(s1)), float(np.trace(s2)), root, rank1, rank2, clipped)


def _of_statistics(a: FeatureStatistics, b: FeatureStatistics) -> GaussianDistance:
    if a.covariance is not None and b.covariance is not None:
        got = _from_covariances(a.mean, a.covariance, b.mean, b.covariance)
    else:
        (f1, rank1, clip1), (f2, rank2, clip2) = a.factor(), b.factor()
        root = _core.metric_nuclear(f1, f2)
        got = _assemble(a.mean, b.mean, a.trace, b.trace, root, rank1, rank2, clip1 + clip2)
    return replace(got, n1=a.n, n2=b.n)


def _assemble(
    m1: Array, m2: Array, trace1: float, trace2: float, root: float, rank1: int, rank2: int,
    clipped: float,
) -> GaussianDistance:  # fmt: skip
    apart = m1 - m2
    mean, spread = float(apart @ apart), trace1 + trace2 - 2.0 * root
    return GaussianDistance(mean + spread, mean, spread, rank1, rank2, clipped)
