"""What the functions of this package accept: a Record, or an array with ``fs=``."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._typing import Array
from ..errors import LayoutError, RateError
from ..record import Record, check_fs

_MOST_LEADS = 64


def real_array(x: Any, name: str, argument: str = "x") -> Array:
    """``x`` as it is, an array of real numbers; or an error that names it.

    Raises
    ------
    TypeError
        Not real numbers.
    LayoutError
        Rows of different lengths.
    """
    try:
        array = np.asarray(x)
    except ValueError:
        raise LayoutError(
            f"{name}: {argument} is not an array: its rows have different lengths"
        ) from None
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name}: {argument} must hold real numbers, got dtype {array.dtype}")
    return array


def leads_of(x: Any, fs: float | None, name: str) -> tuple[Array, float, tuple[str, ...] | None]:
    """Array of shape (lead, time), rate and lead names of a Record or of an array with its rate.

    Raises
    ------
    LayoutError
        Not (time,) or (lead, time), or more than 64 rows that are longer down than across.
    RateError
        ``fs`` is missing, not positive, or contradicts the record.
    """
    if isinstance(x, Record):
        if fs is not None and float(fs) != x.fs:
            raise RateError(
                f"{name}: the record has {x.fs:g} Hz, fs={fs:g} was passed; leave fs out"
            )
        return x.signal, x.fs, x.leads
    if fs is None:
        raise RateError(f"{name}: an array has no sampling rate; pass fs= in Hz, or a Record")
    rate = check_fs(fs)
    array = real_array(x, name)
    if array.ndim not in (1, 2):
        raise LayoutError(f"{name}: x must have shape (time,) or (lead, time), got {array.shape}")
    if array.ndim == 2 and array.shape[0] > _MOST_LEADS and array.shape[0] > array.shape[1]:
        raise LayoutError(
            f"{name}: x must have shape (lead, time), got {array.shape}; for (time, lead) pass x.T"
        )
    return np.atleast_2d(array), rate, None
