"""Vision transformers in timm's layout: pre-norm blocks behind a class token and positions."""

from __future__ import annotations

from collections.abc import Mapping

from .._typing import Array

Shapes = dict[str, tuple[int, ...]]


def block_shapes(width: int, depth: int, *, qkv_bias: bool = True, mlp: int = 4) -> Shapes:
    """Keys of ``blocks.0`` to ``blocks.{depth - 1}``, in the order of the layers."""
    found: Shapes = {}

    def layer(at: str, *shape: int, bias: bool = True) -> None:
        found[f"{at}.weight"] = shape
        if bias:
            found[f"{at}.bias"] = shape[:1]

    for i in range(depth):
        at = f"blocks.{i}"
        layer(f"{at}.norm1", width)
        layer(f"{at}.attn.qkv", 3 * width, width, bias=qkv_bias)
        layer(f"{at}.attn.proj", width, width)
        layer(f"{at}.norm2", width)
        layer(f"{at}.mlp.fc1", mlp * width, width)
        layer(f"{at}.mlp.fc2", width, mlp * width)
    return found


def depth_of(keys: Mapping[str, Array], prefix: str) -> int:
    """How many blocks stand under ``prefix``."""
    start = f"{prefix}blocks."
    numbers = [k[len(start) :].split(".")[0] for k in keys if k.startswith(start)]
    return max((int(n) + 1 for n in numbers if n.isdigit()), default=0)


def with_class_token(p, w: Mapping[str, Array], patches):
    """Patches (tokens, width) behind the class token, positions added."""
    return p.add(p.concat([p.constant(w["cls_token"][0]), patches], 0), w["pos_embed"][0])


def blocks(p, w: Mapping[str, Array], h, *, heads: int, eps: float = 1e-6, name: str = "blocks"):
    """All blocks of ``w``; each is a tap ``{name}.{i}``."""
    for i in range(depth_of(w, "")):
        h = _block(p, w, f"blocks.{i}", h, heads, eps, f"{name}.{i}")
    return h


def norm(p, w: Mapping[str, Array], at: str, x, eps: float = 1e-6, **options):
    """Layer norm by its key."""
    return p.layer_norm(x, w[f"{at}.weight"], w[f"{at}.bias"], eps, **options)


def _block(p, w, at, h, heads, eps, name):
    def linear(x, part):
        return p.linear(x, w[f"{at}.{part}.weight"], w.get(f"{at}.{part}.bias"))

    q, k, v = p.chunk(linear(norm(p, w, f"{at}.norm1", h, eps), "attn.qkv"), 3, -1)
    h = p.add(h, linear(p.attention(q, k, v, heads=heads), "attn.proj"))
    y = p.gelu(linear(norm(p, w, f"{at}.norm2", h, eps), "mlp.fc1"))
    return p.add(h, linear(y, "mlp.fc2"), name=name)
