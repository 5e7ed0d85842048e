"""PTB-XL's reference networks: tasks, windows, aggregation, sizes, fastai's files; parity with
PyTorch is in test_model_parity.py."""

import numpy as np
import pytest
from witness_ptbxl_reference import weights

import ecgkit as ek
from ecgkit.models.ptbxl_reference import DEVIATION, MEAN, TASKS

ALL = """
    1AVB 2AVB 3AVB ABQRS AFIB AFLT ALMI AMI ANEUR ASMI BIGU CLBBB CRBBB DIG EL HVOLT ILBBB
    ILMI IMI INJAL INJAS INJIL INJIN INJLA INVT IPLMI IPMI IRBBB ISCAL ISCAN ISCAS ISCIL ISCIN
    ISCLA ISC_ IVCD LAFB LAO/LAE LMI LNGQT LOWT LPFB LPR LVH LVOLT NDT NORM NST_ NT_ PAC PACE PMI
    PRC(S) PSVT PVC QWAVE RAO/RAE RVH SARRH SBRAD SEHYP SR STACH STD_ STE_ SVARR SVTAC TAB_ TRIGU
    VCLVH WPW"""


def load(network="fcn_wang", **variant):
    return ek.load_model("ptbxl_reference", weights="random", network=network, **variant)


# --------------------------------------------------------------------- the tasks
def test_the_classes_are_those_of_the_published_run():
    assert TASKS["all"] == tuple(ALL.split())
    sizes = {task: len(labels) for task, labels in TASKS.items()}
    assert sizes == {
        "all": 71, "diagnostic": 44, "subdiagnostic": 23, "superdiagnostic": 5, "form": 19,
        "rhythm": 12,
    }  # fmt: skip
    assert load(task="rhythm").labels == TASKS["rhythm"]


@pytest.mark.data
@pytest.mark.parametrize("task", TASKS)
def test_the_rows_are_the_labels_of_the_data_set(ptbxl, task):
    assert ek.datasets.ptbxl(ptbxl, task=task).labels == TASKS[task]


@pytest.mark.parametrize(("task", "classes"), [("form", 19), ("superdiagnostic", 5)])
def test_the_head_settles_network_and_task(task, classes):
    w = weights(network="resnet1d_wang", task=task)
    m = ek.load_model("ptbxl_reference", weights={f"module.{k}": v for k, v in w.items()})
    assert (m.variant["network"], m.variant["task"], m.variant["num_classes"]) == (
        "resnet1d_wang", task, classes,
    )  # fmt: skip


def test_a_head_of_one_s_own_has_numbered_classes():
    m = ek.load_model("ptbxl_reference", weights=weights(network="lstm", num_classes=9))
    assert m.labels == tuple(f"class {i}" for i in range(9))
    assert m(ek.synth.ecg()).probabilities.shape == (9,)
    with pytest.raises(ek.EcgkitError, match="'rhythm' has 12 classes, not 9"):
        load(task="rhythm", num_classes=9)
    with pytest.raises(ek.EcgkitError, match="needs num_classes"):
        load(task="own")


# --------------------------------------------------------------- the golden sizes
@pytest.mark.parametrize(
    ("network", "parameters", "mmac"),
    [
        ("xresnet1d101", 1_880_775, 41.1),
        ("resnet1d_wang", 481_863, 63.2),
        ("inception1d", 516_167, 117.9),
        ("fcn_wang", 318_279, 68.4),
        ("lstm", 912_199, None),
        ("lstm_bidir", 2_339_143, None),
    ],
)
def test_parameters_and_multiplications_are_those_of_the_specification(network, parameters, mmac):
    m = load(network)
    assert m.parameters == parameters
    if mmac:
        assert round(m._program.macs / 1e6, 1) == pytest.approx(mmac, abs=0.11)


# ------------------------------------------------------------------- the protocol
def test_seven_windows_at_a_stride_of_half_a_window():
    x = np.random.default_rng(0).normal(size=(2, 12, 1000)).astype(np.float32)
    got = load().preprocess(x, fs=100)
    want = (x.astype(np.float64) - MEAN) / DEVIATION
    assert got.shape == (2, 7, 12, 250)
    for i, start in enumerate(range(0, 751, 125)):
        np.testing.assert_allclose(got[:, i], want[..., start : start + 250], rtol=1e-6)
    assert load(fs=500).preprocess(np.zeros((12, 5000)), fs=500).shape == (1, 7, 12, 1250)
    assert load().preprocess(np.full((12, 1000), MEAN), fs=100).max() < 1e-6


def test_the_deviation_of_one_s_own_training_set_can_be_given():
    got = load(mean=1, deviation=4.0).preprocess(np.full((12, 1000), 3.0), fs=100)
    assert np.array_equal(got, np.full((1, 7, 12, 250), 0.5, np.float32))
    with pytest.raises(ek.EcgkitError, match=r"deviation must be one of any number from 1e-06"):
        load(deviation=0)


@pytest.mark.parametrize("aggregate", ["max", "mean"])
def test_a_recording_has_the_largest_or_the_mean_probability_of_its_windows(aggregate):
    w = weights(network="fcn_wang")
    m = ek.load_model("ptbxl_reference", weights=w, aggregate=aggregate)
    rec = ek.synth.ecg()
    p = m(rec)
    logits = m.forward(m.preprocess(rec))[0].astype(np.float64)
    each = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(p.windows, each, rtol=1e-5)
    np.testing.assert_allclose(p.probabilities, getattr(each, aggregate)(axis=0), rtol=1e-5)
    assert m.embed(rec).shape == (128,)
    assert np.array_equal(m([rec, rec]).probabilities[1], p.probabilities)


def test_single_windows_go_through_the_network_too():
    m = load("resnet1d_wang")
    x = np.random.default_rng(0).normal(size=(3, 7, 12, 250)).astype(np.float32)
    assert np.array_equal(m.forward(x[:, 2]), m.forward(x)[:, 2])
    assert m.forward(x[0], taps=("features",))["features"].shape == (7, 128)
    with pytest.raises(ek.LayoutError, match=r"\(n, 12, time\), got \(12, 250\)"):
        m.forward(x[0, 0])


def test_occlusion_says_which_lead_and_second():
    m = ek.load_model("ptbxl_reference", weights=weights(network="fcn_wang", task="rhythm"))
    e = m.explain(ek.synth.ecg(), label="AFIB")
    assert e.values.shape == (12, 10)
    assert np.abs(e.values).max() > 0


# ------------------------------------------------------------------- the files
@pytest.mark.torch
@pytest.mark.parametrize("network", ["xresnet1d101", "lstm_bidir"])
def test_a_checkpoint_of_fastai_loads_without_its_optimiser(network, tmp_path):
    torch = pytest.importorskip("torch")
    w = weights(network=network)
    state = {k: torch.from_numpy(np.array(v)) for k, v in w.items()}
    adam = {0: {"step": 9, "exp_avg": torch.ones(3), "exp_avg_sq": torch.ones(3)}}
    groups = [{"lr": 0.01, "betas": (0.9, 0.99), "params": [0]}]
    path = tmp_path / f"fastai_{network}.pth"
    torch.save({"model": state, "opt": {"state": adam, "param_groups": groups}}, path)
    m = ek.load_model("ptbxl_reference", weights=path)
    assert m.variant["network"] == network
    assert m.fingerprint == ek.load_model("ptbxl_reference", weights=w).fingerprint
    assert {name for name, *_ in ek.weights.inspect(path).containers} == {"model"}


def test_the_second_name_of_a_tensor_is_enough_but_must_not_contradict():
    w = weights(network="xresnet1d101")
    one = {k: v for k, v in w.items() if ".convs." not in k}
    m = ek.load_model("ptbxl_reference", weights=one)
    assert m.fingerprint == ek.load_model("ptbxl_reference", weights=w).fingerprint
    at = "5.1.convpath.0.1.0.weight"
    with pytest.raises(ek.WeightsError, match=r"5\.1\.convs\.1\.0\.weight and its copy .* differ"):
        ek.load_model("ptbxl_reference", weights=w | {at: w[at] + 1})


def test_without_weights_the_error_says_where_they_are():
    with pytest.raises(ek.WeightsError, match="helme/ecg_ptbxl_benchmarking"):
        ek.load_model("ptbxl_reference")
