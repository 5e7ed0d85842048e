"""From the ops of a framework's graph to builder calls: layers with weights, pools, norms."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from ._emit import Emitter
from ._value import Refusal, Value


class Layers(Emitter):
    """The ops that have weights or windows; the batch must be the first axis."""

    def _leading(self, v: Value, rank: int, what: str) -> None:
        """Check axes (batch, channels, ``rank`` spatial ones)."""
        if len(v.shape) < rank + 1 or (v.axis is not None and len(v.shape) != rank + 2):
            raise Refusal(f"{what} needs {rank + 2} axes, batch first; got shape {v.shape}")
        if v.axis is not None and v.axis != 0:
            raise Refusal(f"{what} needs the batch first; it is axis {v.axis} of {v.shape}")

    def _windowed(self, v: Value, t: Any, channels: int, rank: int) -> Value:
        """The result of a convolution or pool."""
        lead = v.shape[: len(v.shape) - rank - 1]
        return self.value(t, (*lead, channels, *t.shape[-rank:]), v.axis, v.outer)

    def conv(
        self,
        v: Value,
        weight: Value,
        bias: Value | None,
        stride: Sequence[int],
        pads: Any,
        dilation: Sequence[int],
        groups: int,
    ) -> Value:
        """Convolution over one or two axes; ``pads`` as :meth:`Program.conv2d` takes them."""
        w, b = self.weights("the weight", weight), self.weights("the bias", bias)
        rank = w.ndim - 2
        if rank not in (1, 2):
            raise Refusal(f"a convolution over {rank} axes", "one and two axes are supported")
        self._leading(v, rank, "the convolution")
        call = self.p.conv1d if rank == 1 else self.p.conv2d
        options = {"stride": tuple(stride), "dilation": tuple(dilation), "padding": pads}
        t = call(self.tensor(v), w, b, groups=groups, **options)
        return self._windowed(v, t, w.shape[0], rank)

    def pool(self, kind: str, v: Value, rank: int, *args: Any, **options: Any) -> Value:
        """``max`` or ``avg`` windows, or the ``adaptive_avg`` and ``adaptive_max`` ones."""
        self._leading(v, rank, "the pool")
        call = getattr(self.p, f"{kind}_pool{rank}d")
        t = call(self.tensor(v), *args, **options)
        return self._windowed(v, t, v.shape[-rank - 1], rank)

    def linear(self, v: Value, weight: Value, bias: Value | None) -> Value:
        """``v @ weight.T + bias``."""
        w, b = self.weights("the weight", weight), self.weights("the bias", bias)
        self.axis(v, -1, "the linear layer")
        t = self.p.linear(self.tensor(v), w, b)
        return self.value(t, (*v.shape[:-1], w.shape[0]), v.axis, v.outer)

    def batch_norm(
        self,
        v: Value,
        weight: Value | None,
        bias: Value | None,
        mean: Value | None,
        var: Value | None,
        eps: float,
    ) -> Value:
        """Normalise axis 1 by stored statistics."""
        if mean is None or var is None:
            raise Refusal(
                "batch norm without running statistics looks at the whole batch",
                "track_running_stats=True, eval mode",
            )
        w, b = self.weights("the weight", weight), self.weights("the bias", bias)
        m, s = self.weights("the mean", mean), self.weights("the variance", var)
        at = self.axis(v, 1, "batch norm")
        return self.like(v, self.p.batch_norm(self.tensor(v), w, b, m, s, eps, axis=at))

    def layer_norm(
        self, v: Value, count: int, weight: Value | None, bias: Value | None, eps: float
    ) -> Value:
        """Normalise over the last ``count`` axes together."""
        w, b = self.weights("weight", weight), self.weights("bias", bias)
        self.axes(v, range(-count, 0), "layer norm")
        n = prod(v.shape[-count:])
        w, b = (None if a is None else a.reshape(-1) for a in (w, b))
        t = self.tensor(v)
        shape = t.shape
        if count > 1:
            t = self.p.reshape(t, (*shape[: len(shape) - count], n))
        t = self.p.layer_norm(t, w, b, eps)
        return self.like(v, self.p.reshape(t, shape) if count > 1 else t)

    def lstm(
        self,
        v: Value,
        weights: Mapping[str, np.ndarray],
        layers: int,
        bidirectional: bool,
        states: Sequence[Value | None],
    ) -> tuple[Value, Value, Value]:
        """``v`` (batch, time, features) or (time, batch, features), PyTorch's weights; states
        (layers * directions, batch, hidden). Output in the axes of ``v``, last h and c."""
        if v.axis not in (0, 1, None) or len(v.shape) != 3 or self.rest(v) != 1:
            raise Refusal(f"a recurrent layer needs axes (batch, time, features), got {v.shape}")
        named = dict(zip(("h0", "c0"), map(self._state, states)))
        t = self.p.lstm(
            self.tensor(v),
            weights,
            bidirectional=bidirectional,
            num_layers=layers,
            return_state=True,
            **named,
        )
        ends = [self.value(s, (s.shape[0], self.batch, s.shape[1]), 1) for s in t[1:]]
        return self.value(t[0], (*v.shape[:2], t[0].shape[-1]), v.axis), ends[0], ends[1]

    def _state(self, s: Value | None) -> Any:
        """A recurrent layer's initial state; None where it is zero."""
        if s is None:
            return None
        if s.const is not None:
            if not s.const.any():
                return None
            like = Value(s.shape, axis=1)
            return self.tensor(self.materialise(s, like))
        if s.axis != 1:
            raise Refusal(f"the initial state must have the batch as axis 1, shape {s.shape}")
        return s.tensor
