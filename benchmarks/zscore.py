"""z-score of rows. The smallest benchmark, and the pattern for the others."""

import numpy as np
from _harness import bench, main, peer

import ecgkit as ek


def run():
    for n, t in ((12, 1000), (12, 5000), (1200, 5000)):
        x = np.random.default_rng(0).normal(size=(n, t)).astype(np.float32)
        bench(
            f"z-score, {n} rows of {t:,} samples",
            {
                "ours": lambda x=x: ek.signal.zscore(x),
                "NumPy": lambda x=x: (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True),
                "SciPy": peer("scipy.stats", lambda m, x=x: lambda: m.stats.zscore(x, axis=-1)),
            },
            check=1e-5,
            note="NumPy and SciPy sum in float32, ours in double",
        )


if __name__ == "__main__":
    main(run)
