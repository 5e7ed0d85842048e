"""ONNX ops as builder calls: layers with weights, windows, norms, recurrence, attention."""

from typing import Any

import numpy as np

from ._layers import Layers
from ._onnx_ops import TABLE, Handler, number, onnx_op
from ._onnx_resize import resize
from ._value import Refusal, Value, constant

__all__ = ["TABLE"]

# ---- windows


def _window(n, rank: int, kernel, size) -> dict[str, Any]:
    """Stride, dilation and padding pairs of a convolution or pool."""
    stride = tuple(n.given("strides", (1,) * rank))
    dilation = tuple(n.given("dilations", (1,) * rank))
    if len(stride) != rank or len(dilation) != rank or len(kernel) != rank:
        raise Refusal(f"strides {stride}, dilations {dilation}, kernel {kernel} for {rank} axes")
    if min(*stride, *dilation) < 1:
        raise Refusal(f"strides {stride}, dilations {dilation}")
    auto = n.attr("auto_pad", "NOTSET")
    given = n.given("pads", (0,) * 2 * rank)
    if len(given) != 2 * rank:
        raise Refusal(f"pads {given} for {rank} axes")
    pads = tuple(zip(given[:rank], given[rank:]))
    if auto == "VALID":
        pads = ((0, 0),) * rank
    elif auto != "NOTSET":
        reach = [
            max((-(-m // s) - 1) * s + (k - 1) * d + 1 - m, 0)
            for m, s, k, d in zip(size, stride, kernel, dilation)
        ]
        pads = tuple((t // 2, t - t // 2) for t in reach)
        if auto == "SAME_LOWER":
            pads = tuple((b, a) for a, b in pads)
    return {"stride": stride, "dilation": dilation, "pads": pads}


@onnx_op("Conv")
def _conv(e: Layers, n) -> Value:
    w = e.weights("the weight", n[1])
    rank = w.ndim - 2
    o = _window(n, rank, w.shape[2:], n[0].shape[-rank:])
    return e.conv(n[0], n[1], n.get(2), o["stride"], o["pads"], o["dilation"], n.attr("group", 1))


@onnx_op("ConvTranspose")
def _conv_transpose(e: Layers, n) -> Value:
    w = e.weights("the weight", n[1])
    rank = w.ndim - 2
    kernel, size = w.shape[2:], n[0].shape[-rank:]
    o = _window(n, rank, kernel, size)
    extra = tuple(n.given("output_padding", (0,) * rank))
    full = [
        (m - 1) * s + (k - 1) * d + 1 + x
        for m, s, k, d, x in zip(size, o["stride"], kernel, o["dilation"], extra)
    ]
    auto, wanted = n.attr("auto_pad", "NOTSET"), n.given("output_shape")
    if wanted is None and auto.startswith("SAME"):
        wanted = [m * s for m, s in zip(size, o["stride"])]
    pads = o["pads"] if not auto.startswith("SAME") else ((0, 0),) * rank
    if wanted is not None:
        more = [f - t for f, t in zip(full, list(wanted)[-rank:])]
        low = auto != "SAME_UPPER"
        pads = tuple((m - m // 2, m // 2) if low else (m // 2, m - m // 2) for m in more)
    # what is cut off at the end beyond the beginning, or added there, by slicing and zeros
    v = e.conv_transpose(
        *(n[0], n[1], n.get(2), o["stride"], (0,) * rank, extra),
        *(n.attr("group", 1), o["dilation"]),
    )
    for axis, (before, after) in enumerate(pads):
        d = axis - rank
        v = e.slice(v, d, max(before, 0), v.shape[d] - max(after, 0))
        if min(before, after) < 0:
            raise Refusal(f"an output of {wanted} is longer than the convolution makes it")
    return v


def _pool(kind: str) -> Handler:
    def handler(e: Layers, n) -> Value:
        n.alone()
        v = n[0]
        kernel = tuple(n.given("kernel_shape", ()))
        rank = len(kernel)
        if rank not in (1, 2) or len(v.shape) < rank + 1:
            raise Refusal(f"a pool over {rank} axes", "one and two axes are supported")
        o = _window(n, rank, kernel, v.shape[-rank:])
        options: dict[str, Any] = {"ceil_mode": bool(n.attr("ceil_mode", 0))}
        if kind == "max":
            options["dilation"] = o["dilation"]
        else:
            if max(o["dilation"]) > 1:
                raise Refusal("a mean over spread windows (dilations)")
            options["count_include_pad"] = bool(n.attr("count_include_pad", 0))
        return e.pool(kind, v, rank, kernel, o["stride"], o["pads"], **options)

    return handler


onnx_op("MaxPool")(_pool("max"))
onnx_op("AveragePool")(_pool("avg"))


@onnx_op("GlobalAveragePool", "GlobalMaxPool")
def _global(e: Layers, n) -> Value:
    kind = "mean" if n.op == "GlobalAveragePool" else "max"
    return e.reduce(kind, n[0], range(2, len(n[0].shape)), True)


@onnx_op("Pad")
def _pad(e: Layers, n) -> Value:
    v, mode = n[0], n.attr("mode", "constant")
    pads = n.numbers("pads", 1) or ()
    ds = n.numbers("axes", 3) or tuple(range(len(v.shape)))
    fill = n.get(2)
    value = n.attr("value", 0.0) if fill is None else float(n.array(2).reshape(-1)[0])
    if len(pads) != 2 * len(ds):
        raise Refusal(f"{len(pads)} pads for {len(ds)} axes")
    pairs = dict(zip((e.wrap(v, d) for d in ds), zip(pads, pads[len(ds) :])))
    flat = [p for d in reversed(range(len(v.shape))) for p in pairs.get(d, (0, 0))]
    names = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}
    return e.pad(v, flat, names.get(mode, mode), value)


@onnx_op("Resize", "Upsample")
def _resize(e: Layers, n) -> Value:
    return resize(e, n)


# ---- products


@onnx_op("Gemm")
def _gemm(e: Layers, n) -> Value:
    a, b = n[0], n[1]
    a = e.permute(a, (1, 0)) if n.attr("transA", 0) else a
    b = e.permute(b, (1, 0)) if n.attr("transB", 0) else b
    alpha, beta = n.attr("alpha", 1.0), n.attr("beta", 1.0)
    c = n.get(2)
    if c is not None and beta != 1.0:
        c = (
            constant(c.const * np.float32(beta))
            if c.const is not None
            else e.binary("multiply", c, number(beta))
        )
    if b.const is not None and (c is None or (c.const is not None and c.const.size == b.shape[1])):
        bias = None if c is None or c.const is None else constant(c.const.reshape(-1))
        flat = c is None or len(c.shape) == 1 or c.shape[0] == 1
        if flat:
            return e.linear(a, constant(b.const.T * np.float32(alpha)), bias)
    y = e.matmul(a, b)
    y = y if alpha == 1.0 else e.binary("multiply", y, number(alpha))
    return y if c is None else e.binary("add", y, c)


@onnx_op("MatMul")
def _matmul(e: Layers, n) -> Value:
    return e.matmul(n[0], n[1])


@onnx_op("Einsum")
def _einsum(e: Layers, n) -> Value:
    return e.einsum(n.attr("equation", ""), [n[i] for i in range(len(n.inputs))])


@onnx_op("Attention")
def _attention(e: Layers, n) -> Value:
    n.alone()
    if any(n.get(i) is not None for i in (4, 5, 6)) or n.attr("softcap", 0.0):
        raise Refusal("past keys, padding lengths or softcap")
    q, k, v = n[0], n[1], n[2]
    mask, scale = n.get(3), n.given("scale")
    causal = bool(n.attr("is_causal", 0))
    if len(q.shape) == 4:
        k, v = _grouped(e, q, k, v)
        return e.attention(q, k, v, mask, causal, scale)
    heads = n.attr("q_num_heads", 0), n.attr("kv_num_heads", 0)
    if not all(heads) or any(len(t.shape) != 3 for t in (q, k, v)):
        raise Refusal(f"axes {q.shape} without q_num_heads and kv_num_heads")
    q, k, v = (
        e.permute(e.reshape(t, (*t.shape[:2], h, t.shape[2] // h)), (0, 2, 1, 3))
        for t, h in ((q, heads[0]), (k, heads[1]), (v, heads[1]))
    )
    k, v = _grouped(e, q, k, v)
    y = e.permute(e.attention(q, k, v, mask, causal, scale), (0, 2, 1, 3))
    return e.flatten(y, 2, 3)


def _grouped(e: Layers, q: Value, k: Value, v: Value) -> tuple[Value, Value]:
    """Keys and values repeated for the queries that share them."""
    times = q.shape[1] // k.shape[1]
    if times * k.shape[1] != q.shape[1]:
        raise Refusal(f"{q.shape[1]} heads of queries share {k.shape[1]} of keys")
    if times == 1:
        return k, v
    index = np.repeat(np.arange(k.shape[1]), times)
    return e.take(k, index, 1), e.take(v, index, 1)


# ---- norms


@onnx_op("BatchNormalization")
def _batch_norm(e: Layers, n) -> Value:
    n.alone()
    if n.attr("training_mode", 0):
        raise Refusal("training mode uses the statistics of the batch", "export for inference")
    return e.batch_norm(n[0], n[1], n[2], n[3], n[4], n.attr("epsilon", 1e-5))


@onnx_op("InstanceNormalization")
def _instance_norm(e: Layers, n) -> Value:
    return e.group_norm(n[0], n[0].shape[1], n[1], n[2], n.attr("epsilon", 1e-5))


@onnx_op("GroupNormalization")
def _group_norm(e: Layers, n) -> Value:
    groups = n.attr("num_groups", 0)
    if groups < 1 or n[0].shape[1] % groups:
        raise Refusal(f"{n[0].shape[1]} channels in {groups} groups")
    weight, bias = n.array(1), n.array(2)
    if n.opset < 21:  # one number per group
        each = n[0].shape[1] // groups
        weight, bias = np.repeat(weight, each), np.repeat(bias, each)
    eps = n.attr("epsilon", 1e-5)
    return e.group_norm(n[0], groups, constant(weight), constant(bias), eps)


@onnx_op("LayerNormalization")
def _layer_norm(e: Layers, n) -> Value:
    n.alone()
    count = len(n[0].shape) - e.wrap(n[0], n.attr("axis", -1))
    weight, bias = _whole(n, 1, count), _whole(n, 2, count)
    return e.layer_norm(n[0], count, weight, bias, n.attr("epsilon", 1e-5))


@onnx_op("RMSNormalization")
def _rms_norm(e: Layers, n) -> Value:
    count = len(n[0].shape) - e.wrap(n[0], n.attr("axis", -1))
    return e.rms_norm(n[0], count, _whole(n, 1, count), n.attr("epsilon", 1e-5))


def _whole(n, i: int, count: int) -> Value | None:
    """A norm's weight in the shape of the axes it works on."""
    if n.get(i) is None:
        return None
    return constant(np.broadcast_to(n.array(i), n[0].shape[-count:]))


@onnx_op("LpNormalization")
def _lp_norm(e: Layers, n) -> Value:
    v, d = n[0], n.attr("axis", -1)
    if n.attr("p", 2) == 2:
        size = e.function("sqrt", e.reduce("sum", e.function("square", v), (d,), True))
    else:
        size = e.reduce("sum", e.function("abs", v), (d,), True)
    smallest = float(np.finfo(np.float32).tiny)  # zeros stay zeros
    return e.binary("divide", v, e.function("clamp", size, smallest, None))


@onnx_op("LRN")
def _local_norm(e: Layers, n) -> Value:
    v, size = n[0], n.attr("size", 1)
    alpha, beta, bias = n.attr("alpha", 1e-4), n.attr("beta", 0.75), n.attr("bias", 1.0)
    channels = v.shape[1]
    if not 1 <= size <= 2 * channels:
        raise Refusal(f"a window of {size} over {channels} channels")
    index = np.arange(channels)[:, None] + np.arange(size) - (size - 1) // 2
    inside = (index >= 0) & (index < channels)
    weights = np.where(inside, alpha / size, 0.0).astype(np.float32)
    squares, at = e.tensor(e.function("square", v)), e.axis(v, 1, "the norm")
    near = e.like(v, e.p.gather_axis(squares, at, np.where(inside, index, 0), weights))
    scale = e.binary("pow", e.binary("add", near, number(bias)), number(-beta))
    return e.binary("multiply", v, scale)


# ---- recurrence


def _recurrent(cell: str) -> Handler:
    gates, order = (4, (0, 2, 3, 1)) if cell == "lstm" else (3, (1, 0, 2))

    def handler(e: Layers, n) -> list[Value]:
        _usual(n, cell)
        v, layout = n[0], n.attr("layout", 0)
        way = n.attr("direction", "forward")
        w, r = (e.weights("the weight", n[i]) for i in (1, 2))
        if w.ndim != 3 or r.ndim != 3 or len(w) != len(r) or r.shape[1] != gates * r.shape[2]:
            raise Refusal(f"weights of shapes {w.shape}, {r.shape}")
        both, hidden = len(w) == 2, r.shape[2]
        if both != (way == "bidirectional"):
            raise Refusal(f"{len(w)} directions of weights, direction {way!r}")
        b = n.array(3) if n.get(3) is not None else np.zeros((len(w), 2 * gates * hidden))

        def arranged(a):  # gates as PyTorch orders them
            return np.concatenate([a.reshape(gates, hidden, -1)[g] for g in order])

        weights = {}
        for d in range(len(w)):
            tail = "_l0" + ("_reverse" if d else "")
            inner, outer = b[d].reshape(2, -1)
            weights[f"weight_ih{tail}"], weights[f"weight_hh{tail}"] = (
                arranged(w[d]),
                arranged(r[d]),
            )
            weights[f"bias_ih{tail}"] = arranged(inner).reshape(-1)
            weights[f"bias_hh{tail}"] = arranged(outer).reshape(-1)
        time = 1 if layout else 0
        turned = way == "reverse"
        back = np.arange(v.shape[time])[::-1]
        v = e.take(v, back, time) if turned else v
        states = [n.get(5), n.get(6)][: 2 if cell == "lstm" else 1]
        if layout:
            states = [s if s is None else e.permute(s, (1, 0, 2)) for s in states]
        y, *ends = e.recurrent(cell, v, weights, 1, both, states, bool(layout))
        y = e.take(y, back, time) if turned else y
        y = e.reshape(y, (*y.shape[:2], len(w), hidden))
        if layout:
            return [y, *(e.permute(s, (1, 0, 2)) for s in ends)]
        return [e.permute(y, (0, 2, 1, 3)), *ends]

    return handler


def _usual(n, cell: str) -> None:
    """Refuse what PyTorch's cells do not have."""
    usual = ["sigmoid", "tanh", "tanh"] if cell == "lstm" else ["sigmoid", "tanh"]
    given = [
        (a.decode() if isinstance(a, bytes) else a).lower() for a in n.given("activations", ())
    ]
    if given and given != usual * (len(given) // len(usual)):
        raise Refusal(f"activations {given}", f"the usual ones are {usual}")
    if n.given("clip") or n.attr("input_forget", 0) or n.get(7) is not None:
        raise Refusal("clipped cells, coupled gates or peepholes")
    if cell == "gru" and not n.attr("linear_before_reset", 0):
        raise Refusal("linear_before_reset=0", "PyTorch's GRU, which exports as 1, is supported")
    lengths = n.get(4)
    if lengths is not None:
        time = n[0].shape[1 if n.attr("layout", 0) else 0]
        if lengths.const is None or (lengths.const != time).any():
            raise Refusal("sequences of different lengths", "run them one by one")


onnx_op("LSTM")(_recurrent("lstm"))
onnx_op("GRU")(_recurrent("gru"))
