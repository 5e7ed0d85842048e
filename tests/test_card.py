"""Model cards and the bundled weights that they describe."""

import hashlib
import json

import numpy as np
import pytest

import ecgkit as ek
from ecgkit import models
from ecgkit.models import Card
from ecgkit.models.scalogram_arrhythmia import SYSTEM

LABELS = list(SYSTEM.labels)


def estimate(value):
    return {"value": value, "low": value - 0.02, "high": value + 0.01}


def metrics(accuracy):
    rest = {name: estimate(0.8) for name in ("precision", "recall", "f1")}
    return {
        "n": 40,
        "accuracy": estimate(accuracy),
        "balanced_accuracy": estimate(0.85),
        "macro_f1": estimate(0.84),
        "per_class": {label: {**rest, "support": 10} for label in LABELS},
        "confusion": np.diag([10] * 4).tolist(),
    }


def card_of(networks, best):
    return {
        "format": 1,
        "system": "scalogram_arrhythmia",
        "labels": LABELS,
        "paper": SYSTEM.paper,
        "paper_reported": SYSTEM.paper_reported,
        "data": {"name": "Made-up", "version": "9", "counts": {"test": dict.fromkeys(LABELS, 10)}},
        "licence": "none",
        "best": best,
        "networks": networks,
    }


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    """A package that carries random weights of cnn1d and of a small efficientnet_lite0."""
    folder = tmp_path / "scalogram_arrhythmia"
    folder.mkdir()
    networks = {}
    for network, options in {"cnn1d": {}, "efficientnet_lite0": {"image": 64}}.items():
        shapes = SYSTEM.expected(network=network, **options)
        tensors = models.random_tensors(shapes, seed=1)
        path = folder / f"{network}.safetensors"
        ek.weights.save(path, {k: v.astype(np.float16) for k, v in tensors.items()})
        networks[network] = {
            "weights": path.name,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "dtype": "float16",
            "parameters": 1,
            "contract": SYSTEM.contract_of(network=network, **options).to_dict(),
            "seed": 0,
            "script": "none",
            "training": {"epochs": 1},
            "metrics": {"ecg": metrics(0.95), "window": metrics(0.9)},
            "metrics_note": "made up",
        }
    text = json.dumps(card_of(networks, "efficientnet_lite0"))
    (folder / "card.json").write_text(text)
    monkeypatch.setattr(models, "_FOLDER", tmp_path)
    models._bundled.cache_clear()
    yield folder
    models._bundled.cache_clear()


def test_the_network_that_the_card_calls_best_is_the_default(bundle):
    m = ek.load_model("scalogram_arrhythmia")
    assert m.variant == {"network": "efficientnet_lite0", "image": 64}
    assert m.contract.features.params["image"] == (64, 64)
    assert "bundled, trained on Made-up 9" in repr(m)
    assert m.card.networks["cnn1d"].metrics["window"].accuracy.value == 0.9
    assert ek.list_models()["scalogram_arrhythmia"].weights == "bundled"
    assert ek.load_model("scalogram_arrhythmia", weights="random", image=64).variant == m.variant


def test_another_bundled_network_can_be_named(bundle):
    m = ek.load_model("scalogram_arrhythmia", network="cnn1d")
    assert m(np.zeros((12, 1000)), 100).probabilities.shape == (4,)
    assert m.card.best == "efficientnet_lite0"


def test_what_is_not_bundled_is_refused(bundle):
    with pytest.raises(ek.WeightsError, match=r"'resnet18', only for cnn1d, efficientnet_lite0"):
        ek.load_model("scalogram_arrhythmia", network="resnet18")
    with pytest.raises(ek.EcgkitError, match=r"trained as .*'image': 64.*weights of your own"):
        ek.load_model("scalogram_arrhythmia", image=96)
    with pytest.raises(ek.EcgkitError, match="must be one of"):
        ek.load_model("scalogram_arrhythmia", network="vgg")


def test_damaged_bundled_weights_are_refused(bundle):
    path = bundle / "cnn1d.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ek.WeightsError, match="sha256"):
        ek.load_model("scalogram_arrhythmia", network="cnn1d")


def test_without_bundled_weights_the_error_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "_FOLDER", tmp_path)
    models._bundled.cache_clear()
    with pytest.raises(ek.WeightsError, match=r"authors publish none.*weights='random'"):
        ek.load_model("scalogram_arrhythmia")
    models._bundled.cache_clear()


def test_json_gives_the_same_card_back(bundle):
    card = Card.read(bundle / "card.json")
    assert Card.from_dict(json.loads(card.to_json())) == card


def test_a_card_shows_the_paper_beside_the_measured(bundle):
    card = Card.read(bundle / "card.json")
    for text in (str(card), card._repr_html_()):
        for fact in ("0.98", "0.950 (0.930-0.960)", "efficientnet_lite0", "unknown", "window"):
            assert fact in text
    assert card.to_frame().loc["cnn1d", "accuracy"] == 0.95
    assert card.to_frame("window").loc["cnn1d", "accuracy"] == 0.9
    assert "measured  nothing" in str(SYSTEM.bare_card())


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda c: c.pop("labels"), "labels"),
        (lambda c: c.update(colour=1), "colour"),
        (lambda c: c.update(format=2), "format 2"),
        (lambda c: c.update(best="none"), "best is 'none'"),
        (lambda c: c["networks"]["cnn1d"].pop("seed"), "seed"),
        (lambda c: c["networks"]["cnn1d"]["metrics"]["ecg"].pop("accuracy"), "accuracy"),
        (lambda c: c["networks"].update(cnn1d=3), "card.json"),
    ],
)
def test_a_card_that_is_none_is_refused(bundle, change, what):
    data = json.loads((bundle / "card.json").read_text())
    change(data)
    (bundle / "card.json").write_text(json.dumps(data))
    with pytest.raises(ek.FormatError, match=what):
        Card.read(bundle / "card.json")
    (bundle / "card.json").write_text("{")
    with pytest.raises(ek.FormatError, match="not JSON"):
        Card.read(bundle / "card.json")
