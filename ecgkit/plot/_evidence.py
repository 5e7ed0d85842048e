"""Numbers over a recording on ECG paper: what speaks for an answer, and where."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from .._extras import need
from .._typing import Array
from ..errors import LayoutError
from ._figure import _POINT, MM_PER_INCH, new_figure, paper_figure
from ._paper import EDGE, INK, MARK, Page, compose

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..record import Record

FOR, AGAINST = (0.80, 0.10, 0.12), (0.10, 0.35, 0.75)
PLAIN = (0.45, 0.20, 0.65)
STRONGEST = 0.55  # opacity of the largest value
BAR, LANE = 6.5, 3.6  # mm per row of bars, per lane of brackets


def evidence_figure(
    rec: Record,
    seconds: Array,
    values: Array,
    *,
    leads: Sequence[str] = (),
    title: str = "",
    legend: str = "",
    signed: bool = False,
    layout: str | None = None,
    spans: Sequence[tuple[int, float, float]] = (),
    **options: Any,
) -> Figure:
    """Draw a recording with a value for each stretch of it as the colour behind the trace.

    Parameters
    ----------
    rec : Record
    seconds : ndarray, shape (segment + 1,)
        Edges of the segments.
    values : ndarray, shape (row, segment)
        One row per lead of ``leads``; one row for all leads where ``leads`` is empty.
    leads : sequence of str
    title, legend : str
        Written above; ``legend`` says what the colour means.
    signed : bool
        Red above and blue below zero, the same strength on both sides. Else from the smallest value
        (paper) to the largest (violet).
    layout : str, optional
        Of :func:`compose`; default ``"rows"`` with ``leads``, else ``"auto"``.
    spans : sequence of (number, start, stop)
        Stretches in seconds to number above the first row.
    **options
        Those of :func:`compose`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    LayoutError
        Values that do not fit leads and seconds.
    """
    edges, shown = np.asarray(seconds, np.float64), np.asarray(values, np.float64)
    if shown.shape != (max(1, len(leads)), len(edges) - 1):
        raise LayoutError(
            f"evidence_figure: values must have shape {(max(1, len(leads)), len(edges) - 1)} for "
            f"these leads and seconds, got {shown.shape}"
        )
    layout = layout or ("rows" if leads else "auto")
    figure = paper_figure(rec, layout, **options)
    page = compose(rec, layout, **options)
    axes = figure.axes[0]
    low, high = (0.0, float(np.abs(shown).max())) if signed else (shown.min(), shown.max())
    colours = _colours(shown, float(low), float(high), signed)
    boxes, faces = [], []
    for strip in page.strips:
        row = leads.index(strip.lead) if leads and strip.lead in leads else 0
        if leads and strip.lead not in leads:
            continue
        top, bottom = _band(page, strip.y)
        left, right = strip.x, strip.x + len(strip.millivolt) * page.speed / page.fs
        x = np.clip(page.left + (edges - page.start) * page.speed, left, right)
        for (a, b), colour in zip(pairwise(x), colours[row], strict=True):
            if b > a:
                boxes.append([(a, top), (b, top), (b, bottom), (a, bottom)])
                faces.append(colour)
    collections = need("matplotlib.collections", "plot", "explain")
    axes.add_collection(collections.PolyCollection(boxes, facecolors=faces, lw=0, zorder=1.5))
    lanes = _lanes(page, spans)
    head = _panel(figure, above=9.0 + LANE * max((lane for *_, lane in lanes), default=-1) + LANE)
    head.text(page.left, 5, title, size=3.6 * _POINT, weight="bold", color=INK, va="center",
              parse_math=False)  # fmt: skip
    _scale(head, page.width, float(low), float(high), signed, legend)
    for number, x0, x1, lane in lanes:
        _bracket(head, number, x0, x1, 10.0 + LANE * lane)
    return figure


def picture_evidence(
    picture: Array, values: Array, title: str, legend: str, *, signed: bool
) -> Figure:
    """A picture in grey with a value for each cell of a grid as the colour over it."""
    shown = np.asarray(values, np.float64)
    low, high = (0.0, float(np.abs(shown).max())) if signed else (shown.min(), shown.max())
    tall, wide = picture.shape[:2]
    width = 150.0
    height = width * tall / wide
    figure = new_figure(width / MM_PER_INCH, height / MM_PER_INCH)
    axes = figure.add_axes((0, 0, 1, 1))
    box = (0, width, height, 0)
    grey = picture.mean(axis=-1)
    axes.imshow(grey, cmap="gray", vmin=0, vmax=255, extent=box, aspect="auto")
    colours = _colours(shown, float(low), float(high), signed)
    axes.imshow(colours, extent=box, aspect="auto", interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
    head = _panel(figure, above=16.0)
    head.text(EDGE, 5, title, size=3.6 * _POINT, weight="bold", color=INK, va="center",
              parse_math=False)  # fmt: skip
    _scale(head, width, float(low), float(high), signed, legend, y=11.0)
    return figure


def _panel(figure: Figure, above: float = 0.0, below: float = 0.0) -> Any:
    """A stretch of so many mm more above or below what is there, as Axes in mm from its top."""
    width, height = (side * MM_PER_INCH for side in figure.get_size_inches())
    total, added = height + above + below, above + below
    for axes in figure.axes:
        at = axes.get_position()
        low = (at.y0 * height + below) / total
        axes.set_position((at.x0, low, at.width, at.height * height / total))
    figure.set_size_inches(width / MM_PER_INCH, total / MM_PER_INCH)
    panel = figure.add_axes((0, 0 if below else height / total, 1, added / total))
    panel.set(xlim=(0, width), ylim=(added, 0), xticks=[], yticks=[])
    panel.set_facecolor("white")
    for spine in panel.spines.values():
        spine.set_visible(False)
    return panel


def _colours(values: Array, low: float, high: float, signed: bool) -> Array:
    """RGBA of each value: the hue by sign, the opacity by size."""
    size = (np.abs(values) if signed else values - low) / ((high - low) or 1.0)
    rgba = np.empty((*values.shape, 4))
    rgba[..., :3] = np.where(values[..., None] < 0, AGAINST, FOR) if signed else PLAIN
    rgba[..., 3] = STRONGEST * np.clip(size, 0.0, 1.0)
    return rgba


def _band(page: Page, y: float) -> tuple[float, float]:
    """Top and bottom of a row's stripe: halfway to its neighbours."""
    rows = list(page.rows)
    i = int(np.argmin(np.abs(np.array(rows) - y)))
    reach = [b - a for a, b in pairwise(rows)] or [22.0]
    up = rows[i] - rows[i - 1] if i else reach[0]
    down = rows[i + 1] - rows[i] if i + 1 < len(rows) else reach[-1]
    return y - min(up / 2, 11.0) + 0.4, y + min(down / 2, 11.0) - 0.4


def _scale(
    axes: Any, width: float, low: float, high: float, signed: bool, legend: str, y: float = 4.8
) -> None:
    """The colours and what they mean, at the top right."""
    steps, wide = 24, 30.0
    ends = np.linspace(-high if signed else low, high, steps)
    right = width - EDGE - 12.0
    left = right - wide
    for i, colour in enumerate(_colours(ends[None], low, high, signed)[0]):
        x = left + wide * i / steps
        axes.fill_between([x, x + wide / steps], y - 1.6, y + 1.4, facecolor=colour, lw=0, zorder=3)
    text: dict[str, Any] = {"size": 2.6 * _POINT, "color": INK, "va": "center"}
    axes.text(left - 1.0, y, f"{legend}  {ends[0]:.3g}", ha="right", **text)
    axes.text(right + 1.0, y, f"{ends[-1]:.3g}", ha="left", **text)


def _lanes(
    page: Page, spans: Sequence[tuple[int, float, float]]
) -> list[tuple[int, float, float, int]]:
    """Number, ends in mm, and the lane in which a span meets no other."""
    ends: list[float] = []
    found = []
    for number, start, stop in spans:
        x0, x1 = (
            page.left + min(max(t - page.start, 0.0), page.seconds) * page.speed
            for t in (start, stop)
        )
        if x1 > x0:
            lane = next((i for i, end in enumerate(ends) if x0 > end + 1.0), len(ends))
            ends[lane : lane + 1] = [x1]
            found.append((number, x0, x1, lane))
    return found


def _bracket(axes: Any, number: int, x0: float, x1: float, y: float) -> None:
    axes.plot([x0, x0, x1, x1], [y + 1.2, y, y, y + 1.2], color=MARK, lw=0.35 * _POINT)
    axes.text(
        (x0 + x1) / 2, y, str(number), ha="center", va="center", size=2.6 * _POINT, weight="bold",
        color=MARK, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
    )  # fmt: skip


def bars_below(figure: Figure, bars: Sequence[tuple[str, str, float]], note: str) -> None:
    """Add rows of (number, text, value) with a bar each under the paper."""
    extra = BAR * (len(bars) + (1 if note else 0)) + 5.0
    below = _panel(figure, below=extra)
    width = below.get_xlim()[1]
    middle, reach = 0.76 * width, 0.16 * width
    largest = max(abs(value) for *_, value in bars) or 1.0
    text: dict[str, Any] = {"size": 2.9 * _POINT, "va": "center", "parse_math": False}
    below.plot([middle] * 2, [2, 2 + BAR * len(bars)], color=INK, lw=0.15 * _POINT)
    for i, (number, words, value) in enumerate(bars):
        y = 2 + BAR * (i + 0.5)
        below.text(EDGE + 4, y, number, ha="right", weight="bold", color=MARK, **text)
        below.text(EDGE + 7, y, words, color=INK, **text)
        end = middle + reach * value / largest
        colour = FOR if value >= 0 else AGAINST
        below.fill_between(sorted((middle, end)), y - 1.9, y + 1.9, facecolor=(*colour, 0.75), lw=0)
        side = "left" if value >= 0 else "right"
        below.text(end + (1 if value >= 0 else -1), y, f"{value:+.3f}", ha=side, color=INK, **text)
    if note:
        y = 2 + BAR * (len(bars) + 0.5)
        below.text(EDGE + 7, y, note, color="#5a6270", style="italic", **text)
