"""The engine's kernels one by one, on NumPy arrays, with PyTorch's conventions and weight layouts.

Everything is float32 inside and out. Leading axes are batch axes. A call packs its weights anew: a
network that runs more than once belongs in a :class:`ecgkit.nn.Program`, which runs the same
kernels. The functions live beside their builder calls, in :mod:`ecgkit.nn.ops`.
"""

from .ops import FAMILIES
from .ops.activation import *  # noqa: F403
from .ops.arithmetic import *  # noqa: F403
from .ops.attention import *  # noqa: F403
from .ops.conv import *  # noqa: F403
from .ops.conv_transpose import *  # noqa: F403
from .ops.embedding import *  # noqa: F403
from .ops.index import *  # noqa: F403
from .ops.linear import *  # noqa: F403
from .ops.matmul import *  # noqa: F403
from .ops.norm import *  # noqa: F403
from .ops.pool import *  # noqa: F403
from .ops.recurrent import *  # noqa: F403
from .ops.reduce import *  # noqa: F403
from .ops.resize import *  # noqa: F403
from .ops.shape import *  # noqa: F403
from .ops.softmax import *  # noqa: F403
from .ops.unary import *  # noqa: F403

__all__ = sorted(name for family in FAMILIES for name in family.__all__)
