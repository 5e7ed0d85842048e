"""Models with a text tower beside their ECG tower: text embeddings, classes named by prompts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, ClassVar

import numpy as np

from .. import weights
from .._typing import F32, Array
from ..errors import EcgkitError
from . import _text
from ._bert import TextTower
from ._model import Model
from ._text import ClassEmbeddings, Prompts, Texts


class WithText(Model):
    """Adds :meth:`embed_text`, :meth:`class_embeddings` and :meth:`zero_shot`.

    A system sets ``shared`` and ``most_tokens`` and, in :meth:`program`, calls :meth:`keep_text`.
    """

    shared: ClassVar[int]
    """Width of the space that recordings and texts share."""
    most_tokens: ClassVar[int]
    """Longer texts are cut, as the authors' tokenizer call does."""
    lowercase: ClassVar[bool] = False
    """The authors lower the case of texts before the tokenizer sees them."""

    _tower: TextTower | None = None
    _space = ""

    def keep_text(self, tower: TextTower | None, ecg_side: Mapping[str, Array]) -> None:
        """The text tower, and the weights that ECG embeddings depend on."""
        self._tower, self._space = tower, weights.fingerprint(ecg_side)

    def embed_text(self, texts: Texts, *, tokenizer: Any, **options: Any) -> F32:
        """Embeddings of texts in the space that recordings share.

        Parameters
        ----------
        texts : str or sequence of str
            A pair of strings counts as one text of two parts.
        tokenizer : path-like or tokenizers.Tokenizer
            The text tower's own: ``tokenizer.json``, ``vocab.txt`` (uncased WordPiece), or
            ``vocab.json`` with ``merges.txt`` beside it; nothing is downloaded. Needs the extra
            ``text``.

        Returns
        -------
        ndarray, float32, shape (width,), or (n, width) for a sequence
            Of unit length. Independent of the other texts of the call.

        Raises
        ------
        EcgkitError
            The model was loaded without its text tower.
        ContractError
            The tokenizer belongs to another network.
        """
        tower = self._with_tower()
        rows = _text.listed(texts, self.title)
        chosen = _text.load_tokenizer(tokenizer, self.title)
        out = self._embedded(tower, rows, chosen, **options)
        return out[0] if _text.is_text(texts) else out

    def class_embeddings(
        self,
        prompts: Prompts,
        *,
        tokenizer: Any,
        cache: str | PathLike[str] | None = None,
        **options: Any,
    ) -> ClassEmbeddings:
        """Embeddings of classes from their prompts, for :meth:`zero_shot`.

        Parameters
        ----------
        prompts : mapping of label to str, or path of a JSON file that holds one
            A class may have a list of prompts.
        tokenizer : path-like or tokenizers.Tokenizer
            As for :meth:`embed_text`.
        cache : path-like, optional
            A ``.safetensors`` file: read if it was made of the same weights, tokenizer and prompts,
            else written. ``ecgkit.models.ClassEmbeddings.read(path)`` reads it without the text
            tower.

        Returns
        -------
        ClassEmbeddings
            A mapping from label to vector.
        """
        tower = self._with_tower()
        rows = _text.read_prompts(prompts, self.title)
        chosen = _text.load_tokenizer(tokenizer, self.title)
        vocabulary = hashlib.sha256(chosen.to_str().encode()).hexdigest()
        facts = [self.fingerprint, vocabulary, *(f"{k}={v}" for k, v in sorted(options.items()))]
        return _text.embedded(
            rows,
            lambda texts: self._embedded(tower, texts, chosen, **options),
            self._space,
            facts,
            cache,
        )

    def zero_shot(
        self,
        x: Any,
        classes: Mapping[str, Any] | str | PathLike[str],
        fs: float | None = None,
        *,
        unit: str = "mV",
        tokenizer: Any = None,
        **options: Any,
    ) -> Array:
        """Cosine of each recording's embedding with each class's text embedding.

        Parameters
        ----------
        x, fs, unit
            As for calling the model.
        classes : mapping of label to array_like or of label to str, or path
            Text embeddings (:meth:`class_embeddings`, or vectors of any length), shape (width,) or
            (prompts, width); or prompts, as for :meth:`class_embeddings`.
        tokenizer : path-like or tokenizers.Tokenizer
            For prompts: as for :meth:`embed_text`.

        Returns
        -------
        ndarray, float32, shape (class,), or (n, class) for a batch
            In the order of ``classes``; the largest cosine where a class has several prompts; no
            temperature, no softmax, as published.
        """
        self._can_compare()
        if _text.wants_text(classes):
            classes = self.class_embeddings(classes, tokenizer=tokenizer, **options)
        assert isinstance(classes, Mapping)
        return _text.scores(
            self.embed(x, fs, unit=unit), classes, self.shared, self._space, self.title
        )

    def _can_compare(self) -> None:
        """Raise where the variant's ECG embeddings have no text space."""

    def _with_tower(self) -> TextTower:
        if self._tower is None:
            raise EcgkitError(
                f"{self.title} was loaded without a text tower: load the whole checkpoint, or give "
                "class embeddings instead of text"
            )
        return self._tower

    def _embedded(self, tower: TextTower, texts: Sequence[Any], tokenizer: Any, **options) -> F32:
        """Unit vectors of texts."""
        if self.lowercase:
            texts = [
                t.lower() if isinstance(t, str) else tuple(part.lower() for part in t)
                for t in texts
            ]
        most = min(options.get("padded") or self.most_tokens, tower.longest)
        tokens = _text.tokenize(tokenizer, texts, most, tower.config.vocabulary, self.title)
        found = tower(tokens, **options)
        assert isinstance(found, np.ndarray)
        return found
