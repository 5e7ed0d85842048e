"""The weights that are computed beside a program are those that its kernels use."""

import numpy as np
import pytest

import ecgkit as ek

RNG = np.random.default_rng(0)
CASES = {
    "plain": {},
    "scaled": {"scale": 0.7},
    "causal": {"causal": True},
    "biased": {"bias": RNG.normal(size=(2, 5, 5))},
    "patterns": {"window_mask": RNG.normal(size=(3, 5, 5))},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("lead", [(), (3,)])
def test_weights_times_values_is_the_result(case, lead):
    p = ek.nn.Program("p")
    shape = (*lead, 5, 8)
    q, k, v = (p.input(name, shape) for name in "qkv")
    p.output(p.attention(q, k, v, heads=2, name="look", **CASES[case]))
    program = p.compile()
    x = tuple(RNG.normal(size=(4, *shape)).astype(np.float32) for _ in "qkv")
    weights = program.attention_weights(x)
    assert list(weights) == ["look"]
    w = weights["look"]
    assert w.shape == (4, *lead, 2, 5, 5)
    np.testing.assert_allclose(w.sum(-1), 1, atol=1e-6)
    heads = np.moveaxis(x[2].reshape(4, *lead, 5, 2, 4), -2, -3)
    got = np.moveaxis(w @ heads, -3, -2).reshape(4, *shape)
    np.testing.assert_allclose(got, program(x), atol=2e-6)


def test_a_masked_key_has_no_weight_and_a_lonely_query_none_at_all():
    p = ek.nn.Program("p")
    q, k, v = (p.input(name, (5, 8)) for name in "qkv")
    keep = p.input("keep", (5,))
    p.output(p.attention(q, k, v, heads=2, key_mask=keep, name="look"))
    x = [RNG.normal(size=(2, 5, 8)).astype(np.float32) for _ in "qkv"]
    mask = np.array([[1, 0, 1, 1, 0], [0, 0, 0, 0, 0]], np.float32)
    w = p.compile().attention_weights((*x, mask))["look"]
    assert (w[0][..., [1, 4]] == 0).all()
    np.testing.assert_allclose(w[0].sum(-1), 1, atol=1e-6)
    assert (w[1] == 0).all()


def test_windows_of_a_grid_are_refused_and_no_attention_is_no_weights():
    p = ek.nn.Program("p")
    x = p.input("x", (4, 4, 8))
    p.output(p.attention(x, x, x, heads=2, window=2, name="swin"))
    with pytest.raises(ek.EcgkitError, match="swin attend in windows"):
        p.compile().attention_weights(np.zeros((1, 4, 4, 8)))
    p = ek.nn.Program("p")
    p.output(p.relu(p.input("x", (3,))))
    assert p.compile().attention_weights(np.zeros((1, 3))) == {}
