"""The delineator transcribed in NumPy, float64, one record in one piece: the oracle of the C code.

Weights as ``csrc/dsp/delineate_net.h`` lays them out.
"""

import numpy as np

A, B = 16, 32
CLASS = np.array([2, 0, 3, 0, 1, 0, 2])  # of the states QRS, ST, T, TP, P, PQ, next QRS
BEFORE = {1: [0], 2: [0, 1], 3: [0, 2], 4: [3, 2], 5: [4], 6: [3, 4, 5]}


def unpack(w):
    at = 0

    def take(*shape):
        nonlocal at
        part = w[at : at + int(np.prod(shape))].reshape(shape).astype(np.float64)
        at += part.size
        return part

    def block(ch, taps):
        return take(taps, ch), take(ch, ch), take(ch)

    def linear(cin, cout):
        return take(cin, cout), take(cout)

    net = {"stem": take(15, A), "phase1": linear(3, 32), "phase2": linear(32, A)}
    net |= {"b1": block(A, 7), "d1": linear(A, B), "b2": block(B, 9), "d2": linear(B, B)}
    net |= {"mix": take(B, B), "b3": block(B, 9), "b4": block(B, 9), "b5": block(B, 9)}
    net |= {"u2": linear(B, B), "b6": block(B, 9), "u1": linear(B, A), "b7": block(A, 7)}
    net |= {"head": linear(A, 4), "entry": take(2), "late": take(9)}
    assert at == w.size
    return net


def at_250(x, fs):
    """Samples at 250 Hz: the mean over one output interval, or a cubic from a lower rate."""
    x = x - x[0]
    step, t = fs / 250, len(x)
    i = np.arange(int((t - 1) * 250 / fs) + 1)
    if step > 1:
        total = np.concatenate([[0], np.cumsum(x)])

        def before(at):
            s = np.minimum(at.astype(int), t - 1)
            return total[s] + (at - s) * x[s]

        a = np.maximum(i * step + 0.5 - 0.5 * step, 0)
        b = np.minimum(i * step + 0.5 + 0.5 * step, t)
        return (before(b) - before(a)) / (b - a)
    s = np.minimum((i * step).astype(int), t - 1)
    u = np.minimum(i * step - s, 1)
    p0, p1, p2, p3 = (x[np.clip(s + k, 0, t - 1)] for k in (-1, 0, 1, 2))
    curve = 2 * p0 - 5 * p1 + 4 * p2 - p3 + u * (3 * (p1 - p2) + p3 - p0)
    return p1 + 0.5 * u * (p2 - p0 + u * curve)


def box(x):
    total = np.concatenate([[0], np.cumsum(np.pad(x, 125, mode="edge"))])
    return (total[251:] - total[:-251]) / 251


def conv_block(x, weights):
    depth, point, bias = weights
    taps = len(depth)
    padded = np.pad(x, ((taps // 2, taps // 2), (0, 0)))
    mid = sum(depth[k] * padded[k : k + len(x)] for k in range(taps))
    return x + np.maximum(mid @ point + bias, 0)


def scores(y, beats, net):
    """y (lead, n) above the baseline and scaled, beats at 250 Hz -> (lead, bins, 4)."""
    n4 = -(-y.shape[1] // 8)
    y = np.pad(y, ((0, 0), (0, 8 * n4 - y.shape[1])), mode="edge")
    at = 2.0 * np.arange(4 * n4)
    k = np.searchsorted(beats, at, side="right")
    inside = np.concatenate([[-1e9], beats, [1e9]])
    since, until = (
        np.minimum((at - inside[k]) / 250, 1.2),
        np.minimum((inside[k + 1] - at) / 250, 1.2),
    )
    when = np.stack([since, until, np.minimum(since + until, 2.0)], 1)
    hidden = np.maximum(when @ net["phase1"][0] + net["phase1"][1], 0)
    phase = hidden @ net["phase2"][0] + net["phase2"][1]
    rows = []
    for z in np.pad(y, ((0, 0), (7, 8))):
        h = sum(net["stem"][c] * z[c : c + 8 * n4 : 2, None] for c in range(15))
        h1 = conv_block(np.maximum(h + phase, 0), net["b1"])
        h2 = conv_block((h1[::2] + h1[1::2]) @ net["d1"][0] + net["d1"][1], net["b2"])
        rows.append((h1, h2, (h2[::2] + h2[1::2]) @ net["d2"][0] + net["d2"][1]))
    add = np.mean([h3 for _, _, h3 in rows], 0) @ net["mix"]
    out = []
    for h1, h2, h3 in rows:
        h3 = np.maximum(h3 + add, 0)
        for name in ("b3", "b4", "b5"):
            h3 = conv_block(h3, net[name])
        h2 = h2 + np.repeat(h3 @ net["u2"][0] + net["u2"][1], 2, 0)
        h2 = conv_block(h2, net["b6"])
        h1 = h1 + np.repeat(h2 @ net["u1"][0] + net["u1"][1], 2, 0)
        out.append(conv_block(h1, net["b7"]) @ net["head"][0] + net["head"][1])
    return np.array(out)


def best_path(e, first, last, entry):
    n = len(e)
    total = np.full(7, -np.inf)
    total[first] = e[0, CLASS[first]]
    before = np.zeros((n, 7), int)
    gain = np.array([0, 0, entry[1], 0, entry[0], 0, 0])
    for i in range(1, n):
        new = np.empty(7)
        for s in range(7):
            most, before[i, s] = total[s], s
            for q in BEFORE.get(s, []):
                if total[q] + gain[s] > most:
                    most, before[i, s] = total[q] + gain[s], q
            new[s] = most + e[i, CLASS[s]]
        total = new
    path = np.empty(n, int)
    state = max(last, key=lambda s: total[s])
    for i in range(n - 1, -1, -1):
        path[i] = state
        state = before[i, state]
    return path


def bounds(score, beats, net):
    """(beat, 3 waves, 2) at 250 Hz from the scores of one lead, NaN where absent."""
    n, bins = len(beats), len(score)
    e = np.maximum(score - score.max(1, keepdims=True), -8)
    r = np.clip(np.rint(beats / 2).astype(int), 0, bins - 1)
    out = np.full((n + 1, 3, 2), np.nan)  # the last row takes what no beat owns

    def cross(i, c, d):
        before, after = score[i - 1, d] - score[i - 1, c], score[i, d] - score[i, c]
        if after <= before:
            return 2 * (i - 0.5)
        return 2 * (i - 1 + np.clip(-before / (after - before), 0, 1))

    parts = [(max(r[0] - 250, 0), r[0], [2, 3, 4, 5, 6], [6], -1, 0)]
    parts += [(r[i], r[i + 1], [0], [6], i, i + 1) for i in range(n - 1)]
    parts += [(r[-1], min(r[-1] + 250, bins - 1), [0], [0, 1, 2, 3, 4, 5], n - 1, -1)]
    for lo, hi, first, last, left, right in parts:
        if hi <= lo:
            continue
        path = best_path(e[lo : hi + 1], first, last, net["entry"])
        for i in np.flatnonzero(np.diff(path)) + 1:
            s, d = path[i - 1], path[i]
            at = cross(lo + i, CLASS[s], CLASS[d])
            if s == 0:
                out[left, 1, 1] = at
            if d == 2:
                out[left, 2, 0] = at
            if s == 2 and left >= 0:
                out[left, 2, 1] = at
            if d == 4:
                out[right, 0, 0] = at
            if s == 4:
                out[right, 0, 1] = at
            if d == 6:
                out[right, 1, 0] = at
    out = out[:-1]
    out[~(out[..., 1] > out[..., 0])] = np.nan
    out[out[:, 1, 1] - out[:, 1, 0] < 0.024 * 250, 1] = np.nan
    return out


def bump_peak(y, onset, offset):
    h = 0.5 + 0.5 * np.cos(np.pi * np.arange(-5, 6) / 6)
    smooth = np.convolve(np.pad(y, 5, mode="edge"), h / h.sum(), "valid")
    a, b = int(np.rint(onset)), min(int(np.rint(offset)), len(y) - 1)
    d = smooth[a : b + 1] - np.linspace(smooth[a], smooth[b], b - a + 1)
    i = 1 + int(np.argmax(np.abs(d[1:-1])))
    bend = d[i - 1] - 2 * d[i] + d[i + 1]
    return a + i + (np.clip(0.5 * (d[i - 1] - d[i + 1]) / bend, -0.5, 0.5) if bend else 0.0)


def qrs_peak(x, a, b):
    d = x[a : b + 1] - np.linspace(x[a], x[b], b - a + 1)
    top, bottom = max(d.max(), 0), min(d.min(), 0)
    if not top > -0.03 * bottom:
        return a + int(np.argmin(d))
    best, high = 0.0, 0
    for i, v in enumerate(d):
        if best >= 0.45 * top and v < best - 0.1 * top:
            break
        if v > best:
            best, high = v, i
    return a + high


def delineate(x, fs, beats, w):
    """Points (beat, lead, 3, 3) of x (lead, time), -1 where absent."""
    net = unpack(w)
    x = np.asarray(x, np.float64)
    y = np.array([at_250(row, fs) for row in x])
    z = np.array([row - box(box(row)) for row in y])
    at = np.minimum(np.asarray(beats) * (250 / fs), y.shape[1] - 1)
    ranges = [[np.ptp(row[max(int(b) - 20, 0) : int(b) + 21]) for b in at] for row in z]
    score = scores(z / np.median(ranges, 1)[:, None], at, net)
    out = np.full((len(at), len(x), 3, 3), -1)
    late, step = 250 * net["late"].reshape(3, 3), fs / 250
    for lead in range(len(x)):
        for k, beat in enumerate(bounds(score[lead], at, net)):
            for wave, (on, off) in enumerate(beat):
                if np.isnan(on):
                    continue
                on, off = on - late[wave, 0], off - late[wave, 2]
                a, b = int(np.rint(on * step)), int(np.rint(off * step))
                if a < 0 or b >= x.shape[1] or b - a < 2:
                    continue
                if wave == 1:
                    peak = qrs_peak(x[lead], a, b)
                else:
                    peak = int(np.rint((bump_peak(y[lead], on, off) - late[wave, 1]) * step))
                out[k, lead, wave] = a, min(max(peak, a + 1), b - 1), b
    return out
