"""Names used in annotations."""

from typing import Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
F32 = NDArray[np.float32]


class ProgramFacts(TypedDict):
    """What the C engine says of a compiled network."""

    isa: str
    weight_bytes: int
    arena_bytes: int


__all__ = ["F32", "Array", "ArrayLike", "ProgramFacts"]
