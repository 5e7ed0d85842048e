"""Prototypes: similarity of feature maps to them, and their projection onto real records."""

from ._push import Push, push
from ._similarity import similarity

__all__ = ["Push", "push", "similarity"]
