"""ECG-JEPA: constants of its data sets, key layouts, and its networks as programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._typing import Array
from ..record import STANDARD_LEADS

PATCH, PATCHES, EPS = 25, 200, 1e-6
EXTRAS = ("bias", "qkv_bias", "head_bias", "layer_scale")
"""Keys that other configurations than the published ones add."""


@dataclass(frozen=True)
class Size:
    """Encoder and predictor: width, layers, heads."""

    dim: int
    depth: int
    heads: int
    pred_dim: int
    pred_depth: int
    pred_heads: int


SIZES = {
    "vit_s": Size(384, 8, 6, 192, 8, 6),
    "vit_xs": Size(192, 8, 4, 96, 8, 4),
    "vit_b": Size(768, 12, 12, 384, 12, 12),
}

# ---------------------------------------------------------------- normalisation
_MIMIC = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")
_STATISTICS = {
    "ptb-xl": (
        "-.002 -.002 0 .002 -.001 -.001 0 -.001 -.002 -.001 -.001 -.001",
        ".191 .166 .173 .142 .149 .147 .235 .338 .335 .299 .294 .242",
    ),
    "mimic-iv-ecg": (
        ".023 .015 -.007 -.019 .004 .014 -.018 -.004 .002 .017 .022 .022",
        ".155 .158 .166 .133 .143 .141 .207 .282 .284 .253 .222 .197",
    ),
    "code-15": ("", ".488 .450 .437 .416 .405 .370 .548 .639 .719 .695 .676 .639"),
    "ptb": ("", ".642 .975 .953 .674 .651 .909 .643 .658 .668 .688 .648 .622"),
    "cpsc": ("", ".214 .236 .221 .209 .196 .214 .336 .417 .449 .483 .523 .561"),
    "cpsc-extra": ("", ".214 .236 .221 .209 .196 .214 .336 .417 .449 .483 .523 .561"),
    "cpsc-extra-own": ("", ".182 .183 .184 .163 .164 .165 .288 .370 .371 .380 .375 .392"),
    "georgia": (
        "-.003 -.002 .001 .003 -.002 -.001 -.004 -.004 -.003 -.003 -.003 -.003",
        ".157 .178 .164 .147 .134 .153 .213 .285 .272 .245 .224 .209",
    ),
    "ningbo": (
        ".002 .004 .002 -.001 -.001 .002 0 .003 .003 .004 .003 0",
        ".145 .179 .159 .142 .123 .153 .228 .368 .377 .394 .405 .444",
    ),
    "chapman-shaoxing": (
        ".002 .005 .003 -.002 -.002 .003 0 .003 .004 .004 .003 -.001",
        ".140 .171 .145 .138 .114 .143 .218 .355 .366 .365 .332 .299",
    ),
    "st-petersburg": ("", ".132 .370 .353 .215 .191 .356 .234 .320 .328 .290 .317 .337"),
}
DATASETS = tuple(_STATISTICS)
HIGH_PASSED = ("code-15", "st-petersburg")


def statistics(dataset: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Means and deviations in mV of the twelve standard leads, in their order."""
    order = _MIMIC if dataset == "mimic-iv-ecg" else STANDARD_LEADS
    found = []
    for text in _STATISTICS[dataset]:
        values = dict(zip(order, map(float, text.split() or ["0"] * 12), strict=True))
        found.append(tuple(values[lead] for lead in STANDARD_LEADS))
    return found[0], found[1]


# ---------------------------------------------------------------- key layouts
Shapes = dict[str, tuple[int, ...]]


def block_shapes(at: str, d: int, extras: Sequence[str], *, scaled: bool = True) -> Shapes:
    """One transformer layer."""
    shapes: Shapes = {}
    bias, qkv = "bias" in extras, "qkv_bias" in extras
    for name, shape, has in (
        ("norm1", (d,), bias),
        ("attn.qkv", (3 * d, d), qkv),
        ("attn.proj", (d, d), bias),
        ("attn_ls", (d,), False),
        ("norm2", (d,), bias),
        ("mlp.fc1", (4 * d, d), bias),
        ("mlp.fc2", (d, 4 * d), bias),
        ("mlp_ls", (d,), False),
    ):
        if name.endswith("_ls") and not (scaled and "layer_scale" in extras):
            continue
        shapes |= _pair(f"{at}.{name}", shape, has)
    return shapes


def _pair(at: str, shape: tuple[int, ...], bias: bool) -> Shapes:
    return {f"{at}.weight": shape} | ({f"{at}.bias": shape[:1]} if bias else {})


def encoder_shapes(pre: str, size: Size, extras: Sequence[str]) -> Shapes:
    """With the prefix of its keys, ``"encoder."`` for example."""
    shapes: Shapes = {f"{pre}registers": (1, 1, size.dim)}
    shapes |= _pair(f"{pre}patch_embed.proj", (size.dim, 12, PATCH), "bias" in extras)
    for i in range(size.depth):
        shapes |= block_shapes(f"{pre}blocks.{i}", size.dim, extras)
    return shapes | _pair(f"{pre}norm", (size.dim,), "bias" in extras)


def predictor_shapes(size: Size, extras: Sequence[str]) -> Shapes:
    """The predictor of hidden patches; it has no layer scale."""
    d, bias = size.pred_dim, "bias" in extras
    shapes: Shapes = {"predictor.mask_token": (1, 1, d)}
    shapes |= _pair("predictor.embed", (d, size.dim), bias)
    for i in range(size.pred_depth):
        shapes |= block_shapes(f"predictor.blocks.{i}", d, extras, scaled=False)
    return (
        shapes | _pair("predictor.norm", (d,), bias) | _pair("predictor.proj", (size.dim, d), bias)
    )


def head_shapes(head: str, size: Size, classes: int, extras: Sequence[str]) -> Shapes:
    """Of the attentive pool, or of the linear layer on the register or on the mean."""
    d, qkv = size.dim, "qkv_bias" in extras
    if head != "attentive":
        return _pair("fc", (classes, d), "head_bias" in extras)
    at = "attn_pool.cross_attention_block"
    return (
        {"attn_pool.query_token": (1, 1, d)}
        | _pair(f"{at}.q", (d, d), qkv)
        | _pair(f"{at}.kv", (2 * d, d), qkv)
        | _pair(f"{at}.proj", (classes, d), "bias" in extras)
    )


# -------------------------------------------------------------------- networks
def positions(count: int, dim: int) -> Array:
    """Sines in even columns, cosines in odd ones, base 10,000; (count, dim) float32."""
    angle = np.arange(count)[:, None] * 10000.0 ** (-np.arange(0, dim, 2) / dim)
    return np.stack([np.sin(angle), np.cos(angle)], -1).reshape(count, dim).astype(np.float32)


class Vit:
    """The layers of encoder and predictor, from their keys."""

    def __init__(self, p: Any, w: Mapping[str, Array], pre: str):
        self.p, self.w, self.pre = p, w, pre

    def linear(self, x: Any, at: str, scale: str = "", name: str | None = None) -> Any:
        """With the layer scale behind it, where the file has one, in its weights."""
        weight, bias = self.w[f"{self.pre}{at}.weight"], self.w.get(f"{self.pre}{at}.bias")
        factor = self.w.get(f"{self.pre}{scale}.weight") if scale else None
        if factor is not None:
            weight = weight * factor[:, None]
            bias = None if bias is None else bias * factor
        return self.p.linear(x, weight, bias, name=name)

    def norm(self, x: Any, at: str, name: str | None = None) -> Any:
        weight, bias = self.w[f"{self.pre}{at}.weight"], self.w.get(f"{self.pre}{at}.bias")
        return self.p.layer_norm(x, weight, bias, EPS, name=name)

    def blocks(self, h: Any, depth: int, heads: int) -> Any:
        """Tapped by their keys, and so is what attention reads and what it gives."""
        p = self.p
        for i in range(depth):
            at = f"blocks.{i}"
            qkv = self.linear(self.norm(h, f"{at}.norm1"), f"{at}.attn.qkv", name=f"{at}.attn.qkv")
            y = p.attention(*p.chunk(qkv, 3, -1), heads=heads, name=f"{at}.attn")
            h = p.add(h, self.linear(y, f"{at}.attn.proj", f"{at}.attn_ls"))
            y = p.gelu(self.linear(self.norm(h, f"{at}.norm2"), f"{at}.mlp.fc1"))
            h = p.add(h, self.linear(y, f"{at}.mlp.fc2", f"{at}.mlp_ls"), name=at)
        return h

    def patches(self, x: Any, name: str | None = None) -> Any:
        """(12, time) to (patch, dim), with positions."""
        weight = self.w[f"{self.pre}patch_embed.proj.weight"]
        bias = self.w.get(f"{self.pre}patch_embed.proj.bias")
        h = self.p.transpose(self.p.conv1d(x, weight, bias, stride=PATCH), (1, 0))
        return self.p.add(h, positions(*h.shape), name=name)

    def encoder(self, h: Any, size: Size) -> Any:
        """Patches to the tokens of the last norm, the register first."""
        register = self.p.constant(self.w[f"{self.pre}registers"][0])
        h = self.blocks(self.p.concat([register, h], 0), size.depth, size.heads)
        return self.norm(h, "norm", name="tokens")


def classifier(w: Mapping[str, Array], pre: str, size: Size, head: str, length: int):
    """Encoder and head on one crop: features, and logits where there is a head."""
    from .. import nn

    p = nn.Program("ecg_jepa")
    net = Vit(p, w, pre)
    tokens = net.encoder(net.patches(p.input("x", (12, length)), name="patches"), size)
    if head == "attentive":
        features = _attentive_pool(p, w, tokens, size)
    elif head == "register":
        features = p.select(tokens, 0, name="features")
    else:  # without a head: the mean as well
        features = p.mean(p.slice(tokens, 0, 1), 0, name="features")
    if head == "none":
        p.output(features, "features")
        return p.compile()
    at = "attn_pool.cross_attention_block.proj" if head == "attentive" else "fc"
    p.output(p.linear(features, w[f"{at}.weight"], w.get(f"{at}.bias")), "logits")
    return p.compile()


def _attentive_pool(p: Any, w: Mapping[str, Array], tokens: Any, size: Size) -> Any:
    """One learned query over all tokens, the register among them."""
    at, d = "attn_pool.cross_attention_block", size.dim
    query = w[f"{at}.q.weight"].astype(np.float64) @ w["attn_pool.query_token"][0, 0]
    query += w.get(f"{at}.q.bias", np.zeros(d))
    kv = p.linear(tokens, w[f"{at}.kv.weight"], w.get(f"{at}.kv.bias"), name="attn_pool.kv")
    key, value = p.chunk(kv, 2, -1)
    q = p.constant(query[None].astype(np.float32), name="attn_pool.q")
    y = p.attention(q, key, value, heads=size.heads, name="attn_pool")
    return p.reshape(y, (d,), name="features")


@dataclass(frozen=True)
class Predictor:
    """What pretraining compares: the context encoder and the predictor, on any set of patches."""

    patches: Any
    context: Any
    predict: Any
    table: Array
    mask_token: Array

    def __call__(self, x: Array, kept: Array, hidden: Array) -> Array:
        """Predicted latents of the hidden patches, (n, hidden, dim), from the kept ones."""
        seen = np.take_along_axis(self.patches(x), kept[:, :, None], 1)
        known = self.context(seen.swapaxes(1, 2)) + self.table[kept]
        asked = np.broadcast_to(self.mask_token, (*hidden.shape, len(self.mask_token)))
        tokens = np.concatenate([known, asked + self.table[hidden]], axis=1)
        out = self.predict(tokens.swapaxes(1, 2))
        return out[:, kept.shape[1] :]


def predictor(w: Mapping[str, Array], size: Size, length: int) -> Predictor:
    """The programs of :class:`Predictor`."""
    from .. import nn

    count = length // PATCH
    p = nn.Program("ecg_jepa_patches")
    p.output(Vit(p, w, "encoder.").patches(p.input("x", (12, length))))
    patches = p.compile()
    p = nn.Program("ecg_jepa_context")  # tokens along the last axis, whose length is free
    h = p.transpose(p.input("patches", (size.dim, count)), (1, 0))
    h = p.slice(Vit(p, w, "encoder.").encoder(h, size), 0, 1)
    p.output(Vit(p, w, "predictor.").linear(h, "embed"))
    context = p.compile()
    p = nn.Program("ecg_jepa_predictor")
    net = Vit(p, w, "predictor.")
    h = p.transpose(p.input("tokens", (size.pred_dim, count)), (1, 0))
    h = net.norm(net.blocks(h, size.pred_depth, size.pred_heads), "norm")
    p.output(net.linear(h, "proj"))
    table = positions(count, size.pred_dim)
    return Predictor(patches, context, p.compile(), table, w["predictor.mask_token"][0, 0])
