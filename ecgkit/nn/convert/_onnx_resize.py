"""ONNX Resize: which inputs every output reads, and with what weights."""

from collections.abc import Callable, Sequence

import numpy as np

from ..._typing import Array
from ._layers import Layers
from ._value import Refusal, Value

_MODES = ("nearest", "linear", "cubic")


def resize(e: Layers, n) -> Value:
    """Resize (and the older Upsample), axis by axis."""
    v, mode = n[0], n.attr("mode", "nearest")
    if mode not in _MODES or n.attr("antialias", 0):
        raise Refusal(f"mode {mode!r}, antialias={n.attr('antialias', 0)}", f"use {_MODES}")
    rule = n.attr("coordinate_transformation_mode", "half_pixel")
    if n.op == "Upsample":
        rule = "asymmetric"
    if rule == "tf_crop_and_resize":
        raise Refusal("coordinate_transformation_mode 'tf_crop_and_resize'", "crop first")
    axes = n.given("axes", range(len(v.shape)))
    axes = [e.wrap(v, d) for d in axes]
    at = 1 if n.op == "Upsample" or n.opset < 11 else 2
    scales = _floats(n, at)
    if n.op == "Upsample" and scales is None:
        scales = n.given("scales")
    sizes = n.numbers("sizes", 3)
    if sizes is not None:
        if n.attr("keep_aspect_ratio_policy", "stretch") != "stretch":
            raise Refusal("keep_aspect_ratio_policy", "use 'stretch'")
        scales = [s / v.shape[d] for s, d in zip(sizes, axes)]
    elif scales is None:
        raise Refusal("neither sizes nor scales are constants")
    else:
        sizes = tuple(int(np.floor(v.shape[d] * s)) for s, d in zip(scales, axes))
    if len(scales) != len(axes) or min(sizes) < 1:
        raise Refusal(f"{len(scales)} scales for {len(axes)} axes")
    e.bounded(sizes)
    for d, size, scale in zip(axes, sizes, scales):
        length = v.shape[d]
        if size == length and scale == 1.0:
            continue
        places = _places(rule, length, size, float(scale))
        if mode == "nearest":
            v = e.take(v, _nearest(places, n.attr("nearest_mode", _round(n)), length), d)
        else:
            v = _weighted(e, v, d, places, mode, n)
    return v


def _round(n) -> str:
    return "floor" if n.op == "Upsample" or n.opset < 11 else "round_prefer_floor"


def _floats(n, i: int) -> list[float] | None:
    if n.get(i) is None or not n.array(i).size:
        return None
    return [float(x) for x in n.array(i).reshape(-1)]


def _places(rule: str, length: int, size: int, scale: float) -> Array:
    """Where every output lies on the input's axis."""
    x = np.arange(size, dtype=np.float64)
    if rule == "align_corners":
        full = scale * length  # not rounded down
        return x * (length - 1) / (full - 1) if full > 1 and size > 1 else x * 0
    if rule == "asymmetric":
        return x / scale
    if rule == "pytorch_half_pixel" and size == 1:
        return x * 0
    if rule == "half_pixel_symmetric":
        adjust = size / (scale * length)
        return length / 2 * (1 - adjust) + (x + 0.5) / scale - 0.5
    if rule in ("half_pixel", "pytorch_half_pixel"):
        return (x + 0.5) / scale - 0.5
    raise Refusal(f"coordinate_transformation_mode {rule!r}")


def _nearest(places: Array, way: str, length: int) -> Array:
    rounds: dict[str, Callable[[Array], Array]] = {
        "floor": np.floor,
        "ceil": np.ceil,
        "round_prefer_floor": lambda x: np.ceil(x - 0.5),
        "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    }
    if way not in rounds:
        raise Refusal(f"nearest_mode {way!r}", f"use {', '.join(rounds)}")
    return np.clip(rounds[way](places), 0, length - 1).astype(np.int64)


def _weighted(e: Layers, v: Value, d: int, places: Array, mode: str, n) -> Value:
    length, first = v.shape[d], np.floor(places)
    t = (places - first)[:, None]
    if mode == "linear":
        reach, weights = np.arange(2), np.concatenate([1 - t, t], axis=1)
    else:
        reach, weights = np.arange(-1, 3), _cubic(t, n.attr("cubic_coeff_a", -0.75))
    index = first[:, None].astype(np.int64) + reach
    if n.attr("exclude_outside", 0):
        weights = np.where((index < 0) | (index >= length), 0.0, weights)
        weights = weights / weights.sum(axis=1, keepdims=True)
    index = np.clip(index, 0, length - 1)
    out = e.p.gather_axis(e.tensor(v), e.axis(v, d, "the resize"), index, weights)
    shape: Sequence[int] = (*v.shape[:d], len(places), *v.shape[d + 1 :])
    return e.value(out, shape, v.axis, v.outer)


def _cubic(t: Array, a: float) -> Array:
    """Weights of the four neighbours of a point ``t`` past the second."""

    def near(x):
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x):
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return np.concatenate([far(t + 1), near(t), near(1 - t), far(2 - t)], axis=1)
