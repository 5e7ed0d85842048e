"""Softmax along an axis."""

import numpy as np

from ..._typing import F32, Array, ArrayLike
from ...errors import LayoutError
from .._call import apply, numbers
from .._compile import Planner
from .._graph import Tensor
from .._op import Step, op
from .shape import Shape

__all__ = ["softmax"]


class Softmax(Shape):
    def softmax(self, x: Tensor, axis: int = -1, *, name=None) -> Tensor:
        """exp(x) over its sum along one axis."""
        nd = len(x.shape)
        if nd and axis % nd != nd - 1:
            order = [*(i for i in range(nd) if i != axis % nd), axis % nd]
            back = tuple(int(i) for i in np.argsort(order))
            return self.transpose(self.softmax(self.transpose(x, order)), back, name=name)
        name, _, node = self._begin("softmax", name, x)
        return self._add("softmax", (x,), node.shape, name)


@op("softmax")
def _softmax(plan: Planner, step: Step) -> None:
    length = step.node.shape[-1]
    bufs = [*plan.sources(step), plan.target(step)]
    plan.emit(step, "softmax", bufs, (step.out.w // length, length), what="rows")


def softmax(
    x: ArrayLike, axis: int = -1, *, out: Array | None = None, threads: int | None = None
) -> F32:
    """``exp(x)`` over its sum along an axis.

    Parameters
    ----------
    x : array_like
    axis : int
        Any axis of ``x``.
    out, threads
        As :func:`conv1d`.
    """
    a = numbers("softmax", x)
    if not -a.ndim <= axis < a.ndim:
        raise LayoutError(f"softmax: axis {axis} is outside shape {a.shape}")
    axis %= a.ndim
    return apply(
        "softmax", a, a.ndim - axis, lambda p, t: p.softmax(t, 0, name="softmax"), out, threads
    )
