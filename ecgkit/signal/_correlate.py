"""Cross- and autocorrelation."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from .._config import _core
from .._speaking import speaking_as
from .._typing import Array, ArrayLike
from ..errors import LayoutError
from ..record import check_fs
from ._arguments import real_array

SEGMENTS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "P": (-0.24, -0.12),
        "PQ": (-0.12, -0.05),
        "QRS": (-0.05, 0.05),
        "ST": (0.05, 0.15),
        "T": (0.15, 0.40),
    }
)
"""Seconds about the R peak: the parts of a beat that :func:`conserved_segments` compares."""


def correlate(
    x: ArrayLike,
    y: ArrayLike,
    *,
    max_lag: int,
    normalize: bool = True,
    threads: int | None = None,
) -> Array:
    """Cross-correlation of rows over a range of lags, computed in double through the spectrum.

    Parameters
    ----------
    x, y : array_like, shape (..., time)
        Real numbers, of one shape.
    max_lag : int
        Largest lag in samples, below the number of samples.
    normalize : bool
        ``True``: ``sum (x[n] - mx) (y[n + l] - my) / (N sx sy)`` (biased, -1 to 1; a constant row
        gives 0). ``False``: the plain sum of ``x[n] y[n + l]``.
    threads : int, optional
        Default: the process setting.

    Returns
    -------
    ndarray, shape (..., 2 * max_lag + 1)
        Lag ``l`` is at index ``l + max_lag``: a ``y`` that comes ``k`` samples later than ``x``
        peaks at lag ``k``. float64 if ``x`` or ``y`` is float64, else float32. A NaN spoils its
        row.

    Raises
    ------
    LayoutError
        The shapes differ, or ``max_lag`` is not below the number of samples.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=1000)
    >>> int(ek.signal.correlate(x, np.roll(x, 7), max_lag=20).argmax()) - 20
    7
    """
    a, b = real_array(x, "correlate"), real_array(y, "correlate", "y")
    got = _core.correlate(a, b, max_lag, normalize, threads)
    return got if np.float64 in (a.dtype.type, b.dtype.type) else got.astype(np.float32)


def autocorrelate(
    x: ArrayLike, *, max_lag: int, normalize: bool = True, threads: int | None = None
) -> Array:
    """Autocorrelation of rows at the lags 0 to ``max_lag``; see :func:`correlate`.

    Returns
    -------
    ndarray, shape (..., max_lag + 1)
        The value at index ``l`` belongs to lag ``l``; with ``normalize`` the first is 1.
    """
    a = real_array(x, "autocorrelate")
    with speaking_as("autocorrelate", "correlate"):
        got = _core.correlate(a, None, max_lag, normalize, threads)
    return got if a.dtype.type is np.float64 else got.astype(np.float32)


def conserved_segments(
    x: ArrayLike,
    y: ArrayLike,
    *,
    fs: float,
    peaks: ArrayLike | None = None,
    segments: Mapping[str, tuple[float, float]] = SEGMENTS,
) -> dict[str, Array]:
    """Which parts of the beat two recordings share: correlation segment by segment, beat by beat.

    Parameters
    ----------
    x, y : array_like, shape (..., time)
        A recording and, for example, one that a model generated; of one shape.
    fs : float
        Rate in Hz.
    peaks : array_like of int, shape (beat,), optional
        R peaks, sample indices. Default: :func:`ecgkit.signal.rpeaks` of ``x``, all leads together.
    segments : mapping of name to (start, end)
        Seconds about the R peak; at least two samples each. Default: ``P`` -0.24 to -0.12, ``PQ``
        to -0.05, ``QRS`` to 0.05, ``ST`` to 0.15, ``T`` to 0.40.

    Returns
    -------
    dict of str to ndarray, shape (...,)
        Mean over the beats of the correlation at lag 0 (-1 to 1) within the segment; a segment that
        leaves the recording does not count, a constant one counts 0; NaN without beats or where a
        NaN lies in a counted segment. float64.

    Raises
    ------
    LayoutError, RateError, ValueError
        The shapes differ; the rate is not positive; a segment is empty.
    """
    name = "conserved_segments"
    a, b = (real_array(v, name, which).astype(np.float64) for v, which in ((x, "x"), (y, "y")))
    if a.shape != b.shape or a.ndim == 0 or a.shape[-1] == 0:
        raise LayoutError(
            f"conserved_segments: x and y must have one shape (..., time), got {a.shape} and "
            f"{b.shape}"
        )
    rate, t = check_fs(fs), a.shape[-1]
    if peaks is None:
        with speaking_as(name, "rpeaks"):
            peaks = _core.rpeaks(a.reshape(-1, t), rate)
    if not isinstance(segments, Mapping):
        raise TypeError(f"{name}: segments must map names to (start, end), got {segments!r}")
    beats = np.asarray(peaks)
    if beats.ndim != 1 or (beats.size and beats.dtype.kind not in "iu"):
        raise LayoutError(
            f"conserved_segments: peaks must be sample indices, shape (beat,), got "
            f"{beats.dtype} of shape {beats.shape}"
        )
    return {
        name: _shared(a, b, beats.astype(np.int64), name, bounds, rate)
        for name, bounds in segments.items()
    }


def _shared(a: Array, b: Array, beats: Array, name: str, bounds: Any, rate: float) -> Array:
    try:
        start, end = (round(float(bound) * rate) for bound in bounds)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            f"conserved_segments: segment {name!r} must be (start, end) in seconds, got {bounds!r}"
        ) from None
    if end - start < 2:
        raise ValueError(
            f"conserved_segments: segment {name!r} must span two samples or more, got {bounds} s "
            f"at {rate:g} Hz"
        )
    inside = beats[(beats + start >= 0) & (beats + end <= a.shape[-1])]
    if inside.size == 0:
        return np.full(a.shape[:-1], np.nan)
    at = inside[:, None] + np.arange(start, end)
    u, v = a[..., at], b[..., at]
    with np.errstate(invalid="ignore"):  # infinities become NaN
        u -= u.mean(axis=-1, keepdims=True)
        v -= v.mean(axis=-1, keepdims=True)
    size = np.sqrt((u * u).sum(axis=-1) * (v * v).sum(axis=-1))
    r = (u * v).sum(axis=-1) / np.where(size == 0, 1.0, size)
    return r.mean(axis=-1)
