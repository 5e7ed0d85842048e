"""The command group, and the options that verbs share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

import ecgkit as ek

from ._show import Show

DEFAULT = "scalogram_arrhythmia"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(ek.__version__, prog_name="ecgkit")
def app() -> None:
    """Read ECGs, run the literature's models on them, report.

    Research software, not a medical device.
    """


def verb(function: Callable[..., Any]) -> click.Command:
    """Make a command of a function whose first argument is a :class:`Show`."""

    @functools.wraps(function)
    def run(as_json: bool, quiet: bool, debug: bool, **options: Any) -> Any:
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
    return app.command(name=function.__name__.rstrip("_").replace("_", "-"))(run)


def of_file(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say how a file is to be read; the verb hands them to :func:`read`."""
    for decorate in (
        click.option("--unit", help="Unit of the samples, for files that do not say it."),
        click.option("--fs", type=float, help="Rate in Hz, for files that do not say it."),
        click.option("--record", help="Which recording, where a file holds several."),
    ):
        function = decorate(function)
    return function


def read(file: str, record: str | None, fs: float | None, unit: str | None) -> ek.Record:
    """The recording that the options of :func:`of_file` mean."""
    which = int(record) if record is not None and record.isdecimal() else record
    said: dict[str, Any] = {"record": which, "fs": fs, "unit": unit}
    return ek.read(file, **{name: value for name, value in said.items() if value is not None})


def of_model(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options that choose a model; the verb hands them to :func:`load`."""
    for decorate in (
        click.option(
            "--set", "variant", multiple=True, metavar="NAME=VALUE",
            help="A choice of the model, for instance network=resnet18; may be repeated.",
        ),
        click.option("--weights", help="A weight file instead of the bundled one."),
        click.option("--model", default=DEFAULT, show_default=True, help="See 'ecgkit models'."),
    ):  # fmt: skip
        function = decorate(function)
    return function


def load(model: str, weights: str | None, variant: tuple[str, ...]) -> ek.models.Model:
    """The model that the options of :func:`of_model` mean."""
    choices: dict[str, Any] = {}
    for pair in variant:
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise click.BadParameter(f"{pair!r} is not NAME=VALUE", param_hint="--set")
        choices[name] = int(value) if value.isdecimal() else value
    return ek.load_model(model, weights, **choices)
