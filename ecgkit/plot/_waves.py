"""Waves over the trace, and the Poincaré plot of RR intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._extras import need
from ..errors import LayoutError
from ._figure import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..signal import HRV, Delineation

_COLOURS = {"P": "#1b6ca8", "QRS": "#b3341f", "T": "#3a7d34"}
_INK, _GRID, _FAINT = "#1c1c1c", "#e4e4e4", "#8a8a8a"


def delineation(
    waves: Delineation,
    leads: Sequence[str] | None = None,
    *,
    start: float = 0.0,
    duration: float = 5.0,
) -> Figure:
    """The trace of some leads with P, QRS and T shaded from onset to offset and their peaks marked.

    Parameters
    ----------
    waves : Delineation
    leads : sequence of str, optional
        Default: II, V2 and V5 as far as there, else the first three.
    start, duration : float
        Seconds shown.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    LeadError
        A lead that is not there.
    LayoutError
        Nothing lies between ``start`` and ``start + duration``.
    MissingExtraError
        matplotlib is not installed (extra ``plot``).
    """
    patches = need("matplotlib.patches", "plot", "plot.delineation")
    usual = [name for name in waves.leads if name in ("II", "V2", "V5")]
    chosen = list(leads if leads is not None else usual or waves.leads[:3])
    rows = [waves._signal[waves._row(name)] for name in chosen]
    total = waves._signal.shape[1]
    first = max(0, round(start * waves.fs))
    last = min(total, round((start + duration) * waves.fs))
    if last - first < 2 or not chosen:
        raise LayoutError(
            f"plot.delineation: nothing between {start:g} and {start + duration:g} s of a "
            f"recording of {total / waves.fs:g} s"
        )
    figure = new_figure(10, 0.6 + 1.7 * len(chosen))
    many = figure.subplots(len(chosen), 1, sharex=True, squeeze=False)[:, 0]
    time = np.arange(first, last) / waves.fs
    for axes, name, row in zip(many, chosen, rows):
        _shade(axes, waves, name, row, first, last)
        axes.plot(time, row[first:last], color=_INK, lw=0.9, solid_joinstyle="round", zorder=3)
        axes.set_ylabel(f"{name}\nmV", rotation=0, ha="right", va="center", labelpad=8)
        axes.set_xlim(time[0], time[-1])
        axes.margins(y=0.12)
        axes.grid(color=_GRID, lw=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    many[-1].set_xlabel("s")
    handles = [patches.Patch(color=c, alpha=0.3, label=w) for w, c in _COLOURS.items()]
    figure.legend(handles=handles, ncol=3, loc="upper right", frameon=False)
    figure.subplots_adjust(
        left=0.09, right=0.985, bottom=0.5 / figure.get_figheight(), hspace=0.12,
        top=1 - 0.38 / figure.get_figheight(),
    )  # fmt: skip
    return figure


def _shade(axes: Any, waves: Delineation, lead: str, row: Any, first: int, last: int) -> None:
    for wave, colour in _COLOURS.items():
        points = waves.points(wave, lead)
        points = points[(points[:, 0] >= 0) & (points[:, 2] >= first) & (points[:, 0] < last)]
        for onset, peak, offset in points:
            axes.axvspan(onset / waves.fs, offset / waves.fs, color=colour, alpha=0.16, lw=0)
            if first <= peak < last:
                axes.plot(peak / waves.fs, row[peak], "o", color=colour, ms=3.5, zorder=4)


def poincare(variability: HRV) -> Figure:
    """Each RR interval against the one before, with the ellipse of SD1 and SD2.

    Parameters
    ----------
    variability : HRV
        Result of :func:`ecgkit.signal.hrv`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    LayoutError
        Fewer than three intervals.
    """
    patches = need("matplotlib.patches", "plot", "plot.poincare")
    rr = variability.rr
    if len(rr) < 3:
        raise LayoutError(f"plot.poincare: three intervals are needed, got {len(rr)}")
    figure = new_figure(5.2, 5.2)
    axes = figure.add_axes((0.15, 0.12, 0.81, 0.81))
    low, high = rr.min(), rr.max()
    room = max(10.0, 0.12 * (high - low))
    limits = (low - room, high + room)
    axes.plot(limits, limits, color=_FAINT, lw=0.8, ls=(0, (5, 4)), zorder=1)
    axes.plot(rr[:-1], rr[1:], "o", ms=3.2, color=_COLOURS["P"], alpha=0.45, mew=0, zorder=2)
    centre = np.array([rr[:-1].mean(), rr[1:].mean()])
    sd1, sd2 = variability["SD1"], variability["SD2"]
    axes.add_patch(
        patches.Ellipse(
            tuple(centre), 2 * sd2, 2 * sd1, angle=45, fill=False, ec=_INK, lw=1.2, zorder=3
        )
    )
    half = np.sqrt(0.5)
    for length, direction, colour in ((sd1, (-half, half), "QRS"), (sd2, (half, half), "T")):
        end = centre + length * np.array(direction)
        line = np.stack([centre, end])
        axes.plot(line[:, 0], line[:, 1], color=_COLOURS[colour], lw=2, zorder=4)
    text = f"SD1 {sd1:.1f} ms", f"SD2 {sd2:.1f} ms"
    for k, colour in enumerate(("QRS", "T")):
        axes.text(
            *(0.04, 0.95 - 0.06 * k, text[k]), color=_COLOURS[colour], transform=axes.transAxes,
            bbox={"fc": "white", "ec": "none", "pad": 2}, zorder=5,
        )  # fmt: skip
    axes.set(xlim=limits, ylim=limits, xlabel="RR (ms)", ylabel="next RR (ms)", aspect="equal")
    axes.grid(color=_GRID, lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
