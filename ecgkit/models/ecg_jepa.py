"""ECG-JEPA: a transformer over 50-ms patches, pretrained to predict hidden ones (Weimann and
Conrad, 2025).

Three sizes of the encoder; the attentive head and the two linear ones of the authors' evaluation,
whose logits are averaged over crops of 2.5 s; the predictor of pretraining.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from .. import weights as _weights
from .._typing import Array, ArrayLike
from ..errors import EcgkitError, LayoutError, WeightsError
from ..explain import Tokens
from ..record import STANDARD_LEADS
from . import _ecg_jepa as net
from ._choice import Choice, per_lead
from ._contract import Contract
from ._model import Model
from ._steps import Step
from .ptbxl_reference import TASKS

LENGTH, CROP = 5000, 1250
HEADS = ("attentive", "register", "mean", "none")
_EXTRAS = Choice(
    f"a tuple of {', '.join(net.EXTRAS)}",
    lambda v: isinstance(v, tuple) and set(v) <= set(net.EXTRAS),
)


class ECGJEPA(Model):
    """Probabilities of a fine-tuned head, or the pretrained encoder's features."""

    name = "ecg_jepa"
    task = "fine-tuned labels (PTB-XL's 71 statements in the paper), or features of 10 s"
    labels = ()
    paper: ClassVar = {
        "title": "Self-supervised pre-training with joint-embedding predictive architecture boosts "
        "ECG classification performance",
        "authors": "K. Weimann, T. O. F. Conrad",
        "year": 2025,
        "id": "Computers in Biology and Medicine 196, arXiv 2410.13867",
    }
    paper_reported: ClassVar = [
        {
            "model": f"ViT-{size}, pretrained on all data, {head}",
            "metric": "macro AUROC, all 71 statements, mean of ten runs",
            "value": value,
            "data": "PTB-XL",
            "split": "fold 10",
        }
        for size, values in (("XS", (0.939, 0.933)), ("S", (0.945, 0.938)), ("B", (0.940, 0.935)))
        for head, value in zip(("fine-tuned", "frozen with attentive head"), values, strict=True)
    ]
    variants: ClassVar[dict[str, Any]] = {
        "network": tuple(net.SIZES),
        "head": HEADS,
        "num_classes": range(10_001),
        "task": ("none", *TASKS, "ST-MEM"),
        "crop": range(net.PATCH, LENGTH + 1, net.PATCH),
        "stride": range(1, LENGTH + 1),
        "dataset": net.DATASETS,
        "mean": per_lead("None or 12 means in mV", 12),
        "deviation": per_lead("None or 12 deviations in mV", 12, positive=True),
        "half": (False, True),
        "nan": ("refuse", "interpolate"),
        "predictor": (False, True),
        "extras": _EXTRAS,
    }
    published = "the authors train them with their repository kweimann/ECG-JEPA, which links none"

    def __init__(self, tensors, variant, contract, card, source):
        super().__init__(tensors, variant, contract, card, source)
        named = _labels(self.variant["task"])
        self.labels = named or tuple(f"class {i}" for i in range(self.variant["num_classes"]))

    @property
    def title(self) -> str:
        """``name(variant=...)``, without the constants and the choices left as they were."""
        usual = self.complete({k: self.variant[k] for k in ("network", "head", "num_classes")})
        shown = ("network", "head", "num_classes", "task", "crop", "dataset", "predictor", "extras")
        said = [
            f"{k}={self.variant[k]}"
            for k in shown
            if k in shown[:2] or self.variant[k] != usual[k] or (k == "num_classes" and usual[k])
        ]
        return f"{self.name}({', '.join(said)})"

    # ---------------------------------------------------------------- choices
    @classmethod
    def complete(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Without a choice: ViT-S with an attentive head for the 71 statements. An encoder alone
        sees ten seconds at once, as in pretraining, a head crops of 2.5 s."""
        full: dict[str, Any] = {"network": "vit_s", "task": "none", "dataset": "ptb-xl"}
        full |= {"mean": None, "deviation": None, "half": False, "nan": "refuse"}
        full |= {"predictor": False, "extras": (), **given}
        named = len(_labels(full["task"]))
        full.setdefault("head", "none" if full["predictor"] else "attentive")
        bare = full["head"] == "none"
        full.setdefault("num_classes", 0 if bare else named or 71)
        full.setdefault("crop", LENGTH if bare else CROP)
        full.setdefault("stride", full["crop"] // 2)
        if bare and (full["num_classes"] or named):
            raise EcgkitError(
                f"{cls.name}: an encoder alone (head='none') has no classes; leave out num_classes "
                f"and task, or choose a head: {', '.join(HEADS[:-1])}"
            )
        if not bare and full["num_classes"] != (named or full["num_classes"] or -1):
            raise EcgkitError(
                f"{cls.name}: task {full['task']!r} has {named} classes and a head at least one, "
                f"num_classes is {full['num_classes']}; leave out task, and the classes get "
                "numbers for names"
            )
        if full["predictor"] and not bare:
            raise EcgkitError(
                f"{cls.name}: the predictor belongs to pretraining checkpoints, which have no "
                "head; leave out head, or predictor=True"
            )
        return {key: full[key] for key in cls.variants}

    @classmethod
    def infer(cls, tensors: Mapping[str, Array]) -> dict[str, Any]:
        """Size, head, number of classes and unusual keys, from the keys."""
        probes = ("encoder.registers", "target_encoder.registers")
        keys = _weights.unwrap(tensors, probes)
        pre = next((p for p in probes[::-1] if p in keys), None)
        if pre is None:
            return {}
        width = sum(np.shape(keys[pre])[-1:])
        sizes = {size.dim: name for name, size in net.SIZES.items()}
        if width not in sizes:
            raise WeightsError(
                f"{cls.name}: an encoder of width {width}; known widths: "
                f"{', '.join(map(str, sizes))}"
            )
        known: dict[str, Any] = {"network": sizes[width], "head": "none"}
        rows = "fc.weight"
        if "attn_pool.query_token" in keys:
            known["head"], rows = "attentive", "attn_pool.cross_attention_block.proj.weight"
        elif rows in keys:
            known["head"] = "register"
        if known["head"] != "none":
            known["num_classes"] = sum(np.shape(keys.get(rows, ()))[:1])
        at = pre.removesuffix("registers")
        signs = (f"{at}norm.bias", f"{at}blocks.0.attn.qkv.bias", "fc.bias",
                 f"{at}blocks.0.attn_ls.weight")  # fmt: skip
        known["extras"] = tuple(e for e, key in zip(net.EXTRAS, signs, strict=True) if key in keys)
        return known

    @classmethod
    def stated(cls, path: Path) -> dict[str, Any]:
        """Of a fine-tuned checkpoint: constants of its training data, crops, the kind of linear
        head, the task."""
        said = _weights.settings(path)
        config = said.get("eval_config")
        if not isinstance(config, dict):
            return {}
        known: dict[str, Any] = {}
        for choice, key in (("crop", "crop_duration"), ("stride", "crop_stride")):
            if isinstance(config.get(key), int | float):
                known[choice] = int(config[key] * 500)
        if config.get("attn_pooling") is False and config.get("use_register") is False:
            known["head"] = "mean"
        try:
            constants = _weights.read(path, container="preprocess")
        except WeightsError:
            return known
        for choice, key in (("mean", "mean"), ("deviation", "std")):
            if np.shape(constants.get(key, ())) == (12,):
                known[choice] = tuple(map(float, constants[key]))
        return known

    # ------------------------------------------------------------------ facts
    @classmethod
    def contract_of(cls, **variant: Any) -> Contract:
        """500 Hz, 10 s, mV; constant mean and deviation of each lead, clipped to +-5; crops."""
        mean, deviation = net.statistics(variant["dataset"])
        high = (Step("highpass", cutoff=0.5, order=4),)
        return Contract(
            fs=500.0,
            length=LENGTH,
            leads=STANDARD_LEADS,
            filters=high if variant["dataset"] in net.HIGH_PASSED else (),
            normalisation=Step(
                "standardise",
                mean=variant["mean"] or mean,
                deviation=variant["deviation"] or deviation,
                clip=5.0,
                half=variant["half"],
            ),
            features=Step("windows", length=variant["crop"], stride=variant["stride"]),
            resample="fft",
            nan=variant["nan"],
        )

    @classmethod
    def expected(cls, **variant: Any) -> dict[str, tuple[int, ...]]:
        size, extras, head = net.SIZES[variant["network"]], variant["extras"], variant["head"]
        if head != "none":
            shapes = net.encoder_shapes("encoder.", size, extras)
            return shapes | net.head_shapes(head, size, variant["num_classes"], extras)
        shapes = net.encoder_shapes("target_encoder.", size, extras)
        if variant["predictor"]:
            shapes |= net.encoder_shapes("encoder.", size, extras)
            shapes |= net.predictor_shapes(size, extras)
        return shapes

    def adopt(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        """Of a pretraining checkpoint the target encoder alone, unless the predictor is wanted."""
        if self.variant["head"] != "none" or self.variant["predictor"]:
            return dict(tensors)
        unused = ("encoder.", "predictor.")
        return {k: v for k, v in tensors.items() if not k.startswith(unused)}

    # -------------------------------------------------------------------- use
    def program(self, tensors: Mapping[str, Array]):
        v = self.variant
        size = net.SIZES[v["network"]]
        self._predictor = net.predictor(tensors, size, v["crop"]) if v["predictor"] else None
        pre = "target_encoder." if v["head"] == "none" else "encoder."
        return net.classifier(tensors, pre, size, v["head"], v["crop"])

    def forward(self, prepared: Array, *, taps: Sequence[str] = ()):
        """Logits (n, crop, label) from (n, crop, 12, time), or the features (n, crop, width) of an
        encoder alone.

        Taps: ``features`` (what the last layer reads), ``tokens`` (1 + patch, width: the register
        first), ``patches``, and every block ``blocks.i`` with ``blocks.i.attn.qkv`` (1 + patch,
        3 width: q, k, v) and ``blocks.i.attn`` (its result before the projection); of the attentive
        head ``attn_pool.q`` (1, width) and ``attn_pool.kv`` (1 + patch, 2 width).
        """
        x = np.asarray(prepared)
        if x.ndim != 4:
            raise LayoutError(
                f"{self.name}: prepared input has shape (n, crop, 12, {self.variant['crop']}), got "
                f"{x.shape}; make it with preprocess(x)"
            )
        out = self._program(x.reshape(-1, *x.shape[2:]), taps=taps)
        if not taps:
            return out.reshape(*x.shape[:2], *out.shape[1:])
        return {k: v.reshape(*x.shape[:2], *v.shape[1:]) for k, v in out.items()}

    def classify(self, prepared: Array) -> tuple[Array, Array | None]:
        """Of the mean of the crops' logits, and of each crop: independent probabilities, or for
        the task ST-MEM those of classes that exclude each other."""
        if self.variant["head"] == "none":
            raise EcgkitError(
                f"{self.title} has no head: use embed(x), or load a fine-tuned checkpoint"
            )
        logits = self.forward(prepared)
        mean = logits.mean(axis=1, dtype=np.float64)
        return self._probabilities(mean), self._probabilities(logits)

    def tokens(self) -> Tokens:
        """Patches of 50 ms behind the register; a head reads the register, the mean of the patches,
        or all of them by a pool."""
        count = self.variant["crop"] // net.PATCH
        read = "first" if self.variant["head"] == "register" else "pieces"
        return Tokens(np.arange(count + 1) * (net.PATCH / 500.0), special=1, read=read)

    def attention_windows(self, prepared: Array) -> tuple[Array, Sequence[float]]:
        """The crops, and where they start."""
        starts = np.arange(prepared.shape[1]) * (self.variant["stride"] / 500.0)
        return prepared[0], tuple(map(float, starts))

    def _probabilities(self, logits: Array) -> Array:
        from ..nn import functional as F

        z = np.asarray(logits, np.float32)
        return F.softmax(z) if self.variant["task"] == "ST-MEM" else F.sigmoid(z)

    def predict_patches(self, prepared: Array, kept: ArrayLike) -> dict[str, Array]:
        """What pretraining compares: latents of hidden patches, predicted and true.

        Parameters
        ----------
        prepared : ndarray, shape (n, crop, 12, time)
            From :meth:`preprocess`.
        kept : array_like of int, shape (patch,), or (n * crop, patch)
            The patches of 50 ms that the context encoder sees, ascending; 200 in ten seconds. The
            others are hidden and predicted. A row for each crop, or one for all.

        Returns
        -------
        dict
            ``hidden`` (n * crop, hidden): the patches; ``predicted`` and ``target`` (n * crop,
            hidden, width); ``loss`` (n * crop,): the mean absolute difference.

        Raises
        ------
        EcgkitError
            Loaded without ``predictor=True``.
        LayoutError
            ``kept`` names no patches, all of them, one twice, or one that is not there.
        """
        if self._predictor is None:
            raise EcgkitError(
                f"{self.title} was loaded without the predictor: load a whole pretraining "
                "checkpoint with predictor=True"
            )
        x = np.asarray(prepared, np.float32)
        tokens = self.forward(x, taps=("tokens",))["tokens"]
        x, tokens = (a.reshape(-1, *a.shape[2:]) for a in (x, tokens))
        shown, hidden = self._patches(kept, len(x))
        predicted = self._predictor(x, shown, hidden)
        target = np.take_along_axis(tokens, 1 + hidden[:, :, None], 1)
        loss = np.abs(predicted - target).mean(axis=(1, 2), dtype=np.float64)
        return {"hidden": hidden, "predicted": predicted, "target": target, "loss": loss}

    def _patches(self, kept: ArrayLike, n: int) -> tuple[Array, Array]:
        """Shown and hidden patches, ascending, a row for each of ``n`` crops."""
        count = self.variant["crop"] // net.PATCH
        seen = np.asarray(kept)
        rows = np.broadcast_to(seen, (n, len(seen))) if seen.ndim == 1 else seen
        mask = np.zeros((n, count), bool)
        legal = seen.dtype.kind in "iu" and rows.ndim == 2 and len(rows) == n and rows.size > 0
        if legal and rows.min() >= 0 and rows.max() < count:
            np.put_along_axis(mask, rows, True, 1)
        asked = rows.shape[1] if legal else 0
        if not 0 < asked < count or (mask.sum(axis=1) != asked).any():
            raise LayoutError(
                f"{self.name}: kept must name some of the {count} patches by their numbers, each "
                f"once, in one row or one for each of {n} crops; got shape {seen.shape}"
            )
        shown, hidden = (np.nonzero(m)[1].reshape(n, -1) for m in (mask, ~mask))
        return shown, hidden


def _labels(task: str) -> tuple[str, ...]:
    return TASKS.get("superdiagnostic" if task == "ST-MEM" else task, ())


SYSTEM = ECGJEPA
