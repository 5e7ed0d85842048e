"""HL7 annotated ECG (aECG): sequences of digits, value = origin + scale * digit."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from ..errors import FormatError, UnitError
from ..record import Record
from . import _leads, _select, _xml

_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def read(path: str, data: bytes, *, record, leads: _select.Leads, strict: bool) -> Record:
    """One set of simultaneous sequences: ``record`` is its position or the code of its series."""
    root = _xml.parse(path, data)
    sets = _sets(root)
    if not sets:
        raise FormatError(f"{path} has no <sequenceSet>")
    labels = [code for code, _ in sets]
    index = _select.recording(labels, record, path)
    where = f"{path}, series {labels[index] or index}"
    fs, start, names, units, scales, rows = _sequences(where, sets[index][1])
    kept, factors, dropped = _select.voltages(names, units, leads, where)
    raw = np.stack([rows[i] for i in kept])
    scale = np.array([scales[i] for i in kept])
    signal = (scale[:, :1] + scale[:, 1:] * raw) * np.array(factors)[:, None]
    meta: dict[str, Any] = {
        "format": "aECG",
        "source": os.path.basename(path),
        "record": labels[index],
        "records": tuple(labels),
        "gain": tuple(1 / s for _, s in scale.tolist()),
        "baseline": tuple(-o / s + 0.0 for o, s in scale.tolist()),
        "unit": tuple(units[i] for i in kept),
    }
    if start is not None:
        meta["start"] = start
    sex = root.find(".//administrativeGenderCode")
    if sex is not None and sex.get("code"):
        meta["sex"] = sex.get("code")
    if dropped:
        meta["dropped"] = dropped
    return Record(signal, fs, [names[i] for i in kept], meta=meta, raw=raw)


def _sets(root: Element) -> list[tuple[str, Element]]:
    """Every set of sequences with the code of the series that holds it, the recorded ones first."""
    found = []
    for tag in ("series", "derivedSeries"):
        for series in _xml.descend(root, tag):
            code = series.find("code")
            for component in series.findall("component"):
                for sequences in component.findall("sequenceSet"):
                    found.append(("" if code is None else code.get("code", ""), sequences))
    return found


def _sequences(where: str, sequences: Element):
    fs, start = None, None
    names, units, scales, rows = [], [], [], []
    for sequence in sequences.iter("sequence"):
        code, value = sequence.find("code"), sequence.find("value")
        if code is None or value is None:
            raise FormatError(f"{where}: a sequence lacks its code or value")
        key = code.get("code", "")
        if key in ("TIME_ABSOLUTE", "TIME_RELATIVE"):
            fs, start = _time(where, value)
            continue
        names.append(_leads.by_mdc_name(key) or key)
        unit, origin, scale = _scale(where, names[-1], value)
        units.append(unit)
        scales.append((origin, scale))
        rows.append(_digits(where, names[-1], value))
    if fs is None:
        raise FormatError(f"{where}: no time sequence says the sampling rate")
    lengths = {len(row) for row in rows}
    if len(lengths) != 1 or lengths == {0}:
        raise FormatError(f"{where}: leads have {sorted(lengths)} samples; one length is wanted")
    return fs, start, names, units, scales, rows


def _time(where: str, value: Element) -> tuple[float, datetime | None]:
    step = value.find("increment")
    unit = "" if step is None else step.get("unit", "")
    if step is None or unit not in _SECONDS:
        raise FormatError(f"{where}: time increment in {unit[:16]!r}; s, ms or us are wanted")
    seconds = (
        _xml.number(where, step.get("value", ""), "time increment", 1e-9, 1e9) * _SECONDS[unit]
    )
    fs = 1 / seconds
    head = value.find("head")
    text = "" if head is None else head.get("value", "")
    for form in ("%Y%m%d%H%M%S.%f", "%Y%m%d%H%M%S"):
        try:
            return fs, datetime.strptime(text, form)
        except ValueError:
            continue
    return fs, None


def _scale(where: str, name: str, value: Element) -> tuple[str, float, float]:
    origin, scale = value.find("origin"), value.find("scale")
    here = f"{where}, lead {name}"
    if scale is None or not scale.get("unit"):
        raise UnitError(f"{here}: <scale> has no unit")
    unit = scale.get("unit", "")
    start = "0" if origin is None else origin.get("value", "")
    zero = _xml.number(here, start, "origin", -1e12, 1e12)
    if zero != 0 and origin is not None and origin.get("unit") != unit:
        raise UnitError(f"{here}: origin is in {origin.get('unit')!r}, scale in {unit!r}")
    step = _xml.number(here, scale.get("value", ""), "scale", -1e12, 1e12)
    if abs(step) < 1e-12:
        raise FormatError(f"{here}: scale is 0")
    return unit, zero, step


def _digits(where: str, name: str, value: Element) -> np.ndarray:
    text = _xml.text(value.find("digits"))
    try:
        return np.array([int(word) for word in text.split()], np.int32)
    except (ValueError, OverflowError) as error:
        raise FormatError(f"{where}, lead {name}: digits must be 32-bit integers") from error
