"""Single-label classification: confusion and figures with bootstrap intervals over patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import _html
from .._typing import Array, ArrayLike
from ..errors import LayoutError
from ..metrics import confusion_figures, resample_counts

PAPER_COLUMN = "paper: other data, split unknown"
_PER_CLASS = ("precision", "recall", "f1")


@dataclass(frozen=True)
class Estimate:
    """A figure with its bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f}-{self.high:.3f})"

    def to_dict(self) -> dict[str, float]:
        """JSON types."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class SingleLabelReport:
    """Figures of one classifier on one data set; ``confusion`` has the truth in rows.

    Attributes
    ----------
    accuracy, balanced_accuracy, macro_f1 : Estimate
    per_class : mapping of label to mapping of "precision", "recall", "f1" to Estimate
    support : mapping of label to int
    n, groups : int
        Decisions, and independent units that were resampled (patients).
    unit : str
        What one decision is about: ``"ecg"``, ``"window"``.
    paper : mapping of metric to float
        What the paper reports, on other data; printed in its own column, never compared by machine.
    """

    labels: tuple[str, ...]
    confusion: Array
    accuracy: Estimate
    balanced_accuracy: Estimate
    macro_f1: Estimate
    per_class: Mapping[str, Mapping[str, Estimate]]
    support: Mapping[str, int]
    n: int
    groups: int
    draws: int
    seed: int
    level: float
    unit: str = "ecg"
    paper: Mapping[str, float] = field(default_factory=dict)

    def _rows(self) -> list[tuple[str, str, Estimate, float | None]]:
        whole = ("accuracy", "balanced_accuracy", "macro_f1")
        rows = [(name, "", getattr(self, name), self.paper.get(name)) for name in whole]
        rows += [
            (m, label, self.per_class[label][m], None) for label in self.labels for m in _PER_CLASS
        ]
        return rows

    def to_frame(self) -> Any:
        """One row per figure: measured, low, high, and the paper's in its own column (pandas)."""
        from .._extras import need

        pd = need("pandas", "cli", "SingleLabelReport.to_frame")
        rows = [
            {
                "metric": metric, "class": label, "unit": self.unit, "measured": e.value,
                "low": e.low, "high": e.high, PAPER_COLUMN: np.nan if paper is None else paper,
            }
            for metric, label, e, paper in self._rows()
        ]  # fmt: skip
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """The block that a model card holds: JSON types, without the paper's figures."""
        return {
            "n": self.n,
            "accuracy": self.accuracy.to_dict(),
            "balanced_accuracy": self.balanced_accuracy.to_dict(),
            "macro_f1": self.macro_f1.to_dict(),
            "per_class": {
                label: {m: self.per_class[label][m].to_dict() for m in _PER_CLASS}
                | {"support": self.support[label]}
                for label in self.labels
            },
            "confusion": self.confusion.tolist(),
        }

    @property
    def note(self) -> str:
        """How the intervals were made, in one sentence."""
        return (
            f"{100 * self.level:g} % intervals: bootstrap over {self.groups} patients, "
            f"{self.draws} draws, seed {self.seed}"
        )

    def __repr__(self) -> str:
        width = max(len(label) for label in (*self.labels, "truth"))
        lines = [f"<SingleLabelReport per {self.unit}, n={self.n}; {self.note}>"]
        lines.append(f"  {'':<28}{'measured':<22}{PAPER_COLUMN if self.paper else ''}")
        for metric, label, e, paper in self._rows():
            shown = "" if paper is None else f"{paper:.2f}"
            lines.append(f"  {f'{metric} {label}':<28}{e!s:<22}{shown}".rstrip())
        lines.append(f"  confusion, truth in rows: {' '.join(self.labels)}")
        for label, row in zip(self.labels, self.confusion):
            lines.append(f"    {label:<{width}} " + " ".join(f"{int(v):>6}" for v in row))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = ["metric", "class", f"measured ({100 * self.level:g} % interval)"]
        rows: list[list[Any]] = [[metric, label, str(e)] for metric, label, e, _ in self._rows()]
        if self.paper:
            head.append(PAPER_COLUMN)
            for row, (_, _, _, paper) in zip(rows, self._rows()):
                row.append("" if paper is None else f"{paper:.2f}")
        figures = _html.table(head, rows, caption=f"per {self.unit}, n = {self.n}; {self.note}")
        cells = [[label, *map(int, row)] for label, row in zip(self.labels, self.confusion)]
        matrix = _html.table(["truth \\ predicted", *self.labels], cells, caption="confusion")
        return f"<div>{figures}{matrix}</div>"


def single_label(
    y: ArrayLike,
    predicted: ArrayLike,
    labels: Sequence[str],
    *,
    groups: ArrayLike | None = None,
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    unit: str = "ecg",
    paper: Mapping[str, float] | None = None,
) -> SingleLabelReport:
    """Accuracy, balanced accuracy, precision, recall, F1 and macro F1 with bootstrap intervals.

    Parameters
    ----------
    y : array_like of int, shape (m,)
        True class, an index into ``labels``.
    predicted : array_like, shape (m,) of int or (m, len(labels)) of float
        Predicted class, or scores whose largest decides.
    labels : sequence of str
    groups : array_like of int, shape (m,), optional
        Patient of every decision; patients are resampled with all their decisions. Default: every
        decision its own.
    n, seed, level : int, int, float
        Bootstrap draws, seed of the generator, coverage of the percentile interval.
    unit : str
        What a decision is about; printed.
    paper : mapping of metric to float, optional
        Reported figures, shown in their own column.

    Returns
    -------
    SingleLabelReport
        Where a ratio is 0/0 it counts as 0 (scikit-learn's ``zero_division=0``); balanced accuracy
        averages the recalls of the classes that occur.

    Raises
    ------
    LayoutError
        Shapes or class numbers do not fit, or there is nothing to evaluate.
    """
    labels = tuple(labels)
    k = len(labels)
    truth, guess = _classes(y, "y", k), _classes(predicted, "predicted", k)
    if truth.shape != guess.shape or truth.size == 0:
        raise LayoutError(
            f"y and predicted must be of one length above 0, got {truth.size} and {guess.size}"
        )
    unit_of = np.arange(truth.size) if groups is None else np.asarray(groups)
    if unit_of.shape != truth.shape:
        raise LayoutError(f"groups must have shape {truth.shape}, got {unit_of.shape}")
    if n < 1 or not 0 < level < 1:
        raise ValueError(f"n must be at least 1 and level inside (0, 1), got {n} and {level}")

    _, member = np.unique(unit_of, return_inverse=True)
    count = int(member.max()) + 1
    cells = np.zeros((count, k * k), np.int64)
    np.add.at(cells, (member, truth * k + guess), 1)
    draws = resample_counts(cells, n, np.random.default_rng(seed)).reshape(n, k, k)

    point = cells.sum(0).reshape(k, k)
    value, spread = confusion_figures(point[None]), confusion_figures(draws)
    tail = 50 * (1 - level)

    def estimate(name: str, at: int | None = None) -> Estimate:
        drawn, seen = spread[name], value[name][0]
        if at is not None:
            drawn, seen = drawn[:, at], seen[at]
        low, high = np.percentile(drawn, [tail, 100 - tail])
        return Estimate(float(seen), float(low), float(high))

    return SingleLabelReport(
        labels=labels,
        confusion=point,
        accuracy=estimate("accuracy"),
        balanced_accuracy=estimate("balanced_accuracy"),
        macro_f1=estimate("macro_f1"),
        per_class={
            label: {m: estimate(m, i) for m in _PER_CLASS} for i, label in enumerate(labels)
        },
        support={label: int(point[i].sum()) for i, label in enumerate(labels)},
        n=truth.size,
        groups=count,
        draws=n,
        seed=seed,
        level=level,
        unit=unit,
        paper=dict(paper or {}),
    )


def _classes(x: ArrayLike, name: str, k: int) -> Array:
    x = np.asarray(x)
    if name == "predicted" and x.ndim == 2:
        if x.shape[1] != k:
            raise LayoutError(f"predicted must have {k} columns (one per label), got {x.shape}")
        if not np.isfinite(x).all():
            raise LayoutError("predicted holds NaN or infinite scores")
        return x.argmax(1)
    if x.ndim != 1 or x.dtype.kind not in "iu":
        raise LayoutError(f"{name} must be class numbers of shape (m,), got {x.dtype} {x.shape}")
    if x.size and (x.min() < 0 or x.max() >= k):
        raise LayoutError(f"{name} must lie in 0..{k - 1}, got {x.min()}..{x.max()}")
    return x.astype(np.int64)
