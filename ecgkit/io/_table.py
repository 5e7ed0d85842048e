"""Plain arrays: NPY and CSV. They say neither rate nor unit, so the caller must."""

from __future__ import annotations

import io
import os
from typing import Any

import numpy as np

from ..errors import FormatError, LayoutError, LeadError, RateError, UnitError
from ..record import Record
from . import _select

_MAX_COLUMNS = 4096
# Columns of a CSV file that count samples or seconds.
_CLOCKS = {"", "t", "time", "times", "timestamp", "sample", "samples", "index"}


def needs(path: str, fs: float | None, unit: str | None) -> None:
    """Refuse to go on without what only the caller can know."""
    if fs is None:
        raise RateError(f"{path} does not say its sampling rate; pass fs=, e.g. read(path, fs=500)")
    if unit is None:
        raise UnitError(f"{path} does not say its unit; pass unit=, e.g. read(path, unit='mV')")


def read_npy(path: str, data: bytes, *, fs, unit, leads) -> Record:
    """An array of shape (lead, time), or (time,) for one lead."""
    needs(path, fs, unit)
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
        else:
            raise ValueError(f"version {version}")
    except Exception as error:  # the header is a Python literal that can be wrong in many ways
        raise FormatError(f"{path}: the NPY header is malformed: {error}"[:300]) from error
    if dtype.kind not in "iuf" or dtype.hasobject:
        raise FormatError(f"{path} must hold real numbers, it holds {dtype}")
    rest = memoryview(data)[file.tell() :]
    count = 1
    for n in shape:
        count *= max(int(n), 0)
    if len(shape) not in (1, 2) or count == 0:
        raise LayoutError(f"{path} must have shape (lead, time) or (time,), it has {shape}")
    if count * dtype.itemsize != len(rest):
        raise FormatError(
            f"{path}: shape {shape} of {dtype} takes {count * dtype.itemsize} bytes, "
            f"there are {len(rest)}"
        )
    x = np.frombuffer(rest, dtype).reshape(shape, order="F" if fortran else "C")
    return _build(path, np.atleast_2d(x), fs, unit, leads, "NPY")


def _build(path: str, x: np.ndarray, fs, unit, leads, kind: str) -> Record:
    if leads is None:
        raise LeadError(
            f"{path} names no leads; pass leads=, one name for each of {x.shape[0]} rows"
        )
    names = [leads] if isinstance(leads, str) else [str(name) for name in leads]
    if len(names) != x.shape[0]:
        turn = ""
        if x.shape[1] == len(names):
            turn = "; it looks like (time, lead): save its transpose"
        raise LayoutError(
            f"{path} has shape {x.shape}, (lead, time) with {len(names)} leads is wanted{turn}"
        )
    _select.unique(names, path)
    if np.isinf(x).any():
        raise FormatError(f"{path} holds infinite values")
    meta: dict[str, Any] = {"format": kind, "source": os.path.basename(path), "unit": unit}
    return Record(x, fs, names, unit=unit, meta=meta)


def read_csv(path: str, data: bytes, *, fs, unit, leads) -> Record:
    """Columns are leads, rows are samples; names come from a first line of names or ``leads``."""
    needs(path, fs, unit)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}, byte {error.start}: not UTF-8 text") from error
    lines = [
        line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]
    if not lines:
        raise FormatError(f"{path} has no line of numbers")
    delimiters = [d for d in ",;\t" if d in lines[0]]
    if len(delimiters) > 1:
        raise FormatError(f"{path}: line 1 has several of comma, semicolon and tab; one is wanted")
    delimiter = delimiters[0] if delimiters else None
    cells = [c.strip().strip('"') for c in lines[0].split(delimiter)] if delimiter else [lines[0]]
    names = None if all(map(_is_number, cells)) else cells
    if len(cells) > _MAX_COLUMNS:
        raise FormatError(f"{path} has {len(cells)} columns; at most {_MAX_COLUMNS} are read")
    body = lines[names is not None :]
    if not body:
        raise FormatError(f"{path} has names but no samples")
    try:
        rows = np.loadtxt(body, delimiter=delimiter, comments=None, ndmin=2, quotechar='"')
    except ValueError as error:
        raise FormatError(f"{path} is not a table of numbers: {error}"[:300]) from error
    if rows.shape[1] != len(cells):
        raise FormatError(f"{path} has {len(cells)} names for {rows.shape[1]} columns of numbers")
    if names is None:
        return _build(path, rows.T, fs, unit, leads, "CSV")
    clocks = [i for i, name in enumerate(names) if name.lower().partition(" ")[0] in _CLOCKS]
    if leads is None:
        chosen = [i for i in range(len(names)) if i not in clocks]
    else:
        chosen = _select.choose(names, leads, path)
    if not chosen:
        raise LeadError(f"{path} has no column beside {', '.join(names)}")
    return _build(path, rows.T[chosen], fs, unit, [names[i] for i in chosen], "CSV")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
