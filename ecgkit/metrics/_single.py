"""Single-label decisions: the confusion matrix, its figures, and its resampling."""

from __future__ import annotations

import numpy as np

from .._typing import Array, ArrayLike


def confusion(y: ArrayLike, predicted: ArrayLike, classes: int) -> Array:
    """Counts (classes, classes), truth in rows."""
    code = np.asarray(y) * classes + np.asarray(predicted)
    return np.bincount(code, minlength=classes * classes).reshape(classes, classes)


def resample_counts(cells: Array, n: int, rng: np.random.Generator) -> Array:
    """Confusion counts of ``n`` resamplings, with replacement, of the rows of ``cells``.

    ``cells`` is (group, cell). Groups with the same counts are interchangeable, so the draw is a
    multinomial over the few distinct rows: the same distribution as drawing indices, at a cost
    that does not grow with the number of groups.
    """
    kinds, times = np.unique(cells, axis=0, return_counts=True)
    drawn = rng.multinomial(len(cells), times / len(cells), size=n)
    return drawn @ kinds


def confusion_figures(both: Array) -> dict[str, Array]:
    """Figures of confusion counts, many at once.

    Parameters
    ----------
    both : ndarray, shape (draws, classes, classes)
        Counts, truth in rows.

    Returns
    -------
    dict
        "accuracy", "balanced_accuracy", "macro_f1" of shape (draws,); "precision", "recall", "f1"
        of shape (draws, classes). Where a ratio is 0/0 it counts as 0; balanced accuracy averages
        the recalls of the classes that occur.
    """
    hit = np.einsum("bii->bi", both).astype(float)
    true, called = both.sum(2), both.sum(1)
    recall = hit / np.maximum(true, 1)
    f1 = 2 * hit / np.maximum(true + called, 1)
    return {
        "accuracy": hit.sum(1) / both.sum((1, 2)),
        "balanced_accuracy": recall.sum(1) / (true > 0).sum(1),
        "macro_f1": f1.mean(1),
        "precision": hit / np.maximum(called, 1),
        "recall": recall,
        "f1": f1,
    }
