"""One file per op family: its builder calls, its steps in C, its NumPy functions.

A new family is a copy of the file nearest to it, named in the lists below.
"""

from . import (
    activation,
    arithmetic,
    attention,
    conv,
    conv_transpose,
    embedding,
    index,
    linear,
    matmul,
    merge,
    norm,
    pool,
    recurrent,
    reduce,
    resize,
    shape,
    softmax,
    unary,
)
from .activation import Activation
from .arithmetic import Arithmetic
from .attention import Attention
from .conv import Conv
from .conv_transpose import ConvTranspose
from .embedding import Embedding
from .index import Index
from .linear import Linear
from .matmul import Matmul
from .norm import Norm
from .pool import Pool
from .recurrent import Recurrent
from .reduce import Reduce
from .resize import Resize
from .shape import Shape
from .softmax import Softmax
from .unary import Unary

FAMILIES = (
    activation,
    arithmetic,
    attention,
    conv,
    conv_transpose,
    embedding,
    index,
    linear,
    matmul,
    merge,
    norm,
    pool,
    recurrent,
    reduce,
    resize,
    shape,
    softmax,
    unary,
)


class Calls(
    ConvTranspose,
    Conv,
    Resize,
    Index,
    Unary,
    Activation,
    Arithmetic,
    Attention,
    Embedding,
    Linear,
    Matmul,
    Norm,
    Pool,
    Recurrent,
    Reduce,
    Softmax,
    Shape,
):
    """Every builder call."""
