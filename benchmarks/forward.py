"""Forward passes: ours beside PyTorch eager and traced, ONNX Runtime and OpenVINO (float32).

Random weights. Every runtime's answer is first compared with PyTorch in float64: a wrong peer is
named with its error and not timed. Latency: batch 1. Records: 32 of them at ours' best batch size
beside OpenVINO's THROUGHPUT. ``--only xresnet1d101`` runs one network.
"""

import time

import numpy as np
from _harness import Absent, bench, error, main, wanted
from _networks import every
from _runtimes import answers, compiled, float64, latency, throughput

from ecgkit._config import _core

WRONG = 1e-4
"""Largest difference from float64, over max(1, largest value), that a runtime may show."""

RECORDS, BATCHES = 32, (1, 2, 4, 8, 16, 32)


def right(name: str, cases: dict, want: np.ndarray) -> dict:
    """The cases with wrong peers replaced by what they got wrong."""
    out = {}
    for key, case in cases.items():
        if not isinstance(case, Absent):
            try:
                wrong = error(case(), want)
            except Exception as failure:  # a peer's own, of whatever kind: shown, not timed
                if key == "ours":
                    raise
                out[key] = Absent(f"fails: {str(failure).splitlines()[0][:160]}")
                continue
            if wrong > WRONG:
                assert key != "ours", f"{name}: ours differs from float64 by {wrong:.2g}"
                case = Absent(f"wrong: differs from float64 by {wrong:.2g}")
        out[key] = case
    return out


def share_of_peak(row: dict, macs: int, peak: float) -> str:
    """Multiply-adds of the direct sums over the machine's best, in words."""
    rate = 2e-9 * macs / row["cases"]["ours"]["median"]
    share = rate / (peak * row["threads"])
    return f"ours {rate:.0f} GFLOP/s at {row['threads']} threads, {share:.0%} of the FMA peak"


def best_batch(program, x: np.ndarray) -> int:
    """The batch size of most records per second at two threads."""
    rates = {}
    for batch in BATCHES:
        times = []
        for _ in range(3):
            start = time.perf_counter()
            for i in range(0, len(x), batch):
                answers(program, x[i : i + batch])
            times.append(time.perf_counter() - start)
        rates[batch] = min(times)
    return min(rates, key=rates.__getitem__)


def run() -> None:
    peak = _core.nn_peak()
    for name, (module, shape, *bars) in every().items():
        size = "x".join(map(str, shape))
        one, many = f"{name} {size}, batch 1", f"{name} {size}, {RECORDS} records"
        if wanted(one):
            one_record(name, one, module, shape, bars, peak)
        if wanted(many):
            many_records(name, many, module, shape, bars[1])


def one_record(name: str, title: str, module, shape, bars, peak: float) -> None:
    x = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    macs = compiled(name, module, shape).macs
    cases = right(name, latency(name, module, x), float64(module, x))
    for threads, bar in zip((1, 2), bars):
        for row in bench(title, cases, check=2 * WRONG, threads=(threads,), bar=bar):
            row["note"] = share_of_peak(row, macs, peak)
            print(f"  {name}: {row['note']}", flush=True)


def many_records(name: str, title: str, module, shape, bar: float) -> None:
    x = np.random.default_rng(0).normal(size=(RECORDS, *shape)).astype(np.float32)
    batch = best_batch(compiled(name, module, shape), x)
    bench(
        title,
        throughput(name, module, x, batch),
        check=2 * WRONG,
        threads=(2,),
        work=(RECORDS, "records"),
        bar=bar,
        note=f"ours in batches of {batch}, OpenVINO with its THROUGHPUT hint",
    )


if __name__ == "__main__":
    main(run)
