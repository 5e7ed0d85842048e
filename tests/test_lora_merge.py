"""lora.merge against the formula in double, and against what bfloat16 and float16 are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ecgkit as ek
from ecgkit.lora import merge, to_bfloat16, to_float32, unmerge

EPS = {"f4": 2.0**-24, "u2": 2.0**-8, "f2": 2.0**-11, "f8": 2.0**-53}
SUM = 2.0**-22  # of the size of the update: sums of r terms in float32


def stored(x, kind):
    """float64 values in a storage dtype; uint16 are the bits of bfloat16."""
    return to_bfloat16(x) if kind == "u2" else np.asarray(x, kind)


def value(x):
    return (to_float32(x) if x.dtype == np.uint16 else x).astype(np.float64)


def case(m, n, r, kind, seed=0, batch=()):
    rng = np.random.default_rng(seed)
    w = stored(rng.normal(0, 0.02, (*batch, m, n)), kind)
    a = rng.normal(0, 1, (*batch, r, n)).astype(np.float32)
    b = rng.normal(0, 0.01, (*batch, m, r)).astype(np.float32)
    return w, a, b


def check(got, w, a, b, scale, kind):
    """Within one rounding of the exact sum, and the float32 error of the product."""
    change = scale * (b.astype(np.float64) @ a.astype(np.float64))
    size = abs(scale) * (np.abs(b).astype(np.float64) @ np.abs(a).astype(np.float64))
    want = value(w) + change
    bound = EPS[kind] * np.abs(want) + (0 if kind == "f8" else SUM) * size + 2.0**-25
    assert got.dtype == w.dtype
    assert (np.abs(value(got) - want) <= bound).all()


@pytest.mark.parametrize("kind", ["f4", "u2", "f2", "f8"])
@pytest.mark.parametrize(
    ("m", "n", "r"), [(1, 1, 1), (3, 5, 2), (8, 48, 16), (9, 49, 7), (64, 200, 16), (17, 1000, 64)]
)
def test_is_the_formula_rounded_once(isa, kind, m, n, r):
    w, a, b = case(m, n, r, kind)
    check(merge(w, a, b, 0.75), w, a, b, 0.75, kind)


@settings(max_examples=60, deadline=None)
@given(
    m=st.integers(0, 40), n=st.integers(0, 120), r=st.integers(0, 20),
    kind=st.sampled_from(["f4", "u2", "f2"]), scale=st.floats(-4, 4), seed=st.integers(0, 99),
)  # fmt: skip
def test_any_size_and_scale(m, n, r, kind, scale, seed):
    w, a, b = case(m, n, r, kind, seed)
    for name in ek.simd.available():
        before = ek.simd.use(name)
        try:
            check(merge(w, a, b, scale), w, a, b, float(np.float32(scale)), kind)
        finally:
            ek.simd.use(before)


@pytest.mark.parametrize("kind", ["f4", "u2", "f2"])
def test_whole_tiles_and_edges_give_the_same_bits(isa, kind):
    w, a, b = case(40, 200, 16, kind)
    whole = merge(w, a, b, 0.5)
    for i, j in ((1, 1), (7, 47), (33, 150)):
        part = merge(w[i:, j:].copy(), a[:, j:], b[i:], 0.5)
        assert np.array_equal(part, whole[i:, j:])


@pytest.mark.parametrize("kind", ["f4", "u2", "f2", "f8"])
def test_out_may_be_w_and_threads_change_no_bit(isa, kind):
    w, a, b = case(700, 900, 16, kind)
    want = merge(w, a, b, 2.0, threads=1)
    assert np.array_equal(merge(w, a, b, 2.0, threads=2), want)
    assert merge(w, a, b, 2.0, out=w) is w
    assert np.array_equal(w, want)


@pytest.mark.parametrize("kind", ["f4", "u2", "f2"])
def test_several_adapters_are_summed_before_one_rounding(isa, kind):
    w, a, b = case(30, 100, 8, kind)
    _, c, d = case(30, 100, 3, kind, seed=1)
    got = merge(w, [a, c], [b, d], [0.5, -2.0])
    both_a, both_b = np.concatenate([a, c]), np.concatenate([0.5 * b, -2.0 * d], axis=1)
    check(got, w, both_a, both_b, 1.0, kind)
    assert np.array_equal(merge(w, [], [], []), w)


@settings(max_examples=60, deadline=None)
@given(
    m=st.integers(0, 40), n=st.integers(0, 120), r=st.integers(0, 20), seed=st.integers(0, 99),
    scale=st.sampled_from([1.0, 0.7, -3e-3]), size=st.sampled_from([0, -18, -30, -60]),
)  # fmt: skip
def test_factors_that_bfloat16_holds_give_the_bits_of_a_fused_sum(m, n, r, seed, scale, size):
    """AVX-512 takes them two steps at a time, AVX2 one."""
    rng = np.random.default_rng(seed)
    w, a, b = case(m, n, r, "u2", seed)
    a, b = to_float32(to_bfloat16(a)), to_float32(to_bfloat16(b)) * np.float32(2.0**size)
    a[rng.random(a.shape) < 0.2] = 0
    odd = rng.random(w.shape)
    w[odd < 0.2] &= 0x807F  # subnormal weights and zeros
    w[odd > 0.98] = 0x7FC1
    results = []
    for name in sorted(set(ek.simd.available()) - {"ref"}):
        before = ek.simd.use(name)
        try:
            results.append(merge(w, a, b, scale))
            again = w.copy()
            results.append(merge(again, a, b, scale, out=again, threads=2))
        finally:
            ek.simd.use(before)
    assert all(np.array_equal(results[0], x) for x in results[1:])


@pytest.mark.parametrize("value", [2.0**-130, 2.0**-62, np.inf, np.nan, 1 + 2.0**-20])
def test_factors_beyond_the_dot_products_take_the_other_path(isa, value):
    w, a, b = case(16, 64, 4, "u2")
    a, b = to_float32(to_bfloat16(a)), to_float32(to_bfloat16(b))
    w[:] = 0
    a[1], b[:, 1] = value, value if value > 2.0**-100 else 2.0**100
    with np.errstate(invalid="ignore", over="ignore"):
        want = b[:, 1:2].astype(np.float64) @ a[1:2].astype(np.float64)
        a[[0, 2, 3]] = 0
        got = to_float32(merge(w, a, b, 1.0))
        np.testing.assert_allclose(got, np.float32(want), rtol=2.0**-8, atol=2.0**-134)


def test_several_adapters_in_double():
    w, a, b = case(30, 100, 8, "f8")
    want = w + 0.5 * (b.astype(float) @ a) - 2.0 * (b.astype(float) @ a)
    np.testing.assert_allclose(merge(w, [a, a], [b, b], [0.5, -2.0]), want, rtol=1e-14, atol=1e-15)


def test_batch_axes(isa):
    w, a, b = case(20, 60, 4, "f4", batch=(2, 3))
    got = merge(w, a, b, 0.5)
    for at in np.ndindex(2, 3):
        assert np.array_equal(got[at], merge(w[at], a[at], b[at], 0.5))


def test_unmerge_takes_back_what_rounding_left(isa):
    w, a, b = case(50, 300, 16, "f4")
    np.testing.assert_allclose(unmerge(merge(w, a, b, 0.5), a, b, 0.5), w, atol=1e-7)
    w16 = to_bfloat16(w)
    back = to_float32(unmerge(merge(w16, a, b, 0.5), a, b, 0.5))
    assert np.abs(back - to_float32(w16)).max() <= 2.0**-8 * 0.3


def test_any_stride_and_factor_dtype(isa):
    w, a, b = case(20, 60, 4, "f4")
    want = merge(w, a, b, 0.5)
    wide = np.zeros((40, 120), np.float32)
    wide[::2, ::2] = w
    assert np.array_equal(merge(wide[::2, ::2], a.astype(np.float64), b[:, ::1], 0.5), want)
    b16 = to_bfloat16(b)
    assert np.array_equal(merge(w, a, b16, 0.5), merge(w, a, to_float32(b16), 0.5))


@pytest.mark.parametrize("kind", ["f4", "u2", "f2"])
def test_nan_and_infinity_stay_where_they_are(isa, kind):
    w, a, b = case(20, 100, 4, kind)
    w = value(w)
    w[3, 5], w[4, 6] = np.nan, np.inf
    w = stored(w, kind)
    got = value(merge(w, a, b, 0.5))
    assert np.isnan(got[3, 5])
    assert got[4, 6] == np.inf
    assert np.isfinite(got).sum() == got.size - 2
    a[2, 7] = np.nan
    got = value(merge(w, a, b, 0.5))
    assert np.isnan(got[:, 7]).all()
    assert np.isfinite(got).sum() == got.size - 2 - 20


def test_beyond_float16_is_infinite(isa):
    w = np.full((9, 50), 65504, np.float16)
    got = merge(w, np.ones((1, 50), np.float32), np.full((9, 1), 100, np.float32), 1.0)
    assert np.isinf(got).all()


def test_every_bfloat16_and_every_float16_survives_a_change_of_zero(isa):
    every = np.arange(1 << 16, dtype=np.uint16).reshape(256, 256)
    a, b = np.zeros((1, 256), np.float32), np.zeros((256, 1), np.float32)
    got = merge(every, a, b, 1.0)
    numbers = ~np.isnan(to_float32(every))
    zero = every == 0x8000  # -0 + 0 is 0
    assert np.array_equal(got[numbers & ~zero], every[numbers & ~zero])
    assert np.isnan(to_float32(got[~numbers])).all()
    half = every.view(np.float16)
    got = merge(half, a, b, 1.0)
    with np.errstate(invalid="ignore"):
        assert np.array_equal(got, half + np.float16(0), equal_nan=True)


def test_rounding_is_to_nearest_even_for_every_tie_and_its_neighbours(isa):
    """Halfway between any two neighbours, and one float32 step to either side."""
    h = np.arange(0x7F7F, dtype=np.uint32)
    mid = h << 16 | 0x8000
    bits = np.concatenate([mid - 1, mid, mid + 1])
    x = np.concatenate([bits, bits | 0x80000000]).view(np.float32)
    exact = (x.view(np.uint32).astype(np.uint64) + 0x7FFF + (x.view(np.uint32) >> 16 & 1)) >> 16
    w = np.ascontiguousarray(np.resize(x, (8, -(-len(x) // 8))))
    out = np.empty(w.shape, np.uint16)
    ek._core.lora_merge(w, (), out)
    assert np.array_equal(out.reshape(-1)[: len(x)], exact.astype(np.uint16))
    assert np.array_equal(to_bfloat16(x), exact.astype(np.uint16))
    f = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    middle = ((f[:-1].astype(np.float64) + f[1:]) / 2).astype(np.float32)
    x = np.concatenate([middle, np.nextafter(middle, 0), np.nextafter(middle, np.float32(1e9))])
    x = np.concatenate([x, -x, [65519.996, 65520, 1e30]]).astype(np.float32)
    w = np.ascontiguousarray(np.resize(x, (8, -(-len(x) // 8))))
    out = np.empty(w.shape, np.float16)
    ek._core.lora_merge(w, (), out)
    with np.errstate(over="ignore"):
        assert np.array_equal(out, w.astype(np.float16))


@pytest.mark.parametrize("kind", ["f4", "u2", "f2"])
@pytest.mark.parametrize("clamp", [False, True])
def test_statistics_are_those_of_the_result(isa, kind, clamp):
    w, a, b = case(37, 130, 16, kind)
    out, stats = np.empty_like(w), np.zeros(6)
    ek._core.lora_merge(w, ((a, b, 0.25),), out, clamp=clamp, stats=stats)
    assert np.array_equal(out, merge(w, a, b, 0.25))
    change = 0.25 * (b.astype(np.float64) @ a.astype(np.float64))
    made = value(out) - value(w)
    assert stats[0] == pytest.approx((change**2).sum(), rel=1e-5)
    assert stats[1] == pytest.approx((value(w) ** 2).sum(), rel=1e-5)
    assert stats[2] == pytest.approx(((made - change) ** 2).sum(), rel=2e-2, abs=1e-9)
    assert stats[3] == (made == 0).sum()
    assert list(stats[4:]) == [0, 0]
    again = np.zeros(6)
    ek._core.lora_merge(w, ((a, b, 0.25),), out, clamp=clamp, stats=again, threads=2)
    assert np.array_equal(again, stats)


def test_clamp_counts_and_bounds(isa):
    w = np.zeros((5, 70), np.float16)
    b, stats = np.array([[7e4], [-7e4], [1.0], [np.inf], [65504.0]], np.float32), np.zeros(6)
    out = np.empty_like(w)
    ek._core.lora_merge(w, ((np.ones((1, 70), np.float32), b, 1.0),), out, clamp=True, stats=stats)
    assert out[:, 3].tolist() == [65504, -65504, 1, np.inf, 65504]
    assert list(stats[4:]) == [70, 140]


def test_gains_multiply_the_sum(isa):
    w, a, b = case(20, 101, 4, "f4")
    rng = np.random.default_rng(3)
    row, col = rng.random(20).astype(np.float32), rng.random(101).astype(np.float32)
    plain = merge(w, a, b, 0.5)
    out = np.empty_like(w)
    ek._core.lora_merge(w, ((a, b, 0.5),), out, row_gain=row)
    assert np.array_equal(out, plain * row[:, None])
    ek._core.lora_merge(w, ((a, b, 0.5),), out, col_gain=col)
    assert np.array_equal(out, plain * col)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"w": np.zeros((3, 4), np.int32)}, TypeError),
        ({"w": np.zeros(4, np.float32)}, ek.LayoutError),
        ({"a": np.zeros((2, 5), np.float32)}, ek.LayoutError),
        ({"b": np.zeros((3, 1), np.float32)}, ek.LayoutError),
        ({"b": np.zeros((4, 2), np.float32)}, ek.LayoutError),
        ({"a": [np.zeros((2, 4), np.float32)] * 2}, ek.LayoutError),
        ({"scale": float("nan")}, ValueError),
        ({"out": np.zeros((3, 4), np.float16)}, ek.LayoutError),
        ({"out": np.zeros((4, 3), np.float32).T}, ek.LayoutError),
    ],
)
def test_what_does_not_fit_is_refused(change, error):
    good = {
        "w": np.zeros((3, 4), np.float32),
        "a": np.zeros((2, 4), np.float32),
        "b": np.zeros((3, 2), np.float32),
        "scale": 1.0,
    }
    with pytest.raises(error, match="merge"):
        merge(**(good | change))


def test_out_may_not_be_a_factor():
    w = np.zeros((4, 4), np.float32)
    a = np.ones((4, 4), np.float32)
    with pytest.raises(ValueError, match="shares memory"):
        merge(w, a, np.ones((4, 4), np.float32), 1.0, out=a)
