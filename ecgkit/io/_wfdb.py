"""WFDB records: the C fast path, segments, and the wfdb package for the rarer storage formats.

Fast path: formats 16, 24, 32, 80, 212, one sample a frame, no skew. It needs no optional package.
"""

from __future__ import annotations

import os
import re
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from .._config import _core
from .._extras import need
from .._typing import Array
from ..errors import EcgkitError, FormatError
from ..record import Record
from . import _annotations, _files, _select

FAST = {16, 24, 32, 80, 212}
FLAC = {508, 516, 524}
# Bits a sample takes on disk, and the code of an invalid sample (None: the format has none).
BITS = {80: 8, 16: 16, 24: 24, 32: 32, 212: 12, 8: 8, 61: 16, 160: 16, 310: 10, 311: 10}
INVALID = {
    80: -(2**7), 16: -(2**15), 24: -(2**23), 32: -(2**31), 212: -(2**11), 8: None, 61: -(2**15),
    160: -(2**15), 310: -(2**9), 311: -(2**9), 508: -(2**7), 516: -(2**15), 524: -(2**23),
}  # fmt: skip
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


class Part(NamedTuple):
    """What was read of one segment: rows of equal length."""

    signal: Array
    raw: Array | None
    fs: float
    warnings: list[str]


def parse_header(text: bytes, source: str) -> Header:
    """Parse a header; a :class:`FormatError` names the line and the field."""
    h = Header._make(_core.wfdb_header(text, source))
    return h._replace(signals=tuple(map(Signal._make, h.signals)))


def header_of(path: str) -> str | None:
    """The header beside a signal file, if it names that file."""
    file = os.path.basename(path)
    beside = os.path.splitext(path)[0] + ".hea"
    if not os.path.isfile(beside) or beside == path:
        return None
    header = parse_header(_files.read_bytes(beside, MAX_HEADER), beside)
    return beside if any(s.file == file for s in header.signals) else None


def names_of(header: Header) -> list[str]:
    """Names of the signals; the specification's default where a line has none."""
    return [s.name or f"record {header.name}, signal {i}" for i, s in enumerate(header.signals)]


def units_of(header: Header) -> list[str]:
    """Units of the signals; mV where a line has none, as the specification says."""
    return [s.unit or "mV" for s in header.signals]


def read(
    path: str, text: bytes | None = None, *, leads: _select.Leads = None, strict: bool = False
) -> Record:
    """The record of the header at ``path`` (its text may be given when it was read already)."""
    if text is None:
        text = _files.read_bytes(path, MAX_HEADER)
    header = parse_header(text, path)
    if header.segments:
        from . import _wfdb_segments

        names, part, facts = _wfdb_segments.read(path, header, leads)
    else:
        names, part, facts = _read_plain(path, header, leads)
    warnings = part.warnings
    meta: dict[str, Any] = {"format": "WFDB", "source": os.path.basename(path), **facts}
    start, doubt = _start(header.start)
    if start is not None:
        meta["start"] = start
    if header.comments:
        meta["comments"] = tuple(c.strip() for c in header.comments)
    labels = _labels(path, header, warnings)
    if strict and warnings:
        raise FormatError(f"{path}: {'; '.join(warnings)}"[:1000])
    if doubt:
        warnings.append(doubt)
    if warnings:
        meta["warnings"] = tuple(warnings)
    return Record(part.signal, part.fs, names, labels=labels, meta=meta, raw=part.raw)


def _read_plain(path: str, header: Header, leads: _select.Leads):
    if not header.signals:
        raise FormatError(f"{path} describes no signal")
    names = names_of(header)
    kept, factors, dropped = _select.voltages(names, units_of(header), leads, path)
    part = load(path, header, names, kept, factors)
    every = header.signals
    chosen = every if len(kept) == len(every) else [every[i] for i in kept]
    facts: dict[str, Any] = {
        "gain": tuple([s.gain for s in chosen]),
        "baseline": tuple([s.baseline for s in chosen]),
        "unit": tuple([s.unit or "mV" for s in chosen]),
        "storage": tuple([s.format for s in chosen]),
    }
    if dropped:
        facts["dropped"] = dropped
    guessed = [names[i] for i in kept if not every[i].calibrated]
    if guessed:
        part.warnings.append(f"no gain for {', '.join(guessed)}: 200 steps per unit, as WFDB says")
    return [names[i] for i in kept], part, facts


def load(
    path: str, header: Header, names: list[str], kept: list[int], factors: list[float]
) -> Part:
    """Read and scale the signals ``kept`` of a plain record."""
    every = header.signals
    rates = [header.fs * every[i].per_frame for i in kept]
    fs = _select.one_rate([names[i] for i in kept], rates, path)
    if all(s.format in FAST and s.per_frame == 1 and s.skew == 0 for s in every):
        return _load_fast(path, header, names, kept, factors)
    return _load_slow(path, header, kept, factors, fs)


def _load_fast(path, header, names, kept, factors) -> Part:
    folder, every = os.path.dirname(path), header.signals
    opened: list[int] = []
    try:
        frames, specs = header.length, []
        for name, fmt, offset, per_frame in _group(path, header):
            fd, size = _files.open_beside(folder, name, path)
            opened.append(fd)
            frames = _frames(path, name, fmt, per_frame, size - offset, frames)
            specs.append((fd, fmt, offset, per_frame))
        by_row = dict(zip(kept, factors))
        scale = tuple([(s.gain, s.baseline, by_row.get(i, 1.0)) for i, s in enumerate(every)])
        signal, raw, sums = _core.wfdb_load(tuple(specs), frames, scale)
    finally:
        for fd in opened:
            os.close(fd)
    warnings = []
    for s, name, total, first in zip(every, names, sums, raw[:, 0].tolist()):
        if s.checksum is not None and s.checksum & 0xFFFF != total:
            warnings.append(f"checksum of {name} is {total}, the header says {s.checksum}")
        if s.initial is not None and s.initial != first:
            warnings.append(f"first sample of {name} is {first}, the header says {s.initial}")
    if kept != list(range(len(every))):
        signal, raw = signal[kept], raw[kept]
    signal.flags.writeable = raw.flags.writeable = False
    return Part(signal, raw, header.fs, warnings)


def _load_slow(path: str, header: Header, kept: list[int], factors: list[float], fs: float) -> Part:
    """Through the wfdb package, once the sizes of all files have been checked."""
    frames = header.length
    for name, fmt, offset, per_frame in _group(path, header):
        if fmt not in INVALID:
            raise FormatError(f"{path}: storage format {fmt} of {name!r} is not a WFDB format")
        fd, size = _files.open_beside(os.path.dirname(path), name, path)
        try:
            if fmt in FLAC:
                frames = _flac_frames(path, name, fd, header, offset, frames)
            else:
                frames = _frames(path, name, fmt, per_frame, size - offset, frames)
        finally:
            os.close(fd)
    if not path.endswith(".hea"):
        raise FormatError(f"{path}: a header in this storage format must be named *.hea")
    if max(s.skew for s in header.signals) > frames:
        raise FormatError(f"{path}: a skew exceeds the {frames} samples of the record")
    wfdb = need("wfdb", "io", "this WFDB storage format")
    plain = all(header.signals[i].per_frame == 1 for i in kept)
    try:
        found = wfdb.rdrecord(
            os.path.abspath(path)[:-4], channels=kept, physical=False, smooth_frames=plain
        )
        rows = found.d_signal.T if plain else found.e_d_signal
        raw = np.stack([np.asarray(row, np.int32) for row in rows])
    except Exception as error:  # wfdb and soundfile raise many kinds on broken files
        what = f"{type(error).__name__}: {error}"[:200]
        raise FormatError(f"{path}: the wfdb package cannot read it: {what}") from error
    signal = np.empty(raw.shape, np.float32)
    warnings = []
    for row, i, factor, out in zip(raw, kept, factors, signal):
        s = header.signals[i]
        out[:] = (row.astype(np.float64) - s.baseline) / s.gain * factor
        if INVALID[s.format] is not None:
            out[row == INVALID[s.format]] = np.nan
        if s.format == 8 and s.skew:
            out[len(out) - s.skew * s.per_frame :] = np.nan
        total = int(row.sum(dtype=np.int64)) & 0xFFFF
        if s.checksum is not None and not s.skew and s.checksum & 0xFFFF != total:
            warnings.append(f"checksum of {s.name} is {total}, the header says {s.checksum}")
    signal.flags.writeable = raw.flags.writeable = False
    return Part(signal, raw, fs, warnings)


def _group(path: str, header: Header) -> list[tuple[str, int, int, int]]:
    """(file, format, offset, samples a frame) of each signal file, in the order of the signals."""
    files: list[tuple[str, int, int, int]] = []
    for s in header.signals:
        if files and files[-1][0] == s.file:
            name, fmt, offset, count = files[-1]
            if (s.format, s.offset) != (fmt, offset):
                raise FormatError(f"{path}: signals of {name!r} differ in format or byte offset")
            files[-1] = (name, fmt, offset, count + s.per_frame)
            continue
        if s.file == "~":
            raise FormatError(f"{path}: signal {s.name!r} has no file (~); this is a layout header")
        if any(s.file == f[0] for f in files):
            raise FormatError(f"{path}: the signals of {s.file!r} are not on consecutive lines")
        files.append((s.file, s.format, s.offset, s.per_frame))
    return files


def _frames(path: str, name: str, fmt: int, per_frame: int, size: int, wanted: int) -> int:
    """Frames to read from ``size`` bytes: never more than they hold."""
    samples = max(size, 0) * 3 // 4 if fmt in (310, 311) else max(size, 0) * 8 // BITS[fmt]
    return _enough(path, name, samples // per_frame, wanted)


def _enough(path: str, name: str, held: int, wanted: int) -> int:
    wanted = held if wanted < 0 else wanted
    if held < wanted or held == 0:
        raise FormatError(f"{path}: {name!r} must hold {wanted} frames, it holds {held}")
    return wanted


def _flac_frames(path: str, name: str, fd: int, header: Header, offset: int, wanted: int) -> int:
    soundfile = need("soundfile", "io", "WFDB signals compressed with FLAC")
    try:
        with os.fdopen(os.dup(fd), "rb") as file:
            held = soundfile.info(file).frames - offset
    except (RuntimeError, ValueError, TypeError) as error:
        raise FormatError(f"{path}: {name!r} is not FLAC: {error}"[:300]) from error
    per_frame = next(s.per_frame for s in header.signals if s.file == name)
    return _enough(path, name, held // per_frame, wanted)


def _labels(path: str, header: Header, warnings: list[str]) -> dict[str, Any] | None:
    """Diagnoses in the comments (#Dx: code,code) and the reference annotations (.atr)."""
    labels: dict[str, Any] = {}
    for comment in header.comments:
        key, colon, value = comment.partition(":")
        if colon and key.strip() == "Dx":
            labels["dx"] = tuple(code.strip() for code in value.split(",") if code.strip())
    beside = os.path.splitext(path)[0] + ".atr"
    if os.path.exists(beside):
        try:
            labels["annotations"] = _annotations.read_annotations(beside)
        except (EcgkitError, OSError) as error:
            warnings.append(f"annotations are not read: {error}")
    return labels or None


_TIME = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.(\d{1,6}))?\Z")
_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})\Z")


def _start(text: str) -> tuple[datetime | str | None, str]:
    """When the record began: a datetime, the time alone as text, or None and a remark."""
    if not text:
        return None, ""
    words = text.split()
    time = _TIME.match(words[0])
    if time and len(words) == 1:
        return words[0], ""
    date = _DATE.match(words[1]) if time and len(words) == 2 else None
    if time and date:
        hour, minute, second, fraction = time.groups()
        day, month, year = date.groups()
        micro = int((fraction or "0").ljust(6, "0"))
        try:
            at = (int(year), int(month), int(day), int(hour), int(minute), int(second), micro)
            return datetime(*at), ""
        except ValueError:
            pass
    return None, "start time and date are not HH:MM:SS DD/MM/YYYY"
