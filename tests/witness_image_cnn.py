"""torchvision's ResNet-18 and MobileNetV2 and efficientnet-lite-pytorch's Lite0, as witnesses."""

import numpy as np
import pytest
from model_witness import random_weights
from torch_companions import torchvision

CASES = [
    {"network": "resnet18", "image": 64, "num_classes": 10},
    {"network": "mobilenet_v2", "image": 64, "num_classes": 10},
    {"network": "efficientnet_lite0", "image": 64, "num_classes": 10},
    {"network": "resnet18"},
    {"network": "mobilenet_v2"},
    {"network": "efficientnet_lite0"},
]
MAIN = CASES[3:]


def build(network="resnet18", num_classes=1000, image=224):
    if network != "efficientnet_lite0":
        return getattr(torchvision().models, network)(num_classes=num_classes)
    package = pytest.importorskip("efficientnet_lite_pytorch")
    return package.EfficientNet.from_name(
        "efficientnet-lite0", num_classes=num_classes, image_size=image
    )


def weights(seed=0, **variant):
    shapes = {k: tuple(v.shape) for k, v in build(**variant).state_dict().items()}
    return random_weights(shapes, seed)


def module(weights, double=False, **variant):
    import torch

    net = build(**variant)
    net.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in weights.items()})
    return (net.double() if double else net).eval()


def inputs(n, seed=0, image=224, **variant):
    return np.random.default_rng(seed).normal(0, 1, (n, 3, image, image)).astype(np.float32)
