"""The networks of the PTB-XL benchmark as PyTorch modules with the keys of the published files:
timed here, and the witness of ``ptbxl_reference`` in the tests."""

from __future__ import annotations

import torch
from torch import nn


def conv(cin: int, cout: int, k: int, stride: int = 1) -> nn.Conv1d:
    return nn.Conv1d(cin, cout, k, stride, (k - 1) // 2, bias=False)


def conv_norm(cin: int, cout: int, k: int, stride: int = 1, act: bool = True) -> nn.Sequential:
    layers = [conv(cin, cout, k, stride), nn.BatchNorm1d(cout)]
    return nn.Sequential(*layers, *([nn.ReLU()] if act else []))


class MaxMean(nn.Module):
    def forward(self, x):
        return torch.cat([x.amax(-1), x.mean(-1)], 1)


def head(features: int, classes: int, *pool: nn.Module) -> nn.Sequential:
    """Dropout is left out of what it does: the modules keep their places."""
    return nn.Sequential(
        *pool,
        nn.BatchNorm1d(features),
        nn.Identity(),
        nn.Linear(features, 128),
        nn.ReLU(),
        nn.BatchNorm1d(128),
        nn.Identity(),
        nn.Linear(128, classes),
    )


def pooled_head(channels: int, classes: int) -> nn.Sequential:
    return head(2 * channels, classes, MaxMean(), nn.Identity())


class Bottleneck(nn.Module):
    """fastai's block; ``convpath`` holds the same modules as ``convs``, so the files do too."""

    def __init__(self, cin: int, stride: int):
        super().__init__()
        self.convs = nn.Sequential(
            conv_norm(cin, 64, 1), conv_norm(64, 64, 5, stride), conv_norm(64, 256, 1, act=False)
        )
        self.convpath = nn.Sequential(self.convs)
        self.idpath = nn.Sequential()
        if cin != 256:
            self.idpath.append(conv_norm(cin, 256, 1, act=False))
        if stride != 1:
            self.idpath.insert(0, nn.AvgPool1d(2, ceil_mode=True))

    def forward(self, x):
        return (self.convpath(x) + self.idpath(x)).relu()


def xresnet1d101(classes: int = 71) -> nn.Sequential:
    layers: list[nn.Module] = [conv_norm(12, 32, 5, 2), conv_norm(32, 32, 5), conv_norm(32, 64, 5)]
    layers.append(nn.MaxPool1d(3, 2, 1))
    cin = 64
    for stage, count in enumerate((3, 4, 23, 3)):
        blocks = []
        for i in range(count):
            blocks.append(Bottleneck(cin, 2 if stage and i == 0 else 1))
            cin = 256
        layers.append(nn.Sequential(*blocks))
    return nn.Sequential(*layers, pooled_head(256, classes))


class Basic(nn.Module):
    def __init__(self, stride: int):
        super().__init__()
        self.conv1, self.bn1 = conv(128, 128, 5, stride), nn.BatchNorm1d(128)
        self.conv2, self.bn2 = conv(128, 128, 3), nn.BatchNorm1d(128)
        self.downsample = conv_norm(128, 128, 1, stride, act=False) if stride > 1 else None

    def forward(self, x):
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


def resnet1d_wang(classes: int = 71) -> nn.Sequential:
    stages = [nn.Sequential(Basic(stride)) for stride in (1, 2, 2)]
    stem = [conv(12, 128, 7), nn.BatchNorm1d(128), nn.ReLU()]
    return nn.Sequential(*stem, *stages, pooled_head(128, classes))


class Inception(nn.Module):
    def __init__(self, cin: int):
        super().__init__()
        self.bottleneck = conv(cin, 32, 1)
        self.convs = nn.ModuleList([conv(32, 32, k) for k in (39, 19, 9)])
        self.conv_bottle = nn.Sequential(nn.MaxPool1d(3, 1, 1), conv(cin, 32, 1))
        self.bn_relu = nn.Sequential(nn.BatchNorm1d(128), nn.ReLU())

    def forward(self, x):
        h = self.bottleneck(x)
        return self.bn_relu(torch.cat([*(c(h) for c in self.convs), self.conv_bottle(x)], 1))


class Skip(nn.Module):
    def __init__(self, cin: int):
        super().__init__()
        self.conv, self.bn = conv(cin, 128, 1), nn.BatchNorm1d(128)

    def forward(self, saved, x):
        return (x + self.bn(self.conv(saved))).relu()


class InceptionStack(nn.Module):
    def __init__(self):
        super().__init__()
        self.im = nn.ModuleList([Inception(128 if d else 12) for d in range(6)])
        self.sk = nn.ModuleList([Skip(12), Skip(128)])

    def forward(self, x):
        saved = x
        for d, module in enumerate(self.im):
            x = module(x)
            if d % 3 == 2:
                x = saved = self.sk[d // 3](saved, x)
        return x


class Inception1d(nn.Module):
    def __init__(self, classes: int = 71):
        super().__init__()
        self.layers = nn.Sequential(InceptionStack(), pooled_head(128, classes))

    def forward(self, x):
        return self.layers(x)


def fcn_wang(classes: int = 71) -> nn.Sequential:
    parts = [(12, 128, 8), (128, 256, 5), (256, 128, 3)]
    return nn.Sequential(*(nn.Sequential(conv_norm(*p)) for p in parts), pooled_head(128, classes))


class Turn(nn.Module):
    def forward(self, x):
        return x.transpose(1, 2)


class Cells(nn.LSTM):
    def forward(self, x):
        return super().forward(x)[0]


class MeanMaxLast(nn.Module):
    """Of the way back, the last output is the one at the start."""

    def __init__(self, both: bool):
        super().__init__()
        self.both = both

    def forward(self, x):
        last = x[:, -1]
        if self.both:
            last = torch.cat([last[:, :256], x[:, 0, 256:]], 1)
        return torch.cat([x.mean(1), x.amax(1), last], 1)


def lstm(classes: int = 71, both: bool = False) -> nn.Sequential:
    cells = Cells(12, 256, num_layers=2, batch_first=True, bidirectional=both)
    last = head(1536 if both else 768, classes, MeanMaxLast(both))
    return nn.Sequential(nn.Identity(), Turn(), cells, nn.Identity(), nn.Identity(), last)


def lstm_bidir(classes: int = 71) -> nn.Sequential:
    return lstm(classes, both=True)


BUILD = {
    "xresnet1d101": xresnet1d101,
    "resnet1d_wang": resnet1d_wang,
    "inception1d": Inception1d,
    "fcn_wang": fcn_wang,
    "lstm": lstm,
    "lstm_bidir": lstm_bidir,
}


def networks() -> dict[str, tuple[nn.Module, tuple[int, ...], float, float]]:
    """See ``_networks.py``."""
    return {"xresnet1d101": (xresnet1d101(), (12, 1000), 1.25, 2.0)}
