"""Rows of phenotype statistics: many scores against many outcomes, a million records."""

import numpy as np
from _harness import bench, peer

from ecgkit import metrics


def scipy_loop(scipy, scores, cases, n):
    """Ranks of a score once, then every outcome, as one would write it with SciPy."""

    def run():
        out = []
        for column in scores.T:
            rank = scipy.stats.rankdata(column)
            out.append([
                (rank[at].sum() - len(at) * (len(at) + 1) / 2) / (len(at) * (n - len(at)))
                for at in cases.values()
            ])  # fmt: skip
        return np.array(out)

    return run


def run():
    rng = np.random.default_rng(0)
    n, features, outcomes = 1_000_000, 8, 100
    cases = {k: np.sort(rng.choice(n, n // 100, replace=False)) for k in range(outcomes)}
    scores = rng.normal(size=(n, features)).astype(np.float32)
    bench(
        "diagnostic AUROC and rank test, 1e6 records, 8 of 1e3 prototypes, 100 outcomes",
        {
            "ours": lambda: metrics.associate(scores, cases).auroc,
            "SciPy rankdata": peer("scipy.stats", lambda m: scipy_loop(m, scores, cases, n)),
        },
        check=1e-12,
        bar=5.0,
        min_time=0.2,
        work=(features, "prototypes"),
        note="eight columns are what is held at a time: 1e3 prototypes take 125 such turns; ours "
        "gives the tests' p as well",
    )
    prototypes = rng.normal(size=(1000, 512))
    classes = rng.integers(0, 71, 1000)

    def pairs():
        unit = prototypes / np.linalg.norm(prototypes, axis=1, keepdims=True)
        apart, out = 1 - unit @ unit.T, []
        for k in range(71):
            block = apart[np.ix_(classes == k, classes == k)]
            out.append(block[np.triu_indices(len(block), 1)].mean())
        return np.array(out)

    bench(
        "intra- and inter-class distances, 1000 prototypes of 512, 71 classes",
        {
            "ours": lambda: metrics.prototype_distances(prototypes, classes).intra,
            "NumPy, pairs (intra alone)": pairs,
        },
        check=1e-12,
    )
