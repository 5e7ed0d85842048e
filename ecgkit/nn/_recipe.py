"""A description written down call by call, so that it can be given again for another length."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._typing import Array
from ._graph import Tensor, immutable

UNRECORDED = {"compile"}


@dataclass(frozen=True)
class Ref:
    """A tensor of the description, by number."""

    index: int


@dataclass(frozen=True)
class Call:
    """One call of the description; tensors are :class:`Ref`, arrays are private and read-only."""

    method: str
    args: tuple
    options: dict[str, Any]
    result: Any


def _mapped(value: Any, leaf: Callable[[Any], Any]) -> Any:
    """``value`` with ``leaf`` applied to everything inside its tuples, lists and mappings."""
    if isinstance(value, (tuple, list)):
        return type(value)(_mapped(v, leaf) for v in value)
    if isinstance(value, Mapping):
        return {k: _mapped(v, leaf) for k, v in value.items()}
    return leaf(value)


def _private(value: Any) -> Any:
    """A weight as an array that nobody else can change."""
    if isinstance(value, (Tensor, str, bytes)) or not hasattr(value, "__array__"):
        return value
    a: Array = np.asarray(value)
    return immutable(a, np.float32) if a.dtype.kind == "f" else immutable(a, a.dtype)


def _unbound(value: Any) -> Any:
    return Ref(value.index) if isinstance(value, Tensor) else value


def recorded(method: Callable) -> Callable:
    """The builder call, which also writes itself down when the user (not another call) makes it."""

    @functools.wraps(method)
    def call(self, *args, **options):
        if self._inside:
            return method(self, *args, **options)
        args, options = _mapped(args, _private), _mapped(options, _private)
        self._inside = True
        try:
            result = method(self, *args, **options)
        finally:
            self._inside = False
        kept = _mapped(args, _unbound), _mapped(options, _unbound), _mapped(result, _unbound)
        self._calls.append(Call(method.__name__, *kept))
        return result

    return call


def replay(program: Any, calls: tuple[Call, ...], shapes: Mapping[str, tuple[int, ...]]) -> Any:
    """Give the description to an empty program, with other shapes for its inputs."""
    tensors: dict[int, Tensor] = {}

    def bound(value: Any) -> Any:
        return tensors[value.index] if isinstance(value, Ref) else value

    def learn(old: Any, new: Any) -> None:
        if isinstance(old, Ref):
            tensors[old.index] = new
        elif isinstance(old, (tuple, list)):
            for a, b in zip(old, new):
                learn(a, b)

    for c in calls:
        args, options = _mapped(c.args, bound), _mapped(c.options, bound)
        if c.method == "input":
            name = args[0] if args else options["name"]
            args, options = (name, shapes.get(name, c.options.get("shape", c.args[-1]))), {}
        learn(c.result, getattr(program, c.method)(*args, **options))
    return program
