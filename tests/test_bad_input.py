"""What is wrong is named: the function, the argument, what came and what was wanted."""

import numpy as np
import pytest
from scipy import signal as scipy_signal

import ecgkit as ek
from ecgkit.errors import EcgkitError

X = np.random.default_rng(0).normal(size=(2, 500))
B, A = scipy_signal.butter(2, 0.2)
SOS = scipy_signal.butter(2, 0.2, output="sos")
FREQS = np.geomspace(1, 40, 5)
S, W = ek.signal, ek.wavelet

CALLS = {
    "zscore": lambda x=X, **k: S.zscore(x, **k),
    "median_filter": lambda x=X, size=5, **k: S.median_filter(x, size, **k),
    "filtfilt": lambda x=X, b=B, a=A, **k: S.filtfilt(b, a, x, **k),
    "sosfiltfilt": lambda x=X, sos=SOS, **k: S.sosfiltfilt(sos, x, **k),
    "resample": lambda x=X, fs_in=100, fs_out=250, **k: S.resample(x, fs_in, fs_out, **k),
    "correlate": lambda x=X, y=None, max_lag=5, **k: S.correlate(
        x, x if y is None else y, max_lag=max_lag, **k
    ),
    "autocorrelate": lambda x=X, max_lag=5, **k: S.autocorrelate(x, max_lag=max_lag, **k),
    "conserved_segments": lambda x=X, y=None, fs=100, **k: S.conserved_segments(
        x, x if y is None else y, fs=fs, **k
    ),
    "rpeaks": lambda x=X, fs=100, **k: S.rpeaks(x, fs=fs, **k),
    "beats": lambda x=X, fs=100, **k: S.beats(x, fs=fs, **k),
    "quality": lambda x=X, fs=100, **k: S.quality(x, fs=fs, **k),
    "cwt": lambda x=X, fs=100, freqs=FREQS, **k: W.cwt(x, fs=fs, freqs=freqs, **k),
    "scalogram": lambda x=X, fs=100, freqs=FREQS, **k: W.scalogram(x, fs=fs, freqs=freqs, **k),
    "stacked_scalogram": lambda x=X, fs=100, freqs=FREQS, **k: W.stacked_scalogram(
        x, fs=fs, freqs=freqs, **k
    ),
    "cwt_blocks": lambda x=X, fs=100, freqs=FREQS, **k: W.cwt_blocks(x, fs=fs, freqs=freqs, **k),
    "scalogram_blocks": lambda x=X, fs=100, freqs=FREQS, **k: W.scalogram_blocks(
        x, fs=fs, freqs=freqs, **k
    ),
}
WITH_RATE = [name for name in CALLS if "fs" in CALLS[name].__code__.co_varnames]
WITH_FREQS = [name for name in CALLS if "freqs" in CALLS[name].__code__.co_varnames]
WITH_OUT = ["zscore", "median_filter", "filtfilt", "sosfiltfilt", "resample", "cwt", "scalogram",
            "stacked_scalogram"]  # fmt: skip
HUGE = 10**30


def refused(name, **kwargs):
    """The message of a call that must be refused, with the function's name taken off."""
    with pytest.raises((EcgkitError, ValueError, TypeError)) as caught:
        CALLS[name](**kwargs)
    text = str(caught.value)
    about_rate = text.startswith(("fs ", "fs_in ", "fs_out ")) or text.startswith("rpeaks: fs")
    assert text.startswith(f"{name}: ") or about_rate, text
    return text


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    "bad",
    [
        "abc",
        ["a", "b"],
        {"a": 1},
        np.ones((2, 500), complex),
        np.ones((2, 500), bool),
        np.array([[None] * 500]),
        np.array(["2020"], "M8[Y]"),
        np.zeros(5, [("a", "f4")]),
        [[1.0, 2.0], [3.0]],
    ],
    ids=["text", "texts", "mapping", "complex", "bool", "object", "dates", "fields", "ragged"],
)
def test_what_holds_no_real_numbers(name, bad):
    text = refused(name, x=bad)
    assert "x must hold real numbers, got dtype" in text or "different lengths" in text


@pytest.mark.parametrize("name", CALLS)
def test_a_number_is_no_signal(name):
    assert "()" in refused(name, x=1.0)


@pytest.mark.parametrize("name", [n for n in CALLS if n not in ("rpeaks", "beats")])
def test_no_samples(name):
    assert "0" in refused(name, x=np.zeros((2, 0))) or "no samples" in refused(name, x=X[:, :0])


@pytest.mark.parametrize("name", ["median_filter", "filtfilt", "sosfiltfilt", "correlate",
                                  "autocorrelate", "stacked_scalogram"])  # fmt: skip
def test_one_sample_where_more_are_needed(name):
    assert "1" in refused(name, x=np.zeros((2, 1)))


@pytest.mark.parametrize("name", [n for n in CALLS if n not in ("rpeaks", "beats", "quality")])
def test_one_sample_and_no_rows_where_they_make_sense(name):
    shape = (2, 300) if name in ("filtfilt", "sosfiltfilt", "stacked_scalogram") else (2, 1)
    kwargs = {"size": 1} if name == "median_filter" else {}
    if "correlate" in name:
        kwargs = {"max_lag": 0}
    CALLS[name](x=np.zeros(shape), **kwargs)
    CALLS[name](x=np.zeros((0, 500)))


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_never_an_error_nor_a_warning(name, bad, recwarn):
    x = X.copy()
    x[1, 250] = bad
    CALLS[name](x=x)
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]


@pytest.mark.parametrize("name", WITH_RATE)
@pytest.mark.parametrize("fs", [0, -1, np.nan, np.inf, "a", 1e300, 1e-300, True, [100]])
def test_absurd_rates(name, fs):
    assert "fs" in refused(name, fs=fs)


@pytest.mark.parametrize("which", ["fs_in", "fs_out"])
@pytest.mark.parametrize("method", ["fir", "linear", "fft"])
@pytest.mark.parametrize("fs", [0, -5, np.nan, None, "x", 1e-300, 1e300, True, 1e8])
def test_absurd_rates_to_resample(which, method, fs):
    assert which in refused("resample", method=method, **{which: fs})


@pytest.mark.parametrize("name", WITH_FREQS)
@pytest.mark.parametrize(
    "freqs",
    [[], [5, 1], [5, 5], [0, 5], [-1, 5], [np.nan], [60], "a", [[1]], [1 + 1j], [True], [1e-300]],
)
def test_frequencies(name, freqs):
    assert "freqs" in refused(name, freqs=freqs)


@pytest.mark.parametrize("name", WITH_FREQS)
@pytest.mark.parametrize("w0", [0, 1, np.nan, np.inf, "a", None, 1e300, True])
def test_wavelet_centres(name, w0):
    if w0 is None and "blocks" not in name:
        w0 = -1
    assert "w0" in refused(name, w0=w0)


@pytest.mark.parametrize("size", [0, 2, 4, -1, 1001, 2.5, None, "a", HUGE, True])
def test_even_and_oversize_windows(size):
    assert "size" in refused("median_filter", size=size)


@pytest.mark.parametrize("name", ["correlate", "autocorrelate"])
@pytest.mark.parametrize("max_lag", [-1, 500, 2.5, None, "a", HUGE, True])
def test_lags(name, max_lag):
    assert "max_lag" in refused(name, max_lag=max_lag)


@pytest.mark.parametrize(
    ("name", "kwargs", "word"),
    [
        ("filtfilt", {"b": []}, "b and a must be lists"),
        ("filtfilt", {"b": [[1]]}, "b and a must be lists"),
        ("filtfilt", {"b": ["a"]}, "b must hold real numbers"),
        ("filtfilt", {"a": [np.nan]}, "finite"),
        ("filtfilt", {"a": [0, 1]}, r"a\[0\]"),
        ("filtfilt", {"a": [1, -2]}, "unstable"),
        ("filtfilt", {"a": [1, 0, 1]}, "unstable"),
        ("sosfiltfilt", {"sos": []}, "shape"),
        ("sosfiltfilt", {"sos": [[1, 0, 0, 2, 0, 0]]}, "a0"),
        ("sosfiltfilt", {"sos": [[1, 0, 0, 1, 0, 1.5]]}, "unstable"),
        ("sosfiltfilt", {"sos": [["a"] * 6]}, "sos must hold real numbers"),
        ("correlate", {"y": X[:1]}, "one shape"),
        ("conserved_segments", {"y": X[:1]}, "one shape"),
        ("conserved_segments", {"peaks": [0.5]}, "peaks"),
        ("conserved_segments", {"segments": [1]}, "segments"),
        ("conserved_segments", {"segments": {"q": (0,)}}, "segment 'q'"),
        ("conserved_segments", {"segments": {"q": (1, 0)}}, "segment 'q'"),
        ("conserved_segments", {"segments": {"q": (np.nan, 1)}}, "segment 'q'"),
        ("resample", {"method": "cubic"}, "method"),
        ("median_filter", {"edge": "wrap"}, "edge"),
        ("correlate", {"normalize": "x"}, "normalize"),
        ("cwt", {"pad": "x"}, "pad"),
        ("scalogram", {"pad": 3}, "pad"),
        ("scalogram", {"power": 1}, "power"),
        ("scalogram", {"width": 0}, "width"),
        ("scalogram", {"width": HUGE}, "width"),
        ("scalogram_blocks", {"width": 2.5}, "width"),
        ("cwt_blocks", {"pad": None}, "pad"),
        ("cwt_blocks", {"w0": 4}, "w0 of at least 5"),
        ("stacked_scalogram", {"x": np.zeros((1, 1, 2, 300))}, "x must have 2 to 3 dimensions"),
        ("stacked_scalogram", {"window": 0}, "window"),
        ("stacked_scalogram", {"window": "a"}, "window"),
        ("stacked_scalogram", {"window": 6.0}, "window"),
        ("stacked_scalogram", {"window": 1e300}, "window"),
        ("stacked_scalogram", {"scale": 3}, "scale"),
        ("stacked_scalogram", {"image": 5}, "image"),
        ("stacked_scalogram", {"image": (5,)}, "image"),
        ("stacked_scalogram", {"image": (0, 5)}, "image height"),
        ("stacked_scalogram", {"colormap": "jet"}, "colormap"),
    ],
)
def test_other_arguments(name, kwargs, word):
    import re

    assert re.search(word, refused(name, **kwargs))


@pytest.mark.parametrize("name", [n for n in CALLS if n not in ("beats", "conserved_segments")])
@pytest.mark.parametrize("threads", [-1, 2.5, "a", HUGE, True])
def test_threads(name, threads):
    assert "threads" in refused(name, threads=threads)


@pytest.mark.parametrize("name", WITH_OUT)
def test_out_must_fit(name):
    want = CALLS[name]()
    for bad in ("a", np.zeros(3), np.zeros(want.shape, np.int32), want[..., ::-1]):
        assert "out must be a writeable C-contiguous" in refused(name, out=bad)
    frozen = np.empty_like(want)
    frozen.flags.writeable = False
    assert "out must be" in refused(name, out=frozen)
    out = np.empty_like(want)
    assert CALLS[name](out=out) is out
    assert np.array_equal(out, want)


@pytest.mark.parametrize("name", [*WITH_OUT, "correlate", "autocorrelate"])
def test_float64_gives_float64_and_everything_else_float32(name):
    complex_out = name == "cwt"
    double, single = (np.complex128, np.complex64) if complex_out else (np.float64, np.float32)
    if name == "stacked_scalogram":  # pictures for a network: always float32
        double = single
    assert CALLS[name]().dtype == double
    assert CALLS[name](x=X.astype(">f8")).dtype == double
    for kind in ("f2", "f4", ">f4", "i2", "u1", "i8"):
        assert CALLS[name](x=(100 * X).astype(kind)).dtype == single
