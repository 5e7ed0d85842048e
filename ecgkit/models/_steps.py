"""The named steps of which preprocessing contracts are made: each is one call into the C core per
batch.

A step takes ``x`` (n, lead, time) and the contract's rate and returns a new array. The recursive
filters hand on float64, so that a chain of them rounds once; the others give float32. To add one,
write the function here and decorate it; contracts refer to it by name, so they stay plain data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np

from .._config import _core
from .._typing import Array
from ..errors import ContractError

_STEPS: dict[str, Callable[..., Array]] = {}


def _step(function: Callable[..., Array]) -> Callable[..., Array]:
    _STEPS[function.__name__] = function
    return function


@dataclass(frozen=True, init=False)
class Step:
    """One preprocessing step: its name and its parameters, as data.

    >>> Step("median_baseline", sizes=(21, 61), edge="zero")
    median_baseline(sizes=(21, 61), edge='zero')
    """

    name: str
    items: tuple[tuple[str, Any], ...]

    def __init__(self, name: str, **params: Any):
        if name not in _STEPS:
            raise ContractError(f"no preprocessing step {name!r}; there are {', '.join(_STEPS)}")
        frozen = tuple((k, tuple(v) if isinstance(v, list) else v) for k, v in params.items())
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "items", frozen)

    @property
    def params(self) -> dict[str, Any]:
        """The parameters by name (a copy)."""
        return dict(self.items)

    def __call__(self, x: Array, fs: float) -> Array:
        return _STEPS[self.name](x, fs, **self.params)

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{k}={v!r}' for k, v in self.items)})"

    def __reduce__(self):
        return (_rebuild, (self.name, self.params))

    def to_dict(self) -> dict[str, Any]:
        """``{"step": name, parameter: value, ...}`` with JSON types only."""
        return {
            "step": self.name,
            **{k: list(v) if isinstance(v, tuple) else v for k, v in self.items},
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Step:
        """Inverse of :meth:`to_dict`."""
        given = dict(data)
        return cls(given.pop("step"), **given)


def resampled(x: Array, fs_in: float, fs_out: float, method: str) -> Array:
    """Signals (..., time) at another rate, by a method of :func:`ecgkit.signal.resample` or by
    SciPy's ``resample_poly`` (``"scipy"``: Kaiser window of 5, zeros around the signal)."""
    from .. import signal

    if method != "scipy":
        return signal.resample(x, fs_in, fs_out, method=method)
    from scipy.signal import resample_poly

    from ..signal._resample import ratio

    up, down = ratio(fs_in, fs_out)
    return resample_poly(np.asarray(x, np.float64), up, down, axis=-1).astype(np.float32)


def _rebuild(name: str, params: dict[str, Any]) -> Step:
    return Step(name, **params)


@_step
def median_baseline(x: Array, fs: float, *, sizes: tuple[int, ...], edge: str = "zero") -> Array:
    """Subtract the baseline: running medians of ``sizes`` samples, one after the other."""
    from .. import signal

    x = baseline = np.asarray(x, np.float32)
    for size in sizes:
        baseline = signal.median_filter(baseline, size, edge=edge)
    return np.subtract(x, baseline, out=baseline)


@lru_cache(maxsize=32)
def _design(kind: str, fs: float, *parameters: float) -> tuple[Array, Array]:
    from scipy import signal

    if kind == "notch":
        frequency, q = parameters
        return signal.iirnotch(frequency, q, fs=fs)
    if kind == "highpass":
        cutoff, order = parameters
        return signal.butter(int(order), cutoff, "highpass", fs=fs)
    low, high, order = parameters
    return signal.butter(int(order), [low, high], "bandpass", fs=fs)


@_step
def notch(x: Array, fs: float, *, frequency: float, q: float = 30.0) -> Array:
    """Remove one frequency, forward and backward (``scipy.signal.iirnotch`` and ``filtfilt``)."""
    return _filtered(x, [_FILTERS["notch"](fs, frequency, q)])


@_step
def bandpass(x: Array, fs: float, *, low: float, high: float, order: int = 4) -> Array:
    """Butterworth band, forward and backward, in the polynomial form of ``scipy.signal.butter``."""
    return _filtered(x, [_FILTERS["bandpass"](fs, low, high, order)])


@_step
def highpass(x: Array, fs: float, *, cutoff: float, order: int = 1) -> Array:
    """Butterworth high-pass, forward and backward, in the polynomial form of
    ``scipy.signal.butter``."""
    return _filtered(x, [_FILTERS["highpass"](fs, cutoff, order)])


_FILTERS: dict[str, Callable[..., tuple[Array, Array]]] = {
    "notch": lambda fs, frequency, q=30.0: _design("notch", fs, frequency, q),
    "bandpass": lambda fs, low, high, order=4: _design("bandpass", fs, low, high, order),
    "highpass": lambda fs, cutoff, order=1: _design("highpass", fs, cutoff, order),
}
"""Steps that are one recursive filter: (b, a) from the rate and the step's parameters."""


def _filtered(x: Array, designs: Sequence[tuple[Array, Array]], dtype: type = np.float64) -> Array:
    from ..signal._filter import filtfilt_in_turn

    return filtfilt_in_turn(designs, np.asarray(x, dtype))


def run_steps(steps: Sequence[Step], x: Array, fs: float) -> Array:
    """One step after the other; filters that follow each other in one go, in float64 in between."""
    for recursive, group in groupby(steps, lambda step: step.name in _FILTERS):
        if recursive:
            designs = [_FILTERS[step.name](fs, **step.params) for step in group]
            x = _filtered(x, designs, np.float32)
        else:
            for step in group:
                x = step(x, fs)
    return x


@_step
def zscore_all(x: Array, fs: float, *, eps: float = 0.0) -> Array:
    """One mean and one population deviation for all leads and samples of a recording together.

    ``eps`` is added to the deviation; a constant recording becomes 0.
    """
    recordings = np.ascontiguousarray(x, np.float32).reshape(x.shape[0], -1)
    return _core.zscore(recordings, eps=eps).reshape(x.shape)


@_step
def minmax_all(x: Array, fs: float, *, eps: float = 0.0) -> Array:
    """All leads and samples of a recording together from their least to their largest value, to
    0..1; ``eps`` is added to the span, a constant recording becomes 0."""
    low = x.min(axis=(1, 2), keepdims=True).astype(np.float64)
    span = x.max(axis=(1, 2), keepdims=True) - low + eps
    return ((x - low) / np.where(span > 0, span, 1.0)).astype(np.float32)


@_step
def minmax(x: Array, fs: float, *, low: float = 0.0, high: float = 1.0, eps: float = 0.0) -> Array:
    """Per lead from its least to its largest value, to ``low``..``high``; ``eps`` is added to the
    span, a constant lead becomes ``low``."""
    least = x.min(axis=-1, keepdims=True).astype(np.float64)
    span = x.max(axis=-1, keepdims=True) - least + eps
    return (low + (high - low) * (x - least) / np.where(span > 0, span, 1.0)).astype(np.float32)


@_step
def clahe(x: Array, fs: float) -> Array:
    """Pictures (n, height, width, 1) uint8: the largest value to 1, then contrast-limited adaptive
    equalisation (``skimage.exposure.equalize_adapthist``), to 0..255. A black picture stays so."""
    from .._extras import need

    equalise = need("skimage.exposure", "xray", "the step clahe").equalize_adapthist
    out = np.zeros(x.shape, np.uint8)
    for to, picture in zip(out, x):
        if picture.any():
            to[..., 0] = (equalise(picture[..., 0] / picture.max()) * 255).astype(np.uint8)
    return out


@_step
def zscore(x: Array, fs: float, *, flat: float = 0.0) -> Array:
    """Per lead: zero mean and unit deviation over the whole input; a constant lead becomes 0.

    So does one that spans less than ``flat``: behind a filter a constant is rounding noise.
    """
    from .. import signal

    out = signal.zscore(np.asarray(x, np.float32))
    if flat:
        out[np.ptp(x, axis=-1) < flat] = 0.0
    return out


@_step
def zeros_behind(x: Array, fs: float, *, length: int) -> Array:
    """Every lead to ``length`` samples, with zeros behind its end."""
    return np.pad(np.asarray(x, np.float32), ((0, 0), (0, 0), (0, length - x.shape[-1])))


@_step
def lead_code(x: Array, fs: float, *, lead: str) -> Array:
    """Twelve rows behind the one lead given: ones in the row of ``lead``, zeros in the others."""
    from ..record import STANDARD_LEADS

    out = np.zeros((len(x), 1 + len(STANDARD_LEADS), x.shape[-1]), np.float32)
    out[:, :1] = x
    out[:, 1 + STANDARD_LEADS.index(lead)] = 1.0
    return out


@_step
def conserved_masks(x: Array, fs: float, *, reach: float = 0.04) -> Array:
    """Two rows behind the leads: ones from the end of P to the onset of QRS, and ones within
    ``reach`` s of an R peak (:func:`ecgkit.signal.delineate`, all leads together)."""
    from .. import signal

    n, leads, time = x.shape
    out = np.zeros((n, leads + 2, time), np.float32)
    out[:, :leads] = x
    around = round(reach * fs)
    for to, recording in zip(out, x):
        beats = signal.delineate(recording, fs=fs)
        for begin, end in zip(beats.points("P")[:, 2], beats.points("QRS")[:, 0]):
            if 0 <= begin < end:
                to[leads, begin:end] = 1.0
        for peak in beats.rpeaks:
            to[leads + 1, max(0, peak - around) : peak + around + 1] = 1.0
    return out


@_step
def standardise(
    x: Array,
    fs: float,
    *,
    mean: float | tuple[float, ...],
    deviation: float | tuple[float, ...],
    clip: float | None = None,
    half: bool = False,
) -> Array:
    """Constant mean and deviation, of all leads or of each: those of a training set.

    The result is clipped to ``+-clip``; ``half`` rounds samples, differences and quotients to
    float16, as NumPy does in place on an array of float16.
    """
    m, s = (np.asarray(v, np.float64).reshape(-1, 1) for v in (mean, deviation))
    if half:
        kind = np.float16
        x = ((x.astype(kind) - np.float32(m)).astype(kind) / np.float32(s)).astype(kind)
    else:
        x = (x - m) / s
    return (x if clip is None else np.clip(x, -clip, clip)).astype(np.float32)


@_step
def windows(x: Array, fs: float, *, length: int, stride: int) -> Array:
    """Overlapping windows, (n, window, lead, ``length``); a rest shorter than ``length`` is
    dropped."""
    views = np.lib.stride_tricks.sliding_window_view(x, length, axis=-1)[:, :, ::stride]
    return np.ascontiguousarray(views.swapaxes(1, 2), np.float32)


@_step
def repeated_clip(
    x: Array, fs: float, *, copies: int, length: int, normalise: bool = True
) -> Array:
    """Per lead: z-score (population deviation), ``copies`` end to end, and straight lines to
    ``length`` points, both ends among them. ``fs`` plays no part."""
    x = np.asarray(x, np.float64)
    if normalise:
        deviation = x.std(axis=-1, keepdims=True)
        if not deviation.all():
            raise ContractError(
                "a lead is constant and has no z-score; choose a part with a signal, "
                "rec.window(start, duration)"
            )
        x = (x - x.mean(axis=-1, keepdims=True)) / deviation
    to, at = np.linspace(0, 1, length), np.linspace(0, 1, copies * x.shape[-1])
    rows = [np.interp(to, at, np.tile(row, copies)) for row in x]
    return np.asarray(rows, np.float32)


@_step
def one_of_twelve(x: Array, fs: float, *, row: int, normalise: bool = False) -> Array:
    """The one lead given in row ``row`` of twelve, zeros in the others; with ``normalise``, all
    twelve z-scored together."""
    out = np.zeros((len(x), 12, x.shape[-1]), np.float32)
    out[:, row] = x[:, 0]
    return zscore_all(out, fs) if normalise else out


@_step
def stacked_scalogram(
    x: Array,
    fs: float,
    *,
    low: float,
    high: float,
    rows: int,
    width: int,
    w0: float = 6.0,
    window: float = 1.0,
    pad: str = "reflect",
    scale: str | None = "minmax",
    image: tuple[int, int] | None = None,
) -> Array:
    """Per window: the scalograms of all leads stacked into one picture
    (:func:`ecgkit.wavelet.stacked_scalogram`).

    ``rows`` frequencies per lead, geometric from ``low`` to ``high`` Hz; with ``image`` a picture
    ready for an ImageNet network.
    """
    from .. import wavelet

    freqs = np.geomspace(low, high, rows)
    return wavelet.stacked_scalogram(
        x, fs=fs, window=window, freqs=freqs, w0=w0, width=width, pad=pad, scale=scale, image=image
    )
