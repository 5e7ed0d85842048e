"""What every figure accepts: labels 0 or 1, scores without NaN, both of one shape."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from .._typing import Array, ArrayLike
from ..errors import LayoutError, MetricError

Average = Literal["macro", "weighted", "micro"] | None
Undefined = Literal["raise", "omit"]


def labels(y: ArrayLike, name: str = "y") -> Array:
    """Labels as uint8 0 or 1, C-contiguous, (n,) or (n, c)."""
    array = np.asarray(y)
    if array.ndim not in (1, 2):
        raise LayoutError(f"{name} must have shape (n,) or (n, classes), got {array.shape}")
    if array.dtype == bool:
        return np.ascontiguousarray(array).view(np.uint8)
    if array.dtype.kind not in "iuf":
        raise MetricError(f"{name} must hold labels 0 or 1, got dtype {array.dtype}")
    if array.dtype.kind in "iu":
        small = np.ascontiguousarray(array).astype(np.uint8, copy=False)
    else:
        small = np.ascontiguousarray(array > 0)
    if array.dtype.kind in "iu":
        right = array.size == 0 or (array.min() >= 0 and array.max() <= 1)
    else:
        right = bool(((array == 0) | (array == 1)).all())
    if not right:
        odd = np.unique(array[(array != 0) & (array != 1)])[:5]
        raise MetricError(
            f"{name} must hold labels 0 or 1, got also {', '.join(map(str, odd))}; one-hot "
            "class numbers first, or compare them with the class that counts as positive"
        )
    return small.view(np.uint8) if small.dtype == bool else small


def scores(s: ArrayLike, name: str = "s") -> Array:
    """Scores as float32 or float64, C-contiguous."""
    array = np.asarray(s)
    if array.dtype.kind not in "biuf":
        raise MetricError(f"{name} must hold real numbers, got dtype {array.dtype}")
    kind = np.float32 if array.dtype in (np.float16, np.float32) else np.float64
    return np.ascontiguousarray(array, kind)


def pair(y: ArrayLike, s: ArrayLike) -> tuple[Array, Array]:
    """Labels and scores as (n, c) with a column for a single label."""
    truth, score = labels(y), scores(s)
    if truth.shape != score.shape:
        raise LayoutError(
            f"y and s must have one shape, (n,) or (n, classes), got {truth.shape} and "
            f"{score.shape}"
        )
    if truth.size == 0:
        raise LayoutError(f"there is nothing to evaluate: y has shape {truth.shape}")
    if truth.ndim == 1:
        return truth[:, None], score[:, None]
    return truth, score


def probabilities(p: Array, name: str = "p") -> Array:
    """The same, after a check that all lie in 0..1."""
    low, high = p.min(), p.max()
    if not (low >= 0 and high <= 1):
        raise MetricError(
            f"{name} must be probabilities in 0..1, got {low:g}..{high:g}; apply the sigmoid first"
        )
    return p


def average(
    each: Array, how: Average, undefined: Undefined, support: Array, single: bool, what: str
) -> Any:
    """Combine the figures of the classes; NaN marks one that is not defined."""
    if undefined not in ("raise", "omit"):
        raise ValueError(f"undefined must be 'raise' or 'omit', got {undefined!r}")
    absent = np.isnan(each)
    if absent.any() and undefined == "raise":
        where = ", ".join(map(str, np.flatnonzero(absent)[:10]))
        raise MetricError(
            f"{what} is not defined for class {where}: it needs both labels; leave the class out, "
            "or pass undefined='omit' for the mean over the others"
        )
    if single:
        return float(each[0])
    if how is None:
        return each
    if absent.all():
        return float("nan")
    if how == "macro":
        return float(each[~absent].mean())
    if how == "weighted":
        total = support[~absent].sum()
        return float((each[~absent] * support[~absent]).sum() / total) if total else float("nan")
    raise ValueError(f"average must be 'macro', 'weighted', 'micro' or None, got {how!r}")
