"""Projection: every prototype becomes the piece of a real record that resembles it most."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from .. import weights
from .._typing import Array, ArrayLike
from ..errors import LayoutError, OutputError
from ._similarity import similarity

SAVE_SECONDS = 10.0
"""The state is put on disk after this time at the latest."""

_CLOSE = 4e-6  # float32 similarities within this of the best are computed again in double


@dataclass(frozen=True)
class Push:
    """Where the prototypes ended up.

    Attributes
    ----------
    prototypes : ndarray, float32, shape (p, d, window) or (p, d)
        The features found; zeros where no record had a label of the prototype.
    record : ndarray, int64, shape (p,)
        Position of the record in the stream; -1: none.
    window : ndarray, int64, shape (p,)
        First time step of the piece.
    score : ndarray, float64, shape (p,)
        Its similarity to the prototype as it was.
    seen : int
        Records gone through.
    """

    prototypes: Array
    record: Array
    window: Array
    score: Array
    seen: int


def push(
    batches: Iterable[Any] | Callable[[int], Iterable[Any]],
    prototypes: ArrayLike,
    *,
    classes: ArrayLike | None = None,
    metric: str = "cosine",
    eps: float = 0.0,
    state: str | os.PathLike[str] | None = None,
    threads: int | None = None,
) -> Push:
    """Project prototypes onto real records in one pass.

    Parameters
    ----------
    batches : iterable, or function from a record's position to an iterable
        Features (n, d, t) or (n, d), or pairs (features, labels) with labels (n, classes), true
        where the record has the label. A function is called with the first record still wanted, so
        that a resumed run computes nothing twice; an iterable is read over.
    prototypes : array_like, shape (p, d, window) or (p, d)
    classes : array_like, shape (p, classes), optional
        True where the prototype belongs to the class: only records with one of its labels count.
        Default: every record counts for every prototype.
    metric, eps
        As in :func:`similarity`.
    state : path, optional
        Where the state is kept while the pass lasts (safetensors, written whole or not at all); run
        again after an interruption, the pass goes on from there. Removed at the end.
    threads : int, optional
        Default: the process setting.

    Returns
    -------
    Push

    Raises
    ------
    LayoutError
        Batches, labels or classes that do not fit.
    OutputError
        ``state`` belongs to other prototypes or another metric.

    Notes
    -----
    Of equally similar pieces the first wins; similarities close to the best are compared in double,
    so the answer does not depend on how records are batched. Memory: one batch. The procedure is
    that of ProtoECGNet (Sethi et al., MLHC 2025, ``push.py``): maximum over windows, strict ``>``.
    """
    v = np.ascontiguousarray(prototypes, np.float32)
    if v.ndim not in (2, 3):
        raise LayoutError(f"push: prototypes must be (p, d) or (p, d, window), got {v.shape}")
    member = None if classes is None else np.asarray(classes, bool)
    if member is not None and (member.ndim != 2 or len(member) != len(v)):
        raise LayoutError(
            f"push: classes must be ({len(v)}, classes), a row per prototype; got {member.shape}"
        )
    run = Run(v, member, metric, eps, None if state is None else Path(state), threads)
    stream = batches(run.seen) if callable(batches) else _rest(batches, run.seen)
    saved = time.monotonic()
    try:
        for batch in stream:
            run.take(*(batch if isinstance(batch, tuple) else (batch, None)))
            if time.monotonic() - saved > SAVE_SECONDS:
                run.save()
                saved = time.monotonic()
    except BaseException:
        run.save()
        raise
    return run.finish()


def _rest(batches: Iterable[Any], done: int) -> Iterator[Any]:
    """The batches after the first ``done`` records."""
    stream = iter(batches)
    while done > 0:
        batch = next(stream, None)
        if batch is None:
            return
        features, labels = batch if isinstance(batch, tuple) else (batch, None)
        if len(features) > done:
            part = features[done:], None if labels is None else labels[done:]
            stream = chain([part], stream)
            break
        done -= len(features)
    yield from stream


class Run:
    """One pass: the best piece of every prototype so far."""

    def __init__(
        self,
        v: Array,
        member: Array | None,
        metric: str,
        eps: float,
        path: Path | None = None,
        threads: int | None = None,
    ):
        self.v, self.member, self.metric, self.eps = v, member, metric, eps
        self.path, self.threads = path, threads
        self.cube = v if v.ndim == 3 else v[..., None]
        self.found = np.zeros_like(self.cube)
        self.score = np.full(len(v), -np.inf)
        self.record = np.full(len(v), -1, np.int64)
        self.window = np.zeros(len(v), np.int64)
        self.seen = 0
        self.what = np.empty(0, np.uint8) if path is None else self._digest()
        if path is not None and path.exists():
            self._load()

    def _digest(self) -> Array:
        digest = hashlib.sha256(f"{self.metric} {self.eps!r} {self.v.shape}".encode())
        digest.update(self.v.tobytes())
        digest.update(b"" if self.member is None else self.member.tobytes())
        return np.frombuffer(digest.digest(), np.uint8)

    def _load(self) -> None:
        assert self.path is not None
        kept = weights.read(self.path)
        if not np.array_equal(kept.get("what", ()), self.what):
            raise OutputError(
                f"{self.path} is the state of another pass (other prototypes, classes or metric); "
                "remove it, or name another file"
            )
        self.found, self.score = kept["found"].copy(), kept["score"].copy()
        self.record, self.window = kept["record"].copy(), kept["window"].copy()
        self.seen = int(kept["seen"][0])

    def save(self) -> None:
        """Put the state on disk, if it is wanted."""
        if self.path is not None:
            parts = {
                "found": self.found, "score": self.score, "record": self.record,
                "window": self.window, "seen": np.array([self.seen]), "what": self.what,
            }  # fmt: skip
            weights.save(self.path, parts)

    def take(self, features: Any, labels: Any) -> None:
        """Go through one batch."""
        x = np.ascontiguousarray(features, np.float32)
        x = x[..., None] if x.ndim == 2 else x
        allowed = self._allowed(len(x), labels)
        if len(x) and len(self.v):
            near, at = similarity(
                x, self.cube, metric=self.metric, eps=self.eps, pool="max", return_index=True,
                threads=self.threads,
            )  # fmt: skip
            near = np.where(allowed & ~np.isnan(near), near.astype(np.float64), -np.inf)
            floor = np.maximum(near.max(0), self.score)
            floor = floor - _CLOSE * np.maximum(1.0, np.abs(np.where(floor > -np.inf, floor, 0)))
            for q, i in zip(*np.nonzero((near >= floor).T & (near > -np.inf).T), strict=True):
                self._try(x[i, :, at[i, q] : at[i, q] + self.cube.shape[2]], q, i, at[i, q])
        self.seen += len(x)

    def _allowed(self, n: int, labels: Any) -> Array:
        if self.member is None:
            return np.ones((n, len(self.v)), bool)
        y = None if labels is None else np.asarray(labels, bool)
        if y is None or y.shape != (n, self.member.shape[1]):
            raise LayoutError(
                f"push: classes were given, so every batch needs labels ({n}, "
                f"{self.member.shape[1]}); got {None if y is None else y.shape}"
            )
        return (y.astype(np.float32) @ self.member.T.astype(np.float32)) > 0

    def _try(self, piece: Array, q: int, i: int, window: int) -> None:
        score = _exact(piece.astype(np.float64), self.cube[q], self.metric, self.eps)
        if score > self.score[q]:
            self.score[q], self.found[q] = score, piece
            self.record[q], self.window[q] = self.seen + i, window

    def finish(self) -> Push:
        """The result; the state is not needed any more."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
        found = self.found.reshape(self.v.shape)
        return Push(found, self.record, self.window, self.score, self.seen)


def _exact(x: Array, v: Array, metric: str, eps: float) -> float:
    """Similarity of one piece to one prototype, in double."""
    wide = v.astype(np.float64)
    if metric == "cosine":
        norm = np.sqrt((np.vdot(x, x) + eps) * (np.vdot(wide, wide) + eps))
        return float(np.vdot(x, wide) / norm) if norm > 0 else 0.0
    distance = float(np.sqrt(((x - wide) ** 2).sum()))
    return -distance if metric == "l2" else float(np.log((distance + 1) / (distance + 1e-4)))
