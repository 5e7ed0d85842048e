"""Heart-rate variability: time, frequency and nonlinear figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from types import MappingProxyType
from typing import Any

import numpy as np

from .._config import _core
from .._extras import need
from .._typing import Array
from ..errors import LayoutError, RateError
from ..record import check_fs
from ._beats import Beats
from ._delineate import Delineation

_BANDS = {
    "ULF": (0.0, 0.0033),
    "VLF": (0.0033, 0.04),
    "LF": (0.04, 0.15),
    "HF": (0.15, 0.4),
    "VHF": (0.4, 0.5),
}
_BIN = 1e3 / 128
"""ms: histogram bins of the geometric figures (Task Force 1996)."""

_MS = (
    *("MeanNN", "SDNN", "RMSSD", "SDSD", "MedianNN", "MadNN", "IQRNN", "Prc20NN", "Prc80NN"),
    *("MinNN", "MaxNN", "TINN", "SDANN1", "SDNNI1", "SDANN2", "SDNNI2", "SDANN5", "SDNNI5"),
    *("SD1", "SD2", "SD1a", "SD1d", "SD2a", "SD2d", "SDNNa", "SDNNd"),
)
_UNITS = {
    **dict.fromkeys(_MS, "ms"),
    **dict.fromkeys(("pNN50", "pNN20", "GI", "SI", "AI", "PI"), "%"),
    **dict.fromkeys((*_BANDS, "TP"), "ms2"),
    "LnHF": "ln ms2",
    "S": "ms2",
    "CSI_Modified": "ms",
    "CVI": "log10 ms2",
}


@dataclass(frozen=True, eq=False)
class HRV(Mapping[str, float]):
    """Figures of :func:`hrv` by name; a read-only mapping. NaN where the data do not suffice.

    Attributes
    ----------
    time, frequency, nonlinear : mapping of str to float
        The figures by domain.
    rr : ndarray
        The intervals in ms that they were computed from.
    """

    time: Mapping[str, float]
    frequency: Mapping[str, float]
    nonlinear: Mapping[str, float]
    rr: Array

    def __getitem__(self, name: str) -> float:
        for domain in (self.time, self.frequency, self.nonlinear):
            if name in domain:
                return domain[name]
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        yield from (*self.time, *self.frequency, *self.nonlinear)

    def __len__(self) -> int:
        return len(self.time) + len(self.frequency) + len(self.nonlinear)

    def unit(self, name: str) -> str:
        """``"ms"``, ``"ms2"``, ``"%"`` or, for a pure number, ``""``."""
        self[name]
        return _UNITS.get(name, "")

    def __repr__(self) -> str:
        return (
            f"<HRV of {len(self.rr)} intervals: SDNN {self['SDNN']:.1f} ms, "
            f"RMSSD {self['RMSSD']:.1f} ms, LF/HF {self['LFHF']:.2f}, SD1 {self['SD1']:.1f} ms>"
        )

    def to_frame(self):
        """A pandas DataFrame indexed by name: domain, value, unit."""
        pandas = need("pandas", "cli", "HRV.to_frame")
        domains = [
            name
            for name in ("time", "frequency", "nonlinear")
            for _ in range(len(getattr(self, name)))
        ]
        columns = {
            "domain": domains,
            "value": [self[name] for name in self],
            "unit": [self.unit(name) for name in self],
        }
        return pandas.DataFrame(columns, index=pandas.Index(list(self), name="figure"))

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{name}</td><td>{'' if np.isnan(self[name]) else format(self[name], '.4g')}"
            f"</td><td>{self.unit(name)}</td></tr>"
            for name in self
        )
        return (
            f"<p>{escape(repr(self)[1:-1])}</p><table><thead><tr><th>figure</th><th>value</th>"
            f"<th>unit</th></tr></thead><tbody>{rows}</tbody></table>"
        )


def hrv(
    peaks: Any = None,
    *,
    fs: float | None = None,
    rr: Any = None,
    psd: str = "welch",
    interpolation_rate: float = 100.0,
    threads: int | None = None,
) -> HRV:
    """Heart-rate variability of R peaks or of RR intervals.

    Parameters
    ----------
    peaks : array_like of int, Beats or Delineation
        R peaks as ascending sample indices, with their rate ``fs``.
    fs : float
        Rate in Hz; taken from a Beats or a Delineation.
    rr : array_like of float, instead of peaks
        Intervals in **milliseconds**. NaN: a missing interval; its neighbours are not compared.
    psd : {"welch", "lomb"}
        Spectrum of the intervals, interpolated quadratically at ``interpolation_rate`` and
        windowed (Welch), or as they lie (Lomb-Scargle).
    interpolation_rate : float
        Hz, for Welch.
    threads : int, optional

    Returns
    -------
    HRV
        Time: MeanNN, SDNN, RMSSD, SDSD, CVNN, CVSD, MedianNN, MadNN, MCVNN, IQRNN, SDRMSSD,
        Prc20NN, Prc80NN, pNN50, pNN20, MinNN, MaxNN, HTI, TINN, SDANN and SDNNI over 1, 2, 5 min.
        Frequency: ULF, VLF, LF, HF, VHF (to 0.0033, 0.04, 0.15, 0.4, 0.5 Hz), TP, LFHF, LFn, HFn,
        LnHF. Nonlinear: SD1, SD2, SD1SD2, S, CSI, CVI, CSI_Modified; PIP, IALS, PSS, PAS; GI, SI,
        AI, PI, C1d, C1a, SD1d, SD1a, C2d, C2a, SD2d, SD2a, Cd, Ca, SDNNd, SDNNa; DFA_alpha1 (4 to
        11 beats), DFA_alpha2 (12 beats to a tenth of the record); ApEn, SampEn (m = 2, r = 0.2
        SDNN).

    Raises
    ------
    LayoutError
        Peaks do not ascend; both or neither of ``peaks`` and ``rr``; not one-dimensional; an
        interval that is not positive.
    RateError
        ``fs`` is missing.

    Notes
    -----
    Names and definitions are NeuroKit2's (0.2.13) and agree with it to 1e-9 relative, with these
    exceptions. Powers are in ms2; NeuroKit2 divides the spectrum by its maximum unless
    ``normalize=False``. Lomb-Scargle works on the intervals themselves, not on an interpolation.
    SDANN and SDNNI use every interval of a window; NeuroKit2 leaves out the last. Every beat is
    taken as normal. Task Force, Circulation 93, 1996, 1043-1065; Costa, Davis, Goldberger, Front
    Physiol 8, 2017, 255 (fragmentation); Piskorski, Guzik, Physiol Meas 32, 2011, 1011 (asymmetry);
    Peng et al., Chaos 5, 1995, 82 (DFA); Richman, Moorman, Am J Physiol 278, 2000, H2039 (SampEn).

    Examples
    --------
    >>> rec = ek.synth.ecg(duration=300, heart_rate=65, hrv=0.05)
    >>> ek.signal.hrv(ek.signal.beats(rec)).unit("SDNN")
    'ms'
    """
    if psd not in ("welch", "lomb"):
        raise ValueError(f"hrv: psd must be 'welch' or 'lomb', got {psd!r}")
    values = _intervals(peaks, fs, rr)
    present = ~np.isnan(values)
    kept = values[present]
    joined = present[1:] & present[:-1]
    difference = np.diff(values)[joined]
    filled = np.where(present, values, np.median(kept) if kept.size else 0.0)
    time = np.cumsum(filled / 1e3)
    figures = (
        _time(kept, difference, time[present]),
        _frequency(kept, time[present], psd, check_fs(interpolation_rate), threads),
        _nonlinear(kept, values[:-1][joined], values[1:][joined], threads),
    )
    a, b, c = (MappingProxyType({k: float(v) for k, v in part.items()}) for part in figures)
    return HRV(a, b, c, kept)


def _intervals(peaks: Any, fs: float | None, rr: Any) -> Array:
    if (peaks is None) == (rr is None):
        raise LayoutError("hrv: pass R peaks with fs=, or rr= in milliseconds, not both")
    if rr is not None:
        values = np.asarray(rr, np.float64)
        if values.ndim != 1:
            raise LayoutError(f"hrv: rr must be one-dimensional, got shape {values.shape}")
        if np.isinf(values).any() or (values <= 0).any():
            raise LayoutError("hrv: rr must be positive milliseconds, NaN where one is missing")
        return values
    if isinstance(peaks, Beats | Delineation):
        at = peaks.sample if isinstance(peaks, Beats) else peaks.rpeaks
        if fs is not None and float(fs) != peaks.fs:
            raise RateError(f"hrv: the beats have {peaks.fs:g} Hz, fs={fs:g} was passed")
        fs = peaks.fs
    else:
        if fs is None:
            raise RateError("hrv: R peaks have no rate; pass fs= in Hz, or rr= in milliseconds")
        at = np.asarray(peaks)
    rate = check_fs(fs)
    if at.ndim != 1 or (at.size and at.dtype.kind not in "iuf"):
        raise LayoutError(f"hrv: peaks must be a list of samples, got shape {at.shape}")
    values = np.diff(at.astype(np.float64)) / rate * 1e3
    if not (values > 0).all():
        raise LayoutError("hrv: peaks must ascend; intervals are passed as rr=")
    return values


# ----------------------------------------------------------------------- time
def _time(rr: Array, difference: Array, time: Array) -> dict[str, Any]:
    names = (
        "MeanNN SDNN SDANN1 SDNNI1 SDANN2 SDNNI2 SDANN5 SDNNI5 RMSSD SDSD CVNN CVSD MedianNN MadNN "
        "MCVNN IQRNN SDRMSSD Prc20NN Prc80NN pNN50 pNN20 MinNN MaxNN HTI TINN"
    )
    out: dict[str, Any] = dict.fromkeys(names.split(), np.nan)
    if not rr.size:
        return out
    out["MeanNN"] = rr.mean()
    out["SDNN"] = rr.std(ddof=1) if rr.size > 1 else np.nan
    for minutes in (1, 2, 5):
        found = _windows(rr, time, 60.0 * minutes)
        out[f"SDANN{minutes}"], out[f"SDNNI{minutes}"] = found
    if difference.size:
        out["RMSSD"] = np.sqrt((difference**2).mean())
        out["SDSD"] = difference.std(ddof=1) if difference.size > 1 else np.nan
        out["CVSD"] = out["RMSSD"] / out["MeanNN"]
        out["SDRMSSD"] = out["SDNN"] / out["RMSSD"] if out["RMSSD"] else np.nan
        for limit in (50, 20):
            share = (np.abs(difference) > limit).sum() / (difference.size + 1)
            out[f"pNN{limit}"] = 100 * share
    out["CVNN"] = out["SDNN"] / out["MeanNN"]
    out["MedianNN"] = np.median(rr)
    out["MadNN"] = 1.4826 * np.median(np.abs(rr - out["MedianNN"]))
    out["MCVNN"] = out["MadNN"] / out["MedianNN"]
    low, high = np.percentile(rr, [25, 75])
    out["IQRNN"] = high - low
    out["Prc20NN"], out["Prc80NN"] = np.percentile(rr, [20, 80])
    out["MinNN"], out["MaxNN"] = rr.min(), rr.max()
    counts, edges = np.histogram(rr, bins=np.arange(0, rr.max() + _BIN, _BIN))
    out["HTI"] = rr.size / counts.max()
    out["TINN"] = _tinn(rr, counts, edges)
    return out


def _windows(rr: Array, time: Array, length: float) -> tuple[float, float]:
    """Deviation of the windows' means and mean of their deviations; NaN below three windows."""
    at = time - time[0] + rr[0] / 1e3
    count = int(np.round(at[-1] / length))
    if count < 3:
        return np.nan, np.nan
    parts = [rr[(at >= k * length) & (at < (k + 1) * length)] for k in range(count)]
    parts = [part for part in parts if part.size > 1]
    means = np.array([part.mean() for part in parts])
    deviations = np.array([part.std(ddof=1) for part in parts])
    return (means.std(ddof=1), deviations.mean()) if len(parts) > 1 else (np.nan, np.nan)


def _tinn(rr: Array, counts: Array, edges: Array) -> float:
    """Base of the triangle that fits the histogram best: from N to M, its peak at the mode."""
    mode = int(np.argmax(counts))
    first = int(np.argmax(edges - rr.min() > 0))
    last = int(np.searchsorted(edges, rr.max(), side="left")) - 1
    high, best, base = counts[mode], 2.0**14, 0.0
    for n in range(first, mode):
        rise = high * np.arange(mode - n + 1) / (mode - n)
        up = ((counts[n : mode + 1] - rise) ** 2)[:-1].sum()
        for m in range(mode + 1, last + 1):
            fall = high * np.arange(m - mode, -1, -1) / (m - mode)
            right = counts[mode : m + 1] if m < len(counts) else np.append(counts[mode:m], 0)
            error = up + ((right - fall) ** 2).sum()
            if error < best:
                best, base = error, edges[m] - edges[n]
    return base


# ------------------------------------------------------------------ frequency
def _frequency(
    rr: Array, time: Array, psd: str, rate: float, threads: int | None
) -> dict[str, Any]:
    out: dict[str, Any] = dict.fromkeys((*_BANDS, "TP", "LFHF", "LFn", "HFn", "LnHF"), np.nan)
    if rr.size < 4:
        return out
    spectrum = _welch(rr, time, rate) if psd == "welch" else _lomb(rr, time, threads)
    frequency, density = spectrum
    for name, (low, high) in _BANDS.items():
        inside = (frequency >= low) & (frequency < high)
        power = np.trapezoid(density[inside], frequency[inside])
        out[name] = power if power > 0 else np.nan
    out["TP"] = np.nansum([out[name] for name in _BANDS])
    out["LFHF"] = out["LF"] / out["HF"]
    if out["TP"] > 0:
        out["LFn"], out["HFn"] = out["LF"] / out["TP"], out["HF"] / out["TP"]
    out["LnHF"] = np.log(out["HF"])
    return out


def _welch(rr: Array, time: Array, rate: float) -> tuple[Array, Array]:
    from scipy.interpolate import make_interp_spline
    from scipy.signal import welch

    at = np.arange(time[0], time[-1] + 1 / rate, 1 / rate)
    even = make_interp_spline(time, rr, k=2)(at)
    even[at > time[-1]] = rr[-1]
    even -= even.mean()
    lowest = 2 * rate / (even.size / 2)
    window = min(int(2 / lowest * rate), even.size // 2)
    frequency, density = welch(
        even, fs=rate, nperseg=window, nfft=2 * window, detrend=False, scaling="density"
    )
    inside = (frequency >= lowest) & (frequency <= 0.5)
    return frequency[inside], density[inside]


def _lomb(rr: Array, time: Array, threads: int | None) -> tuple[Array, Array]:
    span = time[-1] - time[0]
    step = 1 / (4 * span)  # four points per independent frequency
    frequency = np.arange(1, int(0.5 / step) + 1) * step
    power = _core.lomb(time - time[0], rr - rr.mean(), frequency, threads)
    return frequency, 2 * power * span / rr.size


# ------------------------------------------------------------------ nonlinear
def _nonlinear(rr: Array, x: Array, y: Array, threads: int | None) -> dict[str, Any]:
    names = (
        "SD1 SD2 SD1SD2 S CSI CVI CSI_Modified PIP IALS PSS PAS GI SI AI PI C1d C1a SD1d SD1a C2d "
        "C2a SD2d SD2a Cd Ca SDNNd SDNNa DFA_alpha1 DFA_alpha2 ApEn SampEn"
    )
    out: dict[str, Any] = dict.fromkeys(names.split(), np.nan)
    if x.size < 2 or np.ptp(rr) == 0:
        return out
    out["SD1"] = sd1 = ((x - y) / np.sqrt(2)).std(ddof=1)
    out["SD2"] = sd2 = ((x + y) / np.sqrt(2)).std(ddof=1)
    out["S"] = np.pi * sd1 * sd2
    if sd1 > 0 and sd2 > 0:
        out["SD1SD2"], out["CSI"] = sd1 / sd2, sd2 / sd1
        out["CVI"], out["CSI_Modified"] = np.log10(16 * sd1 * sd2), 4 * sd2**2 / sd1
    out.update(_fragmentation(y - x))
    out.update(_asymmetry(x, y))
    if rr.size >= 12:
        out.update(_dfa(rr, threads))
    if rr.size > 3:
        out["ApEn"], out["SampEn"] = _entropies(rr, threads)
    return out


def _runs(index: Array) -> Array:
    """Lengths of the runs of consecutive integers in an ascending list."""
    cuts = np.flatnonzero(np.diff(index) != 1) + 1
    return np.diff(np.concatenate([[0], cuts, [index.size]])) if index.size else np.empty(0)


def _fragmentation(difference: Array) -> dict[str, Any]:
    sign = np.sign(difference)
    turns = np.flatnonzero(np.diff(sign))
    lengths = np.concatenate([_runs(np.flatnonzero(sign > 0)), _runs(np.flatnonzero(sign < 0))])
    alternating = _runs(turns)
    none = np.nan
    return {
        "PIP": turns.size / (difference.size + 1),
        "IALS": 1 / lengths.mean() if lengths.size else none,
        "PSS": (lengths < 3).mean() if lengths.size else none,
        "PAS": (alternating >= 4).mean() if alternating.size else none,
    }


def _asymmetry(x: Array, y: Array) -> dict[str, Any]:
    difference, n = y - x, x.size
    slower, faster, same = difference > 0, difference < 0, difference == 0
    if n < 2 or same.all():
        return {}
    across = np.abs(difference) / np.sqrt(2)
    along = np.abs((x - x.mean()) + (y - y.mean())) / np.sqrt(2)
    angle = np.abs(np.arctan(1) - np.arctan(y / x))
    area = 0.5 * angle * (x**2 + y**2)
    out = {
        "GI": 100 * across[slower].sum() / across.sum(),
        "SI": 100 * angle[slower].sum() / angle.sum(),
        "AI": 100 * area[slower].sum() / area.sum(),
        "PI": 100 * faster.sum() / (n - same.sum()),
    }
    short = [(across[part] ** 2).sum() / (n - 1) for part in (slower, faster)]
    rest = 0.5 * (along[same] ** 2).sum() / (n - 1)
    long = [(along[part] ** 2).sum() / (n - 1) + rest for part in (slower, faster)]
    for k, name in enumerate("da"):
        out[f"C1{name}"] = short[k] / sum(short)
        out[f"SD1{name}"] = np.sqrt(short[k])
        out[f"C2{name}"] = long[k] / sum(long) if sum(long) else np.nan
        out[f"SD2{name}"] = np.sqrt(long[k])
        out[f"C{name}"] = (short[k] + long[k]) / (sum(short) + sum(long))
        out[f"SDNN{name}"] = np.sqrt(0.5 * (short[k] + long[k]))
    return out


def _dfa(rr: Array, threads: int | None) -> dict[str, Any]:
    profile = np.cumsum(rr - rr.mean())

    def slope(low: int, high: int) -> float:
        windows = np.arange(low, high + 1, dtype=np.int64)
        windows = windows[windows < rr.size]
        f = _core.dfa(profile, windows, threads)
        good = f > 0
        if good.sum() < 2:
            return np.nan
        return float(np.polyfit(np.log2(windows[good]), np.log2(f[good]), 1)[0])

    longest = int((rr.size + 1) / 10)
    return {
        "DFA_alpha1": slope(4, 11),
        "DFA_alpha2": slope(12, longest) if (rr.size + 1) / 10 >= 13 else np.nan,
    }


def _entropies(rr: Array, threads: int | None) -> tuple[float, float]:
    """Approximate and sample entropy, m = 2, r = 0.2 SDNN."""
    same, longer, inner = _core.template_matches(rr, 2, 0.2 * rr.std(ddof=1), threads)
    n = rr.size
    approximate = np.log(same[: n - 1] / (n - 1)).mean() - np.log(longer[: n - 2] / (n - 2)).mean()
    b = (inner[: n - 2] - 1).sum()
    a = (longer[: n - 2] - 1).sum()
    if b == 0:
        return approximate, np.nan
    return approximate, float(-np.log(a / b)) if a else np.inf
