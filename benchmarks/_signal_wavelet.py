"""Rows of signal.py: wavelet transform, scalograms, stacked scalograms, day-long recordings.

fCWT normalises differently and takes its filters from a table by truncated index: its result is
compared after one factor per row, away from the ends, and the difference (its table's error, about
1e-3) is printed. PyWavelets differentiates an integrated wavelet.
"""

import functools
import sys
from pathlib import Path

import numpy as np
from _harness import Absent, bench, error, peer, quick, wanted

import ecgkit as ek

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
import wavelet_oracle as oracle

FS = 500
rng = np.random.default_rng(0)
RECORD = rng.normal(size=(12, 5000)).cumsum(axis=1).astype(np.float32)
RECORD -= RECORD.mean(axis=1, keepdims=True)
RECORD /= RECORD.std(axis=1, keepdims=True)


def magnitude_error(first, margin):
    """Largest difference of the magnitudes after one factor per row, over the row's maximum.

    Rows from ``first`` on and samples ``margin`` from the ends: what reaches the ends differs by
    the padding.
    """

    def check(ours, theirs):
        a = np.abs(np.asarray(ours))[..., first:, margin:-margin].astype(np.float64)
        b = np.abs(np.asarray(theirs))[..., first:, margin:-margin].astype(np.float64)
        fit = (a * b).sum(axis=-1, keepdims=True) / (b * b).sum(axis=-1, keepdims=True)
        worst = float((abs(a - fit * b) / a.max(axis=-1, keepdims=True)).max())
        assert worst < 0.15, f"not the same transform: {worst}"
        return worst

    return check


def fcwt_rows(x, freqs, threads=1):
    """x (n, time) -> complex (n, freqs ascending, time) by fCWT, objects and output reused."""

    def build(fcwt):
        morlet = fcwt.Morlet(6 / (2 * np.pi))  # their w0 is 2 pi times this
        transform = fcwt.FCWT(morlet, threads, False, False)
        scales = fcwt.Scales(
            morlet, fcwt.FCWT_LOGSCALES, FS, float(freqs[0]), float(freqs[-1]), len(freqs)
        )
        out = np.zeros((len(x), len(freqs), x.shape[1]), np.complex64)

        def run():
            for row, into in zip(x, out):
                transform.cwt(row, scales, into)
            return out[:, ::-1]

        run.keep = morlet  # the C++ objects point at it
        return run

    return build


def pywt_rows(x, freqs):
    def build(pywt):
        wavelet = f"cmor2.0-{6 / (2 * np.pi):.15f}"
        scales = 6 * FS / (2 * np.pi * freqs)

        def run():
            return np.moveaxis(pywt.cwt(x, scales, wavelet, method="fft", axis=-1)[0], 0, 1)

        return run

    return build


def ssqueezepy_rows(x, freqs, fs=FS):
    def build(ssqueezepy):
        wavelet = ssqueezepy.Wavelet(("morlet", {"mu": 6.0}), dtype="float32")
        scales = (6 * fs / (2 * np.pi * freqs[::-1])).astype(np.float32)  # it wants them ascending

        def run():
            return ssqueezepy.cwt(x, wavelet, scales=scales, fs=fs, padtype="reflect")[0][
                ..., ::-1, :
            ]

        return run

    return build


@functools.cache
def formula():
    """The definition in float64 (tests/wavelet_oracle.py) for RECORD at 64 frequencies."""
    return oracle.cwt(RECORD, FS, np.geomspace(0.5, 150, 64))


def errors(cases):
    """Each case's error against the float64 formula, after one factor per row, in words."""
    if not wanted("cwt"):
        return ""
    inside, parts = np.s_[..., 12:, 1500:-1500], []
    want = abs(formula()[inside])
    for name, fn in cases.items():
        if isinstance(fn, Absent):
            continue
        got = np.abs(np.asarray(fn()))[inside].astype(np.float64)
        fit = 1.0
        if name != "ours":
            fit = (got * want).sum(axis=-1, keepdims=True) / (got**2).sum(axis=-1, keepdims=True)
        parts.append(
            f"{name} {(abs(fit * got - want) / want.max(axis=-1, keepdims=True)).max():.1e}"
        )
    return ", ".join(parts)


def scipy_bank(x, freqs, n):
    """The same definition with a filter bank made once: SciPy's FFT, float32."""

    def build(scipy):
        left = (n - x.shape[-1]) // 2
        k = np.arange(n)
        s = 6 * FS / (2 * np.pi * freqs)
        psi = 2 * np.exp(-0.5 * (s[:, None] * 2 * np.pi * k / n - 6) ** 2)
        psi[:, (k == 0) | (k > n // 2)] = 0
        psi = psi.astype(np.float32)
        widths = ((0, 0), (left, n - x.shape[-1] - left))

        def run():
            spectrum = scipy.fft.fft(np.pad(x, widths, mode="reflect"), axis=-1)
            y = scipy.fft.ifft(spectrum[:, None] * psi, axis=-1)
            return y[..., left : left + x.shape[-1]]

        return run

    return build


def full_transform():
    freqs = np.geomspace(0.5, 150, 64)
    out = np.empty((12, 64, 5000), np.complex64)
    cases = {
        "ours": lambda: ek.wavelet.cwt(RECORD, fs=FS, freqs=freqs, out=out),
        "fCWT": peer("fcwt", fcwt_rows(RECORD, freqs)),
        "PyWavelets (fft)": peer("pywt", pywt_rows(RECORD, freqs)),
        "ssqueezepy": peer("ssqueezepy", ssqueezepy_rows(RECORD, freqs)),
        "SciPy FFT bank": peer("scipy.fft", scipy_bank(RECORD, freqs, 10240)),
    }
    bench(
        "cwt 12x5000, 64 frequencies 0.5-150 Hz, complex, output reused",
        cases,
        check=magnitude_error(12, 1500),
        bar={"fCWT": 2.5},
        note="agreement after one factor per row, from 1.5 Hz on, samples 1,500 to 3,500. Largest "
        f"error of the magnitude there against the float64 formula: {errors(cases)} "
        "(fCWT: its filter table looked up by truncated index)",
    )
    image = np.empty((12, 64, 512), np.float32)
    bench(
        "scalogram 12x5000, 64 frequencies 0.5-150 Hz, magnitude at 512 columns",
        {
            "ours": lambda: ek.wavelet.scalogram(RECORD, fs=FS, freqs=freqs, width=512, out=image),
            **{k: v for k, v in cases.items() if k != "ours"},
        },
        check="theirs is the complex transform alone, without magnitude and resize",
        bar={"fCWT": 8},
        note="largest difference from the float64 formula's magnitude, resized: "
        + (
            f"{image_error(freqs, image):.1e} of its largest value"
            if wanted("scalogram 12")
            else ""
        ),
    )


def image_error(freqs, image):
    ek.wavelet.scalogram(RECORD, fs=FS, freqs=freqs, width=512, out=image)
    want = oracle.resized(abs(formula()), 512)
    return abs(image - want).max() / want.max()


def stacked():
    freqs = np.geomspace(1, 100, 64)
    windows = np.ascontiguousarray(RECORD.reshape(12, 10, 500).swapaxes(0, 1).reshape(120, 500))
    out = np.empty((10, 768, 64), np.float32)
    raw = np.empty_like(out)

    def ours():
        return ek.wavelet.stacked_scalogram(RECORD, fs=FS, freqs=freqs, out=out)

    bench(
        "windows' magnitudes 120x500, 64 frequencies 1-100 Hz: agreement",
        {
            "ours": lambda: ek.wavelet.scalogram(windows, fs=FS, freqs=freqs),
            "fCWT": peer("fcwt", fcwt_rows(windows, freqs)),
            "SciPy FFT bank": peer("scipy.fft", scipy_bank(windows, freqs, 1024)),
        },
        check=magnitude_error(48, 150),
        note="agreement from 33 Hz on, samples 150 to 350: fCWT pads 500 samples to 512 only",
    )

    def fcwt_calls(fcwt):
        def run():
            for row in windows:
                fcwt.cwt(row, FS, 1.0, 100.0, 64, nthreads=1, scaling="log")

        return run

    def scipy_chain(scipy):
        transform = scipy_bank(windows, freqs, 1024)(scipy)
        at = (np.arange(64) + 0.5) * 500 / 64 - 0.5
        low = at.astype(int)
        part = (at - low).astype(np.float32)

        def run():
            m = np.abs(transform())
            v = m[..., low] + part * (m[..., low + 1] - m[..., low])
            p = v[:, ::-1].reshape(10, 768, 64)
            floor = p.min(axis=(1, 2), keepdims=True)
            return (p - floor) / (p.max(axis=(1, 2), keepdims=True) - floor)

        return run

    chain = peer("scipy.fft", scipy_chain)
    if callable(chain):
        print(f"stacked scalogram against SciPy's, both float32: {error(ours(), chain()):.1e}")
    bench(
        "stacked scalogram 12x5000 at 500 Hz, 10 windows, 64 frequencies, width 64",
        {
            "ours": ours,
            "fCWT, objects reused": peer("fcwt", fcwt_rows(windows, freqs)),
            "fCWT, cwt() per window": peer("fcwt", fcwt_calls),
            "PyWavelets (fft)": peer("pywt", pywt_rows(windows, freqs)),
            "ssqueezepy": peer("ssqueezepy", ssqueezepy_rows(windows, freqs)),
            "SciPy FFT bank, whole chain": chain,
        },
        check="fCWT and PyWavelets give the complex transform alone; values compared above",
        work=(1, "records"),
        bar={"fCWT, objects reused": 8, "fCWT, cwt() per window": 8},
    )
    small = np.ascontiguousarray(RECORD[:, :1000])
    bench(
        "stacked scalogram of the bundled contract: 12x1000 at 100 Hz, 1-40 Hz",
        {
            "ours": lambda: ek.wavelet.stacked_scalogram(
                small, fs=100, freqs=np.geomspace(1, 40, 64), out=raw
            )
        },
        check="no peer",
        work=(1, "records"),
    )


def holter():
    """Hours of one lead at 250 Hz: what a peer can hold, then a day of ours alone."""
    fs, freqs = 250, np.geomspace(0.5, 100, 64)
    hours = 1 if quick() else 24
    day = np.tile(RECORD[1], hours * 3600 * fs // 5000)
    minutes = np.ascontiguousarray(day[: 10 * 60 * fs])

    def streamed(x):
        def run():
            return max(start for start, _ in ek.wavelet.cwt_blocks(x, fs=fs, freqs=freqs))

        return run

    def pywt_fft(pywt):
        return lambda: pywt.cwt(
            minutes, 6 * fs / (2 * np.pi * freqs), f"cmor2.0-{6 / (2 * np.pi):.15f}", method="fft"
        )[0]

    bench(
        "Holter, 10 minutes of one lead at 250 Hz, 64 frequencies 0.5-100 Hz, complex, in blocks",
        {
            "ours": streamed(minutes),
            "ssqueezepy": peer("ssqueezepy", ssqueezepy_rows(minutes, freqs, fs)),
            "PyWavelets (fft)": peer("pywt", pywt_fft),
        },
        check="the peers hold the whole result; joints and values: tests/test_wavelet_long.py",
        work=(1 / 6, "hours"),
    )
    for what, run in (
        ("complex, in blocks", streamed(day)),
        (
            "scalogram at 86,400 columns, in blocks",
            lambda: sum(
                m.shape[-1]
                for _, m in ek.wavelet.scalogram_blocks(day, fs=fs, freqs=freqs, width=86_400)
            ),
        ),
    ):
        bench(
            f"Holter, {hours} hours of one lead at 250 Hz, 64 frequencies 0.5-100 Hz, {what}",
            {"ours": run},
            check="ssqueezepy and PyWavelets would need 11 GB for the result and as much for work",
            work=(hours, "hours"),
            note=f"resident memory of the process so far, at most: {peak():,.0f} MiB",
        )


def peak():
    """MiB that this process has ever had resident (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
