"""ECGFounder's Net1D by builder calls."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

import ecgkit as ek


def _same(n: int, k: int, stride: int) -> tuple[int, int]:
    total = max(0, (-(-n // stride) - 1) * stride + k - n)
    return total // 2, total - total // 2


def net1d_block(p: ek.nn.Program, h, layer, stride: int, first: bool):
    """One block; ``layer(name)`` gives the weight and bias of a layer."""
    y = p.silu(p.conv1d(h if first else p.silu(h), *layer("conv1")))
    cin, cout = h.shape[0], y.shape[0]
    y = p.pad(y, _same(y.shape[-1], 16, stride))
    y = p.silu(p.conv1d(y, *layer("conv2"), stride=stride, groups=cout // 16))
    y = p.conv1d(y, *layer("conv3"))
    gate = p.silu(p.linear(p.mean(y, -1), *layer("se_fc1")))
    gate = p.sigmoid(p.linear(gate, *layer("se_fc2")))
    y = p.multiply(y, p.reshape(gate, (cout, 1)))
    if stride == 2:
        h = p.max_pool1d(p.pad(h, (0, 1)), 2)
    if cin != cout:
        before = (cout - cin) // 2
        h = p.pad(h, (0, 0, before, cout - cin - before))
    return p.add(y, h)


def net1d(weights: Mapping[str, np.ndarray], shape: tuple[int, ...]) -> ek.nn.CompiledProgram:
    """The whole network; ``weights`` are those of :class:`_networks_conv.Net1D`."""
    p = ek.nn.Program("net1d")

    def layer(name):
        return weights[f"{name}.weight"], weights[f"{name}.bias"]

    h = p.pad(p.input("x", shape), _same(shape[-1], 16, 2))
    h, i = p.silu(p.conv1d(h, *layer("first_conv"), stride=2)), 0
    for count in (2, 2, 2, 3, 3, 4, 4):
        for k in range(count):
            at = f"blocks.{i}."
            h = net1d_block(p, h, lambda name, at=at: layer(at + name), 1 if k else 2, i == 0)
            i += 1
    p.output(p.linear(p.mean(h, -1), *layer("dense")), "logits")
    return p.compile()


PROGRAMS = {"ecgfounder_net1d": net1d}
