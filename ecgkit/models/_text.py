"""Texts beside recordings: tokenizers, class embeddings and the scores of zero-shot classification.

Tokenizers and prompts are the user's files; nothing is fetched.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from .. import _atomic
from .._extras import need
from .._typing import F32, Array
from ..errors import ContractError, LayoutError, WeightsError
from ._bert import Tokens

Texts = str | tuple[str, str] | Sequence[str] | Sequence[tuple[str, str]]
Prompts = Mapping[str, str | Sequence[str]] | str | PathLike[str]


# ---------------------------------------------------------------- tokenizers
def load_tokenizer(source: Any, what: str):
    """A ``tokenizers.Tokenizer`` of its own.

    Parameters
    ----------
    source : path-like or tokenizers.Tokenizer
        ``tokenizer.json``; ``vocab.txt`` (WordPiece of uncased BERT); ``vocab.json`` with
        ``merges.txt`` beside it (byte-level BPE of RoBERTa); or a folder that holds them.
    what : str
        Named in errors.
    """
    tokenizers = need("tokenizers", "text", f"{what}: text")
    if isinstance(source, tokenizers.Tokenizer):
        return tokenizers.Tokenizer.from_str(source.to_str())
    if source is None:
        raise ContractError(
            f"{what}: text needs the tokenizer of its tower: pass tokenizer=path of tokenizer.json "
            "or vocab.txt"
        )
    if not isinstance(source, (str, PathLike)):
        raise TypeError(
            f"{what}: tokenizer must be a path or a tokenizers.Tokenizer, got "
            f"{type(source).__name__}"
        )
    path = Path(source)
    if path.is_dir():
        names = ("tokenizer.json", "vocab.txt", "vocab.json")
        path = next((path / n for n in names if (path / n).is_file()), path / names[0])
    if not path.is_file():
        raise WeightsError(
            f"{what}: no tokenizer at {path}; pass the path of tokenizer.json, vocab.txt, or "
            "vocab.json with merges.txt beside it"
        )
    try:
        return _opened(tokenizers, path)
    except Exception as error:  # the package raises bare Exception
        raise WeightsError(f"{what}: {path} is no tokenizer file ({error})") from None


def _opened(tokenizers, path: Path):
    made = tokenizers.implementations
    if path.suffix == ".txt":
        return _inner(made.BertWordPieceTokenizer(str(path), lowercase=True))
    if path.name.endswith("vocab.json"):
        merges = path.with_name(path.name.replace("vocab.json", "merges.txt"))
        if not merges.is_file():
            raise FileNotFoundError(f"{merges.name} is not beside it")
        bpe = _inner(made.ByteLevelBPETokenizer(str(path), str(merges)))
        ends = [(mark, bpe.token_to_id(mark)) for mark in ("</s>", "<s>")]
        bpe.post_processor = tokenizers.processors.RobertaProcessing(*ends)
        return bpe
    return tokenizers.Tokenizer.from_file(str(path))


def _inner(made):
    """The tokenizer in one of the package's ready-made ones."""
    return made._tokenizer


def tokenize(tokenizer, texts: Texts, longest: int, vocabulary: int, what: str) -> list[Tokens]:
    """Tokens of every text, cut to ``longest`` with the closing mark kept.

    Raises
    ------
    ContractError
        The tokenizer numbers more tokens than the tower has rows.
    """
    tokenizer.enable_truncation(longest)
    tokenizer.no_padding()
    found = tokenizer.encode_batch(list(texts))
    most = max((max(e.ids, default=0) for e in found), default=0)
    if most >= vocabulary:
        raise ContractError(
            f"{what}: the tokenizer gives token {most}, the tower has {vocabulary}: it belongs to "
            "another network"
        )
    return [Tokens(tuple(e.ids), tuple(e.type_ids)) for e in found]


def listed(texts: Any, what: str) -> list:
    """Texts as a list: each a string, or a pair of them.

    Raises
    ------
    LayoutError
        Anything else, or none.
    """
    rows = [texts] if is_text(texts) else list(texts)
    odd = [i for i, t in enumerate(rows) if not is_text(t)]
    if odd or not rows:
        got = f"item {odd[0]} is {type(rows[odd[0]]).__name__}" if odd else "there is none"
        raise LayoutError(f"{what}: texts must be a string or a sequence of strings; {got}")
    return rows


def is_text(x: Any) -> bool:
    """One text: a string, or a tuple of two."""
    pair = isinstance(x, tuple) and len(x) == 2 and all(isinstance(t, str) for t in x)
    return isinstance(x, str) or pair


# ---------------------------------------------------------------- classes
@dataclass(frozen=True, eq=False, repr=False)
class ClassEmbeddings(Mapping[str, F32]):
    """Text embeddings of classes: a mapping from label to ``(width,)``, or ``(prompts, width)``
    where a class has several prompts.

    Attributes
    ----------
    labels : tuple of str
        The label of every row; rows of one label stand together.
    vectors : ndarray, float32, shape (row, width)
    prompts : tuple of str
        The prompt of every row.
    space : str
        Fingerprint of the network whose ECG embeddings they can be compared with.
    made_of : str
        Fingerprint of weights, tokenizer and prompts.
    """

    labels: tuple[str, ...]
    vectors: F32
    prompts: tuple[str, ...] = ()
    space: str = ""
    made_of: str = ""

    def __getitem__(self, label: str) -> F32:
        rows = self.vectors[[name == label for name in self.labels]]
        if not len(rows):
            raise KeyError(f"no class {label!r}; there are {', '.join(self)}")
        return rows[0] if len(rows) == 1 else rows

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(self.labels))

    def __len__(self) -> int:
        return len(set(self.labels))

    def __repr__(self) -> str:
        return f"ClassEmbeddings of {len(self)} classes: {', '.join(self)}"

    def save(self, path: str | PathLike[str]) -> None:
        """Write as ``.safetensors``, whole or not at all; labels, prompts and fingerprints are in
        its metadata."""
        from safetensors.numpy import save as encode

        facts = {"labels": json.dumps(self.labels), "prompts": json.dumps(self.prompts)}
        facts |= {"space": self.space, "made_of": self.made_of}
        _atomic.write_bytes(path, encode({"vectors": self.vectors}, metadata=facts))

    @classmethod
    def read(cls, path: str | PathLike[str]) -> ClassEmbeddings:
        """Inverse of :meth:`save`.

        Raises
        ------
        WeightsError
            The file is absent or was not written by :meth:`save`.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(path), "np") as file:
                facts, vectors = file.metadata() or {}, file.get_tensor("vectors")
            labels, prompts = (tuple(json.loads(facts[k])) for k in ("labels", "prompts"))
            if vectors.ndim != 2 or len(labels) != len(vectors):
                raise ValueError(f"{len(labels)} labels, vectors {vectors.shape}")
            return cls(labels, vectors, prompts, facts["space"], facts["made_of"])
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise WeightsError(
                f"{path}: no class embeddings ({type(error).__name__}: {error}); "
                "make them with class_embeddings(prompts, tokenizer=...)"
            ) from None


def read_prompts(prompts: Prompts, what: str) -> list[tuple[str, str]]:
    """Label and prompt of every row; a JSON file is an object from label to prompt or prompts.

    Raises
    ------
    LayoutError
        No mapping from label to text, or a class without one.
    """
    given: Any = prompts
    if isinstance(prompts, (str, PathLike)):
        try:
            given = json.loads(Path(prompts).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise LayoutError(f"{what}: prompts at {prompts} cannot be read ({error})") from None
    if not isinstance(given, Mapping):
        raise LayoutError(
            f"{what}: prompts must map each label to its text, got {type(given).__name__}"
        )
    rows = []
    for label, text in given.items():
        several = [text] if isinstance(text, str) else text
        texts = list(several) if isinstance(several, Sequence) else []
        if not texts or not all(isinstance(t, str) and t.strip() for t in texts):
            raise LayoutError(f"{what}: the prompt of {label!r} must be text, got {text!r}")
        rows += [(str(label), t) for t in texts]
    if not rows:
        raise LayoutError(f"{what}: no prompts")
    return rows


def embedded(
    rows: Sequence[tuple[str, str]],
    embed: Callable[[list[str]], F32],
    space: str,
    facts: Sequence[str],
    cache: str | PathLike[str] | None,
) -> ClassEmbeddings:
    """Class embeddings, from ``cache`` if it was made of the same ``facts`` and prompts, else
    computed and written there."""
    made_of = hashlib.sha256(json.dumps([*facts, *rows]).encode()).hexdigest()
    if cache is not None and Path(cache).exists():
        kept = ClassEmbeddings.read(cache)
        if kept.made_of == made_of:
            return kept
    labels, prompts = zip(*rows)
    found = ClassEmbeddings(labels, embed(list(prompts)), prompts, space, made_of)
    if cache is not None:
        found.save(cache)
    return found


def wants_text(classes: Any) -> bool:
    """Whether ``classes`` are prompts (a file, or a mapping to texts), not vectors."""
    if not isinstance(classes, Mapping):
        return True
    first = next(iter(classes.values()), None)
    return isinstance(first, str) or (
        isinstance(first, (list, tuple)) and bool(first) and isinstance(first[0], str)
    )


def scores(
    embeddings: Array, classes: Mapping[str, Any], width: int, space: str, what: str
) -> Array:
    """Cosine of every ECG embedding (n, width) with every class, the largest where a class has
    several vectors: (n, class).

    Raises
    ------
    LayoutError
        Vectors of another width, or not finite.
    WeightsError
        Class embeddings of another network.
    """
    if isinstance(classes, ClassEmbeddings) and classes.space not in ("", space):
        raise WeightsError(
            f"{what}: these class embeddings belong to other weights "
            f"({classes.space[:12]}, here {space[:12]}); make them anew with class_embeddings"
        )
    columns = []
    for label, vector in classes.items():
        w = np.atleast_2d(np.asarray(vector, np.float64))
        if w.ndim != 2 or not len(w) or w.shape[1] != width or not np.isfinite(w).all():
            raise LayoutError(
                f"{what}: classes must map each label to {width} finite numbers, "
                f"{label!r} has shape {np.shape(vector)}"
            )
        w = w / np.maximum(np.linalg.norm(w, axis=1, keepdims=True), 1e-12)
        columns.append((embeddings @ w.T).max(axis=-1))
    if not columns:
        raise LayoutError(f"{what}: no classes to compare with")
    return np.stack(columns, axis=-1).astype(np.float32)
