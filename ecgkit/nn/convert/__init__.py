"""Networks of other frameworks as programs."""

from ._onnx import from_onnx
from ._torch import from_torch

__all__ = ["from_onnx", "from_torch"]
