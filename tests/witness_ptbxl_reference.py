"""The PTB-XL benchmark's networks in PyTorch, with the keys of the published files.

The modules are those that ``benchmarks/`` times.
"""

import sys
from pathlib import Path

import numpy as np
from model_witness import random_weights

CASES = [
    {"network": "fcn_wang", "task": "superdiagnostic"},
    {"network": "resnet1d_wang", "task": "rhythm"},
    {"network": "lstm", "task": "form"},
    {"network": "lstm_bidir", "task": "subdiagnostic", "aggregate": "mean"},
    {"network": "inception1d", "task": "diagnostic"},
    {"network": "xresnet1d101", "task": "all"},
    {"network": "xresnet1d101", "num_classes": 9, "fs": 500},
]
MAIN = [
    {"network": network}
    for network in (
        "xresnet1d101", "resnet1d_wang", "inception1d", "fcn_wang", "lstm", "lstm_bidir",
    )
]  # fmt: skip
CLASSES = {
    "all": 71, "diagnostic": 44, "subdiagnostic": 23, "superdiagnostic": 5, "form": 19,
    "rhythm": 12,
}  # fmt: skip


def build(network, task="all", num_classes=None, **others):
    folder = str(Path(__file__).resolve().parent.parent / "benchmarks")
    if folder not in sys.path:
        sys.path.append(folder)
    from _networks_ptbxl import BUILD

    return BUILD[network](num_classes or CLASSES[task])


def weights(seed=0, **variant):
    shapes = {k: tuple(v.shape) for k, v in build(**variant).state_dict().items()}
    found = random_weights(shapes, seed)
    return {k: found[k.replace(".convpath.0.", ".convs.")] for k in shapes}


def module(weights, double=False, **variant):
    import torch

    class Windows(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = build(**variant)
            self.net.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in weights.items()})

        def forward(self, x):
            return self.net(x.flatten(0, 1)).unflatten(0, x.shape[:2])

        def taps(self, x):
            found = {}

            def keep(name, part):
                def hook(module, given, result):
                    value = given[0] if part == "input" else result
                    found[name] = value.unflatten(0, x.shape[:2])

                return hook

            handles = [
                self.net.get_submodule(at).register_forward_hook(keep(name, part))
                for name, at, part in places(variant["network"])
            ]
            self(x)
            for handle in handles:
                handle.remove()
            return found

    return (Windows().double() if double else Windows()).eval()


def places(network):
    """Name of a tap, the module beside it, which side of the module."""
    if network == "xresnet1d101":
        blocks = [f"{4 + s}.{b}" for s, n in enumerate((3, 4, 23, 3)) for b in range(n)]
    elif network == "resnet1d_wang":
        blocks = ["3.0", "4.0", "5.0"]
    elif network == "inception1d":
        blocks = [f"layers.0.im.{d}" for d in (0, 1, 3, 4)]
    else:
        blocks = ["0", "1", "2"] if network == "fcn_wang" else []
    last = {"xresnet1d101": "8.8", "resnet1d_wang": "6.8", "inception1d": "layers.1.8"}
    last |= {"fcn_wang": "3.8", "lstm": "5.7", "lstm_bidir": "5.7"}
    skips = [("layers.0.im.2", "layers.0.sk.0", ""), ("layers.0.im.5", "layers.0.sk.1", "")]
    found = [(block, block, "") for block in blocks] + [("features", last[network], "input")]
    return found + (skips if network == "inception1d" else [])


def inputs(n, seed=0, *, fs=100, **variant):
    return np.random.default_rng(seed).normal(size=(n, 7, 12, int(2.5 * fs))).astype(np.float32)
