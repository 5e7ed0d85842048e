"""From the ops of a framework's graph to builder calls: layers with weights, pools, norms."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from ._products import Products
from ._value import Refusal, Value


class Layers(Products):
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

    def group_norm(
        self, v: Value, groups: int, weight: Value | None, bias: Value | None, eps: float
    ) -> Value:
        """Normalise groups of the channels, axis 1, over all positions."""
        w, b = self.weights("the weight", weight), self.weights("the bias", bias)
        at = self.axis(v, 1, "group norm")
        if v.axis is not None and (v.axis != 0 or not self.dropped(v)):
            raise Refusal(f"group norm needs the batch as axis 0 of {v.shape}")
        return self.like(v, self.p.group_norm(self.tensor(v), groups, w, b, eps, axis=at))

    def rms_norm(self, v: Value, count: int, weight: Value | None, eps: float | None) -> Value:
        """Divide by the root mean square of the last ``count`` axes together."""
        w = self.weights("the weight", weight)
        self.axes(v, range(-count, 0), "the norm")
        w = np.ones(v.shape[-count:], np.float32) if w is None else w
        return self.like(v, self.p.rms_norm(self.tensor(v), w, eps))

    def conv_transpose(
        self,
        v: Value,
        weight: Value,
        bias: Value | None,
        stride: Sequence[int],
        padding: Sequence[int],
        output_padding: Sequence[int],
        groups: int,
        dilation: Sequence[int],
    ) -> Value:
        """Transposed convolution over one or two axes, PyTorch's arguments."""
        w, b = self.weights("the weight", weight), self.weights("the bias", bias)
        rank = w.ndim - 2
        if rank not in (1, 2):
            raise Refusal(f"a convolution over {rank} axes", "one and two axes are supported")
        self._leading(v, rank, "the convolution")
        call = self.p.conv_transpose1d if rank == 1 else self.p.conv_transpose2d
        t = call(self.tensor(v), w, b, stride, padding, output_padding, groups, dilation)
        return self._windowed(v, t, w.shape[1] * groups, rank)

    def embedding(self, weight: Value, ids: Value) -> Value:
        """Rows of a table by computed numbers."""
        w = self.weights("the table", weight)
        if ids.const is not None:
            return self.take(weight, ids.const, 0)
        t = self.p.embedding(self.tensor(ids), w.reshape(len(w), -1))
        out = self.value(t, (*ids.shape, t.shape[-1]), ids.axis, ids.outer)
        return self.reshape(out, (*ids.shape, *w.shape[1:]))

    def resize(
        self,
        v: Value,
        size: Sequence[int] | None,
        scale: Sequence[float] | None,
        mode: str,
        corners: bool,
    ) -> Value:
        """``torch.nn.functional.interpolate`` of the axes after the channels."""
        rank = len(v.shape) - 2
        self._leading(v, rank, "the resize")
        t = self.tensor(v)
        if scale is not None:
            t = self.p.interpolate(t, None, tuple(map(float, scale)), mode, corners)
        else:
            t = self.p.interpolate(t, size, None, mode, corners)
        return self._windowed(v, t, v.shape[1], rank)

    # ---- recurrence

    def recurrent(
        self,
        cell: str,
        v: Value,
        weights: Mapping[str, np.ndarray],
        layers: int,
        both: bool,
        states: Sequence[Value | None],
        batch_first: bool,
    ) -> tuple[Value, ...]:
        """``v`` (batch, time, features) or (time, batch, features), PyTorch's weights; ``both``
        directions; states (layers * directions, batch, hidden). Output in the axes of ``v``, last
        states."""
        if len(v.shape) != 3 or v.axis not in (None, int(not batch_first)):
            axes = "(batch, time, features)" if batch_first else "(time, batch, features)"
            raise Refusal(f"a recurrent layer needs axes {axes}, got {v.shape}, batch {v.axis}")
        if v.axis is None:  # the items of one sample
            return self._recurrent_items(cell, v, weights, layers, both, states, batch_first)
        if not self.dropped(v):
            raise Refusal(f"a recurrent layer needs the batch alone on axis {v.axis} of {v.shape}")
        named = dict(zip(("h0", "c0"), map(self._state, states)))
        t = self._cell(cell, self.tensor(v), weights, layers, both, named)
        ends = [self.value(s, (s.shape[0], self.batch, s.shape[1]), 1) for s in t[1:]]
        return self.value(t[0], (*v.shape[:2], t[0].shape[-1]), v.axis), *ends

    def _cell(self, cell, t, weights, layers, both, named):
        call = getattr(self.p, cell)
        options = {"bidirectional": both, "num_layers": layers, "return_state": True}
        return call(t, weights, **options, **named)

    def _recurrent_items(self, cell, v, weights, layers, both, states, batch_first):
        order = (0, 1, 2) if batch_first else (1, 0, 2)
        named = {}
        for key, s in zip(("h0", "c0"), states):
            if s is not None:
                named[key] = self.tensor(self.materialise(s, Value(s.shape)))
        t = self._cell(cell, self.tensor(self.permute(v, order)), weights, layers, both, named)
        y, *ends = (self.value(x, x.shape, None) for x in t)
        return self.permute(y, order), *ends

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
