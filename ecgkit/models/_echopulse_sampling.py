"""ECHOPulse's sampling: all new tokens masked, the surest kept, the rest masked again, 18 times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from .._typing import F32, Array

STEPS = 18
WARMTH = 0.9  # temperature of the first step, before the last step's zero
FIXED = np.float32(-1e4)  # score of a token that stays
ROWS = 64  # tokens whose noise is in memory at a time

Noise = Callable[[int, Array, int], Array]
"""Step, numbers of the tokens, size of the codebook -> uniform numbers (token, code) in [0, 1)."""


@dataclass(frozen=True, eq=False)
class SamplingStep:
    """The state behind one step.

    Attributes
    ----------
    step, steps : int
        From 0; how many there are.
    temperature : float
        Of the step's Gumbel noise; 0 at the last.
    ids : ndarray of int32, shape (T, rows, columns)
        Token numbers so far, the prime frames' before the new ones.
    drawn : ndarray of bool, shape (T, rows, columns)
        Which of them this step drew (the first step: all new ones).
    scores : ndarray of float32, shape (T, rows, columns)
        1 - probability of each token drawn (the highest are masked next), -1e4 elsewhere.
    """

    step: int
    steps: int
    temperature: float
    ids: Array
    drawn: Array
    scores: Array


def masked(step: int, steps: int, tokens: int) -> int:
    """How many tokens a step masks: the cosine schedule, all at step 0, at least one."""
    return max(1, round(tokens * float(np.cos(np.pi / 2 * step / steps))))


def seeded(seed: int) -> Noise:
    """Noise of a seed: each step draws from a generator of its own, token by token in order."""
    streams: dict[int, np.random.Generator] = {}

    def noise(step: int, tokens: Array, codes: int) -> Array:
        if step not in streams:
            streams.clear()
            streams[step] = np.random.default_rng([seed, step])
        return streams[step].random((len(tokens), codes), dtype=np.float32)

    return noise


def draw(logits: F32, uniform: Array, temperature: float) -> tuple[Array, F32]:
    """Codes drawn from logits (token, code) with Gumbel noise, and 1 - their probability (at
    temperature 1)."""
    tiny = np.float32(1e-10)
    gumbel = -np.log(-np.log(uniform.astype(np.float32, copy=False) + tiny) + tiny)
    picked = np.argmax(logits / np.float32(max(temperature, 1e-10)) + gumbel, axis=-1)
    top = logits.max(axis=-1, keepdims=True)
    powers = np.exp(logits - top)
    chosen = np.take_along_axis(powers, picked[:, None], -1)[:, 0]
    return picked, (1 - chosen / powers.sum(axis=-1)).astype(np.float32)


def sample(
    logits_of: Callable[[Array], F32], prime: Array, grid: tuple[int, int, int], codes: int,
    steps: int, noise: Noise,
) -> Iterator[SamplingStep]:  # fmt: skip
    """The steps, one by one: ``logits_of`` all token numbers (prime and new) gives the logits of
    the new ones."""
    new = int(np.prod(grid)) - prime.size
    ids = np.full(new, codes, np.int32)
    scores = np.full(new, FIXED)
    drawn = np.ones(new, bool)

    def whole(values: Array, fill) -> Array:
        before = fill if isinstance(fill, np.ndarray) else np.full(prime.size, fill, values.dtype)
        return np.concatenate([before, values]).reshape(grid)

    for step in range(steps):
        if step:
            again = np.argsort(-scores, kind="stable")[: masked(step, steps, new)]
            drawn = np.zeros(new, bool)
            drawn[again] = True
            ids[drawn] = codes
        logits = logits_of(np.concatenate([prime, ids]))
        temperature = WARMTH * (steps - 1 - step) / steps
        scores = np.full(new, FIXED)
        todo = np.flatnonzero(drawn)
        for i in range(0, len(todo), ROWS):
            some = todo[i : i + ROWS]
            ids[some], scores[some] = draw(logits[some], noise(step, some, codes), temperature)
        yield SamplingStep(
            step, steps, temperature, whole(ids, prime), whole(drawn, False), whole(scores, FIXED)
        )
