"""The bundled scalogram weights: small, described, and they do on fold 10 what their card says."""

import hashlib
import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

import ecgkit as ek

FOLDER = resources.files("ecgkit") / "models" / "weights" / "scalogram_arrhythmia"
CARD = json.loads((FOLDER / "card.json").read_text(encoding="utf-8"))
NETWORKS = tuple(CARD["networks"])
GOLDEN = json.loads((Path(__file__).parent / "golden_scalogram.json").read_text())


def test_all_files_together_stay_below_twelve_megabytes():
    sizes = [(FOLDER / net["weights"]).stat().st_size for net in CARD["networks"].values()]
    assert sum(sizes) < 12e6
    assert max(sizes) < 8e6


@pytest.mark.parametrize("network", NETWORKS)
def test_the_card_describes_the_file(network):
    net = CARD["networks"][network]
    data = (FOLDER / net["weights"]).read_bytes()
    assert hashlib.sha256(data).hexdigest() == net["sha256"]
    model = ek.load_model("scalogram_arrhythmia", network=network)
    assert model.parameters == net["parameters"]
    assert model.contract.to_dict() == net["contract"]
    assert model.labels == tuple(CARD["labels"])
    measured = net["metrics"]["ecg"]
    confusion = np.array(measured["confusion"])
    assert confusion.sum() == measured["n"] == sum(CARD["data"]["counts"]["test"].values())
    assert confusion.sum(1).tolist() == list(CARD["data"]["counts"]["test"].values())
    assert measured["accuracy"]["value"] == pytest.approx(confusion.trace() / confusion.sum())
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        one = measured[name]
        assert one["low"] < one["value"] < one["high"]


def test_the_default_network_is_the_one_that_was_best_on_the_validation_fold():
    def score(network):
        seen = CARD["networks"][network]["training"]["validation"]
        return seen["macro_f1"]["value"] + seen["accuracy"]["value"]

    assert CARD["best"] == max(NETWORKS, key=score)
    assert ek.load_model("scalogram_arrhythmia").variant["network"] == CARD["best"]


def test_the_paper_is_beside_the_figures_and_not_among_them():
    assert {row["value"] for row in CARD["paper_reported"]} == {0.98, 0.95}
    assert all(row["split"] == "unknown" for row in CARD["paper_reported"])
    assert "paper" not in json.dumps(CARD["networks"])


@pytest.mark.data
@pytest.mark.parametrize("network", NETWORKS)
def test_answers_on_real_records_have_not_moved(network, ptbxl):
    """Probabilities of six records of fold 10, one of each class first, as they were measured."""
    fold = ek.datasets.ptbxl(ptbxl, task="rhythm4", folds=[10])
    want = GOLDEN[network]
    model = ek.load_model("scalogram_arrhythmia", network=network)
    position = {int(i): k for k, i in enumerate(fold.ids)}
    records = [fold.record(position[int(i)]) for i in want]
    got = model(records).probabilities
    np.testing.assert_allclose(got, list(want.values()), atol=2e-4)


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("network", NETWORKS)
def test_fold_10_gives_the_confusion_of_the_card(network, ptbxl):
    from ecgkit.evaluate import confusion

    fold = ek.datasets.ptbxl(ptbxl, task="rhythm4", folds=[10])
    model = ek.load_model("scalogram_arrhythmia", network=network)
    answers = [model(x, fs=100).probabilities for x in fold.signal_batches(64)]
    got = confusion(fold.y, np.concatenate(answers).argmax(1), 4)
    want = np.array(CARD["networks"][network]["metrics"]["ecg"]["confusion"])
    # another instruction set rounds otherwise: a record on the border may change sides
    assert np.abs(got - want).sum() <= 4


@pytest.mark.data
def test_the_hash_of_the_card_is_that_of_the_test_fold(ptbxl):
    fold = ek.datasets.ptbxl(ptbxl, task="rhythm4", folds=[10])
    assert fold.sha256() == CARD["data"]["sha256_splits"]["test"]
