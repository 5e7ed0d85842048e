"""DeLong's variance of areas under ROC curves: one model, two models, macro over labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .._config import _core
from .._typing import Array, ArrayLike
from ..errors import LayoutError, MetricError
from ._labels import Undefined, pair


@dataclass(frozen=True)
class DeLong:
    """Areas with DeLong's standard errors; with two models also their difference.

    Attributes
    ----------
    auroc, standard_error, low, high : float
        Area of the first model (macro over labels for a matrix) and its interval.
    auroc2, standard_error2, difference, difference_error, z, p : float or None
        The second model; ``difference`` is first minus second, ``p`` two-sided.
    difference_low, difference_high : float or None
    areas : ndarray, shape (models, classes)
    covariance : ndarray, shape (models * classes, models * classes)
        Joint covariance of ``areas.ravel()``.
    log10_p : float or None
        Right where ``p`` has become 0.
    level : float
    omitted : tuple of int
        Classes left out because they lack two positives or two negatives.
    """

    auroc: float
    standard_error: float
    low: float
    high: float
    areas: Array
    covariance: Array
    level: float
    omitted: tuple[int, ...] = ()
    auroc2: float | None = None
    standard_error2: float | None = None
    difference: float | None = None
    difference_error: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    z: float | None = None
    p: float | None = None
    log10_p: float | None = None


def delong(
    y: ArrayLike,
    s1: ArrayLike,
    s2: ArrayLike | None = None,
    *,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    scale: Literal["linear", "logit"] = "linear",
    undefined: Undefined = "raise",
    threads: int | None = None,
) -> DeLong:
    """Interval of an AUROC, or test of two on the same records, without resampling.

    Parameters
    ----------
    y : array_like, shape (n,) or (n, classes)
        Labels 0 or 1. With several classes the figure is the macro mean, and its variance takes
        the joint covariance of the classes into account.
    s1, s2 : array_like, the shape of ``y``
        Scores of one or two models.
    groups : array_like, shape (n,), optional
        Patient of every record: influences are summed within a patient before they are squared
        (the clustered estimate), so that repeated recordings do not narrow the interval.
    level : float
        Coverage of the interval.
    scale : {"linear", "logit"}
        Where the interval of the area is symmetric; "logit" stays inside 0..1.
    undefined : {"raise", "omit"}
        Classes with fewer than two positives or negatives: refuse, or leave out.
    threads : int, optional
        Default: the process setting.

    Returns
    -------
    DeLong
        Two models whose areas differ by a constant 0 have ``z`` 0 and ``p`` 1.

    Raises
    ------
    MetricError
        Labels not 0 or 1, NaN scores, a class with fewer than two of a label.
    LayoutError
        Shapes differ.

    Notes
    -----
    DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988; mid-ranks as in Sun and Xu, IEEE SPL
    21(11), 2014; patients as in Obuchowski, Biometrics 53, 1997.

    Examples
    --------
    >>> y = [0, 0, 1, 1, 0, 1]
    >>> ek.metrics.delong(y, [0.1, 0.4, 0.35, 0.8, 0.2, 0.9]).auroc
    0.8888888888888888
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie inside (0, 1), got {level}")
    if scale not in ("linear", "logit"):
        raise ValueError(f"scale must be 'linear' or 'logit', got {scale!r}")
    area, phi = _influences(y, s1, threads)
    models = 1
    if s2 is not None:
        other, psi = _influences(y, s2, threads)
        area, phi, models = np.append(area, other), np.concatenate([phi, psi]), 2
    areas = area.reshape(models, -1)
    defined = ~np.isnan(areas[0])
    if (not defined.all() and undefined == "raise") or not defined.any():
        where = ", ".join(map(str, np.flatnonzero(~defined)[:10]))
        raise MetricError(
            f"delong: class {where} has fewer than two positives or two negatives; leave it out, "
            "or pass undefined='omit'"
        )
    if groups is not None:
        phi = _by_group(phi, groups)
    covariance = phi @ phi.T
    classes = areas.shape[1]
    weight = np.where(defined, 1.0 / defined.sum(), 0.0)
    safe, near = np.where(defined, areas, 0.0), np.tile(defined, models)
    joint = np.where(near[:, None] & near, covariance, 0.0)
    joint = joint.reshape(models, classes, models, classes)
    means = safe @ weight
    spread = np.einsum("c,mcnd,d->mn", weight, joint, weight)
    error = math.sqrt(max(spread[0, 0], 0.0))
    quantile = _normal_quantile(0.5 + level / 2)
    low, high = _interval(float(means[0]), error, quantile, scale)
    one: dict[str, Any] = {
        "auroc": float(means[0]), "standard_error": error, "low": low, "high": high,
        "areas": areas, "covariance": covariance, "level": level,
        "omitted": tuple(int(k) for k in np.flatnonzero(~defined)),
    }  # fmt: skip
    if s2 is None:
        return DeLong(**one)
    difference = float(means[0] - means[1])
    # The variance of the difference from its own influences: no cancellation.
    own = weight @ np.where(defined[:, None], phi[:classes] - phi[classes:], 0.0)
    gap = math.sqrt(float(own @ own))
    z = difference / gap if gap > 0 else math.copysign(math.inf, difference) if difference else 0.0
    return DeLong(
        **one, auroc2=float(means[1]), standard_error2=math.sqrt(max(spread[1, 1], 0.0)),
        difference=difference, difference_error=gap, difference_low=difference - quantile * gap,
        difference_high=difference + quantile * gap, z=z, p=math.erfc(abs(z) / math.sqrt(2)),
        log10_p=_log10_p(z),
    )  # fmt: skip


def _influences(y: ArrayLike, s: ArrayLike, threads: int | None) -> tuple[Array, Array]:
    truth, score = pair(y, s)
    return _core.metric_delong(_core.metric_order(truth, score, threads), threads)


def _by_group(phi: Array, groups: ArrayLike) -> Array:
    array = np.asarray(groups)
    if array.shape != phi.shape[1:]:
        raise LayoutError(f"groups must have shape {phi.shape[1:]}, got {array.shape}")
    names, member = np.unique(array, return_inverse=True)
    order = np.argsort(member, kind="stable")
    starts = np.append(0, np.cumsum(np.bincount(member))[:-1])
    return np.add.reduceat(phi[:, order], starts, axis=1) if len(names) else phi


def _interval(value: float, error: float, quantile: float, scale: str) -> tuple[float, float]:
    if scale == "linear" or not 0 < value < 1:
        return max(0.0, value - quantile * error), min(1.0, value + quantile * error)
    middle, half = math.log(value / (1 - value)), quantile * error / (value * (1 - value))
    return 1 / (1 + math.exp(half - middle)), 1 / (1 + math.exp(-half - middle))


def _normal_quantile(p: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(p)


def _log10_p(z: float) -> float:
    """log10 of the two-sided normal p, also where the p itself underflows."""
    a = abs(z)
    if a < 30:
        return math.log10(math.erfc(a / math.sqrt(2)))
    if math.isinf(a):
        return -math.inf
    series = 1 - 1 / a**2 + 3 / a**4 - 15 / a**6
    return (-a * a / 2 - math.log(a) + 0.5 * math.log(2 / math.pi) + math.log(series)) / math.log(
        10
    )
