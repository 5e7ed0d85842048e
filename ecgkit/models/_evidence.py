"""ProtoECGNet's logit of one label, taken apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._typing import Array
from ._projection import span
from ._protoecgnet import LENGTH, STEPS, TOP, Branch, parts

if TYPE_CHECKING:
    from .protoecgnet import ProtoECGNet


def evidence(model: ProtoECGNet, prepared: Array, label: str | None) -> dict[str, Any]:
    """See :meth:`ProtoECGNet.evidence`."""
    found = parts(model.variant["network"])
    maps = [f"{at}similarity" for b, at in found if b.window]
    taps = model.forward(prepared, taps=("features", *maps))
    weights, biases = model.head
    which = int(np.argmax(taps["output"][0])) if label is None else list(model.labels).index(label)
    bias = 0.0 if biases is None else float(biases[which])
    similarity = taps["features"][0].astype(np.float64)
    weight = weights[which].astype(np.float64)
    starts, stops, timeline, first = [], [], np.zeros(STEPS), 0
    for b, at in found:
        count = model.variant[b.name]
        near = taps[f"{at}similarity"][0].astype(np.float64) if b.window else np.zeros((count, 1))
        spans = np.array([span(b, int(i)) for i in near.argmax(axis=1)]).reshape(-1, 2)
        starts.append(spans[:, 0])
        stops.append(spans[:, 1])
        if b.windows > 1:
            shares = near * _pooled(near, model.variant["pool"])
            added = weight[first : first + count] @ shares
            timeline += _over_steps(b, added)
        first += count
    contribution = weight * similarity
    logit = bias + contribution.sum()
    return {
        "label": model.labels[which],
        "probability": float(1.0 / (1.0 + np.exp(-logit))),
        "logit": float(logit),
        "bias": bias,
        "similarity": similarity,
        "weight": weight,
        "contribution": contribution,
        "start": np.concatenate(starts),
        "stop": np.concatenate(stops),
        "seconds": np.arange(STEPS + 1) * (LENGTH / STEPS / 100.0),
        "timeline": timeline,
        "sizes": {b.name: model.variant[b.name] for b, _ in found},
    }


def _pooled(near: Array, pool: str) -> Array:
    """Weight of each window in its prototype's score."""
    windows = near.shape[1]
    if pool == "mean":
        return np.full(near.shape, 1.0 / windows)
    k = 1 if pool == "max" else min(TOP, windows)
    chosen = np.argsort(-near, axis=1, kind="stable")[:, :k]
    shares = np.zeros(near.shape)
    np.put_along_axis(shares, chosen, 1.0 / k, axis=1)
    return shares


def _over_steps(b: Branch, added: Array) -> Array:
    """What the windows add, dealt out evenly to the time steps they span."""
    total = np.zeros(STEPS)
    for i in range(b.window):
        total[i : i + len(added)] += added / b.window
    return total
