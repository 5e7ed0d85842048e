"""What an answer rests on: sums that add up, weights that are the network's own, pictures."""

import json

import numpy as np
import pytest
import witness_merl
import witness_protoecgnet as witness
from toy_model import toy

import ecgkit as ek
from ecgkit.explain import Tokens
from ecgkit.models import Model

SMALL = {"rhythm": 16, "morphology": 104, "diffuse": 6}


@pytest.fixture(scope="module")
def fusion():
    w = witness.weights(**SMALL)
    w["classifier.weight"] = w["classifier.weight"] / 50  # probabilities short of 1
    return ek.load_model("protoecgnet", weights=w)


@pytest.fixture(scope="module")
def rec():
    return ek.synth.ecg(fs=100)


# ------------------------------------------------------------------- prototypes
def test_contributions_sum_to_the_logit(fusion, rec):
    e = fusion.explain(rec)
    assert isinstance(e, ek.explain.Prototypes)
    assert e.label == fusion(rec).top
    logits = fusion.forward(fusion.preprocess(rec))[0]
    assert e.bias + e.contribution.sum() == pytest.approx(e.logit, rel=1e-12)
    assert e.logit == pytest.approx(logits.max(), rel=2e-5)
    assert e.probability == pytest.approx(fusion(rec)[e.label], rel=1e-5)
    np.testing.assert_array_equal(e.contribution, e.weight * e.similarity)
    other = fusion.explain(rec, label="AFIB")
    at = fusion.labels.index("AFIB")
    assert other.logit == pytest.approx(logits[at], rel=2e-5, abs=2e-5)


@pytest.mark.parametrize("network", ["rhythm", "diffuse", "morphology"])
def test_a_branch_has_no_bias(network, rec):
    m = ek.load_model("protoecgnet", weights=witness.weights(network=network, morphology=104))
    e = m.explain(rec, label=m.labels[2])
    assert e.bias == 0
    logit = m.forward(m.preprocess(rec))[0, 2]
    assert e.contribution.sum() == pytest.approx(logit, rel=2e-5, abs=2e-5)
    assert set(e.branch) == {network}


@pytest.mark.parametrize("pool", ["mean", "max", "topk"])
def test_the_seconds_are_those_of_the_most_similar_window(pool, rec):
    w = witness.weights(network="morphology", morphology=104)
    m = ek.load_model("protoecgnet", weights=w, pool=pool)
    near = m.forward(m.preprocess(rec), taps=("similarity",))["similarity"][0]
    e = m.explain(rec)
    window = near.argmax(axis=1)
    np.testing.assert_allclose(e.start, np.minimum(window * 31.25 // 1, 907) / 100)
    np.testing.assert_allclose(e.stop - e.start, 0.93)
    # what the moments add is what the prototypes add
    assert e.timeline.shape == (32,)
    assert e.timeline.sum() == pytest.approx(e.contribution.sum(), rel=2e-5)
    assert (e.seconds[0], e.seconds[-1]) == (0, 10)
    if pool == "max":
        by_hand = np.zeros(32)
        for i, c in zip(window, e.contribution, strict=True):
            by_hand[i : i + 3] += c / 3
        np.testing.assert_allclose(e.timeline, by_hand, rtol=1e-4, atol=1e-5)


def test_prototypes_that_stand_for_recordings_last_all_of_it(fusion, rec):
    e = fusion.explain(rec)
    for branch, start, stop in zip(e.branch, e.start, e.stop, strict=True):
        assert (branch == "morphology") == (stop - start < 1)
        if branch != "morphology":
            assert (start, stop) == (0, 10)


def test_training_records_are_the_users_to_name(fusion, rec, tmp_path):
    e = fusion.explain(rec)
    assert "does not say which training records" in e.note
    assert e.note in repr(e)
    assert set(e.source) == {None}
    said = {"0": {"ecg_id": 8012, "prototype_class": "1AVB"}, "15": {"ecg_id": 65}}
    path = tmp_path / "rhythm.json"
    path.write_text(json.dumps(said))
    for given in (said, path, str(path)):
        e = fusion.explain(rec, prototypes={"rhythm": given})
        assert not e.note
        assert e.source[0]["ecg_id"] == 8012
        assert [e.training_record(i) for i in (0, 1, 15)] == ["8012", "unknown", "65"]
    branch = ek.load_model("protoecgnet", weights=witness.weights(network="rhythm"))
    assert branch.explain(rec, prototypes=path).training_record(0) == "8012"


def test_a_projection_names_the_records_of_an_explanation(rec):
    w = witness.weights(network="morphology", morphology=104)
    m = ek.load_model("protoecgnet", weights=w)
    x = np.stack([rec.signal[:, :1000], ek.synth.ecg(fs=100, seed=1).signal[:, :1000]])
    found = m.project([(x, np.ones((2, 52), bool), ["mine", "other"])], 100)
    again = ek.load_model("protoecgnet", weights=w | found.tensors)
    e = again.explain(rec, prototypes=found.metadata["morphology"])
    near = again.forward(again.preprocess(rec), taps=("similarity",))["similarity"][0].max(1)
    mine = [i for i in range(104) if e.training_record(i) == "mine"]
    assert mine
    for i in mine:  # the recording is where they were cut from: as similar as can be, right there
        assert near[i] == pytest.approx(13, rel=1e-4)
        assert (e.start[i], e.stop[i]) == (e.source[i]["start"], e.source[i]["stop"])


def test_wrong_metadata_is_named(fusion, rec, tmp_path):
    with pytest.raises(ek.EcgkitError, match="no branch 'rythm'"):
        fusion.explain(rec, prototypes={"rythm": {}, "rhythm": {}})
    with pytest.raises(ek.EcgkitError, match="mapping from branch"):
        fusion.explain(rec, prototypes=tmp_path / "one.json")
    with pytest.raises(ek.EcgkitError, match=r"no prototype '16' in branch rhythm; it has 0\.\.15"):
        fusion.explain(rec, prototypes={"rhythm": {"16": {}}})
    with pytest.raises(ek.FormatError, match="absent"):
        fusion.explain(rec, prototypes={"rhythm": tmp_path / "absent.json"})
    with pytest.raises(ek.FormatError, match="map each number"):
        fusion.explain(rec, prototypes={"rhythm": [1, 2]})


def test_the_table_has_the_largest_contributions_first(fusion, rec):
    pytest.importorskip("pandas")
    e = fusion.explain(rec)
    frame = e.to_frame()
    assert len(frame) == sum(SMALL.values())
    sizes = frame["contribution"].abs().to_numpy()
    assert (np.diff(sizes) <= 0).all()
    first = e.order()[0]
    assert frame.loc[0, ["branch", "number", "class"]].tolist() == [
        e.branch[first], e.number[first], e.prototype_class[first],
    ]  # fmt: skip
    assert e.prototype_class[first] in e._repr_html_()


# ------------------------------------------------------------------- which method
def test_each_model_has_its_methods(fusion, rec):
    assert fusion.explanations == ("prototypes", "occlusion")
    assert toy().explanations == ("occlusion",)
    assert isinstance(fusion.explain(rec, method="occlusion", seconds=5), ek.explain.Occlusion)
    with pytest.raises(ek.EcgkitError, match="not explained by 'attention'; its methods: proto"):
        fusion.explain(rec, method="attention")
    with pytest.raises(ek.EcgkitError, match="no attention over pieces"):
        ek.explain.attention(toy(), rec)
    with pytest.raises(ek.EcgkitError, match="no label 'Z'"):
        fusion.explain(rec, label="Z")
    with pytest.raises(ek.LayoutError, match="one recording"):
        fusion.explain([rec, rec])


# ------------------------------------------------------------------- attention
def test_rollout_of_a_vit_is_that_of_its_weights():
    variant = {"network": "vit_tiny", "aligned": False}
    w = {k: v.astype(np.float64) for k, v in witness_merl.weights(**variant).items()}
    m = ek.load_model("merl", weights=witness_merl.weights(**variant))
    rec = ek.synth.ecg()
    e = m.explain(rec)
    assert m.explanations == ("attention", "occlusion")
    assert (e.kind, e.leads, e.values.shape) == ("rollout", ("all leads",), (1, 100))
    assert e.values.sum() == pytest.approx(1)
    assert e.seconds[[0, 1, -1]].tolist() == [0, 0.1, 10]
    x = m.preprocess(rec)
    blocks = m.forward(x, taps=tuple(f"block{i}" for i in range(12)))
    patches = x[0].reshape(12, 100, 50).transpose(1, 0, 2).reshape(100, 600)
    h = patches @ w["to_patch_embedding.weight"].reshape(192, 600).T + w["pos_embedding"][0]
    through = np.eye(100)
    for i, (_, ours) in enumerate(e.layers.items()):
        at = f"block{i}.attn"
        y = (h - h.mean(-1, keepdims=True)) / np.sqrt(h.var(-1, keepdims=True) + 1e-5)
        y = y * w[f"{at}.norm.weight"] + w[f"{at}.norm.bias"]
        q, k, _ = np.split(y @ w[f"{at}.fn.to_qkv.weight"].T + w[f"{at}.fn.to_qkv.bias"], 3, -1)
        heads = [np.exp(q[:, a : a + 64] @ k[:, a : a + 64].T / 8) for a in (0, 64, 128)]
        weights = np.stack([s / s.sum(-1, keepdims=True) for s in heads])
        np.testing.assert_allclose(ours[0], weights, atol=2e-5)
        through = (weights.mean(0) + np.eye(100)) / 2 @ through
        h = blocks[f"block{i}"][0].astype(np.float64)
    np.testing.assert_allclose(e.values[0], through.mean(0), atol=2e-6)


@pytest.mark.torch
def test_pool_weights_are_pytorchs():
    torch = pytest.importorskip("torch")
    weights = witness_merl.weights()
    m = ek.load_model("merl", weights=weights)
    rec = ek.synth.ecg()
    e = m.explain(rec)
    assert e.kind == "pool weights"
    assert e.values.shape == (1, 313)
    assert e.values.sum() + e.special == pytest.approx(1)
    h = torch.from_numpy(m.forward(m.preprocess(rec), taps=("layer4.1",))["layer4.1"])
    w = {k: torch.from_numpy(np.asarray(v)) for k, v in weights.items()}
    f = torch.nn.functional.conv1d(h, w["downconv.weight"], w["downconv.bias"]).permute(2, 0, 1)
    at = "att_pool_head."
    position = w[f"{at}positional_embedding"].transpose(0, 1)
    t = torch.cat([w[f"{at}cls_token"] + position[:1], f]) + position
    _, want = torch.nn.functional.multi_head_attention_forward(
        t[:1], t, t, 256, 4, w[f"{at}mhsa.in_proj_weight"], w[f"{at}mhsa.in_proj_bias"],
        None, None, False, 0.0, w[f"{at}mhsa.out_proj.weight"], w[f"{at}mhsa.out_proj.bias"],
        training=False,
    )  # fmt: skip
    want = want[0, 0].numpy()
    assert e.special == pytest.approx(want[0], abs=1e-5)
    np.testing.assert_allclose(e.values[0], want[1:], atol=1e-5)
    assert m.explain(ek.Record(rec.signal, rec.fs, rec.leads)).seconds[-1] == 10


class Reader(Model):
    """A toy with two self-attention layers over six pieces of each of two leads and two special
    tokens."""

    def __init__(self, tokens, program):
        self.what, self._program = tokens, program
        self.contract = toy().contract
        self.variant = {}

    name = "reader"

    def tokens(self):
        return self.what


def reader(tokens, *, pool=False, causal=False):
    p = ek.nn.Program("reader")
    rng = np.random.default_rng(0)
    x = p.transpose(p.slice(p.input("x", (12, 200)), 1, 0, 14), (1, 0))
    for i in range(2):
        q, k, v = (p.linear(x, rng.normal(size=(12, 12)) / 3) for _ in range(3))
        x = p.add(x, p.attention(q, k, v, heads=3, causal=causal, name=f"layer{i}"))
    if pool:
        x = p.attention(p.constant(rng.normal(size=(2, 12))), x, x, heads=2, name="pool")
    p.output(x)
    return Reader(tokens, p.compile())


@pytest.mark.parametrize("read", ["mean", "first", "last"])
def test_special_tokens_and_rows_of_leads_are_told_apart(read):
    x = np.random.default_rng(1).normal(size=(12, 200))
    tokens = Tokens(np.arange(7) / 3, special=2, leads=("I", "II"), read=read)
    e = reader(tokens).explain(x, 100)
    one, two = (0.5 * w[0].mean(0) + 0.5 * np.eye(14) for w in e.layers.values())
    through = two @ one
    row = {"mean": through.mean(0), "first": through[0], "last": through[-1]}[read]
    assert e.special == pytest.approx(row[:2].sum())
    np.testing.assert_allclose(e.values, row[2:].reshape(2, 6), atol=1e-7)
    assert e.leads == ("I", "II")


def test_a_pool_reads_the_rollout():
    x = np.random.default_rng(1).normal(size=(12, 200))
    e = reader(Tokens(np.arange(15.0)), pool=True).explain(x, 100)
    assert e.kind == "rollout, read by a pool"
    one, two, pool = (w[0] for w in e.layers.values())
    assert pool.shape == (2, 2, 14)
    through = (0.5 * two.mean(0) + 0.5 * np.eye(14)) @ (0.5 * one.mean(0) + 0.5 * np.eye(14))
    np.testing.assert_allclose(e.values[0], pool.mean((0, 1)) @ through, atol=1e-7)


def test_a_causal_network_read_at_its_first_token_saw_nothing_else():
    x = np.random.default_rng(1).normal(size=(12, 200))
    e = reader(Tokens(np.arange(15.0), read="first"), causal=True).explain(x, 100)
    assert e.values[0, 0] == pytest.approx(1)
    assert np.triu(next(iter(e.layers.values()))[0, 0], 1).max() == 0


class Crops(Reader):
    """It looks at the first and at the last two of three seconds."""

    def attention_windows(self, prepared):
        return np.concatenate([prepared, prepared[..., ::-1]]), (0.0, 1.0)


def test_windows_are_laid_over_one_another():
    x = np.random.default_rng(1).normal(size=(12, 200))
    alone = reader(Tokens(np.arange(15) / 7))
    m = Crops(alone.what, alone._program)
    e = m.explain(x, 100)
    ahead, back = (alone.explain(y, 100).values[0] for y in (x, x[:, ::-1]))
    assert e.layers["layer0"].shape == (2, 3, 14, 14)
    assert (e.seconds[0], e.seconds[-1], e.values.shape) == (0, 3, (1, 21))
    assert e.values.sum() == pytest.approx(1)
    want = np.zeros(21)
    want[:14] += ahead / 2
    want[7:] += back / 2
    np.testing.assert_allclose(e.values[0], want, atol=1e-7)


def test_the_largest_values_say_which_tokens_are_read():
    m = ek.load_model("ce_ssl", weights="random")
    e = m.explain(ek.synth.ecg())
    assert e.kind == "rollout"
    assert e.values.shape == (1, 96)
    assert e.seconds[-1] == pytest.approx(6144 / 500)
    x = m.preprocess(ek.synth.ecg())
    held = m.forward(x, taps=("transformer_layers.7",))["transformer_layers.7"][0].argmax(0)
    read = np.bincount(held, minlength=96) / len(held)
    through = np.eye(96)
    for w in e.layers.values():
        through = (w[0].mean(0) + np.eye(96)) / 2 @ through
    np.testing.assert_allclose(e.values[0], read @ through, atol=1e-6)
    assert m.explain(ek.synth.ecg(), method="occlusion", seconds=5).values.shape == (12, 2)


@pytest.mark.parametrize("head", ["attentive", "register", "mean"])
def test_crops_of_ecg_jepa_are_joined_in_time(head):
    m = ek.load_model("ecg_jepa", weights="random", network="vit_xs", head=head, num_classes=3)
    e = m.explain(ek.synth.ecg())
    crops = m.preprocess(ek.synth.ecg()).shape[1]
    assert e.kind == ("rollout, read by a pool" if head == "attentive" else "rollout")
    assert e.layers["blocks.0.attn"].shape == (crops, 4, 51, 51)
    assert (e.seconds[0], e.seconds[-1]) == (0, 10)
    assert e.values.sum() + e.special == pytest.approx(1)
    assert (e.values > 0).all()


def test_tokens_that_do_not_fit_are_refused():
    x = np.zeros((12, 200))
    with pytest.raises(ek.LayoutError, match="over 5 tokens, got layer0"):
        reader(Tokens(np.arange(6.0))).explain(x, 100)
    with pytest.raises(ek.LayoutError, match="over 14 tokens, got none"):
        reader(Tokens(np.arange(15.0), layers="decoder")).explain(x, 100)
    with pytest.raises(ek.LayoutError, match="read must be one of"):
        reader(Tokens(np.arange(15.0), read="middle")).explain(x, 100)


# ------------------------------------------------------------------- occlusion
def test_a_model_without_labels_is_occluded_by_its_embedding():
    m = ek.load_model("merl", weights=witness_merl.weights(aligned=False))
    rec = ek.synth.ecg()
    e = m.explain(rec, seconds=5)
    assert (e.label, e.probability, e.values.shape) == ("embedding", 1.0, (12, 2))
    x = m.preprocess(rec)
    silent = x.copy()
    silent[0, 3, 2500:] = x[0, 3].mean()  # scaled to 0..1: silence is not 0
    whole, left = m.features(x)[0].astype(float), m.features(silent)[0].astype(float)
    cosine = whole @ left / np.linalg.norm(whole) / np.linalg.norm(left)
    assert e.values[3, 1] == pytest.approx(1 - cosine, abs=1e-6)
    assert "drop of cosine" in e._repr_html_()
    with pytest.raises(ek.EcgkitError, match="it gives embeddings"):
        m.explain(rec, label="AFIB", method="occlusion")


@pytest.mark.slow
@pytest.mark.parametrize("name", [row.name for row in ek.list_models()])
def test_every_model_is_explained_by_each_of_its_methods(name):
    bundled = ek.list_models()[name].weights == "bundled"
    m = ek.load_model(name) if bundled else ek.load_model(name, weights="random")
    rec = ek.synth.ecg()
    assert m.explanations[-1] == "occlusion"
    for method in m.explanations:
        options = {"seconds": 5} if method == "occlusion" else {}
        e = m.explain(rec, method=method, **options)
        shown = e.contribution if method == "prototypes" else e.values
        assert np.isfinite(shown).all()
        assert type(e).__name__ in repr(e) or e.title in repr(e)


# ------------------------------------------------------------------- pictures
def boxes(figure):
    from matplotlib.collections import PolyCollection

    return next(c for c in figure.axes[0].collections if isinstance(c, PolyCollection))


def test_occlusion_is_drawn_lead_by_lead():
    pytest.importorskip("matplotlib")
    rec = ek.synth.ecg(fs=100)
    e = toy().explain(rec)
    figure = e.plot()
    found = boxes(figure)
    assert len(found.get_paths()) == e.values.size
    strongest = np.unravel_index(np.abs(e.values).argmax(), e.values.shape)
    colours = found.get_facecolor().reshape(*e.values.shape, 4)
    assert colours[strongest][3] == colours[..., 3].max()
    assert (colours[..., 0] > colours[..., 2])[e.values > 0].all()
    assert any(t.get_text().startswith(e.label) for t in figure.axes[1].texts)


def test_prototypes_are_drawn_with_their_windows_and_bars(fusion, rec):
    pytest.importorskip("matplotlib")
    e = fusion.explain(rec, prototypes={"rhythm": {"0": {"ecg_id": 8012}}})
    figure = e.plot(top=4)
    paper, head, bars = figure.axes
    words = [t.get_text() for t in bars.texts]
    first = e.order()[0]
    assert sum(f"{e.branch[first]} {e.number[first]}, " in w for w in words) == 1
    assert f"{e.contribution[first]:+.3f}" in words
    assert f"{sum(SMALL.values()) - 4} other prototypes" in words
    shown = [i for i in e.order()[:4] if e.branch[i] == "morphology"]
    assert sum(t.get_text() in "1234" for t in head.texts) == len(shown)
    low = [axes.get_position().y0 for axes in (bars, paper, head)]
    assert low == sorted(low)
    with pytest.raises(ek.EcgkitError, match="top must be at least 1"):
        e.plot(top=0)


def test_attention_is_drawn_over_all_leads():
    pytest.importorskip("matplotlib")
    m = ek.load_model("merl", weights="random", network="vit_tiny", aligned=False)
    e = m.explain(ek.synth.ecg())
    figure = e.plot("3x4")
    assert len(boxes(figure).get_paths()) == 3 * 4 * 25 + 100
    assert list(e.to_frame().index) == ["all leads"]
    assert "times an even share" in repr(e)
    with pytest.raises(ek.LayoutError, match="values must have shape"):
        ek.plot.evidence_figure(e.record, e.seconds, e.values[:, 1:])
