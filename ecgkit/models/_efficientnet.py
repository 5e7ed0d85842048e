"""EfficientNet-Lite0 (Tan and Le 2019; Lite: Google 2020), key names of the package
``efficientnet-lite-pytorch``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from .._typing import Array

EPS = 1e-3
_NORM = ("weight", "bias", "running_mean", "running_var")
# repeats, kernel, stride of the first, expansion, output channels
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class Block(NamedTuple):
    """One inverted bottleneck."""

    key: str
    cin: int
    cout: int
    kernel: int
    stride: int
    expand: int


def _blocks() -> Iterator[Block]:
    cin, i = 32, 0
    for repeats, kernel, stride, expand, cout in STAGES:
        for r in range(repeats):
            yield Block(f"_blocks.{i}", cin, cout, kernel, stride if r == 0 else 1, expand)
            cin, i = cout, i + 1


def _norm(key: str, channels: int) -> dict[str, tuple[int, ...]]:
    return {f"{key}.{part}": (channels,) for part in _NORM}


def expected(classes: int) -> dict[str, tuple[int, ...]]:
    """Key and shape of every tensor."""
    shapes: dict[str, tuple[int, ...]] = {"_conv_stem.weight": (32, 3, 3, 3), **_norm("_bn0", 32)}
    for b in _blocks():
        mid = b.cin * b.expand
        if b.expand != 1:
            shapes |= {f"{b.key}._expand_conv.weight": (mid, b.cin, 1, 1)}
            shapes |= _norm(f"{b.key}._bn0", mid)
        shapes |= {f"{b.key}._depthwise_conv.weight": (mid, 1, b.kernel, b.kernel)}
        shapes |= _norm(f"{b.key}._bn1", mid)
        shapes |= {f"{b.key}._project_conv.weight": (b.cout, mid, 1, 1)}
        shapes |= _norm(f"{b.key}._bn2", b.cout)
    shapes |= {"_conv_head.weight": (1280, 320, 1, 1), **_norm("_bn1", 1280)}
    return shapes | {"_fc.weight": (classes, 1280), "_fc.bias": (classes,)}


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME: what does not divide evenly goes behind."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def program(w: Mapping[str, Array], image: int):
    """Pictures (3, image, image) to logits and softmax; taps ``block0``.. and ``features``."""
    from .. import nn

    p = nn.Program("efficientnet_lite0")

    def conv_norm(x, size: int, conv: str, norm: str, *, stride=1, groups=1, name=None):
        weight = w[f"{conv}.weight"]
        pad = same_padding(size, weight.shape[-1], stride)
        h = p.conv2d(x, weight, stride=stride, padding=(pad, pad), groups=groups)
        scale, shift, mean, var = (w[f"{norm}.{part}"] for part in _NORM)
        return p.batch_norm(h, scale, shift, mean, var, eps=EPS, name=name)

    h = p.input("x", (3, image, image))
    h = p.relu6(conv_norm(h, image, "_conv_stem", "_bn0", stride=2))
    size = -(-image // 2)
    for i, b in enumerate(_blocks()):
        start, key, mid = h, b.key, b.cin * b.expand
        if b.expand != 1:
            h = p.relu6(conv_norm(h, size, f"{key}._expand_conv", f"{key}._bn0"))
        h = conv_norm(h, size, f"{key}._depthwise_conv", f"{key}._bn1", stride=b.stride, groups=mid)
        h = p.relu6(h)
        size = -(-size // b.stride)
        skip = b.stride == 1 and b.cin == b.cout
        name = f"block{i}"
        project = f"{key}._project_conv", f"{key}._bn2"
        h = conv_norm(h, size, *project, name=None if skip else name)
        if skip:
            h = p.add(h, start, name=name)
    h = p.relu6(conv_norm(h, size, "_conv_head", "_bn1"))
    h = p.mean(h, (-2, -1), name="features")
    logits = p.linear(h, w["_fc.weight"], w["_fc.bias"])
    p.output(logits, "logits")
    p.output(p.softmax(logits), "probabilities")
    return p.compile()
