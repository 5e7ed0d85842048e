"""Where everything lies on ECG paper, in millimetres: one geometry for SVG and matplotlib.

Sources: the paper speed of 25 mm/s, the gain of 10 mm/mV, the 1 mm and 5 mm grid, the calibration
pulse of 1 mV and 200 ms and the 3x4 page of four 2.5-s columns above a rhythm strip are those of
IEC 60601-2-25 and of the AHA/ACC/HRS recommendations on standardisation (Kligfield et al. 2007).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from .._typing import Array
from ..errors import LayoutError, LeadError

if TYPE_CHECKING:
    from ..record import Record

SHEET = "#fffdfb"
FINE = "#f7d9d3"  # 1 mm lines
BOLD = "#eba79c"  # 5 mm lines
INK = "#14161b"
MARK = "#1f5fa8"

GRIDS = {
    "3x4": (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6")),
    "6x2": (
        ("I", "V1"), ("II", "V2"), ("III", "V3"), ("aVR", "V4"), ("aVL", "V5"), ("aVF", "V6"),
    ),
}  # fmt: skip
LAYOUTS = ("auto", "3x4", "6x2", "12x1", "rows")

EDGE = 5.0  # mm of empty paper left and right
TALLEST = 25.0  # mm: a wave beyond this may run into its neighbour instead of stretching the page
FOOT = 10.0  # mm below the last row, for the speed and gain text
PULSE_SECONDS = 0.2


@dataclass(frozen=True)
class Strip:
    """A stretch of one lead: where its first sample lies, and what is drawn."""

    lead: str
    x: float  # mm from the left edge
    y: float  # mm from the top: the row's isoelectric line
    millivolt: Array  # (time,) float64, median removed


@dataclass(frozen=True)
class Page:
    """A sheet: its size, its strips, and the scale that they share."""

    width: float
    height: float
    speed: float  # mm/s
    gain: float  # mm/mV
    fs: float
    strips: tuple[Strip, ...]
    rows: tuple[float, ...]  # mm from the top, one isoelectric line per row
    left: float  # mm: where time zero lies
    seconds: float  # drawn, along a whole row
    start: float  # s: what the left edge shows
    foot: str
    marks: tuple[tuple[float, str], ...]  # (mm, text): beats, below the last row

    def x_of(self, strip: Strip) -> Array:
        """Millimetres from the left of each sample of a strip."""
        return strip.x + np.arange(len(strip.millivolt)) * (self.speed / self.fs)

    def y_of(self, strip: Strip) -> Array:
        """Millimetres from the top of each sample; what leaves the sheet lies on its border."""
        return np.clip(strip.y - strip.millivolt * self.gain, 0.0, self.height)

    def pulse(self, row: float) -> tuple[Array, Array]:
        """The 1-mV, 200-ms calibration pulse in front of a row."""
        wide = PULSE_SECONDS * self.speed
        x = EDGE + np.array([0.0, 1.5, 1.5, 1.5 + wide, 1.5 + wide, 3.0 + wide])
        return x, np.maximum(row - np.array([0, 0, 1, 1, 0, 0]) * self.gain, 0.0)


def compose(
    rec: Record,
    layout: str = "auto",
    *,
    start: float = 0.0,
    duration: float | None = None,
    rhythm: str | None = "II",
    speed: float = 25.0,
    gain: float = 10.0,
    beats=None,
) -> Page:
    """Lay a record out on paper.

    Parameters
    ----------
    rec : Record
    layout : {"auto", "3x4", "6x2", "12x1", "rows"}
        ``3x4`` and ``6x2`` need the twelve standard leads, draw them in columns of equal time one
        after the other, and add the ``rhythm`` lead below over the whole time; ``12x1`` draws the
        twelve below each other; ``rows`` draws every lead of the record so. ``auto`` is ``3x4``
        where the twelve are there, else ``rows``.
    start, duration : float
        Seconds. Default: the first 10 s, or what there is.
    rhythm : str or None
        Lead of the strip below a grid; None for no strip.
    speed, gain : float
        mm/s and mm/mV.
    beats : sequence of int, optional
        Sample indices of R peaks, counted from the start of the record: marked below the last row
        with the RR intervals in ms.

    Returns
    -------
    Page
        Each strip is drawn about its own median: paper shows no offset.

    Raises
    ------
    LayoutError, LeadError
    """
    if layout not in LAYOUTS:
        raise LayoutError(f"layout must be one of {', '.join(LAYOUTS)}; got {layout!r}")
    for name, value in (("speed", speed), ("gain", gain)):
        if not (np.isfinite(value) and value > 0):
            raise LayoutError(f"{name} must be a positive number, got {value!r}")
    first, count = _span(rec, start, duration)
    table = _table(rec, layout)
    # Several columns share the row's time; a strip starts on the sample where the one before ended.
    cuts = np.linspace(0, count, len(table[0]) + 1).round().astype(int)
    left = EDGE + PULSE_SECONDS * speed + 5.0
    pieces = []  # per row: [(lead, x, millivolt), ...]
    for names in table:
        pieces.append(
            [
                (name, left + cuts[c] * speed / rec.fs, _centred(rec, name, first, cuts[c : c + 2]))
                for c, name in enumerate(names)
            ]
        )
    grid = len(table[0]) > 1
    if grid and rhythm is not None:
        pieces.append([(rhythm, left, _centred(rec, rhythm, first, (0, count)))])
    rows, bottom = _rows(pieces, gain, speed / rec.fs, even=grid)
    strips = tuple(Strip(name, x, y, mv) for y, row in zip(rows, pieces) for name, x, mv in row)
    seconds = count / rec.fs
    width = left + _up(seconds * speed, 5.0) + EDGE
    return Page(
        width=width,
        height=bottom + FOOT + (0.0 if beats is None else 5.0),
        speed=speed,
        gain=gain,
        fs=rec.fs,
        strips=strips,
        rows=tuple(rows),
        left=left,
        seconds=seconds,
        start=first / rec.fs,
        foot=_foot(rec, first, count, speed, gain, strips),
        marks=_marks(beats, first, count, left, speed / rec.fs, rec.fs),
    )


def _span(rec: Record, start: float, duration: float | None) -> tuple[int, int]:
    first = round(start * rec.fs)
    if not 0 <= first < rec.n_samples:
        raise LayoutError(f"start={start:g} s is not inside the record (0..{rec.duration:g} s)")
    if duration is None:
        return first, min(rec.n_samples - first, round(10.0 * rec.fs) or 1)
    count = round(duration * rec.fs)
    if not 0 < count <= rec.n_samples - first:
        raise LayoutError(
            f"duration={duration:g} s from start={start:g} s is not inside the record "
            f"(0..{rec.duration:g} s)"
        )
    return first, count


def _table(rec: Record, layout: str) -> tuple[tuple[str, ...], ...]:
    """Lead names per row and column."""
    from ..record import STANDARD_LEADS

    missing = [name for name in STANDARD_LEADS if name not in rec.leads]
    if layout == "rows" or (layout == "auto" and missing):
        return tuple((name,) for name in rec.leads)
    if missing:
        raise LeadError(
            f"layout {layout!r} needs the twelve standard leads; the record lacks "
            f"{' '.join(missing)}. Use layout='rows'"
        )
    if layout == "12x1":
        return tuple((name,) for name in STANDARD_LEADS)
    return GRIDS["3x4" if layout == "auto" else layout]


def _centred(rec: Record, lead: str, first: int, cut) -> Array:
    piece = rec[lead][first + cut[0] : first + cut[1]].astype(np.float64)
    finite = piece[np.isfinite(piece)]
    return piece - np.median(finite) if finite.size else piece


def _rows(pieces, gain: float, step: float, even: bool) -> tuple[list[float], float]:
    """Isoelectric lines, far enough apart for neighbours not to touch, and the bottom.

    ``even`` rows all keep the largest distance that two of them need.
    """
    reach = [_reach(row, gain, step) for row in pieces]
    above = max(1.0 * gain, reach[0][0].max())
    rows = [_up(min(above, TALLEST) + 5.0, 5.0)]
    apart = []
    for (_, down), (up, _) in pairwise(reach):
        n = min(len(down), len(up))
        closest = (down[:n] + up[:n]).max()
        apart.append(_up(min(max(closest + 2.0, 20.0 if even else 15.0), TALLEST + 5.0), 5.0))
    for distance in apart:
        rows.append(rows[-1] + (max(apart) if even else distance))
    below = max(5.0, reach[-1][1].max())
    return rows, rows[-1] + _up(min(below, TALLEST) + 1.0, 5.0)


def _reach(row, gain: float, step: float) -> tuple[Array, Array]:
    """Millimetres above and below the line, per 2 mm of paper along the row."""
    line = np.concatenate([mv for _, _, mv in row]) * gain
    size = max(1, round(2.0 / step))
    line = np.pad(line, (0, -len(line) % size), constant_values=np.nan).reshape(-1, size)
    line = np.where(np.isfinite(line), line, 0.0)
    return line.max(axis=1), -line.min(axis=1)


def _up(value: float, step: float) -> float:
    return float(np.ceil(value / step - 1e-9) * step)


def _foot(rec: Record, first: int, count: int, speed: float, gain: float, strips) -> str:
    drawn = {strip.lead for strip in strips}
    left_out = [name for name in rec.leads if name not in drawn]
    parts = [f"{speed:g} mm/s", f"{gain:g} mm/mV", f"{rec.fs:g} Hz"]
    if count < rec.n_samples:
        parts.append(f"{first / rec.fs:g}-{(first + count) / rec.fs:g} s of {rec.duration:g} s")
    if left_out:
        parts.append(f"not drawn: {' '.join(left_out)}")
    return "   ".join(parts)


def _marks(beats, first: int, count: int, left: float, step: float, fs: float):
    if beats is None:
        return ()
    peaks = np.asarray(beats, dtype=np.int64)
    rr = np.diff(peaks, prepend=peaks[:1]) * 1000.0 / fs
    inside = np.flatnonzero((peaks >= first) & (peaks < first + count))
    return tuple(
        (left + (int(peaks[i]) - first) * step, f"{rr[i]:.0f}" if i else "") for i in inside
    )
