"""ProtoECGNet's three branches: label groups, key layouts, and the network as a program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from .._typing import Array
from . import _resnet, _resnet1d

LENGTH, STEPS, WIDTH = 1000, 32, 512  # samples, time steps of the last map, its channels
TOP = 5  # windows that pool="topk" averages
EPS = 1e-4  # added to squared norms of windows and of their prototypes


def _codes(text: str) -> tuple[str, ...]:
    return tuple(text.split())


RHYTHM = _codes(
    "1AVB IVCD 3AVB 2AVB SR AFIB STACH SARRH SBRAD PACE SVARR BIGU AFLT SVTAC PSVT TRIGU"
)
MORPHOLOGY = _codes(
    "NDT NST_ LNGQT IMI ASMI LVH LAFB ISC_ IRBBB ISCAL CRBBB CLBBB ILMI LAO/LAE AMI ALMI ISCIN "
    "INJAS LMI ISCIL LPFB ISCAS INJAL ISCLA RVH ANEUR RAO/RAE WPW ILBBB IPLMI ISCAN IPMI SEHYP "
    "INJIN INJLA PMI INJIL ABQRS PVC STD_ VCLVH QWAVE LOWT NT_ PAC LPR INVT LVOLT HVOLT TAB_ STE_ "
    "PRC(S)"
)
DIFFUSE = ("DIG", "NORM", "EL")
# the rows of PTB-XL's scp_statements.csv
FUSION = _codes(
    "NDT NST_ DIG LNGQT NORM IMI ASMI LVH LAFB ISC_ IRBBB 1AVB IVCD ISCAL CRBBB CLBBB ILMI LAO/LAE "
    "AMI ALMI ISCIN INJAS LMI ISCIL LPFB ISCAS INJAL ISCLA RVH ANEUR RAO/RAE EL WPW ILBBB IPLMI "
    "ISCAN IPMI SEHYP INJIN INJLA PMI 3AVB INJIL 2AVB ABQRS PVC STD_ VCLVH QWAVE LOWT NT_ PAC LPR "
    "INVT LVOLT HVOLT TAB_ STE_ PRC(S) SR AFIB STACH SARRH SBRAD PACE SVARR BIGU AFLT SVTAC PSVT "
    "TRIGU"
)


@dataclass(frozen=True)
class Branch:
    """One network and its prototypes.

    ``window``: time steps of a prototype, 0 where it stands for the mean over the recording (then
    the encoder is one over time, else one on pictures of one channel). ``scale``: what the original
    multiplies cosines by; it divides by the root of the window twice. ``published``: the number
    of prototypes.
    """

    name: str
    prefix: str
    labels: tuple[str, ...]
    window: int
    scale: int
    published: int

    @property
    def encoder(self) -> str:
        """What the encoder's keys begin with, after the prefix."""
        return "feature_extractor." + ("resnet." if self.window else "")

    @property
    def vector(self) -> tuple[int, ...]:
        """Shape of a prototype."""
        return (WIDTH, 1, self.window) if self.window else (WIDTH,)

    @property
    def windows(self) -> int:
        """Places a prototype is compared with."""
        return STEPS - self.window + 1 if self.window else 1

    def members(self, count: int) -> list[tuple[int, ...]]:
        """The classes of each prototype: equally many each, then the ones that a pair shares."""
        classes = len(self.labels)
        each = count // classes
        found: list[tuple[int, ...]] = [(i,) for i in range(classes) for _ in range(each)]
        return found + list(combinations(range(classes), 2))[: count - each * classes]


BRANCHES = (
    Branch("rhythm", "model1d.", RHYTHM, 0, 1, 80),
    Branch("morphology", "model2d_partial.", MORPHOLOGY, 3, 13, 936),
    Branch("diffuse", "model2d_global.", DIFFUSE, 32, 4, 21),
)


def parts(network: str) -> tuple[tuple[Branch, str], ...]:
    """The branches of a network, and what their keys begin with."""
    if network == "fusion":
        return tuple((b, b.prefix) for b in BRANCHES)
    return tuple((b, "") for b in BRANCHES if b.name == network)


def branch_shapes(b: Branch, prototypes: int) -> dict[str, tuple[int, ...]]:
    """Key and shape of every tensor that a branch uses, in the authors' layout."""
    shapes: dict[str, tuple[int, ...]] = {"prototype_vectors": (prototypes, *b.vector)}
    if b.window:
        encoder = {k: s for k, s in _resnet.expected(1).items() if not k.startswith("fc.")}
        encoder["conv1.weight"] = (64, 1, 12, 7)
    else:
        encoder = _resnet1d.shapes("downsample")
    shapes |= {f"{b.encoder}{k}": s for k, s in encoder.items()}
    for i in (0, 2):
        pixel = (1, 1) if b.window else ()
        shapes[f"add_on_layers.{i}.weight"] = (WIDTH, WIDTH, *pixel)
        shapes[f"add_on_layers.{i}.bias"] = (WIDTH,)
    return shapes | {"classifier.weight": (len(b.labels), prototypes)}


# ---------------------------------------------------------------- the network
def program(w: Mapping[str, Array], network: str, pool: str):
    """Recording to logits and probabilities. Taps: blocks, ``add_on_layers``, ``similarity`` (of
    every window), ``scores`` and, of a fusion, ``logits`` of every branch by the authors' prefix;
    ``features``: all scores."""
    from .. import nn

    p = nn.Program(f"protoecgnet_{network}")
    x = p.input("x", (12, LENGTH))
    scores = []
    for b, at in parts(network):
        scores.append(_scores(p, w, b, at, x, pool))
        if at:  # nobody but a tap asks for it
            p.linear(scores[-1], w[f"{at}classifier.weight"], name=f"{at}logits")
    h = p.concat(scores, 0) if len(scores) > 1 else scores[0]
    h = p.identity(h, name="features")
    logits = p.linear(h, w["classifier.weight"], w.get("classifier.bias"))
    p.output(logits, "logits")
    p.output(p.sigmoid(logits), "probabilities")
    return p.compile()


def _scores(p, w, b: Branch, at: str, x, pool: str):
    """Similarity of a recording to every prototype of a branch."""
    h = _resnet1d.build(p, w, x, short="downsample", pool=True, at=f"{at}{b.encoder}")
    v = w[f"{at}prototype_vectors"]
    v = v.astype(np.float64).reshape(len(v), WIDTH, -1)
    if not b.window:
        h = p.mean(h, -1)
        for i in (0, 2):
            h = p.linear(h, *(w[f"{at}add_on_layers.{i}.{k}"] for k in ("weight", "bias")))
            h = p.sigmoid(h, name=f"{at}add_on_layers") if i else p.relu(h)
        norm = p.sqrt(p.sum(p.multiply(h, h), -1, keepdim=True))
        unit = v[..., 0] / np.maximum(np.sqrt(np.square(v).sum((1, 2))), 1e-12)[:, None]
        h = p.divide(h, p.maximum(norm, 1e-12))
        return p.linear(h, unit.astype(np.float32), name=f"{at}scores")
    for i in (0, 2):
        kernel = _resnet1d.over_time(w[f"{at}add_on_layers.{i}.weight"])
        h = p.conv1d(h, kernel, w[f"{at}add_on_layers.{i}.bias"])
        h = p.sigmoid(h, name=f"{at}add_on_layers") if i else p.relu(h)
    v *= (b.scale / np.sqrt(np.square(v).sum((1, 2)) + EPS))[:, None, None]
    v = v.astype(np.float32)
    energy = p.sum(p.multiply(h, h), 0, keepdim=True)
    energy = p.multiply(p.avg_pool1d(energy, b.window, stride=1), float(b.window))
    norm = p.sqrt(p.add(energy, EPS))
    similar = p.divide(p.conv1d(h, v), norm, name=f"{at}similarity")
    if pool == "max":
        return p.max(similar, -1, name=f"{at}scores")
    if pool == "topk":
        return _mean_of_largest(p, similar, min(TOP, b.windows), f"{at}scores")
    if b.windows == 1:
        return p.reshape(similar, (len(v),), name=f"{at}scores")
    # The mean of products is the product with the mean: one for all windows.
    means = [p.mean(p.divide(p.slice(h, 1, i, i + b.windows), norm), -1) for i in range(b.window)]
    taps = np.ascontiguousarray(v.transpose(0, 2, 1)).reshape(len(v), -1)
    return p.linear(p.concat(means, 0), taps, name=f"{at}scores")


def _mean_of_largest(p, x, k: int, name: str):
    """Mean of the k largest along the last axis, kept sorted while the entries go by."""
    largest: list = []
    for i in range(x.shape[-1]):
        entry = p.select(x, i, axis=-1)
        for j, held in enumerate(largest):
            largest[j] = p.maximum(held, entry)
            entry = p.minimum(held, entry)
        if len(largest) < k:
            largest.append(entry)
    total = largest[0]
    for other in largest[1:]:
        total = p.add(total, other)
    return p.multiply(total, 1.0 / k, name=name)
