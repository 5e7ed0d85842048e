"""The benchmark's networks described by builder calls: what a user without PyTorch writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

import ecgkit as ek

Weights = Mapping[str, np.ndarray]


class _Builder:
    """A program and the weights it takes by name."""

    def __init__(self, name: str, weights: Weights, shape: tuple[int, ...]):
        self.p, self.w = ek.nn.Program(name), weights
        self.x = self.p.input("x", shape)

    def conv(self, x, name: str, rank: int = 1, **options):
        conv = self.p.conv1d if rank == 1 else self.p.conv2d
        return conv(x, self.w[f"{name}.weight"], self.w.get(f"{name}.bias"), **options)

    def norm(self, x, name: str):
        keys = ("weight", "bias", "running_mean", "running_var")
        return self.p.batch_norm(x, *(self.w[f"{name}.{k}"] for k in keys))

    def linear(self, x, name: str):
        return self.p.linear(x, self.w[f"{name}.weight"], self.w[f"{name}.bias"])

    def done(self, y) -> ek.nn.CompiledProgram:
        self.p.output(y, "logits")
        return self.p.compile()


def _basic_blocks(b: _Builder, h, rank: int):
    p = b.p
    for i in range(8):
        at, stride = f"layers.{i}", 2 if i in (2, 4, 6) else 1
        y = b.conv(h, f"{at}.conv1", rank, stride=stride, padding=1)
        y = b.conv(p.relu(b.norm(y, f"{at}.bn1")), f"{at}.conv2", rank, padding=1)
        y = b.norm(y, f"{at}.bn2")
        if stride != 1:
            h = b.norm(b.conv(h, f"{at}.shortcut.0", rank, stride=2), f"{at}.shortcut.1")
        h = p.relu(p.add(y, h))
    return h


def _resnet1d(weights: Weights, shape, pool: bool):
    b = _Builder("resnet1d18", weights, shape)
    p = b.p
    h = p.relu(b.norm(b.conv(b.x, "conv1", stride=2, padding=3), "bn1"))
    h = _basic_blocks(b, p.max_pool1d(h, 3, 2, 1) if pool else h, 1)
    if not pool:
        return b.done(h)
    return b.done(p.sigmoid(b.linear(p.relu(b.linear(p.mean(h, -1), "head.2")), "head.4")))


def _protoecgnet_2d(weights: Weights, shape):
    b = _Builder("protoecgnet_2d", weights, shape)
    p = b.p
    h = p.relu(b.norm(b.conv(b.x, "conv1", 2, stride=(1, 2), padding=(0, 3)), "bn1"))
    h = _basic_blocks(b, p.max_pool2d(h, 3, 2, 1), 2)
    return b.done(p.sigmoid(b.conv(p.relu(b.conv(h, "add_on.0", 2)), "add_on.2", 2)))


def _xresnet1d101(weights: Weights, shape):
    b = _Builder("xresnet1d101", weights, shape)
    p = b.p

    def conv_norm(x, at, k, stride=1):
        return b.norm(b.conv(x, f"{at}.0", stride=stride, padding=(k - 1) // 2), f"{at}.1")

    h = b.x
    for i in range(3):
        h = p.relu(conv_norm(h, f"layers.{i}", 5, 1 if i else 2))
    h = p.max_pool1d(h, 3, 2, 1)
    strided = (7, 11, 34)  # the first blocks of stages 2 to 4
    for i in range(4, 37):
        at, stride = f"layers.{i}", 2 if i in strided else 1
        y = p.relu(conv_norm(h, f"{at}.convs.0", 1))
        y = conv_norm(p.relu(conv_norm(y, f"{at}.convs.1", 5, stride)), f"{at}.convs.2", 1)
        if stride == 2:
            h = p.avg_pool1d(h, 2, ceil_mode=True)
        if i == 4:
            h = conv_norm(h, f"{at}.idpath.0", 1)
        h = p.relu(p.add(y, h))
    h = b.norm(p.concat([p.max(h, -1), p.mean(h, -1)], 0), "head.0")
    return b.done(b.linear(b.norm(p.relu(b.linear(h, "head.1")), "head.3"), "head.4"))


PROGRAMS: dict[str, Callable[[Weights, tuple[int, ...]], ek.nn.CompiledProgram]] = {
    "merl_resnet1d18": lambda w, shape: _resnet1d(w, shape, pool=False),
    "protoecgnet_1d": lambda w, shape: _resnet1d(w, shape, pool=True),
    "protoecgnet_2d": _protoecgnet_2d,
    "xresnet1d101": _xresnet1d101,
}


def compiled(name: str, module, shape: tuple[int, ...]) -> ek.nn.CompiledProgram:
    """Our program of a benchmark network."""
    from ecgkit.models import _efficientnet, _resnet, scalogram_arrhythmia

    weights = {key: value.numpy() for key, value in module.state_dict().items()}
    if name in PROGRAMS:
        return PROGRAMS[name](weights, shape)
    if name == "resnet18":
        return _resnet.program(weights, shape[-1])
    if name == "efficientnet_lite0":
        return _efficientnet.program(weights, shape[-1])
    if name in ("cnn1d", "cnn_lstm"):
        return scalogram_arrhythmia._sequence_program(name, weights)
    return ek.nn.from_torch(module, shape)
