"""ECHOPulse's programs over video tokens: C-ViViT's two halves and the masked-token transformer.

A clip of F frames is T = 1 + (F - 1) / 2 steps in time (the first frame alone, then pairs) of
rows x columns patches: ``grid`` is (T, rows, columns), tokens come in this order.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .._typing import F32, Array
from ._echopulse_keys import HEAD, Size

Grid = tuple[int, int, int]
TINY = 1e-30  # under a mean of squares: PyTorch's normalize takes lengths from 1e-12 up
SCALE = 8.0  # of the cosines


def _linear(p, w, at, x, **options):
    return p.linear(x, w[f"{at}.weight"], w.get(f"{at}.bias"), **options)


def _norm(p, w, at, x):
    """PyTorch's layer norm, or the original's own, which has a scale alone."""
    if f"{at}.gamma" in w:
        return p.layer_norm(x, w[f"{at}.gamma"])
    return p.layer_norm(x, w[f"{at}.weight"], w[f"{at}.bias"])


# ------------------------------------------------------------------ positions
def position_bias(w: Mapping[str, Array], at: str, grid: tuple[int, ...]) -> F32:
    """Scores (head, token, token) by the offset between two tokens of a grid, read-only.

    A small network sees sign(d) log(1 + |d|) of each axis. There are far fewer offsets than pairs
    of tokens: each is computed once, in double, and looked up.
    """
    axes = [np.arange(1 - n, n, dtype=np.float64) for n in grid]
    d = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(grid))
    h: Array = np.sign(d) * np.log1p(np.abs(d))
    for layer in ("net.0.0", "net.1.0"):
        h = h @ w[f"{at}.{layer}.weight"].T.astype(np.float64) + w[f"{at}.{layer}.bias"]
        h = np.where(h > 0, h, 0.1 * h)
    h = h @ w[f"{at}.net.2.weight"].T.astype(np.float64) + w[f"{at}.net.2.bias"]
    table = np.ascontiguousarray(h.T, np.float32)
    at_token = np.stack(np.unravel_index(np.arange(np.prod(grid)), grid), -1)
    spans = np.array([2 * n - 1 for n in grid])
    steps = np.append(np.cumprod(spans[::-1])[::-1][1:], 1)
    ranks = at_token @ steps
    middle = (np.array(grid) - 1) @ steps
    bias = np.take(table, ranks[:, None] - ranks[None, :] + middle, axis=1)
    bias.flags.writeable = False
    return bias


def _generating_convolution(p, w, at, x, grid: Grid, before: int):
    """A depthwise convolution over time, rows and columns on the tokens' memory read as ``grid``,
    whatever their order (the original reads the temporal stacks' memory so, and its weights were
    trained on that). ``before``: zeros before the first time step; 2 in all."""
    d, frames = x.shape[-1], grid[0]
    weight = w[f"{at}.dsconv.weight"]
    h = p.transpose(p.reshape(x, (*grid, d)), (0, 3, 1, 2))
    total = None
    for tap in range(3):
        source = np.arange(frames) + tap - before
        source = np.where((source >= 0) & (source < frames), source, -1)
        if tap != before and (source < 0).all():
            continue
        bias = w[f"{at}.dsconv.bias"] if tap == before else None
        y = p.conv2d(h, weight[:, :, tap], bias, padding=1, groups=d)
        if tap != before:
            y = p.gather_axis(y, 0, source)
        total = y if total is None else p.add(total, y)
    return p.reshape(p.transpose(total, (0, 2, 3, 1)), x.shape)


# ------------------------------------------------------------------ attention
def _unit(p, x, heads: int, scale: Array):
    """Each head's piece of a row to length 1, times ``scale`` per feature."""
    pieces = p.reshape(x, (*x.shape[:-1], heads, HEAD))
    return p.reshape(p.rms_norm(pieces, scale * np.float32(HEAD**-0.5), TINY), x.shape)


def _attention(p, w, at, x, heads: int, bias=None, context=None):
    """Cosine attention; keys and values see the tokens before their norm, or the context."""
    q = p.linear(_norm(p, w, f"{at}.norm", x), w[f"{at}.to_q.weight"])
    source = x if context is None else _norm(p, w, f"{at}.context_norm", context)
    for_keys, for_values = np.split(w[f"{at}.to_kv.weight"], 2)
    k, v = p.linear(source, for_keys), p.linear(source, for_values)
    k = _unit(p, k, heads, w[f"{at}.k_scale"])
    if context is not None:  # two learnt pairs stand before it
        null = w[f"{at}.null_kv"]
        keys = null[:, 0::2] / np.maximum(np.linalg.norm(null[:, 0::2], axis=-1), 1e-12)[..., None]
        keys = (keys * w[f"{at}.k_scale"]).astype(np.float32)
        k, v = (
            p.concat([p.constant(np.swapaxes(some, 0, 1).reshape(2, -1)), t], 0)
            for some, t in ((keys, k), (null[:, 1::2], v))
        )
    q = _unit(p, q, heads, w[f"{at}.q_scale"])
    y = p.attention(q, k, v, heads=heads, scale=SCALE, bias=bias)
    return p.linear(y, w[f"{at}.to_out.weight"])


def _transformer(
    p, w, at, x, grid: Grid, size: Size, depth: int, before=2, bias=None, context=None
):
    """Layers over tokens (..., token, feature), each sum tapped by the layer's key."""
    for i in range(depth):
        layer = f"{at}.layers.{i}"
        x = p.add(_generating_convolution(p, w, f"{layer}.0", x, grid, before), x)
        x = p.add(_attention(p, w, f"{layer}.1", x, size.heads, bias), x)
        if context is not None:
            x = p.add(_attention(p, w, f"{layer}.2", x, size.heads, None, context), x)
        y = _norm(p, w, f"{layer}.3.0", x)
        values, gates = np.split(w[f"{layer}.3.1.weight"], 2)
        y = p.multiply(p.gelu(p.linear(y, gates)), p.linear(y, values))
        x = p.add(p.linear(y, w[f"{layer}.3.4.weight"]), x, name=layer)
    return _norm(p, w, f"{at}.norm_out", x)


# ------------------------------------------------------------------ tokenizer
def encoder(w: Mapping[str, Array], size: Size, patch: int, frames: int):
    """Video (3, frames, image, image) to unit vectors (token, code width)."""
    from .. import nn

    p = nn.Program("echopulse_encode")
    side, steps = size.image // patch, 1 + (frames - 1) // 2
    grid = (steps, side, side)
    x = p.input("video", (3, frames, size.image, size.image))
    parts = []
    for at, start, stop, deep in (
        ("to_patch_emb_first_frame", 0, 1, 1),
        ("to_patch_emb", 1, frames, 2),
    ):
        if start == stop:
            continue
        here = p.reshape(
            p.slice(x, 1, start, stop),
            (3, (stop - start) // deep, deep, side, patch, side, patch),
        )
        rows = p.transpose(here, (1, 3, 5, 0, 2, 4, 6))
        rows = p.reshape(rows, ((stop - start) // deep, side * side, 3 * deep * patch * patch))
        rows = _linear(p, w, f"{at}.2", _norm(p, w, f"{at}.1", rows))
        parts.append(_norm(p, w, f"{at}.3", rows))
    h = p.concat(parts, 0) if len(parts) > 1 else parts[0]
    bias = position_bias(w, "spatial_rel_pos_bias", grid[1:])
    h = _transformer(p, w, "enc_spatial_transformer", h, grid, size, size.spatial, bias=bias)
    h = p.transpose(h, (1, 0, 2))
    h = _transformer(p, w, "enc_temporal_transformer", h, grid, size, size.temporal)
    h = p.reshape(p.transpose(h, (1, 0, 2)), (steps * side * side, size.width))
    h = _linear(p, w, "vq.project_in", h)
    ones = np.full(size.code_width, size.code_width**-0.5, np.float32)
    p.output(p.rms_norm(h, ones, TINY), "codes")
    return p.compile()


def matcher(w: Mapping[str, Array], rows: int):
    """Unit vectors (row, code width) to their products with every code of the book."""
    from .. import nn

    codebook = w["vq._codebook.embed"][0]
    p = nn.Program("echopulse_match")
    p.output(p.linear(p.input("codes", (rows, codebook.shape[1])), codebook), "likeness")
    return p.compile()


def decoder(w: Mapping[str, Array], size: Size, patch: int, steps: int):
    """Token numbers (token,) to video (3, frames, image, image), not clamped."""
    from .. import nn

    p = nn.Program("echopulse_decode")
    side = size.image // patch
    grid, tokens = (steps, side, side), side * side
    h = p.embedding(p.input("ids", (steps * tokens,)), w["vq._codebook.embed"][0])
    h = p.reshape(_linear(p, w, "vq.project_out", h), (steps, tokens, size.width))
    h = p.transpose(h, (1, 0, 2))
    h = _transformer(p, w, "dec_temporal_transformer", h, grid, size, size.temporal)
    h = p.transpose(h, (1, 0, 2))
    bias = position_bias(w, "spatial_rel_pos_bias", grid[1:])
    h = _transformer(p, w, "dec_spatial_transformer", h, grid, size, size.spatial, bias=bias)
    parts = []
    for at, start, stop, deep in (
        ("to_pixels_first_frame.0", 0, 1, 1),
        ("to_pixels.0", 1, steps, 2),
    ):
        if start == stop:
            continue
        n = stop - start
        y = _linear(p, w, at, p.slice(h, 0, start, stop))
        y = p.reshape(y, (n, side, side, 3, deep, patch, patch))
        y = p.transpose(y, (3, 0, 4, 1, 5, 2, 6))
        parts.append(p.reshape(y, (3, n * deep, size.image, size.image)))
    p.output(p.concat(parts, 1) if len(parts) > 1 else parts[0], "video")
    return p.compile()


# ---------------------------------------------------------- masked-token net
def maskgit(w: Mapping[str, Array], size: Size, grid: Grid, prime: int):
    """Token numbers (token,), masked ones among them, and the ECG's vector to logits (token, code)
    of the tokens behind the first ``prime``."""
    from .. import nn

    p = nn.Program("echopulse_maskgit")
    tokens = int(np.prod(grid))
    ids = p.input("ids", (tokens,))
    context = p.reshape(p.input("ecg", (size.ecg_width,)), (1, size.ecg_width))
    h = p.add(p.embedding(ids, w["token_emb.weight"]), w["pos_emb.weight"][:tokens])
    bias = position_bias(w, "continuous_pos_bias", grid)
    h = _transformer(
        p, w, "transformer", h, grid, size, size.depth, before=1, bias=bias, context=context
    )
    if prime:
        h = p.slice(h, 0, prime)
    p.output(_linear(p, w, "to_logits", h), "logits")
    return p.compile()
