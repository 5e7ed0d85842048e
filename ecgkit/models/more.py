"""MoRE: X-ray, ECG and report in one space (Thapa et al., 2024).

Two ViT-B towers, one over convolved pieces of the ECG and one over a chest X-ray, and RoBERTa with
low-rank updates over the report, each projected to 128 numbers. Calling the model runs the ECG
side; the X-ray has ``embed_image``, the text ``embed_text``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from os import PathLike
from typing import Any, ClassVar

import numpy as np

from .._typing import F32, Array, ArrayLike
from ..errors import ContractError, EcgkitError, LayoutError
from ..explain import Tokens
from ..record import STANDARD_LEADS
from . import _bert, _more, _text, _vit
from ._contract import Contract
from ._image_contract import ImageContract
from ._prediction import Prediction
from ._relevance import Relevance, relevance
from ._retrieve import Retrieval, retrieve
from ._steps import Step
from ._text import ClassEmbeddings, Prompts, Texts
from ._zeroshot import WithText
from .merl import MIMIC_LEADS

LENGTH = 1000
FINDINGS = ("Atelectasis", "Cardiomegaly", "Edema", "Pleural Effusion")
XRAY = ImageContract(
    size=(_more.IMAGE, _more.IMAGE),
    resample="bicubic",
    mode="L",
    mean=(0.499,) * 3,
    std=(0.293,) * 3,
    enhance=Step("clahe"),
)
LEADS = {"mimic": MIMIC_LEADS, "standard": STANDARD_LEADS}
ECG_PADDED, REPORT_PADDED = 128, 512


class MoRE(WithText):
    """Embeddings of ECGs, chest X-rays and reports in one space; retrieval and zero-shot scores."""

    name = "more"
    task = "ECG, X-ray and text embeddings, retrieval, zero-shot scores from prompts"
    labels = ()
    paper: ClassVar = {
        "title": "MoRE: multi-modal contrastive pre-training with transformers on X-rays, ECGs, "
        "and diagnostic report",
        "authors": "S. Thapa et al.",
        "year": 2024,
        "id": "arXiv 2410.16239",
    }
    paper_reported: ClassVar = []
    variants: ClassVar = {
        "depth": range(1, 49),
        "xray": (True, False),
        "text_layers": range(49),
        "vocabulary": range(1_000_001),
        "num_classes": range(10_001),
        "order": tuple(LEADS),
    }
    published = "the authors link one file in the README of their repository svthapa/MoRE"
    shared, most_tokens = _more.SHARED, REPORT_PADDED
    embedding = "unit"

    def __init__(self, tensors, variant, contract, card, source):
        super().__init__(tensors, variant, contract, card, source)
        n = self.variant["num_classes"]
        self.labels = FINDINGS if n == len(FINDINGS) else tuple(f"class {i}" for i in range(n))

    # ------------------------------------------------------------- the layout
    @classmethod
    def complete(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Without a choice: all three towers of twelve layers, leads in MIMIC's order."""
        classes = given.get("num_classes", 0)
        layers = given.get("text_layers", 0 if classes else 12)
        full = {
            "depth": 12,
            "xray": True,
            "text_layers": layers,
            "num_classes": classes,
            "order": "mimic",
            **given,
            "vocabulary": given.get("vocabulary", 50265) if layers else 0,
        }
        if classes and (layers or not full["xray"]):
            raise EcgkitError(
                f"{cls.name}: a head of {classes} classes stands on the X-ray and the ECG tower "
                "together and has no text tower: leave out xray and text_layers"
            )
        return {key: full[key] for key in cls.variants}

    @classmethod
    def infer(cls, tensors: Mapping[str, Array]) -> dict[str, Any]:
        """Depth and towers, from the keys."""
        keys = {_renamed(k): v for k, v in tensors.items()}
        layers, vocabulary = _bert.sizes(keys, _more.TEXT)
        depth = _vit.depth_of(keys, "ecg_model.vit_model.")
        found: dict[str, Any] = {"xray": any(k.startswith("xray_model.") for k in keys)}
        found |= {"text_layers": layers, "vocabulary": vocabulary}
        found |= {"num_classes": len(keys.get("fc.1.weight", ()))}
        return found | ({"depth": depth} if depth in cls.variants["depth"] else {})

    @classmethod
    def contract_of(cls, order: str, **variant: Any) -> Contract:
        """100 Hz, 10 s, baseline by two medians removed, every lead to -1..1; NaN become 0."""
        return Contract(
            fs=100.0,
            length=LENGTH,
            leads=LEADS[order],
            filters=(Step("median_baseline", sizes=(21, 61), edge="zero"),),
            normalisation=Step("minmax", low=-1.0, high=1.0, eps=1e-10),
            resample="scipy",
            nan="zero",
        )

    @classmethod
    def expected(
        cls,
        depth: int,
        xray: bool,
        text_layers: int,
        vocabulary: int,
        num_classes: int,
        order: str,
    ) -> dict[str, tuple[int, ...]]:
        """Of all towers, the text tower's updates merged."""
        ends = ("xray", "ecg") if num_classes else ("xray_text", "ecg_text")
        found = _more.text_shapes(text_layers, vocabulary) if text_layers else {}
        found |= _more.ecg_shapes(depth)
        found |= _more.xray_shapes(depth) if xray else {}
        for name in (*ends[1 - xray :], *(("text",) if text_layers else ())):
            found |= _more.projector_shapes(name)
        if num_classes:
            found |= {"fc.1.weight": (num_classes, 2 * _more.SHARED), "fc.1.bias": (num_classes,)}
        return found

    def adopt(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        """Low-rank updates merged, without towers that are not wanted and what no forward uses."""
        keys = {_renamed(k): v for k, v in tensors.items()}
        unused = tuple(f"{_more.TEXT}{k}" for k in ("pooler.", "embeddings.position_ids"))
        if not self.variant["text_layers"]:
            unused += ("text_model.", "projector_text.")
        if not self.variant["xray"]:
            unused += ("xray_model.", "projector_xray_text.")
        kept = {k: v for k, v in keys.items() if not k.startswith(unused)}
        return _more.merged(kept, self.title)

    def program(self, tensors: Mapping[str, Array]):
        end = "" if self.variant["num_classes"] else "_text"
        ecg = {k: v for k, v in tensors.items() if k.startswith(("ecg_model.", "projector_ecg"))}
        self._xray = None
        if self.variant["xray"]:
            self._xray = _more.xray_program(tensors, f"xray{end}")
        self._head = () if end else (tensors["fc.1.weight"], tensors["fc.1.bias"])
        self._whole = {} if end else dict(tensors)
        self.keep_text(self._text_tower(tensors), ecg)
        return _more.ecg_program(ecg, f"ecg{end}")

    def _text_tower(self, tensors: Mapping[str, Array]) -> _bert.TextTower | None:
        layers, vocabulary = self.variant["text_layers"], self.variant["vocabulary"]
        if not layers:
            return None
        ends = {k: v for k, v in tensors.items() if k.startswith("projector_text.")}
        config, inner = _more.text_config(layers, vocabulary), _more.inside(tensors, _more.TEXT)
        return _bert.TextTower("more_text", config, inner, partial(_more.text_tail, ends), True)

    # ------------------------------------------------------------- the ECG
    def forward(self, prepared: Array, *, taps: Sequence[str] = ()):
        """The ECG's projection (n, 128), before it is scaled to unit length.

        Taps: ``unit`` (what :meth:`embed` gives), ``features`` (the class token, n x 768),
        ``patch_embed.conv1``, ``patch_embed.conv2`` and ``blocks.i`` (197, 768).
        """
        out = self._program(prepared, taps=taps)
        return {**out, "output": out["output"][0]} if taps else out[0]

    def classify(self, prepared: Array) -> tuple[Array, Array | None]:
        if self.variant["num_classes"]:
            raise EcgkitError(f"{self.title} names findings from both: classify_pair(x, images)")
        raise EcgkitError(
            f"{self.title} gives embeddings, not classes: use embed(x), zero_shot(x, prompts, "
            "tokenizer=...) or retrieve"
        )

    # ------------------------------------------------------------- the X-ray
    def forward_image(self, prepared: Array, *, taps: Sequence[str] = ()):
        """The X-ray's projection (n, 128) from pictures (n, 3, 224, 224), before it is scaled to
        unit length. Taps: ``unit``, ``features`` (the class token, n x 768), ``blocks.i``."""
        if self._xray is None:
            raise EcgkitError(
                f"{self.title} was loaded without an X-ray tower: load the whole checkpoint"
            )
        out = self._xray(prepared, taps=taps)
        return {**out, "output": out["output"][0]} if taps else out[0]

    @property
    def image_contract(self) -> ImageContract:
        """Preprocessing of X-rays: made grey, 224 x 224, contrast equalised locally, scaled."""
        return XRAY

    def preprocess_image(self, images: Any) -> Array:
        """What the X-ray tower eats, (n, 3, 224, 224), from a file, a PIL image, an array (height,
        width, 3) or (n, height, width, 3) of uint8, or a list. Needs the extra ``xray``."""
        return XRAY.prepare(images)[0]

    def embed_image(self, images: Any) -> Array:
        """Embeddings of X-rays, (128,) or (n, 128), of unit length; ``images`` as for
        :meth:`preprocess_image`."""
        rows = [self.forward_image(part, taps=("unit",))["unit"] for part in self._images(images)]
        return rows[0][0] if XRAY.is_single(images) else np.concatenate(rows)

    def _images(self, images: Any) -> Iterator[Array]:
        """Prepared X-rays in pieces."""
        many = not XRAY.is_single(images)
        if many and not len(images):
            raise LayoutError(f"{self.title}: no X-rays: the batch is empty")
        step = self.batch
        for i in range(0, len(images) if many else 1, step):
            yield self.preprocess_image(images[i : i + step] if many else images)

    def zero_shot_image(self, images: Any, classes: Any, *, tokenizer: Any = None) -> Array:
        """Cosine of each X-ray's embedding with each class's text embedding.

        Parameters
        ----------
        images
            As for :meth:`preprocess_image`.
        classes : mapping of label to array_like or to str, or path
            As for :meth:`zero_shot`; prompts are padded to 512, as published for X-rays.
        tokenizer : path-like or tokenizers.Tokenizer
            For prompts.

        Returns
        -------
        ndarray, float32, shape (class,), or (n, class) for a batch
        """
        if _text.wants_text(classes):
            classes = self.class_embeddings(classes, tokenizer=tokenizer, padded=REPORT_PADDED)
        found = self.embed_image(images)
        return _text.scores(found, classes, self.shared, self._space, self.title)

    def classify_pair(
        self, x: Any, images: Any, fs: float | None = None, *, unit: str = "mV"
    ) -> Prediction:
        """Findings from X-rays and the ECGs that belong to them, with a fine-tuned head.

        Parameters
        ----------
        x, fs, unit
            As for calling the model; None where there is no ECG (its part is then zeros, as in
            training where the ECG was dropped).
        images
            As for :meth:`preprocess_image`, as many as there are ECGs.

        Returns
        -------
        Prediction
            Independent probabilities of :attr:`labels`.
        """
        if not self._head:
            raise EcgkitError(f"{self.title} has no head: load a fine-tuned file, or use zero_shot")
        seen = np.concatenate([self.forward_image(part) for part in self._images(images)])
        heard, notes = np.zeros_like(seen), [()] * len(seen)
        if x is not None:
            prepared, notes = self.contract.prepare(x, fs, unit=unit)
            heard = self.forward(prepared)
        if len(heard) != len(seen):
            raise LayoutError(
                f"{self.title}: {len(heard)} ECGs and {len(seen)} X-rays; they go together in pairs"
            )
        weight, bias = (v.astype(np.float64) for v in self._head)
        logits = np.concatenate([seen, heard], axis=1) @ weight.T + bias
        p = (1 / (1 + np.exp(-logits))).astype(np.float32)
        if XRAY.is_single(images):
            return Prediction(self.labels, p[0], None, notes[0], self.title)
        return Prediction(self.labels, p, None, tuple(notes), self.title)

    def relevance(
        self,
        x: Any,
        image: Any,
        fs: float | None = None,
        *,
        label: str | None = None,
        unit: str = "mV",
    ) -> Relevance:
        """Which pieces of one ECG and one X-ray carry a finding (Chefer et al., CVPR 2021).

        Relevance goes down both towers by the authors' rules, is multiplied with the gradient of
        the logit at each attention matrix, and rolled out over the layers. About ten seconds.

        Parameters
        ----------
        x, fs, unit
            One recording, as for calling the model.
        image
            One X-ray, as for :meth:`preprocess_image`.
        label : str, optional
            One of :attr:`labels`; default the most probable.

        Returns
        -------
        Relevance
            Numbers per piece, sample and pixel, from 0 to 1; ``plot()`` over the ECG paper.
        """
        if not self._head:
            raise EcgkitError(f"{self.title} has no head: relevance is that of a finding's logit")
        if label is not None and label not in self.labels:
            raise EcgkitError(f"no label {label!r}; there are {', '.join(self.labels)}")
        signals, _ = self.contract.admit(x, fs, unit=unit)
        picture = self.preprocess_image(image)
        if len(signals) != 1 or len(picture) != 1:
            raise LayoutError(
                f"relevance explains one ECG and one X-ray, got {len(signals)} and {len(picture)}"
            )
        return relevance(self, signals, picture, label, self._whole)

    def tokens(self) -> Tokens:
        """A token sees 25 samples, the next one 5 samples later: edges stand midway between."""
        return Tokens((np.arange(_more.TOKENS) * 5.0 + 10.0) / 100.0, special=1, read="first")

    # ------------------------------------------------------------- the text
    def embed_text(
        self, texts: Texts, *, tokenizer: Any, padded: int = REPORT_PADDED, **options: Any
    ) -> F32:
        """Embeddings of reports or prompts, (128,) or (n, 128), of unit length.

        Parameters
        ----------
        texts : str, pair of str, or sequence of those
            A pair (X-ray note, ECG note) becomes ``<s> A </s></s> B </s>``.
        tokenizer : path-like or tokenizers.Tokenizer
            RoBERTa's: ``tokenizer.json``, or ``vocab.json`` with ``merges.txt`` beside it; nothing
            is downloaded.
        padded : int
            Positions that the mean is over, padding among them, and where texts are cut: 512 for
            reports and prompts about X-rays, 128 for prompts about ECGs, as published. It changes
            the embedding.
        """
        options |= {"padded": _positions(padded)}
        return super().embed_text(texts, tokenizer=tokenizer, **options)

    def class_embeddings(
        self,
        prompts: Prompts,
        *,
        tokenizer: Any,
        cache: str | PathLike[str] | None = None,
        padded: int = ECG_PADDED,
        **options: Any,
    ) -> ClassEmbeddings:
        """Embeddings of classes from their prompts, as :meth:`Merl.class_embeddings`; ``padded`` as
        in :meth:`embed_text`, with the authors' 128 for prompts about ECGs."""
        options |= {"padded": _positions(padded)}
        return super().class_embeddings(prompts, tokenizer=tokenizer, cache=cache, **options)

    # ------------------------------------------------------------- retrieval
    def retrieve(
        self,
        query: ArrayLike,
        gallery: ArrayLike,
        *,
        k: int = 5,
        every: int = 1,
        names: Sequence[Any] | None = None,
    ) -> Retrieval:
        """The ``k`` entries of a gallery with the largest cosine to each query, ties to the one
        that stands first; both are embeddings of ECGs, X-rays or texts, (n, 128).

        ``every``: keep every so manyth of the ranking; the authors' notebooks take the first 5 k
        and keep every fifth, ``every=5``. ``names``: of the gallery's entries, for display.
        """
        return retrieve(query, gallery, k=k, every=every, names=names)


def _positions(padded: Any) -> int:
    if not isinstance(padded, (int, np.integer)) or not 2 <= padded <= REPORT_PADDED:
        raise ContractError(f"padded must be a whole number in 2..{REPORT_PADDED}, got {padded!r}")
    return int(padded)


def _renamed(key: str) -> str:
    """A key without a parallel wrapper, and of a text tower that PEFT has handed back merged."""
    key = key.removeprefix("module.")
    inner = key.removeprefix("text_model.")
    return key if inner == key else _more.TEXT + inner.removeprefix("base_model.model.")


SYSTEM = MoRE
