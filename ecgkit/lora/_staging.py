"""A folder that appears whole or not at all, made of large files that survive kill -9 one by one.

While ``out`` is being made, ``<out>.parts`` holds::

    lock            held (flock) by the one job that writes
    manifest.json   what the result is made of; another is refused
    model/          the result to be; a weight file in it is whole
    <file>.json     what was done in a weight file; written before the file gets its name
    old/            an earlier result on its way out, until the new one is in its place

A weight file is finished when it and its ``.json`` are there. The end is one rename of ``model`` to
``out``; whatever moment a crash chooses, the next run finds one of these states and goes on.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .. import _atomic
from ..errors import OutputError
from ._report import _plain
from ._stream import unwritable

REPORT = "merge_report.json"


class Staging:
    """The result while it is being made; a context manager that holds the lock.

    Parameters
    ----------
    out : Path
    made_with : mapping
        What must not change between the runs of one merge (JSON types).
    fingerprint : str
        Of ``made_with``; a finished ``out`` states it in its report.
    resume : bool
        Keep finished files; ``False``: start anew and replace an ``out`` that a merge made.
    """

    def __init__(self, out: Path, made_with: Mapping[str, Any], fingerprint: str, *, resume: bool):
        self.out, self.made_with, self.fingerprint = out, dict(made_with), fingerprint
        self.folder = out.with_name(out.name + ".parts")
        self.model = self.folder / "model"
        self.finished: dict[str, Any] | None = None
        self._resume = resume
        self._lock: int | None = None

    def __enter__(self) -> Staging:
        try:
            for trash in self.out.parent.glob(f".{self.folder.name}.*.old"):
                shutil.rmtree(trash, ignore_errors=True)
            self._check_out()
            self._take_lock()
            if self.finished is not None:
                self._remove()
                return self
            self._open()
        except OSError as error:
            self._release()
            if isinstance(error, OutputError):
                raise
            raise unwritable(self.folder, error) from error
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._release()

    # ------------------------------------------------------------------ opening
    def _check_out(self) -> None:
        """``out`` is absent, empty, this merge done, or (to be replaced) another merge."""
        if not os.path.lexists(self.out):
            return
        if not self.out.is_dir():
            raise OutputError(f"{self.out} exists and is no folder; choose another out")
        if not any(self.out.iterdir()):
            return
        try:
            report = json.loads((self.out / REPORT).read_bytes())
            made = report["fingerprint"]
        except (OSError, ValueError, KeyError, TypeError):
            raise OutputError(
                f"{self.out} exists and was not made by a merge; choose another out"
            ) from None
        if not self._resume:
            return
        if made != self.fingerprint:
            raise OutputError(
                f"{self.out} holds another merge (other base, adapter or options); choose another "
                "out, or pass resume=False to replace it"
            )
        self.finished = report

    def _take_lock(self) -> None:
        import fcntl

        if self.finished is not None and not self.folder.exists():
            return
        self.folder.mkdir(exist_ok=True)
        handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            raise OutputError(
                f"{self.out}: another job is writing it; wait for its end or choose another out"
            ) from None
        self._lock = handle

    def _open(self) -> None:
        old = self.folder / "old"
        if old.exists() and not self.out.exists():
            # A crash between two renames: the new one is whole, or the old one goes back.
            if self._resume and (self.model / REPORT).exists() and self._same():
                self._put_in_place()
                self.finished = json.loads((self.out / REPORT).read_bytes())
                self._remove()
                return
            old.rename(self.out)
        manifest = self.folder / "manifest.json"
        if not self._resume or not manifest.exists():
            for path in self.folder.iterdir():
                if path.name != "lock":
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        elif not self._same():
            raise OutputError(
                f"{self.folder} was begun with another base, adapter or options; go on with the "
                "same, choose another out, or pass resume=False to start anew"
            )
        self.model.mkdir(exist_ok=True)
        for stale in self.model.glob(".*.tmp"):
            stale.unlink()
        if not manifest.exists():
            _atomic.write_bytes(manifest, json.dumps(self.made_with, indent=1).encode())

    def _same(self) -> bool:
        try:
            return json.loads((self.folder / "manifest.json").read_bytes()) == self.made_with
        except (OSError, ValueError):
            return False

    # -------------------------------------------------------------- weight files
    def shard(self, name: str, size: int) -> list[dict[str, Any]] | None:
        """What an earlier run did in a weight file; None if it is not finished."""
        try:
            if (self.model / name).stat().st_size != size:
                return None
            return json.loads((self.folder / f"{name}.json").read_bytes())
        except (OSError, ValueError):
            return None

    def put(
        self, name: str, fill: Callable[[Path], object], facts: Callable[[], list[dict[str, Any]]]
    ) -> None:
        """Make one weight file: ``fill`` writes it, ``facts`` says what was done."""

        def whole(part: Path) -> None:
            fill(part)
            text = json.dumps(_plain(facts()))
            _atomic.write_bytes(self.folder / f"{name}.json", text.encode())

        try:
            (self.folder / f"{name}.json").unlink(missing_ok=True)
            _atomic.write(self.model / name, whole)
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            raise unwritable(self.model / name, error) from error

    # ---------------------------------------------------------------------- end
    def finish(self) -> None:
        """Give the result its name and remove what helped to make it."""
        if self.out.exists() and any(self.out.iterdir()):
            self.out.rename(self.folder / "old")
        self._put_in_place()
        self._remove()

    def _put_in_place(self) -> None:
        self.model.rename(self.out)
        _atomic.sync_folder(self.out.parent)

    def _remove(self) -> None:
        if self.folder.exists():
            trash = self.folder.with_name(f".{self.folder.name}.{os.getpid()}.old")
            self.folder.rename(trash)
            shutil.rmtree(trash)
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
