"""The plumbing of a description: nodes, names, and what the op families' builder calls share."""

import inspect
import math

from .._typing import F32, ArrayLike
from ..errors import LayoutError
from ._graph import Node, Tensor, array
from ._recipe import UNRECORDED, Call, recorded

_MOST = 2**31 - 1  # numbers of one sample that the kernels count to


class Builder:
    """A list of nodes under unique names. The op families add the calls (:mod:`ecgkit.nn.ops`)."""

    def __init__(self, name: str = "program"):
        self.name = name
        self._nodes: list[Node] = []
        self._outputs: list[tuple[str, int]] = []
        self._names: set[str] = set()
        self._calls: list[Call] = []
        self._inside = False  # a builder call

    def __init_subclass__(cls, **options) -> None:
        """Every builder call of a family is written down."""
        super().__init_subclass__(**options)
        for name, member in list(vars(cls).items()):
            if inspect.isfunction(member) and not name.startswith("_") and name not in UNRECORDED:
                setattr(cls, name, recorded(member))

    def _name(self, op: str, name: str | None) -> str:
        if name is None:
            count = sum(n.op == op for n in self._nodes)
            name = f"{op}_{count}"
            while name in self._names:
                count += 1
                name = f"{op}_{count}"
        elif name in self._names:
            raise ValueError(f"{self.name}: the name {name!r} is taken; names must differ")
        return name

    def _where(self, name: str) -> str:
        return f"{self.name}.{name}"

    def _node(self, where: str, t: Tensor) -> Node:
        if not isinstance(t, Tensor):
            raise TypeError(f"{where}: wanted a tensor of this program, got {type(t).__name__}")
        if t.program is not self:
            raise ValueError(f"{where}: tensor {t.name!r} belongs to another program")
        return self._nodes[t.index]

    def _begin(self, op: str, name: str | None, x: Tensor) -> tuple[str, str, Node]:
        """A layer's name, its place for messages, and the node it reads."""
        name = self._name(op, name)
        where = self._where(name)
        return name, where, self._node(where, x)

    def _add(self, op, inputs, shape, name, rank=0, attrs=None, weights=None) -> Tensor:
        index = len(self._nodes)
        ids = tuple(t.index for t in inputs)
        shape = tuple(int(s) for s in shape)
        count = math.prod(shape)
        if count > _MOST:
            raise LayoutError(
                f"{self._where(name)}: a sample of shape {shape} holds {count} numbers; the engine "
                f"takes at most {_MOST}"
            )
        self._nodes.append(Node(index, op, ids, shape, name, rank, attrs or {}, weights or {}))
        self._names.add(name)
        return Tensor(self, index, shape, name)

    @staticmethod
    def _vector(where: str, name: str, value: ArrayLike | None, length: int, default: float) -> F32:
        """A weight per channel or feature, checked; ``default`` everywhere for None."""
        return array(where, name, [default] * length if value is None else value, (length,))

    @staticmethod
    def _axis(where: str, node: Node, axis: int) -> int:
        nd = len(node.shape)
        if not -nd <= axis < nd:
            raise LayoutError(
                f"{where}: axis {axis} is outside shape {node.shape} (the batch axis is not "
                "counted)"
            )
        return axis % nd
