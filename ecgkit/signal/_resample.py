"""Another sampling rate: the filter's design and the choice of method."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

import numpy as np

from .._config import _core
from .._typing import Array, ArrayLike
from ..errors import RateError
from ._arguments import real_array

HALF_LENGTH = 36  # samples of the slower of the two rates on each side
BETA = 8.0  # Kaiser: 80 dB
CUTOFF = 0.925  # of the lower Nyquist rate; pass band to 0.85, stop band from 1.00
_LANES = 16
_LARGEST = 50_000


def ratio(fs_in: float, fs_out: float, largest: int = _LARGEST) -> tuple[int, int]:
    """``fs_out / fs_in`` as two whole numbers without a common factor (``up``, ``down``).

    Quotients of whole numbers up to ``largest`` are met exactly.

    Raises
    ------
    RateError
        A rate is not positive, or no such pair is within 1e-9 of the quotient.
    """
    from ..record import check_fs

    quotient = Fraction(check_fs(fs_out, "fs_out")) / Fraction(check_fs(fs_in, "fs_in"))
    if not 1e-5 <= quotient <= 1e5:
        raise RateError(
            f"resample: fs_out={fs_out:g} Hz is {float(quotient):.1e} times fs_in={fs_in:g} Hz; "
            "the rates must be within a factor of 1e5 of each other"
        )
    if quotient >= 1:
        near = 1 / (1 / quotient).limit_denominator(largest) if quotient <= largest else quotient
    else:
        near = quotient.limit_denominator(largest)
    up, down = near.numerator, near.denominator
    if not 0 < max(up, down) <= largest or abs(near / quotient - 1) > Fraction(1, 10**9):
        raise RateError(
            f"resample: {fs_in:g} Hz to {fs_out:g} Hz is not a ratio of whole numbers "
            f"up to {largest}; round the rates, or pass method='linear'"
        )
    return up, down


@lru_cache(maxsize=8)
def fir_taps(up: int, down: int, dtype: str = "float32") -> tuple[Array, int]:
    """The phases of the anti-alias filter, shape (up, k), and the samples it reaches back.

    A Kaiser-windowed sinc; each phase sums to 1, so that a constant stays exactly that constant.
    """
    slow = max(up, down)
    half = HALF_LENGTH * slow
    reach = half // up
    k = reach + (half + up - 1) // up + 1
    k = -(-k // _LANES) * _LANES
    # Phase p, tap j sits at u = p + (reach - j) * up on the fine grid.
    u = np.arange(up)[:, None] + (reach - np.arange(k))[None, :] * up
    window = np.i0(BETA * np.sqrt(np.maximum(0.0, 1.0 - (u / half) ** 2)))
    taps = np.where(abs(u) <= half, np.sinc(CUTOFF * u / slow) * window, 0.0)
    taps = (taps / taps.sum(axis=1, keepdims=True)).astype(dtype)
    taps.flags.writeable = False
    return taps, reach


def resample(
    x: ArrayLike,
    fs_in: float,
    fs_out: float,
    *,
    method: str = "fir",
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """Signals at another sampling rate, along the last axis.

    Parameters
    ----------
    x : array_like, shape (..., time)
        Real numbers.
    fs_in, fs_out : float
        Rates in Hz. Sample ``i`` of the result lies at ``i / fs_out`` seconds.
    method : {"fir", "linear", "fft"}
        ``"fir"`` (default): polyphase filter, a Kaiser-windowed sinc that reaches 36 samples of the
        slower rate to each side: flat within 0.001 dB up to 85 % of the lower Nyquist rate, at
        least 80 dB down from that Nyquist rate on. ``"linear"``: the straight line between
        neighbours (= ``numpy.interp``), without an anti-alias filter. ``"fft"``: the trigonometric
        interpolant of the signal as one period (= ``scipy.signal.resample`` where the result has a
        whole number of samples): sharp, but it rings and wraps round at the ends.
    out : ndarray, optional
        C-contiguous, float64 if ``x`` is float64, else float32, shape
        (..., ceil(time * fs_out / fs_in)); must not share memory with ``x``.
    threads : int, optional
        Default: the process setting.

    Returns
    -------
    ndarray, shape (..., ceil(time * fs_out / fs_in))
        float64 if ``x`` is float64, else float32. Equal rates give a copy.

    Raises
    ------
    RateError
        A rate is not a positive number, or the ratio is not one of whole numbers up to 50,000
        (not for ``"linear"``).
    LayoutError
        ``x`` has no samples.

    Notes
    -----
    Ends (``"fir"``): the signal is continued by point reflection about its first and last sample,
    as ``filtfilt`` does, and held beyond that; the first sample stays what it was. ``"linear"``
    holds the last sample. ``"fft"`` completes the signal, where its length needs it, by a straight
    line from the last sample to the first. A NaN makes those results NaN that the filter or the
    line draws from it (``"fir"``: up to 52 samples of the slower rate away), the rest of the row is
    not touched; with ``"fft"`` it spoils the row.

    Examples
    --------
    >>> ek.signal.resample(np.zeros((12, 5000)), 500, 100).shape
    (12, 1000)
    """
    if method not in ("fir", "linear", "fft"):
        raise ValueError(f"resample: method must be 'fir', 'linear' or 'fft', got {method!r}")
    up, down = ratio(fs_in, fs_out, 10**7 if method == "linear" else _LARGEST)
    if method != "fir" or up == down:
        spectrum = method == "fft" and up != down
        return _core.resample(x, up, down, None, 0, out, threads, spectrum)
    if not isinstance(x, np.ndarray):
        x = real_array(x, "resample")
    taps, reach = fir_taps(up, down, "float64" if x.dtype.type is np.float64 else "float32")
    return _core.resample(x, up, down, taps, reach, out, threads)
