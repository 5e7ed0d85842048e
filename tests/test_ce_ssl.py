"""CE-SSL: golden preprocessing, the published manifests, updates merged as the authors merge."""

import os
from pathlib import Path

import numpy as np
import pytest
import witness_ce_ssl as witness
from scipy import signal
from test_model_parity import assert_as_exact, witness_answers

import ecgkit as ek
from ecgkit.models.ce_ssl import CESSL, LABELS

MANIFESTS = Path(os.environ.get("ECGKIT_DATA", "../shared/data")).parent / "specs" / "manifests"
FLOAT32 = 1e-6  # of z-scored samples of size 1


def manifest(name):
    path = MANIFESTS / f"{name}.tsv"
    if not path.is_file():
        pytest.skip("the manifests are not here")
    rows = [line.split("\t") for line in path.read_text().splitlines() if line[:1] != "#"]
    return {r[0]: tuple(map(int, r[1].split("x"))) if r[1:] and r[1] else () for r in rows}


# ---------------------------------------------------------------- preprocessing
def test_the_filter_and_the_z_score_have_the_golden_values():
    t = np.arange(5000) / 500
    x = np.sin(2 * np.pi * 1.2 * t) + 0.3 * np.sin(2 * np.pi * 50 * t)
    x += 0.5 * np.sin(2 * np.pi * 0.1 * t) + 0.1 * np.cos(2 * np.pi * 13 * t)
    b, a = signal.butter(3, [1, 47], "bandpass", fs=500)
    np.testing.assert_allclose(b, 0.014624022392646405 * np.array([1, 0, -3, 0, 3, 0, -1]))
    np.testing.assert_allclose(a[1:4], [-4.838697523800786, 9.79417006174898, -10.656339371238593])
    np.testing.assert_allclose(a[4:], [6.594169593157126, -2.202474433752434, 0.30917192105590263])
    at = [0, 1, 2500, 4999]
    golden = [-0.42991239304956375, -0.27948510211057465, 0.17823790071610968, 0.299876494956625]
    in_double = ek.signal.zscore(ek.signal.filtfilt(b, a, x[None]))[0]
    np.testing.assert_allclose(in_double[at], golden, rtol=0, atol=1e-9)
    contract = ek.load_model("ce_ssl", weights="random").contract
    got = contract.prepare(np.repeat(x[None], 12, 0), 500)[0]
    np.testing.assert_allclose(got[0][:, at], np.tile(golden, (12, 1)), rtol=0, atol=FLOAT32)


def test_zeros_follow_after_the_z_score_and_the_length_is_a_choice():
    m, short = (ek.load_model("ce_ssl", weights="random", **c) for c in ({}, {"samples": 3000}))
    rec = ek.synth.ecg()
    got, half = m.preprocess(rec), short.preprocess(rec)
    assert got.shape == half.shape == (1, 12, 6144)
    assert (got[..., 5000:] == 0).all()
    assert (half[..., 3000:] == 0).all()
    np.testing.assert_allclose(got[..., :5000].std(-1), 1, atol=1e-5)
    np.testing.assert_allclose(half[..., :3000].std(-1), 1, atol=1e-5)
    dead = rec.signal[:, :5000].copy()
    dead[4] = 0.25  # behind the filter rounding noise, which a z-score would blow up
    flat = m.preprocess(dead, 500)
    assert (flat[0, 4] == 0).all()
    assert np.array_equal(flat[0, 5], got[0, 5])


def test_what_breaks_the_contract_is_refused_with_the_fix():
    m = ek.load_model("ce_ssl", weights="random")
    x = np.random.default_rng(0).normal(size=(12, 5000)).astype(np.float32)
    with pytest.raises(ek.RateError, match=r"ek.signal.resample\(x, 250, 500\)"):
        m(x, 250)
    with pytest.raises(ek.LayoutError, match="needs 12 leads"):
        m(x[:8], 500)
    with pytest.raises(ek.ContractError, match="too short: 8 s"):
        m(x[:, :4000], 500)
    with pytest.raises(ek.LeadError, match="lacks V6"):
        m(ek.Record(x[:11], fs=500, leads=ek.record.STANDARD_LEADS[:11]))
    x[3, 100] = np.nan
    with pytest.raises(ek.ContractError, match="leads aVR, first at sample 100"):
        m(x, 500)


# ---------------------------------------------------------------------- layout
@pytest.mark.parametrize(("name", "rank"), [("ce_ssl_base", 0), ("ce_ssl_base_lora_r16", 16)])
def test_the_layout_is_the_published_one(name, rank):
    keys = manifest(name)
    classes = keys["classifier.1.bias"][0]
    assert witness.layout("base", classes, rank) == keys
    plain = CESSL.expected(**CESSL.complete({"num_classes": classes}))
    beside = ("lora_A", "lora_B", "num_batches_tracked", "self_attention.bias")
    assert plain == {k: s for k, s in keys.items() if not k.endswith(beside)}


@pytest.mark.parametrize(
    ("network", "count"), [("base", 9_506_585), ("medium", 50_497_049), ("large", 113_494_297)]
)
def test_the_sizes_are_the_published_ones(network, count):
    shapes = CESSL.expected(**CESSL.complete({"network": network, "num_classes": 25}))
    buffers = ("running_mean", "running_var", "positional_encoding")
    assert sum(int(np.prod(s)) for k, s in shapes.items() if not k.endswith(buffers)) == count


def test_size_and_classes_follow_from_the_file_and_names_from_the_dataset():
    m = ek.load_model("ce_ssl", weights=witness.weights(num_classes=19))
    assert (m.variant["network"], m.variant["num_classes"]) == ("base", 19)
    assert m.labels[:2] == ("class 0", "class 1")
    named = ek.load_model("ce_ssl", weights=witness.weights(dataset="PTB-XL"), dataset="PTB-XL")
    assert named.labels[:3] == ("AF", "CRBBB", "IAVB")
    counts = {k: len(v.split()) for k, v in LABELS.items()}
    assert counts == {"G12EC": 18, "PTB-XL": 19, "Ningbo": 23, "Chapman": 16}
    with pytest.raises(ek.EcgkitError, match="Ningbo has 23 classes, the head 19"):
        ek.load_model("ce_ssl", weights=witness.weights(num_classes=19), dataset="Ningbo")


def test_weights_of_another_size_or_a_mask_that_is_not_causal_are_refused():
    w = witness.weights()
    with pytest.raises(ek.WeightsError, match=r"medium.*missing: transformer_layers.8"):
        ek.load_model("ce_ssl", weights=w, network="medium")
    with pytest.raises(ek.WeightsError, match="of width 100; known widths: 256, 512, 768"):
        ek.load_model("ce_ssl", weights={"encoder_layers.0.conv1.conv.bias": np.zeros(100)})
    key = "transformer_layers.3.self_attention.bias"
    with pytest.raises(ek.WeightsError, match=rf"{key} is no causal mask"):
        ek.load_model("ce_ssl", weights=w | {key: np.ones((1, 1, 96, 96))})
    masks = [k for k in w if k.endswith("self_attention.bias")]
    bare = ek.load_model("ce_ssl", weights={k: v for k, v in w.items() if k not in masks})
    assert bare.fingerprint == ek.load_model("ce_ssl", weights=w).fingerprint


# --------------------------------------------------------------------- updates
def ranks(module):
    """As one-shot allocation leaves them: 16, or 8 where it matters less, or no update at all."""
    return {"encoder_layers.0.conv3": 8, "transformer_layers.2.fc1": 0}.get(
        module, 8 if module.endswith(("c_attn", "conv2")) else 16
    )


@pytest.mark.torch
@pytest.mark.parametrize("choice", [{}, {"deactivation": 0.0}], ids=["p=0.2", "p=0"])
def test_merged_updates_answer_like_the_unmerged_network(choice):
    w = witness.weights(rank=ranks, dataset="G12EC")
    x = witness.inputs(2)
    m = ek.load_model("ce_ssl", weights=w, dataset="G12EC", **choice)
    (want, _), (theirs, _) = witness_answers("witness_ce_ssl", w, choice, x)
    assert_as_exact("logits", m.forward(x), want["output"], theirs["output"])
    plain = {k: v for k, v in w.items() if "lora" not in k}
    assert not np.allclose(ek.load_model("ce_ssl", weights=plain).forward(x), m.forward(x))


def test_the_update_of_q_k_v_is_transposed_block_by_block():
    w = witness.weights(rank=4)
    at = "transformer_layers.1.self_attention.c_attn"
    m = ek.load_model("ce_ssl", weights=w, deactivation=0.5)
    a, b = (w[f"{at}.lora_{part}"].astype(np.float64) for part in "AB")
    want = w[f"{at}.weight"].astype(np.float64)
    for g in range(3):
        columns = slice(256 * g, 256 * (g + 1))
        want[:, columns] += 0.5 * (b[columns] @ a[4 * g : 4 * (g + 1)]).T
    got = m.adopt(w)[f"{at}.weight"]
    np.testing.assert_allclose(got, want, rtol=0, atol=3e-6 * abs(want).max())


def test_a_fine_tuned_file_goes_over_its_backbone(tmp_path):
    """It holds only names with lora, bias, bn or norm in them, and the last matrix."""
    w = witness.weights(rank=16, dataset="PTB-XL")
    kept = ("lora", "bias", "bn", "norm")
    tuned = {k: v for k, v in w.items() if any(part in k for part in kept)}
    tuned |= {"classifier.1.weight": w["classifier.1.weight"]}
    base = witness.weights(seed=0)
    base |= {k: v for k, v in w.items() if k not in tuned}
    assert base["classifier.1.weight"].shape == (6, 256)
    for name, mapping in (("base", base), ("tuned", tuned)):
        ek.weights.save(tmp_path / f"{name}.safetensors", mapping)
    read = [ek.weights.read(tmp_path / f"{name}.safetensors") for name in ("base", "tuned")]
    m = ek.load_model("ce_ssl", weights={**read[0], **read[1]}, dataset="PTB-XL")
    assert m.fingerprint == ek.load_model("ce_ssl", weights=w, dataset="PTB-XL").fingerprint
    with pytest.raises(ek.WeightsError, match=r"Put it over the backbone: weights=\{\*\*ek"):
        ek.load_model("ce_ssl", weights=tmp_path / "tuned.safetensors")


def test_updates_that_do_not_fit_are_listed_with_everything_else():
    w = witness.weights(rank=16)
    at = "transformer_layers.1.fc1"
    w |= {f"{at}.lora_B": w[f"{at}.lora_B"][:, :5], "classifier.1.lora_A": np.zeros((2, 256))}
    del w["encoder_layers.1.conv2.lora_B"], w["classifier.0.bias"]
    with pytest.raises(ek.WeightsError) as info:
        ek.load_model("ce_ssl", weights=w)
    for part in (
        "2 missing: classifier.0.bias, encoder_layers.1.conv2.lora_B",
        "1 unexpected: classifier.1.lora_A",
        f"{at}.lora_B has (1024, 5), wanted (1024, 16)",
    ):
        assert part in str(info.value)
    with pytest.raises(ek.EcgkitError, match=r"deactivation must be one of 0 to 1 .*got 2"):
        ek.load_model("ce_ssl", weights="random", deactivation=2)


# ------------------------------------------------------------------------- use
def test_the_cell_of_the_page_runs():
    page = Path(__file__).parent.parent / "docs" / "models" / "ce_ssl.md"
    if not page.is_file():
        pytest.skip("the pages are not here")
    exec(page.read_text().split("```python\n")[1].split("```")[0], {})


def test_records_are_answered_embedded_and_scored(tmp_path):
    m = ek.load_model("ce_ssl", weights=witness.weights(dataset="Chapman"), dataset="Chapman")
    rec = ek.synth.ecg()
    p = m([rec, rec])
    assert p.probabilities.shape == (2, 16)
    assert ((p.probabilities >= 0) & (p.probabilities <= 1)).all()
    logits = m.forward(m.preprocess(rec))
    np.testing.assert_allclose(p[0].probabilities, 1 / (1 + np.exp(-logits[0])), rtol=1e-5)
    assert m.embed([rec, rec]).shape == (2, 256)
    silenced = ek.explain.occlusion(m, rec, label="AF", seconds=10)
    assert silenced.values.shape == (12, 1)
    pq = pytest.importorskip("pyarrow.parquet")
    ek.io.write(rec, tmp_path / "a.hea")
    report = ek.score(m, [str(tmp_path / "a.hea")], tmp_path / "scores.parquet")
    assert report.failed == 0
    table = pq.read_table(tmp_path / "scores.parquet")
    read = m(ek.read(tmp_path / "a.hea"))
    assert table["AF"].to_pylist() == [pytest.approx(read["AF"], abs=1e-7)]
