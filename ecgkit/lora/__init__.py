"""LoRA adapters: merged into weights in memory."""

from ._merge import merge, to_bfloat16, to_float32, unmerge

__all__ = ["merge", "to_bfloat16", "to_float32", "unmerge"]
