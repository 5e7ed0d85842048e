"""ATen ops as builder calls: layers with weights, windows, norms, recurrence, attention."""

from typing import Any

import numpy as np

from ._layers import Layers
from ._torch_ops import CREATE, TABLE, Handler, aten, ints
from ._value import Refusal, Value, constant

__all__ = ["CREATE", "TABLE"]

# ---- products


@aten("conv1d", "conv2d", "conv3d")
def _conv(e: Layers, a) -> Value:
    pads = a["padding"] if isinstance(a["padding"], str) else _each(a, "padding")
    stride, dilation = _each(a, "stride"), _each(a, "dilation")
    return e.conv(a["input"], a["weight"], a["bias"], stride, pads, dilation, a["groups"])


def _each(a, key: str) -> tuple[int, ...]:
    """One number per spatial axis; PyTorch repeats a single one."""
    return _per(a[key], len(a["weight"].shape) - 2)


def _per(given: Any, rank: int) -> tuple[int, ...]:
    given = ints(given)
    return given * rank if len(given) == 1 else given


@aten("conv_transpose1d", "conv_transpose2d")
def _conv_transpose(e: Layers, a) -> Value:
    stride, pads, extra = (_each(a, k) for k in ("stride", "padding", "output_padding"))
    dilation = _each(a, "dilation")
    return e.conv_transpose(
        a["input"], a["weight"], a["bias"], stride, pads, extra, a["groups"], dilation
    )


@aten("convolution")
def _convolution(e: Layers, a) -> Value:
    return _conv_transpose(e, a) if a["transposed"] else _conv(e, a)


@aten("linear")
def _linear(e: Layers, a) -> Value:
    return e.linear(a["input"], a["weight"], a["bias"])


@aten("addmm")
def _addmm(e: Layers, a) -> Value:
    if a["alpha"] != 1 or a["beta"] != 1:
        raise Refusal(f"alpha={a['alpha']}, beta={a['beta']}", "use 1")
    return e.binary("add", e.matmul(a["mat1"], a["mat2"]), a["self"])


@aten("matmul", "mm", "bmm")
def _matmul(e: Layers, a) -> Value:
    return e.matmul(a["self"], a.get("other") or a.get("mat2"))


@aten("baddbmm")
def _baddbmm(e: Layers, a) -> Value:
    product = e.matmul(a["batch1"], a["batch2"])
    if a["alpha"] != 1:
        product = e.binary("multiply", product, constant(a["alpha"]))
    if a["beta"] == 0:
        return product
    if a["beta"] != 1:
        raise Refusal(f"beta={a['beta']}", "use 1")
    return e.binary("add", product, a["self"])


@aten("einsum")
def _einsum(e: Layers, a) -> Value:
    return e.einsum(a["equation"], a["tensors"])


@aten("embedding")
def _embedding(e: Layers, a) -> Value:
    return e.embedding(a["weight"], a["indices"])


# ---- norms


@aten("_native_batch_norm_legit_no_training")
def _batch_norm(e: Layers, a) -> tuple:
    w = (a["weight"], a["bias"], a["running_mean"], a["running_var"])
    return e.batch_norm(a["input"], *w, a["eps"]), None, None


@aten("batch_norm")
def _batch_norm_whole(e: Layers, a) -> Value:
    if a["training"]:
        raise Refusal("batch norm uses the statistics of the batch", "call module.eval()")
    return _batch_norm(e, a)[0]


@aten("_native_batch_norm_legit.no_stats", "_native_batch_norm_legit")
def _batch_norm_live(e: Layers, a) -> tuple:
    raise Refusal(
        "batch norm uses the statistics of the batch: samples mix",
        "give it running statistics (track_running_stats=True) and call module.eval()",
    )


@aten("layer_norm", "native_layer_norm")
def _layer_norm(e: Layers, a) -> Any:
    y = e.layer_norm(a["input"], len(a["normalized_shape"]), a["weight"], a["bias"], a["eps"])
    return y if "cudnn_enable" in a else (y, None, None)


@aten("group_norm")
def _group_norm(e: Layers, a) -> Value:
    return e.group_norm(a["input"], a["num_groups"], a["weight"], a["bias"], a["eps"])


@aten("native_group_norm")
def _native_group_norm(e: Layers, a) -> tuple:
    return e.group_norm(a["input"], a["group"], a["weight"], a["bias"], a["eps"]), None, None


@aten("instance_norm")
def _instance_norm(e: Layers, a) -> Value:
    v = a["input"]
    if not a["use_input_stats"]:
        w = (a["weight"], a["bias"], a["running_mean"], a["running_var"])
        return e.batch_norm(v, *w, a["eps"])
    return e.group_norm(v, v.shape[1], a["weight"], a["bias"], a["eps"])


@aten("rms_norm")
def _rms_norm(e: Layers, a) -> Value:
    return e.rms_norm(a["input"], len(a["normalized_shape"]), a["weight"], a["eps"])


# ---- recurrence and attention


@aten("lstm.input")
def _lstm(e: Layers, a) -> tuple:
    return e.recurrent("lstm", a["input"], *_recurrent(e, a), a["hx"], a["batch_first"])


@aten("gru.input")
def _gru(e: Layers, a) -> tuple:
    return e.recurrent("gru", a["input"], *_recurrent(e, a), [a["hx"]], a["batch_first"])


def _recurrent(e: Layers, a) -> tuple[dict[str, np.ndarray], int, bool]:
    """PyTorch's flat list of parameters under PyTorch's names."""
    kinds = ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if a["has_biases"] else ()))
    names = [
        f"{kind}_l{layer}{suffix}"
        for layer in range(a["num_layers"])
        for suffix in ("", "_reverse")[: 1 + a["bidirectional"]]
        for kind in kinds
    ]
    if len(names) != len(a["params"]):
        raise Refusal("an LSTM with projections", "use proj_size=0")
    weights = {n: e.weights(n, v) for n, v in zip(names, a["params"])}
    return weights, a["num_layers"], a["bidirectional"]


@aten("scaled_dot_product_attention")
def _attention(e: Layers, a) -> Value:
    if a["dropout_p"]:
        raise Refusal("attention with dropout", "call module.eval()")
    if a["enable_gqa"] and a["query"].shape[-3] != a["key"].shape[-3]:
        raise Refusal("grouped queries (enable_gqa)", "repeat keys and values")
    q, k, v, mask = a["query"], a["key"], a["value"], a["attn_mask"]
    return e.attention(q, k, v, mask, bool(a["is_causal"]), a["scale"])


# ---- windows


def _pool(kind: str, rank: int, indices: bool = False) -> Handler:
    def handler(e: Layers, a) -> Any:
        options: dict[str, Any] = {"ceil_mode": a["ceil_mode"]}
        if kind == "max":
            options["dilation"] = _per(a["dilation"], rank)
        else:
            options["count_include_pad"] = a["count_include_pad"]
            if a.get("divisor_override") is not None:
                raise Refusal("divisor_override", "leave it out")
        size = _per(a["kernel_size"], rank)
        stride = _per(a["stride"], rank) or size
        y = e.pool(kind, a["self"], rank, size, stride, _per(a["padding"], rank), **options)
        return (y, None) if indices else y

    return handler


def _adaptive(kind: str, indices: bool = False) -> Handler:
    def handler(e: Layers, a) -> Any:
        v, size = a["self"], ints(a["output_size"])
        size = tuple(n if s is None else s for s, n in zip(size, v.shape[-len(size) :]))
        y = e.pool(f"adaptive_{kind}", v, len(size), size)
        return (y, None) if indices else y

    return handler


for _rank in (1, 2):
    for _kind in ("max", "avg"):
        aten(f"{_kind}_pool{_rank}d")(_pool(_kind, _rank))
    aten(f"max_pool{_rank}d_with_indices")(_pool("max", _rank, True))
    aten(f"adaptive_avg_pool{_rank}d")(_adaptive("avg"))
    aten(f"adaptive_max_pool{_rank}d")(_adaptive("max", True))


@aten("pad", "constant_pad_nd")
def _pad(e: Layers, a) -> Value:
    return e.pad(a["self"], a["pad"], a.get("mode", "constant"), float(a.get("value") or 0.0))


def _pads(mode: str) -> Handler:
    return lambda e, a: e.pad(a["self"], a["padding"], mode, 0.0)


for _rank in (1, 2):
    aten(f"reflection_pad{_rank}d")(_pads("reflect"))
    aten(f"replication_pad{_rank}d")(_pads("replicate"))


def _resize(mode: str) -> Handler:
    def handler(e: Layers, a) -> Value:
        v = a.get("input") or a["self"]
        scales = a.get("scale_factors")
        if scales is None:
            scales = [a.get(k) for k in ("scales_h", "scales_w", "scales") if k in a]
        if any(s is None for s in scales):
            scales = []
        size = a["output_size"]
        size = None if size is None else tuple(size)
        return e.resize(v, size, tuple(scales) or None, mode, bool(a.get("align_corners")))

    return handler


for _name, _mode in (
    *(("upsample_nearest1d", "nearest"), ("upsample_nearest2d", "nearest")),
    *(("_upsample_nearest_exact1d", "nearest-exact"), ("upsample_linear1d", "linear")),
    *(("_upsample_nearest_exact2d", "nearest-exact"), ("upsample_bilinear2d", "bilinear")),
    ("upsample_bicubic2d", "bicubic"),
):
    aten(_name)(_resize(_mode))


@aten("pixel_shuffle")
def _pixel_shuffle(e: Layers, a) -> Value:
    v, r = a["self"], a["upscale_factor"]
    n, c, h, w = v.shape
    y = e.permute(e.reshape(v, (n, c // r**2, r, r, h, w)), (0, 1, 4, 2, 5, 3))
    return e.reshape(y, (n, c // r**2, h * r, w * r))


@aten("channel_shuffle", "native_channel_shuffle")
def _channel_shuffle(e: Layers, a) -> Value:
    v, g = a["self"], a["groups"]
    n, c, *rest = v.shape
    y = e.permute(e.reshape(v, (n, g, c // g, *rest)), (0, 2, 1, *range(3, 3 + len(rest))))
    return e.reshape(y, v.shape)
