"""GE MUSE XML: base64 int16 leads, eight of them stored, four derived by definition.

MUSE stores I, II and V1 to V6; III, aVR, aVL and aVF are linear combinations of I and II that are
computed here, as ``meta["derived"]`` says. Asked for by ``leads=``, the stored ones keep ``raw``.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import zlib
from datetime import datetime
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from ..errors import FormatError, UnitError
from ..record import Record, canonical_lead
from . import _select, _xml

_STORED = {"I", "II", "V1", "V2", "V3", "V4", "V5", "V6"}
# Weights of I and II.
_DERIVED = {"III": (-1.0, 1.0), "aVR": (-0.5, -0.5), "aVL": (1.0, -0.5), "aVF": (-0.5, 1.0)}
_UNITS = {"MICROVOLTS": "uV", "MILLIVOLTS": "mV"}
_ORDER = ("I", "II", *_DERIVED, "V1", "V2", "V3", "V4", "V5", "V6")


def read(path: str, data: bytes, *, record, leads: _select.Leads, strict: bool) -> Record:
    """The rhythm waveform, or the one that ``record`` names (``"Median"``) or counts."""
    root = _xml.parse(path, data)
    waves = list(_xml.descend(root, "Waveform"))
    if not waves:
        raise FormatError(f"{path} has no <Waveform>")
    kinds = [_xml.text(w.find("WaveformType")) for w in waves]
    if record is None and kinds.count("Rhythm") == 1:
        record = "Rhythm"
    index = _select.recording(kinds, record, path)
    where = f"{path}, waveform {kinds[index] or index}"
    fs = _rate(where, waves[index])
    names, units, steps, rows, warnings = _leads(where, waves[index])
    if strict and warnings:
        raise FormatError(f"{where}: {'; '.join(warnings)}")
    meta: dict[str, Any] = {
        "format": "MUSE",
        "source": os.path.basename(path),
        "record": kinds[index],
        "records": tuple(kinds),
    }
    raw = np.stack(rows)
    stored = {canonical_lead(n): i for i, n in enumerate(names)}
    _select.unique(names, where)
    wanted = _wanted(names, stored, leads, where)
    derived = [name for name in wanted if name not in stored]
    fetch = ["I", "II"] if derived else []
    keep = list(dict.fromkeys([*(name for name in wanted if name in stored), *fetch]))
    kept, factors, _ = _select.voltages(names, units, [stored[name] for name in keep], where)
    step = np.array([steps[i] * f for i, f in zip(kept, factors)])
    physical = dict(zip(keep, raw[kept] * step[:, None]))
    for name in derived:
        a, b = _DERIVED[name]
        physical[name] = a * physical["I"] + b * physical["II"]
    signal = np.stack([physical[name] for name in wanted])
    if derived:
        meta["derived"] = tuple(derived)
    else:
        meta["gain"] = tuple(1 / steps[stored[name]] for name in wanted)
        meta["baseline"] = (0,) * len(wanted)
        meta["unit"] = tuple(units[stored[name]] for name in wanted)
    _facts(root, meta)
    if warnings:
        meta["warnings"] = tuple(warnings)
    statements = tuple(
        t for s in _xml.descend(root, "Diagnosis") for t in map(_xml.text, s.iter("StmtText")) if t
    )
    labels = {"statements": statements} if statements else None
    own = None if derived else np.ascontiguousarray(raw[[stored[n] for n in wanted]])
    return Record(signal, fs, wanted, labels=labels, meta=meta, raw=own)


def _wanted(names, stored, leads, where) -> list[str]:
    complete = set(stored) == _STORED
    if leads is None:
        return list(_ORDER) if complete else [canonical_lead(n) for n in names]
    every = [*names, *(n for n in _DERIVED if complete)]
    return [canonical_lead(every[i]) for i in _select.choose(every, leads, where)]


def _rate(where: str, wave: Element) -> float:
    base = _xml.number(where, _xml.text(wave.find("SampleBase")), "SampleBase", 1e-3, 1e6)
    power = _xml.text(wave.find("SampleExponent")) or "0"
    fs = base * 10.0 ** _xml.number(where, power, "SampleExponent", -6, 6)
    kind = _xml.text(wave.find("SampleType")) or "CONTINUOUS_SAMPLES"
    if kind != "CONTINUOUS_SAMPLES":
        raise FormatError(f"{where}: SampleType {kind[:40]!r} is not supported")
    return fs


def _leads(where: str, wave: Element):
    names, units, steps, rows = [], [], [], []
    warnings: list[str] = []
    for lead in wave.findall("LeadData"):
        name = _xml.text(lead.find("LeadID"))
        here = f"{where}, lead {name[:16]!r}"
        size = _xml.text(lead.find("LeadSampleSize")) or "2"
        if size != "2":
            raise FormatError(f"{here}: LeadSampleSize must be 2 bytes, got {size[:16]!r}")
        offset = _xml.text(lead.find("LeadOffsetFirstSample")) or "0"
        if _xml.number(here, offset, "LeadOffsetFirstSample", -1e9, 1e9) != 0:
            raise FormatError(f"{here}: a first sample with an offset is not supported")
        unit = _xml.text(lead.find("LeadAmplitudeUnits"))
        step = _xml.text(lead.find("LeadAmplitudeUnitsPerBit"))
        if not unit:
            raise UnitError(f"{here}: LeadAmplitudeUnits is missing")
        names.append(name)
        units.append(_UNITS.get(unit, unit))
        steps.append(_xml.number(here, step, "LeadAmplitudeUnitsPerBit", 1e-9, 1e9))
        rows.append(_samples(here, lead, warnings))
    if not rows:
        raise FormatError(f"{where} has no <LeadData>")
    lengths = {len(row) for row in rows}
    if len(lengths) > 1 or lengths == {0}:
        raise FormatError(f"{where}: leads have {sorted(lengths)} samples; one length is wanted")
    return names, units, steps, rows, warnings


def _samples(here: str, lead: Element, warnings: list[str]) -> np.ndarray:
    try:
        stored = base64.b64decode(
            "".join(_xml.text(lead.find("WaveFormData")).split()), validate=True
        )
    except (binascii.Error, ValueError) as error:
        raise FormatError(f"{here}: WaveFormData is not base64") from error
    count = _xml.text(lead.find("LeadSampleCountTotal"))
    want = int(_xml.number(here, count, "LeadSampleCountTotal", 1, 1e9))
    if len(stored) != 2 * want:
        raise FormatError(f"{here}: {want} samples need {2 * want} bytes, there are {len(stored)}")
    crc = _xml.text(lead.find("LeadDataCRC32"))
    if crc.isdecimal() and len(crc) <= 10 and int(crc) != zlib.crc32(stored):
        warnings.append(f"checksum of lead {_xml.text(lead.find('LeadID'))} does not fit")
    return np.frombuffer(stored, "<i2")


def _facts(root: Element, meta: dict[str, Any]) -> None:
    for key, tag in (("sex", "Gender"), ("age", "PatientAge")):
        value = _xml.text(root.find(f".//{tag}"))
        if value:
            meta[key] = value
    day, time = (
        _xml.text(root.find(f".//{tag}")) for tag in ("AcquisitionDate", "AcquisitionTime")
    )
    with contextlib.suppress(ValueError):
        meta["start"] = datetime.strptime(f"{day} {time}", "%m-%d-%Y %H:%M:%S")
