"""A prototype match on ECG paper: the piece of a record that resembles a prototype, marked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import LayoutError
from ._figure import paper_figure
from ._paper import MARK, compose

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..record import Record


def prototype_figure(
    rec: Record,
    window: int,
    *,
    length: int,
    steps: int,
    score: float | None = None,
    label: str = "prototype",
    layout: str = "auto",
    **options: Any,
) -> Figure:
    """Draw a record with the window that matches a prototype.

    Parameters
    ----------
    rec : Record
    window : int
        First time step of the match in the feature map, as :func:`ecgkit.proto.similarity` and
        :func:`ecgkit.proto.push` give it.
    length : int
        Time steps of the prototype.
    steps : int
        Time steps of the whole feature map; they are spread over the record evenly, as ProtoECGNet
        does.
    score : float, optional
        Written beside the mark.
    label : str
        What the prototype stands for.
    layout, **options
        Those of :func:`ecgkit.plot.compose`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    LayoutError
        The window lies outside the feature map.
    """
    if not (window >= 0 and length >= 1 and window + length <= steps):
        raise LayoutError(
            f"prototype_figure: steps {window} to {window + length} lie outside the {steps} steps"
        )
    count = rec.signal.shape[1]
    size = int(length * count / steps)  # in samples; push.py of ProtoECGNet
    begin = min(max(int(window * count / steps), 0), count - size)
    figure = paper_figure(rec, layout, **options)
    page = compose(rec, layout, **options)
    axes = figure.axes[0]
    x0, x1 = (
        page.left + min(max(at / rec.fs - page.start, 0.0), page.seconds) * page.speed
        for at in (begin, begin + size)
    )
    for row in page.rows:
        top, bottom = 1 - (row - 11) / page.height, 1 - (row + 11) / page.height
        axes.axvspan(x0, x1, bottom, top, color=MARK, alpha=0.18, lw=0, zorder=2)
    text = label if score is None else f"{label}: {score:.3f}"
    text += f" ({begin / rec.fs:.2f} to {(begin + size) / rec.fs:.2f} s)"
    axes.text(page.left, 6, text, size=9, weight="bold", color=MARK, parse_math=False)
    return figure
