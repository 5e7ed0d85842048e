"""LSTM and GRU layers of a program, from PyTorch's weight names."""

from collections.abc import Mapping

import numpy as np

from .._typing import F32, ArrayLike
from ..errors import LayoutError, WeightsError
from ._graph import Tensor, array

GATES = {"lstm": 4, "gru": 3}


def hidden_size(where: str, weights: Mapping[str, ArrayLike], hidden: int | None) -> int:
    """Units of a layer, from the weights; a number that was given must agree."""
    if "weight_hh_l0" not in weights:
        raise WeightsError(
            f"{where}: weight_hh_l0 is missing; got {', '.join(sorted(weights)) or 'nothing'}"
        )
    shape = np.shape(weights["weight_hh_l0"])
    if not shape or (hidden is not None and hidden != shape[-1]):
        raise WeightsError(f"{where}: hidden={hidden}, but weight_hh_l0 has shape {shape}")
    return int(shape[-1])


def _direction(
    where: str, cell: str, weights: Mapping[str, ArrayLike], suffix: str, features: int, hidden: int
) -> dict[str, F32]:
    """Weights of one direction of one layer; ``bias`` is what can be added before the recurrence,
    ``bias_n`` the part of a GRU's that cannot."""
    rows = GATES[cell] * hidden
    for key in (f"weight_ih{suffix}", f"weight_hh{suffix}"):
        if key not in weights:
            raise WeightsError(
                f"{where}: {key} is missing; got {', '.join(sorted(weights)) or 'nothing'}"
            )
    biases = [
        np.zeros(rows, np.float32)
        if weights.get(key) is None
        else array(where, key, weights[key], (rows,))
        for key in (f"bias_ih{suffix}", f"bias_hh{suffix}")
    ]
    found = {
        key: array(where, f"{key}{suffix}", weights[f"{key}{suffix}"], (rows, columns))
        for key, columns in (("weight_ih", features), ("weight_hh", hidden))
    }
    inner = biases[1].astype(np.float64)
    if cell == "gru":
        found["bias_n"] = biases[1][2 * hidden :].copy()
        inner[2 * hidden :] = 0.0
    found["bias"] = (biases[0] + inner).astype(np.float32)
    return found


def add_layers(
    p,
    cell: str,
    x: Tensor,
    weights: Mapping[str, ArrayLike],
    hidden: int,
    bidirectional: bool,
    num_layers: int,
    initial: Mapping[str, Tensor | None],
    return_state: bool,
    name: str,
    where: str,
):
    """Add the layers of one :meth:`Program.lstm` or :meth:`Program.gru` call; see there."""
    lead, directions = x.shape[:-2], 2 if bidirectional else 1
    state_shape = (num_layers * directions, *lead, hidden)
    for what, t in initial.items():
        if t is not None and t.shape != state_shape:
            raise LayoutError(
                f"{where}: {what} has shape {t.shape}, wanted {state_shape} (layers * "
                "directions, ..., hidden)"
            )
    states: dict[str, list[Tensor]] = {key[0]: [] for key in initial}
    for layer in range(num_layers):
        flat: dict[str, F32] = {}
        for d in range(directions):
            suffix = f"_l{layer}" + ("_reverse" if d else "")
            part = _direction(where, cell, weights, suffix, x.shape[-1], hidden)
            flat |= {f"{key}_{d}": value for key, value in part.items()}
        given = []
        for t in initial.values():
            if t is not None:
                one = p.slice(t, 0, layer * directions, (layer + 1) * directions)
                order = (*range(1, len(lead) + 1), 0, len(lead) + 1)
                given.append(p.transpose(one, order) if lead else one)
        x = p._add(
            cell,
            (x, *given),
            (*x.shape[:-1], directions * hidden),
            name if layer + 1 == num_layers else p._name(f"{cell}_layer", None),
            attrs={
                "hidden": hidden,
                "directions": directions,
                "initial": tuple(t is not None for t in initial.values()),
            },
            weights=flat,
        )
        if not return_state:
            continue
        for key, collected in states.items():
            side = p._add(
                f"last_{key}", (x,), (*lead, directions, hidden), p._name(f"{name}_{key}", None)
            )
            order = (len(lead), *range(len(lead)), len(lead) + 1)
            collected.append(p.transpose(side, order) if lead else side)
    if not return_state:
        return x
    return x, *(p.concat(s, 0) if num_layers > 1 else s[0] for s in states.values())
