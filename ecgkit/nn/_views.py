"""Attention reads and writes strided: slices, transposes and split heads around it need no copy."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ._graph import Node

MAX_ITEM_AXES = 3  # of the kernel


@dataclass(frozen=True)
class View:
    """Elements of a value by strides: ``shape``, floats between neighbours, the first one."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0


def whole(shape: Sequence[int]) -> View:
    """All of a row-major value."""
    strides, step = [], 1
    for s in reversed(shape):
        strides.append(step)
        step *= s
    return View(tuple(shape), tuple(reversed(strides)))


def _through(outer: View, inner: View) -> View | None:
    """``outer``, strides over a row-major tensor of ``inner``'s shape, as strides over what
    ``inner`` views; None where an axis crosses axes of ``inner`` that do not lie in a row."""
    dense = whole(inner.shape)
    offset, rest = inner.offset, outer.offset
    for n, step, stride in zip(inner.shape, dense.strides, inner.strides):
        if n > 1:
            offset += rest // step * stride
            rest %= step
    strides = []
    for n, stride in zip(outer.shape, outer.strides):
        if n == 1:
            strides.append(0)
            continue
        axes = [a for a, s in enumerate(inner.shape) if s > 1 and dense.strides[a] <= stride]
        if not axes or stride % dense.strides[axes[0]]:
            return None
        a = axes[0]
        k = stride // dense.strides[a]
        new, reach = k * inner.strides[a], (n - 1) * k + 1
        while reach > inner.shape[a]:  # on into the axis before it
            before = max((b for b in range(a) if inner.shape[b] > 1), default=None)
            if before is None or inner.strides[before] != inner.shape[a] * inner.strides[a]:
                return None
            reach = -(-reach // inner.shape[a])
            a = before
        strides.append(new)
    return View(outer.shape, tuple(strides), offset)


def _source(nodes: dict[int, Node], value: int) -> tuple[int, View]:
    """The value that is read when slices, transposes and reshapes on the way are views."""
    view = whole(nodes[value].shape)
    while True:
        n = nodes[value]
        if n.op == "permute":
            inner = View(n.shape, tuple(n.attrs["strides"]), n.attrs["offset"])
            through = _through(view, inner)
            if through is None:
                return value, view
            view = through
        elif n.op != "reshape":
            return value, view
        value = n.inputs[0]


def _split(view: View, heads: int, grid: int) -> tuple[View, View] | None:
    """Lead axes as one view; token and head strides as another; None if they have no such form."""
    shape, strides = view.shape, view.strides
    width = shape[-1] // heads
    if shape[-1] > 1 and strides[-1] != 1:
        return None
    token = strides[-2]
    if grid and shape[-3] > 1:
        if shape[-2] > 1 and strides[-3] != shape[-2] * token:
            return None
        token = token if shape[-2] > 1 else strides[-3]
    lead = len(shape) - 2 - (1 if grid else 0)
    return View(shape[:lead], strides[:lead]), View((0, heads), (token, width), view.offset)


def _items(shape: tuple[int, ...], views: list[View]) -> list[tuple[int, tuple[int, ...]]] | None:
    """Lead axes merged where all views allow it: (length, stride per view) each, three of them."""
    axes: list[tuple[int, tuple[int, ...]]] = []
    for a, n in enumerate(shape):
        if n == 1:
            continue
        steps = tuple(v.strides[a] for v in views)
        if axes and all(s == n * t for s, t in zip(axes[-1][1], steps)):
            axes[-1] = (axes[-1][0] * n, steps)
        else:
            axes.append((n, steps))
    if len(axes) > MAX_ITEM_AXES:
        return None
    return [(1, (0,) * len(views))] * (MAX_ITEM_AXES - len(axes)) + axes


@dataclass(frozen=True)
class Access:
    """How the kernel reads q, k, v and writes its result: item axes as (length, strides of the
    four and of the key mask); then of each of the four offset, token stride and head stride."""

    items: tuple[tuple[int, tuple[int, ...]], ...]
    views: tuple[tuple[int, ...], ...]


def access(n: Node, views: Sequence[View], keep: tuple[int, ...] | None) -> Access | None:
    """None: the views are not what the kernel can follow."""
    grid = len(n.attrs["window"])
    parts = [_split(v, n.attrs["heads"], grid) for v in views]
    if any(p is None for p in parts):
        return None
    pairs = [p for p in parts if p is not None]
    lead = pairs[0][0].shape
    none = View(lead, (0,) * len(lead))
    mask = none if keep is None or len(keep) == 1 else View(lead, whole(keep).strides[:-1])
    if grid:  # one axis of pictures, then the windows, which the kernel finds itself
        axes = _items(lead, [p[0] for p in pairs] + [none])
        if axes is None or any(n > 1 for n, _ in axes[:-1]):
            return None
        windows = 1
        for size, w in zip(n.shape[-3:-1], n.attrs["window"]):
            windows *= size // w
        axes = [axes[-1], (windows, (0,) * 5), (1, (0,) * 5)]
    else:
        axes = _items(lead, [p[0] for p in pairs] + [mask])
        if axes is None:
            return None
    return Access(tuple(axes), tuple((p[1].offset, *p[1].strides) for p in pairs))


def absorb(alive: list[Node], keep: set[int]) -> list[Node]:
    """Let every attention read through the slices, transposes and reshapes before it and write
    through the transpose behind it; drop what nobody reads any more."""
    nodes = {n.index: n for n in alive}
    if not any(n.op == "attention" for n in alive):
        return alive
    users: dict[int, list[int]] = {}
    for n in alive:
        for i in n.inputs:
            users.setdefault(i, []).append(n.index)
    for n in alive:
        if n.op != "attention":
            continue
        mask = nodes[n.inputs[3]].shape if len(n.inputs) > 3 else None
        read = [_source(nodes, i) for i in n.inputs[:3]]
        end, out = _behind(nodes, users, keep, n)
        views = [v for _, v in read]
        target, found = end, access(n, [*views, out], mask)
        if found is None:
            target, found = n, access(n, [*views, whole(n.shape)], mask)
        if found is None:
            continue
        sources = (*(i for i, _ in read), *n.inputs[3:])
        nodes.pop(n.index)
        nodes[target.index] = replace(
            n,
            index=target.index,
            inputs=sources,
            shape=target.shape,
            attrs={**n.attrs, "access": found, "tokens": n.shape},
        )
    needed, stack = set(), list(keep)
    while stack:
        i = stack.pop()
        if i not in needed:
            needed.add(i)
            stack += nodes[i].inputs
    return [n for _, n in sorted(nodes.items()) if n.op == "input" or n.index in needed]


def _behind(nodes, users, keep, n: Node) -> tuple[Node, View]:
    """The transpose right behind an attention, and where in it the attention's numbers go."""
    stay = n, whole(n.shape)
    after = users.get(n.index, [])
    if n.index in keep or len(after) != 1 or nodes[after[0]].op != "permute":
        return stay
    p = nodes[after[0]]
    strides = p.attrs["strides"]
    if np.prod(p.shape) != np.prod(n.shape) or p.attrs["offset"]:
        return stay
    dense, to = whole(n.shape), whole(p.shape)
    back = []
    for size, step in zip(n.shape, dense.strides):
        axes = [a for a, s in enumerate(strides) if s == step and p.shape[a] == size]
        if not axes and size > 1:
            return stay
        back.append(to.strides[axes[0]] if size > 1 else 0)
    return p, View(n.shape, tuple(back))
