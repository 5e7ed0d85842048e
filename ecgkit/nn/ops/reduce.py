"""Reductions over axes."""

import numpy as np

from ...errors import LayoutError
from .._call import whole
from .._compile import Planner
from .._graph import Tensor
from .._op import LANES, NO_BORDER, Form, Read, Step, flat, op, plain_forms
from .pool import adaptive
from .shape import Shape

__all__ = ["max", "mean", "min", "std", "sum", "var"]

_KINDS = {"mean": 0, "sum": 1, "max": 2, "min": 3, "var": 4, "std": 5}


class Reduce(Shape):
    """``axes``: one axis or several; default all. They disappear, or stay with length 1 with
    ``keepdim=True``. In a program they are axes of the sample; the batch axis is not counted."""

    def _reduce(self, kind: str, x: Tensor, axes, keepdim: bool, name, correction=0) -> Tensor:
        name, where, node = self._begin(kind, name, x)
        nd = len(node.shape)
        wanted = (
            tuple(range(nd)) if axes is None else (axes,) if isinstance(axes, int) else tuple(axes)
        )
        if (
            any(not -nd <= a < nd for a in wanted)
            or len({a % nd for a in wanted}) != len(wanted)
            or not wanted
        ):
            raise LayoutError(
                f"{where}: axes {axes} do not fit shape {node.shape} (the batch axis is not "
                "counted)"
            )
        gone = sorted(a % nd for a in wanted)
        shape = tuple(s for i, s in enumerate(node.shape) if i not in gone)
        attrs = {"kind": kind, "axes": tuple(gone), "correction": correction}
        if kind in ("var", "std") and gone != list(range(gone[0], gone[-1] + 1)):
            order = [*(i for i in range(nd) if i not in gone), *gone]  # one run of axes
            x = self.transpose(x, order)
            attrs["axes"] = tuple(range(nd - len(gone), nd))
        if not keepdim:
            return self._add("reduce", (x,), shape, name, attrs=attrs)
        kept = tuple(1 if i in gone else s for i, s in enumerate(node.shape))
        inner = self._add("reduce", (x,), shape, self._name(f"{name}_axes", None), attrs=attrs)
        return self.reshape(inner, kept, name=name)

    def mean(self, x: Tensor, axes=None, keepdim: bool = False, *, name=None) -> Tensor:
        """Mean over axes (all by default)."""
        return self._reduce("mean", x, axes, keepdim, name)

    def sum(self, x: Tensor, axes=None, keepdim: bool = False, *, name=None) -> Tensor:
        """Sum over axes (all by default)."""
        return self._reduce("sum", x, axes, keepdim, name)

    def max(self, x: Tensor, axes=None, keepdim: bool = False, *, name=None) -> Tensor:
        """Maximum over axes (all by default); NaN wins."""
        return self._reduce("max", x, axes, keepdim, name)

    def min(self, x: Tensor, axes=None, keepdim: bool = False, *, name=None) -> Tensor:
        """Minimum over axes (all by default); NaN wins."""
        return self._reduce("min", x, axes, keepdim, name)

    def var(
        self, x: Tensor, axes=None, correction: float = 1, keepdim: bool = False, *, name=None
    ) -> Tensor:
        """Variance over axes (all by default): squares over ``count - correction``, as PyTorch's.
        NaN where ``correction`` leaves nothing to divide by."""
        return self._reduce("var", x, axes, keepdim, name, float(correction))

    def std(
        self, x: Tensor, axes=None, correction: float = 1, keepdim: bool = False, *, name=None
    ) -> Tensor:
        """Standard deviation over axes (all by default): the root of :meth:`var`."""
        return self._reduce("std", x, axes, keepdim, name, float(correction))


def _whole_picture(plan: Planner, step: Step) -> bool:
    """Whether it is the mean or maximum of a blocked picture, which is read as it lies."""
    source = plan.native[step.inputs[0]]
    shape = plan.nodes[step.node.inputs[0]].shape
    rank = 1 if source.h == 1 and len(shape) >= 2 and shape[-1] == source.w else 2
    axes = step.node.attrs["axes"]
    return (
        step.node.attrs["kind"] in ("mean", "max")
        and source.lanes == LANES
        and not plan.reshaped(step)
        and len(shape) > rank
        and axes == tuple(range(len(shape) - rank, len(shape)))
        and shape[-rank - 1] == source.c
    )


def _forms(plan: Planner, step: Step) -> tuple[list[Read], Form]:
    if not _whole_picture(plan, step):
        return plain_forms(plan, step)
    out = flat(plan.nodes[step.output].shape)
    return [(step.inputs[0], plan.native[step.inputs[0]], NO_BORDER)], out


@op("reduce", forms=_forms)
def _reduce(plan: Planner, step: Step) -> None:
    """Adjacent axes at a time, from the last to the first."""
    n, kind = step.node, step.node.attrs["kind"]
    (source,) = plan.sources(step)
    if _whole_picture(plan, step):
        form = step.reads[0][1]
        target = plan.target(step, Form(form.items, form.c, 1, 1, 1))
        ints = adaptive("avg" if kind == "mean" else kind)
        plan.emit(step, "pool", [source, target], ints, what=f"{kind} of the picture")
        return
    shape = list(plan.nodes[n.inputs[0]].shape)
    runs: list[list[int]] = []
    for a in sorted(n.attrs["axes"], reverse=True):
        if runs and runs[-1][0] == a + 1:
            runs[-1][0] = a
        else:
            runs.append([a, a])
    reals = (n.attrs["correction"],)
    for i, (first, last) in enumerate(runs):
        outer, count, inner = (
            int(np.prod(part, dtype=np.int64))
            for part in (shape[:first], shape[first : last + 1], shape[last + 1 :])
        )
        target = plan.target(step) if i + 1 == len(runs) else plan.scratch(outer * inner)
        ints = (_KINDS[kind], outer, count, inner)
        plan.emit(step, "reduce", [source, target], ints, reals, what=kind)
        source = target
        del shape[first : last + 1]


max = whole(Reduce.max)
mean = whole(Reduce.mean)
min = whole(Reduce.min)
std = whole(Reduce.std)
sum = whole(Reduce.sum)
var = whole(Reduce.var)
