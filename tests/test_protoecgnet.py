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
