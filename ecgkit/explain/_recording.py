"""The one recording that is explained."""

from __future__ import annotations

from typing import Any

from .._typing import Array
from ..errors import LayoutError
from ..record import Record


def one(model: Any, x: Any, fs: float | None, unit: str, what: str) -> tuple[Array, Record]:
    """Signals (1, lead, time) as the contract admits them, and the same as a Record to draw.

    Raises
    ------
    LayoutError
        More than one recording, or none.
    """
    contract = model.contract
    signals, _ = contract.admit(x, fs, unit=unit)
    if len(signals) != 1:
        raise LayoutError(f"{what} explains one recording, got {len(signals)}; loop over them")
    return signals, Record(signals[0], contract.fs, contract.leads, unit=contract.unit)
