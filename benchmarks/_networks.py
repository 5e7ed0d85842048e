"""The project's own scalogram networks as PyTorch modules with random weights, and the collection
of all benchmark networks: every ``_networks*.py`` has ``networks()``, name -> (module, shape of one
input, bar at one thread, bar at two threads against the fastest peer that is right)."""

from __future__ import annotations

import importlib
from pathlib import Path

import torch
from torch import nn

from ecgkit.train import _scalogram_nets as nets

Network = tuple[nn.Module, tuple[int, ...], float, float]


class Windows(nn.Module):
    """The 1-D networks in plain PyTorch layers, so that every exporter takes them; the trained
    keys."""

    def __init__(self, lstm: bool):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv1d(768, 64, 5, padding=2), nn.BatchNorm1d(64)
        self.conv2, self.bn2 = nn.Conv1d(64, 128, 5, padding=2), nn.BatchNorm1d(128)
        self.conv3, self.bn3 = nn.Conv1d(128, 128, 3, padding=1), nn.BatchNorm1d(128)
        self.lstm = nn.LSTM(128, 64, batch_first=True) if lstm else None
        self.fc = nn.Linear(64 if lstm else 128, 4)

    def forward(self, x):
        h = x.reshape(-1, 768, 64)
        h = nn.functional.max_pool1d(self.bn1(self.conv1(h)).relu(), 2)
        h = nn.functional.max_pool1d(self.bn2(self.conv2(h)).relu(), 2)
        h = self.bn3(self.conv3(h)).relu().mean(-1).reshape(-1, 10, 128)
        return self.fc(h.mean(1) if self.lstm is None else self.lstm(h)[0][:, -1])


def networks() -> dict[str, Network]:
    """The scalogram networks."""
    return {
        "cnn1d": (Windows(False), (10, 768, 64), 1.2, 1.2),
        "cnn_lstm": (Windows(True), (10, 768, 64), 1.2, 1.2),
        "resnet18": (nets.ResNet18(), (3, 224, 224), 1.1, 1.25),
        "efficientnet_lite0": (nets.EfficientNetLite0(), (3, 224, 224), 1.1, 1.25),
    }


def every() -> dict[str, Network]:
    """All networks of this folder, in evaluation mode, their batch norms away from the identity."""
    torch.manual_seed(0)
    found: dict[str, Network] = {}
    for path in sorted(Path(__file__).parent.glob("_networks*.py")):
        found |= importlib.import_module(path.stem).networks()
    for module, *_ in found.values():
        scatter_norms(module)
    return found


def scatter_norms(module: nn.Module) -> nn.Module:
    """Give batch norms the statistics of a trained network; evaluation mode."""
    for part in module.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 2)
            nn.init.uniform_(part.weight, 0.5, 1.5)
    return module.eval()
