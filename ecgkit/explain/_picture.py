"""Explanations of models that take pictures: a value for each cell of a grid."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import _html
from .._typing import Array
from ..errors import LayoutError


@dataclass(frozen=True, eq=False, repr=False)
class PictureMap:
    """Numbers over a picture.

    Attributes
    ----------
    method : str
        ``"attention (rollout)"`` and the like, or ``"occlusion"``.
    title, legend : str
        What is explained, and what a value means.
    values : ndarray, float64, shape (row, column)
        A value per cell, top left first; occlusion: positive where a cell speaks for the label;
        attention: shares, which sum to 1 with ``special``.
    picture : ndarray, uint8, shape (height, width, channel)
        As the network saw it, before scaling.
    special : float
        Attention: the share of class tokens.
    layers : dict of str to ndarray, shape (1, head, query, key)
        Attention: the weights, layer by layer.
    """

    method: str
    title: str
    legend: str
    values: Array
    picture: Array
    special: float = 0.0
    layers: dict[str, Array] = field(default_factory=dict)

    @property
    def signed(self) -> bool:
        """Values speak for or against a label."""
        return self.method == "occlusion"

    def to_frame(self):
        """Rows and columns of cells (pandas)."""
        from .._extras import need

        return need("pandas", "cli", "PictureMap.to_frame").DataFrame(self.values)

    def plot(self):
        """The values over the picture in grey (a matplotlib Figure)."""
        from ..plot._evidence import picture_evidence

        even = 1.0 if self.signed else float(self.values.size)
        return picture_evidence(
            self.picture, self.values * even, self.title, self.legend, signed=self.signed
        )

    def _lines(self) -> list[tuple[str, str]]:
        high, wide = self.values.shape
        rows = []
        for i in np.argsort(-self.values, axis=None, kind="stable")[:5]:
            row, column = divmod(int(i), wide)
            where = f"row {row + 1} of {high}, column {column + 1} of {wide}"
            rows.append((where, f"{self.values[row, column]:+.4f}"))
        return rows

    def __repr__(self) -> str:
        lines = [f"  {value}  {where}" for where, value in self._lines()]
        return "\n".join([f"{self.title} ({self.legend}): the largest values", *lines])

    def _repr_html_(self) -> str:
        return _html.table(["cell", "value"], self._lines(), caption=f"{self.title}: {self.legend}")


def takes_pictures(model: Any) -> bool:
    """Whether the model's contract is one of pictures."""
    from ..models._image_contract import ImageContract

    return isinstance(model.contract, ImageContract)


def one_picture(model: Any, x: Any, fs: float | None, unit: str, what: str) -> Array:
    """The picture (1, height, width, channel) that is explained."""
    pictures, _ = model.contract.admit(x, fs, unit=unit)
    if len(pictures) != 1:
        raise LayoutError(f"{what} explains one picture, got {len(pictures)}; loop over them")
    return pictures


def occlude(model: Any, picture: Array, answer: Any, cells: tuple[int, int]) -> Array:
    """The answer with one cell of the picture in its mean colour, (row, column)."""
    high, wide = picture.shape[1:3]
    rows, columns = cells
    if not (1 <= rows <= high and 1 <= columns <= wide):
        raise LayoutError(f"cells must be 1..{high} rows and 1..{wide} columns, got {cells}")
    plain = picture[0].mean(axis=(0, 1)).round().astype(np.uint8)
    top, left = (np.linspace(0, n, k + 1).round().astype(int) for n, k in zip((high, wide), cells))
    parts = [(r, c) for r in range(rows) for c in range(columns)]
    found = np.empty(len(parts))
    for first in range(0, len(parts), model.batch):
        some = parts[first : first + model.batch]
        batch = np.repeat(picture, len(some), axis=0)
        for copy, (r, c) in zip(batch, some, strict=True):
            copy[top[r] : top[r + 1], left[c] : left[c + 1]] = plain
        found[first : first + len(some)] = answer(model.contract.transform(batch))
    return found.reshape(rows, columns)
