"""Other views of the same numbers: reshape, transpose, slice, select, concat."""

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

    def flatten(self, x: Tensor, start: int = 0, *, name=None) -> Tensor:
        """Axes from ``start`` on become one."""
        shape = self._node(self._where("flatten"), x).shape
        start %= max(len(shape), 1)
        return self.reshape(
            x, (*shape[:start], int(np.prod(shape[start:], dtype=np.int64))), name=name
        )

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

    def slice(
        self, x: Tensor, axis: int, start: int, stop: int | None = None, step: int = 1, *, name=None
    ) -> Tensor:
        """``x[..., start:stop:step, ...]`` along one axis, as Python's slices (``step`` >= 1)."""
        name, where, node = self._begin("slice", name, x)
        axis = self._axis(where, node, axis)
        if step < 1:
            raise ValueError(f"{where}: step must be at least 1, got {step}")
        picked = range(*slice(start, stop, step).indices(node.shape[axis]))
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

    def concat(self, tensors: Sequence[Tensor], axis: int, *, name=None) -> Tensor:
        """Tensors one after the other along an axis."""
        name = self._name("concat", name)
        where = self._where(name)
        nodes = [self._node(where, t) for t in tensors]
        if not nodes:
            raise ValueError(f"{where}: no tensors")
        axis = self._axis(where, nodes[0], axis)
        shapes = [n.shape for n in nodes]
        if any(
            s[:axis] + s[axis + 1 :] != shapes[0][:axis] + shapes[0][axis + 1 :] for s in shapes
        ):
            raise LayoutError(f"{where}: shapes {shapes} differ beside axis {axis}")
        shape = (*shapes[0][:axis], sum(s[axis] for s in shapes), *shapes[0][axis + 1 :])
        return self._add("concat", tensors, shape, name, nodes[0].rank, {"axis": axis})


@op("permute")
def _permute(plan: Planner, step: Step) -> None:
    n = step.node
    ints = (*(n.shape or (1,)), *(n.attrs["strides"] or (1,)), n.attrs["offset"])
    plan.emit(step, "permute", [*plan.sources(step), plan.target(step)], ints, what="strided copy")


@op("concat")
def _concat(plan: Planner, step: Step) -> None:
    n, axis = step.node, step.node.attrs["axis"]
    inner = [int(np.prod(plan.nodes[i].shape[axis:], dtype=np.int64)) for i in n.inputs]
    outer = int(np.prod(n.shape[:axis], dtype=np.int64))
    sources = plan.sources(step)
    plan.emit(step, "concat", [plan.target(step), *sources], (outer, *inner), what="copy")
