"""Normalisations: by stored statistics, and along rows."""

import numpy as np

from ..._typing import F32, Array, ArrayLike
from ...errors import LayoutError
from .._builder import Builder
from .._call import apply, function, numbers
from .._compile import Planner
from .._graph import Tensor, array
from .._op import LANES, NO_BORDER, Form, Read, Step, op, picture

__all__ = ["batch_norm", "layer_norm"]


class Norm(Builder):
    def batch_norm(
        self,
        x: Tensor,
        weight: ArrayLike | None,
        bias: ArrayLike | None,
        mean: ArrayLike,
        var: ArrayLike,
        eps: float = 1e-5,
        *,
        axis: int | None = None,
        name=None,
    ) -> Tensor:
        """Normalise each channel by stored statistics: ``(x - mean) / sqrt(var + eps) * weight +
        bias``.

        Parameters
        ----------
        weight, bias : array_like, shape (channels,), or None
            None: ones, zeros.
        axis : int, optional
            The channel axis. Default: the one of the convolution or input that ``x`` comes from;
            the last for features.
        """
        name, where, node = self._begin("batch_norm", name, x)
        rank = node.rank if axis is None else len(node.shape) - 1 - axis % len(node.shape)
        channels = node.shape[-rank - 1]
        w = {
            "weight": self._vector(where, "weight", weight, channels, 1.0),
            "bias": self._vector(where, "bias", bias, channels, 0.0),
            "mean": array(where, "mean", mean, (channels,)),
            "var": array(where, "var", var, (channels,)),
        }
        return self._add("batch_norm", (x,), node.shape, name, rank, {"eps": float(eps)}, w)

    def layer_norm(
        self,
        x: Tensor,
        weight: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        eps: float = 1e-5,
        *,
        name=None,
    ) -> Tensor:
        """Normalise the last axis to zero mean and unit deviation, then ``* weight + bias``."""
        name, where, node = self._begin("layer_norm", name, x)
        n = node.shape[-1]
        w = {
            "weight": self._vector(where, "weight", weight, n, 1.0),
            "bias": self._vector(where, "bias", bias, n, 0.0),
        }
        return self._add("layer_norm", (x,), node.shape, name, attrs={"eps": float(eps)}, weights=w)


def _batch_norm_forms(plan: Planner, step: Step) -> tuple[list[Read], Form]:
    n = step.node
    form = plan.native[step.inputs[0]]
    if form.lanes != LANES or plan.reshaped(step):
        form = (
            picture(n.shape, n.rank, 1)
            if n.rank
            else Form(int(np.prod(n.shape[:-1], dtype=np.int64)), n.shape[-1], 1, 1, 1)
        )
    return [(step.inputs[0], form, NO_BORDER)], form


@op("batch_norm", forms=_batch_norm_forms, activates=True)
def _batch_norm(plan: Planner, step: Step) -> None:
    """On its own; behind a convolution or linear layer it goes into the weights."""
    w = step.node.weights
    scale = w["weight"].astype(np.float64) / np.sqrt(
        w["var"].astype(np.float64) + step.node.attrs["eps"]
    )
    arrays = (scale.astype(np.float32), (w["bias"] - w["mean"] * scale).astype(np.float32))
    bufs = [*plan.sources(step), plan.target(step)]
    plan.emit(step, "affine", bufs, plan.act(step), (step.slope,), arrays, what="scale and shift")


@op("layer_norm")
def _layer_norm(plan: Planner, step: Step) -> None:
    n = step.node
    bufs = [*plan.sources(step), plan.target(step)]
    ints = (step.out.w // n.shape[-1], n.shape[-1])
    arrays = (n.weights["weight"], n.weights["bias"])
    plan.emit(step, "layer_norm", bufs, ints, (n.attrs["eps"],), arrays, what="rows")


def batch_norm(
    x: ArrayLike,
    running_mean: ArrayLike,
    running_var: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: float = 1e-5,
    *,
    out: Array | None = None,
    threads: int | None = None,
) -> F32:
    """``(x - mean) / sqrt(var + eps) * weight + bias`` per channel, as PyTorch's in evaluation.

    Parameters
    ----------
    x : array_like, shape (n, c, ...)
    running_mean, running_var, weight, bias : array_like, shape (c,)
    out, threads
        As :func:`conv1d`.
    """
    a = numbers("batch_norm", x)
    if a.ndim < 2:
        raise LayoutError(f"batch_norm: x must have axes (n, channels, ...), got shape {a.shape}")
    return apply(
        "batch_norm",
        a,
        a.ndim - 1,
        lambda p, t: p.batch_norm(
            t, weight, bias, running_mean, running_var, eps, axis=0, name="batch_norm"
        ),
        out,
        threads,
    )


layer_norm = function(Norm.layer_norm, axes=1)
