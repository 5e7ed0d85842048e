"""Networks of other frameworks as programs."""

from ._torch import from_torch

__all__ = ["from_torch"]
