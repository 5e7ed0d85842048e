"""Linear layers."""

import numpy as np

from ..._typing import F32, Array, ArrayLike
from ...errors import LayoutError
from .._builder import Builder
from .._call import apply, numbers
from .._compile import Planner
from .._graph import Tensor, array
from .._op import Step, op

__all__ = ["linear"]


class Linear(Builder):
    def linear(
        self, x: Tensor, weight: ArrayLike, bias: ArrayLike | None = None, *, name=None
    ) -> Tensor:
        """``x @ weight.T + bias`` over the last axis; ``weight`` (out, in)."""
        name, where, node = self._begin("linear", name, x)
        if not node.shape:
            raise LayoutError(f"{where}: a sample must have at least one axis (..., features)")
        w = array(where, "weight", weight, (None, node.shape[-1]))
        b = self._vector(where, "bias", bias, w.shape[0], 0.0)
        shape = (*node.shape[:-1], w.shape[0])
        return self._add("linear", (x,), shape, name, weights={"weight": w, "bias": b})


@op("linear", activates=True, folds_norm=True, adds=lambda node: True)
def _linear(plan: Planner, step: Step) -> None:
    w = step.weights["weight"]
    rows = int(np.prod(plan.nodes[step.output].shape[:-1], dtype=np.int64))
    source, *residual = plan.sources(step)
    plan.emit(
        step,
        "linear",
        [source, plan.target(step), *residual],
        (rows, *plan.act(step)),
        (step.slope,),
        (w, step.weights["bias"]),
        what="product",
        macs=rows * w.size,
    )


def linear(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    out: Array | None = None,
    threads: int | None = None,
) -> F32:
    """``x @ weight.T + bias``, as ``torch.nn.functional.linear``.

    Parameters
    ----------
    x : array_like, shape (..., in)
    weight : array_like, shape (out, in)
    bias : array_like, shape (out,), optional
    out, threads
        As :func:`conv1d`.

    Returns
    -------
    ndarray, float32, shape (..., out)
    """
    a = numbers("linear", x)
    rows = 2 if a.ndim > 1 and a.shape[-2] else 1  # rows of one sample share a product
    return apply(
        "linear", a, rows, lambda p, t: p.linear(t, weight, bias, name="linear"), out, threads
    )
