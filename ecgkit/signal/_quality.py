"""Signal quality in numbers with thresholds, and the suspicion of exchanged limb electrodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from types import MappingProxyType
from typing import Any

import numpy as np

from .._config import _core
from .._extras import need
from .._typing import Array
from ..errors import LayoutError
from ._arguments import leads_of

MEASURES = ("missing", "flat", "saturated", "steps", "wander", "mains", "muscle")  # as in ek_dsp.h

THRESHOLDS: Mapping[str, float] = MappingProxyType(
    {
        "missing": 0.0,
        "flat": 0.1,
        "saturated": 0.01,
        "steps": 0.0,
        "wander": 0.8,
        "mains": 0.02,
        "muscle": 0.015,
        "reversal": 0.2,
    }
)
"""A lead (``reversal``: the record) is flagged when its number is above this."""

# Leads I and II from V1..V6, by least squares on the median beats of PTB-XL fold 1 (2,174 records,
# 100 Hz, -0.3 to 0.45 s about R, the part before -0.06 s weighted threefold), after the idea of
# Kors and van Herpen, J Electrocardiol 34 Suppl (2001) 113-117.
_FROM_CHEST = np.array(
    [
        [-0.601, 0.258, 0.024, -0.07, 0.108, 0.321],
        [0.003, -0.095, 0.166, 0.043, -0.056, 0.626],
    ]
)
# True (I, II) from the recorded ones, if these electrodes sit in each other's place.
_UNDO = {
    "RA-LA": np.array([[-1.0, 0.0], [-1.0, 1.0]]),
    "RA-LL": np.array([[1.0, -1.0], [0.0, -1.0]]),
    "RA-LA-LL": np.array([[0.0, -1.0], [1.0, -1.0]]),
    "RA-LL-LA": np.array([[-1.0, 1.0], [-1.0, 0.0]]),
}
# All three turned round is rare, and looks like a pair where I resembles II: it is named only
# where it correlates better than any pair by this much. Fold 8 of PTB-XL, exchanged in the data: a
# pair is named rightly in 97 % instead of 81 %, a turn in 29 % instead of 81 %.
_RARER = 0.1
_CHEST = ("V1", "V2", "V3", "V4", "V5", "V6")
_BEAT = np.arange(-30, 45) / 100.0
_WEIGHT = np.where(_BEAT < -0.06, 3.0, 1.0)


def _median_beats(array: Array, fs: float, rows: list[int]) -> Array | None:
    """Median beat of some leads at 100 Hz, shape (lead, 75); None with fewer than three beats."""
    steps = np.round(_BEAT * fs).astype(np.int64)
    peaks = _core.rpeaks(array, fs)
    peaks = peaks[(peaks + steps[0] >= 0) & (peaks + steps[-1] < array.shape[1])][:200]
    if len(peaks) < 3:
        return None
    beat = np.median(array[rows][:, peaks[:, None] + steps].astype(np.float64), axis=1)
    return beat - np.median(beat, axis=1, keepdims=True)


def _correlation(a: Array, b: Array) -> float:
    size = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / size) if size > 0 else np.nan


def _reversal(array: Array, fs: float, leads: tuple[str, ...] | None) -> tuple[float, str]:
    """How much better the limb leads fit the chest leads with electrodes exchanged, and which."""
    wanted = ("I", "II", *_CHEST)
    if leads is None or not 50 <= fs <= 2000 or any(name not in leads for name in wanted):
        return np.nan, ""
    beat = _median_beats(array, fs, [leads.index(name) for name in wanted])
    if beat is None or not np.isfinite(beat).all():
        return np.nan, ""
    limb, chest = beat[:2] * _WEIGHT, beat[2:] * _WEIGHT
    expected = _FROM_CHEST @ chest
    straight = _correlation(limb, expected)
    kinds = {kind: _correlation(undo @ limb, expected) - straight for kind, undo in _UNDO.items()}
    kind = max(kinds, key=lambda k: kinds[k] - (_RARER if k.count("-") == 2 else 0.0))
    return max(kinds.values()), kind


@dataclass(frozen=True, eq=False)
class Quality:
    """What is wrong with a recording, in numbers: one value per lead, and one for the record.

    Attributes
    ----------
    leads : tuple of str
    missing, flat, saturated : ndarray, shape (lead,)
        Shares of the samples, 0 to 1.
    steps : ndarray, shape (lead,)
        Sudden shifts of the baseline, a count.
    wander, mains, muscle : ndarray, shape (lead,)
        Amplitudes in mV. NaN where the rate or the length does not allow a judgement.
    reversal : float
        Suspicion of exchanged limb electrodes, -2 to 2; NaN without the leads I, II, V1..V6 or
        with fewer than three beats.
    reversal_kind : str
        The electrodes that would sit in each other's place (``"RA-LA"``, ``"RA-LL"``,
        ``"RA-LA-LL"``, ``"RA-LL-LA"``: turned round), empty where ``reversal`` is NaN. A guess, in
        which the frequent exchange of a pair goes before the rare turn.
    """

    leads: tuple[str, ...]
    missing: Array
    flat: Array
    saturated: Array
    steps: Array
    wander: Array
    mains: Array
    muscle: Array
    reversal: float
    reversal_kind: str

    @property
    def flags(self) -> dict[str, tuple[str, ...]]:
        """What is above its threshold: lead names by measure, ``("record",)`` for ``reversal``."""
        found = {
            name: tuple(np.asarray(self.leads)[getattr(self, name) > THRESHOLDS[name]].tolist())
            for name in MEASURES
        }
        found["reversal"] = ("record",) if self.reversal > THRESHOLDS["reversal"] else ()
        return {name: where for name, where in found.items() if where}

    @property
    def ok(self) -> bool:
        """Nothing is above its threshold."""
        return not self.flags

    def __repr__(self) -> str:
        text = "; ".join(
            f"{name} {self.reversal_kind if name == 'reversal' else ' '.join(where)}"
            for name, where in self.flags.items()
        )
        return f"<Quality of {len(self.leads)} leads: {text or 'no flags'}>"

    def to_frame(self):
        """A pandas DataFrame: one row per lead, one column per measure, and ``flags`` in words."""
        pandas = need("pandas", "cli", "Quality.to_frame")
        flags = self.flags
        words = [
            " ".join(name for name in MEASURES if lead in flags.get(name, ()))
            for lead in self.leads
        ]
        columns = {name: getattr(self, name) for name in MEASURES}
        return pandas.DataFrame(
            {**columns, "flags": words}, index=pandas.Index(self.leads, name="lead")
        )

    def _repr_html_(self) -> str:
        def cell(name: str, value: float) -> str:
            text = "" if np.isnan(value) else f"{value:.0f}" if name == "steps" else f"{value:.3f}"
            mark = ' style="background:#fdd"' if value > THRESHOLDS[name] else ""
            return f"<td{mark}>{text}</td>"

        units = {"wander": " (mV)", "mains": " (mV)", "muscle": " (mV)"}
        head = "".join(f"<th>{name}{units.get(name, '')}</th>" for name in MEASURES)
        rows = "".join(
            f"<tr><th>{escape(lead)}</th>"
            + "".join(cell(name, getattr(self, name)[i]) for name in MEASURES)
            + "</tr>"
            for i, lead in enumerate(self.leads)
        )
        swap = "" if np.isnan(self.reversal) else f": {self.reversal:.2f} {self.reversal_kind}"
        return (
            f"<table><thead><tr><th>lead</th>{head}</tr></thead><tbody>{rows}</tbody></table>"
            f"<p>limb electrodes exchanged{swap or ': not judged'}; above a threshold: "
            f"{escape(', '.join(self.flags) or 'nothing')}</p>"
        )


def quality(x: Any, *, fs: float | None = None, threads: int | None = None) -> Quality:
    """Judge a recording: one number per kind of trouble and lead, with documented thresholds.

    ============= ===== ============================================================== =========
    measure       unit  meaning                                                        threshold
    ============= ===== ============================================================== =========
    ``missing``   share samples that are NaN or infinite                               0
    ``flat``      share samples in stretches of 0.5 s or more within 5 µV              0.1
    ``saturated`` share samples in runs (3 or more, 16 ms or more) of exactly the      0.01
                        lead's largest or smallest value
    ``steps``     count jumps of the 0.62 s running median by 0.3 mV or more within    0
                        40 ms: an electrode moved or came off
    ``wander``    mV    5-95 % range of that running median                            0.8
    ``mains``     mV    amplitude at 50 or 60 Hz above the frequencies 5 Hz beside it, 0.02
                        median over seconds; rates above 110 Hz
    ``muscle``    mV    median amplitude of the band around 35 Hz (sigma 8 Hz); the    0.015
                        median leaves out the QRS; rates from 90 Hz
    ``reversal``  -2..2 how much better leads I and II correlate with what V1..V6      0.2
                        let expect when limb electrodes are exchanged (RA-LA, RA-LL,
                        all three turned round)
    ============= ===== ============================================================== =========

    Parameters
    ----------
    x : Record or array_like, shape (time,) or (lead, time)
        In mV. Without a Record the leads are called 0, 1, ..., and ``reversal`` is NaN.
    fs : float
        Rate in Hz; taken from a Record.
    threads : int, optional
        Default: the process setting.

    Returns
    -------
    Quality

    Raises
    ------
    RateError, LayoutError

    Notes
    -----
    LA-LL exchange is not judged: it leaves an ECG that is as plausible as the true one.
    Flag rates on real recordings: ``benchmarks/quality.py``.

    Examples
    --------
    >>> ek.signal.quality(ek.synth.ecg()).flags
    {}
    """
    array, rate, leads = leads_of(x, fs, "quality")
    if array.shape[1] == 0:
        raise LayoutError("quality: x has no samples")
    measures = _core.quality(array, rate, threads)
    reversal, kind = _reversal(array, rate, leads)
    names = leads if leads is not None else tuple(str(i) for i in range(array.shape[0]))
    missing, flat, saturated, steps, wander, mains, muscle = map(np.ascontiguousarray, measures.T)
    return Quality(names, missing, flat, saturated, steps, wander, mains, muscle, reversal, kind)
