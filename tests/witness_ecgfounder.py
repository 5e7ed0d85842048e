"""ECGFounder's Net1D in PyTorch, written from its specification."""

import numpy as np
from model_witness import functional, random_weights

CASES = [{"leads": 1}, {"leads": 12}, {"leads": 12, "num_classes": 3}]

STAGES = [(64, 2), (160, 2), (160, 2), (400, 3), (400, 3), (1024, 4), (1024, 4)]


def layout(leads=12, num_classes=150):
    """Every key of the published file; the forward never uses the batch norms."""
    shapes = {}

    def layer(at, *shape):
        shapes[f"{at}.weight"], shapes[f"{at}.bias"] = shape, shape[:1]

    def norm(at, n):
        keys = ("weight", "bias", "running_mean", "running_var")
        shapes.update({f"{at}.{k}": (n,) for k in keys} | {f"{at}.num_batches_tracked": ()})

    layer("first_conv.conv", 64, leads, 16)
    norm("first_bn", 64)
    cin = 64
    for s, (cout, count) in enumerate(STAGES):
        for b in range(count):
            at = f"stage_list.{s}.block_list.{b}"
            norm(f"{at}.bn1", cin)
            layer(f"{at}.conv1.conv", cout, cin, 1)
            norm(f"{at}.bn2", cout)
            layer(f"{at}.conv2.conv", cout, 16, 16)
            norm(f"{at}.bn3", cout)
            layer(f"{at}.conv3.conv", cout, cout, 1)
            layer(f"{at}.se_fc1", cout // 2, cout)
            layer(f"{at}.se_fc2", cout, cout // 2)
            cin = cout
    layer("dense", num_classes, 1024)
    return shapes


def weights(seed=0, **variant):
    return random_weights(layout(**variant), seed)


def module(weights, double=False, **variant):
    return functional(forward, weights, double)


def inputs(n, seed=0, *, leads=12, num_classes=150):
    return np.random.default_rng(seed).normal(size=(n, leads, 5000)).astype(np.float32)


def forward(w, x, tap):
    import torch.nn.functional as F

    def conv(x, at, stride=1, groups=1):
        k = w[f"{at}.weight"].shape[-1]
        total = max(0, (-(-x.shape[-1] // stride) - 1) * stride + k - x.shape[-1])
        x = F.pad(x, (total // 2, total - total // 2))
        return F.conv1d(x, w[f"{at}.weight"], w[f"{at}.bias"], stride, groups=groups)

    x = F.silu(conv(x, "first_conv.conv", 2))
    cin, first = 64, True
    for s, (cout, count) in enumerate(STAGES):
        for b in range(count):
            at, stride = f"stage_list.{s}.block_list.{b}", 1 if b else 2
            h = F.silu(conv(x if first else F.silu(x), f"{at}.conv1.conv"))
            h = conv(F.silu(conv(h, f"{at}.conv2.conv", stride, cout // 16)), f"{at}.conv3.conv")
            g = F.silu(F.linear(h.mean(-1), w[f"{at}.se_fc1.weight"], w[f"{at}.se_fc1.bias"]))
            g = F.linear(g, w[f"{at}.se_fc2.weight"], w[f"{at}.se_fc2.bias"]).sigmoid()
            if stride == 2:
                x = F.max_pool1d(F.pad(x, (0, 1)), 2)
            pad = cout - cin
            x = tap(at, h * g[..., None] + F.pad(x, (0, 0, pad // 2, pad - pad // 2)))
            cin, first = cout, False
    return F.linear(tap("features", x.mean(-1)), w["dense.weight"], w["dense.bias"])
