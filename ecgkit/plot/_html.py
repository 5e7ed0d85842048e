"""What a record looks like in a notebook: its paper, and the facts of its header."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from ._svg import paper_svg

if TYPE_CHECKING:
    from ..record import Record

LONGEST = 160  # characters of a header value that are shown


def record_html(rec: Record) -> str:
    """Picture and header table; the text of ``Record._repr_html_``."""
    rows = "".join(
        f'<tr><th style="text-align:left;vertical-align:top">{escape(name)}</th>'
        f'<td style="text-align:left">{escape(value)}</td></tr>'
        for name, value in facts(rec)
    )
    return (
        f'<div class="ecg-record">{paper_svg(rec)}'
        f'<table style="margin:.6em 0 0 0;font-size:90%">{rows}</table></div>'
    )


def facts(rec: Record, longest: int = LONGEST) -> list[tuple[str, str]]:
    """Name and value of what is known about a record, in reading order, as plain text."""
    bad = int(np.count_nonzero(~np.isfinite(rec.signal)))
    rows = [
        ("leads", f"{len(rec.leads)}: {' '.join(rec.leads)}"),
        ("rate", f"{rec.fs:g} Hz"),
        ("duration", f"{rec.duration:g} s, {rec.n_samples} samples"),
        ("unit", "mV"),
    ]
    if bad:
        share = bad / rec.signal.size
        rows.append(("invalid samples", f"{bad} of {rec.signal.size} ({share:.2%})"))
    for name, value in (*rec.meta.items(), ("labels", rec.labels)):
        title = "unit in the file" if name == "unit" else str(name).replace("_", " ")
        text = plain(value)
        if text:
            rows.append((title, text if len(text) <= longest else text[: longest - 3] + "..."))
    return rows


def plain(value: Any) -> str:
    """A header value as one line; what has no short form (arrays, tables) as nothing."""
    if value is None or isinstance(value, np.ndarray) or hasattr(value, "__dataclass_fields__"):
        return ""
    if isinstance(value, Mapping):
        pairs = ((key, plain(item)) for key, item in value.items())
        value = "; ".join(f"{key}: {text}" for key, text in pairs if text)
    elif isinstance(value, (list, tuple, set, frozenset)):
        texts = [_inner(item) for item in value]
        texts = [text for text in texts if text]
        same = len(texts) > 2 and len(set(texts)) == 1  # gains, units, ... that are those of all
        value = f"{texts[0]} ({len(texts)} times)" if same else ", ".join(texts)
    elif isinstance(value, (float, np.floating)):
        value = f"{value:g}"
    return " ".join(str(value).split())


def _inner(value: Any) -> str:
    """An item of a list; a pair (an event: time and name) is held together by blanks."""
    return " ".join(map(plain, value)) if isinstance(value, (list, tuple)) else plain(value)
