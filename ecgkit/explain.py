"""What an answer rests on: the change of a probability when a part of the input is taken away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _html
from ._typing import Array
from .errors import EcgkitError, LayoutError


@dataclass(frozen=True, eq=False, repr=False)
class Occlusion:
    """Drop of one label's probability for every lead and second that was silenced.

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

    def to_frame(self):
        """Leads in rows, starts of the segments in columns (pandas)."""
        from ._extras import need

        pd = need("pandas", "cli", "Occlusion.to_frame")
        return pd.DataFrame(self.values, index=list(self.leads), columns=self.seconds[:-1])

    def plot(self, ax=None):
        """A heat map, red where a part speaks for the label; returns the Axes (matplotlib)."""
        from ._extras import need

        plt = need("matplotlib.pyplot", "plot", "Occlusion.plot")
        if ax is None:
            ax = plt.figure(figsize=(8, 4)).add_subplot()
        limit = float(np.abs(self.values).max()) or 1.0
        edges = np.arange(len(self.leads) + 1) - 0.5
        mesh = ax.pcolormesh(
            self.seconds, edges, self.values, cmap="RdBu_r", vmin=-limit, vmax=limit
        )
        ax.set_yticks(range(len(self.leads)), self.leads)
        ax.invert_yaxis()
        ax.set_xlabel("time (s)")
        ax.set_title(f"{self.label}: {self.probability:.3f}")
        ax.figure.colorbar(mesh, ax=ax, label=f"drop of P({self.label}) when silenced")
        return ax

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
        caption = f"Drop of P({self.label}) = {self.probability:.3f} when a lead is silent"
        return _html.table(head, rows, caption=caption)


def occlusion(
    model: Any,
    x: Any,
    fs: float | None = None,
    *,
    label: str | None = None,
    seconds: float = 1.0,
    unit: str = "mV",
) -> Occlusion:
    """Silence one lead for one segment at a time and see what the model says (Zeiler and Fergus
    2014).

    A part is silenced after the contract's filters and normalisation (set to 0, the mean of a
    z-scored lead), so that no filter smears the edges; all variants run as one batch.

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
    unit : str
        Unit of an array.

    Returns
    -------
    Occlusion

    Raises
    ------
    EcgkitError
        ``label`` is none of the model's.
    LayoutError
        More than one recording, or a segment shorter than a sample or longer than the input.
    """
    contract = model.contract
    signals, _ = contract.admit(x, fs, unit=unit)
    if len(signals) != 1:
        raise LayoutError(f"occlusion explains one recording, got {len(signals)}; loop over them")
    step = round(seconds * contract.fs)
    if not 1 <= step <= contract.length:
        raise LayoutError(
            f"seconds must give segments of 1..{contract.length} samples at {contract.fs:g} Hz, "
            f"got {seconds}"
        )
    if label is not None and label not in model.labels:
        raise EcgkitError(f"no label {label!r}; the model has {', '.join(model.labels)}")
    filtered = contract.filtered(signals)
    answer, windows = model.classify(contract.featured(filtered))
    which = int(np.argmax(answer[0])) if label is None else model.labels.index(label)
    probability = float(answer[0, which])
    starts = range(0, contract.length, step)
    if model.mean_of_windows and windows is not None and windows.shape[1] == len(starts):
        change = _by_window(model, filtered, windows[0, :, which], which)
    else:
        change = _one_by_one(model, filtered, starts, step, which) - probability
    edges = np.minimum(np.arange(len(starts) + 1) * step, contract.length) / contract.fs
    return Occlusion(model.labels[which], probability, contract.leads, edges, -change)


def _one_by_one(model: Any, filtered: Array, starts: range, step: int, which: int) -> Array:
    """Probability with one lead silent for one segment, (lead, segment)."""
    leads = filtered.shape[1]
    parts = [(lead, start) for lead in range(leads) for start in starts]
    left = np.empty(len(parts))
    for first in range(0, len(parts), model.batch):
        some = parts[first : first + model.batch]
        batch = np.repeat(filtered, len(some), axis=0)
        for row, (lead, start) in zip(batch, some, strict=True):
            row[lead, start : start + step] = 0.0
        answer = model.classify(model.contract.featured(batch))[0]
        left[first : first + len(some)] = answer[:, which]
    return left.reshape(leads, len(starts))


def _by_window(model: Any, filtered: Array, windows: Array, which: int) -> Array:
    """The same change where the answer is the mean over windows that do not see each other.

    A lead that is silent throughout is silent in each window at once: one pass per lead tells of
    all its windows.
    """
    leads = filtered.shape[1]
    batch = np.repeat(filtered, leads, axis=0)
    batch[np.arange(leads), np.arange(leads)] = 0.0
    silent = model.classify(model.contract.featured(batch))[1][:, :, which]
    return (silent.astype(np.float64) - windows) / len(windows)
