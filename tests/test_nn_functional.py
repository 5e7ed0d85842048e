"""ek.nn's functions against PyTorch in float64 over odd shapes.

The tolerance everywhere: our largest error is at most twice that of PyTorch's own float32, plus
1e-7 of the result's scale (at least 1), both measured against PyTorch in float64.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nn_witness import both, check, grid, numbers

import ecgkit as ek
from ecgkit.errors import LayoutError, WeightsError

torch = pytest.importorskip("torch")
F = torch.nn.functional

pytestmark = pytest.mark.torch


@st.composite
def conv_cases(draw, rank):
    groups = draw(st.sampled_from([1, 1, 1, 2, 3, 5, "depthwise", "wide"]))
    if groups == "depthwise":
        groups = cin = cout = draw(st.integers(1, 40))
    elif groups == "wide":  # the product kernel with groups
        groups = draw(st.integers(2, 3))
        cin, cout = 16 * groups, 32 * groups
    else:
        cin, cout = groups * draw(st.integers(1, 24)), groups * draw(st.integers(1, 40))
    kernel = [draw(st.integers(1, 7)) for _ in range(rank)]
    stride = [draw(st.integers(1, 3)) for _ in range(rank)]
    dilation = [draw(st.integers(1, 2)) for _ in range(rank)]
    pads = [draw(st.integers(0, 3)) for _ in range(rank)]
    size = [
        draw(st.integers(max(1, (k - 1) * d + 1 - 2 * p), 23))
        for k, d, p in zip(kernel, dilation, pads)
    ]
    n = draw(st.integers(0, 3))
    return n, cin, cout, groups, kernel, stride, dilation, pads, size, draw(st.booleans())


@pytest.mark.parametrize("rank", [1, 2])
def test_convolution(isa, rank):
    ours, theirs = (ek.nn.conv1d, F.conv1d) if rank == 1 else (ek.nn.conv2d, F.conv2d)

    @grid
    @given(conv_cases(rank))
    def run(case):
        n, cin, cout, groups, kernel, stride, dilation, pads, size, with_bias = case
        x, w = numbers(n, cin, *size), numbers(cout, cin // groups, *kernel, seed=1)
        b = numbers(cout, seed=2) if with_bias else None
        got = both(ours, x, w, b, stride, pads, dilation, groups)
        check(got, lambda x, w, b: theirs(x, w, b, stride, pads, dilation, groups), x, w, b)

    run()


@pytest.mark.parametrize(
    ("k", "s", "n"), [(3, 1, 14), (3, 2, 14), (5, 2, 15), (2, 2, 7), (7, 3, 20)]
)
def test_same_padding_is_tensorflows(k, s, n):
    x, w = numbers(2, 3, n, n), numbers(5, 3, k, k, seed=1)
    total = max((-(-n // s) - 1) * s + k - n, 0)
    pad = (total // 2, total - total // 2) * 2
    got = ek.nn.conv2d(x, w, stride=s, padding="same")
    assert got.shape[-1] == -(-n // s)
    check(got, lambda x, w: F.conv2d(F.pad(x, pad), w, stride=s), x, w)


def test_long_sums_stay_accurate(isa):
    x, w = numbers(1, 512, 9, 9), numbers(32, 512, 3, 3, seed=1)
    check(both(ek.nn.conv2d, x, w), lambda x, w: F.conv2d(x, w), x, w)
    x, w = numbers(3, 5000), numbers(40, 5000, seed=1)
    check(both(ek.nn.linear, x, w), lambda x, w: F.linear(x, w), x, w)


@grid
@given(st.integers(0, 5), st.integers(1, 70), st.integers(1, 70), st.booleans())
def test_linear(n, k, m, with_bias):
    for isa in ek.simd.available():
        before = ek.simd.use(isa)
        x, w = numbers(n, k), numbers(m, k, seed=1)
        b = numbers(m, seed=2) if with_bias else None
        check(both(ek.nn.linear, x, w, b), F.linear, x, w, b)
        deep = numbers(2, 3, n, k)
        check(ek.nn.linear(deep, w, b), F.linear, deep, w, b)
        ek.simd.use(before)


@st.composite
def pool_cases(draw, rank):
    kernel = [draw(st.integers(1, 5)) for _ in range(rank)]
    stride = [draw(st.integers(1, 4)) for _ in range(rank)]
    pads = [draw(st.integers(0, k // 2)) for k in kernel]
    dilation = [draw(st.integers(1, 2)) for _ in range(rank)]
    size = [draw(st.integers((k - 1) * d + 1, 19)) for k, d in zip(kernel, dilation)]
    return (
        draw(st.integers(0, 2)),
        draw(st.integers(1, 35)),
        kernel,
        stride,
        pads,
        dilation,
        size,
        draw(st.booleans()),
    )


@pytest.mark.parametrize("rank", [1, 2])
def test_pools(isa, rank):
    @grid
    @given(pool_cases(rank), st.booleans())
    def run(case, count_pad):
        n, c, kernel, stride, pads, dilation, size, ceil = case
        x = numbers(n, c, *size)
        got = both(getattr(ek.nn, f"max_pool{rank}d"), x, kernel, stride, pads, dilation, ceil)
        theirs = getattr(F, f"max_pool{rank}d")
        check(got, lambda x: theirs(x, kernel, stride, pads, dilation, ceil), x)
        got = both(getattr(ek.nn, f"avg_pool{rank}d"), x, kernel, stride, pads, ceil, count_pad)
        theirs = getattr(F, f"avg_pool{rank}d")
        check(got, lambda x: theirs(x, kernel, stride, pads, ceil, count_pad), x)
        got = both(getattr(ek.nn, f"adaptive_avg_pool{rank}d"), x, kernel)
        theirs = getattr(F, f"adaptive_avg_pool{rank}d")
        check(got, lambda x: theirs(x, kernel), x)

    run()


@pytest.mark.parametrize("shape", [(3, 5), (2, 17, 9), (2, 33, 4, 6), (0, 4, 3)])
def test_norms(isa, shape):
    x, c = numbers(*shape, scale=3), shape[1]
    mean, var = numbers(c, seed=1), np.abs(numbers(c, seed=2)) + 0.1
    w, b = numbers(c, seed=3), numbers(c, seed=4)
    got = both(ek.nn.batch_norm, x, mean, var, w, b)
    check(got, lambda x, m, v, w, b: F.batch_norm(x, m, v, w, b), x, mean, var, w, b)
    last = shape[-1]
    w, b = numbers(last, seed=3), numbers(last, seed=4)
    check(both(ek.nn.layer_norm, x, w, b), lambda x, w, b: F.layer_norm(x, (last,), w, b), x, w, b)


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_softmax(isa, axis):
    x = numbers(7, 19, 33, scale=8)
    check(both(ek.nn.softmax, x, axis), lambda x: F.softmax(x, axis), x)


ACTIVATIONS = {
    "relu": F.relu,
    "relu6": F.relu6,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "silu": F.silu,
    "gelu": F.gelu,
    "leaky_relu": F.leaky_relu,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(isa, name):
    x = np.concatenate([np.linspace(-100, 100, 4001), np.linspace(-3, 3, 4001)]).astype(np.float32)
    check(both(getattr(ek.nn, name), x), ACTIVATIONS[name], x)
    special = np.array(
        [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-40, 88.9, -104.2], np.float32
    )
    got = getattr(ek.nn, name)(special)
    want = ACTIVATIONS[name](torch.from_numpy(special).double()).float().numpy()
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-38)


def test_gelu_tanh(isa):
    x = np.linspace(-10, 10, 4001).astype(np.float32)
    check(both(ek.nn.gelu, x, "tanh"), lambda x: F.gelu(x, approximate="tanh"), x)


@st.composite
def recurrent_cases(draw):
    return (
        draw(st.integers(0, 6)),
        draw(st.integers(1, 9)),
        draw(st.integers(1, 20)),
        draw(st.integers(1, 37)),
        draw(st.booleans()),
        draw(st.integers(1, 3)),
        draw(st.booleans()),
        draw(st.booleans()),
    )


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_recurrent(isa, cell):
    make = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell]
    states = 2 if cell == "lstm" else 1

    @grid
    @given(recurrent_cases())
    def run(case):
        n, time, features, hidden, bidirectional, layers, with_bias, with_state = case
        torch.manual_seed(0)
        module = make(
            features, hidden, layers, with_bias, batch_first=True, bidirectional=bidirectional
        )
        weights = {k: v.numpy().copy() for k, v in module.state_dict().items()}
        x = numbers(n, time, features)
        d = 2 if bidirectional else 1
        initial = [
            numbers(layers * d, n, hidden, seed=s) if with_state else None
            for s in range(1, states + 1)
        ]

        def theirs(part):
            def call(x, *state):
                m = module.double() if x.dtype == torch.float64 else module.float()
                given = (state if states == 2 else state[0]) if with_state else None
                out, last = m(x, given)
                return (out, *(last if states == 2 else (last,)))[part].detach()

            return call

        options = {"bidirectional": bidirectional, "num_layers": layers}
        options |= dict(zip(("h0", "c0"), initial))
        call = getattr(ek.nn, cell)
        if n == 0:
            assert call(x, weights, **options).shape == (0, time, d * hidden)
            return
        out, last = call(x, weights, hidden=hidden, return_state=True, **options)
        for part, got in enumerate((out, *(last if states == 2 else (last,)))):
            check(got, theirs(part), x, *initial)
        assert np.array_equal(call(x, weights, threads=1, **options), out)
        assert np.array_equal(
            call(x[:1], weights, bidirectional=bidirectional, num_layers=layers),
            call(x, weights, bidirectional=bidirectional, num_layers=layers)[:1],
        )

    run()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_go_where_pytorch_sends_them(isa, bad):
    x, w = numbers(2, 20, 30), np.abs(numbers(18, 20, 5, seed=1)) + 0.1
    x[1, 3, 11] = bad
    got = ek.nn.conv1d(x, w, padding=2)
    want = F.conv1d(torch.from_numpy(x), torch.from_numpy(w), padding=2).numpy()
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_array_equal(np.isposinf(got), np.isposinf(want))
    got, want = ek.nn.max_pool1d(x, 3, 2, 1), F.max_pool1d(torch.from_numpy(x), 3, 2, 1).numpy()
    np.testing.assert_array_equal(got, want)
    got, want = ek.nn.relu6(x), F.relu6(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(got, want)
    row = x[1, 3]
    np.testing.assert_allclose(
        ek.nn.softmax(row), F.softmax(torch.from_numpy(row), 0).numpy(), atol=1e-7
    )


def test_out_is_filled_and_checked():
    x, w = numbers(2, 3, 20), numbers(4, 3, 5, seed=1)
    out = np.empty((2, 4, 16), np.float32)
    assert ek.nn.conv1d(x, w, out=out) is out
    assert np.array_equal(out, ek.nn.conv1d(x, w))
    with pytest.raises(LayoutError, match="out"):
        ek.nn.conv1d(x, w, out=np.empty((2, 4, 15), np.float32))
    with pytest.raises(LayoutError, match="out"):
        ek.nn.relu(x, out=np.empty(x.shape, np.float64))


def test_any_real_dtype_and_stride_is_taken():
    x = np.arange(240).reshape(2, 3, 40)[..., ::2]
    w = numbers(4, 3, 5, seed=1)
    want = ek.nn.conv1d(np.ascontiguousarray(x, np.float32), w)
    for kind in (np.int16, np.int64, np.float64, np.float32):
        assert np.array_equal(ek.nn.conv1d(x.astype(kind), w), want)
    assert np.array_equal(ek.nn.conv1d(x, w), want)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: ek.nn.conv1d(np.zeros((2, 3, 4)), np.zeros((5, 3, 5))),
            LayoutError,
            "shorter than the kernel",
        ),
        (
            lambda: ek.nn.conv1d(np.zeros((2, 3, 9)), np.zeros((5, 4, 5))),
            WeightsError,
            "3 channels",
        ),
        (
            lambda: ek.nn.conv1d(np.zeros((2, 3, 9)), np.zeros((5, 3, 5)), groups=2),
            WeightsError,
            "groups=2",
        ),
        (
            lambda: ek.nn.conv1d(np.zeros((2, 3, 9)), np.zeros((5, 3, 5)), stride=0),
            ValueError,
            "stride",
        ),
        (lambda: ek.nn.conv1d(np.zeros(9), np.zeros((5, 3, 5))), LayoutError, "axes"),
        (lambda: ek.nn.conv1d(np.zeros((2, 3, 0)), np.zeros((5, 3, 5))), LayoutError, "empty"),
        (lambda: ek.nn.linear(np.zeros((2, 3)), np.zeros((5, 4))), WeightsError, "(any, 3)"),
        (
            lambda: ek.nn.max_pool1d(np.zeros((2, 3, 9)), 3, padding=2),
            ValueError,
            "half the kernel",
        ),
        (lambda: ek.nn.lstm(np.zeros((2, 3)), {}), LayoutError, "n, time, features"),
        (lambda: ek.nn.lstm(np.zeros((2, 3, 4)), {}), WeightsError, "weight_hh_l0"),
        (lambda: ek.nn.softmax(np.zeros((2, 3)), 2), LayoutError, "axis 2"),
        (lambda: ek.nn.relu(np.zeros(3, complex)), TypeError, "complex"),
        (lambda: ek.nn.relu(["a"]), TypeError, "real numbers"),
    ],
)
def test_what_does_not_fit_is_a_typed_error(call, error, text):
    with pytest.raises(error) as caught:
        call()
    assert text in str(caught.value)


@pytest.mark.parametrize("size", [(4, 4), (5, 9), (14, 14), (7, 23), (8, 6)])
@pytest.mark.parametrize(("cin", "cout"), [(32, 48), (40, 33), (64, 100), (160, 64)])
def test_three_by_three_by_winograd(isa, size, cin, cout):
    x, w, b = numbers(2, cin, *size), numbers(cout, cin, 3, 3, seed=1), numbers(cout, seed=2)
    got = both(ek.nn.conv2d, x, w, b, 1, 1)
    check(got, lambda x, w, b: F.conv2d(x, w, b, 1, 1), x, w, b)
    got = both(ek.nn.conv2d, x, w, b, padding=((0, 2), (2, 1)))
    check(got, lambda x, w, b: F.conv2d(F.pad(x, (2, 1, 0, 2)), w, b), x, w, b)


@pytest.mark.parametrize("channels", [5, 40])
@pytest.mark.parametrize("kind", ["relu", "relu6", "silu", None])
def test_residual_and_activation_are_fused(isa, channels, kind):
    x, w = numbers(3, channels, 9, 11), numbers(channels, channels, 3, 3, seed=1, scale=0.1)
    p = ek.nn.Program("block")
    t = p.input("x", x.shape[1:])
    h = p.add(t, p.conv2d(p.conv2d(t, w, padding=1), w, padding=1))
    p.output(h if kind is None else p.activation(h, kind))
    program = p.compile()
    assert "add" in str(program)
    assert not any(row["op"] == "binary" for row in program._main.rows)

    def theirs(x, w):
        y = x + F.conv2d(F.conv2d(x, w, padding=1), w, padding=1)
        return y if kind is None else getattr(F, kind)(y)

    check(both(program, x), theirs, x, w)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_infinities_stay_in_their_windows(isa, bad):
    x, w = numbers(2, 40, 9, 11), numbers(36, 40, 3, 3, seed=1)
    for place in ((0, 3, 4, 4), (0, 7, 0, 10), (1, 33, 7, 3)):
        x[place] = bad
    got = both(ek.nn.conv2d, x, w, padding=1)
    tensors = torch.from_numpy(x), torch.from_numpy(w)
    want = F.conv2d(*(t.double() for t in tensors), padding=1).numpy()
    finite = np.isfinite(want)
    np.testing.assert_array_equal(got[~finite], want[~finite])
    theirs = np.abs(F.conv2d(*tensors, padding=1).numpy()[finite] - want[finite]).max()
    ours, scale = np.abs(got[finite] - want[finite]).max(), np.abs(want[finite]).max()
    assert ours <= 2 * theirs + 1e-7 * scale
