"""Choices of a model that no list can hold: stated in words, checked by a rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


class Choice(tuple):
    """In :attr:`Model.variants`: shows itself as its words; holds what its rule admits.

    >>> share = Choice("0 to 1", lambda v: 0 <= v <= 1)
    >>> 0.25 in share, 2.0 in share, "all" in share
    (True, False, False)
    """

    admits: Callable[[Any], bool]

    def __new__(cls, words: str, admits: Callable[[Any], bool]):
        made = super().__new__(cls, (words,))
        made.admits = admits
        return made

    def __contains__(self, value: object) -> bool:
        try:
            return bool(self.admits(value))
        except (TypeError, ValueError):
            return False


def per_lead(words: str, leads: int, *, positive: bool = False) -> Choice:
    """None, or a tuple with a finite number for each lead."""

    def admits(value: Any) -> bool:
        if value is None:
            return True
        numbers = np.asarray(value, np.float64)
        fits = isinstance(value, tuple) and numbers.shape == (leads,)
        return fits and bool(np.isfinite(numbers).all() and (not positive or (numbers > 0).all()))

    return Choice(words, admits)
