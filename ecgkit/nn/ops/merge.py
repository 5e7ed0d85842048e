"""The end of a residual block with squeeze and excite: product, shortcut, sum and the activation
that the next block begins with, in one pass over memory. No builder call makes it: it is what
:mod:`ecgkit.nn._shortcuts` finds in a graph."""

from .._compile import Planner
from .._graph import ACTIVATIONS
from .._op import LANES, NO_BORDER, OPS, Form, Op, Read, Step, flat, op, picture

__all__: list[str] = []

OPS["merge_twin"] = Op(side=True)


def _forms(plan: Planner, step: Step) -> tuple[list[Read], Form]:
    n = step.node
    h, factor, source = step.inputs
    out = picture(n.shape, n.rank, LANES)
    twin = plan.sides.get((n.index, "merge_twin"))
    if twin is not None:
        plan.native[twin] = out
    shape = plan.nodes[n.inputs[2]].shape
    reads: list[Read] = [
        (h, out, NO_BORDER),
        (factor, flat(plan.nodes[factor].shape), NO_BORDER),
        (source, picture(shape, n.rank, LANES), NO_BORDER),
    ]
    return reads, out


@op("merge", forms=_forms, activates=True)
def _merge(plan: Planner, step: Step) -> None:
    a = step.node.attrs
    twin = plan.side(step.node.index, "merge_twin")
    bufs = [*plan.sources(step), plan.target(step)] + ([] if twin is None else [twin])
    ints = (int(a["pool"]), a["before"], *plan.act(step), ACTIVATIONS[a["act"]])
    what = "excite, pooled shortcut" if a["pool"] else "excite, shortcut"
    plan.emit(step, "merge", bufs, ints, (step.slope, a["slope"]), what=what)
