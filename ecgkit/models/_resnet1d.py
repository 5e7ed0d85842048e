"""ResNet-18 over time: MERL's and ProtoECGNet's encoder, in the layouts of their authors."""

from __future__ import annotations

from collections.abc import Mapping

from .._typing import Array
from ._resnet import STAGES

Shapes = dict[str, tuple[int, ...]]
NORM = ("weight", "bias", "running_mean", "running_var")


def norm_shapes(at: str, n: int) -> Shapes:
    """Keys and shapes of a batch norm."""
    return {f"{at}.{k}": (n,) for k in NORM}


def blocks():
    """Key, channels in and out, stride."""
    cin = 64
    for stage, cout, stride in STAGES:
        for b in range(2):
            yield f"layer{stage}.{b}", cin, cout, stride if b == 0 else 1
            cin = cout


def shapes(short: str) -> Shapes:
    """Key and shape of every tensor; ``short`` is what the layout calls a block's shortcut."""
    found: Shapes = {"conv1.weight": (64, 12, 7), **norm_shapes("bn1", 64)}
    for at, cin, cout, stride in blocks():
        found |= {f"{at}.conv1.weight": (cout, cin, 3), **norm_shapes(f"{at}.bn1", cout)}
        found |= {f"{at}.conv2.weight": (cout, cout, 3), **norm_shapes(f"{at}.bn2", cout)}
        if stride > 1:
            found[f"{at}.{short}.0.weight"] = (cout, cin, 1)
            found |= norm_shapes(f"{at}.{short}.1", cout)
    return found


def batch_norm(p, w: Mapping[str, Array], at: str, x):
    """A batch norm by its key."""
    return p.batch_norm(x, *(w[f"{at}.{k}"] for k in NORM))


def build(p, w: Mapping[str, Array], x, *, short: str, pool: bool, at: str = ""):
    """(12, time) to (512, map); every block is named by ``at`` and its key.

    ``pool``: a max-pool behind the stem. Kernels of pictures of one row are taken as they act over
    time.
    """

    def conv(x, key: str, stride: int, padding: int):
        return p.conv1d(x, over_time(w[f"{at}{key}.weight"]), stride=stride, padding=padding)

    h = p.relu(batch_norm(p, w, f"{at}bn1", conv(x, "conv1", 2, 3)))
    if pool:
        h = p.max_pool1d(h, 3, stride=2, padding=1)
    for key, _, _, stride in blocks():
        y = p.relu(batch_norm(p, w, f"{at}{key}.bn1", conv(h, f"{key}.conv1", stride, 1)))
        y = batch_norm(p, w, f"{at}{key}.bn2", conv(y, f"{key}.conv2", 1, 1))
        if stride > 1:
            h = conv(h, f"{key}.{short}.0", stride, 0)
            h = batch_norm(p, w, f"{at}{key}.{short}.1", h)
        h = p.relu(p.add(y, h), name=f"{at}{key}")
    return h


def over_time(w: Array) -> Array:
    """A kernel (out, in, taps) from one of a picture: over one channel that is all leads high, or
    over a picture of one row, of which only the middle row meets data."""
    if w.ndim == 3:
        return w
    return w[:, 0] if w.shape[1] == 1 else w[:, :, w.shape[2] // 2]
