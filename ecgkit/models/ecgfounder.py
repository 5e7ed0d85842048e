"""ECGFounder: 150 diagnoses from twelve leads or from lead I (Li et al., NEJM AI 2025).

Net1D is a RegNet over time: 16-tap grouped convolutions, squeeze and excitation, swish before every
convolution. Its checkpoint holds batch norms that the published forward never applies: they are
accepted and left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from .._typing import Array
from ..record import STANDARD_LEADS
from ._contract import Contract
from ._ecgfounder import ecgfounder_contract
from ._model import Model

WIDTHS = (64, 160, 160, 400, 400, 1024, 1024)
BLOCKS = (2, 2, 2, 3, 3, 4, 4)
KERNEL = GROUP = 16
KNOWN = {
    0: "ABNORMAL ECG",
    1: "NORMAL SINUS RHYTHM",
    2: "NORMAL ECG",
    3: "SINUS RHYTHM",
    4: "SINUS BRADYCARDIA",
    5: "ATRIAL FIBRILLATION",
    6: "SINUS TACHYCARDIA",
    7: "otherwise normal ecg",
    8: "LEFT AXIS DEVIATION",
    9: "PREMATURE VENTRICULAR COMPLEXES",
    11: "RIGHT BUNDLE BRANCH BLOCK",
    20: "LEFT BUNDLE BRANCH BLOCK",
    26: "LEFT VENTRICULAR HYPERTROPHY",
    32: "ATRIAL FLUTTER",
    61: "INFERIOR INFARCT",
    79: "WITH 1ST DEGREE AV BLOCK",
    80: "PROLONGED QT",
    87: "ACUTE MI / STEMI",
    107: "WOLFF-PARKINSON-WHITE",
    149: "MULTIFOCAL ATRIAL TACHYCARDIA",
}
CLASSES = 150


class ECGFounder(Model):
    """Net1D with one sigmoid per label."""

    name = "ecgfounder"
    task = "150 labels per 10-s ECG, or the features for a new head"
    labels = tuple(KNOWN.get(i, f"tasks.txt line {i + 1}") for i in range(CLASSES))
    paper: ClassVar = {
        "title": "An electrocardiogram foundation model built on over 10 million recordings",
        "authors": "J. Li, A. Aguirre, J. Moura, et al.",
        "year": 2025,
        "id": "NEJM AI 2(7), arXiv 2410.04133",
    }
    paper_reported: ClassVar = [
        {
            "model": "12 leads",
            "metric": "labels with AUROC above 0.95, of 150",
            "value": 80,
            "data": "Harvard-Emory ECG database, internal test set",
            "split": "unknown",
        }
    ]
    variants: ClassVar = {
        "leads": (12, 1),
        "preprocess": ("full", "zscore"),
        "num_classes": range(1, 10_001),
    }
    published = (
        "the authors publish 12_lead_ECGFounder.pth and 1_lead_ECGFounder.pth at "
        "huggingface.co/PKUDigitalHealth/ECGFounder"
    )

    def __init__(self, tensors, variant, contract, card, source):
        super().__init__(tensors, variant, contract, card, source)
        classes = self.variant["num_classes"]
        if classes != CLASSES:  # a head of the user's own
            self.labels = tuple(f"class {i}" for i in range(classes))

    @classmethod
    def complete(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        return {"leads": 12, "preprocess": "full", "num_classes": CLASSES, **given}

    @classmethod
    def contract_of(cls, leads: int, preprocess: str, num_classes: int) -> Contract:
        """500 Hz, 10 s; notch, band-pass, running median and one z-score, or the z-score alone."""
        return ecgfounder_contract(STANDARD_LEADS[:leads], preprocess)

    @classmethod
    def expected(cls, leads: int, preprocess: str, num_classes: int) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {}

        def layer(at: str, *shape: int) -> None:
            shapes[f"{at}.weight"], shapes[f"{at}.bias"] = shape, shape[:1]

        layer("first_conv.conv", WIDTHS[0], leads, KERNEL)
        for at, cin, cout, _ in _blocks():
            layer(f"{at}.conv1.conv", cout, cin, 1)
            layer(f"{at}.conv2.conv", cout, GROUP, KERNEL)
            layer(f"{at}.conv3.conv", cout, cout, 1)
            layer(f"{at}.se_fc1", cout // 2, cout)
            layer(f"{at}.se_fc2", cout, cout // 2)
        layer("dense", num_classes, WIDTHS[-1])
        return shapes

    def adopt(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        """Without the batch norms, which the published forward skips (``use_bn=False``)."""
        norms = {"first_bn", "bn1", "bn2", "bn3"}
        return {k: v for k, v in tensors.items() if norms.isdisjoint(k.split("."))}

    def program(self, tensors: Mapping[str, Array]):
        return net1d(tensors, self.variant["leads"], self.contract.length)

    def forward(self, prepared: Array, *, taps: Sequence[str] = ()):
        """Logits (n, label). Taps: ``features`` and every block by its key."""
        out = self._program(prepared, taps=taps)
        return {**out, "output": out["output"][0]} if taps else out[0]

    def classify(self, prepared: Array) -> tuple[Array, Array | None]:
        """Independent probabilities: they do not sum to 1."""
        return self._program(prepared)[1], None


def _blocks():
    """Key, channels in and out and stride of every block."""
    cin = WIDTHS[0]
    for s, (cout, count) in enumerate(zip(WIDTHS, BLOCKS)):
        for b in range(count):
            yield f"stage_list.{s}.block_list.{b}", cin, cout, 1 if b else 2
            cin = cout


def net1d(w: Mapping[str, Array], leads: int, length: int):
    """The network as a program; every block is tapped by its key."""
    from .. import nn

    p = nn.Program("net1d")

    def conv(x, at: str, **options):
        return p.conv1d(x, w[f"{at}.weight"], w[f"{at}.bias"], **options)

    def linear(x, at: str):
        return p.linear(x, w[f"{at}.weight"], w[f"{at}.bias"])

    x = p.input("x", (leads, length))
    x = p.silu(conv(x, "first_conv.conv", stride=2, padding="same"))
    for at, cin, cout, stride in _blocks():
        h = x if at == "stage_list.0.block_list.0" else p.silu(x)
        h = p.silu(conv(h, f"{at}.conv1.conv"))
        h = conv(h, f"{at}.conv2.conv", stride=stride, padding="same", groups=cout // GROUP)
        h = conv(p.silu(h), f"{at}.conv3.conv")
        gate = p.silu(linear(p.mean(h, -1), f"{at}.se_fc1"))
        gate = p.sigmoid(linear(gate, f"{at}.se_fc2"))
        h = p.multiply(h, p.reshape(gate, (cout, 1)))
        if stride == 2:  # one zero behind an odd length, as the original pads
            odd = x.shape[-1] % 2
            x = p.max_pool1d(p.pad(x, (0, 1)) if odd else x, 2)
        if cin != cout:
            before = (cout - cin) // 2
            x = p.pad(x, (0, 0, before, cout - cin - before))
        x = p.add(h, x, name=at)
    logits = linear(p.mean(x, -1, name="features"), "dense")
    p.output(logits, "logits")
    p.output(p.sigmoid(logits), "probabilities")
    return p.compile()


SYSTEM = ECGFounder
