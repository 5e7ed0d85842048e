"""Vision transformers on ECG images (Kilimci et al., arXiv 2310.12630): ViT, BEiT and Swin.

The paper fine-tunes public ImageNet checkpoints on photographed and scanned pages of twelve leads.
Checkpoints of transformers and of timm load as they are, with any number of classes or none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from .._typing import Array
from ..errors import EcgkitError, WeightsError
from . import _vision
from ._image_contract import ImageContract
from ._model import Model

if TYPE_CHECKING:
    from ..explain import Tokens

CLASSES = ("normal", "myocardial infarction", "abnormal heartbeat", "history of MI")


class ImageVit(Model):
    """Class probabilities, or features, of pictures of ECG pages."""

    name = "image_vit"
    task = "one of four findings per ECG page, or ImageNet's or one's own classes"
    labels = CLASSES
    paper: ClassVar = {
        "title": "Heart disease detection using vision-based transformer models from ECG images",
        "authors": "Z. H. Kilimci, M. Yalcin, A. Kucukmanisa, A. K. Mishra",
        "year": 2023,
        "id": "arXiv 2310.12630",
    }
    paper_reported: ClassVar = [
        {
            "model": model,
            "metric": "accuracy",
            "value": value,
            "data": "ECG images, four classes (journal version, 2025)",
            "split": "5-fold",
        }
        for model, value in (
            ("Google ViT", 0.943), ("Swin-Tiny", 0.952), ("Microsoft BEiT", 0.959),
        )
    ]  # fmt: skip
    variants: ClassVar = {
        "network": tuple(_vision.NETWORKS),
        "layout": _vision.LAYOUTS,
        "num_classes": range(30_001),
    }
    published = (
        "the authors publish none; the ImageNet checkpoints google/vit-base-patch16-224, "
        "microsoft/beit-base-patch16-224-pt22k-ft22k and microsoft/swin-tiny-patch4-window7-224 "
        "(Apache-2.0) load, and so do your own fine-tuned ones"
    )

    def __init__(self, tensors, variant, contract, card, source):
        super().__init__(tensors, variant, contract, card, source)
        classes = self.variant["num_classes"]
        if classes != len(CLASSES):
            self.labels = tuple(f"class {i}" for i in range(classes))

    @classmethod
    def complete(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "network": "vit_base",
            "layout": "transformers",
            "num_classes": len(CLASSES),
            **given,
        }

    @classmethod
    def infer(cls, tensors: Mapping[str, Array]) -> dict[str, Any]:
        """Network, layout and classes, from the keys."""
        found = _found(tensors, "patch_embeddings.projection.weight", "patch_embed.proj.weight")
        if found is None:
            return {}
        layout = _vision.LAYOUTS["patch_embed.proj.weight" in found]
        width, patch = tensors[found].shape[0], tensors[found].shape[-1]
        scaled = any(key.endswith((".lambda_1", ".gamma_1")) for key in tensors)
        kind = "swin" if patch == 4 else "beit" if scaled else "vit"
        names = {(n.kind, n.width): name for name, n in _vision.NETWORKS.items()}
        if (kind, width) not in names:
            raise WeightsError(
                f"{cls.name}: a {kind} of width {width} and patches of {patch} pixels; known: "
                + ", ".join(f"{name} ({n.width})" for name, n in _vision.NETWORKS.items())
            )
        head = _found(tensors, "classifier.weight", "head.fc.weight", "head.weight")
        classes = 0 if head is None else len(tensors[head])
        return {"network": names[kind, width], "layout": layout, "num_classes": classes}

    @classmethod
    def contract_of(cls, network: str, layout: str, num_classes: int) -> ImageContract:
        """224 x 224, proportions not kept; ViT and BEiT bilinear to -1..1, Swin bicubic by
        ImageNet's mean and deviation."""
        if _vision.NETWORKS[network].kind == "swin":
            mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
            return ImageContract((_vision.SIDE,) * 2, "bicubic", mean, std)
        return ImageContract((_vision.SIDE,) * 2, "bilinear")

    @classmethod
    def expected(cls, network: str, layout: str, num_classes: int) -> dict[str, tuple[int, ...]]:
        return _vision.Keys(network, layout).expected(num_classes)

    def adopt(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        """Without index tables, masks and the pooler that classification does not use; base
        models' files get the prefix that they lack."""
        keys = _vision.Keys(self.variant["network"], self.variant["layout"])
        head = keys.top("head")
        if keys.root and not any(k.startswith(keys.root) for k in tensors):
            tensors = {k if k.startswith(head) else keys.root + k: v for k, v in tensors.items()}
        drop = () if self.variant["num_classes"] else (f"{head}.weight", f"{head}.bias")
        return {
            k: v for k, v in tensors.items() if k not in drop and not k.endswith(_vision.UNUSED)
        }

    def program(self, tensors: Mapping[str, Array]):
        network, layout, classes = (self.variant[k] for k in ("network", "layout", "num_classes"))
        return _vision.program(tensors, network, layout, classes)

    def tokens(self) -> Tokens | None:
        """The patches of ViT, read by its class token, and of BEiT, whose mean is read; Swin
        attends in windows."""
        kind = _vision.NETWORKS[self.variant["network"]].kind
        if kind == "swin":
            return None
        from ..explain import Tokens

        side = _vision.GRID[kind]
        return Tokens(special=1, grid=(side, side), read="first" if kind == "vit" else "pieces")

    def classify(self, prepared: Array) -> tuple[Array, Array | None]:
        """Probabilities that exclude each other."""
        if not self.variant["num_classes"]:
            raise EcgkitError(
                f"{self.title} gives features, not classes: use embed(x), or weights with a head"
            )
        return self._program(prepared)[1], None

    def forward(self, prepared: Array, *, taps: Sequence[str] = ()):
        """Logits (n, num_classes), without a head the features.

        Taps: ``features``, ``block0``..``block11`` (ViT, BEiT), ``stage0``..``stage3`` (Swin).
        """
        out = self._program(prepared, taps=taps)
        if not self.variant["num_classes"]:
            return out
        return {**out, "output": out["output"][0]} if taps else out[0]


def _found(tensors: Mapping[str, Array], *ends: str) -> str | None:
    """The first key that is one of ``ends``, whatever stands before it."""
    for end in ends:
        for key in tensors:
            if key == end or key.endswith(f".{end}"):
                return key
    return None


SYSTEM = ImageVit
