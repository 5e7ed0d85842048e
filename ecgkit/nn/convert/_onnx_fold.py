"""Ops of an ONNX graph on constants: shape arithmetic and tables, computed while converting."""

from math import prod
from typing import Any

import numpy as np

from ..._typing import Array
from ._onnx_file import MOST
from ._value import Refusal

# What may be computed: results no larger than the operands together, but for those in _grown.
FOLDED = {
    *("Abs", "Add", "And", "BitShift", "Cast", "CastLike", "Ceil", "Clip", "Concat", "Constant"),
    *("ConstantOfShape", "Cos", "CumSum", "DequantizeLinear", "Div", "Equal", "Erf", "Exp"),
    *("Expand", "EyeLike", "Flatten", "Floor", "Gather", "GatherElements", "GatherND", "Greater"),
    *("GreaterOrEqual", "Identity", "IsInf", "IsNaN", "Less", "LessOrEqual", "Log", "MatMul"),
    *("Max", "Mean", "Min", "Mod", "Mul", "Neg", "NonZero", "Not", "OneHot", "Or", "Pad", "Pow"),
    *("Range", "Reciprocal", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum"),
    *("Relu", "Reshape", "Round", "ScatterElements", "ScatterND", "Shape", "Sigmoid", "Sign"),
    *("Sin", "Size", "Slice", "Softmax", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tanh", "Tile"),
    *("TopK", "Transpose", "Trilu", "Unsqueeze", "Where", "Xor"),
}


def _grown(op: str, inputs: list[Array | None], attrs: dict[str, Any]) -> int:
    """Elements of the largest result an op can have here."""
    given = [np.asarray(a) for a in inputs if a is not None]
    if op in ("ConstantOfShape", "Expand"):
        shape = [max(int(s), 1) for s in given[-1].reshape(-1)]
        return prod(shape) * (given[0].size if op == "Expand" else 1)
    if op == "Tile":
        return given[0].size * prod(max(int(r), 1) for r in given[1].reshape(-1))
    if op == "Range":
        start, stop, step = (float(a.reshape(())) for a in given[:3])
        count = (stop - start) / step if step else np.inf
        return int(min(abs(count), 2.0**62)) + 1 if count == count else 0
    if op == "Pad":
        pads = inputs[1] if len(inputs) > 1 and inputs[1] is not None else attrs.get("pads", ())
        more = [abs(int(p)) for p in np.asarray(pads).reshape(-1)]
        return prod(n + sum(more) for n in given[0].shape)
    if op == "OneHot":
        return given[0].size * max(1, int(given[1].reshape(-1)[0]))
    if op == "Gather":
        axis = given[0].shape[attrs.get("axis", 0)] or 1
        return given[0].size // axis * given[1].size
    if op == "GatherND":
        return given[0].size * max(1, given[1].size)
    if op == "MatMul":
        return given[0].size * max(given[1].shape[-1:] or (1,))
    return prod(np.broadcast_shapes(*(a.shape for a in given))) if op in _BROADCAST else 0


_BROADCAST = {
    *("Add", "And", "BitShift", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"),
    *("Max", "Mean", "Min", "Mod", "Mul", "Or", "Pow", "Sub", "Sum", "Where", "Xor"),
}


def fold(onnx: Any, node: Any, inputs: list[Array | None], attrs: dict, opset: int) -> list[Array]:
    """The results of ``node`` on constants, by the reference implementation of its op."""
    op = node.op_type
    if op not in FOLDED:
        raise Refusal("on constants it is not computed while converting", "fold it beforehand")
    try:
        size = _grown(op, inputs, attrs)
    except (ValueError, TypeError, IndexError) as error:
        raise Refusal(f"its constants do not fit: {error}") from error
    if size > MOST:
        raise Refusal(f"a constant of {size} numbers; at most {MOST} are computed")
    from onnx.reference import ReferenceEvaluator

    names = [n for n in node.input if n]
    helper = onnx.helper
    graph = helper.make_graph(
        [node],
        "fold",
        [onnx.ValueInfoProto(name=n) for n in dict.fromkeys(names)],
        [onnx.ValueInfoProto(name=n) for n in node.output if n],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    feeds = {n: a for n, a in zip(node.input, inputs) if n}
    try:
        with np.errstate(all="ignore"):
            results = ReferenceEvaluator(model).run(None, feeds)
    except Exception as error:  # whatever NumPy says to operands that do not fit
        raise Refusal(f"its constants do not fit: {error}") from error
    return [np.asarray(r) for r in results]
