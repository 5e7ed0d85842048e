"""Low-rank updates of weight matrices in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._config import _core
from .._typing import Array, ArrayLike
from ..errors import LayoutError

_TYPES = (np.dtype(np.float32), np.dtype(np.float16), np.dtype(np.uint16), np.dtype(np.float64))


def merge(
    w: Array,
    a: ArrayLike | Sequence[ArrayLike],
    b: ArrayLike | Sequence[ArrayLike],
    scale: float | Sequence[float],
    *,
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """``w + scale * b @ a``, rounded once; the product is never stored.

    Parameters
    ----------
    w : ndarray, shape (..., out, in)
        float32, float16, float64, or uint16 that holds the bits of bfloat16.
    a : ndarray, shape (..., r, in), or a sequence of them
        Any of those dtypes. A sequence means several adapters: their changes are added in float32.
    b : ndarray, shape (..., out, r), or a sequence as long
    scale : float or a sequence as long
        alpha/r of each adapter times its weight.
    out : ndarray, optional
        Of the dtype and shape of ``w``, C-contiguous; may be ``w`` itself.
    threads : int, optional
        Default: the process setting.

    Returns
    -------
    ndarray, the dtype and shape of ``w``
        Sums over r run in float32 (float64 for float64 weights); a result beyond float16's range
        is infinite, NaN stays NaN.

    Raises
    ------
    LayoutError
        Shapes that do not fit.
    TypeError
        Another dtype.

    Notes
    -----
    Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022, equation 3. Rounded as
    PEFT's ``merge()`` does: the scaled product to float32, then the sum to the dtype of ``w``.
    """
    w = _bits(w, "w")
    many_a, many_b, scales = _list(a), _list(b), _scales(scale)
    if not len(many_a) == len(many_b) == len(scales):
        raise LayoutError(
            f"merge: {len(many_a)} of a, {len(many_b)} of b and {len(scales)} scales; wanted as "
            "many of each"
        )
    wide = np.float64 if w.dtype == np.float64 else np.float32
    factors = [(_wide(x, "a", wide), _wide(y, "b", wide)) for x, y in zip(many_a, many_b)]
    for x, y in factors:
        _fit(w, x, y)
    result = _result(w, out)
    if w.ndim == 2:
        return _one(w, factors, scales, result, threads)
    for at in np.ndindex(w.shape[:-2]):
        _one(w[at], [(x[at], y[at]) for x, y in factors], scales, result[at], threads)
    return result


def unmerge(
    w: Array,
    a: ArrayLike | Sequence[ArrayLike],
    b: ArrayLike | Sequence[ArrayLike],
    scale: float | Sequence[float],
    *,
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """``w - scale * b @ a``: takes a merge back, but for what rounding lost.

    Parameters and result as in :func:`merge`. In 16-bit types a merge cannot be undone exactly
    (2 % of bfloat16 elements differ after a change of 1 % of the weights' size): keep the
    originals.
    """
    negative = [-s for s in _scales(scale)]
    return merge(w, _list(a), _list(b), negative, out=out, threads=threads)


def to_float32(x: Array) -> Array:
    """The values of bfloat16 numbers given by their bits (uint16), exactly."""
    if np.asarray(x).dtype != np.uint16:
        raise TypeError(
            f"to_float32: x must be uint16 (bits of bfloat16), got {np.asarray(x).dtype}"
        )
    return _core.lora_widen(x)


def to_bfloat16(x: ArrayLike) -> Array:
    """The bits (uint16) of float32 numbers rounded to bfloat16, to nearest even; NaN stays NaN."""
    return _core.lora_narrow(x)


def _list(x: Any) -> list[Any]:
    return list(x) if isinstance(x, (list, tuple)) else [x]


def _scales(scale: float | Sequence[float]) -> list[float]:
    return [float(s) for s in np.atleast_1d(np.asarray(scale, np.float64))]


def _bits(w: Any, name: str) -> Array:
    w = np.asarray(w)
    if w.dtype.name == "bfloat16":  # of ml_dtypes
        w = w.view(np.uint16)
    if w.dtype not in _TYPES:
        raise TypeError(
            f"merge: {name} must be float32, float16, float64 or uint16 (bits of bfloat16), got "
            f"{w.dtype}"
        )
    return w


def _wide(x: Any, name: str, dtype: Any) -> Array:
    x = _bits(x, name)
    if x.dtype == np.uint16:
        x = _core.lora_widen(x)
    return np.ascontiguousarray(x, dtype)


def _fit(w: Array, a: Array, b: Array) -> None:
    fits = (
        w.ndim >= 2
        and a.ndim == b.ndim == w.ndim
        and a.shape[:-2] == b.shape[:-2] == w.shape[:-2]
        and a.shape[-1] == w.shape[-1]
        and b.shape[-2] == w.shape[-2]
        and a.shape[-2] == b.shape[-1]
    )
    if not fits:
        raise LayoutError(
            f"merge: w {w.shape} needs a (..., r, in) and b (..., out, r) with the same leading "
            f"axes, got a {a.shape} and b {b.shape}"
        )


def _result(w: Array, out: Array | None) -> Array:
    if out is None:
        return np.empty(w.shape, w.dtype)
    if out.dtype.name == "bfloat16":
        out = out.view(np.uint16)
    if out.shape != w.shape or out.dtype != w.dtype or not out.flags.carray:
        raise LayoutError(
            f"merge: out must be a writeable C-contiguous {w.dtype} array of shape {w.shape}, got "
            f"{out.dtype} {out.shape}"
        )
    return out


def _one(
    w: Array,
    factors: list[tuple[Array, Array]],
    scales: list[float],
    out: Array,
    threads: int | None,
) -> Array:
    if w.ndim == 2 and not w.flags.carray:
        w = np.ascontiguousarray(w)
    if w.dtype == np.float64:
        for (a, b), scale in zip(factors, scales):
            w = _core.lora_merge_f64(w, a, b, scale, out, threads)
        if not factors:
            np.copyto(out, w)
        return out
    pairs = tuple((a, b, s) for (a, b), s in zip(factors, scales))
    return _core.lora_merge(w, pairs, out, threads=threads)
