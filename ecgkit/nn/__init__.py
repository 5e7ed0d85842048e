"""The forward engine: networks as programs in C, and its kernels one by one.

:class:`Program` describes a network layer by layer; ``compile()`` makes a :class:`CompiledProgram` of it. The functions
have PyTorch's conventions and weight layouts.
"""

from ._compiled import CompiledProgram, Profile
from .program import Program

__all__ = ["CompiledProgram", "Profile", "Program"]
