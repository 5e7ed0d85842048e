"""Verbs about one recording: demo, info, report, convert."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

import ecgkit as ek

from ..plot._html import facts
from ..report import _sections
from ._app import load, of_file, of_model, read, verb
from ._show import Show


@verb
@click.argument("file", required=False)
@click.option("--out", "-o", default="report.html", show_default=True, help="Where the page goes.")
@of_model
@of_file
def demo(
    show: Show,
    file: str | None,
    out: str,
    model: str,
    weights: str | None,
    variant: tuple[str, ...],
    **how: Any,
) -> None:
    """The main job: read an ECG, name its rhythm, write a report.

    FILE is any supported file; default: a real 12-lead recording.
    """
    rec = ek.sample() if file is None else read(file, **how)
    describe(show, rec)
    predictor = load(model, weights, variant)
    prediction = predictor(rec)
    answer(show, prediction, predictor)
    write_report(show, rec, prediction, predictor, out)


@verb
@click.argument("file")
@of_file
def info(show: Show, file: str, **how: Any) -> None:
    """Header, signal quality and beats of FILE."""
    describe(show, read(file, **how))


@verb
@click.argument("file")
@click.option("--out", "-o", default="report.html", show_default=True, help="Where the page goes.")
@of_model
@of_file
def report(
    show: Show,
    file: str,
    out: str,
    model: str,
    weights: str | None,
    variant: tuple[str, ...],
    **how: Any,
) -> None:
    """Write one self-contained HTML page about FILE.

    With '--model none' it is about the recording alone.
    """
    rec = read(file, **how)
    predictor = None if model == "none" else load(model, weights, variant)
    prediction = None if predictor is None else predictor(rec)
    if predictor is not None:
        answer(show, prediction, predictor)
    write_report(show, rec, prediction, predictor, out)


@verb
@click.argument("source")
@click.argument("target")
@click.option("--format", "kind", help="Format to write; default: by the ending of TARGET.")
@of_file
def convert(show: Show, source: str, target: str, kind: str | None, **how: Any) -> None:
    """Write SOURCE as TARGET in another format."""
    rec = read(source, **how)
    ek.io.write(rec, target, format=kind)
    show.line(f"{target}: {len(rec.leads)} leads, {rec.duration:g} s at {rec.fs:g} Hz")
    show.result = {
        "source": source,
        "target": target,
        "leads": rec.leads,
        "fs": rec.fs,
        "samples": rec.n_samples,
    }


def describe(show: Show, rec: ek.Record) -> None:
    """Header, signal quality, beats."""
    header = facts(rec)
    show.title(str(rec.meta.get("source", "recording")))
    show.pairs(header)
    beats, quality = _sections.beats_of(rec), _sections.quality_of(rec)
    show.title("Signal quality")
    if quality["problem"]:
        show.line(quality["problem"])
    else:
        show.table(
            quality["head"],
            [[f"{text} !" if high else text for text, high in row] for row in quality["rows"]],
        )
        show.line(f"{quality['verdict']}: {quality['remark']}")
    show.title("Beats")
    if beats["summary"]:
        show.pairs(beats["summary"])
    else:
        show.line(beats["problem"] or "fewer than two beats were found")
    show.result |= {
        "header": dict(header),
        "leads": rec.leads,
        "fs": rec.fs,
        "samples": rec.n_samples,
        "quality": {
            "verdict": quality["verdict"],
            "remark": quality["remark"] or quality["problem"],
            "leads": quality["numbers"],
        },
        "beats": beats["peaks"],
        "heart_rate": beats["rate"],
    }


def answer(show: Show, prediction: Any, model: Any) -> None:
    """The probabilities of a prediction."""
    show.title(f"Rhythm by {prediction.model}")
    names = [(label, _sections.MEANING.get(label, "")) for label in prediction.labels]
    show.bars(names, prediction.probabilities, int(np.argmax(prediction.probabilities)))
    for note in prediction.notes:
        show.line(f"to fit the model: {note}")
    show.line(f"weights: {model.weights}")
    show.result["prediction"] = {
        "model": prediction.model,
        "top": prediction.top,
        "probabilities": dict(zip(prediction.labels, prediction.probabilities, strict=True)),
        "notes": prediction.notes,
        "weights": model.weights,
    }


def write_report(show: Show, rec: ek.Record, prediction: Any, model: Any, out: str) -> None:
    """The page, and where it is."""
    path = Path(ek.report.html(rec, prediction, out, model=model)).resolve()
    show.title("Report")
    show.line(str(path))
    show.result["report"] = str(path)
