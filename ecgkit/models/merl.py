"""MERL: ECG encoders aligned with reports (Liu et al., ICML 2024).

A ResNet1d-18 without max-pool or a ViT over patches of 50 samples; the full checkpoint adds the
projection into the space that it shares with text. Encoder files give features, or logits with a
fine-tuned head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from .._typing import Array, ArrayLike
from ..errors import EcgkitError, LayoutError, WeightsError
from . import _resnet1d
from ._contract import Contract
from ._model import Model
from ._steps import Step

MIMIC_LEADS = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")
LENGTH, SHARED = 5000, 256
WIDTHS = {"vit_tiny": 192, "vit_small": 384, "vit_middle": 512, "vit_base": 768}
PATCH, DEPTH, HEAD = 50, 12, 64
FEATURES = {"resnet18": 512, **WIDTHS}
MAP = 313  # time steps of the ResNet's last stage
UNUSED = (
    "lm_model.",
    "proj_t.",
    "linear1.",
    "linear2.",
    "ecg_encoder.linear.",
    "ecg_encoder.head.",
)


class Merl(Model):
    """Features, a fine-tuned head's logits, or the embedding that text is compared with."""

    name = "merl"
    task = "ECG embeddings, zero-shot scores against class embeddings, fine-tuned heads"
    labels = ()
    paper: ClassVar = {
        "title": "Zero-shot ECG classification with multimodal learning and test-time clinical "
        "knowledge enhancement",
        "authors": "C. Liu, Z. Wan, C. Ouyang, A. Shah, W. Bai, R. Arcucci",
        "year": 2024,
        "id": "ICML 2024, arXiv 2403.06659",
    }
    paper_reported: ClassVar = [
        {
            "model": "ResNet18 with CKEPE prompts, zero-shot",
            "metric": "macro AUROC, mean of six tasks",
            "value": 75.2,
            "data": "PTB-XL (four tasks), CPSC2018, CSN",
            "split": "the authors'",
        }
    ]
    variants: ClassVar = {
        "network": ("resnet18", *WIDTHS),
        "aligned": (True, False),
        "num_classes": range(10_001),
    }
    published = (
        "the authors link res18_best_ckpt.pth and vit_tiny_best_ckpt.pth in their repository"
    )

    def __init__(self, tensors, variant, contract, card, source):
        super().__init__(tensors, variant, contract, card, source)
        self.labels = tuple(f"class {i}" for i in range(self.variant["num_classes"]))

    @classmethod
    def complete(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Without a choice: the ResNet; aligned unless it has a head."""
        classes = given.get("num_classes", 0)
        full = {"network": "resnet18", "aligned": not classes, "num_classes": classes, **given}
        if full["aligned"] and classes:
            raise EcgkitError(
                f"{cls.name}: a head of {classes} classes stands on the encoder alone; leave out "
                "num_classes, or pass aligned=False"
            )
        return full

    @classmethod
    def infer(cls, tensors: Mapping[str, Array]) -> dict[str, Any]:
        """Network and alignment, from the keys."""
        keys = {k.removeprefix("module."): v for k, v in tensors.items()}
        aligned = any(k.startswith("ecg_encoder.") for k in keys)
        patch = keys.get("ecg_encoder.to_patch_embedding.weight" if aligned
                         else "to_patch_embedding.weight")  # fmt: skip
        if patch is None:
            return {"network": "resnet18", "aligned": aligned}
        width = len(patch)
        names = {w: name for name, w in WIDTHS.items()}
        if width not in names:
            raise WeightsError(
                f"{cls.name}: a ViT of width {width}; known widths: {', '.join(map(str, names))}"
            )
        return {"network": names[width], "aligned": aligned}

    @classmethod
    def contract_of(cls, network: str, aligned: bool, num_classes: int) -> Contract:
        """500 Hz, 10 s, leads in MIMIC's order (aVF before aVL), scaled to 0..1 over all leads."""
        return Contract(
            fs=500.0,
            length=LENGTH,
            leads=MIMIC_LEADS,
            normalisation=Step("minmax_all", eps=1e-8),
        )

    @classmethod
    def expected(cls, network: str, aligned: bool, num_classes: int) -> dict[str, tuple[int, ...]]:
        encoder = (
            _resnet1d.shapes("shortcut") if network == "resnet18" else _vit_shapes(WIDTHS[network])
        )
        width = FEATURES[network]
        if not aligned:
            head = "linear" if network == "resnet18" else "head"
            rows = {f"{head}.weight": (num_classes, width), f"{head}.bias": (num_classes,)}
            return encoder | (rows if num_classes else {})
        shapes = {f"ecg_encoder.{k}": v for k, v in encoder.items()}
        if network == "resnet18":
            return shapes | _pool_shapes()
        for i, cin in ((0, width), (3, SHARED)):
            shapes |= {f"proj_e.{i}.weight": (SHARED, cin), f"proj_e.{i}.bias": (SHARED,)}
            shapes |= _resnet1d.norm_shapes(f"proj_e.{i + 1}", SHARED)
        return shapes

    def adopt(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        """Without the text tower, the heads of the training loss and leftover classifiers."""
        unused = UNUSED if self.variant["num_classes"] else (*UNUSED, "linear.", "head.")
        return {k: v for k, v in tensors.items() if not k.startswith(unused)}

    def program(self, tensors: Mapping[str, Array]):
        return _program(tensors, **self.variant)

    def classify(self, prepared: Array) -> tuple[Array, Array | None]:
        """Independent probabilities of a fine-tuned head."""
        if not self.variant["num_classes"]:
            raise EcgkitError(
                f"{self.title} gives embeddings, not classes: use embed(x), zero_shot(x, classes), "
                "or load it with a head: num_classes=n"
            )
        return self._program(prepared)[1], None

    def forward(self, prepared: Array, *, taps: Sequence[str] = ()):
        """Logits (n, num_classes) with a head, else the embedding: (n, 256) of unit length if
        aligned, or the encoder's features. Taps: ``features`` and every block by its key."""
        out = self._program(prepared, taps=taps)
        if not self.variant["num_classes"]:
            return out
        return {**out, "output": out["output"][0]} if taps else out[0]

    def zero_shot(
        self,
        x: Any,
        classes: Mapping[str, ArrayLike],
        fs: float | None = None,
        *,
        unit: str = "mV",
    ) -> Array:
        """Cosine of each recording's embedding with each class's text embedding.

        Parameters
        ----------
        x, fs, unit
            As for calling the model.
        classes : mapping of label to array_like, shape (256,)
            Text embeddings from the authors' text tower; any length.

        Returns
        -------
        ndarray, float32, shape (class,), or (n, class) for a batch
            In the order of ``classes``; no temperature, no softmax, as published.
        """
        if not self.variant["aligned"]:
            raise EcgkitError(f"{self.title} has no projection: load the full checkpoint")
        names = list(classes)
        w = np.asarray([classes[k] for k in names], np.float64)
        if w.ndim != 2 or w.shape[1] != SHARED or not np.isfinite(w).all():
            raise LayoutError(
                f"classes must map each label to {SHARED} finite numbers, got shape {w.shape}"
            )
        w /= np.maximum(np.linalg.norm(w, axis=1, keepdims=True), 1e-12)
        return (self.embed(x, fs, unit=unit) @ w.T).astype(np.float32)


# ---------------------------------------------------------------- key layouts
def _vit_shapes(d: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "to_patch_embedding.weight": (d, 12, PATCH),
        "pos_embedding": (1, LENGTH // PATCH, d),
    }

    def pair(at: str, *shape: int) -> None:
        shapes[f"{at}.weight"], shapes[f"{at}.bias"] = shape, shape[:1]

    for i in range(DEPTH):
        pair(f"block{i}.attn.norm", d)
        pair(f"block{i}.attn.fn.to_qkv", 3 * d, d)
        pair(f"block{i}.attn.fn.to_out.0", d, d)
        pair(f"block{i}.ff.norm", d)
        pair(f"block{i}.ff.fn.net.0", 4 * d, d)
        pair(f"block{i}.ff.fn.net.3", d, 4 * d)
    pair("norm", d)
    return shapes


def _pool_shapes() -> dict[str, tuple[int, ...]]:
    d, at = SHARED, "att_pool_head."
    return {
        "downconv.weight": (d, 512, 1),
        "downconv.bias": (d,),
        f"{at}positional_embedding": (1, MAP + 1, d),
        f"{at}cls_token": (1, 1, d),
        f"{at}mhsa.in_proj_weight": (3 * d, d),
        f"{at}mhsa.in_proj_bias": (3 * d,),
        f"{at}mhsa.out_proj.weight": (d, d),
        f"{at}mhsa.out_proj.bias": (d,),
        f"{at}c_proj.weight": (d, d),
        f"{at}c_proj.bias": (d,),
    }


# ---------------------------------------------------------------- the network
def _program(w: Mapping[str, Array], network: str, aligned: bool, num_classes: int):
    from .. import nn

    p = nn.Program(f"merl_{network}")
    x = p.input("x", (12, LENGTH))
    inner = {k.removeprefix("ecg_encoder."): v for k, v in w.items()}
    named = None if aligned else "features"
    if network == "resnet18":
        h = _resnet1d.build(p, inner, x, short="shortcut", pool=False)
        h = _attention_pool(p, w, h) if aligned else p.mean(h, -1, name=named)
    else:
        h = _vit(p, inner, x, WIDTHS[network] // HEAD, named)
        if aligned:
            h = p.relu(_resnet1d.batch_norm(p, w, "proj_e.1", _linear(p, w, "proj_e.0", h)))
            h = _resnet1d.batch_norm(p, w, "proj_e.4", _linear(p, w, "proj_e.3", h))
    if aligned:
        length = p.sqrt(p.sum(p.multiply(h, h), -1, keepdim=True))
        h = p.divide(h, p.maximum(length, 1e-12), name="features")
    if not num_classes:
        p.output(h, "embedding")
        return p.compile()
    logits = _linear(p, w, "linear" if network == "resnet18" else "head", h)
    p.output(logits, "logits")
    p.output(p.sigmoid(logits), "probabilities")
    return p.compile()


def _linear(p, w, at, x, **options):
    return p.linear(x, w[f"{at}.weight"], w[f"{at}.bias"], **options)


def _attention_pool(p, w, h):
    """One query, the class token, over the 313 time steps and itself. The original adds the first
    position to it twice."""
    at, d = "att_pool_head.", SHARED
    position = w[f"{at}positional_embedding"][0]
    first = w[f"{at}cls_token"][0, 0].astype(np.float64) + 2.0 * position[0]
    weights = np.split(w[f"{at}mhsa.in_proj_weight"], 3)
    biases = np.split(w[f"{at}mhsa.in_proj_bias"], 3)
    query = (weights[0].astype(np.float64) @ first + biases[0]).astype(np.float32)
    h = p.transpose(p.conv1d(h, w["downconv.weight"], w["downconv.bias"]), (1, 0))
    tokens = p.concat([p.constant(first[None].astype(np.float32)), p.add(h, position[1:])], 0)
    key, value = (p.linear(tokens, weights[i], biases[i]) for i in (1, 2))
    y = p.attention(p.constant(query[None]), key, value, heads=d // HEAD)
    return _linear(p, w, f"{at}c_proj", _linear(p, w, f"{at}mhsa.out_proj", p.reshape(y, (d,))))


def _vit(p, w, x, heads, named):
    h = p.transpose(p.conv1d(x, w["to_patch_embedding.weight"], stride=PATCH), (1, 0))
    h = p.add(h, w["pos_embedding"][0])
    for i in range(DEPTH):
        at = f"block{i}"
        y = p.layer_norm(h, w[f"{at}.attn.norm.weight"], w[f"{at}.attn.norm.bias"])
        q, k, v = p.chunk(_linear(p, w, f"{at}.attn.fn.to_qkv", y), 3, -1)
        y = _linear(p, w, f"{at}.attn.fn.to_out.0", p.attention(q, k, v, heads=heads))
        h = p.add(h, y)
        y = p.layer_norm(h, w[f"{at}.ff.norm.weight"], w[f"{at}.ff.norm.bias"])
        y = _linear(p, w, f"{at}.ff.fn.net.3", p.gelu(_linear(p, w, f"{at}.ff.fn.net.0", y)))
        h = p.add(h, y, name=at)
    return p.layer_norm(p.mean(h, 0), w["norm.weight"], w["norm.bias"], name=named)


SYSTEM = Merl
