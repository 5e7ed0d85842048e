"""Attention against PyTorch in float64: functions over odd shapes, programs through views.

The tolerance is that of the other kernels: our largest error is at most twice that of PyTorch's own
float32, plus 1e-7 of the result's scale.
"""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ecgkit as ek
from ecgkit.errors import LayoutError, WeightsError

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

pytestmark = pytest.mark.torch
grid = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def reference(q, k, v, heads, *, mask=None, scale=None, causal=False, dtype=torch.float64):
    """PyTorch's attention; ``mask`` (..., heads, queries, keys) is added."""
    split = [torch.from_numpy(a).to(dtype).unflatten(-1, (heads, -1)) for a in (q, k, v)]
    q, k, v = (t.transpose(-2, -3) for t in split)
    if causal:
        lower = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool).tril()
        lower = torch.zeros(lower.shape, dtype=dtype).masked_fill(~lower, -torch.inf)
        mask = lower if mask is None else torch.from_numpy(mask).to(dtype) + lower
    elif mask is not None:
        mask = torch.from_numpy(mask).to(dtype)
    y = torch.nn.functional.scaled_dot_product_attention(q, k, v, mask, scale=scale)
    return y.transpose(-2, -3).flatten(-2).numpy()


def close(got, f64, f32):
    assert got.dtype == np.float32
    assert got.shape == f64.shape
    if f64.size:
        ours, theirs = np.abs(got - f64).max(), np.abs(f32 - f64).max()
        limit = 2 * theirs + 1e-7 * max(1.0, np.abs(f64).max())
        assert ours <= limit, f"ours {ours:.3g}, PyTorch {theirs:.3g}"


def check(q, k, v, heads, mask=None, scale=None, causal=False, **given):
    one = ek.nn.attention(q, k, v, heads=heads, scale=scale, causal=causal, threads=1, **given)
    two = ek.nn.attention(q, k, v, heads=heads, scale=scale, causal=causal, threads=2, **given)
    assert np.array_equal(one, two)
    options = {"mask": mask, "scale": scale, "causal": causal}
    f64 = reference(q, k, v, heads, **options)
    close(one, f64, reference(q, k, v, heads, dtype=torch.float32, **options))


@st.composite
def cases(draw):
    heads, tq, tk = draw(st.integers(1, 4)), draw(st.integers(1, 40)), draw(st.integers(1, 70))
    d, e = draw(st.integers(1, 70)), draw(st.integers(1, 40))
    lead = tuple(draw(st.lists(st.integers(1, 3), max_size=2)))
    few = -(-100 // (heads * tq * e))  # items: the largest error of a few numbers is luck
    return (few, *lead) if few > 1 else lead, heads, tq, tk, d, e


def arrays(lead, heads, tq, tk, d, e):
    return (
        numbers(*lead, tq, heads * d),
        numbers(*lead, tk, heads * d, seed=1),
        numbers(*lead, tk, heads * e, seed=2),
    )


def test_attention_over_odd_shapes(isa):
    @grid
    @given(cases(), st.booleans(), st.sampled_from([None, 0.05, 0.3]))
    def claim(case, causal, scale):
        check(*arrays(*case), case[1], causal=causal, scale=scale)

    claim()


def test_attention_with_masks_and_bias(isa):
    @grid
    @given(cases(), st.booleans(), st.booleans(), st.integers(1, 3))
    def claim(case, keyed, biased, patterns):
        lead, heads, tq, tk, *_ = case
        rng = np.random.default_rng(3)
        mask = np.zeros((*lead, heads, tq, tk), np.float32)
        options = {}
        if keyed:
            keep = rng.random((*lead, tk)) < 0.7
            options["key_mask"] = keep
            mask = np.where(keep[..., None, None, :], mask, -np.inf).astype(np.float32)
        if biased:
            options["bias"] = rng.normal(size=(heads, tq, tk)).astype(np.float32)
            mask = mask + options["bias"]
        added = rng.normal(size=(patterns, tq, tk)).astype(np.float32)
        items = np.arange(int(np.prod(lead))).reshape(lead) % patterns
        options["window_mask"] = added
        check(*arrays(*case), heads, mask=mask + added[items][..., None, :, :], **options)

    claim()


@pytest.mark.parametrize(
    ("tq", "tk", "d", "causal"),
    [(201, 201, 64, False), (1, 1100, 16, False), (700, 1500, 24, True), (40, 600, 330, False)],
)
def test_long_sequences_go_in_blocks_of_keys(isa, tq, tk, d, causal):
    check(*arrays((), 2, tq, tk, d, 17), 2, causal=causal)


def test_scratch_does_not_grow_with_the_square_of_the_tokens():
    p = ek.nn.Program("long")
    x = p.input("x", (20000, 8))
    p.output(p.attention(x, x, x, heads=1, causal=True))
    program = p.compile()
    y = program(numbers(1, 20000, 8), threads=1)  # a matrix of scores would be 1.6 GB
    assert np.isfinite(y).all()


def test_a_query_without_keys_gets_zeros(isa):
    q, k, v = arrays((2,), 2, 5, 7, 4, 3)
    keep = np.ones((2, 7), bool)
    keep[1] = False
    y = ek.nn.attention(q, k, v, heads=2, key_mask=keep)
    assert np.all(y[1] == 0)
    assert np.all(y[0] != 0)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("what", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("which", ["q", "k", "v"])
def test_nan_and_infinity_go_where_pytorch_lets_them(isa, causal, what, which):
    given = dict(zip("qkv", arrays((), 1, 6, 9, 4, 4)))
    given[which][4, 2] = what
    y = ek.nn.attention(*given.values(), causal=causal)
    t = [torch.from_numpy(a)[None, None] for a in given.values()]
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        want = torch.nn.functional.scaled_dot_product_attention(*t, is_causal=causal)
    want = want[0, 0].numpy()
    if causal and which == "k":  # a key that a query does not see has no part in it, even if NaN
        want[:4] = ek.nn.attention(*(a[:4] for a in given.values()), causal=True)
    assert np.array_equal(np.isnan(y), np.isnan(want))
    np.testing.assert_allclose(y, want, rtol=1e-4, atol=1e-5)


def test_a_masked_key_may_hold_anything(isa):
    q, k, v = arrays((), 1, 6, 9, 4, 4)
    keep = np.ones(9, bool)
    keep[3] = False
    want = ek.nn.attention(q, k, v, key_mask=keep)
    k[3] = np.nan
    assert np.array_equal(ek.nn.attention(q, k, v, key_mask=keep), want)


def test_layers_that_share_a_bias_keep_it_once(isa):
    heads, tokens, d = 2, 96, 16
    rng = np.random.default_rng(3)
    bias = rng.normal(size=(heads, tokens, tokens)).astype(np.float32)

    def program(biases):
        p = ek.nn.Program("layers")
        h = p.input("x", (tokens, d))
        for b in biases:
            h = p.add(p.attention(h, h, h, heads=heads, bias=b), h)
        p.output(h)
        return p.compile()

    x = rng.normal(size=(2, tokens, d)).astype(np.float32)
    shared, alone = program([bias, bias.copy(), bias]), program([bias])
    assert shared.nbytes < alone.nbytes + 4096
    assert program([bias, bias + 1]).nbytes > 2 * bias.nbytes
    want = x
    for _ in range(3):
        want = alone(want)
    assert np.array_equal(shared(x), want)


def swin(qkv, heads, window, shift, bias):
    """Windowed attention as Swin describes it: roll, partition, mask, attend, reverse, roll."""
    rows, columns = qkv.shape[1:3]
    down, right = shift
    x = torch.roll(qkv, (-down, -right), (1, 2))
    region = torch.zeros(rows, columns, dtype=qkv.dtype)
    steps = [
        (slice(0, -w), slice(-w, -s), slice(-s, None)) if s else (slice(None),)
        for w, s in zip(window, shift)
    ]
    for i, a in enumerate(steps[0]):
        for j, b in enumerate(steps[1]):
            region[a, b] = 3 * i + j

    def cut(t):
        t = t.unflatten(1, (-1, window[0])).unflatten(3, (-1, window[1]))
        return t.transpose(2, 3).flatten(1, 2).flatten(2, 3)

    parts = cut(x).unflatten(-1, (3, heads, -1)).permute(3, 0, 1, 4, 2, 5)
    places = cut(region[None, ..., None])[0, ..., 0]
    apart = places[:, :, None] != places[:, None, :]
    mask = bias.to(qkv.dtype) + torch.where(apart, -100.0, 0.0).to(qkv.dtype)[:, None]
    y = torch.nn.functional.scaled_dot_product_attention(*parts, mask[None])
    y = y.transpose(2, 3).flatten(-2).unflatten(1, (rows // window[0], -1))
    y = y.unflatten(3, window).transpose(2, 3).flatten(1, 2).flatten(2, 3)
    return torch.roll(y, (down, right), (1, 2)).numpy()


@pytest.mark.parametrize("shift", [(0, 0), (2, 1), (0, 3), (3, 0)])
def test_shifted_windows_are_swins(isa, shift):
    heads, window = 3, (4, 5)
    qkv, bias = numbers(2, 8, 15, 3 * heads * 7), numbers(heads, 20, 20, seed=4)
    p = ek.nn.Program("swin")
    x = p.input("x", qkv.shape[1:])
    q, k, v = (p.slice(x, -1, i * heads * 7, (i + 1) * heads * 7) for i in range(3))
    p.output(p.attention(q, k, v, heads=heads, window=window, shift=shift, bias=bias))
    program = p.compile()
    y = program(qkv, threads=1)
    assert np.array_equal(y, program(qkv, threads=2))
    t = torch.from_numpy(qkv)
    f64 = swin(t.double(), heads, window, shift, torch.from_numpy(bias).double())
    close(y, f64, swin(t, heads, window, shift, torch.from_numpy(bias)))
    assert "permute" not in {row["op"] for row in program.profile(qkv).rows}


def test_split_heads_and_transposes_cost_no_copy(isa):
    """PyTorch's way of writing it: reshape, permute, select, attend, transpose, reshape."""
    qkv = numbers(2, 11, 3 * 4 * 5)
    p = ek.nn.Program("torch style")
    x = p.input("x", qkv.shape[1:])
    parts = p.transpose(p.reshape(x, (11, 3, 4, 5)), (1, 2, 0, 3))
    y = p.attention(*(p.select(parts, i) for i in range(3)), heads=1)
    p.output(p.linear(p.reshape(p.transpose(y, (1, 0, 2)), (11, 20)), np.eye(20)))
    program = p.compile()
    assert [row["op"] for row in program.profile(qkv).rows] == ["attention", "linear"]
    thirds = [np.ascontiguousarray(a) for a in np.split(qkv, 3, axis=-1)]
    assert np.array_equal(program(qkv), ek.nn.attention(*thirds, heads=4))
    tapped = program(qkv, taps=[y.name])
    assert tapped[y.name].shape == (2, 4, 11, 5)
    assert np.array_equal(tapped["output"], program(qkv))


def test_views_that_the_kernel_cannot_follow_are_copied(isa):
    """Every second feature is no head of neighbours."""
    x = numbers(3, 9, 16)
    p = ek.nn.Program("strided")
    t = p.input("x", (9, 16))
    q, k = p.slice(t, -1, 0, None, 2), p.transpose(p.reshape(t, (16, 9)), (1, 0))
    p.output(p.attention(q, q, p.slice(k, -1, 0, 8), heads=2))
    even = np.ascontiguousarray(x[..., ::2])
    v = np.ascontiguousarray(x.reshape(3, 16, 9).swapaxes(1, 2)[..., :8])
    assert np.array_equal(p.compile()(x), ek.nn.attention(even, even, v, heads=2))


def test_cross_attention_reads_another_input(isa):
    p = ek.nn.Program("cross")
    x, y = p.input("x", (5, 12)), p.input("y", (8, 12))
    mask = p.input("mask", (8,))
    p.output(p.attention(x, y, y, heads=3, key_mask=mask))
    a, b = numbers(4, 5, 12), numbers(4, 8, 12, seed=1)
    keep = (np.random.default_rng(2).random((4, 8)) < 0.6).astype(np.float32)
    keep[:, 0] = 1
    got = p.compile()((a, b, keep))
    assert np.array_equal(got, ek.nn.attention(a, b, b, heads=3, key_mask=keep))


def test_attention_of_an_empty_batch_is_empty():
    q, k, v = (np.empty((0, t, 6), np.float32) for t in (4, 5, 5))
    assert ek.nn.attention(q, k, v, heads=2).shape == (0, 4, 6)


def test_attention_writes_into_out():
    q, k, v = arrays((2, 3), 2, 5, 7, 4, 3)
    out = np.empty((2, 3, 5, 6), np.float32)
    assert ek.nn.attention(q, k, v, heads=2, out=out) is out
    assert np.array_equal(out, ek.nn.attention(q, k, v, heads=2))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"heads": 5}, LayoutError, "divide by heads=5"),
        ({"k": numbers(7, 9)}, LayoutError, "do not belong together"),
        ({"v": numbers(6, 8)}, LayoutError, "do not belong together"),
        ({"bias": numbers(2, 5, 6)}, WeightsError, "bias has shape"),
        ({"window_mask": numbers(2, 5, 6)}, WeightsError, "window_mask has shape"),
        ({"key_mask": np.ones(6)}, LayoutError, "key_mask has shape"),
        ({"shift": 2}, ValueError, "without window"),
        ({"q": numbers(8)}, LayoutError, "at least 2 axes"),
        ({"q": np.array(["a"])}, TypeError, "real numbers"),
    ],
)
def test_what_does_not_fit_is_named(change, error, words):
    given = {"q": numbers(5, 8), "k": numbers(7, 8), "v": numbers(7, 8), "heads": 2} | change
    with pytest.raises(error, match=words):
        ek.nn.attention(**given)


def test_windows_must_tile_the_grid():
    x = numbers(6, 9, 8)
    with pytest.raises(LayoutError, match="do not tile a grid"):
        ek.nn.attention(x, x, x, heads=2, window=4)
