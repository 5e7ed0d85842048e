"""The wavelet transform from its definition, in NumPy and float64: the witness of the kernels."""

import numpy as np


def good_size(n):
    sizes = [m << a for m in (1, 3, 5) for a in range(32)]
    return min(s for s in sizes if s >= n)


def padded(x, pad):
    """The extended signal and where x begins in it."""
    t = x.shape[-1]
    if pad == "periodic":
        return x, 0
    n = good_size(2 * t)
    left = (n - t) // 2
    width = [(0, 0)] * (x.ndim - 1) + [(left, n - t - left)]
    if pad == "zero":
        return np.pad(x, width), left
    return np.pad(x, width, mode="reflect" if t > 1 else "edge"), left


def cwt(x, fs, freqs, w0=6.0, pad="reflect"):
    x = np.asarray(x, np.float64)
    t = x.shape[-1]
    e, left = padded(x, pad)
    n = e.shape[-1]
    k = np.arange(n)
    spectrum = np.fft.fft(e)
    s = w0 * fs / (2 * np.pi * np.asarray(freqs))
    psi = 2 * np.exp(-0.5 * (s[:, None] * 2 * np.pi * k / n - w0) ** 2)
    psi[:, (k == 0) | (k > n // 2)] = 0
    return np.fft.ifft(spectrum[..., None, :] * psi)[..., left : left + t]


def resized(m, width):
    t = m.shape[-1]
    at = np.clip((np.arange(width) + 0.5) * t / width - 0.5, 0, t - 1)
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, t - 1)
    return m[..., low] + (at - low) * (m[..., high] - m[..., low])


def minmax(v):
    low, high = v.min(), v.max()
    return (v - low) / (high - low) if high > low else np.zeros_like(v)


def area(v, m):
    """Mean of v over m equal parts of its first axis."""
    n = v.shape[0]
    total = np.concatenate([np.zeros((1, *v.shape[1:])), np.cumsum(v, axis=0)])
    edge = np.arange(m + 1) * n / m
    low = np.minimum(np.floor(edge).astype(int), n - 1)
    part = (edge - low).reshape(-1, *[1] * (v.ndim - 1))
    integral = total[low] + part * v[low]
    return np.diff(integral, axis=0) * m / n


def jet(v):
    i = np.clip(np.floor(v * 256), 0, 255)
    return np.stack([np.clip(1.5 - abs(4 * i / 255 - c), 0, 1) for c in (3, 2, 1)])


def stacked(
    x, fs, freqs, *, window=1.0, width=64, w0=6.0, pad="reflect", power=False, cwt_first=False,
    scale="minmax", image=None, colormap=None,
):  # fmt: skip
    """One record (lead, time)."""
    size = round(window * fs)
    windows = x.shape[-1] // size
    whole = abs(cwt(x, fs, freqs, w0, pad)) if cwt_first else None
    result = []
    for w in range(windows):
        part = slice(w * size, (w + 1) * size)
        m = whole[..., part] if cwt_first else abs(cwt(x[:, part], fs, freqs, w0, pad))
        p = resized(m**2 if power else m, width)[:, ::-1]
        if scale == "lead":
            p = np.stack([minmax(v) for v in p])
        p = p.reshape(-1, width)
        if image is not None:
            p = area(area(p, image[0]).T, image[1]).T
        if scale == "minmax":
            p = minmax(p)
        if image is not None:
            p = jet(p) if colormap == "jet" else np.stack([p] * 3)
            mean, deviation = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
            p = (p - mean[:, None, None]) / deviation[:, None, None]
        result.append(p)
    return np.array(result)
