"""Recurrent layers over time: LSTM and GRU."""

from collections.abc import Mapping

import numpy as np

from ..._typing import ArrayLike
from ...errors import LayoutError
from .._builder import Builder
from .._call import numbers
from .._compile import Planner
from .._graph import Tensor
from .._op import OPS, Op, Step, op
from .._recurrent import GATES, add_layers, hidden_size

__all__ = ["gru", "lstm"]


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
        return self._recurrent(
            "lstm", x, weights, hidden, bidirectional, num_layers, (h0, c0), return_state, name
        )

    def gru(
        self,
        x: Tensor,
        weights: Mapping[str, ArrayLike],
        *,
        hidden: int | None = None,
        bidirectional: bool = False,
        num_layers: int = 1,
        h0: Tensor | None = None,
        return_state: bool = False,
        name=None,
    ):
        """GRU over time: ``x`` (..., time, features) -> (..., time, directions * hidden).

        Weights are named as for :meth:`lstm`, with PyTorch's three gates r z n: the state's part of
        n is multiplied by r after its bias is added. With ``return_state`` also the last h.
        """
        return self._recurrent(
            "gru", x, weights, hidden, bidirectional, num_layers, (h0,), return_state, name
        )

    def _recurrent(
        self, cell, x, weights, hidden, bidirectional, num_layers, initial, return_state, name
    ):
        name, where, node = self._begin(cell, name, x)
        if len(node.shape) < 2:
            raise LayoutError(
                f"{where}: a sample must have axes (..., time, features), got {node.shape}"
            )
        return add_layers(
            self,
            cell,
            x,
            weights,
            hidden_size(where, weights, hidden),
            bidirectional,
            num_layers,
            dict(zip(("h0", "c0"), initial)),
            return_state,
            name,
            where,
        )


OPS["last_h"] = OPS["last_c"] = Op(side=True)


def _side_by_side(hidden: int) -> np.ndarray:
    """Rows of an LSTM's weights as the engine wants their sums: the four gates of 16 units after
    each other (``ek_lstm_at`` in csrc/nn/nn_kern.h)."""
    units = [np.arange(u, min(u + 16, hidden)) for u in range(0, hidden, 16)]
    return np.concatenate([g * hidden + block for block in units for g in range(4)])


def _recurrent(plan: Planner, step: Step, cell: str) -> None:
    """The input's part of all time steps as one product, then the recurrence."""
    n = step.node
    hidden, directions = n.attrs["hidden"], n.attrs["directions"]
    shape = plan.nodes[n.inputs[0]].shape
    items, time = int(np.prod(shape[:-2], dtype=np.int64)), shape[-2]
    weight, bias = (
        np.concatenate([n.weights[f"{key}_{d}"] for d in range(directions)])
        for key in ("weight_ih", "bias")
    )
    if cell == "lstm":
        order = np.concatenate([d * 4 * hidden + _side_by_side(hidden) for d in range(directions)])
        weight, bias = weight[order], bias[order]
    source, *rest = plan.sources(step)
    sums = plan.scratch(items * time * len(bias))
    plan.emit(
        step,
        "linear",
        [source, sums],
        (items * time, 0),
        (0.0,),
        (weight, bias),
        what="product",
        macs=items * time * weight.size,
        name=f"{n.name} (input part)",
        shape=(*shape[:-1], len(bias)),
    )
    initial = [rest.pop(0) if given else None for given in n.attrs["initial"]]
    ends = [plan.side(n.index, key) for key in ("last_h", "last_c")]
    keys = ("weight_hh",) if cell == "lstm" else ("weight_hh", "bias_n")
    arrays = tuple(n.weights[f"{key}_{d}"] for key in keys for d in range(directions))
    plan.emit(
        step,
        "recurrent",
        [sums, plan.target(step), *initial, *(None,) * (2 - len(initial)), *ends],
        (items, time, directions, hidden, GATES[cell]),
        arrays=arrays,
        what="recurrence, a direction a core",
        macs=items * time * directions * GATES[cell] * hidden * hidden,
    )


@op("lstm")
def _lstm(plan: Planner, step: Step) -> None:
    _recurrent(plan, step, "lstm")


@op("gru")
def _gru(plan: Planner, step: Step) -> None:
    _recurrent(plan, step, "gru")


def _call(cell: str, x, weights, hidden, bidirectional, num_layers, initial, return_state, threads):
    """One program of one call; the output, and the states if wanted."""
    a = numbers(cell, x)
    if a.ndim != 3 or 0 in a.shape[1:]:
        raise LayoutError(f"{cell}: x must have shape (n, time, features), got {a.shape}")
    size = hidden_size(cell, weights, hidden)
    state = (num_layers * (2 if bidirectional else 1), size)
    from ..program import Program  # it is made of the families

    p = Program(cell)
    t = p.input("x", a.shape[1:])
    inputs, tensors = [a], {}
    for key, value in initial.items():
        if value is None:
            continue
        s = numbers(cell, value)
        if s.shape != (state[0], len(a), size):
            raise LayoutError(
                f"{cell}: {key} must have shape {(state[0], len(a), size)}, got {s.shape}"
            )
        tensors[key] = p.input(key, state)
        inputs.append(np.moveaxis(s, 1, 0))
    result = getattr(p, cell)(
        t,
        weights,
        bidirectional=bidirectional,
        num_layers=num_layers,
        name=cell,
        return_state=return_state,
        **tensors,
    )
    for r in result if return_state else (result,):
        p.output(r)
    got = p.compile()(tuple(inputs) if len(inputs) > 1 else a, threads=threads)
    if not return_state:
        return got, ()
    return got[0], tuple(np.ascontiguousarray(np.moveaxis(s, 0, 1)) for s in got[1:])


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
    initial = {"h0": h0, "c0": c0}
    out, states = _call(
        "lstm", x, weights, hidden, bidirectional, num_layers, initial, return_state, threads
    )
    return (out, states) if return_state else out


def gru(
    x: ArrayLike,
    weights: Mapping[str, ArrayLike],
    *,
    hidden: int | None = None,
    bidirectional: bool = False,
    num_layers: int = 1,
    h0: ArrayLike | None = None,
    return_state: bool = False,
    threads: int | None = None,
):
    """GRU over time, batch first.

    Parameters
    ----------
    x : array_like, shape (n, time, features)
    weights : mapping
        PyTorch's names, as for :func:`lstm`, with three gates r z n:
        ``n = tanh(W_in x + b_in + r * (W_hn h + b_hn))``, ``h = (1 - z) * n + z * h``.
    hidden : int, optional
        Checked against the weights.
    h0 : array_like, shape (num_layers * directions, n, hidden), optional
        Initial state, default zero.
    return_state : bool
        Also return the last state.

    Returns
    -------
    ndarray, float32, shape (n, time, directions * hidden)
        With ``return_state=True``: ``(output, h)``, h (num_layers * directions, n, hidden).
    """
    out, states = _call(
        "gru", x, weights, hidden, bidirectional, num_layers, {"h0": h0}, return_state, threads
    )
    return (out, states[0]) if return_state else out
