"""The verb bench."""

from __future__ import annotations

import statistics
import time

import click

import ecgkit as ek

from .._typing import Array
from ._app import load, verb
from ._show import Show

LEAST_CALLS = 5


@verb
@click.argument("names", nargs=-1, metavar="[MODEL]...")
@click.option(
    "--set",
    "variant",
    multiple=True,
    metavar="NAME=VALUE",
    help="A choice of the model, for instance network=resnet18; may be repeated.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, max=600),
    default=1.0,
    show_default=True,
    help="For each model and number of threads.",
)
def bench(show: Show, names: tuple[str, ...], variant: tuple[str, ...], seconds: float) -> None:
    """Time models on this machine: one recording, random weights.

    MODEL is one or more of 'ecgkit models'; none means all. Prepared input to answer, in
    milliseconds: median and the middle half, on one thread and on all.
    """
    every = [row.name for row in ek.list_models()]
    if variant and len(names) != 1:
        raise click.UsageError("--set needs one MODEL")
    before = ek.get_threads()
    counts = sorted({1, before})
    record, rows, found = ek.synth.ecg(), [], []
    try:
        with show.progress("timing", "models") as at:
            chosen = names or every
            for i, name in enumerate(chosen):
                model = load(name, "random", variant)
                prepared = model.preprocess(record)
                for threads in counts:
                    ek.set_threads(threads)
                    times = _calls(model, prepared, seconds)
                    low, middle, high = (1e3 * q for q in statistics.quantiles(times, n=4))
                    found.append(
                        {"model": model.title, "threads": threads, "calls": len(times),
                         "median_ms": middle, "quartiles_ms": [low, high]}
                    )  # fmt: skip
                    rows.append((name, threads, f"{middle:.3g}", f"{low:.3g}-{high:.3g}"))
                at(i + 1, len(chosen))
    finally:
        ek.set_threads(before)
    show.title(f"one recording, {ek.simd.active()}")
    show.table(("model", "threads", "ms", "middle half"), rows)
    show.result = {"isa": ek.simd.active(), "rows": found}


def _calls(model: ek.models.Model, prepared: Array, seconds: float) -> list[float]:
    """Seconds of each call, after one that is not counted."""
    model.forward(prepared)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < LEAST_CALLS or time.perf_counter() < end:
        start = time.perf_counter()
        model.forward(prepared)
        times.append(time.perf_counter() - start)
    return times
