"""Frechet distance of curves: the recursion's bits on every instruction set, in every mode."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ecgkit as ek
from ecgkit.metrics import frechet_coupling, frechet_curve


def recursion(p, q, scale=None, band=None):
    """Eiter and Mannila's table, in the type of the curves."""
    n, m = len(p), len(q)
    c = np.full((n + 1, m + 1), np.inf)
    c[0, 0] = 0
    for i in range(n):
        for j in range(m):
            if band is not None and abs(i - j) > band:
                continue
            y = p[i] - q[j]
            if scale is None:
                d = abs(y)
            else:
                t = (p.dtype.type(i) - p.dtype.type(j)) * p.dtype.type(scale)
                d = t * t + y * y
            c[i + 1, j + 1] = max(d, min(c[i, j + 1], c[i + 1, j], c[i, j]))
    return c[n, m] if scale is None else p.dtype.type(np.sqrt(c[n, m]))


def curves(n, m, seed, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return rng.normal(size=n).astype(dtype), rng.normal(size=m).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 50), m=st.integers(1, 50), seed=st.integers(0, 2**31))
def test_every_variant_gives_the_bits_of_the_recursion(dtype, n, m, seed):
    p, q = curves(n, m, seed, dtype)
    band = abs(n - m) + seed % 9
    for isa in ek.simd.available():
        before = ek.simd.use(isa)
        try:
            assert frechet_curve(p, q) == recursion(p, q)
            assert frechet_curve(p, q, mode="plane", time_scale=0.25) == recursion(p, q, 0.25)
            assert frechet_curve(p, q, band=band) == recursion(p, q, band=band)
            assert frechet_curve(p, q, band=band, mode="plane") == recursion(p, q, 1.0, band)
        finally:
            ek.simd.use(before)


def test_golden_values(isa):
    assert frechet_curve([0, 1, 2, 1, 0], [0, 1.5, 0.5, 0]) == 0.5
    t = np.arange(64)
    a, b = np.sin(2 * np.pi * t / 16), 0.8 * np.sin(2 * np.pi * t / 16 + 0.5)
    assert frechet_curve(a, b) == pytest.approx(0.46835954077442277, rel=1e-15)
    assert frechet_curve(a, b, mode="plane") == pytest.approx(0.481875156272387, rel=1e-15)


def test_properties(isa):
    p, q = curves(300, 300, 0)
    d = frechet_curve(p, q)
    assert d == frechet_curve(q, p)
    assert d <= np.abs(p - q).max()
    assert d >= max(abs(p[0] - q[0]), abs(p[-1] - q[-1]), abs(p.max() - q.max()))
    assert frechet_curve(p, np.repeat(p, 3)) == 0
    assert d <= frechet_curve(p, q, band=3) <= frechet_curve(p, q, band=0)
    assert frechet_curve(p, q, band=0) == np.abs(p - q).max()


@pytest.mark.parametrize("mode", ["amplitude", "plane"])
def test_a_limit_only_cuts_what_is_above_it(isa, mode):
    p, q = curves(900, 700, 1)
    q[-300:] += 4
    d = frechet_curve(p, q, mode=mode)
    assert frechet_curve(p, q, mode=mode, limit=d * 1.001) == d
    for limit in (0.0, d / 2, d * 0.999):
        assert frechet_curve(p, q, mode=mode, limit=limit) == np.inf


def test_batches_broadcast_and_threads_agree(isa):
    rng = np.random.default_rng(0)
    p, q = rng.normal(size=(3, 1, 40)), rng.normal(size=(5, 30))
    got = frechet_curve(p, q, threads=2)
    assert got.shape == (3, 5)
    assert all(got[i, j] == frechet_curve(p[i, 0], q[j]) for i in range(3) for j in range(5))
    assert np.array_equal(got, frechet_curve(p, q, threads=1))
    out = np.empty((3, 5))
    assert frechet_curve(p, q, out=out) is out
    assert np.array_equal(out, got)
    assert frechet_curve(np.empty((0, 4)), np.empty(4)).shape == (0,)


def test_strides_types_and_the_input_stay(isa):
    x = np.arange(60, dtype=np.int16)[::-3] % 7
    want = frechet_curve(x.astype(np.float32), np.zeros(5, np.float32))
    assert frechet_curve(x, np.zeros(5, np.float32)) == want
    assert isinstance(want, float)
    assert frechet_curve(np.ones((2, 3), np.float32), [[1], [2]]).dtype == np.float32


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_spoils_its_pair_alone(isa, bad):
    p, q = np.zeros((3, 20)), np.ones(20)
    p[1, 7] = bad
    got = frechet_curve(p, q)
    assert np.isnan(got[1])
    assert got[[0, 2]].tolist() == [1, 1]


def test_memory_grows_with_the_length_not_its_square():
    p, q = curves(60_000, 400, 0, np.float32)
    import resource

    frechet_curve(p[:100], q)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    frechet_curve(p, q)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8_000  # KiB


def test_a_coupling_reaches_the_distance():
    for mode in ("amplitude", "plane"):
        p, q = curves(80, 95, 3)
        got = frechet_coupling(p, q, mode=mode, time_scale=0.1)
        assert got.distance == pytest.approx(
            frechet_curve(p, q, mode=mode, time_scale=0.1), rel=1e-12
        )
        steps = np.diff(got.path, axis=0)
        assert set(map(tuple, steps.tolist())) <= {(0, 1), (1, 0), (1, 1)}
        assert got.path[0].tolist() == [0, 0]
        assert got.path[-1].tolist() == [79, 94]


def test_what_cannot_be_is_refused():
    p, q = curves(10, 5, 0)
    with pytest.raises(ek.MetricError, match="band must be at least"):
        frechet_curve(p, q, band=4)
    with pytest.raises(ek.LayoutError, match="samples"):
        frechet_curve(p, q[:0])
    with pytest.raises(ek.LayoutError, match="broadcast"):
        frechet_curve(np.zeros((2, 4)), np.zeros((3, 4)))
    with pytest.raises(ek.LayoutError, match="out must be"):
        frechet_curve(np.zeros((2, 4)), np.zeros(4), out=np.empty(3))
    with pytest.raises(TypeError, match="real numbers"):
        frechet_curve(p.astype(complex), q)
    with pytest.raises(ValueError, match="mode"):
        frechet_curve(p, q, mode="time")
    with pytest.raises(ek.MetricError, match="time_scale"):
        frechet_curve(p, q, mode="plane", time_scale=-1)
    with pytest.raises(ek.MetricError, match="NaN"):
        frechet_coupling([np.nan], [1.0])


def test_ctrl_c_stops_a_long_walk():
    import signal
    import threading

    p, q = curves(150_000, 150_000, 0)
    timer = threading.Timer(0.2, signal.raise_signal, [signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        frechet_curve(p, q)
    timer.join()
