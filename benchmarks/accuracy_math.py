"""How far the engine's transcendentals are from the true values, in units of the last place.

``python benchmarks/accuracy_math.py`` measures every instruction set of this machine on a dense
sample of all finite floats, beside PyTorch's float32, and writes
``docs/accuracy_transcendentals.md``.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import numpy as np
import torch

import ecgkit as ek

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from transcendentals import BOUNDS, FUNCTIONS, measure, sample  # noqa: E402

DOC = ROOT / "docs" / "accuracy_transcendentals.md"
STEP = 257


def rows() -> list[str]:
    every = sample(STEP)
    out = []
    for name, (ours, theirs, least) in FUNCTIONS.items():
        x = np.abs(every) if name == "log" else every
        want = theirs(torch.from_numpy(x).double()).numpy()
        figures = []
        for isa in ek.simd.available():
            ek.simd.use(isa)
            figures.append((isa, *measure(x, ours(x), want, least)))
        figures.append(("PyTorch", *measure(x, theirs(torch.from_numpy(x)).numpy(), want, least)))
        where = "all" if least is None else f"x >= {least:g}"
        bound, spread = BOUNDS[name]
        for isa, ulp, error in figures:
            limit = "" if isa == "PyTorch" else f"{bound:g} | {spread:.1e}"
            out.append(f"| {name} | {isa} | {where} | {ulp:.3g} | {error:.1e} | {limit or ' | '} |")
    return out


def main() -> None:
    table = rows()
    DOC.write_text(
        "# Transcendentals\n\n"
        f"`python benchmarks/accuracy_math.py`, {2 * (0x7F800000 // STEP + 1):,} floats: every "
        f"{STEP}th bit pattern of either sign, so every exponent, denormals included. True values: "
        "double precision. ULP: distance in units of the true value's last place where the "
        "function does not cancel; error: distance over max(1, value), everywhere. The bounds are "
        "those that `tests/test_nn_transcendentals.py` enforces. Below x = -87 sigmoid and SiLU "
        "are 0 where they should be denormal, as PyTorch's. NaN gives NaN. GELU is finite up to "
        "the largest float and infinite at infinity; PyTorch's overflows from 1.7e38 on (inf "
        "below) and is NaN at infinity.\n\n"
        "| function | instruction set | ULP over | largest ULP | largest error | ULP bound | "
        "error bound |\n|---|---|---|---|---|---|---|\n"
        + "\n".join(table)
        + f"\n\n{platform.machine()}, PyTorch {torch.__version__}, NumPy {np.__version__}.\n"
    )
    print("\n".join(table))


if __name__ == "__main__":
    main()
