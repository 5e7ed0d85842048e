"""MERL: ECG encoders aligned with reports (Liu et al., ICML 2024).

A ResNet1d-18 without max-pool or a ViT over patches of 50 samples; the full checkpoint adds the
projection into the space that it shares with text. Encoder files give features, or logits with a
fine-tuned head. Its text tower (MedCPT, a BERT) runs from the same file.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np

from .._typing import Array
from ..errors import EcgkitError, WeightsError
from ..explain import Tokens
from . import _bert, _resnet1d
from ._contract import Contract
from ._steps import Step
from ._zeroshot import WithText

MIMIC_LEADS = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")
LENGTH, SHARED = 5000, 256
WIDTHS = {"vit_tiny": 192, "vit_small": 384, "vit_middle": 512, "vit_base": 768}
PATCH, DEPTH, HEAD = 50, 12, 64
FEATURES = {"resnet18": 512, **WIDTHS}
MAP = 313  # time steps of the ResNet's last stage
TEXT = ("lm_model.", "proj_t.")
UNUSED = (
    "linear1.",
    "linear2.",
    "ecg_encoder.linear.",
    "ecg_encoder.head.",
)


class Merl(WithText):
    """Features, a fine-tuned head's logits, or the embedding that text is compared with."""

    name = "merl"
    task = "ECG embeddings, zero-shot scores from prompts, fine-tuned heads"
    shared, most_tokens, lowercase = SHARED, 256, True
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
        "text_layers": range(49),
        "vocabulary": range(1_000_001),
    }
    published = (
        "the authors link res18_best_ckpt.pth and vit_tiny_best_ckpt.pth in their repository"
    )

    def __init__(self, tensors, variant, contract, card, source):
        super().__init__(tensors, variant, contract, card, source)
        self.labels = tuple(f"class {i}" for i in range(self.variant["num_classes"]))

    @classmethod
    def complete(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Without a choice: the ResNet; aligned unless it has a head; no text tower."""
        classes, layers = given.get("num_classes", 0), given.get("text_layers", 0)
        full = {
            "network": "resnet18",
            "aligned": not classes,
            "num_classes": classes,
            "text_layers": layers,
            **given,
            "vocabulary": given.get("vocabulary", _bert.TextConfig.vocabulary) if layers else 0,
        }
        if full["aligned"] and classes:
            raise EcgkitError(
                f"{cls.name}: a head of {classes} classes stands on the encoder alone; leave out "
                "num_classes, or pass aligned=False"
            )
        if layers and not full["aligned"]:
            raise EcgkitError(f"{cls.name}: a text tower belongs to aligned=True alone")
        return full

    @classmethod
    def infer(cls, tensors: Mapping[str, Array]) -> dict[str, Any]:
        """Network, alignment and text tower, from the keys."""
        keys = {k.removeprefix("module."): v for k, v in tensors.items()}
        aligned = any(k.startswith("ecg_encoder.") for k in keys)
        layers, vocabulary = _bert.sizes(keys, "lm_model.") if aligned else (0, 0)
        found = {"network": "resnet18", "aligned": aligned}
        found |= {"text_layers": layers, "vocabulary": vocabulary}
        patch = keys.get("ecg_encoder.to_patch_embedding.weight" if aligned
                         else "to_patch_embedding.weight")  # fmt: skip
        if patch is None:
            return found
        width = len(patch)
        names = {w: name for name, w in WIDTHS.items()}
        if width not in names:
            raise WeightsError(
                f"{cls.name}: a ViT of width {width}; known widths: {', '.join(map(str, names))}"
            )
        return {**found, "network": names[width]}

    @classmethod
    def contract_of(cls, **variant: Any) -> Contract:
        """500 Hz, 10 s, leads in MIMIC's order (aVF before aVL), scaled to 0..1 over all leads."""
        return Contract(
            fs=500.0,
            length=LENGTH,
            leads=MIMIC_LEADS,
            normalisation=Step("minmax_all", eps=1e-8),
        )

    @classmethod
    def expected(
        cls, network: str, aligned: bool, num_classes: int, text_layers: int, vocabulary: int
    ) -> dict[str, tuple[int, ...]]:
        encoder = (
            _resnet1d.shapes("shortcut") if network == "resnet18" else _vit_shapes(WIDTHS[network])
        )
        width = FEATURES[network]
        if not aligned:
            head = "linear" if network == "resnet18" else "head"
            rows = {f"{head}.weight": (num_classes, width), f"{head}.bias": (num_classes,)}
            return encoder | (rows if num_classes else {})
        shapes = {f"ecg_encoder.{k}": v for k, v in encoder.items()}
        text = _text_shapes(text_layers, vocabulary) if text_layers else {}
        if network == "resnet18":
            return shapes | _pool_shapes() | text
        for i, cin in ((0, width), (3, SHARED)):
            shapes |= {f"proj_e.{i}.weight": (SHARED, cin), f"proj_e.{i}.bias": (SHARED,)}
            shapes |= _resnet1d.norm_shapes(f"proj_e.{i + 1}", SHARED)
        return shapes | text

    def adopt(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        """Without the heads of the training loss, leftover classifiers, and a text tower that is
        not wanted or not whole."""
        unused: tuple[str, ...] = (*UNUSED, "lm_model.embeddings.position_ids")
        if not self.variant["num_classes"]:
            unused += ("linear.", "head.")
        if not self.variant["text_layers"]:
            unused += TEXT
        return {k: v for k, v in tensors.items() if not k.startswith(unused)}

    def program(self, tensors: Mapping[str, Array]):
        chosen = {k: self.variant[k] for k in ("network", "aligned", "num_classes")}
        ecg = {k: v for k, v in tensors.items() if not k.startswith(TEXT)}
        self.keep_text(self._text_tower(tensors), ecg)
        return _program(ecg, **chosen)

    def _text_tower(self, tensors: Mapping[str, Array]) -> _bert.TextTower | None:
        layers, vocabulary = self.variant["text_layers"], self.variant["vocabulary"]
        if not layers:
            return None
        inner = {k.removeprefix("lm_model."): v for k, v in tensors.items() if k.startswith(TEXT)}
        tail = partial(_text_head, {k: inner.pop(k) for k in [*inner] if k.startswith(TEXT)})
        return _bert.TextTower("merl_text", _bert.TextConfig(layers, vocabulary), inner, tail)

    def tokens(self) -> Tokens | None:
        """The ViT's patches of 0.1 s, the mean of which is read; or the map that the attention pool
        reads, whose steps are 16 samples apart, behind its class token."""
        if self.variant["network"] != "resnet18":
            return Tokens(np.arange(0, LENGTH + 1, PATCH) / 500.0)
        if not self.variant["aligned"]:
            return None
        edges = np.clip((np.arange(MAP + 1) - 0.5) * 16.0, 0.0, LENGTH) / 500.0
        return Tokens(edges, special=1)

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

    def _can_compare(self) -> None:
        if not self.variant["aligned"]:
            raise EcgkitError(f"{self.title} has no projection: load the full checkpoint")


def ckepe(candidates: Mapping[str, Sequence[str]], known: Collection[str]) -> dict[str, str]:
    """Prompts for :meth:`Merl.zero_shot` by the paper's rule: of what a language model lists about
    each class, only what a clinical database knows.

    Parameters
    ----------
    candidates : mapping of label to sequence of str
        Subtypes and attributes of the class, as some language model gave them.
    known : collection of str
        Terms of the database (SCP-ECG statements, for example).

    Returns
    -------
    dict of str to str
        The terms of each class that are known, whatever their case, each once, joined by commas.

    Raises
    ------
    EcgkitError
        Nothing of a class is known.

    Examples
    --------
    >>> listed = {"AFIB": ["Atrial fibrillation", "f waves", "joy"]}
    >>> ckepe(listed, ["atrial fibrillation", "F waves"])
    {'AFIB': 'Atrial fibrillation, f waves'}

    Notes
    -----
    Clinical Knowledge Enhanced Prompt Engineering: Liu et al., ICML 2024. The authors' own prompts
    are a file of theirs, CKEPE_prompt.json: give its path to ``zero_shot``.
    """
    terms = {term.strip().casefold() for term in known}
    prompts = {}
    for label, given in candidates.items():
        kept: dict[str, str] = {}
        for term in given:
            if term.strip().casefold() in terms:
                kept.setdefault(term.strip().casefold(), term.strip())
        if not kept:
            raise EcgkitError(f"ckepe: nothing that was listed for {label!r} is in the database")
        prompts[label] = ", ".join(kept.values())
    return prompts


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


def _text_shapes(layers: int, vocabulary: int) -> dict[str, tuple[int, ...]]:
    config = _bert.TextConfig(layers, vocabulary)
    shapes = {f"lm_model.{k}": v for k, v in _bert.shapes(config).items()}
    for i, cin in ((0, config.width), (2, SHARED)):
        shapes |= {f"proj_t.{i}.weight": (SHARED, cin), f"proj_t.{i}.bias": (SHARED,)}
    return shapes


# ---------------------------------------------------------------- the network
def _text_head(w: Mapping[str, Array], p, h):
    """Projection of the pooled text, to unit length."""
    return _unit(p, _linear(p, w, "proj_t.2", p.gelu(_linear(p, w, "proj_t.0", h))))


def _unit(p, h, name=None):
    length = p.sqrt(p.sum(p.multiply(h, h), -1, keepdim=True))
    return p.divide(h, p.maximum(length, 1e-12), name=name)


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
        h = _unit(p, h, "features")
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
