"""Recurrent networks over long recordings: a bidirectional LSTM, and ECGNet's generator that
writes twelve leads from one."""

from __future__ import annotations

from torch import nn


class BiLSTM(nn.Module):
    """One bidirectional layer of 128 units, features 64 to 256."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(64, 128, batch_first=True, bidirectional=True)

    def forward(self, x):
        return self.lstm(x)[0]


class Generator(nn.Module):
    """Two bidirectional layers of 100 units, then twelve leads (shape after ECGNet, 2023)."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(1, 100, num_layers=2, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(200, 12)

    def forward(self, x):
        return self.fc(self.lstm(x)[0])


def networks():
    """See ``_networks.py``."""
    return {
        "bilstm_h128": (BiLSTM(), (1000, 64), 1.3, 2.5),
        "ecgnet_generator": (Generator(), (5000, 1), 1.3, 2.5),
    }
