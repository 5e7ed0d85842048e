"""The same sheet of paper as an RGB picture, for the models that look at pictures.

A trace is one value per time, so no general drawing library is needed: per fine column the pen
covers one upright stretch, and what a pixel takes of it is its ink. A page of ten seconds takes a
few milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from .._extras import need
from .._typing import Array
from ..errors import LayoutError
from . import _paper as paper
from ._paper import Page, compose

if TYPE_CHECKING:
    from ..record import Record

MM_PER_INCH = 25.4
SUB = 4  # fine columns per pixel
MAX_PIXELS = 50_000_000


@dataclass(frozen=True)
class Style:
    """Colours of a sheet, and widths in mm."""

    sheet: str = paper.SHEET
    fine: str = paper.FINE
    bold: str = paper.BOLD
    ink: str = paper.INK
    fine_width: float = 0.1
    bold_width: float = 0.2
    ink_width: float = 0.3
    fine_gap: float = 0.0  # share of the 1-mm lines left out: 0 lines, 0.85 dots


STYLES = {
    "paper": Style(),
    "red": Style("#ffffff", "#f4b6b6", "#e06666", "#000000"),
    "pink": Style("#fdeceb", "#f3bfc0", "#e38a8f", "#1a1a2e"),
    "blue": Style("#ffffff", "#c5d8f0", "#7fa6d6", "#0b1f4b"),
    "green": Style("#f6fbf4", "#c3e0bc", "#86bf7b", "#101010"),
    "grey": Style("#f4f4f4", "#d8d8d8", "#b0b0b0", "#1c1c1c"),
    "dots": Style("#ffffff", "#d98f8f", "#e0a0a0", "#000000", 0.2, 0.15, 0.3, 0.85),
    "plain": Style("#ffffff", "#ffffff", "#ffffff", "#000000", 0.0, 0.0),
}
"""Sheets by name: this library's own, coloured thermal papers, a grey copy, dots, no grid."""


def page_image(
    rec: Record,
    layout: str = "3x4",
    *,
    style: str = "paper",
    dpi: float = 150.0,
    names: bool = True,
    foot: bool = True,
    **options: Any,
) -> Array:
    """Draw a record on ECG paper as a picture.

    Parameters
    ----------
    rec : Record
    layout : str
        ``"3x4"`` (default, with a rhythm strip), ``"12x1"``, ``"6x2"``, ``"rows"`` or ``"auto"``,
        as for :func:`ecgkit.plot.compose`.
    style : str
        A sheet of :data:`ecgkit.plot.STYLES`: ``"paper"``, ``"red"``, ``"pink"``, ``"blue"``,
        ``"green"``, ``"grey"``, ``"dots"``, ``"plain"``.
    dpi : float
        Pixels per inch; 150 makes a page of ten seconds about 1630 pixels wide.
    names, foot : bool
        Write the leads' names; write speed and gain below.
    **options
        Of :func:`ecgkit.plot.compose`: ``start``, ``duration``, ``rhythm``, ``speed`` (default 25
        mm/s), ``gain`` (default 10 mm/mV).

    Returns
    -------
    ndarray, uint8, shape (height, width, 3)
        A new array. Where samples are missing (NaN) there is no ink.

    Raises
    ------
    LayoutError, LeadError
        No such layout or style, too many pixels, or the record lacks a lead of the layout.
    MissingExtraError
        Pillow, which writes the text, is not installed (extra ``plot``).

    Examples
    --------
    >>> import ecgkit as ek
    >>> ek.plot.page_image(ek.synth.ecg(), dpi=100).shape[2]
    3
    """
    if style not in STYLES:
        raise LayoutError(f"style must be one of {', '.join(STYLES)}; got {style!r}")
    if not (np.isfinite(dpi) and dpi > 0):
        raise LayoutError(f"dpi must be a positive number, got {dpi!r}")
    page = compose(rec, layout, **options)
    scale = dpi / MM_PER_INCH
    high, wide = (max(1, round(side * scale)) for side in (page.height, page.width))
    if high * wide > MAX_PIXELS:
        raise LayoutError(
            f"a page of {page.width:g} x {page.height:g} mm at {dpi:g} dpi is {wide} x {high} "
            f"pixels, more than {MAX_PIXELS:,}; choose a smaller dpi or duration"
        )
    sheet = STYLES[style]
    picture = _sheet(high, wide, scale, sheet).copy()
    ink = np.zeros((high, wide), np.float32)
    pen = max(0.5 * sheet.ink_width * scale, 0.5)
    for strip in page.strips:
        _trace(ink, page.x_of(strip) * scale, page.y_of(strip) * scale, pen)
        if strip.x > page.left + 1e-9:
            _box(ink, strip.x * scale, (strip.y - 3) * scale, strip.x * scale,
                 (strip.y + 3) * scale, 0.7 * pen)  # fmt: skip
    for row in page.rows:
        x, y = (v * scale for v in page.pulse(row))
        for i in range(len(x) - 1):
            _box(ink, x[i], y[i], x[i + 1], y[i + 1], pen)
    _text(ink, page, scale, names, foot)
    _blend(picture, ink, _rgb(sheet.ink))
    return picture


def _rgb(colour: str) -> Array:
    return np.frombuffer(bytes.fromhex(colour[1:]), np.uint8).astype(np.float32)


@lru_cache(maxsize=4)
def _sheet(high: int, wide: int, scale: float, style: Style) -> Array:
    """The empty sheet; shared, read-only."""
    picture = np.empty((high, wide, 3), np.float32)
    picture[:] = _rgb(style.sheet)
    lines = ((1.0, style.fine, style.fine_width), (5.0, style.bold, style.bold_width))
    for step, colour, width in lines:
        across, down = (_lines(n, step * scale, width * scale) for n in (wide, high))
        if step == 1.0 and style.fine_gap:
            near = [_lines(n, step * scale, (1 - style.fine_gap) * 2 * scale) for n in (wide, high)]
            ink = np.maximum(across * near[1][:, None], down[:, None] * near[0])
        else:
            ink = 1 - (1 - across) * (1 - down[:, None])
        picture += (_rgb(colour) - picture) * ink[..., None]
    done = np.rint(picture).astype(np.uint8)
    done.flags.writeable = False
    return done


def _lines(n: int, step: float, width: float) -> Array:
    """What parallel lines, ``step`` pixels apart from 0 on, cover of each of ``n`` pixels."""
    at = np.arange(0.0, n + 0.5 * step, step)[:, None]
    pixel = np.arange(n)
    low, high = np.maximum(pixel, at - width / 2), np.minimum(pixel + 1, at + width / 2)
    return np.maximum(high - low, 0).sum(axis=0).clip(0, 1).astype(np.float32)


# ------------------------------------------------------------------------ ink
def _trace(ink: Array, x: Array, y: Array, pen: float) -> None:
    """The polyline through (x, y), both in pixels and x rising, with a round pen of radius
    ``pen``; a gap where y is not finite."""
    finite = np.isfinite(y)
    edges = np.flatnonzero(np.diff(finite.astype(np.int8), prepend=0, append=0))
    for a, b in edges.reshape(-1, 2):
        _run(ink, x[a:b], y[a:b], pen)


def _run(ink: Array, x: Array, y: Array, pen: float) -> None:
    high, wide = ink.shape
    reach = round(pen * SUB - 0.5)  # 2 * reach + 1 fine columns are the width of the pen
    first = int(np.floor(x[0] * SUB))
    count = int(np.ceil(x[-1] * SUB)) - first
    # The line within each fine column: its samples, and where it crosses the column's sides.
    sides = np.arange(first, first + count + 1) / SUB
    at = np.clip(sides, x[0], x[-1])
    height = np.interp(at, x, y)
    low, top = np.minimum(height[:-1], height[1:]), np.maximum(height[:-1], height[1:])
    column = np.minimum((x * SUB).astype(np.int64) - first, count - 1) if count else None
    if column is None:
        return
    start = np.flatnonzero(np.diff(column, prepend=-1))
    low[column[start]] = np.minimum(low[column[start]], np.minimum.reduceat(y, start))
    top[column[start]] = np.maximum(top[column[start]], np.maximum.reduceat(y, start))
    # A round pen along it: the upper rim is the largest of the shifted lines plus the pen's arc.
    low = np.pad(low, 2 * reach, constant_values=np.inf)
    top = np.pad(top, 2 * reach, constant_values=-np.inf)
    arc = np.sqrt(np.maximum(pen**2 - (np.arange(-reach, reach + 1) / SUB) ** 2, 0))
    n = count + 2 * reach
    low = np.min([low[d : d + n] - a for d, a in enumerate(arc)], axis=0)
    top = np.max([top[d : d + n] + a for d, a in enumerate(arc)], axis=0)
    low, top = np.clip(low, 0, high), np.clip(top, 0, high)
    left = first - reach
    inside = (np.arange(left, left + n) >= 0) & (np.arange(left, left + n) < wide * SUB)
    _spans(ink, np.arange(left, left + n)[inside] // SUB, low[inside], top[inside])


def _spans(ink: Array, column: Array, low: Array, top: Array) -> None:
    """Add upright spans, one per fine column, each a share 1 / SUB of its pixel column."""
    if not len(column):
        return
    first, last = np.floor(low).astype(np.int64), np.ceil(top).astype(np.int64)
    size = np.maximum(last - first, 0)
    which = np.repeat(np.arange(len(column)), size)
    row = np.arange(len(which)) - np.repeat(np.cumsum(size) - size, size) + first[which]
    part = np.minimum(top[which], row + 1) - np.maximum(low[which], row)
    y0, y1, x0, x1 = first.min(), last.max(), column.min(), column.max() + 1
    flat = (row - y0) * (x1 - x0) + column[which] - x0
    drawn = np.bincount(flat, part / SUB, (y1 - y0) * (x1 - x0)).reshape(y1 - y0, x1 - x0)
    part_of = ink[y0:y1, x0:x1]
    np.maximum(part_of, drawn, out=part_of, casting="same_kind")


def _box(ink: Array, x0: float, y0: float, x1: float, y1: float, pen: float) -> None:
    """A level or upright stroke."""
    across, down = (
        np.clip(
            np.minimum(np.arange(n) + 1, max(a, b) + pen)
            - np.maximum(np.arange(n), min(a, b) - pen),
            0,
            1,
        )
        for n, a, b in ((ink.shape[1], x0, x1), (ink.shape[0], y0, y1))
    )
    columns, rows = np.flatnonzero(across), np.flatnonzero(down)
    if len(columns) and len(rows):
        part = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        stroke = down[rows][:, None] * across[columns]
        np.maximum(part, stroke, out=part, casting="same_kind")


def _text(ink: Array, page: Page, scale: float, names: bool, foot: bool) -> None:
    if names:
        for strip in page.strips:
            y = strip.y - min(8.0, 0.8 * page.gain)
            _write(ink, strip.lead, (strip.x + 1) * scale, y * scale, 3.6 * scale)
    if foot:
        _write(ink, page.foot, paper.EDGE * scale, (page.height - 3) * scale, 3.0 * scale)


def _write(ink: Array, text: str, x: float, y: float, size: float) -> None:
    """Text whose line stands at ``y``."""
    letters, (dx, dy) = _letters(text, max(size, 4.0))
    left, top = round(x) + dx, round(y) + dy
    y0, x0 = max(top, 0), max(left, 0)
    part = ink[y0 : top + letters.shape[0], x0 : left + letters.shape[1]]
    shown = letters[y0 - top :, x0 - left :][: part.shape[0], : part.shape[1]]
    np.maximum(part, shown, out=part)


@lru_cache(maxsize=256)
def _letters(text: str, size: float) -> tuple[Array, tuple[int, int]]:
    font = need("PIL.ImageFont", "plot", "ek.plot.page_image").load_default(size)
    left, top, right, bottom = font.getbbox(text, anchor="ls")
    image = need("PIL.Image", "plot", "ek.plot.page_image")
    canvas = image.new("L", (max(1, int(right - left)), max(1, int(bottom - top))))
    draw = need("PIL.ImageDraw", "plot", "ek.plot.page_image").Draw(canvas)
    draw.text((-left, -top), text, fill=255, font=font, anchor="ls")
    return np.asarray(canvas, np.float32) / 255, (int(left), int(top))


def _blend(picture: Array, ink: Array, colour: Array) -> None:
    inked = np.flatnonzero(ink.ravel() > 0)
    share = np.minimum(ink.ravel()[inked], 1)
    pixels = picture.reshape(-1, 3)
    under = pixels[inked].astype(np.float32)
    pixels[inked] = np.rint(under + (colour - under) * share[:, None]).astype(np.uint8)
