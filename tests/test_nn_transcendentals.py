"""The engine's transcendentals stay within their bounds on every instruction set; the table with
what was measured is docs/accuracy_transcendentals.md."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from transcendentals import BOUNDS, FUNCTIONS, measure, sample  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_transcendental_stays_within_its_bounds(isa, name):
    ours, theirs, least = FUNCTIONS[name]
    x = sample(16381)
    if name == "log":
        x = np.abs(x)
    want = theirs(torch.from_numpy(x).double()).numpy()
    ulp, error = measure(x, ours(x), want, least)
    assert ulp <= BOUNDS[name][0]
    assert error <= BOUNDS[name][1]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_values_are_those_of_the_function(isa, name):
    """NaN, infinities, zeros with their signs, denormals."""
    ours, theirs, _ = FUNCTIONS[name]
    x = np.array([np.nan, np.inf, 0.0, -0.0, 1e-40, -1e-40, 3e38, 200.0], np.float32)
    if name not in ("SiLU", "GELU", "GELU, tanh form", "log"):
        x = np.append(x, np.float32([-np.inf, -3e38, -200.0]))
    want = theirs(torch.from_numpy(x).double()).numpy()
    with np.errstate(over="ignore"):
        want = want.astype(np.float32)
    got = ours(x)
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-45)
    numbers = ~np.isnan(want)
    assert np.array_equal(np.signbit(got)[numbers], np.signbit(want)[numbers])


@pytest.mark.parametrize("name", ["SiLU", "GELU", "GELU, tanh form"])
def test_minus_infinity_is_what_pytorch_makes_of_it(isa, name):
    ours, theirs, _ = FUNCTIONS[name]
    x = np.float32([-np.inf])
    assert np.array_equal(ours(x), theirs(torch.from_numpy(x)).numpy(), equal_nan=True)
