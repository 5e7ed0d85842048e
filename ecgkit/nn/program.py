"""Describe a network once; run it in C for ever."""

from collections.abc import Mapping, Sequence

import numpy as np

from .._typing import ArrayLike
from ..errors import LayoutError, WeightsError
from ._compile import compile_graph
from ._compiled import CompiledProgram
from ._graph import ACTIVATIONS, Node, Tensor, array, lengths, outputs, paddings, spatial

__all__ = ["Program"]


class Program:
    """Builder of a forward network.

    Every call adds a layer and returns a :class:`Tensor` to hand to the next one; shapes are those
    of one sample. Weights have PyTorch's layouts and are copied. Convolutions, pools and linear
    layers accept extra leading axes: ``(10, C, T)`` is ten signals of one sample. Every call takes
    ``name=``, which errors, ``print(program)``, profiles and ``taps`` use.

    Parameters
    ----------
    name : str
        Used in messages.

    Examples
    --------
    >>> p = Program("tiny")
    >>> x = p.input("x", (12, 1000))
    >>> h = p.relu(p.batch_norm(p.conv1d(x, weight, bias, padding=2), gamma, beta, mean, var))
    >>> p.output(p.linear(p.mean(h, -1), fc_weight, fc_bias))
    >>> program = p.compile()
    >>> logits = program(batch)
    """

    def __init__(self, name: str = "program"):
        self.name = name
        self._nodes: list[Node] = []
        self._outputs: list[tuple[str, int]] = []
        self._names: set[str] = set()

    # ---- plumbing

    def _name(self, op: str, name: str | None) -> str:
        if name is None:
            count = sum(n.op == op for n in self._nodes)
            name = f"{op}_{count}"
            while name in self._names:
                count += 1
                name = f"{op}_{count}"
        elif name in self._names:
            raise ValueError(f"{self.name}: the name {name!r} is taken; names must differ")
        return name

    def _add(self, op, inputs, shape, name, rank=0, attrs=None, weights=None) -> Tensor:
        index = len(self._nodes)
        ids = tuple(t.index for t in inputs)
        shape = tuple(int(s) for s in shape)
        self._nodes.append(Node(index, op, ids, shape, name, rank, attrs or {}, weights or {}))
        self._names.add(name)
        return Tensor(self, index, shape, name)

    def _where(self, name: str) -> str:
        return f"{self.name}.{name}"

    def _node(self, where: str, t: Tensor) -> Node:
        if not isinstance(t, Tensor):
            raise TypeError(f"{where}: wanted a tensor of this program, got {type(t).__name__}")
        if t.program is not self:
            raise ValueError(f"{where}: tensor {t.name!r} belongs to another program")
        return self._nodes[t.index]

    # ---- ends

    def input(self, name: str, shape: Sequence[int]) -> Tensor:
        """An input of the network; ``shape`` is that of one sample.

        Several inputs are passed to the compiled program as a tuple, in this order.
        """
        name = self._name("input", name)
        shape = tuple(int(s) for s in shape)
        if any(s < 1 for s in shape):
            raise LayoutError(f"{self._where(name)}: every axis must be at least 1, got {shape}")
        return self._add("input", (), shape, name, rank=max(0, min(len(shape) - 1, 2)))

    def output(self, t: Tensor, name: str | None = None) -> Tensor:
        """Declare ``t`` an output. Several outputs are returned as a tuple, in this order."""
        node = self._node(self._where("output"), t)
        self._outputs.append((name or node.name, node.index))
        return t

    def compile(self) -> CompiledProgram:
        """Fold, fuse, pack and plan.

        Batch norms go into the weights before them; bias, residual sum and activation into the
        kernels; weights into the layout the kernels of the instruction set in use read;
        intermediate tensors into one reused arena.

        Returns
        -------
        CompiledProgram
        """
        if not self._outputs:
            raise ValueError(f"{self.name}: no output; call output(tensor) before compile()")
        return CompiledProgram(self.name, tuple(self._nodes), tuple(self._outputs), compile_graph)

    # ---- convolution and linear

    def _conv(self, rank, x, weight, bias, stride, padding, dilation, groups, name) -> Tensor:
        op = f"conv{rank}d"
        name = self._name(op, name)
        where = self._where(name)
        node = self._node(where, x)
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
        b = (
            np.zeros(w.shape[0], np.float32)
            if bias is None
            else array(where, "bias", bias, (w.shape[0],))
        )
        attrs = {"stride": stride, "dilation": dilation, "pads": pads, "groups": groups}
        shape = (*node.shape[: -rank - 1], w.shape[0], *out)
        return self._add(op, (x,), shape, name, rank, attrs, {"weight": w, "bias": b})

    def conv1d(
        self,
        x: Tensor,
        weight: ArrayLike,
        bias: ArrayLike | None = None,
        *,
        stride=1,
        padding=0,
        dilation=1,
        groups=1,
        name=None,
    ) -> Tensor:
        """Convolution over time: ``x`` (..., cin, time), ``weight`` (cout, cin/groups, k).

        ``padding`` is an int, a pair ``((before, after),)``, ``"same"`` or ``"valid"``.
        """
        return self._conv(1, x, weight, bias, stride, padding, dilation, groups, name)

    def conv2d(
        self,
        x: Tensor,
        weight: ArrayLike,
        bias: ArrayLike | None = None,
        *,
        stride=1,
        padding=0,
        dilation=1,
        groups=1,
        name=None,
    ) -> Tensor:
        """Convolution over height and width: ``x`` (..., cin, h, w), ``weight`` (cout, cin/groups,
        kh, kw).

        ``padding`` is an int, one per axis, ``((top, bottom), (left, right))``, ``"same"``
        (TensorFlow's, asymmetric) or ``"valid"``.
        """
        return self._conv(2, x, weight, bias, stride, padding, dilation, groups, name)

    def linear(
        self, x: Tensor, weight: ArrayLike, bias: ArrayLike | None = None, *, name=None
    ) -> Tensor:
        """``x @ weight.T + bias`` over the last axis; ``weight`` (out, in)."""
        name = self._name("linear", name)
        where = self._where(name)
        node = self._node(where, x)
        if not node.shape:
            raise LayoutError(f"{where}: a sample must have at least one axis (..., features)")
        w = array(where, "weight", weight, (None, node.shape[-1]))
        b = (
            np.zeros(w.shape[0], np.float32)
            if bias is None
            else array(where, "bias", bias, (w.shape[0],))
        )
        return self._add(
            "linear", (x,), (*node.shape[:-1], w.shape[0]), name, weights={"weight": w, "bias": b}
        )

    # ---- norms

    def batch_norm(
        self,
        x: Tensor,
        weight,
        bias,
        mean,
        var,
        eps: float = 1e-5,
        *,
        axis: int | None = None,
        name=None,
    ) -> Tensor:
        """Normalise each channel by stored statistics: ``(x - mean) / sqrt(var + eps) * weight +
        bias``.

        Parameters
        ----------
        weight, bias : array_like, shape (channels,), or None
            None: ones, zeros.
        axis : int, optional
            The channel axis. Default: the one of the convolution or input that ``x`` comes from;
            the last for features.
        """
        name = self._name("batch_norm", name)
        where = self._where(name)
        node = self._node(where, x)
        rank = node.rank if axis is None else len(node.shape) - 1 - axis % len(node.shape)
        channels = node.shape[-rank - 1]
        one, zero = np.ones(channels, np.float32), np.zeros(channels, np.float32)
        given = {
            "weight": one if weight is None else weight,
            "bias": zero if bias is None else bias,
            "mean": mean,
            "var": var,
        }
        w = {k: array(where, k, v, (channels,)) for k, v in given.items()}
        return self._add("batch_norm", (x,), node.shape, name, rank, {"eps": float(eps)}, w)

    def layer_norm(
        self, x: Tensor, weight=None, bias=None, eps: float = 1e-5, *, name=None
    ) -> Tensor:
        """Normalise the last axis to zero mean and unit deviation, then scale and shift."""
        name = self._name("layer_norm", name)
        where = self._where(name)
        node = self._node(where, x)
        n = node.shape[-1]
        w = np.ones(n, np.float32) if weight is None else array(where, "weight", weight, (n,))
        b = np.zeros(n, np.float32) if bias is None else array(where, "bias", bias, (n,))
        return self._add(
            "layer_norm",
            (x,),
            node.shape,
            name,
            attrs={"eps": float(eps)},
            weights={"weight": w, "bias": b},
        )

    # ---- elementwise

    def activation(self, x: Tensor, kind: str, *, slope: float = 0.01, name=None) -> Tensor:
        """``relu relu6 sigmoid tanh silu gelu gelu_tanh leaky_relu exp``, by name."""
        if kind not in ACTIVATIONS:
            raise ValueError(
                f"{self.name}: activation must be one of {', '.join(ACTIVATIONS)}; got {kind!r}"
            )
        name = self._name(kind, name)
        node = self._node(self._where(name), x)
        return self._add(
            "act", (x,), node.shape, name, node.rank, {"kind": kind, "slope": float(slope)}
        )

    def relu(self, x: Tensor, *, name=None) -> Tensor:
        """max(x, 0)"""
        return self.activation(x, "relu", name=name)

    def relu6(self, x: Tensor, *, name=None) -> Tensor:
        """min(max(x, 0), 6)"""
        return self.activation(x, "relu6", name=name)

    def sigmoid(self, x: Tensor, *, name=None) -> Tensor:
        """1 / (1 + exp(-x))"""
        return self.activation(x, "sigmoid", name=name)

    def tanh(self, x: Tensor, *, name=None) -> Tensor:
        """Hyperbolic tangent."""
        return self.activation(x, "tanh", name=name)

    def silu(self, x: Tensor, *, name=None) -> Tensor:
        """x * sigmoid(x)"""
        return self.activation(x, "silu", name=name)

    def gelu(self, x: Tensor, *, approximate: str = "none", name=None) -> Tensor:
        """x * Phi(x); ``approximate="tanh"`` for the tanh form."""
        if approximate not in ("none", "tanh"):
            raise ValueError(
                f"{self.name}: approximate must be 'none' or 'tanh', got {approximate!r}"
            )
        return self.activation(x, "gelu" if approximate == "none" else "gelu_tanh", name=name)

    def leaky_relu(self, x: Tensor, slope: float = 0.01, *, name=None) -> Tensor:
        """x where positive, slope * x elsewhere."""
        return self.activation(x, "leaky_relu", slope=slope, name=name)

    def _binary(self, kind: str, a: Tensor, b: Tensor, name) -> Tensor:
        name = self._name(kind, name)
        where = self._where(name)
        x, y = self._node(where, a), self._node(where, b)
        if x.shape != y.shape:
            raise LayoutError(f"{where}: shapes {x.shape} and {y.shape} differ")
        return self._add("binary", (a, b), x.shape, name, max(x.rank, y.rank), {"kind": kind})

    def add(self, a: Tensor, b: Tensor, *, name=None) -> Tensor:
        """a + b, equal shapes. After a convolution or linear layer it costs nothing extra."""
        return self._binary("add", a, b, name)

    def multiply(self, a: Tensor, b: Tensor, *, name=None) -> Tensor:
        """a * b, equal shapes."""
        return self._binary("multiply", a, b, name)

    def subtract(self, a: Tensor, b: Tensor, *, name=None) -> Tensor:
        """a - b, equal shapes."""
        return self._binary("subtract", a, b, name)

    # ---- pools

    def _pool(
        self, kind, rank, x, size, stride, padding, dilation, ceil_mode, count_pad, name
    ) -> Tensor:
        name = self._name(f"{kind}_pool{rank}d", name)
        where = self._where(name)
        node = self._node(where, x)
        _, _, n = spatial(where, node.shape, rank)
        kernel = lengths(where, "kernel_size", size, rank, 1)
        stride = kernel if stride is None else lengths(where, "stride", stride, rank, 1)
        dilation = lengths(where, "dilation", dilation, rank, 1)
        pads = paddings(where, padding, rank, kernel, stride, dilation, n)
        if any(2 * a > k or 2 * b > k + 1 for (a, b), k in zip(pads, kernel)):
            raise ValueError(f"{where}: padding {pads} is more than half the kernel {kernel}")
        out = outputs(where, n, kernel, stride, dilation, pads, ceil_mode)
        attrs = {
            "kind": kind,
            "kernel": kernel,
            "stride": stride,
            "dilation": dilation,
            "pads": pads,
            "count_pad": bool(count_pad),
        }
        return self._add("pool", (x,), (*node.shape[:-rank], *out), name, rank, attrs)

    def max_pool1d(
        self,
        x: Tensor,
        kernel_size,
        stride=None,
        padding=0,
        dilation=1,
        *,
        ceil_mode=False,
        name=None,
    ) -> Tensor:
        """Largest value per window; the padding never wins."""
        return self._pool(
            "max", 1, x, kernel_size, stride, padding, dilation, ceil_mode, False, name
        )

    def max_pool2d(
        self,
        x: Tensor,
        kernel_size,
        stride=None,
        padding=0,
        dilation=1,
        *,
        ceil_mode=False,
        name=None,
    ) -> Tensor:
        """Largest value per window; the padding never wins."""
        return self._pool(
            "max", 2, x, kernel_size, stride, padding, dilation, ceil_mode, False, name
        )

    def avg_pool1d(
        self,
        x: Tensor,
        kernel_size,
        stride=None,
        padding=0,
        *,
        ceil_mode=False,
        count_include_pad=True,
        name=None,
    ) -> Tensor:
        """Mean per window."""
        return self._pool(
            "avg", 1, x, kernel_size, stride, padding, 1, ceil_mode, count_include_pad, name
        )

    def avg_pool2d(
        self,
        x: Tensor,
        kernel_size,
        stride=None,
        padding=0,
        *,
        ceil_mode=False,
        count_include_pad=True,
        name=None,
    ) -> Tensor:
        """Mean per window."""
        return self._pool(
            "avg", 2, x, kernel_size, stride, padding, 1, ceil_mode, count_include_pad, name
        )

    def _adaptive(self, rank, x, output_size, name) -> Tensor:
        name = self._name(f"adaptive_avg_pool{rank}d", name)
        where = self._where(name)
        node = self._node(where, x)
        spatial(where, node.shape, rank)
        out = lengths(where, "output_size", output_size, rank, 1)
        return self._add(
            "pool", (x,), (*node.shape[:-rank], *out), name, rank, {"kind": "adaptive"}
        )

    def adaptive_avg_pool1d(self, x: Tensor, output_size, *, name=None) -> Tensor:
        """Mean over ``output_size`` nearly equal stretches."""
        return self._adaptive(1, x, output_size, name)

    def adaptive_avg_pool2d(self, x: Tensor, output_size, *, name=None) -> Tensor:
        """Mean over a grid of nearly equal windows."""
        return self._adaptive(2, x, output_size, name)

    # ---- reductions, shapes, rows

    def _reduce(self, kind: str, x: Tensor, axes, name) -> Tensor:
        name = self._name(kind, name)
        where = self._where(name)
        node = self._node(where, x)
        nd = len(node.shape)
        wanted = (
            tuple(range(nd)) if axes is None else (axes,) if isinstance(axes, int) else tuple(axes)
        )
        if (
            any(not -nd <= a < nd for a in wanted)
            or len({a % nd for a in wanted}) != len(wanted)
            or not wanted
        ):
            raise LayoutError(
                f"{where}: axes {axes} do not fit shape {node.shape} (the batch axis is not "
                "counted)"
            )
        gone = sorted(a % nd for a in wanted)
        shape = tuple(s for i, s in enumerate(node.shape) if i not in gone)
        return self._add("reduce", (x,), shape, name, attrs={"kind": kind, "axes": tuple(gone)})

    def mean(self, x: Tensor, axes=None, *, name=None) -> Tensor:
        """Mean over axes of the sample (all by default); they disappear."""
        return self._reduce("mean", x, axes, name)

    def sum(self, x: Tensor, axes=None, *, name=None) -> Tensor:
        """Sum over axes of the sample (all by default); they disappear."""
        return self._reduce("sum", x, axes, name)

    def max(self, x: Tensor, axes=None, *, name=None) -> Tensor:
        """Maximum over axes of the sample (all by default); they disappear."""
        return self._reduce("max", x, axes, name)

    def reshape(self, x: Tensor, shape: Sequence[int], *, name=None) -> Tensor:
        """The same numbers in another shape; one axis may be -1. Free."""
        name = self._name("reshape", name)
        where = self._where(name)
        node = self._node(where, x)
        count = int(np.prod(node.shape, dtype=np.int64))
        known = int(np.prod([s for s in shape if s != -1], dtype=np.int64))
        out = tuple(count // known if s == -1 and known else s for s in shape)
        if (
            sum(s == -1 for s in shape) > 1
            or int(np.prod(out, dtype=np.int64)) != count
            or any(s < 1 for s in out)
        ):
            raise LayoutError(f"{where}: {node.shape} does not reshape to {tuple(shape)}")
        return self._add("reshape", (x,), out, name, rank=max(0, min(len(out) - 1, 2)))

    def flatten(self, x: Tensor, start: int = 0, *, name=None) -> Tensor:
        """Axes from ``start`` on become one."""
        shape = self._node(self._where("flatten"), x).shape
        start %= max(len(shape), 1)
        return self.reshape(
            x, (*shape[:start], int(np.prod(shape[start:], dtype=np.int64))), name=name
        )

    def transpose(self, x: Tensor, axes: Sequence[int], *, name=None) -> Tensor:
        """Axes of the sample in another order, as ``numpy.transpose``."""
        name = self._name("transpose", name)
        where = self._where(name)
        node = self._node(where, x)
        nd = len(node.shape)
        order = tuple(a % nd if nd else a for a in axes)
        if sorted(order) != list(range(nd)):
            raise LayoutError(f"{where}: axes {tuple(axes)} do not permute shape {node.shape}")
        strides = _strides(node.shape)
        shape = tuple(node.shape[a] for a in order)
        attrs = {"strides": tuple(strides[a] for a in order), "offset": 0}
        return self._add("permute", (x,), shape, name, max(0, min(nd - 1, 2)), attrs)

    def slice(
        self, x: Tensor, axis: int, start: int, stop: int | None = None, step: int = 1, *, name=None
    ) -> Tensor:
        """``x[..., start:stop:step, ...]`` along one axis, as Python's slices (``step`` >= 1)."""
        name = self._name("slice", name)
        where = self._where(name)
        node = self._node(where, x)
        axis = self._axis(where, node, axis)
        if step < 1:
            raise ValueError(f"{where}: step must be at least 1, got {step}")
        picked = range(*slice(start, stop, step).indices(node.shape[axis]))
        if not picked:
            raise LayoutError(f"{where}: the slice of axis {axis} of {node.shape} is empty")
        strides = list(_strides(node.shape))
        offset = picked.start * strides[axis]
        strides[axis] *= step
        shape = (*node.shape[:axis], len(picked), *node.shape[axis + 1 :])
        return self._add(
            "permute", (x,), shape, name, node.rank, {"strides": tuple(strides), "offset": offset}
        )

    def select(self, x: Tensor, index: int, axis: int = 0, *, name=None) -> Tensor:
        """One entry of an axis, which disappears: ``select(h, -1)`` is the last step of an LSTM."""
        name = self._name("select", name)
        where = self._where(name)
        node = self._node(where, x)
        axis = self._axis(where, node, axis)
        n = node.shape[axis]
        if not -n <= index < n:
            raise LayoutError(f"{where}: index {index} is outside axis {axis} of {node.shape}")
        strides = _strides(node.shape)
        shape = (*node.shape[:axis], *node.shape[axis + 1 :])
        left = (*strides[:axis], *strides[axis + 1 :])
        attrs = {"strides": left, "offset": index % n * strides[axis]}
        return self._add("permute", (x,), shape, name, attrs=attrs)

    def identity(self, x: Tensor, *, name=None) -> Tensor:
        """The same value under another name, for taps. Free."""
        name = self._name("identity", name)
        node = self._node(self._where(name), x)
        return self._add("identity", (x,), node.shape, name, node.rank)

    @staticmethod
    def _axis(where: str, node: Node, axis: int) -> int:
        nd = len(node.shape)
        if not -nd <= axis < nd:
            raise LayoutError(
                f"{where}: axis {axis} is outside shape {node.shape} (the batch axis is not "
                "counted)"
            )
        return axis % nd

    def concat(self, tensors: Sequence[Tensor], axis: int, *, name=None) -> Tensor:
        """Tensors one after the other along an axis."""
        name = self._name("concat", name)
        where = self._where(name)
        nodes = [self._node(where, t) for t in tensors]
        if not nodes:
            raise ValueError(f"{where}: no tensors")
        axis = self._axis(where, nodes[0], axis)
        shapes = [n.shape for n in nodes]
        if any(
            s[:axis] + s[axis + 1 :] != shapes[0][:axis] + shapes[0][axis + 1 :] for s in shapes
        ):
            raise LayoutError(f"{where}: shapes {shapes} differ beside axis {axis}")
        shape = (*shapes[0][:axis], sum(s[axis] for s in shapes), *shapes[0][axis + 1 :])
        return self._add("concat", tensors, shape, name, nodes[0].rank, {"axis": axis})

    def softmax(self, x: Tensor, axis: int = -1, *, name=None) -> Tensor:
        """exp(x) over its sum along one axis."""
        nd = len(x.shape)
        if nd and axis % nd != nd - 1:
            order = [*(i for i in range(nd) if i != axis % nd), axis % nd]
            back = tuple(int(i) for i in np.argsort(order))
            return self.transpose(self.softmax(self.transpose(x, order)), back, name=name)
        name = self._name("softmax", name)
        node = self._node(self._where(name), x)
        return self._add("softmax", (x,), node.shape, name)

    # ---- recurrent

    def lstm(
        self,
        x: Tensor,
        weights: Mapping[str, ArrayLike],
        *,
        hidden: int | None = None,
        bidirectional: bool = False,
        num_layers: int = 1,
        h0: Tensor | None = None,
        c0: Tensor | None = None,
        return_state: bool = False,
        name=None,
    ):
        """LSTM over time: ``x`` (..., time, features) -> (..., time, directions * hidden).

        Parameters
        ----------
        weights : mapping
            PyTorch's names: ``weight_ih_l0`` (4*hidden, features), ``weight_hh_l0`` (4*hidden,
            hidden), ``bias_ih_l0``, ``bias_hh_l0`` (optional), gates i f g o; ``_reverse`` twins if
            bidirectional; ``_l1``, ... for more layers.
        h0, c0 : Tensor, shape (layers * directions, ..., hidden), optional
            Initial state, layers first, then directions, as PyTorch's. Default zero.
        return_state : bool
            Also return the last ``(h, c)``, each of the shape of ``h0``.
        """
        name = self._name("lstm", name)
        where = self._where(name)
        node = self._node(where, x)
        if len(node.shape) < 2:
            raise LayoutError(
                f"{where}: a sample must have axes (..., time, features), got {node.shape}"
            )
        from ._lstm import add_layers

        return add_layers(
            self,
            node,
            x,
            weights,
            hidden,
            bidirectional,
            num_layers,
            h0,
            c0,
            return_state,
            name,
            where,
        )

    def __repr__(self) -> str:
        lines = [f"Program {self.name!r}: {len(self._nodes)} layers"]
        lines += [f"  {n.name:<24} {n.op:<12} {n.shape}" for n in self._nodes]
        return "\n".join(lines)


def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    out, step = [], 1
    for s in reversed(shape):
        out.append(step)
        step *= s
    return tuple(reversed(out))
