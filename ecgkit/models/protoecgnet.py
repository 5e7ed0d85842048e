"""ProtoECGNet: 71 diagnoses from the likeness to pieces of training ECGs (Sethi et al., 2025).

Three branches compare a recording with prototypes: its rhythm (a ResNet over time, the whole
recording), its morphology (a ResNet on a picture of all leads, windows of 0.94 s) and what is
diffuse (the same, the whole recording). A linear layer on all similarities gives the logits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from .. import weights
from .._typing import Array
from ..errors import WeightsError
from ._contract import Contract
from ._evidence import evidence
from ._model import Model
from ._projection import Projection, project
from ._protoecgnet import BRANCHES, FUSION, LENGTH, branch_shapes, parts, program
from ._steps import Step

NAMES = tuple(b.name for b in BRANCHES)


class ProtoECGNet(Model):
    """The fusion of the three branches, or one of them with its own classifier."""

    name = "protoecgnet"
    task = "71 labels per 10-s ECG, explained by prototypes; or one branch's 16, 52 or 3"
    labels = FUSION
    paper: ClassVar = {
        "title": "ProtoECGNet: case-based interpretable deep learning for multi-label ECG "
        "classification with contrastive learning",
        "authors": "S. Sethi, D. Chen, T. Statchen, M. C. Burkhart, N. Bhandari, B. Ramadan, "
        "B. Beaulieu-Jones",
        "year": 2025,
        "id": "MLHC 2025, PMLR 298, arXiv 2504.08713",
    }
    paper_reported: ClassVar = [
        {
            "model": "morphology branch with contrastive loss",
            "metric": "best val_auc, validation records drawn with replacement",
            "value": 0.8691,
            "data": "PTB-XL 1.0.3, fold 9 (a checkpoint's name in the authors' notebook)",
            "split": "folds 1-8 / 9 / 10",
        }
    ]
    variants: ClassVar = {
        "network": ("fusion", *NAMES),
        "pool": ("mean", "max", "topk"),
        **{name: range(1, 10_001) for name in NAMES},
    }
    published = "the authors' repository (bbj-lab/protoecgnet) holds code, no checkpoint"

    vectors: dict[str, Array]
    """Branch -> its prototypes, as they lie in the checkpoint."""
    members: dict[str, list[tuple[int, ...]]]
    """Branch -> the classes of each of its prototypes, by number in the branch."""
    head: tuple[Array, Array | None]
    """Weights (label, prototype) and bias of the last layer; a branch has no bias."""

    def __init__(self, tensors, variant, contract, card, source):
        self._identity: dict[str, Array] = {}
        super().__init__(tensors, variant, contract, card, source)
        found = parts(self.variant["network"])
        if len(found) == 1:
            self.labels = found[0][0].labels
        self.members = {b.name: self._members(b, at) for b, at in found}

    @property
    def prototypes(self) -> tuple[tuple[str, str], ...]:
        """Branch and class of every prototype, in the order of :meth:`embed`; the classes that
        share one are joined by ``+``."""
        return tuple(
            (b.name, "+".join(b.labels[i] for i in members))
            for b, _ in parts(self.variant["network"])
            for members in self.members[b.name]
        )

    @classmethod
    def complete(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """The fusion, means over windows, and as many prototypes as published."""
        network = given.get("network", "fusion")
        counts = {b.name: b.published for b, _ in parts(network)}
        kept = {k: v for k, v in given.items() if k not in NAMES or k in counts}
        return {"network": network, "pool": "mean", **counts, **kept}

    @classmethod
    def infer(cls, tensors: Mapping[str, Array]) -> dict[str, Any]:
        """Fusion or branch and the number of prototypes, from keys and shapes."""
        bare = _bare(tensors)
        shapes = {k: np.shape(v) for k, v in bare.items() if k.endswith("prototype_vectors")}
        if any(key.startswith(b.prefix) for b in BRANCHES for key in bare):
            network = "fusion"
        else:
            found = shapes.get("prototype_vectors", ())
            fits = [b.name for b in BRANCHES if found[1:] == b.vector]
            if not fits:
                return {}
            network = fits[0]
        counts = {b.name: shapes.get(f"{at}prototype_vectors") for b, at in parts(network)}
        return {"network": network, **{k: s[0] for k, s in counts.items() if s}}

    @classmethod
    def contract_of(cls, network: str, pool: str, **prototypes: int) -> Contract:
        """100 Hz, 10 s, mV; a high-pass at 0.5 Hz and nothing else."""
        return Contract(fs=100.0, length=LENGTH, filters=(Step("highpass", cutoff=0.5, order=1),))

    @classmethod
    def expected(cls, network: str, pool: str, **prototypes: int) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {}
        for b, at in parts(network):
            shapes |= {f"{at}{k}": s for k, s in branch_shapes(b, prototypes[b.name]).items()}
        if network == "fusion":
            total = sum(prototypes.values())
            shapes |= {"classifier.weight": (len(FUSION), total), "classifier.bias": (len(FUSION),)}
        return shapes

    def adopt(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        """Without the ImageNet head, the loss's weights and the tensor of ones that they never
        read; which prototype is whose is noted."""
        kept = {}
        for key, value in _bare(tensors).items():
            at, _, last = key.rpartition("prototype_class_identity")
            if at + "prototype_class_identity" == key and not last:
                self._identity[at] = np.asarray(value)
            elif key.rpartition(".")[2] != "ones" and ".resnet.fc." not in f".{key}":
                kept[key] = value
        return kept

    def _members(self, b, at: str) -> list[tuple[int, ...]]:
        """The classes of every prototype of a branch."""
        count = self.variant[b.name]
        table = self._identity.get(at)
        if table is None:
            return b.members(count)
        wanted = (count, len(b.labels))
        if table.shape != wanted or not (table > 0).any(axis=1).all():
            raise WeightsError(
                f"{self.title}: {at}prototype_class_identity has shape {table.shape}, wanted "
                f"{wanted} with a class in every row"
            )
        return [tuple(map(int, np.flatnonzero(row > 0))) for row in table]

    def program(self, tensors: Mapping[str, Array]):
        self.vectors = {
            b.name: tensors[f"{at}prototype_vectors"] for b, at in parts(self.variant["network"])
        }
        self.head = tensors["classifier.weight"], tensors.get("classifier.bias")
        return program(tensors, self.variant["network"], self.variant["pool"])

    def forward(self, prepared: Array, *, taps: Sequence[str] = ()):
        """Logits (n, label). Taps: ``features`` (the similarity to every prototype) and, by the
        authors' keys, the blocks, ``add_on_layers``, ``similarity`` of every window, ``scores``."""
        out = self._program(prepared, taps=taps)
        return {**out, "output": out["output"][0]} if taps else out[0]

    def classify(self, prepared: Array) -> tuple[Array, Array | None]:
        """Independent probabilities: they do not sum to 1."""
        return self._program(prepared)[1], None

    @property
    def explanations(self) -> tuple[str, ...]:
        """Prototypes, or what changes when a part is silenced."""
        return ("prototypes", "occlusion")

    def evidence(self, prepared: Array, label: str | None) -> dict[str, Any]:
        """What :class:`ecgkit.explain.Prototypes` says of one prepared recording; the label is the
        top one by default."""
        return evidence(self, prepared, label)

    def project(
        self, batches: Iterable[Any], fs: float | None = None, *, unit: str = "mV"
    ) -> Projection:
        """Replace every prototype by the piece of a real recording that resembles it most.

        Parameters
        ----------
        batches : iterable of (x, labels) or (x, labels, names)
            ``x``: recordings in any form that the model takes. ``labels``: (n, label), true where
            a recording has the label, in the order of :attr:`labels`; a prototype looks only at
            recordings with a label of its classes. ``names``: what the metadata calls each
            recording; default its number.
        fs, unit
            Of arrays, as for calling the model.

        Returns
        -------
        Projection
            New tensors and the metadata that ``explain`` reads.

        Notes
        -----
        As the authors' ``push.py``: the largest similarity over the windows, the first of equals,
        whatever ``pool`` is. One pass for all branches, in the memory of one batch;
        :func:`ecgkit.proto.push` does the same to features, and survives interruptions.
        """
        return project(self, batches, fs, unit)


def _bare(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """The authors' keys without a trainer's prefix and its loss."""
    kept = {k: v for k, v in tensors.items() if "criterion." not in k}
    return weights.unwrap(kept, ("classifier.weight",))


SYSTEM = ProtoECGNet
