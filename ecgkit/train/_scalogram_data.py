"""Signals and images for the stacked-scalogram recipe, made by the model's own contract."""

from __future__ import annotations

import numpy as np

from .._typing import Array
from ..datasets import Dataset
from ..models._contract import Contract
from ..models.scalogram_arrhythmia import ScalogramArrhythmia

LABELS = ScalogramArrhythmia.labels
FS = 100.0
SAMPLES = 1000
WINDOW = 100  # samples of one image
SPLITS = {"train": range(1, 9), "validation": (9,), "test": (10,)}


def contract(network: str, image: int | None = None) -> Contract:
    """The preprocessing that the model of this network carries."""
    return ScalogramArrhythmia.contract_of(network, image)


def load(data: Dataset, rules: Contract, batch: int = 512) -> Array:
    """All signals of a data set, filtered and normalised, before the images: (n, 12, 1000)."""
    out = np.empty((len(data), len(rules.leads), rules.length), np.float32)
    at = 0
    for x in data.signal_batches(batch):
        out[at : at + len(x)] = rules.filtered(x)
        at += len(x)
    return out


def images(x: Array, rules: Contract) -> Array:
    """Filtered signals -> (n, 10, 768, 64), or (n, 10, 3, side, side) for a 2-D network."""
    return rules.featured(x)


def augment(
    x: Array,
    rng: np.random.Generator,
    *,
    shift: float = 0.5,
    gain: float = 0.1,
    noise: float = 0.05,
    lead_drop: float = 0.05,
) -> Array:
    """Move the grid of windows, change gains, add noise, lose leads.

    The networks see windows of one second, each by itself, so a moved grid is nine whole windows
    from an offset of less than one second on, and the first or the last second of the record as
    the tenth: no sample is invented and no window spans a join.

    Parameters
    ----------
    x : ndarray, shape (n, 12, 1000)
        Filtered signals; not modified.
    rng : numpy.random.Generator
    shift : float
        Probability that the grid of a record is moved.
    gain : float
        Deviation of the logarithm of each lead's gain.
    noise : float
        Largest deviation of white noise, in deviations of a lead.
    lead_drop : float
        Probability that a lead is silent.
    """
    x = x.copy()
    n, leads, length = x.shape
    for i in np.flatnonzero(rng.random(n) < shift):
        start = int(rng.integers(1, WINDOW))
        nine = x[i, :, start : start + length - WINDOW].copy()
        if rng.random() < 0.5:
            x[i, :, :-WINDOW] = nine
        else:
            x[i, :, WINDOW:] = nine
    x *= np.exp(gain * rng.standard_normal((n, leads, 1), np.float32))
    loud = noise * rng.random((n, 1, 1), np.float32)
    x += loud * rng.standard_normal(x.shape, np.float32)
    x *= rng.random((n, leads, 1)) >= lead_drop
    return x


def draw(y: Array, count: int, power: float, rng: np.random.Generator) -> Array:
    """Indices with replacement; the share of a class is proportional to its size ** ``power``."""
    sizes = np.bincount(y, minlength=len(LABELS)).astype(float)
    weight = sizes[y] ** (power - 1.0)
    return rng.choice(len(y), size=count, p=weight / weight.sum())
