"""Every op of the engine once, beside PyTorch's: what is promised of all is tested over these.

An entry is ``(ours, theirs, arrays)``: a NumPy function of ``ek.nn`` and PyTorch's, both of the
arrays; the first array is the data, the others are weights.
"""

from functools import partial

import numpy as np
from nn_witness import numbers, torch

import ecgkit as ek

F = torch.nn.functional
nn = ek.nn


def _signal(*shape, seed=0):
    return numbers(*shape, seed=seed)


def _weight(*shape, seed=1):
    return numbers(*shape, seed=seed, scale=0.2)


SIGNAL, PICTURE, ROWS = (4, 19, 83), (3, 19, 13, 17), (5, 23, 45)

ZOO = {
    "conv1d": (
        partial(nn.conv1d, stride=2, padding=3),
        partial(F.conv1d, stride=2, padding=3),
        (_signal(*SIGNAL), _weight(33, 19, 7), _weight(33, seed=2)),
    ),
    "conv1d, 3 taps": (
        partial(nn.conv1d, padding=1),
        partial(F.conv1d, padding=1),
        (_signal(2, 40, 50), _weight(40, 40, 3), _weight(40, seed=2)),
    ),
    "conv1d, groups": (
        partial(nn.conv1d, padding=2, groups=2),
        partial(F.conv1d, padding=2, groups=2),
        (_signal(2, 32, 83), _weight(64, 16, 5), _weight(64, seed=2)),
    ),
    "conv1d, odd groups": (
        partial(nn.conv1d, dilation=2, groups=3),
        partial(F.conv1d, dilation=2, groups=3),
        (_signal(2, 9, 83), _weight(15, 3, 5)),
    ),
    "conv1d, depthwise": (
        partial(nn.conv1d, padding=1, groups=19),
        partial(F.conv1d, padding=1, groups=19),
        (_signal(*SIGNAL), _weight(19, 1, 3), _weight(19, seed=2)),
    ),
    "conv2d": (
        partial(nn.conv2d, stride=2, padding=1),
        partial(F.conv2d, stride=2, padding=1),
        (_signal(*PICTURE), _weight(21, 19, 3, 3), _weight(21, seed=2)),
    ),
    "conv2d, 3x3": (
        partial(nn.conv2d, padding=1),
        partial(F.conv2d, padding=1),
        (_signal(2, 40, 13, 17), _weight(48, 40, 3, 3), _weight(48, seed=2)),
    ),
    "conv_transpose1d": (
        partial(nn.conv_transpose1d, stride=3, padding=1),
        partial(F.conv_transpose1d, stride=3, padding=1),
        (_signal(*SIGNAL), _weight(19, 21, 5), _weight(21, seed=2)),
    ),
    "conv_transpose2d": (
        partial(nn.conv_transpose2d, stride=2, padding=1),
        partial(F.conv_transpose2d, stride=2, padding=1),
        (_signal(*PICTURE), _weight(19, 8, 4, 4), _weight(8, seed=2)),
    ),
    "linear": (nn.linear, F.linear, (_signal(*ROWS), _weight(37, 45), _weight(37, seed=2))),
    "batch_norm": (
        nn.batch_norm,
        F.batch_norm,
        (
            _signal(*SIGNAL),
            _weight(19),
            np.abs(_weight(19, seed=2)) + 0.5,
            _weight(19, seed=3),
            _weight(19, seed=4),
        ),
    ),
    "layer_norm": (
        nn.layer_norm,
        lambda x, w, b: F.layer_norm(x, (45,), w, b),
        (_signal(*ROWS), _weight(45), _weight(45, seed=2)),
    ),
    "rms_norm": (nn.rms_norm, lambda x, w: F.rms_norm(x, (45,), w), (_signal(*ROWS), _weight(45))),
    "group_norm": (
        lambda x, w, b, **k: nn.group_norm(x, 4, w, b, **k),
        lambda x, w, b: F.group_norm(x, 4, w, b),
        (_signal(4, 20, 83), _weight(20), _weight(20, seed=2)),
    ),
    "instance_norm": (
        nn.instance_norm,
        lambda x, w, b: F.instance_norm(x, weight=w, bias=b),
        (_signal(*SIGNAL), _weight(19), _weight(19, seed=2)),
    ),
    "softmax": (nn.softmax, partial(F.softmax, dim=-1), (_signal(*ROWS),)),
    "log_softmax": (nn.log_softmax, partial(F.log_softmax, dim=-1), (_signal(*ROWS),)),
    "max_pool1d": (
        partial(nn.max_pool1d, kernel_size=3, stride=2, padding=1),
        partial(F.max_pool1d, kernel_size=3, stride=2, padding=1),
        (_signal(*SIGNAL),),
    ),
    "avg_pool2d": (
        partial(nn.avg_pool2d, kernel_size=3, stride=2, padding=1),
        partial(F.avg_pool2d, kernel_size=3, stride=2, padding=1),
        (_signal(*PICTURE),),
    ),
    "adaptive_avg_pool1d": (
        partial(nn.adaptive_avg_pool1d, output_size=7),
        partial(F.adaptive_avg_pool1d, output_size=7),
        (_signal(*SIGNAL),),
    ),
    "adaptive_max_pool2d": (
        partial(nn.adaptive_max_pool2d, output_size=(3, 5)),
        partial(F.adaptive_max_pool2d, output_size=(3, 5)),
        (_signal(*PICTURE),),
    ),
    "interpolate, linear": (
        partial(nn.interpolate, size=[50], mode="linear"),
        partial(F.interpolate, size=[50], mode="linear"),
        (_signal(*SIGNAL),),
    ),
    "interpolate, bicubic": (
        partial(nn.interpolate, size=[20, 9], mode="bicubic"),
        partial(F.interpolate, size=[20, 9], mode="bicubic"),
        (_signal(*PICTURE),),
    ),
    "pad, reflect": (
        partial(nn.pad, pad=(5, 3), mode="reflect"),
        partial(F.pad, pad=(5, 3), mode="reflect"),
        (_signal(*SIGNAL),),
    ),
    "prelu": (nn.prelu, F.prelu, (_signal(*SIGNAL), _weight(19))),
}
for _name in ("relu", "relu6", "sigmoid", "tanh", "silu", "gelu", "leaky_relu"):
    _theirs = getattr(torch, _name, None) or getattr(F, _name)
    ZOO[_name] = (getattr(nn, _name), _theirs, (3 * _signal(*SIGNAL),))
for _name in ("elu", "selu", "softplus", "mish", "hardsigmoid", "hardswish", "hardtanh"):
    ZOO[_name] = (getattr(nn, _name), getattr(F, _name), (3 * _signal(*SIGNAL),))
for _name in ("exp", "abs", "neg", "square", "sin", "cos", "erf"):
    ZOO[_name] = (getattr(nn, _name), getattr(torch, _name), (_signal(*SIGNAL),))
for _name in ("sqrt", "rsqrt", "log", "reciprocal"):
    _positive = np.abs(_signal(*SIGNAL)) + 0.01
    ZOO[_name] = (getattr(nn, _name), getattr(torch, _name), (_positive,))
for _name in ("mean", "sum", "var", "std"):
    ZOO[_name] = (
        partial(getattr(nn, _name), axes=-1),
        partial(getattr(torch, _name), dim=-1),
        (_signal(*ROWS),),
    )
for _name in ("amax", "amin"):
    ZOO[_name[1:]] = (
        partial(getattr(nn, _name[1:]), axes=1),
        partial(getattr(torch, _name), dim=1),
        (_signal(*ROWS),),
    )
for _name in ("add", "sub", "mul", "div", "minimum", "maximum"):
    ZOO[_name] = (getattr(nn, _name), getattr(torch, _name), (_signal(*ROWS), _weight(23, 1)))
