"""Resampling and zero-phase filters beside SciPy, soxr and NumPy.

The FIR of ours is flat to 85 % of the lower Nyquist rate and 80 dB down from that rate on; SciPy's
default one (a quarter of the taps) is 6 dB down at Nyquist, soxr's HQ is flat to 91 %.
"""

import numpy as np
from _harness import bench, main, peer
from scipy import signal

import ecgkit as ek
from ecgkit.signal._resample import ratio

X = np.random.default_rng(0).normal(size=(12, 5000)).cumsum(axis=1)
X -= np.linspace(0, 1, 5000) * X[:, -1:]
RATES = ((500, 100), (100, 500), (500, 250), (360, 250), (250, 257), (1000, 128), (500, 400))


def inner(ours, theirs):
    """Largest difference away from the ends, over the largest sample."""
    n = min(ours.shape[-1], theirs.shape[-1])
    cut = slice(n // 5, n - n // 5)
    return float(abs(ours[..., cut] - theirs[..., cut]).max() / abs(theirs).max())


def resampling():
    x = X.astype(np.float32)
    for a, b in RATES:
        up, down = ratio(a, b)
        out = np.empty((12, -(-5000 * up // down)), np.float32)
        columns = np.ascontiguousarray(x.T)
        bench(
            f"resample 12x5000 float32, {a} to {b} Hz",
            {
                "ours": lambda a=a, b=b, out=out: ek.signal.resample(x, a, b, out=out),
                "SciPy resample_poly": lambda up=up, down=down: signal.resample_poly(
                    x, up, down, axis=-1
                ),
                "soxr HQ": peer(
                    "soxr",
                    lambda m, a=a, b=b, columns=columns: lambda: m.resample(columns, a, b).T,
                ),
            },
            check=inner,
            bar={"SciPy resample_poly": 3},
            note="agreement: away from the ends; the filters differ",
        )
    bench(
        "resample 12x5000, linear, 500 to 360 Hz",
        {
            "ours": lambda: ek.signal.resample(X, 500, 360, method="linear"),
            "NumPy interp": lambda: np.stack(
                [np.interp(np.arange(3600) * (500 / 360), np.arange(5000), row) for row in X]
            ),
        },
        check=1e-12,
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


def run():
    filters()
    correlation()
    resampling()


if __name__ == "__main__":
    main(run)
