"""ECGNet: the eleven other leads from any one (arXiv 2310.03753).

Three networks, each a weight file of its own: a BiLSTM that generates, a CNN that tells real from
generated, a CNN that predicts disease. The paper's layers are not public: these are ours, after its
abstract.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from .._typing import Array, ArrayLike
from ..errors import EcgkitError, LayoutError, LeadError, WeightsError
from ..record import STANDARD_LEADS, Record, canonical_lead
from ._contract import Contract, Notes, is_single
from ._model import Model
from ._steps import Step

FS = 500.0
UNITS, LAYERS = 100, 2  # of the generator, per direction
CONVS = ((32, 25, 5), (64, 15, 3), (128, 9, 3))  # channels, taps, stride
SLOPE = 0.2
SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
OWN: dict[str, dict[str, Any]] = {
    "generator": {"lead": "I", "rows": 12, "coded": False},
    "discriminator": {},
    "cvd": {"masks": True, "num_classes": len(SUPERCLASSES)},
}


class ECGNet(Model):
    """The generator answers with a recording (:meth:`generate`), the two CNNs with
    probabilities."""

    name = "ecgnet_gan"
    task = "twelve leads from any one; real or generated; disease from twelve leads"
    labels = ()
    paper: ClassVar = {
        "title": "ECGNet: A generative adversarial network (GAN) approach to the synthesis of "
        "12-lead ECG signals from single lead inputs",
        "authors": "unknown to the specification this follows",
        "year": 2023,
        "id": "arXiv 2310.03753",
    }
    paper_reported: ClassVar = [
        {
            "model": f"generator, lead {lead}",
            "metric": "FD (which one is not said)",
            "value": value,
            "data": "15-s recordings by MyoVista wavECG, private",
            "split": "unknown",
        }
        for lead, value in zip(STANDARD_LEADS[6:], (4.73, 4.89, 5.18, 4.77, 4.71, 5.55))
    ]
    variants: ClassVar = {
        "network": tuple(OWN),
        "lead": STANDARD_LEADS,
        "rows": (12, 11),
        "coded": (False, True),
        "masks": (True, False),
        "num_classes": range(1, 1001),
        "scale": ("mV", "zscore"),
        "seconds": range(1, 121),
    }
    published = "the authors publish none that could be found; train one, or try weights='random'"

    def __init__(self, tensors, variant, contract, card, source):
        super().__init__(tensors, variant, contract, card, source)
        classes = self.variant.get("num_classes", 0)
        if self.variant["network"] == "discriminator":
            self.labels = ("real",)
        elif classes == len(SUPERCLASSES):
            self.labels = SUPERCLASSES
        else:
            self.labels = tuple(f"class {i}" for i in range(classes))

    @classmethod
    def complete(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Without a choice: the generator from lead I, in mV, 10 s. The choices of the other
        networks are not in it."""
        network = given.get("network", "generator")
        full = {"network": network, **OWN[network], "scale": "mV", "seconds": 10}
        strange = [key for key in given if key not in full]
        if strange:
            raise WeightsError(
                f"{cls.name}: the {network} has no choice {', '.join(strange)}: its choices are "
                f"{', '.join(full)}. If the weights are another network's, name that one"
            )
        full |= given
        if full.get("coded") and full["rows"] != 12:
            raise EcgkitError(
                f"{cls.name}: a generator that is told its lead gives all twelve: rows=12"
            )
        return full

    @classmethod
    def infer(cls, tensors: Mapping[str, Array]) -> dict[str, Any]:
        """Network and sizes, from the shapes."""
        shapes = {k.removeprefix("module."): np.shape(v) for k, v in tensors.items()}
        first = shapes.get("lstm.weight_ih_l0", shapes.get("conv1.weight", ()))
        rows = shapes.get("fc.weight", ())[:1]
        if len(first) == 2:
            sure = {"rows": rows[0]} if rows and rows[0] in cls.variants["rows"] else {}
            return {"network": "generator", "coded": first[1] == 13, **sure}
        if len(first) != 3 or first[0] != CONVS[0][0] or first[1] not in (12, 14):
            return {}
        if first[1] == 12 and rows == (1,):
            return {"network": "discriminator"}
        sure = {"num_classes": rows[0]} if rows else {}
        return {"network": "cvd", "masks": first[1] == 14, **sure}

    @classmethod
    def contract_of(cls, network: str, scale: str, seconds: int, **own: Any) -> Contract:
        """500 Hz; one lead, or the standard twelve; mV, or each lead z-scored."""
        features = None
        if own.get("coded"):
            features = Step("lead_code", lead=own["lead"])
        elif own.get("masks"):
            features = Step("conserved_masks")
        return Contract(
            fs=FS,
            length=int(FS) * seconds,
            leads=(own["lead"],) if network == "generator" else STANDARD_LEADS,
            normalisation=Step("zscore") if scale == "zscore" else None,
            features=features,
        )

    @classmethod
    def expected(
        cls, network: str, scale: str, seconds: int, **own: Any
    ) -> dict[str, tuple[int, ...]]:
        if network == "generator":
            return _generator_shapes(13 if own["coded"] else 1, own["rows"])
        masks = 2 if own.get("masks") else 0
        return _cnn_shapes(12 + masks, own.get("num_classes", 1))

    def program(self, tensors: Mapping[str, Array]):
        v, length = self.variant, self.contract.length
        if v["network"] == "generator":
            return _generator(tensors, length, STANDARD_LEADS.index(v["lead"]), v["coded"])
        return _cnn(tensors, length)

    def forward(self, prepared: Array, *, taps: Sequence[str] = ()):
        """Twelve leads (n, 12, time) from the generator, the one it was given among them; logits
        (n, label) from the CNNs. Taps: ``features``; ``lstm`` and ``generated`` (n, time, row), or
        ``conv1`` to ``conv3``."""
        out = self._program(prepared, taps=taps)
        if self.variant["network"] == "generator":
            return out
        return {**out, "output": out["output"][0]} if taps else out[0]

    def classify(self, prepared: Array) -> tuple[Array, Array | None]:
        """Independent probabilities."""
        if self.variant["network"] == "generator":
            raise EcgkitError(
                f"{self.title} gives leads, not classes: use generate(x), or load the network "
                "that answers: network='discriminator' or 'cvd'"
            )
        return self._program(prepared)[1], None

    # --------------------------------------------------------------- generate
    def generate(
        self,
        x: Any,
        fs: float | None = None,
        *,
        lead: str | None = None,
        unit: str = "mV",
        mean: ArrayLike | None = None,
        std: ArrayLike | None = None,
    ) -> Record | list[Record]:
        """Twelve leads from one.

        Parameters
        ----------
        x : Record, sequence of Record, or array (time,), (1, time) or (n, 1, time)
            A record's lead is taken by name; its others are not looked at.
        fs : float
            Rate in Hz; required for arrays.
        lead : str, optional
            The lead to start from. Default: the one the model was loaded for; a generator with
            ``coded=True`` takes any.
        unit : str
            Unit of an array; default mV.
        mean, std : array_like, shape (12,), optional
            Level and deviation of each lead in mV. A generator on z-scores knows neither: ``std``
            is required for it (``mean`` defaults to 0), and refused for one on mV.

        Returns
        -------
        Record, or list of Record for a batch
            500 Hz, the standard twelve; the lead that was given keeps its samples. ``meta`` says
            how it was made, and ``einthoven_rms_mv``: how far the limb leads are from III = II - I
            and its kin (root mean square, mV).

        Raises
        ------
        ContractError, LayoutError, LeadError, RateError, UnitError
            ``x`` breaks the contract.
        EcgkitError
            The network is no generator, or ``std`` is missing or out of place.
        """
        if self.variant["network"] != "generator":
            raise EcgkitError(f"{self.title} generates nothing: load network='generator'")
        named, contract = self._start(lead)
        level, spread = self._amplitudes(mean, std)
        if isinstance(x, np.ndarray) and x.ndim == 1:
            x = x[None]
        signals, notes = contract.admit(x, fs, unit=unit)
        at = STANDARD_LEADS.index(named)
        made = []
        for i in range(0, len(signals), self.batch):
            part = signals[i : i + self.batch]
            leads = self.forward(contract.transform(part)) * spread + level
            leads[:, at] = part[:, 0]
            made += [self._record(y, named, n) for y, n in zip(leads, notes[i:])]
        return made[0] if is_single(x) else made

    def _start(self, lead: str | None) -> tuple[str, Contract]:
        own = self.variant["lead"]
        named = own if lead is None else canonical_lead(lead)
        if named == own:
            return own, self.contract
        if named not in STANDARD_LEADS:
            raise LeadError(f"lead must be one of {' '.join(STANDARD_LEADS)}; got {lead!r}")
        if not self.variant["coded"]:
            raise LeadError(
                f"{self.title} starts from lead {own}: load the weights for lead {named}, or of a "
                "generator that is told its lead (coded=True)"
            )
        code = Step("lead_code", lead=named)
        return named, dataclasses.replace(self.contract, leads=(named,), features=code)

    def _amplitudes(self, mean: ArrayLike | None, std: ArrayLike | None) -> tuple[Array, Array]:
        """Level and deviation to give the leads, each (12, 1)."""
        if self.variant["scale"] == "mV":
            if mean is not None or std is not None:
                raise EcgkitError(f"{self.title} gives mV: leave out mean and std")
            return np.zeros((12, 1), np.float32), np.ones((12, 1), np.float32)
        if std is None:
            raise EcgkitError(
                f"{self.title} gives leads of unit deviation: pass std=, twelve numbers in mV, or "
                "take them as they are: forward(preprocess(x))"
            )
        pair = []
        for name, value in (("mean", 0.0 if mean is None else mean), ("std", std)):
            a = np.asarray(value, np.float32)
            if a.shape not in ((), (12,)) or not np.isfinite(a).all():
                raise LayoutError(f"{name} must be one or twelve finite numbers, got {value!r}")
            pair.append(np.broadcast_to(a, 12)[:, None])
        return pair[0], pair[1]

    def _record(self, leads: Array, lead: str, notes: Notes) -> Record:
        meta = {
            "format": "generated",
            "model": self.title,
            "weights": self.weights,
            "lead": lead,
            "notes": notes,
            "einthoven_rms_mv": einthoven_rms(leads),
        }
        return Record(leads, fs=FS, leads=STANDARD_LEADS, meta=meta)


def einthoven_rms(leads: Array) -> float:
    """How far limb leads (I, II, III, aVR, aVL, aVF in rows) are from what I and II make of them:
    the root mean square over III, aVR, aVL and aVF, in their unit."""
    one, two, *others = np.asarray(leads[:6], np.float64)
    exact = (two - one, -(one + two) / 2, one - two / 2, two - one / 2)
    return float(np.sqrt(np.mean([np.square(y - e).mean() for y, e in zip(others, exact)])))


# ---------------------------------------------------------------- key layouts
def _generator_shapes(features: int, rows: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(LAYERS):
        cin = 2 * UNITS if layer else features
        for end in ("", "_reverse"):
            at = f"l{layer}{end}"
            shapes[f"lstm.weight_ih_{at}"] = (4 * UNITS, cin)
            shapes[f"lstm.weight_hh_{at}"] = (4 * UNITS, UNITS)
            shapes[f"lstm.bias_ih_{at}"] = shapes[f"lstm.bias_hh_{at}"] = (4 * UNITS,)
    return shapes | {"fc.weight": (rows, 2 * UNITS), "fc.bias": (rows,)}


def _cnn_shapes(cin: int, classes: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for i, (cout, taps, _) in enumerate(CONVS, 1):
        shapes[f"conv{i}.weight"], shapes[f"conv{i}.bias"] = (cout, cin, taps), (cout,)
        cin = cout
    return shapes | {"fc.weight": (classes, cin), "fc.bias": (classes,)}


# --------------------------------------------------------------- the networks
def _generator(w: Mapping[str, Array], length: int, at: int, coded: bool):
    from .. import nn

    p = nn.Program("ecgnet_generator")
    x = p.input("x", (13 if coded else 1, length))
    cells = {k.removeprefix("lstm."): v for k, v in w.items() if k.startswith("lstm.")}
    h = p.lstm(p.transpose(x, (1, 0)), cells, bidirectional=True, num_layers=LAYERS, name="lstm")
    p.mean(h, 0, name="features")
    y = p.linear(h, w["fc.weight"], w["fc.bias"], name="generated")
    y = p.transpose(y, (1, 0))
    if coded:  # the code is 1 in the row of the lead that is given, 0 elsewhere
        code = p.slice(x, 0, 1)
        given = p.multiply(code, p.slice(x, 0, 0, 1))
        y = p.add(p.multiply(y, p.subtract(1.0, code)), given)
    else:
        after = at if y.shape[0] == 11 else at + 1
        parts = [p.slice(y, 0, 0, at)] if at else []
        parts.append(x)
        parts += [p.slice(y, 0, after)] if after < y.shape[0] else []
        y = p.concat(parts, 0)
    p.output(y, "leads")
    return p.compile()


def _cnn(w: Mapping[str, Array], length: int):
    from .. import nn

    p = nn.Program("ecgnet_cnn")
    h = p.input("x", (w["conv1.weight"].shape[1], length))
    for i, (_, taps, stride) in enumerate(CONVS, 1):
        weight, bias = w[f"conv{i}.weight"], w[f"conv{i}.bias"]
        h = p.conv1d(h, weight, bias, stride=stride, padding=taps // 2)
        h = p.leaky_relu(h, SLOPE, name=f"conv{i}")
    logits = p.linear(p.mean(h, -1, name="features"), w["fc.weight"], w["fc.bias"])
    p.output(logits, "logits")
    p.output(p.sigmoid(logits), "probabilities")
    return p.compile()


SYSTEM = ECGNet
