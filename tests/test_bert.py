"""The text tower: transformers' BERT and RoBERTa, padding, lengths, pickles."""

import pickle

import numpy as np
import pytest
import torch_companions

import ecgkit as ek
from ecgkit.models._bert import TextConfig, TextTower, Tokens, shapes, sizes

SMALL = {"hidden_size": 128, "num_attention_heads": 2, "intermediate_size": 512}


def towers(kind, vocabulary=500, layers=2, **sizes):
    """transformers' model with random weights, and ours with the same."""
    torch = pytest.importorskip("torch")
    torch_companions.torchvision()
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    roberta = kind == "roberta"
    facts = {"vocab_size": vocabulary, "num_hidden_layers": layers, **sizes}
    facts |= {"max_position_embeddings": 514 if roberta else 512, "type_vocab_size": 2 - roberta}
    if roberta:
        config = transformers.RobertaConfig(**facts, pad_token_id=1, layer_norm_eps=1e-5)
        net = transformers.RobertaModel(config).eval()
    else:
        net = transformers.BertModel(transformers.BertConfig(**facts)).eval()
    for name, parameter in net.named_parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, float("Norm.weight" in name), 0.1)
    weights = {k: v.detach().numpy() for k, v in net.state_dict().items()}
    c = TextConfig(layers, vocabulary, weights["pooler.dense.bias"].size,
                   len(weights["embeddings.position_embeddings.weight"]), 2 - roberta,
                   1e-5 if roberta else 1e-12, 2 if roberta else 0)  # fmt: skip
    assert {k: v.shape for k, v in weights.items()} == shapes(c)
    return net, TextTower(kind, c, weights, mean=roberta)


def texts(lengths, vocabulary=500, types=2, seed=0):
    rng = np.random.default_rng(seed)
    return [
        Tokens(tuple(rng.integers(3, vocabulary, n).tolist()), tuple((np.arange(n) > n // 2) * 1)
               if types > 1 else (0,) * n)
        for n in lengths
    ]  # fmt: skip


def theirs(net, given, double, *, padded):
    """Every text padded to the same length, as the authors do."""
    import torch

    roberta = net.config.model_type == "roberta"
    shape = (len(given), padded)
    ids, types, mask = np.full(shape, int(roberta)), np.zeros(shape, int), np.zeros(shape, int)
    for i, t in enumerate(given):
        ids[i, : len(t)], types[i, : len(t)], mask[i, : len(t)] = t.ids, t.types, 1
    net = net.to(torch.float64 if double else torch.float32)
    with torch.inference_mode():
        out = net(
            torch.from_numpy(ids),
            attention_mask=torch.from_numpy(mask),
            token_type_ids=torch.from_numpy(types),
            output_hidden_states=True,
        )
    pooled = out.last_hidden_state.mean(1) if roberta else out.pooler_output
    return pooled.double().numpy(), [h.double().numpy() for h in out.hidden_states]


def error(got, want):
    return np.linalg.norm(got - want) / np.linalg.norm(want)


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_it_answers_like_transformers_at_every_length(kind):
    net, tower = towers(kind, **SMALL)
    given = texts((5, 512, 17, 33, 40, 64, 3, 128, 255), types=tower.config.types)
    want, _ = theirs(net, given, True, padded=512)
    his, _ = theirs(net, given, False, padded=512)
    got = tower(given)
    assert got.dtype == np.float32
    assert error(got, want) <= 2 * error(his, want)
    for row, exact in zip(got, want):  # the short ones are not hidden behind the long ones
        assert error(row, exact) <= 4 * error(his, want)


@pytest.mark.torch
def test_every_layer_answers_like_transformers():
    net, tower = towers("bert", layers=3, **SMALL)
    given = texts((64, 64))
    (_, exact), (_, his) = (theirs(net, given, d, padded=64) for d in (True, False))
    taps = tower(given, taps=["layer0", "layer1", "layer2", "pooled"])
    for i in range(3):
        assert error(taps[f"layer{i}"], exact[i + 1]) <= 2 * error(his[i + 1], exact[i + 1])
    # without the taps the last layer asks for its first token alone
    np.testing.assert_allclose(taps["pooled"], tower(given), rtol=0, atol=1e-6)


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_the_published_size_answers_like_transformers(kind):
    vocabulary = {"bert": 30522, "roberta": 50265}[kind]
    net, tower = towers(kind, vocabulary, 12)
    given = texts((40,), vocabulary, tower.config.types)
    got = tower(given, padded=128)
    want, _ = theirs(net, given, True, padded=128)
    his, _ = theirs(net.float(), given, False, padded=128)
    assert error(got, want) <= 2 * error(his, want)
    assert (
        sum(np.size(v) for v in tower.weights.values())
        == {
            "bert": 109_482_240,
            "roberta": 124_645_632,
        }[kind]
    )


def random_tower(mean=False, **sizes):
    c = TextConfig(2, 300, 64, 130 if mean else 128, first=2 * mean, **sizes)
    rng = np.random.default_rng(3)
    weights = {k: rng.normal(0, 0.1, s).astype(np.float32) for k, s in shapes(c).items()}
    return TextTower("toy", c, weights, mean=mean)


@pytest.mark.parametrize("mean", [False, True])
def test_a_text_has_the_same_bits_beside_any_others_and_on_any_number_of_threads(mean):
    tower = random_tower(mean)
    given = texts((5, 90, 7, 128, 40, 15, 16, 17), 300)
    whole = tower(given)
    threads = ek.get_threads()
    try:
        ek.set_threads(1)
        for i in (0, 3, 4, 6):
            assert np.array_equal(tower([given[i]])[0], whole[i])
        assert np.array_equal(tower(given, batch=1), whole)
    finally:
        ek.set_threads(threads)


def test_a_mean_counts_the_padding_as_the_authors_do():
    tower = random_tower(True)
    text = texts((20,), 300)
    rows = tower(text, padded=21, taps=["layer1"])["layer1"][0, :21]
    for padded in (21, 60, 128):
        want = (rows[:20].sum(0) + (padded - 20) * rows[20]) / padded
        np.testing.assert_allclose(tower(text, padded=padded)[0], want, atol=2e-6)
    assert np.array_equal(tower(text), tower(text, padded=128))
    np.testing.assert_allclose(tower(text, padded=20)[0], rows[:20].mean(0), atol=2e-6)


def test_a_tower_survives_pickling():
    tower = random_tower()
    given = texts((5, 30), 300)
    want = tower(given)
    assert np.array_equal(pickle.loads(pickle.dumps(tower))(given), want)


def test_texts_that_do_not_fit_are_refused():
    tower = random_tower()
    with pytest.raises(ek.ContractError, match=r"text 1 has 129 tokens, wanted 1\.\.128"):
        tower(texts((5, 129), 300))
    with pytest.raises(ek.ContractError, match="0 tokens"):
        tower([Tokens((), ())])
    with pytest.raises(ek.ContractError, match="no texts"):
        tower([])
    with pytest.raises(ek.RangeError, match=r"0\.\.299"):
        tower([Tokens((1, 300), (0, 0))])


def test_sizes_are_read_from_keys():
    keys = {f"lm.{k}": np.zeros(s) for k, s in shapes(TextConfig(3, 77, 64, 10)).items()}
    assert sizes(keys, "lm.") == (3, 77)
    assert sizes(keys, "other.") == (0, 0)
