"""MoRE's ECG tower in PyTorch, written from the specification, and all three towers' layout."""

import numpy as np
from model_witness import batch_norm, functional, random_weights

CASES = [
    {"depth": 1, "xray": False, "text_layers": 0},
    {"depth": 1, "text_layers": 1, "vocabulary": 300},
    {"depth": 1, "num_classes": 4},
    {"xray": False, "text_layers": 0},
]
MAIN = [CASES[-1]]  # the whole ECG tower: what the benchmark of models measures
NORM = ("weight", "bias", "running_mean", "running_var")
RANK = 16


def layout(depth=12, xray=True, text_layers=None, vocabulary=50265, num_classes=0):
    """The authors' keys; of the text tower those of PEFT, updates apart."""
    shapes = {}
    text_layers = (0 if num_classes else 12) if text_layers is None else text_layers

    def layer(at, *shape, bias=True):
        shapes[f"{at}.weight"] = shape
        if bias:
            shapes[f"{at}.bias"] = shape[:1]

    def norm(at, n):
        shapes.update({f"{at}.{k}": (n,) for k in NORM} | {f"{at}.num_batches_tracked": ()})

    if text_layers:
        text = "text_model.base_model.model"
        for part, n in (("word", vocabulary), ("position", 514), ("token_type", 1)):
            shapes[f"{text}.embeddings.{part}_embeddings.weight"] = (n, 768)
        layer(f"{text}.embeddings.LayerNorm", 768)
        for i in range(text_layers):
            at = f"{text}.encoder.layer.{i}"
            for part in ("query", "value"):
                q = f"{at}.attention.self.{part}"
                layer(f"{q}.base_layer", 768, 768)
                shapes[f"{q}.lora_A.default.weight"] = (RANK, 768)
                shapes[f"{q}.lora_B.default.weight"] = (768, RANK)
            layer(f"{at}.attention.self.key", 768, 768)
            layer(f"{at}.attention.output.dense", 768, 768)
            layer(f"{at}.attention.output.LayerNorm", 768)
            layer(f"{at}.intermediate.dense", 3072, 768)
            layer(f"{at}.output.dense", 768, 3072)
            layer(f"{at}.output.LayerNorm", 768)
        layer(f"{text}.pooler.dense", 768, 768)  # unused
    for tower in ("ecg_model", *(["xray_model"] if xray else [])):
        at = f"{tower}.vit_model"
        shapes |= {f"{at}.cls_token": (1, 1, 768), f"{at}.pos_embed": (1, 197, 768)}
        if tower == "xray_model":
            layer(f"{at}.patch_embed.proj", 768, 3, 16, 16)
        else:
            layer(f"{at}.patch_embed.conv1.0", 256, 12, 5)
            norm(f"{at}.patch_embed.conv1.2", 256)
            layer(f"{at}.patch_embed.conv2.0", 768, 256, 5)
            norm(f"{at}.patch_embed.conv2.2", 768)
        for i in range(depth):
            b = f"{at}.blocks.{i}"
            layer(f"{b}.norm1", 768)
            layer(f"{b}.attn.qkv", 2304, 768, bias=False)
            layer(f"{b}.attn.proj", 768, 768)
            layer(f"{b}.norm2", 768)
            layer(f"{b}.mlp.fc1", 3072, 768)
            layer(f"{b}.mlp.fc2", 768, 3072)
        layer(f"{at}.norm", 768)
    end = "" if num_classes else "_text"
    ends = [f"ecg{end}", *([f"xray{end}"] if xray else []), *(["text"] if text_layers else [])]
    for name in ends:
        for i, n in ((0, 768), (2, 128)):
            layer(f"projector_{name}.layers.{i}.linear", n, 768, bias=False)
            norm(f"projector_{name}.layers.{i}.bn", n)
    if num_classes:
        layer("fc.1", num_classes, 256)
    return shapes


def weights(seed=0, **variant):
    return random_weights(layout(**variant), seed)


def inputs(n, seed=0, **variant):
    return np.random.default_rng(seed).uniform(-1, 1, size=(n, 12, 1000)).astype(np.float32)


def module(weights, double=False, *, num_classes=0, **variant):
    def forward(w, x, tap):
        return ecg(w, x, tap, "ecg" if num_classes else "ecg_text")

    return functional(forward, weights, double)


def ecg(w, x, tap, projector):
    """Convolution, ReLU, then batch norm, twice."""
    import torch.nn.functional as F

    at = "ecg_model.vit_model"
    for i, stride in ((1, 5), (2, 1)):
        k = f"{at}.patch_embed.conv{i}"
        x = F.relu(F.conv1d(x, w[f"{k}.0.weight"], w[f"{k}.0.bias"], stride=stride))
        x = tap(f"patch_embed.conv{i}", batch_norm(w, f"{k}.2", x))
    h = tap("features", vit(w, at, x.transpose(1, 2), tap))
    y = projection(w, projector, h)
    tap("unit", F.normalize(y, dim=-1))
    return y


def xray(w, x, projector):
    import torch.nn.functional as F

    at = "xray_model.vit_model"
    k = f"{at}.patch_embed.proj"
    h = F.conv2d(x, w[f"{k}.weight"], w[f"{k}.bias"], stride=16).flatten(2).transpose(1, 2)
    return projection(w, projector, vit(w, at, h, lambda name, value: value))


def vit(w, at, h, tap):
    import torch
    import torch.nn.functional as F

    def ln(k, x):
        return F.layer_norm(x, (768,), w[f"{k}.weight"], w[f"{k}.bias"], 1e-6)

    n = len(h)
    h = torch.cat([w[f"{at}.cls_token"].expand(n, 1, 768), h], 1) + w[f"{at}.pos_embed"]
    i = 0
    while f"{at}.blocks.{i}.norm1.weight" in w:
        b = f"{at}.blocks.{i}"
        qkv = F.linear(ln(f"{b}.norm1", h), w[f"{b}.attn.qkv.weight"])
        q, k, v = qkv.reshape(n, 197, 3, 12, 64).permute(2, 0, 3, 1, 4)
        y = ((q @ k.transpose(-1, -2)) / 8).softmax(-1) @ v
        y = y.transpose(1, 2).reshape(n, 197, 768)
        h = h + F.linear(y, w[f"{b}.attn.proj.weight"], w[f"{b}.attn.proj.bias"])
        y = F.gelu(F.linear(ln(f"{b}.norm2", h), w[f"{b}.mlp.fc1.weight"], w[f"{b}.mlp.fc1.bias"]))
        h = tap(f"blocks.{i}", h + F.linear(y, w[f"{b}.mlp.fc2.weight"], w[f"{b}.mlp.fc2.bias"]))
        i += 1
    return ln(f"{at}.norm", h)[:, 0]


def projection(w, name, h):
    import torch.nn.functional as F

    at = f"projector_{name}.layers"
    h = F.relu(batch_norm(w, f"{at}.0.bn", F.linear(h, w[f"{at}.0.linear.weight"])))
    return batch_norm(w, f"{at}.2.bn", F.linear(h, w[f"{at}.2.linear.weight"]))
