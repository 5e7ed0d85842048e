"""What an op of the engine is to the planner: how it reads and writes, what it fuses with, and how
it becomes a step in C. The families in :mod:`ecgkit.nn.ops` register theirs here."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ._graph import Node

if TYPE_CHECKING:
    from ._compile import Planner

LANES = 16  # channels of a block
NO_BORDER = (0, 0, 0, 0)
Border = tuple[int, int, int, int]


@dataclass(frozen=True)
class Form:
    """How a value lies in memory. ``lanes`` 16: channel-blocked picture; 1: plain, a picture only
    if it has a border."""

    items: int
    c: int
    h: int
    w: int
    lanes: int
    bordered: bool = False


def picture(shape: tuple[int, ...], rank: int, lanes: int, bordered: bool = False) -> Form:
    """The last ``rank`` axes are a picture or signal, the one before them channels."""
    items = int(np.prod(shape[: -rank - 1], dtype=np.int64))
    h, w = (1, shape[-1]) if rank == 1 else shape[-2:]
    return Form(items, shape[-rank - 1], h, w, lanes, bordered)


def flat(shape: tuple[int, ...]) -> Form:
    """Plain row-major memory."""
    return Form(1, 1, 1, int(np.prod(shape, dtype=np.int64)), 1)


Read = tuple[int, Form, Border]  # a value, the form it is wanted in, the zeros wanted around it


@dataclass(eq=False)
class Step:
    """A node with what was folded and fused into it; ``reads`` and ``out`` come with the plan."""

    node: Node
    inputs: list[int]
    output: int
    weights: dict = field(default_factory=dict)
    act: str = "none"
    slope: float = 0.0
    residual: int | None = None
    members: list[int] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    out: Form = Form(1, 1, 1, 1, 1)


Forms = Callable[["Planner", Step], tuple[list[Read], Form]]
Emit = Callable[["Planner", Step], None]


def plain_forms(plan: "Planner", step: Step) -> tuple[list[Read], Form]:
    """Everything in plain row-major memory: right for any op that does not say otherwise."""
    out = flat(plan.nodes[step.output].shape)
    reads: list[Read] = [(i, flat(plan.nodes[i].shape), NO_BORDER) for i in step.inputs]
    if step.residual is not None:
        reads.append((step.residual, out, NO_BORDER))
    return reads, out


@dataclass(frozen=True)
class Op:
    """Traits of an op.

    emit : makes its steps in C; None for an op without one (input, reshape, identity, a side).
    forms : the layouts it reads and writes.
    activates : an activation right behind it goes into its kernel.
    folds_norm : a batch norm right behind it goes into its ``weight`` and ``bias``.
    adds : whether its kernel can add a residual to the result, by node.
    side : a further output of the node it reads, written by that node's step.
    """

    emit: Emit | None = None
    forms: Forms = plain_forms
    activates: bool = False
    folds_norm: bool = False
    adds: Callable[[Node], bool] = lambda node: False
    side: bool = False


OPS: dict[str, Op] = {"input": Op(), "reshape": Op(), "identity": Op()}


def op(*names: str, **traits) -> Callable[[Emit], Emit]:
    """Register the decorated emitter under ``names``, with the traits of :class:`Op`."""

    def register(emit: Emit) -> Emit:
        for name in names:
            OPS[name] = Op(emit, **traits)
        return emit

    return register
