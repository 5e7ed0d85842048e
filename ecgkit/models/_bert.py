"""BERT and RoBERTa encoders: post-norm transformers over tokens, one program per length.

Keys are those of ``transformers``. A text is padded to the next length of a short list, whatever
stands beside it in the batch, so its answer does not depend on its neighbours; what the padding
holds is masked out of every attention.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._typing import F32, Array
from ..errors import ContractError

LENGTHS = (16, 32, 64, 128, 256, 512)
HEAD = 64
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class TextConfig:
    """The sizes that its keys do not all tell.

    ``first`` is the position of the first token: 0 in BERT, 2 in RoBERTa (its padding has 1).
    """

    layers: int = 12
    vocabulary: int = 30522
    width: int = 768
    positions: int = 512
    types: int = 2
    eps: float = 1e-12
    first: int = 0
    pooler: bool = True

    @property
    def longest(self) -> int:
        """Most tokens of one text."""
        return self.positions - self.first


def shapes(c: TextConfig) -> Shapes:
    """Key and shape of every tensor, in the order of the layers."""
    d = c.width
    found: Shapes = {}
    for part, rows in (("word", c.vocabulary), ("position", c.positions), ("token_type", c.types)):
        found[f"embeddings.{part}_embeddings.weight"] = (rows, d)

    def pair(at: str, *shape: int) -> None:
        found[f"{at}.weight"], found[f"{at}.bias"] = shape, shape[:1]

    pair("embeddings.LayerNorm", d)
    for i in range(c.layers):
        at = f"encoder.layer.{i}"
        for part in ("query", "key", "value"):
            pair(f"{at}.attention.self.{part}", d, d)
        pair(f"{at}.attention.output.dense", d, d)
        pair(f"{at}.attention.output.LayerNorm", d)
        pair(f"{at}.intermediate.dense", 4 * d, d)
        pair(f"{at}.output.dense", d, 4 * d)
        pair(f"{at}.output.LayerNorm", d)
    if c.pooler:
        pair("pooler.dense", d, d)
    return found


def sizes(keys: Mapping[str, Array], prefix: str) -> tuple[int, int]:
    """Layers and vocabulary of the tower whose keys start with ``prefix``; 0, 0 without one."""
    start = f"{prefix}encoder.layer."
    numbers = [k[len(start) :].split(".")[0] for k in keys if k.startswith(start)]
    layers = max((int(n) + 1 for n in numbers if n.isdigit()), default=0)
    words = keys.get(f"{prefix}embeddings.word_embeddings.weight")
    return (layers, 0 if words is None else len(words)) if layers else (0, 0)


# ---------------------------------------------------------------- the network
@dataclass(frozen=True)
class Tokens:
    """What a tokenizer made of one text: token ids and token types, without padding."""

    ids: tuple[int, ...]
    types: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.ids)


Tail = Callable[[Any, Any], Any]
"""Program and the pooled tensor to what the tower answers."""


class TextTower:
    """A tower from its weights, compiled for the length in use when it is first asked.

    Parameters
    ----------
    name : str
    config : TextConfig
    weights : mapping of key to ndarray
        Keys as :func:`shapes`.
    tail : callable, optional
        What follows the pooled vector: ``tail(program, tensor) -> tensor``; picklable.
    mean : bool
        Pool by the mean over all positions, padding among them (its rows are all alike, so one
        stands for the rest); default: the first token through the pooler's layer and tanh.
    """

    def __init__(
        self,
        name: str,
        config: TextConfig,
        weights: Mapping[str, Array],
        tail: Tail | None = None,
        mean: bool = False,
    ):
        self.name, self.config, self.weights = name, config, dict(weights)
        self.tail, self.mean = tail, mean
        self._lock = threading.Lock()
        self._program: Callable[..., Any] | None = None
        self._length = 0

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_lock", "_program")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self._lock, self._program, self._length = threading.Lock(), None, 0

    @property
    def longest(self) -> int:
        """Most tokens of one text."""
        return self.config.longest

    def __call__(
        self,
        texts: Sequence[Tokens],
        *,
        padded: int | None = None,
        taps: Sequence[str] = (),
        batch: int = 16,
    ) -> F32 | dict[str, F32]:
        """One row per text.

        ``padded``: how many positions a mean is over (default: as many as there are). With
        ``taps``, of texts of one length, a dict, as from programs.
        """
        if not texts:
            raise ContractError(f"{self.name}: no texts to embed")
        longest = min(padded or self.longest, self.longest)
        groups = self._grouped(texts, longest)
        if taps:
            ((length, index),) = groups.items()
            return self._run(length, [texts[i] for i in index], longest, taps)
        rows: list[Any] = [None] * len(texts)
        for length, index in groups.items():
            for part in (index[i : i + batch] for i in range(0, len(index), batch)):
                for i, row in zip(part, self._run(length, [texts[i] for i in part], longest)):
                    rows[i] = row
        return np.stack(rows)

    def _grouped(self, texts: Sequence[Tokens], longest: int) -> dict[int, list[int]]:
        """Numbers of the texts by the length that each is padded to, short ones first."""
        room = 1 if self.mean else 0  # for the row that stands for the padding
        groups: dict[int, list[int]] = {}
        for i, text in enumerate(texts):
            if not 0 < len(text) <= longest:
                raise ContractError(
                    f"{self.name}: text {i} has {len(text)} tokens, wanted 1..{longest}; cut it, "
                    "or let the tokenizer cut it"
                )
            needed = min(len(text) + room, longest)
            length = min([n for n in LENGTHS if needed <= n < longest] or [longest])
            groups.setdefault(length, []).append(i)
        return dict(sorted(groups.items()))

    def _run(self, length: int, texts: Sequence[Tokens], longest: int, taps: Sequence[str] = ()):
        with self._lock:
            if self._length != length or self._program is None:
                self._program = None  # let its weights go first
                self._program, self._length = self._compiled(length), length
            program = self._program
        return program(tuple(self._arrays(length, texts, longest)), taps=taps)

    def _arrays(self, length: int, texts: Sequence[Tokens], longest: int) -> Iterator[Array]:
        """Ids, types, positions, mask and the mean's weights, padded."""
        c = self.config
        pad = max(c.first - 1, 0)  # id and position of RoBERTa's padding; BERT's id is 0
        ids, types = np.full((len(texts), length), pad), np.zeros((len(texts), length), int)
        positions = np.broadcast_to(np.arange(length), ids.shape)
        positions = np.minimum(positions + c.first, c.positions - 1)
        mask: Array = np.zeros(ids.shape, np.float32)
        share: Array = np.zeros((len(texts), 1, length), np.float32)
        for i, text in enumerate(texts):
            n = len(text)
            ids[i, :n], types[i, :n], mask[i, :n] = text.ids, text.types, 1
            if c.first:
                positions[i, n:] = pad
            share[i, 0, :n] = 1 / longest
            share[i, 0, n : n + 1] = (longest - n) / longest
        yield from (ids, types, positions, mask)
        if self.mean:
            yield share

    def _compiled(self, length: int):
        from .. import nn

        p, c, w = nn.Program(self.name), self.config, self.weights
        ids, types, positions, mask = (
            p.input(n, (length,)) for n in ("ids", "types", "positions", "mask")
        )
        share = p.input("share", (1, length)) if self.mean else None

        def rows(part, numbers):
            return p.embedding(numbers, w[f"embeddings.{part}_embeddings.weight"])

        h = p.add(p.add(rows("word", ids), rows("token_type", types)), rows("position", positions))
        h = _norm(p, w, "embeddings.LayerNorm", h, c.eps)
        for i in range(c.layers):
            h = _layer(p, w, f"encoder.layer.{i}", h, mask, c, f"layer{i}")
        if share is not None:
            h = p.reshape(p.matmul(share, h), (c.width,), name="pooled")
        else:
            h = p.tanh(_linear(p, w, "pooler.dense", p.select(h, 0)), name="pooled")
        p.output(h if self.tail is None else self.tail(p, h), "embedding")
        return p.compile()


def _linear(p, w, at, x):
    return p.linear(x, w[f"{at}.weight"], w[f"{at}.bias"])


def _norm(p, w, at, x, eps, name=None):
    return p.layer_norm(x, w[f"{at}.weight"], w[f"{at}.bias"], eps, name=name)


def _layer(p, w, at, h, mask, c, name):
    """Attention, sum, norm; two linear layers with erf-GELU between, sum, norm."""
    parts = [f"{at}.attention.self.{k}" for k in ("query", "key", "value")]
    weight, bias = (np.concatenate([w[f"{k}.{n}"] for k in parts]) for n in ("weight", "bias"))
    q, k, v = p.chunk(p.linear(h, weight, bias), 3, -1)
    y = p.attention(q, k, v, heads=c.width // HEAD, key_mask=mask)
    y = p.add(_linear(p, w, f"{at}.attention.output.dense", y), h)
    h = _norm(p, w, f"{at}.attention.output.LayerNorm", y, c.eps)
    y = p.gelu(_linear(p, w, f"{at}.intermediate.dense", h))
    y = p.add(_linear(p, w, f"{at}.output.dense", y), h)
    return _norm(p, w, f"{at}.output.LayerNorm", y, c.eps, name)
