"""How FFTW plans the transforms inside the kernels: effort, wisdom, the cache.

By default plans are estimated: no timing runs, the same plan and so the same bits in every process.
Measured plans are a little faster for some lengths and may differ from run to run in the last bits.

>>> ek.fft.effort("measure")
>>> ek.wavelet.cwt(x, fs=500, freqs=f)       # plans what it needs, once
>>> ek.fft.save_wisdom("plans.wisdom")       # and later, in another process:
>>> ek.fft.load_wisdom("plans.wisdom")
"""

from __future__ import annotations

import os
from pathlib import Path

from ._config import _core
from .errors import FormatError

__all__ = ["cache_clear", "cache_info", "effort", "load_wisdom", "save_wisdom"]

_EFFORTS = ("estimate", "measure")
_TYPES = ("float32", "float64")
_MARK = "ecgkit FFTW wisdom "


def effort(name: str) -> str:
    """Set how new plans are made and return the setting before.

    Parameters
    ----------
    name : {"estimate", "measure"}
        ``"measure"`` times candidates when a length is first met (up to seconds for long ones) and
        drops the plans cached so far.
    """
    if name not in _EFFORTS:
        raise ValueError(f"fft.effort: name must be 'estimate' or 'measure', got {name!r}")
    before = _EFFORTS[_core.fft_effort(_EFFORTS.index(name))]
    if before != name:
        cache_clear()
    return before


def cache_info() -> dict[str, int]:
    """``plans``: how many are cached; ``limit``: how many are kept at most."""
    plans, limit = _core.fft_cache()
    return {"plans": plans, "limit": limit}


def cache_clear() -> None:
    """Drop the cached plans; those in use go when their call ends."""
    _core.fft_cache(True)


def save_wisdom(path: str | os.PathLike[str]) -> None:
    """Write what FFTW learnt in this process, both precisions, to a text file.

    The file appears whole or not at all.
    """
    target = Path(path)
    parts = [f"{_MARK}{t}\n{(_core.fft_wisdom(t) or '').strip()}\n" for t in _TYPES]
    part = target.with_name(target.name + ".part")
    part.write_text("".join(parts), encoding="ascii")
    part.replace(target)


def load_wisdom(path: str | os.PathLike[str]) -> None:
    """Add the wisdom of a file to this process and drop the cached plans.

    Raises
    ------
    FormatError
        The file is not one that :func:`save_wisdom` wrote, or FFTW does not accept it (another
        version).
    """
    text = Path(path).read_bytes().decode("ascii", "replace")
    found = dict.fromkeys(_TYPES, "")
    kind = None
    for line in text.splitlines():
        if line.startswith(_MARK):
            kind = line[len(_MARK) :]
        elif kind in found:
            found[kind] += line + "\n"
    if not text.startswith(_MARK) or not all(found.values()):
        raise FormatError(f"{os.fspath(path)}: not a wisdom file of ecgkit.fft.save_wisdom")
    for t, wisdom in found.items():
        try:
            _core.fft_wisdom(t, wisdom)
        except FormatError:
            raise FormatError(
                f"{os.fspath(path)}: FFTW does not accept the {t} wisdom; it was saved by another "
                "version or damaged: measure and save again"
            ) from None
