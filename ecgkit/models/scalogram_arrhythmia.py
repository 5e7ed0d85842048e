"""Four rhythm groups from stacked time-frequency scalograms (Aarotale and Rattani, arXiv
2312.09426).

Ten windows of one second; per window the scalograms of twelve leads stacked into one picture; four
networks: ``resnet18`` and ``efficientnet_lite0`` see each window as an image and the ECG's answer
is the mean of the ten; ``cnn1d`` and ``cnn_lstm`` see the sequence of ten. The paper publishes
neither code nor weights: filter, wavelet, sizes and network details are this library's choices, and
the contract shows them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from .._typing import Array
from ..errors import EcgkitError
from . import _efficientnet, _resnet
from ._contract import Contract
from ._model import Model
from ._steps import Step

WINDOWS, ROWS, COLUMNS = 10, 64, 64
CHANNELS = 12 * ROWS
NETWORKS = ("resnet18", "efficientnet_lite0", "cnn1d", "cnn_lstm")
IMAGE_NETWORKS = ("resnet18", "efficientnet_lite0")
IMAGE_SIDE = 224


class ScalogramArrhythmia(Model):
    """Sinus bradycardia, atrial fibrillation or flutter, supraventricular tachycardias, sinus
    rhythm."""

    name = "scalogram_arrhythmia"
    task = "one of four rhythm groups per 10-s ECG"
    labels = ("SB", "AFIB", "GSVT", "SR")
    paper: ClassVar = {
        "title": "Arrhythmia classification from stacked time-frequency scalograms",
        "authors": "P. Aarotale, A. Rattani",
        "year": 2023,
        "id": "arXiv 2312.09426",
    }
    paper_reported: ClassVar = [
        {
            "model": model,
            "metric": "test accuracy",
            "value": value,
            "data": "SPH/Chapman-Shaoxing-Ningbo, 45,152 ECGs, 500 Hz",
            "split": "unknown",
        }
        for model, value in (("fine-tuned 2-D CNN (best)", 0.98), ("1-D CNN-LSTM", 0.95))
    ]
    variants: ClassVar = {"network": NETWORKS, "image": range(32, 513)}
    published = "the authors publish none"

    @classmethod
    def complete(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        network = given.get("network", NETWORKS[0])
        if network in IMAGE_NETWORKS:
            return {"network": network, "image": given.get("image", IMAGE_SIDE)}
        if "image" in given:
            raise EcgkitError(
                f"{cls.name}: image={given['image']} is for {' and '.join(IMAGE_NETWORKS)}; "
                f"{network} takes none"
            )
        return {"network": network}

    @classmethod
    def variant_of(cls, network: str, contract: Contract) -> dict[str, Any]:
        image = None if contract.features is None else contract.features.params.get("image")
        return cls.complete({"network": network, **({"image": image[0]} if image else {})})

    @classmethod
    def contract_of(cls, network: str, image: int | None = None) -> Contract:
        """100 Hz, 10 s, twelve leads; baseline by two medians (200 and 600 ms), z-score, stacked
        scalogram 1-40 Hz."""
        picture = {} if image is None else {"image": (image, image)}
        return Contract(
            fs=100.0,
            length=1000,
            filters=(Step("median_baseline", sizes=(21, 61), edge="zero"),),
            normalisation=Step("zscore"),
            features=Step(
                "stacked_scalogram",
                low=1.0,
                high=40.0,
                rows=ROWS,
                width=COLUMNS,
                scale="minmax",
                **picture,
            ),
        )

    @classmethod
    def expected(cls, network: str, image: int | None = None) -> dict[str, tuple[int, ...]]:
        classes = len(cls.labels)
        if network == "resnet18":
            return _resnet.expected(classes)
        if network == "efficientnet_lite0":
            return _efficientnet.expected(classes)
        return _sequence_expected(network, classes)

    def program(self, tensors: Mapping[str, Array]):
        network = self.variant["network"]
        if network == "resnet18":
            return _resnet.program(tensors, self.variant["image"])
        if network == "efficientnet_lite0":
            return _efficientnet.program(tensors, self.variant["image"])
        return _sequence_program(network, tensors)

    def forward(self, prepared: Array, *, taps: Sequence[str] = ()):
        """Logits: (n, label) from the 1-D networks, (n, window, label) from the 2-D ones.

        Taps: ``features``, (n, window, feature), or (n, 64) from ``cnn_lstm``; from ``cnn1d`` also
        ``window_logits``; from the 2-D networks ``layer1``..``layer4`` or ``block0``..``block15``.
        """
        out = self._run(prepared, taps)
        return (
            {"output": out["logits"], **{tap: out[tap] for tap in taps}} if taps else out["logits"]
        )

    def classify(self, prepared: Array) -> tuple[Array, Array | None]:
        out = self._run(prepared)
        if self.variant["network"] in IMAGE_NETWORKS:
            windows = out["probabilities"]
            return windows.mean(axis=1), windows
        return out["probabilities"], out.get("window_probabilities")

    @property
    def mean_of_windows(self) -> bool:
        return self.variant["network"] in IMAGE_NETWORKS

    def _run(self, prepared: Array, taps: Sequence[str] = ()) -> dict[str, Array]:
        """Outputs and taps by name; the 2-D networks see the windows as so many samples."""
        fold = self.variant["network"] in IMAGE_NETWORKS
        x = prepared.reshape(-1, *prepared.shape[2:]) if fold else prepared
        got = self._program(x, taps=taps)
        named = dict(got) if taps else {"output": got}
        out = {**dict(zip(self._program.outputs, named.pop("output"), strict=True)), **named}
        if fold:
            out = {key: v.reshape(*prepared.shape[:2], *v.shape[1:]) for key, v in out.items()}
        return out


SYSTEM = ScalogramArrhythmia

_CONVS = (("1", CHANNELS, 64, 5), ("2", 64, 128, 5), ("3", 128, 128, 3))


def _sequence_expected(network: str, classes: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for i, cin, cout, kernel in _CONVS:
        shapes |= {f"conv{i}.weight": (cout, cin, kernel), f"conv{i}.bias": (cout,)}
        shapes |= {
            f"bn{i}.{part}": (cout,) for part in ("weight", "bias", "running_mean", "running_var")
        }
    if network == "cnn_lstm":
        shapes |= {"lstm.weight_ih_l0": (256, 128), "lstm.weight_hh_l0": (256, 64)}
        shapes |= {"lstm.bias_ih_l0": (256,), "lstm.bias_hh_l0": (256,)}
    width = 64 if network == "cnn_lstm" else 128
    return shapes | {"fc.weight": (classes, width), "fc.bias": (classes,)}


def _sequence_program(network: str, w: Mapping[str, Array]):
    from .. import nn

    p = nn.Program(network)
    h = p.input("x", (WINDOWS, CHANNELS, COLUMNS))
    for i, _, _, kernel in _CONVS:
        h = p.conv1d(h, w[f"conv{i}.weight"], w[f"conv{i}.bias"], padding=kernel // 2)
        scale, shift = w[f"bn{i}.weight"], w[f"bn{i}.bias"]
        mean, var = w[f"bn{i}.running_mean"], w[f"bn{i}.running_var"]
        h = p.relu(p.batch_norm(h, scale, shift, mean, var))
        if i != "3":
            h = p.max_pool1d(h, 2)
    head = w["fc.weight"], w["fc.bias"]
    if network == "cnn1d":
        h = p.mean(h, -1, name="features")
        each = p.linear(h, *head, name="window_logits")
        p.output(p.softmax(each), "window_probabilities")
        h = p.mean(h, 0)
    else:
        h = p.mean(h, -1)
        h = p.lstm(h, {k.removeprefix("lstm."): v for k, v in w.items() if k.startswith("lstm.")})
        h = p.select(h, index=-1, axis=0, name="features")
    logits = p.linear(h, *head)
    p.output(logits, "logits")
    p.output(p.softmax(logits), "probabilities")
    return p.compile()
