"""Which instruction sets the kernels use: ``ref`` (plain C), ``avx2``, ``avx512``.

The best one is taken at import. ``ECGKIT_SIMD`` sets it for a process, :func:`use` changes it.
"""

import os

from ._config import _core

_LEVELS = {"ref": 0, "avx2": 1, "avx512": 3}


def available() -> list[str]:
    """Names this machine can run, slowest first."""
    mask, _ = _core.simd_mask()
    return [name for name, need in _LEVELS.items() if need & ~mask == 0]


def active() -> str:
    """The name in use."""
    _, mask = _core.simd_mask()
    return max(
        (name for name, need in _LEVELS.items() if need & ~mask == 0), key=_LEVELS.__getitem__
    )


def use(name: str) -> str:
    """Force an instruction set for the whole process and return the one used before.

    Raises
    ------
    ValueError
        The name is unknown or this machine cannot run it.
    """
    if name not in available():
        raise ValueError(
            f"simd.use: {name!r} is not one of {', '.join(available())} on this machine"
        )
    before = active()
    _core.simd_mask(_LEVELS[name])
    return before


if "ECGKIT_SIMD" in os.environ:
    use(os.environ["ECGKIT_SIMD"])
