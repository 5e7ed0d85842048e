"""Nearest neighbours of embeddings by cosine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import proto
from .._typing import Array, ArrayLike
from ..errors import LayoutError


@dataclass(frozen=True, eq=False, repr=False)
class Retrieval:
    """The entries of a gallery that are nearest to each query.

    Attributes
    ----------
    index : ndarray, int64, shape (k,) or (query, k)
        Places in the gallery, the nearest first; of equals the one that stands first.
    scores : ndarray, float32, same shape
        Cosines.
    names : tuple of the gallery's names
        Empty if it has none.
    """

    index: Array
    scores: Array
    names: tuple[Any, ...] = ()

    def named(self) -> list:
        """The names of the entries found: a list, or a list of them per query."""
        if not self.names:
            raise LayoutError("the gallery has no names: pass names= to retrieve")
        rows = [[self.names[i] for i in row] for row in np.atleast_2d(self.index)]
        return rows[0] if self.index.ndim == 1 else rows

    def to_frame(self):
        """One row per query and entry: query, rank, index, score, name (pandas)."""
        from .._extras import need

        index, scores = np.atleast_2d(self.index), np.atleast_2d(self.scores)
        queries, ranks = np.indices(index.shape)
        columns = {"query": queries.ravel(), "rank": ranks.ravel() + 1}
        columns |= {"index": index.ravel(), "score": scores.ravel()}
        if self.names:
            columns["name"] = [self.names[i] for i in index.ravel()]
        return need("pandas", "cli", "Retrieval.to_frame").DataFrame(columns)

    def __repr__(self) -> str:
        index, scores = np.atleast_2d(self.index), np.atleast_2d(self.scores)
        lines = [f"Retrieval of {index.shape[1]} entries for {len(index)} queries"]
        for i, (row, values) in enumerate(zip(index[:10], scores)):
            told = [f"{self.names[k] if self.names else k} {v:.3f}" for k, v in zip(row, values)]
            lines.append(f"  {i:>3}  {', '.join(told)}")
        return "\n".join(lines + ["  ..."] * (len(index) > 10))


def retrieve(
    queries: ArrayLike,
    gallery: ArrayLike,
    *,
    k: int = 5,
    every: int = 1,
    names: Sequence[Any] | None = None,
) -> Retrieval:
    """The ``k`` entries of a gallery with the largest cosine to each query.

    Parameters
    ----------
    queries : array_like, shape (d,) or (query, d)
        Embeddings, of any length.
    gallery : array_like, shape (entry, d)
    k : int
        Entries per query.
    every : int
        Keep every so manyth of the ranking (ranks 1, 1 + every, ...), ``k`` of them in all.
    names : sequence, optional
        Of the gallery's entries, for display.

    Returns
    -------
    Retrieval
        Ties: the entry that stands first in the gallery.

    Raises
    ------
    LayoutError
        Widths that differ, numbers that are not finite, a gallery with too few entries.
    """
    q, g = np.asarray(queries, np.float32), np.asarray(gallery, np.float32)
    if q.ndim not in (1, 2) or g.ndim != 2 or q.shape[-1] != g.shape[1] or not g.shape[1]:
        raise LayoutError(
            "retrieve: queries must have shape (d,) or (n, d) and the gallery (m, d), got "
            f"{q.shape} and {g.shape}"
        )
    if not (np.isfinite(q).all() and np.isfinite(g).all()):
        raise LayoutError("retrieve: queries or gallery hold NaN or infinite numbers")
    needed = (k - 1) * every + 1
    if k < 1 or every < 1 or needed > len(g):
        raise LayoutError(
            f"retrieve: k={k} with every={every} needs {max(needed, 1)} entries, the gallery has "
            f"{len(g)}; both must be at least 1"
        )
    if names is not None and len(names) != len(g):
        raise LayoutError(f"retrieve: {len(names)} names for {len(g)} entries")
    rows = np.atleast_2d(q)
    index = np.empty((len(rows), k), np.int64)
    scores = np.empty((len(rows), k), np.float32)
    step = max(1, (1 << 24) // max(len(g), 1))
    for i in range(0, len(rows), step):
        cosines = proto.similarity(rows[i : i + step], g)
        for to, value, row in zip(index[i:], scores[i:], cosines):
            to[:] = _largest(row, needed)[::every]
            value[:] = row[to]
    if q.ndim == 1:
        index, scores = index[0], scores[0]
    return Retrieval(index, scores, tuple(names or ()))


def _largest(row: Array, n: int) -> Array:
    """Places of the ``n`` largest values, in order; of equals the first."""
    if n < len(row):
        least = np.partition(row, len(row) - n)[len(row) - n]
        above = np.flatnonzero(row > least)
        chosen = np.concatenate([above, np.flatnonzero(row == least)[: n - len(above)]])
    else:
        chosen = np.arange(len(row))
    return chosen[np.lexsort((chosen, -row[chosen]))]
