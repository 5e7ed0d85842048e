"""The literature's convolutional networks as PyTorch modules, at their published widths, random
weights: ECGFounder's Net1D, MERL's ResNet1d-18, ProtoECGNet's branches."""

from __future__ import annotations

from torch import nn
from torch.nn import functional as F


class SameConv1d(nn.Conv1d):
    """Padding as TensorFlow's "same": ``ceil(n / stride)`` outputs, the odd zero at the end."""

    def forward(self, x):
        n, k, s = x.shape[-1], self.kernel_size[0], self.stride[0]
        total = max(0, (-(-n // s) - 1) * s + k - n)
        return super().forward(F.pad(x, (total // 2, total - total // 2)))


class Net1DBlock(nn.Module):
    def __init__(self, cin: int, cout: int, stride: int, first: bool):
        super().__init__()
        self.cin, self.cout, self.stride, self.first = cin, cout, stride, first
        self.conv1 = nn.Conv1d(cin, cout, 1)
        self.conv2 = SameConv1d(cout, cout, 16, stride, groups=cout // 16)
        self.conv3 = nn.Conv1d(cout, cout, 1)
        self.se_fc1, self.se_fc2 = nn.Linear(cout, cout // 2), nn.Linear(cout // 2, cout)

    def forward(self, x):
        h = self.conv1(x if self.first else F.silu(x))
        h = self.conv3(F.silu(self.conv2(F.silu(h))))
        gate = self.se_fc2(F.silu(self.se_fc1(h.mean(-1)))).sigmoid()
        h = h * gate.unsqueeze(-1)
        if self.stride == 2:
            x = F.max_pool1d(F.pad(x, (0, 1)), 2)
        if self.cin != self.cout:
            before = (self.cout - self.cin) // 2
            x = F.pad(x, (0, 0, before, self.cout - self.cin - before))
        return h + x


class Net1D(nn.Module):
    """ECGFounder (Li et al., NEJM AI 2025), 12 leads; its batch norms are never applied."""

    WIDTHS, BLOCKS = (64, 160, 160, 400, 400, 1024, 1024), (2, 2, 2, 3, 3, 4, 4)

    def __init__(self, leads: int = 12, classes: int = 150):
        super().__init__()
        self.first_conv = SameConv1d(leads, 64, 16, 2)
        blocks, cin = [], 64
        for width, count in zip(self.WIDTHS, self.BLOCKS):
            for i in range(count):
                blocks.append(Net1DBlock(cin, width, 1 if i else 2, not blocks))
                cin = width
        self.blocks = nn.Sequential(*blocks)
        self.dense = nn.Linear(cin, classes)

    def forward(self, x):
        return self.dense(self.blocks(F.silu(self.first_conv(x))).mean(-1))


class BasicBlock1d(nn.Module):
    def __init__(self, cin: int, cout: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv1d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm1d(cout)
        self.conv2 = nn.Conv1d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm1d(cout)
        self.shortcut = nn.Sequential()
        if stride != 1 or cin != cout:
            self.shortcut = nn.Sequential(
                nn.Conv1d(cin, cout, 1, stride, bias=False), nn.BatchNorm1d(cout)
            )

    def forward(self, x):
        h = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (h + self.shortcut(x)).relu()


class ResNet1d18(nn.Module):
    """MERL (Liu et al., ICML 2024) without a pool after the stem; ProtoECGNet's 1-D branch with it,
    its mean over time, two linear layers and a sigmoid."""

    def __init__(self, pool: bool):
        super().__init__()
        self.conv1 = nn.Conv1d(12, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm1d(64)
        self.pool = nn.MaxPool1d(3, 2, 1) if pool else nn.Identity()
        layers, cin = [], 64
        for width in (64, 128, 256, 512):
            layers += [BasicBlock1d(cin, width, 1 if width == 64 else 2)]
            layers += [BasicBlock1d(width, width, 1)]
            cin = width
        self.layers = nn.Sequential(*layers)
        self.head = nn.Identity()
        if pool:
            self.head = nn.Sequential(
                nn.AdaptiveAvgPool1d(1),
                nn.Flatten(),
                nn.Linear(512, 512),
                nn.ReLU(),
                nn.Linear(512, 512),
                nn.Sigmoid(),
            )

    def forward(self, x):
        return self.head(self.layers(self.pool(self.bn1(self.conv1(x)).relu())))


class BasicBlock2d(nn.Module):
    def __init__(self, cin: int, cout: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.shortcut = nn.Sequential()
        if stride != 1 or cin != cout:
            self.shortcut = nn.Sequential(
                nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout)
            )

    def forward(self, x):
        h = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (h + self.shortcut(x)).relu()


class ProtoECGNet2d(nn.Module):
    """ProtoECGNet's branches 3 and 4 (Sethi et al., 2025): ResNet-18 on the recording as a picture
    of one channel, 12 x 1000; the first kernel spans all leads, so all pictures after it have one
    row."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 64, (12, 7), (1, 2), (0, 3), bias=False)
        self.bn1, self.pool = nn.BatchNorm2d(64), nn.MaxPool2d(3, 2, 1)
        layers, cin = [], 64
        for width in (64, 128, 256, 512):
            layers += [BasicBlock2d(cin, width, 1 if width == 64 else 2)]
            layers += [BasicBlock2d(width, width, 1)]
            cin = width
        self.layers = nn.Sequential(*layers)
        self.add_on = nn.Sequential(
            nn.Conv2d(512, 512, 1), nn.ReLU(), nn.Conv2d(512, 512, 1), nn.Sigmoid()
        )

    def forward(self, x):
        return self.add_on(self.layers(self.pool(self.bn1(self.conv1(x)).relu())))


def networks() -> dict[str, tuple[nn.Module, tuple[int, ...], float, float]]:
    """Name -> (module, shape of one input, bar at one thread, bar at two)."""
    return {
        "ecgfounder_net1d": (Net1D(), (12, 5000), 1.25, 1.7),
        "merl_resnet1d18": (ResNet1d18(pool=False), (12, 5000), 1.1, 1.25),
        "protoecgnet_1d": (ResNet1d18(pool=True), (12, 1000), 1.25, 2.0),
        "protoecgnet_2d": (ProtoECGNet2d(), (1, 12, 1000), 1.25, 2.0),
    }
