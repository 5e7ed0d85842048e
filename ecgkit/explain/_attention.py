"""Where a transformer or an attention pool looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _html
from .._typing import Array, ArrayLike
from ..errors import EcgkitError, LayoutError
from ..record import Record
from ._picture import PictureMap, one_picture, takes_pictures
from ._recording import one

ALL = "all leads"
READS = ("mean", "pieces", "first", "last", "max")


@dataclass(frozen=True)
class Tokens:
    """What the tokens of a network stand for: what :meth:`Model.tokens` answers.

    Attributes
    ----------
    seconds : sequence of float, length segments + 1
        Edges in time of the pieces that tokens were made of; none for pictures.
    special : int
        Tokens before them that stand for no piece (class token, registers).
    leads : tuple of str
        Rows of tokens, one lead after the other; empty: every token sees all leads.
    grid : pair of int
        Rows and columns of the pieces of a picture.
    read : {"mean", "pieces", "first", "last", "max"}
        What the layers behind the last block take: the mean over all tokens or over those that are
        not special, the first or the last token, or the largest value of every feature; then a
        token counts by how many features it is the largest in, and ``tap`` names their map. An
        attention pool says so itself.
    tap : str
        Name of the map (token, feature) of ``read="max"``.
    layers : str
        Beginning of the names of the attention layers that count; empty: all of them.
    """

    seconds: ArrayLike = ()
    special: int = 0
    leads: tuple[str, ...] = ()
    grid: tuple[int, int] = (0, 0)
    read: str = "mean"
    tap: str = ""
    layers: str = ""

    @property
    def rows(self) -> int:
        """Rows of pieces."""
        return max(1, len(self.leads))

    @property
    def count(self) -> int:
        """Tokens in all."""
        pieces = len(np.asarray(self.seconds)) - 1
        return self.special + (self.grid[0] * self.grid[1] or self.rows * pieces)


@dataclass(frozen=True, eq=False, repr=False)
class Attention:
    """How much of what the last layer reads comes from each piece of the recording.

    Attention says where a network looked, not what it made of it: for the change of an answer see
    :func:`occlusion`.

    Attributes
    ----------
    kind : str
        ``"rollout"``, ``"pool weights"``, or ``"rollout, read by a pool"``.
    leads : tuple of str
        Rows of ``values``; ``("all leads",)`` where each token sees all of them.
    seconds : ndarray, shape (segment + 1,)
        Edges of the pieces.
    values : ndarray, float64, shape (lead, segment)
        Shares; with ``special`` they sum to 1.
    special : float
        Share that stays with class and register tokens.
    layers : dict of str to ndarray, shape (window, head, query, key)
        The attention weights, layer by layer; one window, or the crops that the network looks at
        one after the other, over which ``values`` is the mean.
    record : Record
        What was explained.
    """

    kind: str
    leads: tuple[str, ...]
    seconds: Array
    values: Array
    special: float
    layers: dict[str, Array]
    record: Record

    def to_frame(self):
        """Leads in rows, starts of the pieces in columns (pandas)."""
        from .._extras import need

        pd = need("pandas", "cli", "Attention.to_frame")
        return pd.DataFrame(self.values, index=list(self.leads), columns=self.seconds[:-1])

    def plot(self, layout: str | None = None, **options: Any):
        """The shares over the recording on ECG paper, in multiples of an even share (a matplotlib
        Figure).

        ``layout`` and options are those of :func:`ecgkit.plot.compose`; default ``"12x1"`` where
        leads have shares of their own, else ``"auto"``.
        """
        from ..plot import evidence_figure

        per_lead = self.leads != (ALL,)
        return evidence_figure(
            self.record,
            self.seconds,
            self.values * self.values.size,
            leads=self.leads if per_lead else (),
            title=f"Attention ({self.kind})",
            legend="times an even share",
            layout=layout,
            **options,
        )

    def _lines(self) -> list[tuple[str, str, str]]:
        order = np.argsort(-self.values, axis=None, kind="stable")[:5]
        rows = []
        for lead, i in zip(*np.unravel_index(order, self.values.shape), strict=True):
            start, stop = self.seconds[i : i + 2]
            share = self.values[lead, i]
            times = f"{share * self.values.size:.2f} times an even share"
            rows.append((self.leads[lead], f"{start:.2f}-{stop:.2f} s", f"{share:.4f}, {times}"))
        return rows

    def __repr__(self) -> str:
        head = f"Attention ({self.kind}, {len(self.layers)} layers)"
        lines = [f"  {lead:<9} {when:>14}  {share}" for lead, when, share in self._lines()]
        return "\n".join([head, *lines])

    def _repr_html_(self) -> str:
        caption = f"Attention ({self.kind}): the pieces with the largest shares"
        return _html.table(["lead", "piece", "share"], self._lines(), caption=caption)


def attention(
    model: Any, x: Any, fs: float | None = None, *, unit: str = "mV"
) -> Attention | PictureMap:
    """Attention rollout (Abnar and Zuidema 2020) and the weights of attention pools.

    Per self-attention layer the mean over heads, half of it replaced by the identity for the path
    around the layer, multiplied from the last layer to the first; then what the network reads: the
    mean over tokens, one token, or the weights of a pool. It tells of the recording, not of a
    label.

    Parameters
    ----------
    model : Model
        One whose :meth:`Model.tokens` says what its tokens stand for.
    x : Record, or array (lead, time)
        One recording.
    fs : float
        Rate of an array in Hz.
    unit : str
        Unit of an array.

    Returns
    -------
    Attention, or PictureMap for a model of pictures

    Raises
    ------
    EcgkitError
        The model has no tokens, or attends in windows.
    LayoutError
        More than one recording.
    """
    tokens = model.tokens()
    if tokens is None:
        raise EcgkitError(f"{model.title} has no attention over pieces of a recording")
    if takes_pictures(model):
        picture = one_picture(model, x, fs, unit, "attention")
        kind, shares, layers = _looked(model, tokens, picture)[:3]
        return PictureMap(
            f"attention ({kind})",
            f"Attention ({kind})",
            "times an even share",
            shares[0, tokens.special :].reshape(tokens.grid),
            picture[0],
            float(shares[0, : tokens.special].sum()),
            layers,
        )
    signals, record = one(model, x, fs, unit, "attention")
    kind, shares, layers, starts = _looked(model, tokens, signals)
    rows = shares[:, tokens.special :].reshape(len(shares), tokens.rows, -1)
    edges = np.asarray(starts, np.float64)[:, None] + np.asarray(tokens.seconds, np.float64)
    seconds, values = _joined(edges, rows)
    special = float(shares[:, : tokens.special].sum(axis=1).mean())
    return Attention(kind, tokens.leads or (ALL,), seconds, values, special, layers, record)


def _looked(
    model: Any, tokens: Tokens, admitted: Array
) -> tuple[str, Array, dict[str, Array], Sequence[float]]:
    """How it was found, the share of every token in each window, the layers' weights, and the
    second that each window starts at."""
    windows, starts = model.attention_windows(model.contract.transform(admitted))
    found = model.attention_program.attention_weights(windows)
    layers = {k: w for k, w in found.items() if k.startswith(tokens.layers)}
    read = _read(tokens, model.attention_program, windows, model.title)
    return *_shares(layers, tokens.count, read, model.title), layers, starts


def _read(tokens: Tokens, program: Any, windows: Array, title: str) -> Array:
    """Weight of every token in what the last layer reads, (window, token)."""
    n = tokens.count
    if tokens.read not in READS:
        raise LayoutError(f"{title}: read must be one of {', '.join(READS)}; got {tokens.read!r}")
    if tokens.read == "max":
        held = program(windows, taps=(tokens.tap,))[tokens.tap].argmax(axis=1)
        return np.stack([np.bincount(row, minlength=n) / len(row) for row in held])
    weights = np.zeros(n)
    first = tokens.special if tokens.read == "pieces" else 0
    chosen = {"first": slice(0, 1), "last": slice(n - 1, n)}.get(tokens.read, slice(first, n))
    weights[chosen] = 1.0 / len(weights[chosen])
    return np.repeat(weights[None], len(windows), axis=0)


def _joined(edges: Array, rows: Array) -> tuple[Array, Array]:
    """The mean over windows of what lies between any two edges: edges (e,) and values (row, e - 1).

    A share is spread evenly over its piece.
    """
    every = np.unique(np.round(edges, 9))
    total = np.zeros((rows.shape[1], len(every) - 1))
    for at, window in zip(edges, rows, strict=True):
        for row, shares in zip(total, window, strict=True):
            row += np.diff(np.interp(every, at, np.concatenate([[0.0], np.cumsum(shares)])))
    return every, total / len(rows)


def _shares(layers: dict[str, Array], n: int, read: Array, title: str) -> tuple[str, Array]:
    """How it was found, and the share of every token, (window, token)."""
    odd = [k for k, w in layers.items() if w.ndim != 4 or w.shape[-1] != n]
    if odd or not layers:
        shapes = ", ".join(f"{k} {layers[k].shape[1:]}" for k in odd) or "none"
        raise LayoutError(f"{title}: wanted attention over {n} tokens, got {shapes}")
    through = np.eye(n)
    blocks, pooled = 0, False
    for weights in layers.values():
        mean = weights.astype(np.float64).mean(axis=1)
        if mean.shape[1] < n:  # fewer questions than tokens: a pool
            read, pooled = mean.mean(axis=1), True
            continue
        mixed = 0.5 * mean + 0.5 * np.eye(n)
        through = mixed / mixed.sum(axis=-1, keepdims=True) @ through
        blocks += 1
    kind = "pool weights" if not blocks else "rollout, read by a pool" if pooled else "rollout"
    return kind, (read[:, None] @ through)[:, 0]
