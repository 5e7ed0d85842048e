"""Vision transformers on pictures: ViT, BEiT and Swin, in the key layouts of transformers and timm.

One table says where each layout keeps each part; the forward passes read the parts by our names and
know nothing of layouts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._typing import Array

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Network:
    """Sizes of one network."""

    kind: str  # "vit", "beit" or "swin"
    width: int
    depths: tuple[int, ...] = (12,)
    heads: tuple[int, ...] = (12,)

    @property
    def features(self) -> int:
        """Width of the pooled vector."""
        return self.width << (len(self.depths) - 1)


NETWORKS = {
    "vit_base": Network("vit", 768),
    "beit_base": Network("beit", 768),
    "swin_tiny": Network("swin", 96, (2, 2, 6, 2), (3, 6, 12, 24)),
    "swin_base": Network("swin", 128, (2, 2, 18, 2), (4, 8, 16, 32)),
    "vit_small": Network("vit", 384, heads=(6,)),
    "vit_tiny": Network("vit", 192, heads=(3,)),
}
LAYOUTS = ("transformers", "timm")
SIDE = 224
GRID = {"vit": 14, "beit": 14, "swin": 56}
PATCH = {"vit": 16, "beit": 16, "swin": 4}
WINDOW = 7
_EPS = {"transformers": 1e-12, "timm": 1e-6}  # Swin: 1e-5 in both

# Our name of a layer of a block, then each layout's.
_BLOCK = {
    "norm1": ("layernorm_before", "norm1"),
    "proj": ("attention.output.dense", "attn.proj"),
    "norm2": ("layernorm_after", "norm2"),
    "fc1": ("intermediate.dense", "mlp.fc1"),
    "fc2": ("output.dense", "mlp.fc2"),
}
_TOP = {
    "patch": ("embeddings.patch_embeddings.projection", "patch_embed.proj"),
    "patch_norm": ("embeddings.norm", "patch_embed.norm"),
    "norm": ("layernorm", "norm"),
    "pool_norm": ("pooler.layernorm", "fc_norm"),
    "head": ("classifier", "head"),
}
UNUSED = (".relative_position_index", ".attn_mask", ".pooler.dense.weight", ".pooler.dense.bias")


class Keys:
    """Where one layout of one network keeps its tensors."""

    def __init__(self, network: str, layout: str):
        self.net, self.layout = NETWORKS[network], layout
        self.which = LAYOUTS.index(layout)
        self.root = f"{self.net.kind}." if layout == "transformers" else ""

    def top(self, part: str) -> str:
        if part == "head":
            swin = self.which and self.net.kind == "swin"
            return "head.fc" if swin else _TOP["head"][self.which]
        return self.root + _TOP[part][self.which]

    def token(self, part: str) -> str:
        names = {"class": ("embeddings.cls_token", "cls_token"),
                 "position": ("embeddings.position_embeddings", "pos_embed")}  # fmt: skip
        return self.root + names[part][self.which]

    def block(self, stage: int, i: int) -> str:
        if self.net.kind == "swin":
            encoder = "" if self.which else "encoder."
            return f"{self.root}{encoder}layers.{stage}.blocks.{i}."
        return self.root + ("blocks" if self.which else "encoder.layer") + f".{i}."

    def merge(self, stage: int) -> str:
        """The halving of the grid after a stage: timm counts it to the next."""
        return (
            f"layers.{stage + 1}.downsample."
            if self.which
            else f"{self.root}encoder.layers.{stage}.downsample."
        )

    def inner(self, part: str) -> str:
        """Within a block."""
        return _BLOCK[part][self.which]

    @property
    def table(self) -> str:
        if self.which:
            return "attn.relative_position_bias_table"
        if self.net.kind == "swin":
            return "attention.self.relative_position_bias_table"
        return "attention.attention.relative_position_bias.relative_position_bias_table"

    @property
    def attention(self) -> str:
        return "attention.self." if self.net.kind == "swin" else "attention.attention."

    @property
    def scales(self) -> tuple[str, str]:
        return ("gamma_1", "gamma_2") if self.which else ("lambda_1", "lambda_2")

    def blocks(self) -> Iterator[tuple[int, str, int, int]]:
        """Stage, key, width and heads of every block."""
        for stage, (depth, heads) in enumerate(zip(self.net.depths, self.net.heads, strict=True)):
            for i in range(depth):
                yield stage, self.block(stage, i), self.net.width << stage, heads

    def expected(self, classes: int) -> dict[str, Shape]:
        """Key and shape of every tensor."""
        net, shapes = self.net, {}

        def pair(key: str, *shape: int) -> None:
            shapes[f"{key}.weight"], shapes[f"{key}.bias"] = shape, shape[:1]

        patch = PATCH[net.kind]
        if net.kind != "swin":
            shapes[self.token("class")] = (1, 1, net.width)
        if net.kind == "vit":
            shapes[self.token("position")] = (1, GRID["vit"] ** 2 + 1, net.width)
        pair(self.top("patch"), net.width, 3, patch, patch)
        if net.kind == "swin":
            pair(self.top("patch_norm"), net.width)
        before = 0
        for stage, at, d, heads in self.blocks():
            if stage != before:
                self._merge_shapes(shapes, before, d // 2)
                before = stage
            pair(at + self.inner("norm1"), d)
            self._attention_shapes(shapes, at, d, heads)
            pair(at + self.inner("proj"), d, d)
            pair(at + self.inner("norm2"), d)
            pair(at + self.inner("fc1"), 4 * d, d)
            pair(at + self.inner("fc2"), d, 4 * d)
            if net.kind == "beit":
                shapes |= {at + scale: (d,) for scale in self.scales}
        pair(self.top("pool_norm" if net.kind == "beit" else "norm"), net.features)
        if classes:
            pair(self.top("head"), classes, net.features)
        return shapes

    def _merge_shapes(self, shapes: dict[str, Shape], stage: int, d: int) -> None:
        at = self.merge(stage)
        shapes |= {f"{at}norm.weight": (4 * d,), f"{at}norm.bias": (4 * d,)}
        shapes[f"{at}reduction.weight"] = (2 * d, 4 * d)

    def _attention_shapes(self, shapes: dict[str, Shape], at: str, d: int, heads: int) -> None:
        beit = self.net.kind == "beit"
        if self.which:
            shapes[f"{at}attn.qkv.weight"] = (3 * d, d)
            biases = ("attn.q_bias", "attn.v_bias") if beit else ("attn.qkv.bias",)
            shapes |= {at + key: (d if beit else 3 * d,) for key in biases}
        else:
            for part in ("query", "key", "value"):
                shapes[f"{at}{self.attention}{part}.weight"] = (d, d)
                if not (beit and part == "key"):
                    shapes[f"{at}{self.attention}{part}.bias"] = (d,)
        if self.net.kind != "vit":
            side = 2 * (WINDOW if self.net.kind == "swin" else GRID["beit"]) - 1
            shapes[at + self.table] = (side * side + (3 if beit else 0), heads)

    # ------------------------------------------------------------------ parts
    def projection(self, w: Mapping[str, Array], at: str, d: int) -> tuple[Array, Array]:
        """Weight (3d, d) and bias of query, key and value together; BEiT's key has no bias."""
        beit, none = self.net.kind == "beit", np.zeros(d, np.float32)
        if self.which:
            if not beit:
                return w[f"{at}attn.qkv.weight"], w[f"{at}attn.qkv.bias"]
            biases = (w[f"{at}attn.q_bias"], none, w[f"{at}attn.v_bias"])
            return w[f"{at}attn.qkv.weight"], np.concatenate(biases)
        names = [f"{at}{self.attention}{part}" for part in ("query", "key", "value")]
        weight = np.concatenate([w[f"{n}.weight"] for n in names])
        return weight, np.concatenate([w.get(f"{n}.bias", none) for n in names])


def relative_bias(table: Array, side: int, class_token: bool) -> Array:
    """The bias of every pair of tokens of a square grid, (heads, tokens, tokens).

    Entry (a, b) is row ``(ya - yb + side - 1) * (2 side - 1) + (xa - xb + side - 1)`` of the
    table; with a class token in front, the last three rows are its own: to others, from others,
    to itself.
    """
    y, x = np.divmod(np.arange(side * side), side)
    wide = 2 * side - 1
    index = (y[:, None] - y + side - 1) * wide + (x[:, None] - x + side - 1)
    if class_token:
        index = np.pad(index, ((1, 0), (1, 0)))
        index[0, :], index[:, 0], index[0, 0] = wide**2, wide**2 + 1, wide**2 + 2
    return np.ascontiguousarray(np.moveaxis(table[index], -1, 0))


# ---------------------------------------------------------------- the network
def program(w: Mapping[str, Array], network: str, layout: str, classes: int) -> Any:
    """Pictures (3, 224, 224) to features, or logits and softmax with a head.

    Taps: ``features``, and ``block0``.. (ViT, BEiT: with the class token in front) or
    ``stage0``.. (Swin, (rows, columns, width)).
    """
    from .. import nn

    keys = Keys(network, layout)
    p = nn.Program(network)
    x = p.input("x", (3, SIDE, SIDE))
    patch, key = PATCH[keys.net.kind], keys.top("patch")
    h = p.conv2d(x, w[f"{key}.weight"], w[f"{key}.bias"], stride=patch)
    h = p.transpose(p.reshape(h, (keys.net.width, -1)), (1, 0))
    h = _swin(p, w, keys, h) if keys.net.kind == "swin" else _plain(p, w, keys, h)
    if not classes:
        p.output(h, "features")
        return p.compile()
    logits = _linear(p, w, keys.top("head"), h)
    p.output(logits, "logits")
    p.output(p.softmax(logits), "probabilities")
    return p.compile()


def _linear(p, w, at, x, **options):
    return p.linear(x, w[f"{at}.weight"], w[f"{at}.bias"], **options)


def _norm(p, w, at, x, eps, **options):
    return p.layer_norm(x, w[f"{at}.weight"], w[f"{at}.bias"], eps, **options)


def _plain(p, w, keys: Keys, h):
    """ViT and BEiT: a class token, blocks of global attention; its last state or the mean."""
    beit, eps = keys.net.kind == "beit", _EPS[keys.layout]
    h = p.concat([p.constant(w[keys.token("class")][0]), h], 0)
    if not beit:
        h = p.add(h, w[keys.token("position")][0])
    for i, (_, at, d, heads) in enumerate(keys.blocks()):
        bias = relative_bias(w[at + keys.table], GRID["beit"], True) if beit else None
        y = _norm(p, w, at + keys.inner("norm1"), h, eps)
        q, k, v = p.chunk(p.linear(y, *keys.projection(w, at, d)), 3, -1)
        y = _linear(p, w, at + keys.inner("proj"), p.attention(q, k, v, heads=heads, bias=bias))
        h = p.add(h, p.multiply(y, w[at + keys.scales[0]]) if beit else y)
        y = _norm(p, w, at + keys.inner("norm2"), h, eps)
        y = _linear(p, w, at + keys.inner("fc2"), p.gelu(_linear(p, w, at + keys.inner("fc1"), y)))
        h = p.add(h, p.multiply(y, w[at + keys.scales[1]]) if beit else y, name=f"block{i}")
    if beit:
        h = p.mean(p.slice(h, 0, 1, GRID["beit"] ** 2 + 1), 0)
        return _norm(p, w, keys.top("pool_norm"), h, eps, name="features")
    return _norm(p, w, keys.top("norm"), p.select(h, index=0, axis=0), eps, name="features")


def _swin(p, w, keys: Keys, h):
    """Swin: attention in windows of 7 x 7, every second block shifted by 3; the grid halves
    between stages."""
    eps, side = 1e-5, GRID["swin"]
    h = _norm(p, w, keys.top("patch_norm"), h, eps)
    h = p.reshape(h, (side, side, keys.net.width))
    for stage, depth in enumerate(keys.net.depths):
        heads, d = keys.net.heads[stage], keys.net.width << stage
        for i in range(depth):
            at = keys.block(stage, i)
            shift = WINDOW // 2 if i % 2 and side > WINDOW else 0
            y = _norm(p, w, at + keys.inner("norm1"), h, eps)
            q, k, v = p.chunk(p.linear(y, *keys.projection(w, at, d)), 3, -1)
            bias = relative_bias(w[at + keys.table], WINDOW, False)
            y = p.attention(q, k, v, heads=heads, bias=bias, window=WINDOW, shift=shift)
            h = p.add(h, _linear(p, w, at + keys.inner("proj"), y))
            y = _norm(p, w, at + keys.inner("norm2"), h, eps)
            y = p.gelu(_linear(p, w, at + keys.inner("fc1"), y))
            name = f"stage{stage}" if i == depth - 1 else None
            h = p.add(h, _linear(p, w, at + keys.inner("fc2"), y), name=name)
        if stage < len(keys.net.depths) - 1:
            h = _merged(p, w, keys.merge(stage), h, side, d, eps)
            side //= 2
    h = _norm(p, w, keys.top("norm"), p.reshape(h, (side * side, d)), eps)
    return p.mean(h, 0, name="features")


def _merged(p, w, at, h, side, d, eps):
    """Four neighbours side by side, rows first: top left, bottom left, top right, bottom right."""
    half = side // 2
    h = p.reshape(h, (half, 2, half, 2, d))
    h = p.reshape(p.transpose(h, (0, 2, 3, 1, 4)), (half, half, 4 * d))
    h = _norm(p, w, f"{at}norm", h, eps)
    return p.linear(h, w[f"{at}reduction.weight"])
