"""CE-SSL: convolutions and a causal transformer, adapted by low-rank updates (Zhou et al., 2024).

Three residual blocks of convolutions take 6144 samples to 96 steps, a GPT-2 style transformer runs
over them, the largest value of each feature goes to two linear layers. The updates of the
convolutions, of the fused q, k, v and of the linear layers are merged into the weights on loading.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from .. import weights as _weights
from .._typing import Array
from ..errors import EcgkitError, WeightsError
from ..explain import Tokens
from ._choice import Choice
from ._contract import Contract
from ._model import Model
from ._steps import Step

SIZES = {"base": (256, 8), "medium": (512, 12), "large": (768, 12)}
"""Width and number of transformer layers."""
LENGTH, TOKENS, POSITIONS, HEADS = 6144, 96, 200, 16
BLOCKS, KERNEL, STRIDE = 3, 9, 4
LABELS = {
    "G12EC": "AF IAVB IRBBB LAD LBBB LQRSV NSIVCB NSR PAC LQT QAb RBBB SA SB STach TAb TInv VPB",
    "PTB-XL": "AF CRBBB IAVB IRBBB LAD LAnFB LBBB NSIVCB NSR PAC PR LPR QAb RAD SA SB STach TAb "
    "TInv",
    "Ningbo": "AFL BBB CLBBB CRBBB IAVB IRBBB LAD LAnFB LQRSV NSIVCB NSR PAC PR PRWP PVC LQT QAb "
    "RAD SA SB STach TAb TInv",
    "Chapman": "AF AFL IAVB LAD LBBB LQRSV NSIVCB NSR PAC QAb RAD RBBB SB STach TAb VPB",
}
"""Classes of the four sets, in the order of Table S1 and of the Challenge's own list."""
_NORM = ("weight", "bias", "running_mean", "running_var")
_MASK = "self_attention.bias"


class CESSL(Model):
    """One sigmoid per label; the paper adapts it to four sets of the Challenge of 2021."""

    name = "ce_ssl"
    task = "multi-label diagnoses from few labelled ECGs, or the features for a new head"
    labels = ()
    paper: ClassVar = {
        "title": "Computation-efficient semi-supervised learning for ECG-based cardiovascular "
        "diseases detection",
        "authors": "R. Zhou et al.",
        "year": 2024,
        "id": "arXiv 2406.14377",
    }
    paper_reported: ClassVar = [
        {
            "model": f"{size}, rank 16, 5 % of the labels",
            "metric": "macro AUROC, mean of six seeds",
            "value": value,
            "data": "PTB-XL of the Challenge of 2021",
            "split": "the authors' 90/10, stratified",
        }
        for size, value in (("base", 0.901), ("medium", 0.913), ("large", 0.909))
    ]
    variants: ClassVar = {
        "network": tuple(SIZES),
        "num_classes": range(1, 10_001),
        "dataset": ("none", *LABELS),
        "deactivation": Choice("0 to 1 (0.2)", lambda v: 0 <= v <= 1),
        "samples": range(64, LENGTH + 1),
    }
    published = (
        "the authors keep CODE_basebias_checkpoint.pkl in their repository KAZABANA/CE-SSL and the "
        "larger two at huggingface.co/KAZABANA/Foundation-Models-for-ECG-classification"
    )

    def __init__(self, tensors, variant, contract, card, source):
        super().__init__(tensors, variant, contract, card, source)
        named = LABELS.get(self.variant["dataset"], "").split()
        self.labels = tuple(named or (f"class {i}" for i in range(self.variant["num_classes"])))

    @classmethod
    def complete(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Without a choice: the base network with the six classes it was pretrained on."""
        named = len(LABELS.get(given.get("dataset", "none"), "").split())
        full = {
            "network": "base",
            "num_classes": named or 6,
            "dataset": "none",
            "deactivation": 0.2,
            "samples": 5000,
            **given,
        }
        if named and full["num_classes"] != named:
            raise EcgkitError(
                f"{cls.name}: {full['dataset']} has {named} classes, the head "
                f"{full['num_classes']}; leave out dataset, and the classes get numbers for names"
            )
        return full

    @classmethod
    def infer(cls, tensors: Mapping[str, Array]) -> dict[str, Any]:
        """Size and number of classes, from the shapes of two biases (all files have biases)."""
        keys = ("encoder_layers.0.conv1.conv.bias", "classifier.1.bias")
        found = _weights.unwrap(tensors, keys)
        width, classes = (sum(np.shape(found.get(k, ()))[:1]) for k in keys)
        sizes = {d: name for name, (d, _) in SIZES.items()}
        if width and width not in sizes:
            raise WeightsError(
                f"{cls.name}: a network of width {width}; known widths: "
                f"{', '.join(map(str, sizes))}"
            )
        known = {"network": sizes[width]} if width else {}
        return known | ({"num_classes": classes} if classes in cls.variants["num_classes"] else {})

    @classmethod
    def contract_of(
        cls, network: str, num_classes: int, dataset: str, deactivation: float, samples: int
    ) -> Contract:
        """500 Hz, ``samples`` samples; Butterworth 1-47 Hz, z-score per lead, zeros behind."""
        return Contract(
            fs=500.0,
            length=samples,
            filters=(Step("bandpass", low=1.0, high=47.0, order=3),),
            normalisation=Step("zscore", flat=1e-6),
            features=Step("zeros_behind", length=LENGTH),
        )

    @classmethod
    def expected(
        cls, network: str, num_classes: int, dataset: str, deactivation: float, samples: int
    ) -> dict[str, tuple[int, ...]]:
        """Of the merged network, without the masks."""
        d, depth = SIZES[network]
        shapes: dict[str, tuple[int, ...]] = {}

        def layer(at: str, *shape: int, bias: int | None = None) -> None:
            shapes[f"{at}.weight"] = shape
            shapes[f"{at}.bias"] = (bias or shape[0],)

        for i in range(BLOCKS):
            at, cin = f"encoder_layers.{i}", d if i else 12
            for k, channels in ((1, cin), (2, d)):
                layer(f"{at}.conv{k}.conv", d, channels, 1, KERNEL)
                shapes |= {f"{at}.bn{k}.{part}": (d,) for part in _NORM}
            layer(f"{at}.conv3.conv", d, cin, 1, 1)
        shapes["position_encoding.positional_encoding"] = (POSITIONS, d)
        for i in range(depth):
            at = f"transformer_layers.{i}"
            layer(f"{at}.norm1", d)
            layer(f"{at}.self_attention.c_attn", d, 3 * d, bias=3 * d)
            layer(f"{at}.self_attention.c_proj", d, d)
            layer(f"{at}.norm2", d)
            layer(f"{at}.fc1", 4 * d, d)
            layer(f"{at}.fc2", d, 4 * d)
        layer("classifier.0", d, d)
        layer("classifier.1", num_classes, d)
        return shapes

    def adopt(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        """Low-rank updates merged, without the masks of the causal attention."""
        wanted = self.expected(**self.variant)
        plain = {k: v for k, v in tensors.items() if not k.endswith(_MASK)}
        for key, value in tensors.items():
            if key.endswith(_MASK):
                _check_mask(self.title, key, value)
        updates = {k for k in plain if k.endswith((".lora_A", ".lora_B"))}
        if not updates:
            return plain
        modules = dict(_modules(wanted))
        if not any(weight in plain for weight in modules.values()):
            raise WeightsError(
                f"{self.title}: the file holds what fine-tuning changed (low-rank updates, biases, "
                "norms, the last layer) and no backbone. Put it over the backbone: "
                "weights={**ek.weights.read('CODE_basebias_checkpoint.pkl'), "
                "**ek.weights.read(path)}"
            )
        touched = [m for m in modules if {f"{m}.lora_A", f"{m}.lora_B"} & updates]
        shapes: dict[str, tuple[int, ...]] = {}
        for module in touched:
            shapes |= _update_shapes(module, wanted[modules[module]], plain)
        checked = _weights.check(wanted | shapes, plain, what=self.title)
        for module in touched:
            a, b = (checked.pop(f"{module}.{part}") for part in ("lora_A", "lora_B"))
            scale = 1.0 if module == "classifier.0" else 1.0 - self.variant["deactivation"]
            key = modules[module]
            checked[key] = _merged(checked[key], a, b, scale, fused=module.endswith("c_attn"))
        return checked

    def program(self, tensors: Mapping[str, Array]):
        return _program(tensors, self.variant["network"])

    def forward(self, prepared: Array, *, taps: Sequence[str] = ()):
        """Logits (n, label) from (n, 12, 6144).

        Taps: ``features`` (the largest values, n x width), ``classifier.0``, ``encoder_layers.i``
        (width, time), ``transformer_layers.i`` (96, width), and in each of the latter
        ``.self_attention.c_attn`` (96, 3 width: q, k, v) and ``.self_attention`` (its result before
        the projection).
        """
        out = self._program(prepared, taps=taps)
        return {**out, "output": out["output"][0]} if taps else out[0]

    def tokens(self) -> Tokens:
        """96 steps of 64 samples; those past the recording are the zeros behind it."""
        last = f"transformer_layers.{SIZES[self.variant['network']][1] - 1}"
        return Tokens(np.arange(TOKENS + 1) * (LENGTH / TOKENS / 500.0), read="max", tap=last)

    def classify(self, prepared: Array) -> tuple[Array, Array | None]:
        """Independent probabilities: they do not sum to 1."""
        return self._program(prepared)[1], None


# -------------------------------------------------------------- low-rank updates
def _modules(wanted: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Name of every module that may have an update, and the key of its weight."""
    for key in wanted:
        at = key.removesuffix(".weight")
        if at.endswith(".conv") and at != key:
            yield at.removesuffix(".conv"), key
        elif at.endswith(("c_attn", "fc1", "fc2", "classifier.0")):
            yield at, key


def _update_shapes(
    module: str, weight: tuple[int, ...], given: Mapping[str, Array]
) -> dict[str, tuple[int, ...]]:
    """Of A and B, whose rank is what either of them has."""
    blocks = 3 if module.endswith("c_attn") else 1
    out, features = (weight[1], weight[0]) if blocks == 3 else (weight[0], int(np.prod(weight[1:])))
    a, b = (np.shape(given.get(f"{module}.{part}", ())) for part in ("lora_A", "lora_B"))
    rank = max(1, a[0] // blocks if a else b[-1] if b else 1)
    return {f"{module}.lora_A": (blocks * rank, features), f"{module}.lora_B": (out, rank)}


def _merged(w: Array, a: Array, b: Array, scale: float, *, fused: bool) -> Array:
    """``w`` with ``scale * b @ a`` added in the layout of ``w``."""
    from .. import lora

    if not fused:
        return lora.merge(w.reshape(len(w), -1), a, b, scale).reshape(w.shape)
    d = len(w)  # (d, 3d): columns are features out, a block each for q, k and v
    rows = np.ascontiguousarray(w.T).reshape(3, d, d)
    rows = lora.merge(rows, a.reshape(3, -1, d), b.reshape(3, d, -1), scale)
    return np.ascontiguousarray(rows.reshape(3 * d, d).T)


def _check_mask(title: str, key: str, value: Array) -> None:
    mask = np.asarray(value)
    if mask.shape != (1, 1, TOKENS, TOKENS) or not np.array_equal(mask[0, 0], np.tri(TOKENS)):
        raise WeightsError(
            f"{title}: {key} is no causal mask of (1, 1, {TOKENS}, {TOKENS}) (got {mask.shape}): "
            "ones on and below the diagonal, zeros above, are what the network was trained with"
        )


# ---------------------------------------------------------------- the network
def _program(w: Mapping[str, Array], network: str):
    from .. import nn

    p = nn.Program(f"ce_ssl_{network}")

    def conv(x, at: str, **options):
        return p.conv1d(x, w[f"{at}.conv.weight"][:, :, 0], w[f"{at}.conv.bias"], **options)

    def norm(x, at: str):
        scale, shift, mean, var = (w[f"{at}.{part}"] for part in _NORM)
        return p.leaky_relu(p.batch_norm(x, scale, shift, mean, var))

    def linear(x, at: str, **options):
        return p.linear(x, w[f"{at}.weight"], w[f"{at}.bias"], **options)

    def turned(x, at: str, **options):  # weights with features in rows
        return p.linear(x, np.ascontiguousarray(w[f"{at}.weight"].T), w[f"{at}.bias"], **options)

    def layer_norm(x, at: str):
        return p.layer_norm(x, w[f"{at}.weight"], w[f"{at}.bias"])

    h = p.input("x", (12, LENGTH))
    for i in range(BLOCKS):
        at = f"encoder_layers.{i}"
        y = norm(conv(h, f"{at}.conv1", stride=STRIDE, padding=KERNEL // 2), f"{at}.bn1")
        y = norm(conv(y, f"{at}.conv2", padding=KERNEL // 2), f"{at}.bn2")
        h = p.add(y, conv(p.avg_pool1d(h, STRIDE), f"{at}.conv3"), name=at)
    h = p.add(p.transpose(h, (1, 0)), w["position_encoding.positional_encoding"][:TOKENS])
    for i in range(SIZES[network][1]):
        at = f"transformer_layers.{i}"
        to = f"{at}.self_attention"
        qkv = turned(layer_norm(h, f"{at}.norm1"), f"{to}.c_attn", name=f"{to}.c_attn")
        y = p.attention(*p.chunk(qkv, 3, -1), heads=HEADS, causal=True, name=to)
        h = p.add(h, turned(y, f"{to}.c_proj"))
        y = p.leaky_relu(linear(layer_norm(h, f"{at}.norm2"), f"{at}.fc1"))
        h = p.add(h, linear(y, f"{at}.fc2"), name=at)
    h = linear(p.max(h, 0, name="features"), "classifier.0", name="classifier.0")
    logits = linear(h, "classifier.1")
    p.output(logits, "logits")
    p.output(p.sigmoid(logits), "probabilities")
    return p.compile()


SYSTEM = CESSL
