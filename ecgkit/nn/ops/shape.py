"""Other views of the same numbers: reshape, transpose, slice, select, expand."""

from collections.abc import Sequence

import numpy as np

from ...errors import LayoutError
from .._builder import Builder
from .._compile import Planner
from .._graph import Tensor
from .._op import Step, op

__all__: list[str] = []


def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    out, step = [], 1
    for s in reversed(shape):
        out.append(step)
        step *= s
    return tuple(reversed(out))


class Shape(Builder):
    def reshape(self, x: Tensor, shape: Sequence[int], *, name=None) -> Tensor:
        """The same numbers in another shape; one axis may be -1. Free."""
        name, where, node = self._begin("reshape", name, x)
        count = int(np.prod(node.shape, dtype=np.int64))
        known = int(np.prod([s for s in shape if s != -1], dtype=np.int64))
        out = tuple(count // known if s == -1 and known else s for s in shape)
        if (
            sum(s == -1 for s in shape) > 1
            or int(np.prod(out, dtype=np.int64)) != count
            or any(s < 1 for s in out)
        ):
            raise LayoutError(f"{where}: {node.shape} does not reshape to {tuple(shape)}")
        return self._add("reshape", (x,), out, name, rank=max(0, min(len(out) - 1, 2)))

    def flatten(self, x: Tensor, start: int = 0, end: int = -1, *, name=None) -> Tensor:
        """Axes ``start`` to ``end`` become one. Free."""
        name, where, node = self._begin("flatten", name, x)
        if not node.shape:
            return self.reshape(x, (1,), name=name)
        first, last = self._axis(where, node, start), self._axis(where, node, end)
        if last < first:
            raise LayoutError(f"{where}: axes {start}..{end} of {node.shape} are no stretch")
        merged = int(np.prod(node.shape[first : last + 1], dtype=np.int64))
        return self.reshape(x, (*node.shape[:first], merged, *node.shape[last + 1 :]), name=name)

    def transpose(self, x: Tensor, axes: Sequence[int], *, name=None) -> Tensor:
        """Axes of the sample in another order, as ``numpy.transpose``."""
        name, where, node = self._begin("transpose", name, x)
        nd = len(node.shape)
        order = tuple(a % nd if nd else a for a in axes)
        if sorted(order) != list(range(nd)):
            raise LayoutError(f"{where}: axes {tuple(axes)} do not permute shape {node.shape}")
        strides = _strides(node.shape)
        shape = tuple(node.shape[a] for a in order)
        attrs = {"strides": tuple(strides[a] for a in order), "offset": 0}
        return self._add("permute", (x,), shape, name, max(0, min(nd - 1, 2)), attrs)

    permute = transpose

    def slice(
        self, x: Tensor, axis: int, start: int, stop: int | None = None, step: int = 1, *, name=None
    ) -> Tensor:
        """``x[..., start:stop:step, ...]`` along one axis, as Python's slices (``step`` >= 1)."""
        name, where, node = self._begin("slice", name, x)
        axis = self._axis(where, node, axis)
        if step < 1:
            raise ValueError(f"{where}: step must be at least 1, got {step}")
        picked = range(node.shape[axis])[start:stop:step]
        if not picked:
            raise LayoutError(f"{where}: the slice of axis {axis} of {node.shape} is empty")
        strides = list(_strides(node.shape))
        offset = picked.start * strides[axis]
        strides[axis] *= step
        shape = (*node.shape[:axis], len(picked), *node.shape[axis + 1 :])
        attrs = {"strides": tuple(strides), "offset": offset}
        return self._add("permute", (x,), shape, name, node.rank, attrs)

    def select(self, x: Tensor, index: int, axis: int = 0, *, name=None) -> Tensor:
        """One entry of an axis, which disappears: ``select(h, -1)`` is the last step of an LSTM."""
        name, where, node = self._begin("select", name, x)
        axis = self._axis(where, node, axis)
        n = node.shape[axis]
        if not -n <= index < n:
            raise LayoutError(f"{where}: index {index} is outside axis {axis} of {node.shape}")
        strides = _strides(node.shape)
        shape = (*node.shape[:axis], *node.shape[axis + 1 :])
        left = (*strides[:axis], *strides[axis + 1 :])
        attrs = {"strides": left, "offset": index % n * strides[axis]}
        return self._add("permute", (x,), shape, name, attrs=attrs)

    def identity(self, x: Tensor, *, name=None) -> Tensor:
        """The same value under another name, for taps. Free."""
        name, _, node = self._begin("identity", name, x)
        return self._add("identity", (x,), node.shape, name, node.rank)

    def unsqueeze(self, x: Tensor, axis: int, *, name=None) -> Tensor:
        """A new axis of length 1 at ``axis``. Free."""
        name, where, node = self._begin("unsqueeze", name, x)
        nd = len(node.shape) + 1
        if not -nd <= axis < nd:
            raise LayoutError(f"{where}: axis {axis} is outside shape {node.shape} and a new axis")
        shape = (*node.shape[: axis % nd], 1, *node.shape[axis % nd :])
        return self.reshape(x, shape, name=name)

    def squeeze(self, x: Tensor, axis: int | None = None, *, name=None) -> Tensor:
        """Without an axis of length 1, or without all of them. Free."""
        name, where, node = self._begin("squeeze", name, x)
        gone = range(len(node.shape)) if axis is None else (self._axis(where, node, axis),)
        shape = tuple(n for i, n in enumerate(node.shape) if i not in gone or n > 1)
        return self.reshape(x, shape, name=name)

    def expand(self, x: Tensor, shape: Sequence[int], *, name=None) -> Tensor:
        """Axes of length 1 repeated to those of ``shape``, which may have more axes in front; -1
        keeps a length."""
        name, where, node = self._begin("expand", name, x)
        more = len(shape) - len(node.shape)
        old = (1,) * more + node.shape
        new = tuple(
            o if n == -1 and i >= more else int(n) for i, (n, o) in enumerate(zip(shape, old))
        )
        if more < 0 or any(n < 1 or o not in (1, n) for n, o in zip(new, old)):
            raise LayoutError(f"{where}: {node.shape} does not expand to {tuple(shape)}")
        strides = tuple(0 if o == 1 else s for o, s in zip(old, _strides(old)))
        rank = node.rank if not more else 0
        return self._add("permute", (x,), new, name, rank, {"strides": strides, "offset": 0})

    def split(self, x: Tensor, sizes: int | Sequence[int], axis: int = 0, *, name=None):
        """Parts of an axis, one after the other: a tuple of tensors.

        Parameters
        ----------
        sizes : int or sequence of int
            Length of every part (the last may be shorter), or the lengths.
        """
        _, where, node = self._begin("split", name, x)
        n = node.shape[self._axis(where, node, axis)]
        if isinstance(sizes, int):
            parts = [min(sizes, n - i) for i in range(0, n, max(1, sizes))]
        else:
            parts = list(sizes)
        if any(part < 1 for part in parts) or int(np.sum(parts)) != n:
            raise LayoutError(f"{where}: {sizes} does not split axis {axis} of {node.shape}")
        ends = np.cumsum(parts)
        return tuple(
            self.slice(x, axis, int(end) - part, int(end), name=name and f"{name}_{i}")
            for i, (part, end) in enumerate(zip(parts, ends))
        )

    def chunk(self, x: Tensor, chunks: int, axis: int = 0, *, name=None):
        """An axis in ``chunks`` parts, as ``torch.chunk``: a tuple of tensors."""
        n = x.shape[axis] if -len(x.shape) <= axis < len(x.shape) else 1
        return self.split(x, -(-n // max(1, chunks)), axis, name=name)


@op("permute")
def _permute(plan: Planner, step: Step) -> None:
    n = step.node
    ints = (*(n.shape or (1,)), *(n.attrs["strides"] or (1,)), n.attrs["offset"])
    plan.emit(step, "permute", [*plan.sources(step), plan.target(step)], ints, what="strided copy")
