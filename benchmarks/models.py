"""Models: every published network beside the fastest runtime that is right, and file to result.

Random weights in the authors' layout, from the witnesses of the tests (``tests/witness_*.py``): a
new witness is a new row. A network answers one recording as its contract prepares it, beside
PyTorch's traced module, ONNX Runtime and OpenVINO in float32; each is first compared with PyTorch
in float64, the fastest that agrees is timed in turn with ours. ``ek.score`` reads WFDB files and
writes the table. ``--only merl`` measures one model.
"""

from __future__ import annotations

import gc
import importlib
import sys
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np
from _harness import Absent, bench, main, pinned, wanted
from end_to_end import recordings
from forward import WRONG

import ecgkit as ek

TESTS = Path(__file__).resolve().parent.parent / "tests"
SCORE_SECONDS, SLOW = 0.4, 0.2
FILES = 256
FAILED: list[str] = []


def witnesses() -> dict[str, object]:
    """Name of a model -> its witness."""
    sys.path.append(str(TESTS))
    found = {}
    for path in sorted(TESTS.glob("witness_*.py")):
        witness = importlib.import_module(path.stem)
        found[getattr(witness, "NAME", path.stem.removeprefix("witness_"))] = witness
    return found


def variants(name: str, witness) -> list[dict]:
    """What is measured: the witness's ``MAIN``, or the largest case of every network."""
    if hasattr(witness, "MAIN"):
        return witness.MAIN
    system = ek.models._systems()[name]
    largest: dict[object, tuple[int, dict]] = {}
    for case in witness.CASES:
        full = system.complete(case)
        size = sum(int(np.prod(shape)) for shape in system.expected(**full).values())
        group = full.get("network", full.get(next(iter(system.variants), "")))
        if group not in largest or size >= largest[group][0]:
            largest[group] = size, case
    return [case for _, case in largest.values()]


def first(y) -> np.ndarray:
    """A network's answer: the first where there are several."""
    if isinstance(y, dict):
        y = y["output"] if "output" in y else next(iter(y.values()))
    y = y[0] if isinstance(y, (tuple, list)) else y
    return np.asarray(y)


def relative(y: np.ndarray, want: np.ndarray) -> float:
    """Error in the 2-norm over the size of what is wanted."""
    return float(np.linalg.norm((y - want).ravel()) / np.linalg.norm(want.ravel()))


def exact(witness, weights, case, x) -> tuple[np.ndarray, float]:
    """PyTorch's answer in float64, and the error of its float32."""
    import torch

    answers = []
    for double in (True, False):
        module = witness.module(weights, double=double, **case)
        with torch.inference_mode():
            t = torch.from_numpy(x)
            answers.append(first(module(t.double() if double else t)))
    return answers[0], relative(answers[1], answers[0])


def peers(witness, weights, case, x) -> dict:
    """Runtime -> function, or why not; made once per thread count."""
    from _runtimes import runtimes

    return runtimes(witness.module(weights, **case), x)


def agreeing(cases: dict, want: np.ndarray) -> tuple[dict, dict[str, str]]:
    """The peers that agree with float64, and what is wrong with the others.

    The first call of each is made here, on all cores: OpenVINO keeps the cores it sees then.
    """
    scale, good, said = max(1.0, float(np.abs(want).max())), {}, {}
    for key, case in cases.items():
        if isinstance(case, Absent):
            said[key] = case.why
            continue
        try:
            wrong = float(np.abs(first(case()) - want).max()) / scale
        except Exception as failure:  # a peer's own, of whatever kind: shown, not timed
            said[key] = f"fails: {str(failure).splitlines()[0][:120]}"
            continue
        if wrong <= WRONG:
            good[key] = case
        else:
            said[key] = f"wrong: differs from float64 by {wrong:.2g}"
    return good, said


def fastest(cases: dict, threads: int) -> tuple[dict, dict[str, str]]:
    """The fastest peer, and the time of each."""
    found = {}
    with pinned(threads):
        for key, case in cases.items():
            case()
            times: list[float] = []
            while len(times) < 4 and sum(times) < SLOW:
                start = time.perf_counter()
                case()
                times.append(time.perf_counter() - start)
            found[key] = min(times)
    best = sorted(found, key=found.__getitem__)[:1]
    return {key: cases[key] for key in best}, {k: f"{t * 1e3:.3g} ms" for k, t in found.items()}


def network(name: str, title: str, witness, case: dict):
    """The rows of one network alone; the model, and what the table says of it."""
    weights = witness.weights(**case)
    model = ek.load_model(name, weights=weights, **case)
    x = witness.inputs(1, **case)
    want, theirs = exact(witness, weights, case, x)
    facts = {
        "model": name,
        "variant": case,
        "parameters": model.parameters,
        "contract": model.contract.summary,
        "error": relative(first(model.forward(x)), want),
        "error_torch": theirs,
    }
    good, wrong = agreeing(peers(witness, weights, case, x), want)
    for threads in (1, 2):
        best, times = fastest(good, threads)
        start = time.perf_counter()
        ours = {"ours": lambda: first(model.forward(x))}
        ours["ours"]()
        rounds = int(np.clip(0.3 / (time.perf_counter() - start), 3, 25))
        note = "; ".join(f"{key}: {text}" for key, text in (times | wrong).items())
        for row in bench(
            title, ours | best, check=2 * WRONG, threads=(threads,), min_time=0.1, rounds=rounds,
            note=f"{threads} thread{'s' * (threads > 1)}: {note}",
        ):  # fmt: skip
            row["model"] = facts
    return model, facts


def scoring(title: str, model, facts: dict, paths: list[str], source: str) -> None:
    """Records per second of ``ek.score``, file to table, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        done = 0

        def score(count):
            nonlocal done
            done += 1
            out = Path(folder) / f"{done}.parquet"
            report = ek.score(model, paths[:count], out)
            assert report.failed == 0, report.errors[0]
            return report.seconds

        score(1)
        few, more = score(1), score(3)
        each = max((more - few) / 2, 1e-4)  # without what a run costs at its start and end
        count = int(np.clip(SCORE_SECONDS / each, 2, len(paths)))
        for row in bench(
            f"ek.score {title}",
            {"ours": lambda: score(count)},
            check="no peer",
            min_time=0.0,
            rounds=1 if count < 8 else 2,
            work=(count, "records"),
            note=f"{source}; files in the page cache",
        ):
            row["model"] = facts


def run() -> None:
    import torch  # before ours loads its own BLAS, as users of both do

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        paths, source = recordings(FILES, Path(folder))
        paths = [p + ".hea" for p in paths]
        for name, witness in witnesses().items():
            for case in variants(name, witness):
                title = " ".join([name, *(f"{k}={v}" for k, v in case.items())])
                if not wanted(title):
                    continue
                start = time.perf_counter()
                try:
                    model, facts = network(name, title, witness, case)
                    scoring(title, model, facts, paths, source)
                except Exception:
                    traceback.print_exc()
                    FAILED.append(title)
                gc.collect()
                print(f"  {title}: {time.perf_counter() - start:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main(run)
    if FAILED:
        sys.exit(f"not measured: {'; '.join(FAILED)}")
