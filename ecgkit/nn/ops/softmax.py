"""Softmax and its logarithm along an axis."""

import numpy as np

from ...errors import LayoutError
from .._call import whole
from .._compile import Planner
from .._graph import Tensor
from .._op import Step, op
from .shape import Shape

__all__ = ["log_softmax", "softmax"]


class Softmax(Shape):
    def _softmax(self, kind: str, x: Tensor, axis: int, name) -> Tensor:
        name, where, node = self._begin(kind, name, x)
        nd = len(node.shape)
        if not -nd <= axis < nd:
            raise LayoutError(f"{where}: axis {axis} is outside shape {node.shape}")
        if axis % nd != nd - 1:
            order = [*(i for i in range(nd) if i != axis % nd), axis % nd]
            back = tuple(int(i) for i in np.argsort(order))
            return self.transpose(
                self._softmax(kind, self.transpose(x, order), -1, f"{name}_last"), back, name=name
            )
        return self._add("softmax", (x,), node.shape, name, attrs={"log": kind != "softmax"})

    def softmax(self, x: Tensor, axis: int = -1, *, name=None) -> Tensor:
        """``exp(x)`` over its sum along an axis."""
        return self._softmax("softmax", x, axis, name)

    def log_softmax(self, x: Tensor, axis: int = -1, *, name=None) -> Tensor:
        """The logarithm of :meth:`softmax`, exact where the softmax is too small for float32."""
        return self._softmax("log_softmax", x, axis, name)


@op("softmax")
def _softmax(plan: Planner, step: Step) -> None:
    n, length = step.node, step.node.shape[-1]
    bufs = [*plan.sources(step), plan.target(step)]
    log = int(n.attrs["log"])
    plan.emit(step, "softmax", bufs, (step.out.w // length, length, log), what="rows")


softmax = whole(Softmax.softmax)
log_softmax = whole(Softmax.log_softmax)
