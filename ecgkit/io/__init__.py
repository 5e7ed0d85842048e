"""Reading and writing ECG files. What a file is, its content says; nothing is guessed.

>>> rec = ek.read("00001_lr.hea")  # WFDB: header, signal file, or name without extension
>>> rec = ek.read("ecg.dcm", record="MEDIAN BEAT")
>>> rec = ek.read("ecg.csv", fs=500, unit="mV")
>>> for rec in ek.read_many(paths, on_error="skip"): ...
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .._extras import need
from ..errors import EcgkitError, FormatError
from ..record import Record
from . import _files, _select, _sniff, _table, _wfdb
from ._annotations import Annotations, read_annotations
from ._write import write

__all__ = ["Annotations", "Failure", "read", "read_annotations", "read_many", "sample", "write"]

MAX_FILE = 2 << 30

# Content -> module with read(path, data, *, record, leads, strict).
_READERS = {
    "EDF": "_edf",
    "DICOM": "_dicom",
    "MUSE": "_muse",
    "aECG": "_aecg",
    "Philips": "_philips",
    "SCP": "_scp",
}


def read(
    path: str | os.PathLike[str],
    *,
    record: int | str | None = None,
    leads: _select.Leads = None,
    fs: float | None = None,
    unit: str | None = None,
    strict: bool = False,
) -> Record:
    """Read an ECG file: WFDB, EDF, BDF, DICOM, MUSE, aECG, Philips XML, SCP-ECG, NPY or CSV.

    Parameters
    ----------
    path : path
        The file. For WFDB the header, the signal file, or the record's name without extension.
    record : int or str, optional
        Which recording, where a file holds several (a DICOM multiplex group, a MUSE waveform, an
        aECG series), by position or label; or the name of a WFDB record when ``path`` is a folder.
        Default: the first, which is the rhythm.
    leads : sequence of str or int, optional
        Read only these signals, by name or position, in this order. Default: every signal that
        is a voltage; others (a blood pressure, say) are left out and listed in
        ``meta["dropped"]``. For NPY, and CSV without a line of names: the names of all leads.
    fs : float, optional
        Sampling rate in Hz of NPY and CSV, which do not say it; refused for other formats.
    unit : str, optional
        Unit of NPY and CSV: ``"mV"``, ``"uV"``, ``"V"`` or ``"nV"``; refused for other formats.
    strict : bool
        Doubts about the file (a checksum that does not fit, ...) are errors; by default they are
        listed in ``meta["warnings"]``.

    Returns
    -------
    Record
        Samples in mV, NaN where the file marks a sample as invalid. ``meta`` has ``format`` and
        ``source`` and, where they exist, ``gain``, ``baseline`` and ``unit`` (a sample in that unit
        is (raw - baseline) / gain), ``start``, ``record``, ``dropped``, ``derived``, ``warnings``.
        ``labels`` holds what the file says about the heart: ``annotations`` (WFDB),
        ``dx`` (codes), ``statements`` (texts), ``events`` (EDF+).

    Raises
    ------
    FormatError
        The file is not what it claims to be, or is of a kind that is not supported.
    UnitError, LeadError, RateError, LayoutError
        No unit, a unit that is no voltage, two leads of one name, several rates, no samples: the
        message shows what to pass.
    MissingExtraError
        The format needs an optional package.
    FileNotFoundError
        There is no such file.
    """
    path = os.fspath(path)
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    if isinstance(record, str) and os.path.isdir(path):
        path, record = os.path.join(path, record), None
    try:
        head, size = _files.read_head(path, _sniff.HEAD)
    except FileNotFoundError:
        try:
            head, size = _files.read_head(path + ".hea", _sniff.HEAD)
        except FileNotFoundError:
            raise FileNotFoundError(f"neither {path} nor {path}.hea exists") from None
        path += ".hea"
    if size == 0:
        raise FormatError(f"{path} is empty")
    rec = _dispatch(path, head, size, record, leads, fs, unit, strict)
    first = rec.signal[:, 0]
    if first[0] != first[0] and np.isnan(rec.signal).all():
        raise FormatError(f"{path} holds no valid sample: all {rec.signal.size} are NaN")
    return rec


def _dispatch(path, head, size, record, leads, fs, unit, strict) -> Record:
    kind = _sniff.kind(head, size)
    if kind in ("WFDB", "text", None) and path.endswith(".hea"):
        kind = "WFDB"  # the parser says what is wrong with it
    elif kind == "WFDB" and fs is not None:
        kind = "text"  # numbers between spaces look like a record line
    header = None
    if kind == "WFDB":
        header, text = path, head if size == len(head) else None
    elif kind not in _READERS and kind != "NPY":
        header, text = _wfdb.header_of(path), None
    told = "fs" if fs is not None else "unit" if unit is not None else None
    if told and (header is not None or kind in _READERS):
        raise FormatError(f"{path} says its own rate and unit; leave out {told}=")
    if header is not None:
        _select.recording([""], record, path)
        return _wfdb.read(header, text, leads=leads, strict=strict)
    if kind in _READERS:
        reader: Any = importlib.import_module(f"{__name__}.{_READERS[kind]}")
        data = _files.read_bytes(path, MAX_FILE)
        return reader.read(path, data, record=record, leads=leads, strict=strict)
    if kind in ("NPY", "text"):
        _select.recording([""], record, path)
        table = _table.read_npy if kind == "NPY" else _table.read_csv
        if kind == "text":
            _sniff.refuse_prose(path, head)
        return table(path, _files.read_bytes(path, MAX_FILE), fs=fs, unit=unit, leads=leads)
    what = kind or "unknown binary data (a WFDB signal file is read through its .hea header)"
    raise FormatError(f"{path} is not an ECG format that is read: {what}")


@dataclass(frozen=True)
class Failure:
    """A file that :func:`read_many` could not read."""

    path: str
    error: Exception

    def __str__(self) -> str:
        return f"{type(self.error).__name__}: {self.error}"


def read_many(
    paths: Iterable[str | os.PathLike[str]],
    *,
    on_error: Literal["raise", "skip", "report"] = "raise",
    **options: Any,
) -> Iterator[Any]:
    """Read files one after the other, each when it is asked for: memory stays that of one record.

    Parameters
    ----------
    paths : iterable of path
    on_error : {"raise", "skip", "report"}
        What a file does that cannot be read: raise its error, leave it out, or yield a
        :class:`Failure` in its place, so that items and paths stay in step.
    **options
        Passed to :func:`read`.

    Yields
    ------
    Record
        Or :class:`Failure` with ``on_error="report"``.
    """
    if on_error not in ("raise", "skip", "report"):
        raise ValueError(f"read_many: on_error must be raise, skip or report; got {on_error!r}")
    if isinstance(paths, (str, bytes, os.PathLike)):
        raise TypeError("read_many: paths must be an iterable of paths; use read() for one file")
    return _each(paths, on_error, options)


def _each(paths, on_error: str, options: dict[str, Any]) -> Iterator[Any]:
    for path in paths:
        item: Record | Failure
        try:
            item = read(path, **options)
        except (EcgkitError, OSError, MemoryError) as error:
            if on_error == "raise":
                raise
            if on_error == "skip":
                continue
            item = Failure(os.fspath(path), error)
        yield item


_SAMPLES = {
    "dicom-12-lead": (
        "waveform_ecg.dcm",
        "waveform_ecg.dcm of the pydicom package: resting 12-lead ECG, 10 s, anonymised",
        "MIT (pydicom; the same recording is in dicom-ecg-plot, MIT)",
    )
}


def sample(name: str | None = None) -> Record:
    """A real 12-lead recording that an installed package carries; nothing is downloaded.

    Parameters
    ----------
    name : str, optional
        ``"dicom-12-lead"``, the only one so far.

    Returns
    -------
    Record
        ``meta["source"]`` and ``meta["license"]`` say where it comes from.

    Raises
    ------
    MissingExtraError
        pydicom, which carries the recording, is not installed.
    """
    key = "dicom-12-lead" if name is None else name
    if key not in _SAMPLES:
        raise ValueError(f"sample: name must be one of {', '.join(_SAMPLES)}; got {name!r}")
    file, source, licence = _SAMPLES[key]
    data: Any = need("pydicom.data", "io", "the sample recording")
    path = data.get_testdata_file(file, download=False)
    if path is None:
        raise FormatError(f"this version of pydicom does not carry {file}; pip install -U pydicom")
    rec = read(path)
    meta = {**rec.meta, "source": source, "license": licence}
    return Record(rec.signal, rec.fs, rec.leads, labels=rec.labels, meta=meta, raw=rec.raw)
