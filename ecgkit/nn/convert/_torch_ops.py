"""ATen ops as builder calls: arithmetic and shapes. A handler takes the emitter and the op's
arguments by name; :mod:`._torch_layers` has the ops with weights or windows."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ._layers import Layers
from ._value import Refusal, Value, constant

Handler = Callable[[Layers, dict[str, Any]], Any]
TABLE: dict[str, Handler] = {}

# Ops that take from a tensor nothing but its shape and type.
CREATE = {
    *("zeros_like", "ones_like", "full_like", "empty_like"),
    *("new_zeros", "new_ones", "new_full", "new_empty"),
}


def aten(*names: str) -> Callable[[Handler], Handler]:
    """Register a handler for ATen ops, ``name`` or ``name.overload``."""

    def register(handler: Handler) -> Handler:
        for name in names:
            TABLE[name] = handler
        return handler

    return register


def value(a: Any) -> Value:
    """A number as a constant."""
    return a if isinstance(a, Value) else constant(np.asarray(a))


def ints(a: Any) -> tuple[int, ...]:
    """One axis or several."""
    return (a,) if isinstance(a, int) else tuple(a)


# ---- functions of single numbers


def _function(kind: str, *arguments: str) -> Handler:
    return lambda e, a: e.function(kind, a["self"], *(a[k] for k in arguments))


for _name in (
    *("relu", "relu6", "sigmoid", "tanh", "silu", "exp", "abs", "neg", "sqrt", "rsqrt", "log"),
    *("sin", "cos", "erf", "reciprocal", "square", "mish", "hardsigmoid", "hardswish", "selu"),
):
    aten(_name)(_function(_name))
aten("leaky_relu")(_function("leaky_relu", "negative_slope"))
aten("softplus")(_function("softplus", "beta", "threshold"))
aten("hardtanh")(_function("clamp", "min_val", "max_val"))
aten("clamp.default", "clip.default")(_function("clamp", "min", "max"))
aten("clamp_min.default")(lambda e, a: e.function("clamp", a["self"], a["min"], None))
aten("clamp_max.default")(lambda e, a: e.function("clamp", a["self"], None, a["max"]))


@aten("gelu")
def _gelu(e: Layers, a) -> Value:
    return e.function("gelu", a["self"], a["approximate"])


@aten("elu")
def _elu(e: Layers, a) -> Value:
    if a["input_scale"] != 1:
        raise Refusal(f"input_scale={a['input_scale']}", "use 1")
    y = e.function("elu", a["self"], float(a["alpha"]))
    return y if a["scale"] == 1 else e.binary("multiply", y, value(a["scale"]))


@aten("celu")
def _celu(e: Layers, a) -> Value:
    alpha = value(float(a["alpha"]))
    inner = e.function("elu", e.binary("divide", a["self"], alpha))
    return e.binary("multiply", inner, alpha)


@aten("log_sigmoid")
def _log_sigmoid(e: Layers, a) -> Value:
    return e.function("neg", e.function("softplus", e.function("neg", a["self"])))


@aten("softsign")
def _softsign(e: Layers, a) -> Value:
    below = e.binary("add", e.function("abs", a["self"]), value(1.0))
    return e.binary("divide", a["self"], below)


@aten("glu")
def _glu(e: Layers, a) -> Value:
    v, d = a["self"], a["dim"]
    half = v.shape[e.wrap(v, d)] // 2
    gate = e.function("sigmoid", e.slice(v, d, half, 2 * half))
    return e.binary("multiply", e.slice(v, d, 0, half), gate)


@aten("prelu", "_prelu_kernel")
def _prelu(e: Layers, a) -> Value:
    v, w = a["self"], e.weights("the slope", a["weight"])
    if w.size == 1:
        return e.function("leaky_relu", v, float(w.reshape(())))
    w = w.reshape(-1, *[1] * (len(v.shape) - 2))
    below = e.binary("multiply", e.binary("minimum", v, value(0.0)), value(w))
    return e.binary("add", e.function("relu", v), below)


@aten("softmax.int", "_softmax", "_safe_softmax")
def _softmax(e: Layers, a) -> Value:
    return e.softmax(a["self"], a["dim"])


@aten("log_softmax.int", "_log_softmax")
def _log_softmax(e: Layers, a) -> Value:
    return e.softmax(a["self"], a["dim"], logarithm=True)


# ---- arithmetic


def _binary(kind: str) -> Handler:
    def handler(e: Layers, a) -> Value:
        x, y = value(a["self"]), value(a["other"])
        if a.get("rounding_mode") is not None:
            raise Refusal(f"rounding_mode={a['rounding_mode']!r}", "divide without rounding")
        if a.get("alpha", 1) != 1:
            y = e.binary("multiply", y, value(a["alpha"]))
        return e.binary(kind, x, y)

    return handler


for _name, _kind in (
    *(("add", "add"), ("sub", "subtract"), ("mul", "multiply"), ("div", "divide")),
    *(("maximum", "maximum"), ("minimum", "minimum"), ("true_divide", "divide")),
):
    aten(_name)(_binary(_kind))


@aten("rsub")
def _rsub(e: Layers, a) -> Value:
    return _binary("subtract")(e, {**a, "self": a["other"], "other": a["self"]})


@aten("pow.Tensor_Scalar", "pow.Tensor_Tensor")
def _pow(e: Layers, a) -> Value:
    named = {2: "square", 0.5: "sqrt", -0.5: "rsqrt", -1: "reciprocal"}
    power = a["exponent"]
    if isinstance(power, (int, float)) and power in named:
        return e.function(named[power], a["self"])
    return e.binary("pow", a["self"], value(power))


@aten("masked_fill.Scalar", "masked_fill.Tensor", "where.self", "where.ScalarOther")
def _where(e: Layers, a) -> Value:
    if "mask" in a:
        return e.where(a["mask"], value(a["value"]), a["self"])
    return e.where(a["condition"], value(a["self"]), value(a["other"]))


def _reduction(kind: str) -> Handler:
    def handler(e: Layers, a) -> Value:
        dims = a.get("dim")
        options = {}
        if kind in ("var", "std"):
            given = a.get("correction", int(a.get("unbiased", True)))
            options["correction"] = 1.0 if given is None else float(given)
        dims = None if dims is None else ints(dims)
        return e.reduce(kind, a["self"], dims or None, a.get("keepdim", False), **options)

    return handler


for _name, _kind in (
    *(("mean", "mean"), ("sum", "sum"), ("amax", "max"), ("amin", "min")),
    *(("var", "var"), ("std", "std")),
):
    aten(_name)(_reduction(_kind))


@aten("max.dim", "min.dim")
def _largest(e: Layers, a) -> tuple:
    raise Refusal("the values come with their indices", "use torch.amax or torch.amin")


@aten("linalg_vector_norm", "norm.ScalarOpt_dim")
def _norm(e: Layers, a) -> Value:
    order = a.get("ord", a.get("p", 2))
    if order not in (2, None):
        raise Refusal(f"the norm of order {order}", "the Euclidean one is supported")
    dims = None if a["dim"] is None else ints(a["dim"])
    squares = e.function("square", a["self"])
    return e.function("sqrt", e.reduce("sum", squares, dims or None, a["keepdim"]))


# ---- shapes


@aten("clone", "alias", "contiguous", "detach", "lift_fresh_copy", "dropout", "feature_dropout")
def _same(e: Layers, a) -> Value:
    if a.get("train"):
        raise Refusal("dropout in training mode", "call module.eval()")
    return a.get("self") or a["input"]


@aten("_to_copy", "to", "type_as")
def _cast(e: Layers, a) -> Value:
    return a["self"]  # floats stay floats: the walk has checked it


@aten("view", "_unsafe_view", "reshape", "view_copy")
def _view(e: Layers, a) -> Value:
    return e.reshape(a["self"], a["size"] if "size" in a else a["shape"])


@aten("flatten")
def _flatten(e: Layers, a) -> Value:
    return e.flatten(a["self"], a["start_dim"], a["end_dim"])


@aten("permute")
def _permute(e: Layers, a) -> Value:
    return e.permute(a["self"], a["dims"])


@aten("transpose.int")
def _transpose(e: Layers, a) -> Value:
    v = a["self"]
    order = list(range(len(v.shape)))
    i, j = e.wrap(v, a["dim0"]), e.wrap(v, a["dim1"])
    order[i], order[j] = j, i
    return e.permute(v, order)


@aten("t", "numpy_T", "mT")
def _t(e: Layers, a) -> Value:
    n = len(a["self"].shape)
    return e.permute(a["self"], [*range(n - 2), *range(n - 1, max(n - 3, -1), -1)])


@aten("squeeze")
def _squeeze(e: Layers, a) -> Value:
    return e.squeeze(a["self"], ints(a.get("dim", range(len(a["self"].shape)))))


@aten("unsqueeze")
def _unsqueeze(e: Layers, a) -> Value:
    return e.unsqueeze(a["self"], (a["dim"],))


@aten("expand")
def _expand(e: Layers, a) -> Value:
    return e.expand(a["self"], a["size"])


@aten("expand_as")
def _expand_as(e: Layers, a) -> Value:
    return e.expand(a["self"], a["other"].shape)


@aten("repeat")
def _repeat(e: Layers, a) -> Value:
    return e.repeat(a["self"], a["repeats"])


@aten("slice.Tensor")
def _slice(e: Layers, a) -> Value:
    v = a["self"]
    stop = v.shape[e.wrap(v, a["dim"])] if a["end"] is None else a["end"]
    return e.slice(v, a["dim"], a["start"] or 0, stop, a["step"])


@aten("narrow")
def _narrow(e: Layers, a) -> Value:
    return e.slice(a["self"], a["dim"], a["start"], a["start"] + a["length"])


@aten("select.int")
def _select(e: Layers, a) -> Value:
    return e.select(a["self"], a["dim"], a["index"])


@aten("unbind.int")
def _unbind(e: Layers, a) -> list[Value]:
    v = a["self"]
    return [e.select(v, a["dim"], i) for i in range(v.shape[e.wrap(v, a["dim"])])]


@aten("split.Tensor", "split_with_sizes", "split.sizes", "chunk")
def _split(e: Layers, a) -> list[Value]:
    v, d = a["self"], a["dim"]
    n = v.shape[e.wrap(v, d)]
    sizes: Sequence[int] = a.get("split_sizes", a.get("split_size", ()))
    if isinstance(sizes, int) or "chunks" in a:
        size = sizes if isinstance(sizes, int) else -(-n // a["chunks"])
        sizes = [min(size, n - i) for i in range(0, n, size)]
    ends = np.cumsum(sizes).tolist()
    return [e.slice(v, d, end - size, end) for end, size in zip(ends, sizes)]


@aten("cat")
def _cat(e: Layers, a) -> Value:
    return e.concat([value(t) for t in a["tensors"]], a["dim"])


@aten("stack")
def _stack(e: Layers, a) -> Value:
    n = len(a["tensors"][0].shape) + 1
    d = a["dim"] % n
    return e.concat([e.unsqueeze(value(t), (d,)) for t in a["tensors"]], d)


@aten("slice_scatter")
def _slice_scatter(e: Layers, a) -> Value:
    v, d = value(a["self"]), a["dim"]
    n = v.shape[e.wrap(v, d)]
    picked = range(*slice(a["start"], a["end"], a["step"]).indices(n))
    both = e.concat([v, value(a["src"])], d)
    index = np.arange(n)
    index[picked.start : picked.stop : picked.step] = n + np.arange(len(picked))
    return e.take(both, index, d)


@aten("select_scatter")
def _select_scatter(e: Layers, a) -> Value:
    v, d = value(a["self"]), a["dim"]
    index = np.arange(v.shape[e.wrap(v, d)])
    index[a["index"]] = len(index)
    d = e.wrap(v, d)
    return e.take(e.concat([v, e.unsqueeze(value(a["src"]), (d,))], d), index, d)


@aten("flip")
def _flip(e: Layers, a) -> Value:
    v = a["self"]
    for d in a["dims"]:
        v = e.take(v, np.arange(v.shape[e.wrap(v, d)])[::-1], d)
    return v


@aten("roll")
def _roll(e: Layers, a) -> Value:
    v = a["self"]
    if not a["dims"]:
        raise Refusal("a roll of the flattened tensor mixes samples", "name the axes")
    for shift, d in zip(a["shifts"], a["dims"]):
        n = v.shape[e.wrap(v, d)]
        v = e.take(v, (np.arange(n) - shift) % n, d)
    return v


@aten("index.Tensor")
def _index(e: Layers, a) -> Value:
    v = value(a["self"])
    picks = [(d, i) for d, i in enumerate(a["indices"]) if i is not None]
    if len(picks) != 1:
        raise Refusal("an index by several tensors at once", "index one axis at a time")
    ((d, index),) = picks
    if index.const is None:
        if v.const is not None and d == 0:
            return e.embedding(v, index)
        raise Refusal("the index is computed by the network", "only constant indices")
    if index.const.dtype == bool:
        if index.const.ndim != 1:
            raise Refusal("a mask of several axes as index", "index one axis at a time")
        return e.take(v, np.flatnonzero(index.const), d)
    return e.take(v, index.const, d)


@aten("index_select")
def _index_select(e: Layers, a) -> Value:
    return e.take(a["self"], e.weights("the index", a["index"]), a["dim"])


@aten("unfold")
def _unfold(e: Layers, a) -> Value:
    v, d = a["self"], e.wrap(a["self"], a["dimension"])
    count = (v.shape[d] - a["size"]) // a["step"] + 1
    index = np.arange(count)[:, None] * a["step"] + np.arange(a["size"])
    out = e.take(v, index, d)
    order = [i for i in range(len(out.shape)) if i != d + 1]
    return e.permute(out, [*order, d + 1])
