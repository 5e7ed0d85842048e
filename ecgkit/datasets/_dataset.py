"""A labelled list of recordings: the signals stay on disk until they are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import _html
from .._typing import Array
from ..errors import LayoutError, RateError
from ..record import STANDARD_LEADS, Record


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Recordings with labels, patients and folds; made by a function of :mod:`ecgkit.datasets`.

    Attributes
    ----------
    name, version, task : str
    fs : float
        Rate of the recordings in Hz.
    ids : ndarray of int, shape (n,)
        The collection's own record numbers, ascending.
    paths : tuple of pathlib.Path
        What :func:`ecgkit.read` takes.
    y : ndarray
        Single label: (n,) int64, an index into ``labels``. Multi-label: (n, len(labels)) uint8.
    labels : tuple of str
    patient, fold : ndarray of int, shape (n,)
    dropped : mapping of str to int
        Reason -> number of records of the chosen folds that carry no usable label.
    mapping : mapping of str to tuple of str
        Label -> the collection's own codes that count as it.
    """

    name: str
    version: str
    task: str
    fs: float
    ids: Array
    paths: tuple[Path, ...]
    y: Array
    labels: tuple[str, ...]
    patient: Array
    fold: Array
    dropped: Mapping[str, int] = field(default_factory=dict)
    mapping: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    dropped_by_fold: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    leads: tuple[str, ...] = STANDARD_LEADS

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def multilabel(self) -> bool:
        """Whether a record may carry several labels."""
        return self.y.ndim == 2

    @property
    def counts(self) -> dict[str, int]:
        """Label -> number of records."""
        if self.multilabel:
            sizes = self.y.sum(0)
        else:
            sizes = np.bincount(self.y, minlength=len(self.labels))
        return {label: int(size) for label, size in zip(self.labels, sizes)}

    def subset(self, folds: Sequence[int] | range) -> Dataset:
        """The records of some folds; labels and their order stay as they are."""
        wanted = sorted({int(f) for f in folds})
        keep = np.flatnonzero(np.isin(self.fold, wanted))
        by_fold = {f: d for f, d in self.dropped_by_fold.items() if f in wanted}
        return replace(
            self,
            ids=self.ids[keep],
            paths=tuple(self.paths[i] for i in keep),
            y=self.y[keep],
            patient=self.patient[keep],
            fold=self.fold[keep],
            dropped=total(by_fold, self.dropped),
            dropped_by_fold=by_fold,
        )

    # ---------------------------------------------------------------- signals
    def record(self, i: int) -> Record:
        """Recording number ``i`` (position, not id), leads in the order of :attr:`leads`."""
        from .. import io

        return self._check(io.read(self.paths[i]), i)

    def signal_batches(self, n: int = 256) -> Iterator[Array]:
        """Signals in order, ``n`` recordings at a time: (at most n, lead, time) float32 in mV.

        Raises
        ------
        LayoutError, LeadError, RateError
            A recording has another length, lacks a lead, or has another rate than the data set.
        """
        from .. import io

        if n < 1:
            raise LayoutError(f"a batch must hold at least one recording, got n={n}")
        for first in range(0, len(self), n):
            paths = self.paths[first : first + n]
            rows = [self._check(io.read(path), first + i).signal for i, path in enumerate(paths)]
            if len({row.shape for row in rows}) > 1:
                lengths = sorted({row.shape[1] for row in rows})
                raise LayoutError(
                    f"recordings of different lengths in one batch: {lengths} samples; "
                    "use record(i)"
                )
            yield np.stack(rows)

    def _check(self, rec: Record, i: int) -> Record:
        if rec.fs != self.fs:
            raise RateError(f"{self.paths[i]}: {rec.fs:g} Hz, the data set says {self.fs:g} Hz")
        return rec if rec.leads == self.leads else rec.pick(self.leads)

    # ------------------------------------------------------------------ facts
    def sha256(self, *, signals: bool = True) -> str:
        """Hash over ids, labels and (by default) the bytes of every signal file, by id."""
        digest = hashlib.sha256()
        for i in range(len(self)):
            row = self.y[i]
            names = (
                [self.labels[k] for k in np.flatnonzero(row)]
                if self.multilabel
                else [self.labels[row]]
            )
            digest.update(f"{self.ids[i]} {' '.join(names)}\n".encode())
            if signals:
                digest.update(self.paths[i].with_name(self.paths[i].name + ".dat").read_bytes())
        return digest.hexdigest()

    def summary(self) -> str:
        """Counts per label and fold group, the mapping, and what was dropped, as text."""
        lines = [
            f"{self.name} {self.version}, task {self.task}, {self.fs:g} Hz: {len(self)} records "
            f"of {len(np.unique(self.patient))} patients, "
            f"folds {' '.join(map(str, np.unique(self.fold)))}"
        ]
        width = max((len(label) for label in self.labels), default=0)
        for label, count in self.counts.items():
            codes = self.mapping.get(label, ())
            source = f"  = {', '.join(codes)}" if codes and codes != (label,) else ""
            lines.append(f"  {label:<{width}}  {count:>6}{source}")
        for reason, count in self.dropped.items():
            lines.append(f"  dropped: {count} with {reason}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Dataset {self.summary()}>"

    def _repr_html_(self) -> str:
        rows = [[k, v, ", ".join(self.mapping.get(k, ()))] for k, v in self.counts.items()]
        rows += [[f"dropped: {reason}", count, ""] for reason, count in self.dropped.items()]
        return _html.table(
            ["label", "records", "codes"], rows, caption=self.summary().split("\n")[0]
        )

    def to_frame(self) -> Any:
        """One row per record: id, patient, fold, label(s), path (pandas)."""
        from .._extras import need

        pd = need("pandas", "cli", "Dataset.to_frame")
        frame = pd.DataFrame({"id": self.ids, "patient": self.patient, "fold": self.fold})
        if self.multilabel:
            for k, label in enumerate(self.labels):
                frame[label] = self.y[:, k]
        else:
            frame["label"] = np.asarray(self.labels)[self.y]
        frame["path"] = [str(path) for path in self.paths]
        return frame


def total(by_fold: Mapping[int, Mapping[str, int]], reasons: Mapping[str, int]) -> dict[str, int]:
    """Dropped records summed over folds, reason by reason."""
    return {reason: sum(d.get(reason, 0) for d in by_fold.values()) for reason in reasons}
