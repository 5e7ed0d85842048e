"""Graph rewrites before fusing: zeros around a convolution become its padding, and the end of a
residual block with squeeze and excite becomes one ``merge``."""

from dataclasses import replace

import numpy as np

from ._graph import Node


def _zeros(n: Node, axis: int) -> tuple[int, int] | None:
    """How many zeros a node puts before and after an axis (counted from the end), if that is all
    it does."""
    if n.op != "gather" or n.weights or n.attrs["fill"] != 0 or n.attrs["axis"] != axis:
        return None
    inside = np.flatnonzero(n.attrs["index"] >= 0)
    before, count = int(inside[0]) if len(inside) else 0, len(inside)
    table = n.attrs["index"][before : before + count]
    if not count or not np.array_equal(table, np.arange(count)):
        return None
    return before, len(n.attrs["index"]) - before - count


class _Rewriter:
    def __init__(self, alive: list[Node], keep: set[int]) -> None:
        self.nodes, self.keep = {}, keep
        self.users: dict[int, list[int]] = {}
        same: dict[int, int] = {}
        for n in alive:
            n = replace(n, inputs=tuple(same[i] for i in n.inputs))
            nothing = n.index not in keep and n.op == "gather" and _zeros(n, n.attrs["axis"])
            same[n.index] = n.inputs[0] if nothing == (0, 0) and self._whole(n) else n.index
            self.nodes[n.index] = n
        for n in self.nodes.values():
            for i in n.inputs if same[n.index] == n.index else ():
                self.users.setdefault(i, []).append(n.index)

    def _whole(self, n: Node) -> bool:
        """Whether a node that puts zeros around an axis keeps all of it."""
        axis = n.attrs["axis"]
        count = n.shape[axis] - sum(_zeros(n, axis) or (0, 0))
        return self.nodes[n.inputs[0]].shape[axis] == count

    def own(self, index: int) -> bool:
        """Whether one node alone reads a value."""
        return index not in self.keep and len(self.users.get(index, ())) == 1

    def padded(self, index: int, axis: int) -> tuple[int, int, int]:
        """A value before zeros were put around an axis, and how many before and after."""
        n = self.nodes[index]
        found = _zeros(n, axis % len(n.shape)) if n.shape else None
        return (n.inputs[0], *found) if found and self._whole(n) else (index, 0, 0)

    def convolution(self, n: Node) -> None:
        source, pads = n.inputs[0], list(n.attrs["pads"])
        again = True
        while again:
            again = False
            for i in range(n.rank):
                value, before, after = self.padded(source, i - n.rank)
                if value != source:
                    pads[i] = (pads[i][0] + before, pads[i][1] + after)
                    source, again = value, True
        if source != n.inputs[0]:
            attrs = {**n.attrs, "pads": tuple(pads)}
            self.nodes[n.index] = replace(n, inputs=(source, *n.inputs[1:]), attrs=attrs)

    def gated(self, index: int) -> tuple[int, int, int] | None:
        """The picture, the factor per channel and the rank, where a value is their product."""
        n = self.nodes[index]
        if n.op != "broadcast" or n.attrs["kind"] != "multiply" or len(n.inputs) != 2:
            return None
        for x, other in (n.inputs, n.inputs[::-1]):
            rank = min(2, self.nodes[x].rank)
            shape = self.nodes[x].shape
            per_channel = (*shape[: len(shape) - rank], *(1,) * rank)
            if rank and n.shape == shape and self.nodes[other].shape == per_channel:
                return x, other, rank
        return None

    def shortcut(self, index: int, rank: int) -> tuple[int, int, bool]:
        """What a shortcut reads, its first channel, and whether pairs of positions are pooled."""
        value, before = index, 0
        if self.own(value):
            value, before, _ = self.padded(value, -rank - 1)
        n = self.nodes[value]
        halves = n.op == "pool" and n.rank == rank == 1 and n.attrs["kind"] == "max"
        if halves and n.attrs["kernel"] == n.attrs["stride"] == (2,) and self.own(value):
            source, first, after = self.padded(n.inputs[0], -1)
            plain = n.attrs["pads"] == ((0, 0),) and n.attrs["dilation"] == (1,)
            if plain and (first, after) == (0, 1) and self.own(n.inputs[0]):
                return source, before, True
        return value, before, False

    def merge(self, n: Node) -> None:
        for product, other in (n.inputs, n.inputs[::-1]):
            found = self.gated(product)
            if found is None or not self.own(product) or product == other:
                continue
            x, factor, rank = found
            source, before, pool = self.shortcut(other, rank)
            twin = next(
                (
                    self.nodes[u]
                    for u in self.users.get(n.index, ())
                    if self.nodes[u].op == "act" and u not in self.keep
                ),
                None,
            )
            attrs = {"before": before, "pool": pool, "act": "none", "slope": 0.0}
            if twin is not None and not self.own(n.index):
                attrs |= {"act": twin.attrs["kind"], "slope": twin.attrs["slope"]}
                self.nodes[twin.index] = replace(twin, op="merge_twin", attrs={})
            self.nodes[n.index] = replace(
                n, op="merge", inputs=(x, factor, source), rank=rank, attrs=attrs
            )
            return


def rewrite(alive: list[Node], keep: set[int]) -> list[Node]:
    """The nodes with both rewrites done, without those that nobody reads any more."""
    r = _Rewriter(alive, keep)
    for n in list(r.nodes.values()):
        if n.op in ("conv1d", "conv2d"):
            r.convolution(n)
        elif n.op == "binary" and n.attrs["kind"] == "add":
            r.merge(n)
    needed, stack = set(), list(keep)
    while stack:
        i = stack.pop()
        if i not in needed:
            needed.add(i)
            stack += r.nodes[i].inputs
    return [r.nodes[n.index] for n in alive if n.op == "input" or n.index in needed]
