"""One way to time everything: peers in one process and in turn, agreement checked before the clock.

A benchmark file holds one function and two lines::

    from _harness import bench, main, peer

    def run():
        x = ...
        zscore = peer("scipy.stats", lambda scipy: lambda: scipy.stats.zscore(x, -1))
        bench("z-score", {"ours": lambda: ek.signal.zscore(x), "SciPy": zscore}, check=1e-5)

    if __name__ == "__main__":
        main(run)

``python benchmarks/<file>.py`` prints a Markdown table, writes ``benchmarks/results/<file>.json``;
``python benchmarks/run.py`` runs all and renders ``docs/benchmarks.md``.

Why a figure can be believed: the process starts itself again with every library's thread variable
set; for a row of n threads it is pinned to n cores and every library is told n; each function is
warmed up; then the functions take turns, in an order that rotates, and the ratio is the median over
turns, so that a slow moment of the machine hits all alike; what other processes took meanwhile, and
what the hypervisor stole, is measured and printed. A peer that is not installed is named in the
table, never left out in silence.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).resolve().parent / "results"
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
_OLD_BLAS_WORKAROUNDS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
_PACKAGES = (
    *("ecgkit-native", "numpy", "scipy", "torch", "PyWavelets", "fCWT", "ssqueezepy"),
    *("wfdb", "neurokit2", "Bottleneck", "pandas", "scikit-learn", "onnxruntime", "openvino"),
)
_CORES = sorted(os.sched_getaffinity(0))
REST = 0.02
"""Seconds before a turn: the threads of the case before it spin for some milliseconds after its
last call and would take a core from this one. An untimed call then wakes this case's own."""

_rows: list[dict[str, Any]] = []
_quick = False
_limit = 120.0
_only: list[str] = []


@dataclass(frozen=True)
class Absent:
    """A peer that is not here, and why."""

    why: str


def peer(module: str, build: Callable[[Any], Callable[[], Any]]) -> Callable[[], Any] | Absent:
    """``build(top-level module)`` if ``module`` (dotted names allowed) imports, else the reason."""
    try:
        importlib.import_module(module)
    except ImportError as error:
        return Absent(f"not installed ({error})")
    return build(sys.modules[module.partition(".")[0]])


def quick() -> bool:
    """Whether ``--quick`` asks only if everything runs and agrees."""
    return _quick


def wanted(name: str) -> bool:
    """Whether ``--only`` lets the row of this name run: whether it holds one of its words."""
    return not _only or any(part in name for part in _only)


def error(got: Any, want: Any) -> float:
    """Largest difference over ``max(1, max|want|)``; shapes must be equal."""
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape:
        raise AssertionError(f"shapes differ: {got.shape} and {want.shape}")
    if not np.array_equal(np.isnan(got), np.isnan(want)):
        raise AssertionError("NaN in different places")
    kind = np.complex128 if np.iscomplexobj(got) else np.float64
    difference = np.abs(got.astype(kind) - want.astype(kind))
    return float(
        np.nanmax(difference, initial=0.0) / max(1.0, np.nanmax(np.abs(want), initial=0.0))
    )


def bench(
    name: str,
    cases: Mapping[str, Callable[[], Any] | Absent],
    *,
    check: float | str | Callable[[Any, Any], float],
    threads: Sequence[int] = (1, 2),
    min_time: float = 0.5,
    rounds: int = 25,
    work: tuple[float, str] | None = None,
    bar: float | Mapping[str, float] | None = None,
    note: str = "",
) -> list[dict[str, Any]]:
    """Time ``cases`` against the first of them and add one row per thread count to the suite.

    Parameters
    ----------
    cases : mapping of name to function
        The first is ours. A function takes nothing and returns its result. A peer may be an
        :class:`Absent` (see :func:`peer`).
    check : float, function or str
        Agreement, checked before anything is timed: the largest allowed :func:`error` of ours
        against each peer, or a function ``(ours, theirs) -> measured error`` that raises
        AssertionError, or, where results cannot be compared, the reason in words.
    threads : sequence of int
        One row for each; those above the machine's cores are left out and said.
    min_time : float
        Seconds each function runs in all, at least.
    rounds : int
        Turns of each function, at least.
    work : (count, unit), optional
        What one call does, for a rate: ``(100, "records")``.
    bar : float or mapping, optional
        The ratio wanted against every peer, or per peer.
    note : str
        What a reader of the table must know; printed below it.
    """
    if not wanted(name):
        return []
    present = {key: fn for key, fn in cases.items() if not isinstance(fn, Absent)}
    absent = {key: fn.why for key, fn in cases.items() if isinstance(fn, Absent)}
    ours = next(iter(cases))
    if ours not in present:
        raise ValueError(f"{name}: our own case {ours!r} is absent: {absent[ours]}")
    rows = []
    for n in threads:
        if n > len(_CORES):
            print(f"  {name}: {n} threads left out, {len(_CORES)} cores here", file=sys.stderr)
            continue
        with pinned(n):
            agreement = _agreement(name, present, ours, check)
            times, load = _interleave(
                present, 0.05 if _quick else min_time, 3 if _quick else rounds
            )
        row = {
            "name": name,
            "threads": n,
            "simd": _simd(),
            "note": note,
            "work": None if work is None else {"count": work[0], "unit": work[1]},
            "cases": {key: _summary(t) for key, t in times.items()},
            "ratios": {key: _ratio(t, times[ours]) for key, t in times.items() if key != ours},
            "bars": {}
            if bar is None
            else dict(bar)
            if isinstance(bar, Mapping)
            else {k: bar for k in cases if k != ours},
            "agreement": agreement,
            "absent": absent,
            "load": load,
        }
        rows.append(row)
        _rows.append(row)
        print(_lines(row), flush=True)
    return rows


def _simd() -> str:
    import ecgkit as ek

    return ek.simd.active()


def _agreement(name, present, ours, check) -> dict[str, Any]:
    if isinstance(check, str):
        return {"unchecked": check}
    mine = present[ours]()
    out = {}
    for key, fn in present.items():
        if key == ours:
            continue
        got = check(mine, fn()) if callable(check) else error(mine, fn())
        if not callable(check) and not got <= check:
            raise AssertionError(
                f"{name}: {ours} and {key} differ by {got:.3g}, allowed {check:.3g}; not timed"
            )
        out[key] = None if got is None else float(got)
    return out


def _interleave(cases: Mapping[str, Callable[[], Any]], min_time: float, rounds: int):
    calls, short = {}, set()
    for key, fn in cases.items():
        start, count = time.perf_counter(), 0
        while count < 2 or (time.perf_counter() - start < min(0.2, min_time) and count < 1000):
            fn()
            count += 1
            if time.perf_counter() - start > 2.0:
                break
        once = (time.perf_counter() - start) / count
        # A sample of 5 ms at least: the clock costs nothing.
        calls[key] = max(1, round(0.005 / once))
        if once < 0.25:  # a longer one does not notice that its threads wake
            short.add(key)
    times: dict[str, list[float]] = {key: [] for key in cases}
    order = list(cases)
    before, own, start = _cpu(), _own(), time.perf_counter()
    spent = dict.fromkeys(cases, 0.0)
    while len(times[order[0]]) < rounds or max(spent.values()) < min_time:
        for key in order:
            fn, count = cases[key], calls[key]
            time.sleep(REST)
            if key in short:
                fn()
            t = time.perf_counter()
            for _ in range(count):
                fn()
            t = time.perf_counter() - t
            times[key].append(t / count)
            spent[key] += t
        order = order[1:] + order[:1]
        if time.perf_counter() - start > _limit and len(times[order[0]]) >= 3:
            break
    elapsed = time.perf_counter() - start
    after = _cpu()
    capacity = max(elapsed * (os.cpu_count() or 1), 1e-9)
    load = {
        "foreign": max(0.0, after["busy"] - before["busy"] - (_own() - own)) / capacity,
        "stolen": max(0.0, after["steal"] - before["steal"]) / capacity,
    }
    return times, load


def _cpu() -> dict[str, float]:
    with open("/proc/stat") as f:
        user, nice, system, _idle, _iowait, irq, soft, steal, *_ = map(
            float, f.readline().split()[1:]
        )
    tick = os.sysconf("SC_CLK_TCK")
    return {"busy": (user + nice + system + irq + soft) / tick, "steal": steal / tick}


def _own() -> float:
    t = os.times()
    return t.user + t.system + t.children_user + t.children_system


@contextlib.contextmanager
def pinned(n: int):
    """The whole process on n cores, every library that is loaded at n threads."""
    import threadpoolctl

    import ecgkit as ek

    before = ek.get_threads()
    _to_cores(_CORES[:n])
    ek.set_threads(n)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(n)
    try:
        with threadpoolctl.threadpool_limits(n):
            ek.set_threads(n)
            yield
    finally:
        ek.set_threads(before)
        _to_cores(_CORES)


def _to_cores(cores: Sequence[int]) -> None:
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError):  # the thread ended meanwhile
            os.sched_setaffinity(int(task), cores)


def _summary(times: list[float]) -> dict[str, float]:
    q1, median, q3 = np.percentile(times, [25, 50, 75])
    return {"median": median, "q1": q1, "q3": q3, "min": min(times), "samples": len(times)}


def _ratio(theirs: list[float], mine: list[float]) -> dict[str, float]:
    q1, median, q3 = np.percentile(np.asarray(theirs) / np.asarray(mine), [25, 50, 75])
    return {"median": median, "q1": q1, "q3": q3}


# ------------------------------------------------------------------ printing
def seconds(t: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if t >= scale:
            return f"{t / scale:.3g} {unit}"
    return f"{t * 1e9:.3g} ns"


HEADER = (
    "| what | threads | ISA | ours | peer | theirs | ratio | agreement | other load |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def _time(case: Mapping[str, float], work: Mapping[str, Any] | None) -> str:
    spread = (case["q3"] - case["q1"]) / case["median"]
    rate = f", {work['count'] / case['median']:,.4g} {work['unit']}/s" if work else ""
    return f"{seconds(case['median'])} ±{spread:.0%}{rate}"


def _lines(row: Mapping[str, Any]) -> str:
    """Markdown rows: one per peer; ±% is the interquartile range over the median."""
    ours, *peers = row["cases"]
    load = f"{row['load']['foreign']:.0%} foreign, {row['load']['stolen']:.0%} stolen"
    where = f"{row['threads']} | {row.get('simd', '')}"
    start = f"| {row['name']} | {where} | {_time(row['cases'][ours], row['work'])} |"
    lines = []
    for key in peers:
        ratio, bar, agreed = row["ratios"][key], row["bars"].get(key), row["agreement"]
        faster = f"**{ratio['median']:.3g}x** [{ratio['q1']:.3g}, {ratio['q3']:.3g}]"
        if bar is not None:
            faster += f" (bar {bar:g}: {'met' if ratio['median'] >= bar else '**not met**'})"
        if "unchecked" in agreed:
            agreed = f"not compared: {agreed['unchecked']}"
        else:
            agreed = f"{agreed[key]:.1e}" if agreed[key] is not None else "checked"
        theirs = _time(row["cases"][key], row["work"])
        lines.append(f"{start} {key} | {theirs} | {faster} | {agreed} | {load} |")
    for key, why in row["absent"].items():
        lines.append(f"{start} {key} | absent: {why} | | | |")
    return "\n".join(lines or [f"{start} none | | | | {load} |"])


def render(suite: Mapping[str, Any]) -> str:
    """A stored result as Markdown: where it ran, the table, the notes."""
    m = suite["machine"]
    versions = ", ".join(f"{k} {v}" for k, v in m["packages"].items())
    notes = dict.fromkeys(f"- {r['name']}: {r['note']}" for r in suite["results"] if r["note"])
    head = (
        f"{m['cpu']}, {m['cores']} cores, ISA in use {m['simd']}, Linux {m['kernel']}; "
        f"Python {m['python']}, {versions}; {'; '.join(m['blas'])}. "
        f"Commit {suite['commit']}, {suite['date']}."
    )
    quick = "\n\n**Quick run: too short for figures.**" if suite["quick"] else ""
    return (
        "\n".join([head + quick, "", HEADER, *map(_lines, suite["results"]), "", *notes]).rstrip()
        + "\n"
    )


# ------------------------------------------------------------------- running
def machine() -> dict[str, Any]:
    """Facts that a figure depends on."""
    import threadpoolctl

    import ecgkit as ek

    packages = {}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            packages[name] = importlib.metadata.version(name)
    packages.setdefault("ecgkit-native", ek.__version__)
    with open("/proc/cpuinfo") as f:
        cpu = next(
            (line.split(":", 1)[1].strip() for line in f if line.startswith("model name")),
            platform.machine(),
        )
    blas = sorted(
        {
            f"{i['internal_api']} {i.get('version')} ({i.get('architecture')})"
            for i in threadpoolctl.threadpool_info()
        }
    )
    return {
        "cpu": cpu,
        "cores": len(_CORES),
        "simd": ek.simd.active(),
        "simd_available": ek.simd.available(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": packages,
        "blas": blas,
    }


def _commit() -> str:
    run = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=RESULTS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return run.stdout.strip() or "unknown"


def main(run: Callable[[], None], limit: float = 120.0) -> None:
    """Command line of a benchmark file: ``[--quick] [--only WORD ...] [--out FILE]``.

    After ``limit`` seconds, and three rounds, no further round of a row begins.
    """
    global _quick, _limit
    _limit = limit
    script = Path(sys.argv[0]).resolve()
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a few calls each: does it run and agree, no figures"
    )
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="WORD", help="rows whose name holds one of these"
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="default: benchmarks/results/<file>.json, nothing with --quick or --only",
    )
    args = parser.parse_args()
    if os.environ.get("ECGKIT_BENCH") != "1":  # libraries read these once, when they load
        env = {k: v for k, v in os.environ.items() if k not in _OLD_BLAS_WORKAROUNDS}
        env |= dict.fromkeys(_THREAD_VARIABLES, str(len(_CORES)))
        env |= {"ECGKIT_BENCH": "1"}
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.argv], env)
    _quick = args.quick
    _only[:] = args.only
    print(HEADER, flush=True)
    run()
    suite = {
        "suite": script.stem,
        "about": (sys.modules["__main__"].__doc__ or "").strip(),
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "commit": _commit(),
        "quick": args.quick,
        "machine": machine(),
        "results": _rows,
    }
    print("\n" + render(suite).split("\n")[0])
    out = args.out or (None if args.quick or args.only else RESULTS / f"{script.stem}.json")
    if out is not None and _rows:  # rpeaks.py and quality.py only write a page
        out.parent.mkdir(parents=True, exist_ok=True)
        part = out.with_suffix(".part")
        part.write_text(json.dumps(suite, indent=1, default=float) + "\n")
        part.replace(out)
        print(f"written: {out}")
