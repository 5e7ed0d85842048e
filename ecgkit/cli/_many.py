"""Verbs about many recordings and about models: score, evaluate, models."""

from __future__ import annotations

from typing import Any

import click
import numpy as np

import ecgkit as ek

from ._app import load, of_model, verb
from ._show import Show

BATCH = 64
MOST_ERRORS = 20  # rows of the error table on the screen; JSON and the Parquet file have all


@verb
@click.argument("records")
@of_model
@click.option("--out", "-o", default="scores.parquet", show_default=True, help="Parquet table.")
@click.option("--strict", is_flag=True, help="Stop at the first recording that fails.")
@click.option("--restart", is_flag=True, help="Start anew instead of going on with an earlier run.")
@click.option("--batch", type=click.IntRange(min=1), help="Recordings per call of the network.")
def score(
    show: Show,
    records: str,
    model: str,
    weights: str | None,
    variant: tuple[str, ...],
    out: str,
    strict: bool,
    restart: bool,
    batch: int | None,
) -> None:
    """Score many recordings into a Parquet table.

    RECORDS is a folder or a glob. Run again after any interruption: it goes on where it stopped.
    """
    predictor = load(model, weights, variant)
    with show.progress("scoring", "records") as at:
        done = ek.score(
            predictor,
            records,
            out,
            resume=not restart,
            batch=batch,
            on_error="raise" if strict else "report",
            progress=lambda p: at(p.done, p.total),
        )
    show.title(str(done.out))
    show.pairs(
        [
            ("model", done.model),
            ("records", f"{done.total}, of which {done.failed} failed"),
            ("this run", f"{done.scored} in {done.seconds:.1f} s, {done.rate:.1f} records/s"),
        ]
    )
    errors = done.errors
    if errors:
        show.title("Not scored")
        show.table(["record", "error", "message"], errors[:MOST_ERRORS])
        if len(errors) > MOST_ERRORS:
            show.line(f"... and {len(errors) - MOST_ERRORS} more, in the table")
    show.result = {
        "out": done.out.resolve(),
        "model": done.model,
        "total": done.total,
        "failed": done.failed,
        "scored": done.scored,
        "seconds": done.seconds,
        "records_per_second": done.rate,
        "errors": [dict(zip(("record", "error", "message"), row, strict=True)) for row in errors],
    }


@verb
@click.argument("root")
@of_model
@click.option("--folds", default="10", show_default=True, help="For instance 10, 9,10 or 1-8.")
@click.option("--draws", default=1000, show_default=True, help="Bootstrap draws.")
@click.option("--seed", default=0, show_default=True, help="Of the bootstrap.")
def evaluate(
    show: Show,
    root: str,
    model: str,
    weights: str | None,
    variant: tuple[str, ...],
    folds: str,
    draws: int,
    seed: int,
) -> None:
    """Measure a model on PTB-XL, beside the paper's figures.

    ROOT is the folder that holds ptbxl_database.csv.
    """
    predictor = load(model, weights, variant)
    contract = predictor.contract
    data = ek.datasets.ptbxl(root, fs=contract.fs, folds=_folds(folds), task="rhythm4")
    show.title(f"{predictor.title} on {data.name} {data.version}")
    show.line(data.summary())
    pieces = []
    with show.progress("evaluating", "records") as at:
        for signals in data.signal_batches(BATCH):
            pieces.append(predictor(signals, fs=data.fs))
            at(sum(map(len, pieces)), len(data))
    order = [predictor.labels.index(label) for label in data.labels]
    scores = np.concatenate([p.probabilities for p in pieces])[:, order]
    settings: dict[str, Any] = {"n": draws, "seed": seed}
    reports = [
        ek.evaluate.single_label(data.y, scores, data.labels, groups=data.patient, **settings)
    ]
    if pieces[0].windows is not None:
        windows = np.concatenate([p.windows for p in pieces])[..., order]
        each = windows.shape[1]
        reports.append(
            ek.evaluate.single_label(
                np.repeat(data.y, each),
                windows.reshape(-1, len(order)),
                data.labels,
                groups=np.repeat(data.patient, each),
                unit="window",
                **settings,
            )
        )
    _print(show, predictor, reports)
    show.result = {
        "model": predictor.title,
        "weights": predictor.fingerprint,
        "data": f"{data.name} {data.version}",
        "folds": sorted(set(data.fold.tolist())),
        "counts": data.counts,
        "dropped": dict(data.dropped),
        "measured": {r.unit: r.to_dict() | {"intervals": r.note} for r in reports},
        "paper": predictor.paper_reported,
    }


def _print(show: Show, predictor: ek.models.Model, reports: list[Any]) -> None:
    """The paper's figures and ours in columns of their own, then ours class by class."""
    show.title("Paper and measured (other data, another split: not to be compared as equals)")
    rows = [
        (r["model"], r["metric"], r["value"], "", f"{r['data']}; split {r['split']}")
        for r in predictor.paper_reported
    ]
    for report in reports:
        what = f"{predictor.title}, per {'ECG' if report.unit == 'ecg' else report.unit}"
        for metric in ("accuracy", "balanced_accuracy", "macro_f1"):
            name = metric.replace("_", " ")
            rows.append((what, name, "", getattr(report, metric), f"this run, n={report.n}"))
    show.table(["network", "metric", "paper", "measured (95 %)", "data"], rows)
    whole = reports[0]
    show.title("Per class, per ECG")
    show.table(
        ["class", "precision", "recall", "F1", "examples", *whole.labels],
        [
            (
                label,
                *(whole.per_class[label][m] for m in ("precision", "recall", "f1")),
                whole.support[label],
                *whole.confusion[i],
            )
            for i, label in enumerate(whole.labels)
        ],
    )
    show.line(f"Right: how often each class was named. {whole.note}.")


def _folds(text: str) -> list[int]:
    """``"9,10"`` or ``"1-8"`` as numbers."""
    found: list[int] = []
    for part in text.split(","):
        low, dash, high = part.partition("-")
        if not (low.strip().isdecimal() and (not dash or high.strip().isdecimal())):
            raise click.BadParameter(f"{text!r} is not like 10, 9,10 or 1-8", param_hint="--folds")
        found += range(int(low), int(high if dash else low) + 1)
    return found


@verb
def models(show: Show) -> None:
    """List the models: paper, task, input, weights."""
    table = ek.list_models()
    for row in table:
        show.title(row.name)
        names = ("paper", "task", "input", "weights", "variants")
        show.pairs([(name, getattr(row, name)) for name in names])
    show.result = {"models": [vars(row) for row in table]}
