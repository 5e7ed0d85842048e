"""EDF, EDF+ and BDF through edfio.

value = (digital - digital_min) * (physical_max - physical_min) / (digital_max - digital_min)
+ physical_min. The fixed header is checked here first, so that nothing is allocated for what a
header merely claims.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import warnings as python_warnings
from typing import Any

import numpy as np

from .._extras import need
from ..errors import EcgkitError, FormatError, LayoutError, UnitError
from ..record import STANDARD_LEADS, Record
from . import _select

_MAX_SIGNALS = 4096
_STANDARD = {name.upper(): name for name in STANDARD_LEADS}


def read(path: str, data: bytes, *, record, leads: _select.Leads, strict: bool) -> Record:
    """All voltages of an EDF or BDF file."""
    _select.recording(["EDF"], record, path)
    edfio = need("edfio", "io", "reading EDF and BDF")
    bdf = data[:1] == b"\xff"
    records, warnings = _check(path, data, 3 if bdf else 2)
    reader = edfio.read_bdf if bdf else edfio.read_edf
    try:
        with python_warnings.catch_warnings():
            python_warnings.simplefilter("ignore")  # what edfio warns of is checked above
            file = reader(io.BytesIO(data), header_encoding="latin-1")
            signals = list(file.signals)
            if not signals:
                raise LayoutError(f"{path} holds annotations alone, no signal")
            if not file.is_continuous:
                raise FormatError(
                    f"{path} has gaps between its data records (EDF+D); not supported"
                )
            return _record(path, file, signals, records, warnings, leads, strict, bdf)
    except EcgkitError:
        raise
    except Exception as error:  # edfio raises many kinds on broken files
        what = f"{type(error).__name__}: {error}"[:200]
        raise FormatError(f"{path} is not readable as EDF: {what}") from error


def _record(path, file, signals, records, warnings, leads, strict, bdf) -> Record:
    names = [_name(s.label) for s in signals]
    units = [s.physical_dimension.strip() for s in signals]
    for name, unit in zip(names, units):
        if not unit and leads is None:
            raise UnitError(f"{path}: signal {name!r} has no unit; leave it out with leads=[...]")
    kept, factors, dropped = _select.voltages(names, units, leads, path)
    chosen = [signals[i] for i in kept]
    kept_names = [names[i] for i in kept]
    fs = _select.one_rate(kept_names, [float(s.sampling_frequency) for s in chosen], path)
    if not (math.isfinite(fs) and 0 < fs <= 1e6):
        raise FormatError(f"{path}: sampling rate {fs:g} Hz is out of range")
    gains, offsets = zip(*(_scale(path, name, s) for name, s in zip(kept_names, chosen)))
    count = records * chosen[0].samples_per_data_record
    raw = np.stack([np.asarray(s.digital)[:count] for s in chosen])
    low = np.array([s.digital_min for s in chosen], np.float64)
    floor = np.array([s.physical_min for s in chosen], np.float64)
    signal = (raw - low[:, None]) / np.array(gains)[:, None] + floor[:, None]
    signal *= np.array(factors)[:, None]
    meta: dict[str, Any] = {
        "format": "BDF" if bdf else "EDF",
        "source": os.path.basename(path),
        "gain": gains,
        "baseline": offsets,
        "unit": tuple(units[i] for i in kept),
    }
    filters = tuple(s.prefiltering.strip() for s in chosen)
    if any(filters):
        meta["prefiltering"] = filters
    with contextlib.suppress(Exception):  # absent, anonymised or malformed: there is no start
        meta["start"] = file.startdatetime
    if dropped:
        meta["dropped"] = dropped
    if strict and warnings:
        raise FormatError(f"{path}: {'; '.join(warnings)}")
    if warnings:
        meta["warnings"] = tuple(warnings)
    events = tuple((a.onset, a.duration, a.text) for a in file.annotations)
    labels = {"events": events} if events else None
    return Record(signal, fs, kept_names, labels=labels, meta=meta, raw=raw)


def _check(path: str, data: bytes, width: int) -> tuple[int, list[str]]:
    """Data records to read, once the sizes that the header gives fit the file."""

    def field(begin: int, size: int, what: str, low: int, high: int) -> int:
        text = data[begin : begin + size].strip()
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            shown = text.decode("ascii", "backslashreplace")
            raise FormatError(
                f"{path}, byte {begin}: {what} must be {low} to {high}, got {shown!r}"
            )
        return value

    signals = field(252, 4, "number of signals", 1, _MAX_SIGNALS)
    head = 256 * (signals + 1)
    if field(184, 8, "header length", head, head) != head or len(data) < head:
        raise FormatError(f"{path} has {len(data)} bytes, the header alone takes {head}")
    claimed = field(236, 8, "number of data records", -1, 10**8)
    at = 256 + signals * 216
    counts = [field(at + 8 * i, 8, "samples a record", 0, 10**7) for i in range(signals)]
    size = sum(counts) * width
    if size == 0:
        raise FormatError(f"{path}: data records hold no sample")
    held = (len(data) - head) // size
    if claimed == -1:
        claimed = held
    if claimed > held or held == 0:
        raise FormatError(
            f"{path} must hold {claimed} data records of {size} bytes, it holds {held}"
        )
    extra = len(data) - head - claimed * size
    return claimed, [f"{extra} bytes follow the last data record"] if extra else []


def _name(label: str) -> str:
    """EDF+ spells leads "ECG I"; the type in front goes when a standard lead is left."""
    words = label.split()
    if len(words) == 2 and words[0].upper() in ("ECG", "EKG"):
        return _STANDARD.get(words[1].upper(), label.strip())
    return label.strip()


def _scale(path: str, name: str, s) -> tuple[float, float]:
    """Steps per unit, and the step of 0."""
    span, width = s.physical_max - s.physical_min, s.digital_max - s.digital_min
    if width <= 0 or span == 0 or not math.isfinite(span):
        raise FormatError(
            f"{path}: signal {name!r} maps {s.digital_min}..{s.digital_max} "
            f"to {s.physical_min:g}..{s.physical_max:g}, which is no scale"
        )
    gain = width / span
    return gain, s.digital_min - s.physical_min * gain
