"""WFDB records of several segments, with a fixed or a variable layout.

Every segment is scaled with its own gain and baseline. Where a segment is missing by design
(``~``), or does not have a lead, samples are NaN.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np

from ..errors import FormatError, LeadError
from ..record import canonical_lead
from . import _files, _select
from . import _wfdb as plain

MAX_BYTES = 2 << 30
MAX_GAPS = 100  # a record may be at most this many times longer than what is stored of it


def read(path: str, header: plain.Header, leads: _select.Leads):
    """Leads, samples and facts of a multi-segment record."""
    folder = os.path.dirname(path)
    segments = list(header.segments)
    stored = [name for name, _ in segments if name != "~"]
    if len(set(stored)) != len(stored):
        raise FormatError(f"{path} names a segment more than once")
    headers: dict[str, plain.Header] = {}
    for name in stored:
        headers[name] = _segment_header(folder, name, path)
    layout = None
    if segments[0][1] == 0 and segments[0][0] != "~":
        layout = headers[segments.pop(0)[0]]
    if not segments:
        raise FormatError(f"{path} has a layout but no segment")
    _check(path, header, segments, headers)

    model = layout or next((headers[n] for n, _ in segments if n != "~"), None)
    if model is None:
        raise FormatError(f"{path} has no stored segment")
    names = plain.names_of(model)
    kept, _, dropped = _select.voltages(names, plain.units_of(model), leads, path)
    wanted = [names[i] for i in kept]
    pieces = {}
    for name, _ in segments:
        if name != "~":
            where = os.path.join(folder, f"{name}.hea")
            piece = _load(path, where, headers[name], wanted, fixed=layout is None)
            if piece is not None:
                pieces[name] = piece
    if not pieces:
        raise FormatError(f"{path}: no segment has {', '.join(wanted)}")
    part, facts = _join(path, header, segments, pieces, len(wanted))
    facts["segments"] = tuple(segments)
    if dropped:
        facts["dropped"] = dropped
    return wanted, part, facts


def _segment_header(folder: str, name: str, path: str) -> plain.Header:
    fd, _ = _files.open_beside(folder, f"{name}.hea", path)
    os.close(fd)
    where = os.path.join(folder, f"{name}.hea")
    header = plain.parse_header(_files.read_bytes(where, plain.MAX_HEADER), where)
    if header.segments:
        raise FormatError(f"{path}: segment {name!r} has segments itself; one level is allowed")
    return header


def _check(path, header, segments, headers) -> None:
    total = sum(length for _, length in segments)
    stored = sum(length for name, length in segments if name != "~")
    if header.length >= 0 and total != header.length:
        raise FormatError(f"{path} says {header.length} samples, its segments have {total}")
    if total > MAX_GAPS * stored:
        raise FormatError(f"{path} claims {total} samples, of which its segments store {stored}")
    for name, length in segments:
        own = headers.get(name)
        if own is None:
            continue
        if own.length not in (-1, length) or length == 0:
            raise FormatError(
                f"{path}: segment {name!r} must have {length} samples, its header says {own.length}"
            )
        if own.fs != header.fs:
            raise FormatError(
                f"{path}: segment {name!r} has {own.fs:g} frames per second, not {header.fs:g}"
            )


class Piece(NamedTuple):
    """One segment: its samples, the rows of the record that they fill, and how they are scaled."""

    part: plain.Part
    rows: list[int]
    scale: tuple[tuple[float, ...], tuple[int, ...], tuple[str, ...]]


def _load(path: str, where: str, own: plain.Header, wanted: list[str], *, fixed: bool):
    """The leads of one segment, None if it has none of those wanted."""
    names = plain.names_of(own)
    known = [canonical_lead(n) for n in names]
    rows = [canonical_lead(n) for n in wanted]
    here = [lead for lead in rows if lead in known]
    if fixed and len(here) != len(rows):
        missing = ", ".join(lead for lead in rows if lead not in known)
        raise LeadError(f"{path} has a fixed layout, but its segment {own.name!r} has no {missing}")
    if not here:
        return None
    units = plain.units_of(own)
    kept, factors, _ = _select.voltages(names, units, here, where)
    part = plain.load(where, own, names, kept, factors)
    chosen = own.signals.pick(kept)
    scale = chosen.gain, chosen.baseline, tuple(units[i] for i in kept)
    return Piece(part, [rows.index(lead) for lead in here], scale)


def _join(path, header, segments, pieces: dict[str, Piece], leads: int):
    """All segments in one array; the raw integers too where every segment scales them alike."""
    rates = {piece.part.fs for piece in pieces.values()}
    if len(rates) > 1:
        raise FormatError(f"{path}: segments have several sampling rates ({sorted(rates)})")
    fs = rates.pop()
    per_frame = round(fs / header.fs)
    total = sum(length for _, length in segments) * per_frame
    if total * leads * 4 > MAX_BYTES:
        raise FormatError(f"{path} would take {total * leads * 4} bytes; read its segments singly")
    signal = np.full((leads, total), np.nan, np.float32)
    at = 0
    for name, length in segments:
        end = at + length * per_frame
        if name in pieces:
            part, rows, _ = pieces[name]
            if part.signal.shape[1] != end - at:
                raise FormatError(f"{path}: segment {name!r} has {part.signal.shape[1]} samples")
            signal[rows, at:end] = part.signal
        at = end
    signal.flags.writeable = False
    warnings = [w for piece in pieces.values() for w in piece.part.warnings]
    first = next(iter(pieces.values()))
    alike = all(p.scale == first.scale and p.rows == first.rows for p in pieces.values())
    if not alike or len(pieces) != len(segments) or len(first.rows) != leads:
        return plain.Part(signal, None, fs, warnings), {}
    raw = np.concatenate([pieces[name].part.raw for name, _ in segments], axis=1)
    raw.flags.writeable = False
    facts = dict(zip(("gain", "baseline", "unit"), first.scale))
    return plain.Part(signal, raw, fs, warnings), facts
