"""The FFT plan cache: threads, bound, fork, wisdom."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import ecgkit as ek
from ecgkit.errors import FormatError

FREQS = np.geomspace(2, 40, 8)


def transform(t):
    x = np.random.default_rng(t).normal(size=(2, t))
    return ek.wavelet.cwt(x, fs=100, freqs=FREQS, pad="periodic", threads=1)


@pytest.fixture
def estimate():
    """Whatever the test sets, the process goes back to estimated plans."""
    yield
    ek.fft.effort("estimate")
    ek.fft.cache_clear()


def test_eight_threads_share_the_cache_and_get_the_same_bits():
    lengths = list(range(30, 130, 7))
    want = {t: transform(t) for t in lengths}
    wrong, start = [], threading.Barrier(8)

    def hammer(seed):
        start.wait()
        for t in np.random.default_rng(seed).permutation(lengths * 6):
            if seed == 0:
                ek.fft.cache_clear()
            if not np.array_equal(transform(int(t)), want[t]):
                wrong.append(t)

    crowd = [threading.Thread(target=hammer, args=(seed,)) for seed in range(8)]
    [t.start() for t in crowd]
    [t.join() for t in crowd]
    assert not wrong


def test_eight_threads_share_the_plans_of_stacked_scalograms(isa):
    windows = [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    x = np.random.default_rng(0).normal(size=(3, 200)).astype(np.float32)
    calls = [(w, width) for w in windows for width in (8, 16, 24, 32)]  # more than are kept

    def run(window, width):
        return ek.wavelet.stacked_scalogram(
            x, fs=100, window=window, freqs=FREQS, width=width, threads=1
        )

    want = {call: run(*call) for call in calls}
    wrong, start = [], threading.Barrier(8)

    def hammer(seed):
        start.wait()
        for i in np.random.default_rng(seed).permutation(len(calls)):
            if not np.array_equal(run(*calls[i]), want[calls[i]]):
                wrong.append(i)

    crowd = [threading.Thread(target=hammer, args=(seed,)) for seed in range(8)]
    [t.start() for t in crowd]
    [t.join() for t in crowd]
    assert not wrong


def test_the_cache_is_bounded_and_can_be_cleared():
    limit = ek.fft.cache_info()["limit"]
    for t in range(20, 20 + limit):
        transform(t)
    assert ek.fft.cache_info() == {"plans": limit, "limit": limit}
    ek.fft.cache_clear()
    assert ek.fft.cache_info()["plans"] == 0


def test_works_after_fork():
    x = np.random.default_rng(0).normal(size=(2, 300)).astype(np.float32)

    def stack(width):
        return ek.wavelet.stacked_scalogram(x, fs=100, freqs=FREQS, width=width, threads=2)

    want, picture = transform(77), stack(20)
    child = os.fork()
    if child == 0:
        ok = np.array_equal(transform(77), want) and transform(78).shape == (2, 8, 78)
        ok = ok and np.array_equal(stack(20), picture) and stack(21).shape == (3, 16, 21)
        os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_wisdom_goes_to_another_process(tmp_path, estimate):
    assert ek.fft.effort("measure") == "estimate"
    transform(96)
    path = tmp_path / "plans.wisdom"
    ek.fft.save_wisdom(path)
    assert ek.fft.effort("estimate") == "measure"
    assert list(tmp_path.iterdir()) == [path]
    code = (
        "import sys, numpy as np, ecgkit as ek; ek.fft.load_wisdom(sys.argv[1]);"
        "x = np.random.default_rng(96).normal(size=(2, 96));"
        "y = ek.wavelet.cwt(x, fs=100, freqs=np.geomspace(2, 40, 8), pad='periodic', threads=1);"
        "np.save(sys.argv[2], y)"
    )
    out = tmp_path / "y.npy"
    subprocess.run([sys.executable, "-c", code, path, out], check=True)
    np.testing.assert_allclose(np.load(out), transform(96), atol=1e-13)


@pytest.mark.parametrize("text", ["", "nonsense", "ecgkit FFTW wisdom float32\n(broken"])
def test_a_file_that_is_not_wisdom_is_refused(tmp_path, text):
    path = tmp_path / "bad.wisdom"
    path.write_text(text)
    with pytest.raises(FormatError, match=r"bad\.wisdom: not a wisdom file"):
        ek.fft.load_wisdom(path)


def test_damaged_wisdom_is_refused(tmp_path):
    path = tmp_path / "bad.wisdom"
    ek.fft.save_wisdom(path)
    path.write_text(path.read_text().replace("fftw", "ffth"))
    with pytest.raises(FormatError, match="FFTW does not accept the float32 wisdom"):
        ek.fft.load_wisdom(path)


def test_unknown_effort_is_refused():
    with pytest.raises(ValueError, match="'estimate' or 'measure', got 'patient'"):
        ek.fft.effort("patient")
    assert ek.fft.effort("estimate") == "estimate"


def test_show_config_names_fftw(capsys):
    ek.show_config()
    assert "fftw-3" in capsys.readouterr().out
