"""Networks from ONNX files: walk the graph once, fold what is constant, emit builder calls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..._extras import need
from ..._typing import Array
from ...errors import ConversionError, FormatError, LayoutError, WeightsError
from .._compiled import CompiledProgram
from ..program import Program
from ._layers import Layers
from ._names import unique
from ._onnx_file import Constants, load, opset
from ._onnx_fold import FOLDED, fold
from ._onnx_layers import TABLE
from ._value import Refusal, Value, constant

_BATCH = 11  # where the file leaves the batch open: a prime that no layer has for a length
_DEEPEST = 8  # nested branches


def from_onnx(
    model,
    shapes: Mapping[str, Sequence[int]] | None = None,
    *,
    batch_axis: int | Mapping[str, int | None] | None = 0,
    name: str | None = None,
) -> CompiledProgram:
    """A network in an ONNX file as a :class:`CompiledProgram`.

    The file is parsed, never executed. Constants are folded, weights copied as float32; the layers
    of the program have the names of the file's nodes, for ``print``, ``profile`` and ``taps``.

    Parameters
    ----------
    model : path, bytes or onnx.ModelProto
        Opset 7 to 28, default operator set. Weights in other files are read from the model's
        folder alone.
    shapes : mapping, optional
        Shape of one sample (without the batch axis) of an input, by its name, where the file
        leaves lengths open.
    batch_axis : int, None, or mapping from names of inputs to them
        The axis of an input that holds the batch. None: the input as a whole is one sample. An
        open length of it stands for any batch; a fixed one, as many exporters write 1, is taken
        for the batch of the example and as free as the graph allows.
    name : str, optional
        The program's; default: the file's.

    Returns
    -------
    CompiledProgram
        Called on ``(n, *sample)`` arrays, the batch always first; several inputs as a tuple in the
        file's order. So are several results.

    Raises
    ------
    ConversionError
        An op or a use of it that the engine does not have: names the node, op, reason, way out.
    FormatError
        The file is damaged, or lies about its contents.
    MissingExtraError
        The ``onnx`` package is not installed.

    Examples
    --------
    >>> program = ek.nn.from_onnx("network.onnx", {"ecg": (12, 5000)})
    >>> logits = program(batch)
    """
    onnx = need("onnx", "onnx", "from_onnx")
    proto, folder, stem = load(model)
    walk = _Walk(onnx, proto, name or stem, Constants(name or stem, folder))
    walk.inputs(dict(shapes or {}), batch_axis)
    walk.graph(proto.graph, walk.values, 0)
    walk.outputs()
    return walk.emit.compile("call from_onnx with shapes=")


@dataclass
class Node:
    """One node as its handler sees it: inputs as values (None: left out), decoded attributes."""

    op: str
    opset: int
    inputs: list[Value | None]
    outputs: list[str]
    attrs: dict[str, Any] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def __getitem__(self, i: int) -> Value:
        """An input that must be there."""
        v = self.get(i)
        if v is None:
            raise Refusal(f"its input {i} is missing")
        return v

    def get(self, i: int) -> Value | None:
        """An optional input."""
        return self.inputs[i] if i < len(self.inputs) else None

    def attr(self, name: str, default: Any = None) -> Any:
        """An attribute of the default's kind."""
        v = self.given(name, default)
        if default is not None and not isinstance(v, type(default)):
            number = isinstance(default, float) and isinstance(v, int)
            if not number and not (isinstance(default, tuple) and isinstance(v, list)):
                raise Refusal(f"its attribute {name} is {v!r}")
        return v

    def given(self, name: str, default: Any = None) -> Any:
        """An attribute as it stands."""
        self.seen.add(name)
        return self.attrs.get(name, default)

    def numbers(self, name: str, i: int) -> tuple[int, ...] | None:
        """Integers that older operator sets have as attribute, newer ones as input ``i``."""
        if self.get(i) is not None:
            return tuple(int(x) for x in self.array(i).reshape(-1))
        given = self.given(name)
        return None if given is None else tuple(int(x) for x in given)

    def array(self, i: int) -> Array:
        """The numbers of a constant input."""
        a = self[i].const
        if a is None:
            raise Refusal(f"its input {i} is computed by the network, not a constant")
        return a

    def unknown(self) -> list[str]:
        """Attributes that nobody asked for and that may change the result."""
        return sorted(set(self.attrs) - self.seen - _HINTS)

    def alone(self) -> None:
        """Refuse uses of results after the first."""
        more = [o for o in self.outputs[1:] if o]
        if more:
            raise Refusal(f"its result {more[0]!r} is used", "only the first is computed")


_UNFIT = (
    *(Refusal, LayoutError, WeightsError, ValueError, TypeError, IndexError, KeyError),
    *(OverflowError, AssertionError, MemoryError),
)

# Attributes that say what the inputs say anyway, or choose among equal ways to compute.
_HINTS = {
    *("activation_alpha", "activation_beta", "consumed_inputs", "cubic_coeff_a", "exclude_outside"),
    *("extrapolation_value", "hidden_size", "is_test", "kernel_shape", "momentum", "nearest_mode"),
    *("num_outputs", "output_sequence", "ratio", "seed", "softmax_precision", "spatial"),
    *("stash_type", "storage_order"),
}


class _Walk:
    """One pass over a graph."""

    def __init__(self, onnx, proto, name: str, constants: Constants):
        self.onnx, self.proto, self.name, self.constants = onnx, proto, name, constants
        self.opset = opset(proto, name)
        if not all(isinstance(n, str) for n in _names(proto.graph)):
            raise FormatError(f"{name}: a name in the file is no text")
        self.values: dict[str, Value] = {}
        self.used = _used(proto.graph)
        self.whole: set[int] = set()  # tensors that hold integers, by index
        for t in proto.graph.initializer:
            self.values[t.name] = constant(constants.array(t))

    # ---- ends

    def inputs(self, shapes: dict[str, Sequence[int]], batch_axis) -> None:
        given = [i for i in self.proto.graph.input if i.name not in self.values]
        unknown = sorted(set(shapes) - {i.name for i in given})
        if unknown:
            raise LayoutError(
                f"{self.name}: no input is called {unknown[0]!r}; inputs: "
                f"{', '.join(i.name for i in given)}"
            )
        axes = {
            i.name: batch_axis.get(i.name, 0) if isinstance(batch_axis, Mapping) else batch_axis
            for i in given
        }
        dims = {i.name: self._dims(i, axes[i.name], shapes.get(i.name)) for i in given}
        fixed = {d[a] for i, d in dims.items() if (a := axes[i]) is not None and d[a] is not None}
        if len(fixed) > 1:
            raise LayoutError(
                f"{self.name}: inputs have batches of {sorted(fixed)}; say with batch_axis= which "
                "axis of each input is the batch"
            )
        batch = fixed.pop() if fixed else _BATCH
        self.emit = Layers(Program(self.name), batch)
        for i in given:
            axis, dim = axes[i.name], dims[i.name]
            shape = tuple(batch if d == axis else int(s or 0) for d, s in enumerate(dim))
            sample = tuple(s for d, s in enumerate(shape) if d != axis)
            t = self.emit.p.input(i.name, sample)
            self.values[i.name] = self.emit.value(t, shape, axis)
            if self._kind(i) in "iub":
                self.whole.add(t.index)

    def _kind(self, info) -> str:
        """NumPy's letter for the input's type."""
        kind = info.type.tensor_type.elem_type
        try:
            return np.dtype(self.onnx.helper.tensor_dtype_to_np_dtype(kind)).kind
        except (KeyError, TypeError):
            raise ConversionError(
                f"{self.name}: input {info.name!r} is no tensor of numbers"
            ) from None

    def _dims(self, info, axis: int | None, sample) -> list[int | None]:
        """Lengths of an input; None only for an open batch."""
        if not info.type.HasField("tensor_type") or self._kind(info) not in "fiub":
            raise ConversionError(f"{self.name}: input {info.name!r} is no tensor of numbers")
        shape = info.type.tensor_type.shape
        dims = [d.dim_value if d.HasField("dim_value") and d.dim_value else None for d in shape.dim]
        if axis is not None and not 0 <= axis < max(len(dims), 1):
            raise LayoutError(f"{self.name}: batch axis {axis} of input {info.name!r} {dims}")
        if sample is not None:
            sample = [int(s) for s in sample]
            if axis is not None:
                sample.insert(axis, dims[axis] if axis < len(dims) else None)
            if len(dims) != len(sample) and dims:
                raise LayoutError(
                    f"{self.name}: input {info.name!r} has {len(dims)} axes with the batch, "
                    f"{tuple(sample)} has {len(sample)}"
                )
            dims = sample
        if not dims and axis is not None:
            raise LayoutError(f"{self.name}: input {info.name!r} has no axis for the batch")
        left = [d for d, s in enumerate(dims) if s is None and d != axis]
        if left or any(s is not None and s < 1 for s in dims):
            wanted = tuple(s for d, s in enumerate(dims) if d != axis)
            raise LayoutError(
                f"{self.name}: input {info.name!r} leaves lengths open, {wanted}; pass "
                f"shapes={{{info.name!r}: ...}}"
            )
        return dims

    def outputs(self) -> None:
        tensors = []
        for out in self.proto.graph.output:
            v = self.values.get(out.name)
            if v is None:
                raise FormatError(f"{self.name}: output {out.name!r} is never made")
            if v.const is not None:
                raise ConversionError(
                    f"{self.name}: output {out.name!r} does not depend on an input"
                )
            tensors.append((out.name, self.emit.tensor(self.emit.leading(v))))
        for name, t in tensors:
            self.emit.p.output(t, name)

    # ---- nodes

    def graph(self, graph, values: dict[str, Value], depth: int) -> None:
        """Every node, in the order of the file, which must be one of dependence."""
        for index, node in enumerate(graph.node):
            place = node.name or next(iter(node.output), "") or f"node {index}"
            for name in node.input:
                if name and name not in values:
                    raise FormatError(
                        f"{self.name}: node {place!r} ({node.op_type}) reads {name!r}, which no "
                        "node before it makes: a cycle, or nodes out of order"
                    )
            try:
                results = self._node(node, values, place, depth)
            except (ConversionError, FormatError):
                raise
            except _UNFIT as error:  # a lying attribute may be of any kind and size
                todo = f"; {error.todo}" if isinstance(error, Refusal) and error.todo else ""
                raise ConversionError(
                    f"{self.name}: node {place!r}: {node.op_type}: {error}{todo}"
                ) from error
            for name, value in zip(node.output, results):
                if name and value is not None:
                    values[name] = value

    def _node(self, node, values, place: str, depth: int) -> list[Value | None]:
        if node.domain not in ("", "ai.onnx"):
            raise Refusal(
                f"the operator set {node.domain!r} is not supported", "export to plain ONNX"
            )
        if node.op_type == "If":
            return self._branch(node, values, depth)
        inputs = [values[n] if n else None for n in node.input]
        attrs = self._attributes(node)
        if node.op_type == "Constant":
            return [self._constant(attrs)]
        if node.op_type in ("Shape", "Size") and inputs and inputs[0] is not None:
            return [_shape(node.op_type, inputs[0].shape, attrs)]
        if all(v is None or v.const is not None for v in inputs) and node.op_type in FOLDED:
            arrays = [None if v is None else v.const for v in inputs]
            return [constant(a) for a in fold(self.onnx, node, arrays, attrs, self.opset)]
        handler = TABLE.get(node.op_type)
        if handler is None:
            raise Refusal("the engine has no such op", "replace it, or ask for it")
        self._real(node.op_type, inputs, attrs)
        mark = len(self.emit.p._nodes)
        outputs = [o if o in self.used else "" for o in node.output]
        seen = Node(node.op_type, self.opset, inputs, outputs, attrs)
        made = handler(self.emit, seen)
        if seen.unknown():
            raise Refusal(f"the attribute {seen.unknown()[0]!r} is not supported")
        results = list(made) if isinstance(made, (list, tuple)) else [made]
        self._named(node, place, results, mark)
        if node.op_type in _MOVES and self._holds_integers(inputs[0]):
            self.whole |= {r.tensor.index for r in results if r is not None and r.tensor}
        return results

    def _named(self, node, place: str, results: list[Value | None], mark: int) -> None:
        p = self.emit.p
        added = p._nodes[mark:]
        if added:
            self.emit.rename(added, unique(place, p._names - {n.name for n in added}))
            return
        first = results[0] if results else None
        if first is not None and first.tensor is not None and node.name and place not in p._names:
            p.identity(first.tensor, name=place)

    def _attributes(self, node) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for a in node.attribute:
            kind = self.onnx.AttributeProto.AttributeType.Name(a.type)
            if kind == "TENSOR":
                out[a.name] = self.constants.array(a.t)
            elif kind in ("FLOAT", "INT", "FLOATS", "INTS", "STRING", "STRINGS"):
                v = self.onnx.helper.get_attribute_value(a)
                out[a.name] = v.decode("utf-8", "replace") if isinstance(v, bytes) else v
            elif kind != "GRAPH":
                raise Refusal(f"its attribute {a.name} is a {kind}")
        return out

    @staticmethod
    def _constant(attrs: dict[str, Any]) -> Value:
        for key in ("value", "value_float", "value_int", "value_floats", "value_ints"):
            if key in attrs:
                dtype = {"float": np.float32, "int": np.int64}.get(key[6:].rstrip("s"))
                return constant(np.asarray(attrs[key], dtype))
        raise Refusal("it holds no numbers")

    def _branch(self, node, values: dict[str, Value], depth: int) -> list[Value | None]:
        """An If on a constant is the branch taken."""
        condition = values[node.input[0]]
        if condition.const is None:
            raise Refusal("the condition depends on the input", "export without branches")
        if depth >= _DEEPEST:
            raise Refusal(f"branches are nested deeper than {_DEEPEST}")
        wanted = "then_branch" if bool(condition.const.reshape(-1)[0]) else "else_branch"
        graph = next(a.g for a in node.attribute if a.name == wanted)
        inner = dict(values)
        for t in graph.initializer:
            inner[t.name] = constant(self.constants.array(t))
        self.graph(graph, inner, depth + 1)
        return [inner[o.name] for o in graph.output]

    # ---- integers

    def _holds_integers(self, v: Value | None) -> bool:
        return v is not None and v.tensor is not None and v.tensor.index in self.whole

    def _real(self, op: str, inputs, attrs) -> None:
        """Numbers of a program are floats: refuse arithmetic that integers do differently."""
        if op == "Cast":
            kind = self.onnx.TensorProto.DataType.Name(attrs.get("to", 1))
            integers = any(self._holds_integers(v) for v in inputs)
            if kind not in ("FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16"):
                if integers and kind in ("INT32", "INT64"):
                    return
                raise Refusal(f"it turns numbers into {kind}", "keep them floats")
        elif op not in _MOVES and any(
            self._holds_integers(v) for i, v in enumerate(inputs) if (op, i) != ("Gather", 1)
        ):
            raise Refusal("arithmetic on integers", "cast to float first")


# Ops that move numbers about and leave them as they are.
_MOVES = {
    *("Concat", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze"),
    *("Tile", "Transpose", "Unsqueeze"),
}


def _names(graph):
    """Every name of a graph."""
    for v in (*graph.input, *graph.output, *graph.initializer):
        yield v.name
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        for a in node.attribute:
            yield a.name
            if a.HasField("g"):
                yield from _names(a.g)


def _used(graph) -> set[str]:
    """Names that some node or output of a graph, or of a graph in it, reads."""
    names, stack = set(), [graph]
    while stack:
        g = stack.pop()
        names |= {o.name for o in g.output}
        for node in g.node:
            names |= set(node.input)
            stack += [a.g for a in node.attribute if a.HasField("g")]
    return names


def _shape(op: str, shape: tuple[int, ...], attrs: dict[str, Any]) -> Value:
    if op == "Size":
        return constant(np.asarray(int(np.prod(shape)), np.int64))
    return constant(np.asarray(shape[attrs.get("start", 0) : attrs.get("end")], np.int64))
