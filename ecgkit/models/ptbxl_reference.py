"""Reference networks of the PTB-XL benchmark (Strodthoff et al., IEEE JBHI 2021).

Six networks over windows of 2.5 s at a stride of half a window; the answer for a recording is the
largest probability of its windows. Checkpoints are those of fastai v1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from .._typing import Array
from ..errors import EcgkitError, LayoutError, WeightsError
from ._choice import Choice
from ._contract import Contract
from ._model import Model
from ._ptbxl import LEADS, NETWORKS, expected, last_layer, program
from ._steps import Step

SECONDS, WINDOW = 10.0, 2.5
MEAN, DEVIATION = -0.00077717, 0.23895642
"""mV; of the benchmark's published run: all leads and samples of folds 1 to 8 at 500 Hz."""

SUBCLASSES = {
    "STTC": "NDT DIG LNGQT ANEUR EL",
    "NST_": "NST_",
    "NORM": "NORM",
    "IMI": "IMI ILMI IPLMI IPMI INJIN INJIL",
    "AMI": "ASMI AMI ALMI INJAS INJAL INJLA",
    "LVH": "LVH",
    "LAFB/LPFB": "LAFB LPFB",
    "ISC_": "ISC_",
    "IRBBB": "IRBBB",
    "_AVB": "1AVB 2AVB 3AVB",
    "IVCD": "IVCD",
    "ISCA": "ISCAL ISCAS ISCLA ISCAN",
    "CRBBB": "CRBBB",
    "CLBBB": "CLBBB",
    "LAO/LAE": "LAO/LAE",
    "ISCI": "ISCIN ISCIL",
    "LMI": "LMI",
    "RVH": "RVH",
    "RAO/RAE": "RAO/RAE",
    "WPW": "WPW",
    "ILBBB": "ILBBB",
    "SEHYP": "SEHYP",
    "PMI": "PMI",
}
FORM = (
    "ABQRS DIG HVOLT INVT LNGQT LOWT LPR LVOLT NDT NST_ NT_ PAC PRC(S) PVC QWAVE STD_ STE_ TAB_ "
    "VCLVH"
)
RHYTHM = "AFIB AFLT BIGU PACE PSVT SARRH SBRAD SR STACH SVARR SVTAC TRIGU"
_DIAGNOSTIC = " ".join(SUBCLASSES.values())
TASKS = {
    task: tuple(sorted(set(codes)))
    for task, codes in {
        "all": f"{_DIAGNOSTIC} {FORM} {RHYTHM}".split(),
        "diagnostic": _DIAGNOSTIC.split(),
        "subdiagnostic": SUBCLASSES,
        "superdiagnostic": ("CD", "HYP", "MI", "NORM", "STTC"),
        "form": FORM.split(),
        "rhythm": RHYTHM.split(),
    }.items()
}
"""The benchmark's six tasks: their classes in the order of the networks' rows."""

OWN = "own"
_REPORTED = {
    "xresnet1d101": (0.925, 0.937, 0.929, 0.928, 0.896, 0.957),
    "inception1d": (0.925, 0.931, 0.930, 0.921, 0.899, 0.953),
    "resnet1d_wang": (0.919, 0.936, 0.928, 0.930, 0.880, 0.946),
    "fcn_wang": (0.918, 0.926, 0.927, 0.925, 0.869, 0.931),
    "lstm_bidir": (0.914, 0.932, 0.923, 0.921, 0.876, 0.949),
    "lstm": (0.907, 0.927, 0.928, 0.927, 0.851, 0.953),
}


def _between(low: float, high: float) -> Choice:
    return Choice(f"any number from {low:g} to {high:g}", lambda v: low <= v <= high)


class PTBXLReference(Model):
    """Independent probabilities of a task's statements."""

    name = "ptbxl_reference"
    task = "the six label tasks of the PTB-XL benchmark, or a head of one's own"
    labels = TASKS["all"]
    paper: ClassVar = {
        "title": "Deep learning for ECG analysis: benchmarks and insights from PTB-XL",
        "authors": "N. Strodthoff, P. Wagner, T. Schaeffter, W. Samek",
        "year": 2021,
        "id": "IEEE JBHI 25(5), arXiv 2004.13701",
    }
    paper_reported: ClassVar = [
        {
            "model": network,
            "metric": f"macro AUROC, task {task!r}",
            "value": value,
            "data": "PTB-XL 1.0.1",
            "split": "fold 10",
        }
        for network, values in _REPORTED.items()
        for task, value in zip(TASKS, values, strict=True)
    ]
    variants: ClassVar = {
        "network": NETWORKS,
        "task": (*TASKS, OWN),
        "num_classes": range(1, 10_001),
        "fs": (100, 500),
        "aggregate": ("max", "mean"),
        "mean": _between(-10, 10),
        "deviation": _between(1e-6, 1e3),
    }
    published = (
        "the authors' repository helme/ecg_ptbxl_benchmarking holds fastai_xresnet1d101.pth and "
        "links the others"
    )

    def __init__(self, tensors, variant, contract, card, source):
        super().__init__(tensors, variant, contract, card, source)
        task, classes = self.variant["task"], self.variant["num_classes"]
        self.labels = TASKS.get(task) or tuple(f"class {i}" for i in range(classes))

    # ---------------------------------------------------------------- choices
    @classmethod
    def complete(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """The task and the number of classes follow from one another."""
        full: dict[str, Any] = {"network": NETWORKS[0], "fs": 100, "aggregate": "max"}
        full |= {"mean": MEAN, "deviation": DEVIATION, **given}
        classes = given.get("num_classes")
        if "task" not in given:
            sizes = {len(labels): task for task, labels in TASKS.items()}
            full["task"] = "all" if classes is None else sizes.get(classes, OWN)
        known = TASKS.get(full["task"])
        if known is None and classes is None:
            raise EcgkitError(f"{cls.name}: task={OWN!r} needs num_classes")
        if known is not None and classes not in (None, len(known)):
            raise EcgkitError(
                f"{cls.name}: the task {full['task']!r} has {len(known)} classes, not {classes}; "
                f"a head of your own is task={OWN!r}"
            )
        full["num_classes"] = classes if known is None else len(known)
        return full

    @classmethod
    def infer(cls, tensors: Mapping[str, Array]) -> dict[str, Any]:
        """Network and number of classes, from the keys."""
        keys = {k.removeprefix("module."): v for k, v in tensors.items()}
        signs = (
            ("4.0.convs.0.0.weight", "xresnet1d101"),
            ("4.0.convpath.0.0.0.weight", "xresnet1d101"),
            ("3.0.conv1.weight", "resnet1d_wang"),
            ("layers.0.im.0.bottleneck.weight", "inception1d"),
            ("0.0.0.weight", "fcn_wang"),
            ("2.weight_ih_l0_reverse", "lstm_bidir"),
            ("2.weight_ih_l0", "lstm"),
        )
        found = [network for key, network in signs if key in keys]
        if not found:
            return {}
        head = keys.get(f"{last_layer(found[0])}.weight")
        return {"network": found[0], **({} if head is None else {"num_classes": len(head)})}

    @classmethod
    def contract_of(
        cls,
        network: str,
        task: str,
        num_classes: int,
        fs: int,
        aggregate: str,
        mean: float,
        deviation: float,
    ) -> Contract:
        """No filter; one constant mean and deviation; windows of 2.5 s at a stride of 1.25 s."""
        length = int(WINDOW * fs)
        return Contract(
            fs=float(fs),
            length=int(SECONDS * fs),
            normalisation=Step("standardise", mean=mean, deviation=deviation),
            features=Step("windows", length=length, stride=length // 2),
        )

    @classmethod
    def expected(cls, network: str, num_classes: int, **others: Any) -> dict[str, tuple[int, ...]]:
        return expected(network, num_classes)

    # ------------------------------------------------------------------- use
    def adopt(self, tensors: Mapping[str, Array]) -> Mapping[str, Array]:
        """xresnet1d101 without the second name of each bottleneck's tensors (``convpath.0``)."""
        kept: dict[str, Array] = {}
        for key, value in tensors.items():
            name = key.replace(".convpath.0.", ".convs.")
            if name in kept and not np.array_equal(kept[name], value):
                raise WeightsError(
                    f"{self.title}: {name} and its copy {key} differ; in the published files they "
                    "are the same tensors"
                )
            kept[name] = value
        return kept

    def program(self, tensors: Mapping[str, Array]):
        return program(self.variant["network"], tensors, int(WINDOW * self.variant["fs"]))

    def forward(self, prepared: Array, *, taps: Sequence[str] = ()):
        """Logits (n, window, label) of windows (n, window, 12, time), or (n, label) of windows
        (n, 12, time). Taps: ``features`` (128) and every block by its key."""
        out = self._run(prepared, taps)
        if not taps:
            return out["logits"]
        return {"output": out["logits"], **{tap: out[tap] for tap in taps}}

    def classify(self, prepared: Array) -> tuple[Array, Array | None]:
        windows = self._run(prepared)["probabilities"]
        over = windows.max if self.variant["aggregate"] == "max" else windows.mean
        return over(axis=1), windows

    def _run(self, prepared: Array, taps: Sequence[str] = ()) -> dict[str, Array]:
        """Outputs and taps by name; the network sees the windows as so many samples."""
        x = np.asarray(prepared)
        if x.ndim not in (3, 4) or x.shape[-2] != LEADS:
            raise LayoutError(
                f"{self.title}: windows must be (n, window, {LEADS}, time) or (n, {LEADS}, time), "
                f"got {x.shape}"
            )
        got = self._program(x.reshape(-1, *x.shape[-2:]), taps=taps)
        named = dict(got) if taps else {"output": got}
        out = {**dict(zip(self._program.outputs, named.pop("output"), strict=True)), **named}
        return {key: v.reshape(*x.shape[:-2], *v.shape[1:]) for key, v in out.items()}


SYSTEM = PTBXLReference
