"""The typical beat of a recording."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from .._config import _core
from .._extras import need
from .._typing import Array
from ..errors import LayoutError
from ._arguments import leads_of
from ._delineate import _checked_peaks

_ALIGN = 0.02
"""s: a beat is moved by at most this to fit the template."""
_ROUNDS = 2


@dataclass(frozen=True, eq=False)
class Template:
    """The median beat of each lead.

    Attributes
    ----------
    signal : ndarray of float32, shape (lead, time)
        Median over the beats used, aligned; in the unit of the recording.
    fs : float
    leads : tuple of str
    before : int
        Samples before the R peak: the R peak is at this index.
    beats : ndarray of int64, shape (beat,)
        All beats, aligned, as samples of the recording.
    similarity : ndarray, shape (beat,)
        Correlation of each beat with the template, mean over leads; NaN where it cannot be judged
        (the window leaves the recording or has gaps in every lead).
    used : ndarray of bool, shape (beat,)
        The beats that the median was taken over.
    threshold : float
    """

    signal: Array
    fs: float
    leads: tuple[str, ...]
    before: int
    beats: Array
    similarity: Array
    used: Array
    threshold: float

    @property
    def rejected(self) -> Array:
        """Beats left out, sample indices."""
        return self.beats[~self.used]

    @property
    def time(self) -> Array:
        """Seconds from the R peak, per sample of :attr:`signal`."""
        return (np.arange(self.signal.shape[1]) - self.before) / self.fs

    def __repr__(self) -> str:
        return (
            f"<Template {len(self.leads)} leads, {self.used.sum()} of {len(self.used)} beats, "
            f"{self.time[0] * 1e3:.0f} to {self.time[-1] * 1e3:.0f} ms>"
        )

    def to_frame(self):
        """A pandas DataFrame: one column per lead, indexed by the time from R in seconds."""
        pandas = need("pandas", "cli", "Template.to_frame")
        index = pandas.Index(self.time, name="time")
        return pandas.DataFrame(self.signal.T, index=index, columns=list(self.leads))

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{i}</td><td>{at / self.fs:.3f}</td>"
            f"<td>{'' if np.isnan(s) else format(s, '.3f')}</td>"
            f"<td>{'yes' if u else 'no'}</td></tr>"
            for i, at, s, u in zip(range(200), self.beats, self.similarity, self.used)
        )
        return (
            f"<p>{escape(repr(self)[1:-1])}</p><table><thead><tr><th>beat</th><th>time (s)</th>"
            f"<th>similarity</th><th>used</th></tr></thead><tbody>{rows}</tbody></table>"
        )


def template(
    x: Any,
    *,
    fs: float | None = None,
    rpeaks: Any = None,
    window: tuple[float, float] = (0.3, 0.5),
    threshold: float = 0.9,
    threads: int | None = None,
) -> Template:
    """The median beat of each lead, from beats that resemble one another.

    Parameters
    ----------
    x : Record or array_like, shape (time,) or (lead, time)
    fs : float
        Rate in Hz, 50 to 2000; taken from a Record.
    rpeaks : array_like of int, optional
        Ascending R peaks. Default: :func:`rpeaks` of all leads.
    window : (float, float)
        Seconds before and after the R peak.
    threshold : float
        Beats below this correlation with the template are rejected.
    threads : int, optional

    Returns
    -------
    Template
        With the beats used and rejected and the similarity of each. Without a beat, or where no
        beat reaches the threshold, ``signal`` is NaN and nothing is used.

    Raises
    ------
    RateError, LayoutError
        As :func:`delineate`; a window that is not positive.

    Notes
    -----
    Median over all whole beats; each beat is moved by up to 20 ms to its best mean correlation
    over leads and kept from ``threshold`` on; median over the beats kept; both once more. Where
    less than half of the beats resemble the first median, the beats that resemble the beat most
    like all others are kept instead.

    Examples
    --------
    >>> ek.signal.template(ek.synth.ecg(heart_rate=60)).used.all()
    False
    """
    array, rate, names = leads_of(x, fs, "template")
    before, after = (round(float(w) * rate) for w in window)
    if before < 1 or after < 1:
        raise LayoutError(f"template: window must be two positive times in s, got {window}")
    t = array.shape[1]
    found = _core.rpeaks(array, rate, threads) if rpeaks is None else rpeaks
    beats = _checked_peaks(found, t)
    length = before + after
    signal = np.ascontiguousarray(array, np.float32)
    whole = (beats >= before) & (beats + after <= t)
    used, similarity = whole, np.full(len(beats), np.nan)
    reach = round(_ALIGN * rate)
    for _ in range(_ROUNDS if whole.any() else 0):
        middle = _core.median_beat(signal, beats[used], before, length, threads)
        moved, similarity = _core.align_beats(signal, beats, middle, before, reach, threads)
        beats = np.where(np.isnan(similarity), beats, moved)
        kept = similarity >= threshold
        if kept.sum() < whole.sum() / 2:
            middle = _typical(signal, beats[whole], before, length, threads)
            _, similarity = _core.align_beats(signal, beats, middle, before, reach, threads)
            kept = similarity >= threshold
        used = kept
    middle = _core.median_beat(signal, beats[used], before, length, threads)
    leads = names or tuple(str(k) for k in range(len(array)))
    return Template(middle, rate, leads, before, beats, similarity, used, threshold)


def _typical(signal: Array, beats: Array, before: int, length: int, threads: int | None) -> Array:
    """The one beat (of at most 40) that correlates best with the others at the median."""
    chosen = beats[:: max(1, len(beats) // 40)]
    scores = []
    for at in chosen:
        one = signal[:, at - before : at - before + length]
        _, similarity = _core.align_beats(signal, chosen, one, before, 0, threads)
        scores.append(np.nanmedian(similarity) if not np.isnan(similarity).all() else -1.0)
    at = chosen[int(np.argmax(scores))]
    return signal[:, at - before : at - before + length]
