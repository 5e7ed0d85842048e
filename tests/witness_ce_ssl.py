"""CE-SSL's backbone in PyTorch, written from the specification, with updates merged or beside."""

import math

import numpy as np
from model_witness import batch_norm, functional, random_weights

SIZE = {"base": (256, 8), "medium": (512, 12), "large": (768, 12)}
CASES = [
    {"num_classes": 25},
    {"dataset": "PTB-XL"},
    {"network": "medium", "dataset": "G12EC"},
    {"network": "large", "num_classes": 6},
]
CLASSES = {"G12EC": 18, "PTB-XL": 19, "Ningbo": 23, "Chapman": 16}


def layout(network, classes, rank):
    """Every key of the published file; with a rank the updates too. ``rank`` is a number or a
    function of the module's name (one-shot allocation gives modules different ranks)."""
    d, depth = SIZE[network]
    of = rank if callable(rank) else lambda module: rank
    shapes = {}

    def layer(at, *shape, bias=None):
        shapes[f"{at}.weight"], shapes[f"{at}.bias"] = shape, (bias or shape[0],)

    def update(module, rows, columns, blocks=1):
        r = of(module)
        if r:
            shapes[f"{module}.lora_A"] = (blocks * r, columns)
            shapes[f"{module}.lora_B"] = (rows, r)

    for i in range(3):
        at, cin = f"encoder_layers.{i}", d if i else 12
        for k, channels in ((1, cin), (2, d)):
            update(f"{at}.conv{k}", d, 9 * channels)
            layer(f"{at}.conv{k}.conv", d, channels, 1, 9)
            for part in ("weight", "bias", "running_mean", "running_var"):
                shapes[f"{at}.bn{k}.{part}"] = (d,)
            shapes[f"{at}.bn{k}.num_batches_tracked"] = ()
        update(f"{at}.conv3", d, cin)
        layer(f"{at}.conv3.conv", d, cin, 1, 1)
    layer("classifier.0", d, d)
    update("classifier.0", d, d)
    layer("classifier.1", classes, d)
    for i in range(depth):
        at = f"transformer_layers.{i}"
        shapes[f"{at}.self_attention.bias"] = (1, 1, 96, 96)
        layer(f"{at}.self_attention.c_attn", d, 3 * d, bias=3 * d)
        update(f"{at}.self_attention.c_attn", 3 * d, d, blocks=3)
        layer(f"{at}.self_attention.c_proj", d, d)
        layer(f"{at}.norm1", d)
        layer(f"{at}.norm2", d)
        layer(f"{at}.fc1", 4 * d, d)
        update(f"{at}.fc1", 4 * d, d)
        layer(f"{at}.fc2", d, 4 * d)
        update(f"{at}.fc2", d, 4 * d)
    shapes["position_encoding.positional_encoding"] = (200, d)
    return shapes


def weights(seed=0, *, network="base", num_classes=6, dataset="none", rank=0, **contract):
    d = SIZE[network][0]
    found = random_weights(layout(network, CLASSES.get(dataset, num_classes), rank), seed)
    angle = np.arange(200)[:, None] * 10000.0 ** (-np.arange(0, d, 2) / d)
    table = np.stack([np.sin(angle), np.cos(angle)], -1).reshape(200, d)
    found["position_encoding.positional_encoding"] = table.astype(np.float32)
    for key in found:
        if key.endswith("self_attention.bias"):
            found[key] = np.tri(96, dtype=np.float32)[None, None]
    return found


def inputs(n, seed=0, **variant):
    x = np.random.default_rng(seed).normal(size=(n, 12, 6144)).astype(np.float32)
    x[..., 5000:] = 0
    return x


def module(weights, double=False, *, network="base", deactivation=0.2, **variant):
    """With updates among the weights: each layer computed as the weight plus its share."""

    def share(w, at, shape, fused=False):
        """What the update adds to a weight of that shape."""
        if f"{at}.lora_A" not in w:
            return 0.0
        a, b = w[f"{at}.lora_A"], w[f"{at}.lora_B"]
        scale = 1.0 if at == "classifier.0" else 1.0 - deactivation
        if not fused:
            return scale * (b @ a).reshape(shape)
        import torch

        r, d = len(a) // 3, shape[0]
        blocks = [b[g * d : (g + 1) * d] @ a[g * r : (g + 1) * r] for g in range(3)]
        return scale * torch.cat([block.T for block in blocks], dim=1)

    def forward(w, x, tap):
        import torch
        import torch.nn.functional as F

        def conv(x, at, **options):
            kernel = w[f"{at}.conv.weight"]
            kernel = kernel + share(w, at, kernel.shape)
            return F.conv2d(x, kernel, w[f"{at}.conv.bias"], **options)

        def linear(x, at):
            matrix = w[f"{at}.weight"]
            return F.linear(x, matrix + share(w, at, matrix.shape), w[f"{at}.bias"])

        def ln(x, at):
            return F.layer_norm(x, x.shape[-1:], w[f"{at}.weight"], w[f"{at}.bias"], 1e-5)

        d, depth = SIZE[network]
        h = x[:, :, None]
        for i in range(3):
            at = f"encoder_layers.{i}"
            y = conv(h, f"{at}.conv1", stride=(1, 4), padding=(0, 4))
            y = F.leaky_relu(batch_norm(w, f"{at}.bn1", y), 0.01)
            y = conv(y, f"{at}.conv2", padding=(0, 4))
            y = F.leaky_relu(batch_norm(w, f"{at}.bn2", y), 0.01)
            h = y + conv(F.avg_pool2d(h, (1, 4), (1, 4)), f"{at}.conv3")
            tap(at, h[:, :, 0])
        h = h[:, :, 0].transpose(1, 2) + w["position_encoding.positional_encoding"][:96]
        for i in range(depth):
            at = f"transformer_layers.{i}"
            to = f"{at}.self_attention"
            c = w[f"{to}.c_attn.weight"]
            c = c + share(w, f"{to}.c_attn", c.shape, fused=True)
            qkv = tap(f"{to}.c_attn", ln(h, f"{at}.norm1") @ c + w[f"{to}.c_attn.bias"])
            q, k, v = (t.reshape(-1, 96, 16, d // 16).transpose(1, 2) for t in qkv.chunk(3, -1))
            s = q @ k.transpose(-1, -2) / math.sqrt(d // 16)
            m = w[f"{to}.bias"]
            y = torch.softmax(s * m - 1e10 * (1 - m), -1) @ v
            y = tap(to, y.transpose(1, 2).reshape(-1, 96, d))
            h = h + y @ w[f"{to}.c_proj.weight"] + w[f"{to}.c_proj.bias"]
            y = F.leaky_relu(linear(ln(h, f"{at}.norm2"), f"{at}.fc1"), 0.01)
            h = tap(at, h + linear(y, f"{at}.fc2"))
        h = tap("features", h.amax(1))
        return linear(tap("classifier.0", linear(h, "classifier.0")), "classifier.1")

    return functional(forward, weights, double)
