"""Process settings: thread count and the facts of the build."""

import os
import platform
import sys

import numpy as np

# OpenBLAS starts its threads when it is loaded. ecgkit has its own pool and runs OpenBLAS on one
# thread, so tell it before the load and put the variable back for everybody else.
_before = os.environ.get("OPENBLAS_NUM_THREADS")
os.environ["OPENBLAS_NUM_THREADS"] = "1"
try:
    from . import _core
finally:
    if _before is None:
        del os.environ["OPENBLAS_NUM_THREADS"]
    else:
        os.environ["OPENBLAS_NUM_THREADS"] = _before


def set_threads(n: int | None) -> int:
    """Set how many threads ecgkit's kernels use in this process.

    Parameters
    ----------
    n : int or None
        At least 1; ``None`` goes back to the number of cores this process may run on. The
        environment variable ``ECGKIT_THREADS`` sets the value at import.

    Returns
    -------
    int
        The count in force.
    """
    if n is not None and n < 1:
        raise ValueError(f"set_threads: n must be at least 1 or None, got {n}")
    return _core.threads(n or 0)


def get_threads() -> int:
    """How many threads ecgkit's kernels use in this process."""
    return _core.threads()


def _threads_from_environment() -> None:
    text = os.environ.get("ECGKIT_THREADS")
    if text is None:
        return
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"ECGKIT_THREADS must be a whole number from 1 up, got {text!r}")
    set_threads(int(text))


def show_config() -> None:
    """Print compiler, BLAS, FFT, instruction sets and threads, as ``numpy.show_config`` does."""
    from . import __version__, simd

    facts = _core.build_info()
    rows = {
        "ecgkit": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "compiler": facts["compiler"],
        "blas": f"{facts['blas'].strip()} ({facts['blas_core']})",
        "fft": facts.get("fft", "FFTW3"),
        "simd available": " ".join(simd.available()),
        "simd in use": simd.active(),
        "threads": str(get_threads()),
        "platform": f"{sys.platform} {platform.machine()}",
    }
    width = max(map(len, rows))
    print("\n".join(f"{name:<{width}}  {value}" for name, value in rows.items()))


_threads_from_environment()
