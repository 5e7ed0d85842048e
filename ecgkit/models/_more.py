"""MoRE's towers: key layouts, the merge of its low-rank updates, and the programs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .. import lora
from .._typing import Array
from ..errors import WeightsError
from . import _bert, _vit
from ._resnet1d import norm_shapes

WIDTH, HEADS, SHARED, TOKENS = 768, 12, 128, 197
IMAGE, PATCH = 224, 16
ALPHA = 8.0  # of the text tower's updates: the scale is alpha / r
TEXT = "text_model.base_model.model."
_NORM = ("weight", "bias", "running_mean", "running_var")
Shapes = dict[str, tuple[int, ...]]


# ---------------------------------------------------------------- key layouts
def image_shapes(depth: int, at: str, patch: Shapes) -> Shapes:
    """One of the two towers over patches; ``patch`` is its embedding."""
    d = WIDTH
    inner: Shapes = {"cls_token": (1, 1, d), "pos_embed": (1, TOKENS, d)} | patch
    inner |= _vit.block_shapes(d, depth, qkv_bias=False)
    inner |= {"norm.weight": (d,), "norm.bias": (d,)}
    return {f"{at}.vit_model.{k}": v for k, v in inner.items()}


def ecg_shapes(depth: int) -> Shapes:
    """The ECG tower: two convolutions, ReLU and batch norm after each."""
    patch: Shapes = {}
    for i, cin, cout in ((1, 12, 256), (2, 256, WIDTH)):
        at = f"patch_embed.conv{i}"
        patch |= {f"{at}.0.weight": (cout, cin, 5), f"{at}.0.bias": (cout,)}
        patch |= norm_shapes(f"{at}.2", cout)
    return image_shapes(depth, "ecg_model", patch)


def xray_shapes(depth: int) -> Shapes:
    """The X-ray tower: squares of 16 x 16 pixels."""
    at = "patch_embed.proj"
    patch: Shapes = {f"{at}.weight": (WIDTH, 3, PATCH, PATCH), f"{at}.bias": (WIDTH,)}
    return image_shapes(depth, "xray_model", patch)


def projector_shapes(name: str) -> Shapes:
    """A projection head into the shared space."""
    found: Shapes = {}
    for i, width in ((0, WIDTH), (2, SHARED)):
        at = f"projector_{name}.layers.{i}"
        found |= {f"{at}.linear.weight": (width, WIDTH), **norm_shapes(f"{at}.bn", width)}
    return found


def text_config(layers: int, vocabulary: int) -> _bert.TextConfig:
    """RoBERTa-base with as many layers and words."""
    return _bert.TextConfig(layers, vocabulary, WIDTH, 514, 1, 1e-5, first=2, pooler=False)


def text_shapes(layers: int, vocabulary: int) -> Shapes:
    """The text tower with its updates merged."""
    inner = _bert.shapes(text_config(layers, vocabulary))
    return {f"{TEXT}{k}": v for k, v in inner.items()}


# ---------------------------------------------------------------- low-rank updates
def merged(tensors: Mapping[str, Array], title: str) -> dict[str, Array]:
    """The text tower's query and value with their updates, ``W + alpha / r * B A``.

    Takes the layouts of PEFT with and without ``base_layer``, and a tower merged already.

    Raises
    ------
    WeightsError
        Half of an update, an update of an absent matrix, or shapes that do not fit.
    """
    plain: dict[str, Array] = {}
    updates: dict[str, dict[str, Array]] = {}
    for key, value in tensors.items():
        at, found, rest = key.partition(".lora_")
        if found:
            updates.setdefault(f"{at}.weight", {})[rest.split(".")[0]] = np.asarray(value)
        else:
            plain[key.replace(".base_layer.", ".")] = value
    wrong = []
    for key, parts in updates.items():
        w = plain.get(key)
        a, b = parts.get("A"), parts.get("B")
        if w is None or a is None or b is None or not _fit(w, a, b):
            shapes = {"weight": w, "lora_A": a, "lora_B": b}
            told = ", ".join(
                f"{k} {'missing' if v is None else np.shape(v)}" for k, v in shapes.items()
            )
            wrong.append(f"{key.removesuffix('.weight')}: {told}")
            continue
        base = np.ascontiguousarray(w, np.float32)
        plain[key] = lora.merge(base, a, b, ALPHA / len(a))
    if wrong:
        raise WeightsError(
            f"{title}: {len(wrong)} low-rank updates do not fit: {'; '.join(wrong[:5])}"
        )
    return plain


def _fit(w: Array, a: Array, b: Array) -> bool:
    shape = np.shape(w)
    return len(shape) == 2 and a.shape[1:] == shape[1:] and b.shape == (shape[0], len(a))


# ---------------------------------------------------------------- programs
def inside(w: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """The tensors under a prefix, without it."""
    return {k[len(prefix) :]: v for k, v in w.items() if k.startswith(prefix)}


def ecg_program(w: Mapping[str, Array], projector: str):
    """ECG (12, 1000) to the projection (128,) and the same at unit length."""
    from .. import nn

    p, inner = nn.Program("more_ecg"), inside(w, "ecg_model.vit_model.")
    h = p.input("x", (12, 1000))
    for i, stride in ((1, 5), (2, 1)):
        at = f"patch_embed.conv{i}"
        h = p.conv1d(h, inner[f"{at}.0.weight"], inner[f"{at}.0.bias"], stride=stride)
        h = _normed(p, inner, f"{at}.2", p.relu(h), name=at)
    return _finished(p, w, inner, p.transpose(h, (1, 0)), projector)


def xray_program(w: Mapping[str, Array], projector: str):
    """X-ray (3, 224, 224) to the projection (128,) and the same at unit length."""
    from .. import nn

    p, inner = nn.Program("more_xray"), inside(w, "xray_model.vit_model.")
    at = "patch_embed.proj"
    h = p.input("x", (3, IMAGE, IMAGE))
    h = p.conv2d(h, inner[f"{at}.weight"], inner[f"{at}.bias"], stride=PATCH)
    patches = p.transpose(p.reshape(h, (WIDTH, TOKENS - 1)), (1, 0))
    return _finished(p, w, inner, patches, projector)


def _finished(p, w, inner, patches, projector):
    h = _vit.blocks(p, inner, _vit.with_class_token(p, inner, patches), heads=HEADS)
    h = _vit.norm(p, inner, "norm", p.select(h, 0), name="features")
    h = project(p, w, projector, h)
    p.output(h, "projection")
    p.output(unit(p, h, "unit"), "unit")
    return p.compile()


def project(p, w: Mapping[str, Array], name: str, h):
    """Two linear layers without bias, batch norm after each, ReLU between."""
    for i in (0, 2):
        at = f"projector_{name}.layers.{i}"
        h = p.linear(h, w[f"{at}.linear.weight"])
        h = _normed(p, w, f"{at}.bn", h)
        h = p.relu(h) if i == 0 else h
    return h


def _normed(p, w, at, x, **options):
    return p.batch_norm(x, *(w[f"{at}.{k}"] for k in _NORM), **options)


def unit(p, h, name=None):
    """At unit length."""
    length = p.sqrt(p.sum(p.multiply(h, h), -1, keepdim=True))
    return p.divide(h, p.maximum(length, 1e-12), name=name)


def text_tail(w: Mapping[str, Array], p, h):
    """The text tower's projection at unit length."""
    return unit(p, project(p, w, "text", h))
