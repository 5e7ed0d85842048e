"""Elementwise arithmetic between tensors, and between tensors and constants, with broadcasting."""

from typing import Any

import numpy as np

from ..._typing import F32, ArrayLike
from ...errors import LayoutError
from .._builder import Builder
from .._call import whole
from .._compile import Planner
from .._graph import Node, Tensor, array
from .._op import LANES, NO_BORDER, Form, Read, Step, flat, op, plain_forms
from .activation import pointwise_forms

__all__ = [
    "add",
    "div",
    "divide",
    "maximum",
    "minimum",
    "mul",
    "multiply",
    "pow",
    "sub",
    "subtract",
]

_KINDS = {"add": 0, "multiply": 1, "subtract": 2, "divide": 3, "pow": 4, "minimum": 5, "maximum": 6}
Operand = Tensor | ArrayLike


class Arithmetic(Builder):
    """``a`` and ``b`` are tensors or constants (numbers or arrays), at least one a tensor. Shapes
    are those of one sample and broadcast as NumPy's."""

    def _binary(self, kind: str, a: Operand, b: Operand, name) -> Tensor:
        name = self._name(kind, name)
        where = self._where(name)
        given = [t for t in (a, b) if isinstance(t, Tensor)]
        if not given:
            raise TypeError(
                f"{where}: wanted at least one tensor of this program, got "
                f"{type(a).__name__} and {type(b).__name__}"
            )
        nodes = [self._node(where, t) for t in given]
        sides: list[Node | F32] = [
            self._node(where, t) if isinstance(t, Tensor) else array(where, "constant", t)
            for t in (a, b)
        ]
        try:
            shape = np.broadcast_shapes(*(s.shape for s in sides))
        except ValueError:
            raise LayoutError(
                f"{where}: shapes {sides[0].shape} and {sides[1].shape} do not broadcast"
            ) from None
        rank = max([n.rank for n in nodes if n.shape == shape], default=0)
        attrs: dict[str, Any] = {"kind": kind}
        if len(given) == 2 and nodes[0].shape == nodes[1].shape:
            return self._add("binary", given, shape, name, rank, attrs)
        attrs["strides"] = [strides_of(s.shape, shape) for s in sides]
        attrs["constant"] = [not isinstance(t, Tensor) for t in (a, b)]
        held = [s for s in sides if isinstance(s, np.ndarray)]
        weights = {"constant": held[0]} if held else {}
        return self._add("broadcast", given, shape, name, rank, attrs, weights)

    def add(self, a: Operand, b: Operand, *, name=None) -> Tensor:
        """a + b, broadcast. Of equal shapes, behind a convolution or linear layer, it costs
        nothing extra."""
        return self._binary("add", a, b, name)

    def multiply(self, a: Operand, b: Operand, *, name=None) -> Tensor:
        """a * b, broadcast."""
        return self._binary("multiply", a, b, name)

    def subtract(self, a: Operand, b: Operand, *, name=None) -> Tensor:
        """a - b, broadcast."""
        return self._binary("subtract", a, b, name)

    def divide(self, a: Operand, b: Operand, *, name=None) -> Tensor:
        """a / b, broadcast."""
        return self._binary("divide", a, b, name)

    def pow(self, a: Operand, b: Operand, *, name=None) -> Tensor:
        """a to the power b, broadcast."""
        return self._binary("pow", a, b, name)

    def minimum(self, a: Operand, b: Operand, *, name=None) -> Tensor:
        """The smaller of a and b, broadcast; NaN wins."""
        return self._binary("minimum", a, b, name)

    def maximum(self, a: Operand, b: Operand, *, name=None) -> Tensor:
        """The larger of a and b, broadcast; NaN wins."""
        return self._binary("maximum", a, b, name)

    mul, sub, div = multiply, subtract, divide


def strides_of(shape: tuple[int, ...], out: tuple[int, ...]) -> tuple[int, ...]:
    """Floats between neighbours along each axis of ``out``; 0 where the operand repeats."""
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step if n > 1 else 0)
        step *= n
    strides += [0] * (len(out) - len(shape))
    return tuple(reversed(strides))


def _merged(shape: tuple[int, ...], strides: list[tuple[int, ...]]) -> tuple[list, list[list]]:
    """Fewer axes over the same memory: ones dropped, neighbours that lie one after the other
    joined, but for the first, along which threads share the work."""
    axes: list[list] = []
    for i, n in enumerate(shape):
        if n == 1:
            continue
        here = [n, *(s[i] for s in strides)]
        if len(axes) > 1 and all(a == b * n for a, b in zip(axes[-1][1:], here[1:])):
            axes[-1] = [axes[-1][0] * n, *here[1:]]
        else:
            axes.append(here)
    axes = axes or [[1] + [0] * len(strides)]
    return [a[0] for a in axes], [[a[k + 1] for a in axes] for k in range(len(strides))]


@op("binary", forms=pointwise_forms, activates=True)
def _binary(plan: Planner, step: Step) -> None:
    kind = step.node.attrs["kind"]
    bufs = [*plan.sources(step), plan.target(step)]
    plan.emit(step, "binary", bufs, (_KINDS[kind], *plan.act(step)), (step.slope,), what=kind)


def _gate(plan: Planner, step: Step) -> int | None:
    """Which input is the picture, where the other holds one number per channel of it."""
    n = step.node
    if n.attrs["kind"] not in ("add", "multiply") or len(n.inputs) != 2 or plan.reshaped(step):
        return None
    for i in (0, 1):
        x, other = (plan.nodes[n.inputs[k]] for k in (i, 1 - i))
        form = plan.native[step.inputs[i]]
        spatial = 1 if x.rank == 1 else 2
        per_channel = (*x.shape[:-spatial], *(1,) * spatial)
        if form.lanes == LANES and x.rank and x.shape == n.shape and other.shape == per_channel:
            return i
    return None


def _broadcast_forms(plan: Planner, step: Step) -> tuple[list[Read], Form]:
    picture = _gate(plan, step)
    if picture is None:
        return plain_forms(plan, step)
    form = plan.native[step.inputs[picture]]
    reads: list[Read] = [
        (v, form if i == picture else flat(plan.nodes[v].shape), NO_BORDER)
        for i, v in enumerate(step.inputs)
    ]
    return reads, form


@op("broadcast", forms=_broadcast_forms, activates=True)
def _broadcast(plan: Planner, step: Step) -> None:
    n, kind = step.node, step.node.attrs["kind"]
    sources = plan.sources(step)
    if step.out.lanes == LANES:
        if step.reads[0][1].lanes != LANES:
            sources.reverse()
        ints: tuple[int, ...] = (_KINDS[kind], *plan.act(step))
        bufs = [*sources, plan.target(step)]
        plan.emit(step, "gate", bufs, ints, (step.slope,), what=f"{kind} per channel")
        return
    shape, strides = _merged(n.shape, n.attrs["strides"])
    ints = (_KINDS[kind], *plan.act(step), *shape, *strides[0], *strides[1])
    sides: list[int | None] = [
        None if constant else sources.pop(0) for constant in n.attrs["constant"]
    ]
    arrays = tuple(n.weights.values())
    plan.emit(
        step,
        "broadcast",
        [*sides, plan.target(step)],
        ints,
        (step.slope,),
        arrays,
        what=f"{kind}, broadcast",
    )


add = whole(Arithmetic.add)
multiply = mul = whole(Arithmetic.multiply)
subtract = sub = whole(Arithmetic.subtract)
divide = div = whole(Arithmetic.divide)
pow = whole(Arithmetic.pow)
minimum = whole(Arithmetic.minimum)
maximum = whole(Arithmetic.maximum)
