"""WFDB records: the C fast path, and the wfdb package for what it does not do.

Fast path: one segment, formats 16, 24, 32, 80, 212, one sample a frame, no skew. It needs no
optional package.
"""

from __future__ import annotations

import os
import re
from datetime import datetime
from typing import Any, NamedTuple

from .._config import _core
from ..errors import FormatError
from ..record import Record
from . import _files, _select

FAST = {16, 24, 32, 80, 212}
MAX_HEADER = 1 << 20


class Signal(NamedTuple):
    """A signal line; None where it says nothing and the specification has no default."""

    name: str
    file: str
    unit: str | None
    format: int
    per_frame: int
    skew: int
    offset: int
    gain: float
    baseline: int
    resolution: int
    zero: int
    initial: int | None
    checksum: int | None
    block: int
    calibrated: bool


class Header(NamedTuple):
    """A parsed header. ``length`` is in frames, -1 if the header does not say."""

    name: str
    fs: float
    counter: float
    base: float
    length: int
    start: str
    count: int
    signals: tuple[Signal, ...]
    segments: tuple[tuple[str, int], ...]
    comments: tuple[str, ...]


def parse_header(text: bytes, source: str) -> Header:
    """Parse a header; a :class:`FormatError` names the line and the field."""
    h = Header._make(_core.wfdb_header(text, source))
    return h._replace(signals=tuple(map(Signal._make, h.signals)))


def read(
    path: str, text: bytes | None = None, *, leads: _select.Leads = None, strict: bool = False
) -> Record:
    """The record of the header at ``path`` (its text may be given when it was read already)."""
    if text is None:
        text = _files.read_bytes(path, MAX_HEADER)
    folder, file = os.path.split(path)
    header = parse_header(text, path)
    if not header.signals:
        raise FormatError(f"{path} describes no signal")
    names = _names(header)
    kept, factors, dropped = _select.voltages(
        names, [s.unit or "mV" for s in header.signals], leads, path
    )
    signal, raw, fs, warnings = _load(folder, path, header, names, kept, factors)
    if strict and warnings:
        raise FormatError(f"{path}: {'; '.join(warnings)}")
    chosen = (
        header.signals if len(kept) == len(header.signals) else [header.signals[i] for i in kept]
    )
    start, doubt = _start(header.start)
    signal.flags.writeable = raw.flags.writeable = False
    meta: dict[str, Any] = {
        "format": "WFDB",
        "source": file,
        "gain": tuple(s.gain for s in chosen),
        "baseline": tuple(s.baseline for s in chosen),
        "unit": tuple(s.unit or "mV" for s in chosen),
        "storage": tuple(s.format for s in chosen),
        "comments": tuple(c.strip() for c in header.comments),
    }
    if start is not None:
        meta["start"] = start
    if dropped:
        meta["dropped"] = dropped
    uncalibrated = [name for name, s in zip(names, header.signals) if not s.calibrated]
    if uncalibrated:
        warnings += (
            f"no gain for {', '.join(uncalibrated)}: 200 steps per unit, as WFDB specifies",
        )
    if warnings + doubt:
        meta["warnings"] = warnings + doubt
    return Record(signal, fs, [names[i] for i in kept], meta=meta, raw=raw)


def header_of(path: str) -> str | None:
    """The header beside a signal file, if it names that file."""
    file = os.path.basename(path)
    beside = os.path.splitext(path)[0] + ".hea"
    if not os.path.isfile(beside) or beside == path:
        return None
    header = parse_header(_files.read_bytes(beside, MAX_HEADER), beside)
    return beside if any(s.file == file for s in header.signals) else None


def _names(header: Header) -> list[str]:
    """Names of the signals; the specification's default where a line has none."""
    return [s.name or f"record {header.name}, signal {i}" for i, s in enumerate(header.signals)]


def _load(
    folder: str, path: str, header: Header, names: list[str], kept: list[int], factors: list[float]
):
    files = _group(path, header)
    if not all(s.format in FAST and s.per_frame == 1 and s.skew == 0 for s in header.signals):
        raise FormatError(f"{path} uses a storage format outside the fast path")
    opened: list[int] = []
    try:
        frames, specs = header.length, []
        for name, fmt, offset, count in files:
            fd, size = _files.open_beside(folder, name, path)
            opened.append(fd)
            frames = _frames(path, name, fmt, count, size - offset, frames)
            specs.append((fd, fmt, offset, count))
        by_row = dict(zip(kept, factors, strict=True))
        scale = tuple(
            (s.gain, s.baseline, by_row.get(i, 1.0)) for i, s in enumerate(header.signals)
        )
        signal, raw, sums = _core.wfdb_load(tuple(specs), frames, scale)
    finally:
        for fd in opened:
            os.close(fd)
    warnings = []
    for i, (s, total, first) in enumerate(
        zip(header.signals, sums, raw[:, 0].tolist(), strict=True)
    ):
        if s.checksum is not None and s.checksum & 0xFFFF != total:
            warnings.append(f"checksum of {names[i]} is {total}, the header says {s.checksum}")
        if s.initial is not None and s.initial != first:
            warnings.append(f"first sample of {names[i]} is {first}, the header says {s.initial}")
    if len(kept) != len(header.signals) or kept != sorted(kept):
        signal, raw = signal[kept], raw[kept]
    return signal, raw, header.fs, tuple(warnings)


def _group(path: str, header: Header) -> list[tuple[str, int, int, int]]:
    """(file, format, offset, signals) for each signal file, in the order of the signals."""
    files: list[tuple[str, int, int, int]] = []
    for s in header.signals:
        if files and files[-1][0] == s.file:
            name, fmt, offset, count = files[-1]
            if (s.format, s.offset) != (fmt, offset):
                raise FormatError(
                    f"{path}: the signals of {name!r} differ in format or byte offset"
                )
            files[-1] = (name, fmt, offset, count + 1)
            continue
        if any(s.file == f[0] for f in files):
            raise FormatError(f"{path}: the signals of {s.file!r} are not on consecutive lines")
        files.append((s.file, s.format, s.offset, 1))
    return files


def _frames(path: str, name: str, fmt: int, count: int, size: int, wanted: int) -> int:
    """Frames to read from a file of ``size`` bytes: never more than it holds."""
    bits = {80: 8, 16: 16, 24: 24, 32: 32, 212: 12}[fmt]
    held = max(size, 0) * 8 // (bits * count)
    if wanted < 0:
        wanted = held
    if held < wanted or held == 0:
        raise FormatError(
            f"{path}: {name!r} must hold {wanted} samples of {count} signals in format {fmt}, "
            f"it holds {held}"
        )
    return wanted


_TIME = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.(\d{1,6}))?\Z")
_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})\Z")


def _start(text: str) -> tuple[datetime | str | None, tuple[str, ...]]:
    """When the record began: a datetime, the time alone as text, or None with a remark."""
    if not text:
        return None, ()
    words = text.split()
    time = _TIME.match(words[0])
    if time and len(words) == 1:
        return words[0], ()
    date = _DATE.match(words[1]) if time and len(words) == 2 else None
    if time and date:
        hour, minute, second, fraction = time.groups()
        day, month, year = date.groups()
        try:
            return datetime(
                int(year),
                int(month),
                int(day),
                int(hour),
                int(minute),
                int(second),
                int((fraction or "0").ljust(6, "0")),
            ), ()
        except ValueError:
            pass
    return None, ("start time and date are not HH:MM:SS DD/MM/YYYY",)
