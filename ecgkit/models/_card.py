"""Model cards: what a bundled model is, on what it was trained, how well it does.

A card is one JSON file, ``ecgkit/models/weights/<system>/card.json``, beside the weights. It is
written by the training script through :class:`Card` and read by :func:`ecgkit.load_model`. The
paper's figures and ours live in different fields and are never mixed::

    {
      "format": 1,
      "system": "scalogram_arrhythmia",
      "labels": ["SB", "AFIB", "GSVT", "SR"],
      "paper": {"title": "...", "authors": "...", "year": 2023, "id": "arXiv 2312.09426"},
      "paper_reported": [
        {"model": "fine-tuned 2-D CNN (best)", "metric": "test accuracy", "value": 0.98,
         "data": "...", "split": "unknown"}
      ],
      "data": {
        "name": "PTB-XL", "version": "1.0.3", "url": "https://...", "licence": "CC BY 4.0",
        "sha256": "of the label table and of every signal file read, in the table's order",
        "mapping": {"SB": ["SBRAD"], "AFIB": ["AFIB", "AFLT"], "GSVT": [...], "SR": [...]},
        "split": "official folds: 1-8 training, 9 validation, 10 test; patients never across",
        "counts": {"train": {"SB": 0, ...}, "validation": {...}, "test": {...}},
        "dropped": {"no class": 0, "more than one class": 0}
      },
      "licence": "of the weights",
      "best": "the network load_model takes by default",
      "networks": {
        "resnet18": {
          "weights": "resnet18.safetensors", "sha256": "of that file", "dtype": "float16",
          "parameters": 11178564,
          "contract": {...},                  Contract.to_dict(); the image size is in it
          "seed": 0,
          "script": "the command that made the weights",
          "training": {"epochs": 12, ...},    free: optimiser, augmentation, time, versions, ...
          "metrics": {                        fold 10, touched once
            "ecg": {
              "n": 2100,
              "accuracy": {"value": 0.0, "low": 0.0, "high": 0.0},
              "balanced_accuracy": {...}, "macro_f1": {...},
              "per_class": {
                "SB": {"precision": {...}, "recall": {...}, "f1": {...}, "support": 64}, ...
              },
              "confusion": [[...], ...]       rows are the truth, in the order of labels
            },
            "window": {...}                   the same over single windows, if classified
          },
          "metrics_note": "95 % intervals: bootstrap over ECGs, 1000 draws, seed 0"
        }
      }
    }
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .. import _html
from ..errors import FormatError

FORMAT = 1
_SETTING = ("data", "split")


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f}-{self.high:.3f})"


@dataclass(frozen=True)
class ClassMetrics:
    """Precision, recall and F1 of one class; ``support`` true examples."""

    precision: Estimate
    recall: Estimate
    f1: Estimate
    support: int


@dataclass(frozen=True)
class Metrics:
    """Single-label test metrics; ``confusion`` has the truth in rows, in the order of the
    labels."""

    n: int
    accuracy: Estimate
    balanced_accuracy: Estimate
    macro_f1: Estimate
    per_class: dict[str, ClassMetrics]
    confusion: list[list[int]]


@dataclass(frozen=True)
class NetworkCard:
    """One trained network of a system."""

    weights: str
    sha256: str
    dtype: str
    parameters: int
    contract: dict[str, Any]
    seed: int
    script: str
    metrics: dict[str, Metrics]
    training: dict[str, Any] = field(default_factory=dict)
    metrics_note: str = ""


@dataclass(frozen=True)
class Card:
    """All that is known about a system's bundled weights (format: see this module's text)."""

    system: str
    labels: list[str]
    paper: dict[str, Any]
    paper_reported: list[dict[str, Any]]
    data: dict[str, Any] = field(default_factory=dict)
    licence: str = ""
    best: str = ""
    networks: dict[str, NetworkCard] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries and lists, as in the JSON file."""
        return {"format": FORMAT, **asdict(self)}

    def to_json(self) -> str:
        """The text of ``card.json``."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], source: str = "card") -> Card:
        """A checked card.

        Raises
        ------
        FormatError
            A field is missing, unknown or of the wrong kind; the message names it and ``source``.
        """
        try:
            given = dict(data)
            version = given.pop("format")
            if version != FORMAT:
                raise FormatError(f"{source}: card format {version!r}, this version reads {FORMAT}")
            networks = {name: _network(net) for name, net in given.pop("networks").items()}
            card = cls(**given, networks=networks)
        except (KeyError, TypeError, AttributeError) as error:
            raise FormatError(
                f"{source}: not a model card ({type(error).__name__}: {error})"
            ) from None
        if card.networks and card.best not in card.networks:
            raise FormatError(
                f"{source}: best is {card.best!r}, the card has {', '.join(card.networks)}"
            )
        return card

    @classmethod
    def read(cls, path: str | Path) -> Card:
        """The card in a JSON file."""
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise FormatError(f"{path}: not JSON ({error})") from None
        return cls.from_dict(data, str(path))

    def to_frame(self, unit: str = "ecg"):
        """Measured figures, one row per network (pandas). The paper's are in
        :attr:`paper_reported`."""
        from .._extras import need

        pd = need("pandas", "cli", "Card.to_frame")
        rows = {
            name: {
                "n": m.n,
                "accuracy": m.accuracy.value,
                "balanced_accuracy": m.balanced_accuracy.value,
                "macro_f1": m.macro_f1.value,
            }
            for name, net in self.networks.items()
            if (m := net.metrics.get(unit)) is not None
        }
        return pd.DataFrame.from_dict(rows, orient="index")

    def __str__(self) -> str:
        lines = [f"{self.system}: {self.paper.get('title', '')} ({self.paper.get('id', '')})"]
        for row in self.paper_reported:
            lines.append(
                f"  paper     {row['model']}: {row['metric']} {row['value']} on "
                f"{row.get('data', 'unknown data')}, "
                f"split {row.get('split', 'unknown')}"
            )
        for name, net in self.networks.items():
            for unit, m in net.metrics.items():
                mark = "*" if name == self.best else " "
                lines.append(
                    f"  measured{mark} {name} per {unit} (n={m.n}): accuracy {m.accuracy}, macro "
                    f"F1 {m.macro_f1}"
                )
        if not self.networks:
            lines.append("  measured  nothing: no bundled weights belong to this card")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        paper = _html.table(
            ["model", "metric", "reported", "data", "split"],
            [
                [r["model"], r["metric"], r["value"], *(r.get(k, "unknown") for k in _SETTING)]
                for r in self.paper_reported
            ],
            caption="Reported by the paper",
        )
        measured = _html.table(
            ["network", "unit", "n", "accuracy", "balanced accuracy", "macro F1"],
            [
                [name, unit, m.n, m.accuracy, m.balanced_accuracy, m.macro_f1]
                for name, net in self.networks.items()
                for unit, m in net.metrics.items()
            ],
            caption=f"Measured on {self.data.get('name', 'nothing')}",
        )
        return f"<div><b>{_html.text(self.system)}</b>{paper}{measured}</div>"


def _estimate(value: Any) -> Estimate:
    return Estimate(**value)


def _network(data: Mapping[str, Any]) -> NetworkCard:
    given = dict(data)
    return NetworkCard(
        metrics={unit: _metrics(block) for unit, block in given.pop("metrics").items()}, **given
    )


def _metrics(data: Mapping[str, Any]) -> Metrics:
    given = dict(data)
    per_class = {
        label: ClassMetrics(
            _estimate(c["precision"]), _estimate(c["recall"]), _estimate(c["f1"]), int(c["support"])
        )
        for label, c in given.pop("per_class").items()
    }
    whole: dict[str, Any] = {
        name: _estimate(given.pop(name)) for name in ("accuracy", "balanced_accuracy", "macro_f1")
    }
    return Metrics(per_class=per_class, **whole, **given)
