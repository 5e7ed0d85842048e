"""The description of a network: nodes, shapes, and checks that name the layer that does not fit."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .._typing import F32, Array, ArrayLike
from ..errors import LayoutError, WeightsError

ACTIVATIONS = {
    "none": 0,
    "relu": 1,
    "relu6": 2,
    "sigmoid": 3,
    "tanh": 4,
    "silu": 5,
    "gelu": 6,
    "gelu_tanh": 7,
    "leaky_relu": 8,
    "exp": 9,
}


@dataclass(frozen=True)
class Tensor:
    """A value inside a :class:`Program`: what builder calls take and return.

    ``shape`` is that of one sample, without the batch axis.
    """

    program: Any = field(repr=False, compare=False)
    index: int
    shape: tuple[int, ...]
    name: str


@dataclass
class Node:
    """One operation. ``rank``: trailing spatial axes of a picture or signal; 0 for features."""

    index: int
    op: str
    inputs: tuple[int, ...]
    shape: tuple[int, ...]
    name: str
    rank: int = 0
    attrs: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, F32] = field(default_factory=dict)


def immutable(a: Array, dtype: Any) -> Array:
    """``a`` itself where nobody can change it (a weight file mapped into memory), else a copy."""
    base: Any = a
    while isinstance(base, np.ndarray) and not base.flags.writeable and base.base is not None:
        base = base.base
    fixed = not a.flags.writeable
    if isinstance(base, np.ndarray):
        fixed = fixed and not base.flags.writeable
    else:
        try:
            fixed = fixed and memoryview(base).readonly
        except TypeError:
            fixed = False
    if fixed and a.dtype == dtype and a.flags.c_contiguous and a.flags.aligned:
        return a
    copy = np.array(a, dtype, order="C")
    copy.flags.writeable = False
    return copy


def array(
    where: str, name: str, value: ArrayLike, shape: tuple[int | None, ...] | None = None
) -> F32:
    """A weight as float32 that nobody can change, its shape checked (``None`` matches any length).
    It is a copy unless it comes read-only already.

    Raises
    ------
    WeightsError
        Names layer, weight, the shape that came and the shape that was wanted.
    """
    a = np.asarray(value)
    if a.dtype.kind not in "fiu":
        raise WeightsError(f"{where}: {name} must hold real numbers, got dtype {a.dtype}")
    if shape is not None and (
        a.ndim != len(shape) or any(w is not None and w != g for w, g in zip(shape, a.shape))
    ):
        wanted = "(" + ", ".join("any" if w is None else str(w) for w in shape) + ")"
        raise WeightsError(f"{where}: {name} has shape {a.shape}, wanted {wanted}")
    return immutable(a, np.float32)


def lengths(
    where: str, name: str, value: int | tuple[int, ...], rank: int, least: int
) -> tuple[int, ...]:
    """``value`` once per spatial axis."""
    v = (value,) * rank if isinstance(value, (int, np.integer)) else tuple(value)
    if len(v) != rank or any(isinstance(i, bool) or int(i) != i or i < least for i in v):
        raise ValueError(
            f"{where}: {name} must be an integer >= {least} or {rank} of them, got {value!r}"
        )
    return tuple(int(i) for i in v)


Pads = tuple[tuple[int, int], ...]


def paddings(where: str, padding: Any, rank: int, kernel, stride, dilation, size) -> Pads:
    """``(before, after)`` per spatial axis from an int, one int per axis, pairs, or ``"same"`` /
    ``"valid"``.

    ``"same"`` is TensorFlow's: the output has ``ceil(size / stride)`` positions, the odd zero comes
    last. PyTorch's ``padding="same"`` (stride 1) is the same thing.
    """
    if isinstance(padding, str):
        if padding == "valid":
            return ((0, 0),) * rank
        if padding != "same":
            raise ValueError(
                f"{where}: padding must be numbers, 'same' or 'valid', got {padding!r}"
            )
        out = []
        for n, k, s, d in zip(size, kernel, stride, dilation):
            total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
            out.append((total // 2, total - total // 2))
        return tuple(out)
    if isinstance(padding, (int, np.integer)):
        padding = (padding,) * rank
    pads = tuple((p, p) if isinstance(p, (int, np.integer)) else tuple(p) for p in padding)
    if len(pads) != rank or any(len(p) != 2 or min(p) < 0 for p in pads):
        raise ValueError(
            f"{where}: padding must be an integer >= 0, {rank} of them, or {rank} pairs "
            f"(before, after); got {padding!r}"
        )
    return tuple((int(a), int(b)) for a, b in pads)


def spatial(where: str, shape: tuple[int, ...], rank: int) -> tuple[int, int, tuple[int, ...]]:
    """``(items, channels, spatial lengths)`` of a sample whose last ``rank`` axes are spatial."""
    if len(shape) < rank + 1:
        axes = "channels, time" if rank == 1 else "channels, height, width"
        raise LayoutError(
            f"{where}: a sample must have axes (..., {axes}), got shape {shape}; reshape it first"
        )
    return int(np.prod(shape[: -rank - 1], dtype=np.int64)), shape[-rank - 1], shape[-rank:]


def outputs(
    where: str, size, kernel, stride, dilation, pads: Pads, ceil_mode: bool = False
) -> tuple[int, ...]:
    """Output positions per axis.

    Raises
    ------
    LayoutError
        The padded input is shorter than the kernel.
    """
    out = []
    for n, k, s, d, (a, b) in zip(size, kernel, stride, dilation, pads):
        room = n + a + b - (k - 1) * d - 1
        if room < 0:
            raise LayoutError(
                f"{where}: input length {n} (padding {a}+{b}) is shorter than the kernel's "
                f"reach {(k - 1) * d + 1}; "
                f"pass at least {(k - 1) * d + 1 - a - b} samples"
            )
        o = room // s + 1
        if ceil_mode and room % s and o * s < n + a:
            o += 1  # the last window must start inside the input or its left padding
        out.append(o)
    return tuple(out)
