"""Onset, peak and offset of P, QRS and T, and what they measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from .._config import _core
from .._extras import need
from .._typing import Array
from ..errors import LayoutError, LeadError
from ..record import Record
from ._arguments import leads_of

WAVES = ("P", "QRS", "T")
POINTS = ("onset", "peak", "offset")
GLOBAL = "global"
"""The name of the row that holds all leads together."""
MISSING = -1
"""Stands for a point of a wave that is absent."""

_AMPLITUDES = ("P", "Q", "R", "S", "T", "J", "J60", "J80", "ST_slope")
_AREAS = ("QRS", "P", "T")
_WEIGHTS = Path(__file__).with_name("delineator.safetensors")


@lru_cache(maxsize=1)
def _weights() -> Array:
    from safetensors.numpy import load_file

    return load_file(_WEIGHTS)["weights"]


@dataclass(frozen=True, eq=False)
class Intervals:
    """Intervals of each beat from the global points; NaN where a wave is absent.

    Attributes
    ----------
    rr, pr, qrs, qt : ndarray, shape (beat,)
        Milliseconds: since the beat before; P onset to QRS onset; QRS; QRS onset to T offset.
    rate : ndarray, shape (beat,)
        60,000 / rr, beats per minute.
    qtc_bazett, qtc_fridericia, qtc_framingham, qtc_hodges : ndarray, shape (beat,)
        QT corrected for the RR before, in ms: QT / RR^1/2, QT / RR^1/3, QT + 154 (1 - RR),
        QT + 1.75 (rate - 60), RR in seconds.
    """

    rr: Array
    pr: Array
    qrs: Array
    qt: Array

    @property
    def rate(self) -> Array:
        return 6e4 / self.rr

    @property
    def qtc_bazett(self) -> Array:
        return self.qt / np.sqrt(self.rr / 1e3)

    @property
    def qtc_fridericia(self) -> Array:
        return self.qt / np.cbrt(self.rr / 1e3)

    @property
    def qtc_framingham(self) -> Array:
        return self.qt + 154.0 * (1.0 - self.rr / 1e3)

    @property
    def qtc_hodges(self) -> Array:
        return self.qt + 1.75 * (self.rate - 60.0)

    @property
    def columns(self) -> dict[str, Array]:
        """All of them by name."""
        names = ("rr", "rate", "pr", "qrs", "qt", "qtc_bazett", "qtc_fridericia")
        return {name: getattr(self, name) for name in (*names, "qtc_framingham", "qtc_hodges")}

    def median(self) -> dict[str, float]:
        """The median over beats of each; NaN where no beat has one."""
        return {name: _median(values) for name, values in self.columns.items()}

    def to_frame(self):
        """A pandas DataFrame, one row per beat."""
        pandas = need("pandas", "cli", "Intervals.to_frame")
        return pandas.DataFrame(self.columns).rename_axis("beat")


def _median(values: Array) -> float:
    here = values[~np.isnan(values)]
    return float(np.median(here)) if here.size else np.nan


@dataclass(frozen=True, eq=False)
class Delineation:
    """Waves of a recording: one row per beat, lead and wave, absent ones included.

    The columns :attr:`beat`, :attr:`lead`, :attr:`wave`, :attr:`onset`, :attr:`peak`,
    :attr:`offset` have equal lengths; a point of an absent wave is ``MISSING`` (-1), in
    :meth:`to_frame` ``<NA>``. :meth:`points` picks one wave in one lead.

    Attributes
    ----------
    rpeaks : ndarray of int64, shape (beat,)
        The beats, as given or found.
    fs : float
        Rate of all sample indices in Hz.
    leads : tuple of str
        Names of the leads; ``"0"``, ``"1"``, ... where an array came without names.
    samples : ndarray of int64, shape (beat, lead + 1, 3, 3)
        Beat, lead (the last is ``"global"``), wave (P, QRS, T), point (onset, peak, offset).
    """

    rpeaks: Array
    fs: float
    leads: tuple[str, ...]
    samples: Array
    _signal: Array = field(repr=False)
    _threads: int | None = field(default=None, repr=False)

    # ------------------------------------------------------------------ table
    def __len__(self) -> int:
        return int(np.prod(self.samples.shape[:3]))

    @property
    def beat(self) -> Array:
        """Number of the beat, per row."""
        return np.repeat(np.arange(len(self.rpeaks)), 3 * self.samples.shape[1])

    @property
    def lead(self) -> Array:
        """Name of the lead or ``"global"``, per row."""
        names = np.asarray([*self.leads, GLOBAL])
        return np.tile(np.repeat(names, 3), len(self.rpeaks))

    @property
    def wave(self) -> Array:
        """``"P"``, ``"QRS"`` or ``"T"``, per row."""
        return np.tile(np.asarray(WAVES), self.samples.shape[0] * self.samples.shape[1])

    @property
    def onset(self) -> Array:
        """Sample index per row, -1 where absent."""
        return self.samples[..., 0].ravel()

    @property
    def peak(self) -> Array:
        """Sample index per row, -1 where absent."""
        return self.samples[..., 1].ravel()

    @property
    def offset(self) -> Array:
        """Sample index per row, -1 where absent."""
        return self.samples[..., 2].ravel()

    def points(self, wave: str, lead: str = GLOBAL) -> Array:
        """Onset, peak and offset of one wave in one lead, int64 (beat, 3), -1 where absent."""
        return self.samples[:, self._row(lead), _index(WAVES, wave, "wave")]

    def _row(self, lead: str) -> int:
        names = [*self.leads, GLOBAL]
        if lead not in names:
            raise LeadError(f"delineation has no lead {lead!r}; it has {', '.join(names)}")
        return names.index(lead)

    # ----------------------------------------------------------- measurements
    def intervals(self, lead: str = GLOBAL, *, qt_reference: str = "qrs_onset") -> Intervals:
        """RR, PR, QRS and QT of each beat in ms, from the global points or one lead's.

        Parameters
        ----------
        lead : str
        qt_reference : {"qrs_onset", "qrs_offset"}
            Where QT starts. ``"qrs_offset"`` is wrong by the QRS duration and serves only to
            repeat figures that were computed so (FeatureDB, ECG-Grounding).
        """
        if qt_reference not in ("qrs_onset", "qrs_offset"):
            raise ValueError(
                f"intervals: qt_reference must be 'qrs_onset' or 'qrs_offset', got {qt_reference!r}"
            )
        at = np.where(self.samples < 0, np.nan, self.samples)[:, self._row(lead)] * (1e3 / self.fs)
        p, qrs, t = at[:, 0], at[:, 1], at[:, 2]
        start = qrs[:, 0] if qt_reference == "qrs_onset" else qrs[:, 2]
        rr = np.diff(self.rpeaks, prepend=np.nan) * (1e3 / self.fs)
        return Intervals(rr, qrs[:, 0] - p[:, 0], qrs[:, 2] - qrs[:, 0], t[:, 2] - start)

    def _measured(self) -> Array:
        shape = self.samples.shape
        points = np.ascontiguousarray(self.samples).reshape(shape[0], shape[1], 9)
        return _core.measure(self._signal, self.fs, points, self._threads)

    def amplitudes(self) -> dict[str, Array]:
        """Amplitudes of each beat in each lead, in the signal's unit (mV).

        Returns
        -------
        dict of str to ndarray, shape (beat, lead)
            ``P``, ``Q``, ``R``, ``S``, ``T``; ``J``, ``J60``, ``J80``: the ST level at the end of
            the QRS, 60 and 80 ms later; ``ST_slope``: mV/s over 80 ms from J on. NaN where there is
            none. The zero is the mean of the last 20 ms before the QRS; P stands on the line
            through its bounds. A QRS without R has its depth in ``Q``. A deflection below 3 % of
            the QRS range is none.
        """
        measured = self._measured()
        return {name: measured[..., k] for k, name in enumerate(_AMPLITUDES)}

    def axes(self) -> dict[str, Array]:
        """Frontal axes of ``P``, ``QRS`` and ``T`` in degrees of each beat, -180 to 180.

        The angle of the vector of areas under the wave in I and aVF, aVF scaled by 2 / sqrt(3)
        (its lead vector is that much shorter). aVF is taken from II - I / 2 or III + I / 2 where
        it is not recorded.

        Raises
        ------
        LeadError
            There is no I, or none of aVF, II, III.
        """
        from ..record import canonical_lead

        names = [canonical_lead(name) for name in self.leads]
        if "I" not in names or not {"aVF", "II", "III"} & set(names):
            raise LeadError(
                "axes needs lead I and one of aVF, II, III; this delineation has "
                + ", ".join(self.leads)
            )
        measured = self._measured()
        found = {}
        for k, wave in enumerate(_AREAS):
            area = np.nan_to_num(measured[..., len(_AMPLITUDES) + k])
            one = area[:, names.index("I")]
            if "aVF" in names:
                foot = area[:, names.index("aVF")]
            elif "II" in names:
                foot = area[:, names.index("II")] - one / 2
            else:
                foot = area[:, names.index("III")] + one / 2
            angle = np.degrees(np.arctan2(2 / np.sqrt(3) * foot, one))
            present = self.samples[:, -1, WAVES.index(wave), 0] >= 0
            found[wave] = np.where(present & ((one != 0) | (foot != 0)), angle, np.nan)
        return found

    def summary(self) -> dict[str, float]:
        """The recording in numbers: medians over beats.

        Returns
        -------
        dict of str to float
            ``beats``; ``rate`` in 1/min; ``rr``, ``pr``, ``qrs``, ``qt`` and the four ``qtc_`` in
            ms; ``p_axis``, ``qrs_axis``, ``t_axis`` in degrees (circular means; left out where
            limb leads lack); ``p_present``: share of beats with a P wave.
        """
        figures: dict[str, float] = {"beats": len(self.rpeaks), **self.intervals().median()}
        try:
            axes = self.axes()
        except LeadError:
            axes = {}
        for wave, angle in axes.items():
            turn = np.exp(1j * np.radians(angle[~np.isnan(angle)]))
            mean = float(np.degrees(np.angle(turn.sum()))) if turn.size else np.nan
            figures[f"{wave.lower()}_axis"] = mean
        present = self.samples[:, -1, 0, 0] >= 0
        figures["p_present"] = float(present.mean()) if present.size else np.nan
        return figures

    # ------------------------------------------------------------------ shown
    def __repr__(self) -> str:
        s = self.summary()
        return (
            f"<Delineation {len(self.rpeaks)} beats, {len(self.leads)} leads: "
            f"rate {s['rate']:.0f}/min, PR {s['pr']:.0f} ms, QRS {s['qrs']:.0f} ms, "
            f"QT {s['qt']:.0f} ms>"
        )

    def to_frame(self):
        """A pandas DataFrame: beat, lead, wave, onset, peak, offset (Int64, <NA> where absent)."""
        pandas = need("pandas", "cli", "Delineation.to_frame")
        columns: dict[str, Any] = {"beat": self.beat, "lead": self.lead, "wave": self.wave}
        for name in POINTS:
            values = getattr(self, name)
            columns[name] = pandas.arrays.IntegerArray(values.copy(), values < 0)
        return pandas.DataFrame(columns)

    def _repr_html_(self) -> str:
        units = {"rate": "1/min", "beats": "", "p_present": ""}
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td>{'' if np.isnan(v) else format(v, '.4g')}</td>"
            f"<td>{units.get(name, 'degrees' if name.endswith('axis') else 'ms')}</td></tr>"
            for name, v in self.summary().items()
        )
        return (
            f"<p>{escape(repr(self)[1:-1])}</p><table><thead><tr><th>median over beats</th>"
            f"<th>value</th><th>unit</th></tr></thead><tbody>{rows}</tbody></table>"
        )


def _index(names: Sequence[str], name: str, what: str) -> int:
    if name not in names:
        raise ValueError(f"points: {what} must be one of {', '.join(names)}, got {name!r}")
    return names.index(name)


def _checked_peaks(peaks: Any, t: int) -> Array:
    array = np.asarray(peaks)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise LayoutError(
            "delineate: rpeaks must be a one-dimensional list of sample indices, got "
            f"shape {array.shape}, dtype {array.dtype}"
        )
    array = array.astype(np.int64)
    if array.size and (array[0] < 0 or array[-1] >= t or (np.diff(array) <= 0).any()):
        raise LayoutError(
            f"delineate: rpeaks must ascend and lie within 0..{t - 1}; np.unique(rpeaks) sorts them"
        )
    return array


def delineate(
    x: Any,
    *,
    fs: float | None = None,
    rpeaks: Any = None,
    threads: int | None = None,
) -> Any:
    """Onset, peak and offset of P, QRS and T, in every lead and for all leads together.

    Parameters
    ----------
    x : Record or array_like, shape (time,), (lead, time) or (n, lead, time)
        In mV, though only :meth:`Delineation.amplitudes` depends on the unit.
    fs : float
        Rate in Hz, 50 to 2000; taken from a Record.
    rpeaks : array_like of int, shape (beat,), optional
        Ascending R peaks (a list of such for a batch). Default: :func:`rpeaks` of all leads.
    threads : int, optional
        Default: the process setting.

    Returns
    -------
    Delineation
        A table of beats, leads and waves with :meth:`~Delineation.intervals`,
        :meth:`~Delineation.amplitudes`, :meth:`~Delineation.axes`. For a batch, a tuple of them.

    Raises
    ------
    RateError
        ``fs`` is missing or outside 50 to 2000 Hz.
    LayoutError
        ``x`` lies the wrong way round or has other dimensions; ``rpeaks`` does not ascend or lies
        outside the signal.

    Notes
    -----
    Every sample at 125 Hz gets four scores (nothing, P, QRS, T) from a small convolutional network
    (13,000 weights, U-shaped, depthwise-separable) that sees the lead above its baseline, the time
    to the R peaks on both sides, and the mean of what the leads show; then the best sequence QRS,
    ST, T, TP, P, PQ, QRS between two R peaks is found exactly by dynamic programming. Each QRS, T
    and P may occur once between two R peaks; any but the QRS may be absent. A bound lies where the
    scores of its two sides cross, between samples. The peak of P and T is the point furthest from
    the line through the bounds; of the QRS, R, or the deepest point where there is no R.

    All leads together: the earliest onset that two other leads confirm (within 16, 12, 24 ms for
    P, QRS, T), and likewise the latest offset; the median where none is confirmed; absent when
    fewer than three leads (half of them, with fewer than six) show the wave, or where the onset so
    found is not before the offset.

    Trained on LUDB (Kalyakulina et al., IEEE Access 8, 2020, 186181), 200 patients; accuracy
    beside NeuroKit2's methods, cross-validated by patient: ``docs/accuracy_delineation.md``. A P
    wave that is not followed by a QRS may be missed where another P stands before the QRS.
    Nothing is sought further than 2 s from an R peak. A lead whose QRS is below 1/10,000 of the
    largest lead's is taken as unconnected: all its waves are absent.

    Examples
    --------
    >>> d = ek.signal.delineate(ek.synth.ecg(heart_rate=60))
    >>> d.points("T", "II").shape
    (10, 3)
    """
    if not isinstance(x, Record) and np.ndim(x) == 3:
        return _batch(np.asarray(x), fs, rpeaks, threads)
    array, rate, names = leads_of(x, fs, "delineate")
    peaks = _core.rpeaks(array, rate, threads) if rpeaks is None else rpeaks
    return _run(array[None], rate, [peaks], names, threads)[0]


def _batch(array: Array, fs: float | None, rpeaks: Any, threads: int | None):
    rate = fs
    for row in array[:1] if len(array) else np.empty((1, *array.shape[1:]), array.dtype):
        _, rate, _ = leads_of(row, fs, "delineate")
    assert rate is not None
    if rpeaks is None:
        rpeaks = [_core.rpeaks(row, rate, threads) for row in array]
    if len(rpeaks) != len(array):
        raise LayoutError(
            f"delineate: rpeaks must hold one list per record ({len(array)}), got {len(rpeaks)}"
        )
    return _run(array, rate, rpeaks, None, threads)


def _run(
    array: Array,
    fs: float,
    peaks: Sequence[Any],
    names: tuple[str, ...] | None,
    threads: int | None,
) -> tuple[Delineation, ...]:
    n, lead, t = array.shape
    beats = [_checked_peaks(p, t) for p in peaks]
    start = np.concatenate([[0], np.cumsum([len(b) for b in beats])]).astype(np.int64)
    every = np.concatenate([*beats, np.empty(0, np.int64)])
    signal = np.ascontiguousarray(array, np.float32)
    found = _core.delineate(signal, fs, every, start, _weights(), threads)
    found = found.reshape(-1, lead + 1, 3, 3)
    leads = names or tuple(str(k) for k in range(lead))
    return tuple(
        Delineation(beats[i], fs, leads, found[start[i] : start[i + 1]], signal[i], threads)
        for i in range(n)
    )
