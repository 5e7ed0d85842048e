"""Preprocessing as data: what a model accepts, what is done to it, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from os import PathLike
from typing import Any, Self

import numpy as np

from .. import _html
from .._typing import Array
from ..errors import ContractError, LayoutError, LeadError, RateError, UnitError
from ..record import STANDARD_LEADS, Record, canonical_lead, check_fs, to_millivolt
from ._steps import Step, resampled, run_steps

Notes = tuple[str, ...]

_RULES = {
    "nan": {
        "refuse": "NaN or infinite samples are refused",
        "zero": "NaN samples become 0, infinite ones are refused",
        "interpolate": "NaN samples are interpolated within their lead, infinite ones are refused",
    },
    "short": {"refuse": "shorter input is refused"},
    "crop": {"first": "longer input: the first part is used and the result says so"},
}


def holds_records(x: Any) -> bool:
    """A list or tuple with at least one Record."""
    return isinstance(x, Sequence) and any(isinstance(item, Record) for item in x)


def is_single(x: Any) -> bool:
    """One recording, as a Record or as (lead, time), not a batch."""
    return isinstance(x, Record) or (not holds_records(x) and np.ndim(x) == 2)


class AsJson:
    """A contract as JSON text, from its ``to_dict`` and ``from_dict``."""

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        raise NotImplementedError

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_dict`."""
        raise NotImplementedError

    def to_json(self) -> str:
        """The contract as JSON text."""
        return json.dumps(self.to_dict(), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Inverse of :meth:`to_json`."""
        try:
            return cls.from_dict(json.loads(text))
        except json.JSONDecodeError as error:
            raise ContractError(f"a contract must be JSON text ({error})") from None


@dataclass(frozen=True)
class Contract(AsJson):
    """What a model demands of its input, applied and enforced by :meth:`prepare`.

    Attributes
    ----------
    fs : float
        Rate in Hz. A :class:`ecgkit.Record` at another rate is resampled (and the notes say so); an
        array is not.
    length : int
        Samples per lead at ``fs``.
    leads : tuple of str
        In order. A record's leads are taken by name; an array's rows must be these leads in this
        order.
    unit : str
        Unit that the steps see (records and arrays are mV outside).
    filters : tuple of Step
        Filter chain, first to last.
    normalisation : Step or None
        Applied after the filters.
    features : Step or None
        Turns the signals into what the network eats; ``None``: the signals themselves.
    resample : str
        How records at another rate are resampled: a method of :func:`ecgkit.signal.resample`, or
        ``"scipy"``, ``scipy.signal.resample_poly`` with its default filter.
    nan, short, crop : str
        Rules: ``"refuse"`` (or ``"zero"``, or ``"interpolate"``: straight lines between a lead's
        own samples, the nearest one at the ends), ``"refuse"``, ``"first"``.
    """

    fs: float
    length: int
    leads: tuple[str, ...] = STANDARD_LEADS
    unit: str = "mV"
    filters: tuple[Step, ...] = ()
    normalisation: Step | None = None
    features: Step | None = None
    resample: str = "fir"
    nan: str = "refuse"
    short: str = "refuse"
    crop: str = "first"

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "fs", check_fs(self.fs))
        put(self, "leads", tuple(canonical_lead(name) for name in self.leads))
        put(self, "filters", tuple(self.filters))
        to_millivolt(self.unit)
        if self.length < 1:
            raise ContractError(f"length must be at least one sample, got {self.length}")
        for rule, known in _RULES.items():
            if getattr(self, rule) not in known:
                raise ContractError(
                    f"{rule} must be one of {', '.join(known)}; got {getattr(self, rule)!r}"
                )

    # ---------------------------------------------------------------- as data
    @property
    def duration(self) -> float:
        """Seconds the model looks at."""
        return self.length / self.fs

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps in order: filters, normalisation, features."""
        return (
            *self.filters,
            *(s for s in (self.normalisation, self.features) if s is not None),
        )

    @property
    def summary(self) -> str:
        """The input in a few words."""
        return f"{len(self.leads)} leads, {self.duration:g} s at {self.fs:g} Hz, mV"

    def to_dict(self) -> dict[str, Any]:
        """JSON types only; inverse of :meth:`from_dict`."""
        data = {f.name: getattr(self, f.name) for f in fields(self)}
        data["leads"] = list(self.leads)
        data["filters"] = [step.to_dict() for step in self.filters]
        for name in ("normalisation", "features"):
            data[name] = None if data[name] is None else data[name].to_dict()
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """A contract from :meth:`to_dict`'s mapping.

        Raises
        ------
        ContractError
            A field or a step is unknown or missing.
        """
        try:
            given = dict(data)
            filters = tuple(Step.from_dict(step) for step in given.pop("filters", ()))
            parts: dict[str, Any] = {}
            for name in ("normalisation", "features"):
                step = given.pop(name, None)
                parts[name] = None if step is None else Step.from_dict(step)
            return cls(filters=filters, **parts, **given)
        except (TypeError, KeyError, AttributeError) as error:
            raise ContractError(
                f"not a preprocessing contract ({type(error).__name__}: {error})"
            ) from None

    # ---------------------------------------------------------------- applied
    def prepare(
        self, x: Any, fs: float | None = None, *, unit: str = "mV"
    ) -> tuple[Array, tuple[Notes, ...]]:
        """What the network eats, and what had to be done to each recording to get there.

        Parameters
        ----------
        x : Record, sequence of Record, or array (lead, time) or (n, lead, time)
        fs : float
            Rate in Hz; required for arrays, where it must be the contract's own.
        unit : str
            Unit of an array (default mV).

        Returns
        -------
        prepared : ndarray, float32, shape (n, ...)
        notes : tuple of tuple of str, one per recording
            Empty where the recording already fitted.

        Raises
        ------
        ContractError, LayoutError, LeadError, RateError, UnitError
            The input breaks the contract; the message shows the fix.
        """
        signals, notes = self.admit(x, fs, unit=unit)
        return self.transform(signals), notes

    def admit(
        self, x: Any, fs: float | None = None, *, unit: str = "mV", first: int = 0
    ) -> tuple[Array, tuple[Notes, ...]]:
        """First half of :meth:`prepare`: signals (n, lead, time) at the contract's rate, order,
        length and unit.

        ``first`` is what errors add to a recording's place in ``x``.
        """
        if isinstance(x, Record):
            rows = [self._admit_record(x, fs, "")]
        elif isinstance(x, (str, bytes, PathLike)):
            raise LayoutError(f"got the path {x!r}; read it first: ek.read({str(x)!r})")
        elif holds_records(x):
            rows = [self._admit_record(r, fs, f"recording {i}: ") for i, r in enumerate(x, first)]
        else:
            return self._admit_array(x, fs, unit)
        signals = np.stack([signal for signal, _ in rows])
        return self._in_unit(signals, "mV"), tuple(notes for _, notes in rows)

    def open(self, path: str | PathLike) -> Record:
        """A recording from a file."""
        from .. import io

        return io.read(path)

    @staticmethod
    def is_single(x: Any) -> bool:
        """One recording, as a Record or as (lead, time), not a batch."""
        return is_single(x)

    @staticmethod
    def is_list(x: Any) -> bool:
        """A list or tuple of recordings, each checked by itself."""
        return holds_records(x)

    def transform(self, signals: Array) -> Array:
        """Second half of :meth:`prepare`: the filter chain, normalisation and features, on (n,
        lead, time)."""
        return self.featured(self.filtered(signals))

    def filtered(self, signals: Array) -> Array:
        """Filters and normalisation alone, on (n, lead, time)."""
        steps = [step for step in self.steps if step is not self.features]
        return np.asarray(run_steps(steps, signals, self.fs), np.float32)

    def featured(self, filtered: Array) -> Array:
        """Filtered signals to what the network eats."""
        return filtered if self.features is None else self.features(filtered, self.fs)

    # --------------------------------------------------------------- enforced
    def _admit_record(self, rec: Any, fs: float | None, who: str) -> tuple[Array, Notes]:
        if not isinstance(rec, Record):
            raise LayoutError(
                f"{who}expected a Record, got {type(rec).__name__}; records and arrays cannot be "
                "mixed"
            )
        if fs is not None and check_fs(fs) != rec.fs:
            raise RateError(
                f"{who}fs={fs:g} contradicts the record's own {rec.fs:g} Hz; leave fs out for "
                "records"
            )
        missing = [name for name in self.leads if name not in rec.leads]
        if missing:
            raise LeadError(
                f"{who}the model needs the leads {' '.join(self.leads)}; the record lacks "
                f"{' '.join(missing)} "
                f"(it has {' '.join(rec.leads)}). Missing leads are never made up: use a "
                "recording that has them, "
                "or name the leads rightly in ek.Record(signal, fs=..., leads=[...])"
            )
        notes = []
        index = [rec.leads.index(name) for name in self.leads]
        left_out = [name for name in rec.leads if name not in self.leads]
        if index != sorted(index):
            notes.append(f"leads reordered by name from {' '.join(rec.leads)}")
        if left_out:
            notes.append(f"leads not used: {' '.join(left_out)}")
        available = rec.n_samples / rec.fs
        if available < self.duration * (1 - 1e-9):
            raise ContractError(self._too_short(who, available, rec.n_samples, rec.fs))
        # One second more than needed, so that the end of the part is resampled from real
        # neighbours.
        take = min(rec.n_samples, int(np.ceil((self.duration + 1.0) * rec.fs)))
        same_rate = abs(rec.fs - self.fs) <= 1e-9 * self.fs
        if same_rate:
            take = self.length
        part = self._admissible(rec.signal[index, :take], who)
        if not same_rate:
            part = resampled(part, rec.fs, self.fs, self.resample)[:, : self.length]
            notes.append(f"resampled from {rec.fs:g} to {self.fs:g} Hz ({self.resample})")
        if available > self.duration * (1 + 1e-9):
            notes.append(f"first {self.duration:g} s of {available:g} s used")
        return part, tuple(notes)

    def _admit_array(self, x: Any, fs: float | None, unit: str) -> tuple[Array, tuple[Notes, ...]]:
        try:
            array = np.asarray(x)
        except ValueError as error:
            raise LayoutError(
                f"not an array: {error}; recordings of unequal length go in as a list of Records"
            ) from None
        if array.dtype.kind not in "iuf":
            raise LayoutError(
                f"samples must be real numbers, got {type(x).__name__} of dtype {array.dtype}; "
                "give a Record, a list of Records, or an array (lead, time) or (n, lead, time)"
            )
        if array.ndim not in (2, 3):
            raise LayoutError(
                f"an array must have shape (lead, time) or (n, lead, time), got {array.shape}"
                + ("; one lead is x[None, :]" if array.ndim == 1 else "")
            )
        if array.shape[-2] != len(self.leads):
            turned = array.shape[-1] == len(self.leads)
            raise LayoutError(
                f"the model needs {len(self.leads)} leads ({' '.join(self.leads)}) in rows, got "
                f"shape {array.shape}; "
                + (
                    "time runs along rows here: pass np.swapaxes(x, -1, -2)"
                    if turned
                    else "pick and order the rows, or name them: ek.Record(x, fs=..., leads=[...])"
                )
            )
        if fs is None:
            raise RateError(
                f"a bare array needs its rate: pass fs={self.fs:g} if it was sampled at "
                f"{self.fs:g} Hz; at another rate "
                f"wrap it, ek.Record(x, fs=..., leads=[...]), and the model resamples it"
            )
        if abs(check_fs(fs) - self.fs) > 1e-9 * self.fs:
            raise RateError(
                f"the model takes {self.fs:g} Hz, the array has fs={fs:g}: wrap it, ek.Record(x, "
                f"fs={fs:g}, leads=[...]), "
                f"and the model resamples it, or pass ek.signal.resample(x, {fs:g}, {self.fs:g}) "
                f"with fs={self.fs:g}"
            )
        samples = array.shape[-1]
        if samples < self.length:
            raise ContractError(self._too_short("", samples / self.fs, samples, self.fs))
        note = (
            (f"first {self.duration:g} s of {samples / self.fs:g} s used",)
            if samples > self.length
            else ()
        )
        part = array[..., : self.length]
        if array.ndim == 2:
            part = part[None]
        signals = self._in_unit(part, unit)
        if not np.isfinite(signals).all():
            signals = np.stack(
                [
                    self._admissible(signal, f"recording {i}: " if array.ndim == 3 else "")
                    for i, signal in enumerate(signals)
                ]
            )
        return signals, (note,) * len(signals)

    def _in_unit(self, signals: Array, unit: str) -> Array:
        try:
            factor = to_millivolt(unit)
        except UnitError as error:
            raise UnitError(
                f"{error} (an array in ADC counts: divide by the gain in counts per mV)"
            ) from None
        factor /= to_millivolt(self.unit)
        if factor != 1.0:
            signals = np.multiply(signals, factor, dtype=np.float64)
        return np.ascontiguousarray(signals, dtype=np.float32)

    def _admissible(self, signal: Array, who: str) -> Array:
        """The signal by the NaN rule: itself if finite, with NaN filled in, or an error."""
        if np.isfinite(signal).all():
            return signal
        bad: Array = ~np.isfinite(signal)
        if self.nan == "zero" and not np.isinf(signal).any():
            return np.where(bad, np.float32(0), signal)
        if self.nan == "interpolate" and not np.isinf(signal).any() and not bad.all(axis=1).any():
            return _bridged(signal, bad)
        leads = [self.leads[i] for i in np.flatnonzero(bad.any(axis=1))]
        first = int(np.flatnonzero(bad.any(axis=0))[0])
        raise ContractError(
            f"{who}{int(bad.sum())} samples are NaN or infinite (leads {' '.join(leads)}, first "
            f"at sample {first}); the "
            "model takes finite samples only: choose a clean part, rec.window(start, duration), "
            "or fill the gap yourself"
        )

    def _too_short(self, who: str, seconds: float, samples: int, fs: float) -> str:
        return (
            f"{who}too short: {seconds:g} s ({samples} samples at {fs:g} Hz), the model needs "
            f"{self.duration:g} s "
            f"({self.length} samples at {self.fs:g} Hz); use a longer recording, padding is never "
            "done silently"
        )

    # ------------------------------------------------------------------ shown
    def _rows(self) -> list[tuple[str, str]]:
        rows = [
            ("leads", " ".join(self.leads)),
            ("rate", f"{self.fs:g} Hz; records at another rate are resampled ({self.resample}) and"
                     " the result says so, arrays are refused"),
            ("length", f"{self.duration:g} s = {self.length} samples"),
            ("unit", self.unit),
        ]  # fmt: skip
        rows += [(f"step {i}", repr(step)) for i, step in enumerate(self.steps, 1)]
        return rows + [(rule, known[getattr(self, rule)]) for rule, known in _RULES.items()]

    def __repr__(self) -> str:
        return "Contract\n" + "\n".join(f"  {name:<11}{text}" for name, text in self._rows())

    def _repr_html_(self) -> str:
        return _html.table(["contract", ""], self._rows())


def _bridged(signal: Array, bad: Array) -> Array:
    """Straight lines over the gaps of each lead, its nearest sample at the ends."""
    filled = signal.copy()
    for lead, gaps in zip(filled, bad, strict=True):
        if gaps.any():
            lead[gaps] = np.interp(np.flatnonzero(gaps), np.flatnonzero(~gaps), lead[~gaps])
    return filled
