"""What an answer rests on: the change of a probability when a part of the input is taken away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _html
from .._typing import Array
from ..errors import EcgkitError, LayoutError
from ..record import Record
from ._picture import PictureMap, occlude, one_picture, takes_pictures
from ._recording import one

EMBEDDING = "embedding"


@dataclass(frozen=True, eq=False, repr=False)
class Occlusion:
    """Drop of one label's probability for every lead and second that was silenced.

    A model without labels is judged by its embedding: ``label`` is ``"embedding"`` and the cosine
    with the embedding of the whole recording takes the place of the probability.

    Attributes
    ----------
    label : str
    probability : float
        Of the whole recording.
    leads : tuple of str
    seconds : ndarray, shape (segment + 1,)
        Edges of the segments.
    values : ndarray, shape (lead, segment)
        ``probability`` minus the probability without that part: positive where the part speaks for
        the label.
    """

    label: str
    probability: float
    leads: tuple[str, ...]
    seconds: Array
    values: Array
    record: Record
    """What was explained."""

    def to_frame(self):
        """Leads in rows, starts of the segments in columns (pandas)."""
        from .._extras import need

        pd = need("pandas", "cli", "Occlusion.to_frame")
        return pd.DataFrame(self.values, index=list(self.leads), columns=self.seconds[:-1])

    def plot(self, layout: str = "rows", **options: Any):
        """The drops over the recording on ECG paper, red where a part speaks for the label and blue
        where it speaks against it (a matplotlib Figure).

        ``layout`` and options are those of :func:`ecgkit.plot.compose`.
        """
        from ..plot import evidence_figure

        return evidence_figure(
            self.record,
            self.seconds,
            self.values,
            leads=self.leads,
            title=f"{self.label}: {self.probability:.3f}",
            legend=_meaning(self.label),
            signed=True,
            layout=layout,
            **options,
        )

    def __repr__(self) -> str:
        order = np.argsort(-self.values, axis=None, kind="stable")[:5]
        lines = [f"Occlusion of {self.label} (probability {self.probability:.3f})"]
        for lead, segment in zip(*np.unravel_index(order, self.values.shape), strict=True):
            start, end = self.seconds[segment : segment + 2]
            lines.append(
                f"  {self.leads[lead]:<4} {start:g}-{end:g} s  {self.values[lead, segment]:+.3f}"
            )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = ["lead", *(f"{a:g}-{b:g} s" for a, b in zip(self.seconds[:-1], self.seconds[1:]))]
        rows = [
            [name, *(f"{v:+.3f}" for v in row)]
            for name, row in zip(self.leads, self.values, strict=True)
        ]
        caption = f"{self.label} {self.probability:.3f}: {_meaning(self.label)}"
        return _html.table(head, rows, caption=caption)


def occlusion(
    model: Any,
    x: Any,
    fs: float | None = None,
    *,
    label: str | None = None,
    seconds: float = 1.0,
    cells: tuple[int, int] = (7, 7),
    unit: str = "mV",
) -> Occlusion | PictureMap:
    """Silence one lead for one segment at a time and see what the model says (Zeiler and Fergus
    2014).

    A part is silenced after the contract's filters and normalisation, so that no filter smears the
    edges: set to 0, the mean of a z-scored lead; to the lead's own mean where the contract scales
    to a range. All variants run as one batch. A model without labels is judged by its embedding.

    Parameters
    ----------
    model : Model
    x : Record, or array (lead, time)
        One recording.
    fs : float
        Rate of an array in Hz.
    label : str, optional
        Default: the model's top label for ``x``.
    seconds : float
        Length of a segment; default 1 s.
    cells : pair of int
        Rows and columns of a picture, for models of pictures: one cell at a time takes the
        picture's mean colour.
    unit : str
        Unit of an array.

    Returns
    -------
    Occlusion, or PictureMap for a model of pictures

    Raises
    ------
    EcgkitError
        ``label`` is none of the model's.
    LayoutError
        More than one recording, or a segment shorter than a sample or longer than the input.
    """
    if label is not None and label not in model.labels:
        known = ", ".join(model.labels) or "none, it gives embeddings"
        raise EcgkitError(f"no label {label!r}; the model has {known}")
    contract = model.contract
    if takes_pictures(model):
        picture = one_picture(model, x, fs, unit, "occlusion")
        name, score, answer, _ = _judge(model, contract.transform(picture), label)
        drop = score - occlude(model, picture, answer, cells)
        title, legend = f"{name}: {score:.3f}", _meaning(name)
        return PictureMap("occlusion", title, legend, drop, picture[0])
    signals, record = one(model, x, fs, unit, "occlusion")
    step = round(seconds * contract.fs)
    if not 1 <= step <= contract.length:
        raise LayoutError(
            f"seconds must give segments of 1..{contract.length} samples at {contract.fs:g} Hz, "
            f"got {seconds}"
        )
    filtered = contract.filtered(signals)
    starts = range(0, contract.length, step)
    edges = np.minimum(np.arange(len(starts) + 1) * step, contract.length) / contract.fs
    name, score, answer, windows = _judge(model, contract.featured(filtered), label)
    if model.mean_of_windows and windows is not None and windows.shape[1] == len(starts):
        which = model.labels.index(name)
        drop = -_by_window(model, filtered, windows[0, :, which], which)
    else:
        drop = score - _one_by_one(model, filtered, starts, step, answer)
    return Occlusion(name, score, contract.leads, edges, drop, record)


def _judge(
    model: Any, prepared: Array, label: str | None
) -> tuple[str, float, Callable[[Array], Array], Array | None]:
    """What is looked at, its value for the whole, how to get it for a batch, and its windows."""
    if not model.labels:
        whole = model.features(prepared)[0].astype(np.float64)

        def near(batch: Array) -> Array:
            rows = model.features(batch).astype(np.float64)
            norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(whole)
            return rows @ whole / np.where(norms > 0, norms, 1.0)

        return EMBEDDING, 1.0, near, None
    answer, windows = model.classify(prepared)
    which = int(np.argmax(answer[0])) if label is None else model.labels.index(label)
    return (
        model.labels[which],
        float(answer[0, which]),
        lambda batch: model.classify(batch)[0][:, which],
        windows,
    )


def _meaning(label: str) -> str:
    return f"drop of {'cosine' if label == EMBEDDING else f'P({label})'} when silenced"


def _one_by_one(
    model: Any, filtered: Array, starts: range, step: int, answer: Callable[[Array], Array]
) -> Array:
    """The answer with one lead silent for one segment, (lead, segment)."""
    leads, silence = filtered.shape[1], _silence(model.contract, filtered)
    parts = [(lead, start) for lead in range(leads) for start in starts]
    left = np.empty(len(parts))
    for first in range(0, len(parts), model.batch):
        some = parts[first : first + model.batch]
        batch = np.repeat(filtered, len(some), axis=0)
        for row, (lead, start) in zip(batch, some, strict=True):
            row[lead, start : start + step] = silence[lead]
        left[first : first + len(some)] = answer(model.contract.featured(batch))
    return left.reshape(leads, len(starts))


def _by_window(model: Any, filtered: Array, windows: Array, which: int) -> Array:
    """The same change where the answer is the mean over windows that do not see each other.

    A lead that is silent throughout is silent in each window at once: one pass per lead tells of
    all its windows.
    """
    leads = filtered.shape[1]
    batch = np.repeat(filtered, leads, axis=0)
    batch[np.arange(leads), np.arange(leads)] = _silence(model.contract, filtered)[:, None]
    silent = model.classify(model.contract.featured(batch))[1][:, :, which]
    return (silent.astype(np.float64) - windows) / len(windows)


def _silence(contract: Any, filtered: Array) -> Array:
    """What each lead is when nothing is in it."""
    last = contract.normalisation
    if last is not None and last.name in ("minmax", "minmax_all"):
        return filtered[0].mean(axis=1)
    return np.zeros(filtered.shape[1], np.float32)
