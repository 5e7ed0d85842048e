"""ECG paper and probability bars as SVG text, by hand: no matplotlib, no ids, no scripts."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from .._typing import Array, ArrayLike
from . import _paper as paper
from ._paper import Page, compose

if TYPE_CHECKING:
    from ..record import Record

UNITS = 20  # path units per mm: a whole number then stands for 0.05 mm
CLOSEST = 7.0  # mm between two beats below which their RR interval is not written
COLUMN = 0.25  # mm: about one pixel of a screen at 96 dpi


def paper_svg(
    rec: Record,
    layout: str = "auto",
    *,
    start: float = 0.0,
    duration: float | None = None,
    rhythm: str | None = "II",
    speed: float = 25.0,
    gain: float = 10.0,
    beats=None,
) -> str:
    """A record on ECG paper as one inline ``<svg>`` element.

    Parameters are those of :func:`ecgkit.plot.compose`. The element's width and height are in
    millimetres, so a print at 100 % measures true; on a narrow screen it shrinks with its grid.

    Returns
    -------
    str
        Signals are reduced to the smallest and largest sample of each 0.25-mm column, so ten
        seconds of twelve leads at any rate stay below 200 kB. Lead names are escaped.
    """
    page = compose(
        rec, layout, start=start, duration=duration, rhythm=rhythm, speed=speed, gain=gain,
        beats=beats,
    )  # fmt: skip
    return page_svg(page)


def page_svg(page: Page) -> str:
    """Write a laid-out page as ``<svg>``."""
    w, h = f"{page.width:g}", f"{page.height:g}"
    leads = " ".join(dict.fromkeys(strip.lead for strip in page.strips))
    label = escape(
        f"ECG on paper, {page.seconds:g} s, {page.speed:g} mm/s, {page.gain:g} mm/mV: {leads}"
    )
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" class="ecg-paper" role="img" '
        f'aria-label="{label}" width="{w}mm" height="{h}mm" viewBox="0 0 {w} {h}" '
        'style="max-width:100%;height:auto;display:block">',
        f'<rect width="{w}" height="{h}" fill="{paper.SHEET}"/>',
        _grid(page, 1.0, paper.FINE, 0.1),
        _grid(page, 5.0, paper.BOLD, 0.2),
        f'<g font-family="Helvetica,Arial,sans-serif" font-size="3.4" fill="{paper.INK}">',
        *(_name(page, strip) for strip in page.strips),
        f'<text x="{paper.EDGE:g}" y="{page.height - 3:g}" font-size="3" xml:space="preserve">'
        f"{escape(page.foot)}</text>",
        "</g>",
        f'<g transform="scale({1 / UNITS:g})" fill="none" stroke="{paper.INK}" stroke-width="6" '
        'stroke-linejoin="round" stroke-linecap="round">',
        *(_path(*page.pulse(row)) for row in page.rows),
        *(_trace(page, strip) for strip in page.strips),
        _ticks(page),
        "</g>",
        _marks(page),
        "</svg>",
    ]
    return "".join(parts)


def _grid(page: Page, step: float, colour: str, width: float) -> str:
    across = "".join(f"M{x:g} 0v{page.height:g}" for x in np.arange(0, page.width + 0.5, step))
    down = "".join(f"M0 {y:g}h{page.width:g}" for y in np.arange(0, page.height + 0.5, step))
    return f'<path d="{across}{down}" fill="none" stroke="{colour}" stroke-width="{width:g}"/>'


def _name(page: Page, strip: paper.Strip) -> str:
    y = strip.y - min(8.0, 0.8 * page.gain)
    text = escape(strip.lead)
    if not np.isfinite(strip.millivolt).any():
        text += " (no valid samples)"
    return (
        f'<text x="{strip.x + 1:g}" y="{y:g}" font-weight="bold" stroke="{paper.SHEET}" '
        f'stroke-width=".8" paint-order="stroke">{text}</text>'
    )


def _ticks(page: Page) -> str:
    """Short upright lines where one lead follows another in a row."""
    joints = [strip for strip in page.strips if strip.x > page.left + 1e-9]
    return "".join(
        f'<path d="M{round(s.x * UNITS)} {round((s.y - 3) * UNITS)}v{6 * UNITS}" stroke-width="4"/>'
        for s in joints
    )


def _marks(page: Page) -> str:
    if not page.marks:
        return ""
    top = page.height - 12.0
    out = [
        f'<g fill="{paper.MARK}" font-family="Helvetica,Arial,sans-serif" font-size="2.6" '
        f'text-anchor="middle" stroke="{paper.SHEET}" stroke-width=".6" paint-order="stroke">'
        f'<text x="{paper.EDGE:g}" y="{top + 2:g}" text-anchor="start">RR (ms)</text>'
    ]
    before = None
    for x, text in page.marks:
        out.append(f'<path d="M{x:.2f} {top:g}l1 2h-2z" stroke="none"/>')
        if text and before is not None and x - before > CLOSEST:
            out.append(f'<text x="{(x + before) / 2:.2f}" y="{top + 2:g}">{escape(text)}</text>')
        before = x
    out.append("</g>")
    return "".join(out)


def _trace(page: Page, strip: paper.Strip) -> str:
    x, y = page.x_of(strip), page.y_of(strip)
    finite = np.isfinite(y)
    if not finite.any():
        return ""
    # One path per run of finite samples: a gap in the data is a gap on the paper.
    edges = np.flatnonzero(np.diff(finite.astype(np.int8), prepend=0, append=0))
    return "".join(_path(*columns(x[a:b], y[a:b])) for a, b in edges.reshape(-1, 2))


def columns(x: Array, y: Array, wide: float = COLUMN) -> tuple[Array, Array]:
    """Keep the smallest and the largest ``y`` of each column of width ``wide``, in their order.

    A column that rises keeps its smallest first, one that falls its largest; signals with at most
    two samples per column stay as they are.
    """
    if len(x) < 3 or x[1] - x[0] >= 0.5 * wide:
        return x, y
    column = np.floor((x - x[0]) / wide + 1e-9).astype(np.int64)
    first = np.flatnonzero(np.diff(column, prepend=-1))
    last = np.append(first[1:], len(y)) - 1
    low, high = np.minimum.reduceat(y, first), np.maximum.reduceat(y, first)
    rises = y[last] >= y[first]
    both = np.stack([np.where(rises, low, high), np.where(rises, high, low)], axis=1)
    return np.repeat(x[0] + column[first] * wide, 2), both.ravel()


def _path(x: Array, y: Array) -> str:
    """Points in mm as one path: whole units, relative steps, level runs drawn as one step."""
    points = np.rint(np.stack([x, y], axis=1) * UNITS).astype(np.int64)
    if len(points) == 1:
        return f'<path d="M{points[0, 0]} {points[0, 1]}h1"/>'
    step = np.diff(points, axis=0)
    moved = np.append(True, (step != 0).any(axis=1))
    points = points[moved]
    if len(points) < 2:
        return f'<path d="M{points[0, 0]} {points[0, 1]}h1"/>'
    level = np.diff(points[:, 1]) == 0
    inner = np.zeros(len(points), dtype=bool)
    inner[1:-1] = level[:-1] & level[1:]
    points = points[~inner]
    steps = " ".join(map(str, np.diff(points, axis=0).ravel().tolist())).replace(" -", "-")
    return f'<path d="M{points[0, 0]} {points[0, 1]}l{steps}"/>'


def bars_svg(labels: Sequence[str], values: ArrayLike, *, best: int | None = None) -> str:
    """Probabilities as horizontal bars, in one inline ``<svg>`` element.

    Parameters
    ----------
    labels : sequence of str
    values : array_like of float
        In [0, 1]; a NaN is written as such and draws no bar.
    best : int, optional
        Which bar to draw strong; default the largest.
    """
    heights: list[float] = np.asarray(values, dtype=float).tolist()
    if best is None and np.isfinite(heights).any():
        best = int(np.nanargmax(heights))
    name = 7.5 * max((len(str(text)) for text in labels), default=0) + 12
    high = 24 * len(heights) + 4
    said = escape(", ".join(f"{a} {v:.3f}" for a, v in zip(labels, heights)))
    out = [
        '<svg xmlns="http://www.w3.org/2000/svg" class="ecg-bars" role="img" '
        f'aria-label="{said}" '
        f'width="{name + 330:g}" height="{high}" viewBox="0 0 {name + 330:g} {high}" '
        'style="max-width:100%;height:auto" font-family="Helvetica,Arial,sans-serif" '
        'font-size="13" fill="currentColor">'
    ]
    for i, (text, value) in enumerate(zip(labels, heights)):
        y = 24 * i + 4
        bold = ' font-weight="bold"' if i == best else ""
        out.append(f'<text x="0" y="{y + 14}"{bold}>{escape(str(text))}</text>')
        out.append(
            f'<rect x="{name:g}" y="{y}" width="260" height="18" rx="2" fill="#8884" />'
            f'<rect x="{name:g}" y="{y}" width="{260 * min(max(value, 0.0), 1.0) or 0:.1f}" '
            f'height="18" rx="2" fill="{paper.MARK}" opacity="{1 if i == best else 0.55}"/>'
            if np.isfinite(value)
            else ""
        )
        out.append(f'<text x="{name + 270:g}" y="{y + 14}"{bold}>{value:.3f}</text>')
    out.append("</svg>")
    return "".join(out)
