"""How exact every op of the engine is: largest errors against PyTorch in float64, beside PyTorch's
own in float32.

``python benchmarks/accuracy_ops.py`` writes docs/engine/accuracy.md. The rule, which
tests/test_nn_zoo.py enforces: ours at most twice PyTorch's.
"""

import sys
from pathlib import Path

import numpy as np

import ecgkit as ek

ROOT = Path(__file__).resolve().parents[1]
SEEDS = 5


def errors(ours, theirs, arrays) -> tuple[dict[str, float], float, float]:
    """Per instruction set ours, then PyTorch's, then the scale of the result."""
    import torch

    mine = dict.fromkeys(ek.simd.available(), 0.0)
    single, scale = 0.0, 0.0
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        x = arrays[0][tuple(slice(None, None, rng.choice([-1, 1])) for _ in arrays[0].shape)]
        given = [np.ascontiguousarray(x), *arrays[1:]]
        tensors = [torch.from_numpy(a) for a in given]
        exact = theirs(*(t.double() for t in tensors)).numpy()
        single = max(single, np.abs(theirs(*tensors).numpy() - exact).max())
        scale = max(scale, np.abs(exact).max())
        for isa in mine:
            before = ek.simd.use(isa)
            mine[isa] = max(mine[isa], np.abs(ours(*given) - exact).max())
            ek.simd.use(before)
    return mine, single, scale


def main() -> None:
    sys.path[0] = str(ROOT / "tests")  # instead of this folder, whose signal.py is not Python's
    import torch
    from nn_zoo import ZOO

    torch.set_num_threads(1)
    sets = ek.simd.available()
    lines = [
        "# How exact every op is",
        "",
        "Largest error of a result against PyTorch in float64, in units of 1e-7 of the largest",
        "number in the result, over the op's entry in `tests/nn_zoo.py` and its mirror images. The",
        "rule, enforced by `tests/test_nn_zoo.py`: ours at most twice PyTorch's own in float32",
        "(plus one unit, where PyTorch happens to be exact). Written by",
        f"`benchmarks/accuracy_ops.py`, PyTorch {torch.__version__}.",
        "",
        "| op | " + " | ".join(f"ours, {s}" for s in sets) + " | PyTorch float32 |",
        "|---|" + "--:|" * (len(sets) + 1),
    ]
    for name in sorted(ZOO):
        mine, single, scale = errors(*ZOO[name])
        unit = 1e-7 * max(1.0, scale)
        cells = [f"{mine[s] / unit:.2f}" for s in sets] + [f"{single / unit:.2f}"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    path = ROOT / "docs" / "engine" / "accuracy.md"
    path.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
