"""Scoring many recordings: all cores, constant memory, and a table that survives kill -9."""

from __future__ import annotations

import glob as _glob
import os
import pickle
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import _html
from ._config import get_threads
from ._extras import need
from ._parts import Parts
from .errors import EcgkitError, MissingExtraError

RECORD_SUFFIXES = (".hea", ".edf", ".bdf", ".dcm", ".xml", ".scp", ".ecg")
"""What counts as a recording in a folder; a glob or a list names files of any kind."""

PART_SECONDS = 10.0
"""A part is put on disk after this time at the latest, so that a crash costs no more."""


@dataclass(frozen=True)
class Progress:
    """How far a run is: records done (with those of earlier runs) of ``total``, ``failed`` among
    them."""

    done: int
    total: int
    failed: int
    rate: float
    """Records per second of this run."""
    eta: float
    """Seconds to go at that rate; NaN before the first record."""

    def __str__(self) -> str:
        left = "" if self.eta != self.eta else f", {self.eta:.0f} s to go"
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.done}/{self.total}, {self.rate:.1f} records/s{left}{failed}"


@dataclass(frozen=True)
class ScoreReport:
    """What :func:`score` did.

    Attributes
    ----------
    out : Path
        The Parquet table.
    model : str
    total, failed : int
        Rows in the table; those without an answer.
    scored : int
        Rows made by this run (the others were there already).
    seconds : float
        Of this run.
    """

    out: Path
    model: str
    total: int
    failed: int
    scored: int
    seconds: float

    @property
    def rate(self) -> float:
        """Records per second of this run."""
        return self.scored / self.seconds if self.seconds > 0 else 0.0

    @property
    def errors(self) -> tuple[tuple[str, str, str], ...]:
        """(record, error type, message) of every recording that failed."""
        pq = need("pyarrow.parquet", "cli", "ScoreReport.errors")
        columns = ["record", "error_type", "error"]
        table = pq.read_table(self.out, columns=columns, filters=[("status", "=", "failed")])
        return tuple(zip(*(table[c].to_pylist() for c in columns), strict=True))

    def to_frame(self):
        """The whole table (pandas)."""
        return need("pandas", "cli", "ScoreReport.to_frame").read_parquet(self.out)

    def __repr__(self) -> str:
        lines = [
            f"ScoreReport: {self.total} records in {self.out}, {self.failed} failed ({self.model})",
            f"  {self.scored} scored now in {self.seconds:.1f} s, {self.rate:.1f} records/s",
        ]
        shown = self.errors[:10]
        lines += [f"  failed: {record}: {kind}: {text}" for record, kind, text in shown]
        return "\n".join(lines + ["  ..."] * (self.failed > len(shown)))

    def _repr_html_(self) -> str:
        head = (
            f"{self.total} records in {self.out}, {self.failed} failed, {self.rate:.1f} records/s"
        )
        table = _html.table(["record", "error", "message"], self.errors[:50]) if self.failed else ""
        return f"<div>{_html.text(head)}{table}</div>"


def score(
    model: Any,
    records: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str] = "scores.parquet",
    *,
    resume: bool = True,
    batch: int | None = None,
    on_error: str = "report",
    threads: int | None = None,
    progress: Callable[[Progress], object] | None = None,
    part: int = 1000,
    dask: Any = None,
) -> ScoreReport:
    """Score recordings into a Parquet table; run again after any interruption to go on.

    Parameters
    ----------
    model : Model or str
        A loaded model, or a name for :func:`ecgkit.load_model`.
    records : path, glob or iterable of paths
        A folder (searched through for :data:`RECORD_SUFFIXES`, in order of their names), a glob
        (``**`` goes through folders), one file, or a list.
    out : path
        The table. While a run lasts its rows are in ``<out>.parts``; ``out`` appears at the end,
        whole.
    resume : bool
        Keep the rows that an earlier run made (default). ``False``: start anew and replace ``out``.
    batch : int, optional
        Recordings per call of the network. Default: the model's. The scores do not depend on it.
    on_error : {"report", "raise"}
        A recording that cannot be read or breaks the model's contract becomes a row with its error
        (default), or ends the run; the rows before it are kept.
    threads : int, optional
        Threads that read files. Default: as many as the library uses. The network always uses the
        library's own (:func:`ecgkit.set_threads`).
    progress : callable, optional
        Called with a :class:`Progress` after every batch.
    part : int
        Rows per part file.
    dask : dask.distributed.Client or address, optional
        Score on its workers, which must see the same files; this process only writes.

    Returns
    -------
    ScoreReport
        ``.errors`` lists what failed.

    Raises
    ------
    EcgkitError
        No recordings, one given twice, or an option that does not exist.
    OutputError
        ``out`` cannot be written, is being written by another job, or was begun with another model,
        weights, contract or version.
    MissingExtraError
        pyarrow (or the reader of a format) is not installed.

    Notes
    -----
    Columns: ``record``, ``status`` (``ok`` or ``failed``), one probability per label and
    ``predicted`` (from a model without labels ``embedding``, a list of numbers), ``notes`` (what
    the contract had to do), ``error_type``, ``error``.

    Killed at any moment, a run loses at most the rows of the last :data:`PART_SECONDS` seconds; run
    again, it ends with the same table as an undisturbed one. Rows that failed stay as they are. Of
    a list that changed meanwhile, rows no longer in it are dropped, new ones follow at the end.
    """
    if on_error not in ("report", "raise"):
        raise EcgkitError(f"on_error must be 'report' or 'raise', got {on_error!r}")
    for name, value in (("batch", batch), ("part", part), ("threads", threads)):
        if value is not None and value < 1:
            raise EcgkitError(f"{name} must be at least 1, got {value}")
    if isinstance(model, str):
        from .models import load_model

        model = load_model(model)
    paths = _paths(records)
    began = time.monotonic()
    with Parts(out, _schema(model), _made_with(model), resume=resume) as parts:
        safe = set(parts.keys())
        todo = [path for path in paths if _key(path) not in safe]
        run = _Run(parts, len(paths), len(paths) - len(todo), part, on_error, progress)
        size = batch or model.batch
        if dask is None:
            chunks = _local(model, todo, size, threads or get_threads())
        else:
            chunks = _remote(dask, model, todo, size, part)
        run.consume(chunks)
        parts.finish({_key(path) for path in paths})
    failed = _count_failed(Path(out))
    return ScoreReport(
        Path(out), model.title, len(paths), failed, len(todo), time.monotonic() - began
    )


# ------------------------------------------------------------------ what to score
def _paths(records: Any) -> list[str]:
    """The recordings as strings, in order, none twice."""
    if isinstance(records, (str, os.PathLike)):
        name = os.fspath(records)
        if os.path.isdir(name):
            found = sorted(
                os.path.join(folder, file)
                for folder, _, files in os.walk(name)
                for file in files
                if file.lower().endswith(RECORD_SUFFIXES)
            )
            kinds = " ".join(RECORD_SUFFIXES)
            wanted = f"no recordings ({kinds}) in the folder {name}; name other kinds by a glob"
        elif _glob.has_magic(name):
            found = sorted(p for p in _glob.glob(name, recursive=True) if not os.path.isdir(p))
            wanted = f"no files match {name}"
        else:
            found, wanted = [name], ""
    else:
        found, wanted = [os.fspath(path) for path in records], "the list of recordings is empty"
    if not found:
        raise EcgkitError(f"nothing to score: {wanted}")
    seen: dict[int, int] = {}  # hashes and places: millions of whole names would be too many
    for i, path in enumerate(found):
        key = _recording(path)
        at = seen.setdefault(hash(key), i)
        if at != i and _recording(found[at]) == key:
            raise EcgkitError(
                f"a recording is given twice: {found[at]!r} and {path!r}; every recording gets "
                "one row, drop the duplicate"
            )
    return found


def _recording(path: str) -> str:
    return os.path.abspath(path).removesuffix(".hea")


def _text(text: str) -> str:
    """Valid Unicode: bytes of a file name that are none become ``\\udcxx`` escapes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


_key = _text  # a recording's name in the table


def _schema(model: Any) -> Any:
    pa = need("pyarrow", "cli", "ek.score")
    answer = [pa.field(label, pa.float32()) for label in model.labels]
    if answer:
        answer.append(pa.field("predicted", pa.string()))
    else:
        answer.append(pa.field(_EMBEDDING, pa.list_(pa.float32())))
    return pa.schema(
        [
            pa.field("record", pa.string(), nullable=False),
            pa.field("status", pa.string(), nullable=False),
        ]
        + answer
        + [pa.field(name, pa.string()) for name in ("notes", "error_type", "error")]
    )


def _made_with(model: Any) -> dict[str, Any]:
    from . import __version__

    return {
        "model": model.title,
        "weights": model.fingerprint,
        "contract": model.contract.to_dict(),
        "labels": list(model.labels),
        "version": __version__,
    }


def _count_failed(out: Path) -> int:
    pq = need("pyarrow.parquet", "cli", "ek.score")
    with pq.ParquetFile(out) as table:
        batches = table.iter_batches(columns=["status"])
        return sum(batch[0].to_pylist().count("failed") for batch in batches)


# ------------------------------------------------------------------------- rows
class Row(NamedTuple):
    """One recording's outcome: probabilities (the embedding from a model without labels), or the
    error that kept it from having any."""

    path: str
    answer: np.ndarray | None
    notes: str
    error: Exception | None

    @property
    def error_type(self) -> str | None:
        return None if self.error is None else type(self.error).__name__


def _read(model: Any, path: str) -> tuple[np.ndarray | None, str, Exception | None]:
    """Runs in a reading thread: the recording as the contract admits it, or why not."""
    try:
        signals, notes = model.contract.admit(model.contract.open(path))
    except (MissingExtraError, MemoryError):
        raise  # the machine's fault, not the recording's
    except Exception as error:
        return None, "", error
    return signals, "; ".join(notes[0]), None


def _local(
    model: Any, paths: Sequence[str], batch: int, threads: int
) -> Generator[list[Row], None, None]:
    """Rows in order, a batch at a time, while the readers work ahead by a few batches."""
    pending: deque[tuple[str, Future]] = deque()
    held: list[tuple[str, Future]] = []
    pool = ThreadPoolExecutor(threads, thread_name_prefix="ecgkit-read")
    try:
        for path in paths:
            pending.append((path, pool.submit(_read, model, path)))
            if len(pending) >= 3 * batch + threads:
                held.append(pending.popleft())
                if len(held) == batch:
                    yield _answer(model, held)
                    held = []
        held.extend(pending)
        for i in range(0, len(held), batch):
            yield _answer(model, held[i : i + batch])
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _answer(model: Any, held: Sequence[tuple[str, Future]]) -> list[Row]:
    read = [(path, *future.result()) for path, future in held]
    good = [signals for _, signals, _, _ in read if signals is not None]
    answers = iter(())
    if good:
        prepared = model.contract.transform(np.concatenate(good))
        answers = iter(model.classify(prepared)[0] if model.labels else model.features(prepared))
    return [
        Row(path, None if signals is None else next(answers), notes, error)
        for path, signals, notes, error in read
    ]


def _remote(
    dask: Any, model: Any, paths: Sequence[str], batch: int, chunk: int
) -> Generator[list[Row], None, None]:
    """The same rows in the same order from the workers of a Dask cluster, a chunk per task."""
    distributed = need("distributed", "dask", "ek.score(dask=...)")
    given = isinstance(dask, distributed.Client)
    client = dask if given else distributed.Client(dask)
    pending: deque[Any] = deque()
    try:
        where = client.scatter(model, broadcast=True, hash=False)
        ahead = 2 * max(1, sum(client.nthreads().values()))
        for i in range(0, len(paths), chunk):
            task = client.submit(_score_chunk, where, paths[i : i + chunk], batch, pure=False)
            pending.append(task)
            if len(pending) >= ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        client.cancel(list(pending))
        if not given:
            client.close()


def _score_chunk(model: Any, paths: Sequence[str], batch: int) -> list[Row]:
    """Runs on a worker; errors travel as text, since foreign ones need not survive the journey."""
    rows = [row for rows in _local(model, paths, batch, get_threads()) for row in rows]
    return [row if row.error is None else row._replace(error=_portable(row.error)) for row in rows]


def _portable(error: Exception) -> Exception:
    """The error itself where it can be sent, else its name and text."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return EcgkitError(f"{type(error).__name__}: {error}")
    return error


# ---------------------------------------------------------------------- the run
class _Run:
    """Turns rows into parts on disk and into progress."""

    def __init__(
        self,
        parts: Parts,
        total: int,
        done: int,
        part: int,
        on_error: str,
        progress: Callable[[Progress], object] | None,
    ):
        self.parts, self.total, self.done = parts, total, done
        self.part, self.raises, self.progress = part, on_error == "raise", progress
        self.labels = [f.name for f in parts.schema if f.name not in _FIXED]
        self.failed, self.scored = 0, 0
        self.rows: list[Row] = []

    def consume(self, chunks: Generator[list[Row], None, None]) -> None:
        """Take all rows; whatever ends this, the rows that are complete are put on disk first."""
        began = saved = time.monotonic()
        try:
            for rows in chunks:
                for row in rows:
                    if row.error is not None and self.raises:
                        row.error.add_note(f"while scoring {row.path}")
                        raise row.error
                    self.rows.append(row)
                    self.failed += row.error is not None
                self.scored += len(rows)
                now = time.monotonic()
                if len(self.rows) >= self.part or now - saved >= PART_SECONDS:
                    self.save()
                    saved = time.monotonic()
                if self.progress is not None:
                    self.progress(self._progress(now - began))
        finally:
            chunks.close()
            self.save()

    def save(self) -> None:
        """Put the rows held on disk."""
        rows, self.rows = self.rows, []
        if rows:
            self.parts.append(self._columns(rows))

    def _columns(self, rows: Sequence[Row]) -> dict[str, list[Any]]:
        columns: dict[str, list[Any]] = {
            "record": [_key(row.path) for row in rows],
            "status": ["failed" if row.error is not None else "ok" for row in rows],
        }
        answers = [row.answer for row in rows]
        if "predicted" not in self.parts.schema.names:
            columns[_EMBEDDING] = answers
        else:
            for k, label in enumerate(self.labels):
                columns[label] = [None if a is None else a[k] for a in answers]
            columns["predicted"] = [
                None if a is None else self.labels[int(np.argmax(a))] for a in answers
            ]
        columns["notes"] = [row.notes for row in rows]
        columns["error_type"] = [row.error_type for row in rows]
        columns["error"] = [None if r.error is None else _text(str(r.error)) for r in rows]
        return columns

    def _progress(self, seconds: float) -> Progress:
        rate = self.scored / seconds if seconds > 0 else 0.0
        done = self.done + self.scored
        eta = (self.total - done) / rate if rate > 0 else float("nan")
        return Progress(done, self.total, self.failed, rate, eta)


_EMBEDDING = "embedding"
_FIXED = ("record", "status", "predicted", "notes", "error_type", "error")
