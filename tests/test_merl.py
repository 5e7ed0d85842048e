"""MERL: zero-shot, heads, the contract; parity with PyTorch is in test_model_parity.py."""

import numpy as np
import pytest
from witness_merl import weights

import ecgkit as ek
from ecgkit.models.merl import MIMIC_LEADS


def test_a_leftover_head_of_another_size_is_dropped_unless_it_is_wanted():
    w = weights(aligned=False) | {"linear.weight": np.ones((10, 512)), "linear.bias": np.ones(10)}
    assert ek.load_model("merl", weights=w).forward(np.zeros((1, 12, 5000))).shape == (1, 512)
    with pytest.raises(ek.WeightsError, match=r"linear.weight has \(10, 512\), wanted \(5, 512\)"):
        ek.load_model("merl", weights=w, num_classes=5)


def test_leads_go_in_the_order_of_mimic_and_span_0_to_1():
    m = ek.load_model("merl", weights="random")
    rec = ek.synth.ecg()
    x = m.preprocess(rec)[0]
    assert x.min() == 0
    assert abs(x.max() - 1) < 1e-6
    raw = np.stack([rec.signal[rec.leads.index(lead)] for lead in MIMIC_LEADS]).astype(np.float64)
    np.testing.assert_allclose(x, (raw - raw.min()) / (np.ptp(raw) + 1e-8), atol=1e-7)


def test_zero_shot_scores_are_cosines():
    m = ek.load_model("merl", weights=weights())
    rec, rng = ek.synth.ecg(), np.random.default_rng(2)
    classes = {"AFIB": rng.normal(size=256), "SR": 7 * m.embed(rec)}
    got = m.zero_shot(rec, classes)
    assert got.shape == (2,)
    assert abs(got[1] - 1) < 1e-6
    assert m.zero_shot([rec, rec], classes).shape == (2, 2)
    with pytest.raises(ek.LayoutError, match="256 finite numbers"):
        m.zero_shot(rec, {"a": np.ones(3)})
    with pytest.raises(ek.EcgkitError, match=r"embed\(x\), zero_shot"):
        m(rec)
    with pytest.raises(ek.EcgkitError, match="no projection"):
        ek.load_model("merl", weights=weights(aligned=False)).zero_shot(rec, classes)


def test_choices_that_do_not_go_together_are_refused():
    with pytest.raises(ek.EcgkitError, match="stands on the encoder alone"):
        ek.load_model("merl", weights="random", aligned=True, num_classes=3)
    with pytest.raises(ek.WeightsError, match="a ViT of width 100"):
        ek.load_model("merl", weights={"to_patch_embedding.weight": np.zeros((100, 12, 50))})
