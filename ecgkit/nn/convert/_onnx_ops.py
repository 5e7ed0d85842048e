"""ONNX ops as builder calls: arithmetic and shapes. A handler takes the emitter and the node;
:mod:`._onnx_layers` has the ops with weights or windows."""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from ._layers import Layers
from ._value import Refusal, Value, constant

Handler = Callable[[Layers, Any], Any]
TABLE: dict[str, Handler] = {}


def onnx_op(*names: str) -> Callable[[Handler], Handler]:
    """Register a handler for ops of the default operator set."""

    def register(handler: Handler) -> Handler:
        for name in names:
            TABLE[name] = handler
        return handler

    return register


def number(x: float) -> Value:
    """A float as a constant."""
    return constant(np.float32(x))


# ---- functions of single numbers


def _function(kind: str, **attributes: float) -> Handler:
    return lambda e, n: e.function(kind, n[0], *(n.attr(k, d) for k, d in attributes.items()))


for _name, _kind in (
    *(("Relu", "relu"), ("Sigmoid", "sigmoid"), ("Tanh", "tanh"), ("Exp", "exp"), ("Log", "log")),
    *(("Sqrt", "sqrt"), ("Abs", "abs"), ("Neg", "neg"), ("Reciprocal", "reciprocal")),
    *(("Erf", "erf"), ("Sin", "sin"), ("Cos", "cos"), ("Mish", "mish")),
    *(("HardSwish", "hardswish"), ("Softplus", "softplus")),
):
    onnx_op(_name)(_function(_kind))
onnx_op("LeakyRelu")(_function("leaky_relu", alpha=0.01))
onnx_op("Elu")(_function("elu", alpha=1.0))


@onnx_op("Gelu")
def _gelu(e: Layers, n) -> Value:
    return e.function("gelu", n[0], n.attr("approximate", "none"))


@onnx_op("Swish")
def _swish(e: Layers, n) -> Value:
    alpha = n.attr("alpha", 1.0)
    if alpha == 1.0:
        return e.function("silu", n[0])
    gate = e.function("sigmoid", e.binary("multiply", n[0], number(alpha)))
    return e.binary("multiply", n[0], gate)


@onnx_op("Selu")
def _selu(e: Layers, n) -> Value:
    alpha, gamma = n.attr("alpha", 1.6732631921768188), n.attr("gamma", 1.0507010221481323)
    return e.binary("multiply", e.function("elu", n[0], alpha), number(gamma))


@onnx_op("Celu")
def _celu(e: Layers, n) -> Value:
    alpha = number(n.attr("alpha", 1.0))
    return e.binary("multiply", e.function("elu", e.binary("divide", n[0], alpha)), alpha)


@onnx_op("HardSigmoid")
def _hard_sigmoid(e: Layers, n) -> Value:
    y = e.binary("multiply", n[0], number(n.attr("alpha", 0.2)))
    return e.function("clamp", e.binary("add", y, number(n.attr("beta", 0.5))), 0.0, 1.0)


@onnx_op("Softsign")
def _softsign(e: Layers, n) -> Value:
    return e.binary("divide", n[0], e.binary("add", e.function("abs", n[0]), number(1)))


@onnx_op("PRelu")
def _prelu(e: Layers, n) -> Value:
    below = e.binary("multiply", e.binary("minimum", n[0], number(0)), n[1])
    return e.binary("add", e.function("relu", n[0]), below)


@onnx_op("Clip")
def _clip(e: Layers, n) -> Value:
    bounds = []
    for i, key in ((1, "min"), (2, "max")):
        given = n.array(i).reshape(-1) if n.get(i) is not None else n.given(key)
        bounds.append(None if given is None else float(np.reshape(given, -1)[0]))
    return e.function("clamp", n[0], *bounds)


@onnx_op("Softmax", "LogSoftmax")
def _softmax(e: Layers, n) -> Value:
    v, logarithm = n[0], n.op == "LogSoftmax"
    if n.opset >= 13:
        return e.softmax(v, n.attr("axis", -1), logarithm)
    d = e.wrap(v, n.attr("axis", 1))  # older: over all axes from this one on together
    e.axes(v, range(d, len(v.shape)), "softmax")
    flat = e.flatten(v, d) if d < len(v.shape) - 1 else v
    return e.reshape(e.softmax(flat, -1, logarithm), v.shape)


@onnx_op("Cast", "CastLike")
def _cast(e: Layers, n) -> Value:
    n.given("to")
    if n[0].const is not None:  # to the floats that its second input holds
        return constant(n[0].const.astype(np.float32))
    return e.like(n[0], e.p.identity(e.tensor(n[0])))


@onnx_op("Identity", "Dropout")
def _identity(e: Layers, n) -> Value:
    if n.op == "Dropout":
        n.alone()
        training = n.get(2)
        if training is not None and (training.const is None or training.const.any()):
            raise Refusal("dropout in training mode", "export in evaluation mode")
    return n[0]


# ---- arithmetic


def _fold_left(kind: str) -> Handler:
    def handler(e: Layers, n) -> Value:
        out = n[0]
        for i in range(1, len(n.inputs)):
            out = _pair(e, kind, out, n[i])
        return e.binary("divide", out, number(len(n.inputs))) if n.op == "Mean" else out

    return handler


def _pair(e: Layers, kind: str, x: Value, y: Value) -> Value:
    if x.const is not None and y.const is not None:
        return constant(getattr(np, kind)(x.const, y.const))
    return e.binary(kind, x, y)


for _name, _kind in (
    *(("Add", "add"), ("Sub", "subtract"), ("Mul", "multiply"), ("Div", "divide")),
    *(("Max", "maximum"), ("Min", "minimum"), ("Sum", "add"), ("Mean", "add")),
):
    onnx_op(_name)(_fold_left(_kind))


@onnx_op("Pow")
def _pow(e: Layers, n) -> Value:
    power = n[1].const
    if power is not None and power.size == 1:
        named = {2.0: "square", 0.5: "sqrt", -0.5: "rsqrt", -1.0: "reciprocal"}
        kind = named.get(float(power.reshape(-1)[0]))
        if kind is not None and len(n[1].shape) <= len(n[0].shape):
            return e.function(kind, n[0])
    return e.binary("pow", n[0], n[1])


@onnx_op("Where")
def _where(e: Layers, n) -> Value:
    return e.where(n[0], n[1], n[2])


def _reduction(kind: str) -> Handler:
    def handler(e: Layers, n) -> Value:
        ds, keep = n.numbers("axes", 1), bool(n.attr("keepdims", 1))
        noop = n.attr("noop_with_empty_axes", 0)
        if noop and not ds:
            return n[0]
        v = n[0]
        if n.op in ("ReduceL2", "ReduceSumSquare"):
            v = e.function("square", v)
        elif n.op == "ReduceL1":
            v = e.function("abs", v)
        out = e.reduce(kind, v, ds or None, keep)
        after = {"ReduceL2": "sqrt", "ReduceLogSum": "log"}.get(n.op)
        return out if after is None else e.function(after, out)

    return handler


for _name in ("Sum", "L1", "L2", "SumSquare", "LogSum"):
    onnx_op(f"Reduce{_name}")(_reduction("sum"))
for _name in ("Mean", "Max", "Min"):
    onnx_op(f"Reduce{_name}")(_reduction(_name.lower()))


# ---- shapes


@onnx_op("Reshape")
def _reshape(e: Layers, n) -> Value:
    given, zeros = n.numbers("shape", 1) or (), n.attr("allowzero", 0)
    shape = []
    for d, s in enumerate(given):
        if s == 0 and not zeros:
            if d >= len(n[0].shape):
                raise Refusal(f"0 at place {d} of the shape copies an axis that {n[0].shape} lacks")
            s = n[0].shape[d]
        shape.append(s)
    return e.reshape(n[0], shape)


@onnx_op("Flatten")
def _flatten(e: Layers, n) -> Value:
    v, d = n[0], n.attr("axis", 1)
    d = d + len(v.shape) if d < 0 else d
    return e.reshape(v, (prod(v.shape[:d]), prod(v.shape[d:])))


@onnx_op("Transpose")
def _transpose(e: Layers, n) -> Value:
    return e.permute(n[0], n.given("perm", range(len(n[0].shape) - 1, -1, -1)))


@onnx_op("Squeeze")
def _squeeze(e: Layers, n) -> Value:
    v, ds = n[0], n.numbers("axes", 1)
    if ds is None:
        ds = tuple(d for d, s in enumerate(v.shape) if s == 1 and d != v.axis)
    if any(v.shape[e.wrap(v, d)] != 1 or e.wrap(v, d) == v.axis for d in ds):
        raise Refusal(f"axes {ds} of {v.shape} are not all of length 1 beside the batch")
    return e.squeeze(v, ds)


@onnx_op("Unsqueeze")
def _unsqueeze(e: Layers, n) -> Value:
    return e.unsqueeze(n[0], n.numbers("axes", 1) or ())


@onnx_op("Concat")
def _concat(e: Layers, n) -> Value:
    return e.concat([n[i] for i in range(len(n.inputs))], n.attr("axis", 1))


@onnx_op("Split")
def _split(e: Layers, n) -> list[Value]:
    v, d = n[0], e.wrap(n[0], n.attr("axis", 0))
    sizes = n.numbers("split", 1)
    if sizes is None:
        size = -(-v.shape[d] // len(n.outputs))
        sizes = tuple(min(size, v.shape[d] - i) for i in range(0, v.shape[d], size))
    if sum(sizes) != v.shape[d] or len(sizes) != len(n.outputs) or min(sizes) < 1:
        raise Refusal(f"pieces of {sizes} do not make up axis {d} of {v.shape}")
    ends = np.cumsum(sizes).tolist()
    return [e.slice(v, d, end - size, end) for end, size in zip(ends, sizes)]


@onnx_op("Slice")
def _slice(e: Layers, n) -> Value:
    v = n[0]
    starts, ends = n.numbers("starts", 1) or (), n.numbers("ends", 2) or ()
    ds = n.numbers("axes", 3) or tuple(range(len(starts)))
    steps = n.numbers("steps", 4) or (1,) * len(starts)
    for start, end, d, step in zip(starts, ends, ds, steps, strict=True):
        length = v.shape[e.wrap(v, d)]
        if step == 0:
            raise Refusal("a slice with step 0")
        if step < 0 and end < -length:
            end = None  # down to the first
        v = e.slice(v, d, start, end, step)
    return v


@onnx_op("Gather")
def _gather(e: Layers, n) -> Value:
    v, d = n[0], n.attr("axis", 0)
    if n[1].const is None:
        if v.const is None or e.wrap(v, d) != 0:
            raise Refusal("the indices are computed by the network", "only into a constant table")
        return e.embedding(v, n[1])
    index = n[1].const
    if index.ndim == 0:
        return e.select(v, d, int(index))
    return e.take(v, index, d)


@onnx_op("Expand")
def _expand(e: Layers, n) -> Value:
    shape = n.numbers("shape", 1) or ()
    given = (1,) * (len(shape) - len(n[0].shape)) + n[0].shape
    shape = (1,) * (len(given) - len(shape)) + tuple(shape)
    return e.expand(n[0], [max(g, s) if 1 in (g, s) else s for g, s in zip(given, shape)])


@onnx_op("Tile")
def _tile(e: Layers, n) -> Value:
    return e.repeat(n[0], n.numbers("repeats", 1) or ())


@onnx_op("DepthToSpace")
def _depth_to_space(e: Layers, n) -> Value:
    r = n.attr("blocksize", 0)
    b, c, h, w = n[0].shape
    if n.attr("mode", "DCR") == "DCR":
        y = e.permute(e.reshape(n[0], (b, r, r, c // r**2, h, w)), (0, 3, 4, 1, 5, 2))
    else:
        y = e.permute(e.reshape(n[0], (b, c // r**2, r, r, h, w)), (0, 1, 4, 2, 5, 3))
    return e.reshape(y, (b, c // r**2, h * r, w * r))


@onnx_op("SpaceToDepth")
def _space_to_depth(e: Layers, n) -> Value:
    r = n.attr("blocksize", 0)
    b, c, h, w = n[0].shape
    last = n.attr("mode", "DCR") == "CRD"
    order = (0, 1, 3, 5, 2, 4) if last else (0, 3, 5, 1, 2, 4)
    y = e.permute(e.reshape(n[0], (b, c, h // r, r, w // r, r)), order)
    return e.reshape(y, (b, c * r**2, h // r, w // r))
