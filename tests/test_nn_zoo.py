"""What is promised of every op, over one of each (``nn_zoo.py``)."""

import pickle

import numpy as np
import pytest
from nn_witness import check, same_specials, torch
from nn_zoo import ZOO

import ecgkit as ek

pytestmark = pytest.mark.torch
BATCHED = [n for n in ZOO if n.split(",")[0] not in ("mean", "sum", "var", "std", "max", "min")]


@pytest.mark.parametrize("name", ZOO)
def test_error_is_at_most_twice_pytorchs(isa, name):
    ours, theirs, arrays = ZOO[name]
    check(ours(*arrays), theirs, *arrays)


@pytest.mark.parametrize("name", ZOO)
def test_same_bits_for_any_thread_count(isa, name):
    ours, _, arrays = ZOO[name]
    want = ours(*arrays, threads=1)
    for threads in (2, 3):
        assert np.array_equal(ours(*arrays, threads=threads), want)


@pytest.mark.parametrize("name", BATCHED)
def test_same_bits_for_any_batch_size(isa, name):
    ours, _, (x, *weights) = ZOO[name]
    want = ours(x, *weights)
    for cut in (1, 2):
        parts = [ours(x[i : i + cut], *weights) for i in range(0, len(x), cut)]
        assert np.array_equal(np.concatenate(parts), want)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e-40])
@pytest.mark.parametrize("name", ZOO)
def test_special_numbers_go_where_pytorch_sends_them(name, bad):
    ours, theirs, (x, *weights) = ZOO[name]
    x = x.copy()
    x[0].reshape(-1)[[7, 400]] = bad
    x[-1, 3] = bad
    want = theirs(*(torch.from_numpy(a).double() for a in (x, *weights))).float().numpy()
    with np.errstate(all="ignore"):
        same_specials(ours(x, *weights), want)


def test_a_program_of_every_kind_of_layer_keeps_its_bits():
    p = ek.nn.Program("all")
    rng = np.random.default_rng(0)

    def w(*shape):
        return (0.2 * rng.normal(size=shape)).astype(np.float32)

    x = p.input("x", (20, 64))
    ids = p.input("ids", (5,))
    h = p.gelu(p.group_norm(p.conv1d(x, w(40, 20, 3), padding=1), 4))
    h = p.add(h, p.conv1d(h, w(40, 40, 3), padding=1))
    h = p.conv_transpose1d(p.max_pool1d(h, 2), w(40, 32, 4), None, 2, 1)
    h = p.add(p.transpose(p.pad(h, (1, 2), "reflect"), (1, 0)), w(1, 32))
    h = p.concat([h, p.embedding(ids, w(11, 32))], 0)
    h = p.layer_norm(p.softmax(h), w(32), w(32))
    p.output(p.linear(p.std(h, 0), w(6, 32)))
    program = p.compile()
    data = rng.normal(size=(7, 20, 64)).astype(np.float32), rng.integers(0, 11, (7, 5))
    want = program(data, threads=1)
    assert np.array_equal(program(data, threads=2), want)
    for i in range(7):
        one = program(tuple(a[i : i + 1] for a in data), threads=2)
        assert np.array_equal(one[0], want[i])
    assert np.array_equal(pickle.loads(pickle.dumps(program))(data), want)
    other = rng.normal(size=(2, 20, 90)).astype(np.float32), data[1][:2]
    assert np.array_equal(program(other, threads=1), program(other, threads=2))
