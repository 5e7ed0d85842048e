"""The forward engine: networks as programs in C, and its kernels one by one.

:class:`Program` describes a network layer by layer; ``compile()`` makes a
:class:`CompiledProgram` of it. The functions have PyTorch's conventions and weight layouts.
"""

from . import functional
from ._compiled import CompiledProgram, Profile
from .convert import from_onnx, from_torch
from .functional import *  # noqa: F403
from .program import Program

__all__ = ["CompiledProgram", "Profile", "Program", "from_onnx", "from_torch", *functional.__all__]
