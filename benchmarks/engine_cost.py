"""What a program costs: against length and batch, to load, and at its first call.

``python benchmarks/engine_cost.py`` writes docs/engine/cost.md and docs/engine/cost.svg. A cost
that is linear with no cliff has the same time per sample point, or per record, at any size.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import ecgkit as ek

ROOT = Path(__file__).resolve().parents[1]
LENGTHS = (500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def network(time_steps: int = 5000):
    """A small residual network over time, with a gate."""
    rng = np.random.default_rng(0)

    def w(*shape):
        return (rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    p = ek.nn.Program("cost")
    h = p.relu(p.conv1d(p.input("x", (12, time_steps)), w(64, 12, 15), stride=2, padding=7))
    for _ in range(3):
        inner = p.relu(p.conv1d(h, w(64, 64, 7), padding=3))
        inner = p.conv1d(inner, w(64, 64, 7), padding=3)
        inner = p.mul(inner, p.sigmoid(p.mean(inner, -1, keepdim=True)))
        h = p.relu(p.add(h, inner))
    p.output(p.linear(p.mean(h, -1), w(5, 64)))
    return p.compile()


def seconds(call, least: float = 0.25) -> float:
    """The median of repeated calls."""
    call()
    taken: list[float] = []
    while sum(taken) < least or len(taken) < 3:
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def against_length(threads: int) -> list[float]:
    """Nanoseconds per sample point, batch 1."""
    program, out = network(), []
    for n in LENGTHS:
        x = np.random.default_rng(1).normal(size=(1, 12, n)).astype(np.float32)
        out.append(seconds(lambda x=x: program(x, threads=threads)) / n * 1e9)
    return out


def against_batch(threads: int) -> list[float]:
    """Milliseconds per record of 5000 points."""
    program, out = network(), []
    for n in BATCHES:
        x = np.random.default_rng(1).normal(size=(n, 12, 5000)).astype(np.float32)
        out.append(seconds(lambda x=x: program(x, threads=threads)) / n * 1e3)
    return out


def loading() -> dict[str, float]:
    """Seconds to load and pack 118 MB, and of the first and of later calls."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "w.safetensors")
        rng = np.random.default_rng(0)
        shape = (512, 512, 11)
        ek.weights.save(
            path, {f"w{i}": 0.02 * rng.standard_normal(shape, np.float32) for i in range(10)}
        )
        x = rng.standard_normal((1, 512, 256), np.float32)
        start = time.perf_counter()
        w = ek.weights.read(path, mmap=True)
        p = ek.nn.Program("big")
        h = p.input("x", (512, 256))
        for weight in w.values():
            h = p.relu(p.conv1d(h, weight, padding=5))
        p.output(p.mean(h, -1))
        program = p.compile()
        loaded = time.perf_counter() - start
        start = time.perf_counter()
        program(x, threads=1)
        first = time.perf_counter() - start
        return {
            "loaded": loaded,
            "first": first,
            "steady": seconds(lambda: program(x, threads=1)),
        }


def plot(lengths, batches) -> None:
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams["svg.hashsalt"] = "cost"
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    panels = ((LENGTHS, lengths, "length of a record", "ns per sample point"),
              (BATCHES, batches, "records in a batch", "ms per record"))  # fmt: skip
    for ax, (at, values, x, y) in zip(axes, panels):
        for threads, series in values.items():
            ax.plot(at, series, "o-", ms=3, label=f"{threads} thread{'s' * (threads > 1)}")
        ax.set(xscale="log", xlabel=x, ylabel=y, ylim=(0, None))
        ax.legend(frameon=False)
    figure.savefig(ROOT / "docs" / "engine" / "cost.svg", metadata={"Date": None})


def table(head: str, at, values: dict[int, list[float]], digits: int) -> list[str]:
    rows = [f"| {head} | " + " | ".join(f"{n:,}" for n in at) + " |", "|---|" + "--:|" * len(at)]
    for threads, series in values.items():
        cells = " | ".join(f"{v:.{digits}f}" for v in series)
        rows.append(f"| {threads} thread{'s' * (threads > 1)} | {cells} |")
    return rows


def main() -> None:
    sys.path[0] = str(ROOT / "tests")  # instead of this folder, whose signal.py is not Python's
    cores = min(2, len(os.sched_getaffinity(0)))
    lengths = {t: against_length(t) for t in range(1, cores + 1)}
    batches = {t: against_batch(t) for t in range(1, cores + 1)}
    load = loading()
    plot(lengths, batches)
    mac = network().macs / 1e6
    lines = [
        "# What a program costs",
        "",
        f"A residual network over time, 12 leads, 64 channels, {mac:.0f} MMAC at 5000 points.",
        "Linear means: a level line. Short records of batch 1 pay for waking the threads.",
        f"Written by `benchmarks/engine_cost.py`; {ek.simd.available()[-1]}, medians.",
        "",
        "![cost](cost.svg)",
        "",
        *table("points (ns per point, batch 1)", LENGTHS, lengths, 1),
        "",
        *table("records (ms per record of 5000 points)", BATCHES, batches, 3),
        "",
        f"118 MB of weights: read, described and packed in {load['loaded']:.2f} s; first call "
        f"{load['first'] / load['steady']:.2f} times a later one.",
    ]
    (ROOT / "docs" / "engine" / "cost.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
