"""Comparison of found beats with reference beats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._typing import Array, ArrayLike


@dataclass(frozen=True, eq=False)
class BeatMatch:
    """Result of :func:`match_beats`.

    Attributes
    ----------
    error : ndarray, shape (matched,)
        Found minus reference in seconds, one per matched pair.
    missed, extra : ndarray of int64
        Reference beats without a partner, found beats without a partner (sample indices).
    """

    error: Array
    missed: Array
    extra: Array

    @property
    def sensitivity(self) -> float:
        """Matched over reference beats; NaN without reference beats."""
        beats = len(self.error) + len(self.missed)
        return len(self.error) / beats if beats else np.nan

    @property
    def predictivity(self) -> float:
        """Matched over found beats; NaN without found beats."""
        beats = len(self.error) + len(self.extra)
        return len(self.error) / beats if beats else np.nan


def match_beats(
    reference: ArrayLike, found: ArrayLike, *, fs: float, window: float = 0.15
) -> BeatMatch:
    """Match beats one to one within a time window, as ANSI/AAMI EC57 counts them.

    Parameters
    ----------
    reference, found : array_like of int
        Sample indices, ascending.
    fs : float
        Rate in Hz.
    window : float
        Largest distance in seconds, itself included; EC57 uses 150 ms.

    Returns
    -------
    BeatMatch
        The largest possible number of pairs; where a beat has two candidates, the nearer one is
        taken if that costs no pair.
    """
    ref, got = np.asarray(reference, np.int64), np.asarray(found, np.int64)
    if ref.ndim != 1 or got.ndim != 1 or (np.diff(ref) < 0).any() or (np.diff(got) < 0).any():
        raise ValueError("match_beats: reference and found must be ascending lists of samples")
    reach = np.floor(window * fs + 1e-9)
    pairs, missed, extra = [], [], []
    i = j = 0
    while i < len(ref) and j < len(got):
        distance = got[j] - ref[i]
        if distance < -reach:
            extra.append(got[j])
            j += 1
        elif distance > reach:
            missed.append(ref[i])
            i += 1
        elif (
            j + 1 < len(got)
            and abs(got[j + 1] - ref[i]) < abs(distance)
            and not (i + 1 < len(ref) and got[j + 1] >= ref[i + 1] - reach)
        ):
            extra.append(got[j])
            j += 1
        elif (
            i + 1 < len(ref)
            and abs(ref[i + 1] - got[j]) < abs(distance)
            and not (j + 1 < len(got) and got[j + 1] <= ref[i + 1] + reach)
        ):
            missed.append(ref[i])
            i += 1
        else:
            pairs.append(distance)
            i += 1
            j += 1
    return BeatMatch(
        np.asarray(pairs, np.float64) / fs,
        np.asarray([*missed, *ref[i:]], np.int64),
        np.asarray([*extra, *got[j:]], np.int64),
    )
