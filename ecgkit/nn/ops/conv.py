"""Convolutions over time and over height and width."""

import numpy as np

from ..._typing import ArrayLike
from ...errors import WeightsError
from .._builder import Builder
from .._call import function
from .._compile import Planner
from .._graph import Node, Tensor, array, lengths, outputs, paddings, spatial
from .._op import LANES, NO_BORDER, Form, Read, Step, op, picture

__all__ = ["conv1d", "conv2d"]


class Conv(Builder):
    def _conv(self, rank, x, weight, bias, stride, padding, dilation, groups, name) -> Tensor:
        op = f"conv{rank}d"
        name, where, node = self._begin(op, name, x)
        _, cin, size = spatial(where, node.shape, rank)
        w = array(where, "weight", weight, (None,) * (rank + 2))
        (groups,) = lengths(where, "groups", groups, 1, 1)
        if cin % groups or w.shape[0] % groups or w.shape[0] == 0:
            raise WeightsError(
                f"{where}: {cin} input and {w.shape[0]} output channels must divide by "
                f"groups={groups}"
            )
        if w.shape[1] != cin // groups:
            raise WeightsError(
                f"{where}: weight has shape {w.shape}, but the input has {cin} channels in "
                f"{groups} groups: "
                f"wanted ({w.shape[0]}, {cin // groups}, ...)"
            )
        kernel = w.shape[2:]
        stride = lengths(where, "stride", stride, rank, 1)
        dilation = lengths(where, "dilation", dilation, rank, 1)
        pads = paddings(where, padding, rank, kernel, stride, dilation, size)
        out = outputs(where, size, kernel, stride, dilation, pads)
        w, pads = _live(w, pads, size, out, stride, dilation)
        b = self._vector(where, "bias", bias, w.shape[0], 0.0)
        attrs = {"stride": stride, "dilation": dilation, "pads": pads, "groups": groups}
        shape = (*node.shape[: -rank - 1], w.shape[0], *out)
        return self._add(op, (x,), shape, name, rank, attrs, {"weight": w, "bias": b})

    def conv1d(
        self,
        x: Tensor,
        weight: ArrayLike,
        bias: ArrayLike | None = None,
        stride=1,
        padding=0,
        dilation=1,
        groups: int = 1,
        *,
        name=None,
    ) -> Tensor:
        """Convolution over time, as ``torch.nn.functional.conv1d``.

        Parameters
        ----------
        x : shape (..., cin, time)
        weight : array_like, shape (cout, cin / groups, k)
        bias : array_like, shape (cout,), optional
        stride, dilation, groups : int
        padding : int, pair ``((before, after),)``, ``"same"`` or ``"valid"``
            Zeros on both sides. ``"same"`` gives ``ceil(time / stride)`` outputs.
        """
        return self._conv(1, x, weight, bias, stride, padding, dilation, groups, name)

    def conv2d(
        self,
        x: Tensor,
        weight: ArrayLike,
        bias: ArrayLike | None = None,
        stride=1,
        padding=0,
        dilation=1,
        groups: int = 1,
        *,
        name=None,
    ) -> Tensor:
        """Convolution over height and width, as ``torch.nn.functional.conv2d``.

        Parameters
        ----------
        x : shape (..., cin, h, w)
        weight : array_like, shape (cout, cin / groups, kh, kw)
        bias : array_like, shape (cout,), optional
        stride, dilation : int or pair
        padding : int, one per axis, ``((top, bottom), (left, right))``, ``"same"`` or ``"valid"``
            ``"same"`` is TensorFlow's: ``ceil(size / stride)`` outputs, the odd zero comes last.
        groups : int
            ``groups == cin`` is a depthwise convolution.
        """
        return self._conv(2, x, weight, bias, stride, padding, dilation, groups, name)


def _live(w, pads, size, out, stride, dilation):
    """The kernel without the outer taps that meet nothing but padding, and the padding left: a 3x3
    kernel on a picture of one row has one row."""
    for axis, (n, o, s, d) in enumerate(zip(size, out, stride, dilation)):
        before, after = pads[axis]
        first, last = 0, w.shape[axis + 2] - 1

        def meets(tap, axis=axis, n=n, o=o, s=s, d=d, start=pads[axis][0]):
            at = np.arange(o) * s + tap * d - start
            return bool(((at >= 0) & (at < n)).any())

        while first < last and before >= d and not meets(first):
            first, before = first + 1, before - d
        while first < last and after >= d and not meets(last):
            last, after = last - 1, after - d
        if last - first + 1 < w.shape[axis + 2]:
            w = np.take(w, range(first, last + 1), axis + 2)
        pads = (*pads[:axis], (before, after), *pads[axis + 1 :])
    return w, pads


# Winograd's forms: rows and columns of an output tile, as csrc/nn/op_winograd.c numbers them.
_SQUARE, _FIVE, _THREE = range(3)
_TILES = {_SQUARE: (2, 2), _FIVE: (1, 2), _THREE: (1, 4)}
_LONG = 6  # from so many taps on a kernel is sections of three
# The square form's transformed weights are 16/9 of the plain ones: only where they stay in the
# cache.
_WINOGRAD_WEIGHTS = 16 * 256 * 256


def winograd_form(n: Node) -> int | None:
    """Which of Winograd's forms suits a convolution, if any."""
    cout, cin, *kernel = n.weights["weight"].shape
    ones = all(i == 1 for i in (*n.attrs["stride"], *n.attrs["dilation"], n.attrs["groups"]))
    if not ones or min(cin, cout) < 2 * LANES or n.shape[-1] < 4:
        return None
    if kernel == [3, 3]:
        fits = 16 * cin * cout <= _WINOGRAD_WEIGHTS and n.shape[-2] >= 4
        return _SQUARE if fits else None
    if kernel[:-1] not in ([], [1]):
        return None
    if kernel[-1] >= _LONG:
        return _THREE if cin % LANES == 0 and kernel[-1] <= 3 * 64 else None
    return {3: _THREE, 5: _FIVE}.get(kernel[-1])


def _in_sections(w: np.ndarray) -> np.ndarray:
    """A kernel with zeros behind it, to whole sections of three taps."""
    more = -w.shape[-1] % 3
    return np.pad(w, [(0, 0)] * (w.ndim - 1) + [(0, more)]) if more else w


def conv_kind(n: Node) -> str:
    """``conv`` (product), ``winograd``, ``depthwise`` or ``conv_any``."""
    cout, cin, groups = (
        n.weights["weight"].shape[0],
        n.weights["weight"].shape[1],
        n.attrs["groups"],
    )
    if groups == 1:
        return "conv" if winograd_form(n) is None else "winograd"
    if cin == 1 and cout == groups:
        return "depthwise"
    return "conv" if cin % LANES == 0 and (cout // groups) % LANES == 0 else "conv_any"


def _border(n: Node, shape) -> tuple[int, int, int, int]:
    """The zeros that windows reach beyond the picture; the far side counts only what the last
    output uses."""
    pairs = []
    kernel, form = list(n.weights["weight"].shape[2:]), winograd_form(n)
    if form == _THREE:
        kernel[-1] += -kernel[-1] % 3  # whole sections
    tile = None if form is None else _TILES[form]
    for axis in range(n.rank):
        before = n.attrs["pads"][axis][0]
        size, out = shape[-n.rank :][axis], n.shape[-n.rank :][axis]
        reach = (
            (out - 1) * n.attrs["stride"][axis] + (kernel[axis] - 1) * n.attrs["dilation"][axis] + 1
        )
        if tile is not None:
            reach += -out % tile[axis - n.rank]  # whole tiles
        pairs.append((before, max(0, reach - before - size)))
    if n.rank == 1:
        pairs.insert(0, (0, 0))
    (top, bottom), (left, right) = pairs
    return top, bottom, left, right


def _forms(plan: Planner, step: Step) -> tuple[list[Read], Form]:
    n, source = step.node, step.inputs[0]
    shape, kind = plan.nodes[n.inputs[0]].shape, conv_kind(n)
    need = _border(n, shape)
    reads_plain = n.attrs["groups"] == 1 and plan.native[source].lanes == 1
    plain = kind == "conv_any" or (kind == "conv" and reads_plain)
    form = picture(shape, n.rank, 1 if plain else LANES, plain and any(need))
    reads = [(source, form, need)]
    out = picture(plan.nodes[step.output].shape, n.rank, 1 if kind == "conv_any" else LANES)
    if step.residual is not None:
        reads.append((step.residual, out, NO_BORDER))
    return reads, out


@op(
    "conv1d",
    "conv2d",
    forms=_forms,
    activates=True,
    folds_norm=True,
    adds=lambda node: conv_kind(node) in ("conv", "winograd"),
)
def _conv(plan: Planner, step: Step) -> None:
    n, w, a = step.node, step.weights["weight"], step.node.attrs
    kind, form, one = conv_kind(n), winograd_form(n), (1,) * (2 - n.rank)
    kernel, stride, dilation = (*one, *w.shape[2:]), (*one, *a["stride"]), (*one, *a["dilation"])
    top, _, left, _ = _border(n, plan.nodes[n.inputs[0]].shape)
    ints: tuple[int, ...] = (*kernel, *stride, *dilation, top, left)
    if form is not None:
        ints = (form, top, left)
    elif kind != "depthwise":
        ints = (*ints, a["groups"])
    read = "plain" if step.reads[0][1].lanes == 1 else "blocked"
    what = {
        "conv": f"product, {read} input",
        "winograd": "Winograd {}x{}".format(*_TILES.get(form or 0, ())),
        "depthwise": "depthwise",
        "conv_any": "direct",
    }[kind]
    source, *residual = plan.sources(step)
    out, macs = step.out, int(np.prod(w.shape))
    if form == _THREE:
        w = _in_sections(w)
    plan.emit(
        step,
        kind,
        [source, plan.target(step), *residual],
        (*ints, *plan.act(step)),
        (step.slope,),
        (w, step.weights["bias"]),
        what=what,
        macs=out.items * out.h * out.w * macs,
    )


conv1d = function(Conv.conv1d, axes=2)
conv2d = function(Conv.conv2d, axes=3)
