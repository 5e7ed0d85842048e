"""Scalograms as objects that know their axes and show themselves."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from .._typing import Array
from ..errors import LayoutError
from ._figure import new_figure
from ._image import data_uri, levels, palette, png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..record import Record

WIDEST = 1000  # columns of a picture: more are averaged


class _Shown:
    """What both kinds share: an array, and a picture of bands (one per lead) over time."""

    values: Array
    freqs: Array
    leads: tuple[str, ...]
    unit: str

    def __array__(self, dtype=None, copy=None) -> Array:
        return np.array(self.values, dtype=dtype, copy=copy)

    def _bands(self) -> Array:
        """(lead, freq, column) over the whole time, the highest frequency first."""
        raise NotImplementedError

    def _span(self) -> tuple[float, float]:
        """Seconds at the left and right edge."""
        raise NotImplementedError

    def _picture(self) -> tuple[Array, float, float]:
        """Bands below each other, at most :data:`WIDEST` columns, and the range of the colours."""
        bands = self._bands()
        rows = bands.reshape(-1, bands.shape[-1]).astype(np.float64)
        group = -(-rows.shape[1] // WIDEST)
        if group > 1:
            starts = np.arange(0, rows.shape[1], group)
            counts = np.diff(np.append(starts, rows.shape[1]))
            rows = np.add.reduceat(rows, starts, axis=1) / counts
        finite = rows[np.isfinite(rows)]
        high = float(np.percentile(finite, 99.5)) if finite.size else 1.0
        return rows, 0.0, high

    def svg(self) -> str:
        """The picture with its axes as one inline ``<svg>``: a PNG inside, no other file."""
        rows, low, high = self._picture()
        n = len(self.leads)
        band = max(36.0, min(160.0, 320.0 / n))
        left, right, top, wide = 46.0, 60.0, 6.0, 800.0
        tall = band * n
        t0, t1 = self._span()
        w, h = f"{left + wide + right:g}", f"{top + tall + 40:g}"
        out = [
            '<svg xmlns="http://www.w3.org/2000/svg" class="ecg-scalogram" role="img" '
            f'aria-label="{escape(repr(self))}" width="{w}" height="{h}" viewBox="0 0 {w} {h}" '
            'style="max-width:100%;height:auto;display:block" '
            'font-family="Helvetica,Arial,sans-serif" font-size="11" fill="currentColor">'
            f'<image x="{left:g}" y="{top:g}" width="{wide:g}" height="{tall:g}" '
            f'preserveAspectRatio="none" href="{data_uri(png(levels(rows, low, high)))}"/>'
        ]
        for i, lead in enumerate(self.leads):
            y = top + i * band
            out.append(
                f'<text x="{left - 6:g}" y="{y + band / 2 + 4:g}" text-anchor="end" '
                f'font-weight="bold">{escape(lead)}</text>'
                f'<path d="M{left:g} {y:g}h{wide:g}" stroke="#fff" stroke-width=".7"/>'
            )
        for y, freq in ((top + 9, max(self.freqs)), (top + band - 2, min(self.freqs))):
            out.append(f'<text x="{left + wide + 5:g}" y="{y:g}">{freq:.3g} Hz</text>')
        for second in _seconds(t0, t1):
            x = left + (second - t0) / (t1 - t0) * wide
            out.append(
                f'<path d="M{x:.1f} {top + tall:g}v4" stroke="currentColor"/>'
                f'<text x="{x:.1f}" y="{top + tall + 15:g}" text-anchor="middle">{second:g}</text>'
            )
        out.append(
            f'<text x="{left + wide + 5:g}" y="{top + tall + 15:g}">&#160;&#160;s</text>'
            f'<image x="{left:g}" y="{top + tall + 24:g}" width="120" height="9" '
            f'preserveAspectRatio="none" href="{_legend()}"/>'
            f'<text x="{left + 126:g}" y="{top + tall + 33:g}">0 to {high:.3g} {escape(self.unit)}'
            f"{self._beyond()}</text></svg>"
        )
        return "".join(out)

    def _beyond(self) -> str:
        return ", brightest 0.5 % clipped"

    def _repr_html_(self) -> str:
        return f'<div class="ecg-record">{self.svg()}<div>{escape(repr(self))}</div></div>'

    def plot(self) -> Figure:
        """A matplotlib figure of all leads; frequencies in Hz, highest on top.

        Raises
        ------
        MissingExtraError
            matplotlib is not installed (extra ``plot``).
        """
        rows, low, high = self._picture()
        n, per = len(self.leads), len(self.freqs)
        figure = new_figure(9.5, max(3.0, 0.55 * n + 1.0))
        axes = figure.add_axes((0.08, 0.11, 0.8, 0.85))
        t0, t1 = self._span()
        from matplotlib.colors import ListedColormap

        colours = ListedColormap(palette()[:255] / 255.0).with_extremes(bad="#bebebe")
        image = axes.imshow(
            rows, aspect="auto", extent=(t0, t1, n * per, 0), vmin=low, vmax=high, cmap=colours,
            interpolation="nearest",
        )  # fmt: skip
        axes.set(xlabel="time (s)")
        axes.set_yticks([(i + 0.5) * per for i in range(n)], self.leads, parse_math=False)
        for i in range(1, n):
            axes.axhline(i * per, color="white", lw=0.7)
        other = axes.secondary_yaxis("right")
        ends = [(0, max(self.freqs)), (per - 1, min(self.freqs))]
        other.set_yticks([row + 0.5 for row, _ in ends], [f"{f:.3g} Hz" for _, f in ends], size=7)
        bar = figure.colorbar(image, ax=axes, fraction=0.03, pad=0.07)
        bar.set_label(self.unit)
        return figure


@dataclass(frozen=True, eq=False, repr=False)
class Scalogram(_Shown):
    """Wavelet magnitudes of a record.

    Attributes
    ----------
    values : ndarray, float32, shape (lead, freq, column)
    freqs : ndarray, shape (freq,)
        Hz, ascending, in the order of the rows. Pictures show the highest on top.
    times : ndarray, shape (column,)
        Seconds, the middle of each column.
    leads : tuple of str
    unit : str
        Of the values: ``"mV"``, or ``"mV²"`` for powers.
    """

    values: Array
    freqs: Array
    times: Array
    leads: tuple[str, ...]
    unit: str = "mV"

    def __repr__(self) -> str:
        t0, t1 = self._span()
        return (
            f"Scalogram: leads {' '.join(self.leads)}, {len(self.freqs)} frequencies "
            f"({self.freqs[0]:.3g} to {self.freqs[-1]:.3g} Hz), {len(self.times)} columns "
            f"({t0:.4g} to {t1:.4g} s)"
        )

    def _bands(self) -> Array:
        return self.values[:, ::-1]

    def _span(self) -> tuple[float, float]:
        if len(self.times) < 2:
            return 0.0, 2.0 * float(self.times[0])
        half = (self.times[1] - self.times[0]) / 2
        return float(self.times[0] - half), float(self.times[-1] + half)


@dataclass(frozen=True, eq=False, repr=False)
class StackedScalogram(_Shown):
    """The pictures a scalogram network looks at: one per window, the leads below each other.

    Attributes
    ----------
    values : ndarray, float32, shape (window, lead * freq, column)
    freqs : ndarray, shape (freq,)
        Hz, descending, in the order of a lead's rows.
    leads : tuple of str
    window : float
        Seconds that one picture spans.
    unit : str
        Of the values.
    """

    values: Array
    freqs: Array
    leads: tuple[str, ...]
    window: float = 1.0
    unit: str = "of the window's range"

    def __repr__(self) -> str:
        n, rows, columns = self.values.shape
        return (
            f"StackedScalogram: {n} windows of {self.window:g} s, each {rows} rows "
            f"({len(self.leads)} leads x {len(self.freqs)} frequencies, "
            f"{min(self.freqs):.3g} to {max(self.freqs):.3g} Hz) x {columns} columns"
        )

    def _bands(self) -> Array:
        n, _, columns = self.values.shape
        bands = self.values.reshape(n, len(self.leads), len(self.freqs), columns)
        return bands.transpose(1, 2, 0, 3).reshape(len(self.leads), len(self.freqs), n * columns)

    def _span(self) -> tuple[float, float]:
        return 0.0, len(self.values) * self.window


def scalogram(
    rec: Record,
    freqs: Any = None,
    *,
    width: int | None = None,
    w0: float = 6.0,
    pad: str = "reflect",
    power: bool = False,
) -> Scalogram:
    """Wavelet magnitudes of every lead of a record (:func:`ecgkit.wavelet.scalogram`).

    Parameters
    ----------
    rec : Record
    freqs : array_like, optional
        Hz, ascending. Default: 64, geometric, from 1 Hz to the smaller of 100 Hz and 0.4 times the
        rate.
    width : int, optional
        Columns; default one per sample.
    w0, pad, power
        As there.

    Returns
    -------
    Scalogram
    """
    from .. import wavelet

    freqs = _freqs(rec, freqs)
    values = wavelet.scalogram(
        rec.signal, fs=rec.fs, freqs=freqs, width=width, w0=w0, pad=pad, power=power
    )
    columns = values.shape[-1]
    times = (np.arange(columns) + 0.5) * (rec.duration / columns)
    return Scalogram(values, freqs, times, rec.leads, "mV²" if power else "mV")


def stacked_scalogram(
    rec: Record, freqs: Any = None, *, window: float = 1.0, **options: Any
) -> StackedScalogram:
    """One stacked picture per window of a record (:func:`ecgkit.wavelet.stacked_scalogram`).

    Parameters
    ----------
    rec : Record
        Taken as it is: no filter, no normalisation.
    freqs : array_like, optional
        Hz, as for :func:`scalogram`.
    window : float
        Seconds per picture.
    **options
        Of that function, but no ``image`` or ``colormap``: the result is the raw picture.

    Returns
    -------
    StackedScalogram
    """
    from .. import wavelet

    freqs = _freqs(rec, freqs)
    values = wavelet.stacked_scalogram(rec.signal, fs=rec.fs, freqs=freqs, window=window, **options)
    return StackedScalogram(values, freqs[::-1], rec.leads, window)


def seen_by(model: Any, rec: Record) -> StackedScalogram:
    """What a stacked-scalogram model looks at, before the picture is shrunk to the network's size.

    Parameters
    ----------
    model : ecgkit.models.Model
        One whose contract ends in ``stacked_scalogram``.
    rec : Record

    Returns
    -------
    StackedScalogram
        Of the signals as the model's own filters and normalisation leave them.

    Raises
    ------
    LayoutError
        The model looks at something else.
    ContractError, LeadError
        The record breaks the model's contract.
    """
    features = model.contract.features
    if features is None or features.name != "stacked_scalogram":
        raise LayoutError(f"{model.title} does not look at stacked scalograms")
    params = {**features.params, "image": None}
    signals, _ = model.contract.admit(rec)
    for step in model.contract.steps[:-1]:
        signals = step(signals, model.contract.fs)
    values = type(features)(features.name, **params)(signals, model.contract.fs)[0]
    freqs = np.geomspace(params["high"], params["low"], params["rows"])
    return StackedScalogram(values, freqs, model.contract.leads, params.get("window", 1.0))


def _freqs(rec: Record, freqs: Any) -> Array:
    if freqs is None:
        return np.geomspace(1.0, min(100.0, 0.4 * rec.fs), 64)
    return np.asarray(freqs, dtype=np.float64)


def _seconds(t0: float, t1: float) -> Array:
    """Whole, round times between the edges, at most a dozen."""
    span = t1 - t0
    steps = (0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 600, 3600)
    step = next((s for s in steps if span / s <= 12), span)
    first = round(np.ceil(t0 / step - 1e-9))
    return np.arange(first, np.floor(t1 / step + 1e-9) + 1) * step


def _legend() -> str:
    return data_uri(png(np.arange(255, dtype=np.uint8)[None]))
