"""Networks over time as users write them: U-Net, dilated, recurrent, attending."""

import torch
from torch import nn
from torch.nn import functional


class UNet(nn.Module):
    """Down by strides, up by transposed convolutions, with skips."""

    def __init__(self, leads=12, width=16):
        super().__init__()

        def block(a, b):
            return nn.Sequential(nn.Conv1d(a, b, 9, padding=4), nn.BatchNorm1d(b), nn.ELU())

        self.first, self.down1, self.down2 = block(leads, width), block(width, 32), block(32, 64)
        self.pool = nn.MaxPool1d(2)
        self.up1 = nn.ConvTranspose1d(64, 32, 4, stride=2, padding=1)
        self.up2 = nn.ConvTranspose1d(32, width, 2, stride=2)
        self.join1, self.join2 = block(64, 32), block(2 * width, width)
        self.last = nn.Conv1d(width, 4, 1)

    def forward(self, x):
        a = self.first(x)
        b = self.down1(self.pool(a))
        c = self.down2(self.pool(b))
        b = self.join1(torch.cat([self.up1(c), b], 1))
        a = self.join2(torch.cat([self.up2(b), functional.pad(a, (0, 0))], 1))
        return self.last(a).softmax(1)


class TCN(nn.Module):
    """Causal convolutions with growing dilation."""

    def __init__(self, leads=12, width=24):
        super().__init__()
        self.enter = nn.Conv1d(leads, width, 1)
        self.layers = nn.ModuleList(nn.Conv1d(width, width, 3, dilation=2**i) for i in range(5))
        self.norms = nn.ModuleList(nn.GroupNorm(4, width) for _ in range(5))
        self.slope = nn.PReLU(width)

    def forward(self, x):
        h = self.enter(x)
        for i, (conv, norm) in enumerate(zip(self.layers, self.norms)):
            h = h + self.slope(norm(conv(functional.pad(h, (2 * 2**i, 0)))))
        return h[..., -1], h.amax(-1)


class CRNN(nn.Module):
    """Convolutions, then a recurrent layer over what is left of time."""

    def __init__(self, cell=nn.LSTM):
        super().__init__()
        self.front = nn.Sequential(
            nn.Conv1d(12, 32, 11, stride=4), nn.SiLU(), nn.AvgPool1d(3), nn.InstanceNorm1d(32)
        )
        self.rnn = cell(32, 24, 2, batch_first=True, bidirectional=True)
        self.score = nn.Linear(48, 1)
        self.head = nn.Linear(48, 5)

    def forward(self, x):
        y, _ = self.rnn(self.front(x).transpose(1, 2))
        weight = torch.softmax(self.score(torch.tanh(y)), 1)
        return self.head((weight * y).sum(1))


class Conformer(nn.Module):
    """A block of the conformer: half-step feed-forwards, attention, gated convolution."""

    def __init__(self, width=32, heads=4):
        super().__init__()
        self.enter = nn.Conv1d(12, width, 8, stride=8)

        def feed():
            return nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, 64), nn.SiLU(), nn.Linear(64, width)
            )

        self.feed1, self.feed2 = feed(), feed()
        self.norm = nn.LayerNorm(width)
        self.attend = nn.MultiheadAttention(width, heads, batch_first=True)
        self.before, self.after = nn.Conv1d(width, 2 * width, 1), nn.Conv1d(width, width, 1)
        self.depth = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.batch = nn.BatchNorm1d(width)
        self.place = nn.Parameter(torch.randn(1, 50, width))

    def forward(self, x):
        h = self.enter(x).transpose(1, 2) + self.place
        h = h + 0.5 * self.feed1(h)
        n = self.norm(h)
        h = h + self.attend(n, n, n, need_weights=False)[0]
        c = functional.glu(self.before(h.transpose(1, 2)), 1)
        c = self.after(functional.silu(self.batch(self.depth(c))))
        h = h + c.transpose(1, 2)
        return h + 0.5 * self.feed2(h)


class Upsampler(nn.Module):
    """Resizing, gates, norms by hand, gathering: what is left of the common functions."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(3, 8, 3, padding=1, padding_mode="reflect")
        self.gate = nn.Linear(8, 8)
        self.register_buffer("order", torch.randperm(40))

    def forward(self, x):
        h = self.conv(x)[..., self.order]
        h = h * torch.sigmoid(self.gate(h.mean(-1)))[..., None]
        h = functional.normalize(h, dim=1) + functional.softplus(h).clamp(max=3.0)
        h = functional.interpolate(h, scale_factor=2.0, mode="linear")
        h = torch.roll(h, 3, -1) - h.var(-1, keepdim=True)
        h = torch.einsum("nct,ndt->ncd", h, h) / 80
        h = h.masked_fill(torch.eye(8, dtype=torch.bool), -1.5)
        return torch.stack([h.log_softmax(-1), h.flip(-1), h.pow(2)], 1)
