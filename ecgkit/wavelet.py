"""Continuous wavelet transform with the analytic Morlet wavelet, scalograms, stacked scalograms.

With ``s = w0 * fs / (2 pi f)`` and ``X`` the Fourier transform of the signal, extended to ``N``
samples,

    y[t] = 1/N * sum over 0 < k <= N/2 of X[k] * psi(s * 2 pi k / N) * exp(2 pi i k t / N)

    psi(w) = 2 * exp(-(w - w0)**2 / 2)

(peak 2, L1 norm): a unit cosine of frequency ``f`` gives ``|y| = 1``, a constant gives 0.

``pad`` says how the signal goes on: ``"reflect"`` mirrors it at both ends without repeating the end
sample, as often as needed, ``"zero"`` puts zeros; ``N`` is then the smallest ``2**a``, ``3 * 2**a``
or ``5 * 2**a`` from twice the length up (500 -> 1024, 100 -> 256), half of the rest on either side.
``"periodic"`` takes the signal as one period: ``N`` is its length.

Signals of more than 131,072 samples (and ``w0`` of at least 5) go through blocks that see their
surroundings: the time is linear in the length and no joint shows. There the sum ends at ``N/2`` in
a smooth step: what lies within one percent of ``fs / 2`` is weighted down in the rows that reach
that far (from ``fs / 4`` on). Otherwise float32 is as near to the formula as for short signals, and
float64 within 3e-7. :func:`cwt_blocks` and :func:`scalogram_blocks` hand the blocks out one by one,
in constant memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from numbers import Real
from typing import Any

import numpy as np

from . import _atomic
from ._config import _core
from ._speaking import speaking_as
from ._typing import Array, ArrayLike
from .errors import LayoutError, RateError
from .record import check_fs
from .signal._arguments import real_array

__all__ = [
    "cwt",
    "cwt_blocks",
    "scalogram",
    "scalogram_blocks",
    "stacked_scalogram",
    "write_scalogram",
]


def _checked(name: str, fs: float, freqs: ArrayLike, w0: float) -> tuple[float, Array]:
    """Rate and frequencies, or an error that names what is wrong with them."""
    rate = check_fs(fs)
    array = real_array(freqs, name, "freqs")
    if array.ndim != 1 or array.size == 0:
        raise LayoutError(
            f"{name}: freqs must be a non-empty sequence of frequencies in Hz, "
            f"got shape {array.shape}"
        )
    array = array.astype(np.float64)
    if not np.isfinite(array).all() or array[0] <= 0 or (np.diff(array) <= 0).any():
        raise ValueError(f"{name}: freqs must be positive and strictly increasing, got {array}")
    if array[-1] > rate / 2:
        raise RateError(
            f"{name}: freqs go up to {array[-1]:g} Hz, but fs={rate:g} Hz holds only frequencies "
            f"up to {rate / 2:g} Hz; drop the higher ones or pass a signal at a higher rate"
        )
    if array[0] < 1e-9 * rate:
        raise RateError(
            f"{name}: freqs begin at {array[0]:g} Hz, a wavelet longer than any recording at "
            f"fs={rate:g} Hz; they must be at least {1e-9 * rate:g} Hz"
        )
    if isinstance(w0, bool) or not isinstance(w0, Real) or not 2 <= w0 <= 1000:
        raise ValueError(
            f"{name}: w0 (wavelet centre, rad) must be at least 2 and at most 1000, got {w0!r}"
        )
    return rate, array


def cwt(
    x: ArrayLike,
    *,
    fs: float,
    freqs: ArrayLike,
    w0: float = 6.0,
    pad: str = "reflect",
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """Complex wavelet coefficients at every sample.

    Parameters
    ----------
    x : array_like, shape (..., time)
        Real numbers.
    fs : float
        Sampling rate in Hz.
    freqs : array_like, shape (f,)
        Frequencies in Hz, strictly increasing, above 0 and up to ``fs / 2``.
    w0 : float
        Centre of the wavelet in radians, at least 2: more is finer in frequency, coarser in time.
    pad : {"reflect", "zero", "periodic"}
        How the signal goes on beyond its ends.
    out : ndarray, optional
        C-contiguous, the shape and dtype of the result; must not share memory with ``x``.
    threads : int, optional
        Default: the process setting.

    Returns
    -------
    ndarray, shape (..., f, time)
        complex128 if ``x`` is float64, else complex64; row ``j`` belongs to ``freqs[j]``.

    Raises
    ------
    RateError
        ``fs`` is not a positive number, or a frequency is above ``fs / 2``.
    LayoutError, ValueError, TypeError
        ``x`` has no samples, ``freqs`` is empty or not increasing, ``out`` does not fit.

    Notes
    -----
    A NaN or an infinity makes all coefficients of its signal NaN; in a signal of more than 131,072
    samples only those of the blocks that see it. float32 takes short transforms
    and interpolates (``ek.simd`` other than ``"ref"``): within 2e-6 of the float64 result, which is
    the formula as it stands, at the scale of the largest coefficient.

    Examples
    --------
    >>> y = ek.wavelet.cwt(x, fs=500, freqs=np.geomspace(0.5, 150, 64))
    """
    rate, f = _checked("cwt", fs, freqs, w0)
    return _core.cwt(x, rate, f, w0, pad, out, threads)


def scalogram(
    x: ArrayLike,
    *,
    fs: float,
    freqs: ArrayLike,
    width: int | None = None,
    w0: float = 6.0,
    pad: str = "reflect",
    power: bool = False,
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """Magnitude (or power) of the wavelet coefficients, at every sample or resized in time.

    Parameters
    ----------
    x, fs, freqs, w0, pad, threads
        As in :func:`cwt`.
    width : int, optional
        Columns of the result; default: one per sample. Column ``c`` lies on the straight line
        between the two samples of the full-rate magnitude about ``(c + 0.5) * time / width - 0.5``,
        clamped to the first and last sample (bilinear with half-pixel centres:
        ``align_corners=False``, ``antialias=False``). float32 computes only the samples that this
        needs, by short transforms: within 4e-6 of the formula at the scale of the largest value.
    power : bool
        Square the magnitude (before it is resized).
    out : ndarray, optional
        C-contiguous, the shape and dtype of the result; must not share memory with ``x``.

    Returns
    -------
    ndarray, shape (..., f, width or time)
        float64 if ``x`` is float64, else float32; row ``j`` belongs to ``freqs[j]``.

    Raises
    ------
    RateError, LayoutError, ValueError, TypeError
        As in :func:`cwt`.
    """
    rate, f = _checked("scalogram", fs, freqs, w0)
    return _core.scalogram(x, rate, f, width, w0, pad, power, out, threads)


_PADS = ("reflect", "zero", "periodic")


def _long(name: str, x: Any, pad: str) -> Any:
    """Something with a shape that gives its samples by slices: an array, a memmap, a dataset."""
    array = x if hasattr(x, "shape") and hasattr(x, "dtype") else real_array(x, name)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name}: x must hold real numbers, got dtype {array.dtype}")
    if len(array.shape) < 1 or array.shape[-1] == 0:
        raise LayoutError(f"{name}: x must have shape (..., time) with samples, got {array.shape}")
    if pad not in _PADS:
        raise ValueError(f"{name}: pad must be one of {', '.join(_PADS)}; got {pad!r}")
    return array


def _stretch(x: Any, first: int, count: int, pad: str) -> Array:
    """Samples first..first+count-1 of a signal that goes on beyond its ends."""
    t, dtype = x.shape[-1], np.float64 if x.dtype.type is np.float64 else np.float32
    low, high = min(max(first, 0), t), min(max(first + count, 0), t)
    if low == first and high == first + count:
        return np.ascontiguousarray(x[..., low:high], dtype)
    at = np.arange(first, first + count)
    out = np.zeros((*x.shape[:-1], count), dtype)
    inside = (at >= 0) & (at < t)
    out[..., inside] = x[..., low:high]
    if pad == "zero":
        return out
    period = t if pad == "periodic" else max(1, 2 * (t - 1))
    source = at[~inside] % period
    source = np.where(source < t, source, period - source)
    for begin, end in ((0, t // 2), (t // 2, t)):  # both ends are near: never the whole signal
        chosen = (source >= begin) & (source < end)
        if chosen.any():
            start, stop = int(source[chosen].min()), int(source[chosen].max()) + 1
            part = np.asarray(x[..., start:stop])[..., source[chosen] - start]
            out[..., np.flatnonzero(~inside)[chosen]] = part
    return out


def _column_at(column: int, total: int, width: int) -> int:
    """The sample before the place of a column: the arithmetic of the C code, in float64."""
    at = (column + 0.5) * float(total) / float(width) - 0.5
    return int(min(max(at, 0.0), float(total - 1)))


def _columns_of(begin: int, end: int, total: int, width: int) -> tuple[int, int]:
    """Columns whose low sample is in begin..end-1."""

    def first(sample: int) -> int:
        c = min(width, max(0, int((sample + 0.5) * width / total - 0.5)))
        while c > 0 and _column_at(c - 1, total, width) >= sample:
            c -= 1
        while c < width and _column_at(c, total, width) < sample:
            c += 1
        return c

    return first(begin), width if end >= total else first(end)


def _parts(
    name: str,
    x: Any,
    rate: float,
    f: Array,
    w0: float,
    pad: str,
    what: str,
    width: int | None,
    threads: int | None,
) -> Iterator[tuple[int, Array]]:
    """Checked before the first block is asked for: the generator is made by a plain function."""
    if w0 < 5:
        raise ValueError(f"{name}: blocks need w0 of at least 5, got {w0:g}")
    if threads is not None:
        _count(name, "threads", threads)
    with speaking_as(name, "wavelet_block"):
        geometry = _core.wavelet_block(rate, f, w0, x.dtype.type is not np.float64)
    return _each(x, rate, f, w0, pad, what, width, threads, *geometry)


def _each(
    x: Any, rate: float, f: Array, w0: float, pad: str, what: str, width: int | None,
    threads: int | None, step: int, length: int, left: int,
) -> Iterator[tuple[int, Array]]:  # fmt: skip
    total = x.shape[-1]
    for begin in range(0, total, step):
        now = min(step, total - begin)
        start, columns = begin, None
        if width is not None:
            start, stop = _columns_of(begin, begin + now, total, width)
            if start == stop:
                continue
            columns = (total, width, begin, start, stop)
        part = _stretch(x, begin - left, length, pad)
        yield start, _core.wavelet_part(part, now, rate, f, w0, what, columns, None, threads)


def cwt_blocks(
    x: Any,
    *,
    fs: float,
    freqs: ArrayLike,
    w0: float = 6.0,
    pad: str = "reflect",
    threads: int | None = None,
) -> Iterator[tuple[int, Array]]:
    """Complex wavelet coefficients of a long recording, block by block, in constant memory.

    Put together along time the blocks are :func:`cwt` of the whole recording: to the last bit for
    more than 131,072 samples, else within its accuracy if the longest wavelet (``2 * w0`` periods
    of the lowest frequency) is shorter than the recording.

    Parameters
    ----------
    x : array_like, memmap or dataset, shape (..., time)
        Read by slices ``x[..., a:b]``, about one block at a time: a memory-mapped file or an HDF5
        or Zarr dataset is never loaded whole.
    fs, freqs, w0, pad, threads
        As in :func:`cwt`; ``w0`` at least 5.

    Yields
    ------
    start : int
        Sample of the recording that the block begins with.
    coefficients : ndarray, shape (..., f, samples)
        A new array each time; complex128 if ``x`` is float64, else complex64. About 25,000 samples,
        more where the lowest frequency is below ``fs / 500``; the last block is shorter.

    Raises
    ------
    RateError, LayoutError, ValueError, TypeError
        As :func:`cwt`, at the call; also ``w0`` below 5.

    Notes
    -----
    A NaN or an infinity makes the blocks that see it NaN.

    Examples
    --------
    >>> holter = np.zeros(1_000_000, np.float32)
    >>> blocks = ek.wavelet.cwt_blocks(holter, fs=250, freqs=[1, 10])
    >>> sum(y.shape[-1] for start, y in blocks)
    1000000
    """
    rate, f = _checked("cwt_blocks", fs, freqs, w0)
    array = _long("cwt_blocks", x, pad)
    return _parts("cwt_blocks", array, rate, f, w0, pad, "complex", None, threads)


def scalogram_blocks(
    x: Any,
    *,
    fs: float,
    freqs: ArrayLike,
    width: int | None = None,
    w0: float = 6.0,
    pad: str = "reflect",
    power: bool = False,
    threads: int | None = None,
) -> Iterator[tuple[int, Array]]:
    """Magnitude (or power) of a long recording, block by block, in constant memory.

    Put together along time the blocks are :func:`scalogram` of the whole recording.

    Parameters
    ----------
    x, fs, freqs, w0, pad, threads
        As in :func:`cwt_blocks`.
    width, power
        As in :func:`scalogram`: ``width`` columns for the whole recording.

    Yields
    ------
    start : int
        Sample, or with ``width`` the column, that the block begins with.
    magnitudes : ndarray, shape (..., f, samples or columns)
        float64 if ``x`` is float64, else float32.

    Raises
    ------
    RateError, LayoutError, ValueError, TypeError
        As :func:`cwt_blocks`.
    """
    rate, f = _checked("scalogram_blocks", fs, freqs, w0)
    array = _long("scalogram_blocks", x, pad)
    if width is not None:
        width = _count("scalogram_blocks", "width", width)
    what = "power" if power else "magnitude"
    return _parts("scalogram_blocks", array, rate, f, w0, pad, what, width, threads)


def _count(name: str, argument: str, value: Any) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name}: {argument} must be an integer, got {value!r}")
    if not 1 <= value < 2**62:
        raise ValueError(f"{name}: {argument} must be at least 1 and below 2**62, got {value}")
    return int(value)


def write_scalogram(
    path: str | os.PathLike[str],
    x: Any,
    *,
    fs: float,
    freqs: ArrayLike,
    width: int | None = None,
    w0: float = 6.0,
    pad: str = "reflect",
    power: bool = False,
    threads: int | None = None,
) -> None:
    """The scalogram of a long recording as a ``.npy`` file, in constant memory.

    Parameters
    ----------
    path : path
        Appears whole or not at all: a run that is killed leaves what was there before. Read it with
        ``np.load(path, mmap_mode="r")``, shape (..., f, width or time).
    x, fs, freqs, width, w0, pad, power, threads
        As in :func:`scalogram_blocks`.

    Raises
    ------
    RateError, LayoutError, ValueError, TypeError
        As :func:`scalogram_blocks`.
    OSError
        The file cannot be written.
    """
    blocks = scalogram_blocks(
        x, fs=fs, freqs=freqs, width=width, w0=w0, pad=pad, power=power, threads=threads
    )
    array = _long("write_scalogram", x, pad)
    columns = array.shape[-1] if width is None else int(width)
    dtype = np.dtype(np.float64 if array.dtype.type is np.float64 else np.float32)
    shape = (*array.shape[:-1], np.size(freqs), columns)
    header = {"descr": dtype.str, "fortran_order": False, "shape": shape}

    def fill(part) -> None:
        with open(part, "wb") as file:
            np.lib.format.write_array_header_2_0(file, header)
            origin = file.tell()
            file.truncate(origin + int(np.prod(shape)) * dtype.itemsize)
            for start, block in blocks:
                for i, row in enumerate(block.reshape(-1, block.shape[-1])):
                    file.seek(origin + (i * columns + start) * dtype.itemsize)
                    file.write(row.data)

    _atomic.write(path, fill)


def stacked_scalogram(
    x: ArrayLike,
    *,
    fs: float,
    window: float = 1.0,
    freqs: ArrayLike | None = None,
    w0: float = 6.0,
    width: int = 64,
    pad: str = "reflect",
    power: bool = False,
    cwt_first: bool = False,
    scale: str | None = "minmax",
    image: tuple[int, int] | None = None,
    colormap: str | None = None,
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """The leads' scalograms of every window under each other, scaled; or as pictures for a CNN.

    Parameters
    ----------
    x : array_like, shape (lead, time) or (n, lead, time)
        Filtered and normalised already; taken as float32.
    fs : float
        Sampling rate in Hz.
    window : float
        Seconds per window; ``round(window * fs)`` samples. Windows follow each other from the first
        sample on; what is left at the end is dropped.
    freqs : array_like, shape (f,), optional
        Frequencies in Hz, strictly increasing. Default: 64 from 1 Hz to ``min(100, 0.4 * fs)`` Hz
        in geometric steps. The highest is the top row of each lead.
    w0, pad, power, threads
        As in :func:`scalogram`.
    width : int
        Columns per window, resized as :func:`scalogram` does.
    cwt_first : bool
        Transform the whole record and cut the windows out of the magnitude; default: transform each
        window by itself.
    scale : {"minmax", "lead", None}
        To [0, 1] over the whole picture of a window (default), over each lead's part of it, or not
        at all. A flat picture is 0.
    image : (int, int), optional
        Height and width: the picture is area-resized (each pixel is the mean over the part of the
        picture it covers), scaled to [0, 1] (``"minmax"`` after the resize, ``"lead"`` before), put
        into 3 channels and normalised with ImageNet's mean and deviation.
    colormap : {"jet", None}
        With ``image``: colours from the 256 entries of ``clip(1.5 - |4 v - c|, 0, 1)``, ``c`` = 3,
        2, 1 for red, green, blue; entry ``floor(256 v)``. Default: grey.
    out : ndarray, optional
        float32, C-contiguous, the shape of the result; must not share memory with ``x``.

    Returns
    -------
    ndarray, float32
        (windows, lead * f, width), or with ``image`` (windows, 3, height, width); a leading ``n``
        if ``x`` had it.

    Raises
    ------
    RateError, LayoutError, ValueError, TypeError
        As in :func:`scalogram`; also a window longer than the record.

    Notes
    -----
    A NaN or an infinity makes its lead's part of its window NaN (``cwt_first``: of every window),
    and, where the scale spans the picture, the picture.

    The method is that of Aarotale and Rattani (arXiv 2312.09426) as far as its abstract tells;
    every constant is a choice of this package.

    Examples
    --------
    >>> ek.wavelet.stacked_scalogram(np.zeros((12, 5000)), fs=500).shape
    (10, 768, 64)
    """
    name = "stacked_scalogram"
    rate = check_fs(fs)
    if freqs is None:
        freqs = np.geomspace(1.0, min(100.0, 0.4 * rate), 64)
    rate, f = _checked(name, rate, freqs, w0)
    samples = window * rate if isinstance(window, Real) else np.nan
    if not (np.isfinite(samples) and 1 <= round(samples) < 2**62):
        raise ValueError(f"{name}: window must be at least one sample long, got {window!r} s")
    if scale not in ("minmax", "lead", None):
        raise ValueError(f"{name}: scale must be 'minmax', 'lead' or None, got {scale!r}")
    if colormap is not None and image is None:
        raise ValueError(f"{name}: colormap needs image=(height, width)")
    try:
        height, columns = (None, None) if image is None else image
    except (TypeError, ValueError):
        raise ValueError(f"{name}: image must be (height, width), got {image!r}") from None
    return _core.stacked_scalogram(
        x, rate, f[::-1], round(samples), width, w0, pad, power, cwt_first, scale or "none",
        height, columns, colormap, out, threads,
    )  # fmt: skip
