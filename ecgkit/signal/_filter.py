"""Zero-phase recursive filters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._config import _core
from .._speaking import speaking_as
from .._typing import Array, ArrayLike
from ..errors import LayoutError
from ._arguments import real_array


def filtfilt(
    b: ArrayLike,
    a: ArrayLike,
    x: ArrayLike,
    *,
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """A recursive filter forward and backward along the last axis: no phase shift, gain squared.

    The same result as ``scipy.signal.filtfilt`` with its defaults: odd extension by
    ``3 * max(len(a), len(b))`` samples, initial conditions that suppress the start transient.

    Parameters
    ----------
    b, a : array_like, shape (k,)
        Numerator and denominator. High orders lose digits in this form whoever computes it: prefer
        :func:`sosfiltfilt`.
    x : array_like, shape (..., time)
        Real numbers; more samples than the extension has.
    out : ndarray, optional
        C-contiguous, float64 if ``x`` is float64, else float32, the shape of ``x``; may be ``x``.
    threads : int, optional
        Default: the process setting.

    Returns
    -------
    ndarray, shape (..., time)
        float64 if ``x`` is float64, else float32; computed in float64 either way. A NaN spoils its
        row and no other.

    Raises
    ------
    ValueError
        The coefficients are not finite, ``a[0]`` is 0, or the filter is unstable.
    LayoutError
        ``x`` has too few samples.
    """
    return _core.filtfilt(x, (_one_filter(b, a),), out, threads)


def sosfiltfilt(
    sos: ArrayLike, x: ArrayLike, *, out: Array | None = None, threads: int | None = None
) -> Array:
    """A cascade of second-order sections forward and backward along the last axis.

    The same result as ``scipy.signal.sosfiltfilt`` with its defaults.

    Parameters
    ----------
    sos : array_like, shape (sections, 6)
        ``b0 b1 b2 a0 a1 a2`` of each section, as ``scipy.signal.butter(..., output="sos")`` gives.
    x, out, threads
        As :func:`filtfilt`.

    Returns
    -------
    ndarray, shape (..., time)
        As :func:`filtfilt`.

    Raises
    ------
    ValueError
        ``sos`` has another shape, is not finite, has an ``a0`` other than 1, or is unstable.
    LayoutError
        ``x`` has too few samples.
    """
    sections = np.asarray(real_array(sos, "sosfiltfilt", "sos"), np.float64)
    if sections.ndim != 2 or sections.shape[1] != 6 or sections.shape[0] == 0:
        raise ValueError(f"sosfiltfilt: sos must have shape (sections, 6), got {sections.shape}")
    if not np.isfinite(sections).all():
        raise ValueError("sosfiltfilt: sos must be finite")
    if (sections[:, 3] != 1.0).any():
        raise ValueError("sosfiltfilt: a0 (column 3 of sos) must be 1 in every section")
    if not all(_stable(section[3:]) for section in sections):
        raise ValueError(
            "sosfiltfilt: a section is unstable (a pole on or outside the unit circle)"
        )
    pad = 2 * len(sections) + 1 - min((sections[:, 2] == 0).sum(), (sections[:, 5] == 0).sum())
    coef = sections[:, [0, 1, 2, 4, 5]]
    zi, gain = np.empty((len(sections), 2)), 1.0
    for row, section in zip(zi, sections):
        row[:] = gain * _steady(section[:3], section[3:])
        gain *= section[:3].sum() / section[3:].sum()
    with speaking_as("sosfiltfilt", "filtfilt"):
        return _core.filtfilt(x, ((coef, zi, 3 * int(pad)),), out, threads)


def filtfilt_in_turn(filters: Sequence[tuple[Array, Array]], x: ArrayLike) -> Array:
    """:func:`filtfilt` with one (b, a) after the other, in float64 in between."""
    return _core.filtfilt(x, tuple(_one_filter(b, a) for b, a in filters))


def _one_filter(b: ArrayLike, a: ArrayLike) -> tuple[Array, Array, int]:
    """Coefficients, state at rest on a constant 1, and length of the extension."""
    num, den = (
        np.atleast_1d(real_array(c, "filtfilt", which)).astype(np.float64)
        for c, which in ((b, "b"), (a, "a"))
    )
    if num.ndim != 1 or den.ndim != 1 or num.size == 0 or den.size == 0:
        raise ValueError(f"filtfilt: b and a must be lists, got shapes {num.shape} and {den.shape}")
    if not (np.isfinite(num).all() and np.isfinite(den).all()):
        raise ValueError("filtfilt: b and a must be finite")
    if den[0] == 0.0:
        raise ValueError("filtfilt: a[0] must not be 0; drop leading zeros of a")
    pad = 3 * max(num.size, den.size)
    order = max(num.size, den.size, 2) - 1
    num, den = (np.pad(c / den[0], (0, order + 1 - c.size)) for c in (num, den))
    if not _stable(den):
        raise ValueError("filtfilt: the filter is unstable (a pole on or outside the unit circle)")
    coef = np.concatenate([num, den[1:]])
    return coef[None], _steady(num, den)[None], pad


def chain(x: Array, fs: float, band, notch, baseline: bool, order: int, q: float) -> Array:
    """Notch, Butterworth band (low, high; None is open) and baseline of ``Record.filter``."""
    from scipy import signal

    from ._median import median_filter

    low, high = band
    notches = np.atleast_1d(np.asarray([] if notch is None else notch, np.float64))
    if low is None and high is None and notches.size == 0 and not baseline:
        raise ValueError(
            "filter: nothing to do; pass bandpass=, highpass=, lowpass=, notch= or baseline="
        )
    for name, value in (("low", low), ("high", high), *(("notch", f) for f in notches)):
        if value is not None and not 0 < value < fs / 2:
            raise ValueError(
                f"filter: the {name} frequency must be between 0 and {fs / 2:g} Hz, got {value!r}"
            )
    if low is not None and high is not None and not low < high:
        raise ValueError(f"filter: the band must have low < high, got ({low:g}, {high:g})")
    for f in notches:
        b, a = signal.iirnotch(f, q, fs=fs)
        x = filtfilt(b, a, x)
    if low is not None or high is not None:
        kind = "highpass" if high is None else "lowpass" if low is None else "bandpass"
        edges = [f for f in (low, high) if f is not None]
        design = edges if len(edges) == 2 else edges[0]
        x = sosfiltfilt(signal.butter(order, design, kind, fs=fs, output="sos"), x)
    if baseline:
        short, long = (2 * round(0.5 * width * fs) + 1 for width in (0.2, 0.6))
        if long > 2 * x.shape[-1] - 1:
            raise LayoutError(
                f"filter: baseline=True needs more than {0.3 * fs:.0f} samples, got {x.shape[-1]}"
            )
        steady = median_filter(median_filter(x, short, edge="nearest"), long, edge="nearest")
        x = x - steady
    return x


def _stable(den: Array) -> bool:
    """All poles inside the unit circle: the Schur-Cohn recursion, in extended precision."""
    a = den.astype(np.longdouble) / den[0]
    while a.size > 1:
        if not abs(a[-1]) < 1:
            return False
        a = ((a - a[-1] * a[::-1]) / (1 - a[-1] ** 2))[:-1]
    return True


def _steady(num: Array, den: Array) -> Array:
    """State of the transposed direct form II at rest on a constant input of 1.

    Solved as SciPy solves it: with poles close to 1 another way differs in the sixth digit.
    """
    order = den.size - 1
    companion = np.diag(np.ones(order - 1), -1)
    companion[0] = -den[1:]
    return np.linalg.solve(np.eye(order) - companion.T, num[1:] - den[1:] * num[0])
