"""The ops beside convolution, attention and recurrence against PyTorch in float64, odd shapes.

The tolerance everywhere: our largest error is at most twice that of PyTorch's own float32, plus
1e-7 of the result's scale (at least 1), both measured against PyTorch in float64.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nn_witness import both, check, grid, numbers, same_specials, torch

import ecgkit as ek
from ecgkit.errors import LayoutError, RangeError, WeightsError

F = torch.nn.functional
pytestmark = pytest.mark.torch


# ---- transposed convolution


@st.composite
def transposed_cases(draw, rank):
    groups = draw(st.sampled_from([1, 1, 2, 3, "depthwise", "wide"]))
    if groups == "depthwise":
        groups = cin = cout = draw(st.integers(1, 20))
    elif groups == "wide":
        groups, cin, cout = 2, 32, 64
    else:
        most = 20 if groups == 1 else 6
        cin, cout = groups * draw(st.integers(1, most)), groups * draw(st.integers(1, 20))
    kernel = [draw(st.integers(1, 6)) for _ in range(rank)]
    stride = [draw(st.integers(1, 4)) for _ in range(rank)]
    dilation = [draw(st.integers(1, 3)) for _ in range(rank)]
    size = [draw(st.integers(1, 12)) for _ in range(rank)]
    extra = [draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation)]
    pads = [
        draw(st.integers(0, min(7, ((n - 1) * s + d * (k - 1) + e) // 2)))
        for n, s, d, k, e in zip(size, stride, dilation, kernel, extra)
    ]
    bias = draw(st.booleans())
    return (
        draw(st.integers(1, 2)),
        cin,
        cout,
        groups,
        kernel,
        stride,
        pads,
        extra,
        dilation,
        size,
        bias,
    )


@pytest.mark.parametrize("rank", [1, 2])
def test_transposed_convolution(isa, rank):
    ours, theirs = (getattr(m, f"conv_transpose{rank}d") for m in (ek.nn, F))

    @grid
    @given(transposed_cases(rank))
    def run(case):
        n, cin, cout, groups, kernel, stride, pads, extra, dilation, size, with_bias = case
        x, w = numbers(n, cin, *size), numbers(cin, cout // groups, *kernel, seed=1)
        b = numbers(cout, seed=2) if with_bias else None
        options = (stride, pads, extra, groups, dilation)
        check(both(ours, x, w, b, *options), lambda x, w, b: theirs(x, w, b, *options), x, w, b)

    run()


def test_transposed_convolution_keeps_infinities_in_their_windows(isa):
    x, w = numbers(1, 3, 9), numbers(3, 4, 4, seed=1)
    x[0, 1, 4] = np.inf
    got = ek.nn.conv_transpose1d(x, w, None, 2, 1)
    want = F.conv_transpose1d(torch.from_numpy(x), torch.from_numpy(w), None, 2, 1).numpy()
    same_specials(got, want)


# ---- norms


@pytest.mark.parametrize(
    "shape", [(1, 6, 2), (3, 6, 7), (2, 12, 5, 9), (2, 33, 70), (2, 4, 2, 3, 5)]
)
def test_group_and_instance_norm(isa, shape):
    x, c = numbers(*shape, scale=3) + 5, shape[1]
    w, b = numbers(c, seed=1), numbers(c, seed=2)
    for groups in {g for g in (1, 2, 3, c) if c % g == 0}:
        got = both(ek.nn.group_norm, x, groups, w, b)
        check(got, lambda x, w, b, g=groups: F.group_norm(x, g, w, b), x, w, b)
        check(ek.nn.group_norm(x, groups), lambda x, g=groups: F.group_norm(x, g), x)
    if np.prod(shape[2:]) > 1:
        got = both(ek.nn.instance_norm, x, w, b)
        check(got, lambda x, w, b: F.instance_norm(x, weight=w, bias=b), x, w, b)


@pytest.mark.parametrize("axes", [1, 2])
def test_rms_and_layer_norm_over_several_axes(isa, axes):
    x = numbers(3, 5, 17, scale=4)
    last = x.shape[-axes:]
    w, b = numbers(*last, seed=1), numbers(*last, seed=2)
    check(both(ek.nn.rms_norm, x, w), lambda x, w: F.rms_norm(x, last, w), x, w)
    check(ek.nn.rms_norm(x, w, 1e-3), lambda x, w: F.rms_norm(x, last, w, 1e-3), x, w)
    check(both(ek.nn.layer_norm, x, w, b), lambda x, w, b: F.layer_norm(x, last, w, b), x, w, b)


# ---- reductions

REDUCTIONS = {
    "mean": lambda x, d, k: x.mean(d, k),
    "sum": lambda x, d, k: x.sum(d, k),
    "max": lambda x, d, k: x.amax(d, k),
    "min": lambda x, d, k: x.amin(d, k),
    "var": lambda x, d, k: x.var(d, keepdim=k),
    "std": lambda x, d, k: x.std(d, keepdim=k),
}


@pytest.mark.parametrize("kind", REDUCTIONS)
def test_reductions(isa, kind):
    @grid
    @given(
        st.lists(st.integers(1, 9), min_size=1, max_size=4),
        st.sets(st.integers(0, 3), min_size=1),
        st.booleans(),
    )
    def run(shape, axes, keepdim):
        axes = tuple(sorted(a for a in axes if a < len(shape))) or (0,)
        x = numbers(*shape, scale=2) + 3
        got = both(getattr(ek.nn, kind), x, axes, keepdim=keepdim)
        if kind in ("var", "std") and np.prod([shape[a] for a in axes]) == 1:
            assert np.isnan(got).all()
            return
        check(got, lambda x: REDUCTIONS[kind](x, axes, keepdim), x)

    run()
    x = numbers(2, 700, 5)
    x[1, 3, 2] = np.nan
    want = REDUCTIONS[kind](torch.from_numpy(x), (1,), False).numpy()
    same_specials(getattr(ek.nn, kind)(x, 1), want)


@pytest.mark.parametrize("kind", ["mean", "max"])
@pytest.mark.parametrize("shape", [(20, 31), (33, 5, 7)])
def test_a_reduction_of_a_whole_picture_reads_it_as_it_lies(isa, kind, shape):
    rank = len(shape) - 1
    x, w = numbers(2, *shape), numbers(shape[0], shape[0], *[1] * rank, seed=1, scale=0.2)
    p = ek.nn.Program("p")
    h = getattr(p, f"conv{rank}d")(p.input("x", shape), w)
    p.output(getattr(p, kind)(h, tuple(range(1, rank + 1))))
    program = p.compile()
    assert "of the picture" in str(program)

    def theirs(x, w):
        h = getattr(F, f"conv{rank}d")(x, w).flatten(2)
        return h.mean(-1) if kind == "mean" else h.amax(-1)

    check(both(program, x), theirs, x, w)


# ---- arithmetic

BINARY = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div,
    "minimum": torch.minimum, "maximum": torch.maximum, "pow": torch.pow,
}  # fmt: skip


@st.composite
def broadcast_cases(draw):
    shape = draw(st.lists(st.integers(1, 7), min_size=1, max_size=5))
    sides = []
    for _ in range(2):
        keep = [1 if draw(st.integers(0, 3)) == 0 else n for n in shape]
        sides.append(keep[draw(st.integers(0, len(shape) - 1)) :])
    return sides


@pytest.mark.parametrize("kind", BINARY)
def test_arithmetic_broadcasts(isa, kind):
    @grid
    @given(broadcast_cases())
    def run(sides):
        a, b = numbers(*sides[0], seed=1), numbers(*sides[1], seed=2)
        if kind == "pow":
            a = np.abs(a)
        check(both(getattr(ek.nn, kind), a, b), BINARY[kind], a, b)
        p = ek.nn.Program("p")
        x, y = p.input("x", a.shape), p.input("y", b.shape)
        p.output(getattr(p, kind)(x, y))
        got = p.compile()((np.stack([a, a]), np.stack([b, b])))
        check(got[1], BINARY[kind], a, b)
        assert np.array_equal(got[0], got[1], equal_nan=True)

    run()
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, 3.0, -2.0], np.float32)
    a, b = (np.ascontiguousarray(v) for v in np.meshgrid(special, special))
    want = BINARY[kind](torch.from_numpy(a), torch.from_numpy(b)).numpy()
    same_specials(getattr(ek.nn, kind)(a, b), want)


@pytest.mark.parametrize("shape", [(20, 31), (33, 5, 7)])
@pytest.mark.parametrize("first", [True, False])
def test_a_gate_per_channel_stays_in_the_layout_of_the_convolutions(isa, shape, first):
    rank, c = len(shape) - 1, shape[0]
    x, w = numbers(2, *shape), numbers(c, c, *[3] * rank, seed=1, scale=0.2)
    p = ek.nn.Program("p")
    conv = getattr(p, f"conv{rank}d")
    h = conv(p.input("x", shape), w, padding=1)
    g = p.sigmoid(p.mean(h, tuple(range(1, rank + 1)), keepdim=True))
    p.output(conv(p.silu(p.mul(h, g) if first else p.mul(g, h)), w, padding=1))
    program = p.compile()
    assert "multiply per channel" in str(program)

    def theirs(x, w):
        conv = getattr(F, f"conv{rank}d")
        h = conv(x, w, padding=1)
        return conv(F.silu(h * h.mean(tuple(range(2, rank + 2)), True).sigmoid()), w, padding=1)

    check(both(program, x), theirs, x, w)


UNARY = {
    "sqrt": torch.sqrt, "rsqrt": torch.rsqrt, "log": torch.log, "abs": torch.abs,
    "neg": torch.neg, "reciprocal": torch.reciprocal, "square": torch.square, "sin": torch.sin,
    "cos": torch.cos, "erf": torch.erf, "exp": torch.exp, "elu": F.elu, "selu": F.selu,
    "softplus": F.softplus, "mish": F.mish, "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish, "hardtanh": F.hardtanh,
}  # fmt: skip


@pytest.mark.parametrize("kind", UNARY)
def test_functions_of_one_number(isa, kind):
    x = np.concatenate([np.linspace(-30, 30, 3001), np.linspace(-2, 2, 1001)]).astype(np.float32)
    positive = kind in ("sqrt", "rsqrt", "log", "reciprocal")
    part = np.abs(x) + 0.05 if positive else x / 4 if kind == "exp" else x
    check(both(getattr(ek.nn, kind), part), UNARY[kind], part)
    special = np.array(
        [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-40, 88.9, -104.2, -3.0, 3.0], np.float32
    )
    want = UNARY[kind](torch.from_numpy(special)).numpy()
    with np.errstate(all="ignore"):
        same_specials(getattr(ek.nn, kind)(special), want)


def test_functions_with_parameters(isa):
    x = numbers(4, 7, 9, scale=3)
    check(ek.nn.clamp(x, -1, 2.5), lambda x: x.clamp(-1, 2.5), x)
    check(ek.nn.clamp(x, min=0.5), lambda x: x.clamp(min=0.5), x)
    check(ek.nn.elu(x, 0.3), lambda x: F.elu(x, 0.3), x)
    check(ek.nn.softplus(x, 2.0, 5.0), lambda x: F.softplus(x, 2.0, 5.0), x)
    for w in (numbers(1, seed=1), numbers(7, seed=1)):
        check(both(ek.nn.prelu, x, w), F.prelu, x, w)


# ---- shapes


def run_one(build, *arrays, shape=None):
    """A program of one call on a batch of two; what it gives for the second sample."""
    p = ek.nn.Program("p")
    p.output(build(p, *(p.input(f"x{i}", a.shape) for i, a in enumerate(arrays))))
    program = p.compile()
    pairs = tuple(np.stack([a + 1, a]) for a in arrays)
    got = program(pairs if len(pairs) > 1 else pairs[0], threads=1)
    again = program(pairs if len(pairs) > 1 else pairs[0], threads=2)
    assert np.array_equal(got, again)
    return got[1]


x345 = numbers(3, 4, 5)


@pytest.mark.parametrize(
    ("build", "want"),
    [
        (lambda p, x: p.permute(x, (2, 0, 1)), lambda x: x.transpose(2, 0, 1)),
        (lambda p, x: p.unsqueeze(x, -2), lambda x: x[:, :, None]),
        (lambda p, x: p.squeeze(p.unsqueeze(x, 0)), lambda x: x),
        (lambda p, x: p.flatten(x), lambda x: x.reshape(-1)),
        (lambda p, x: p.flatten(x, 1), lambda x: x.reshape(3, 20)),
        (lambda p, x: p.flatten(x, 0, 1), lambda x: x.reshape(12, 5)),
        (lambda p, x: p.slice(x, 1, 1, None, 2), lambda x: x[:, 1::2]),
        (lambda p, x: p.slice(x, -1, -3), lambda x: x[..., -3:]),
        (lambda p, x: p.select(x, -1, 1), lambda x: x[:, -1]),
        (lambda p, x: p.flip(x, (0, -1)), lambda x: x[::-1, :, ::-1]),
        (lambda p, x: p.roll(x, (1, -2), (0, 2)), lambda x: np.roll(x, (1, -2), (0, 2))),
        (lambda p, x: p.repeat(x, (2, 1, 1, 3)), lambda x: np.tile(x, (2, 1, 1, 3))),
        (lambda p, x: p.expand(p.unsqueeze(x, 1), (3, 6, -1, 5)),
         lambda x: np.broadcast_to(x[:, None], (3, 6, 4, 5))),
        (lambda p, x: p.index_select(x, 2, [4, 0, -1]), lambda x: x[..., [4, 0, -1]]),
        (lambda p, x: p.concat(p.split(x, (1, 3), 1)[::-1], 1),
         lambda x: np.concatenate([x[:, 1:], x[:, :1]], 1)),
        (lambda p, x: p.cat(p.chunk(p.slice(x, 2, 0, 4), 2, 2), 1),
         lambda x: np.concatenate([x[..., :2], x[..., 2:4]], 1)),
        (lambda p, x: p.stack([x, x], -1), lambda x: np.stack([x, x], -1)),
        (lambda p, x: p.concat([x] * 20, 1), lambda x: np.concatenate([x] * 20, 1)),
        (lambda p, x: p.add(x, p.constant(x345)), lambda x: x + x345),
    ],
)  # fmt: skip
def test_shapes(build, want):
    x = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    np.testing.assert_array_equal(run_one(build, x), want(x))


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("pad", [(2, 3), (0, 1, 3, 2), (4, 0, 0, 0)])
def test_pad(isa, mode, pad):
    x = numbers(2, 3, 6, 7)
    value = 1.5 if mode == "constant" else 0.0
    got = both(ek.nn.pad, x, pad, mode, value)
    full = pad if len(pad) == 4 or mode == "constant" else (*pad, 0, 0)
    check(got, lambda x: F.pad(x, full, mode, value), x)
    if mode == "constant":
        check(ek.nn.pad(x, (-2, 1), mode, value), lambda x: F.pad(x, (-2, 1), mode, value), x)


def test_numpy_functions_of_whole_arrays(isa):
    x, y = numbers(3, 4, 5), numbers(3, 2, 5, seed=1)
    np.testing.assert_array_equal(ek.nn.concat([x, y], 1), np.concatenate([x, y], 1))
    np.testing.assert_array_equal(ek.nn.stack([x, x], 2), np.stack([x, x], 2))
    np.testing.assert_array_equal(ek.nn.roll(x, 2, -1), np.roll(x, 2, -1))
    np.testing.assert_array_equal(ek.nn.flip(x, 0), x[::-1])
    out = np.empty((3, 6, 5), np.float32)
    assert ek.nn.cat([x, y], 1, out=out) is out
    check(both(ek.nn.log_softmax, 30 * x, 1), lambda x: F.log_softmax(30 * x, 1), x)


# ---- resizing and pools


@st.composite
def resize_cases(draw):
    mode = draw(st.sampled_from(["nearest", "nearest-exact", "linear", "bilinear", "bicubic"]))
    rank = 1 if mode == "linear" else 2 if mode.startswith("bi") else draw(st.integers(1, 2))
    size = [draw(st.integers(1, 17)) for _ in range(rank)]
    corners = draw(st.booleans()) and not mode.startswith("nearest")
    if draw(st.booleans()):
        return mode, size, [draw(st.integers(1, 40)) for _ in range(rank)], None, corners
    return mode, size, None, draw(st.sampled_from([0.5, 1.7, 2.0, 3.0, 2.25])), corners


def test_interpolate(isa):
    @grid
    @given(resize_cases())
    def run(case):
        mode, size, new, scale, corners = case
        if scale and min(size) * scale < 1:
            return
        x = numbers(2, 3, *size)
        align = None if mode.startswith("nearest") else corners
        got = both(ek.nn.interpolate, x, new, scale, mode, corners)
        check(got, lambda x: F.interpolate(x, new, scale, mode, align), x)

    run()


def test_adaptive_max_pools_and_padding_on_one_side(isa):
    x = numbers(2, 35, 13, 17)
    for size in ((1, 1), (3, 4), (13, 20)):
        check(
            both(ek.nn.adaptive_max_pool2d, x, size),
            lambda x, s=size: F.adaptive_max_pool2d(x, s),
            x,
        )
    check(ek.nn.adaptive_avg_pool2d(x, (None, 4)), lambda x: F.adaptive_avg_pool2d(x, (None, 4)), x)
    row = x[:, :, 0]
    check(both(ek.nn.adaptive_max_pool1d, row, 5), lambda x: F.adaptive_max_pool1d(x, 5), row)
    got = ek.nn.max_pool1d(row, 4, 3, ((2, 0),))
    check(got, lambda x: F.max_pool1d(F.pad(x, (2, 0), value=-torch.inf), 4, 3), row)
    got = ek.nn.avg_pool1d(row, 4, 3, ((1, 2),))
    check(got, lambda x: F.avg_pool1d(F.pad(x, (1, 2)), 4, 3), row)


# ---- embedding


@pytest.mark.parametrize("shape", [(), (5,), (2, 7), (0, 3)])
def test_embedding(shape):
    w = numbers(11, 6)
    ids = np.random.default_rng(1).integers(0, 11, shape)
    np.testing.assert_array_equal(ek.nn.embedding(ids, w), w[ids])
    np.testing.assert_array_equal(ek.nn.embedding(ids.astype(np.uint8), w), w[ids])


def test_ids_outside_the_table_are_named():
    w = numbers(11, 6)
    with pytest.raises(RangeError, match=r"embedding.*0\.\.10.*holds 11"):
        ek.nn.embedding([3, 11], w)
    with pytest.raises(RangeError, match="holds -1"):
        ek.nn.embedding([-1], w)
    with pytest.raises(TypeError, match="integers"):
        ek.nn.embedding([0.5], w)
    p = ek.nn.Program("text")
    p.output(p.sum(p.embedding(p.reshape(p.input("tokens", (4,)), (2, 2)), w, name="words"), 0))
    program = p.compile()
    assert program(np.zeros((3, 4), np.int64)).shape == (3, 2, 6)
    for bad, said in ((70000, "70000"), (0.5, "0.5"), (np.nan, "nan")):
        ids = np.zeros((3, 4))
        ids[2, 1] = bad
        with pytest.raises(RangeError, match=rf"text\.words.*'tokens' holds {said} at \(2, 1\)"):
            program(ids)


# ---- what does not fit


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: ek.nn.conv_transpose1d(x345, numbers(3, 2, 4)), WeightsError, "(4, cout / 1"),
        (lambda: ek.nn.conv_transpose1d(x345, numbers(4, 2, 3), output_padding=1), ValueError,
         "output_padding"),
        (lambda: ek.nn.conv_transpose1d(x345, numbers(4, 2, 1), padding=3), LayoutError, "lengths"),
        (lambda: ek.nn.group_norm(x345, 3), WeightsError, "3 groups"),
        (lambda: ek.nn.rms_norm(x345, numbers(4)), WeightsError, "wanted (5)"),
        (lambda: ek.nn.add(x345, numbers(3)), LayoutError, "(3, 4, 5) and (3,) do not broadcast"),
        (lambda: ek.nn.mean(x345, 3), LayoutError, "axes 3"),
        (lambda: ek.nn.concat([x345, x345[:1]], 1), LayoutError, "differ beside axis 1"),
        (lambda: ek.nn.pad(x345, (5, 0), "reflect"), LayoutError, "mode 'reflect'"),
        (lambda: ek.nn.pad(x345, (1,)), LayoutError, "(before, after)"),
        (lambda: ek.nn.pad(x345, (1, 1), "mirror"), ValueError, "'mirror'"),
        (lambda: ek.nn.interpolate(x345), ValueError, "size or scale_factor"),
        (lambda: ek.nn.interpolate(x345, 3, mode="cubic"), ValueError, "'cubic'"),
        (lambda: ek.nn.interpolate(x345, 3, mode="bilinear"), LayoutError, "'bilinear'"),
        (lambda: ek.nn.index_select(x345, 0, [3]), LayoutError, "outside axis 0"),
        (lambda: ek.nn.roll(x345, (1, 2), 0), LayoutError, "2 shifts"),
        (lambda: ek.nn.repeat(x345, (1, 2)), LayoutError, "repeats"),
        (lambda: ek.nn.prelu(x345, numbers(3)), LayoutError, "4 channels"),
        (lambda: ek.nn.softmax(x345, 3), LayoutError, "axis 3"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_a_typed_error(call, error, text):
    with pytest.raises(error) as caught:
        call()
    assert text in str(caught.value)
