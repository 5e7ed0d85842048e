"""Tables: rows by number, and values that are the same in every sample."""

import numpy as np

from ..._typing import F32, Array, ArrayLike
from ...errors import WeightsError
from .._builder import Builder
from .._call import apply
from .._compile import Planner
from .._graph import Tensor, array
from .._op import Step, op

__all__ = ["embedding"]

_LONGEST = 1 << 24  # row numbers are exact in float32 up to here


class Embedding(Builder):
    def embedding(self, ids: Tensor, weight: ArrayLike, *, name=None) -> Tensor:
        """Rows of a table by their numbers.

        Parameters
        ----------
        ids : Tensor, any shape
            Whole numbers ``0..rows - 1``. An input of ids is passed as an array of any integer
            type; a number outside the table ends the call with a ``RangeError`` that names it.
        weight : array_like, shape (rows, width)
            At most 2**24 rows.
        """
        name, where, node = self._begin("embedding", name, ids)
        w = array(where, "weight", weight, (None, None))
        if not 0 < len(w) <= _LONGEST or not w.shape[1]:
            raise WeightsError(
                f"{where}: weight must have 1..{_LONGEST} rows and a width, got shape {w.shape}"
            )
        return self._add(
            "embedding", (ids,), (*node.shape, w.shape[1]), name, weights={"weight": w}
        )

    def constant(self, value: ArrayLike, *, name=None) -> Tensor:
        """The same numbers in every sample: position embeddings, class tokens."""
        name = self._name("constant", name)
        v = array(self._where(name), "value", value)
        return self._add(
            "constant", (), v.shape, name, max(0, min(v.ndim - 1, 2)), weights={"value": v}
        )


@op("embedding")
def _embedding(plan: Planner, step: Step) -> None:
    w = step.node.weights["weight"]
    count = int(np.prod(plan.nodes[step.node.inputs[0]].shape, dtype=np.int64))
    bufs = [*plan.sources(step), plan.target(step)]
    plan.emit(step, "embedding", bufs, (count, *w.shape), arrays=(w,), what="rows of a table")


@op("constant")
def _constant(plan: Planner, step: Step) -> None:
    arrays = (step.node.weights["value"],)
    plan.emit(step, "constant", [plan.target(step)], arrays=arrays, what="copy")


def embedding(
    ids: ArrayLike, weight: ArrayLike, *, out: Array | None = None, threads: int | None = None
) -> F32:
    """Rows of a table by their numbers, as ``torch.nn.functional.embedding``.

    Parameters
    ----------
    ids : array_like of int, any shape
        Whole numbers ``0..rows - 1``.
    weight : array_like, shape (rows, width)
    out, threads
        As :func:`conv1d`.

    Returns
    -------
    ndarray, float32, shape (*ids.shape, width)

    Raises
    ------
    RangeError
        A number outside the table.
    """
    a = np.asarray(ids)
    if a.dtype.kind not in "iu":
        raise TypeError(f"embedding: ids must be integers, got dtype {a.dtype}")
    axes = min(1, a.ndim)
    if a.size == 0:
        axes = 0
    return apply(
        "embedding", a, axes, lambda p, t: p.embedding(t, weight, name="embedding"), out, threads
    )
