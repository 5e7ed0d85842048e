"""The verbs. Each works through the library, shows the result, and leaves the facts as JSON."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import click
import numpy as np

import ecgkit as ek

from ..plot._html import facts
from ..report import _sections
from ._show import Show

MODEL = "scalogram_arrhythmia"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(ek.__version__, prog_name="ecgkit")
def app() -> None:
    """Read ECGs, run the literature's models on them, report.

    Research software, not a medical device.
    """


def verb(function):
    """Make a command of a function whose first argument is a :class:`Show`."""

    @functools.wraps(function)
    def run(as_json: bool, quiet: bool, debug: bool, **options: Any):
        show = Show(json=as_json, quiet=quiet)
        code = function(show, **options)
        show.finish()
        return code

    for decorate in (
        click.option("--debug", is_flag=True, help="Show the traceback of an error."),
        click.option("--quiet", "-q", is_flag=True, help="Print errors only."),
        click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output."),
    ):
        run = decorate(run)
    return app.command(name=function.__name__.rstrip("_"))(run)


def of_file(function):
    """Options that say how a file is to be read."""
    for decorate in (
        click.option("--record", help="Which recording, where a file holds several."),
        click.option(
            "--fs", type=float, help="Rate in Hz, for files that do not say it (CSV, NPY)."
        ),
        click.option("--unit", help="Unit of the samples, for files that do not say it."),
    ):
        function = decorate(function)
    return function


def read(file: str, record: str | None, fs: float | None, unit: str | None) -> ek.Record:
    """The recording that the options of :func:`of_file` mean."""
    which = int(record) if record is not None and record.isdecimal() else record
    said = {"record": which, "fs": fs, "unit": unit}
    return ek.read(file, **{name: value for name, value in said.items() if value is not None})


# ----------------------------------------------------------------- one record
@verb
@click.argument("file", required=False)
@click.option("--out", "-o", default="report.html", show_default=True, help="Where the page goes.")
@click.option("--model", default=MODEL, show_default=True)
@of_file
def demo(show: Show, file: str | None, out: str, model: str, **how: Any) -> None:
    """The main job: read FILE (default: a real one), predict its rhythm, write a report."""
    rec = ek.sample() if file is None else read(file, **how)
    describe(show, rec)
    predictor = ek.load_model(model)
    prediction = predictor(rec)
    answer(show, prediction)
    write_report(show, rec, prediction, predictor, out)


@verb
@click.argument("file")
@of_file
def info(show: Show, file: str, **how: Any) -> None:
    """Header and beats of FILE."""
    describe(show, read(file, **how))


@verb
@click.argument("file")
@click.option("--out", "-o", default="report.html", show_default=True, help="Where the page goes.")
@click.option(
    "--model", default=MODEL, show_default=True, help="'none' for a page without a model."
)
@of_file
def report(show: Show, file: str, out: str, model: str, **how: Any) -> None:
    """Write one self-contained HTML page about FILE."""
    rec = read(file, **how)
    predictor = None if model == "none" else ek.load_model(model)
    prediction = None if predictor is None else predictor(rec)
    if prediction is not None:
        answer(show, prediction)
    write_report(show, rec, prediction, predictor, out)


@verb
@click.argument("source")
@click.argument("target")
@click.option("--format", "kind", help="Format to write; default: by the ending of TARGET.")
@of_file
def convert(show: Show, source: str, target: str, kind: str | None, **how: Any) -> None:
    """Read SOURCE and write it as TARGET in another format."""
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
    """Header and beats."""
    header = facts(rec)
    show.title(str(rec.meta.get("source", "recording")))
    show.pairs(header)
    beats = _sections.beats_of(rec)
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
        "beats": beats["peaks"],
        "heart_rate": beats["rate"],
    }


def answer(show: Show, prediction: Any) -> None:
    """The probabilities of a prediction."""
    names = [f"{n}  {_sections.MEANING.get(n, '')}".rstrip() for n in prediction.labels]
    show.title(f"Rhythm by {prediction.model}")
    show.bars(names, prediction.probabilities, int(np.argmax(prediction.probabilities)))
    for note in prediction.notes:
        show.line(f"to fit the model: {note}")
    show.result["prediction"] = {
        "model": prediction.model,
        "top": prediction.top,
        "probabilities": dict(zip(prediction.labels, prediction.probabilities, strict=True)),
        "notes": prediction.notes,
    }


def write_report(show: Show, rec: ek.Record, prediction: Any, model: Any, out: str) -> None:
    """The page, and where it is."""
    path = Path(ek.report.html(rec, prediction, out, model=model)).resolve()
    show.title("Report")
    show.line(str(path))
    show.result["report"] = str(path)


# ---------------------------------------------------------------------- models
@verb
def models(show: Show) -> None:
    """The models: paper, task, input, where their weights come from."""
    table = ek.list_models()
    for row in table:
        show.title(row.name)
        names = ("paper", "task", "input", "weights", "variants")
        show.pairs([(name, getattr(row, name)) for name in names])
    show.result = {"models": [vars(row) for row in table]}
