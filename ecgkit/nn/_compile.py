"""From steps to the C engine's program: layouts, borders, the arena's plan."""

from dataclasses import dataclass

import numpy as np

from .._typing import F32
from ._fuse import LANES, Step, conv_kind, fuse, without_names
from ._graph import ACTIVATIONS, Node


@dataclass(frozen=True)
class Form:
    """How a value lies in memory. ``lanes`` 16: channel-blocked picture; 1: plain, a picture only
    if it has a border."""

    items: int
    c: int
    h: int
    w: int
    lanes: int
    bordered: bool = False


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


# ---- layouts


def _picture(shape: tuple[int, ...], rank: int, lanes: int, bordered: bool = False) -> Form:
    items = int(np.prod(shape[: -rank - 1], dtype=np.int64))
    h, w = (1, shape[-1]) if rank == 1 else shape[-2:]
    return Form(items, shape[-rank - 1], h, w, lanes, bordered)


def _flat(shape: tuple[int, ...]) -> Form:
    return Form(1, 1, 1, int(np.prod(shape, dtype=np.int64)), 1)


class _Planner:
    def __init__(
        self, nodes: tuple[Node, ...], outputs: tuple[tuple[str, int], ...], width: int
    ) -> None:
        self.nodes, self.width = nodes, width
        self.alive, keep, same = without_names(nodes, outputs)
        self.steps, self.alias = fuse(self.alive, keep)
        self.outputs = [same[i] for _, i in outputs]
        self.native: dict[int, Form] = {}
        self.border: dict[tuple[int, Form], list[int]] = {}
        self.storage: dict[tuple[int, Form | None], Storage] = {}
        self.ready: set[tuple[int, Form | None]] = set()  # keys of storage that a step has written
        self.bufs: list[tuple[Storage, Form, tuple[int, ...]]] = []
        self.emitted: list[tuple] = []
        self.rows: list[dict] = []
        self.sides = {
            (n.inputs[0], n.op): n.index for n in self.alive if n.op in ("lstm_h", "lstm_c")
        }

    # which forms a step reads and writes; `need` is the border (top, bottom, left, right) it wants
    def forms(self, step: Step) -> tuple[list[tuple[int, Form, tuple]], Form]:
        n, none = step.node, (0, 0, 0, 0)
        out_shape = self.nodes[step.output].shape
        if n.op in ("conv1d", "conv2d"):
            shape, kind = self.nodes[n.inputs[0]].shape, conv_kind(n)
            need = self._border(n, shape)
            plain = kind == "conv_any" or (kind == "conv" and self._reads_plain(step, n))
            form = _picture(shape, n.rank, 1 if plain else LANES, plain and any(need))
            reads = [(step.inputs[0], form, need)]
            out = _picture(out_shape, n.rank, 1 if kind == "conv_any" else LANES)
            if step.residual is not None:
                reads.append((step.residual, out, none))
            return reads, out
        if n.op == "pool":
            shape = self.nodes[n.inputs[0]].shape
            return [(step.inputs[0], _picture(shape, n.rank, LANES), none)], _picture(
                out_shape, n.rank, LANES
            )
        if n.op == "reduce" and self._global_mean(step):
            source = self.native[step.inputs[0]]
            return [(step.inputs[0], source, none)], _flat(out_shape)
        if n.op in ("act", "binary", "batch_norm"):
            native = {self.native[i] for i in step.inputs}
            first = next(iter(native))
            if len(native) == 1 and first.lanes == LANES and not self._reshaped(step):
                return [(i, first, none) for i in step.inputs], first
            if n.op == "batch_norm":
                form = (
                    _picture(n.shape, n.rank, 1)
                    if n.rank
                    else Form(int(np.prod(n.shape[:-1])), n.shape[-1], 1, 1, 1)
                )
            else:
                form = _flat(n.shape)
            return [(i, form, none) for i in step.inputs], form
        reads = [(i, _flat(self.nodes[i].shape), none) for i in step.inputs]
        if step.residual is not None:
            reads.append((step.residual, _flat(out_shape), none))
        return reads, _flat(out_shape)

    def _reshaped(self, step: Step) -> bool:
        """Whether an input is seen through a reshape, so that its picture's axes mean something
        else."""
        return any(self.nodes[i].op == "reshape" for i in step.node.inputs)

    def _reads_plain(self, step: Step, n: Node) -> bool:
        source = step.inputs[0]
        return n.attrs["groups"] == 1 and self.native[source].lanes == 1

    def _global_mean(self, step: Step) -> bool:
        source = self.native[step.inputs[0]]
        shape = self.nodes[step.node.inputs[0]].shape
        rank = 1 if source.h == 1 and len(shape) >= 2 and shape[-1] == source.w else 2
        axes = step.node.attrs["axes"]
        return (
            step.node.attrs["kind"] == "mean"
            and source.lanes == LANES
            and not self._reshaped(step)
            and len(shape) > rank
            and axes == tuple(range(len(shape) - rank, len(shape)))
            and shape[-rank - 1] == source.c
        )

    @staticmethod
    def _border(n: Node, shape) -> tuple[int, int, int, int]:
        """The zeros that windows reach beyond the picture; the far side counts only what the last
        output uses."""
        pairs = []
        kernel = n.weights["weight"].shape[2:]
        for axis in range(n.rank):
            before = n.attrs["pads"][axis][0]
            size, out = shape[-n.rank :][axis], n.shape[-n.rank :][axis]
            reach = (
                (out - 1) * n.attrs["stride"][axis]
                + (kernel[axis] - 1) * n.attrs["dilation"][axis]
                + 1
            )
            reach += out % 2 if conv_kind(n) == "winograd" else 0  # whole tiles of two
            pairs.append((before, max(0, reach - before - size)))
        if n.rank == 1:
            pairs.insert(0, (0, 0))
        (top, bottom), (left, right) = pairs
        return top, bottom, left, right

    # ---- first pass: native forms and borders

    def survey(self) -> None:
        for n in self.alive:
            if n.op in ("input", "lstm_h", "lstm_c"):
                self.native[n.index] = _flat(n.shape)
        self.plans = []
        for step in self.steps:
            reads, out = self.forms(step)
            self.native[step.output] = out
            self.plans.append((step, reads, out))
            for value, form, need in reads:
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
                self.nodes[value],
                "copy into the layout wanted next",
            )
        return self._buf(value, form)

    def _emit(
        self, op, bufs, ints, reals, arrays, node: Node, what: str, macs: int = 0, shape=None
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
                "name": node.name,
                "op": op,
                "kernel": what,
                "shape": node.shape if shape is None else shape,
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
        self.ready |= {(n.index, None) for n in self.alive if n.op in ("input", "lstm_h", "lstm_c")}
        for step, reads, out in self.plans:
            self._step(step, reads, out)
            self.ready.add(self._key(step.output, out))
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
                self.nodes[value],
                "copy to the output",
            )
        arena = _place([s for s in {id(b[0]): b[0] for b in self.bufs}.values() if s.slot == 0])
        bufs = [
            (s.slot, s.offset, f.items, f.c, f.h, f.w, f.lanes, *border)
            for s, f, border in self.bufs
        ]
        return Plan(bufs, self.emitted, self.rows, arena, slot + 1)

    def _step(self, step: Step, reads, out: Form) -> None:
        n = step.node
        fused = self.nodes[step.output]
        act, slope = (ACTIVATIONS[step.act],), (step.slope,)
        if n.op == "lstm":
            self._lstm(step)
            return
        skip = 1 if (n.op == "reduce" and not self._global_mean(step)) else 0
        sources = [self._reading(v, f) for v, f, _ in reads]
        label = "+".join(self.nodes[i].name for i in step.members)
        row = Node(fused.index, n.op, (), fused.shape, label)
        if n.op == "reduce" and skip:
            self._reduce(step, sources[0], row)
            return
        target = self._buf(step.output, out)
        if n.op in ("conv1d", "conv2d"):
            kind, w = conv_kind(n), step.weights["weight"]
            one = (1,) * (2 - n.rank)
            a = n.attrs
            kernel, stride, dilation = (
                (*one, *w.shape[2:]),
                (*one, *a["stride"]),
                (*one, *a["dilation"]),
            )
            top, _, left, _ = self._border(n, self.nodes[n.inputs[0]].shape)
            ints = (*kernel, *stride, *dilation, top, left)
            macs = out.items * out.h * out.w * int(np.prod(w.shape))
            arrays = (w, step.weights["bias"])
            if kind == "winograd":
                ints = (top, left)
            elif kind != "depthwise":
                ints = (*ints, a["groups"])
            bufs = [sources[0], target, *sources[1:]]
            read = "plain" if reads[0][1].lanes == 1 else "blocked"
            what = {
                "conv": f"product, {read} input",
                "winograd": "Winograd 2x2",
                "depthwise": "depthwise",
                "conv_any": "direct",
            }[kind]
            self._emit(kind, bufs, (*ints, *act), slope, arrays, row, what, macs)
        elif n.op == "linear":
            w = step.weights["weight"]
            rows = int(np.prod(fused.shape[:-1], dtype=np.int64))
            self._emit(
                "linear",
                [sources[0], target, *sources[1:]],
                (rows, *act),
                slope,
                (w, step.weights["bias"]),
                row,
                "product",
                rows * w.size,
            )
        elif n.op == "pool":
            a = n.attrs
            if a["kind"] == "adaptive":
                ints = (2, *(1,) * 6, 0, 0, 0)
            else:
                one = (1,) * (2 - n.rank)
                pads = (*((0, 0),) * (2 - n.rank), *a["pads"])
                ints = (
                    int(a["kind"] == "avg"),
                    *one,
                    *a["kernel"],
                    *one,
                    *a["stride"],
                    *one,
                    *a["dilation"],
                    pads[0][0],
                    pads[1][0],
                    int(a["count_pad"]),
                )
            self._emit("pool", [sources[0], target], ints, (), (), row, f"{a['kind']} windows")
        elif n.op == "reduce":
            self.bufs[target] = (
                self.bufs[target][0],
                Form(reads[0][1].items, reads[0][1].c, 1, 1, 1),
                (0, 0, 0, 0),
            )
            self._emit(
                "pool",
                [sources[0], target],
                (2, *(1,) * 6, 0, 0, 0),
                (),
                (),
                row,
                "mean of the picture",
            )
        elif n.op == "act":
            self._emit("act", [sources[0], target], act, slope, (), row, step.act)
        elif n.op == "binary":
            which = {"add": 0, "multiply": 1, "subtract": 2}[n.attrs["kind"]]
            self._emit("binary", [*sources, target], (which, *act), slope, (), row, n.attrs["kind"])
        elif n.op == "batch_norm":
            w = n.weights
            scale = w["weight"].astype(np.float64) / np.sqrt(
                w["var"].astype(np.float64) + n.attrs["eps"]
            )
            shift = w["bias"] - w["mean"] * scale
            arrays = (scale.astype(np.float32), shift.astype(np.float32))
            self._emit("affine", [sources[0], target], act, slope, arrays, row, "scale and shift")
        elif n.op == "softmax":
            self._emit(
                "softmax",
                [sources[0], target],
                (out.w // n.shape[-1], n.shape[-1]),
                (),
                (),
                row,
                "rows",
            )
        elif n.op == "layer_norm":
            arrays = (n.weights["weight"], n.weights["bias"])
            self._emit(
                "layer_norm",
                [sources[0], target],
                (out.w // n.shape[-1], n.shape[-1]),
                (n.attrs["eps"],),
                arrays,
                row,
                "rows",
            )
        elif n.op == "permute":
            shape = n.shape or (1,)
            strides = n.attrs["strides"] or (1,)
            self._emit(
                "permute",
                [sources[0], target],
                (*shape, *strides, n.attrs["offset"]),
                (),
                (),
                row,
                "strided copy",
            )
        elif n.op == "concat":
            inner = [
                int(np.prod(self.nodes[i].shape[n.attrs["axis"] :], dtype=np.int64))
                for i in n.inputs
            ]
            outer = int(np.prod(n.shape[: n.attrs["axis"]], dtype=np.int64))
            self._emit("concat", [target, *sources], (outer, *inner), (), (), row, "copy")
        else:
            raise AssertionError(n.op)

    def _reduce(self, step: Step, source: int, row: Node) -> None:
        """Adjacent axes at a time, from the last to the first."""
        n = step.node
        shape = list(self.nodes[n.inputs[0]].shape)
        kind = {"mean": 0, "sum": 1, "max": 2}[n.attrs["kind"]]
        axes = sorted(n.attrs["axes"], reverse=True)
        runs: list[list[int]] = []
        for a in axes:
            if runs and runs[-1][0] == a + 1:
                runs[-1][0] = a
            else:
                runs.append([a, a])
        for i, (first, last) in enumerate(runs):
            outer = int(np.prod(shape[:first], dtype=np.int64))
            count = int(np.prod(shape[first : last + 1], dtype=np.int64))
            inner = int(np.prod(shape[last + 1 :], dtype=np.int64))
            flat = Form(1, 1, 1, outer * inner, 1)
            if i + 1 == len(runs):
                target = self._buf(step.output, flat)
            else:
                self.bufs.append(
                    (Storage(outer * inner, born=len(self.emitted)), flat, (0, 0, 0, 0))
                )
                target = len(self.bufs) - 1
            self._emit(
                "reduce",
                [source, target],
                (kind, outer, count, inner),
                (),
                (),
                row,
                n.attrs["kind"],
            )
            source = target
            del shape[first : last + 1]

    def _lstm(self, step: Step) -> None:
        n, width = step.node, self.width
        hidden, directions = n.attrs["hidden"], n.attrs["directions"]
        shape = self.nodes[n.inputs[0]].shape
        items, time = int(np.prod(shape[:-2], dtype=np.int64)), shape[-2]
        blocks = -(-hidden // width)
        weights: list[F32] = []
        biases: list[F32] = []
        for d in range(directions):
            for array, into in (
                (n.weights[f"weight_ih_{d}"], weights),
                (n.weights[f"bias_{d}"], biases),
            ):
                padded = np.zeros((4, blocks * width, *array.shape[1:]), np.float32)
                padded[:, :hidden] = array.reshape(4, hidden, *array.shape[1:])
                padded = padded.reshape(4, blocks, width, *array.shape[1:])
                into.append(np.moveaxis(padded, 0, 1).reshape(-1, *array.shape[1:]))
        weight, bias = np.concatenate(weights), np.concatenate(biases)
        source = self._reading(step.inputs[0], _flat(shape))
        rest = [self._reading(v, _flat(self.nodes[v].shape)) for v in step.inputs[1:]]
        gates = Storage(items * time * len(bias), born=len(self.emitted))
        self.bufs.append((gates, Form(1, 1, 1, gates.size, 1), (0, 0, 0, 0)))
        gates_buf = len(self.bufs) - 1
        row = Node(
            n.index, "linear", (), (*shape[:-1], directions, 4 * hidden), f"{n.name} (input part)"
        )
        macs = items * time * hidden * 4 * directions
        self._emit(
            "linear",
            [source, gates_buf],
            (items * time, 0),
            (0.0,),
            (weight, bias),
            row,
            "product",
            macs * shape[-1],
        )
        h0 = rest.pop(0) if n.attrs["h0"] else None
        c0 = rest.pop(0) if n.attrs["c0"] else None
        ends = [self.sides.get((n.index, key)) for key in ("lstm_h", "lstm_c")]
        ends = [None if e is None else self._buf(e, _flat(self.nodes[e].shape)) for e in ends]
        target = self._buf(step.output, _flat(n.shape))
        arrays = tuple(n.weights[f"weight_hh_{d}"] for d in range(directions))
        self._emit(
            "lstm",
            [gates_buf, target, h0, c0, *ends],
            (items, time, directions, hidden),
            (),
            arrays,
            Node(n.index, "lstm", (), n.shape, n.name),
            "recurrence, gates in registers",
            macs * hidden,
        )


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
    return _Planner(nodes, outputs, width).build()
