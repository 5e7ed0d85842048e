"""Projection of ProtoECGNet's prototypes onto real recordings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._typing import Array
from ..errors import LayoutError
from ..proto._push import Push, Run
from ._protoecgnet import EPS, LENGTH, STEPS, Branch, parts

if TYPE_CHECKING:
    from .protoecgnet import ProtoECGNet


@dataclass(frozen=True)
class Projection:
    """What the prototypes became.

    Attributes
    ----------
    tensors : dict of str to ndarray
        The new ``prototype_vectors`` by the authors' keys: put them in place of the old ones,
        ``{**ek.weights.read(path), **projection.tensors}``, and save that.
    metadata : dict of str to dict
        Per branch, as the authors' JSON files: prototype number -> ``ecg_id``,
        ``prototype_class``, ``similarity_score``, and ``start`` and ``stop`` of the piece in
        seconds. A prototype that no record has a label for is not in it; its vector is zero.
    seen : int
        Records gone through.
    """

    tensors: dict[str, Array]
    metadata: dict[str, dict[str, dict[str, Any]]]
    seen: int


def project(model: ProtoECGNet, batches: Iterable[Any], fs: float | None, unit: str) -> Projection:
    """See :meth:`ProtoECGNet.project`."""
    found = parts(model.variant["network"])
    runs = []
    for b, at in found:
        v = model.vectors[b.name].reshape(-1, *b.vector[:1], *b.vector[2:])
        member = np.zeros((len(v), len(b.labels)), bool)
        for row, classes in zip(member, model.members[b.name], strict=True):
            row[list(classes)] = True
        runs.append((b, at, Run(v, member, "cosine", EPS if b.window else 0.0)))
    names: list[Any] = []
    for batch in batches:
        x, labels, *more = batch
        y = np.asarray(labels, bool)
        done = 0
        for signals, _ in model._admitted(x, fs, unit):
            prepared = model.contract.transform(signals)
            taps = model.forward(prepared, taps=tuple(f"{at}add_on_layers" for _, at, _ in runs))
            rows = y[done : done + len(signals)]
            if rows.shape != (len(signals), len(model.labels)):
                raise _misfit(model, y)
            for b, at, run in runs:
                own = rows[:, [model.labels.index(name) for name in b.labels]]
                run.take(taps[f"{at}add_on_layers"], own)
            done += len(signals)
        if done != len(y):
            raise _misfit(model, y)
        names += list(more[0]) if more else range(len(names), len(names) + done)
    done_runs = [(b, at, run.finish()) for b, at, run in runs]
    return Projection(
        {f"{at}prototype_vectors": p.prototypes.reshape(-1, *b.vector) for b, at, p in done_runs},
        {b.name: _metadata(model, b, p, names) for b, _, p in done_runs},
        len(names),
    )


def _misfit(model: ProtoECGNet, labels: Array) -> LayoutError:
    return LayoutError(
        f"project: labels must have shape (n, {len(model.labels)}), a row per recording in the "
        f"order of the model's labels; got {labels.shape}"
    )


def span(b: Branch, window: int) -> tuple[float, float]:
    """Seconds of a window, as the authors draw it."""
    size = int(b.window * LENGTH / STEPS) if b.window else LENGTH
    start = min(max(int(window * LENGTH / STEPS), 0), LENGTH - size)
    return start / 100.0, (start + size) / 100.0


def _metadata(model: ProtoECGNet, b: Branch, p: Push, names: list[Any]) -> dict[str, Any]:
    found = {}
    for i, (record, window, score) in enumerate(zip(p.record, p.window, p.score, strict=True)):
        if record >= 0:
            start, stop = span(b, int(window))
            found[str(i)] = {
                "ecg_id": names[record],
                "prototype_class": "+".join(b.labels[c] for c in model.members[b.name][i]),
                "similarity_score": float(b.scale * score),
                "start": start,
                "stop": stop,
            }
    return found
