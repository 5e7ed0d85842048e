"""The scalogram networks in PyTorch: the modules that ``benchmarks/`` times."""

import sys
from pathlib import Path

import numpy as np
from model_witness import random_weights

CASES = [
    {"network": "cnn1d"},
    {"network": "cnn_lstm"},
    {"network": "resnet18", "image": 64},
    {"network": "efficientnet_lite0", "image": 64},
]
MAIN = [
    {"network": "cnn1d"},
    {"network": "cnn_lstm"},
    {"network": "resnet18"},
    {"network": "efficientnet_lite0"},
]
PICTURES = ("resnet18", "efficientnet_lite0")


def build(network, **others):
    folder = str(Path(__file__).resolve().parent.parent / "benchmarks")
    if folder not in sys.path:
        sys.path.append(folder)
    from _networks import networks

    return networks()[network][0]


def weights(seed=0, **variant):
    shapes = {k: tuple(v.shape) for k, v in build(**variant).state_dict().items()}
    return random_weights(shapes, seed)


def module(weights, double=False, **variant):
    import torch

    class Windows(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = build(**variant)
            self.net.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in weights.items()})

        def forward(self, x):
            if variant["network"] not in PICTURES:
                return self.net(x)
            return self.net(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    return (Windows().double() if double else Windows()).eval()


def inputs(n, seed=0, *, network, image=224):
    shape = (3, image, image) if network in PICTURES else (768, 64)
    return np.random.default_rng(seed).uniform(size=(n, 10, *shape)).astype(np.float32)
