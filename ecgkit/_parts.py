"""A Parquet table that grows in parts and survives kill -9 at any moment.

Beside ``out`` lies the folder ``<out>.parts``::

    lock                    held (flock) by the one job that writes; the system lets go of it when
    the job dies manifest.json           what the rows were made with; another fingerprint is
    refused part-000000.parquet     rows, in the order in which they were made; each file appears
    whole or not at all

A part is written beside its place, synced and renamed, so after a crash the parts hold every row
that was ever put there, once. :meth:`Parts.finish` streams them into ``out`` (again whole or not at
all), then renames the folder away and removes it: whatever moment a crash chooses, the next run
finds all parts or the whole table.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import _atomic
from ._extras import need
from .errors import EcgkitError, OutputError

_KEY = b"ecgkit"
_GROUP = 1 << 13  # rows: 25 MB of embeddings of 768 numbers


def _parquet(module: str = "pyarrow"):
    return need(module, "cli", "writing Parquet")


class Parts:
    """The rows of ``out`` while they are being made; a context manager that holds the lock.

    Parameters
    ----------
    out : path-like
        The table to be.
    schema : pyarrow.Schema
        Its first column is the key: a string that names a row.
    made_with : mapping
        What must not change between runs (JSON types); kept in the manifest and in the table's
        metadata.
    resume : bool
        Go on with what is there; ``False``: start anew (``out`` itself stays until the end).
    """

    def __init__(
        self,
        out: str | os.PathLike[str],
        schema: Any,
        made_with: Mapping[str, Any],
        *,
        resume: bool = True,
    ):
        self.out = Path(out)
        self.folder = self.out.with_name(self.out.name + ".parts")
        self.made_with = dict(made_with)
        self.schema = schema.with_metadata({_KEY: json.dumps(self.made_with, sort_keys=True)})
        self._resume = resume
        self._lock: int | None = None
        self._next = 0
        self._as_finished = False  # the rows are those of the finished table, no more and no less

    # ------------------------------------------------------------------ opening
    def __enter__(self) -> Parts:
        try:
            self._take_lock()
            if not self._resume:
                self._discard()
                self._take_lock()
            try:
                self._open()
            except OutputError:
                if not self._files():
                    self._discard()
                raise
        except OSError as error:
            self._release()
            raise self._unwritable(error) from error
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._release()

    def _take_lock(self) -> None:
        import fcntl

        path = self.folder / "lock"
        while self._lock is None:
            self.folder.mkdir(exist_ok=True)
            try:
                handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            except FileNotFoundError:
                continue  # the job that had the folder finished between the two lines
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(handle)
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    raise
                raise OutputError(
                    f"{self.out}: another job is writing it; wait for its end or choose another out"
                ) from None
            if _same_file(handle, path):
                self._lock = handle
            else:
                os.close(handle)  # a lock on a file that was removed meanwhile is none

    def _open(self) -> None:
        trash = self.out.parent.glob(f".{self.folder.name}.*.old")
        for folder in trash:
            shutil.rmtree(folder)
        for stale in (
            *self.folder.glob(".*.tmp"),
            *self.out.parent.glob(f".{self.out.name}.*.tmp"),
        ):
            stale.unlink()
        manifest = self.folder / "manifest.json"
        if self._files():
            if not manifest.exists():
                raise OutputError(
                    f"{self.folder} holds parts without a manifest; move it away or pass "
                    "resume=False"
                )
            self._same(json.loads(manifest.read_text(encoding="utf-8")), self.folder)
        else:
            finished = self._resume and self.out.exists()
            if finished:
                self._check_table()
            text = json.dumps(self.made_with, indent=1, sort_keys=True)
            _atomic.write_bytes(manifest, text.encode())
            if finished:  # it becomes part 0, so that more rows can follow
                part = self.folder / "part-000000.parquet"
                _atomic.write(part, lambda path: shutil.copyfile(self.out, path))
                self._as_finished = True
        self._next = 1 + max((_number(part) for part in self._files()), default=-1)

    def _discard(self) -> None:
        """Remove the folder: first out of the way as a whole, then file by file."""
        trash = self.folder.with_name(f".{self.folder.name}.{os.getpid()}.old")
        self.folder.rename(trash)
        _atomic.sync_folder(trash.parent)
        shutil.rmtree(trash)
        self._release()

    def _check_table(self) -> None:
        """``out`` was made by this class, with the same."""
        pq = _parquet("pyarrow.parquet")
        try:
            found = pq.read_schema(self.out).metadata or {}
        except Exception as error:
            raise OutputError(
                f"{self.out} exists and is not a Parquet table ({error}); choose another out"
            ) from None
        if _KEY not in found:
            raise OutputError(
                f"{self.out} exists and was not written by ek.score; choose another out, or pass "
                "resume=False to replace it"
            )
        self._same(json.loads(found[_KEY]), self.out)

    def _same(self, found: Mapping[str, Any], where: Path) -> None:
        keys = sorted({*found, *self.made_with})
        differ = [k for k in keys if found.get(k) != self.made_with.get(k)]
        if differ:
            changes = "; ".join(
                f"{k}: {_short(found.get(k))} there, {_short(self.made_with.get(k))} now"
                for k in differ
            )
            raise OutputError(
                f"{where} was begun with something else ({changes}); go on with the same model, "
                "choose "
                "another out, or pass resume=False to start anew"
            )

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # --------------------------------------------------------------------- rows
    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("part-*.parquet"), key=_number)

    def keys(self) -> Iterator[str]:
        """The key of every row that is safe on disk."""
        pq = _parquet("pyarrow.parquet")
        for part in self._files():
            yield from pq.read_table(part, columns=[self.schema.names[0]])[0].to_pylist()

    def append(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Put rows on disk as the next part; when this returns they survive a crash."""
        pa, pq = _parquet(), _parquet("pyarrow.parquet")
        table = pa.table(dict(columns), schema=self.schema)
        part = self.folder / f"part-{self._next:06d}.parquet"
        try:
            _atomic.write(part, lambda path: pq.write_table(table, path))
        except OSError as error:
            raise self._unwritable(error) from error
        self._next += 1
        self._as_finished = False

    def finish(self, wanted: set[str]) -> None:
        """Stream the rows whose key is wanted into ``out`` and remove the parts."""
        try:
            if not (self._as_finished and wanted.issuperset(self.keys())):
                _atomic.write(self.out, lambda path: self._merge(path, wanted))
            self._discard()
        except OSError as error:
            raise self._unwritable(error) from error

    def _merge(self, path: Path, wanted: set[str]) -> None:
        """Row groups of one size, so that the file does not depend on where a run was
        interrupted."""
        pa, pq = _parquet(), _parquet("pyarrow.parquet")
        with pq.ParquetWriter(path, self.schema) as writer:
            held = self.schema.empty_table()
            for part in self._files():
                table = pq.read_table(part, use_threads=False, pre_buffer=False).cast(self.schema)
                keep = pa.array([key in wanted for key in table[0].to_pylist()], pa.bool_())
                held = pa.concat_tables([held, table.filter(keep)])
                while len(held) >= _GROUP:
                    writer.write_table(held.slice(0, _GROUP).combine_chunks())
                    held = held.slice(_GROUP).combine_chunks()  # lets go of what is written
                    pa.default_memory_pool().release_unused()
            writer.write_table(held.combine_chunks())

    def _unwritable(self, error: OSError) -> EcgkitError:
        if isinstance(error, EcgkitError):
            return error
        return OutputError(
            f"{error.filename or self.out}: cannot be written ({error.strerror or error}); the "
            "rows "
            f"finished so far are kept in {self.folder}: free space or mend the permission, then "
            "run "
            "the same call again"
        )


def _same_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def _number(part: Path) -> int:
    return int(part.stem.partition("-")[2])


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= 60 else text[:57] + "..."
