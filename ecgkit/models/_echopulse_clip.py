"""ECHOPulse's contract: a trace of any length at any rate, as it lies over a clip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._typing import Array
from ..record import Record
from ._contract import Contract, Notes


@dataclass(frozen=True, repr=False)
class ClipContract(Contract):
    """A contract whose one filter brings each recording to ``length`` samples by itself.

    Rate and duration are lost there: any are taken, nothing is resampled or cropped, and a bare
    array needs no ``fs``.
    """

    @property
    def summary(self) -> str:
        """The input in a few words."""
        return f"lead {self.leads[0]} over the clip, any length and rate, mV"

    def filtered(self, signals: Array) -> Array:
        """The signals as they are: the filter was applied when they were admitted."""
        return signals

    def _as_long(self, samples: int, fs: float) -> Contract:
        return Contract(fs=fs, length=samples, leads=self.leads, unit=self.unit, nan=self.nan)

    def _fit(self, signals: Array) -> Array:
        out = np.empty((*signals.shape[:-1], self.length), np.float32)
        for to, recording in zip(out, signals):
            to[:] = self.filters[0](recording, self.fs)
        return out

    def _admit_record(self, rec: Any, fs: float | None, who: str) -> tuple[Array, Notes]:
        if not isinstance(rec, Record):
            return super()._admit_record(rec, fs, who)
        part, notes = self._as_long(rec.n_samples, rec.fs)._admit_record(rec, fs, who)
        said = f"{rec.duration:g} s repeated {self.filters[0].params['copies']} times"
        return self._fit(part[None])[0], (*notes, said)

    def _admit_array(self, x: Any, fs: float | None, unit: str) -> tuple[Array, tuple[Notes, ...]]:
        rate = self.fs if fs is None else fs
        try:
            samples = np.shape(x)[-1]
        except (ValueError, IndexError):
            samples = 0
        if not samples:
            return super()._admit_array(x, rate, unit)
        signals, notes = self._as_long(samples, rate)._admit_array(x, rate, unit)
        return self._fit(signals), notes

    def _rows(self) -> list[tuple[str, str]]:
        said = {
            "rate": "any: the trace lies over the clip, its own time is not used",
            "length": f"any; {self.length} samples after the first step",
        }
        unused = ("short", "crop")
        return [(name, said.get(name, text)) for name, text in super()._rows()
                if name not in unused]  # fmt: skip
