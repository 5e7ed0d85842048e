"""What must work with nothing but the wheel and its core dependencies (run by .ci/test)."""

import importlib.util
import sys
import time

import numpy as np

start = time.perf_counter()
import ecgkit as ek  # noqa: E402

took = time.perf_counter() - start
assert took < 0.2, f"import ecgkit took {took:.3f} s beyond numpy"
assert "site-packages" in ek.__file__, ek.__file__
for heavy in ("scipy", "torch", "matplotlib", "pandas", "wfdb"):
    assert heavy not in sys.modules, f"import ecgkit loads {heavy}"

x = np.random.default_rng(0).normal(size=(12, 1000)).astype(np.float32)
z = ek.signal.zscore(x)
assert abs(float(z.std()) - 1) < 1e-3
assert ek.wavelet.scalogram(x, fs=100, freqs=[5, 10, 20]).shape == (12, 3, 1000)

with open("/proc/self/maps") as f:
    mapped = {line.split()[-1] for line in f if "/" in line}
ours = {p.rsplit("/", 1)[1] for p in mapped if "/ecgkit/_libs/" in p}
assert {"libfftw3.so.3", "libfftw3f.so.3", "libscipy_openblas.so"} <= ours, ours
strangers = sorted(p for p in mapped if "fftw" in p and "/ecgkit/_libs/" not in p)
assert not strangers, strangers

from ecgkit.record import STANDARD_LEADS  # noqa: E402

record = ek.Record(x, fs=100, leads=STANDARD_LEADS)
assert importlib.util.find_spec("matplotlib") is None
message = ""
try:
    record.plot()
except ImportError as error:
    message = str(error)
assert "ecgkit-native[plot]" in message, f"plot() must name the extra; got {message!r}"
print(f"import {took * 1e3:.0f} ms; ISA {ek.simd.active()}; libraries {', '.join(sorted(ours))}")
