"""ProtoECGNet: what is its own; layout and parity are in test_model_parity."""

import numpy as np
import pytest
import witness_protoecgnet as witness

import ecgkit as ek
from ecgkit.models import Step
from ecgkit.models._protoecgnet import BRANCHES, FUSION
from ecgkit.models.protoecgnet import ProtoECGNet


def load(network="rhythm", seed=0, **variant):
    w = witness.weights(seed, network=network, **variant)
    return ek.load_model("protoecgnet", weights=w, **variant)


def test_the_high_pass_gives_the_golden_values():
    n = np.arange(1000)
    x = np.sin(2 * np.pi * 1.2 * n / 100) + 0.5 * np.sin(2 * np.pi * 0.1 * n / 100)
    y = Step("highpass", cutoff=0.5, order=1)(x[None, None], 100.0)[0, 0]
    assert y.dtype == np.float64
    golden = [-0.017426705986722357, 0.047424380384205045, -0.3120212230522607]
    np.testing.assert_allclose(y[[0, 1, 999]], golden, rtol=0, atol=2e-15)
    prepared = load().preprocess(np.tile(x, (12, 1)), 100)
    assert prepared.shape == (1, 12, 1000)
    assert prepared.dtype == np.float32
    np.testing.assert_allclose(prepared[0, 3, [0, 1, 999]], golden, atol=1e-7)


def test_the_high_pass_is_the_authors_own():
    signal = pytest.importorskip("scipy.signal")
    b, a = [0.9845337085968967, -0.9845337085968967], [1, -0.9690674171937933]
    x = np.random.default_rng(0).normal(size=(2, 12, 1000))
    got = Step("highpass", cutoff=0.5, order=1)(x, 100.0)
    np.testing.assert_allclose(got, signal.filtfilt(b, a, x), rtol=0, atol=1e-13)


def test_amplitudes_are_kept():
    m, rec = load(), ek.synth.ecg(fs=100)
    once, twice = m.preprocess(rec), m.preprocess(ek.Record(2 * rec.signal, 100, rec.leads))
    np.testing.assert_allclose(twice, 2 * once, atol=1e-5)


def test_the_labels_are_those_of_each_group_and_of_ptbxl():
    assert [len(b.labels) for b in BRANCHES] == [16, 52, 3]
    assert len(FUSION) == len(set(FUSION)) == 71
    assert set(FUSION) == {label for b in BRANCHES for label in b.labels}
    assert (FUSION[0], FUSION[11], FUSION[-1]) == ("NDT", "1AVB", "TRIGU")
    assert load("diffuse").labels == ("DIG", "NORM", "EL")


@pytest.mark.data
def test_the_labels_are_the_rows_of_scp_statements(ptbxl):
    import csv

    with (ptbxl / "scp_statements.csv").open(encoding="utf-8-sig") as f:
        assert tuple(row[0] for row in list(csv.reader(f))[1:]) == FUSION


@pytest.mark.parametrize("network", ["rhythm", "diffuse", "morphology"])
def test_the_keys_say_which_branch_it_is_and_how_many_prototypes(network):
    count = {"rhythm": 32, "diffuse": 6, "morphology": 52}[network]
    w = witness.weights(network=network, **{network: count})
    m = ek.load_model("protoecgnet", weights=w)
    assert m.variant == {"network": network, "pool": "mean", network: count}
    assert m.embed(ek.synth.ecg(fs=100)).shape == (count,)
    each = count // len(m.labels)
    assert m.prototypes[each] == (network, m.labels[1])


def test_a_lightning_file_with_its_loss_loads(tmp_path):
    w = witness.weights(network="diffuse")
    lightning = {f"model.{k}": v for k, v in w.items()} | {"criterion.pos_weight": np.ones(3)}
    m = ek.load_model("protoecgnet", weights=lightning)
    assert m.fingerprint == ek.load_model("protoecgnet", weights=w).fingerprint
    bare = {k: v for k, v in w.items() if ".fc." not in k and k != "ones"}
    assert ek.load_model("protoecgnet", weights=bare).fingerprint == m.fingerprint


def test_a_backbone_alone_is_refused():
    w = {k: v for k, v in witness.weights(network="diffuse").items() if k.startswith("feature")}
    with pytest.raises(ek.WeightsError, match="prototype_vectors"):
        ek.load_model("protoecgnet", weights=w, network="diffuse")


def test_the_table_of_classes_names_joint_prototypes():
    w = witness.weights(network="diffuse", diffuse=7)
    table = np.zeros((7, 3))
    table[np.arange(6), np.repeat([0, 1, 2], 2)] = 1
    table[6, [0, 2]] = 1
    m = ek.load_model("protoecgnet", weights=w | {"prototype_class_identity": table})
    assert [name for _, name in m.prototypes] == [
        "DIG",
        "DIG",
        "NORM",
        "NORM",
        "EL",
        "EL",
        "DIG+EL",
    ]
    unnamed = {k: v for k, v in w.items() if k != "prototype_class_identity"}
    assert ek.load_model("protoecgnet", weights=unnamed).prototypes[-1][1] == "DIG+NORM"
    with pytest.raises(ek.WeightsError, match=r"prototype_class_identity has shape \(7, 2\)"):
        ek.load_model("protoecgnet", weights=w | {"prototype_class_identity": table[:, :2]})


def test_similarities_stay_below_the_scale_of_each_branch():
    m = load("morphology", morphology=52)
    x = m.preprocess(ek.synth.ecg(fs=100))
    out = m.forward(x, taps=("similarity", "scores"))
    assert out["similarity"].shape == (1, 52, 30)
    assert 0 < out["similarity"].max() <= 13
    np.testing.assert_allclose(out["scores"], out["similarity"].mean(-1), rtol=2e-6)
    theirs = 13 * ek.proto.similarity(
        m.forward(x, taps=("add_on_layers",))["add_on_layers"],
        witness.weights(network="morphology", morphology=52)["prototype_vectors"][:, :, 0],
        eps=1e-4,
    )
    np.testing.assert_allclose(out["similarity"], theirs, rtol=5e-6)


def test_the_published_sizes():
    full = ProtoECGNet.complete({})
    sizes = {k: int(np.prod(s)) for k, s in ProtoECGNet.expected(**full).items()}
    own = sum(v for k, v in sizes.items() if not k.endswith(("running_mean", "running_var")))
    ones = 80 * 512 + 936 * 512 * 3 + 21 * 512 * 32
    published = 4_457_344 + 15_134_856 + 12_898_983 + 73_698
    assert own == published - ones - 2 * 513_000


# ------------------------------------------------------------------- projection
def training(m, n=6, seed=3):
    x = np.random.default_rng(seed).normal(size=(n, 12, 1000)).astype(np.float32)
    labels = np.zeros((n, len(m.labels)), bool)
    labels[np.arange(n), np.arange(n) % (len(m.labels) - 1)] = True  # none has the last one
    return x, labels


def test_projection_takes_the_most_similar_window_of_a_record_with_the_label():
    m = load("morphology", morphology=104)
    x, labels = training(m)
    found = m.project([(x[:4], labels[:4], "abcd"), (x[4:], labels[4:], "ef")], 100)
    assert found.seen == 6
    out = m.forward(m.preprocess(x, 100), taps=("similarity", "add_on_layers"))
    new = found.tensors["prototype_vectors"]
    for i, (_, name) in enumerate(m.prototypes):
        record = m.labels.index(name)
        if record >= 6:
            assert str(i) not in found.metadata["morphology"]
            assert not new[i].any()
            continue
        said = found.metadata["morphology"][str(i)]
        near = out["similarity"][record, i]
        at = int(near.argmax())
        assert (said["ecg_id"], said["prototype_class"]) == ("abcdef"[record], name)
        assert said["similarity_score"] == pytest.approx(near[at], rel=1e-5)
        assert said["start"] == pytest.approx(min(at * 31.25 // 1, 907) / 100)
        assert said["stop"] - said["start"] == pytest.approx(0.93)
        assert np.array_equal(new[i][:, 0], out["add_on_layers"][record, :, at : at + 3])


def test_a_projected_prototype_is_as_similar_as_can_be_to_its_own_record():
    w = witness.weights(network="diffuse")
    m = ek.load_model("protoecgnet", weights=w)
    x, labels = training(m, 2)
    found = m.project([(x, labels)], 100)
    again = ek.load_model("protoecgnet", weights=w | found.tensors)
    scores = again.embed(x, 100)
    for number, said in found.metadata["diffuse"].items():
        assert scores[said["ecg_id"], int(number)] == pytest.approx(4, abs=1e-4)
        assert (said["start"], said["stop"]) == (0, 10)


def test_a_fusion_is_projected_branch_by_branch_in_one_pass():
    counts = {"rhythm": 16, "morphology": 52, "diffuse": 3}
    w = witness.weights(**counts)
    m = ek.load_model("protoecgnet", weights=w)
    x, _ = training(m, 3)
    labels = np.zeros((3, 71), bool)
    for i, name in enumerate(("SR", "LVH", "EL")):
        labels[i, m.labels.index(name)] = True
    found = m.project([(x, labels)], 100)
    assert {b: {v["prototype_class"]: v["ecg_id"] for v in d.values()}
            for b, d in found.metadata.items()} == {
        "rhythm": {"SR": 0}, "morphology": {"LVH": 1}, "diffuse": {"EL": 2}}  # fmt: skip
    assert sorted(found.tensors) == [
        "model1d.prototype_vectors", "model2d_global.prototype_vectors",
        "model2d_partial.prototype_vectors",
    ]  # fmt: skip
    assert ek.load_model("protoecgnet", weights=w | found.tensors).fingerprint != m.fingerprint


def test_projection_wants_a_row_of_labels_for_each_recording():
    m = load("diffuse")
    x, labels = training(m, 2)
    with pytest.raises(ek.LayoutError, match=r"shape \(n, 3\)"):
        m.project([(x, labels[:, :2])], 100)
    with pytest.raises(ek.LayoutError, match=r"shape \(n, 3\)"):
        m.project([(x, labels[:1])], 100)
    with pytest.raises(ek.LayoutError, match=r"shape \(n, 3\)"):
        m.project([(x[:1], labels)], 100)
