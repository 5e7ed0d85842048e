"""WFDB annotations: beats, rhythm changes and remarks with their sample numbers."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from .._config import _core
from .._typing import Array
from ..errors import FormatError
from . import _files

MAX_BYTES = 256 << 20

# Codes 0 to 49 and what they are written as (wfdb, ecgcodes.h); others show as [code].
SYMBOLS = dict(enumerate(" NLRaVFJASEj/Q~"))
SYMBOLS |= {16: "|", 18: "s", 19: "T", 20: "*", 21: "D", 22: '"', 23: "=", 24: "p", 25: "B"}
SYMBOLS |= dict(zip(range(26, 42), "^t+u?![]en@xf()r", strict=True))
NOTE = 22

_RESOLUTION = re.compile(r"## time resolution: (\d{1,12}(?:\.\d{1,12})?)")
_DEFINITION = re.compile(r"(\d{1,3}) (\S{1,20}) (.{0,200})")


@dataclass(frozen=True, eq=False)
class Annotations:
    """A list of annotations, one entry an annotation in every array.

    Attributes
    ----------
    sample : ndarray of int64
        Sample number in the record, from 0 (at the frame rate of the record, or at ``fs``).
    symbol : tuple of str
        ``N`` for a normal beat, ``V`` for a premature ventricular one, ``+`` for a rhythm change...
    code, subtype, channel, number : ndarray
        As they are stored; ``channel`` is the annotator's, not necessarily the index of a lead.
    aux : tuple of str
        Text of each annotation, such as ``(AFIB``; mostly empty.
    fs : float or None
        Sample numbers a second: what the file states, else the frame rate of the record.
    """

    sample: Array
    symbol: tuple[str, ...]
    code: Array
    subtype: Array
    channel: Array
    number: Array
    aux: tuple[str, ...]
    fs: float | None = None

    def __len__(self) -> int:
        return len(self.symbol)

    def __repr__(self) -> str:
        counts = {s: self.symbol.count(s) for s in dict.fromkeys(self.symbol)}
        return f"<Annotations {len(self)}: {', '.join(f'{s} {n}' for s, n in counts.items())}>"

    def to_frame(self) -> Any:
        """A pandas DataFrame with one row an annotation."""
        from .._extras import need

        columns = ("sample", "symbol", "subtype", "channel", "number", "aux")
        return need("pandas", "cli", "tables").DataFrame({c: getattr(self, c) for c in columns})


def within(
    labels: Any, meta: Mapping[str, Any], begin: float, end: float
) -> tuple[Any, dict[str, Any]]:
    """Labels and meta of the window from ``begin`` to ``end`` (seconds) of a recording."""
    meta = dict(meta)
    if isinstance(meta.get("start"), datetime):
        meta["start"] += timedelta(seconds=begin)
    if not isinstance(labels, dict):
        return labels, meta
    labels = dict(labels)
    found = labels.get("annotations")
    if isinstance(found, Annotations) and found.fs:
        first = round(begin * found.fs)
        outside = (found.sample < first) | (found.sample >= round(end * found.fs))
        kept = _without(found, {int(i) for i in np.flatnonzero(outside)})
        labels["annotations"] = replace(kept, sample=kept.sample - first)
    if "events" in labels:
        events = [(t - begin, *rest) for t, *rest in labels["events"] if begin <= t < end]
        labels["events"] = tuple(events)
    return labels, meta


def read_annotations(path: str | os.PathLike[str]) -> Annotations:
    """Read a WFDB annotation file (``.atr``, ``.qrs``, ...) in MIT format.

    Parameters
    ----------
    path : path
        The file with its extension.

    Returns
    -------
    Annotations

    Raises
    ------
    FormatError
        The list is cut off or malformed: names the byte.
    """
    path = os.fspath(path)
    data = _files.read_bytes(path, MAX_BYTES)
    if _is_aha(data):
        raise FormatError(f"{path} is in AHA format, which is not supported; convert it with wfdb")
    sample, code, subtype, channel, number, aux = _core.wfdb_annotations(data, path)
    remarks = [int(i) for i in np.flatnonzero((sample == 0) & (code == NOTE))]
    fs, own, drop = _definitions(remarks, aux)
    symbols = SYMBOLS | own if own else SYMBOLS
    text = tuple(symbols.get(c, f"[{c}]") for c in code.tolist())
    found = Annotations(sample, text, code, subtype, channel, number, aux, fs)
    drop |= {int(i) for i in np.flatnonzero(code == 0)}
    return _without(found, drop) if drop else found


def _is_aha(data: bytes) -> bool:
    """AHA format has blocks of 16 bytes, each with a zero and the letter of a label in front."""
    heads = range(0, min(len(data), 512), 16)
    labels = b"NVFREPQOAUJLST[]+~|*?"
    return len(data) >= 64 and all(data[i] == 0 and data[i + 1] in labels for i in heads)


def _definitions(
    remarks: list[int], aux: tuple[str, ...]
) -> tuple[float | None, dict[int, str], set[int]]:
    """What the remarks at sample 0 define: time resolution, own symbols; and which those are."""
    fs, own, drop, inside = None, {}, set(), False
    for i in remarks:
        resolution = _RESOLUTION.match(aux[i])
        definition = _DEFINITION.match(aux[i]) if inside else None
        if resolution:
            fs = float(resolution.group(1)) or None
        elif definition:
            own[int(definition.group(1))] = definition.group(2)
        elif aux[i] in ("## annotation type definitions", "## end of definitions"):
            inside = aux[i] == "## annotation type definitions"
        else:
            continue
        drop.add(i)
    return fs, own, drop


def _without(a: Annotations, drop: set[int]) -> Annotations:
    keep = [i for i in range(len(a)) if i not in drop]
    return replace(
        a,
        sample=a.sample[keep],
        symbol=tuple(a.symbol[i] for i in keep),
        code=a.code[keep],
        subtype=a.subtype[keep],
        channel=a.channel[keep],
        number=a.number[keep],
        aux=tuple(a.aux[i] for i in keep),
    )
