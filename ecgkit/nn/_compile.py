"""From steps to the C engine's program: layouts, borders, the arena's plan."""

from dataclasses import dataclass

import numpy as np

from .._typing import F32
from ._fuse import fuse, without_names
from ._graph import ACTIVATIONS, Node
from ._needed import needed
from ._op import LANES, NO_BORDER, OPS, Form, Step, flat
from ._shortcuts import rewrite
from ._views import absorb


@dataclass
class Storage:
    """A stretch of the arena, or (slot > 0) an array of the caller."""

    size: int
    slot: int = 0
    offset: int = 0
    born: int = 0
    dies: int = 0


@dataclass
class Plan:
    """What the C engine is built from, and what a table of layers says."""

    bufs: list[tuple[int, ...]]
    steps: list[tuple]
    rows: list[dict]
    arena: int
    slots: int


class Planner:
    """Turns a graph into steps. What an emitter of :mod:`ecgkit.nn.ops` uses:

    ``nodes``, ``native`` (how a value lies where its step wrote it), ``width`` (floats in a
    vector); :meth:`sources`, :meth:`target`, :meth:`scratch`, :meth:`side` for buffers;
    :meth:`act` and :meth:`emit`.
    """

    def __init__(
        self, nodes: tuple[Node, ...], outputs: tuple[tuple[str, int], ...], width: int
    ) -> None:
        self.nodes, self.width = nodes, width
        self.alive, keep, same = without_names(nodes, outputs)
        self.alive = rewrite(absorb(self.alive, keep), keep)
        self.steps, self.alias = fuse(self.alive, keep)
        self.outputs = [same[i] for _, i in outputs]
        self.native: dict[int, Form] = {}
        self.border: dict[tuple[int, Form], list[int]] = {}
        self.storage: dict[tuple[int, Form | None], Storage] = {}
        self.ready: set[tuple[int, Form | None]] = set()  # keys of storage that a step has written
        self.bufs: list[tuple[Storage, Form, tuple[int, ...]]] = []
        self.emitted: list[tuple] = []
        self.rows: list[dict] = []
        self.given = [n for n in self.alive if n.op == "input" or OPS[n.op].side]
        self.sides = {(n.inputs[0], n.op): n.index for n in self.given if n.op != "input"}

    # ---- for emitters

    def reshaped(self, step: Step) -> bool:
        """Whether an input is seen through a reshape, so that its picture's axes mean something
        else."""
        return any(self.nodes[i].op == "reshape" for i in step.node.inputs)

    def sources(self, step: Step) -> list[int]:
        """Buffers of what the step reads, in the forms it asked for."""
        return [self._reading(v, f) for v, f, _ in step.reads]

    def target(self, step: Step, form: Form | None = None) -> int:
        """The buffer the step writes; ``form``: the same plain memory, seen otherwise."""
        index = self._buf(step.output, step.out)
        if form is not None:
            self.bufs[index] = (self.bufs[index][0], form, NO_BORDER)
        return index

    def scratch(self, floats: int) -> int:
        """A plain buffer between two steps of one layer."""
        storage = Storage(floats, born=len(self.emitted))
        self.bufs.append((storage, Form(1, 1, 1, floats, 1), NO_BORDER))
        return len(self.bufs) - 1

    def side(self, node: int, op: str) -> int | None:
        """The buffer of a side output, if somebody uses it."""
        index = self.sides.get((node, op))
        return None if index is None else self._buf(index, self.native[index])

    @staticmethod
    def act(step: Step) -> tuple[int]:
        """The fused activation's number in C; its parameter is ``step.slope``."""
        return (ACTIVATIONS[step.act],)

    def emit(
        self,
        step: Step,
        op: str,
        bufs,
        ints=(),
        reals=(),
        arrays: tuple[F32, ...] = (),
        *,
        what: str = "",
        macs: int = 0,
        name: str | None = None,
        shape: tuple[int, ...] | None = None,
    ) -> None:
        """Add a step of the C engine.

        Parameters
        ----------
        op, bufs, ints, reals, arrays
            As the comment above the op's ``init`` in C says; a buffer of None is absent.
        what : str
            The kernel, for the table of layers.
        macs : int
            Multiply-adds of one sample.
        name, shape : optional
            For the table; default: the layers that the step stands for and what they return.
        """
        label = "+".join(self.nodes[i].name for i in step.members) if name is None else name
        of = self.nodes[step.output].shape if shape is None else shape
        self._emit(op, bufs, ints, reals, arrays, (label, of), what, macs)

    # ---- first pass: native forms and borders

    def survey(self) -> None:
        for n in self.given:
            self.native[n.index] = flat(n.shape)
        for step in self.steps:
            step.reads, step.out = OPS[step.node.op].forms(self, step)
            self.native[step.output] = step.out
            for value, form, need in step.reads:
                have = self.border.setdefault((value, form), [0, 0, 0, 0])
                self.border[value, form] = [max(a, b) for a, b in zip(have, need)]

    # ---- second pass: buffers and steps

    @staticmethod
    def _key(value: int, form: Form) -> tuple[int, Form | None]:
        return value, None if form.lanes == 1 and not form.bordered else form

    def _buf(self, value: int, form: Form) -> int:
        """Index of a buffer description over the value's storage in this form."""
        border = (
            tuple(self.border.get((value, form), (0, 0, 0, 0)))
            if form.lanes == LANES or form.bordered
            else (0, 0, 0, 0)
        )
        key = self._key(value, form)
        if key not in self.storage:
            top, bottom, left, right = border
            blocks = form.c if form.lanes == 1 else -(-form.c // LANES)
            size = (
                form.items * blocks * (top + form.h + bottom) * (left + form.w + right) * form.lanes
            )
            self.storage[key] = Storage(size, born=len(self.emitted))
        self.bufs.append((self.storage[key], form, border))
        return len(self.bufs) - 1

    def _reading(self, value: int, form: Form) -> int:
        """A buffer that holds the value in this form; a copy is emitted where none does yet."""
        key = self._key(value, form)
        if key not in self.ready:
            source = self.native[value]
            if (source.items, source.c, source.h, source.w) != (form.items, form.c, form.h, form.w):
                if source.lanes == LANES:  # through plain memory
                    self._reading(value, Form(source.items, source.c, source.h, source.w, 1))
                source = Form(form.items, form.c, form.h, form.w, 1)
        if key not in self.ready:
            self.ready.add(key)
            self._emit(
                "layout",
                [self._buf(value, source), self._buf(value, form)],
                (),
                (),
                (),
                (self.nodes[value].name, self.nodes[value].shape),
                "copy into the layout wanted next",
            )
        return self._buf(value, form)

    def _emit(
        self, op, bufs, ints, reals, arrays, label: tuple[str, tuple], what: str, macs: int = 0
    ) -> None:
        at = len(self.emitted)
        for b in bufs:
            if b is not None:
                self.bufs[b][0].dies = max(self.bufs[b][0].dies, at)
        self.emitted.append(
            (
                op,
                tuple(bufs),
                tuple(int(i) for i in ints),
                tuple(float(r) for r in reals),
                tuple(arrays),
            )
        )
        self.rows.append(
            {
                "name": label[0],
                "op": op,
                "kernel": what,
                "shape": label[1],
                "macs": macs,
                "bytes": sum(a.nbytes for a in arrays),
            }
        )

    def build(self) -> Plan:
        self.survey()
        slot = 0
        for n in self.nodes:
            if n.op == "input":
                slot += 1
                self.storage[n.index, None] = Storage(int(np.prod(n.shape, dtype=np.int64)), slot)
        late = []
        for index in self.outputs:
            slot += 1
            value, size = self.alias[index], int(np.prod(self.nodes[index].shape, dtype=np.int64))
            if (value, None) in self.storage:
                late.append((value, slot, size))  # an input, or an output twice: copied at the end
            else:
                self.storage[value, None] = Storage(size, slot)
        self.ready |= {self._key(n.index, self.native[n.index]) for n in self.given}
        for step in self.steps:
            emit = OPS[step.node.op].emit
            assert emit is not None, step.node.op
            emit(self, step)
            self.ready.add(self._key(step.output, step.out))
        for index in self.outputs:
            source = self.native[self.alias[index]]
            self._reading(self.alias[index], Form(source.items, source.c, source.h, source.w, 1))
        for value, to, size in late:
            flat = Form(1, 1, 1, size, 1)
            held = self._buf(value, flat)
            self.bufs.append((Storage(size, to), flat, (0, 0, 0, 0)))
            self._emit(
                "layout",
                [held, len(self.bufs) - 1],
                (),
                (),
                (),
                (self.nodes[value].name, self.nodes[value].shape),
                "copy to the output",
            )
        arena = _place([s for s in {id(b[0]): b[0] for b in self.bufs}.values() if s.slot == 0])
        bufs = [
            (s.slot, s.offset, f.items, f.c, f.h, f.w, f.lanes, *border)
            for s, f, border in self.bufs
        ]
        return Plan(bufs, self.emitted, self.rows, arena, slot + 1)


def _place(storages: list[Storage]) -> int:
    """Offsets in the arena, largest first, each at the lowest place free during its life; the
    arena's size in floats."""
    placed: list[Storage] = []
    end = 0
    for s in sorted(storages, key=lambda s: -s.size):
        taken = sorted(
            (p.offset, p.offset + p.size) for p in placed if p.born <= s.dies and s.born <= p.dies
        )
        at = 0
        for a, b in taken:
            if at + s.size <= a:
                break
            at = max(at, -(-b // LANES) * LANES)
        s.offset = at
        placed.append(s)
        end = max(end, at + s.size)
    return end


def compile_graph(nodes, outputs, width: int) -> Plan:
    """Everything the C engine needs to run ``nodes`` and hand out ``outputs`` (pairs of name and
    value)."""
    return Planner(*needed(nodes, outputs), width).build()
