"""Prototypes: similarity of feature maps to them, and their projection onto real records."""

from ._similarity import similarity

__all__ = ["similarity"]
