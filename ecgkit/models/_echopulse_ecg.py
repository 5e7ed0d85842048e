"""ECHOPulse's ECG tower: ST-MEM's ViT over patches of single leads, read at lead II alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .._typing import Array
from ._echopulse_keys import HEAD, LEADS, PATCHES, SAMPLES, Size

READ = 1  # the lead whose tokens make the answer


def tower(w: Mapping[str, Array], size: Size):
    """Twelve leads (12, 2250) to one vector; blocks are tapped by their keys, the last at the
    tokens that are read."""
    from .. import nn

    p = nn.Program("echopulse_ecg")

    def linear(x, at: str):
        return p.linear(x, w[f"{at}.weight"], w[f"{at}.bias"])

    def norm(x, at: str, **options):
        return p.layer_norm(x, w[f"{at}.weight"], w[f"{at}.bias"], **options)

    x = p.input("x", (LEADS, PATCHES * SAMPLES))
    h = norm(p.reshape(x, (LEADS, PATCHES, SAMPLES)), "to_patch_embedding.1")
    h = norm(linear(h, "to_patch_embedding.2"), "to_patch_embedding.3")
    before, inside, behind = _constants(w)
    h = p.concat([p.constant(before), p.add(h, inside), p.constant(behind)], 1)
    h = p.reshape(h, (LEADS * (PATCHES + 2), size.ecg_width))
    first = READ * (PATCHES + 2) + 1
    for i in range(size.ecg_depth):
        at, last = f"block{i}", i == size.ecg_depth - 1
        y = norm(h, f"{at}.attn.norm")
        q, k, v = _thirds(p, w, f"{at}.attn.fn.to_qkv", y, first if last else None)
        y = p.attention(q, k, v, heads=size.ecg_width // HEAD)
        if last:  # nothing else is read
            h = p.slice(h, 0, first, first + PATCHES)
        h = p.add(linear(y, f"{at}.attn.fn.to_out.0"), h)
        y = p.gelu(linear(norm(h, f"{at}.ff.norm"), f"{at}.ff.fn.net.0"))
        h = p.add(linear(y, f"{at}.ff.fn.net.3"), h, name=at)
    p.output(norm(p.mean(h, 0), "norm", name="features"), "embedding")
    return p.compile()


def _constants(w: Mapping[str, Array]) -> tuple[Array, Array, Array]:
    """Position and lead embeddings: of the separator before, the patches, the separator behind;
    each (lead, token, feature)."""
    position = w["pos_embedding"][0].astype(np.float64)
    leads = np.stack([w[f"lead_embeddings.{i}"] for i in range(LEADS)])[:, None]
    ends = position + w["sep_embedding"]
    parts = (ends[:1], position[1:-1], ends[-1:])
    before, inside, behind = ((leads + part).astype(np.float32) for part in parts)
    return before, inside, behind


def _thirds(p, w, at: str, y, first: int | None):
    """Query, key and value; with ``first``, the queries of the tokens that are read alone."""
    weight, bias = w[f"{at}.weight"], w[f"{at}.bias"]
    if first is None:
        return p.chunk(p.linear(y, weight, bias), 3, -1)
    d = len(weight) // 3
    q = p.linear(p.slice(y, 0, first, first + PATCHES), weight[:d], bias[:d])
    return (q, *p.chunk(p.linear(y, weight[d:], bias[d:]), 2, -1))
