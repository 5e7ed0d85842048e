"""SCP-ECG (EN 1064, ISO 11073-91064): sections behind a table of pointers, each with its CRC.

Read: rhythm data (section 6) plain or in the default Huffman table, first and second differences,
reference-beat subtraction. Refused by name: tables of the file's own, bimodal compression.
"""

from __future__ import annotations

import binascii
import os
import struct
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from .._config import _core
from ..errors import FormatError
from ..record import Record
from . import _leads, _select

DEFAULT_TABLE = 19999
_HEADER = 16


class Lead(NamedTuple):
    """A line of section 3: first and last sample, numbered from 1, and the number of the lead."""

    first: int
    last: int
    number: int


class Beat(NamedTuple):
    """A line of section 4: where a reference beat was subtracted. Numbered from 1."""

    kind: int
    first: int
    fiducial: int
    last: int


def read(path: str, data: bytes, *, record, leads: _select.Leads, strict: bool) -> Record:
    """The rhythm data of an SCP-ECG record."""
    _select.recording(["rhythm"], record, path)
    sections = _sections(path, data)
    for number in (3, 6):
        if number not in sections:
            raise FormatError(f"{path} has no section {number}")
    huffman = _huffman(path, sections.get(2))
    lines, flags = _lead_lines(path, sections[3])
    avm, interval, rows = _encoded(path, 6, sections[6], lines, huffman)
    step = avm
    if flags & 1:
        rows, step = _add_beats(path, sections, lines, huffman, avm, interval, rows)
    names = [_leads.BY_NUMBER.get(x.number, f"lead {x.number}") for x in lines]
    kept, factors, _ = _select.voltages(names, ["nV"] * len(names), leads, path)
    if len({(x.first, x.last) for i, x in enumerate(lines) if i in kept}) > 1:
        spans = ", ".join(f"{names[i]} {lines[i].first}-{lines[i].last}" for i in kept)
        raise FormatError(
            f"{path}: leads cover different samples ({spans}); choose with leads=[...]"
        )
    raw = np.stack([rows[i] for i in kept])
    meta: dict[str, Any] = {
        "format": "SCP-ECG",
        "source": os.path.basename(path),
        "gain": (1 / step,) * len(kept),
        "baseline": (0,) * len(kept),
        "unit": ("nV",) * len(kept),
    }
    _patient(sections.get(1, b""), meta)
    signal = raw * (step * np.array(factors)[:, None])
    return Record(signal, 1e6 / interval, [names[i] for i in kept], meta=meta, raw=raw)


def _sections(path: str, data: bytes) -> dict[int, bytes]:
    """Bodies of the sections, once lengths, identities and CRCs have been checked."""
    if len(data) < 6 + _HEADER:
        raise FormatError(f"{path}: {len(data)} bytes cannot be an SCP-ECG record")
    crc, size = struct.unpack_from("<HI", data)
    if size < 6 + _HEADER or size > len(data):
        raise FormatError(
            f"{path}, byte 2: the record should have {size} bytes, it has {len(data)}"
        )
    if binascii.crc_hqx(data[2:size], 0xFFFF) != crc:
        raise FormatError(f"{path}, byte 0: the CRC of the record does not fit its {size} bytes")
    pointers = _section(path, data[:size], 0, 6, struct.unpack_from("<I", data, 10)[0])
    found = {}
    for at in range(0, len(pointers) - 9, 10):
        number, length, index = struct.unpack_from("<HII", pointers, at)
        if number == 0 or length == 0:
            continue
        if number in found:
            raise FormatError(f"{path}: section {number} is listed twice")
        if number <= 11:
            found[number] = _section(path, data[:size], number, index - 1, length)
    return found


def _section(path: str, data: bytes, number: int, at: int, length: int) -> bytes:
    where = f"{path}, section {number} at byte {at}"
    if at < 6 or length < _HEADER or at + length > len(data):
        raise FormatError(f"{where}: {length} bytes lie outside the record of {len(data)}")
    crc, identity, size = struct.unpack_from("<HHI", data, at)
    if identity != number or size != length:
        raise FormatError(f"{where}: its header says section {identity} of {size} bytes")
    if binascii.crc_hqx(data[at + 2 : at + length], 0xFFFF) != crc:
        raise FormatError(f"{where}: its CRC does not fit")
    return data[at + _HEADER : at + length]


def _huffman(path: str, body: bytes | None) -> bool:
    """Whether leads are Huffman coded (section 2 is there)."""
    if body is None:
        return False
    if len(body) < 2:
        raise FormatError(f"{path}: section 2 is too short")
    tables = struct.unpack_from("<H", body)[0]
    if tables != DEFAULT_TABLE:
        raise FormatError(f"{path}: section 2 brings {tables} Huffman tables; the default is read")
    return True


def _lead_lines(path: str, body: bytes) -> tuple[list[Lead], int]:
    if len(body) < 2 or body[0] == 0 or len(body) < 2 + 9 * body[0]:
        raise FormatError(f"{path}: section 3 must list its leads, it has {len(body)} bytes")
    lines = [Lead._make(struct.unpack_from("<IIB", body, 2 + 9 * i)) for i in range(body[0])]
    for i, x in enumerate(lines):
        if not 1 <= x.first <= x.last:
            raise FormatError(f"{path}: lead {i} covers samples {x.first} to {x.last}")
    return lines, body[1]


def _encoded(path: str, number: int, body: bytes, lines: list[Lead], huffman: bool, beat: int = 0):
    """Amplitude step (nV), sample interval (us) and rows of section 5 or 6.

    ``beat`` is the length of the reference beat in ms (for section 5; leads have their own).
    """
    where = f"{path}, section {number}"
    if len(body) < 6 + 2 * len(lines):
        raise FormatError(f"{where}: {len(body)} bytes are too few for {len(lines)} leads")
    avm, interval, difference, bimodal = struct.unpack_from("<HHBB", body)
    if avm == 0 or interval == 0:
        raise FormatError(f"{where}: step {avm} nV, interval {interval} us; neither may be 0")
    if difference > 2:
        raise FormatError(f"{where}: difference encoding {difference}; 0, 1 and 2 exist")
    if number == 6 and bimodal:
        raise FormatError(f"{where}: bimodal compression is not supported")
    sizes = struct.unpack_from(f"<{len(lines)}H", body, 6)
    at = 6 + 2 * len(lines)
    rows = []
    for i, (line, size) in enumerate(zip(lines, sizes)):
        count = round(beat * 1000 / interval) if number == 5 else line.last - line.first + 1
        room = size * 8 if huffman else size // 2
        if at + size > len(body) or count > room:
            raise FormatError(f"{where}: {count} samples of lead {i} do not fit its {size} bytes")
        chunk = body[at : at + size]
        at += size
        try:
            values = (
                _core.scp_huffman(chunk, count) if huffman else np.frombuffer(chunk, "<i2", count)
            )
        except FormatError:
            raise FormatError(f"{where}: Huffman codes of lead {i} end before {count}") from None
        rows.append(_undo(values.astype(np.int64), difference))
    return avm, interval, rows


def _undo(d: np.ndarray, difference: int) -> np.ndarray:
    """Amplitudes from first or second differences, in the 16 bits of the format."""
    if difference == 1:
        d = np.cumsum(d)
    elif difference == 2 and len(d) > 2:
        slope = np.concatenate(([d[1] - d[0]], d[2:])).cumsum()
        d = np.concatenate(([d[0]], d[0] + slope.cumsum()))
    return d.astype(np.int16).astype(np.int32)


def _add_beats(path, sections, lines, huffman, avm, interval, rows):
    """Add the reference beat (section 5) back where section 4 says it was subtracted."""
    for number in (4, 5):
        if number not in sections:
            raise FormatError(f"{path} subtracts a reference beat, but has no section {number}")
    body = sections[4]
    if len(body) < 6:
        raise FormatError(f"{path}: section 4 is too short")
    length, fiducial, count = struct.unpack_from("<HHH", body)
    if len(body) < 6 + 14 * count:
        raise FormatError(f"{path}: section 4 has {len(body)} bytes, {count} beats need more")
    places = [Beat._make(struct.unpack_from("<HIII", body, 6 + 14 * i)) for i in range(count)]
    step, beat_interval, beats = _encoded(path, 5, sections[5], lines, huffman, length)
    if beat_interval != interval:
        raise FormatError(f"{path}: reference beat and rhythm differ in rate; not supported")
    common = int(np.gcd(step, avm))
    out = []
    for line, row, beat in zip(lines, rows, beats):
        whole, add = row * (avm // common), beat * (step // common)
        for p in places:
            if p.kind != 0:
                continue
            begin = p.fiducial - fiducial  # sample of the record, from 0, of the beat's first one
            first = max(p.first - 1, line.first - 1, begin)
            last = min(p.last, line.last, begin + len(add))
            if first < last:
                here = first - (line.first - 1)
                whole[here : here + last - first] += add[first - begin : last - begin]
        out.append(whole)
    return out, common


def _patient(body: bytes, meta: dict[str, Any]) -> None:
    """Sex, age, and date and time of acquisition (section 1); never a name or an identity."""
    tags: dict[int, bytes] = {}
    at = 0
    while at + 3 <= len(body) and body[at] != 255:
        size = int.from_bytes(body[at + 1 : at + 3], "little")
        tags.setdefault(body[at], body[at + 3 : at + 3 + size])
        at += 3 + size
    age, sex, day, time = (tags.get(tag, b"") for tag in (4, 8, 25, 26))
    if len(age) == 3 and age[2] == 1:
        meta["age"] = int.from_bytes(age[:2], "little")
    if sex in (b"\1", b"\2"):
        meta["sex"] = "male" if sex == b"\1" else "female"
    if len(day) == 4 and len(time) == 3:
        try:
            year = int.from_bytes(day[:2], "little")
            meta["start"] = datetime(year, day[2], day[3], time[0], time[1], time[2])
        except ValueError:
            return
