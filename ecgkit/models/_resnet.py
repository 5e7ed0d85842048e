"""ResNet-18 on pictures (He et al. 2016), torchvision's layout and key names."""

from __future__ import annotations

from collections.abc import Mapping

from .._typing import Array

# (stage, output channels, stride of its first block); two basic blocks each
STAGES = ((1, 64, 1), (2, 128, 2), (3, 256, 2), (4, 512, 2))
_NORM = ("weight", "bias", "running_mean", "running_var")


def _blocks():
    cin = 64
    for stage, cout, stride in STAGES:
        for i in range(2):
            yield f"layer{stage}.{i}", cin, cout, stride if i == 0 else 1
            cin = cout


def _norm(key: str, channels: int) -> dict[str, tuple[int, ...]]:
    return {f"{key}.{part}": (channels,) for part in _NORM}


def expected(classes: int) -> dict[str, tuple[int, ...]]:
    """Key and shape of every tensor."""
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7), **_norm("bn1", 64)}
    for key, cin, cout, stride in _blocks():
        shapes |= {f"{key}.conv1.weight": (cout, cin, 3, 3), **_norm(f"{key}.bn1", cout)}
        shapes |= {f"{key}.conv2.weight": (cout, cout, 3, 3), **_norm(f"{key}.bn2", cout)}
        if stride != 1 or cin != cout:
            shapes |= {f"{key}.downsample.0.weight": (cout, cin, 1, 1)}
            shapes |= _norm(f"{key}.downsample.1", cout)
    return shapes | {"fc.weight": (classes, 512), "fc.bias": (classes,)}


def program(w: Mapping[str, Array], image: int):
    """Pictures (3, image, image) to logits and softmax; taps ``layer1``.. and ``features``."""
    from .. import nn

    p = nn.Program("resnet18")

    def conv_norm(x, conv: str, norm: str, stride: int, padding: int):
        h = p.conv2d(x, w[f"{conv}.weight"], stride=stride, padding=padding)
        scale, shift, mean, var = (w[f"{norm}.{part}"] for part in _NORM)
        return p.batch_norm(h, scale, shift, mean, var)

    h = p.input("x", (3, image, image))
    h = p.relu(conv_norm(h, "conv1", "bn1", 2, 3))
    h = p.max_pool2d(h, 3, stride=2, padding=1)
    for key, cin, cout, stride in _blocks():
        short = h
        if stride != 1 or cin != cout:
            short = conv_norm(h, f"{key}.downsample.0", f"{key}.downsample.1", stride, 0)
        h = p.relu(conv_norm(h, f"{key}.conv1", f"{key}.bn1", stride, 1))
        h = conv_norm(h, f"{key}.conv2", f"{key}.bn2", 1, 1)
        h = p.relu(p.add(h, short), name=key.split(".")[0] if key.endswith(".1") else None)
    h = p.mean(h, (-2, -1), name="features")
    logits = p.linear(h, w["fc.weight"], w["fc.bias"])
    p.output(logits, "logits")
    p.output(p.softmax(logits), "probabilities")
    return p.compile()
