"""Only what somebody reads is computed: where a network picks a few tokens of its last block, the
layers before it run on these tokens alone and attention asks only their questions."""

from dataclasses import replace

import numpy as np

from ._graph import Node
from ._views import View, whole

Part = tuple[int, int, int]  # axis, first, end
_EACH = {"act", "unary", "binary", "identity"}  # element by element
_ROWS = {"linear", "layer_norm", "softmax"}  # every row of the last axis from the same row


def needed(
    nodes: tuple[Node, ...], outputs: tuple[tuple[str, int], ...]
) -> tuple[tuple[Node, ...], tuple[tuple[str, int], ...]]:
    """The graph with every value cut to the part of one axis that is read, if that is at most
    half. Outputs stay whole."""
    if not any(n.op == "permute" and np.prod(n.shape) < _size(nodes, n) for n in nodes):
        return nodes, outputs
    return _Cutter(nodes, outputs).graph()


def _size(nodes: tuple[Node, ...], n: Node) -> int:
    return int(np.prod(nodes[n.inputs[0]].shape, dtype=np.int64))


def _picked(view: View, shape: tuple[int, ...]) -> list[tuple[int, int, int, int]] | None:
    """A view of a row-major tensor as one (length, axis, first, step) per axis of the view, axis
    -1 where it repeats; None where an axis of the view crosses axes of the tensor."""
    dense, rest, firsts = whole(shape).strides, view.offset, []
    for step in dense:
        firsts.append(rest // step)
        rest %= step
    found, seen = [], set()
    for n, stride in zip(view.shape, view.strides):
        if n == 1 or stride == 0:
            found.append((n, -1, 0, 0))
            continue
        axis = next((a for a, s in enumerate(dense) if shape[a] > 1 and s <= stride), None)
        if axis is None or axis in seen or stride % dense[axis]:
            return None
        step = stride // dense[axis]
        if firsts[axis] + (n - 1) * step >= shape[axis]:
            return None
        seen.add(axis)
        found.append((n, axis, firsts[axis], step))
    return found + [(1, a, firsts[a], 1) for a in range(len(shape)) if a not in seen]


class _Cutter:
    def __init__(self, nodes: tuple[Node, ...], outputs: tuple[tuple[str, int], ...]) -> None:
        self.nodes, self.outputs = nodes, outputs
        self.part: dict[int, Part | None] = {i: None for _, i in outputs}
        for n in reversed(nodes):
            if n.index not in self.part:
                continue  # nobody reads it
            part = self.part[n.index]
            if part is not None and (not self._cuts(n, part) or self._most(n, part)):
                part = self.part[n.index] = None
            for i, want in zip(n.inputs, self._reads(n, part)):
                self.part[i] = self._join(i, want) if i in self.part else want
        self.users: dict[int, list[Node]] = {}
        for n in nodes:
            for i in n.inputs:
                self.users.setdefault(i, []).append(n)
        self.new: list[Node] = []
        self.at: dict[tuple[int, Part | None], int] = {}

    # ---- which part of what is read

    @staticmethod
    def _most(n: Node, part: Part) -> bool:
        axis, first, end = part
        return 2 * (end - first) > n.shape[axis]

    def _join(self, value: int, want: Part | None) -> Part | None:
        have = self.part[value]
        if have is None or want is None or have[0] != want[0]:
            return None
        return have[0], min(have[1], want[1]), max(have[2], want[2])

    def _cuts(self, n: Node, part: Part) -> bool:
        """Whether a part of the result can be computed alone."""
        axis = part[0]
        if n.op in _ROWS:
            return axis < len(n.shape) - 1
        if n.op == "reshape":
            return self._before(n, part) is not None
        if n.op == "attention":
            plain = not (n.attrs["causal"] or n.attrs["window"] or n.weights)
            return plain and axis == len(n.shape) - 2
        return n.op in _EACH or n.op in ("broadcast", "permute")

    def _before(self, n: Node, part: Part) -> Part | None:
        """A part of a reshaped value as a part of what it was."""
        axis, first, end = part
        shape = self.nodes[n.inputs[0]].shape
        lead, length = np.prod(n.shape[:axis], dtype=np.int64), n.shape[axis]
        for b in range(len(shape)):
            if shape[b] == length and np.prod(shape[:b], dtype=np.int64) == lead:
                return b, first, end
        return None

    def _reads(self, n: Node, part: Part | None) -> list[Part | None]:
        """The part of every input that a part of the result rests on."""
        if n.op == "permute":
            picked = _picked(self._view(n, part), self.nodes[n.inputs[0]].shape)
            parts = [
                (axis, first, first + (length - 1) * step + 1)
                for length, axis, first, step in picked or ()
                if axis >= 0
            ]
            source = self.nodes[n.inputs[0]]
            few = [p for p in parts if not self._most(source, p)]
            return [min(few, key=lambda p: p[2] - p[1], default=None)]
        if part is None:
            return [None] * len(n.inputs)
        if n.op == "reshape":
            return [self._before(n, part)]
        if n.op == "attention":
            return [part] + [None] * (len(n.inputs) - 1)
        if n.op == "broadcast":
            return [self._operand(n, part, self.nodes[i].shape) for i in n.inputs]
        return [part] * len(n.inputs)

    @staticmethod
    def _operand(n: Node, part: Part, shape: tuple[int, ...]) -> Part | None:
        axis = part[0] - (len(n.shape) - len(shape))
        return (axis, *part[1:]) if axis >= 0 and shape[axis] > 1 else None

    @staticmethod
    def _view(n: Node, part: Part | None) -> View:
        """What a permute picks, or a part of it."""
        shape, strides = list(n.shape), tuple(n.attrs["strides"])
        offset = n.attrs["offset"]
        if part is not None:
            axis, first, end = part
            shape[axis], offset = end - first, offset + first * strides[axis]
        return View(tuple(shape), strides, offset)

    # ---- the graph of these parts

    def graph(self) -> tuple[tuple[Node, ...], tuple[tuple[str, int], ...]]:
        for n in self.nodes:
            if n.index in self.part or n.op == "input":
                part = self.part.get(n.index)
                self.at[n.index, part] = self._add(self._cut(n, part))
        found = tuple((name, self.at[i, None]) for name, i in self.outputs)
        return tuple(self.new), found

    def _add(self, n: Node) -> int:
        self.new.append(replace(n, index=len(self.new)))
        return len(self.new) - 1

    def _value(self, index: int, want: Part | None) -> int:
        """The new value that is this part of an old one; a slice where it is held longer."""
        key = index, want
        if key not in self.at:
            n, have = self.nodes[index], self.part[index]
            assert want is not None
            axis, first, end = want
            shape = self._shape(n.shape, have)
            strides = whole(shape).strides
            offset = (first - (have[1] if have else 0)) * strides[axis]
            shape = (*shape[:axis], end - first, *shape[axis + 1 :])
            attrs = {"strides": strides, "offset": offset}
            whence = (self.at[index, have],)
            part = Node(0, "permute", whence, shape, f"{n.name}_part", n.rank, attrs)
            self.at[key] = self._add(part)
        return self.at[key]

    @staticmethod
    def _shape(shape: tuple[int, ...], part: Part | None) -> tuple[int, ...]:
        if part is None:
            return shape
        axis, first, end = part
        return (*shape[:axis], end - first, *shape[axis + 1 :])

    def _cut(self, n: Node, part: Part | None) -> Node:
        if n.op == "permute":
            return self._columns(n, part) or self._permute(n, part)
        wants = self._reads(n, part)
        inputs = tuple(self._value(i, want) for i, want in zip(n.inputs, wants))
        if part is None:
            return replace(n, inputs=inputs)
        attrs, weights, shape = dict(n.attrs), n.weights, self._shape(n.shape, part)
        if n.op == "attention":
            attrs["queries"] = part[2] - part[1]
        elif n.op == "broadcast":
            from .ops.arithmetic import strides_of  # the families stand on this module

            tensors, sides = iter(self.new[i].shape for i in inputs), []
            for constant in attrs["constant"]:
                if constant:
                    held = weights["constant"]
                    own = self._operand(n, part, held.shape)
                    if own is not None:
                        cut = np.take(held, range(own[1], own[2]), own[0])
                        weights = {"constant": np.ascontiguousarray(cut)}
                    sides.append(weights["constant"].shape)
                else:
                    sides.append(next(tensors))
            attrs["strides"] = [strides_of(s, shape) for s in sides]
        return replace(n, inputs=inputs, shape=shape, attrs=attrs, weights=weights)

    def _permute(self, n: Node, part: Part | None) -> Node:
        """The same picks, over what is held of the input."""
        view, source = self._view(n, part), self.nodes[n.inputs[0]]
        have = self.part[source.index]
        strides, offset = list(view.strides), view.offset
        if have is not None:
            picked = _picked(view, source.shape)
            assert picked is not None  # else the input would be held whole
            dense = whole(self._shape(source.shape, have)).strides
            offset = 0
            for k, (_, axis, first, step) in enumerate(picked):
                if axis >= 0:
                    offset += (first - (have[1] if axis == have[0] else 0)) * dense[axis]
                if k < len(strides):
                    strides[k] = step * dense[axis] if axis >= 0 else 0
        attrs = {"strides": tuple(strides), "offset": offset}
        return replace(n, inputs=(self.at[source.index, have],), shape=view.shape, attrs=attrs)

    def _columns(self, n: Node, part: Part | None) -> Node | None:
        """A third of a fused projection as a linear layer of its own, where another third needs
        few of its rows (the questions of the last block)."""
        source = self.nodes[n.inputs[0]]
        users = self.users[source.index]
        if source.op != "linear" or self.part[source.index] is not None:
            return None
        if any(self._last(u) is None or u.index not in self.part for u in users):
            return None
        if all(self.part[u.index] is None for u in users):
            return None
        columns = self._last(n)
        if columns is None or (part is not None and part[0] == len(n.shape) - 1):
            return None
        return replace(
            source,
            inputs=(self._value(source.inputs[0], part),),
            shape=self._shape(n.shape, part),
            name=n.name,
            weights={key: w[slice(*columns)] for key, w in source.weights.items()},
        )

    def _last(self, n: Node) -> tuple[int, int] | None:
        """First and end of a slice of the last axis that keeps all else."""
        shape = self.nodes[n.inputs[0]].shape
        if n.op != "permute" or n.shape[:-1] != shape[:-1]:
            return None
        first = n.attrs["offset"]
        if tuple(n.attrs["strides"]) != whole(shape).strides or first + n.shape[-1] > shape[-1]:
            return None
        return first, first + n.shape[-1]
