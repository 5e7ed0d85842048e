"""R peaks, and the table of beats with its heart-rate and variability figures."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from .._config import _core
from .._extras import need
from .._typing import Array
from ._arguments import leads_of


def rpeaks(x: Any, *, fs: float | None = None, threads: int | None = None) -> Array:
    """R peaks of one lead, or of several leads taken together.

    Parameters
    ----------
    x : Record or array_like, shape (time,) or (lead, time)
        Any unit and polarity. Several leads are fused into one list of beats: a lead counts by how
        far its QRS stands above what lies between, so that a noisy or loose lead does no harm.
    fs : float
        Rate in Hz, 50 to 2000; taken from a Record.
    threads : int, optional
        Default: the process setting.

    Returns
    -------
    ndarray of int64, shape (beat,)
        Sample indices, ascending. Empty for a flat or non-finite signal, for less than half a
        second, and for no leads; never an error because of the content.

    Raises
    ------
    RateError
        ``fs`` is missing or outside 50 to 2000 Hz.
    LayoutError
        ``x`` is not one or two-dimensional, or lies the wrong way round.

    Notes
    -----
    The magnitude of a band around 14 Hz gives candidates; the beats are the subset of candidates
    with the best total score, found exactly by dynamic programming. A candidate scores by its
    strength against the local level, an interval costs where it is much shorter or longer than the
    local rhythm. One set of constants serves every rate and database. NaN and infinite samples are
    bridged by straight lines. Accuracy: ``benchmarks/rpeaks.py``.

    Examples
    --------
    >>> ek.signal.rpeaks(ek.synth.ecg(heart_rate=60)).size
    10
    """
    array, rate, _ = leads_of(x, fs, "rpeaks")
    return _core.rpeaks(array, rate, threads)


@dataclass(frozen=True, eq=False)
class Beats:
    """Beats of a recording. One row per R peak; figures of the whole as properties.

    Attributes
    ----------
    sample : ndarray of int64, shape (beat,)
        R peaks, sample indices.
    fs : float
        Rate of those indices in Hz.
    """

    sample: Array
    fs: float

    @property
    def time(self) -> Array:
        """Seconds from the start of the recording."""
        return self.sample / self.fs

    @property
    def rr(self) -> Array:
        """Seconds since the beat before; NaN for the first."""
        return np.diff(self.time, prepend=np.nan)

    @property
    def rate(self) -> Array:
        """Beats per minute, 60 / rr; NaN for the first."""
        return 60.0 / self.rr

    @property
    def mean_rate(self) -> float:
        """60 / mean RR, beats per minute; NaN with fewer than two beats."""
        return 60.0 / self.mean_rr

    @property
    def min_rate(self) -> float:
        """Beats per minute over the longest RR; NaN with fewer than two beats."""
        return float(60.0 / self.rr[1:].max()) if len(self) > 1 else np.nan

    @property
    def max_rate(self) -> float:
        """Beats per minute over the shortest RR; NaN with fewer than two beats."""
        return float(60.0 / self.rr[1:].min()) if len(self) > 1 else np.nan

    @property
    def mean_rr(self) -> float:
        """Seconds; NaN with fewer than two beats."""
        return float(self.rr[1:].mean()) if len(self) > 1 else np.nan

    @property
    def sdnn(self) -> float:
        """Standard deviation of RR (n - 1) in ms; NaN with fewer than three beats.

        Every beat is taken as normal: ectopic beats are not left out.
        """
        return float(1e3 * self.rr[1:].std(ddof=1)) if len(self) > 2 else np.nan

    @property
    def rmssd(self) -> float:
        """Root mean square of successive RR differences in ms; NaN with fewer than three beats."""
        return float(1e3 * np.sqrt((np.diff(self.rr[1:]) ** 2).mean())) if len(self) > 2 else np.nan

    def summary(self) -> dict[str, float]:
        """The figures of the whole by name."""
        return {
            "beats": len(self),
            "mean_rate": self.mean_rate,
            "min_rate": self.min_rate,
            "max_rate": self.max_rate,
            "mean_rr": self.mean_rr,
            "sdnn": self.sdnn,
            "rmssd": self.rmssd,
        }

    def __len__(self) -> int:
        return len(self.sample)

    def __repr__(self) -> str:
        if len(self) < 2:
            return f"<Beats {len(self)}>"
        return (
            f"<Beats {len(self)}: rate {self.mean_rate:.0f}/min ({self.min_rate:.0f}-"
            f"{self.max_rate:.0f}), SDNN {self.sdnn:.0f} ms, RMSSD {self.rmssd:.0f} ms>"
        )

    def to_frame(self):
        """A pandas DataFrame with columns sample, time, rr, rate."""
        pandas = need("pandas", "cli", "Beats.to_frame")
        columns = {"sample": self.sample, "time": self.time, "rr": self.rr, "rate": self.rate}
        return pandas.DataFrame(columns).rename_axis("beat")

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><td>{i}</td><td>{t:.3f}</td><td>{rr}</td><td>{rate}</td></tr>"
            for i, t, rr, rate in zip(
                range(min(len(self), 200)),
                self.time,
                ["" if np.isnan(v) else f"{v:.3f}" for v in self.rr],
                ["" if np.isnan(v) else f"{v:.0f}" for v in self.rate],
            )
        )
        more = f"<p>... {len(self) - 200} more</p>" if len(self) > 200 else ""
        return (
            f"<p>{escape(repr(self)[1:-1])}</p><table><thead><tr><th>beat</th><th>time (s)</th>"
            f"<th>RR (s)</th><th>rate (1/min)</th></tr></thead><tbody>{cells}</tbody></table>{more}"
        )


def beats(x: Any, *, fs: float | None = None) -> Beats:
    """Beats of a recording with RR intervals, heart rate and variability.

    Parameters
    ----------
    x : Record or array_like, shape (time,) or (lead, time)
    fs : float
        Rate in Hz, 50 to 2000; taken from a Record.

    Returns
    -------
    Beats
        Columns ``sample``, ``time``, ``rr``, ``rate``; figures ``mean_rate``, ``min_rate``,
        ``max_rate``, ``mean_rr``, ``sdnn``, ``rmssd``; ``.to_frame()``.

    Raises
    ------
    RateError, LayoutError
        As :func:`rpeaks`.

    Examples
    --------
    >>> ek.signal.beats(ek.synth.ecg(heart_rate=75)).mean_rate.round()
    75.0
    """
    array, rate, _ = leads_of(x, fs, "beats")
    return Beats(_core.rpeaks(array, rate), rate)
