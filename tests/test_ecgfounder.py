"""ECGFounder: the published keys, the contract, heads of one's own; parity is in
test_model_parity.py."""

import os
from pathlib import Path

import numpy as np
import pytest
from witness_ecgfounder import layout, weights

import ecgkit as ek
from ecgkit.models._model import random_tensors
from ecgkit.models.ecgfounder import ECGFounder

MANIFESTS = Path(os.environ.get("ECGKIT_DATA", "../shared/data")).parent / "specs" / "manifests"


def manifest(leads):
    path = MANIFESTS / f"ecgfounder_{leads}lead.tsv"
    if not path.is_file():
        pytest.skip("the manifests are not here")
    rows = [line.split("\t") for line in path.read_text().splitlines() if line[:1] != "#"]
    return {
        row[0]: tuple(map(int, row[1].split("x"))) if row[1:] and row[1] else () for row in rows
    }


@pytest.mark.parametrize("leads", [12, 1])
def test_the_published_layout_is_the_one_of_the_witness(leads):
    wanted = layout(leads)
    assert wanted == manifest(leads)
    m = ek.load_model("ecgfounder", weights=weights(leads=leads), leads=leads)
    assert m.parameters == (30_819_014 if leads == 12 else 30_807_750) - 66_368


def test_files_may_lack_the_batch_norms():
    w = weights()
    without = {k: v for k, v in w.items() if "bn" not in k}
    m = ek.load_model("ecgfounder", weights=without)
    assert m.fingerprint == ek.load_model("ecgfounder", weights=w).fingerprint


def test_a_record_goes_through_the_whole_contract():
    m = ek.load_model("ecgfounder", weights="random")
    p = m(ek.synth.ecg())
    assert p.probabilities.shape == (150,)
    assert ((p.probabilities >= 0) & (p.probabilities <= 1)).all()
    assert p["ATRIAL FIBRILLATION"] == p.probabilities[5]
    assert m.embed(ek.synth.ecg()).shape == (1024,)
    raw = ek.load_model("ecgfounder", weights="random", preprocess="zscore")
    assert not np.array_equal(raw(ek.synth.ecg()).probabilities, p.probabilities)


def test_one_lead_takes_lead_one_of_a_record():
    m = ek.load_model("ecgfounder", weights="random", leads=1)
    rec = ek.synth.ecg()
    assert np.array_equal(m.preprocess(rec), m.preprocess(rec.pick(["I"])))


def test_a_head_of_one_s_own():
    w = dict(random_tensors(ECGFounder.expected(12, "full", 3), 0))
    m = ek.load_model("ecgfounder", weights=w, num_classes=3)
    assert m.labels == ("class 0", "class 1", "class 2")
    assert m(ek.synth.ecg()).probabilities.shape == (3,)
    with pytest.raises(
        ek.WeightsError, match=r"dense.weight has \(3, 1024\), wanted \(150, 1024\)"
    ):
        ek.load_model("ecgfounder", weights=w)


def test_without_weights_the_error_says_where_they_are():
    with pytest.raises(ek.WeightsError, match="PKUDigitalHealth"):
        ek.load_model("ecgfounder")
