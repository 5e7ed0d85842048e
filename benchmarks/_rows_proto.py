"""Rows of the metrics table: similarity to prototypes, and their projection."""

import numpy as np
from _harness import bench, peer

import ecgkit as ek

N, D, T, P, W = 32, 512, 157, 355, 11


def _features():
    rng = np.random.default_rng(0)
    x = rng.random((N, D, T)).astype(np.float32)
    return x, rng.random((P, D, W)).astype(np.float32)


def _conv1d(torch, x, v):
    """All windows by convolution: what PyTorch does best."""
    tx, tv, one = torch.from_numpy(x), torch.from_numpy(v), torch.ones(1, 1, W)
    functional = torch.nn.functional

    def run():
        with torch.no_grad():
            norm = functional.conv1d((tx * tx).sum(1, keepdim=True), one).sqrt()
            dots = functional.conv1d(tx, tv)
            return (dots / (norm * tv.flatten(1).norm(dim=1)[None, :, None])).amax(-1).numpy()

    return run


def _loop(torch, x, v, squared_distance=False):
    """The published pattern: a Python loop over windows, reshaped inside."""
    tx, tv = torch.from_numpy(x), torch.from_numpy(v).flatten(1)
    unit = torch.nn.functional.normalize(tv, dim=1)

    def run():
        with torch.no_grad():
            scores = []
            for i in range(T - W + 1):
                window = tx[:, :, i : i + W].reshape(len(tx), -1)
                if squared_distance:
                    scores.append(-torch.cdist(window, tv))
                else:
                    scores.append(torch.nn.functional.normalize(window, dim=1) @ unit.T)
            return torch.stack(scores, -1).amax(-1).numpy()

    return run


def _im2col(x, v):
    flat = v.reshape(P, -1)
    norms = np.linalg.norm(flat, axis=1)

    def run():
        windows = np.lib.stride_tricks.sliding_window_view(x, W, axis=2)
        columns = np.ascontiguousarray(windows.transpose(0, 2, 1, 3)).reshape(-1, D * W)
        dots = columns @ flat.T / (np.linalg.norm(columns, axis=1)[:, None] * norms)
        return dots.reshape(N, T - W + 1, P).max(1)

    return run


def _push_loop(torch, x, v, member, labels):
    """push.py of the paper: per batch the similarities, then a loop over prototypes."""
    scores_of = _loop(torch, x, v)

    def run():
        best = np.full(P, -np.inf)
        scores = scores_of()
        for q in range(P):
            for i in range(N):
                if (labels[i] & member[q]).any() and scores[i, q] > best[q]:
                    best[q] = scores[i, q]
        return best

    return run


def run():
    x, v = _features()
    shape = f"{N}x{D}x{T}, {P} prototypes of {W} steps"
    bench(
        f"prototype similarity, cosine, {shape}",
        {
            "ours": lambda: ek.proto.similarity(x, v, metric="cosine", window=W, pool="max"),
            "torch conv1d": peer("torch", lambda torch: _conv1d(torch, x, v)),
            "torch window loop": peer("torch", lambda torch: _loop(torch, x, v)),
            "im2col NumPy": _im2col(x, v),
        },
        check=5e-6,
        bar={"torch conv1d": 1.1, "torch window loop": 3.0},
        note="maximum over windows; spectra of the prototypes are kept between calls",
    )
    bench(
        f"prototype similarity, l2, {shape}",
        {
            "ours": lambda: ek.proto.similarity(x, v, metric="l2", window=W, pool="max"),
            "torch window loop": peer("torch", lambda torch: _loop(torch, x, v, True)),
        },
        check=5e-4,
        bar={"torch window loop": 3.0},
        note="torch.cdist takes the distance from norms and products",
    )
    rng = np.random.default_rng(1)
    labels, member = rng.random((N, 71)) < 0.1, np.zeros((P, 71), bool)
    member[np.arange(P), np.arange(P) % 71] = True
    bench(
        f"prototype push, one batch of {shape}",
        {
            "ours": lambda: ek.proto.push([(x, labels)], v, classes=member).score,
            "torch loop of the paper": peer(
                "torch", lambda torch: _push_loop(torch, x, v, member, labels)
            ),
        },
        check=_same_scores,
        bar={"torch loop of the paper": 3.0},
    )


def _same_scores(ours, theirs):
    found = np.isfinite(theirs)
    assert np.array_equal(found, np.isfinite(ours))
    difference = float(np.abs(ours[found] - theirs[found]).max())
    assert difference < 5e-6, difference
    return difference
