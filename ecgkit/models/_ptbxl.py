"""The six networks of the PTB-XL benchmark: key layouts and programs over one window (12, time).

Sequential modules of fastai v1, so most keys are positions. Every network ends in the same head:
pooled features, batch norm, 128 units, batch norm, classes.
"""

from __future__ import annotations

from collections.abc import Mapping

from .._typing import Array

NETWORKS = ("xresnet1d101", "resnet1d_wang", "inception1d", "fcn_wang", "lstm", "lstm_bidir")
LEADS, HEAD = 12, 128
STAGES = (3, 4, 23, 3)  # bottlenecks of xresnet1d101, from key 4 on
FCN = ((128, 8), (256, 5), (128, 3))  # channels and taps
TAPS = (39, 19, 9)  # of an inception module's three convolutions
MODULES = 6
HIDDEN = 256
HEADS = {
    "xresnet1d101": ("8", 512),
    "resnet1d_wang": ("6", 256),
    "inception1d": ("layers.1", 256),
    "fcn_wang": ("3", 256),
    "lstm": ("5", 3 * HIDDEN),
    "lstm_bidir": ("5", 6 * HIDDEN),
}
"""Place of the head and width of what it is given."""

Shapes = dict[str, tuple[int, ...]]


def last_layer(network: str) -> str:
    """Key of the layer that has one row per class, without ``.weight``."""
    return f"{HEADS[network][0]}.{_positions(network)[3]}"


def _positions(network: str) -> tuple[int, int, int, int]:
    """Of batch norm, linear, batch norm, linear: the recurrent heads pool in one module, the
    others in two."""
    return (1, 3, 5, 7) if network.startswith("lstm") else (2, 4, 6, 8)


# ---------------------------------------------------------------- key layouts
def expected(network: str, classes: int) -> Shapes:
    """Key and shape of every tensor that the forward uses."""
    shapes: Shapes = {}
    if network == "xresnet1d101":
        for i, (cin, cout) in enumerate(((LEADS, 32), (32, 32), (32, 64))):
            _conv_norm(shapes, str(i), cout, cin, 5)
        for at, cin, _ in _bottlenecks():
            for i, shape in enumerate(((64, cin, 1), (64, 64, 5), (256, 64, 1))):
                _conv_norm(shapes, f"{at}.convs.{i}", *shape)
            if cin != 256:
                _conv_norm(shapes, f"{at}.idpath.0", 256, cin, 1)
    elif network == "resnet1d_wang":
        shapes["0.weight"] = (128, LEADS, 7)
        _norm(shapes, "1", 128)
        for at, stride in _basic_blocks():
            for i, taps in ((1, 5), (2, 3)):
                shapes[f"{at}.conv{i}.weight"] = (128, 128, taps)
                _norm(shapes, f"{at}.bn{i}", 128)
            if stride > 1:
                _conv_norm(shapes, f"{at}.downsample", 128, 128, 1)
    elif network == "inception1d":
        for d in range(MODULES):
            at, cin = f"layers.0.im.{d}", 128 if d else LEADS
            shapes[f"{at}.bottleneck.weight"] = (32, cin, 1)
            for i, taps in enumerate(TAPS):
                shapes[f"{at}.convs.{i}.weight"] = (32, 32, taps)
            shapes[f"{at}.conv_bottle.1.weight"] = (32, cin, 1)
            _norm(shapes, f"{at}.bn_relu.0", 128)
        for i, cin in enumerate((LEADS, 128)):
            shapes[f"layers.0.sk.{i}.conv.weight"] = (128, cin, 1)
            _norm(shapes, f"layers.0.sk.{i}.bn", 128)
    elif network == "fcn_wang":
        cin = LEADS
        for i, (cout, taps) in enumerate(FCN):
            _conv_norm(shapes, f"{i}.0", cout, cin, taps)
            cin = cout
    else:
        directions = ("", "_reverse") if network == "lstm_bidir" else ("",)
        for layer in range(2):
            for way in directions:
                wide = HIDDEN * len(directions) if layer else LEADS
                shapes[f"2.weight_ih_l{layer}{way}"] = (4 * HIDDEN, wide)
                shapes[f"2.weight_hh_l{layer}{way}"] = (4 * HIDDEN, HIDDEN)
                shapes[f"2.bias_ih_l{layer}{way}"] = (4 * HIDDEN,)
                shapes[f"2.bias_hh_l{layer}{way}"] = (4 * HIDDEN,)
    at, wide = HEADS[network]
    norm, linear, norm2, last = _positions(network)
    _norm(shapes, f"{at}.{norm}", wide)
    shapes |= {f"{at}.{linear}.weight": (HEAD, wide), f"{at}.{linear}.bias": (HEAD,)}
    _norm(shapes, f"{at}.{norm2}", HEAD)
    return shapes | {f"{at}.{last}.weight": (classes, HEAD), f"{at}.{last}.bias": (classes,)}


def _norm(shapes: Shapes, at: str, n: int) -> None:
    for part in ("weight", "bias", "running_mean", "running_var"):
        shapes[f"{at}.{part}"] = (n,)


def _conv_norm(shapes: Shapes, at: str, *shape: int) -> None:
    shapes[f"{at}.0.weight"] = shape
    _norm(shapes, f"{at}.1", shape[0])


def _bottlenecks():
    """Key, channels in, stride."""
    cin = 64
    for stage, count in enumerate(STAGES):
        for b in range(count):
            yield f"{4 + stage}.{b}", cin, 2 if stage and b == 0 else 1
            cin = 256


def _basic_blocks():
    """Key and stride."""
    yield from (("3.0", 1), ("4.0", 2), ("5.0", 2))


# ---------------------------------------------------------------- the networks
def program(network: str, w: Mapping[str, Array], length: int):
    """One window to ``logits`` and ``probabilities``; ``features`` (128) and every block tapped by
    its key."""
    from .. import nn

    p = nn.Program(network)
    x = p.input("x", (LEADS, length))
    if network.startswith("lstm"):
        pooled = _recurrent(p, w, x, network == "lstm_bidir")
    else:
        h = {
            "xresnet1d101": _xresnet,
            "resnet1d_wang": _resnet,
            "inception1d": _inception,
            "fcn_wang": _fcn,
        }[network](p, w, x)
        pooled = p.concat([p.max(h, -1), p.mean(h, -1)])
    at = HEADS[network][0]
    norm, linear, norm2, last = (f"{at}.{i}" for i in _positions(network))
    h = p.relu(_linear(p, w, linear, _scale(p, w, norm, pooled)))
    logits = _linear(p, w, last, _scale(p, w, norm2, h, name="features"))
    p.output(logits, "logits")
    p.output(p.sigmoid(logits), "probabilities")
    return p.compile()


def _linear(p, w, at, x):
    return p.linear(x, w[f"{at}.weight"], w[f"{at}.bias"])


def _scale(p, w, at, x, **options):
    keys = ("weight", "bias", "running_mean", "running_var")
    return p.batch_norm(x, *(w[f"{at}.{k}"] for k in keys), **options)


def _conv(p, w, at, x, stride=1, norm=None):
    """Convolution padded by half its taps (the smaller half of an even number), batch norm."""
    kernel = w[f"{at}.weight"]
    h = p.conv1d(x, kernel, stride=stride, padding=(kernel.shape[-1] - 1) // 2)
    return h if norm is None else _scale(p, w, norm, h)


def _xresnet(p, w, h):
    for i, stride in enumerate((2, 1, 1)):
        h = p.relu(_conv(p, w, f"{i}.0", h, stride, f"{i}.1"))
    h = p.max_pool1d(h, 3, 2, 1)
    for at, cin, stride in _bottlenecks():
        y = p.relu(_conv(p, w, f"{at}.convs.0.0", h, 1, f"{at}.convs.0.1"))
        y = p.relu(_conv(p, w, f"{at}.convs.1.0", y, stride, f"{at}.convs.1.1"))
        y = _conv(p, w, f"{at}.convs.2.0", y, 1, f"{at}.convs.2.1")
        if stride > 1:
            h = p.avg_pool1d(h, 2, ceil_mode=True)
        if cin != 256:
            h = _conv(p, w, f"{at}.idpath.0.0", h, 1, f"{at}.idpath.0.1")
        h = p.relu(p.add(y, h), name=at)
    return h


def _resnet(p, w, h):
    h = p.relu(_conv(p, w, "0", h, 1, "1"))
    for at, stride in _basic_blocks():
        y = p.relu(_conv(p, w, f"{at}.conv1", h, stride, f"{at}.bn1"))
        y = _conv(p, w, f"{at}.conv2", y, 1, f"{at}.bn2")
        if stride > 1:
            h = _conv(p, w, f"{at}.downsample.0", h, stride, f"{at}.downsample.1")
        h = p.relu(p.add(y, h), name=at)
    return h


def _inception(p, w, h):
    saved = h
    for d in range(MODULES):
        at = f"layers.0.im.{d}"
        narrow = _conv(p, w, f"{at}.bottleneck", h)
        parts = [_conv(p, w, f"{at}.convs.{i}", narrow) for i in range(len(TAPS))]
        parts.append(_conv(p, w, f"{at}.conv_bottle.1", p.max_pool1d(h, 3, 1, 1)))
        joined = p.concat(parts, 0)
        whole = d % 3 != 2
        h = p.relu(_scale(p, w, f"{at}.bn_relu.0", joined), name=at if whole else None)
        if not whole:
            skip = f"layers.0.sk.{d // 3}"
            h = p.relu(p.add(h, _conv(p, w, f"{skip}.conv", saved, 1, f"{skip}.bn")), name=at)
            saved = h
    return h


def _fcn(p, w, h):
    for i in range(len(FCN)):
        h = p.relu(_conv(p, w, f"{i}.0.0", h, 1, f"{i}.0.1"), name=str(i))
    return h


def _recurrent(p, w, x, both):
    """Two layers; mean, max and last output: of the way back, the one at the start."""
    cells = {k.removeprefix("2."): v for k, v in w.items() if k.startswith("2.")}
    h = p.lstm(p.transpose(x, (1, 0)), cells, num_layers=2, bidirectional=both)
    last = p.select(h, -1)
    if both:
        ahead = p.slice(last, 0, 0, HIDDEN)
        last = p.concat([ahead, p.slice(p.select(h, 0), 0, HIDDEN, 2 * HIDDEN)])
    return p.concat([p.mean(h, 0), p.max(h, 0), last])
