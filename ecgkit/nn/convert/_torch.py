"""Networks from PyTorch: trace with ``torch.export``, walk the graph once, emit builder calls."""

import operator
import warnings
from typing import Any

import numpy as np

from ..._extras import need
from ...errors import ConversionError, LayoutError, WeightsError
from .._compiled import CompiledProgram
from ..program import Program
from ._layers import Layers
from ._names import labels
from ._torch_layers import CREATE, TABLE
from ._value import Refusal, Value, constant

# A prime that no layer has for a length: what is a multiple of it holds the batch.
_BATCH = 11


def from_torch(module, *examples, name: str | None = None) -> CompiledProgram:
    """A user's own PyTorch network as a :class:`CompiledProgram`.

    The module is traced with ``torch.export``, in evaluation mode, on the CPU; nothing of it is
    changed or kept, and its ``forward`` runs only while it is traced. Weights are copied as
    float32. The layers of the program have the paths of the modules (``layer1.0.conv1``), so
    ``print``, ``profile`` and ``taps`` speak the network's own names.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode (``module.eval()``). Its first axis is the batch, as everywhere in
        PyTorch, and samples must not mix.
    *examples : tuple of int, or array_like
        One for each argument of ``forward``: the shape of one sample *without* the batch axis,
        ``(12, 5000)``, or an example batch, ``(n, ...)``, where it must hold integers (token ids).
        Lengths are fixed by it.
    name : str, optional
        The program's; default: the module's class.

    Returns
    -------
    CompiledProgram
        Called on ``(n, *sample)`` arrays. Several inputs go in as a tuple, in the order of
        ``forward``; a nested result comes out flat, in order, the batch always first.

    Raises
    ------
    ConversionError
        The module is in training mode, cannot be traced, or holds an op that the engine does not
        have, reads across samples or has weights that are computed: names the module's path, the
        op, the reason and a way out.
    MissingExtraError
        PyTorch is not installed.

    Examples
    --------
    >>> program = ek.nn.from_torch(network.eval(), (12, 5000))
    >>> logits = program(batch)
    >>> features = program(batch, taps=["layer4"])["layer4"]
    """
    torch = need("torch", "train", "from_torch")
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"from_torch: wanted a torch.nn.Module, got {type(module).__name__}")
    name = name or type(module).__name__
    training = [path for path, m in module.named_modules() if m.training]
    if training:
        place = repr(training[0]) if training[0] else "the module"
        raise ConversionError(
            f"{name}: {place} is in training mode, where batch norm and dropout do something else; "
            "call module.eval() first"
        )
    batches = _batches(torch, module, name, examples)
    return _Walk(torch, name, _trace(torch, module, name, batches)).compile()


def _batches(torch, module, name: str, examples) -> tuple:
    """The arguments to trace with, of ``_BATCH`` samples."""
    floats = [p.dtype for p in module.parameters() if p.is_floating_point()]
    if not examples:
        raise LayoutError(
            f"{name}: pass the shape of one sample for each input, from_torch(module, (12, 5000))"
        )
    out = []
    for i, example in enumerate(examples):
        if isinstance(example, (tuple, list)) and all(isinstance(s, int) for s in example):
            shape, dtype = tuple(example), floats[0] if floats else torch.float32
        else:
            a = torch.as_tensor(np.asarray(example))
            if a.ndim == 0:
                raise LayoutError(f"{name}: example {i} needs a batch axis, got a number")
            shape, dtype = tuple(a.shape[1:]), a.dtype
            if a.is_floating_point() and floats:
                dtype = floats[0]
        if any(s < 1 for s in shape):
            raise LayoutError(f"{name}: every axis of example {i} must be at least 1, got {shape}")
        out.append(torch.zeros((_BATCH, *shape), dtype=dtype))
    return tuple(out)


def _trace(torch, module, name: str, batches):
    """The exported program: functional ATen ops, whole layers kept whole."""
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer's, about itself
            return torch.export.export(module, batches).run_decompositions({})
    except Exception as error:  # whatever the user's forward or the tracer raises
        why = str(error).strip().split("\n")[0]
        raise ConversionError(
            f"{name}: torch.export cannot trace the module: {why or type(error).__name__}; "
            "its forward must take tensors alone and not branch on their values"
        ) from error


class _Walk:
    """One pass over an exported graph."""

    def __init__(self, torch, name: str, exported):
        self.torch, self.name, self.exported = torch, name, exported
        self.emit = Layers(Program(name), _BATCH)
        self.values: dict[Any, Any] = {}  # a node's value; constants as torch tensors
        self.labels, self.aliases = labels(exported.graph)

    def compile(self) -> CompiledProgram:
        graph = self.exported.graph
        self._inputs()
        for node in graph.nodes:
            if node.op == "call_function":
                self._guarded(node)
        self._outputs()
        return self.emit.compile("call from_torch")

    # ---- ends

    def _inputs(self) -> None:
        signature, p = self.exported.graph_signature, self.emit.p
        stored = {**self.exported.state_dict, **self.exported.constants}
        held = {
            **signature.inputs_to_parameters,
            **signature.inputs_to_buffers,
            **signature.inputs_to_lifted_tensor_constants,
        }
        for node in self.exported.graph.nodes:
            if node.op != "placeholder":
                continue
            if node.name in held:
                self.values[node] = stored[held[node.name]].detach().cpu()
            elif isinstance(node.meta["val"], self.torch.Tensor):
                shape = tuple(node.meta["val"].shape)
                t = p.input(node.name, shape[1:])
                self.values[node] = self.emit.value(t, shape, 0)

    def _outputs(self) -> None:
        (end,) = (n for n in self.exported.graph.nodes if n.op == "output")
        results = [r for r in end.args[0] if r is not None]
        tensors = []
        for i, result in enumerate(results):
            value = self.values.get(result, result)
            if not isinstance(value, Value):
                raise ConversionError(
                    f"{self.name}: output {i} does not depend on the input; leave it out"
                )
            tensors.append((result, self.emit.tensor(self.emit.leading(value))))
        for result, t in tensors:
            self.emit.p.output(t, "output" if len(tensors) == 1 else result.name)

    # ---- nodes

    def _guarded(self, node) -> None:
        try:
            self._node(node)
        except (Refusal, LayoutError, WeightsError, ValueError) as error:
            if isinstance(error, ConversionError):
                raise
            todo = f"; {error.todo}" if isinstance(error, Refusal) and error.todo else ""
            raise ConversionError(
                f"{self.name}: {self._place(node)}: {_op_name(node)}: {error}{todo}"
            ) from error

    def _place(self, node) -> str:
        stack = list((node.meta.get("nn_module_stack") or {}).values())
        path, kind = stack[-1] if stack else ("", "")
        kind = kind if isinstance(kind, str) else getattr(kind, "__name__", "")
        return f"module {path or '(the root)'!r} ({kind.rsplit('.', 1)[-1] or 'module'})"

    def _node(self, node) -> None:
        if node.target is operator.getitem:
            parts, index = node.args
            self.values[node] = self.values[parts][index]
            self._named(node, None)
            return
        values = self.values
        if _op_name(node).split(".")[0] in CREATE:
            values = {**values, **{n: _stand_in(self.torch, n) for n in node.all_input_nodes}}
        args, kwargs = self.torch.fx.node.map_arg((tuple(node.args), dict(node.kwargs)), values.get)
        if not any(isinstance(a, Value) for a in _leaves((args, kwargs))):
            self.values[node] = self._folded(node, args, kwargs)
            return
        if not isinstance(node.target, self.torch._ops.OpOverload):
            raise Refusal("this construct has no counterpart", "write it without control flow")
        if node.meta.get("val") is None and not node.users:
            return  # an assertion
        handler = TABLE.get(_op_name(node)) or TABLE.get(_op_name(node).split(".")[0])
        if handler is None:
            raise Refusal("the engine has no such op", "replace it, or ask for it")
        self._stays_real(node)
        mark = len(self.emit.p._nodes)
        bound = self._bound(node.target, args, kwargs)
        self.values[node] = handler(self.emit, bound)
        self._checked(node)
        self._named(node, mark)

    def _folded(self, node, args, kwargs) -> Any:
        """An op on constants, computed now."""
        if self.torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            raise Refusal("it draws random numbers", "evaluation must not depend on chance")
        with self.torch.no_grad():
            return node.target(*args, **kwargs)

    def _bound(self, target, args, kwargs) -> dict[str, Any]:
        """The arguments by their names in the op's schema, constants as values."""
        out = {}
        for i, argument in enumerate(target._schema.arguments):
            if i < len(args) and not argument.kwarg_only:
                given = args[i]
            else:
                given = kwargs.get(argument.name, argument.default_value)
            out[argument.name] = self._wrapped(given)
        return out

    def _wrapped(self, a: Any) -> Any:
        if isinstance(a, self.torch.Tensor):
            a = a.detach().cpu()
            a = a.float() if a.dtype in (self.torch.bfloat16, self.torch.float16) else a
            return constant(a.numpy())
        if isinstance(a, (list, tuple)):
            return [self._wrapped(x) for x in a]
        return a

    def _stays_real(self, node) -> None:
        """A program's numbers are floats: a cast that cuts off decimals would be lost."""
        to = node.meta.get("val")
        casts = _op_name(node).split(".")[0] in ("to", "_to_copy", "type_as")
        if not casts or not isinstance(to, self.torch.Tensor) or to.is_floating_point():
            return
        if node.args[0].meta["val"].is_floating_point():
            raise Refusal(f"it turns floats into {to.dtype}", "keep them floats")

    def _checked(self, node) -> None:
        """Shapes must be those that PyTorch found."""
        value, expected = self.values[node], node.meta.get("val")
        if not isinstance(value, Value) or not isinstance(expected, self.torch.Tensor):
            return
        if value.shape != tuple(expected.shape):
            raise AssertionError(f"{node}: {value.shape}, PyTorch has {tuple(expected.shape)}")

    def _named(self, node, mark: int | None) -> None:
        """Give what the node added its module's path."""
        value = self.values[node]
        if isinstance(value, (list, tuple)):
            inner = next((u for u in node.users if u.target is operator.getitem), node)
            label = self.labels.get(inner, self.labels[node])
        else:
            label = self.labels[node]
        p = self.emit.p
        added = p._nodes[mark:] if mark is not None else []
        if added:
            self.emit.rename(added, label)
        if not isinstance(value, Value) or value.tensor is None:
            return
        if node in self.aliases:  # it leaves a module
            for alias in (label, *self.aliases[node]):
                if alias not in p._names:
                    p.identity(value.tensor, name=alias)


def _stand_in(torch, node) -> Any:
    """A tensor of a node's shape and type, for ops that look at nothing else."""
    like = node.meta["val"]
    return torch.zeros((), dtype=like.dtype).expand(like.shape)


def _op_name(node) -> str:
    """``conv2d.default``"""
    target = node.target
    schema = getattr(target, "_schema", None)
    if schema is None:
        return getattr(target, "__name__", str(target))
    return f"{schema.name.split('::')[1]}.{schema.overload_name or 'default'}"


def _leaves(tree: Any):
    if isinstance(tree, (list, tuple)):
        for t in tree:
            yield from _leaves(t)
    elif isinstance(tree, dict):
        yield from _leaves(list(tree.values()))
    else:
        yield tree
