"""Frechet distance of curves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .._config import _core
from .._typing import Array, ArrayLike
from ..errors import LayoutError, MetricError

Mode = Literal["amplitude", "plane"]


def frechet_curve(
    p: ArrayLike,
    q: ArrayLike,
    *,
    mode: Mode = "amplitude",
    time_scale: float = 1.0,
    band: int | None = None,
    limit: float | None = None,
    out: Array | None = None,
    threads: int | None = None,
) -> Any:
    """Discrete Frechet distance of curves: the shortest leash with which both can be walked.

    Not the Gaussian distance of feature sets that FID means: that is :func:`frechet_gaussian`.

    Parameters
    ----------
    p, q : array_like, shapes (..., n) and (..., m)
        Curves along the last axis; leading axes are broadcast.
    mode : {"amplitude", "plane"}
        Distance of two points: ``|p_i - q_j|``, or in the plane of time and amplitude
        ``sqrt((time_scale (i - j))^2 + (p_i - q_j)^2)``.
    time_scale : float
        Of one sample in the unit of the amplitudes; for "plane". The value depends on it: report it
        with the distance.
    band : int, optional
        Couple only samples with ``|i - j| <= band`` (an upper bound of the distance); at least the
        difference of the lengths. Default: all.
    limit : float, optional
        A distance above it is returned as infinity, and is left as soon as it is sure.
    out : ndarray, optional
        The result's shape and type, C-contiguous.
    threads : int, optional
        Pairs are shared between threads. Default: the process setting.

    Returns
    -------
    ndarray of the broadcast leading shape, or float for one pair
        float64 if ``p`` or ``q`` is float64, else float32 (and computed in it). A sample that is
        NaN or infinite gives NaN.

    Raises
    ------
    LayoutError
        An empty curve, or leading axes that do not broadcast.
    MetricError
        ``band`` below the difference of the lengths, a negative ``time_scale``.

    Notes
    -----
    Eiter and Mannila, Computing discrete Frechet distance, TU Wien CD-TR 94/64, 1994. O(n m) time,
    O(n + m) memory; all instruction sets give the bits of the recursion. The value depends on the
    sampling of the curves.

    Examples
    --------
    >>> ek.metrics.frechet_curve([0.0, 1, 2, 1, 0], [0, 1.5, 0.5, 0])
    0.5
    """
    a, b = _curves(p, q)
    scale = _scale(mode, time_scale)
    if band is not None and band < abs(a.shape[-1] - b.shape[-1]):
        raise MetricError(
            f"frechet_curve: band must be at least the difference of the lengths "
            f"{abs(a.shape[-1] - b.shape[-1])}, got {band}: no coupling fits in it"
        )
    if limit is not None and not limit >= 0:
        raise MetricError(f"frechet_curve: limit must not be negative, got {limit}")
    try:
        lead = np.broadcast_shapes(a.shape[:-1], b.shape[:-1])
    except ValueError:
        raise LayoutError(
            f"frechet_curve: the leading axes of p {a.shape} and q {b.shape} do not broadcast"
        ) from None
    pair = (_rows(a, lead), _rows(b, lead))
    count = math.prod(lead)
    finite = None if limit is None or math.isinf(limit) else float(limit)
    if count == 0:
        return np.empty(lead, np.float64) if out is None else out
    flat = None
    if out is not None:
        kind = np.float64 if np.float64 in (a.dtype, b.dtype) else np.float32
        if out.shape != lead or out.dtype != kind or not out.flags.carray:
            raise LayoutError(
                f"frechet_curve: out must be a C-contiguous {kind.__name__} array of shape {lead}, "
                f"got {out.dtype} {out.shape}"
            )
        flat = out.reshape(-1)
    got = _core.metric_frechet(*pair, scale, band, finite, flat, threads)
    if out is not None:
        return out
    return got.reshape(lead) if lead else float(got[0])


@dataclass(frozen=True)
class Coupling:
    """A coupling that reaches the distance: pairs of sample numbers, in order.

    Attributes
    ----------
    distance : float
    path : ndarray of int64, shape (steps, 2)
        From (0, 0) to (n-1, m-1); every step moves one or both by one.
    at : int
        The step whose two points are the distance apart.
    """

    distance: float
    path: Array
    at: int


def frechet_coupling(
    p: ArrayLike, q: ArrayLike, *, mode: Mode = "amplitude", time_scale: float = 1.0
) -> Coupling:
    """The coupling behind :func:`frechet_curve`, for a picture.

    Parameters
    ----------
    p, q : array_like, shapes (n,) and (m,)
    mode, time_scale
        As in :func:`frechet_curve`.

    Returns
    -------
    Coupling
        Takes n m bytes while it runs. Of several that reach the distance, the one that walks both
        curves together for longest at every choice.

    Raises
    ------
    MetricError
        A sample that is not finite.
    """
    a, b = (np.asarray(x, np.float64) for x in _curves(p, q))
    if a.ndim != 1 or b.ndim != 1:
        raise LayoutError(f"frechet_coupling: one pair of curves, got {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise MetricError("frechet_coupling: a curve holds NaN or infinity")
    scale = _scale(mode, time_scale)
    path, length = _core.metric_coupling(a, b, scale)
    path = path[:length].copy()
    apart = np.abs(a[path[:, 0]] - b[path[:, 1]])
    if scale >= 0:
        apart = np.hypot(scale * (path[:, 0] - path[:, 1]), apart)
    at = int(apart.argmax())
    return Coupling(float(apart[at]), path, at)


def _scale(mode: str, time_scale: float) -> float:
    if mode not in ("amplitude", "plane"):
        raise ValueError(f"mode must be 'amplitude' or 'plane', got {mode!r}")
    if not (time_scale >= 0 and math.isfinite(time_scale)):
        raise MetricError(f"time_scale must be finite and not negative, got {time_scale}")
    return -1.0 if mode == "amplitude" else float(time_scale)


def _curves(p: ArrayLike, q: ArrayLike) -> tuple[Array, Array]:
    a, b = np.asarray(p), np.asarray(q)
    for name, x in (("p", a), ("q", b)):
        if x.dtype.kind not in "iuf":
            raise TypeError(f"{name} must hold real numbers, got dtype {x.dtype}")
        if x.ndim < 1 or x.shape[-1] == 0:
            raise LayoutError(f"{name} must have shape (..., samples) with samples, got {x.shape}")
    return a, b


def _rows(x: Array, lead: tuple[int, ...]) -> Array:
    if math.prod(x.shape[:-1]) == 1:
        return x.reshape(1, -1)
    return np.broadcast_to(x, (*lead, x.shape[-1])).reshape(-1, x.shape[-1])
