"""ATen ops as builder calls. A handler takes the emitter and the op's arguments by name."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ._layers import Layers
from ._value import Refusal, Value, constant

Handler = Callable[[Layers, dict[str, Any]], Any]
TABLE: dict[str, Handler] = {}


def aten(*names: str) -> Callable[[Handler], Handler]:
    """Register a handler for ATen ops, ``name`` or ``name.overload``."""

    def register(handler: Handler) -> Handler:
        for name in names:
            TABLE[name] = handler
        return handler

    return register


# ---- layers


@aten("conv1d", "conv2d")
def _conv(e: Layers, a) -> Value:
    return e.conv(
        a["input"],
        a["weight"],
        a["bias"],
        a["stride"],
        a["padding"] if isinstance(a["padding"], str) else _each(a, "padding"),
        _each(a, "dilation"),
        a["groups"],
    )


def _each(a, key: str) -> tuple[int, ...]:
    """One number per spatial axis; PyTorch repeats a single one."""
    rank = len(a["weight"].shape) - 2
    given = tuple(a[key])
    return given * rank if len(given) == 1 else given


@aten("convolution")
def _convolution(e: Layers, a) -> Value:
    if a["transposed"]:
        raise Refusal("a transposed convolution in this form")
    return _conv(e, a)


@aten("linear")
def _linear(e: Layers, a) -> Value:
    return e.linear(a["input"], a["weight"], a["bias"])


@aten("addmm")
def _addmm(e: Layers, a) -> Value:
    if a["alpha"] != 1 or a["beta"] != 1:
        raise Refusal(f"alpha={a['alpha']}, beta={a['beta']}")
    weight = constant(e.weights("mat2", a["mat2"]).T)
    return e.linear(a["mat1"], weight, a["self"])


@aten("_native_batch_norm_legit_no_training")
def _batch_norm(e: Layers, a) -> tuple:
    y = e.batch_norm(
        a["input"], a["weight"], a["bias"], a["running_mean"], a["running_var"], a["eps"]
    )
    return y, None, None


@aten("batch_norm")
def _batch_norm_whole(e: Layers, a) -> Value:
    if a["training"]:
        raise Refusal("batch norm uses the statistics of the batch", "call module.eval()")
    return _batch_norm(e, a)[0]


@aten("layer_norm")
def _layer_norm(e: Layers, a) -> Value:
    return e.layer_norm(a["input"], len(a["normalized_shape"]), a["weight"], a["bias"], a["eps"])


@aten("lstm.input")
def _lstm(e: Layers, a) -> tuple:
    v = a["input"]
    if (v.axis == 0) != a["batch_first"]:
        raise Refusal(f"the batch is axis {v.axis} of {v.shape}, batch_first={a['batch_first']}")
    weights = _recurrent_weights(e, a)
    return e.lstm(v, weights, a["num_layers"], a["bidirectional"], a["hx"])


def _recurrent_weights(e: Layers, a) -> dict[str, np.ndarray]:
    """PyTorch's flat list of parameters under PyTorch's names."""
    kinds = ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if a["has_biases"] else ()))
    names = [
        f"{kind}_l{layer}{suffix}"
        for layer in range(a["num_layers"])
        for suffix in ("", "_reverse")[: 1 + a["bidirectional"]]
        for kind in kinds
    ]
    if len(names) != len(a["params"]):
        raise Refusal("an LSTM with projections (proj_size)", "use proj_size=0")
    return {n: e.weights(n, v) for n, v in zip(names, a["params"])}


# ---- windows


def _pool(kind: str, rank: int) -> Handler:
    def handler(e: Layers, a) -> Value:
        options: dict[str, Any] = {"ceil_mode": a["ceil_mode"]}
        if kind == "max":
            options["dilation"] = _per(a["dilation"], rank)
        else:
            options["count_include_pad"] = a["count_include_pad"]
            if a.get("divisor_override") is not None:
                raise Refusal("divisor_override")
        size = _per(a["kernel_size"], rank)
        stride = _per(a["stride"], rank) or size
        return e.pool(kind, a["self"], rank, size, stride, _per(a["padding"], rank), **options)

    return handler


def _per(given, rank: int) -> tuple[int, ...]:
    given = (given,) if isinstance(given, int) else tuple(given)
    return given * rank if len(given) == 1 else given


for _rank in (1, 2):
    for _kind in ("max", "avg"):
        aten(f"{_kind}_pool{_rank}d")(_pool(_kind, _rank))


@aten("adaptive_avg_pool1d", "adaptive_avg_pool2d")
def _adaptive_avg(e: Layers, a) -> Value:
    v, size = a["self"], tuple(a["output_size"])
    rank = len(size)
    size = tuple(n if s is None else s for s, n in zip(size, v.shape[-rank:]))
    return e.pool("adaptive_avg", v, rank, size)


# ---- activations


def _activation(kind: str) -> Handler:
    return lambda e, a: e.unary(kind, a["self"])


for _name in ("relu", "relu6", "sigmoid", "tanh", "silu", "exp"):
    aten(_name)(_activation(_name))


@aten("leaky_relu")
def _leaky(e: Layers, a) -> Value:
    return e.unary("leaky_relu", a["self"], float(a["negative_slope"]))


@aten("gelu")
def _gelu(e: Layers, a) -> Value:
    return e.unary("gelu" if a["approximate"] == "none" else "gelu_tanh", a["self"])


@aten("hardtanh")
def _hardtanh(e: Layers, a) -> Value:
    if (a["min_val"], a["max_val"]) == (0, 6):
        return e.unary("relu6", a["self"])
    raise Refusal(f"bounds {a['min_val']}, {a['max_val']}")


@aten("softmax.int")
def _softmax(e: Layers, a) -> Value:
    return e.softmax(a["self"], a["dim"])


# ---- arithmetic


def _binary(kind: str) -> Handler:
    def handler(e: Layers, a) -> Value:
        other = a["other"]
        if a.get("alpha", 1) != 1:
            raise Refusal(f"alpha={a['alpha']}")
        return e.binary(kind, a["self"], other if isinstance(other, Value) else constant(other))

    return handler


for _name, _kind in (("add", "add"), ("sub", "subtract"), ("mul", "multiply")):
    aten(_name)(_binary(_kind))


def _reduction(kind: str) -> Handler:
    def handler(e: Layers, a) -> Value:
        dims = a.get("dim")
        dims = (dims,) if isinstance(dims, int) else dims
        return e.reduce(kind, a["self"], dims or None, a.get("keepdim", False))

    return handler


aten("mean")(_reduction("mean"))
aten("sum")(_reduction("sum"))
aten("amax")(_reduction("max"))


# ---- shapes


@aten("clone", "alias", "contiguous", "detach", "lift_fresh_copy", "dropout", "_to_copy", "to")
def _same(e: Layers, a) -> Value:
    return a.get("self") or a["input"]


@aten("view", "_unsafe_view", "reshape", "unflatten")
def _view(e: Layers, a) -> Value:
    return e.reshape(a["self"], a.get("size") or a["shape"])


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


@aten("squeeze")
def _squeeze(e: Layers, a) -> Value:
    dims = a.get("dim", range(len(a["self"].shape)))
    return e.squeeze(a["self"], (dims,) if isinstance(dims, int) else dims)


@aten("unsqueeze")
def _unsqueeze(e: Layers, a) -> Value:
    return e.unsqueeze(a["self"], (a["dim"],))


@aten("slice.Tensor")
def _slice(e: Layers, a) -> Value:
    v = a["self"]
    stop = v.shape[e.wrap(v, a["dim"])] if a["end"] is None else a["end"]
    return e.slice(v, a["dim"], a["start"] or 0, stop, a["step"])


@aten("select.int")
def _select(e: Layers, a) -> Value:
    return e.select(a["self"], a["dim"], a["index"])


@aten("split.Tensor", "split_with_sizes", "chunk")
def _split(e: Layers, a) -> list[Value]:
    v, d = a["self"], a["dim"]
    n = v.shape[e.wrap(v, d)]
    sizes = a.get("split_sizes")
    if sizes is None:
        size = a["split_size"] if "split_size" in a else -(-n // a["chunks"])
        sizes = [min(size, n - i) for i in range(0, n, size)]
    ends = np.cumsum(sizes).tolist()
    return [e.slice(v, d, end - size, end) for end, size in zip(ends, sizes)]


@aten("cat")
def _cat(e: Layers, a) -> Value:
    return e.concat(a["tensors"], a["dim"])
