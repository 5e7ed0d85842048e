"""The engine's kernels one by one, on NumPy arrays: a program of one layer, built and run."""

import functools
import inspect
from collections.abc import Callable, Collection
from typing import Any, Protocol

import numpy as np

from .._typing import F32, Array, ArrayLike
from ..errors import LayoutError
from ._graph import Tensor

_OPTIONS = """\
out : ndarray, optional
    float32, C-contiguous, the result's shape.
threads : int, optional
    Default: the process setting."""

_ENDS = """
Returns
-------
ndarray, float32

Raises
------
LayoutError, WeightsError
    Shapes that do not fit."""


_BUILDER_ONLY, _EXTRA = ("self", "name"), ("out", "threads")


class Function(Protocol):
    """A layer as a function of an array; its own arguments are those of the builder call."""

    __name__: str

    def __call__(
        self,
        x: ArrayLike,
        *args: Any,
        out: Array | None = None,
        threads: int | None = None,
        **options: Any,
    ) -> F32: ...


def numbers(name: str, x: ArrayLike) -> Array:
    """``x`` as an array of real numbers."""
    a = np.asarray(x)
    if a.dtype.kind not in "fiu":
        raise TypeError(f"{name}: x must hold real numbers, got dtype {a.dtype}")
    return a


def apply(
    name: str, x: ArrayLike, axes: int, build: Callable[[Any, Tensor], Tensor], out, threads
) -> F32:
    """Run one layer; the last ``axes`` axes of x are the sample, all before them the batch."""
    from .program import Program  # it is made of the families that call this

    a = numbers(name, x)
    if a.ndim < axes:
        raise LayoutError(f"{name}: x must have at least {axes} axes, got shape {a.shape}")
    lead, sample = a.shape[: a.ndim - axes], a.shape[a.ndim - axes :]
    if 0 in sample:
        raise LayoutError(
            f"{name}: x has an empty axis, shape {a.shape}; only batch axes may be empty"
        )
    p = Program(name)
    y = p.output(build(p, p.input("x", sample)))
    rows = a.reshape(int(np.prod(lead, dtype=np.int64)), *sample)
    shape = (*lead, *y.shape)
    into = None
    if out is not None:
        if not isinstance(out, np.ndarray) or out.shape != shape:
            got = out.shape if isinstance(out, np.ndarray) else type(out).__name__
            raise LayoutError(f"{name}: out must be a float32 array of shape {shape}, got {got}")
        into = out.reshape(len(rows), *y.shape) if out.flags.c_contiguous else out
    got = p.compile()(rows, out=into, threads=threads)
    return got.reshape(shape) if out is None else out


def function(method: Callable[..., Tensor], axes: int | None = None, **fixed: Any) -> Function:
    """The NumPy function of a builder call: same name, arguments and documentation.

    Parameters
    ----------
    method : function
        A builder call ``(self, x, ..., *, name=None)``.
    axes : int, optional
        How many trailing axes of ``x`` are the sample; the axes before them are the batch.
        Default: all but the first.
    fixed
        Arguments of the builder call that the function does not offer.
    """
    name = method.__name__

    @functools.wraps(method)
    def call(x, *args, out=None, threads=None, **options):
        if "name" in options:
            raise TypeError(f"{name}() got an unexpected keyword argument 'name'")
        return apply(
            name,
            x,
            max(1, np.ndim(x) - 1) if axes is None else axes,
            lambda p, t: getattr(p, name)(t, *args, **options, **fixed, name=name),
            out,
            threads,
        )

    return _dressed(call, method, fixed)


def elementwise(method: Callable[..., Tensor]) -> Function:
    """The NumPy function of a builder call that treats every number alike."""
    name = method.__name__

    @functools.wraps(method)
    def call(x, *args, out=None, threads=None, **options):
        def build(p, t):
            return getattr(p, name)(t, *args, **options)

        a = numbers(name, x)
        if a.size == 0 or a.ndim == 0:
            return apply(name, a, 0, build, out, threads)
        flat_out = out
        if isinstance(out, np.ndarray):
            if out.shape != a.shape:
                raise LayoutError(f"{name}: out must have shape {a.shape}, got {out.shape}")
            flat_out = out.reshape(-1) if out.flags.c_contiguous else out
        y = apply(name, a.reshape(-1), 1, build, flat_out, threads)
        return y.reshape(a.shape) if out is None else out

    return _dressed(call, method)


def run_whole(name: str, arrays: list[Array], build: Callable[..., Tensor], out, threads) -> F32:
    """Run one layer on whole arrays: no axis is a batch axis."""
    from .program import Program  # it is made of the families that call this

    empty = [a.shape for a in arrays if a.size == 0]
    if empty:
        raise LayoutError(f"{name}: x has an empty axis, shape {empty[0]}")
    p = Program(name)
    y = p.output(build(p, *(p.input(f"x{i}", a.shape) for i, a in enumerate(arrays))))
    if out is not None and (not isinstance(out, np.ndarray) or out.shape != y.shape):
        got = out.shape if isinstance(out, np.ndarray) else type(out).__name__
        raise LayoutError(f"{name}: out must be a float32 array of shape {y.shape}, got {got}")
    into = None if out is None else out[None]
    given = tuple(a[None] for a in arrays)
    got = p.compile()(given if len(given) > 1 else given[0], out=into, threads=threads)
    return got[0] if out is None else out


def whole(method: Callable[..., Tensor]) -> Function:
    """The NumPy function of a builder call whose axes count from the array's first: no axis is a
    batch axis."""
    name = method.__name__

    @functools.wraps(method)
    def call(x, *args, out=None, threads=None, **options):
        def build(p, t):
            return getattr(p, name)(t, *args, **options, name=name)

        return run_whole(name, [numbers(name, x)], build, out, threads)

    return _dressed(call, method)


def _dressed(call: Any, method: Callable[..., Tensor], fixed: Collection[str] = ()) -> Function:
    """The signature and documentation of a NumPy function."""
    given = inspect.signature(method)
    plain = inspect.Parameter.empty
    own = [
        p.replace(annotation=plain)
        for n, p in given.parameters.items()
        if n not in _BUILDER_ONLY and n not in fixed
    ]
    own += [inspect.Parameter(o, inspect.Parameter.KEYWORD_ONLY, default=None) for o in _EXTRA]
    call.__signature__ = given.replace(parameters=own, return_annotation=plain)
    call.__annotations__ = {}
    doc = inspect.cleandoc(method.__doc__ or "")
    if "Parameters\n---" not in doc:
        doc += "\n\nParameters\n----------"
    call.__doc__ = f"{doc}\n{_OPTIONS}\n{_ENDS}"
    call.__qualname__ = call.__name__
    del call.__wrapped__
    return call
