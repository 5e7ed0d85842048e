"""Rows of signal.py: medians, zero-phase filters, resampling, correlation, ECGFounder's contract.

The FIR of ours is flat to 85 % of the lower Nyquist rate and 80 dB down from that rate on; SciPy's
default one (a quarter of the taps) is 6 dB down at Nyquist, soxr's HQ is flat to 91 %.
"""

import numpy as np
from _harness import bench, peer, wanted
from scipy import signal

import ecgkit as ek
from ecgkit.signal._resample import ratio

X = np.random.default_rng(0).normal(size=(12, 5000)).cumsum(axis=1)
X -= np.linspace(0, 1, 5000) * X[:, -1:]
MEDIAN_OF = np.random.default_rng(0).normal(size=(12, 5000)).cumsum(axis=1).astype(np.float32)
RATES = (128, 250, 257, 360, 400, 500, 1000)
PAIRS = [(a, b) for a in RATES for b in RATES if a != b]


def inner(ours, theirs):
    """Largest difference away from the ends, over the largest sample."""
    n = min(ours.shape[-1], theirs.shape[-1])
    cut = slice(n // 5, n - n // 5)
    return float(abs(ours[..., cut] - theirs[..., cut]).max() / abs(theirs).max())


def tone_figures(function, a, b):
    """Pass-band ripple and what comes out beside the tones (dB) of a resampler from a to b Hz.

    Tones up to 0.85 of the lower Nyquist rate; alias: also those from the lower Nyquist rate on,
    of which nothing should be left.
    """
    n, low = 8 * max(a, b), min(a, b) / 2
    ripple, beside = 0.0, 0.0
    for share in (0.05, 0.3, 0.6, 0.8, 0.85, 1.0, 1.05, 1.2, 1.5, 1.9):
        f = share * low
        if f >= 0.99 * a / 2:
            continue
        y = np.asarray(function(np.sin(2 * np.pi * f * np.arange(n) / a)))
        t = np.arange(len(y)) / b
        cut = slice(len(y) // 4, -len(y) // 4)
        if share > 0.9:
            beside = max(beside, np.sqrt(2 * np.mean(y[cut] ** 2)))
            continue
        basis = np.stack([np.sin(2 * np.pi * f * t), np.cos(2 * np.pi * f * t)], axis=1)[cut]
        fit, *_ = np.linalg.lstsq(basis, y[cut], rcond=None)
        ripple = max(ripple, abs(20 * np.log10(np.hypot(*fit))))
        beside = max(beside, np.sqrt(2 * np.mean((y[cut] - basis @ fit) ** 2)))
    return f"{ripple:.4f} / {20 * np.log10(beside):.0f} dB"


def figures(a, b):
    up, down = ratio(a, b)
    functions = {
        "ours": lambda x: ek.signal.resample(x, a, b),
        "soxr": peer("soxr", lambda m: lambda x: m.resample(x, a, b)),
        "SciPy": lambda x: signal.resample_poly(x, up, down),
    }
    return ", ".join(f"{k} {tone_figures(f, a, b)}" for k, f in functions.items() if callable(f))


def resampling():
    x = X.astype(np.float32)
    columns = np.ascontiguousarray(x.T)
    for a, b in PAIRS:
        up, down = ratio(a, b)
        name = f"resample 12x5000 float32, FIR, {a} to {b} Hz"
        if not wanted(name):
            continue
        out = np.empty((12, -(-5000 * up // down)), np.float32)
        bench(
            name,
            {
                "ours": lambda a=a, b=b, out=out: ek.signal.resample(x, a, b, out=out),
                "SciPy resample_poly": lambda up=up, down=down: signal.resample_poly(
                    x, up, down, axis=-1
                ),
                "soxr HQ": peer("soxr", lambda m, a=a, b=b: lambda: m.resample(columns, a, b).T),
            },
            check=inner,
            min_time=0.1,
            bar={"SciPy resample_poly": 3},
            note="agreement away from the ends, the filters differ; pass-band ripple to 0.85 of "
            f"the lower Nyquist rate / largest alias or image: {figures(a, b)}",
        )
    for a, b in ((500, 250), (360, 250), (250, 500)):
        up, down = ratio(a, b)
        bench(
            f"resample 12x5000 float64, FIR, {a} to {b} Hz",
            {
                "ours": lambda a=a, b=b: ek.signal.resample(X, a, b),
                "SciPy resample_poly": lambda up=up, down=down: signal.resample_poly(
                    X, up, down, axis=-1
                ),
            },
            check=inner,
            bar=3,
        )
    for a, b in ((500, 250), (1000, 400), (250, 500)):
        m = 5000 * b // a
        bench(
            f"resample 12x5000 float64, fft, {a} to {b} Hz",
            {
                "ours": lambda a=a, b=b: ek.signal.resample(X, a, b, method="fft"),
                "SciPy resample": lambda m=m: signal.resample(X, m, axis=-1),
            },
            check=1e-9,
            bar=3,
        )
    for a, b in ((500, 360), (250, 257), (128, 1000)):
        m = -(-5000 * b // a)
        at = np.arange(m) * (a / b)
        bench(
            f"resample 12x5000 float64, linear, {a} to {b} Hz",
            {
                "ours": lambda a=a, b=b: ek.signal.resample(X, a, b, method="linear"),
                "NumPy interp": lambda at=at: np.stack(
                    [np.interp(at, np.arange(5000), row) for row in X]
                ),
            },
            check=1e-11,
            bar=3,
        )


def filters():
    b, a = signal.butter(4, [0.67, 40], "bandpass", fs=500)
    sos = signal.butter(4, [0.67, 40], "bandpass", fs=500, output="sos")
    notch = signal.iirnotch(50, 30, fs=500)
    for name, ours, theirs in (
        ("filtfilt, band-pass of order 8", ek.signal.filtfilt, signal.filtfilt),
        ("filtfilt, notch", ek.signal.filtfilt, signal.filtfilt),
        ("sosfiltfilt, band-pass of 4 sections", ek.signal.sosfiltfilt, signal.sosfiltfilt),
    ):
        args = (sos,) if "sos" in name else notch if "notch" in name else (b, a)
        out = np.empty_like(X)
        bench(
            f"{name}, 12x5000 float64",
            {
                "ours": lambda ours=ours, args=args, out=out: ours(*args, X, out=out),
                "SciPy": lambda theirs=theirs, args=args: theirs(*args, X, axis=-1),
            },
            check=1e-10,
            bar=3,
        )


def correlation():
    x, y, lags = X[:11], X[1:], 250
    x, y = (v - v.mean(axis=1, keepdims=True) for v in (x, y))
    x, y = (v / np.sqrt((v**2).sum(axis=1, keepdims=True)) for v in (x, y))
    middle = slice(5000 - 1 - lags, 5000 + lags)
    bench(
        "correlate, 11x5000 float64, lags to 250",
        {
            "ours": lambda: ek.signal.correlate(x, y, max_lag=lags),
            "SciPy correlate (fft), centred rows": lambda: np.stack(
                [signal.correlate(b, a, method="fft")[middle] for a, b in zip(x, y)]
            ),
        },
        check=1e-10,
        bar=4,
    )
    bench(
        "autocorrelate, 11x5000 float64, lags to 500",
        {
            "ours": lambda: ek.signal.autocorrelate(x, max_lag=500),
            "SciPy correlate (fft), centred rows": lambda: np.stack(
                [signal.correlate(a, a, method="fft")[4999:5500] for a in x]
            ),
        },
        check=1e-10,
        bar=4,
    )
    peaks = np.arange(200, 4800, 400)

    def by_pearson(stats):
        def run():
            out = {}
            for name, (start, end) in ek.signal.SEGMENTS.items():
                parts = [(p + round(500 * start), p + round(500 * end)) for p in peaks]
                out[name] = [
                    np.mean([stats.pearsonr(a[i:j], b[i:j]).statistic for i, j in parts if i >= 0])
                    for a, b in zip(x, y)
                ]
            return np.array(list(out.values()))

        return run

    bench(
        "conserved segments, 11 leads x 5000, 12 beats, 5 segments",
        {
            "ours": lambda: np.array(
                list(ek.signal.conserved_segments(x, y, fs=500, peaks=peaks).values())
            ),
            "SciPy pearsonr": peer("scipy.stats", lambda m: by_pearson(m.stats)),
        },
        check=1e-10,
        bar=4,
    )


def medians():
    for t, size in ((1000, 21), (1000, 61), (5000, 101), (5000, 301), (5000, 601)):
        x = np.ascontiguousarray(MEDIAN_OF[:, :t])
        out = np.empty_like(x)
        half = size // 2

        def interior(ours, theirs, t=t, half=half):
            a = np.asarray(ours)[:, half : t - half]
            b = np.asarray(theirs)
            b = b[:, 2 * half :] if np.isnan(b[0, 0]) else b[:, half : t - half]
            assert np.array_equal(a, b)
            return 0.0

        bench(
            f"median filter 12x{t:,}, window {size}",
            {
                "ours": lambda x=x, size=size, out=out: ek.signal.median_filter(x, size, out=out),
                "Bottleneck move_median": peer(
                    "bottleneck", lambda m, x=x, size=size: lambda: m.move_median(x, size)
                ),
                "SciPy medfilt": peer(
                    "scipy.signal",
                    lambda m, x=x, size=size: (
                        lambda: np.array([m.signal.medfilt(row, size) for row in x])
                    ),
                ),
                "SciPy ndimage": peer(
                    "scipy.ndimage",
                    lambda m, x=x, size=size: (
                        lambda: np.array([m.ndimage.median_filter(row, size) for row in x])
                    ),
                ),
            },
            check=interior,
            bar=1.5,
        )


def contract():
    """ECGFounder's preprocessing, whole, as its repository does it in SciPy."""
    x = X / 50
    single = x.astype(np.float32)
    chain = ek.models.ecgfounder_contract()
    notch = signal.iirnotch(50, 30, 500)
    band = signal.butter(4, [0.67, 40], "bandpass", fs=500)

    def authors():
        y = np.nan_to_num(x)
        for b, a in (notch, band):
            y = signal.filtfilt(b, a, y)
        y = y - np.stack([signal.medfilt(row, 201) for row in y])
        return (y - y.mean()) / (y.std() + 1e-8)

    bench(
        "ECGFounder's contract, 12x5000: notch, band-pass, median baseline, z-score",
        {"ours": lambda: chain.prepare(single, 500)[0][0], "the authors' SciPy chain": authors},
        check=1e-5,
        bar=5,
        note="golden values: tests/test_contract_ecgfounder.py",
    )
