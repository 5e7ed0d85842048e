"""proto.push against the paper's loop."""

import numpy as np
import pytest

import ecgkit as ek
from ecgkit.proto import push, similarity


def case(n=50, d=6, t=30, p=8, w=5, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.random((n, d, t)).astype(np.float32)
    v = rng.random((p, d, w)).astype(np.float32)
    labels = rng.random((n, classes)) < 0.3
    member = np.zeros((p, classes), bool)
    member[np.arange(p), np.arange(p) % classes] = True
    return x, v, labels, member


def loop(x, v, labels, member):
    """push.py of the paper, in double: record by record, strict >."""
    w, best = v.shape[2], np.full(len(v), -np.inf)
    where = np.full((len(v), 2), -1)
    for i, record in enumerate(x.astype(np.float64)):
        for q, proto in enumerate(v.astype(np.float64)):
            if not (labels[i] & member[q]).any():
                continue
            for s in range(record.shape[1] - w + 1):
                piece = record[:, s : s + w]
                score = (piece * proto).sum() / np.sqrt((piece**2).sum() * (proto**2).sum())
                if score > best[q]:
                    best[q], where[q] = score, (i, s)
    return best, where


def batches(x, labels, size):
    for i in range(0, len(x), size):
        yield x[i : i + size], labels[i : i + size]


@pytest.mark.parametrize("size", [1, 7, 20, 50])
def test_is_the_loop_of_the_paper_however_records_are_batched(size):
    x, v, labels, member = case()
    best, where = loop(x, v, labels, member)
    got = push(batches(x, labels, size), v, classes=member)
    np.testing.assert_allclose(got.score, best, rtol=1e-12)
    assert np.array_equal(np.stack([got.record, got.window], 1), where)
    for q, (i, s) in enumerate(where):
        assert np.array_equal(got.prototypes[q], x[i, :, s : s + 5])
    assert got.seen == 50


@pytest.mark.parametrize("size", [1, 9, 40])
def test_of_equal_records_the_first_wins(size):
    x, v, *_ = case(10)
    x = np.tile(x, (4, 1, 1))
    got = push([x[i : i + size] for i in range(0, 40, size)], v)
    assert (got.record < 10).all()


def test_a_prototype_without_records_becomes_zero():
    x, v, labels, member = case()
    labels[:, 1] = False
    got = push(batches(x, labels, 8), v, classes=member)
    none = member[:, 1]
    assert (got.prototypes[none] == 0).all()
    assert (got.record[none] == -1).all()
    assert (got.record[~none] >= 0).all()


@pytest.mark.parametrize("metric", ["l2", "l2_log"])
def test_distances_find_a_planted_piece(metric):
    x, v, *_ = case()
    x[33, :, 11:16] = v[2]
    got = push([x[:20], x[20:]], v, metric=metric)
    assert (got.record[2], got.window[2]) == (33, 11)
    top = similarity(x, v, metric=metric, pool="max").max(0)
    np.testing.assert_allclose(got.score, top, rtol=1e-5, atol=1e-5)


def test_whole_records_without_time():
    x, v, *_ = case(t=1, w=1)
    got = push([x[:, :, 0]], v[:, :, 0])
    assert got.prototypes.shape == (8, 6)
    assert np.array_equal(got.record, similarity(x[:, :, 0], v[:, :, 0]).argmax(0))


def test_nan_records_are_passed_over():
    x, v, *_ = case()
    x[:10] = np.nan
    assert (push([x], v).record >= 10).all()
    assert (push([x[:10]], v).record == -1).all()


@pytest.mark.parametrize("by_function", [False, True])
@pytest.mark.parametrize("stop", [1, 3, 6])
def test_an_interrupted_pass_goes_on(tmp_path, stop, by_function):
    x, v, labels, member = case()
    want = push(batches(x, labels, 7), v, classes=member)
    state, computed = tmp_path / "push.safetensors", []

    def stream(start, end=None):
        for k, i in enumerate(range(start, 50, 7)):
            if k == end:
                raise KeyboardInterrupt
            computed.append(i)
            yield x[i : i + 7], labels[i : i + 7]

    with pytest.raises(KeyboardInterrupt):
        push(stream(0, stop), v, classes=member, state=state)
    assert state.exists()
    got = push(stream if by_function else stream(0), v, classes=member, state=state)
    for name in ("prototypes", "record", "window", "score", "seen"):
        assert np.array_equal(getattr(got, name), getattr(want, name))
    assert not state.exists()
    if by_function:
        assert computed == list(range(0, 50, 7))


def test_the_state_of_another_pass_is_refused(tmp_path):
    x, v, *_ = case()
    state = tmp_path / "push.safetensors"

    def broken():
        yield x
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        push(broken(), v, state=state)
    with pytest.raises(ek.OutputError, match="another pass"):
        push([x], v + 1, state=state)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"prototypes": np.ones(3)}, "prototypes"),
        ({"classes": np.ones((3, 4))}, "classes"),
        ({"batches": [np.ones((2, 6, 30))], "classes": np.ones((8, 4))}, "labels"),
        ({"batches": [np.ones((2, 6, 3))]}, "longer"),
        ({"batches": [np.ones((2, 5, 30))]}, "channels"),
    ],
)
def test_what_does_not_fit_is_refused(change, text):
    x, v, *_ = case()
    with pytest.raises(ek.LayoutError, match=text):
        push(**({"batches": [x], "prototypes": v} | change))
