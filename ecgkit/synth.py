"""A 12-lead ECG simulator, for use where no recording is at hand.

The heart is a dipole whose three coordinates are sums of Gaussian bumps around a limit cycle: the
dynamical model of McSharry, Clifford, Tarassenko and Smith (IEEE Trans Biomed Eng 50, 2003,
289-294) with the vector parameters of Sameni, Clifford, Jutten and Shamsollahi (Multichannel ECG
and noise modeling, EURASIP J Adv Signal Process 2007, 43407, table 1, adult). Dower's matrix
(Dower, Machado and Osborne, Clin Cardiol 3, 1980, 87-95) turns the dipole into leads.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ._typing import Array
from .errors import LayoutError, LeadError
from .record import STANDARD_LEADS, Record, canonical_lead, check_fs

# Per coordinate (x to the left, y to the feet, z to the back): centre in rad, height in mV, width
# in rad. R is at angle 0; the last bump of each is what is left of the T wave before the next P.
_X = (
    (-1.09, -0.83, -0.19, -0.07, 0.0, 0.06, 0.22, 1.2, 1.42, 1.68, 2.9),
    (0.03, 0.08, -0.13, 0.85, 1.11, 0.75, 0.06, 0.1, 0.17, 0.39, 0.03),
    (0.0906, 0.1057, 0.0453, 0.0378, 0.0332, 0.0302, 0.0378, 0.604, 0.302, 0.1812, 0.5),
)
_Y = (
    (-1.1, -0.9, -0.76, -0.11, -0.01, 0.065, 0.8, 1.58, 2.9),
    (0.035, 0.015, -0.019, 0.32, 0.51, -0.32, 0.04, 0.08, 0.014),
    (0.07, 0.07, 0.04, 0.055, 0.037, 0.0604, 0.45, 0.3, 0.5),
)
_Z = (
    (-1.1, -0.93, -0.7, -0.4, -0.15, 0.095, 1.05, 1.25, 1.55, 2.8),
    (-0.03, -0.14, -0.035, 0.045, -0.4, 0.46, -0.12, -0.2, -0.35, -0.035),
    (0.03, 0.12, 0.04, 0.4, 0.045, 0.05, 0.8, 0.4, 0.2, 0.4),
)
_P_END, _T_START = -0.45, 0.5  # angles that part the P wave, the QRS complex and the T wave
_MODEL_RR = 0.9  # s: at this RR an angle is that share of a turn in time

_INDEPENDENT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
_DOWER = np.array(
    [
        [0.632, -0.235, 0.059],
        [0.235, 1.066, -0.132],
        [-0.515, 0.157, -0.917],
        [0.044, 0.164, -1.387],
        [0.882, 0.098, -1.277],
        [1.213, 0.127, -0.601],
        [1.125, 0.127, -0.086],
        [0.831, 0.076, 0.230],
    ]
)
_FIBRILLATION = np.array([0.01, 0.03, -0.06])  # mV: direction and size of f waves (large in V1, II)


def ecg(
    duration: float = 10,
    fs: float = 500,
    heart_rate: float = 70,
    *,
    rhythm: str = "sinus",
    hrv: float = 0.03,
    leads: Sequence[str] = STANDARD_LEADS,
    noise: float = 0.0,
    seed: int = 0,
) -> Record:
    """A simulated ECG.

    Parameters
    ----------
    duration : float
        Seconds.
    fs : float
        Rate in Hz; below 100 Hz the QRS complex is under-sampled.
    heart_rate : float
        Mean rate, 20 to 250 beats per minute. P-R and QRS keep their durations, the QT interval
        follows the square root of RR.
    rhythm : {"sinus", "af"}
        ``"af"``: atrial fibrillation: independent RR intervals with a coefficient of variation of
        0.2, no P waves, f waves of 4 to 8 Hz instead.
    hrv : float
        Standard deviation of RR over mean RR in sinus rhythm, 0 to 0.2: two spectral humps, 0.1 Hz
        and (respiration) 0.25 Hz, with a power ratio of 0.5, as in the 2003 model.
    leads : sequence of str
        Of the standard twelve, in any order.
    noise : float
        RMS of added noise in mV per independent lead (I, II, V1..V6): white noise and slow baseline
        wander in equal parts. The other limb leads follow from I and II, so Einthoven's law holds.
    seed : int
        Same arguments, same samples.

    Returns
    -------
    Record
        In mV. ``labels["rhythm"]`` is the rhythm; ``meta`` holds ``format``, ``source`` and
        ``r_times``: the instants of the R peaks (the model's angle 0) in seconds.

    Raises
    ------
    LeadError
        A lead is not one of the standard twelve.
    RateError, LayoutError, ValueError
        ``fs`` is not positive; fewer than one sample; another argument is outside its range.

    Examples
    --------
    >>> rec = ek.synth.ecg(heart_rate=60, noise=0.02)
    >>> rec.signal.shape
    (12, 5000)
    """
    rate = check_fs(fs)
    names = [canonical_lead(str(name)) for name in ([leads] if isinstance(leads, str) else leads)]
    unknown = [name for name in names if name not in STANDARD_LEADS]
    if unknown:
        raise LeadError(
            f"synth.ecg: no lead {', '.join(unknown)}; there are {' '.join(STANDARD_LEADS)}"
        )
    _check("heart_rate", heart_rate, 20, 250, "beats per minute")
    _check("hrv", hrv, 0, 0.2, "of the mean RR")
    _check("noise", noise, 0, 100, "mV")
    _check("duration", duration, 0, 1e6, "seconds")
    if rhythm not in ("sinus", "af"):
        raise ValueError(f"synth.ecg: rhythm must be 'sinus' or 'af', got {rhythm!r}")
    n = round(duration * rate)
    if n < 1:
        raise LayoutError(f"synth.ecg: {duration:g} s at {rate:g} Hz hold no sample")
    rng = np.random.default_rng(seed)
    time = np.arange(n) / rate
    beats = _beat_times(duration, 60.0 / heart_rate, rhythm, hrv, rng)
    dipole = np.stack([_coordinate(time, beats, bumps, rhythm) for bumps in (_X, _Y, _Z)])
    if rhythm == "af":
        dipole += _FIBRILLATION[:, None] * _f_wave(time, rng)
    signal = _DOWER @ dipole
    if noise > 0:
        signal += noise * np.sqrt(0.5) * rng.normal(size=signal.shape)
        signal += noise * np.sqrt(0.5) * _wander(time, len(signal), rng)
    inside = beats[(beats >= 0) & (beats < n / rate)]
    return Record(
        _twelve(signal, names),
        rate,
        names,
        labels={"rhythm": rhythm},
        meta={"format": "simulated", "source": "ecgkit.synth.ecg", "r_times": inside.tolist()},
    )


def _check(name: str, value: float, low: float, high: float, unit: str) -> None:
    if not low <= value <= high:
        raise ValueError(f"synth.ecg: {name} must be {low:g} to {high:g} {unit}, got {value!r}")


def _beat_times(
    duration: float, rr: float, rhythm: str, hrv: float, rng: np.random.Generator
) -> Array:
    """R peaks from before the start to after the end."""
    if rhythm == "af":
        shortest = 0.6 * rr  # the atrioventricular node does not conduct sooner
        intervals = shortest + rng.gamma(4.0, 0.1 * rr, size=int(duration / shortest) + 8)
        return np.cumsum(intervals) - 2.5 * rr
    grid = np.arange(-3 * rr, duration + 4 * rr, 0.125)
    wave = _humps(grid.size, 0.125, rng)
    intervals = np.maximum(rr * (1 + hrv * wave), 0.3 * rr)
    turns = np.concatenate([[0.0], np.cumsum(0.125 / intervals[:-1])])
    return np.interp(np.arange(0.5, turns[-1]), turns, grid)


def _humps(n: int, step: float, rng: np.random.Generator) -> Array:
    """Unit-variance process with a spectrum of two Gaussian humps, at 0.1 and 0.25 Hz."""
    f = np.fft.rfftfreq(max(n, 512), step)
    power = 0.5 * np.exp(-0.5 * ((f - 0.1) / 0.01) ** 2) + np.exp(-0.5 * ((f - 0.25) / 0.01) ** 2)
    spectrum = np.sqrt(power) * np.exp(2j * np.pi * rng.random(f.size))
    spectrum[0] = 0.0
    wave = np.fft.irfft(spectrum, max(n, 512))
    return wave[:n] / wave.std()


def _coordinate(time: Array, beats: Array, bumps, rhythm: str) -> Array:
    """One coordinate of the dipole: the bumps of the nearest beat and of its two neighbours."""
    nearest = np.searchsorted(0.5 * (beats[1:] + beats[:-1]), time)
    rr = np.diff(beats, prepend=2 * beats[0] - beats[1])  # to each beat, from the one before
    following = np.append(rr[1:], rr[-1])
    total = np.zeros_like(time)
    for angle, height, width in zip(*bumps):
        if angle < _P_END:
            if rhythm == "af":
                continue
            stretch = np.ones_like(rr)
        elif angle < _T_START:
            stretch = np.ones_like(rr)
        else:
            stretch = np.sqrt(np.minimum(rr, following) / _MODEL_RR)
        seconds = _MODEL_RR / (2 * np.pi) * stretch
        for k in (-1, 0, 1):
            beat = np.clip(nearest + k, 0, len(beats) - 1)
            from_centre = time - beats[beat] - angle * seconds[beat]
            total += height * np.exp(-0.5 * (from_centre / (width * seconds[beat])) ** 2)
    return total


def _f_wave(time: Array, rng: np.random.Generator) -> Array:
    """Fibrillatory waves: a sawtooth-like tone whose frequency and size drift slowly."""
    knots = np.arange(0, time[-1] + 2.0, 0.5)
    hertz = np.interp(time, knots, np.clip(6.0 + 0.8 * rng.normal(size=knots.size), 4.0, 8.0))
    size = np.interp(time, knots, 1.0 + 0.25 * rng.normal(size=knots.size))
    step = time[1] - time[0] if time.size > 1 else 0.0
    phase = 2 * np.pi * np.cumsum(hertz) * step
    return size * (np.sin(phase) + 0.5 * np.sin(2 * phase) + 0.25 * np.sin(3 * phase))


def _wander(time: Array, n: int, rng: np.random.Generator) -> Array:
    """Unit-RMS sums of slow sines, one per lead."""
    f = np.array([0.05, 0.12, 0.25, 0.33])
    phase = rng.uniform(0, 2 * np.pi, size=(n, f.size))
    size = rng.normal(size=(n, f.size))
    size *= np.sqrt(2 / (size**2).sum(axis=1, keepdims=True))
    return np.einsum("nf,nft->nt", size, np.sin(2 * np.pi * f[:, None] * time + phase[..., None]))


def _twelve(signal: Array, names: Sequence[str]) -> Array:
    """The named leads from the eight independent ones."""
    lead = dict(zip(_INDEPENDENT, signal))
    i, ii = lead["I"], lead["II"]
    lead |= {"III": ii - i, "aVR": -0.5 * (i + ii), "aVL": i - 0.5 * ii, "aVF": ii - 0.5 * i}
    return np.stack([lead[name] for name in names])
