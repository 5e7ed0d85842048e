"""Writing records: WFDB (format 16), EDF, NPY, CSV. Every file appears whole or not at all."""

from __future__ import annotations

import io
import os
import re
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from pathlib import Path

import numpy as np

from .. import _atomic
from .._extras import need
from ..errors import FormatError, LeadError
from ..record import STANDARD_LEADS, Record, to_millivolt

_BY_SUFFIX = {
    ".hea": "wfdb",
    ".dat": "wfdb",
    "": "wfdb",
    ".edf": "edf",
    ".npy": "npy",
    ".csv": "csv",
}
_NAN = -32768  # the code of an invalid sample in WFDB format 16
_TOP = 32767


def write(rec: Record, path: str | os.PathLike[str], format: str | None = None) -> Path:
    """Write a record.

    Parameters
    ----------
    rec : Record
    path : path
        The file; for WFDB the header or the record's name, both ``name.hea`` and ``name.dat`` are
        written.
    format : {"wfdb", "edf", "npy", "csv"}, optional
        Default: from the extension of ``path`` (none means WFDB).

    Returns
    -------
    Path
        The file written (the header for WFDB).

    Notes
    -----
    Where the record keeps its raw integers and they fit in 16 bits, these are written. Otherwise
    each lead gets the finest scale that holds its range: the error is at most half a step
    (range / 65532). WFDB stores NaN as its invalid code; EDF has none, so NaN is refused. NPY is
    the float32 array in mV alone; CSV has the lead names in its first line: read them back with
    ``fs=`` and ``unit="mV"``.

    Raises
    ------
    FormatError
        An unknown format, or something that the format cannot express.
    LeadError
        A name that the format cannot hold.
    """
    target = Path(path)
    if format is None:
        format = _BY_SUFFIX.get(target.suffix.lower())
        if format is None:
            raise FormatError(
                f"write: no format belongs to {target.suffix!r}; pass format= wfdb, edf, npy or csv"
            )
    writers = {"wfdb": _wfdb, "edf": _edf, "npy": _npy, "csv": _csv}
    if format not in writers:
        raise FormatError(f"write: format must be wfdb, edf, npy or csv; got {format!r}")
    return writers[format](rec, target)


def _npy(rec: Record, target: Path) -> Path:
    data = io.BytesIO()
    np.save(data, rec.signal, allow_pickle=False)
    _atomic.write_bytes(target, data.getvalue())
    return target


def _csv(rec: Record, target: Path) -> Path:
    for lead in rec.leads:
        if any(c in lead for c in ',;\t"\r\n'):
            raise LeadError(f"write: lead name {lead!r} cannot stand in a CSV line")
    text = io.StringIO()
    np.savetxt(
        text, rec.signal.T, fmt="%.9g", delimiter=",", header=",".join(rec.leads), comments=""
    )
    _atomic.write_bytes(target, text.getvalue().encode())
    return target


# ------------------------------------------------------------------- scaling
def _kept_integers(rec: Record):
    """Raw integers, gains, baselines and units, if they (still) are the samples of the record."""
    facts = [rec.meta.get(key) for key in ("gain", "baseline", "unit")]
    columns = [list(f) for f in facts if isinstance(f, tuple) and len(f) == len(rec.leads)]
    if rec.raw is None or len(columns) < len(facts):
        return None
    gain, baseline, unit = columns
    factor = np.array([to_millivolt(u) for u in unit])[:, None]
    value = (rec.raw - np.array(baseline, float)[:, None]) / np.array(gain, float)[:, None] * factor
    valid = ~np.isnan(rec.signal)
    if not np.array_equal(value.astype(np.float32)[valid], rec.signal[valid]):
        return None  # picked, reordered or filtered since
    if rec.raw.min() < _NAN or rec.raw.max() > _TOP or (rec.raw[valid] == _NAN).any():
        return None
    digital = np.where(valid, rec.raw, _NAN).astype(np.int16)
    return digital, gain, baseline, unit


def _quantise(x: np.ndarray) -> tuple[np.ndarray, float, int]:
    """16-bit steps of one lead, steps per mV and the step of 0; in double, NaN as its own code."""
    x = x.astype(np.float64)
    valid = np.isfinite(x)
    if np.isinf(x).any():
        raise FormatError("write: the record holds infinite samples")
    low, high = (min(x[valid].min(), 0.0), max(x[valid].max(), 0.0)) if valid.any() else (0.0, 0.0)
    gain = 65532 / (high - low) if high > low else 1000.0
    gain = float(np.clip(gain, 1e-12, 1e12))
    baseline = round(-_TOP + 1 - low * gain) if high > low else 0
    steps = np.clip(np.rint(np.where(valid, x, 0.0) * gain + baseline), -_TOP, _TOP)
    return np.where(valid, steps, _NAN).astype(np.int16), gain, baseline


# ---------------------------------------------------------------------- WFDB
def _wfdb(rec: Record, target: Path) -> Path:
    name = target.stem if target.suffix in (".hea", ".dat") else target.name
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]*", name):
        raise FormatError(
            f"write: WFDB record names are letters, digits, '_' and '-'; got {name!r}"
        )
    for lead in rec.leads:
        if not lead or lead != lead.strip() or not lead.isprintable():
            raise LeadError(f"write: lead name {lead!r} cannot stand in a WFDB header")
    kept = _kept_integers(rec)
    if kept is not None and all(float(b).is_integer() and abs(b) < 2**31 for b in kept[2]):
        digital, gains, baselines, units = kept
    else:
        scaled = [_quantise(row) for row in rec.signal]
        digital = np.stack([row for row, _, _ in scaled])
        gains, baselines = [g for _, g, _ in scaled], [b for _, _, b in scaled]
        units = ["mV"] * len(rec.leads)
    lines = [f"{name} {len(rec.leads)} {_number(rec.fs)} {rec.n_samples}{_start(rec)}"]
    sums = digital.sum(axis=1, dtype=np.int64)
    for lead, row, gain, baseline, unit, total in zip(
        rec.leads, digital, gains, baselines, units, sums, strict=True
    ):
        check = (int(total) + 32768) % 65536 - 32768
        scale = f"{_number(gain)}({int(baseline)})/{unit}"
        lines.append(f"{name}.dat 16 {scale} 16 0 {row[0]} {check} 0 {lead}")
    lines += [f"# {comment}" for comment in _comments(rec)]
    header = target.with_name(f"{name}.hea")
    _atomic.write_bytes(target.with_name(f"{name}.dat"), digital.T.astype("<i2").tobytes())
    _atomic.write_bytes(header, "\n".join([*lines, ""]).encode())
    return header


def _number(x: float) -> str:
    return str(int(x)) if float(x).is_integer() and abs(x) < 1e15 else repr(float(x))


def _start(rec: Record) -> str:
    start = rec.meta.get("start")
    return start.strftime(" %H:%M:%S.%f %d/%m/%Y") if isinstance(start, datetime) else ""


def _comments(rec: Record) -> list[str]:
    """What the record says beside its samples, one printable line each."""
    found = [str(c) for c in rec.meta.get("comments", ())]
    labels = rec.labels if isinstance(rec.labels, dict) else {}
    if labels.get("dx") and not any(c.partition(":")[0].strip() == "Dx" for c in found):
        found.append(f"Dx: {','.join(labels['dx'])}")
    found += [f"statement: {text}" for text in labels.get("statements", ())]
    return ["".join(c if c.isprintable() else " " for c in line)[:1000] for line in found]


# ----------------------------------------------------------------------- EDF
def _edf(rec: Record, target: Path) -> Path:
    edfio = need("edfio", "io", "writing EDF")
    missing = int((~np.isfinite(rec.signal)).sum())
    if missing:
        raise FormatError(
            f"write: EDF has no code for missing samples and the record has {missing}; fill them"
        )
    rows = _edf_kept(rec) or [_edf_scaled(row) for row in rec.signal]
    signals = [
        edfio.EdfSignal.from_digital(
            digital,
            rec.fs,
            label=_edf_label(lead),
            physical_dimension=unit,
            physical_range=(low, high),
            digital_range=(_NAN, _TOP),
        )
        for lead, (digital, low, high, unit) in zip(rec.leads, rows, strict=True)
    ]
    start, extra = rec.meta.get("start"), {}
    if isinstance(start, datetime) and 1985 <= start.year <= 2084:
        time = start.time().replace(tzinfo=None)
        extra = {"recording": edfio.Recording(startdate=start.date()), "starttime": time}
    events = rec.labels.get("events", ()) if isinstance(rec.labels, dict) else ()
    if events or (extra and extra["starttime"].microsecond):
        extra["annotations"] = [edfio.EdfAnnotation(*event) for event in events]
    data = io.BytesIO()
    edfio.Edf(signals, data_record_duration=_edf_duration(rec), **extra).write(data)
    # edfio rounds the ends of a range outwards in binary (32.767 becomes 32.76701): put ours there.
    signals_in_file = len(signals) + ("annotations" in extra)
    for i, (_, low, high, _) in enumerate(rows):
        for field, end in ((104, low), (112, high)):
            data.seek(256 + signals_in_file * field + 8 * i)
            data.write(_field(end).encode().ljust(8))
    _atomic.write_bytes(target, data.getvalue())
    return target


def _field(x: float) -> str:
    """At most 8 characters that read back as ``x``, "" if there are none."""
    for digits in range(7):
        text = f"{x:.{digits}f}"
        if len(text) <= 8 and float(text) == x:
            return text
    return ""


def _edf_label(lead: str) -> str:
    label = f"ECG {lead}" if lead in STANDARD_LEADS else lead
    if not (label.isascii() and label.isprintable() and 0 < len(label) <= 16):
        raise LeadError(f"write: EDF labels are 1 to 16 ASCII characters; got {label!r}")
    return label


def _edf_duration(rec: Record) -> float:
    """Seconds of a data record: whole samples, exact in the 8 characters of its field."""
    for records in range(max(1, round(rec.duration / 10)), 4000):
        duration = rec.n_samples / records / rec.fs
        if rec.n_samples % records == 0 and _field(duration):
            return duration
    raise FormatError(
        f"write: EDF cannot express {rec.n_samples} samples at {rec.fs:g} Hz in the 8 characters "
        "of its header; crop or resample the record"
    )


def _edf_kept(rec: Record) -> list[tuple[np.ndarray, float, float, str]] | None:
    """The integers of the record, if the ends of their range are exact in 8 characters."""
    kept = _kept_integers(rec)
    if kept is None:
        return None
    rows = []
    for digital, gain, baseline, unit in zip(*kept, strict=True):
        ends = [(d - baseline) / gain for d in (_NAN, _TOP)]
        if not all(map(_field, ends)):
            return None
        rows.append((digital, *ends, unit))
    return rows


def _edf_scaled(row: np.ndarray) -> tuple[np.ndarray, float, float, str]:
    """Steps over a range in uV whose ends are rounded outwards to 8 characters."""
    x = row.astype(np.float64) * 1e3
    low = _outwards(min(x.min(), 0.0), ROUND_FLOOR)
    high = _outwards(max(x.max(), 0.0), ROUND_CEILING)
    if low == high:
        low, high = -1.0, 1.0
    steps = np.rint((x - low) / (high - low) * (_TOP - _NAN) + _NAN)
    return np.clip(steps, _NAN, _TOP).astype(np.int16), low, high, "uV"


def _outwards(x: float, rounding: str) -> float:
    for digits in range(6, -1, -1):
        text = f"{Decimal(x).quantize(Decimal(1).scaleb(-digits), rounding=rounding):f}"
        if len(text) <= 8:
            return float(text)
    raise FormatError(f"write: {x:g} uV does not fit the 8 characters of an EDF header")
