"""One recording on one self-contained HTML page."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import _atomic
from .._extras import need
from . import _sections

if TYPE_CHECKING:
    from ..models import Model, Prediction
    from ..record import Record

__all__ = ["html"]


def html(
    rec: Record,
    prediction: Prediction | None = None,
    out: str | os.PathLike[str] | None = None,
    *,
    model: Model | None = None,
) -> Path | str:
    """Write what is known about a recording as one HTML file: no network, no script.

    The page has the header's facts, signal quality, the recording on ECG paper true to scale,
    beats and RR intervals, the stacked scalogram, the probabilities with their notes, and about
    the model: its contract, on what it was trained, and the paper's figures beside the measured.

    Parameters
    ----------
    rec : Record
    prediction : Prediction, optional
        Of this one recording. Default: what ``model`` says about it, or none.
    out : path, optional
        Where to write; a file that is there is replaced whole, at once. Default: return the text.
    model : Model, optional
        Which model the page is to describe. Default: the bundled one that made ``prediction``.

    Returns
    -------
    Path or str
        ``out`` as a path, or the page.

    Raises
    ------
    LayoutError
        The prediction is of a batch.
    MissingExtraError
        jinja2 is not installed (extra ``cli``).
    """
    jinja2 = need("jinja2", "cli", "the HTML report")
    page = jinja2.Environment(
        loader=jinja2.PackageLoader("ecgkit.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template("report.html.j2")
    facts: dict[str, Any] = _sections.gather(rec, prediction, model)
    text = page.render(made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), **facts)
    if out is None:
        return text
    _atomic.write_bytes(out, text.encode("utf-8"))
    return Path(out)
