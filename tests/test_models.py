"""The registry, Model and Prediction, on a system small enough to check by hand."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from toy_model import Toy, toy

import ecgkit as ek
from ecgkit.models import Prediction
from ecgkit.record import STANDARD_LEADS


def array(n=None, samples=200, seed=0):
    shape = (12, samples) if n is None else (n, 12, samples)
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def record(samples=200, fs=100, seed=0):
    return ek.Record(array(samples=samples, seed=seed), fs=fs, leads=STANDARD_LEADS)


# --------------------------------------------------------------- the registry
def test_the_table_states_every_fact():
    table = ek.list_models()
    row = table["scalogram_arrhythmia"]
    assert "2312.09426" in row.paper
    assert row.input == "12 leads, 10 s at 100 Hz, mV"
    assert row.weights in ("bundled", "from file")
    assert "cnn_lstm" in row.variants
    assert list(table.to_frame().columns) == [
        "name",
        "paper",
        "task",
        "input",
        "weights",
        "variants",
    ]
    assert row.name in repr(table)
    assert row.name in table._repr_html_()
    assert len(table) == len(list(table))
    with pytest.raises(KeyError, match="scalogram_arrhythmia"):
        table["none"]


def test_an_unknown_name_or_variant_lists_the_choices():
    with pytest.raises(ek.EcgkitError, match=r"no model 'nope'; there are .*scalogram_arrhythmia"):
        ek.load_model("nope")
    with pytest.raises(
        ek.EcgkitError, match=r"no variant 'colour'; its variants are network, image"
    ):
        ek.load_model("scalogram_arrhythmia", weights="random", colour="red")
    with pytest.raises(
        ek.EcgkitError, match=r"network must be one of resnet18, .*cnn_lstm; got 'vgg'"
    ):
        ek.load_model("scalogram_arrhythmia", weights="random", network="vgg")
    with pytest.raises(ek.EcgkitError, match=r"image must be one of 32..512; got 8"):
        ek.load_model("scalogram_arrhythmia", weights="random", image=8)
    with pytest.raises(ek.EcgkitError, match=r"cnn1d takes none"):
        ek.load_model("scalogram_arrhythmia", weights="random", network="cnn1d", image=64)


def test_weights_that_do_not_fit_are_listed():
    with pytest.raises(ek.WeightsError, match=r"(?s)337|missing: conv1.weight.*unexpected: w"):
        ek.load_model("scalogram_arrhythmia", weights={"w": np.zeros(1)}, network="cnn1d")


# ----------------------------------------------------------------- the answer
def test_a_record_an_array_and_a_batch_give_the_same_answer():
    m, x = toy(), array()
    want = m(x, 100)
    assert want.single
    assert want.windows is None
    for other in (
        m(ek.Record(x, fs=100, leads=STANDARD_LEADS)),
        m(x[None], fs=100)[0],
        m([record()])[0],
    ):
        assert np.array_equal(other.probabilities, want.probabilities)
    assert np.array_equal(m.predict_proba(x, 100), want.probabilities)
    assert m.predict_proba(x[None], 100).shape == (1, 3)
    assert want.top == m.labels[int(want.probabilities.argmax())]


def test_a_long_batch_goes_through_in_pieces_with_the_same_bits():
    m, x = toy(), array(n=2 * Toy.batch + 3)
    got = m(x, 100)
    assert np.array_equal(got.probabilities, np.stack([m(row, 100).probabilities for row in x]))
    records = [ek.Record(row, fs=100, leads=STANDARD_LEADS) for row in x]
    assert np.array_equal(m(records).probabilities, got.probabilities)
    assert m.embed(x, 100).shape == (len(x), 12)
    assert np.array_equal(m.embed(records)[-1], m.embed(records[-1]))


def test_the_broken_recording_of_a_long_list_is_named():
    records = [record(seed=i) for i in range(40)]
    records[33] = record(samples=100)
    with pytest.raises(ek.ContractError, match="recording 33: too short"):
        toy()(records)


def test_notes_say_what_was_done():
    p = toy()([record(), record(1200, 500)])
    assert p.notes[0] == ()
    assert "resampled from 500 to 100 Hz" in p.notes[1][0]
    assert "resampled" in repr(p[1])
    assert "resampled" in p[1]._repr_html_()
    assert toy()(record(1200, 500)).notes == p.notes[1]


def test_an_empty_batch_has_an_empty_answer():
    p = toy()(np.zeros((0, 12, 200)), 100)
    assert p.probabilities.shape == (0, 3)
    assert p.top == []


def test_eight_threads_share_one_model():
    m = toy()
    xs = [array(seed=i) for i in range(64)]
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda x: m(x, 100).probabilities, xs))
    assert np.array_equal(got, [m(x, 100).probabilities for x in xs])


def test_a_model_survives_pickling():
    m, x = toy(), array()
    back = pickle.loads(pickle.dumps(m))
    assert repr(back) == repr(m)
    assert back.fingerprint == m.fingerprint
    assert np.array_equal(back(x, 100).probabilities, m(x, 100).probabilities)


def test_the_repr_states_contract_and_source():
    for text in (repr(toy()), toy()._repr_html_()):
        for fact in (
            "toy(size=small)",
            "test",
            toy().fingerprint[:12],
            "100 Hz",
            "V6",
            "36 parameters",
        ):
            assert fact in text


# ------------------------------------------------------------------ Prediction
def prediction():
    p = np.array([[0.1, 0.7, 0.2], [0.5, 0.25, 0.25]], np.float32)
    return Prediction(("A", "B", "<C>"), p, None, ((), ("cropped",)), "toy")


def test_a_batch_is_indexed_by_recording_and_label():
    p = prediction()
    assert len(p) == 2
    assert p.top == ["B", "A"]
    assert [one.top for one in p] == ["B", "A"]
    assert p[0]["B"] == pytest.approx(0.7)
    assert p["B"].tolist() == pytest.approx([0.7, 0.25])
    assert p[1].notes == ("cropped",)
    with pytest.raises(KeyError, match="A, B"):
        p["D"]
    with pytest.raises(TypeError, match="label"):
        p[0][0]


def test_a_prediction_shows_itself_and_escapes_what_it_shows():
    p = prediction()
    for html in (p._repr_html_(), p[0]._repr_html_()):
        assert "<C>" not in html
        assert "&lt;C&gt;" in html
        assert "0.7" in html
    assert repr(p[0]).splitlines()[0] == "Prediction: B (toy)"
    frame = p.to_frame()
    assert list(frame.columns) == ["A", "B", "<C>", "top", "notes"]
    assert frame["notes"].tolist() == ["", "cropped"]
    assert p[0].to_frame()["top"].tolist() == ["B"]


# ------------------------------------------------------------------- occlusion
def test_occlusion_is_the_drop_for_each_lead_and_second():
    m, x = toy(), array()
    e = m.explain(x, 100, label="C")
    assert e.values.shape == (12, 2)
    assert e.probability == pytest.approx(m(x, 100)["C"])
    silent = x.copy()
    silent[3, 100:200] = 0
    assert e.values[3, 1] == pytest.approx(e.probability - m(silent, 100)["C"], abs=1e-6)
    assert m.explain(record()).label == m(record()).top
    assert e.seconds.tolist() == [0, 1, 2]
    assert list(e.to_frame().index) == list(STANDARD_LEADS)
    assert "C" in repr(e)
    assert "V6" in e._repr_html_()


def test_occlusion_refuses_what_it_cannot_explain():
    m = toy()
    with pytest.raises(ek.EcgkitError, match="no label 'Z'; the model has A, B, C"):
        m.explain(record(), label="Z")
    with pytest.raises(ek.LayoutError, match="one recording"):
        m.explain([record(), record()])
    with pytest.raises(ek.LayoutError, match="segments"):
        ek.explain.occlusion(m, record(), seconds=0)
