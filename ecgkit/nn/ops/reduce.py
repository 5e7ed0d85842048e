"""Reductions over axes of the sample."""

import numpy as np

from ...errors import LayoutError
from .._builder import Builder
from .._compile import Planner
from .._graph import Tensor
from .._op import LANES, NO_BORDER, Form, Read, Step, flat, op, plain_forms
from .pool import _ADAPTIVE

__all__: list[str] = []

_KINDS = {"mean": 0, "sum": 1, "max": 2}


class Reduce(Builder):
    def _reduce(self, kind: str, x: Tensor, axes, name) -> Tensor:
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
        return self._add("reduce", (x,), shape, name, attrs={"kind": kind, "axes": tuple(gone)})

    def mean(self, x: Tensor, axes=None, *, name=None) -> Tensor:
        """Mean over axes of the sample (all by default); they disappear."""
        return self._reduce("mean", x, axes, name)

    def sum(self, x: Tensor, axes=None, *, name=None) -> Tensor:
        """Sum over axes of the sample (all by default); they disappear."""
        return self._reduce("sum", x, axes, name)

    def max(self, x: Tensor, axes=None, *, name=None) -> Tensor:
        """Maximum over axes of the sample (all by default); they disappear."""
        return self._reduce("max", x, axes, name)


def _global_mean(plan: Planner, step: Step) -> bool:
    """Whether it is the mean of a blocked picture, which is read as it lies."""
    source = plan.native[step.inputs[0]]
    shape = plan.nodes[step.node.inputs[0]].shape
    rank = 1 if source.h == 1 and len(shape) >= 2 and shape[-1] == source.w else 2
    axes = step.node.attrs["axes"]
    return (
        step.node.attrs["kind"] == "mean"
        and source.lanes == LANES
        and not plan.reshaped(step)
        and len(shape) > rank
        and axes == tuple(range(len(shape) - rank, len(shape)))
        and shape[-rank - 1] == source.c
    )


def _forms(plan: Planner, step: Step) -> tuple[list[Read], Form]:
    if not _global_mean(plan, step):
        return plain_forms(plan, step)
    out = flat(plan.nodes[step.output].shape)
    return [(step.inputs[0], plan.native[step.inputs[0]], NO_BORDER)], out


@op("reduce", forms=_forms)
def _reduce(plan: Planner, step: Step) -> None:
    """Adjacent axes at a time, from the last to the first."""
    n, kind = step.node, step.node.attrs["kind"]
    (source,) = plan.sources(step)
    if _global_mean(plan, step):
        form = step.reads[0][1]
        target = plan.target(step, Form(form.items, form.c, 1, 1, 1))
        plan.emit(step, "pool", [source, target], _ADAPTIVE, what="mean of the picture")
        return
    shape = list(plan.nodes[n.inputs[0]].shape)
    runs: list[list[int]] = []
    for a in sorted(n.attrs["axes"], reverse=True):
        if runs and runs[-1][0] == a + 1:
            runs[-1][0] = a
        else:
            runs.append([a, a])
    for i, (first, last) in enumerate(runs):
        outer, count, inner = (
            int(np.prod(part, dtype=np.int64))
            for part in (shape[:first], shape[first : last + 1], shape[last + 1 :])
        )
        target = plan.target(step) if i + 1 == len(runs) else plan.scratch(outer * inner)
        plan.emit(step, "reduce", [source, target], (_KINDS[kind], outer, count, inner), what=kind)
        source = target
        del shape[first : last + 1]
