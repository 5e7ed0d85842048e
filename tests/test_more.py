"""MoRE: contract, text tower, X-ray tower, retrieval; parity of the ECG is in
test_model_parity.py."""

import numpy as np
import pytest
import torch_companions
import witness_more
from model_witness import functional

import ecgkit as ek
from ecgkit.models.merl import MIMIC_LEADS

CASE = {"depth": 1, "text_layers": 1, "vocabulary": 320}
WEIGHTS = witness_more.weights(**CASE)


@pytest.fixture(scope="module")
def model():
    return ek.load_model("more", weights=WEIGHTS)


def error(got, want):
    return np.linalg.norm(got - want) / np.linalg.norm(want)


# ---------------------------------------------------------------- the layout
def test_the_file_says_which_towers_there_are(model):
    chosen = {**CASE, "xray": True, "num_classes": 0, "order": "mimic"}
    assert model.variant == chosen
    alone = ek.load_model("more", weights=WEIGHTS, xray=False, text_layers=0)
    rec = ek.synth.ecg()
    assert np.array_equal(alone.embed(rec), model.embed(rec))
    with pytest.raises(ek.EcgkitError, match="without a text tower"):
        alone.embed_text("x", tokenizer=None)


@pytest.mark.parametrize("form", ["older peft", "merged", "handed back"])
def test_every_layout_of_the_text_tower_is_taken(model, form):
    w = {k: v for k, v in WEIGHTS.items() if "lora" not in k and "pooler" not in k}
    parts = {k: v for k, v in WEIGHTS.items() if "lora" in k}
    if form == "older peft":
        w = {k.replace(".base_layer", ""): v for k, v in (w | parts).items()}
    else:
        for key in [k for k in parts if "lora_A" in k]:
            at = key.removesuffix(".lora_A.default.weight")
            base = w[f"{at}.base_layer.weight"].astype(np.float64)
            change = parts[key.replace("_A", "_B")].astype(np.float64) @ parts[key]
            w[f"{at}.base_layer.weight"] = (base + 0.5 * change).astype(np.float32)
        w = {k.replace(".base_layer", ""): v for k, v in w.items()}
        if form == "handed back":
            w = {k.replace("base_model.model.", ""): v for k, v in w.items()}
    other = ek.load_model("more", weights=w)
    want, got = (m._tower.weights for m in (model, other))
    for key in want:
        np.testing.assert_allclose(got[key], want[key], rtol=1e-5, atol=1e-6)


def test_half_an_update_is_refused():
    key = next(k for k in WEIGHTS if "lora_B" in k)
    w = {k: v for k, v in WEIGHTS.items() if k != key}
    with pytest.raises(ek.WeightsError, match=r"query: weight \(768, 768\), .*lora_B missing"):
        ek.load_model("more", weights=w)
    w[key] = np.zeros((768, 3))
    with pytest.raises(ek.WeightsError, match=r"lora_B \(768, 3\)"):
        ek.load_model("more", weights=w)


# ---------------------------------------------------------------- the contract
def witness_contract(x):
    """Section 2 of the specification, with SciPy."""
    from scipy.signal import medfilt, resample_poly

    x = resample_poly(np.nan_to_num(x.astype(np.float64)), 1, 5, axis=1)
    baseline = np.stack([medfilt(medfilt(lead, 21), 61) for lead in x])
    x = x - baseline
    low, high = x.min(1, keepdims=True), x.max(1, keepdims=True)
    return 2 * (x - low) / (high - low + 1e-10) - 1


def test_preprocessing_is_that_of_the_specification(model):
    rec = ek.synth.ecg(fs=500.0, duration=10.0, seed=3)
    signal = np.array(rec.signal)
    signal[3, 100:140] = np.nan
    rec = ek.Record(signal, fs=500.0, leads=rec.leads)
    got = model.preprocess(rec)
    want = witness_contract(signal[[rec.leads.index(lead) for lead in MIMIC_LEADS]])
    np.testing.assert_allclose(got[0], want, atol=2e-5)
    assert got.min() == -1
    again = ek.models.Contract.from_json(model.contract.to_json())
    assert again == model.contract
    assert np.array_equal(again.prepare(rec)[0], got)


def test_the_order_of_leads_is_mimics_unless_the_authors_ptbxl_runs_are_wanted():
    rec = ek.synth.ecg()
    kinds = {o: ek.load_model("more", weights=WEIGHTS, order=o, xray=False, text_layers=0)
             for o in ("mimic", "standard")}  # fmt: skip
    a, b = (m.preprocess(rec)[0] for m in kinds.values())
    assert np.array_equal(a[[0, 1, 2, 3, 5, 4, *range(6, 12)]], b)


# ---------------------------------------------------------------- the towers
@pytest.mark.torch
def test_the_text_tower_answers_like_transformers_and_peft(model):
    """Padded to 512 and averaged over all of it, the updates never merged."""
    torch = pytest.importorskip("torch")
    torch_companions.torchvision()
    transformers = pytest.importorskip("transformers")
    peft = pytest.importorskip("peft")
    config = transformers.RobertaConfig(
        vocab_size=320, num_hidden_layers=1, max_position_embeddings=514, type_vocab_size=1,
        pad_token_id=1, layer_norm_eps=1e-5,
    )  # fmt: skip
    lora = peft.LoraConfig(r=16, lora_alpha=8, target_modules=["query", "value"], bias="all")
    net = torch.nn.ModuleDict({"text_model": peft.get_peft_model(
        transformers.RobertaModel(config), lora)}).eval()  # fmt: skip
    state = {k: torch.from_numpy(v) for k, v in WEIGHTS.items() if k.startswith("text_model")}
    net.load_state_dict(state)
    rng = np.random.default_rng(0)
    from ecgkit.models._bert import Tokens

    texts = [Tokens(tuple(rng.integers(4, 320, n).tolist()), (0,) * n) for n in (9, 40, 128)]
    ids = np.ones((3, 512), int)
    for row, t in zip(ids, texts):
        row[: len(t)] = t.ids
    found = []
    for double in (True, False):
        kind = torch.float64 if double else torch.float32
        with torch.inference_mode():
            h = net.to(kind)["text_model"](torch.from_numpy(ids),
                                           torch.from_numpy(1 * (ids != 1)))  # fmt: skip
            h = h.last_hidden_state.mean(1)
            ends = functional(lambda w, x, tap: witness_more.projection(w, "text", x),
                              WEIGHTS, double)  # fmt: skip
            found.append(torch.nn.functional.normalize(ends(h), dim=-1).double().numpy())
    want, theirs = found
    got = model._tower(texts, padded=512)
    assert error(got, want) <= 2 * error(theirs, want)


@pytest.mark.torch
def test_the_xray_tower_answers_like_pytorch(model):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(4).normal(size=(2, 3, 224, 224)).astype(np.float32)
    found = []
    for double in (True, False):
        net = functional(lambda w, x, tap: witness_more.xray(w, x, "xray_text"), WEIGHTS, double)
        with torch.inference_mode():
            found.append(net(torch.from_numpy(x).to(next(iter(net.w.values())).dtype)).numpy())
    want, theirs = found
    assert error(model.forward_image(x), want) <= 2 * error(theirs, want)
    assert np.array_equal(model.forward_image(x[1:])[0], model.forward_image(x)[1])
    taps = model.forward_image(x, taps=["unit", "features"])
    assert taps["features"].shape == (2, 768)
    np.testing.assert_allclose(np.linalg.norm(taps["unit"], axis=1), 1, atol=1e-6)
    with pytest.raises(ek.EcgkitError, match="without an X-ray tower"):
        ek.load_model("more", weights=WEIGHTS, xray=False, text_layers=0).forward_image(x)


@pytest.mark.torch
@pytest.mark.slow
def test_the_xray_tower_of_the_published_size_answers_like_pytorch():
    torch = pytest.importorskip("torch")
    w = witness_more.weights(text_layers=0)
    m = ek.load_model("more", weights=w)
    x = np.random.default_rng(4).normal(size=(1, 3, 224, 224)).astype(np.float32)
    found = []
    for double in (True, False):
        net = functional(lambda w, x, tap: witness_more.xray(w, x, "xray_text"), w, double)
        with torch.inference_mode():
            found.append(net(torch.from_numpy(x).double() if double else torch.from_numpy(x)))
    want, theirs = (y.double().numpy() for y in found)
    assert error(m.forward_image(x), want) <= 2 * error(theirs, want)


@pytest.fixture(scope="module")
def tokenizer():
    tokenizers = pytest.importorskip("tokenizers")
    vocabulary = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "Normal": 4, "ECG": 5, "edema": 6}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, "<unk>"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.post_processor = tokenizers.processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return made


def test_texts_pairs_and_paddings(model, tokenizer):
    one, pair = model.embed_text(["Normal ECG", ("edema", "Normal ECG")], tokenizer=tokenizer)
    assert abs(np.linalg.norm(one) - 1) < 1e-6
    assert np.array_equal(model.embed_text(("edema", "Normal ECG"), tokenizer=tokenizer), pair)
    classes = model.class_embeddings({"NORM": "Normal ECG"}, tokenizer=tokenizer)
    assert np.array_equal(
        classes["NORM"], model.embed_text("Normal ECG", tokenizer=tokenizer, padded=128)
    )
    assert not np.allclose(classes["NORM"], one, atol=1e-4)
    for wrong in (1, 513, 3.5):
        with pytest.raises(ek.ContractError, match=r"whole number in 2\.\.512"):
            model.embed_text("Normal ECG", tokenizer=tokenizer, padded=wrong)


def test_zero_shot_takes_the_best_prompt(model, tokenizer):
    rec = ek.synth.ecg()
    prompts = {"NORM": ["Normal ECG", "Normal"], "X": "edema"}
    got = model.zero_shot(rec, prompts, tokenizer=tokenizer)
    rows = [
        model.embed_text(t, tokenizer=tokenizer, padded=128) @ model.embed(rec)
        for t in ("Normal ECG", "Normal", "edema")
    ]
    np.testing.assert_allclose(got, [max(rows[:2]), rows[2]], atol=1e-6)


def test_a_call_says_what_to_use_instead(model):
    with pytest.raises(ek.EcgkitError, match="zero_shot"):
        model(ek.synth.ecg())


# ---------------------------------------------------------------- X-rays
@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(8)
    smooth = rng.normal(size=(3, 12, 10)).repeat(25, 1).repeat(30, 2) * 40 + 110
    grey = np.clip(smooth + rng.normal(size=smooth.shape) * 9, 0, 230).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def test_xrays_are_prepared_as_the_specification_says(model, pictures, tmp_path):
    image_module = pytest.importorskip("PIL.Image")
    exposure = pytest.importorskip("skimage.exposure")
    got = model.preprocess_image(pictures)
    for picture, row in zip(pictures, got):
        grey = image_module.fromarray(picture).convert("L").resize((224, 224))
        array = np.asarray(grey) / np.asarray(grey).max()
        array = (exposure.equalize_adapthist(array) * 255).astype(np.uint8)
        want = (array / 255 - 0.499) / 0.293
        np.testing.assert_allclose(row, np.stack([want] * 3), atol=2e-6)
    image_module.fromarray(pictures[1][..., 0]).save(tmp_path / "chest.png")
    assert np.array_equal(model.preprocess_image(tmp_path / "chest.png")[0], got[1])
    again = ek.models.ImageContract.from_json(model.image_contract.to_json())
    assert again == model.image_contract
    black = model.preprocess_image(np.zeros((50, 40, 3), np.uint8))
    assert np.allclose(black, -0.499 / 0.293)


def test_xrays_are_embedded_beside_texts(model, pictures, tokenizer):
    pytest.importorskip("skimage")
    rows = model.embed_image(pictures)
    want = model.forward_image(model.preprocess_image(pictures))
    want /= np.linalg.norm(want, axis=1, keepdims=True)
    np.testing.assert_allclose(rows, want, atol=1e-6)
    assert np.array_equal(model.embed_image(pictures[1]), rows[1])
    got = model.zero_shot_image(pictures, {"A": "edema", "B": "Normal"}, tokenizer=tokenizer)
    texts = model.embed_text(["edema", "Normal"], tokenizer=tokenizer)
    np.testing.assert_allclose(got, rows @ texts.T, atol=1e-6)
    with pytest.raises(ek.LayoutError, match="no X-rays"):
        model.embed_image([])
    with pytest.raises(ek.EcgkitError, match="has no head"):
        model.classify_pair(None, pictures)


@pytest.fixture(scope="module")
def head():
    return ek.load_model("more", weights=witness_more.weights(depth=1, num_classes=4))


def test_a_fine_tuned_head_names_findings_from_both(head, pictures):
    pytest.importorskip("skimage")
    recs = [ek.synth.ecg(seed=i) for i in range(3)]
    got = head.classify_pair(recs, pictures)
    w = witness_more.weights(depth=1, num_classes=4)
    both = [head.forward_image(head.preprocess_image(pictures)),
            np.concatenate([head.forward(head.preprocess(r)) for r in recs])]  # fmt: skip
    logits = np.concatenate(both, 1) @ w["fc.1.weight"].T + w["fc.1.bias"]
    np.testing.assert_allclose(got.probabilities, 1 / (1 + np.exp(-logits)), atol=1e-5)
    assert got.labels == ("Atelectasis", "Cardiomegaly", "Edema", "Pleural Effusion")
    alone = head.classify_pair(None, pictures[0])
    logits = both[0][0] @ w["fc.1.weight"][:, :128].T + w["fc.1.bias"]
    np.testing.assert_allclose(alone.probabilities, 1 / (1 + np.exp(-logits)), atol=1e-5)
    with pytest.raises(ek.LayoutError, match="3 ECGs and 2 X-rays"):
        head.classify_pair(recs, pictures[:2])
    with pytest.raises(ek.EcgkitError, match="classify_pair"):
        head(recs)


def test_attention_says_which_piece_the_class_token_read(model):
    found = model.explain(ek.synth.ecg(), method="attention")
    assert found.values.shape == (1, 196)
    assert abs(found.values.sum() + found.special - 1) < 1e-9
    assert found.seconds[[0, -1]].tolist() == [0.1, 9.9]


# ---------------------------------------------------------------- retrieval
def test_retrieval_ranks_by_cosine_and_the_first_of_equals_wins(model):
    rng = np.random.default_rng(0)
    gallery = rng.normal(size=(500, 128)).astype(np.float32)
    gallery[400] = gallery[17]
    gallery[250] = gallery[17]
    queries = np.stack([3 * gallery[17], rng.normal(size=128)])
    found = model.retrieve(queries, gallery, k=7)
    unit = gallery / np.linalg.norm(gallery, axis=1, keepdims=True).astype(np.float64)
    for query, row, scores in zip(queries, found.index, found.scores):
        cosines = unit @ (query / np.linalg.norm(query))
        order = np.argsort(-np.round(cosines, 9), kind="stable")[:7]
        assert row.tolist() == order.tolist()
        np.testing.assert_allclose(scores, cosines[order], atol=1e-6)
    assert found.index[0, :3].tolist() == [17, 250, 400]
    single = model.retrieve(queries[0], gallery, k=7, names=[f"r{i}" for i in range(500)])
    assert single.named()[:2] == ["r17", "r250"]
    assert np.array_equal(single.index, found.index[0])
    assert len(model.retrieve(queries, gallery, k=500).to_frame()) == 1000
    assert "r17 1.000" in repr(single)


def test_every_fifth_of_the_ranking_as_the_authors_notebooks_do(model):
    gallery = np.random.default_rng(1).normal(size=(100, 128))
    whole = model.retrieve(gallery[0], gallery, k=21)
    fifth = model.retrieve(gallery[0], gallery, k=5, every=5)
    assert np.array_equal(fifth.index, whole.index[::5])


@pytest.mark.parametrize(
    ("query", "gallery", "options", "message"),
    [
        (np.ones(3), np.ones((4, 2)), {}, "got"),
        (np.ones(2), np.ones((4, 2)), {"k": 5}, "the gallery has 4"),
        (np.ones(2), np.ones((4, 2)), {"k": 0}, "at least 1"),
        (np.ones(2), np.full((9, 2), np.nan), {}, "NaN"),
        (np.ones(2), np.ones((9, 2)), {"names": ["a"]}, "1 names for 9"),
    ],
)
def test_galleries_that_do_not_fit_are_refused(model, query, gallery, options, message):
    with pytest.raises(ek.LayoutError, match=message):
        model.retrieve(query, gallery, **options)
    with pytest.raises(ek.LayoutError, match="no names"):
        model.retrieve(np.ones(2), np.ones((9, 2))).named()
