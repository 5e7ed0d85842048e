"""Types of the C kernels. Private; the public functions of ecgkit's modules wrap them."""

from ._typing import Array, ArrayLike, ProgramFacts

# --- core
def threads(n: int = ...) -> int: ...
def simd_mask(mask: int = ...) -> tuple[int, int]: ...
def build_info() -> dict[str, str]: ...
def spin(n: int, threads: int | None = None) -> None: ...

# --- dsp
def zscore(
    x: ArrayLike, out: Array | None = None, threads: int | None = None, eps: float = 0.0
) -> Array: ...
def resample(
    x: ArrayLike,
    up: int,
    down: int,
    taps: Array | None = None,
    reach: int = ...,
    out: Array | None = None,
    threads: int | None = None,
    spectrum: bool = ...,
) -> Array: ...
def filtfilt(
    x: ArrayLike,
    filters: tuple[tuple[Array, Array, int], ...],
    out: Array | None = None,
    threads: int | None = None,
) -> Array: ...
def correlate(
    x: ArrayLike,
    y: ArrayLike | None,
    max_lag: int,
    normalize: bool = ...,
    threads: int | None = None,
) -> Array: ...
def rpeaks(
    x: ArrayLike, fs: float, threads: int | None = None, constants: ArrayLike | None = None
) -> Array: ...
def delineate(
    x: ArrayLike,
    fs: float,
    rpeaks: Array,
    start: Array,
    weights: ArrayLike,
    threads: int | None = None,
) -> Array: ...
def median_beat(
    x: ArrayLike, beats: Array, before: int, length: int, threads: int | None = None
) -> Array: ...
def align_beats(
    x: ArrayLike,
    beats: Array,
    template: ArrayLike,
    before: int,
    reach: int,
    threads: int | None = None,
) -> tuple[Array, Array]: ...
def template_matches(x: ArrayLike, m: int, r: float, threads: int | None = None) -> Array: ...
def dfa(x: ArrayLike, windows: Array, threads: int | None = None) -> Array: ...
def lomb(t: ArrayLike, x: ArrayLike, freqs: ArrayLike, threads: int | None = None) -> Array: ...
def measure(x: ArrayLike, fs: float, points: Array, threads: int | None = None) -> Array: ...
def quality(x: ArrayLike, fs: float, threads: int | None = None) -> Array: ...
def median_filter(
    x: ArrayLike, size: int, edge: str = ..., out: Array | None = None, threads: int | None = None
) -> Array: ...

# --- fft
def fft_effort(effort: int) -> int: ...
def fft_cache(clear: bool = ...) -> tuple[int, int]: ...
def fft_wisdom(dtype: str, wisdom: str | None = None) -> str | None: ...

# --- wavelet
def cwt(
    x: ArrayLike,
    fs: float,
    freqs: ArrayLike,
    w0: float = ...,
    pad: str = ...,
    out: Array | None = None,
    threads: int | None = None,
) -> Array: ...
def scalogram(
    x: ArrayLike,
    fs: float,
    freqs: ArrayLike,
    width: int | None = None,
    w0: float = ...,
    pad: str = ...,
    power: bool = ...,
    out: Array | None = None,
    threads: int | None = None,
) -> Array: ...
def stacked_scalogram(
    x: ArrayLike,
    fs: float,
    freqs: ArrayLike,
    window: int,
    width: int,
    w0: float = ...,
    pad: str = ...,
    power: bool = ...,
    cwt_first: bool = ...,
    scale: str = ...,
    image_h: int | None = None,
    image_w: int | None = None,
    colormap: str | None = None,
    out: Array | None = None,
    threads: int | None = None,
) -> Array: ...
def wavelet_block(fs: float, freqs: ArrayLike, w0: float, single: bool) -> tuple[int, int, int]: ...
def wavelet_part(
    x: ArrayLike,
    t: int,
    fs: float,
    freqs: ArrayLike,
    w0: float,
    what: str,
    columns: tuple[int, int, int, int, int] | None = None,
    out: Array | None = None,
    threads: int | None = None,
) -> Array: ...

# --- nn
def nn_new(bufs: tuple, slots: int, block: int, steps: tuple) -> object: ...
def nn_run(
    program: object, n: int, arrays: tuple[Array, ...], threads: int | None = None
) -> None: ...
def nn_profile(program: object, n: int, arrays: tuple[Array, ...]) -> Array: ...
def nn_facts(program: object) -> ProgramFacts: ...
def nn_width() -> int: ...
def nn_peak() -> float: ...

# --- io
def lzw10(data: bytes, room: int) -> bytes: ...
def scp_huffman(data: bytes, count: int) -> Array: ...
def wfdb_annotations(
    data: bytes, source: str
) -> tuple[Array, Array, Array, Array, Array, tuple[str, ...]]: ...
def wfdb_header(text: bytes, source: str) -> tuple: ...
def wfdb_load(
    files: tuple[tuple[int, int, int, int], ...],
    frames: int,
    scale: tuple[tuple[float, int, float], ...],
) -> tuple[Array, Array, tuple[int, ...]]: ...

# --- metric
def metric_order(y: Array | None, s: ArrayLike, threads: int | None = None) -> Array: ...
def metric_rank(order: Array, figure: str, threads: int | None = None) -> Array: ...
def metric_delong(order: Array, threads: int | None = None) -> tuple[Array, Array]: ...
def metric_resample(
    order: Array,
    index: Array,
    figure: str,
    member: Array | None = None,
    units: int | None = None,
    threads: int | None = None,
) -> Array: ...
def metric_rank_sums(
    order: Array, start: Array, cases: Array, threads: int | None = None
) -> tuple[Array, Array]: ...
def metric_class_sums(
    x: ArrayLike, member: Array, classes: int, threads: int | None = None
) -> tuple[Array, Array]: ...
def metric_sweep(
    y: ArrayLike, s: ArrayLike, thresholds: ArrayLike, threads: int | None = None
) -> tuple[Array, Array, int]: ...
def metric_confusion(
    y: ArrayLike, p: ArrayLike, weight: Array | None = None, threads: int | None = None
) -> Array: ...
def metric_ranking(
    y: ArrayLike, s: ArrayLike, coverage: bool = ..., threads: int | None = None
) -> Array: ...
def metric_calibration(
    y: ArrayLike, p: ArrayLike, bins: int, threads: int | None = None
) -> tuple[Array, Array]: ...
def metric_frechet(
    p: ArrayLike,
    q: ArrayLike,
    scale: float = ...,
    band: int | None = None,
    limit: float | None = None,
    out: Array | None = None,
    threads: int | None = None,
) -> Array: ...
def metric_coupling(p: ArrayLike, q: ArrayLike, scale: float = ...) -> tuple[Array, int]: ...
def metric_rows(
    x: ArrayLike, y: ArrayLike, about: bool = ..., threads: int | None = None
) -> Array: ...
def metric_ssim(
    x: ArrayLike,
    y: ArrayLike,
    weight: ArrayLike,
    norm: float,
    c1: float,
    c2: float,
    threads: int | None = None,
) -> Array: ...
def metric_moments(
    x: ArrayLike, covariance: bool, centred: bool, threads: int | None = None
) -> tuple[Array, Array | None, Array | None]: ...
def metric_root_trace(s1: ArrayLike, s2: ArrayLike) -> tuple[float, float, int, int, int]: ...
def metric_factor(s: ArrayLike) -> tuple[Array, int, float]: ...
def metric_nuclear(f1: ArrayLike, f2: ArrayLike) -> float: ...
def metric_cubic_sum(
    x: ArrayLike, y: ArrayLike | None, gamma: float, coef: float, threads: int | None = None
) -> float: ...

# --- lora
def lora_merge(
    w: Array,
    pairs: tuple[tuple[Array, Array, float], ...],
    out: Array,
    row_gain: Array | None = None,
    col_gain: Array | None = None,
    round_delta: bool = ...,
    clamp: bool = ...,
    stats: Array | None = None,
    threads: int | None = None,
) -> Array: ...
def lora_merge_f64(
    w: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    scale: float,
    out: Array | None = None,
    threads: int | None = None,
) -> Array: ...
def lora_widen(x: Array) -> Array: ...
def lora_narrow(x: ArrayLike) -> Array: ...

# --- proto
def proto_bank(prototypes: Array, t: int = ..., threads: int | None = None) -> object: ...
def proto_similarity(
    bank: object,
    x: ArrayLike,
    metric: str = ...,
    pool: str = ...,
    k: int = ...,
    eps: float = ...,
    direct: bool = ...,
    out: Array | None = None,
    best: Array | None = None,
    threads: int | None = None,
) -> Array: ...
def proto_similarity_ref(
    x: ArrayLike, prototypes: ArrayLike, metric: str = ..., eps: float = ...
) -> Array: ...
