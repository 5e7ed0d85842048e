"""Normalisations: by stored statistics, and along rows."""

import numpy as np

from ..._typing import F32, Array, ArrayLike
from ...errors import LayoutError, WeightsError
from .._call import apply, function, numbers
from .._compile import Planner
from .._graph import Node, Tensor, array
from .._op import LANES, NO_BORDER, Form, Read, Step, op, picture
from .shape import Shape

__all__ = ["batch_norm", "group_norm", "instance_norm", "layer_norm", "rms_norm"]


class Norm(Shape):
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
        """Normalise the last axis to zero mean and unit deviation, then ``* weight + bias``.

        Parameters
        ----------
        weight, bias : array_like, optional
            Of the last axis' length; a weight of several axes normalises over as many.
        """
        name, where, node = self._begin("layer_norm", name, x)
        axes = max(1, np.ndim(weight)) if weight is not None else 1
        if axes > 1:
            w, b = self._affine(where, node, axes, weight, bias)
            rows = self.reshape(x, (*node.shape[:-axes], w.size))
            y = self.layer_norm(rows, w.reshape(-1), b.reshape(-1), eps)
            return self.reshape(y, node.shape, name=name)
        if not node.shape:
            raise LayoutError(f"{where}: a sample must have at least one axis (..., features)")
        n = node.shape[-1]
        weights = {
            "weight": self._vector(where, "weight", weight, n, 1.0),
            "bias": self._vector(where, "bias", bias, n, 0.0),
        }
        return self._add(
            "layer_norm", (x,), node.shape, name, attrs={"eps": float(eps)}, weights=weights
        )

    @staticmethod
    def _affine(where: str, node: Node, axes: int, weight, bias) -> tuple[F32, F32]:
        """Scale and shift over the last ``axes`` axes."""
        shape = node.shape[len(node.shape) - axes :]
        if len(shape) != axes:
            raise LayoutError(f"{where}: a sample must have at least {axes} axes, got {node.shape}")
        return (
            np.ones(shape, np.float32) if weight is None else array(where, "weight", weight, shape),
            np.zeros(shape, np.float32) if bias is None else array(where, "bias", bias, shape),
        )

    def rms_norm(
        self, x: Tensor, weight: ArrayLike | None = None, eps: float | None = None, *, name=None
    ) -> Tensor:
        """Divide by the root of the mean square along the last axis, then ``* weight``.

        Parameters
        ----------
        weight : array_like, optional
            Of the last axis' length; a weight of several axes normalises over as many.
        eps : float, optional
            Added to the mean square. Default: float32's, as PyTorch.
        """
        name, where, node = self._begin("rms_norm", name, x)
        axes = max(1, np.ndim(weight)) if weight is not None else 1
        w, b = self._affine(where, node, axes, weight, None)
        rows = int(np.prod(node.shape, dtype=np.int64)) // w.size
        attrs = {
            "ints": (rows, 1, w.size, 1, 0),
            "eps": float(np.finfo(np.float32).eps if eps is None else eps),
        }
        weights = {"weight": w.reshape(-1), "bias": b.reshape(-1)}
        return self._add("group_norm", (x,), node.shape, name, node.rank, attrs, weights)

    def group_norm(
        self,
        x: Tensor,
        num_groups: int,
        weight: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        eps: float = 1e-5,
        *,
        axis: int | None = None,
        name=None,
    ) -> Tensor:
        """Normalise groups of channels, all positions together, to zero mean and unit deviation,
        then ``* weight + bias`` per channel.

        Parameters
        ----------
        num_groups : int
            Divides the channels.
        weight, bias : array_like, shape (channels,), optional
        axis : int, optional
            The channel axis. Default: the one of the convolution or input that ``x`` comes from.
        """
        name, where, node = self._begin("group_norm", name, x)
        at = len(node.shape) - 1 - node.rank if axis is None else self._axis(where, node, axis)
        channels = node.shape[at]
        if num_groups < 1 or channels % num_groups:
            raise WeightsError(
                f"{where}: {channels} channels (axis {at} of {node.shape}) do not divide into "
                f"{num_groups} groups"
            )
        outer, inner = (
            int(np.prod(part, dtype=np.int64)) for part in (node.shape[:at], node.shape[at + 1 :])
        )
        attrs = {
            "ints": (outer * num_groups, num_groups, channels // num_groups, inner, 1),
            "eps": float(eps),
        }
        weights = {
            "weight": self._vector(where, "weight", weight, channels, 1.0),
            "bias": self._vector(where, "bias", bias, channels, 0.0),
        }
        return self._add("group_norm", (x,), node.shape, name, node.rank, attrs, weights)

    def instance_norm(
        self,
        x: Tensor,
        weight: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        eps: float = 1e-5,
        *,
        axis: int | None = None,
        name=None,
    ) -> Tensor:
        """Normalise every channel of every sample by its own statistics: :meth:`group_norm` with
        as many groups as channels."""
        name, where, node = self._begin("instance_norm", name, x)
        at = len(node.shape) - 1 - node.rank if axis is None else self._axis(where, node, axis)
        return self.group_norm(x, node.shape[at], weight, bias, eps, axis=at, name=name)


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


@op("group_norm")
def _group_norm(plan: Planner, step: Step) -> None:
    n = step.node
    bufs = [*plan.sources(step), plan.target(step)]
    arrays = (n.weights["weight"], n.weights["bias"])
    plan.emit(step, "group_norm", bufs, n.attrs["ints"], (n.attrs["eps"],), arrays, what="groups")


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


group_norm = function(Norm.group_norm, axis=0)
instance_norm = function(Norm.instance_norm, axis=0)
layer_norm = function(Norm.layer_norm)
rms_norm = function(Norm.rms_norm)
