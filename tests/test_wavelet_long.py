"""Long recordings in blocks: equal to the transform of the whole, no joint, constant memory."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import wavelet_oracle as oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

import ecgkit as ek
from ecgkit import _core
from ecgkit.errors import LayoutError, RateError

FS = 250
FREQS = np.geomspace(0.5, 60, 9)  # up to fs / 4: no row reaches Nyquist
WHOLE = 131_072
TOL_F32 = 2e-6  # of the largest coefficient, as for short signals
TOL_F64 = 3e-7  # the cut of the formula at 0 Hz, 3e-8 of the peak, seen from a block


def walk(shape, seed=0):
    x = lfilter([1], [1, -0.98], np.random.default_rng(seed).normal(size=shape))
    return x / abs(x).max()


def error(got, want):
    return abs(got - want).max() / abs(want).max()


def joined(blocks):
    blocks = list(blocks)
    assert [start for start, _ in blocks] == [0, *np.cumsum([y.shape[-1] for _, y in blocks])[:-1]]
    return np.concatenate([y for _, y in blocks], axis=-1)


@pytest.mark.parametrize("pad", ["reflect", "zero", "periodic"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_are_the_transform_of_the_whole(isa, dtype, pad):
    x = walk((2, 100_000)).astype(dtype)
    want = oracle.cwt(x, FS, FREQS, pad=pad)
    tolerance = TOL_F32 if dtype == np.float32 else TOL_F64
    assert error(ek.wavelet.cwt(x, fs=FS, freqs=FREQS, pad=pad), want) < tolerance
    got = joined(ek.wavelet.cwt_blocks(x, fs=FS, freqs=FREQS, pad=pad))
    assert got.dtype == (np.complex64 if dtype == np.float32 else np.complex128)
    assert error(got, want) < tolerance
    m = joined(ek.wavelet.scalogram_blocks(x, fs=FS, freqs=FREQS, pad=pad))
    assert m.dtype == dtype
    assert error(m, abs(want)) < tolerance


@pytest.mark.parametrize("pad", ["reflect", "zero", "periodic"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_plain_call_on_a_long_signal_has_the_bits_of_its_blocks(isa, dtype, pad):
    x = walk((2, WHOLE + 5001), 1).astype(dtype)
    y = ek.wavelet.cwt(x, fs=FS, freqs=FREQS[::3], pad=pad)
    assert np.array_equal(y, joined(ek.wavelet.cwt_blocks(x, fs=FS, freqs=FREQS[::3], pad=pad)))
    assert error(y, oracle.cwt(x, FS, FREQS[::3], pad=pad)) < TOL_F32
    for width in (None, 7, 999, 90_000):
        for power in (False, True):
            options = {"fs": FS, "freqs": FREQS[::3], "pad": pad, "power": power, "width": width}
            m = ek.wavelet.scalogram(x, **options)
            assert np.array_equal(m, joined(ek.wavelet.scalogram_blocks(x, **options)))
            size = abs(y) ** (2 if power else 1)
            want = size if width is None else oracle.resized(size, width)
            assert abs(m - want).max() < 1e-6 * want.max()


def test_no_joint_shows(isa):
    """A pure tone has constant magnitude: at every joint as elsewhere."""
    tone = np.cos(2 * np.pi * FREQS[4] * np.arange(300_000) / FS).astype(np.float32)
    step, length, left = _core.wavelet_block(float(FS), FREQS, 6.0, True)
    assert 2 * left + step in (length, length - 1)
    m = ek.wavelet.scalogram(tone, fs=FS, freqs=FREQS)[4, 5000:-5000]
    assert abs(m - 1).max() < 2e-5
    y = ek.wavelet.cwt(walk((300_000,), 2).astype(np.float32), fs=FS, freqs=FREQS)
    second = abs(np.diff(y, n=2, axis=-1))  # a step at a joint would stand out
    joints = np.arange(step, 300_000 - 3, step)
    near = (joints[:, None] + np.arange(-2, 1)).ravel()
    assert (second[:, near].max(axis=1) <= second.max(axis=1)).all()
    assert (second[:, near].mean(axis=1) < 4 * second.mean(axis=1)).all()


@given(
    seed=st.integers(0, 99),
    t=st.integers(2_000, 70_000),
    double=st.booleans(),
    pad=st.sampled_from(["reflect", "zero", "periodic"]),
    width=st.none() | st.integers(1, 3000),
)
@settings(max_examples=15, deadline=None)
def test_blocks_equal_the_plain_scalogram_for_any_length_and_width(seed, t, double, pad, width):
    x = np.random.default_rng(seed).normal(size=t).astype(np.float64 if double else np.float32)
    options = {"fs": FS, "freqs": FREQS[3:], "pad": pad, "width": width}
    got = joined(ek.wavelet.scalogram_blocks(x, **options))
    want = ek.wavelet.scalogram(x, **options)
    assert got.shape == want.shape
    assert abs(got - want).max() < 4e-6 * max(abs(want).max(), abs(x).max())


def test_rows_that_reach_nyquist_differ_only_by_what_lies_there():
    """Content up to 0.98 * fs/2 comes out as the formula says, whatever the frequency."""
    t = np.arange(WHOLE + 20_000) / FS
    x = sum(np.cos(2 * np.pi * f * t + f) for f in (3.0, 40.0, 90.0, 122.0))
    freqs = np.array([2.0, 60.0, 100.0, 124.0])
    got = ek.wavelet.cwt(x, fs=FS, freqs=freqs)[:, 10_000:-10_000]
    want = oracle.cwt(x, FS, freqs)[:, 10_000:-10_000]
    assert error(got, want) < 1e-3  # the tones' ends are 10,000 samples away, and broadband


def test_threads_and_strides_do_not_change_a_bit():
    x = walk((3, 2 * 70_000), 3).astype(np.float32)[::2]
    one = ek.wavelet.cwt(x, fs=FS, freqs=FREQS, threads=1)
    assert np.array_equal(one, ek.wavelet.cwt(x, fs=FS, freqs=FREQS, threads=2))
    blocks = ek.wavelet.cwt_blocks(x, fs=FS, freqs=FREQS, threads=2)
    assert np.array_equal(one, joined(blocks))


def test_what_is_not_finite_spoils_the_blocks_that_see_it():
    x = walk((2, 200_000), 4).astype(np.float32)
    want = ek.wavelet.cwt(x, fs=FS, freqs=FREQS)
    x[1, 150_000] = np.nan
    got = ek.wavelet.cwt(x, fs=FS, freqs=FREQS)
    assert np.array_equal(got[0], want[0])
    spoilt = np.isnan(got[1]).any(axis=0)
    assert spoilt[150_000]
    assert spoilt.sum() <= 2 * 33_000
    assert np.array_equal(got[1][:, ~spoilt], want[1][:, ~spoilt])


class Slices:
    """A dataset that must never be asked for much at once."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def __getitem__(self, key):
        part = self.array[key]
        assert part.shape[-1] < 50_000
        return part


def test_datasets_are_read_by_slices(tmp_path):
    x = (1000 * walk((2, 200_000), 5)).astype(np.int16)
    want = ek.wavelet.cwt(x, fs=FS, freqs=FREQS)
    assert np.array_equal(joined(ek.wavelet.cwt_blocks(Slices(x), fs=FS, freqs=FREQS)), want)
    x.tofile(tmp_path / "x.dat")
    mapped = np.memmap(tmp_path / "x.dat", np.int16, mode="r", shape=x.shape)
    assert np.array_equal(joined(ek.wavelet.cwt_blocks(mapped, fs=FS, freqs=FREQS)), want)


def run(code, *arguments, **options):
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], **options)


HOLTER = """
import sys
import numpy as np
import ecgkit as ek
hours, leads = float(sys.argv[1]), int(sys.argv[2])
t = int(hours * 3600 * 250)
x = np.memmap(sys.argv[3], np.int16, mode="w+", shape=(leads, t))
x[:] = (200 * np.sin(np.arange(t) * 0.05)).astype(np.int16)
x.flush()
x = np.memmap(sys.argv[3], np.int16, mode="r", shape=(leads, t))
seen = 0
for start, y in ek.wavelet.cwt_blocks(x, fs=250, freqs=np.geomspace(0.5, 100, 64)):
    seen += y.shape[-1]
    if start > 40 * 25000:
        break
ek.wavelet.write_scalogram(sys.argv[4], x, fs=250, freqs=np.geomspace(0.5, 100, 64), width=5000)
status = open("/proc/self/status").read()
print(int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
def test_twelve_leads_of_some_hours_stay_below_512_mib(tmp_path):
    def peak(hours):
        out = tmp_path / "s.npy"
        child = run(HOLTER, hours, 12, tmp_path / "x.dat", out, stdout=subprocess.PIPE, text=True)
        text, _ = child.communicate(timeout=300)
        assert child.returncode == 0
        assert np.load(out, mmap_mode="r").shape == (12, 64, 5000)
        return int(text)

    short = peak(0.3)
    assert short < 512
    assert peak(0.9) < short + 40  # the mapped input is 32 MiB an hour


def test_a_written_scalogram_is_the_plain_one(tmp_path):
    x = walk((2, 150_000), 6).astype(np.float32)
    for width in (None, 333):
        options = {"fs": FS, "freqs": FREQS, "width": width}
        ek.wavelet.write_scalogram(tmp_path / "s.npy", x, **options)
        got = np.load(tmp_path / "s.npy", mmap_mode="r")
        assert np.array_equal(got, ek.wavelet.scalogram(x, **options))


KILLED = """
import sys
import numpy as np
import ecgkit as ek
x = np.zeros((12, 3_000_000), np.float32)
print("go", flush=True)
ek.wavelet.write_scalogram(sys.argv[1], x, fs=250, freqs=np.geomspace(0.5, 60, 64), threads=1)
"""


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_killed_half_way_the_file_is_the_old_one(tmp_path):
    path = tmp_path / "s.npy"
    np.save(path, np.arange(3))
    child = run(KILLED, path, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"go\n"
    end = time.monotonic() + 60
    while not list(tmp_path.glob(".s.npy.*")) and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.2)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert np.array_equal(np.load(path), np.arange(3))


def test_ctrl_c_stops_a_long_transform():
    x = np.zeros((4, 4_000_000), np.float32)
    timer = signal.setitimer
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    timer(signal.ITIMER_REAL, 0.3)
    start = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            for _ in ek.wavelet.cwt_blocks(x, fs=FS, freqs=FREQS, threads=1):
                pass
    finally:
        timer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("f", [ek.wavelet.cwt_blocks, ek.wavelet.scalogram_blocks])
@pytest.mark.parametrize(
    ("kwargs", "kind", "message"),
    [
        ({"fs": 0}, RateError, "positive number, got 0"),
        ({"freqs": [10, 160]}, RateError, "up to 160 Hz, but fs=250 Hz"),
        ({"freqs": [10, 5]}, ValueError, "strictly increasing"),
        ({"w0": 4.0}, ValueError, "w0 of at least 5"),
        ({"pad": "wrap"}, ValueError, "pad must be one of"),
        ({"x": np.zeros((2, 0))}, LayoutError, "samples"),
        ({"x": np.zeros(5, complex)}, TypeError, "real numbers"),
        ({"x": 1.0}, LayoutError, "shape"),
    ],
)
def test_wrong_arguments_are_named_before_anything_is_read(f, kwargs, kind, message):
    with pytest.raises(kind, match=message):
        f(**{"x": np.zeros((2, 200)), "fs": FS, "freqs": FREQS, **kwargs})
    for width in (0, 2.5):
        with pytest.raises((ValueError, TypeError), match="width"):
            ek.wavelet.scalogram_blocks(np.zeros(100), fs=FS, freqs=FREQS, width=width)
