"""ECGNet beyond parity: golden sizes, records from one lead, masks, refusals."""

import pickle

import numpy as np
import pytest

import ecgkit as ek
from ecgkit.models.ecgnet_gan import einthoven_rms
from ecgkit.record import STANDARD_LEADS


def generator(**variant):
    return ek.load_model("ecgnet_gan", weights="random", seconds=2, **variant)


def test_sizes_are_those_of_the_specification():
    assert generator().parameters == 326_412
    assert generator(rows=11).parameters == 326_412 - 201
    shapes = {
        k: int(np.prod(s)) for k, s in type(generator()).expected(**generator().variant).items()
    }
    assert sum(n for k, n in shapes.items() if "_l0" in k) == 82_400
    assert sum(n for k, n in shapes.items() if "_l1" in k) == 241_600
    d = ek.load_model("ecgnet_gan", weights="random", network="discriminator")
    assert d.parameters == 114_401
    taps = d.forward(np.zeros((1, 12, 5000)), taps=("conv1", "conv2", "conv3"))
    assert [taps[f"conv{i}"].shape[1:] for i in (1, 2, 3)] == [(32, 1000), (64, 334), (128, 112)]


def test_one_lead_of_a_record_becomes_twelve_and_stays_as_it_was():
    rec, m = ek.synth.ecg(), generator(lead="V2")
    made = m.generate(rec)
    assert made.leads == STANDARD_LEADS
    assert (made.fs, made.n_samples) == (500, 1000)
    assert np.array_equal(made["V2"], rec["V2"][:1000])
    assert made.meta["lead"] == "V2"
    assert "first 2 s of 10 s used" in made.meta["notes"]
    assert np.array_equal(m.generate(rec.pick(["V2"])).signal, made.signal)
    assert np.array_equal(m.generate(rec["V2"], fs=500).signal, made.signal)
    whole = m.forward(m.preprocess(rec))[0]
    assert np.array_equal(made.signal, whole)


def test_a_batch_is_made_one_by_one_with_the_same_bits():
    m = generator()
    records = [ek.synth.ecg(seed=i) for i in range(m.batch + 2)]
    made = m.generate(records)
    assert len(made) == len(records)
    for i in (0, m.batch, m.batch + 1):
        assert np.array_equal(made[i].signal, m.generate(records[i]).signal)
        assert np.array_equal(made[i]["I"], records[i]["I"][:1000])


def test_a_generator_that_is_told_its_lead_starts_from_any():
    m, rec = generator(coded=True), ek.synth.ecg()
    for lead in STANDARD_LEADS:
        made = m.generate(rec, lead=lead.upper())
        assert np.array_equal(made[lead], rec[lead][:1000])
        own = ek.load_model("ecgnet_gan", weights="random", seconds=2, coded=True, lead=lead)
        assert np.array_equal(made.signal, own.generate(rec).signal)
    with pytest.raises(ek.LeadError, match="starts from lead I: load the weights for lead V1"):
        generator().generate(rec, lead="V1")
    with pytest.raises(ek.LeadError, match="lead must be one of I II"):
        m.generate(rec, lead="X")


def test_z_scores_need_an_amplitude_to_become_millivolts():
    m, rec = generator(scale="zscore"), ek.synth.ecg()
    prepared = m.preprocess(rec)
    assert abs(prepared.mean()) < 1e-5
    assert abs(prepared.std() - 1) < 1e-5
    with pytest.raises(ek.EcgkitError, match="pass std=, twelve numbers in mV"):
        m.generate(rec)
    std, mean = np.linspace(0.1, 0.3, 12), np.linspace(-1, 1, 12)
    made = m.generate(rec, std=std, mean=mean)
    assert np.array_equal(made["I"], rec["I"][:1000])
    want = m.forward(prepared)[0] * std[:, None] + mean[:, None]
    np.testing.assert_allclose(made.signal[1:], want[1:], rtol=1e-5, atol=1e-6)
    with pytest.raises(ek.LayoutError, match="std must be one or twelve finite numbers"):
        m.generate(rec, std=np.ones(3))
    with pytest.raises(ek.EcgkitError, match="gives mV: leave out mean and std"):
        generator().generate(rec, std=std)


def test_the_law_of_einthoven_is_measured():
    assert einthoven_rms(ek.synth.ecg().signal) < 1e-6
    made = generator().generate(ek.synth.ecg())
    assert made.meta["einthoven_rms_mv"] == einthoven_rms(made.signal) > 0.01


def test_the_networks_answer_what_they_are_for():
    rec, m = ek.synth.ecg(), generator()
    with pytest.raises(ek.EcgkitError, match=r"gives leads, not classes: use generate\(x\)"):
        m(rec)
    assert m.embed(rec).shape == (200,)
    d = ek.load_model("ecgnet_gan", weights="random", network="discriminator")
    answer = d(rec)
    assert answer.labels == ("real",)
    assert 0 < answer["real"] < 1
    assert d.embed([rec, rec]).shape == (2, 128)
    with pytest.raises(ek.EcgkitError, match="generates nothing"):
        d.generate(rec)
    c = ek.load_model("ecgnet_gan", weights="random", network="cvd")
    assert c(rec).labels == ("NORM", "MI", "STTC", "CD", "HYP")
    assert c.embed(rec).shape == (128,)
    assert c.explain(rec, label="MI").values.shape == (12, 10)
    three = ek.load_model("ecgnet_gan", weights="random", network="cvd", num_classes=3)
    assert three.labels == ("class 0", "class 1", "class 2")


def test_masks_mark_what_the_paper_found_conserved():
    rec = ek.synth.ecg(heart_rate=60)
    c = ek.load_model("ecgnet_gan", weights="random", network="cvd")
    x = c.preprocess(rec)[0]
    assert np.array_equal(x[:12], rec.signal[:, :5000])
    assert set(np.unique(x[12:])) == {0, 1}
    beats = ek.signal.delineate(rec)
    assert x[13, beats.rpeaks].all()
    starts, ends = beats.points("P")[:, 2], beats.points("QRS")[:, 0]
    found = (starts >= 0) & (starts < ends)
    assert found.sum() >= 8
    assert x[12].sum() == (ends - starts)[found].sum()
    assert not c.preprocess(np.zeros((12, 5000)), 500)[0, 12:].any()


def test_the_keys_settle_the_network():
    for variant in (
        {"network": "discriminator"}, {"network": "cvd", "num_classes": 3},
        {"network": "cvd", "masks": False}, {"rows": 11}, {"coded": True}, {},
    ):  # fmt: skip
        cls = type(generator())
        w = {k: np.zeros(s) for k, s in cls.expected(**cls.complete(variant)).items()}
        got = ek.load_model("ecgnet_gan", weights={f"module.{k}": v for k, v in w.items()})
        assert got.variant == cls.complete(variant)
    with pytest.raises(ek.WeightsError, match="the cvd has no choice coded, rows"):
        ek.load_model("ecgnet_gan", weights=w, network="cvd")
    with pytest.raises(ek.EcgkitError, match="gives all twelve: rows=12"):
        generator(coded=True, rows=11)
    with pytest.raises(ek.WeightsError, match="none that could be found"):
        ek.load_model("ecgnet_gan")


def test_the_contract_refuses_with_the_fix():
    rec, m = ek.synth.ecg(), generator()
    with pytest.raises(ek.LeadError, match="needs the leads I; the record lacks I"):
        m.generate(rec.pick(["II"]))
    with pytest.raises(ek.RateError, match="fs=500"):
        m.generate(rec["I"])
    with pytest.raises(ek.LayoutError, match="needs 1 leads"):
        m.generate(rec.signal, fs=500)
    with pytest.raises(ek.ContractError, match="too short"):
        m.generate(rec["I"][:999], fs=500)
    x = rec["I"].copy()
    x[7] = np.nan
    with pytest.raises(ek.ContractError, match="first at sample 7"):
        m.generate(x, fs=500)


def test_it_survives_pickling():
    m, rec = generator(coded=True, lead="V5"), ek.synth.ecg()
    back = pickle.loads(pickle.dumps(m))
    assert np.array_equal(back.generate(rec).signal, m.generate(rec).signal)


def test_recordings_are_scored_from_files(tmp_path):
    pytest.importorskip("pyarrow")
    pytest.importorskip("wfdb")
    records = [ek.synth.ecg(seed=i) for i in range(3)]
    paths = [ek.io.write(rec, tmp_path / f"r{i}.hea") for i, rec in enumerate(records)]
    for network, columns in (("cvd", {"NORM", "HYP", "predicted"}), ("generator", {"embedding"})):
        m = ek.load_model("ecgnet_gan", weights="random", network=network)
        report = ek.score(m, paths, tmp_path / f"{network}.parquet")
        assert (report.total, report.failed) == (3, 0)
        assert columns <= set(report.to_frame().columns)
