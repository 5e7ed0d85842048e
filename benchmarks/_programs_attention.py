"""The transformers of :mod:`_networks_attention` by builder calls."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

import ecgkit as ek

Weights = Mapping[str, np.ndarray]


class _Transformer:
    """A program and the weights it takes by name."""

    def __init__(self, name: str, weights: Weights, shape: tuple[int, ...]):
        self.p, self.w = ek.nn.Program(name), weights
        self.x = self.p.input("x", shape)

    def linear(self, x, at: str):
        return self.p.linear(x, self.w[f"{at}.weight"], self.w.get(f"{at}.bias"))

    def norm(self, x, at: str, eps: float):
        return self.p.layer_norm(x, self.w[f"{at}.weight"], self.w.get(f"{at}.bias"), eps)

    def patches(self, x, at: str, size: tuple[int, ...]):
        """Every patch as a row, projected: a convolution whose stride is its kernel."""
        p, w = self.p, self.w[f"{at}.weight"]
        rank = len(size)
        grid = tuple(n // s for n, s in zip(x.shape[1:], size))
        split = [n for pair in zip(grid, size) for n in pair]
        order = (*range(1, 2 * rank, 2), 0, *range(2, 2 * rank + 1, 2))
        rows = p.transpose(p.reshape(x, (x.shape[0], *split)), order)
        rows = p.reshape(rows, (int(np.prod(grid)), -1))
        return p.linear(rows, w.reshape(len(w), -1), self.w.get(f"{at}.bias"))

    def block(self, x, at: str, heads: int, eps: float, act: str = "gelu", **attention):
        p = self.p
        d = x.shape[-1]
        qkv = self.linear(self.norm(x, f"{at}.norm1", eps), f"{at}.attn.qkv")
        if "window" in attention:  # tokens are the pixels of a square
            side = int(x.shape[0] ** 0.5)
            qkv = p.reshape(qkv, (side, side, 3 * d))
        q, k, v = (p.slice(qkv, -1, i * d, (i + 1) * d) for i in range(3))
        y = p.reshape(p.attention(q, k, v, heads=heads, **attention), x.shape)
        x = p.add(x, self.linear(y, f"{at}.attn.proj"))
        h = p.activation(self.linear(self.norm(x, f"{at}.norm2", eps), f"{at}.fc1"), act)
        return p.add(x, self.linear(h, f"{at}.fc2"))

    def done(self, y) -> ek.nn.CompiledProgram:
        self.p.output(y, "logits")
        return self.p.compile()


def _jepa_vit_s(weights: Weights, shape):
    t = _Transformer("jepa_vit_s", weights, shape)
    p = t.p
    h = p.add(t.patches(t.x, "patch_embed", (25,)), weights["positions"][0])
    h = p.concat([p.constant(weights["register"][0]), h], 0)
    for i in range(8):
        h = t.block(h, f"blocks.{i}", 6, 1e-6)
    return t.done(t.linear(t.norm(p.select(h, 0), "norm", 1e-6), "head"))


def _merl_vit_tiny(weights: Weights, shape):
    t = _Transformer("merl_vit_tiny", weights, shape)
    p = t.p
    h = p.add(t.patches(t.x, "patch_embed", (50,)), weights["positions"][0])
    for i in range(12):
        h = t.block(h, f"blocks.{i}", 3, 1e-5)
    return t.done(t.linear(t.norm(p.mean(h, 0), "norm", 1e-5), "head"))


def _vit_b16(weights: Weights, shape):
    t = _Transformer("vit_b16", weights, shape)
    p = t.p
    h = t.patches(t.x, "patch_embed", (16, 16))
    h = p.add(p.concat([p.constant(weights["cls"][0]), h], 0), weights["positions"][0])
    for i in range(12):
        h = t.block(h, f"blocks.{i}", 12, 1e-12)
    return t.done(t.linear(t.norm(p.select(h, 0), "norm", 1e-12), "head"))


def _swin_t(weights: Weights, shape):
    t = _Transformer("swin_t", weights, shape)
    p = t.p
    y, x = (i.ravel() for i in np.indices((7, 7)))
    index = (y[:, None] - y + 6) * 13 + x[:, None] - x + 6
    h = t.norm(t.patches(t.x, "patch_embed", (4, 4)), "embed_norm", 1e-5)
    layer, side = 0, 56
    for stage, (depth, heads) in enumerate(zip((2, 2, 6, 2), (3, 6, 12, 24))):
        for i in range(depth):
            at = f"layers.{layer}"
            bias = weights[f"{at}.attn.table"][index].transpose(2, 0, 1)
            shift = 3 if i % 2 and side > 7 else 0
            h = t.block(h, at, heads, 1e-5, window=7, shift=shift, bias=bias)
            layer += 1
        if stage == 3:
            break
        half, d = side // 2, h.shape[-1]
        h = p.transpose(p.reshape(h, (half, 2, half, 2, d)), (0, 2, 3, 1, 4))
        h = t.norm(p.reshape(h, (half * half, 4 * d)), f"layers.{layer}.norm", 1e-5)
        h = t.linear(h, f"layers.{layer}.reduction")
        layer, side = layer + 1, half
    return t.done(t.linear(p.mean(t.norm(h, "norm", 1e-5), 0), "head"))


def _ce_ssl(weights: Weights, shape):
    t = _Transformer("ce_ssl", weights, shape)
    p, w = t.p, weights

    def conv(x, at: str, **options):
        return p.conv1d(x, w[f"{at}.weight"], w[f"{at}.bias"], **options)

    def norm(x, at: str):
        return p.batch_norm(
            x, *(w[f"{at}.{k}"] for k in ("weight", "bias", "running_mean", "running_var"))
        )

    h = t.x
    for i in range(3):
        at = f"convs.{i}"
        y = p.leaky_relu(norm(conv(h, f"{at}.conv1", stride=4, padding=4), f"{at}.bn1"))
        y = p.leaky_relu(norm(conv(y, f"{at}.conv2", padding=4), f"{at}.bn2"))
        h = p.add(y, conv(p.avg_pool1d(h, 4), f"{at}.conv3"))
    h = p.add(p.transpose(h, (1, 0)), w["positions"][0])
    for i in range(8):
        h = t.block(h, f"blocks.{i}", 16, 1e-5, act="leaky_relu", causal=True)
    return t.done(t.linear(t.linear(p.max(h, 0), "fc1"), "fc2"))


PROGRAMS = {
    "jepa_vit_s": _jepa_vit_s,
    "vit_b16": _vit_b16,
    "swin_t": _swin_t,
    "merl_vit_tiny": _merl_vit_tiny,
    "ce_ssl": _ce_ssl,
}
