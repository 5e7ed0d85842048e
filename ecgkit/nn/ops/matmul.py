"""Products of two tensors."""

import numpy as np

from ..._typing import F32, Array, ArrayLike
from ...errors import LayoutError
from .._builder import Builder
from .._call import numbers
from .._compile import Planner
from .._graph import Tensor
from .._op import Step, op
from .._views import whole

__all__ = ["matmul"]

_MAX_AXES = 6  # of the kernel


class Matmul(Builder):
    def matmul(self, a: Tensor, b: Tensor, *, name=None) -> Tensor:
        """``a @ b`` of the last two axes; the axes before them broadcast as NumPy's. A product with
        constant weights is :meth:`linear`, and faster.

        Parameters
        ----------
        a : Tensor, shape (..., m, k)
        b : Tensor, shape (..., k, n)
        """
        name, where, x = self._begin("matmul", name, a)
        y = self._node(where, b)
        if min(len(x.shape), len(y.shape)) < 2 or x.shape[-1] != y.shape[-2]:
            raise LayoutError(
                f"{where}: wanted (..., m, k) and (..., k, n), got {x.shape} and {y.shape}"
            )
        try:
            lead = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
        except ValueError:
            raise LayoutError(
                f"{where}: the leading axes of {x.shape} and {y.shape} do not broadcast"
            ) from None
        axes = _axes(lead, x.shape, y.shape)
        if len(axes) > _MAX_AXES:
            raise LayoutError(
                f"{where}: {len(lead)} leading axes in {x.shape} and {y.shape}; at most "
                f"{_MAX_AXES} that do not merge are supported"
            )
        shape = (*lead, x.shape[-2], y.shape[-1])
        return self._add("matmul", (a, b), shape, name, attrs={"axes": axes, "k": x.shape[-1]})


def _axes(lead, x, y) -> list[tuple[int, int, int]]:
    """Length and strides (0: repeated) of the leading axes, merged where both operands allow it."""
    strides = []
    for shape in (x, y):
        own = whole(shape).strides[:-2]
        lengths = shape[:-2]
        kept = [s if n > 1 else 0 for s, n in zip(own, lengths)]
        strides.append([0] * (len(lead) - len(kept)) + kept)
    axes: list[tuple[int, int, int]] = []
    for n, s, t in zip(lead, *strides):
        if n == 1:
            continue
        if axes and axes[-1][1] == n * s and axes[-1][2] == n * t:
            axes[-1] = (axes[-1][0] * n, s, t)
        else:
            axes.append((n, s, t))
    return axes


@op("matmul")
def _matmul(plan: Planner, step: Step) -> None:
    n = step.node
    rows, columns = n.shape[-2:]
    k = n.attrs["k"]
    ints = [rows, k, columns, len(n.attrs["axes"]), *(i for a in n.attrs["axes"] for i in a)]
    bufs = [*plan.sources(step), plan.target(step)]
    macs = int(np.prod(n.shape, dtype=np.int64)) * k
    plan.emit(step, "matmul", bufs, ints, what="products, packed on the way", macs=macs)


def matmul(
    a: ArrayLike, b: ArrayLike, *, out: Array | None = None, threads: int | None = None
) -> F32:
    """``a @ b``, as ``torch.matmul``, for arrays of at least two axes.

    Parameters
    ----------
    a : array_like, shape (..., m, k)
    b : array_like, shape (..., k, n)
        Leading axes broadcast.
    out, threads
        As :func:`conv1d`.

    Returns
    -------
    ndarray, float32, shape (..., m, n)

    Raises
    ------
    LayoutError
        Shapes that do not fit, or an empty axis.
    """
    from ..program import Program  # it is made of the families

    arrays = [numbers("matmul", x) for x in (a, b)]
    if any(x.size == 0 for x in arrays):
        raise LayoutError(f"matmul: an empty axis in {arrays[0].shape} or {arrays[1].shape}")
    p = Program("matmul")
    inputs = [p.input(key, x.shape) for key, x in zip("ab", arrays)]
    y = p.output(p.matmul(*inputs, name="matmul"))
    if out is not None and (not isinstance(out, np.ndarray) or out.shape != y.shape):
        got = out.shape if isinstance(out, np.ndarray) else type(out).__name__
        raise LayoutError(f"matmul: out must be a float32 array of shape {y.shape}, got {got}")
    given = tuple(x[None] for x in arrays)
    result = p.compile()(given, out=None if out is None else out[None], threads=threads)
    return result[0] if out is None else out
