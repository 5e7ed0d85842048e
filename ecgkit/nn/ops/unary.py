"""Functions of single numbers that stand on their own too seldom to be fused."""

from ..._typing import ArrayLike
from ...errors import LayoutError
from .._builder import Builder
from .._call import elementwise, function
from .._compile import Planner
from .._graph import Tensor, array
from .._op import Step, op
from .activation import Activation, pointwise_forms
from .arithmetic import Arithmetic

__all__ = [
    "abs",
    "clamp",
    "cos",
    "elu",
    "erf",
    "exp",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "log",
    "mish",
    "neg",
    "prelu",
    "reciprocal",
    "rsqrt",
    "selu",
    "sin",
    "softplus",
    "sqrt",
    "square",
]

_KINDS = (  # as numbered in C
    *("clamp", "sqrt", "rsqrt", "log", "abs", "neg", "reciprocal", "square", "sin", "cos", "erf"),
    *("elu", "selu", "softplus", "mish", "hardsigmoid", "hardswish"),
)
_INFINITY = float("inf")


class Unary(Activation, Arithmetic, Builder):
    def _unary(self, kind: str, x: Tensor, name, a: float = 0.0, b: float = 0.0) -> Tensor:
        name, _, node = self._begin(kind, name, x)
        attrs = {"kind": kind, "reals": (float(a), float(b))}
        return self._add("unary", (x,), node.shape, name, node.rank, attrs)

    def clamp(
        self, x: Tensor, min: float | None = None, max: float | None = None, *, name=None
    ) -> Tensor:
        """``x`` moved into ``min..max``; None: no bound. NaN stays."""
        low, high = -_INFINITY if min is None else min, _INFINITY if max is None else max
        return self._unary("clamp", x, name, low, high)

    def hardtanh(
        self, x: Tensor, min_val: float = -1.0, max_val: float = 1.0, *, name=None
    ) -> Tensor:
        """``x`` moved into ``min_val..max_val``."""
        return self._unary("clamp", x, name, min_val, max_val)

    def exp(self, x: Tensor, *, name=None) -> Tensor:
        """The exponential."""
        return self.activation(x, "exp", name=name)

    def sqrt(self, x: Tensor, *, name=None) -> Tensor:
        """The square root; NaN below zero."""
        return self._unary("sqrt", x, name)

    def rsqrt(self, x: Tensor, *, name=None) -> Tensor:
        """1 / sqrt(x)"""
        return self._unary("rsqrt", x, name)

    def log(self, x: Tensor, *, name=None) -> Tensor:
        """The natural logarithm."""
        return self._unary("log", x, name)

    def abs(self, x: Tensor, *, name=None) -> Tensor:
        """The absolute value."""
        return self._unary("abs", x, name)

    def neg(self, x: Tensor, *, name=None) -> Tensor:
        """-x"""
        return self._unary("neg", x, name)

    def reciprocal(self, x: Tensor, *, name=None) -> Tensor:
        """1 / x"""
        return self._unary("reciprocal", x, name)

    def square(self, x: Tensor, *, name=None) -> Tensor:
        """x * x"""
        return self._unary("square", x, name)

    def sin(self, x: Tensor, *, name=None) -> Tensor:
        """The sine of radians."""
        return self._unary("sin", x, name)

    def cos(self, x: Tensor, *, name=None) -> Tensor:
        """The cosine of radians."""
        return self._unary("cos", x, name)

    def erf(self, x: Tensor, *, name=None) -> Tensor:
        """The error function."""
        return self._unary("erf", x, name)

    def elu(self, x: Tensor, alpha: float = 1.0, *, name=None) -> Tensor:
        """x where positive, ``alpha * (exp(x) - 1)`` elsewhere."""
        return self._unary("elu", x, name, alpha)

    def selu(self, x: Tensor, *, name=None) -> Tensor:
        """The self-normalising elu, with its published constants."""
        return self._unary("selu", x, name, 1.6732632423543772, 1.0507009873554805)

    def softplus(
        self, x: Tensor, beta: float = 1.0, threshold: float = 20.0, *, name=None
    ) -> Tensor:
        """``log(1 + exp(beta * x)) / beta``; x itself where ``beta * x`` passes ``threshold``."""
        return self._unary("softplus", x, name, beta, threshold)

    def mish(self, x: Tensor, *, name=None) -> Tensor:
        """x * tanh(softplus(x))"""
        return self._unary("mish", x, name)

    def hardsigmoid(self, x: Tensor, *, name=None) -> Tensor:
        """clamp(x + 3, 0, 6) / 6"""
        return self._unary("hardsigmoid", x, name)

    def hardswish(self, x: Tensor, *, name=None) -> Tensor:
        """x * clamp(x + 3, 0, 6) / 6"""
        return self._unary("hardswish", x, name)

    def prelu(self, x: Tensor, weight: ArrayLike, *, name=None) -> Tensor:
        """x where positive, ``weight * x`` elsewhere.

        Parameters
        ----------
        weight : array_like, shape (1,) or (channels,)
            Channels are the axis of the convolution or input that ``x`` comes from.
        """
        name, where, node = self._begin("prelu", name, x)
        w = array(where, "weight", weight, (None,))
        if w.size == 1:
            return self.leaky_relu(x, float(w[0]), name=name)
        channels = node.shape[len(node.shape) - 1 - node.rank] if node.shape else 1
        if w.size != channels:
            raise LayoutError(
                f"{where}: weight has {w.size} entries, x has {channels} channels (shape "
                f"{node.shape})"
            )
        below = self.multiply(self.minimum(x, 0.0), w.reshape(-1, *[1] * node.rank))
        return self.add(self.relu(x), below, name=name)


@op("unary", forms=pointwise_forms)
def _unary(plan: Planner, step: Step) -> None:
    kind = step.node.attrs["kind"]
    bufs = [*plan.sources(step), plan.target(step)]
    ints = (_KINDS.index(kind),)
    plan.emit(step, "unary", bufs, ints, step.node.attrs["reals"], what=kind)


abs = elementwise(Unary.abs)
clamp = elementwise(Unary.clamp)
cos = elementwise(Unary.cos)
elu = elementwise(Unary.elu)
erf = elementwise(Unary.erf)
exp = elementwise(Unary.exp)
hardsigmoid = elementwise(Unary.hardsigmoid)
hardswish = elementwise(Unary.hardswish)
hardtanh = elementwise(Unary.hardtanh)
log = elementwise(Unary.log)
mish = elementwise(Unary.mish)
neg = elementwise(Unary.neg)
reciprocal = elementwise(Unary.reciprocal)
rsqrt = elementwise(Unary.rsqrt)
selu = elementwise(Unary.selu)
sin = elementwise(Unary.sin)
softplus = elementwise(Unary.softplus)
sqrt = elementwise(Unary.sqrt)
square = elementwise(Unary.square)
prelu = function(Unary.prelu)
