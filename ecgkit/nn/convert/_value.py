"""Values of a network being converted, and where in them the batch lies.

A program describes one sample, a framework's graph a batch. In row-major order the batch is one
digit of the index: `outer` positions vary slower, the rest faster. Reshapes leave the digit where
it is, transposes move it with its axis; an op that would read across it mixes samples and is
refused. Dropping the digit turns the graph's value into the program's.
"""

from dataclasses import dataclass
from math import prod

import numpy as np

from ..._typing import Array
from .._graph import Tensor


class Refusal(Exception):
    """Why a node cannot be converted, and what to do; the front end adds the place."""

    def __init__(self, why: str, todo: str = ""):
        super().__init__(why)
        self.why, self.todo = why, todo


@dataclass(frozen=True)
class Value:
    """A constant (``const``) or a tensor of the program under way (``tensor``).

    ``shape`` is that of the graph, batch included. The batch is a factor of the length of ``axis``
    (None: no batch in it), with ``outer`` entries of that axis varying slower: 1 for a pure batch
    axis or (batch * windows), k for (k * batch).
    """

    shape: tuple[int, ...]
    tensor: Tensor | None = None
    const: Array | None = None
    axis: int | None = None
    outer: int = 1


def constant(array) -> Value:
    """A constant."""
    a = np.asarray(array)
    return Value(a.shape, const=a)


class Frame:
    """The batch algebra for one batch length (that of the example the graph was traced with)."""

    def __init__(self, batch: int):
        self.batch = batch

    def rest(self, v: Value) -> int:
        """Entries of the batch's axis per sample."""
        assert v.axis is not None
        return v.shape[v.axis] // self.batch

    def dropped(self, v: Value) -> bool:
        """Whether the batch's axis disappears from a sample."""
        return v.axis is not None and self.rest(v) == 1

    def sample(self, v: Value, shape: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """The shape of one sample."""
        shape = v.shape if shape is None else shape
        if v.axis is None:
            return shape
        left = self.rest(v)
        return (*shape[: v.axis], *((left,) if left > 1 else ()), *shape[v.axis + 1 :])

    def axis(self, v: Value, d: int, what: str = "this op") -> int:
        """The sample's axis that the graph's axis ``d`` is."""
        d = self.wrap(v, d)
        if d == v.axis:
            raise Refusal(
                f"{what} works along axis {d}, which holds the batch: it mixes samples",
                "a program describes one sample; keep the batch axis apart",
            )
        return d - (self.dropped(v) and v.axis is not None and d > v.axis)

    def axes(self, v: Value, ds, what: str = "this op") -> tuple[int, ...]:
        return tuple(self.axis(v, d, what) for d in ds)

    @staticmethod
    def wrap(v: Value, d: int) -> int:
        """An axis counted from the front."""
        d, n = int(d), len(v.shape)
        if not -n <= d < max(n, 1):
            raise Refusal(f"axis {d} is outside shape {v.shape}")
        return d % n if n else 0

    def digit(self, v: Value) -> int:
        """Row-major positions that vary slower than the batch."""
        assert v.axis is not None
        return prod(v.shape[: v.axis]) * v.outer

    def place(self, shape: tuple[int, ...], digit: int) -> tuple[int, int]:
        """``(axis, outer)`` of the batch in a shape of the same numbers."""
        found, count = [], 1
        for axis, length in enumerate(shape):
            if digit % count == 0 and length and length % (digit // count * self.batch) == 0:
                found.append((axis, digit // count))
            count *= length
        if not found:
            raise Refusal(
                f"the reshape to {shape} does not keep samples apart",
                "give the batch an axis, or a factor of an axis, of its own",
            )
        pure = [(a, o) for a, o in found if o == 1 and shape[a] == self.batch]
        return (pure or found)[0]

    def strip(self, v: Value, like: Value, shape: tuple[int, ...]) -> Array:
        """A constant as one sample of ``like`` (of result shape ``shape``) wants to broadcast it.

        Axes are aligned at the last one. Refused where the constant differs between samples.
        """
        a = v.const
        assert a is not None
        if like.axis is None:
            return a
        at = like.axis - len(shape) + a.ndim  # the constant's own axis
        if at < 0:
            return a
        left = shape[like.axis] // self.batch
        if a.shape[at] == 1:
            return np.squeeze(a, at) if left == 1 else a
        split = (like.outer, self.batch, left // like.outer)
        parts = np.moveaxis(a.reshape(*a.shape[:at], *split, *a.shape[at + 1 :]), at + 1, 0)
        if any(not np.array_equal(parts[0], p, equal_nan=a.dtype.kind == "f") for p in parts[1:]):
            raise Refusal(
                "a constant differs between the samples of a batch",
                "a program treats every sample alike",
            )
        kept = parts[0].reshape(*a.shape[:at], left, *a.shape[at + 1 :])
        return np.squeeze(kept, at) if left == 1 else kept
