"""The attention weights of a compiled network, which its kernels never write down."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .._typing import F32, Array
from ..errors import EcgkitError
from ._graph import Node


def attention_weights(
    nodes: Sequence[Node], tapped: Callable[[tuple[str, ...]], dict[str, Array]]
) -> dict[str, F32]:
    """``softmax(scale * q k^T + ...)`` of every attention layer, from its tapped q and k."""
    layers = [n for n in nodes if n.op == "attention"]
    cut = [n.name for n in layers if n.attrs["window"]]
    if cut:
        raise EcgkitError(
            f"{', '.join(cut)} attend in windows of a grid: their weights are not over all tokens"
        )
    wanted = {i for n in layers for i in (*n.inputs[:2], *n.inputs[3:])}
    names = tuple(nodes[i].name for i in sorted(wanted))
    taps = tapped(names) if names else {}
    return {
        n.name: _weights(n, *(taps[nodes[i].name] for i in (*n.inputs[:2], *n.inputs[3:])))
        for n in layers
    }


def _weights(n: Node, q: Array, k: Array, keep: Array | None = None) -> F32:
    a = n.attrs
    q, k = (np.moveaxis(t.reshape(*t.shape[:-1], a["heads"], -1), -2, -3) for t in (q, k))
    scores = a["scale"] * (q.astype(np.float64) @ np.swapaxes(k, -1, -2).astype(np.float64))
    if "bias" in n.weights:
        scores += n.weights["bias"]
    if "mask" in n.weights:  # item i has pattern i % patterns
        items = scores.reshape(len(scores), -1, *scores.shape[-3:])
        pattern = np.arange(items.shape[1]) % len(n.weights["mask"])
        scores = (items + n.weights["mask"][pattern][:, None]).reshape(scores.shape)
    if a["causal"]:
        scores[..., np.triu(np.ones(scores.shape[-2:], bool), 1)] = -np.inf
    if keep is not None:
        scores = np.where(keep[..., None, None, :] != 0, scores, -np.inf)
    top = scores.max(-1, keepdims=True)
    e = np.exp(scores - np.where(np.isfinite(top), top, 0.0))
    total = e.sum(-1, keepdims=True)
    return (e / np.where(total > 0, total, 1.0)).astype(np.float32)
