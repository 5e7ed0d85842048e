"""An ECG recording: samples in millivolt, rate, leads, labels, where it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ._typing import Array
from .errors import LayoutError, LeadError, RateError, UnitError

if TYPE_CHECKING:
    from .signal import Beats, Quality

STANDARD_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
_CANONICAL = {name.upper(): name for name in STANDARD_LEADS}
_TO_MV = {"mV": 1.0, "uV": 1e-3, "µV": 1e-3, "V": 1e3, "nV": 1e-6}


@lru_cache(maxsize=4096)
def canonical_lead(name: str) -> str:
    """``AVR``, ``avr`` and ``aVR`` are one lead: the standard twelve get their usual spelling."""
    return _CANONICAL.get(name.strip().upper(), name.strip())


def to_millivolt(unit: str) -> float:
    """Factor that turns ``unit`` into millivolt.

    Raises
    ------
    UnitError
        The unit is not one of nV, uV, µV, mV, V: nothing is guessed from the samples' magnitude.
    """
    try:
        return _TO_MV[unit.strip().replace("\u03bc", "\u00b5")]
    except (KeyError, AttributeError):
        known = ", ".join(sorted(_TO_MV))
        raise UnitError(
            f"unit must be one of {known}; got {unit!r}. Convert the samples and pass unit='mV'"
        ) from None


def check_fs(fs: float | None, what: str = "fs") -> float:
    """A sampling rate in Hz as a float, or a :class:`RateError` that says what is wrong."""
    try:
        value = np.nan if isinstance(fs, (bool, np.bool_)) else float(fs)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        value = np.nan
    if not (np.isfinite(value) and value > 0):
        raise RateError(f"{what} (sampling rate in Hz) must be a positive number, got {fs!r}")
    if not 1e-6 <= value <= 1e9:
        raise RateError(
            f"{what} (sampling rate in Hz) must be between 1e-6 and 1e9, got {fs!r}: "
            "seconds, or counts, in its place?"
        )
    return value


@dataclass(frozen=True, eq=False)
class Record:
    """One ECG recording. Frozen: every method returns a new record and shares what it can.

    Parameters
    ----------
    signal : array_like, shape (lead, time)
        Samples in ``unit``; stored as read-only C-contiguous float32 in **mV**. NaN marks samples
        that the file calls invalid.
    fs : float
        Sampling rate in Hz.
    leads : sequence of str
        One name per row. The standard twelve are spelled ``I II III aVR aVL aVF V1..V6`` whatever
        their case was.
    unit : str
        ``"mV"`` (default), ``"uV"``, ``"µV"``, ``"V"`` or ``"nV"``.
    labels : mapping or sequence, optional
        What the source says about the recording (diagnoses, annotations).
    meta : mapping, optional
        Header facts (source format, patient facts, gains); kept as they are.
    raw : ndarray of int, shape (lead, time), optional
        The stored integers where the file had them, so that nothing is lost; their gains are in
        ``meta``.

    Raises
    ------
    LayoutError, RateError, LeadError, UnitError
    """

    signal: Array
    fs: float
    leads: tuple[str, ...]
    labels: Any = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    raw: Array | None = field(default=None, repr=False)

    def __init__(
        self,
        signal: Any,
        fs: float,
        leads: Sequence[str],
        unit: str = "mV",
        labels: Any = None,
        meta: Mapping[str, Any] | None = None,
        raw: Array | None = None,
    ):
        factor = to_millivolt(unit)
        rate = check_fs(fs)
        if isinstance(leads, str):
            raise LeadError(
                f"leads must be a sequence of names, got the string {leads!r}; wrap it in a list"
            )
        names = tuple(canonical_lead(str(name)) for name in leads)
        array = np.asarray(signal)
        if array.dtype.kind not in "iuf":
            raise LayoutError(f"signal must hold real numbers, got dtype {array.dtype}")
        if array.ndim != 2 or array.shape[0] != len(names):
            hint = "; pass signal.T" if array.ndim == 2 and array.shape[1] == len(names) else ""
            raise LayoutError(
                f"signal must have shape (lead, time) with {len(names)} leads "
                f"({' '.join(names)}), got shape {array.shape}{hint}"
            )
        if array.shape[1] == 0:
            raise LayoutError("signal has no samples")
        if len(set(names)) != len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise LeadError(
                f"leads given more than once: {', '.join(twice)}; rename or drop the duplicates"
            )
        if raw is not None and raw.shape != array.shape:
            raise LayoutError(f"raw must have the shape of signal {array.shape}, got {raw.shape}")
        if factor != 1.0:
            array = array * factor
        array = np.ascontiguousarray(array, dtype=np.float32)
        if array is signal or array.base is not None or np.shares_memory(array, signal):
            array = array.copy() if array.flags.writeable else array
        array.flags.writeable = False
        put = object.__setattr__
        put(self, "signal", array)
        put(self, "fs", rate)
        put(self, "leads", names)
        put(self, "labels", labels)
        put(self, "meta", MappingProxyType(dict(meta or {})))
        put(self, "raw", raw)

    # ------------------------------------------------------------------ facts
    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.signal.shape[1] / self.fs

    @property
    def n_samples(self) -> int:
        """Samples per lead."""
        return self.signal.shape[1]

    def __len__(self) -> int:
        return self.n_samples

    def __getitem__(self, lead: str) -> Array:
        """Samples of one lead by name."""
        return self.signal[self._index(lead)]

    def __repr__(self) -> str:
        source = self.meta.get("format", "array")
        size = f"{len(self.leads)} leads x {self.duration:g} s at {self.fs:g} Hz"
        return f"<Record {size} ({source}): {' '.join(self.leads)}>"

    def __reduce__(self):
        return (
            type(self),
            (self.signal, self.fs, self.leads, "mV", self.labels, dict(self.meta), self.raw),
        )

    def _index(self, lead: str) -> int:
        try:
            return self.leads.index(canonical_lead(lead))
        except ValueError:
            raise LeadError(
                f"the record has no lead {lead!r}; it has {' '.join(self.leads)}"
            ) from None

    def _with(
        self,
        signal: Array,
        *,
        fs: float | None = None,
        leads: Sequence[str] | None = None,
        raw=None,
    ) -> Record:
        return Record(
            signal, self.fs if fs is None else fs, self.leads if leads is None else leads,
            labels=self.labels, meta=self.meta, raw=raw,
        )  # fmt: skip

    # -------------------------------------------------------------- selection
    def pick(self, leads: Sequence[str]) -> Record:
        """The named leads, in the order given.

        Raises
        ------
        LeadError
            A name is absent: the message lists those the record has. A lead is never computed from
            others silently.
        """
        if isinstance(leads, str):
            leads = [leads]
        index = [self._index(name) for name in leads]
        raw = None if self.raw is None else self.raw[index]
        meta = dict(self.meta)
        for key in ("gain", "baseline", "unit", "storage"):  # facts of a lead go with it
            if isinstance(meta.get(key), tuple) and len(meta[key]) == len(self.leads):
                meta[key] = tuple(meta[key][i] for i in index)
        names = [self.leads[i] for i in index]
        return Record(self.signal[index], self.fs, names, labels=self.labels, meta=meta, raw=raw)

    def reorder(self, leads: Sequence[str] = STANDARD_LEADS) -> Record:
        """All leads, in another order (default: the standard twelve).

        Refuses to drop one; use :meth:`pick` for that.
        """
        if isinstance(leads, str):
            leads = [leads]
        missing = [name for name in self.leads if name not in {canonical_lead(x) for x in leads}]
        if missing:
            raise LeadError(f"reorder would drop {' '.join(missing)}; use pick() to select leads")
        return self.pick(leads)

    def window(self, start: float, duration: float) -> Record:
        """``duration`` seconds from ``start`` seconds on, with the annotations that fall in it.

        Raises
        ------
        LayoutError
            The window is not inside the record.
        """
        first = round(start * self.fs)
        last = first + round(duration * self.fs)
        if first < 0 or last <= first or last > self.n_samples:
            raise LayoutError(
                f"window {start:g}..{start + duration:g} s is not inside the record "
                f"(0..{self.duration:g} s)"
            )
        from .io import _annotations

        raw = None if self.raw is None else self.raw[:, first:last]
        begin, end = first / self.fs, last / self.fs
        labels, meta = _annotations.within(self.labels, self.meta, begin, end)
        return Record(
            self.signal[:, first:last], self.fs, self.leads, labels=labels, meta=meta, raw=raw
        )

    # ------------------------------------------------------------- processing
    def resample(self, fs: float, *, method: str = "fir") -> Record:
        """The record at another rate (:func:`ecgkit.signal.resample`); raw integers are dropped."""
        from . import signal

        fs = check_fs(fs)
        if fs == self.fs:
            return self
        return self._with(signal.resample(self.signal, self.fs, fs, method=method), fs=fs)

    def filter(
        self,
        *,
        bandpass: tuple[float, float] | None = None,
        highpass: float | None = None,
        lowpass: float | None = None,
        notch: float | Sequence[float] | None = None,
        baseline: bool = False,
        order: int = 4,
        q: float = 30.0,
    ) -> Record:
        """The record filtered without phase shift. Raw integers are dropped.

        Parameters
        ----------
        bandpass : (low, high), optional
            Butterworth band in Hz; or ``highpass`` and ``lowpass`` alone.
        notch : float or sequence of float, optional
            Mains frequencies to remove, in Hz; ``q`` is the centre over the width.
        baseline : bool
            Subtract the baseline: running medians of 200 ms, then of 600 ms.
        order : int
            Of the Butterworth design; running it forward and backward squares its gain.

        Raises
        ------
        ValueError
            Nothing to do, or a frequency is not between 0 and half the rate.
        LayoutError
            The record is too short for the filter.

        Notes
        -----
        In this order: notch, band, baseline. A NaN spoils its lead in a recursive filter.
        """
        from .signal._filter import chain

        band = (highpass, lowpass)
        if bandpass is not None:
            if band != (None, None):
                raise ValueError("filter: pass bandpass, or highpass and lowpass, not both")
            band = bandpass
        return self._with(chain(self.signal, self.fs, band, notch, baseline, order, q))

    # ------------------------------------------------------------ measurement
    def beats(self) -> Beats:
        """R peaks with RR intervals, heart rate and variability: :func:`ecgkit.signal.beats`."""
        from . import signal

        return signal.beats(self)

    def quality(self) -> Quality:
        """What is wrong with the recording, in numbers: :func:`ecgkit.signal.quality`."""
        from . import signal

        return signal.quality(self)

    # ------------------------------------------------------------------ shown
    def plot(self, layout: str = "auto", **options: Any):
        """The record on ECG paper as a matplotlib figure (see :func:`ecgkit.plot.paper_figure`)."""
        from . import plot

        return plot.paper_figure(self, layout, **options)

    def scalogram(self, freqs: Any = None, **options: Any):
        """Wavelet magnitudes of every lead (see :func:`ecgkit.plot.scalogram`)."""
        from . import plot

        return plot.scalogram(self, freqs, **options)

    def stacked_scalogram(self, freqs: Any = None, **options: Any):
        """One picture per second, leads below each other: :func:`ecgkit.plot.stacked_scalogram`."""
        from . import plot

        return plot.stacked_scalogram(self, freqs, **options)

    def to_frame(self):
        """A pandas DataFrame: one column per lead in mV, time in seconds as the index."""
        from ._extras import need

        pandas = need("pandas", "cli", "Record.to_frame")
        time = pandas.Index(np.arange(self.n_samples) / self.fs, name="time (s)")
        return pandas.DataFrame(self.signal.T, index=time, columns=list(self.leads))

    def _repr_html_(self) -> str:
        from . import plot

        return plot.record_html(self)
