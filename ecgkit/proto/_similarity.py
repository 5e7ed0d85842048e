"""Similarity of feature maps to prototypes."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._config import _core
from .._typing import Array, ArrayLike
from ..errors import LayoutError

_POOLS = {None: "none", "mean": "mean", "max": "max", "topk": "topk"}
_METRICS = ("cosine", "l2", "l2_log")


def similarity(
    features: ArrayLike,
    prototypes: ArrayLike,
    *,
    metric: str = "cosine",
    window: int | None = None,
    pool: str | None = None,
    k: int = 5,
    eps: float = 0.0,
    return_index: bool = False,
    out: Array | None = None,
    threads: int | None = None,
) -> Any:
    """How similar every window of every feature map is to every prototype.

    Parameters
    ----------
    features : array_like, shape (n, d) or (n, d, t)
        d channels, t time steps; computed in float32.
    prototypes : array_like, shape (p, d) or (p, d, window)
    metric : {"cosine", "l2", "l2_log"}
        With the distance D of window and prototype: ``"l2"`` is -D, ``"l2_log"`` is
        log((D + 1) / (D + 1e-4)). The larger, the more similar, in all three.
    window : int, optional
        Length of a prototype; must be that of ``prototypes``. Default: what they have.
    pool : {None, "mean", "max", "topk"}
        Over the windows; ``"topk"`` is the mean of the ``k`` largest. ``None``: all of them.
    k : int
        Windows that ``"topk"`` averages.
    eps : float
        Cosine: added to the squared norm of a window and of a prototype.
    return_index : bool
        Also return which window is the most similar one, the first of equals; needs ``pool``.
    out : ndarray, optional
        float32, of the result's shape.
    threads : int, optional
        Default: the process setting.

    Returns
    -------
    ndarray, float32
        (n, p) where pooled or where features are (n, d); else (n, p, t - window + 1).
    ndarray, int64, shape (n, p)
        Only with ``return_index``.

    Raises
    ------
    LayoutError
        Shapes that do not fit, or prototypes longer than the maps.
    ValueError
        A metric or pool that does not exist.

    Notes
    -----
    A window of norm 0 has the cosine 0. A NaN makes the windows NaN that it lies in, and what is
    pooled from them. Distances that are small beside the norms are computed from differences, not
    from norms and products.

    From 8 records on, where prototypes are long, products are taken between spectra along time: a
    quarter of the work; cosines then differ from double by up to 2e-6, else by 5e-7. The spectra of
    the prototypes used last are kept, as long as their values stay the same.

    The similarities are those of ProtoECGNet (Sethi et al., MLHC 2025): its ``a`` is ``13 *
    similarity(..., eps=1e-4)`` for windows of 3, ``4 *`` for windows of 32.
    """
    x, v, flat = _shapes(features, prototypes, window)
    if metric not in _METRICS:
        raise ValueError(f"similarity: metric must be one of {', '.join(_METRICS)}; got {metric!r}")
    if pool not in _POOLS:
        raise ValueError(f"similarity: pool must be None, 'mean', 'max' or 'topk'; got {pool!r}")
    if k < 1 or not eps >= 0.0:
        raise ValueError(f"similarity: k must be at least 1 and eps at least 0; got {k} and {eps}")
    n, p, windows = len(x), len(v), x.shape[2] - v.shape[2] + 1
    best = np.empty((n, p), np.int64) if return_index else None
    if return_index and pool is None:
        raise ValueError("similarity: return_index needs a pool; use argmax on the whole map")
    pooled = pool is not None or flat
    shape = (n, p) if pooled else (n, p, windows)
    if out is not None and out.shape != shape:
        raise LayoutError(f"similarity: out must have shape {shape}, got {out.shape}")
    if flat and out is not None and pool is None:
        out = out.reshape(n, p, 1)
    bank = _BANKS.get(v, x.shape[2], n, threads)
    got = _core.proto_similarity(
        bank, x, metric, _POOLS[pool], k=k, eps=eps, out=out, best=best, threads=threads
    )
    got = got.reshape(shape)
    return (got, best) if return_index else got


def _shapes(features: Any, prototypes: Any, window: int | None) -> tuple[Array, Array, bool]:
    x, v = np.asarray(features), np.asarray(prototypes)
    if x.ndim not in (2, 3) or v.ndim not in (2, 3) or (x.ndim == 2 and v.ndim == 3):
        raise LayoutError(
            "similarity: features must be (n, d) or (n, d, t), prototypes (p, d) or (p, d, w); "
            f"got {x.shape} and {v.shape}"
        )
    flat = x.ndim == 2
    x = x[..., None] if x.ndim == 2 else x
    v = v[..., None] if v.ndim == 2 else v
    if x.shape[1] != v.shape[1] or 0 in v.shape[1:]:
        raise LayoutError(
            f"similarity: features have {x.shape[1]} channels, prototypes {v.shape[1]} "
            f"(shapes {x.shape} and {v.shape}); wanted the same, from 1 up"
        )
    if window is not None and window != v.shape[2]:
        raise LayoutError(
            f"similarity: window is {window}, the prototypes are {v.shape[2]} steps long"
        )
    if v.shape[2] > x.shape[2]:
        raise LayoutError(
            f"similarity: prototypes of {v.shape[2]} steps are longer than features of {x.shape[2]}"
        )
    for name, array in (("features", x), ("prototypes", v)):
        if array.dtype.kind not in "iuf":
            raise TypeError(f"similarity: {name} must hold real numbers, got dtype {array.dtype}")
    return x, np.ascontiguousarray(v, np.float32), flat


@dataclass(eq=False)
class _Bank:
    values: Array
    t: int
    handle: object

    @property
    def bytes(self) -> int:
        bins = self.t // 2 + 9 if self.t else 0
        p, d, w = self.values.shape
        return 4 * p * d * (3 * w + 2 * bins)


class _Banks:
    """The prototypes used last, prepared. Found by their values, so that a change is seen."""

    MOST, MOST_BYTES, BUILD_FROM = 4, 1 << 30, 16

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.kept: list[_Bank] = []

    def get(self, v: Array, t: int, n: int, threads: int | None) -> object:
        """The bank of ``v`` for maps of ``t`` steps; with spectra where they pay."""
        w = v.shape[2]
        # Work per channel: windows * w products against four per frequency.
        wanted = t if (t - w + 1) * w > 3 * t and n >= self.BUILD_FROM else 0
        with self.lock:
            for bank in self.kept:
                fits = bank.t == t or (wanted == 0 and bank.t == 0)
                if fits and np.array_equal(bank.values, v):
                    self.kept.remove(bank)
                    self.kept.append(bank)
                    return bank.handle
        bank = _Bank(v.copy(), wanted, None)
        if bank.bytes > self.MOST_BYTES:
            bank.t = wanted = 0
        bank.handle = _core.proto_bank(v, wanted, threads)
        with self.lock:
            self.kept.append(bank)
            while len(self.kept) > self.MOST or sum(b.bytes for b in self.kept) > self.MOST_BYTES:
                self.kept.pop(0)
                if not self.kept:
                    break
        return bank.handle


_BANKS = _Banks()
