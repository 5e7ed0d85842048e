"""Recurrent layers over time."""

from collections.abc import Mapping

import numpy as np

from ..._typing import F32, ArrayLike
from ...errors import LayoutError, WeightsError
from .._builder import Builder
from .._call import numbers
from .._compile import Planner
from .._graph import Tensor
from .._lstm import add_layers
from .._op import OPS, Op, Step, op

__all__ = ["lstm"]


class Recurrent(Builder):
    def lstm(
        self,
        x: Tensor,
        weights: Mapping[str, ArrayLike],
        *,
        hidden: int | None = None,
        bidirectional: bool = False,
        num_layers: int = 1,
        h0: Tensor | None = None,
        c0: Tensor | None = None,
        return_state: bool = False,
        name=None,
    ):
        """LSTM over time: ``x`` (..., time, features) -> (..., time, directions * hidden).

        Parameters
        ----------
        weights : mapping
            PyTorch's names: ``weight_ih_l0`` (4*hidden, features), ``weight_hh_l0`` (4*hidden,
            hidden), ``bias_ih_l0``, ``bias_hh_l0`` (optional), gates i f g o; ``_reverse`` twins if
            bidirectional; ``_l1``, ... for more layers.
        h0, c0 : Tensor, shape (layers * directions, ..., hidden), optional
            Initial state, layers first, then directions, as PyTorch's. Default zero.
        return_state : bool
            Also return the last ``(h, c)``, each of the shape of ``h0``.
        """
        name, where, node = self._begin("lstm", name, x)
        if len(node.shape) < 2:
            raise LayoutError(
                f"{where}: a sample must have axes (..., time, features), got {node.shape}"
            )
        return add_layers(
            self,
            node,
            x,
            weights,
            hidden,
            bidirectional,
            num_layers,
            h0,
            c0,
            return_state,
            name,
            where,
        )


OPS["lstm_h"] = OPS["lstm_c"] = Op(side=True)


@op("lstm")
def _lstm(plan: Planner, step: Step) -> None:
    n, width = step.node, plan.width
    hidden, directions = n.attrs["hidden"], n.attrs["directions"]
    shape = plan.nodes[n.inputs[0]].shape
    items, time = int(np.prod(shape[:-2], dtype=np.int64)), shape[-2]
    blocks = -(-hidden // width)
    weights: list[F32] = []
    biases: list[F32] = []
    for d in range(directions):
        for array, into in (
            (n.weights[f"weight_ih_{d}"], weights),
            (n.weights[f"bias_{d}"], biases),
        ):
            padded = np.zeros((4, blocks * width, *array.shape[1:]), np.float32)
            padded[:, :hidden] = array.reshape(4, hidden, *array.shape[1:])
            padded = padded.reshape(4, blocks, width, *array.shape[1:])
            into.append(np.moveaxis(padded, 0, 1).reshape(-1, *array.shape[1:]))
    weight, bias = np.concatenate(weights), np.concatenate(biases)
    source, *rest = plan.sources(step)
    gates = plan.scratch(items * time * len(bias))
    macs = items * time * hidden * 4 * directions
    plan.emit(
        step,
        "linear",
        [source, gates],
        (items * time, 0),
        (0.0,),
        (weight, bias),
        what="product",
        macs=macs * shape[-1],
        name=f"{n.name} (input part)",
        shape=(*shape[:-1], directions, 4 * hidden),
    )
    h0 = rest.pop(0) if n.attrs["h0"] else None
    c0 = rest.pop(0) if n.attrs["c0"] else None
    ends = [plan.side(n.index, key) for key in ("lstm_h", "lstm_c")]
    target = plan.target(step)
    plan.emit(
        step,
        "lstm",
        [gates, target, h0, c0, *ends],
        (items, time, directions, hidden),
        arrays=tuple(n.weights[f"weight_hh_{d}"] for d in range(directions)),
        what="recurrence, gates in registers",
        macs=macs * hidden,
    )


def lstm(
    x: ArrayLike,
    weights: Mapping[str, ArrayLike],
    *,
    hidden: int | None = None,
    bidirectional: bool = False,
    num_layers: int = 1,
    h0: ArrayLike | None = None,
    c0: ArrayLike | None = None,
    return_state: bool = False,
    threads: int | None = None,
):
    """LSTM over time, batch first.

    Parameters
    ----------
    x : array_like, shape (n, time, features)
    weights : mapping
        PyTorch's names: ``weight_ih_l0`` (4*hidden, features), ``weight_hh_l0`` (4*hidden, hidden),
        ``bias_ih_l0``, ``bias_hh_l0`` (optional), gates i f g o; ``_reverse`` twins if
        bidirectional; ``_l1``, ... for more layers.
    hidden : int, optional
        Checked against the weights.
    h0, c0 : array_like, shape (num_layers * directions, n, hidden), optional
        Initial state, default zero.
    return_state : bool
        Also return the last state.

    Returns
    -------
    ndarray, float32, shape (n, time, directions * hidden)
        With ``return_state=True``: ``(output, (h, c))``, each state (num_layers * directions, n,
        hidden).
    """
    a = numbers("lstm", x)
    if a.ndim != 3 or 0 in a.shape[1:]:
        raise LayoutError(f"lstm: x must have shape (n, time, features), got {a.shape}")
    if "weight_hh_l0" not in weights:
        raise WeightsError(
            f"lstm: weight_hh_l0 is missing; got {', '.join(sorted(weights)) or 'nothing'}"
        )
    size = int(np.shape(weights["weight_hh_l0"])[-1])
    state = (num_layers * (2 if bidirectional else 1), size)
    from ..program import Program  # it is made of the families

    p = Program("lstm")
    t = p.input("x", a.shape[1:])
    inputs, initial = [a], {}
    for key, value in (("h0", h0), ("c0", c0)):
        if value is None:
            continue
        s = numbers("lstm", value)
        if s.shape != (state[0], len(a), size):
            raise LayoutError(
                f"lstm: {key} must have shape {(state[0], len(a), size)}, got {s.shape}"
            )
        initial[key] = p.input(key, state)
        inputs.append(np.moveaxis(s, 1, 0))
    result = p.lstm(
        t,
        weights,
        hidden=hidden,
        bidirectional=bidirectional,
        num_layers=num_layers,
        name="lstm",
        return_state=return_state,
        **initial,
    )
    for r in result if return_state else (result,):
        p.output(r)
    got = p.compile()(tuple(inputs) if len(inputs) > 1 else a, threads=threads)
    if not return_state:
        return got
    return got[0], tuple(np.ascontiguousarray(np.moveaxis(s, 0, 1)) for s in got[1:])
