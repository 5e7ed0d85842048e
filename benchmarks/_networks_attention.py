"""The literature's transformers as PyTorch modules, at their published widths, random weights:
ECG-JEPA's ViT-S, MERL's ViT-tiny, ViT-B/16 and Swin-T on pictures of recordings, CE-SSL's base."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


def sinusoids(count: int, dim: int) -> torch.Tensor:
    """Position codes: sines at even columns, cosines at odd ones."""
    place = torch.arange(count)[:, None] * 10000.0 ** (-torch.arange(0, dim, 2) / dim)
    return torch.stack([place.sin(), place.cos()], -1).flatten(1)


class Attention(nn.Module):
    """Self-attention over (batch, tokens, dim)."""

    def __init__(self, dim: int, heads: int, bias: bool = True, causal: bool = False):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.qkv, self.proj = nn.Linear(dim, 3 * dim, bias=bias), nn.Linear(dim, dim, bias=bias)

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.proj(y.transpose(1, 2).reshape(n, t, d))


class Block(nn.Module):
    """Pre-norm, hidden width 4 * dim."""

    def __init__(self, attn: nn.Module, dim: int, eps: float, bias: bool = True, leaky=False):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(dim, eps, bias=bias), attn
        self.norm2 = nn.LayerNorm(dim, eps, bias=bias)
        self.fc1 = nn.Linear(dim, 4 * dim, bias=bias)
        self.fc2 = nn.Linear(4 * dim, dim, bias=bias)
        self.leaky = leaky

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        h = self.fc1(self.norm2(x))
        return x + self.fc2(F.leaky_relu(h) if self.leaky else F.gelu(h))


class ViT1d(nn.Module):
    """Patches of 12-lead time. ECG-JEPA (Kim, 2024): no biases, fixed positions, a register token
    that is read out. MERL (Liu et al., 2024): learned positions, mean over tokens, then the
    norm."""

    def __init__(self, dim, depth, heads, patch, tokens, classes, *, jepa: bool):
        super().__init__()
        eps = 1e-6 if jepa else 1e-5
        self.patch_embed = nn.Conv1d(12, dim, patch, patch, bias=False)
        positions = sinusoids(tokens, dim) if jepa else torch.randn(tokens, dim) * 0.02
        self.register_buffer("positions", positions[None])
        self.register = nn.Parameter(torch.randn(1, 1, dim) * 0.02) if jepa else None
        self.blocks = nn.Sequential(
            *(Block(Attention(dim, heads, not jepa), dim, eps, not jepa) for _ in range(depth))
        )
        self.norm = nn.LayerNorm(dim, eps, bias=not jepa)
        self.head = nn.Linear(dim, classes, bias=not jepa)

    def forward(self, x):
        x = self.patch_embed(x).transpose(1, 2) + self.positions
        if self.register is None:
            return self.head(self.norm(self.blocks(x).mean(1)))
        x = torch.cat([self.register.expand(len(x), -1, -1), x], 1)
        return self.head(self.norm(self.blocks(x))[:, 0])


class ViT(nn.Module):
    """ViT-B/16 at 224 pixels (Dosovitskiy et al., 2021) on pictures of paper ECGs."""

    def __init__(self, dim: int = 768, depth: int = 12, heads: int = 12, classes: int = 4):
        super().__init__()
        self.patch_embed = nn.Conv2d(3, dim, 16, 16)
        self.cls = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.positions = nn.Parameter(torch.randn(1, 197, dim) * 0.02)
        self.blocks = nn.Sequential(
            *(Block(Attention(dim, heads), dim, 1e-12) for _ in range(depth))
        )
        self.norm, self.head = nn.LayerNorm(dim, 1e-12), nn.Linear(dim, classes)

    def forward(self, x):
        x = self.patch_embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], 1) + self.positions
        return self.head(self.norm(self.blocks(x))[:, 0])


class WindowAttention(nn.Module):
    """Swin's attention in windows of 7 x 7 tokens, shifted by 3 in every other block."""

    def __init__(self, dim: int, heads: int, side: int, shift: int):
        super().__init__()
        self.heads, self.side, self.shift = heads, side, shift
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.table = nn.Parameter(torch.randn(169, heads) * 0.02)
        y, x = torch.meshgrid(torch.arange(7), torch.arange(7), indexing="ij")
        y, x = y.flatten(), x.flatten()
        index = (y[:, None] - y + 6) * 13 + x[:, None] - x + 6
        self.register_buffer("index", index, persistent=False)
        if shift:
            edge = torch.zeros(side, dtype=torch.long)
            edge[-7:-3], edge[-3:] = 1, 2
            part = self.windows((3 * edge[:, None] + edge)[None, :, :, None])[..., 0]
            apart = torch.where(part[:, :, None] == part[:, None], 0.0, -100.0)
            self.register_buffer("apart", apart[:, None], persistent=False)

    @staticmethod
    def windows(x):
        n, h, w, c = x.shape
        return x.reshape(n, h // 7, 7, w // 7, 7, c).transpose(2, 3).reshape(-1, 49, c)

    def bias(self):
        """(heads, 49, 49)"""
        return self.table[self.index].permute(2, 0, 1)

    def forward(self, x):
        n, t, d = x.shape
        x = x.reshape(n, self.side, self.side, d)
        if self.shift:
            x = torch.roll(x, (-self.shift, -self.shift), (1, 2))
        qkv = self.qkv(self.windows(x)).reshape(-1, 49, 3, self.heads, d // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mask = self.bias()[None]
        if self.shift:
            mask = (mask + self.apart).repeat(n, 1, 1, 1)
        y = F.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2)
        y = self.proj(y.reshape(-1, 49, d))
        y = y.reshape(n, self.side // 7, self.side // 7, 7, 7, d).transpose(2, 3)
        y = y.reshape(n, self.side, self.side, d)
        if self.shift:
            y = torch.roll(y, (self.shift, self.shift), (1, 2))
        return y.reshape(n, t, d)


class Merge(nn.Module):
    """Four neighbours become one token of twice the width."""

    def __init__(self, dim: int, side: int):
        super().__init__()
        self.side = side
        self.norm, self.reduction = nn.LayerNorm(4 * dim), nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x):
        n, t, d = x.shape
        x = x.reshape(n, self.side // 2, 2, self.side // 2, 2, d).permute(0, 1, 3, 4, 2, 5)
        return self.reduction(self.norm(x.reshape(n, t // 4, 4 * d)))


class Swin(nn.Module):
    """Swin-T at 224 pixels (Liu et al., 2021)."""

    DEPTHS, HEADS = (2, 2, 6, 2), (3, 6, 12, 24)

    def __init__(self, dim: int = 96, classes: int = 4):
        super().__init__()
        self.patch_embed, self.embed_norm = nn.Conv2d(3, dim, 4, 4), nn.LayerNorm(dim)
        layers: list[nn.Module] = []
        side = 56
        for stage, (depth, heads) in enumerate(zip(self.DEPTHS, self.HEADS)):
            for i in range(depth):
                shift = 3 if i % 2 and side > 7 else 0
                layers.append(Block(WindowAttention(dim, heads, side, shift), dim, 1e-5))
            if stage < 3:
                layers.append(Merge(dim, side))
                dim, side = 2 * dim, side // 2
        self.layers = nn.Sequential(*layers)
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, classes)

    def forward(self, x):
        x = self.embed_norm(self.patch_embed(x).flatten(2).transpose(1, 2))
        return self.head(self.norm(self.layers(x)).mean(1))


class CeSslConv(nn.Module):
    def __init__(self, cin: int, dim: int):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv1d(cin, dim, 9, 4, 4), nn.BatchNorm1d(dim)
        self.conv2, self.bn2 = nn.Conv1d(dim, dim, 9, 1, 4), nn.BatchNorm1d(dim)
        self.conv3 = nn.Conv1d(cin, dim, 1)

    def forward(self, x):
        h = F.leaky_relu(self.bn1(self.conv1(x)))
        return F.leaky_relu(self.bn2(self.conv2(h))) + self.conv3(F.avg_pool1d(x, 4))


class CeSsl(nn.Module):
    """CE-SSL's base (2024): three blocks of convolutions, eight causal ones with 16 heads, the
    largest value over time."""

    def __init__(self, dim: int = 256, depth: int = 8, heads: int = 16, classes: int = 25):
        super().__init__()
        self.convs = nn.Sequential(*(CeSslConv(dim if i else 12, dim) for i in range(3)))
        self.register_buffer("positions", sinusoids(96, dim)[None])
        self.blocks = nn.Sequential(
            *(
                Block(Attention(dim, heads, causal=True), dim, 1e-5, leaky=True)
                for _ in range(depth)
            )
        )
        self.fc1, self.fc2 = nn.Linear(dim, dim), nn.Linear(dim, classes)

    def forward(self, x):
        x = self.blocks(self.convs(x).transpose(1, 2) + self.positions)
        return self.fc2(self.fc1(x.amax(1)))


def networks():
    """The transformers."""
    return {
        "jepa_vit_s": (ViT1d(384, 8, 6, 25, 200, 71, jepa=True), (12, 5000), 1.0, 1.05),
        "vit_b16": (ViT(), (3, 224, 224), 1.0, 1.05),
        "swin_t": (Swin(), (3, 224, 224), 1.3, 1.3),
        "merl_vit_tiny": (ViT1d(192, 12, 3, 50, 100, 71, jepa=False), (12, 5000), 1.1, 1.25),
        "ce_ssl": (CeSsl(), (12, 6144), 1.1, 1.25),
    }
