"""What a program promises beside its numbers: lengths, memory, threads, copies, typed errors."""

import copy
import mmap
import multiprocessing
import pickle
import resource
import subprocess
import sys
import threading

import numpy as np
import pytest

import ecgkit as ek
from ecgkit.errors import LayoutError, WeightsError


def numbers(*shape, seed=0, scale=1.0):
    return (scale * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)


def network(time=256, position=False):
    """Convolutions, a gate, a transposed convolution, an LSTM and a head."""
    p = ek.nn.Program("net")
    x = p.input("x", (12, time))
    h = p.silu(p.conv1d(x, numbers(32, 12, 7, scale=0.1), padding=3, stride=2))
    h = p.batch_norm(h, None, None, np.zeros(32), np.ones(32), name="bn")
    h = p.mul(h, p.sigmoid(p.mean(h, -1, keepdim=True)))
    h = p.conv_transpose1d(h, numbers(32, 16, 4, scale=0.1), None, 2, 1)
    if position:
        h = p.add(h, numbers(16, time, seed=3), name="position")
    h = p.lstm(p.transpose(h, (1, 0)), lstm_weights(16, 20))
    p.output(p.linear(p.select(h, -1), numbers(5, 20)))
    return p.compile()


def lstm_weights(features, hidden):
    return {
        "weight_ih_l0": numbers(4 * hidden, features, seed=4, scale=0.2),
        "weight_hh_l0": numbers(4 * hidden, hidden, seed=5, scale=0.2),
    }


# ---- lengths


def test_other_lengths_run_where_every_layer_takes_them(isa):
    program = network(256)
    for time in (64, 100, 1000):
        x = numbers(3, 12, time)
        assert np.array_equal(program(x), network(time)(x))
        assert np.array_equal(pickle.loads(pickle.dumps(program))(x), program(x))
    assert program(numbers(3, 12, 64), taps=("bn",))["bn"].shape == (3, 32, 32)
    assert "MMAC" in str(program)


def test_programs_of_other_lengths_are_kept_and_bounded():
    program = network(64)
    for time in range(70, 90):
        program(numbers(1, 12, time))
    assert len(program._others) == 8
    kept = program._others[(12, 89),]
    program(numbers(2, 12, 89))
    assert program._others[(12, 89),] is kept


def test_a_network_that_cannot_take_a_length_says_which_layer_and_why():
    program = network(256, position=True)
    with pytest.raises(LayoutError, match=r"\(n, 12, 256\).*\(n, 12, 200\).*net\.position: shapes"):
        program(numbers(1, 12, 200))
    with pytest.raises(LayoutError, match=r"wanted|must have shape \(n, 12, 256\)"):
        program(numbers(1, 11, 256))
    with pytest.raises(LayoutError, match="must have shape"):
        program(np.zeros((1, 12, 0)))
    p = ek.nn.Program("cnn")
    p.output(p.conv1d(p.input("x", (2, 30)), numbers(3, 2, 9), name="first"))
    with pytest.raises(LayoutError, match=r"cnn\.first.*shorter than the kernel"):
        p.compile()(numbers(1, 2, 8))


def test_many_threads_ask_for_new_lengths_at_once():
    program, wrong = network(64), []
    want = {t: network(t)(numbers(2, 12, t)) for t in range(60, 72)}

    def hammer(seed):
        for t in np.random.default_rng(seed).permutation(list(want)):
            if not np.array_equal(program(numbers(2, 12, int(t))), want[t]):
                wrong.append(t)

    crowd = [threading.Thread(target=hammer, args=(i,)) for i in range(8)]
    [t.start() for t in crowd]
    [t.join() for t in crowd]
    assert not wrong


# ---- copies, processes, immutability


def test_copies_pickles_and_forks_give_the_same_bits():
    program, x = network(), numbers(3, 12, 256)
    want = program(x)
    for other in (copy.deepcopy(program), copy.copy(program), pickle.loads(pickle.dumps(program))):
        assert np.array_equal(other(x), want)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for got in pool.map(program, [x, x, x]):
            assert np.array_equal(got, want)


def test_weights_changed_after_the_description_change_nothing():
    w = numbers(4, 3, 5)
    p = ek.nn.Program("p")
    p.output(p.conv1d(p.input("x", (3, 20)), w))
    x = numbers(1, 3, 20)
    program = p.compile()
    want = program(x)
    w[:] = 0
    assert np.array_equal(program(x), want)
    assert np.array_equal(pickle.loads(pickle.dumps(program))(x), want)
    assert program(numbers(1, 3, 30)).any()


# ---- memory


def test_read_only_weights_are_taken_as_they_lie(tmp_path):
    path = tmp_path / "w.bin"
    numbers(40, 30, 5).tofile(path)
    with open(path, "rb") as file:
        held = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    w = np.frombuffer(held, np.float32).reshape(40, 30, 5)
    p = ek.nn.Program("p")
    p.output(p.conv1d(p.input("x", (30, 20)), w))
    assert np.shares_memory(p._nodes[1].weights["weight"], w)
    own = numbers(40, 30, 5)
    view = own[:]
    view.flags.writeable = False  # whoever holds `own` can still change it
    p = ek.nn.Program("p")
    p.output(p.conv1d(p.input("x", (30, 20)), view))
    assert not np.shares_memory(p._nodes[1].weights["weight"], own)


LOADED = """
import sys
import numpy as np
import ecgkit as ek
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
def describe(weights):
    p = ek.nn.Program("loaded")
    h = p.input("x", (100, 768))
    for name in sorted(weights):
        h = p.relu(p.linear(h, weights[name]))
    p.output(p.mean(h, 0))
    return p.compile()
x = np.ones((1, 100, 768), np.float32)
describe({"a": np.zeros((768, 768), np.float32)})(x)
before = resident()
program = describe(ek.weights.read(sys.argv[1], mmap=True))
program(x)
print(resident() - before, program.arena_nbytes)
"""


def test_a_loaded_network_takes_its_weights_once(tmp_path):
    path = tmp_path / "w.safetensors"
    weights = {f"w{i:02}": numbers(768, 768, seed=i, scale=0.02) for i in range(20)}
    ek.weights.save(path, weights)
    run = subprocess.run(
        [sys.executable, "-c", LOADED, str(path)], capture_output=True, text=True, check=True
    )
    grown, arena = map(int, run.stdout.split())
    assert grown <= 1.3 * sum(w.nbytes for w in weights.values()) + arena


@pytest.mark.parametrize("threads", [1, 2])
def test_calls_after_the_first_take_no_memory(threads):
    program, x = network(2000), numbers(8, 12, 2000)
    out = np.empty((8, 5), np.float32)
    for _ in range(3):
        program(x, out=out, threads=threads)
    rounds = []
    for _ in range(5):  # the interpreter may fault in one of them; a kernel's memory would in all
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(30):
            program(x, out=out, threads=threads)
        rounds.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    assert min(rounds) < 30


# ---- what does not fit


@pytest.mark.parametrize(
    ("build", "error", "text"),
    [
        (lambda p, x: p.conv1d(x, np.zeros((4, 2, 3)), name="a"), WeightsError, "net.a: weight"),
        (lambda p, x: p.reshape(x, (7, -1), name="a"), LayoutError, "net.a: (3, 20)"),
        (lambda p, x: p.repeat(x, (2**16, 2**16), name="a"), LayoutError, "at most 2147483647"),
        (lambda p, x: p.activation(x, "swoosh"), ValueError, "swoosh"),
        (lambda p, x: p.relu(np.zeros(3)), TypeError, "wanted a tensor"),
        (lambda p, x: p.relu(ek.nn.Program().input("y", (3,))), ValueError, "another program"),
        (lambda p, x: p.relu(x, name="x"), ValueError, "'x' is taken"),
        (lambda p, x: p.input("y", (3, 0)), LayoutError, "at least 1"),
        (lambda p, x: p.linear(x, np.zeros((3, 20)), np.zeros((4,)), name="a"), WeightsError,
         "net.a: bias has shape (4,), wanted (3)"),
        (lambda p, x: p.linear(x, np.array([["a"]])), WeightsError, "real numbers"),
    ],
)  # fmt: skip
def test_descriptions_that_do_not_fit_name_the_layer(build, error, text):
    p = ek.nn.Program("net")
    with pytest.raises(error) as caught:
        build(p, p.input("x", (3, 20)))
    assert text in str(caught.value)


def test_several_inputs_are_counted_and_named():
    p = ek.nn.Program("two")
    p.output(p.add(p.input("a", (3,)), p.input("b", (3,))))
    program = p.compile()
    one = np.ones((2, 3))
    assert np.array_equal(program({"a": one, "b": one}), program((one, one)))
    with pytest.raises(LayoutError, match="wanted 2 inputs"):
        program(one)
    with pytest.raises(LayoutError, match="b are missing"):
        program({"a": one})
    with pytest.raises(LayoutError, match=r"\[2, 1\] samples"):
        program((one, one[:1]))
