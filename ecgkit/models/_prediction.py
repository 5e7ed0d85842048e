"""What a classifier answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .. import _html
from .._typing import Array


@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """Class probabilities of one recording or of a batch.

    Attributes
    ----------
    labels : tuple of str
    probabilities : ndarray, shape (label,) for one recording, (n, label) for a batch
        Sum to 1 where the labels exclude each other.
    windows : ndarray or None, shape (window, label) or (n, window, label)
        Probabilities of the single windows where the model has them.
    notes : tuple of str, or tuple of those for a batch
        What was done to a recording to fit the model's contract (resampled, leads reordered,
        cropped).
    model : str
        The model and its weights.
    """

    labels: tuple[str, ...]
    probabilities: Array
    windows: Array | None = None
    notes: tuple = ()
    model: str = ""

    @property
    def single(self) -> bool:
        """One recording (probabilities are one-dimensional), not a batch."""
        return self.probabilities.ndim == 1

    @property
    def top(self):
        """The most probable label: a str, or a list of str for a batch."""
        best = np.argmax(self.probabilities, axis=-1)
        return self.labels[best] if self.single else [self.labels[i] for i in best]

    def __len__(self) -> int:
        return 1 if self.single else len(self.probabilities)

    def __getitem__(self, key):
        """``p[i]`` is recording i of a batch; ``p["AFIB"]`` the probability (or probabilities) of a
        label."""
        if isinstance(key, str):
            if key not in self.labels:
                raise KeyError(f"no label {key!r}; there are {', '.join(self.labels)}")
            value = self.probabilities[..., self.labels.index(key)]
            return float(value) if self.single else value
        if self.single:
            raise TypeError("a prediction of one recording is indexed by label only")
        windows = None if self.windows is None else self.windows[key]
        notes = self.notes[key] if self.notes else ()
        return Prediction(self.labels, self.probabilities[key], windows, notes, self.model)

    def __iter__(self) -> Iterator[Prediction]:
        if self.single:
            yield self
        else:
            yield from (self[i] for i in range(len(self)))

    def to_frame(self):
        """One row per recording, one column per label, then ``top`` and ``notes`` (pandas)."""
        from .._extras import need

        pd = need("pandas", "cli", "Prediction.to_frame")
        rows = self.probabilities[None] if self.single else self.probabilities
        frame = pd.DataFrame(rows, columns=list(self.labels))
        frame["top"] = [self.top] if self.single else self.top
        notes = [self.notes] if self.single else list(self.notes) or [()] * len(rows)
        frame["notes"] = ["; ".join(n) for n in notes]
        return frame

    def __repr__(self) -> str:
        if not self.single:
            lines = [f"Prediction of {len(self)} recordings ({self.model})"]
            shown = [self[i] for i in range(min(len(self), 10))]
            lines += [f"  {i:>3}  {p.top:<8} {p[p.top]:.3f}" for i, p in enumerate(shown)]
            return "\n".join(lines + ["  ..."] * (len(self) > len(shown)))
        order = np.argsort(-self.probabilities, kind="stable")
        lines = [f"Prediction: {self.top} ({self.model})"]
        lines += [f"  {self.labels[i]:<8} {self.probabilities[i]:.3f}" for i in order]
        return "\n".join(lines + [f"  note: {note}" for note in self.notes])

    def _repr_html_(self) -> str:
        foot = f'<div style="color:#718096;font-size:12px">{_html.text(self.model)}</div>'
        if self.single:
            top = self.top
            bars = "".join(
                _html.bar(name, value, strong=name == top)
                for name, value in zip(self.labels, self.probabilities, strict=True)
            )
            notes = "".join(f"<div>note: {_html.text(note)}</div>" for note in self.notes)
            return f"<div>{bars}{notes}{foot}</div>"
        rows = [
            [i, p.top, *(f"{v:.3f}" for v in p.probabilities), "; ".join(p.notes)]
            for i, p in enumerate(self[k] for k in range(min(len(self), 20)))
        ]
        more = f"<div>... {len(self) - 20} more</div>" if len(self) > 20 else ""
        return f"<div>{_html.table(['', 'top', *self.labels, 'notes'], rows)}{more}{foot}</div>"
