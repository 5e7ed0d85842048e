"""Reading and writing ECG files. What a file is, its content says; nothing is guessed.

>>> rec = ek.read("00001_lr.hea")  # WFDB: header, signal file, or name without extension
>>> rec = ek.read("ecg.dcm", record="RHYTHM")
>>> rec = ek.read("ecg.csv", fs=500, unit="mV")
"""

from __future__ import annotations

import os
from typing import Any

from .._extras import need
from ..errors import FormatError
from ..record import Record
from . import _files, _select, _sniff, _wfdb

__all__ = ["read", "sample"]

MAX_FILE = 2 << 30


def read(
    path: str | os.PathLike[str],
    *,
    record: int | str | None = None,
    leads: _select.Leads = None,
    strict: bool = False,
) -> Record:
    """Read an ECG file of any supported format.

    Parameters
    ----------
    path : path
        The file. For WFDB the header, the signal file, or the record's name without extension.
    record : int or str, optional
        Which recording, where a file holds several (a DICOM multiplex group by label or index),
        or the name of a WFDB record when ``path`` is a folder. Default: the first.
    leads : sequence of str or int, optional
        Read only these signals, by name or position, in this order. Default: every signal that
        is a voltage; others (a blood pressure, say) are left out and listed in
        ``meta["dropped"]``.
    strict : bool
        Doubts about the file (a checksum that does not fit, ...) are errors; by default they are
        listed in ``meta["warnings"]``.

    Returns
    -------
    Record
        Samples in mV. ``meta`` has ``format``, ``source``, ``gain``, ``baseline`` and ``unit``
        (a sample in that unit is (raw - baseline) / gain), ``dropped`` and ``warnings``.

    Raises
    ------
    FormatError
        The file is not what it claims to be, or is of a kind that is not supported.
    UnitError, LeadError, RateError
        A unit that is no voltage, two leads of one name, several rates: the message shows what
        to pass.
    MissingExtraError
        The format needs an optional package.
    FileNotFoundError
        There is no such file.
    """
    path = os.fspath(path)
    if os.path.isdir(path):
        if not isinstance(record, str):
            raise FormatError(
                f"{path} is a folder; pass record= with the name of a WFDB record in it"
            )
        path, record = os.path.join(path, record), None
    try:
        head, size = _files.read_head(path, _sniff.HEAD)
    except FileNotFoundError:
        if not os.path.isfile(path + ".hea"):
            raise FileNotFoundError(f"neither {path} nor {path}.hea exists") from None
        path += ".hea"
        head, size = _files.read_head(path, _sniff.HEAD)
    if size == 0:
        raise FormatError(f"{path} is empty")
    kind = _sniff.kind(head, size)
    if kind == "WFDB":
        return _wfdb.read(path, head if size == len(head) else None, leads=leads, strict=strict)
    if kind == "DICOM":
        from . import _dicom

        data = _files.read_bytes(path, MAX_FILE)
        return _dicom.read(path, data, record=record, leads=leads, strict=strict)
    header = _wfdb.header_of(path)
    if header is not None:
        return _wfdb.read(header, leads=leads, strict=strict)
    raise FormatError(f"{path} is not an ECG format that is read: {kind or 'unknown binary data'}")


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
    return Record(
        rec.signal,
        rec.fs,
        rec.leads,
        labels=rec.labels,
        raw=rec.raw,
        meta={**rec.meta, "source": source, "license": licence},
    )
