"""Texts beside recordings: tokenizers, embeddings of texts and classes, zero-shot scores."""

import json
import pickle

import numpy as np
import pytest
import torch_companions
import witness_merl
from model_witness import random_weights

import ecgkit as ek
from ecgkit.models import ClassEmbeddings
from ecgkit.models._bert import TextConfig, shapes
from ecgkit.models.merl import ckepe

tokenizers = pytest.importorskip("tokenizers")

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] atrial fib ##rillation sinus rhythm normal ecg wide qrs , ."
VOCABULARY = [*WORDS.split(), *"abcdefghijklmnopqrstuvwxyz", *(f"##{c}" for c in "abcdefghijklm")]
PROMPTS = {
    "AFIB": "Atrial fibrillation, f waves",
    "SR": "normal sinus rhythm",
    "CLBBB": "wide QRS.",
}


def text_weights(seed=5):
    """The text side of the authors' file, with the buffer that older files hold."""
    found = {f"lm_model.{k}": s for k, s in shapes(TextConfig(1, len(VOCABULARY))).items()}
    for i, cin in ((0, 768), (2, 256)):
        found |= {f"proj_t.{i}.weight": (256, cin), f"proj_t.{i}.bias": (256,)}
    found = random_weights(found, seed)
    return found | {"lm_model.embeddings.position_ids": np.arange(512)[None]}


def checkpoint():
    w = {k: v for k, v in witness_merl.weights(network="resnet18").items()
         if not k.startswith(("lm_model.", "proj_t."))}  # fmt: skip
    return w | text_weights()


@pytest.fixture(scope="module")
def model():
    return ek.load_model("merl", weights=checkpoint())


@pytest.fixture
def vocabulary(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(VOCABULARY))
    return path


# ---------------------------------------------------------------- the tower of merl
def test_the_file_says_that_there_is_a_text_tower(model):
    assert model.variant["text_layers"] == 1
    assert model.variant["vocabulary"] == len(VOCABULARY)
    bare = ek.load_model("merl", weights=checkpoint(), text_layers=0)
    assert bare.variant["text_layers"] == bare.variant["vocabulary"] == 0
    assert bare.parameters < model.parameters
    x = witness_merl.inputs(1)
    assert np.array_equal(bare.forward(x), model.forward(x))
    with pytest.raises(ek.EcgkitError, match="without a text tower: load the whole checkpoint"):
        bare.embed_text("sinus", tokenizer=None)


def test_a_text_tower_that_does_not_fit_is_refused():
    w = checkpoint()
    del w["lm_model.encoder.layer.0.output.dense.weight"]
    w["proj_t.2.bias"] = np.zeros(3)
    with pytest.raises(ek.WeightsError, match=r"(?s)layer\.0\.output\.dense\.weight.*proj_t\.2"):
        ek.load_model("merl", weights=w)
    with pytest.raises(ek.EcgkitError, match="aligned=True alone"):
        ek.load_model("merl", weights="random", aligned=False, text_layers=1)


@pytest.mark.torch
def test_it_embeds_texts_as_transformers_and_the_specification_say(model, vocabulary):
    torch = pytest.importorskip("torch")
    torch_companions.torchvision()
    transformers = pytest.importorskip("transformers")
    w = text_weights()
    net = transformers.BertModel(
        transformers.BertConfig(vocab_size=len(VOCABULARY), num_hidden_layers=1)
    ).eval()
    inner = {k[len("lm_model.") :]: torch.from_numpy(v) for k, v in w.items() if "lm_" in k}
    inner.pop("embeddings.position_ids")
    net.load_state_dict(inner)
    words = transformers.BertTokenizer(str(vocabulary))
    batch = words([t.lower() for t in PROMPTS.values()], max_length=256, padding="max_length",
                  truncation=True, return_tensors="pt")  # fmt: skip
    found = []
    for kind in (torch.float64, torch.float32):
        with torch.inference_mode():
            h = net.to(kind)(**batch).pooler_output
            p = [torch.from_numpy(w[f"proj_t.{k}"]).to(kind)
                 for k in ("0.weight", "0.bias", "2.weight", "2.bias")]  # fmt: skip
            h = torch.nn.functional.gelu(h @ p[0].T + p[1]) @ p[2].T + p[3]
            found.append(torch.nn.functional.normalize(h, dim=-1).double().numpy())
    want, theirs = found
    got = model.embed_text(list(PROMPTS.values()), tokenizer=vocabulary)
    assert got.shape == (3, 256)
    assert np.linalg.norm(got - want) <= 2 * np.linalg.norm(theirs - want)
    assert np.array_equal(model.embed_text(PROMPTS["SR"], tokenizer=vocabulary), got[1])


def test_zero_shot_from_prompts_is_the_cosine_of_embeddings(model, vocabulary, tmp_path):
    recs = [ek.synth.ecg(seed=i) for i in range(2)]
    got = model.zero_shot(recs, PROMPTS, tokenizer=vocabulary)
    want = model.embed(recs) @ model.embed_text([*PROMPTS.values()], tokenizer=vocabulary).T
    np.testing.assert_allclose(got, want, atol=1e-6)
    file = tmp_path / "prompts.json"
    file.write_text(json.dumps(PROMPTS))
    assert np.array_equal(model.zero_shot(recs, file, tokenizer=vocabulary), got)
    classes = model.class_embeddings(file, tokenizer=vocabulary)
    assert list(classes) == list(PROMPTS)
    assert np.array_equal(model.zero_shot(recs, classes), got)
    assert np.array_equal(model.zero_shot(recs[1], classes), got[1])
    assert np.array_equal(pickle.loads(pickle.dumps(model)).zero_shot(recs, classes), got)


def test_the_best_of_several_prompts_counts(model, vocabulary):
    rec = ek.synth.ecg()
    several = {"A": [PROMPTS["AFIB"], PROMPTS["SR"]], "B": PROMPTS["CLBBB"]}
    one = model.zero_shot(rec, PROMPTS, tokenizer=vocabulary)
    got = model.zero_shot(rec, several, tokenizer=vocabulary)
    np.testing.assert_allclose(got, [one[:2].max(), one[2]], atol=1e-7)
    classes = model.class_embeddings(several, tokenizer=vocabulary)
    assert classes["A"].shape == (2, 256)
    assert len(classes) == 2


# ---------------------------------------------------------------- the cache
def test_class_embeddings_are_computed_once(model, vocabulary, tmp_path, monkeypatch):
    cache = tmp_path / "classes.safetensors"
    first = model.class_embeddings(PROMPTS, tokenizer=vocabulary, cache=cache)
    computed = []
    whole = type(model)._embedded
    monkeypatch.setattr(
        type(model), "_embedded", lambda *a, **k: computed.append(1) or whole(*a, **k)
    )
    again = model.class_embeddings(PROMPTS, tokenizer=vocabulary, cache=cache)
    assert not computed
    assert np.array_equal(again.vectors, first.vectors)
    assert (again.labels, again.prompts) == (tuple(PROMPTS), tuple(PROMPTS.values()))
    other = {**PROMPTS, "SR": "normal ECG"}
    assert model.class_embeddings(other, tokenizer=vocabulary, cache=cache).made_of != first.made_of
    assert computed == [1]


def test_cached_classes_serve_the_ecg_side_alone_and_no_other_weights(model, vocabulary, tmp_path):
    cache = tmp_path / "classes.safetensors"
    model.class_embeddings(PROMPTS, tokenizer=vocabulary, cache=cache)
    rec = ek.synth.ecg()
    bare = ek.load_model("merl", weights=checkpoint(), text_layers=0)
    classes = ClassEmbeddings.read(cache)
    want = model.zero_shot(rec, PROMPTS, tokenizer=vocabulary)
    assert np.array_equal(bare.zero_shot(rec, classes), want)
    other = ek.load_model("merl", weights="random")
    with pytest.raises(ek.WeightsError, match="belong to other weights"):
        other.zero_shot(rec, classes)


@pytest.mark.parametrize("content", [b"", b"x" * 100, None])
def test_a_file_that_holds_no_class_embeddings_is_refused(content, tmp_path):
    path = tmp_path / "classes.safetensors"
    if content is None:
        ek.weights.save(path, {"vectors": np.zeros((2, 3), np.float32)})
    else:
        path.write_bytes(content)
    with pytest.raises(ek.WeightsError, match="no class embeddings"):
        ClassEmbeddings.read(path)
    with pytest.raises(ek.WeightsError, match="no class embeddings"):
        ClassEmbeddings.read(tmp_path / "absent.safetensors")


# ---------------------------------------------------------------- tokenizers
def test_every_form_of_a_tokenizer_gives_the_same(model, vocabulary):
    made = tokenizers.implementations.BertWordPieceTokenizer(str(vocabulary), lowercase=True)
    made.save(str(vocabulary.with_name("tokenizer.json")))
    text = PROMPTS["AFIB"]
    want = model.embed_text(text, tokenizer=vocabulary)
    own = tokenizers.Tokenizer.from_file(str(vocabulary.with_name("tokenizer.json")))
    own.enable_padding(length=300)
    kept = own.to_str()
    for form in (vocabulary.parent, str(vocabulary.with_name("tokenizer.json")), own):
        assert np.array_equal(model.embed_text(text, tokenizer=form), want)
    assert own.to_str() == kept


def test_long_texts_are_cut_at_256_tokens_as_the_authors_do(model, vocabulary):
    cut = "sinus " * 254
    assert np.array_equal(
        model.embed_text(cut + "wide qrs", tokenizer=vocabulary),
        model.embed_text(cut, tokenizer=vocabulary),
    )


def test_the_tokenizer_of_another_network_is_refused(model, tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*(f"w{i}" for i in range(200)), *VOCABULARY]))
    with pytest.raises(ek.ContractError, match="belongs to another network"):
        model.embed_text("sinus rhythm", tokenizer=path)


def test_what_is_no_tokenizer_or_no_text_is_refused(model, vocabulary, tmp_path):
    with pytest.raises(ek.ContractError, match="pass tokenizer=path"):
        model.embed_text("x", tokenizer=None)
    with pytest.raises(ek.WeightsError, match="no tokenizer at"):
        model.embed_text("x", tokenizer=tmp_path / "absent.json")
    bad = tmp_path / "tokenizer.json"
    bad.write_text("{}")
    with pytest.raises(ek.WeightsError, match="is no tokenizer file"):
        model.embed_text("x", tokenizer=bad)
    with pytest.raises(TypeError, match="must be a path"):
        model.embed_text("x", tokenizer=3)
    with pytest.raises(ek.LayoutError, match="item 1 is int"):
        model.embed_text(["x", 3], tokenizer=vocabulary)
    with pytest.raises(ek.LayoutError, match="there is none"):
        model.embed_text([], tokenizer=vocabulary)


@pytest.mark.parametrize("prompts", [{}, {"A": ""}, {"A": []}, {"A": 3}, ["A"], "absent.json"])
def test_prompts_that_are_none_are_refused(model, vocabulary, prompts):
    with pytest.raises(ek.LayoutError, match="prompt"):
        model.class_embeddings(prompts, tokenizer=vocabulary)


def test_the_missing_package_names_its_extra(model, vocabulary, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    with pytest.raises(ek.MissingExtraError, match=r"ecgkit-native\[text\]"):
        model.embed_text("x", tokenizer=vocabulary)


# ---------------------------------------------------------------- prompts
def test_ckepe_keeps_what_the_database_knows_in_order_and_once():
    listed = {"AFIB": ["F waves", "happiness", "Atrial Fibrillation", "f waves "], "SR": ["p wave"]}
    known = {"atrial fibrillation", "f waves", "P wave"}
    assert ckepe(listed, known) == {"AFIB": "F waves, Atrial Fibrillation", "SR": "p wave"}
    with pytest.raises(ek.EcgkitError, match="nothing that was listed for 'SR'"):
        ckepe({"SR": ["joy"]}, known)
