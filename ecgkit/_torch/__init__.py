"""PyTorch's weight files without PyTorch: tensors alone, nothing in the file is ever called."""

from .files import TorchFile, looks_like, read
from .machine import Refused, Tensor

__all__ = ["Refused", "Tensor", "TorchFile", "looks_like", "read"]
