"""Types of the C kernels. Private; the public functions of ecgkit's modules wrap them."""

from ._typing import Array, ArrayLike

# --- core
def threads(n: int = ...) -> int: ...
def simd_mask(mask: int = ...) -> tuple[int, int]: ...
def build_info() -> dict[str, str]: ...
def spin(n: int, threads: int | None = None) -> None: ...

# --- dsp
def zscore(x: ArrayLike, out: Array | None = None, threads: int | None = None) -> Array: ...
def resample(
    x: ArrayLike,
    up: int,
    down: int,
    taps: Array | None = None,
    reach: int = ...,
    out: Array | None = None,
    threads: int | None = None,
) -> Array: ...

# --- wavelet

# --- nn

# --- io
def wfdb_header(text: bytes, source: str) -> tuple: ...
def wfdb_load(
    files: tuple[tuple[int, int, int, int], ...], frames: int, scale: tuple[tuple[float, int, float], ...]
) -> tuple[Array, Array, tuple[int, ...]]: ...
