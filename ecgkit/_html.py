"""The little HTML that notebooks show: escaped text, tables, bars. No scripts, no style sheets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

_CELL = "padding:2px 10px;text-align:left;vertical-align:top;border:0"


def text(value: Any) -> str:
    """``value`` as escaped text; floats with four digits."""
    return escape(f"{value:.4g}" if isinstance(value, float) else str(value))


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], *, caption: str = "") -> str:
    """A plain table; every cell is escaped."""
    top = "".join(f'<th style="{_CELL}">{text(name)}</th>' for name in head)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{text(cell)}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    title = f'<caption style="text-align:left">{text(caption)}</caption>' if caption else ""
    return (
        f'<table style="border-collapse:collapse">{title}'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    )


def bar(name: str, fraction: float, *, strong: bool = False) -> str:
    """One labelled bar of a probability between 0 and 1."""
    share = min(max(float(fraction), 0.0), 1.0) if fraction == fraction else 0.0
    weight = "bold" if strong else "normal"
    colour = "#2b6cb0" if strong else "#a0aec0"
    return (
        '<div style="display:flex;align-items:center;font-family:sans-serif;font-size:13px">'
        f'<span style="width:9em;font-weight:{weight}">{text(name)}</span>'
        '<span style="width:240px;background:#edf2f7;margin-right:8px">'
        f'<span style="display:block;width:{100 * share:.1f}%;height:12px;background:{colour}">'
        "</span></span>"
        f'<span style="font-weight:{weight}">{fraction:.3f}</span></div>'
    )
