"""Activations: each behind a convolution, linear layer, norm or sum runs inside its kernel."""

from .._builder import Builder
from .._call import elementwise
from .._compile import Planner
from .._graph import ACTIVATIONS, Tensor
from .._op import LANES, NO_BORDER, Form, Read, Step, flat, op

__all__ = ["gelu", "leaky_relu", "relu", "relu6", "sigmoid", "silu", "tanh"]


class Activation(Builder):
    def activation(self, x: Tensor, kind: str, *, slope: float = 0.01, name=None) -> Tensor:
        """``relu relu6 sigmoid tanh silu gelu gelu_tanh leaky_relu exp``, by name."""
        if kind not in ACTIVATIONS:
            raise ValueError(
                f"{self.name}: activation must be one of {', '.join(ACTIVATIONS)}; got {kind!r}"
            )
        name, _, node = self._begin(kind, name, x)
        attrs = {"kind": kind, "slope": float(slope)}
        return self._add("act", (x,), node.shape, name, node.rank, attrs)

    def relu(self, x: Tensor, *, name=None) -> Tensor:
        """max(x, 0)"""
        return self.activation(x, "relu", name=name)

    def relu6(self, x: Tensor, *, name=None) -> Tensor:
        """min(max(x, 0), 6)"""
        return self.activation(x, "relu6", name=name)

    def sigmoid(self, x: Tensor, *, name=None) -> Tensor:
        """1 / (1 + exp(-x))"""
        return self.activation(x, "sigmoid", name=name)

    def tanh(self, x: Tensor, *, name=None) -> Tensor:
        """Hyperbolic tangent."""
        return self.activation(x, "tanh", name=name)

    def silu(self, x: Tensor, *, name=None) -> Tensor:
        """x * sigmoid(x)"""
        return self.activation(x, "silu", name=name)

    def gelu(self, x: Tensor, approximate: str = "none", *, name=None) -> Tensor:
        """x * Phi(x); ``approximate="tanh"`` for the tanh form."""
        if approximate not in ("none", "tanh"):
            raise ValueError(
                f"{self.name}: approximate must be 'none' or 'tanh', got {approximate!r}"
            )
        return self.activation(x, "gelu" if approximate == "none" else "gelu_tanh", name=name)

    def leaky_relu(self, x: Tensor, negative_slope: float = 0.01, *, name=None) -> Tensor:
        """x where positive, ``negative_slope * x`` elsewhere."""
        return self.activation(x, "leaky_relu", slope=negative_slope, name=name)


def pointwise_forms(plan: Planner, step: Step) -> tuple[list[Read], Form]:
    """As the inputs lie where they all lie alike, else plain memory."""
    native = {plan.native[i] for i in step.inputs}
    first = next(iter(native))
    if len(native) > 1 or first.lanes != LANES or plan.reshaped(step):
        first = flat(step.node.shape)
    return [(i, first, NO_BORDER) for i in step.inputs], first


@op("act", forms=pointwise_forms)
def _act(plan: Planner, step: Step) -> None:
    bufs = [*plan.sources(step), plan.target(step)]
    plan.emit(step, "act", bufs, plan.act(step), (step.slope,), what=step.act)


relu = elementwise(Activation.relu)
relu6 = elementwise(Activation.relu6)
sigmoid = elementwise(Activation.sigmoid)
tanh = elementwise(Activation.tanh)
silu = elementwise(Activation.silu)
gelu = elementwise(Activation.gelu)
leaky_relu = elementwise(Activation.leaky_relu)
