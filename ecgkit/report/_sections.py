"""What stands in a report, as plain values; how it looks is the template's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import plot
from .._extras import need
from ..errors import EcgkitError, LayoutError
from ..plot._html import facts, plain

if TYPE_CHECKING:
    from ..models import Model, Prediction
    from ..record import Record

MOST_BEATS = 120  # rows of the beat table

QUALITY = (
    ("missing", "missing"),
    ("flat", "flat"),
    ("saturated", "saturated"),
    ("steps", "steps"),
    ("wander", "wander mV"),
    ("mains", "mains mV"),
    ("muscle", "muscle mV"),
)

MACHINE = ("sha256_splits", "sha256_of", "dropped_splits", "validation", "history", "versions")

MEANING = {
    "SB": "sinus bradycardia",
    "AFIB": "atrial fibrillation or flutter",
    "GSVT": "supraventricular tachycardia",
    "SR": "sinus rhythm",
}


def gather(rec: Record, prediction: Prediction | None, model: Model | None) -> dict[str, Any]:
    """All values that the template names."""
    from .. import __version__

    if prediction is None and model is not None:
        prediction = model(rec)
    if prediction is not None and not prediction.single:
        raise LayoutError(
            f"a report shows one recording, the prediction is of {len(prediction)}: pass one of "
            "them, prediction[i]"
        )
    if model is None and prediction is not None:
        model = bundled(prediction.model)
    beats = beats_of(rec)
    return {
        "version": __version__,
        "title": plain(rec.meta.get("source")) or "ECG",
        "header": facts(rec, longest=4000),
        "duration": f"{rec.duration:g} s",
        "rate": f"{rec.fs:g} Hz",
        "leads": f"{len(rec.leads)} lead{'s' if len(rec.leads) > 1 else ''}",
        "paper": _safe(plot.paper_svg(rec, beats=beats["peaks"])),
        "beats": beats,
        "quality": quality_of(rec),
        "answer": answer_of(prediction),
        "scalogram": scalogram_of(rec, model),
        "model": model_of(model),
    }


def _safe(svg: str):
    """Text from our own SVG writers, which escape what they are given."""
    return need("markupsafe", "cli", "the HTML report").Markup(svg)


# -------------------------------------------------------------------- signal
def beats_of(rec: Record) -> dict[str, Any]:
    """R peaks of a record with their RR intervals and what follows from them."""
    from .. import signal

    found: dict[str, Any] = {"peaks": np.zeros(0, np.int64), "problem": "", "rate": None}
    found |= {"summary": [], "rows": [], "more": ""}
    try:
        beats = signal.beats(rec)
    except EcgkitError as error:
        return found | {"problem": str(error)}
    found["peaks"] = beats.sample
    for i, (t, rr, rate) in enumerate(zip(beats.time, beats.rr * 1e3, beats.rate, strict=True), 1):
        if i > MOST_BEATS:
            found["more"] = f"{len(beats) - MOST_BEATS} more beats are not listed."
            break
        found["rows"].append(
            (i, f"{t:.3f}", f"{rr:.0f}" if i > 1 else "", f"{rate:.0f}" if i > 1 else "")
        )
    if len(beats) > 1:
        rr = beats.rr[1:] * 1e3
        found["rate"] = round(beats.mean_rate)
        found["summary"] = [
            ("beats found", str(len(beats))),
            (
                "heart rate",
                f"{beats.mean_rate:.0f} /min ({beats.min_rate:.0f} to {beats.max_rate:.0f})",
            ),
            ("RR interval", f"mean {rr.mean():.0f}, {rr.min():.0f} to {rr.max():.0f} ms"),
        ]
    if len(beats) > 2:
        found["summary"] += [("SDNN", f"{beats.sdnn:.0f} ms"), ("RMSSD", f"{beats.rmssd:.0f} ms")]
    return found


def quality_of(rec: Record) -> dict[str, Any]:
    """The quality table: its head, rows of (text, above its threshold), one word for all."""
    from .. import signal

    try:
        table = signal.quality(rec)
    except EcgkitError as error:
        nothing: dict[str, Any] = {"head": [], "rows": [], "numbers": {}}
        return nothing | {"problem": str(error), "verdict": "unknown", "remark": ""}
    flags = table.flags
    numbers = {
        lead: {name: float(getattr(table, name)[i]) for name, _ in QUALITY}
        for i, lead in enumerate(table.leads)
    }
    rows = [
        [
            (lead, False),
            *((_number(k, v), lead in flags.get(k, ())) for k, v in row.items()),
        ]
        for lead, row in numbers.items()
    ]
    words = []
    for name, where in flags.items():
        leads = "all leads" if len(where) == len(table.leads) > 1 else " ".join(where)
        swapped = f"electrodes exchanged? {table.reversal_kind}"
        words.append(swapped if name == "reversal" else f"{name} {leads}")
    return {
        "problem": "",
        "head": ["lead", *(title for _, title in QUALITY)],
        "rows": rows,
        "numbers": numbers,
        "verdict": "good" if table.ok else "flagged",
        "remark": "nothing above its threshold" if table.ok else "; ".join(words),
    }


def _number(name: str, value: float) -> str:
    if np.isnan(value):
        return ""
    return f"{value:.0f}" if name == "steps" else f"{value:.3f}"


# --------------------------------------------------------------------- model
def answer_of(prediction: Prediction | None) -> dict[str, Any] | None:
    """Probabilities, the most probable label, notes."""
    if prediction is None:
        return None
    names = [_long(label) for label in prediction.labels]
    return {
        "top": prediction.top,
        "meaning": MEANING.get(prediction.top, ""),
        "probability": f"{prediction[prediction.top]:.3f}",
        "bars": _safe(plot.bars_svg(names, prediction.probabilities)),
        "notes": list(prediction.notes),
        "windows": windows_of(prediction),
        "model": prediction.model,
    }


def windows_of(prediction: Prediction) -> str:
    """How many of the windows agree with the whole."""
    if prediction.windows is None:
        return ""
    best = np.argmax(prediction.windows, axis=-1)
    agree = int(np.sum(best == np.argmax(prediction.probabilities)))
    return f"{agree} of {len(best)} single windows say {prediction.top}."


def _long(label: str) -> str:
    return f"{label}  {MEANING[label]}" if label in MEANING else label


def bundled(title: str) -> Model | None:
    """The bundled model of that title, if there is one."""
    from .. import models

    try:
        name, _, choices = title.rstrip(")").partition("(")
        said = dict(part.split("=") for part in choices.split(", ") if part)
        choice: dict[str, Any] = {k: v for k, v in said.items() if k == "network"}
        found = models.load_model(name, **choice)
    except (EcgkitError, ValueError):
        return None
    return found if found.title == title else None


def scalogram_of(rec: Record, model: Model | None) -> dict[str, Any] | None:
    """The picture that the model looks at, before it is shrunk to the network's size."""
    if model is None or model.contract.features is None:
        return None
    features = model.contract.features
    if features.name != "stacked_scalogram":
        return None
    try:
        shown = plot.seen_by(model, rec)
    except EcgkitError as error:
        return {"problem": str(error), "svg": "", "text": ""}
    return {"problem": "", "svg": _safe(shown.svg()), "text": repr(shown)}


def model_of(model: Model | None) -> dict[str, Any] | None:
    """What the model is, its contract, its training, and its figures beside the paper's."""
    if model is None:
        return None
    card = model.card
    network = model.variant.get("network", "")
    trained = card.networks.get(network) if "bundled" in model.weights else None
    return {
        "facts": model._facts(),
        "title": model.title,
        "name": model.name,
        "contract": model.contract._rows(),
        "data": _told(card.data.items()) if trained else [],
        "training": _training_of(trained) if trained else [],
        "figures": figures_of(card, network),
        "classes": _classes_of(card, trained),
        "note": trained.metrics_note if trained else "",
    }


def figures_of(card: Any, network: str) -> list[tuple[str, str, str, str, str]]:
    """(what, metric, paper, measured, data and split): the paper's figure or ours, never both.

    Windows are shown for ``network`` only.
    """
    rows = [
        (
            plain(r["model"]),
            plain(r["metric"]),
            plain(r["value"]),
            "",
            f"{plain(r.get('data')) or 'data unknown'}; split {plain(r.get('split')) or 'unknown'}",
        )
        for r in card.paper_reported
    ]
    data = f"{card.data.get('name', '')} {card.data.get('version', '')}".strip()
    for name, net in card.networks.items():
        for unit, m in net.metrics.items():
            if unit != "ecg" and name != network:
                continue
            part = net.metrics_note.partition(",")[0] or "part not said"
            where = f"{data}, {part}; n={m.n}"
            for metric in ("accuracy", "balanced_accuracy", "macro_f1"):
                what = f"{name}, per {'ECG' if unit == 'ecg' else unit}"
                rows.append((what, metric.replace("_", " "), "", str(getattr(m, metric)), where))
    return rows


def _told(pairs: Any) -> list[tuple[str, str]]:
    """What a reader can take in; digests of parts, histories and the like stay in the card."""
    rows = [(str(k).replace("_", " "), plain(v)) for k, v in pairs if k not in MACHINE]
    return [(name, text) for name, text in rows if 0 < len(text) <= 400]


def _training_of(trained: Any) -> list[tuple[str, str]]:
    about = (("seed", trained.seed), ("made by", trained.script), *trained.training.items())
    return _told(about)


def _classes_of(card: Any, trained: Any) -> list[tuple[str, ...]]:
    if trained is None or "ecg" not in trained.metrics:
        return []
    metrics = trained.metrics["ecg"]
    return [
        (_long(label), str(c.precision), str(c.recall), str(c.f1), str(c.support))
        for label, c in metrics.per_class.items()
    ]
