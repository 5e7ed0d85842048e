"""Products of two tensors against NumPy in double."""

import numpy as np
import pytest

import ecgkit as ek

SHAPES = [
    ((3, 4), (4, 5)),
    ((1, 1), (1, 1)),
    ((2, 3, 17, 300), (2, 3, 300, 33)),
    ((5, 1, 7, 9), (6, 9, 4)),
    ((2, 1, 3, 1, 4, 5), (1, 3, 3, 2, 5, 6)),
    ((4, 33, 64), (64, 33)),
]


def pair(a, b, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(rng.standard_normal(s).astype(np.float32) for s in (a, b))


@pytest.mark.parametrize(("a", "b"), SHAPES)
def test_products_agree_with_numpy_in_double(isa, a, b):
    x, y = pair(a, b)
    got = ek.nn.matmul(x, y, threads=1)
    exact = x.astype(np.float64) @ y.astype(np.float64)
    bound = np.abs(x).astype(np.float64) @ np.abs(y).astype(np.float64)
    assert got.shape == exact.shape
    assert (np.abs(got - exact) <= 4e-6 * bound + 1e-30).all()
    np.testing.assert_array_equal(got, ek.nn.matmul(x, y, threads=2))


def test_strided_operands_and_out():
    x, y = pair((6, 8, 5), (6, 5, 14))
    into = np.empty((3, 8, 7), np.float32)
    got = ek.nn.matmul(x[::2], y[::2, :, ::2], out=into)
    assert got is into
    np.testing.assert_allclose(into, x[::2] @ y[::2, :, ::2], rtol=1e-5, atol=1e-5)


def test_a_batch_has_the_bits_of_its_samples():
    p = ek.nn.Program("products")
    a, b = p.input("a", (3, 12, 40)), p.input("b", (40, 9))
    p.output(p.matmul(a, b, name="scores"))
    program = p.compile()
    x, y = pair((5, 3, 12, 40), (5, 40, 9))
    whole = program((x, y), threads=2)
    for i in range(5):
        np.testing.assert_array_equal(program((x[i : i + 1], y[i : i + 1]), threads=1)[0], whole[i])
    assert program.macs == 3 * 12 * 40 * 9


def test_infinity_and_nan_stay_in_their_rows():
    x, y = pair((20, 30), (30, 10))
    x[3, 4], x[7, 0] = np.nan, np.inf
    got = ek.nn.matmul(x, y)
    assert np.isnan(got[3]).all()
    assert np.isinf(got[7]).all()
    assert np.isfinite(np.delete(got, (3, 7), axis=0)).all()


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ((3, 4), (5, 6), r"wanted \(..., m, k\)"),
        ((4,), (4, 5), r"wanted \(..., m, k\)"),
        ((2, 3, 4), (3, 4, 5), "do not broadcast"),
        ((0, 4), (4, 5), "empty axis"),
    ],
)
def test_shapes_that_do_not_fit(a, b, message):
    with pytest.raises(ek.LayoutError, match=message):
        ek.nn.matmul(np.zeros(a), np.zeros(b))
    with pytest.raises(ek.LayoutError, match="out must be"):
        ek.nn.matmul(np.zeros((2, 3)), np.zeros((3, 4)), out=np.zeros((2, 3), np.float32))
