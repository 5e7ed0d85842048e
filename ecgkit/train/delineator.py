"""The network of :func:`ecgkit.signal.delineate`: trained on LUDB, folded, exported.

    python -m ecgkit.train.delineator LUDB_FOLDER --out OUT    four folds, then all patients

LUDB: Kalyakulina et al., IEEE Access 8, 2020, 186181; 200 patients, each lead annotated. Patients
are split four ways by ``numpy.random.default_rng(7).permutation(200)``; a fold's network never sees
its fifty. About 13,000 weights, 1,000 to 1,400 steps of 48 leads, some ten minutes on one core.
Batch norms are folded into the layers, mean offsets of the points on held-out patients are
subtracted, and the result is one row of floats as ``csrc/dsp/delineate_net.h`` lays it out.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import _core, signal
from .._extras import need
from .._typing import Array

EPOCHS, ROWS, PEAK_RATE, DECAY = 60, 48, 6e-3, 1e-3
FOLDS = 4
ENTRY = (-2.0, 0.0)
"""What a P and a T wave gain by being there; P's was set on the cross-validated results."""


@dataclass(frozen=True)
class Patient:
    """Signal at 250 Hz and at 500 Hz, R peaks at 250 Hz, marks (wave, onset, peak, offset)."""

    slow: Array
    fast: Array
    beats: Array
    marks: list[Array]


def read_ludb(root: Path) -> list[Patient]:
    """All patients of LUDB in the order of their numbers."""
    wfdb = need("wfdb", "io", "training the delineator")
    patients = []
    for header in sorted(root.rglob("*.hea"), key=lambda p: int(p.stem)):
        path = str(header.with_suffix(""))
        record = wfdb.rdrecord(path)
        fast = np.nan_to_num(record.p_signal.T).astype(np.float32)
        marks = []
        for lead in record.sig_name:
            notes = wfdb.rdann(path, lead)
            signs, at = [" ", *notes.symbol, " "], [-1, *notes.sample, -1]
            rows = [
                (
                    "pNt".index(c),
                    at[i - 1] if signs[i - 1] == "(" else -1,
                    at[i],
                    at[i + 1] if signs[i + 1] == ")" else -1,
                )
                for i, c in enumerate(signs)
                if c in "pNt"
            ]
            marks.append(np.array(rows, np.float64).reshape(-1, 4))
        patients.append(Patient(_halved(fast), fast, signal.rpeaks(fast, fs=500) / 2, marks))
    return patients


def _halved(x: Array) -> Array:
    """500 Hz to 250 Hz as the detector does it: the mean over one interval."""
    padded = np.pad(x.astype(np.float64), ((0, 0), (1, 1)), mode="edge")
    y = 0.25 * padded[:, :-2] + 0.5 * padded[:, 1:-1] + 0.25 * padded[:, 2:]
    return y[:, ::2].astype(np.float32)


def _box(x: Array) -> Array:
    total = np.cumsum(np.pad(x, ((0, 0), (126, 125)), mode="edge"), 1, dtype=np.float64)
    return (total[:, 251:] - total[:, :-251]) / 251


def _normal(y: Array, beats: Array) -> Array:
    """Above the baseline, in units of the median range about a beat."""
    y = y - _box(_box(y))
    here = [int(b) for b in beats if int(b) < y.shape[1]]
    ranges = [np.ptp(y[:, max(0, b - 20) : b + 21], axis=1) for b in here]
    scale = np.median(ranges, 0) if ranges else np.ones(len(y))
    return y / np.maximum(scale, 1e-6)[:, None]


def _phases(beats: Array, bins: int) -> Array:
    at = 2.0 * np.arange(bins)
    k = np.searchsorted(beats, at, side="right")
    inside = np.concatenate([[-1e9], beats, [1e9]])
    since, until = (np.minimum(d / 250, 1.2) for d in (at - inside[k], inside[k + 1] - at))
    return np.stack([since, until, np.minimum(since + until, 2.0)], 1).astype(np.float32)


def _labels(marks: Array, bins: int) -> tuple[Array, Array]:
    """Shares of each bin in nothing, P, QRS, T; where to look: within the annotated stretch."""
    share, weight = np.zeros((4, bins), np.float32), np.zeros(bins, np.float32)
    length = marks[:, 3] - marks[:, 1]
    whole = (marks[:, 1] >= 0) & (marks[:, 3] >= 0) & (length > 0) & (length < 300)
    i = np.arange(bins)
    if whole.any():
        first, last = marks[whole, 1].min() / 4, marks[whole, 3].max() / 4
        weight[(i >= first - 1) & (i <= last + 1)] = 1
    for (wave, onset, peak, offset), good in zip(marks, whole):
        if good:
            a, b = onset / 4, offset / 4
            part = np.clip(np.minimum(i + 0.5, b) - np.maximum(i - 0.5, a), 0, 1)
            share[int(wave) + 1] = np.maximum(share[int(wave) + 1], part)
        else:
            weight[max(0, int(peak / 4) - 25) : int(peak / 4) + 26] = 0
    share[1:] /= np.maximum(share[1:].sum(0), 1)
    share[0] = 1 - share[1:].sum(0)
    return share, weight


def example(patient: Patient, rng: np.random.Generator):
    """Some leads of a patient, stretched, cropped, inverted, disturbed; peaks moved a little."""
    u = rng.random()
    n = 12 if u < 0.35 else int(rng.integers(2, 12)) if u < 0.65 else 1
    leads = rng.choice(12, n, replace=False)
    stretch = 1.0
    if rng.random() < 0.7:
        stretch = float(np.exp(rng.uniform(np.log(0.72), np.log(1.3))))
    t = patient.slow.shape[1]
    t2 = int((t - 1) * stretch) // 8 * 8
    y = patient.slow[leads].astype(np.float64)
    y = np.stack([np.interp(np.arange(t2) / stretch, np.arange(t), row) for row in y])
    length = min(t2, 2000) // 8 * 8
    start = int(rng.integers(0, (t2 - length) // 8 + 1)) * 8
    y, beats = y[:, start : start + length], patient.beats * stretch - start
    marks = []
    for lead in leads:
        m = patient.marks[lead].copy()
        m[:, 1:] = np.where(m[:, 1:] < 0, -1, m[:, 1:] * stretch - 2 * start)
        marks.append(_labels(m, length // 2))
    y = _disturbed(y, rng)
    if rng.random() < 0.5:
        beats = beats + rng.normal(0, *((1.5, len(beats)) if rng.random() < 0.5 else (2,)))
    beats = np.sort(beats[(beats >= 0) & (beats < length)])
    z = _normal(y, beats) * np.exp(rng.normal(0, 0.25, (n, 1)))
    share, weight = (np.stack(part) for part in zip(*marks))
    return z.astype(np.float32), _phases(beats, length // 2), share, weight


def _disturbed(y: Array, rng: np.random.Generator) -> Array:
    n, length = y.shape
    t = np.arange(length) / 250
    if rng.random() < 0.3:
        y = y * np.where(rng.random(n) < 0.5, -1, 1)[:, None]
    size = np.ptp(y, axis=1)[:, None] + 1e-3
    if rng.random() < 0.5:
        noise = rng.normal(size=y.shape)
        if rng.random() < 0.5:
            noise = (noise + np.roll(noise, 1, 1) + np.roll(noise, 2, 1)) / 1.7
        y = y + noise * size * np.exp(rng.uniform(np.log(0.002), np.log(0.05), (n, 1)))
    if rng.random() < 0.2:
        mains = np.sin(2 * np.pi * rng.choice([50, 60]) * t + rng.uniform(0, 6))
        y = y + size * rng.uniform(0, 0.03) * mains
    if rng.random() < 0.5:
        for _ in range(3):
            wave = 2 * np.pi * rng.uniform(0.05, 0.5) * t + rng.uniform(0, 6, (n, 1))
            y = y + size * rng.uniform(0, 0.3, (n, 1)) * np.sin(wave)
    if rng.random() < 0.25:
        y = 0.25 * np.roll(y, 1, 1) + 0.5 * y + 0.25 * np.roll(y, -1, 1)
    return y


def build():
    """The network of ``csrc/dsp/delineate_net.h`` with batch norms."""
    torch = need("torch", "train", "training the delineator")
    nn, functional = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self, channels: int, taps: int):
            super().__init__()
            options: dict[str, Any] = {"groups": channels, "bias": False}
            self.dw = nn.Conv1d(channels, channels, taps, padding=taps // 2, **options)
            self.pw = nn.Conv1d(channels, channels, 1, bias=False)
            self.bn = nn.BatchNorm1d(channels)

        def forward(self, x):
            return x + functional.relu(self.bn(self.pw(self.dw(x))))

    class Net(nn.Module):
        def __init__(self, a: int = 16, b: int = 32):
            super().__init__()
            self.stem = nn.Conv1d(1, a, 15, stride=2, padding=7, bias=False)
            self.stem_bn = nn.BatchNorm1d(a)
            self.ph1, self.ph2 = nn.Linear(3, 32), nn.Linear(32, a)
            self.b1, self.d1 = Block(a, 7), nn.Conv1d(a, b, 1)
            self.b2, self.d2 = Block(b, 9), nn.Conv1d(b, b, 1)
            self.mix = nn.Conv1d(b, b, 1, bias=False)
            self.b3, self.b4, self.b5 = Block(b, 9), Block(b, 9), Block(b, 9)
            self.u2, self.b6 = nn.Conv1d(b, b, 1), Block(b, 9)
            self.u1, self.b7 = nn.Conv1d(b, a, 1), Block(a, 7)
            self.head = nn.Conv1d(a, 4, 1)

        def forward(self, x, phase, group, count):
            """x (rows, 1, time), phase (groups, bins, 3), group: the record of each row."""
            p = self.ph2(functional.relu(self.ph1(phase))).transpose(1, 2)
            h1 = self.b1(functional.relu(self.stem_bn(self.stem(x)) + p[group]))
            h2 = self.b2(self.d1(functional.avg_pool1d(h1, 2)))
            h3 = self.d2(functional.avg_pool1d(h2, 2))
            total = torch.zeros(count, *h3.shape[1:]).index_add(0, group, h3)
            mean = total / torch.bincount(group, minlength=count).float()[:, None, None]
            h3 = functional.relu(h3 + self.mix(mean)[group])
            h3 = self.b5(self.b4(self.b3(h3)))
            h2 = self.b6(h2 + self.u2(h3).repeat_interleave(2, -1))
            h1 = self.b7(h1 + self.u1(h2).repeat_interleave(2, -1))
            return self.head(h1)

    return Net()


def fit(patients: list[Patient], chosen: list[int], seed: int, epochs: int = EPOCHS):
    """Train on the chosen patients."""
    torch = need("torch", "train", "training the delineator")
    rng = np.random.default_rng(seed + 95)
    torch.manual_seed(seed)
    net = build()
    steps = int(epochs * len(chosen) * 5.5 / ROWS)
    optimizer = torch.optim.AdamW(net.parameters(), lr=PEAK_RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, PEAK_RATE, total_steps=steps + 1, pct_start=0.15
    )
    order: list[int] = []
    for step in range(steps):
        batch: list[Any] = []
        while sum(len(e[0]) for e in batch) < ROWS:
            order = order or [int(i) for i in rng.permutation(chosen)]
            batch.append(example(patients[order.pop()], rng))
        t = min(e[0].shape[1] for e in batch)
        x = torch.from_numpy(np.concatenate([e[0][:, :t] for e in batch]))[:, None]
        phase = torch.from_numpy(np.stack([e[1][: t // 2] for e in batch]))
        share = torch.from_numpy(np.concatenate([e[2][..., : t // 2] for e in batch]))
        weight = torch.from_numpy(np.concatenate([e[3][:, : t // 2] for e in batch]))
        group = torch.from_numpy(np.repeat(np.arange(len(batch)), [len(e[0]) for e in batch]))
        scores = torch.log_softmax(net(x, phase, group, len(batch)), 1)
        loss = (-(share * scores).sum(1) * weight).sum() / weight.sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            print(f"step {step + 1} of {steps}: loss {loss.item():.3f}", flush=True)
    return net.eval()


def flatten(net, late: Array) -> Array:
    """All weights in the order of ``csrc/dsp/delineate_net.h``, batch norms folded."""
    parts: list[Any] = []

    def fold(bn):
        scale = (bn.weight / (bn.running_var + bn.eps) ** 0.5).detach()
        return scale, (bn.bias - bn.running_mean * scale).detach()

    def add(*tensors):
        parts.extend(tensor.detach().double().numpy().ravel() for tensor in tensors)

    def block(m):
        scale, shift = fold(m.bn)
        add(m.dw.weight[:, 0].T, m.pw.weight[:, :, 0].T * scale, shift)

    def linear(m, factor=1.0):
        add(m.weight[:, :, 0].T * factor, m.bias)

    scale, shift = fold(net.stem_bn)
    add(net.stem.weight[:, 0].T * scale)
    add(net.ph1.weight.T, net.ph1.bias, net.ph2.weight.T, net.ph2.bias + shift)
    block(net.b1)
    linear(net.d1, 0.5)
    block(net.b2)
    linear(net.d2, 0.5)
    add(net.mix.weight[:, :, 0].T)
    for m in (net.b3, net.b4, net.b5):
        block(m)
    linear(net.u2)
    block(net.b6)
    linear(net.u1)
    block(net.b7)
    linear(net.head)
    return np.concatenate([*parts, ENTRY, late]).astype(np.float32)


def errors(weights: Array, patients: list[Patient], chosen: list[int]) -> list[Array]:
    """Seconds that each of the nine points comes late, over all matched points."""
    late: list[list[Array]] = [[] for _ in range(9)]
    for i in chosen:
        p = patients[i]
        beats = np.round(2 * p.beats).astype(np.int64)
        start = np.array([0, len(beats)], np.int64)
        found = _core.delineate(p.fast[None], 500.0, beats, start, weights)
        for lead, marks in enumerate(p.marks):
            for k in range(9):
                wanted = np.sort(marks[marks[:, 0] == k // 3, 1 + k % 3])
                got = np.sort(found[:, lead, k])
                m = signal.match_beats(wanted[wanted >= 0], got[got >= 0], fs=500)
                late[k].append(m.error)
    return [np.concatenate(part) for part in late]


def _means(parts: list[list[Array]]) -> Array:
    """Mean lateness of each point; the peak of the QRS stays where the trace has it."""
    late = np.array([np.concatenate([part[k] for part in parts]).mean() for k in range(9)])
    late[4] = 0.0
    return late


def main(argv: list[str] | None = None) -> None:
    """Train the four folds and the network that ships."""
    parser = argparse.ArgumentParser(
        prog="python -m ecgkit.train.delineator", description=__doc__.splitlines()[0]
    )
    parser.add_argument("ludb", type=Path, help="folder of LUDB, unpacked")
    parser.add_argument("--out", type=Path, default=Path(), help="folder of the results")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    options = parser.parse_args(argv)
    from safetensors.numpy import save_file

    patients = read_ludb(options.ludb)
    shuffled = np.random.default_rng(7).permutation(len(patients))
    parts = [[int(i) for i in shuffled[k::FOLDS]] for k in range(FOLDS)]
    nets, late = [], []
    for k, held in enumerate(parts):
        rest = [i for i in range(len(patients)) if i not in held]
        nets.append(fit(patients, rest, 5 + k, options.epochs))
        late.append(errors(flatten(nets[k], np.zeros(9)), patients, held))
    fold = np.empty(len(patients), np.int64)
    for k, held in enumerate(parts):
        fold[held] = k
    tensors = {"fold": fold}
    for k in range(FOLDS):
        others = [late[j] for j in range(FOLDS) if j != k]
        tensors[f"fold{k}"] = flatten(nets[k], _means(others))
    save_file(tensors, options.out / "delineate_folds.safetensors")
    net = fit(patients, list(range(len(patients))), 4, options.epochs)
    save_file({"weights": flatten(net, _means(late))}, options.out / "delineator.safetensors")


if __name__ == "__main__":
    main()
