"""Elementwise arithmetic between tensors."""

from ...errors import LayoutError
from .._builder import Builder
from .._compile import Planner
from .._graph import Tensor
from .._op import Step, op
from .activation import pointwise_forms

__all__: list[str] = []

_KINDS = {"add": 0, "multiply": 1, "subtract": 2}


class Arithmetic(Builder):
    def _binary(self, kind: str, a: Tensor, b: Tensor, name) -> Tensor:
        name, where, x = self._begin(kind, name, a)
        y = self._node(where, b)
        if x.shape != y.shape:
            raise LayoutError(f"{where}: shapes {x.shape} and {y.shape} differ")
        return self._add("binary", (a, b), x.shape, name, max(x.rank, y.rank), {"kind": kind})

    def add(self, a: Tensor, b: Tensor, *, name=None) -> Tensor:
        """a + b, equal shapes. After a convolution or linear layer it costs nothing extra."""
        return self._binary("add", a, b, name)

    def multiply(self, a: Tensor, b: Tensor, *, name=None) -> Tensor:
        """a * b, equal shapes."""
        return self._binary("multiply", a, b, name)

    def subtract(self, a: Tensor, b: Tensor, *, name=None) -> Tensor:
        """a - b, equal shapes."""
        return self._binary("subtract", a, b, name)


@op("binary", forms=pointwise_forms, activates=True)
def _binary(plan: Planner, step: Step) -> None:
    kind = step.node.attrs["kind"]
    bufs = [*plan.sources(step), plan.target(step)]
    plan.emit(step, "binary", bufs, (_KINDS[kind], *plan.act(step)), (step.slope,), what=kind)
