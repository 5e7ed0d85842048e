"""LoRA adapters: merged into weights in memory, and into checkpoints on disk as a stream."""

from ._checkpoint import merge_checkpoint
from ._merge import merge, to_bfloat16, to_float32, unmerge
from ._report import MergeReport, TensorReport

__all__ = [
    "MergeReport",
    "TensorReport",
    "merge",
    "merge_checkpoint",
    "to_bfloat16",
    "to_float32",
    "unmerge",
]
