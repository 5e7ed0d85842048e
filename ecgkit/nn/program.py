"""Describe a network once; run it in C for ever."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import LayoutError
from ._compile import compile_graph
from ._compiled import CompiledProgram
from ._graph import Tensor
from ._recipe import Call, replay
from .ops import Calls

__all__ = ["Program"]


@dataclass(frozen=True)
class Resized:
    """Compiles the network for other shapes of its inputs."""

    name: str
    calls: tuple[Call, ...]
    names: tuple[str, ...]  # of the layers, which a converter may have renamed

    def __call__(self, shapes: Mapping[str, tuple[int, ...]]) -> CompiledProgram:
        p = replay(Program(self.name), self.calls, shapes)
        if len(p._nodes) == len(self.names):
            for node, name in zip(p._nodes, self.names):
                node.name = name
        return p.compile()


class Program(Calls):
    """Builder of a forward network.

    Every call of the op families (:mod:`ecgkit.nn.ops`) adds a layer and returns a
    :class:`Tensor` to hand to the next one; shapes are those of one sample. Weights have PyTorch's
    layouts; they are copied, unless they are read-only already, as those of ``ek.weights.read``
    are, which then cost no memory of their own. Convolutions, pools and linear layers accept extra
    leading axes: ``(10, C, T)`` is ten signals of one sample. Every call takes ``name=``, which
    errors, ``print(program)``, profiles and ``taps`` use.

    Parameters
    ----------
    name : str
        Used in messages.

    Examples
    --------
    >>> p = Program("tiny")
    >>> x = p.input("x", (12, 1000))
    >>> h = p.relu(p.batch_norm(p.conv1d(x, weight, bias, padding=2), gamma, beta, mean, var))
    >>> p.output(p.linear(p.mean(h, -1), fc_weight, fc_bias))
    >>> program = p.compile()
    >>> logits = program(batch)
    """

    def input(self, name: str, shape: Sequence[int]) -> Tensor:
        """An input of the network; ``shape`` is that of one sample.

        Several inputs are passed to the compiled program as a tuple, in this order.
        """
        name = self._name("input", name)
        shape = tuple(int(s) for s in shape)
        if any(s < 1 for s in shape):
            raise LayoutError(f"{self._where(name)}: every axis must be at least 1, got {shape}")
        return self._add("input", (), shape, name, rank=max(0, min(len(shape) - 1, 2)))

    def output(self, t: Tensor, name: str | None = None) -> Tensor:
        """Declare ``t`` an output. Several outputs are returned as a tuple, in this order."""
        node = self._node(self._where("output"), t)
        self._outputs.append((name or node.name, node.index))
        return t

    def compile(self) -> CompiledProgram:
        """Fold, fuse, pack and plan.

        Batch norms go into the weights before them; bias, residual sum and activation into the
        kernels; weights into the layout the kernels of the instruction set in use read;
        intermediate tensors into one reused arena.

        Returns
        -------
        CompiledProgram
        """
        if not self._outputs:
            raise ValueError(f"{self.name}: no output; call output(tensor) before compile()")
        again = Resized(self.name, tuple(self._calls), tuple(n.name for n in self._nodes))
        return CompiledProgram(
            self.name, tuple(self._nodes), tuple(self._outputs), compile_graph, again
        )

    def __repr__(self) -> str:
        lines = [f"Program {self.name!r}: {len(self._nodes)} layers"]
        lines += [f"  {n.name:<24} {n.op:<12} {n.shape}" for n in self._nodes]
        return "\n".join(lines)
