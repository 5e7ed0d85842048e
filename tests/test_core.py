"""Threads, fork, Ctrl-C, instruction sets, import cost."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import ecgkit as ek
from ecgkit import _core


def test_thread_setting_is_kept_and_none_means_the_affinity_count():
    before = ek.get_threads()
    assert ek.set_threads(3) == 3
    assert ek.set_threads(None) == len(os.sched_getaffinity(0))
    ek.set_threads(before)


def test_simd_can_be_forced_and_unknown_names_are_refused(isa):
    assert ek.simd.active() == isa
    with pytest.raises(ValueError, match="sse9"):
        ek.simd.use("sse9")


def test_many_python_threads_share_the_pool():
    x = np.random.default_rng(0).normal(size=(64, 5000)).astype(np.float32)
    want = ek.signal.zscore(x, threads=1)
    wrong = []

    def hammer():
        for _ in range(50):
            if not np.array_equal(ek.signal.zscore(x), want):
                wrong.append(1)

    crowd = [threading.Thread(target=hammer) for _ in range(8)]
    [t.start() for t in crowd]
    [t.join() for t in crowd]
    assert not wrong


def test_works_after_fork():
    x = np.random.default_rng(0).normal(size=(64, 5000)).astype(np.float32)
    want = ek.signal.zscore(x, threads=2)
    child = os.fork()
    if child == 0:
        ok = np.array_equal(ek.signal.zscore(x, threads=2), want)
        os._exit(0 if ok else 1)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            assert os.waitstatus_to_exitcode(status) == 0
            return
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    pytest.fail("the child hung")


@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_ends_a_long_call_within_a_tenth_of_a_second(threads):
    def seconds_until_it_ends():
        sent = []

        def interrupt():
            time.sleep(0.2)
            sent.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            _core.spin(60_000, threads)
        return time.monotonic() - sent[0]

    # The best of three: another program may hold the core that the first one needs.
    assert min(seconds_until_it_ends() for _ in range(3)) < 0.1


def test_import_is_cheap_and_starts_no_thread():
    code = (
        "import time, os, numpy; n0 = len(os.listdir('/proc/self/task'));"
        "t = time.perf_counter(); import ecgkit;"
        "print(time.perf_counter() - t, len(os.listdir('/proc/self/task')) - n0)"
    )
    best = min(
        (subprocess.check_output([sys.executable, "-c", code]).split() for _ in range(3)),
        key=lambda r: float(r[0]),
    )
    assert float(best[0]) < 0.2
    assert best[1] == b"0"


def test_show_config_names_the_libraries(capsys):
    ek.show_config()
    text = capsys.readouterr().out
    assert "OpenBLAS" in text
    assert "simd in use" in text


def test_bad_environment_is_named():
    run = subprocess.run(
        [sys.executable, "-c", "import ecgkit"],
        capture_output=True,
        text=True,
        env={**os.environ, "ECGKIT_THREADS": "x"},
    )
    assert "ECGKIT_THREADS" in run.stderr
