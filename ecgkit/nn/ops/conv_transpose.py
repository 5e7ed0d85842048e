"""Transposed convolutions: each phase of the stride is a convolution of its own."""

from itertools import product
from typing import Any

import numpy as np

from ..._typing import F32, ArrayLike
from ...errors import LayoutError, WeightsError
from .._call import function
from .._compile import Planner
from .._graph import Tensor, array, lengths, spatial
from .._op import Step, op
from .conv import Conv
from .embedding import Embedding
from .shape import Shape

__all__ = ["conv_transpose1d", "conv_transpose2d"]


def _phase(r: int, n: int, out: int, kernel: int, s: int, p: int, d: int) -> dict[str, Any]:
    """Output ``o*s + r`` is the sum over taps of ``w[tap] * x[o + shift]``: which taps, in order of
    their shifts, how far apart these are, and what the convolution over x needs around it."""
    count = -(-(out - r) // s)
    taps = [k for k in range(kernel) if (r + p - k * d) % s == 0][::-1]
    shifts = [(r + p - k * d) // s for k in taps]
    if count < 1 or not taps or shifts[-1] + count <= 0 or shifts[0] >= n:
        return {"r": r, "count": max(count, 0), "taps": []}
    end = count + shifts[-1]  # one past the last input that the last output reads
    return {
        "r": r,
        "count": count,
        "taps": taps,
        "dilation": shifts[1] - shifts[0] if len(taps) > 1 else 1,
        "crop": (max(0, shifts[0]), min(n, end)),
        "pads": (max(0, -shifts[0]), max(0, end - n)),
    }


class ConvTranspose(Conv, Embedding, Shape):
    def _conv_transpose(
        self, rank, x, weight, bias, stride, padding, output_padding, groups, dilation, name
    ) -> Tensor:
        name, where, node = self._begin(f"conv_transpose{rank}d", name, x)
        _, cin, size = spatial(where, node.shape, rank)
        w = array(where, "weight", weight, (None,) * (rank + 2))
        (groups,) = lengths(where, "groups", groups, 1, 1)
        if w.shape[0] != cin or cin % groups or w.shape[1] == 0:
            raise WeightsError(
                f"{where}: weight has shape {w.shape}, but the input has {cin} channels in "
                f"{groups} groups: wanted ({cin}, cout / {groups}, ...), {cin} divided by groups"
            )
        cout = w.shape[1] * groups
        b = self._vector(where, "bias", bias, cout, 0.0)
        stride = lengths(where, "stride", stride, rank, 1)
        padding = lengths(where, "padding", padding, rank, 0)
        extra = lengths(where, "output_padding", output_padding, rank, 0)
        dilation = lengths(where, "dilation", dilation, rank, 1)
        if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation)):
            raise ValueError(
                f"{where}: output_padding {extra} must be smaller than the stride {stride} or the "
                f"dilation {dilation}"
            )
        kernel = w.shape[2:]
        out = tuple(
            (n - 1) * s - 2 * p + d * (k - 1) + e + 1
            for n, s, p, d, k, e in zip(size, stride, padding, dilation, kernel, extra)
        )
        if min(out) < 1:
            raise LayoutError(f"{where}: the output of {node.shape} would have lengths {out}")
        split = w.reshape(groups, cin // groups, cout // groups, *kernel).swapaxes(1, 2)
        parts, offsets = [], []
        for phase in product(
            *(
                [_phase(r, n, o, k, s, p, d) for r in range(min(s, o))]
                for n, o, k, s, p, d in zip(size, out, kernel, stride, padding, dilation)
            )
        ):
            parts.append(self._one_phase(rank, x, phase, split, b, groups))
            offsets.append(tuple(axis["r"] for axis in phase))
        if len(parts) == 1:
            return self.identity(parts[0], name=name)
        shape = (*node.shape[: -rank - 1], cout, *out)
        attrs = {"stride": stride, "offsets": offsets}
        return self._add("interleave", parts, shape, name, rank, attrs)

    def _one_phase(self, rank, x, phase, split: F32, b: F32, groups: int) -> Tensor:
        lead, cout = x.shape[: -rank - 1], len(b)
        if not all(axis["taps"] for axis in phase):  # no input reaches it
            counts = tuple(axis["count"] for axis in phase)
            rows = b.reshape(-1, *[1] * rank)
            return self.constant(np.broadcast_to(rows, (*lead, cout, *counts)))
        for axis, part in enumerate(phase):
            place = len(x.shape) - rank + axis
            if part["crop"] != (0, x.shape[place]):
                x = self.slice(x, place, *part["crop"])
        taps = np.ix_(*(part["taps"] for part in phase))
        weight = np.ascontiguousarray(split[(..., *taps)])
        return self._conv(
            rank,
            x,
            weight.reshape(cout, split.shape[2], *weight.shape[3:]),
            b,
            1,
            tuple(part["pads"] for part in phase),
            tuple(part["dilation"] for part in phase),
            groups,
            None,
        )

    def conv_transpose1d(
        self,
        x: Tensor,
        weight: ArrayLike,
        bias: ArrayLike | None = None,
        stride=1,
        padding=0,
        output_padding=0,
        groups: int = 1,
        dilation=1,
        *,
        name=None,
    ) -> Tensor:
        """Transposed convolution over time, as ``torch.nn.functional.conv_transpose1d``.

        Parameters
        ----------
        x : shape (..., cin, time)
        weight : array_like, shape (cin, cout / groups, k)
        bias : array_like, shape (cout,), optional
        stride, padding, output_padding, groups, dilation : int
            The result has ``(time - 1)*stride - 2*padding + dilation*(k - 1) + output_padding + 1``
            positions.
        """
        return self._conv_transpose(
            1, x, weight, bias, stride, padding, output_padding, groups, dilation, name
        )

    def conv_transpose2d(
        self,
        x: Tensor,
        weight: ArrayLike,
        bias: ArrayLike | None = None,
        stride=1,
        padding=0,
        output_padding=0,
        groups: int = 1,
        dilation=1,
        *,
        name=None,
    ) -> Tensor:
        """Transposed convolution over height and width, as
        ``torch.nn.functional.conv_transpose2d``.

        Parameters
        ----------
        x : shape (..., cin, h, w)
        weight : array_like, shape (cin, cout / groups, kh, kw)
        bias : array_like, shape (cout,), optional
        stride, padding, output_padding, dilation : int or pair
        groups : int
        """
        return self._conv_transpose(
            2, x, weight, bias, stride, padding, output_padding, groups, dilation, name
        )


@op("interleave")
def _interleave(plan: Planner, step: Step) -> None:
    """Every phase goes to its places in the output."""
    n = step.node
    *lead, height, width = n.shape if n.rank == 2 else (*n.shape[:-1], 1, n.shape[-1])
    more = 2 - n.rank  # a signal is a picture of one row
    sy, sx = [1] * more + list(n.attrs["stride"])
    target = plan.target(step)
    for source, index, offset in zip(plan.sources(step), n.inputs, n.attrs["offsets"]):
        shape = plan.nodes[index].shape
        planes = int(np.prod(lead, dtype=np.int64))
        rows, columns = shape[-2:] if n.rank == 2 else (1, shape[-1])
        oy, ox = [0] * more + list(offset)
        ints = (planes, rows, columns, height * width, sy * width, sx, oy * width + ox)
        plan.emit(step, "place", [source, target], ints, what="every stride-th position")


conv_transpose1d = function(ConvTranspose.conv_transpose1d, axes=2)
conv_transpose2d = function(ConvTranspose.conv_transpose2d, axes=3)
