"""LSTM layers of a program, from PyTorch's weight names."""

import numpy as np

from ..errors import LayoutError, WeightsError
from ._graph import array


def _layer_weights(where, weights, layer: int, reverse: bool, features: int, hidden: int):
    suffix = f"_l{layer}" + ("_reverse" if reverse else "")
    for key in (f"weight_ih{suffix}", f"weight_hh{suffix}"):
        if key not in weights:
            raise WeightsError(
                f"{where}: {key} is missing; got {', '.join(sorted(weights)) or 'nothing'}"
            )
    w_ih = array(where, f"weight_ih{suffix}", weights[f"weight_ih{suffix}"], (4 * hidden, features))
    w_hh = array(where, f"weight_hh{suffix}", weights[f"weight_hh{suffix}"], (4 * hidden, hidden))
    bias = np.zeros(4 * hidden, np.float64)
    for key in (f"bias_ih{suffix}", f"bias_hh{suffix}"):
        if weights.get(key) is not None:
            bias += array(where, key, weights[key], (4 * hidden,))
    return w_ih, w_hh, bias.astype(np.float32)


def add_layers(
    p, node, x, weights, hidden, bidirectional, num_layers, h0, c0, return_state, name, where
):
    """Add the layers of one :meth:`Program.lstm` call; see there."""
    if "weight_hh_l0" not in weights:
        raise WeightsError(
            f"{where}: weight_hh_l0 is missing; got {', '.join(sorted(weights)) or 'nothing'}"
        )
    found = int(np.shape(weights["weight_hh_l0"])[-1])
    if hidden is not None and hidden != found:
        raise WeightsError(
            f"{where}: hidden={hidden}, but weight_hh_l0 has shape "
            f"{np.shape(weights['weight_hh_l0'])}"
        )
    hidden = found
    directions = 2 if bidirectional else 1
    lead = node.shape[:-2]
    state_shape = (num_layers * directions, *lead, hidden)
    for what, t in (("h0", h0), ("c0", c0)):
        if t is not None and t.shape != state_shape:
            raise LayoutError(
                f"{where}: {what} has shape {t.shape}, wanted {state_shape} (layers * "
                "directions, ..., hidden)"
            )
    states = {"h": [], "c": []}
    for layer in range(num_layers):
        features = x.shape[-1]
        parts = [
            _layer_weights(where, weights, layer, r, features, hidden)
            for r in (False, True)[:directions]
        ]
        initial = []
        for t in (h0, c0):
            if t is None:
                initial.append(None)
                continue
            part = p.slice(t, 0, layer * directions, (layer + 1) * directions)
            order = (*range(1, len(lead) + 1), 0, len(lead) + 1)
            initial.append(p.transpose(part, order) if lead else part)
        given = [t for t in initial if t is not None]
        attrs = {
            "hidden": hidden,
            "directions": directions,
            "h0": initial[0] is not None,
            "c0": initial[1] is not None,
        }
        flat = {}
        for d, (w_ih, w_hh, bias) in enumerate(parts):
            flat |= {f"weight_ih_{d}": w_ih, f"weight_hh_{d}": w_hh, f"bias_{d}": bias}
        last = layer + 1 == num_layers
        out = p._add(
            "lstm",
            (x, *given),
            (*x.shape[:-1], directions * hidden),
            name if last else p._name("lstm_layer", None),
            attrs=attrs,
            weights=flat,
        )
        if return_state:
            for key in states:
                side = p._add(
                    f"lstm_{key}",
                    (out,),
                    (*lead, directions, hidden),
                    p._name(f"{name}_{key}", None),
                )
                order = (len(lead), *range(len(lead)), len(lead) + 1)
                states[key].append(p.transpose(side, order) if lead else side)
        x = out
    if not return_state:
        return x
    return x, *(p.concat(states[k], 0) if num_layers > 1 else states[k][0] for k in ("h", "c"))
