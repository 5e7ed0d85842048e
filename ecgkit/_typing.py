"""Names used in annotations."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
F32 = NDArray[np.float32]

__all__ = ["F32", "Array", "ArrayLike"]
