"""Attention."""

import numpy as np

from ..._typing import F32, Array, ArrayLike
from ...errors import LayoutError
from .._builder import Builder
from .._call import numbers
from .._compile import Planner
from .._graph import Node, Tensor, array, lengths
from .._op import Step, op
from .._views import access, whole

__all__ = ["attention"]

APART = -100.0  # Swin's score for tokens that a shift has brought together


class Attention(Builder):
    def attention(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        *,
        heads: int,
        scale: float | None = None,
        causal: bool = False,
        key_mask: Tensor | None = None,
        bias: ArrayLike | None = None,
        window_mask: ArrayLike | None = None,
        window: int | tuple[int, int] | None = None,
        shift: int | tuple[int, int] = 0,
        name=None,
    ) -> Tensor:
        """``softmax(scale * q k^T + bias + window_mask) v`` per head; heads are equal pieces of
        the last axis.

        Slices, transposes and reshapes right before it (a fused projection's thirds, PyTorch's
        ``(heads, tokens, d)``) and a transpose right behind it cost nothing: the kernel follows
        the strides.

        Parameters
        ----------
        q : Tensor, shape (..., queries, heads * d)
        k : Tensor, shape (..., keys, heads * d)
        v : Tensor, shape (..., keys, heads * e)
            Leading axes are equal in all three: items, each with its own attention.
        heads : int
        scale : float, optional
            Default ``1 / sqrt(d)``.
        causal : bool
            Query t sees keys 0..t.
        key_mask : Tensor, shape (..., keys) or (keys,), optional
            A key whose number is 0 takes no part.
        bias : array_like, shape (heads, queries, keys), optional
            Added to the scores, relative positions for example.
        window_mask : array_like, shape (patterns, queries, keys), optional
            Item i gets pattern ``i % patterns`` added to its scores. Default with a shift: -100
            between tokens that are no neighbours in the grid.
        window : int or pair, optional
            Cut a grid of tokens into windows of (height, width), each an item of its own: q, k, v
            then have shape (..., rows, columns, heads * d), and so has the result.
        shift : int or pair
            Move the windows down and right by so many tokens, around the edges of the grid.

        Returns
        -------
        Tensor, shape (..., queries, heads * e)
            A query that no key is left for gets zeros, as in PyTorch.
        """
        name, where, nq = self._begin("attention", name, q)
        nodes = [nq, self._node(where, k), self._node(where, v)]
        (heads,) = lengths(where, "heads", heads, 1, 1)
        size: tuple[int, ...] = ()
        axes = 2
        if window is not None:
            size, axes = lengths(where, "window", window, 2, 1), 3
        _check(where, nodes, heads, size, axes)
        lead = nq.shape[:-axes]
        queries, keys = nq.shape[-2], nodes[1].shape[-2]
        moved = lengths(where, "shift", shift, 2, 0)
        if size:
            queries = keys = size[0] * size[1]
            moved = tuple(s % g for s, g in zip(moved, nq.shape[-3:-1]))
        elif any(moved):
            raise ValueError(f"{where}: shift={shift} has no meaning without window")
        inputs = [q, k, v]
        if key_mask is not None:
            mask = self._node(where, key_mask)
            if size or mask.shape not in ((keys,), (*lead, keys)):
                wanted = "no windows" if size else f"{(keys,)} or {(*lead, keys)}"
                raise LayoutError(f"{where}: key_mask has shape {mask.shape}, wanted {wanted}")
            inputs.append(key_mask)
        weights: dict[str, F32] = {}
        if bias is not None:
            weights["bias"] = array(where, "bias", bias, (heads, queries, keys))
        if window_mask is None and any(moved):
            window_mask = _apart(nq.shape[-3:-1], size, moved)
        if window_mask is not None:
            weights["mask"] = array(where, "window_mask", window_mask, (None, queries, keys))
        attrs = {
            "heads": heads,
            "queries": queries,
            "keys": keys,
            "width": nq.shape[-1] // heads,
            "scale": float((nq.shape[-1] // heads) ** -0.5 if scale is None else scale),
            "causal": bool(causal),
            "window": size,
            "shift": moved,
        }
        shape = (*nq.shape[:-1], nodes[2].shape[-1])
        return self._add("attention", inputs, shape, name, attrs=attrs, weights=weights)


def _check(where: str, nodes: list[Node], heads: int, window: tuple[int, ...], axes: int) -> None:
    q, k, v = (n.shape for n in nodes)
    tokens = "rows, columns" if window else "tokens"
    if min(len(q), len(k), len(v)) < axes:
        raise LayoutError(
            f"{where}: q, k and v must have axes (..., {tokens}, features), got {q}, {k}, {v}"
        )
    same = q[:-axes] == k[:-axes] == v[:-axes] and k[-axes:-1] == v[-axes:-1]
    if not same or q[-1] != k[-1] or (window and q[:-1] != k[:-1]):
        raise LayoutError(f"{where}: q {q}, k {k} and v {v} do not belong together")
    if q[-1] % heads or v[-1] % heads:
        raise LayoutError(f"{where}: {q[-1]} and {v[-1]} features must divide by heads={heads}")
    if window and (q[-3] % window[0] or q[-2] % window[1]):
        raise LayoutError(
            f"{where}: windows of {window} do not tile a grid of {q[-3:-1]}; pad it first"
        )


def _apart(grid: tuple[int, ...], window: tuple[int, ...], shift: tuple[int, ...]) -> F32:
    """Per window, APART between tokens from different sides of an edge that a shift has joined."""
    side = [
        ((np.arange(n) + s >= n).astype(np.int8) if s else np.zeros(n, np.int8)).reshape(-1, w)
        for n, w, s in zip(grid, window, shift)
    ]
    region = 2 * side[0][:, None, :, None] + side[1][None, :, None, :]
    region = region.reshape(len(side[0]) * len(side[1]), -1)
    return np.where(region[:, :, None] == region[:, None, :], 0.0, APART).astype(np.float32)


@op("attention")
def _attention(plan: Planner, step: Step) -> None:
    n = step.node
    a = n.attrs
    given = [plan.nodes[i].shape for i in n.inputs]
    mask = given[3] if len(given) > 3 else None
    found = a.get("access") or access(n, [*map(whole, given[:3]), whole(n.shape)], mask)
    assert found is not None  # dense tensors always have the form
    features = a.get("tokens", n.shape)[-1]
    ints = [a["heads"], a["queries"], a["keys"], a["width"], features // a["heads"], a["causal"]]
    ints += [length for length, _ in found.items]
    for i, (offset, token, head) in enumerate(found.views):
        ints += [offset, *(steps[i] for _, steps in found.items), token, head]
    ints += [steps[4] for _, steps in found.items]
    grid = a.get("tokens", n.shape)[-3:-1] if a["window"] else (0, 0)
    ints += [*grid, *(a["window"] or (0, 0)), *a["shift"]]
    q, k, v, *keep = plan.sources(step)
    none = np.empty(0, np.float32)
    items = int(np.prod([length for length, _ in found.items], dtype=np.int64))
    plan.emit(
        step,
        "attention",
        [q, k, v, plan.target(step), *keep],
        ints,
        (a["scale"],),
        (n.weights.get("bias", none), n.weights.get("mask", none)),
        what="windows in cache" if a["window"] else "heads in cache",
        macs=items * a["queries"] * a["keys"] * (a["width"] * a["heads"] + features),
    )


def attention(
    q: ArrayLike,
    k: ArrayLike,
    v: ArrayLike,
    *,
    heads: int = 1,
    scale: float | None = None,
    causal: bool = False,
    key_mask: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    window_mask: ArrayLike | None = None,
    window: int | tuple[int, int] | None = None,
    shift: int | tuple[int, int] = 0,
    out: Array | None = None,
    threads: int | None = None,
) -> F32:
    """Attention, as ``torch.nn.functional.scaled_dot_product_attention``.

    Parameters
    ----------
    q : array_like, shape (..., queries, heads * d)
    k : array_like, shape (..., keys, heads * d)
    v : array_like, shape (..., keys, heads * e)
        Leading axes are equal. PyTorch's ``(batch, heads, tokens, d)`` is ``heads=1``.
    heads : int
        Equal pieces of the last axis.
    key_mask : array_like, shape (..., keys) or (keys,), optional
        A key whose number is 0 (False) takes no part, whatever it holds.
    scale, causal, bias, window_mask, window, shift
        As :meth:`Program.attention`.
    out, threads
        As :func:`conv1d`.

    Returns
    -------
    ndarray, float32, shape (..., queries, heads * e)
        A query that no key is left for gets zeros.
    """
    from ..program import Program  # it is made of the families

    arrays = [numbers("attention", x) for x in (q, k, v)]
    if key_mask is not None:
        mask = np.asarray(key_mask)
        if mask.dtype.kind not in "bfiu":
            raise TypeError(f"attention: key_mask must hold numbers, got dtype {mask.dtype}")
        arrays.append((mask != 0).astype(np.float32))
    axes = 2 if window is None else 3
    if min(a.ndim for a in arrays[:3]) < axes:
        shapes = ", ".join(str(a.shape) for a in arrays[:3])
        raise LayoutError(f"attention: q, k and v must have at least {axes} axes, got {shapes}")
    # the first axis is the batch, so that empty batches pass; patterns count from item 0
    batched = arrays[0].ndim > axes and window_mask is None
    lead = arrays[0].shape[:1] if batched else ()
    if batched and any(a.shape[:1] != lead for a in arrays[:3]):
        shapes = ", ".join(str(a.shape) for a in arrays[:3])
        raise LayoutError(f"attention: leading axes differ: {shapes}")
    if key_mask is not None and batched and arrays[3].ndim == 1:
        arrays[3] = np.broadcast_to(arrays[3], (*lead, *arrays[3].shape))
    samples = [a.shape[1:] if batched else a.shape for a in arrays]
    if any(0 in s for s in samples):
        raise LayoutError(f"attention: an empty axis in {samples}; only the batch may be empty")
    p = Program("attention")
    inputs = [p.input(key, s) for key, s in zip("qkvm", samples)]
    y = p.attention(
        *inputs[:3],
        heads=heads,
        scale=scale,
        causal=causal,
        key_mask=inputs[3] if key_mask is not None else None,
        bias=bias,
        window_mask=window_mask,
        window=window,
        shift=shift,
        name="attention",
    )
    p.output(y)
    rows = tuple(a if batched else a[None] for a in arrays)
    shape = (*lead, *y.shape)
    if out is not None and (not isinstance(out, np.ndarray) or out.shape != shape):
        got = out.shape if isinstance(out, np.ndarray) else type(out).__name__
        raise LayoutError(f"attention: out must be a float32 array of shape {shape}, got {got}")
    into = out if out is None or batched or not out.flags.c_contiguous else out[None]
    result = p.compile()(rows, out=into, threads=threads)
    return result.reshape(shape) if out is None else out
