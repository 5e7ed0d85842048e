"""From the ops of a framework's graph to builder calls: matrix products and attention."""

from collections.abc import Sequence
from math import prod

import numpy as np

from ._emit import Emitter
from ._value import Refusal, Value, constant


class Products(Emitter):
    """Products of tensors with constants are linear layers, those of two tensors ``matmul``."""

    def linear(self, v: Value, weight: Value, bias: Value | None) -> Value:
        """``v @ weight.T + bias``."""
        w, b = self.weights("the weight", weight), self.weights("the bias", bias)
        self.axis(v, -1, "the linear layer")
        t = self.p.linear(self.tensor(v), w, b)
        return self.value(t, (*v.shape[:-1], w.shape[0]), v.axis, v.outer)

    def matmul(self, a: Value, b: Value) -> Value:
        """NumPy's ``a @ b``."""
        if not a.shape or not b.shape:
            raise Refusal("a product needs at least one axis on both sides")
        if len(a.shape) == 1:
            return self.squeeze(self.matmul(self.unsqueeze(a, (0,)), b), (-2,))
        if len(b.shape) == 1:
            return self.squeeze(self.matmul(a, self.unsqueeze(b, (1,))), (-1,))
        if b.const is not None and prod(b.shape[:-2]) == 1:
            out = self.linear(a, constant(b.const.reshape(b.shape[-2:]).T), None)
            more = len(b.shape) - len(a.shape)
            return self.unsqueeze(out, range(more)) if more > 0 else out
        if a.const is not None and prod(a.shape[:-2]) == 1:
            return self._swap(self.matmul(self._swap(b), self._swap(a)))
        lead = self._broadcast(a.shape[:-2], b.shape[:-2])
        shape = (*lead, a.shape[-2], b.shape[-1])
        places = {
            (v.axis + len(shape) - len(v.shape), v.outer) if v.axis is not None else (None, 1)
            for v in (a, b)
            if v.const is None
        }
        if len(places) != 1 or any(p is not None and p >= len(lead) for p, _ in places):
            raise Refusal(
                f"the product of {a.shape} and {b.shape} runs across the batch: it mixes samples",
                "keep the batch among the leading axes of both",
            )
        ((axis, outer),) = places
        like = Value(shape, axis=axis, outer=outer)
        operands = []
        for v in (a, b):
            if v.const is not None:
                stripped = np.asarray(self.strip(v, like, v.shape), np.float32)
                operands.append(self.p.constant(stripped))
            else:
                operands.append(self.tensor(v))
        return self.value(self.p.matmul(*operands), shape, axis, outer)

    @staticmethod
    def _broadcast(x: Sequence[int], y: Sequence[int]) -> tuple[int, ...]:
        try:
            return np.broadcast_shapes(tuple(x), tuple(y))
        except ValueError as error:
            raise Refusal(f"leading axes {tuple(x)} and {tuple(y)} do not broadcast") from error

    def _swap(self, v: Value) -> Value:
        """The last two axes exchanged."""
        n = len(v.shape)
        return self.permute(v, (*range(n - 2), n - 1, n - 2))

    def einsum(self, equation: str, operands: Sequence[Value]) -> Value:
        """A product of two operands, written with letters."""
        sides, _, result = equation.replace(" ", "").partition("->")
        letters = sides.split(",")
        if len(operands) != 2 or len(letters) != 2 or not _ or "." in equation:
            raise Refusal(f"einsum {equation!r}", "two operands and an explicit result")
        x, y = letters
        if any(len(set(s)) != len(s) for s in (x, y, result)) or set(result) - set(x + y):
            raise Refusal(f"einsum {equation!r}", "no letter twice in an operand")
        shared = [c for c in x if c in y and c in result]
        summed = [c for c in x if c in y and c not in result]
        rows, columns = [c for c in x if c not in y], [c for c in y if c not in x]
        if set(rows + columns) - set(result):
            raise Refusal(f"einsum {equation!r}", "sum before the product")
        length = dict(zip(x + y, (*operands[0].shape, *operands[1].shape)))

        def arranged(v: Value, given: str, groups: Sequence[Sequence[str]]) -> Value:
            wanted = [c for group in groups for c in group]
            v = self.permute(v, [given.index(c) for c in wanted])
            lead = [length[c] for c in groups[0]]
            return self.reshape(v, (*lead, *(prod(length[c] for c in g) for g in groups[1:])))

        left = arranged(operands[0], x, (shared, rows, summed))
        right = arranged(operands[1], y, (shared, summed, columns))
        order = [*shared, *rows, *columns]
        out = self.reshape(self.matmul(left, right), [length[c] for c in order])
        return self.permute(out, [order.index(c) for c in result])

    # ---- attention

    def attention(
        self, q: Value, k: Value, v: Value, mask: Value | None, causal: bool, scale: float | None
    ) -> Value:
        """``softmax(scale * q @ k.T + mask) @ v``; axes (..., heads, tokens, d)."""
        if any(t.const is not None for t in (q, k, v)) or (mask and mask.const is None):
            return self._composed(q, k, v, mask, causal, scale)
        n = len(q.shape)
        tokens = {None if t.axis is None else (t.axis, t.outer) for t in (q, k, v)}
        if len(tokens) != 1 or any(len(t.shape) != n for t in (k, v)):
            return self._composed(q, k, v, mask, causal, scale)
        if q.axis is not None and q.axis >= n - 2:
            raise Refusal("attention runs across the batch: it mixes samples")
        apart = n >= 4 and q.axis != n - 3  # heads have an axis of their own
        if len({t.shape[:-2] for t in (q, k, v)}) != 1:
            return self._composed(q, k, v, mask, causal, scale)
        options = self._masks(q, k, mask, apart)
        if options is None:
            return self._composed(q, k, v, mask, causal, scale)
        heads = q.shape[-3] if apart else 1
        parts = [self.tensor(self._merged(t) if apart else t) for t in (q, k, v)]
        t = self.p.attention(*parts, heads=heads, scale=scale, causal=causal, **options)
        shape = (*q.shape[:-1], v.shape[-1])
        if not apart:
            return self.value(t, shape, q.axis, q.outer)
        inner = (*q.shape[:-3], q.shape[-2], heads * v.shape[-1])
        out = self.value(t, inner, q.axis, q.outer)
        out = self.reshape(out, (*inner[:-1], heads, v.shape[-1]))
        return self.permute(out, (*range(n - 3), n - 2, n - 3, n - 1))

    def _merged(self, v: Value) -> Value:
        """(..., heads, tokens, d) to (..., tokens, heads * d)."""
        n = len(v.shape)
        v = self.permute(v, (*range(n - 3), n - 2, n - 3, n - 1))
        return self.flatten(v, n - 2, n - 1)

    def _masks(self, q: Value, k: Value, mask: Value | None, apart: bool) -> dict | None:
        """A constant mask as the kernel takes it: a bias per head, or one per item."""
        if mask is None:
            return {}
        scores = (*q.shape[:-1], k.shape[-2])
        like = Value(scores, axis=q.axis, outer=q.outer)
        a = additive(self.strip(mask, like, scores))
        sample = self.sample(like)
        a = a.reshape((1,) * (len(sample) - a.ndim) + a.shape)
        lead = list(a.shape[:-2])
        head = lead.pop() if apart else 1
        two = sample[-2:]
        if prod(lead) == 1:
            heads = sample[-3] if apart else 1
            wanted = (heads, *two)
            return {"bias": np.broadcast_to(a.reshape(head, *a.shape[-2:]), wanted)}
        if head != 1:
            return None
        wanted = (*(sample[:-3] if apart else sample[:-2]), *two)
        patterns = a.reshape(*lead, *a.shape[-2:])
        return {"window_mask": np.broadcast_to(patterns, wanted).reshape(-1, *two)}

    def _composed(
        self, q: Value, k: Value, v: Value, mask: Value | None, causal: bool, scale: float | None
    ) -> Value:
        """Attention out of products, where the kernel does not fit."""
        scores = self.matmul(q, self._swap(k))
        factor = q.shape[-1] ** -0.5 if scale is None else scale
        scores = self.binary("multiply", scores, constant(np.float32(factor)))
        if mask is not None:
            if mask.const is not None:
                mask = constant(additive(mask.const))
            scores = self.binary("add", scores, mask)
        if causal:
            rows, columns = scores.shape[-2:]
            seen = np.tri(rows, columns, dtype=bool)
            scores = self.binary("add", scores, constant(additive(seen)))
        return self.matmul(self.softmax(scores, -1), v)


def additive(mask: np.ndarray) -> np.ndarray:
    """What a mask adds to the scores: -inf where a boolean one is not set."""
    if mask.dtype == bool:
        return np.where(mask, np.float32(0), np.float32(-np.inf))
    return np.asarray(mask, np.float32)
