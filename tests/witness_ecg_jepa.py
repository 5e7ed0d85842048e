"""ECG-JEPA in PyTorch, written from the specification: encoder, heads, predictor."""

import math

import numpy as np
from model_witness import functional, random_weights

SIZE = {"vit_xs": (192, 8, 4, 96, 8, 4), "vit_s": (384, 8, 6, 192, 8, 6),
        "vit_b": (768, 12, 12, 384, 12, 12)}  # fmt: skip
ALL = ("bias", "qkv_bias", "head_bias", "layer_scale")
CASES = [
    {"network": "vit_xs", "num_classes": 5},
    {"network": "vit_xs", "head": "register", "task": "rhythm", "extras": ALL},
    {"network": "vit_xs", "head": "mean", "num_classes": 3},
    {"network": "vit_xs", "extras": ALL},
    {"network": "vit_xs", "head": "none"},
    {"network": "vit_s", "task": "all", "dataset": "mimic-iv-ecg"},
    {"network": "vit_s", "head": "none"},
    {"network": "vit_b", "task": "superdiagnostic", "crop": 5000},
]
MAIN = [{"network": name, "task": "all"} for name in SIZE]
CLASSES = {"all": 71, "rhythm": 12, "superdiagnostic": 5, "ST-MEM": 5}


def block(at, d, extras, scaled=True):
    has, qkv, scale = ("bias" in extras, "qkv_bias" in extras, "layer_scale" in extras and scaled)
    shapes = {}
    for name, shape, bias in (
        ("norm1", (d,), has),
        ("attn.qkv", (3 * d, d), qkv),
        ("attn.proj", (d, d), has),
        ("norm2", (d,), has),
        ("mlp.fc1", (4 * d, d), has),
        ("mlp.fc2", (d, 4 * d), has),
    ):
        shapes[f"{at}.{name}.weight"] = shape
        if bias:
            shapes[f"{at}.{name}.bias"] = shape[:1]
    if scale:
        shapes |= {f"{at}.attn_ls.weight": (d,), f"{at}.mlp_ls.weight": (d,)}
    return shapes


def encoder_layout(pre, network, extras):
    d, depth = SIZE[network][:2]
    shapes = {f"{pre}.registers": (1, 1, d), f"{pre}.patch_embed.proj.weight": (d, 12, 25)}
    for i in range(depth):
        shapes |= block(f"{pre}.blocks.{i}", d, extras)
    shapes[f"{pre}.norm.weight"] = (d,)
    if "bias" in extras:
        shapes |= {f"{pre}.norm.bias": (d,), f"{pre}.patch_embed.proj.bias": (d,)}
    return shapes


def layout(network, head, classes, extras, pretraining):
    d, _, _, dp, depth, _ = SIZE[network]
    if pretraining:
        shapes = encoder_layout("encoder", network, extras)
        shapes |= {"predictor.mask_token": (1, 1, dp), "predictor.embed.weight": (dp, d)}
        for i in range(depth):
            shapes |= block(f"predictor.blocks.{i}", dp, extras, scaled=False)
        shapes |= {"predictor.norm.weight": (dp,), "predictor.proj.weight": (d, dp)}
        if "bias" in extras:
            shapes |= {"predictor.embed.bias": (dp,), "predictor.norm.bias": (dp,)}
            shapes |= {"predictor.proj.bias": (d,)}
        return shapes | encoder_layout("target_encoder", network, extras)
    shapes = encoder_layout("encoder", network, extras)
    if head == "attentive":
        at = "attn_pool.cross_attention_block"
        shapes |= {"attn_pool.query_token": (1, 1, d), f"{at}.q.weight": (d, d)}
        shapes |= {f"{at}.kv.weight": (2 * d, d), f"{at}.proj.weight": (classes, d)}
        if "qkv_bias" in extras:
            shapes |= {f"{at}.q.bias": (d,), f"{at}.kv.bias": (2 * d,)}
        if "bias" in extras:
            shapes[f"{at}.proj.bias"] = (classes,)
    else:
        shapes["fc.weight"] = (classes, d)
        if "head_bias" in extras:
            shapes["fc.bias"] = (classes,)
    return shapes


def choices(network="vit_s", head=None, num_classes=None, task="none", extras=(), predictor=False,
            **contract):  # fmt: skip
    head = head or ("none" if predictor else "attentive")
    classes = num_classes or CLASSES.get(task, 71)
    return network, head, 0 if head == "none" else classes, extras


def weights(seed=0, **variant):
    """A whole pretraining checkpoint where there is no head: the forward uses its target alone."""
    network, head, classes, extras = choices(**variant)
    found = random_weights(layout(network, head, classes, extras, head == "none"), seed)
    if "attn_pool.query_token" in found:  # of a size at which the pool is not flat
        found["attn_pool.query_token"] *= SIZE[network][0] ** 0.5
    return found


def inputs(n, seed=0, **variant):
    """One recording with its seven crops; several with two each, for the sake of time."""
    whole = choices(**variant)[1] == "none" or variant.get("crop") == 5000
    shape = (n, 1, 12, 5000) if whole else (n, 7 if n == 1 else 2, 12, 1250)
    return np.random.default_rng(seed).normal(size=shape).clip(-5, 5).astype(np.float32)


def sines(count, dim, like):
    import torch

    position = torch.arange(count, dtype=torch.float64)[:, None]
    angle = position * torch.exp(torch.arange(0, dim, 2).double() * (-math.log(10000.0) / dim))
    return torch.stack([angle.sin(), angle.cos()], -1).reshape(count, dim).to(like)


def norm(w, at, h):
    import torch.nn.functional as F

    return F.layer_norm(h, h.shape[-1:], w[f"{at}.weight"], w.get(f"{at}.bias"), 1e-6)


def linear(w, at, h):
    import torch.nn.functional as F

    return F.linear(h, w[f"{at}.weight"], w.get(f"{at}.bias"))


def heads_of(h, heads):
    return h.reshape(*h.shape[:2], heads, -1).transpose(1, 2)


def blocks(w, pre, h, depth, heads, tap):
    import torch.nn.functional as F

    for i in range(depth):
        at = f"{pre}.blocks.{i}"
        qkv = tap(f"blocks.{i}.attn.qkv", linear(w, f"{at}.attn.qkv", norm(w, f"{at}.norm1", h)))
        q, k, v = (heads_of(t, heads) for t in qkv.chunk(3, -1))
        a = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1)
        y = tap(f"blocks.{i}.attn", (a @ v).transpose(1, 2).reshape(h.shape))
        h = h + linear(w, f"{at}.attn.proj", y) * w.get(f"{at}.attn_ls.weight", 1)
        y = F.gelu(linear(w, f"{at}.mlp.fc1", norm(w, f"{at}.norm2", h)))
        h = h + linear(w, f"{at}.mlp.fc2", y) * w.get(f"{at}.mlp_ls.weight", 1)
        h = tap(f"blocks.{i}", h)
    return h


def encode(w, pre, network, x, tap, kept=None):
    """All tokens, the register first."""
    import torch
    import torch.nn.functional as F

    d, depth, heads = SIZE[network][:3]
    at = f"{pre}.patch_embed.proj"
    h = F.conv1d(x, w[f"{at}.weight"], w.get(f"{at}.bias"), stride=25).transpose(1, 2)
    h = tap("patches", h + sines(h.shape[1], d, h))
    if kept is not None:
        h = h.gather(1, kept[:, :, None].expand(-1, -1, d))
    h = torch.cat([w[f"{pre}.registers"].expand(len(h), -1, -1), h], 1)
    return tap("tokens", norm(w, f"{pre}.norm", blocks(w, pre, h, depth, heads, tap)))


def attentive(w, tokens, heads, tap):
    at = "attn_pool.cross_attention_block"
    query = w["attn_pool.query_token"].expand(len(tokens), -1, -1)
    kv = tap("attn_pool.kv", linear(w, f"{at}.kv", tokens))
    k, v = (heads_of(t, heads) for t in kv.chunk(2, -1))
    q = heads_of(linear(w, f"{at}.q", query), heads)
    a = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1)
    return (a @ v).transpose(1, 2).flatten(1)


def module(weights, double=False, **variant):
    network, head, _, _ = choices(**variant)

    def forward(w, x, tap):
        crops = x.shape[:2]
        pre = "target_encoder" if head == "none" else "encoder"

        def folded(name, value):
            tap(name, value.unflatten(0, crops))
            return value

        tokens = encode(w, pre, network, x.flatten(0, 1), folded)
        if head == "attentive":
            h = attentive(w, tokens, SIZE[network][2], folded)
        else:
            h = tokens[:, 0] if head == "register" else tokens[:, 1:].mean(1)
        h = folded("features", h)
        at = "attn_pool.cross_attention_block.proj" if head == "attentive" else "fc"
        return (h if head == "none" else linear(w, at, h)).unflatten(0, crops)

    return functional(forward, weights, double)


def pretraining(weights, network, x, kept, hidden, double=False):
    """Predicted and true latents of the hidden patches; x (n, 12, time), kept and hidden (n, k)."""
    import torch

    def forward(w, x, tap):
        dim, _, _, d, depth, heads = SIZE[network]
        seen, asked = (torch.from_numpy(np.asarray(i, np.int64)) for i in (kept, hidden))

        def untapped(name, value):
            return value

        h = linear(w, "predictor.embed", encode(w, "encoder", network, x, untapped, seen)[:, 1:])
        table = sines(x.shape[-1] // 25, d, h)
        h = torch.cat([h + table[seen], w["predictor.mask_token"] + table[asked]], 1)
        h = norm(w, "predictor.norm", blocks(w, "predictor", h, depth, heads, untapped))
        target = encode(w, "target_encoder", network, x, untapped)[:, 1:]
        target = target.gather(1, asked[:, :, None].expand(-1, -1, dim))
        return linear(w, "predictor.proj", h[:, seen.shape[1] :]), target

    t = torch.from_numpy(x)
    with torch.inference_mode():
        return [
            v.numpy() for v in functional(forward, weights, double)(t.double() if double else t)
        ]
