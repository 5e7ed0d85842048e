"""MERL's ECG encoders in PyTorch, written from the specification."""

import numpy as np
from model_witness import batch_norm, functional, random_weights

WIDTH = {"resnet18": 512, "vit_tiny": 192, "vit_small": 384, "vit_middle": 512, "vit_base": 768}
CASES = [
    {"network": "resnet18"},
    {"network": "resnet18", "aligned": False},
    {"network": "resnet18", "aligned": False, "num_classes": 5},
    {"network": "vit_tiny"},
    {"network": "vit_tiny", "aligned": False, "num_classes": 3},
    {"network": "vit_small", "aligned": False},
    {"network": "vit_base"},
]
MAIN = [{"network": "resnet18"}, {"network": "vit_tiny"}]  # what the benchmark of models measures
NORM = ("weight", "bias", "running_mean", "running_var")


def layout(network, aligned=True, num_classes=0):
    """The keys that the forward uses."""
    shapes, width = {}, WIDTH[network]
    pre = "ecg_encoder." if aligned else ""

    def layer(at, *shape):
        shapes[f"{at}.weight"], shapes[f"{at}.bias"] = shape, shape[:1]

    def norm(at, n):
        shapes.update({f"{at}.{k}": (n,) for k in NORM} | {f"{at}.num_batches_tracked": ()})

    if network == "resnet18":
        shapes[f"{pre}conv1.weight"] = (64, 12, 7)
        norm(f"{pre}bn1", 64)
        cin = 64
        for stage, cout in enumerate((64, 128, 256, 512), 1):
            for b in range(2):
                at = f"{pre}layer{stage}.{b}"
                shapes[f"{at}.conv1.weight"] = (cout, cin, 3)
                norm(f"{at}.bn1", cout)
                shapes[f"{at}.conv2.weight"] = (cout, cout, 3)
                norm(f"{at}.bn2", cout)
                if cin != cout:
                    shapes[f"{at}.shortcut.0.weight"] = (cout, cin, 1)
                    norm(f"{at}.shortcut.1", cout)
                cin = cout
    else:
        shapes[f"{pre}to_patch_embedding.weight"] = (width, 12, 50)
        shapes[f"{pre}pos_embedding"] = (1, 100, width)
        for i in range(12):
            at = f"{pre}block{i}"
            layer(f"{at}.attn.norm", width)
            layer(f"{at}.attn.fn.to_qkv", 3 * width, width)
            layer(f"{at}.attn.fn.to_out.0", width, width)
            layer(f"{at}.ff.norm", width)
            layer(f"{at}.ff.fn.net.0", 4 * width, width)
            layer(f"{at}.ff.fn.net.3", width, 4 * width)
        layer(f"{pre}norm", width)
    if not aligned and num_classes:
        layer("linear" if network == "resnet18" else "head", num_classes, width)
    elif aligned and network == "resnet18":
        layer("downconv", 256, 512, 1)
        at = "att_pool_head"
        shapes |= {f"{at}.positional_embedding": (1, 314, 256), f"{at}.cls_token": (1, 1, 256)}
        shapes |= {f"{at}.mhsa.in_proj_weight": (768, 256), f"{at}.mhsa.in_proj_bias": (768,)}
        layer(f"{at}.mhsa.out_proj", 256, 256)
        layer(f"{at}.c_proj", 256, 256)
    elif aligned:
        for i, cin in ((0, width), (3, 256)):
            layer(f"proj_e.{i}", 256, cin)
            norm(f"proj_e.{i + 1}", 256)
    return shapes


def weights(seed=0, *, network="resnet18", aligned=True, num_classes=0):
    """With the text tower's keys and the leftovers of the training loss that their files hold."""
    found = random_weights(layout(network, aligned, num_classes), seed)
    if aligned:
        found |= {"lm_model.pooler.dense.weight": np.ones((3, 3)), "proj_t.0.bias": np.ones(3)}
        found |= {"linear1.weight": np.ones((256, 256)), "linear2.weight": np.ones((256, 256))}
        if network == "resnet18":
            found |= {"ecg_encoder.linear.weight": np.ones((10, 512)),
                      "ecg_encoder.linear.bias": np.ones(10)}  # fmt: skip
    return found


def inputs(n, seed=0, **variant):
    return np.random.default_rng(seed).uniform(size=(n, 12, 5000)).astype(np.float32)


def module(weights, double=False, *, network="resnet18", aligned=True, num_classes=0):
    def forward(w, x, tap):
        encoder = {k.removeprefix("ecg_encoder."): v for k, v in w.items()}
        if network == "resnet18":
            h = resnet(encoder, x, tap)
            h = attention_pool(w, h) if aligned else tap("features", h.mean(-1))
        else:
            h = vit(encoder, x, WIDTH[network], tap)
            h = projection(w, h) if aligned else tap("features", h)
        if aligned:
            import torch.nn.functional as F

            return tap("features", F.normalize(h, dim=-1))
        if not num_classes:
            return h
        head = "linear" if network == "resnet18" else "head"
        return h @ w[f"{head}.weight"].T + w[f"{head}.bias"]

    return functional(forward, weights, double)


def resnet(w, x, tap):
    import torch.nn.functional as F

    h = F.relu(batch_norm(w, "bn1", F.conv1d(x, w["conv1.weight"], stride=2, padding=3)))
    for stage in range(1, 5):
        for b in range(2):
            at, stride = f"layer{stage}.{b}", 2 if stage > 1 and b == 0 else 1
            y = F.conv1d(h, w[f"{at}.conv1.weight"], stride=stride, padding=1)
            y = F.relu(batch_norm(w, f"{at}.bn1", y))
            y = F.conv1d(y, w[f"{at}.conv2.weight"], padding=1)
            if stride == 2:
                h = F.conv1d(h, w[f"{at}.shortcut.0.weight"], stride=2)
                h = batch_norm(w, f"{at}.shortcut.1", h)
            h = tap(at, F.relu(batch_norm(w, f"{at}.bn2", y) + h))
    return h


def attention_pool(w, h):
    """CLIP's pool: one class token asks; the original adds the first position to it twice."""
    import torch
    import torch.nn.functional as F

    f = F.conv1d(h, w["downconv.weight"], w["downconv.bias"]).permute(2, 0, 1)
    at = "att_pool_head."
    position = w[f"{at}positional_embedding"].transpose(0, 1)
    c = (w[f"{at}cls_token"] + position[:1]).expand(1, f.shape[1], 256)
    t = torch.cat([c, f]) + position
    h, _ = F.multi_head_attention_forward(
        t[:1], t, t, 256, 4, w[f"{at}mhsa.in_proj_weight"], w[f"{at}mhsa.in_proj_bias"],
        None, None, False, 0.0, w[f"{at}mhsa.out_proj.weight"],
        w[f"{at}mhsa.out_proj.bias"], training=False,
    )  # fmt: skip
    return F.linear(h[0], w[f"{at}c_proj.weight"], w[f"{at}c_proj.bias"])


def vit(w, x, width, tap):
    import torch.nn.functional as F

    h = F.conv1d(x, w["to_patch_embedding.weight"], stride=50).transpose(1, 2) + w["pos_embedding"]
    n, tokens, _ = h.shape

    def ln(at, x):
        return F.layer_norm(x, (width,), w[f"{at}.weight"], w[f"{at}.bias"], 1e-5)

    for i in range(12):
        a, f = f"block{i}.attn", f"block{i}.ff"
        qkv = F.linear(ln(f"{a}.norm", h), w[f"{a}.fn.to_qkv.weight"], w[f"{a}.fn.to_qkv.bias"])
        q, k, v = (t.reshape(n, tokens, width // 64, 64).transpose(1, 2) for t in qkv.chunk(3, -1))
        y = ((q @ k.transpose(-1, -2)) / 8).softmax(-1) @ v
        y = y.transpose(1, 2).reshape(n, tokens, width)
        h = h + F.linear(y, w[f"{a}.fn.to_out.0.weight"], w[f"{a}.fn.to_out.0.bias"])
        y = F.gelu(F.linear(ln(f"{f}.norm", h), w[f"{f}.fn.net.0.weight"], w[f"{f}.fn.net.0.bias"]))
        y = F.linear(y, w[f"{f}.fn.net.3.weight"], w[f"{f}.fn.net.3.bias"])
        h = tap(f"block{i}", h + y)
    return ln("norm", h.mean(1))


def projection(w, h):
    import torch.nn.functional as F

    h = F.linear(h, w["proj_e.0.weight"], w["proj_e.0.bias"])
    h = F.relu(batch_norm(w, "proj_e.1", h))
    return batch_norm(w, "proj_e.4", F.linear(h, w["proj_e.3.weight"], w["proj_e.3.bias"]))
