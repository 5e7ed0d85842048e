"""The same sheet of paper as a matplotlib figure, for papers and slides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._extras import need
from . import _paper as paper
from ._paper import compose
from ._svg import CLOSEST

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..record import Record

MM_PER_INCH = 25.4
_POINT = 72 / MM_PER_INCH  # points per mm


def paper_figure(rec: Record, layout: str = "auto", **options: Any) -> Figure:
    """Draw a record on ECG paper; true to scale when saved as PDF or SVG and printed at 100 %.

    Parameters
    ----------
    rec : Record
    layout, **options
        Those of :func:`ecgkit.plot.compose`: ``start``, ``duration``, ``rhythm``, ``speed``,
        ``gain``, ``beats``.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingExtraError
        matplotlib is not installed (extra ``plot``).
    """
    collections = need("matplotlib.collections", "plot", "Record.plot")
    page = compose(rec, layout, **options)
    figure = new_figure(page.width / MM_PER_INCH, page.height / MM_PER_INCH)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, page.width), ylim=(page.height, 0), xticks=[], yticks=[])
    axes.set_facecolor(paper.SHEET)
    for spine in axes.spines.values():
        spine.set_visible(False)
    for step, colour, width in ((1.0, paper.FINE, 0.1), (5.0, paper.BOLD, 0.2)):
        upright = [[(x, 0), (x, page.height)] for x in np.arange(0, page.width + 0.5, step)]
        level = [[(0, y), (page.width, y)] for y in np.arange(0, page.height + 0.5, step)]
        axes.add_collection(
            collections.LineCollection(
                upright + level, colors=colour, linewidths=width * _POINT, zorder=1
            )
        )
    ink: dict[str, Any] = {
        "color": paper.INK,
        "linewidth": 0.3 * _POINT,
        "solid_joinstyle": "round",
    }
    for row in page.rows:
        axes.plot(*page.pulse(row), **ink)
    for strip in page.strips:
        axes.plot(page.x_of(strip), page.y_of(strip), **ink)
        if strip.x > page.left + 1e-9:
            axes.plot([strip.x] * 2, [strip.y - 3, strip.y + 3], color=paper.INK, lw=0.2 * _POINT)
        y = strip.y - min(8.0, 0.8 * page.gain)
        axes.text(strip.x + 1, y, strip.lead, size=3.4 * _POINT, weight="bold", color=paper.INK,
                  parse_math=False)  # fmt: skip
    axes.text(paper.EDGE, page.height - 3, page.foot, size=3 * _POINT, color=paper.INK,
              parse_math=False)  # fmt: skip
    if page.marks:
        at = np.array([x for x, _ in page.marks])
        blue: dict[str, Any] = {"color": paper.MARK, "size": 2.6 * _POINT}
        axes.plot(at, np.full(len(at), page.height - 11.0), "^", color=paper.MARK, ms=2 * _POINT)
        axes.text(paper.EDGE, page.height - 10.0, "RR (ms)", **blue)
        for (x0, _), (x1, text) in zip(page.marks, page.marks[1:]):
            if x1 - x0 > CLOSEST:
                axes.text((x0 + x1) / 2, page.height - 10.0, text, ha="center", **blue)
    return figure


def new_figure(width: float, height: float) -> Figure:
    """An empty figure in inches; kept open by windows, not by inline and file back ends."""
    pyplot = need("matplotlib.pyplot", "plot", "plotting")
    figure = pyplot.figure(figsize=(width, height))
    if getattr(figure.canvas, "required_interactive_framework", None) is None and not any(
        name in pyplot.get_backend().lower() for name in ("nbagg", "ipympl", "webagg")
    ):
        pyplot.close(figure)
    return figure
