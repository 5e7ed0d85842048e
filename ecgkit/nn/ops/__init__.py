"""One file per op family: its builder calls, its steps in C, its NumPy functions.

A new family is a copy of the file nearest to it, named in the two lists below.
"""

from . import (
    activation,
    arithmetic,
    attention,
    conv,
    linear,
    norm,
    pool,
    recurrent,
    reduce,
    shape,
    softmax,
)
from .activation import Activation
from .arithmetic import Arithmetic
from .attention import Attention
from .conv import Conv
from .linear import Linear
from .norm import Norm
from .pool import Pool
from .recurrent import Recurrent
from .reduce import Reduce
from .shape import Shape
from .softmax import Softmax

FAMILIES = (
    activation,
    arithmetic,
    attention,
    conv,
    linear,
    norm,
    pool,
    recurrent,
    reduce,
    shape,
    softmax,
)


class Calls(
    Activation, Arithmetic, Attention, Conv, Linear, Norm, Pool, Recurrent, Reduce, Softmax, Shape
):
    """Every builder call."""
