"""proto.similarity against the formula in double, by both ways to compute it."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ecgkit as ek
from ecgkit import _core
from ecgkit.proto import similarity

COSINE = 2e-6  # products of spectra in float32; 5e-7 where products are direct


def oracle(x, v, metric="cosine", eps=0.0):
    """(n, p, windows) in double."""
    x, v = np.asarray(x, np.float64), np.asarray(v, np.float64)
    s = np.lib.stride_tricks.sliding_window_view(x, v.shape[2], axis=2)
    if metric == "cosine":
        dot = np.einsum("ndsw,pdw->nps", s, v, optimize=True)
        norm = np.sqrt(np.einsum("ndsw,ndsw->ns", s, s) + eps)[:, None]
        norm = norm * np.sqrt((v**2).sum((1, 2)) + eps)[:, None]
        return np.divide(dot, norm, out=np.zeros_like(dot), where=norm != 0)
    distance = np.sqrt(((s[:, None] - v[None, :, :, None]) ** 2).sum((2, 4)))
    return -distance if metric == "l2" else np.log((distance + 1) / (distance + 1e-4))


def case(n=3, d=7, t=40, p=5, w=4, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    return (
        rng.normal(shift, 1, (n, d, t)).astype(np.float32),
        rng.normal(shift, 1, (p, d, w)).astype(np.float32),
    )


@pytest.mark.parametrize("metric", ["cosine", "l2", "l2_log"])
@pytest.mark.parametrize("n", [1, 3, 20, 70])
@pytest.mark.parametrize(("d", "t", "p", "w"), [(1, 5, 1, 5), (7, 40, 5, 11), (33, 90, 70, 12)])
def test_is_the_formula(metric, n, d, t, p, w):
    x, v = case(n, d, t, p, w)
    want = oracle(x, v, metric)
    np.testing.assert_allclose(
        similarity(x, v, metric=metric), want, atol=COSINE if metric == "cosine" else 2e-5
    )
    reference = _core.proto_similarity_ref(x, v, metric)
    np.testing.assert_allclose(reference, want, atol=1e-7, rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(0, 20), d=st.integers(1, 9), t=st.integers(1, 50), p=st.integers(0, 70),
    w=st.integers(1, 12), metric=st.sampled_from(["cosine", "l2"]), seed=st.integers(0, 50),
)  # fmt: skip
def test_any_size(n, d, t, p, w, metric, seed):
    w = min(w, t)
    x, v = case(n, d, t, p, w, seed)
    got = similarity(x, v, metric=metric)
    np.testing.assert_allclose(got, oracle(x, v, metric), atol=2e-5)


@pytest.mark.parametrize("n", [3, 20])
def test_pools_and_the_first_of_equal_windows(n):
    x, v = case(n, w=11)
    x[:, :, 20:] = x[:, :, :20]  # every window comes twice, but for those across the seam
    full = similarity(x, v)
    mean, at = similarity(x, v, pool="mean", return_index=True)
    np.testing.assert_allclose(mean, full.mean(-1, dtype=np.float64), atol=1e-6)
    top, best = similarity(x, v, pool="max", return_index=True)
    assert np.array_equal(top, full.max(-1))
    assert np.array_equal(best, full.argmax(-1))
    assert np.array_equal(at, best)
    five = similarity(x, v, pool="topk", k=5)
    np.testing.assert_allclose(five, np.sort(full, -1)[..., -5:].mean(-1), atol=1e-6)
    everything = similarity(x, v, pool="topk", k=10**6)
    np.testing.assert_allclose(everything, mean, atol=1e-6)
    ones = np.ones((n, 7, 40), np.float32)
    assert (similarity(ones, ones[:2, :, :1], pool="max", return_index=True)[1] == 0).all()


@pytest.mark.parametrize("n", [2, 20])
def test_near_zero_distances_are_computed_from_differences(n):
    x, v = case(n, d=16, t=60, p=3, w=11, shift=100.0)
    v[0] = x[0, :, 7:18]
    v[1] = x[0, :, 20:31] + np.float32(1e-3)
    got, at = similarity(x, v, metric="l2", pool="max", return_index=True)
    assert got[0, 0] == 0
    assert at[0, 0] == 7
    assert at[0, 1] == 20
    want = oracle(x[:1], v[1:2], "l2").max()
    assert got[0, 1] == pytest.approx(want, rel=1e-6)


def test_vectors_of_records_without_time():
    rng = np.random.default_rng(0)
    x, v = rng.normal(size=(40, 30)), rng.normal(size=(9, 30))
    want = (x / np.linalg.norm(x, axis=1, keepdims=True)) @ (
        v / np.linalg.norm(v, axis=1, keepdims=True)
    ).T
    np.testing.assert_allclose(similarity(x, v), want, atol=5e-7)
    assert np.array_equal(similarity(x, v, pool="max"), similarity(x, v))
    moving = rng.normal(size=(4, 30, 6))
    np.testing.assert_allclose(similarity(moving, v), oracle(moving, v[..., None]), atol=5e-7)


def test_zero_windows_and_zero_prototypes_score_zero():
    x, v = case(20, w=11)
    x[2, :, 3:20] = 0
    v[1] = 0
    got = similarity(x, v)
    assert (got[:, 1] == 0).all()
    assert (got[2, :, 3:10] == 0).all()
    assert np.isfinite(got).all()


@pytest.mark.parametrize("n", [3, 20])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_windows(n, bad):
    x, v = case(n, w=11)
    want = similarity(x, v)
    x[1, 2, 30] = bad
    got = similarity(x, v)
    touched = np.zeros(got.shape, bool)
    touched[1, :, 20:30] = True
    assert np.isnan(got[touched]).all()
    np.testing.assert_allclose(got[~touched], want[~touched], atol=COSINE)
    top, at = similarity(x, v, pool="max", return_index=True)
    assert np.isnan(top[1]).all()
    assert (at[1] == 20).all()
    for pool in ("mean", "topk"):
        assert np.isnan(similarity(x, v, pool=pool)[1]).all()
        assert np.isfinite(np.delete(similarity(x, v, pool=pool), 1, 0)).all()


def test_the_constant_of_protoecgnet():
    """Its forward pass in NumPy: 2-D branches, windows of 3, square root of squares + 1e-4."""
    rng = np.random.default_rng(0)
    f, v = rng.random((2, 512, 32)).astype(np.float32), rng.random((6, 512, 3)).astype(np.float32)
    want = np.empty((2, 6, 30))
    for i in range(30):
        s = f[:, :, i : i + 3].reshape(2, -1).astype(np.float64)
        q = v.reshape(6, -1).astype(np.float64)
        norm = np.sqrt((s**2).sum(1) + 1e-4)[:, None] * np.sqrt((q**2).sum(1) + 1e-4)
        want[:, :, i] = 13 * (s @ q.T) / norm
    np.testing.assert_allclose(13 * similarity(f, v, eps=1e-4, window=3), want, atol=2e-5)


@pytest.mark.parametrize("n", [3, 20])
@pytest.mark.parametrize("pool", [None, "mean", "max", "topk"])
def test_same_bits_for_any_thread_count_and_into_out(n, pool):
    x, v = case(n, d=30, t=100, p=90, w=11)
    want = similarity(x, v, pool=pool, threads=1)
    assert np.array_equal(similarity(x, v, pool=pool, threads=2), want)
    out = np.empty_like(want)
    got = similarity(x, v, pool=pool, out=out)
    assert np.shares_memory(got, out)
    assert np.array_equal(out, want)
    assert np.array_equal(similarity(x[::-1], v, pool=pool)[::-1], want)


def test_products_stay_on_one_thread_each_whatever_the_process_was_told():
    """Two threads that multiply on two threads each wait for one another."""
    threadpoolctl = pytest.importorskip("threadpoolctl")
    rng = np.random.default_rng(5)
    x, v = rng.normal(size=(20, 16, 40)), rng.normal(size=(9, 16, 7))
    want = similarity(x, v, pool="max", threads=2)
    with threadpoolctl.threadpool_limits(2, "blas"):
        assert np.array_equal(similarity(x, v, pool="max", threads=2), want)
        ours = [
            i["num_threads"] for i in threadpoolctl.threadpool_info() if "ecgkit" in i["filepath"]
        ]
        assert all(n == 1 for n in ours)


def test_changed_prototypes_are_seen():
    x, v = case(20, w=11)
    first = similarity(x, v)
    v[0] *= -1
    second = similarity(x, v)
    np.testing.assert_allclose(second[:, 0], -first[:, 0], atol=COSINE)
    v[0, 0, 0] = np.nan
    assert np.isnan(similarity(x, v)[:, 0]).all()


def test_eight_threads_share_the_kept_spectra():
    x, banks = case(20)[0], [case(20, w=11, seed=s)[1] for s in range(6)]
    want = [similarity(x, v, pool="max") for v in banks]
    wrong = []

    def work(k):
        for i in range(30):
            v = (k + i) % 6
            if not np.array_equal(similarity(x, banks[v], pool="max"), want[v]):
                wrong.append((k, i))

    workers = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
    from ecgkit.proto._similarity import _BANKS

    assert len(_BANKS.kept) <= _BANKS.MOST


@pytest.mark.parametrize(
    ("x", "v", "options", "error", "text"),
    [
        ((3, 4, 5), (2, 4, 6), {}, ek.LayoutError, "longer"),
        ((3, 4, 5), (2, 3, 2), {}, ek.LayoutError, "channels"),
        ((3, 4), (2, 4, 2), {}, ek.LayoutError, "features must be"),
        ((4,), (2, 4), {}, ek.LayoutError, "features must be"),
        ((3, 4, 5), (2, 4, 0), {}, ek.LayoutError, "channels"),
        ((3, 4, 5), (2, 4, 2), {"window": 3}, ek.LayoutError, "window is 3"),
        ((3, 4, 5), (2, 4, 2), {"metric": "dot"}, ValueError, "metric"),
        ((3, 4, 5), (2, 4, 2), {"pool": "min"}, ValueError, "pool"),
        ((3, 4, 5), (2, 4, 2), {"k": 0}, ValueError, "k must"),
        ((3, 4, 5), (2, 4, 2), {"eps": -1.0}, ValueError, "eps"),
        ((3, 4, 5), (2, 4, 2), {"return_index": True}, ValueError, "pool"),
        ((3, 4, 5), (2, 4, 2), {"out": np.zeros((3, 2), np.float32)}, ek.LayoutError, "out"),
    ],
)
def test_what_does_not_fit_is_refused(x, v, options, error, text):
    with pytest.raises(error, match=text):
        similarity(np.ones(x), np.ones(v), **options)


@pytest.mark.torch
def test_agrees_with_the_published_loop():
    torch = pytest.importorskip("torch")
    x, v = case(16, d=64, t=50, p=20, w=11)
    tx, tv = torch.from_numpy(x), torch.from_numpy(v).flatten(1)
    windows = [tx[:, :, i : i + 11].reshape(16, -1) for i in range(40)]
    want = torch.stack([-torch.cdist(w, tv) for w in windows], -1)
    np.testing.assert_allclose(similarity(x, v, metric="l2"), want.numpy(), atol=1e-4)
