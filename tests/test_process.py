"""The pool inside a Python process: interruption, fork, affinity, shutdown, whoever holds it."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import ecgkit as ek
from ecgkit import _core

X = np.random.default_rng(0).normal(size=(64, 5000)).astype(np.float32)


def ended_well(child: int, seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


@pytest.fixture
def busy_pool():
    """Another thread owns the pool for as long as the test runs."""
    over = threading.Event()

    def keep():
        while not over.is_set():
            _core.spin(20, 2)

    thread = threading.Thread(target=keep)
    thread.start()
    time.sleep(0.05)
    yield
    over.set()
    thread.join()


def test_a_call_beside_the_owner_of_the_pool_has_the_same_bits(busy_pool):
    want = ek.signal.zscore(X, threads=1)
    for _ in range(20):
        assert np.array_equal(ek.signal.zscore(X, threads=2), want)


def test_ctrl_c_reaches_a_call_that_found_the_pool_taken(busy_pool):
    sent = []

    def interrupt():
        time.sleep(0.2)
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        _core.spin(60_000, 2)
    assert (
        time.monotonic() - sent[0] < 0.25
    )  # the owner shares this process's interpreter and cores


def test_fork_while_another_thread_owns_the_pool(busy_pool):
    want = ek.signal.zscore(X, threads=1)
    for _ in range(20):
        child = os.fork()
        if child == 0:
            os._exit(not np.array_equal(ek.signal.zscore(X, threads=2), want))
        assert ended_well(child)


def test_a_signal_handler_that_raises_ends_the_call_and_the_next_call_is_right():
    class Stop(Exception):
        pass

    def handler(*_):
        raise Stop

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(Stop):
            _core.spin(60_000, 2)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert np.array_equal(ek.signal.zscore(X, threads=2), ek.signal.zscore(X, threads=1))


def test_the_default_follows_the_affinity_of_the_process():
    cores = os.sched_getaffinity(0)
    before = ek.set_threads(None)
    try:
        os.sched_setaffinity(0, {min(cores)})
        assert ek.get_threads() == 1
        one = ek.signal.zscore(X)
    finally:
        os.sched_setaffinity(0, cores)
    assert ek.get_threads() == before
    assert np.array_equal(one, ek.signal.zscore(X))


@pytest.mark.parametrize("threads", [1, 2, 3, 16, 300, 10**6])
def test_more_threads_than_cores_give_the_same_bits(threads):
    assert np.array_equal(ek.signal.zscore(X, threads=threads), ek.signal.zscore(X, threads=1))


@pytest.mark.parametrize("daemon", [True, False])
def test_the_interpreter_ends_while_a_kernel_runs(daemon):
    code = f"""
import threading, time
from ecgkit import _core
threading.Thread(target=lambda: _core.spin(500, 2), daemon={daemon}).start()
time.sleep(0.1)
"""
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(ek.__file__).parents[1])},
    )
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing_workers_use_the_package(method):
    import multiprocessing

    want = ek.signal.zscore(X, threads=2)
    with multiprocessing.get_context(method).Pool(2) as pool:
        for got in pool.map(ek.signal.zscore, [X] * 6):
            assert np.array_equal(got, want)


def test_a_ticker_thread_runs_on_while_a_kernel_works():
    ticks = []
    over = threading.Event()

    def tick():
        while not over.is_set():
            ticks.append(time.monotonic())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    _core.spin(300, 1)
    over.set()
    thread.join()
    assert len(ticks) > 20  # the GIL is released: without that there is one tick
