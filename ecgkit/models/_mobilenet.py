"""MobileNetV2 on pictures (Sandler et al. 2018), torchvision's layout and key names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .._typing import Array

_NORM = ("weight", "bias", "running_mean", "running_var")
# expansion, output channels, repeats, stride of the first
STAGES = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
    (6, 320, 1, 1),
)  # fmt: skip
LAST = 18


def _blocks() -> Iterator[tuple[str, int, int, int, int]]:
    """Key, channels in, within and out, stride."""
    cin, i = 32, 1
    for expand, cout, repeats, stride in STAGES:
        for r in range(repeats):
            yield f"features.{i}.conv", cin, cin * expand, cout, stride if r == 0 else 1
            cin, i = cout, i + 1


def _layers(key: str, cin: int, mid: int) -> tuple[tuple[str, str], ...]:
    """Convolution and norm of a block's steps: (widening,) depthwise, narrowing."""
    wide = ((f"{key}.0.0", f"{key}.0.1"),) if mid != cin else ()
    n = len(wide)
    return (*wide, (f"{key}.{n}.0", f"{key}.{n}.1"), (f"{key}.{n + 1}", f"{key}.{n + 2}"))


def expected(classes: int) -> dict[str, tuple[int, ...]]:
    """Key and shape of every tensor."""
    shapes: dict[str, tuple[int, ...]] = {}

    def conv_norm(conv: str, norm: str, *shape: int) -> None:
        shapes[f"{conv}.weight"] = shape
        shapes.update({f"{norm}.{part}": shape[:1] for part in _NORM})

    conv_norm("features.0.0", "features.0.1", 32, 3, 3, 3)
    for key, cin, mid, cout, _ in _blocks():
        *wide, deep, narrow = _layers(key, cin, mid)
        for names in wide:
            conv_norm(*names, mid, cin, 1, 1)
        conv_norm(*deep, mid, 1, 3, 3)
        conv_norm(*narrow, cout, mid, 1, 1)
    conv_norm(f"features.{LAST}.0", f"features.{LAST}.1", 1280, 320, 1, 1)
    return shapes | {"classifier.1.weight": (classes, 1280), "classifier.1.bias": (classes,)}


def program(w: Mapping[str, Array], image: int):
    """Pictures (3, image, image) to logits and softmax; taps ``block0``.. and ``features``."""
    from .. import nn

    p = nn.Program("mobilenet_v2")

    def conv_norm(x, conv: str, norm: str, **options):
        h = p.conv2d(x, w[f"{conv}.weight"], **options)
        scale, shift, mean, var = (w[f"{norm}.{part}"] for part in _NORM)
        return p.batch_norm(h, scale, shift, mean, var)

    h = p.input("x", (3, image, image))
    h = p.relu6(conv_norm(h, "features.0.0", "features.0.1", stride=2, padding=1))
    for i, (key, cin, mid, cout, stride) in enumerate(_blocks()):
        *wide, deep, narrow = _layers(key, cin, mid)
        y = h
        for names in wide:
            y = p.relu6(conv_norm(y, *names))
        y = p.relu6(conv_norm(y, *deep, stride=stride, padding=1, groups=mid))
        y = conv_norm(y, *narrow)
        h = p.add(h, y, name=f"block{i}") if stride == 1 and cin == cout else y
    h = p.relu6(conv_norm(h, f"features.{LAST}.0", f"features.{LAST}.1"))
    h = p.mean(h, (-2, -1), name="features")
    logits = p.linear(h, w["classifier.1.weight"], w["classifier.1.bias"])
    p.output(logits, "logits")
    p.output(p.softmax(logits), "probabilities")
    return p.compile()
