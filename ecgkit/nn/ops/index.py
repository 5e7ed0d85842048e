"""Picking, repeating and padding along axes, and putting tensors together."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..._typing import F32, Array, ArrayLike
from ...errors import LayoutError
from .._call import numbers, run_whole, whole
from .._compile import Planner
from .._graph import Tensor
from .._op import Step, op
from .shape import Shape

__all__ = ["cat", "concat", "flip", "index_select", "pad", "repeat", "roll", "stack"]

_PADS: dict[str, Callable[[Array, int], Array]] = {  # where position i of a padded axis looks
    "constant": lambda i, n: np.where((i < 0) | (i >= n), -1, i),
    "replicate": lambda i, n: np.clip(i, 0, n - 1),
    "circular": lambda i, n: i % n,
    "reflect": lambda i, n: np.abs(n - 1 - np.abs(n - 1 - i)),
}


def _ints(value: int | Sequence[int]) -> tuple[int, ...]:
    return (int(value),) if isinstance(value, (int, np.integer)) else tuple(int(v) for v in value)


class Index(Shape):
    def gather_axis(
        self,
        x: Tensor,
        axis: int,
        index: Array,
        weights: F32 | None = None,
        fill: float = 0.0,
        *,
        name=None,
    ) -> Tensor:
        """What every call of this family comes down to: along one axis, output ``j`` is input
        ``index[j]``, or ``fill`` where that is -1; with ``weights``, both of shape (out, taps), the
        weighted sum of its taps."""
        name, where, node = self._begin("gather", name, x)
        axis = self._axis(where, node, axis)
        table = np.asarray(index, np.int32)
        shape = (*node.shape[:axis], len(table), *node.shape[axis + 1 :])
        attrs = {"axis": axis, "index": table, "fill": float(fill)}
        held = {} if weights is None else {"weights": np.asarray(weights, np.float32)}
        return self._add("gather", (x,), shape, name, node.rank, attrs, held)

    def index_select(self, x: Tensor, axis: int, index: Sequence[int], *, name=None) -> Tensor:
        """Entries ``index`` of an axis, in that order."""
        name, where, node = self._begin("index_select", name, x)
        n = node.shape[self._axis(where, node, axis)]
        wanted = np.asarray(index)
        if wanted.ndim != 1 or not wanted.size or wanted.dtype.kind not in "iu":
            raise LayoutError(f"{where}: index must be a list of integers, got {index!r}")
        if wanted.min() < -n or wanted.max() >= n:
            raise LayoutError(f"{where}: index {index} is outside axis {axis} of {node.shape}")
        return self.gather_axis(x, axis, wanted % n, name=name)

    def flip(self, x: Tensor, axes: int | Sequence[int], *, name=None) -> Tensor:
        """The other way round along axes."""
        name, where, node = self._begin("flip", name, x)
        for axis in (wanted := _ints(axes)):
            n = node.shape[self._axis(where, node, axis)]
            last = name if axis == wanted[-1] else None
            x = self.gather_axis(x, axis, np.arange(n)[::-1], name=last)
        return x

    def roll(
        self, x: Tensor, shifts: int | Sequence[int], axes: int | Sequence[int], *, name=None
    ) -> Tensor:
        """Turned round along axes: what leaves at the end comes in at the beginning."""
        name, where, node = self._begin("roll", name, x)
        by, wanted = _ints(shifts), _ints(axes)
        if len(by) != len(wanted) or not by:
            raise LayoutError(f"{where}: {len(by)} shifts for {len(wanted)} axes")
        for i, (shift, axis) in enumerate(zip(by, wanted)):
            n = node.shape[self._axis(where, node, axis)]
            last = name if i + 1 == len(by) else None
            x = self.gather_axis(x, axis, (np.arange(n) - shift) % n, name=last)
        return x

    def repeat(self, x: Tensor, repeats: Sequence[int], *, name=None) -> Tensor:
        """The whole tensor ``repeats`` times along each axis, as ``torch.Tensor.repeat``; more
        repeats than axes add axes in front."""
        name, where, node = self._begin("repeat", name, x)
        times = _ints(repeats)
        if len(times) < len(node.shape) or any(r < 1 for r in times):
            raise LayoutError(
                f"{where}: repeats must be at least 1 for every axis of {node.shape}, got {times}"
            )
        shape = (1,) * (len(times) - len(node.shape)) + node.shape
        x = self.reshape(x, shape)
        for axis, (n, r) in enumerate(zip(shape, times)):
            if r > 1:
                x = self.gather_axis(x, axis, np.tile(np.arange(n), r))
        return self.identity(x, name=name)

    def pad(
        self,
        x: Tensor,
        pad: Sequence[int],
        mode: str = "constant",
        value: float = 0.0,
        *,
        name=None,
    ) -> Tensor:
        """More positions before and after along the last axes, as ``torch.nn.functional.pad``.

        Parameters
        ----------
        pad : sequence of int
            ``(before, after)`` of the last axis, then of the one before it, and so on. A negative
            number takes positions away.
        mode : str
            ``"constant"``, ``"reflect"`` (the edge is not repeated), ``"replicate"`` or
            ``"circular"``.
        value : float
            What ``"constant"`` fills in.
        """
        name, where, node = self._begin("pad", name, x)
        given = _ints(pad)
        if mode not in _PADS:
            raise ValueError(f"{where}: mode must be one of {', '.join(_PADS)}; got {mode!r}")
        if len(given) % 2 or not given or len(given) > 2 * len(node.shape):
            raise LayoutError(
                f"{where}: pad must hold (before, after) of at most {len(node.shape)} axes, got "
                f"{tuple(pad)}"
            )
        for i in range(0, len(given), 2):
            axis, (before, after) = len(node.shape) - 1 - i // 2, given[i : i + 2]
            n = node.shape[axis]
            reach = {"reflect": n - 1, "circular": n}.get(mode, before + after + n)
            if before + after + n < 1 or before > reach or after > reach:
                raise LayoutError(
                    f"{where}: padding ({before}, {after}) does not fit axis {axis} of {node.shape}"
                    f" in mode {mode!r}"
                )
            index = _PADS[mode](np.arange(-before, n + after), n)
            last = name if i + 2 == len(given) else None
            x = self.gather_axis(x, axis, index, fill=value, name=last)
        return x

    def concat(self, tensors: Sequence[Tensor], axis: int = 0, *, name=None) -> Tensor:
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
        length = int(np.sum([s[axis] for s in shapes]))
        shape = (*shapes[0][:axis], length, *shapes[0][axis + 1 :])
        return self._add("concat", tensors, shape, name, nodes[0].rank, {"axis": axis})

    cat = concat

    def stack(self, tensors: Sequence[Tensor], axis: int = 0, *, name=None) -> Tensor:
        """Tensors of one shape along a new axis."""
        axis = axis % (len(tensors[0].shape) + 1) if tensors else axis
        return self.concat([self.unsqueeze(t, axis) for t in tensors], axis, name=name)


@op("gather")
def _gather(plan: Planner, step: Step) -> None:
    n, axis = step.node, step.node.attrs["axis"]
    shape, table = plan.nodes[n.inputs[0]].shape, n.attrs["index"]
    outer, inner = (
        int(np.prod(part, dtype=np.int64)) for part in (shape[:axis], shape[axis + 1 :])
    )
    weighted = "weights" in n.weights
    taps = table.shape[1] if weighted else 1
    ints = (outer, shape[axis], len(table), inner, taps, int(weighted))
    arrays: tuple[Any, ...] = (table.reshape(-1).view(np.float32), *n.weights.values())
    bufs = [*plan.sources(step), plan.target(step)]
    what = "weighted sums" if weighted else "picks"
    plan.emit(step, "gather", bufs, ints, (n.attrs["fill"],), arrays, what=what)


@op("concat")
def _concat(plan: Planner, step: Step) -> None:
    """Pairs of many tensors first: a step of the engine takes few buffers."""
    n, axis = step.node, step.node.attrs["axis"]
    inner = [int(np.prod(plan.nodes[i].shape[axis:], dtype=np.int64)) for i in n.inputs]
    outer = int(np.prod(n.shape[:axis], dtype=np.int64))
    sources = plan.sources(step)
    while len(sources) > 7:
        part = plan.scratch(outer * int(np.sum(inner[:7])))
        plan.emit(step, "concat", [part, *sources[:7]], (outer, *inner[:7]), what="copy")
        sources[:7], inner[:7] = [part], [int(np.sum(inner[:7]))]
    plan.emit(step, "concat", [plan.target(step), *sources], (outer, *inner), what="copy")


def _joined(name: str) -> Callable[..., F32]:
    method = getattr(Index, name)

    def call(
        tensors: Sequence[ArrayLike],
        axis: int = 0,
        *,
        out: Array | None = None,
        threads: int | None = None,
    ) -> F32:
        arrays = [numbers(name, t) for t in tensors]

        def build(p, *given):
            return getattr(p, name)(given, axis, name=name)

        return run_whole(name, arrays, build, out, threads)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = method.__doc__
    return call


concat = cat = _joined("concat")
stack = _joined("stack")
flip = whole(Index.flip)
index_select = whole(Index.index_select)
pad = whole(Index.pad)
repeat = whole(Index.repeat)
roll = whole(Index.roll)
