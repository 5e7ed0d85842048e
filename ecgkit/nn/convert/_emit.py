"""From the ops of a framework's graph to builder calls: shapes and arithmetic.

Every method takes and returns :class:`Value`; axes and shapes are those of the graph.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NoReturn

import numpy as np

from ...errors import LayoutError
from .._compiled import CompiledProgram
from .._graph import Node, Tensor
from ..program import Program
from ._names import unique
from ._value import Frame, Refusal, Value, constant

MOST = 1 << 31  # numbers of a value
_JOINED = 7  # tensors that one concatenation of the engine takes


@dataclass(frozen=True)
class Fixed:
    """Why a converted network takes no other lengths: its graph has them written into it."""

    how: str

    def __call__(self, shapes: Mapping[str, tuple[int, ...]]) -> NoReturn:
        raise LayoutError(f"it was converted for these lengths alone; {self.how} again for others")


class Emitter(Frame):
    """Adds the ops of a graph to a program."""

    def __init__(self, program: Program, batch: int):
        super().__init__(batch)
        self.p = program

    # ---- plumbing

    def compile(self, how: str) -> CompiledProgram:
        """The program; ``how`` says what to call for other lengths."""
        program = self.p.compile()
        program._resized = Fixed(how)
        return program

    def tensor(self, v: Value) -> Tensor:
        """The program's tensor of a value."""
        if v.tensor is None:
            raise Refusal("a constant stands where the network's values are wanted")
        return v.tensor

    def value(self, t: Tensor, shape: Sequence[int], axis: int | None, outer: int = 1) -> Value:
        """A new value, its shape checked against the program's."""
        self.bounded(t.shape)
        v = Value(tuple(int(s) for s in shape), tensor=t, axis=axis, outer=outer)
        if self.sample(v) != t.shape:
            raise AssertionError(f"{v} does not have the sample shape {t.shape}")
        return v

    @staticmethod
    def bounded(shape: Sequence[int]) -> None:
        """Refuse sizes that no network means, before memory is taken for them."""
        if prod(shape) > MOST:
            raise Refusal(f"a value of shape {tuple(shape)}", f"at most {MOST} numbers")

    def like(self, v: Value, t: Tensor) -> Value:
        """A value of the same shape."""
        return self.value(t, v.shape, v.axis, v.outer)

    def rename(self, added: Sequence[Node], label: str) -> None:
        """Call the last of some new layers ``label``, the ones before it after it and their op."""
        names = self.p._names
        names -= {n.name for n in added}
        for node in (added[-1], *added[:-1]):
            node.name = unique(label if node is added[-1] else f"{label}.{node.op}", names)
            names.add(node.name)

    @staticmethod
    def weights(what: str, v: Value | None) -> Any:
        """The numbers of a constant, which ``what`` must be."""
        if v is None:
            return None
        if v.const is None:
            raise Refusal(
                f"{what} is computed by the network, not a constant",
                "only stored weights can be packed",
            )
        return v.const

    # ---- shapes

    def reshape(self, v: Value, shape: Sequence[int]) -> Value:
        """The same numbers in another shape; one axis may be -1."""
        shape = _resolve(v.shape, shape)
        if v.const is not None:
            return constant(v.const.reshape(shape))
        if v.shape == shape:
            return v
        if v.axis is None:
            return self.value(self.p.reshape(self.tensor(v), shape), shape, None)
        axis, outer = self.place(shape, self.digit(v))
        out = Value(shape, axis=axis, outer=outer)
        t = self.tensor(v)
        if t.shape != self.sample(out):
            t = self.p.reshape(t, self.sample(out))
        return self.value(t, shape, axis, outer)

    def squeeze(self, v: Value, ds: Sequence[int]) -> Value:
        """Axes of length 1 disappear; others among ``ds`` stay."""
        gone = {self.wrap(v, d) for d in ds}
        gone = {d for d in gone if v.shape[d] == 1 and d != v.axis}
        shape = tuple(s for d, s in enumerate(v.shape) if d not in gone)
        if v.const is not None:
            return constant(v.const.reshape(shape))
        axis = None if v.axis is None else v.axis - sum(d < v.axis for d in gone)
        return self._renamed(v, shape, axis)

    def unsqueeze(self, v: Value, ds: Sequence[int]) -> Value:
        """New axes of length 1, counted in the result."""
        n = len(v.shape) + len(ds)
        if any(not -n <= d < n for d in ds) or len({d % n for d in ds}) != len(ds):
            raise Refusal(f"axes {tuple(ds)} cannot be added to shape {v.shape}")
        new = {d % n for d in ds}
        old = iter(range(len(v.shape)))
        source = [None if d in new else next(old) for d in range(n)]
        shape = tuple(1 if s is None else v.shape[s] for s in source)
        if v.const is not None:
            return constant(v.const.reshape(shape))
        axis = None if v.axis is None else source.index(v.axis)
        return self._renamed(v, shape, axis)

    def _renamed(self, v: Value, shape: tuple[int, ...], axis: int | None) -> Value:
        """The same numbers where only axes of length 1 came or went."""
        out = Value(shape, axis=axis, outer=v.outer)
        t = self.tensor(v)
        if t.shape != self.sample(out):
            t = self.p.reshape(t, self.sample(out))
        return self.value(t, shape, axis, v.outer)

    def flatten(self, v: Value, start: int = 0, end: int = -1) -> Value:
        """Axes ``start`` to ``end`` (inclusive) become one."""
        start, end = self.wrap(v, start), self.wrap(v, end)
        middle = prod(v.shape[start : end + 1])
        return self.reshape(v, (*v.shape[:start], middle, *v.shape[end + 1 :]))

    def permute(self, v: Value, order: Sequence[int]) -> Value:
        """Axes in another order."""
        order = [self.wrap(v, d) for d in order]
        if sorted(order) != list(range(len(v.shape))):
            raise Refusal(f"axes {tuple(order)} do not permute shape {v.shape}")
        if v.const is not None:
            return constant(v.const.transpose(order))
        shape = tuple(v.shape[d] for d in order)
        axis = None if v.axis is None else order.index(v.axis)
        if order == list(range(len(order))):
            return v
        kept = [self.axis(v, d) if d != v.axis else d for d in order]
        if self.dropped(v):
            kept = [self.axis(v, d) for d in order if d != v.axis]
        t = self.tensor(v)
        if kept != list(range(len(kept))):
            t = self.p.transpose(t, kept)
        return self.value(t, shape, axis, v.outer)

    def leading(self, v: Value) -> Value:
        """The batch's axis in front."""
        if v.axis is None:
            return v
        order = [d for d in range(len(v.shape)) if d != v.axis]
        return self.permute(v, [v.axis, *order])

    def slice(self, v: Value, d: int, start: int, stop: int, step: int = 1) -> Value:
        """``v[..., start:stop:step, ...]`` along axis ``d``, as Python's slices."""
        d = self.wrap(v, d)
        n = v.shape[d]
        picked = range(*slice(start, stop, step).indices(n))
        if picked == range(n):
            return v
        shape = (*v.shape[:d], len(picked), *v.shape[d + 1 :])
        if v.const is not None:
            return constant(v.const[(slice(None),) * d + (slice(start, stop, step),)])
        if not picked:
            raise Refusal(f"the slice {start}:{stop}:{step} of axis {d} of {v.shape} is empty")
        at = self.axis(v, d, "the slice")
        if step < 0:
            return self.take(v, np.array(picked), d)
        t = self.p.slice(self.tensor(v), at, start, stop, step)
        return self.value(t, shape, v.axis, v.outer)

    def select(self, v: Value, d: int, index: int) -> Value:
        """One entry of axis ``d``, which disappears."""
        d = self.wrap(v, d)
        if not -v.shape[d] <= index < v.shape[d]:
            raise Refusal(f"index {index} is outside axis {d} of {v.shape}")
        if v.const is not None:
            return constant(v.const.take(index, d))
        t = self.p.select(self.tensor(v), index, self.axis(v, d, "the index"))
        axis = None if v.axis is None else v.axis - (d < v.axis)
        return self.value(t, (*v.shape[:d], *v.shape[d + 1 :]), axis, v.outer)

    def take(self, v: Value, index: np.ndarray, d: int) -> Value:
        """Entries ``index`` (constants, any shape) of axis ``d``, in its place."""
        d = self.wrap(v, d)
        index = np.asarray(index)
        if v.const is not None:
            return constant(v.const.take(index, d))
        n = v.shape[d]
        if not index.size or index.min() < -n or index.max() >= n:
            raise Refusal(f"an index is outside axis {d} of {v.shape}")
        at = self.axis(v, d, "the index")
        t = self.p.index_select(self.tensor(v), at, (index.reshape(-1) % n).tolist())
        shape = (*v.shape[:d], index.size, *v.shape[d + 1 :])
        out = self.value(t, shape, v.axis, v.outer)
        if index.ndim == 1:
            return out
        return self.reshape(out, (*v.shape[:d], *index.shape, *v.shape[d + 1 :]))

    def concat(self, vs: Sequence[Value], d: int) -> Value:
        """Values one after the other along axis ``d``."""
        vs = [v for v in vs if v.shape != (0,)]
        if all(v.const is not None for v in vs):
            return constant(np.concatenate([v.const for v in vs], d))  # type: ignore[misc]
        if len(vs) == 1:
            return vs[0]
        like = next(v for v in vs if v.const is None)
        d = self.wrap(like, d)
        at = self.axis(like, d, "the concatenation")
        shapes = [(*v.shape[:d], *v.shape[d + 1 :]) for v in vs]
        if len(set(shapes)) != 1:
            raise Refusal(f"shapes {[v.shape for v in vs]} differ beside axis {d}")
        if any(v.const is None and (v.axis, v.outer) != (like.axis, like.outer) for v in vs):
            raise Refusal("the tensors hold the batch in different places")
        parts = [self.tensor(self.materialise(v, like)) for v in vs]
        while len(parts) > 1:
            parts = [self.p.concat(parts[:_JOINED], at), *parts[_JOINED:]]
        (t,) = parts
        shape = (*like.shape[:d], sum(v.shape[d] for v in vs), *like.shape[d + 1 :])
        return self.value(t, shape, like.axis, like.outer)

    def materialise(self, v: Value, like: Value) -> Value:
        """A constant as a tensor of the program, its batch where ``like`` has it."""
        if v.const is None:
            return v
        a = np.asarray(self.strip(v, like, v.shape), np.float32)
        return self.value(self.p.constant(a), v.shape, like.axis, like.outer)

    def expand(self, v: Value, size: Sequence[int]) -> Value:
        """Axes of length 1 repeated; -1 keeps a length."""
        more = len(size) - len(v.shape)
        given = (1,) * more + v.shape
        shape = tuple(g if s == -1 else int(s) for s, g in zip(size, given))
        self.bounded(shape)
        if more < 0 or any(s != g and g != 1 for s, g in zip(shape, given)):
            raise Refusal(f"{v.shape} does not expand to {tuple(size)}")
        v = self.unsqueeze(v, range(more)) if more else v
        if v.const is not None:
            return constant(np.broadcast_to(v.const, shape))
        if shape == v.shape:
            return v
        target = self.sample(v, shape)
        return self.value(self.p.expand(self.tensor(v), target), shape, v.axis, v.outer)

    def repeat(self, v: Value, times: Sequence[int]) -> Value:
        """The whole tensor several times along each axis; more times than axes add axes."""
        more = len(times) - len(v.shape)
        v = self.unsqueeze(v, range(more)) if more > 0 else v
        self.bounded([s * max(int(r), 0) for s, r in zip(v.shape, times)])
        for d, r in enumerate(times):
            if r != 1:
                v = self.take(v, np.tile(np.arange(v.shape[d]), r), d)
        return v

    # ---- arithmetic

    def function(self, kind: str, v: Value, *args: Any) -> Value:
        """A function of single numbers, by the builder's name."""
        return self.like(v, getattr(self.p, kind)(self.tensor(v), *args))

    def binary(self, kind: str, a: Value, b: Value) -> Value:
        """``add subtract multiply divide ...``: NumPy's broadcasting."""
        try:
            shape = np.broadcast_shapes(a.shape, b.shape)
        except ValueError as error:
            raise Refusal(f"shapes {a.shape} and {b.shape} do not broadcast") from error
        places = {
            (v.axis + len(shape) - len(v.shape), v.outer) if v.axis is not None else (None, 1)
            for v in (a, b)
            if v.const is None
        }
        if len(places) != 1:
            raise Refusal(
                f"shapes {a.shape} and {b.shape} hold the batch in different places",
                "align the batch axes before the sum or product",
            )
        axis, outer = places.pop()
        like = Value(shape, axis=axis, outer=outer)
        operands = [
            v.tensor if v.const is None else np.asarray(self.strip(v, like, shape), np.float32)
            for v in (a, b)
        ]
        call: Callable = getattr(self.p, kind)
        return self.value(call(*operands), shape, axis, outer)

    def where(self, mask: Value, x: Value, y: Value) -> Value:
        """``x`` where a constant mask is set, ``y`` elsewhere."""
        m = self.weights("the mask", mask).astype(bool)
        if x.const is not None and y.const is not None:
            return constant(np.where(m, x.const, y.const))
        if x.const is not None:
            m, x, y = ~m, y, x
        try:
            shape = np.broadcast_shapes(m.shape, x.shape, y.shape)
        except ValueError as error:
            raise Refusal(f"{m.shape}, {x.shape} and {y.shape} do not broadcast") from error
        x = self.expand(x, shape)
        on = np.broadcast_to(self.strip(constant(m), x, shape), self.sample(x)).reshape(-1)
        parts, index, fill = [self._line(x)], np.arange(on.size), 0.0
        if y.const is not None and y.const.size == 1:
            index, fill = np.where(on, index, -1), float(y.const.reshape(()))
        else:
            other = self.expand(y, shape)
            if y.const is None and (other.axis, other.outer) != (x.axis, x.outer):
                raise Refusal("the tensors hold the batch in different places")
            parts.append(self._line(self.materialise(other, x)))
            index = np.where(on, index, index + on.size)
        line = self.p.concat(parts, 0) if len(parts) > 1 else parts[0]
        t = self.p.reshape(self.p.gather_axis(line, 0, index, fill=fill), self.sample(x))
        return self.like(x, t)

    def _line(self, v: Value) -> Tensor:
        """All numbers of a sample on one axis."""
        t = self.tensor(v)
        return self.p.reshape(t, (prod(t.shape),))

    def reduce(
        self, kind: str, v: Value, ds: Sequence[int] | None, keep: bool, **options: Any
    ) -> Value:
        """``mean sum max min var std`` over axes (None: all)."""
        ds = range(len(v.shape)) if ds is None else ds
        gone = {self.wrap(v, d) for d in ds}
        at = self.axes(v, sorted(gone), f"the {kind}")
        if not gone:
            return v
        t = getattr(self.p, kind)(self.tensor(v), at, **options)
        left = tuple(s for d, s in enumerate(v.shape) if d not in gone)
        axis = None if v.axis is None else v.axis - sum(d < v.axis for d in gone)
        out = self.value(t, left, axis, v.outer)
        return self.unsqueeze(out, sorted(gone)) if keep else out

    def softmax(self, v: Value, d: int, logarithm: bool = False) -> Value:
        """exp over its sum along axis ``d``."""
        self.axis(v, d, "softmax")
        call = self.p.log_softmax if logarithm else self.p.softmax
        d, n = self.wrap(v, d), len(v.shape)
        if d == n - 1:
            return self.like(v, call(self.tensor(v)))
        order = [*range(d), *range(d + 1, n), d]
        turned = self.permute(v, order)
        out = self.like(turned, call(self.tensor(turned)))
        return self.permute(out, [order.index(i) for i in range(n)])

    def pad(self, v: Value, pad: Sequence[int], mode: str, fill: float) -> Value:
        """``torch.nn.functional.pad``: (before, after) of the last axis, the one before it, ..."""
        pad = tuple(int(p) for p in pad)
        while pad[-2:] == (0, 0):
            pad = pad[:-2]
        if not pad:
            return v
        at = [self.axis(v, -1 - i, "the padding") for i in range(len(pad) // 2)]
        self.bounded([n + sum(map(abs, pad)) for n in v.shape])
        t = self.p.pad(self.tensor(v), pad, mode, fill)
        shape = list(v.shape)
        for i in range(len(at)):
            shape[-1 - i] += pad[2 * i] + pad[2 * i + 1]
        return self.value(t, shape, v.axis, v.outer)


def _resolve(old: Sequence[int], new: Sequence[int]) -> tuple[int, ...]:
    """A shape with its -1 filled in."""
    new = tuple(int(s) for s in new)
    known, count = prod(s for s in new if s != -1), prod(old)
    if new.count(-1) > 1 or (known and count % known) or (-1 not in new and known != count):
        raise Refusal(f"{tuple(old)} does not reshape to {new}")
    return tuple(count // known if s == -1 and known else s for s in new)
