"""transformers' and timm's own vision transformers, as witnesses of ours."""

import re

import numpy as np
import pytest
from model_witness import random_weights
from torch_companions import torchvision

CASES = [
    {"network": "vit_tiny"},
    {"network": "vit_tiny", "layout": "timm", "num_classes": 1000},
    {"network": "vit_tiny", "num_classes": 0},
    {"network": "swin_tiny"},
    {"network": "swin_tiny", "layout": "timm"},
    {"network": "vit_base", "num_classes": 1000},
    {"network": "beit_base", "num_classes": 1000},
    {"network": "beit_base", "layout": "timm", "num_classes": 1000},
    {"network": "swin_base", "layout": "timm", "num_classes": 1000},
]
MAIN = [{"network": n} for n in ("vit_base", "beit_base", "swin_tiny")]
WIDTH = {"vit_tiny": (192, 3), "vit_small": (384, 6), "vit_base": (768, 12)}
SWIN = {"swin_tiny": (96, (2, 2, 6, 2), (3, 6, 12, 24)),
        "swin_base": (128, (2, 2, 18, 2), (4, 8, 16, 32))}  # fmt: skip
TIMM = {
    "vit_tiny": "vit_tiny_patch16_224",
    "vit_small": "vit_small_patch16_224",
    "vit_base": "vit_base_patch16_224",
    "beit_base": "beit_base_patch16_224",
    "swin_tiny": "swin_tiny_patch4_window7_224",
    "swin_base": "swin_base_patch4_window7_224",
}
# Names of transformers 5 against those in published files.
HUB = (
    (r"^(vit|beit)\.layers\.", r"\1.encoder.layer."),
    (r"(\d)\.relative_position_bias\.", r"\1.attention.attention.relative_position_bias."),
    (r"attention\.relative_position_bias\.relative_position_bias_table$",
     "attention.self.relative_position_bias_table"),
    (r"^(swin.*)attention\.q_proj", r"\1attention.self.query"),
    (r"^(swin.*)attention\.k_proj", r"\1attention.self.key"),
    (r"^(swin.*)attention\.v_proj", r"\1attention.self.value"),
    (r"attention\.q_proj", "attention.attention.query"),
    (r"attention\.k_proj", "attention.attention.key"),
    (r"attention\.v_proj", "attention.attention.value"),
    (r"attention\.o_proj", "attention.output.dense"),
    (r"mlp\.fc1", "intermediate.dense"),
    (r"mlp\.fc2", "output.dense"),
)  # fmt: skip


def hub(key):
    if key.startswith("beit") and "relative_position_bias" in key:
        return re.sub(r"^beit\.layers\.(\d+)\.", r"beit.encoder.layer.\1.attention.attention.", key)
    for old, new in HUB:
        key = re.sub(old, new, key)
    return key


def bare(network, layout="transformers", num_classes=4, device="meta"):
    """The module; without memory, for its names and shapes, on the device "meta"."""
    torch = pytest.importorskip("torch")
    torchvision()
    with torch.device(device):
        if layout == "timm":
            timm = pytest.importorskip("timm")
            return timm.create_model(TIMM[network], num_classes=num_classes)
        tf = pytest.importorskip("transformers")
        common = {"num_labels": max(num_classes, 1), "attn_implementation": "eager"}
        if network in SWIN:
            width, depths, heads = SWIN[network]
            config = tf.SwinConfig(embed_dim=width, depths=depths, num_heads=heads, **common)
            return tf.SwinForImageClassification(config)
        if network == "beit_base":
            config = tf.BeitConfig(use_relative_position_bias=True, use_mask_token=False,
                                   use_absolute_position_embeddings=False, use_mean_pooling=True,
                                   **common)  # fmt: skip
            return tf.BeitForImageClassification(config)
        width, heads = WIDTH[network]
        config = tf.ViTConfig(hidden_size=width, num_attention_heads=heads,
                              intermediate_size=4 * width, **common)  # fmt: skip
        return tf.ViTForImageClassification(config)


def named(network, layout="transformers", num_classes=4):
    """The authors' key of each of the module's own."""
    own = bare(network, layout, num_classes).state_dict()
    return {k: (k if layout == "timm" else hub(k), tuple(v.shape)) for k, v in own.items()}


def weights(seed=0, network="vit_base", layout="transformers", num_classes=4):
    variant = (network, layout, num_classes)
    shapes = dict(named(*variant).values())
    if layout == "transformers" and not num_classes:
        shapes = {k: v for k, v in shapes.items() if not k.startswith("classifier")}
    found = random_weights(shapes, seed)
    for key in found:
        if key.endswith(("lambda_1", "lambda_2", "gamma_1", "gamma_2")):
            found[key] = found[key] * 3
    if layout == "timm":
        return found
    if network == "beit_base":
        at = "beit.encoder.layer.0.attention.attention.relative_position_bias."
        found[f"{at}relative_position_index"] = np.zeros((197, 197), np.int64)
    elif network in SWIN:
        at = "swin.encoder.layers.0.blocks.0.attention.self."
        found[f"{at}relative_position_index"] = np.zeros((49, 49), np.int64)
    else:
        width = WIDTH[network][0]
        found["vit.pooler.dense.weight"] = np.zeros((width, width), np.float32)
        found["vit.pooler.dense.bias"] = np.zeros(width, np.float32)
    return found


def module(weights, double=False, network="vit_base", layout="transformers", num_classes=4):
    import torch

    variant = (network, layout, num_classes)
    net = bare(*variant, device="cpu")  # with memory: it makes tables beside its weights
    state = {}
    for own, (key, shape) in named(*variant).items():
        value = weights.get(key, np.zeros(shape, np.float32))
        state[own] = torch.from_numpy(np.array(value))
    net.load_state_dict(state, assign=True)
    net = (net.double() if double else net).eval()
    head = net.classifier if layout == "transformers" else (net.head.fc if network in SWIN
                                                            else net.head)  # fmt: skip
    return _witness(net, head, _marks(net, network, layout), num_classes)


def _marks(net, network, layout):
    """Our taps: name, layer, and whether it stands for a grid."""
    if network in SWIN:
        stages = net.layers if layout == "timm" else net.swin.encoder.layers
        return {f"stage{s}": (stage.blocks[-1], True) for s, stage in enumerate(stages)}
    blocks = net.blocks if layout == "timm" else next(
        getattr(net, kind) for kind in ("vit", "beit") if hasattr(net, kind)).layers  # fmt: skip
    return {f"block{i}": (blocks[i], False) for i in (0, 5, 11)}


def _witness(net, head, marks, num_classes):
    import torch

    class Witness(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def run(self, x):
            found = {}

            def keep(name, grid):
                def hook(layer, args, out):
                    y = out[0] if isinstance(out, tuple) else out
                    if grid and y.ndim == 3:
                        side = round(y.shape[1] ** 0.5)
                        y = y.reshape(len(y), side, side, -1)
                    found[name] = y

                return hook

            hooks = [m.register_forward_hook(keep(k, grid)) for k, (m, grid) in marks.items()]
            hooks.append(head.register_forward_pre_hook(
                lambda layer, args: found.__setitem__("features", args[0])))  # fmt: skip
            try:
                out = self.net(x)
            finally:
                for hook in hooks:
                    hook.remove()
            return getattr(out, "logits", out), found

        def forward(self, x):
            out, found = self.run(x)
            return out if num_classes else found["features"]

        def taps(self, x):
            return self.run(x)[1]

    return Witness()


def inputs(n, seed=0, **variant):
    return np.random.default_rng(seed).normal(0, 1, (n, 3, 224, 224)).astype(np.float32)
