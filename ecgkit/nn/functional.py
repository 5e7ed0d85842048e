"""The engine's kernels one by one, on NumPy arrays, with PyTorch's conventions and weight layouts.

Everything is float32 inside and out. Leading axes are batch axes. A call packs its weights anew: a
network that runs more than once belongs in a :class:`ecgkit.nn.Program`, which runs the same
kernels.
"""

from collections.abc import Callable, Mapping

import numpy as np

from .._typing import F32, Array, ArrayLike
from ..errors import LayoutError, WeightsError
from ._graph import Tensor
from .program import Program

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "conv1d",
    "conv2d",
    "gelu",
    "layer_norm",
    "leaky_relu",
    "linear",
    "lstm",
    "max_pool1d",
    "max_pool2d",
    "relu",
    "relu6",
    "sigmoid",
    "silu",
    "softmax",
    "tanh",
]


def _numbers(name: str, x: ArrayLike) -> Array:
    a = np.asarray(x)
    if a.dtype.kind not in "fiu":
        raise TypeError(f"{name}: x must hold real numbers, got dtype {a.dtype}")
    return a


def _apply(
    name: str, x: ArrayLike, axes: int, build: Callable[[Program, Tensor], Tensor], out, threads
) -> F32:
    """Run one layer; the last ``axes`` axes of x are the sample, all before them the batch."""
    a = _numbers(name, x)
    if a.ndim < axes:
        raise LayoutError(f"{name}: x must have at least {axes} axes, got shape {a.shape}")
    lead, sample = a.shape[: a.ndim - axes], a.shape[a.ndim - axes :]
    if 0 in sample:
        raise LayoutError(
            f"{name}: x has an empty axis, shape {a.shape}; only batch axes may be empty"
        )
    p = Program(name)
    y = p.output(build(p, p.input("x", sample)))
    flat = a.reshape(int(np.prod(lead, dtype=np.int64)), *sample)
    shape = (*lead, *y.shape)
    into = None
    if out is not None:
        if not isinstance(out, np.ndarray) or out.shape != shape:
            got = out.shape if isinstance(out, np.ndarray) else type(out).__name__
            raise LayoutError(f"{name}: out must be a float32 array of shape {shape}, got {got}")
        into = out.reshape(len(flat), *y.shape) if out.flags.c_contiguous else out
    got = p.compile()(flat, out=into, threads=threads)
    return got.reshape(shape) if out is None else out


def conv1d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride=1,
    padding=0,
    dilation=1,
    groups: int = 1,
    *,
    out: Array | None = None,
    threads: int | None = None,
) -> F32:
    """Convolution over time, as ``torch.nn.functional.conv1d``.

    Parameters
    ----------
    x : array_like, shape (..., cin, time)
    weight : array_like, shape (cout, cin / groups, k)
    bias : array_like, shape (cout,), optional
    stride, dilation, groups : int
    padding : int, pair ``((before, after),)``, ``"same"`` or ``"valid"``
        Zeros on both sides. ``"same"`` gives ``ceil(time / stride)`` outputs.
    out : ndarray, optional
        float32, C-contiguous, the result's shape.
    threads : int, optional
        Default: the process setting.

    Returns
    -------
    ndarray, float32, shape (..., cout, time_out)

    Raises
    ------
    LayoutError, WeightsError
        Shapes that do not fit.
    """
    return _apply(
        "conv1d",
        x,
        2,
        lambda p, t: p.conv1d(
            t,
            weight,
            bias,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            name="conv1d",
        ),
        out,
        threads,
    )


def conv2d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride=1,
    padding=0,
    dilation=1,
    groups: int = 1,
    *,
    out: Array | None = None,
    threads: int | None = None,
) -> F32:
    """Convolution over height and width, as ``torch.nn.functional.conv2d``.

    Parameters
    ----------
    x : array_like, shape (..., cin, h, w)
    weight : array_like, shape (cout, cin / groups, kh, kw)
    bias : array_like, shape (cout,), optional
    stride, dilation : int or pair
    padding : int, one per axis, ``((top, bottom), (left, right))``, ``"same"`` or ``"valid"``
        ``"same"`` is TensorFlow's: ``ceil(size / stride)`` outputs, the odd zero comes last.
    groups : int
        ``groups == cin`` is a depthwise convolution.
    out, threads
        As :func:`conv1d`.

    Returns
    -------
    ndarray, float32, shape (..., cout, h_out, w_out)
    """
    return _apply(
        "conv2d",
        x,
        3,
        lambda p, t: p.conv2d(
            t,
            weight,
            bias,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            name="conv2d",
        ),
        out,
        threads,
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

    Returns
    -------
    ndarray, float32, shape (..., out)
    """
    a = _numbers("linear", x)
    rows = 2 if a.ndim > 1 and a.shape[-2] else 1  # rows of one sample share a product
    return _apply(
        "linear", a, rows, lambda p, t: p.linear(t, weight, bias, name="linear"), out, threads
    )


def _pool(name: str, rank: int, x, out, threads, *args, **options) -> F32:
    return _apply(
        name,
        x,
        rank + 1,
        lambda p, t: getattr(p, name)(t, *args, name=name, **options),
        out,
        threads,
    )


def max_pool1d(
    x: ArrayLike,
    kernel_size,
    stride=None,
    padding=0,
    dilation=1,
    ceil_mode: bool = False,
    *,
    out: Array | None = None,
    threads: int | None = None,
) -> F32:
    """Largest value per window of time: x (..., c, time). NaN wins; padding never does."""
    return _pool(
        "max_pool1d",
        1,
        x,
        out,
        threads,
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode=ceil_mode,
    )


def max_pool2d(
    x: ArrayLike,
    kernel_size,
    stride=None,
    padding=0,
    dilation=1,
    ceil_mode: bool = False,
    *,
    out: Array | None = None,
    threads: int | None = None,
) -> F32:
    """Largest value per window: x (..., c, h, w). NaN wins; padding never does."""
    return _pool(
        "max_pool2d",
        2,
        x,
        out,
        threads,
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode=ceil_mode,
    )


def avg_pool1d(
    x: ArrayLike,
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    *,
    out: Array | None = None,
    threads: int | None = None,
) -> F32:
    """Mean per window of time: x (..., c, time)."""
    return _pool(
        "avg_pool1d",
        1,
        x,
        out,
        threads,
        kernel_size,
        stride,
        padding,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
    )


def avg_pool2d(
    x: ArrayLike,
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    *,
    out: Array | None = None,
    threads: int | None = None,
) -> F32:
    """Mean per window: x (..., c, h, w)."""
    return _pool(
        "avg_pool2d",
        2,
        x,
        out,
        threads,
        kernel_size,
        stride,
        padding,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
    )


def adaptive_avg_pool1d(
    x: ArrayLike, output_size: int, *, out: Array | None = None, threads: int | None = None
) -> F32:
    """Mean over ``output_size`` nearly equal stretches of time: x (..., c, time)."""
    return _pool("adaptive_avg_pool1d", 1, x, out, threads, output_size)


def adaptive_avg_pool2d(
    x: ArrayLike, output_size, *, out: Array | None = None, threads: int | None = None
) -> F32:
    """Mean over a grid of nearly equal windows: x (..., c, h, w)."""
    return _pool("adaptive_avg_pool2d", 2, x, out, threads, output_size)


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
    """
    a = _numbers("batch_norm", x)
    if a.ndim < 2:
        raise LayoutError(f"batch_norm: x must have axes (n, channels, ...), got shape {a.shape}")
    return _apply(
        "batch_norm",
        a,
        a.ndim - 1,
        lambda p, t: p.batch_norm(
            t, weight, bias, running_mean, running_var, eps, axis=0, name="batch_norm"
        ),
        out,
        threads,
    )


def layer_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: float = 1e-5,
    *,
    out: Array | None = None,
    threads: int | None = None,
) -> F32:
    """Zero mean and unit deviation along the last axis, then ``* weight + bias``."""
    return _apply(
        "layer_norm",
        x,
        1,
        lambda p, t: p.layer_norm(t, weight, bias, eps, name="layer_norm"),
        out,
        threads,
    )


def softmax(
    x: ArrayLike, axis: int = -1, *, out: Array | None = None, threads: int | None = None
) -> F32:
    """``exp(x)`` over its sum along an axis."""
    a = _numbers("softmax", x)
    if not -a.ndim <= axis < a.ndim:
        raise LayoutError(f"softmax: axis {axis} is outside shape {a.shape}")
    axis %= a.ndim
    return _apply(
        "softmax", a, a.ndim - axis, lambda p, t: p.softmax(t, 0, name="softmax"), out, threads
    )


def _elementwise(kind: str, x: ArrayLike, out, threads, slope: float = 0.01) -> F32:
    a = _numbers(kind, x)
    if a.size == 0 or a.ndim == 0:
        return _apply(kind, a, 0, lambda p, t: p.activation(t, kind, slope=slope), out, threads)
    flat_out = out
    if isinstance(out, np.ndarray):
        if out.shape != a.shape:
            raise LayoutError(f"{kind}: out must have shape {a.shape}, got {out.shape}")
        flat_out = out.reshape(-1) if out.flags.c_contiguous else out
    y = _apply(
        kind, a.reshape(-1), 1, lambda p, t: p.activation(t, kind, slope=slope), flat_out, threads
    )
    return y.reshape(a.shape) if out is None else out


def relu(x: ArrayLike, *, out: Array | None = None, threads: int | None = None) -> F32:
    """max(x, 0)"""
    return _elementwise("relu", x, out, threads)


def relu6(x: ArrayLike, *, out: Array | None = None, threads: int | None = None) -> F32:
    """min(max(x, 0), 6)"""
    return _elementwise("relu6", x, out, threads)


def sigmoid(x: ArrayLike, *, out: Array | None = None, threads: int | None = None) -> F32:
    """1 / (1 + exp(-x))"""
    return _elementwise("sigmoid", x, out, threads)


def tanh(x: ArrayLike, *, out: Array | None = None, threads: int | None = None) -> F32:
    """Hyperbolic tangent."""
    return _elementwise("tanh", x, out, threads)


def silu(x: ArrayLike, *, out: Array | None = None, threads: int | None = None) -> F32:
    """x * sigmoid(x)"""
    return _elementwise("silu", x, out, threads)


def gelu(
    x: ArrayLike, approximate: str = "none", *, out: Array | None = None, threads: int | None = None
) -> F32:
    """x * Phi(x); ``approximate="tanh"`` for the tanh form."""
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")
    return _elementwise("gelu" if approximate == "none" else "gelu_tanh", x, out, threads)


def leaky_relu(
    x: ArrayLike,
    negative_slope: float = 0.01,
    *,
    out: Array | None = None,
    threads: int | None = None,
) -> F32:
    """x where positive, ``negative_slope * x`` elsewhere."""
    return _elementwise("leaky_relu", x, out, threads, negative_slope)


def lstm(
    x: ArrayLike,
    weights: Mapping[str, ArrayLike],
    *,
    hidden: int | None = None,
    bidirectional: bool = False,
    num_layers: int = 1,
    h0: ArrayLike | None = None,
    c0: ArrayLike | None = None,
    return_state: bool = False,
    threads: int | None = None,
):
    """LSTM over time, batch first.

    Parameters
    ----------
    x : array_like, shape (n, time, features)
    weights : mapping
        PyTorch's names: ``weight_ih_l0`` (4*hidden, features), ``weight_hh_l0`` (4*hidden, hidden),
        ``bias_ih_l0``, ``bias_hh_l0`` (optional), gates i f g o; ``_reverse`` twins if
        bidirectional; ``_l1``, ... for more layers.
    hidden : int, optional
        Checked against the weights.
    h0, c0 : array_like, shape (num_layers * directions, n, hidden), optional
        Initial state, default zero.
    return_state : bool
        Also return the last state.

    Returns
    -------
    ndarray, float32, shape (n, time, directions * hidden)
        With ``return_state=True``: ``(output, (h, c))``, each state (num_layers * directions, n,
        hidden).
    """
    a = _numbers("lstm", x)
    if a.ndim != 3 or 0 in a.shape[1:]:
        raise LayoutError(f"lstm: x must have shape (n, time, features), got {a.shape}")
    if "weight_hh_l0" not in weights:
        raise WeightsError(
            f"lstm: weight_hh_l0 is missing; got {', '.join(sorted(weights)) or 'nothing'}"
        )
    size = int(np.shape(weights["weight_hh_l0"])[-1])
    state = (num_layers * (2 if bidirectional else 1), size)
    p = Program("lstm")
    t = p.input("x", a.shape[1:])
    inputs, initial = [a], {}
    for key, value in (("h0", h0), ("c0", c0)):
        if value is None:
            continue
        s = _numbers("lstm", value)
        if s.shape != (state[0], len(a), size):
            raise LayoutError(
                f"lstm: {key} must have shape {(state[0], len(a), size)}, got {s.shape}"
            )
        initial[key] = p.input(key, state)
        inputs.append(np.moveaxis(s, 1, 0))
    result = p.lstm(
        t,
        weights,
        hidden=hidden,
        bidirectional=bidirectional,
        num_layers=num_layers,
        name="lstm",
        return_state=return_state,
        **initial,
    )
    for r in result if return_state else (result,):
        p.output(r)
    got = p.compile()(tuple(inputs) if len(inputs) > 1 else a, threads=threads)
    if not return_state:
        return got
    return got[0], tuple(np.ascontiguousarray(np.moveaxis(s, 0, 1)) for s in got[1:])
