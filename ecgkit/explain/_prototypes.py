"""Which prototypes an answer adds up from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from .. import _html
from .._typing import Array
from ..errors import EcgkitError, FormatError
from ..record import Record
from ._recording import one

UNKNOWN = (
    "the checkpoint does not say which training records its prototypes are from: pass prototypes= "
    "(the authors' JSON files, or the metadata of model.project)"
)


@dataclass(frozen=True, eq=False, repr=False)
class Prototypes:
    """One label's logit as a sum over prototypes.

    ``bias + contribution.sum()`` is ``logit``. Arrays run over all prototypes, in the order of
    ``model.prototypes``.

    Attributes
    ----------
    label : str
    probability, logit, bias : float
    branch, prototype_class : tuple of str
    number : ndarray, int
        Of the prototype in its branch.
    similarity, weight, contribution : ndarray, float64
        Likeness to the recording, the classifier's weight, and their product.
    start, stop : ndarray, float64
        Seconds of the recording's most similar window; all of it for prototypes that stand for
        whole recordings.
    source : tuple
        What is known of each prototype's training record: a dict, or None.
    seconds, timeline : ndarray
        Edges (step + 1,) of the network's time steps and what the windows in each add to the logit;
        they sum to the contribution of all prototypes that stand for windows.
    record : Record
        What was explained.
    note : str
        What is not known.
    """

    label: str
    probability: float
    logit: float
    bias: float
    branch: tuple[str, ...]
    number: Array
    prototype_class: tuple[str, ...]
    similarity: Array
    weight: Array
    contribution: Array
    start: Array
    stop: Array
    source: tuple[Mapping[str, Any] | None, ...]
    seconds: Array
    timeline: Array
    record: Record
    note: str = ""

    def order(self) -> Array:
        """Prototypes by the size of their contribution, largest first."""
        return np.argsort(-np.abs(self.contribution), kind="stable")

    def training_record(self, i: int) -> str:
        """The training record of prototype i in words."""
        known = self.source[i]
        return "unknown" if known is None else str(known.get("ecg_id", "unknown"))

    def to_frame(self):
        """One row per prototype, the largest contribution first (pandas)."""
        from .._extras import need

        pd = need("pandas", "cli", "Prototypes.to_frame")
        columns = {
            "branch": self.branch,
            "number": self.number,
            "class": self.prototype_class,
            "training_record": [self.training_record(i) for i in range(len(self.number))],
            "similarity": self.similarity,
            "weight": self.weight,
            "contribution": self.contribution,
            "start": self.start,
            "stop": self.stop,
        }
        return pd.DataFrame(columns).iloc[self.order()].reset_index(drop=True)

    def plot(self, top: int = 5, layout: str = "auto", **options: Any):
        """The recording on ECG paper, shaded by what each moment adds to the logit, with the
        windows of the ``top`` prototypes, and these as bars below (a matplotlib Figure).

        ``layout`` and options are those of :func:`ecgkit.plot.compose`.
        """
        from ..plot import evidence_figure
        from ..plot._evidence import bars_below

        if top < 1:
            raise EcgkitError(f"plot: top must be at least 1, got {top}")
        shown = self.order()[:top]
        whole = self.record.duration - 1e-9
        spans = [
            (rank, self.start[i], self.stop[i])
            for rank, i in enumerate(shown, 1)
            if self.stop[i] - self.start[i] < whole
        ]
        figure = evidence_figure(
            self.record,
            self.seconds,
            self.timeline[None],
            title=f"{self.label}: probability {self.probability:.3f}, logit {self.logit:+.2f}",
            legend="added to the logit",
            signed=True,
            layout=layout,
            spans=spans,
            **options,
        )
        rest = self.contribution.sum() - self.contribution[shown].sum()
        bars = [
            (f"{n}", self._words(i), float(self.contribution[i])) for n, i in enumerate(shown, 1)
        ]
        bars.append(("", f"{len(self.number) - len(shown)} other prototypes", float(rest)))
        bars.append(("", "bias", self.bias))
        bars_below(figure, bars, self.note)
        return figure

    def _words(self, i: int) -> str:
        source = self.training_record(i)
        return (
            f"{self.branch[i]} {self.number[i]}, {self.prototype_class[i]}"
            + ("" if source == "unknown" else f", record {source}")
            + f"; {self.start[i]:.2f}-{self.stop[i]:.2f} s"
            f"; similarity {self.similarity[i]:.2f} x weight {self.weight[i]:+.3f}"
        )

    def __repr__(self) -> str:
        head = (
            f"Prototypes for {self.label} (probability {self.probability:.3f}, logit "
            f"{self.logit:+.3f}, bias {self.bias:+.3f})"
        )
        lines = [
            f"  {self.contribution[i]:+.3f}  {self.branch[i]} {self.number[i]} "
            f"({self.prototype_class[i]}, training record {self.training_record(i)}), "
            f"{self.start[i]:.2f}-{self.stop[i]:.2f} s, similarity {self.similarity[i]:.3f}"
            for i in self.order()[:5]
        ]
        return "\n".join([head, *lines, *([f"  {self.note}"] if self.note else [])])

    def _repr_html_(self) -> str:
        rows = [
            [
                f"{self.contribution[i]:+.3f}",
                f"{self.branch[i]} {self.number[i]}",
                self.prototype_class[i],
                self.training_record(i),
                f"{self.start[i]:.2f}-{self.stop[i]:.2f} s",
                f"{self.similarity[i]:.3f}",
            ]
            for i in self.order()[:10]
        ]
        head = ["adds", "prototype", "class", "training record", "window", "similarity"]
        caption = f"{self.label}: logit {self.logit:+.3f}, probability {self.probability:.3f}"
        note = f"<div>{_html.text(self.note)}</div>" if self.note else ""
        return f"<div>{_html.table(head, rows, caption=caption)}{note}</div>"


def prototypes(
    model: Any,
    x: Any,
    fs: float | None = None,
    *,
    label: str | None = None,
    prototypes: Any = None,
    unit: str = "mV",
) -> Prototypes:
    """A label's logit, prototype by prototype.

    Parameters
    ----------
    model : Model
        One made of prototypes (``protoecgnet``).
    x : Record, or array (lead, time)
        One recording.
    fs : float
        Rate of an array in Hz.
    label : str, optional
        Default: the model's top label for ``x``.
    prototypes : path or mapping, optional
        What is known of the training record of each prototype, which no checkpoint holds: the
        authors' JSON of a branch (number -> ``{"ecg_id": ..., ...}``) as a path or a mapping; for
        the fusion a mapping from branch to one of these. ``model.project`` gives it.
    unit : str
        Unit of an array.

    Returns
    -------
    Prototypes

    Raises
    ------
    EcgkitError
        ``label`` is none of the model's, or the metadata names a branch or prototype that the model
        has not.
    FormatError
        A file that is not such a JSON.
    LayoutError
        More than one recording.
    """
    if label is not None and label not in model.labels:
        raise EcgkitError(f"no label {label!r}; the model has {', '.join(model.labels)}")
    signals, record = one(model, x, fs, unit, "prototypes")
    parts = model.evidence(model.contract.transform(signals), label)
    numbers = [i for group in parts["sizes"].values() for i in range(group)]
    known = _known(prototypes, parts["sizes"])
    branches = tuple(b for b, count in parts["sizes"].items() for _ in range(count))
    source = tuple(known.get((b, i)) for b, i in zip(branches, numbers, strict=True))
    classes = tuple(name for _, name in model.prototypes)
    return Prototypes(
        **{k: v for k, v in parts.items() if k != "sizes"},
        branch=branches,
        number=np.array(numbers),
        prototype_class=classes,
        source=source,
        record=record,
        note=UNKNOWN if not known else "",
    )


def _known(given: Any, sizes: Mapping[str, int]) -> dict[tuple[str, int], Mapping[str, Any]]:
    """Metadata by branch and number."""
    if given is None:
        return {}
    if isinstance(given, (str, PathLike)) or not set(given) & set(sizes):
        if len(sizes) > 1:
            raise EcgkitError(
                f"prototypes of a fusion must be a mapping from branch ({', '.join(sizes)}) to "
                "the JSON of that branch"
            )
        given = {next(iter(sizes)): given}
    found = {}
    for branch, table in given.items():
        if branch not in sizes:
            raise EcgkitError(f"no branch {branch!r}; the model has {', '.join(sizes)}")
        for key, about in _table(table).items():
            number = int(key) if str(key).isdecimal() else -1
            if not 0 <= number < sizes[branch]:
                raise EcgkitError(
                    f"no prototype {key!r} in branch {branch}; it has 0..{sizes[branch] - 1}"
                )
            found[branch, number] = about
    return found


def _table(given: Any) -> Mapping[Any, Mapping[str, Any]]:
    """A branch's metadata, read if it is a path."""
    if isinstance(given, (str, PathLike)):
        try:
            given = json.loads(Path(given).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise FormatError(f"{given}: not a JSON file of prototypes ({error})") from None
    if not isinstance(given, Mapping) or not all(isinstance(v, Mapping) for v in given.values()):
        raise FormatError(
            "prototypes must map each number to a mapping such as {'ecg_id': ...}, got "
            f"{type(given).__name__}"
        )
    return given
