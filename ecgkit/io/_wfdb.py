"""WFDB records: the C fast path, segments, and the wfdb package for the rarer storage formats.

Fast path: formats 16, 24, 32, 80, 212, one sample a frame, no skew. It needs no optional package.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
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


class Signals(NamedTuple):
    """The signal lines of a header as columns, one item a signal in each."""

    name: tuple[str, ...]
    file: tuple[str, ...]
    unit: tuple[str, ...]  # "" where the line has none
    format: tuple[int, ...]
    per_frame: tuple[int, ...]
    skew: tuple[int, ...]
    offset: tuple[int, ...]
    gain: tuple[float, ...]
    baseline: tuple[int, ...]
    initial: tuple[int | None, ...]
    checksum: tuple[int | None, ...]  # modulo 65,536
    calibrated: tuple[bool, ...]  # False where the gain is absent or 0

    def pick(self, kept: list[int]) -> Signals:
        """These signals only."""
        return Signals._make(tuple([column[i] for i in kept]) for column in self)


class Header(NamedTuple):
    """A parsed header. ``length`` is in frames, -1 if the header does not say."""

    name: str
    fs: float
    counter: float
    base: float
    length: int
    start: str
    channels: int
    signals: Signals
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
    h = _core.wfdb_header(text, source)
    return Header._make((*h[:7], Signals._make(h[7]), *h[8:]))


def header_of(path: str) -> str | None:
    """The header beside a signal file, if it names that file."""
    file = os.path.basename(path)
    beside = os.path.splitext(path)[0] + ".hea"
    if not os.path.isfile(beside) or beside == path:
        return None
    header = parse_header(_files.read_bytes(beside, MAX_HEADER), beside)
    return beside if file in header.signals.file else None


def names_of(header: Header) -> tuple[str, ...]:
    """Names of the signals; the specification's default where a line has none."""
    names = header.signals.name
    if all(names):
        return names
    return tuple(n or f"record {header.name}, signal {i}" for i, n in enumerate(names))


def units_of(header: Header) -> tuple[str, ...]:
    """Units of the signals; mV where a line has none, as the specification says."""
    units = header.signals.unit
    return units if all(units) else tuple(u or "mV" for u in units)


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
    if not header.channels:
        raise FormatError(f"{path} describes no signal")
    names, units = names_of(header), units_of(header)
    kept, factors, dropped = _select.voltages(names, units, leads, path)
    part = load(path, header, names, kept, factors)
    chosen = header.signals
    if kept != list(range(header.channels)):
        chosen = chosen.pick(kept)
        names, units = tuple(names[i] for i in kept), tuple(units[i] for i in kept)
    facts: dict[str, Any] = {
        "gain": chosen.gain,
        "baseline": chosen.baseline,
        "unit": units,
        "storage": chosen.format,
    }
    if dropped:
        facts["dropped"] = dropped
    if not all(chosen.calibrated):
        bare = ", ".join(n for n, known in zip(names, chosen.calibrated) if not known)
        part.warnings.append(f"no gain for {bare}: 200 steps per unit, as WFDB says")
    return names, part, facts


def load(
    path: str, header: Header, names: Sequence[str], kept: list[int], factors: list[float]
) -> Part:
    """Read and scale the signals ``kept`` of a plain record."""
    every = header.signals
    if set(every.per_frame) == {1} and set(every.skew) == {0} and set(every.format) <= FAST:
        return _load_fast(path, header, names, kept, factors)
    rates = [header.fs * every.per_frame[i] for i in kept]
    fs = _select.one_rate([names[i] for i in kept], rates, path)
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
        whole = kept == list(range(header.channels))
        if not whole:
            by_row = dict(zip(kept, factors))
            factors = [by_row.get(i, 1.0) for i in range(header.channels)]
        scale = tuple(zip(every.gain, every.baseline, factors))
        signal, raw, sums = _core.wfdb_load(tuple(specs), frames, scale)
    finally:
        for fd in opened:
            os.close(fd)
    warnings: list[str] = []
    if sums != every.checksum:
        _differ(warnings, "checksum", names, sums, every.checksum)
    first = tuple(raw[:, 0].tolist())
    if first != every.initial:
        _differ(warnings, "first sample", names, first, every.initial)
    if not whole:
        signal, raw = signal[kept], raw[kept]
    signal.flags.writeable = raw.flags.writeable = False
    return Part(signal, raw, header.fs, warnings)


def _differ(warnings: list[str], what: str, names, found, said) -> None:
    """A remark for each signal whose header says something else (None: it says nothing)."""
    for name, a, b in zip(names, found, said):
        if b is not None and a != b:
            warnings.append(f"{what} of {name} is {a}, the header says {b}")


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
    every = header.signals
    if max(every.skew) > frames:
        raise FormatError(f"{path}: a skew exceeds the {frames} samples of the record")
    wfdb = need("wfdb", "io", "this WFDB storage format")
    plain = all(every.per_frame[i] == 1 for i in kept)
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
    sums: list[int | None] = []
    for row, i, factor, out in zip(raw, kept, factors, signal):
        out[:] = (row.astype(np.float64) - every.baseline[i]) / every.gain[i] * factor
        invalid = INVALID[every.format[i]]
        if invalid is not None:
            out[row == invalid] = np.nan
        elif every.skew[i]:  # wfdb has no code to put behind the end of a shifted signal
            out[len(out) - every.skew[i] * every.per_frame[i] :] = np.nan
        sums.append(int(row.sum(dtype=np.int64)) & 0xFFFF)
    said = [None if every.skew[i] else every.checksum[i] for i in kept]
    warnings: list[str] = []
    _differ(warnings, "checksum", [every.name[i] for i in kept], sums, said)
    signal.flags.writeable = raw.flags.writeable = False
    return Part(signal, raw, fs, warnings)


def _group(path: str, header: Header) -> list[tuple[str, int, int, int]]:
    """(file, format, offset, samples a frame) of each signal file, in the order of the signals."""
    files: list[tuple[str, int, int, int]] = []
    x = header.signals
    alike = {len(set(column)) for column in (x.file, x.format, x.offset)} == {1}
    if alike and x.file[0] != "~":  # the usual archive: one file
        return [(x.file[0], x.format[0], x.offset[0], sum(x.per_frame))]
    for file, fmt, offset, frame in zip(x.file, x.format, x.offset, x.per_frame):
        if file == "~":
            raise FormatError(f"{path}: a signal has no file (~); this is a layout header")
        if files and files[-1][0] == file:
            name, *facts, count = files[-1]
            if facts != [fmt, offset]:
                raise FormatError(f"{path}: signals of {name!r} differ in format or byte offset")
            files[-1] = (name, fmt, offset, count + frame)
            continue
        if any(file == f[0] for f in files):
            raise FormatError(f"{path}: the signals of {file!r} are not on consecutive lines")
        files.append((file, fmt, offset, frame))
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
    per_frame = header.signals.per_frame[header.signals.file.index(name)]
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
            found = _annotations.read_annotations(beside)
            labels["annotations"] = found if found.fs else replace(found, fs=header.fs)
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
