"""One weight file of the result, block by block: read, merge and write run at the same time.

Never more than a few blocks and one tensor's factors are in memory, whatever the model's size.
"""

from __future__ import annotations

import errno
import math
import os
import queue
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._config import _core
from .._typing import Array
from ..errors import OutputError, WeightsError
from ._base import Base
from ._plan import Pair, Step
from ._report import TensorReport
from ._safetensors import NUMPY, File, Tensor, lay_out

BLOCK = 16 << 20
"""Bytes of a block: large enough for the disk, small enough that several fit any machine."""

AHEAD = 2
"""Blocks read before they are needed; as many wait to be written."""

SYNC = 128 << 20
"""Bytes after which the file is forced to disk, so that the disk works all the time."""

_CANNOT_COPY = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF)

_DTYPE = {dtype: np.dtype(name) for dtype, name in NUMPY.items()}


@dataclass(frozen=True)
class Options:
    """What decides about rounding."""

    parity: bool
    clamp: bool
    strict: bool
    threads: int | None


def layout(base: File, steps: list[Step]) -> tuple[bytes, list[Tensor]]:
    """Header and tensors of the output: the input's own bytes where nothing moves."""
    same = all(s.source is not None and (s.dtype, s.shape) == (s.source.dtype, s.source.shape)
               for s in steps)  # fmt: skip
    if same:
        return base.header, list(base.tensors.values())
    metadata = {"format": "pt", **base.metadata}
    return lay_out(((s.name, s.dtype, s.shape) for s in steps), metadata)


def write_shard(
    path: Path,
    base: Base,
    name: str,
    steps: list[Step],
    options: Options,
    progress: Callable[[int], object],
) -> list[TensorReport]:
    """Write the file ``path`` for the base's file ``name``; ``progress`` gets bytes done.

    Raises
    ------
    WeightsError
        A sum is not finite.
    OutputError
        The file cannot be written.
    """
    header, placed = layout(base.files[name], steps)
    by_name = {s.name: s for s in steps}
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        with _Writer(path, handle, progress) as writer:
            writer.put(0, len(header).to_bytes(8, "little") + header)
            start = 8 + len(header)
            reports = []
            with _Reader() as reader:
                for run in _runs(base, placed, by_name):
                    if isinstance(run, _Copy):
                        writer.copy(run, start)
                    else:
                        one = _Tensor(base, name, *run, options)
                        one.stream(reader, writer, start)
                        reports.append(one.report())
            writer.flush()
        os.fsync(handle)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise unwritable(path, error) from error
    finally:
        os.close(handle)
    return [r for r in reports if r.action != "copy"]


def unwritable(path: Path, error: OSError) -> OutputError:
    """An error of the system as one of ours."""
    return OutputError(
        f"{path}: cannot be written ({error.strerror or error}); nothing that existed was changed, "
        "and the weight files finished so far are kept: free space or mend the permission, then "
        "run the same call again"
    )


# -------------------------------------------------------------------- what to do
@dataclass
class _Copy:
    """Bytes that stay as they are."""

    source: File
    begin: int
    end: int
    to: int


def _runs(
    base: Base, placed: list[Tensor], steps: dict[str, Step]
) -> Iterator[_Copy | tuple[Step, Tensor]]:
    """Tensors in the order of the output; neighbours that are copied come as one."""
    held: _Copy | None = None
    for target in placed:
        step = steps[target.name]
        if step.action in ("copy", "replace") and step.dtype == _stored(base, step).dtype:
            tensor, file = _stored(base, step), _file(base, step)
            if held and (held.source, held.end) == (file, tensor.begin) and (
                held.to + held.end - held.begin == target.begin
            ):  # fmt: skip
                held.end = tensor.end
            else:
                if held:
                    yield held
                held = _Copy(file, tensor.begin, tensor.end, target.begin)
            if step.action == "copy":
                continue
        if held:
            yield held
            held = None
        yield step, target
    if held:
        yield held


def _file(base: Base, step: Step) -> File:
    """Where the values come from that the updates are added to."""
    if step.adapter is not None and step.action != "rows":
        return step.adapter.file
    return base.files[base.home[step.name]]


def _stored(base: Base, step: Step) -> Tensor:
    if step.adapter is not None and step.action != "rows":
        return step.adapter.tensor(step.key)
    assert step.source is not None
    return step.source


# ------------------------------------------------------------------- one tensor
class _Tensor:
    """A tensor that is computed: its blocks, its factors, its statistics."""

    def __init__(self, base: Base, shard: str, step: Step, target: Tensor, options: Options):
        self.step, self.target, self.shard, self.options = step, target, shard, options
        self.file, self.source = _file(base, step), _stored(base, step)
        self.copied = step.action == "replace" and step.dtype == self.source.dtype
        # The updates go onto what the base's dtype holds, wherever the values come from.
        self.held = step.source.dtype if step.source is not None else self.source.dtype
        self.stats = np.zeros(6)
        if step.updates:
            self.rows, self.columns = step.matrix
        else:
            self.columns = min(self.source.size, 1 << 20) or 1
            if step.action == "rows":
                self.columns = step.shape[1]
            self.rows = -(-self.source.size // self.columns)
        self.pairs: tuple[Pair, ...] = ()
        self.gain: Array | None = None
        self.new_rows: Array | None = None

    def stream(self, reader: _Reader, writer: _Writer, start: int) -> None:
        """Read, compute and write all blocks."""
        if self.copied or self.source.size == 0:
            return
        self._prepare()
        item = _DTYPE[self.target.dtype].itemsize
        for first, block in reader.blocks(self._blocks()):
            out = self._merge(first, block)
            at = start + self.target.begin + first * self.columns * item
            writer.put(at, out)

    def _blocks(self) -> Iterator[tuple[File, Tensor, int, int, int]]:
        item = max(_DTYPE[self.source.dtype].itemsize, _DTYPE[self.target.dtype].itemsize)
        step = max(1, BLOCK // (self.columns * item))
        for first in range(0, self.rows, step):
            count = min(step, self.rows - first)
            yield self.file, self.source, first, count, self.columns

    def _prepare(self) -> None:
        step = self.step
        if step.action == "rows":
            assert step.adapter is not None
            self.new_rows = step.adapter.values(step.key)
        self.pairs = tuple((*update.factors(), update.scale) for update in step.updates)
        dora = [update for update in step.updates if update.dora]
        if dora:
            self.gain = self._gain(dora[0].magnitude(), by_row=dora[0].layout == "linear")
            self.by_row = dora[0].layout == "linear"

    def _gain(self, magnitude: Array, *, by_row: bool) -> Array:
        """magnitude / norm of every output of the sum; a pass over the tensor."""
        squares = np.zeros(self.rows if by_row else self.columns)
        for file, source, first, count, columns in self._blocks():
            block = self._held(_read(file, source, first, count, columns))
            wide = self._sum(first, block)
            if by_row:
                squares[first : first + count] = np.einsum("ij,ij->i", wide, wide, dtype=np.float64)
            else:
                squares += np.einsum("ij,ij->j", wide, wide, dtype=np.float64)
        if not (squares > 0).all():
            raise WeightsError(
                f"{self.step.name}: DoRA divides by the norm of an output that is zero or NaN"
            )
        return (magnitude / np.sqrt(squares).astype(np.float32)).astype(np.float32)

    def _held(self, block: Array) -> Array:
        """The block in the dtype of the base."""
        held = _DTYPE[self.held]
        if block.dtype == held or self.step.action != "merge":
            return block
        return _convert(block, held)

    def _slice(self, first: int, count: int) -> tuple[Pair, ...]:
        return tuple(
            (a, np.ascontiguousarray(b[first : first + count]), s) for a, b, s in self.pairs
        )

    def _sum(self, first: int, block: Array) -> Array:
        """Weight and updates in float32 (float64 where the weight is)."""
        pairs, threads = self._slice(first, len(block)), self.options.threads
        if block.dtype != np.float64:
            return _core.lora_merge(
                block, pairs, np.empty(block.shape, np.float32), threads=threads
            )
        for a, b, scale in pairs:
            block = _core.lora_merge_f64(block, a, b, scale, threads=threads)
        return block

    def _merge(self, first: int, block: Array) -> Array:
        """The block as it is written; in place where it can be."""
        wanted = _DTYPE[self.target.dtype]
        if self.new_rows is not None:
            return _convert(self._overlay(first, block), wanted)
        if not self.pairs:
            return _convert(block, wanted)
        block = self._held(block)
        if np.float64 in (block.dtype, wanted):
            return self._merge_f64(first, _wide(block), wanted)
        out = block if block.dtype == wanted else np.empty(block.shape, wanted)
        stats = np.zeros(6)
        gains = {}
        if self.gain is not None:
            part = self.gain[first : first + len(block)] if self.by_row else self.gain
            gains["row_gain" if self.by_row else "col_gain"] = part
        _core.lora_merge(
            block,
            self._slice(first, len(block)),
            out,
            **gains,
            round_delta=self.options.parity,
            clamp=self.options.clamp,
            stats=stats,
            threads=self.options.threads,
        )
        self.stats += stats
        if stats[4] and self.options.strict:
            raise WeightsError(
                f"{self.step.name}: {int(stats[4])} elements of a block become infinite or NaN in "
                f"{self.target.dtype}: the adapter holds such values, or the sum is too large "
                "(clamp=True keeps the largest number; dtype='F32' has room)"
            )
        return out

    def _merge_f64(self, first: int, before: Array, wanted: np.dtype) -> Array:
        after = self._sum(first, before)
        if self.gain is not None:
            after = after * (
                self.gain[first : first + len(after), None] if self.by_row else self.gain
            )
        out = _convert(after, wanted)
        made, change = _wide(out) - before, after - before
        parts = (change**2, before**2, (made - change) ** 2, made == 0)
        self.stats[:4] += [part.sum() for part in parts]
        return out

    def _overlay(self, first: int, block: Array) -> Array:
        """The rows that were trained take the place of the base's."""
        assert self.new_rows is not None
        out = block.copy()
        for k, row in enumerate(self.step.rows):
            if first <= row < first + len(block):
                new = _convert(self.new_rows[k : k + 1], block.dtype)
                self.stats[:2] += (
                    ((_wide(new) - _wide(block[row - first])) ** 2).sum(),
                    (_wide(block[row - first]) ** 2).sum(),
                )
                out[row - first] = new[0]
        return out

    def report(self) -> TensorReport:
        """What happened."""
        step, s = self.step, self.stats
        merged, measured = step.action == "merge", step.action in ("merge", "rows")
        return TensorReport(
            step.name, self.shard, step.shape, step.dtype, step.action,
            rank=sum(u.rank for u in step.updates if u.layout != "bias"),
            scale=tuple(u.scale for u in step.updates),
            weight_norm=math.sqrt(s[1]) if measured else math.nan,
            delta_norm=math.sqrt(s[0]) if measured else math.nan,
            unchanged=s[3] / max(1, self.source.size) if merged else math.nan,
            loss=(math.sqrt(s[2] / s[0]) if s[0] > 0 else 0.0) if merged else math.nan,
            broken=int(s[4]), clamped=int(s[5]),
        )  # fmt: skip


def _wide(x: Array) -> Array:
    """As float64; uint16 are the bits of bfloat16."""
    return (_core.lora_widen(x) if x.dtype == np.uint16 else x).astype(np.float64)


def _convert(x: Array, dtype: np.dtype) -> Array:
    """Rounded to nearest even; uint16 are the bits of bfloat16."""
    if x.dtype == dtype:
        return x
    if dtype == np.float64:
        return _wide(x)
    if x.dtype == np.float64:
        if dtype != np.uint16:
            with np.errstate(over="ignore"):
                return x.astype(dtype)
        x = _round_to_odd(x)
    flat = x.reshape(1, -1)
    return _core.lora_merge(flat, (), np.empty(flat.shape, dtype)).reshape(x.shape)


def _round_to_odd(x: Array) -> Array:
    """float64 to float32 so that a second rounding, to bfloat16, gives what one alone would."""
    with np.errstate(over="ignore"):
        near = x.astype(np.float32)
    bits = near.view(np.int32)
    past = np.abs(near.astype(np.float64)) > np.abs(x)
    inexact = (near.astype(np.float64) != x) & np.isfinite(near)
    cut = np.where(inexact & past, bits - 1, bits)
    return np.where(inexact, cut | 1, cut).astype(np.int32).view(np.float32)


# ------------------------------------------------------------------ the two ends
def _read(file: File, tensor: Tensor, first: int, count: int, columns: int) -> Array:
    dtype = _DTYPE[tensor.dtype]
    begin = tensor.begin + first * columns * dtype.itemsize
    size = min(count * columns * dtype.itemsize, tensor.end - begin)
    block = np.empty(size // dtype.itemsize, dtype)
    file.read_into(block.view(np.uint8), begin)
    return block.reshape(count, columns) if block.size == count * columns else block.reshape(1, -1)


class _Reader:
    """Reads blocks ahead in a thread of its own."""

    def __enter__(self) -> _Reader:
        self.pool = ThreadPoolExecutor(1, "ecgkit-read")
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown(cancel_futures=True)

    def blocks(
        self, wanted: Iterator[tuple[File, Tensor, int, int, int]]
    ) -> Iterator[tuple[int, Array]]:
        """(first row, block) of every request, in order."""
        held: queue.SimpleQueue[tuple[int, Future[Array]]] = queue.SimpleQueue()
        for request in wanted:
            held.put((request[2], self.pool.submit(_read, *request)))
            if held.qsize() > AHEAD:
                first, block = held.get()
                yield first, block.result()
        while not held.empty():
            first, block = held.get()
            yield first, block.result()


class _Writer:
    """Writes in a thread of its own, in the order given; an error comes with the next call."""

    def __init__(self, path: Path, handle: int, progress: Callable[[int], object]):
        self.path, self.handle, self.progress = path, handle, progress
        self.waiting: list[Future[int]] = []
        self.unsynced = 0

    def __enter__(self) -> _Writer:
        self.pool = ThreadPoolExecutor(1, "ecgkit-write")
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown(cancel_futures=True)

    def put(self, at: int, data: Array | bytes) -> None:
        """Write ``data`` at byte ``at``."""
        self._submit(self._write, at, data)

    def copy(self, run: _Copy, start: int) -> None:
        """Hand a range of the input on, without passing it through this process where the system
        can."""
        for begin in range(run.begin, run.end, BLOCK):
            count = min(BLOCK, run.end - begin)
            to = start + run.to + begin - run.begin
            self._submit(self._copy, run.source, begin, count, to)

    def flush(self) -> None:
        """Wait until everything is written."""
        while self.waiting:
            self.progress(self.waiting.pop(0).result())

    def _submit(self, function: Callable[..., int], *args: object) -> None:
        self.waiting.append(self.pool.submit(function, *args))
        while len(self.waiting) > AHEAD:
            self.progress(self.waiting.pop(0).result())

    def _write(self, at: int, data: Array | bytes) -> int:
        flat: Any = data.reshape(-1).view(np.uint8) if isinstance(data, np.ndarray) else data
        view = memoryview(flat)
        done = 0
        while done < len(view):
            done += os.pwrite(self.handle, view[done:], at + done)
        return self._sync(len(view))

    def _copy(self, source: File, begin: int, count: int, to: int) -> int:
        at = source.start + begin
        done = 0
        try:
            while done < count:
                got = os.copy_file_range(
                    source.handle, self.handle, count - done, at + done, to + done
                )
                if got == 0:
                    break
                done += got
        except OSError as error:
            if error.errno not in _CANNOT_COPY:
                raise
        if done < count:
            rest = bytearray(count - done)
            source.read_into(rest, begin + done)
            return self._write(to + done, bytes(rest)) + done
        return self._sync(count)

    def _sync(self, count: int) -> int:
        self.unsynced += count
        if self.unsynced >= SYNC:
            os.fdatasync(self.handle)
            self.unsynced = 0
        return count
