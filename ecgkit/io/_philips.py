"""Philips (Sierra) XML: base64 int16, plain or compressed with "XLI" (LZW over second differences).

In XLI files the leads III, aVR, aVL and aVF hold what is left after their prediction from I and II,
so they are stored, not derived.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
from datetime import datetime
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from .._config import _core
from ..errors import FormatError
from ..record import STANDARD_LEADS, Record
from . import _select, _xml

_VERSIONS = ("1.03", "1.04", "1.04.01", "1.04.02")
_MAX_LEADS = 64


def read(path: str, data: bytes, *, record, leads: _select.Leads, strict: bool) -> Record:
    """The parsed waveforms of a SierraECG file."""
    root = _xml.parse(path, data)
    _select.recording(["parsedwaveforms"], record, path)
    version = _xml.text(root.find(".//documentversion"))
    if version not in _VERSIONS:
        raise FormatError(
            f"{path}: SierraECG version {version[:20]!r}; {', '.join(_VERSIONS)} are read"
        )
    facts = _xml.find(path, root, "signalcharacteristics")
    waves = _xml.find(path, root, "parsedwaveforms")
    fs = _xml.number(path, _xml.text(facts.find("samplingrate")), "samplingrate", 1, 1e6)
    step = _xml.text(facts.find("signalresolution")) or _xml.text(facts.find("resolution"))
    microvolt = _xml.number(path, step, "signalresolution (uV)", 1e-6, 1e6)
    duration = waves.get("durationperchannel", "")
    count = round(_xml.number(path, duration, "durationperchannel (ms)", 1, 1e9) * fs / 1000)
    names = _names(path, facts, waves)
    rows = _samples(path, waves, names, count)
    kept, _, _ = _select.voltages(names, ["uV"] * len(names), leads, path)
    raw = np.stack([rows[i] for i in kept])
    meta: dict[str, Any] = {
        "format": "Philips XML",
        "source": os.path.basename(path),
        "gain": (1 / microvolt,) * len(kept),
        "baseline": (0,) * len(kept),
        "unit": ("uV",) * len(kept),
    }
    for key, tag in (("sex", "sex"), ("age", "years"), ("device", "machine")):
        value = _xml.text(root.find(f".//{tag}"))
        if value:
            meta[key] = value
    acquired = root.find(".//dataacquisition")
    if acquired is not None:
        when = f"{acquired.get('date')}T{acquired.get('time')}"
        with contextlib.suppress(ValueError):
            meta["start"] = datetime.fromisoformat(when)
    statements = tuple(
        t
        for s in _xml.descend(root, "statement")
        for t in map(_xml.text, s.iter("leftstatement"))
        if t
    )
    labels = {"statements": statements} if statements else None
    signal = raw * (microvolt * 1e-3)
    return Record(signal, fs, [names[i] for i in kept], labels=labels, meta=meta, raw=raw)


def _names(path: str, facts: Element, waves: Element) -> list[str]:
    """Lead names: those written down, or the twelve of an acquisition type that defines them."""
    written = waves.get("leadlabels", "").split()
    shown = waves.get("numberofleads") or _xml.text(facts.find("numberchannelsallocated"))
    count = int(_xml.number(path, shown, "number of leads", 1, _MAX_LEADS))
    if written:
        if len(written) < count:
            raise FormatError(f"{path}: {count} leads, but leadlabels names {len(written)}")
        return written[:count]
    kind = _xml.text(facts.find("acquisitiontype"))
    if kind not in ("STD-12", "10-WIRE") or count < 12:
        raise FormatError(
            f"{path}: no leadlabels, and acquisition type {kind[:20]!r} names no leads"
        )
    return [*STANDARD_LEADS, *(f"channel {i + 1}" for i in range(12, count))]


def _samples(path: str, waves: Element, names: list[str], count: int) -> list[np.ndarray]:
    if waves.get("dataencoding") != "Base64":
        raise FormatError(f"{path}: dataencoding {waves.get('dataencoding')!r}; Base64 is read")
    try:
        stored = base64.b64decode("".join((waves.text or "").split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise FormatError(f"{path}: parsedwaveforms is not base64") from error
    method = waves.get("compressmethod") or waves.get("compression") or "Uncompressed"
    if method == "XLI":
        return _predicted(names, _xli(path, stored, len(names), count))
    if method != "Uncompressed":
        raise FormatError(f"{path}: compression {method[:20]!r}; XLI and none are read")
    if len(stored) < 2 * count * len(names):
        raise FormatError(
            f"{path}: {len(names)} leads of {count} samples need {2 * count * len(names)} bytes, "
            f"there are {len(stored)}"
        )
    return list(np.frombuffer(stored, "<i2", count * len(names)).reshape(len(names), count))


def _xli(path: str, stored: bytes, leads: int, count: int) -> list[np.ndarray]:
    """Chunks of an 8-byte header (size, code, start) and LZW data, one a lead."""
    rows: list[np.ndarray] = []
    at = 0
    while len(rows) < leads:
        size = int.from_bytes(stored[at : at + 4], "little", signed=True)
        start = int.from_bytes(stored[at + 6 : at + 8], "little", signed=True)
        if len(stored) - at < 8 or not 0 < size <= len(stored) - at - 8:
            raise FormatError(f"{path}: XLI data ends in lead {len(rows)}, byte {at}")
        if 2 * count > 1000 * size:
            raise FormatError(f"{path}: {count} samples cannot come out of {size} bytes of XLI")
        chunk = stored[at + 8 : at + 8 + size]
        at += 8 + size
        try:
            unpacked = _core.lzw10(chunk, 2 * count + 64)
        except FormatError:
            raise FormatError(f"{path}: XLI data of lead {len(rows)} is corrupt") from None
        half = (len(unpacked) + 1) // 2
        if half < count:
            raise FormatError(f"{path}: lead {len(rows)} has {half} samples, {count} are wanted")
        octets = np.frombuffer(unpacked + b"\0" * (2 * half - len(unpacked)), np.uint8)
        words = (octets[:half].astype(np.int32) << 8) | octets[half:]
        rows.append(_undo_differences(words.astype(np.int16), start)[:count])
    return rows


def _undo_differences(d: np.ndarray, start: int) -> np.ndarray:
    """x[i] = 2 x[i-1] - x[i-2] - e[i-1] with e[1] = start and e[i] = d[i] - 64, in 16 bits."""
    if len(d) < 3:
        return d
    e = np.concatenate(([start], d[2:-1].astype(np.int64) - 64))
    first, second = int(d[0]), int(d[1])
    slope = (second - first) - np.cumsum(e)
    return np.concatenate(([first, second], second + np.cumsum(slope))).astype(np.int16)


def _predicted(names: list[str], rows: list[np.ndarray]) -> list[np.ndarray]:
    """Add the predictions from I and II back to III, aVR, aVL and aVF."""
    if names[:6] != list(STANDARD_LEADS[:6]):
        return rows
    one, two = rows[0].astype(np.int32), rows[1].astype(np.int32)
    three = two - one - rows[2]
    limb = (
        three,
        -rows[3].astype(np.int32) - (one + two) // 2,
        (one - three) // 2 - rows[4],
        (two + three) // 2 - rows[5],
    )
    return [*rows[:2], *(row.astype(np.int16) for row in limb), *rows[6:]]
