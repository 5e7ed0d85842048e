"""Resizing along the last axes, as ``torch.nn.functional.interpolate``."""

from collections.abc import Sequence

import numpy as np

from ..._typing import F32, Array
from ...errors import LayoutError
from .._call import function
from .._graph import Tensor
from .index import Index

__all__ = ["interpolate"]

_AXES = {"linear": 1, "bilinear": 2, "bicubic": 2}
_CUBIC = -0.75


def _cubic(t: Array) -> Array:
    """Weights of the four neighbours at -1, 0, 1, 2 of a point ``t`` past the second."""
    a = _CUBIC

    def near(d):
        return ((a + 2) * d - (a + 3)) * d * d + 1

    def far(d):
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a

    return np.stack([far(t + 1), near(t), near(1 - t), far(2 - t)], axis=1)


def _nearest(n: int, out: int, scale: float, exact: bool) -> Array:
    """PyTorch's, which reckons in float32 and doubles a length without reckoning."""
    if out in (n, 2 * n) and not exact:
        return np.arange(out) // (out // n)
    at = (np.arange(out, dtype=np.float32) + np.float32(0.5 if exact else 0.0)) * np.float32(scale)
    return np.minimum(np.floor(at).astype(np.int64), n - 1)


def _taps(mode: str, n: int, out: int, scale: float, corners: bool) -> tuple[Array, F32]:
    """Which inputs every output reads and with what weights, both (out, taps)."""
    place = np.arange(out, dtype=np.float64)
    if corners:
        at = place * ((n - 1) / (out - 1) if out > 1 else 0.0)
    else:
        at = (place + 0.5) * scale - 0.5
    if mode == "bicubic":
        first = np.floor(at)
        reach, weights = np.arange(-1, 3), _cubic(at - first)
    else:
        at = np.clip(at, 0.0, n - 1)
        first = np.floor(at)
        reach, weights = np.arange(2), np.stack([1 - (at - first), at - first], axis=1)
    index = np.clip(first.astype(np.int64)[:, None] + reach, 0, n - 1)
    return index, weights.astype(np.float32)


class Resize(Index):
    def interpolate(
        self,
        x: Tensor,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: str = "nearest",
        align_corners: bool = False,
        *,
        name=None,
    ) -> Tensor:
        """Another length of the last axes, as ``torch.nn.functional.interpolate``.

        Parameters
        ----------
        size : int or sequence of int
            New lengths. In a program an int stands for every axis after the channels.
        scale_factor : float or sequence of float
            Instead of ``size``.
        mode : str
            ``"nearest"``, ``"nearest-exact"``, ``"linear"`` (x (..., c, time)), ``"bilinear"`` or
            ``"bicubic"`` (x (..., c, h, w)).
        align_corners : bool
            Whether the corners' centres stay where they are.
        """
        name, where, node = self._begin("interpolate", name, x)
        given = size if size is not None else scale_factor
        if given is None or (size is not None and scale_factor is not None):
            raise ValueError(f"{where}: wanted either size or scale_factor")
        if mode not in ("nearest", "nearest-exact", *_AXES):
            raise ValueError(
                f"{where}: mode must be nearest, nearest-exact, {', '.join(_AXES)}; got {mode!r}"
            )
        alone = _AXES.get(mode, min(2, max(1, len(node.shape) - 1)))
        values = tuple(given) if isinstance(given, Sequence) else (given,) * alone
        rank = len(values)
        if _AXES.get(mode, rank) != rank or rank > 2 or rank >= len(node.shape):
            raise LayoutError(
                f"{where}: mode {mode!r} resizes {_AXES.get(mode, '1 or 2')} axes after the "
                f"channels; got {given!r} for shape {node.shape}"
            )
        for axis, value in enumerate(values):
            n = node.shape[len(node.shape) - rank + axis]
            out = int(value) if size is not None else int(np.floor(n * float(value)))
            if out < 1:
                raise LayoutError(f"{where}: axis {axis} of {node.shape} would have length {out}")
            scale = n / out if size is not None else 1.0 / float(value)
            last = name if axis + 1 == rank else None
            place = len(node.shape) - rank + axis
            if mode.startswith("nearest"):
                index = _nearest(n, out, scale, mode == "nearest-exact")
                x = self.gather_axis(x, place, index, name=last)
            else:
                index, weights = _taps(mode, n, out, scale, align_corners)
                x = self.gather_axis(x, place, index, weights, name=last)
        return x


interpolate = function(Resize.interpolate)
