"""A system small enough to check by hand: logits are a linear map of each lead's mean square."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ecgkit.models import Contract, Model


class Energy:
    """The toy's network; like a compiled program it is called with a batch and names of taps."""

    def __init__(self, weight):
        self.weight = weight

    def __call__(self, x, taps=()):
        features = np.mean(x**2, axis=-1)
        out = np.stack([self.weight @ row for row in features]) if len(x) else np.zeros((0, 3))
        return {"output": out, "features": features} if taps else out


class Toy(Model):
    """Three classes from twelve leads of two seconds at 100 Hz."""

    name = "toy"
    task = "a test"
    labels = ("A", "B", "C")
    paper: ClassVar = {"title": "None", "id": "none"}
    paper_reported: ClassVar = []
    variants: ClassVar = {"size": ("small", "large")}
    published = "there are none"

    @classmethod
    def contract_of(cls, size):
        return Contract(fs=100, length=200)

    @classmethod
    def expected(cls, size):
        return {"weight": (3, 12)}

    def program(self, tensors):
        return Energy(tensors["weight"])

    def classify(self, prepared):
        e = np.exp(self.forward(prepared))
        return (e / e.sum(axis=-1, keepdims=True)).astype(np.float32), None


def toy(seed=0, **facts):
    """A Toy with seeded weights."""
    weight = np.random.default_rng(seed).normal(size=(3, 12)).astype(np.float32)
    variant = {"size": "small"}
    return Toy({"weight": weight}, variant, Toy.contract_of(**variant), Toy.bare_card(), "test")
