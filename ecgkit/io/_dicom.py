"""DICOM waveforms through pydicom.

value = raw * sensitivity * correction + baseline, where the baseline is in the unit of the
sensitivity already (PS3.3 C.10.9.1). Leads are named by their SCP-ECG or MDC code, not by text.
"""

from __future__ import annotations

import io
import math
import os
import warnings as python_warnings
from datetime import datetime
from typing import Any

import numpy as np

from .._extras import need
from ..errors import FormatError, UnitError
from ..record import Record
from . import _leads, _select

_DTYPES = {
    (8, "SB"): "i1",
    (8, "UB"): "u1",
    (16, "SS"): "i2",
    (16, "US"): "u2",
    (32, "SL"): "i4",
    (32, "UL"): "u4",
}
_MAX_CHANNELS = 4096


def read(
    path: str, data: bytes, *, record: int | str | None, leads: _select.Leads, strict: bool
) -> Record:
    """One multiplex group of a DICOM object: ``record`` is its index or label."""
    pydicom = need("pydicom", "io", "reading DICOM")
    try:
        with python_warnings.catch_warnings():
            python_warnings.simplefilter("ignore")  # what is broken is found below
            ds = pydicom.dcmread(io.BytesIO(data), force=True)
        groups = list(ds.get("WaveformSequence") or [])
        labels = [str(g.get("MultiplexGroupLabel", "") or "") for g in groups]
    except Exception as error:  # pydicom raises many kinds on broken files
        raise FormatError(f"{path} is not readable as DICOM: {type(error).__name__}") from error
    if not groups:
        raise FormatError(
            f"{path} is DICOM without a waveform (SOP class {_text(ds, 'SOPClassUID')})"
        )
    index = _select.recording(labels, record, path)
    try:
        with python_warnings.catch_warnings():  # pydicom parses values when they are asked for
            python_warnings.simplefilter("ignore")
            return _group(path, ds, groups[index], labels, index, leads, strict)
    except (AttributeError, KeyError, TypeError, IndexError, OverflowError, ValueError) as error:
        if isinstance(error, (FormatError, UnitError)) or type(error).__module__.startswith(
            "ecgkit"
        ):
            raise
        raise FormatError(
            f"{path}, multiplex group {index}: {type(error).__name__}: {error}"[:300]
        ) from error


def _group(path, ds, group, labels, index, leads, strict) -> Record:
    where = f"{path}, multiplex group {index}"
    n, frames = (
        _count(group, "NumberOfWaveformChannels", where),
        _count(group, "NumberOfWaveformSamples", where),
    )
    bits, kind = int(group.WaveformBitsAllocated), str(group.WaveformSampleInterpretation)
    channels = list(group.get("ChannelDefinitionSequence") or [])
    if (bits, kind) not in _DTYPES:
        raise FormatError(f"{where}: samples of {bits} bits, kind {kind!r}, are not supported")
    if n > _MAX_CHANNELS or len(channels) != n:
        raise FormatError(
            f"{where}: NumberOfWaveformChannels is {n}, but {len(channels)} channels are defined"
        )
    syntax = getattr(getattr(ds, "file_meta", None), "TransferSyntaxUID", None)
    little = True if syntax is None else syntax.is_little_endian
    dtype = np.dtype(_DTYPES[bits, kind]).newbyteorder("<" if little else ">")
    stored = bytes(group.get("WaveformData") or b"")
    if len(stored) < n * frames * dtype.itemsize:
        raise FormatError(
            f"{where}: WaveformData must hold {n * frames * dtype.itemsize} bytes "
            f"({frames} samples of {n} channels), it holds {len(stored)}"
        )
    fs = float(group.SamplingFrequency)
    if not (math.isfinite(fs) and 0 < fs <= 1e6):
        raise FormatError(
            f"{where}: SamplingFrequency must be above 0 and at most 1e6 Hz, got {fs:g}"
        )
    names = [_name(c, where, i) for i, c in enumerate(channels)]
    units = [_unit(c, where, name) for c, name in zip(channels, names)]
    kept, factors, dropped = _select.voltages(names, units, leads, where)
    every = np.frombuffer(stored, dtype, n * frames).reshape(frames, n)
    raw = np.ascontiguousarray(every[:, kept].T.astype(dtype.newbyteorder("=")))
    slope = [_scale(channels[i], where, names[i]) for i in kept]
    baseline = [float(channels[i].get("ChannelBaseline") or 0.0) for i in kept]
    if not all(map(math.isfinite, baseline)):
        raise FormatError(f"{where}: ChannelBaseline must be finite")
    signal = raw * np.array(slope)[:, None] + np.array(baseline)[:, None]
    signal *= np.array(factors)[:, None]
    padding = group.get("WaveformPaddingValue")
    if isinstance(padding, bytes) and len(padding) >= dtype.itemsize:
        signal[raw == np.frombuffer(padding, dtype, 1)[0]] = np.nan
    skews = [float(channels[i].get("ChannelSampleSkew") or 0) for i in kept]
    warnings: tuple[str, ...] = ()
    if any(skews):
        warnings = (
            f"channels are skewed by {min(skews):g} to {max(skews):g} samples; "
            "they are returned as stored",
        )
    if strict and warnings:
        raise FormatError(f"{where}: {'; '.join(warnings)}")
    raw.flags.writeable = False
    meta: dict[str, Any] = {
        "format": "DICOM",
        "source": os.path.basename(path),
        "record": labels[index] or str(index),
        "records": tuple(label or str(i) for i, label in enumerate(labels)),
        "gain": tuple(1 / s for s in slope),
        "baseline": tuple(-b / s + 0.0 for b, s in zip(baseline, slope)),
        "unit": tuple(units[i] for i in kept),
    }
    for key, tag in (("device", "Manufacturer"), ("sex", "PatientSex"), ("age", "PatientAge")):
        if _text(ds, tag):
            meta[key] = _text(ds, tag)
    start = _start(_text(ds, "AcquisitionDateTime"))
    if start:
        meta["start"] = start
    if dropped:
        meta["dropped"] = dropped
    if warnings:
        meta["warnings"] = warnings
    texts = [_text(a, "UnformattedTextValue") for a in ds.get("WaveformAnnotationSequence") or []]
    statements = tuple(t for t in texts if t)
    labels_of = {"statements": statements} if statements else None
    return Record(signal, fs, [names[i] for i in kept], labels=labels_of, meta=meta, raw=raw)


def _text(ds, tag: str) -> str:
    return str(ds.get(tag, "") or "").strip()


def _count(group, tag: str, where: str) -> int:
    value = int(group.get(tag) or 0)
    if value < 1:
        raise FormatError(f"{where}: {tag} must be at least 1, got {value}")
    return value


def _name(channel, where: str, i: int) -> str:
    sources = channel.get("ChannelSourceSequence") or []
    if not sources:
        raise FormatError(f"{where}: channel {i} has no source (ChannelSourceSequence)")
    code, scheme = _text(sources[0], "CodeValue"), _text(sources[0], "CodingSchemeDesignator")
    named = _leads.by_code(code, scheme)
    return (
        named
        or _text(sources[0], "CodeMeaning")
        or _text(channel, "ChannelLabel")
        or f"channel {i}"
    )


def _unit(channel, where: str, name: str) -> str:
    units = channel.get("ChannelSensitivityUnitsSequence") or []
    unit = _text(units[0], "CodeValue") if units else ""
    if not unit:
        raise UnitError(f"{where}: channel {name!r} has no unit (ChannelSensitivityUnitsSequence)")
    return unit


def _scale(channel, where: str, name: str) -> float:
    sensitivity = channel.get("ChannelSensitivity")
    correction = channel.get("ChannelSensitivityCorrectionFactor")
    value = float(sensitivity if sensitivity is not None else math.nan)
    value *= 1.0 if correction is None else float(correction)
    if not (math.isfinite(value) and value != 0):
        raise FormatError(f"{where}: channel {name!r} has no usable ChannelSensitivity")
    return value


def _start(text: str) -> datetime | None:
    for form in ("%Y%m%d%H%M%S.%f", "%Y%m%d%H%M%S"):
        try:
            return datetime.strptime(text.partition("+")[0], form)
        except ValueError:
            continue
    return None
