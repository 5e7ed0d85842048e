"""A compiled network: immutable, shared freely between threads, run in C."""

import mmap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np

from .._config import _core
from .._typing import F32, Array, ArrayLike
from ..errors import EcgkitError, LayoutError, RangeError
from ._attention_weights import attention_weights
from ._compile import Plan
from ._graph import Node

__all__ = ["CompiledProgram", "Profile"]

_VARIANTS = 8  # programs kept, each for a set of taps; and as many, each for other lengths


@dataclass(frozen=True)
class _Engine:
    """The C program of one set of outputs."""

    capsule: object
    rows: tuple[dict, ...]
    shapes: tuple[tuple[int, ...], ...]
    names: tuple[str, ...]


class CompiledProgram:
    """What :meth:`Program.compile` returns.

    Calling it runs a whole batch in C without the GIL: whole samples on different threads, and the
    threads share each layer where there are fewer samples than threads. The result has the same
    bits for any batch size and thread count. ``print`` shows the layers; :meth:`profile` times
    them.
    """

    def __init__(
        self,
        name: str,
        nodes: tuple[Node, ...],
        outputs: tuple[tuple[str, int], ...],
        planner: Callable[[tuple[Node, ...], tuple[tuple[str, int], ...], int], Plan],
        resized: Callable[[Mapping[str, tuple[int, ...]]], "CompiledProgram"],
    ) -> None:
        self.name = name
        self._resized = resized
        self._others: dict[tuple[tuple[int, ...], ...], CompiledProgram] = {}
        self._nodes, self._outputs, self._planner = nodes, outputs, planner
        self._inputs = tuple(n for n in nodes if n.op == "input")
        self._lock = Lock()
        self._variants: dict[tuple[str, ...], _Engine] = {}
        self._main = self._build(())

    def _build(self, taps: tuple[str, ...]) -> _Engine:
        by_name = {n.name: n.index for n in self._nodes}
        unknown = [t for t in taps if t not in by_name]
        if unknown:
            raise ValueError(
                f"{self.name}: no layer is called {', '.join(map(repr, unknown))}; layers: "
                f"{', '.join(by_name)}"
            )
        outputs = (*self._outputs, *((t, by_name[t]) for t in taps))
        plan = self._planner(self._nodes, outputs, _core.nn_width())
        block = _block(plan)
        capsule = _core.nn_new(tuple(plan.bufs), plan.slots, block, tuple(plan.steps))
        _let_go(self._nodes)
        shapes = tuple(self._nodes[i].shape for _, i in outputs)
        return _Engine(capsule, tuple(plan.rows), shapes, tuple(name for name, _ in outputs))

    def _engine(self, taps: Sequence[str]) -> _Engine:
        if isinstance(taps, str):
            raise TypeError(
                f"{self.name}: taps must be a sequence of layer names, got the string "
                f"{taps!r}; pass ({taps!r},)"
            )
        key = tuple(taps)
        if not key:
            return self._main
        with self._lock:
            engine = self._variants.get(key)
        if engine is None:
            engine = self._build(key)
            self._keep(self._variants, key, engine)
        return engine

    def _keep(self, kept: dict, key, value) -> None:
        """A bounded store: the oldest goes."""
        with self._lock:
            while len(kept) >= _VARIANTS:
                kept.pop(next(iter(kept)))
            kept[key] = value

    def _at(self, shapes: tuple[tuple[int, ...], ...]) -> "CompiledProgram":
        """The program for other lengths of the inputs."""
        with self._lock:
            other = self._others.get(shapes)
        if other is None:
            try:
                other = self._resized({n.name: s for n, s in zip(self._inputs, shapes)})
            except (EcgkitError, ValueError) as error:
                got = ", ".join(f"{n.name} (n, {_list(s)})" for n, s in zip(self._inputs, shapes))
                wanted = ", ".join(f"{n.name} (n, {_list(n.shape)})" for n in self._inputs)
                raise LayoutError(
                    f"{self.name}: described for {wanted}, it cannot take {got}: {error}"
                ) from None
            self._keep(self._others, shapes, other)
        return other

    # ---- running

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """Shape of one sample of every input, in the order they are passed."""
        return {n.name: n.shape for n in self._inputs}

    @property
    def outputs(self) -> dict[str, tuple[int, ...]]:
        """Shape of one sample of every output."""
        return dict(zip(self._main.names, self._main.shapes))

    def _check_inputs(self, x) -> tuple[list[F32], int]:
        if len(self._inputs) == 1:
            given = [x[self._inputs[0].name] if isinstance(x, Mapping) else x]
        elif isinstance(x, Mapping):
            missing = [n.name for n in self._inputs if n.name not in x]
            if missing:
                raise LayoutError(f"{self.name}: inputs {', '.join(missing)} are missing")
            given = [x[n.name] for n in self._inputs]
        else:
            given = list(x) if isinstance(x, (tuple, list)) else [x]
            if len(given) != len(self._inputs):
                names = ", ".join(n.name for n in self._inputs)
                raise LayoutError(
                    f"{self.name}: wanted {len(self._inputs)} inputs ({names}) as a tuple, "
                    f"got {len(given)}"
                )
        arrays = []
        for node, value in zip(self._inputs, given):
            a = np.asarray(value)
            if a.dtype.kind not in "fiu":
                raise TypeError(
                    f"{self.name}: {node.name} must hold real numbers, got dtype {a.dtype}"
                )
            if not _fits(node, a.shape):
                wanted = f"(n, {_list(node.shape)})" if node.shape else "(n,)"
                hint = "; add the batch axis: x[None]" if a.shape == node.shape else ""
                raise LayoutError(
                    f"{self.name}: {node.name} must have shape {wanted}, got {a.shape}{hint}"
                )
            arrays.append(np.ascontiguousarray(a, np.float32))
        n = len(arrays[0])
        if any(len(a) != n for a in arrays):
            raise LayoutError(
                f"{self.name}: inputs hold {[len(a) for a in arrays]} samples; they must agree"
            )
        return arrays, n

    def __call__(
        self,
        x: ArrayLike,
        out: Array | None = None,
        taps: Sequence[str] = (),
        threads: int | None = None,
    ):
        """Run a batch.

        Parameters
        ----------
        x : array_like, shape (n, *sample)
            Or a tuple or mapping of arrays where the network has several inputs. The axes behind
            the channels may have other lengths than the network was described with, where its
            layers allow it: it is then compiled for these lengths, once (the last eight stay).
        out : ndarray, optional
            float32, C-contiguous, ``(n, *output)``; a tuple of them for several outputs. It must
            not overlap ``x``.
        taps : sequence of str
            Names of layers whose values to return as well. A tapped value is kept apart from the
            fusion that would have swallowed it, so a program is built for each set of taps, once.
        threads : int, optional
            Default: the process setting.

        Returns
        -------
        ndarray, float32, or tuple of ndarray
            With ``taps``: a dict, ``"output"`` and one entry per tap.

        Raises
        ------
        LayoutError
            Wrong shape: the message has the wanted one, or the layer that cannot take it.
        RangeError
            A row number outside the table of an embedding.
        """
        arrays, n = self._check_inputs(x)
        shapes = tuple(a.shape[1:] for a in arrays)
        if shapes != tuple(i.shape for i in self._inputs):
            return self._at(shapes)(
                tuple(arrays) if len(arrays) > 1 else arrays[0], out, taps, threads
            )
        engine = self._engine(taps)
        results = self._results(engine, n, out, arrays)
        try:
            _core.nn_run(engine.capsule, n, (*arrays, *results), threads)
        except ValueError:
            self._explain(arrays)
            raise
        count = len(self._outputs)
        first = results[0] if count == 1 else tuple(results[:count])
        if not taps:
            return first
        return {"output": first, **dict(zip(taps, results[count:]))}

    def _results(self, engine: _Engine, n: int, out, arrays) -> list[F32]:
        count = len(self._outputs)
        given: tuple = (
            () if out is None else tuple(out) if isinstance(out, (tuple, list)) else (out,)
        )
        if given and len(given) != count:
            raise LayoutError(f"{self.name}: out must be {count} arrays, got {len(given)}")
        results = []
        for i, shape in enumerate(engine.shapes):
            if i >= len(given):
                results.append(np.empty((n, *shape), np.float32))
                continue
            o = given[i]
            fits = isinstance(o, np.ndarray) and o.dtype == np.float32 and o.shape == (n, *shape)
            if not fits or not o.flags.c_contiguous or not o.flags.writeable or not o.flags.aligned:
                got = f"{o.dtype} {o.shape}" if isinstance(o, np.ndarray) else type(o).__name__
                raise LayoutError(
                    f"{self.name}: out must be a writeable C-contiguous float32 array of "
                    f"shape {(n, *shape)}, got {got}"
                )
            if any(np.may_share_memory(o, other) for other in (*arrays, *results)):
                raise LayoutError(
                    f"{self.name}: out shares memory with another array; pass another one"
                )
            results.append(o)
        return results

    def _explain(self, arrays: Sequence[F32]) -> None:
        """Say which row number lies outside which table: the one thing in the numbers themselves
        that ends a run."""
        given = {n.index: (n, a) for n, a in zip(self._inputs, arrays)}
        for node in (n for n in self._nodes if n.op == "embedding"):
            source, rows = self._nodes[node.inputs[0]], len(node.weights["weight"])
            while source.op in ("reshape", "identity", "permute", "gather"):
                source = self._nodes[source.inputs[0]]
            message = f"{self.name}.{node.name}: ids must be whole numbers in 0..{rows - 1}; "
            if source.index not in given:
                raise RangeError(f"{message}{source.name!r} made others")
            entry, ids = given[source.index]
            bad = np.argwhere(~((ids >= 0) & (ids < rows) & (ids == np.floor(ids))))
            if len(bad):
                place = tuple(int(i) for i in bad[0])
                got = f"{ids[place]:.9g}"
                raise RangeError(f"{message}input {entry.name!r} holds {got} at {place}") from None

    # ---- looking at it

    def attention_weights(self, x: ArrayLike) -> dict[str, F32]:
        """The weights of every attention layer, computed in NumPy from its tapped q and k.

        Parameters
        ----------
        x : array_like
            A batch, as for a call.

        Returns
        -------
        dict of str to ndarray, shape (n, ..., heads, queries, keys)
            By the name of the layer, in their order. Rows sum to 1, or are 0 where no key is left.

        Raises
        ------
        EcgkitError
            A layer attends in windows of a grid.
        """
        return attention_weights(self._nodes, lambda names: self(x, taps=names))

    def profile(self, x: ArrayLike, repeat: int = 5) -> "Profile":
        """Time every step on one thread.

        Parameters
        ----------
        x : array_like
            A batch, as for a call.
        repeat : int
            Runs; the fastest time of each step counts.
        """
        arrays, n = self._check_inputs(x)
        shapes = tuple(a.shape[1:] for a in arrays)
        if shapes != tuple(i.shape for i in self._inputs):
            return self._at(shapes).profile(x, repeat)
        results = self._results(self._main, n, None, arrays)
        runs = [
            _core.nn_profile(self._main.capsule, n, (*arrays, *results))
            for _ in range(max(1, repeat) + 1)
        ]
        return Profile(
            self.name, n, self._main.rows, tuple(np.min(runs[1:], axis=0)), _core.nn_peak()
        )

    @property
    def macs(self) -> int:
        """Multiply-adds of one sample in convolutions, linear and recurrent layers."""
        return sum(r["macs"] for r in self._main.rows)

    @property
    def nbytes(self) -> int:
        """Bytes of the packed weights."""
        return _core.nn_facts(self._main.capsule)["weight_bytes"]

    @property
    def arena_nbytes(self) -> int:
        """Bytes of scratch one thread uses."""
        return _core.nn_facts(self._main.capsule)["arena_bytes"]

    @property
    def isa(self) -> str:
        """The instruction set it was compiled for."""
        return _core.nn_facts(self._main.capsule)["isa"]

    def __str__(self) -> str:
        rows = [("layer", "op", "output", "MMAC", "kB", "kernel")]
        for r in self._main.rows:
            rows.append(
                (
                    r["name"],
                    r["op"],
                    "x".join(map(str, r["shape"])),
                    f"{r['macs'] / 1e6:.3f}",
                    f"{r['bytes'] / 1e3:.1f}",
                    r["kernel"],
                )
            )
        total = (
            f"{self.macs / 1e6:.1f} MMAC a sample, {self.nbytes / 1e6:.2f} MB of packed weights, "
            f"{self.arena_nbytes / 1e6:.2f} MB of scratch a thread, {self.isa}"
        )
        return f"{self.name}: {self.inputs} -> {self.outputs}\n{table(rows)}\n{total}"

    def __repr__(self) -> str:
        work = f"{len(self._main.rows)} steps, {self.macs / 1e6:.1f} MMAC"
        return f"<CompiledProgram {self.name!r}: {work}, {self.isa}>"

    def __reduce__(self):
        return CompiledProgram, (
            self.name,
            self._nodes,
            self._outputs,
            self._planner,
            self._resized,
        )

    def __deepcopy__(self, memo):
        return self  # nothing in it changes

    def __copy__(self):
        return self


@dataclass(frozen=True)
class Profile:
    """Seconds of every step of one run; ``print`` shows GFLOP/s beside the machine's peak."""

    name: str
    n: int
    rows: tuple[dict, ...]
    seconds: tuple[float, ...]
    peak: float

    def __str__(self) -> str:
        rows = [("layer", "op", "ms", "%", "GFLOP/s", "of peak")]
        total = sum(self.seconds) or 1.0
        for r, s in zip(self.rows, self.seconds):
            rate = 2e-9 * r["macs"] * self.n / s if s > 0 else 0.0
            rows.append(
                (
                    r["name"],
                    r["op"],
                    f"{s * 1e3:.3f}",
                    f"{100 * s / total:.1f}",
                    f"{rate:.1f}" if r["macs"] else "",
                    f"{100 * rate / self.peak:.0f} %" if r["macs"] else "",
                )
            )
        rate = 2e-9 * sum(r["macs"] for r in self.rows) * self.n / total
        rows.append(
            (
                "total",
                "",
                f"{total * 1e3:.3f}",
                "100",
                f"{rate:.1f}",
                f"{100 * rate / self.peak:.0f} %",
            )
        )
        head = f"{self.name}, {self.n} samples, one thread, peak {self.peak:.0f} GFLOP/s"
        return f"{head}\n{table(rows)}"


def _let_go(nodes: tuple[Node, ...]) -> None:
    """Weights that lie in a mapped file are packed now: their pages need not stay in memory."""
    seen: set[int] = set()
    for weight in (w for n in nodes for w in n.weights.values()):
        base: Any = weight
        while isinstance(base, np.ndarray):
            base = base.base
        held = base.obj if isinstance(base, memoryview) else base
        if isinstance(held, mmap.mmap) and id(held) not in seen:
            seen.add(id(held))
            held.madvise(mmap.MADV_DONTNEED)


def _list(shape: Sequence[int]) -> str:
    return ", ".join(map(str, shape))


def _fits(node: Node, shape: tuple[int, ...]) -> bool:
    """Whether a batch has the input's axes; lengths behind the channels may differ."""
    fixed = len(node.shape) - node.rank
    return (
        len(shape) == len(node.shape) + 1
        and shape[1 : fixed + 1] == node.shape[:fixed]
        and 0 not in shape[1:]
    )


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned: text left, numbers right."""
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    right = [all(r[i][:1].isdigit() or not r[i] for r in rows[1:]) for i in range(len(widths))]
    return "\n".join(
        "  ".join(c.rjust(w) if far else c.ljust(w) for c, w, far in zip(r, widths, right)).rstrip()
        for r in rows
    )


def _block(plan) -> int:
    """Samples that go through the steps together: several where a layer's weights outweigh its
    few rows."""

    def few_rows(op, _bufs, ints, _reals, arrays) -> bool:
        return ints[0] < 4 and (op == "recurrent" or (op == "linear" and arrays[0].size > 1 << 16))

    found = {s[0] for s in plan.steps if s[0] in ("recurrent", "linear") and few_rows(*s)}
    room = max(1, plan.arena)
    block = min(8, (1 << 20) // room) if found else 1
    if "recurrent" in found:  # eight sequences share every weight read: worth more memory
        block = max(block, min(8, (1 << 25) // room))
    return max(1, block)
