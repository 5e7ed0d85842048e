"""Parts that nobody reads are not computed, and what is read stays what it was."""

import numpy as np
import pytest

import ecgkit as ek

TOKENS, WIDTH, HEADS = 21, 24, 3


def weights(seed=0):
    rng = np.random.default_rng(seed)

    def w(*shape):
        return rng.normal(0, shape[-1] ** -0.5, shape).astype(np.float32)

    d = WIDTH
    return {"qkv": w(3 * d, d), "out": w(d, d), "up": w(4 * d, d), "down": w(d, 4 * d)} | {
        "positions": w(TOKENS, d),
        "gain": w(TOKENS, 1),
        "row": w(d),
    }


def block(p, w, x, apart):
    """Pre-norm block; ``apart``: heads split by reshape and transpose, as PyTorch traces them."""
    tokens = x.shape[0]
    qkv = p.linear(p.layer_norm(x), w["qkv"])
    if apart:
        parts = p.transpose(p.reshape(qkv, (tokens, 3, HEADS, -1)), (1, 2, 0, 3))
        y = p.attention(*(p.select(parts, i) for i in range(3)), heads=1)
        y = p.reshape(p.transpose(y, (1, 0, 2)), x.shape)
    else:
        y = p.attention(*p.chunk(qkv, 3, -1), heads=HEADS)
    x = p.add(x, p.linear(y, w["out"]))
    h = p.gelu(p.linear(p.layer_norm(x), w["up"]))
    return p.add(x, p.linear(h, w["down"]), name=None)


def network(p, w, x, apart=False):
    h = p.add(x, w["positions"])
    for _ in range(2):
        h = block(p, w, h, apart)
    h = p.multiply(p.add(h, w["row"]), w["gain"])
    return p.identity(h, name="tokens")


PICKS = {
    "first": (lambda p, h: p.select(h, 0), np.s_[:, 0]),
    "last": (lambda p, h: p.select(h, -1), np.s_[:, -1]),
    "middle rows": (lambda p, h: p.slice(h, 0, 3, 11), np.s_[:, 3:11]),
    "every third of few": (lambda p, h: p.slice(h, 0, 2, 11, 3), np.s_[:, 2:11:3]),
    "some of one row": (lambda p, h: p.slice(p.select(h, 5), 0, 4, 9), np.s_[:, 5, 4:9]),
    "turned": (lambda p, h: p.transpose(p.slice(h, 0, 1, 4), (1, 0)), np.s_[:, 1:4]),
    "most rows": (lambda p, h: p.slice(h, 0, 1), np.s_[:, 1:]),
    "columns": (lambda p, h: p.slice(h, 1, 1, 5), np.s_[:, :, 1:5]),
}


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("pick", PICKS)
def test_a_pick_is_that_part_of_the_whole(pick, apart, isa):
    picks, where = PICKS[pick]
    w, x = weights(), np.random.default_rng(1).normal(size=(2, TOKENS, WIDTH)).astype(np.float32)
    full, few = ek.nn.Program("full"), ek.nn.Program("few")
    full.output(network(full, w, full.input("x", x.shape[1:]), apart))
    few.output(picks(few, network(few, w, few.input("x", x.shape[1:]), apart)))
    full, few = full.compile(), few.compile()
    want = full(x)[where]
    got = few(x)
    np.testing.assert_allclose(got, want.transpose(0, 2, 1) if pick == "turned" else want,
                               rtol=0, atol=2e-6)  # fmt: skip
    if pick in ("most rows", "columns"):
        assert few.macs == full.macs
    else:
        assert few.macs < 0.8 * full.macs
    tapped = few(x, taps=["tokens"])
    np.testing.assert_allclose(tapped["tokens"], full(x), rtol=0, atol=2e-6)
    np.testing.assert_allclose(tapped["output"], got, rtol=0, atol=2e-6)


def test_the_last_block_costs_one_token_where_one_is_read():
    w = weights()
    p = ek.nn.Program("cls")
    x = p.input("x", (TOKENS, WIDTH))
    p.output(p.select(block(p, w, x, False), 0))
    d = WIDTH
    kept = TOKENS * 2 * d * d + d * d + 2 * TOKENS * d + d * d + 8 * d * d
    assert p.compile().macs == kept


def test_two_picks_share_what_lies_between_them():
    w, x = weights(), np.random.default_rng(2).normal(size=(1, TOKENS, WIDTH)).astype(np.float32)
    full, two = ek.nn.Program("full"), ek.nn.Program("two")
    full.output(network(full, w, full.input("x", x.shape[1:])))
    h = network(two, w, two.input("x", x.shape[1:]))
    two.output(two.add(two.select(h, 2), two.select(h, 6)))
    two.output(two.mean(two.slice(h, 0, 1, 4), 0))
    whole = full.compile()(x)[0]
    a, b = two.compile()(x)
    np.testing.assert_allclose(a[0], whole[2] + whole[6], atol=4e-6)
    np.testing.assert_allclose(b[0], whole[1:4].mean(0), atol=2e-6)


def test_layers_that_look_around_are_computed_whole():
    rng = np.random.default_rng(3)
    x, k = rng.normal(size=(2, 4, 50)), rng.normal(size=(8, 4, 5))
    p = ek.nn.Program("conv")
    h = p.relu(p.conv1d(p.input("x", (4, 50)), k, padding=2))
    p.output(p.select(h, 7, -1))
    want = np.maximum(ek.nn.conv1d(x, k, padding=2), 0)[:, :, 7]
    np.testing.assert_allclose(p.compile()(x), want, atol=1e-6)


def test_causal_and_biased_attention_is_computed_whole():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(1, 9, 8)).astype(np.float32)
    bias = rng.normal(size=(2, 9, 9)).astype(np.float32)
    for options in ({"causal": True}, {"bias": bias}):
        p = ek.nn.Program("attention")
        t = p.input("x", (9, 8))
        p.output(p.select(p.attention(t, t, t, heads=2, **options), 3))
        want = ek.nn.attention(x, x, x, heads=2, **options)[:, 3]
        np.testing.assert_allclose(p.compile()(x), want, atol=1e-6)


def test_a_softmax_along_the_picked_axis_sums_over_all_of_it():
    x = np.random.default_rng(5).normal(size=(2, 9, 4)).astype(np.float32)
    for axis in (0, 1):
        p = ek.nn.Program("softmax")
        p.output(p.select(p.softmax(p.input("x", (9, 4)), axis), 3))
        want = np.exp(x) / np.exp(x).sum(axis + 1, keepdims=True)
        np.testing.assert_allclose(p.compile()(x), want[:, 3], atol=1e-6)
