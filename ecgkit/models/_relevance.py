"""Relevance maps of MoRE's fine-tuned head: layer-wise relevance and attention gradients.

Chefer et al., *Transformer Interpretability Beyond Attention Visualization* (CVPR 2021), with the
rules of the authors' copy (alpha = 1), in double.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import _html
from .._typing import Array
from ..record import Record
from ._more import HEADS, IMAGE, PATCH, TOKENS, WIDTH, inside

STABLE = 1e-9
LN_EPS, BN_EPS = 1e-6, 1e-5


@dataclass(frozen=True, eq=False, repr=False)
class Relevance:
    """Which pieces of the ECG and of the X-ray carry a finding's logit.

    Attributes
    ----------
    label : str
    probability : float
    ecg : ndarray, float64, shape (196,)
        Per token, from 0 to 1 over the tokens; token t sees samples 5 t to 5 t + 24 at 100 Hz.
    seconds : ndarray, shape (197,)
        Edges between tokens.
    samples : ndarray, float64, shape (1000,)
        The same as straight lines between the tokens' middles. How the paper draws it is not known.
    xray : ndarray, float64, shape (224, 224)
        Per pixel as the network sees it, from 0 to 1.
    record : Record
        The ECG as admitted.
    """

    label: str
    probability: float
    ecg: Array
    seconds: Array
    samples: Array
    xray: Array
    record: Record

    def plot(self, layout: str | None = None, **options: Any):
        """The ECG's part over the recording on ECG paper (a matplotlib Figure)."""
        from ..plot import evidence_figure

        return evidence_figure(
            self.record,
            self.seconds,
            self.ecg[None],
            title=f"Relevance for {self.label}",
            legend="relevance, 0 to 1",
            layout=layout,
            **options,
        )

    def _lines(self) -> list[tuple[str, str]]:
        order = np.argsort(-self.ecg, kind="stable")[:5]
        return [
            (f"{self.seconds[i]:.2f}-{self.seconds[i + 1]:.2f} s", f"{self.ecg[i]:.3f}")
            for i in order
        ]

    def __repr__(self) -> str:
        head = f"Relevance for {self.label} (probability {self.probability:.3f}), ECG:"
        return "\n".join([head, *(f"  {when:>14}  {value}" for when, value in self._lines())])

    def _repr_html_(self) -> str:
        return _html.table(["piece", "relevance"], self._lines(), caption=f"For {self.label}")


# ---------------------------------------------------------------- rules
def divided(a: Array, b: Array) -> Array:
    """``a / b`` kept from blowing up, 0 where b is 0."""
    den = np.maximum(b, STABLE) + np.minimum(b, STABLE)
    return np.where(b != 0, a / np.where(den == 0, STABLE, den), 0.0)


def through_linear(x: Array, w: Array, r: Array) -> Array:
    """Relevance of a linear layer's input: what adds up with the same sign."""
    plus, minus = np.maximum(w, 0), np.minimum(w, 0)
    xp, xn = np.maximum(x, 0), np.minimum(x, 0)
    s = divided(r, xp @ plus.T + xn @ minus.T)
    return xp * (s @ plus) + xn * (s @ minus)


def through_sum(a: Array, b: Array, r: Array) -> tuple[Array, Array]:
    """Relevance of two terms, in proportion to what each adds in all."""
    s = divided(r, a + b)
    parts = a * s, b * s
    sums = [part.sum() for part in parts]
    whole, total = sum(map(abs, sums)), r.sum()
    first, second = (
        part * divided(divided(np.abs(one), whole) * total, one) for part, one in zip(parts, sums)
    )
    return first, second


def through_copies(x: Array, *relevances: Array) -> Array:
    """Relevance of a value that several branches read."""
    return x * sum(divided(r, x) for r in relevances)


def through_norm(x: Array, w: Mapping[str, Array], at: str, r: Array) -> Array:
    """Relevance of a batch norm's input; the variance is squared, as in the original."""
    z = x * w[f"{at}.weight"] / np.sqrt(w[f"{at}.running_var"] ** 2 + BN_EPS)
    return z * r / (z + STABLE)


# ---------------------------------------------------------------- a tower
@dataclass
class Block:
    """What a block computed on the way forward."""

    w: Mapping[str, Array]
    x: Array
    kept: dict[str, Array] = field(default_factory=dict)

    def forward(self) -> Array:
        k, w = self.kept, self.w
        k["a"], k["a_hat"], k["a_dev"] = _layer_norm(self.x, w["norm1.weight"], w["norm1.bias"])
        q, key, v = _heads(k["a"] @ w["attn.qkv.weight"].T)
        k["q"], k["k"], k["v"], k["z"] = q, key, v, q @ key.swapaxes(-1, -2)
        scores = k["z"] / np.sqrt(q.shape[-1])
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        k["A"] = weights / weights.sum(-1, keepdims=True)
        k["O"] = k["A"] @ v
        k["o"] = k["O"].transpose(1, 0, 2).reshape(TOKENS, WIDTH)
        k["p"] = k["o"] @ w["attn.proj.weight"].T + w["attn.proj.bias"]
        k["x1"] = self.x + k["p"]
        k["b"], k["b_hat"], k["b_dev"] = _layer_norm(k["x1"], w["norm2.weight"], w["norm2.bias"])
        k["f"] = k["b"] @ w["mlp.fc1.weight"].T + w["mlp.fc1.bias"]
        k["cdf"] = _cdf(k["f"])
        k["g"] = k["f"] * k["cdf"]
        k["m"] = k["g"] @ w["mlp.fc2.weight"].T + w["mlp.fc2.bias"]
        return k["x1"] + k["m"]

    def backward(self, d: Array) -> Array:
        """Gradient of the input; that of the attention weights stays as ``dA``."""
        k, w = self.kept, self.w
        slope = k["cdf"] + k["f"] * np.exp(-0.5 * k["f"] ** 2) / np.sqrt(2 * np.pi)
        db = ((d @ w["mlp.fc2.weight"]) * slope) @ w["mlp.fc1.weight"]
        d = d + _layer_norm_back(db * w["norm2.weight"], k["b_hat"], k["b_dev"])
        do = (d @ w["attn.proj.weight"]).reshape(TOKENS, HEADS, -1).transpose(1, 0, 2)
        k["dA"] = do @ k["v"].swapaxes(-1, -2)
        dv = k["A"].swapaxes(-1, -2) @ do
        ds = k["A"] * (k["dA"] - (k["dA"] * k["A"]).sum(-1, keepdims=True))
        ds /= np.sqrt(k["q"].shape[-1])
        dqkv = _fused(ds @ k["k"], ds.swapaxes(-1, -2) @ k["q"], dv)
        return d + _layer_norm_back(
            dqkv @ w["attn.qkv.weight"] * w["norm1.weight"], k["a_hat"], k["a_dev"]
        )

    def relevance(self, r: Array) -> Array:
        """Relevance of the input; that of the attention weights stays as ``R``."""
        k, w = self.kept, self.w
        kept, mlp = through_sum(k["x1"], k["m"], r)
        mlp = through_linear(k["g"], w["mlp.fc2.weight"], mlp)
        mlp = through_linear(k["b"], w["mlp.fc1.weight"], mlp)
        kept, out = through_sum(self.x, k["p"], through_copies(k["x1"], kept, mlp))
        out = through_linear(k["o"], w["attn.proj.weight"], out)
        s = divided(out.reshape(TOKENS, HEADS, -1).transpose(1, 0, 2), k["O"])
        k["R"] = k["A"] * (s @ k["v"].swapaxes(-1, -2)) / 2
        rv = k["v"] * (k["A"].swapaxes(-1, -2) @ s) / 2
        s = divided(k["R"], k["z"])
        rq, rk = k["q"] * (s @ k["k"]) / 2, k["k"] * (s.swapaxes(-1, -2) @ k["q"]) / 2
        qkv = through_linear(k["a"], w["attn.qkv.weight"], _fused(rq, rk, rv))
        return through_copies(self.x, kept, qkv)


def tower_map(
    w: Mapping[str, Array], ends: Mapping[str, Array], patches: Array, d: Array, r: Array
) -> Array:
    """Relevance of the 196 patches of one tower.

    Parameters
    ----------
    w, ends : mapping of key to ndarray
        The tower and its projection.
    patches : ndarray, shape (196, 768)
        Before class token and positions.
    d, r : ndarray, shape (128,)
        Gradient and relevance of the projection.
    """
    h = np.concatenate([w["cls_token"][0], patches]).astype(np.float64) + w["pos_embed"][0]
    layers: list[Block] = []
    while f"blocks.{len(layers)}.norm1.weight" in w:
        at = f"blocks.{len(layers)}."
        layers.append(Block(inside(w, at), h))
        h = layers[-1].forward()
    y, hat, dev = _layer_norm(h, w["norm.weight"], w["norm.bias"])
    d, r = _projection(ends, y[0], d, r)
    r = y[0] * divided(r, y[0])
    down, back = np.zeros((2, TOKENS, WIDTH))
    back[0], down[0] = d * w["norm.weight"], r
    back = _layer_norm_back(back, hat, dev)
    rollout = np.eye(TOKENS)
    for layer in reversed(layers):
        back, down = layer.backward(back), layer.relevance(down)
        share = np.maximum(layer.kept["dA"] * layer.kept["R"], 0).mean(axis=0)
        rollout = rollout @ (np.eye(TOKENS) + share)
        layer.kept.clear()
    return rollout[0, 1:]


def _projection(w: Mapping[str, Array], h: Array, d: Array, r: Array) -> tuple[Array, Array]:
    """Gradient and relevance of a projection's input ``h`` from those of its output."""
    first, last = (w[f"{i}.linear.weight"].astype(np.float64) for i in (0, 2))
    z = h @ first.T
    slopes = [
        w[f"{i}.bn.weight"] / np.sqrt(w[f"{i}.bn.running_var"].astype(np.float64) + BN_EPS)
        for i in (0, 2)
    ]
    y = (z - w["0.bn.running_mean"]) * slopes[0] + w["0.bn.bias"]
    y = np.maximum(y, 0)
    d = ((d * slopes[1]) @ last * (y > 0) * slopes[0]) @ first
    r = through_norm(y @ last.T, w, "2.bn", r)
    r = through_norm(z, w, "0.bn", through_linear(y, last, r))
    return d, through_linear(h, first, r)


# ---------------------------------------------------------------- both towers
def relevance(
    model: Any, signals: Array, picture: Array, label: str | None, tensors: Mapping[str, Array]
) -> Relevance:
    """See :meth:`MoRE.relevance`; ``signals`` as admitted, ``picture`` as prepared."""
    from ..nn.ops.resize import interpolate

    prepared = model.contract.transform(signals)
    patches = {
        "xray": _squares(inside(tensors, "xray_model.vit_model.patch_embed."), picture[0]),
        "ecg": _stretches(inside(tensors, "ecg_model.vit_model.patch_embed."), prepared[0]),
    }
    both = np.concatenate([model.forward_image(picture)[0], model.forward(prepared)[0]])
    both = both.astype(np.float64)
    weight, bias = tensors["fc.1.weight"], tensors["fc.1.bias"]
    logits = weight @ both + bias
    which = int(np.argmax(logits)) if label is None else model.labels.index(label)
    chosen = np.eye(len(weight))[which]
    d = np.split(weight[which].astype(np.float64), 2)
    r = np.split(through_linear(both, weight, chosen), 2)
    maps = {}
    for i, name in enumerate(patches):
        tower = inside(tensors, f"{name}_model.vit_model.")
        ends = inside(tensors, f"projector_{name}.layers.")
        maps[name] = tower_map(tower, ends, patches[name], d[i], r[i])
    ecg, middles = scaled(maps["ecg"]), np.arange(TOKENS - 1) * 5.0 + 12.0
    side = IMAGE // PATCH
    grid = maps["xray"].reshape(1, 1, side, side)
    return Relevance(
        model.labels[which],
        float(1 / (1 + np.exp(-logits[which]))),
        ecg,
        np.asarray(model.tokens().seconds, np.float64),
        np.interp(np.arange(model.contract.length), middles, ecg),
        scaled(interpolate(scaled(grid), (IMAGE, IMAGE), mode="bilinear")[0, 0].astype(float)),
        Record(signals[0], model.contract.fs, model.contract.leads, unit=model.contract.unit),
    )


# ---------------------------------------------------------------- pieces
# In double from the input on: relevance is a quotient of sums that nearly cancel.
def _squares(w: Mapping[str, Array], picture: Array) -> Array:
    """The X-ray's patches, (196, 768)."""
    side = IMAGE // PATCH
    cut = picture.reshape(-1, side, PATCH, side, PATCH).transpose(1, 3, 0, 2, 4)
    kernel = w["proj.weight"].reshape(WIDTH, -1).astype(np.float64)
    return cut.reshape(side * side, -1) @ kernel.T + w["proj.bias"]


def _stretches(w: Mapping[str, Array], x: Array) -> Array:
    """The ECG's patches, (196, 768): two convolutions, ReLU, batch norm."""
    for i, stride in ((1, 5), (2, 1)):
        at = f"conv{i}"
        kernel = w[f"{at}.0.weight"].astype(np.float64)
        cut = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[2], axis=1)[:, ::stride]
        y = np.tensordot(kernel, cut, ([1, 2], [0, 2])) + w[f"{at}.0.bias"][:, None]
        dev = np.sqrt(w[f"{at}.2.running_var"].astype(np.float64) + BN_EPS)
        y = (np.maximum(y, 0) - w[f"{at}.2.running_mean"][:, None]) / dev[:, None]
        x = y * w[f"{at}.2.weight"][:, None] + w[f"{at}.2.bias"][:, None]
    return x.T


def _heads(qkv: Array) -> Array:
    return qkv.reshape(TOKENS, 3, HEADS, -1).transpose(1, 2, 0, 3)


def _fused(q: Array, k: Array, v: Array) -> Array:
    return np.stack([q, k, v]).transpose(2, 0, 1, 3).reshape(TOKENS, 3 * WIDTH)


def _cdf(x: Array) -> Array:
    from scipy.special import ndtr

    return ndtr(x)


def _layer_norm(x: Array, weight: Array, bias: Array) -> tuple[Array, Array, Array]:
    """The result, the normalised rows, their deviation."""
    dev = np.sqrt(x.var(-1, keepdims=True) + LN_EPS)
    hat = (x - x.mean(-1, keepdims=True)) / dev
    return hat * weight + bias, hat, dev


def _layer_norm_back(d: Array, hat: Array, dev: Array) -> Array:
    mean = d.mean(-1, keepdims=True)
    return (d - mean - hat * (d * hat).mean(-1, keepdims=True)) / dev


def scaled(x: Array) -> Array:
    """From its least to its largest value, to 0..1; a constant becomes 0."""
    span = np.ptp(x)
    return (x - x.min()) / (span if span > 0 else 1.0)
