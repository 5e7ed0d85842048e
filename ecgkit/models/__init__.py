"""The systems: :func:`list_models`, :func:`load_model`.

One module per system, with a subclass of :class:`Model` named ``SYSTEM``. A module that is put here
is found; nothing else needs to be edited.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from .. import _html
from .. import weights as _weights
from ..errors import EcgkitError, WeightsError
from ._card import Card
from ._contract import Contract
from ._ecgfounder import ecgfounder_contract
from ._image_contract import ImageContract
from ._model import Model, random_tensors
from ._prediction import Prediction
from ._steps import Step
from ._text import ClassEmbeddings

__all__ = [
    "Card", "ClassEmbeddings", "Contract", "ImageContract", "Model", "ModelTable", "Prediction",
    "Step", "ecgfounder_contract", "list_models", "load_model",
]  # fmt: skip


# ----------------------------------------------------------------- the table
@dataclass(frozen=True)
class ModelRow:
    """One system: what it is, what it takes, where its weights come from."""

    name: str
    paper: str
    task: str
    input: str
    weights: str
    variants: str


@dataclass(frozen=True)
class ModelTable:
    """The systems, one row each; shows itself as a table."""

    rows: tuple[ModelRow, ...]

    def __iter__(self) -> Iterator[ModelRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> ModelRow:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"no model {name!r}; there are {', '.join(row.name for row in self.rows)}")

    def to_frame(self):
        """As a pandas DataFrame."""
        from .._extras import need

        return need("pandas", "cli", "ModelTable.to_frame").DataFrame(
            [asdict(r) for r in self.rows]
        )

    def __repr__(self) -> str:
        return "\n".join(
            "\n".join([row.name, *(f"  {k:<10}{v}" for k, v in asdict(row).items() if k != "name")])
            for row in self.rows
        )

    def _repr_html_(self) -> str:
        return _html.table(
            list(ModelRow.__dataclass_fields__), [list(asdict(row).values()) for row in self.rows]
        )


def list_models() -> ModelTable:
    """All systems: name, paper, task, input contract, where weights come from, variants.

    Returns
    -------
    ModelTable
        Iterable; ``table["scalogram_arrhythmia"]``; ``.to_frame()``.
    """
    return ModelTable(tuple(_row(name, system) for name, system in _systems().items()))


def _row(name: str, system: type[Model]) -> ModelRow:
    contract = system.contract_of(**_variant(name, system, {}))
    variants = "; ".join(f"{k}: {_choices(v)}" for k, v in system.variants.items())
    return ModelRow(
        name=name,
        paper=f"{system.paper['title']} ({system.paper['id']})",
        task=system.task,
        input=contract.summary,
        weights="from file" if _bundled(name) is None else "bundled",
        variants=variants,
    )


# ---------------------------------------------------------------- the models
def load_model(
    name: str,
    weights: str | Path | Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    **variant: Any,
) -> Model:
    """A model ready to run.

    Parameters
    ----------
    name : str
        A system of :func:`list_models`.
    weights : path, mapping, ``"random"`` or None
        A weight file (:func:`ecgkit.weights.read`) or a mapping from key to array, with the
        authors' key names;
        ``"random"`` for timing and tests; ``None`` (default) for the bundled weights.
    seed : int
        Of ``"random"`` weights.
    **variant
        The system's own choices (see ``list_models()``), for instance ``network="resnet18"``. What
        is left out takes the default: with bundled weights, what the card says.

    Returns
    -------
    Model
        Callable on Records, lists of them and arrays.

    Raises
    ------
    EcgkitError
        No such system or variant: the message lists the choices.
    WeightsError
        No weights are bundled (the message says where the authors publish them), or keys or shapes
        do not fit (all listed).
    """
    system = _system(name)
    card = _bundled(name)
    if weights is None:
        return _load_bundled(name, system, card, variant)
    if card is not None:
        variant = {"network": card.best, **variant}
    tensors: Mapping[str, Any]
    if isinstance(weights, str) and weights == "random":
        chosen = _variant(name, system, variant)
        tensors, source = random_tensors(system.expected(**chosen), seed), f"random, seed {seed}"
    else:
        stated: dict[str, Any] = {}
        if isinstance(weights, Mapping):
            tensors, source = weights, "from a mapping"
        else:
            tensors, source = _weights.read(weights, mmap=True), f"from {Path(weights).name}"
            stated = system.stated(Path(weights))
        chosen = _variant(name, system, {**system.infer(tensors), **stated, **variant})
    return system(tensors, chosen, system.contract_of(**chosen), system.bare_card(), source)


def _load_bundled(
    name: str, system: type[Model], card: Card | None, variant: Mapping[str, Any]
) -> Model:
    if card is None:
        raise WeightsError(
            f"{name}: no bundled weights: {system.published}. Pass weights=path or "
            "weights=mapping, or weights='random' "
            "to try the network without training"
        )
    _variant(name, system, variant)
    network = variant.get("network", card.best)
    if network not in card.networks:
        raise WeightsError(
            f"{name}: no bundled weights for network {network!r}, only for "
            f"{', '.join(card.networks)}; "
            "pass weights=path or weights='random'"
        )
    trained = card.networks[network]
    contract = Contract.from_dict(trained.contract)
    chosen = system.variant_of(network, contract)
    if any(chosen[key] != value for key, value in variant.items()):
        raise EcgkitError(
            f"{name}: the bundled {network} was trained as {chosen}, not as {dict(variant)}; "
            "leave these out, or pass "
            "weights of your own"
        )
    tensors = _weights.read(_FOLDER / name / trained.weights, sha256=trained.sha256)
    source = f"bundled, trained on {card.data.get('name', '')} {card.data.get('version', '')}"
    return system(tensors, chosen, contract, card, source.strip())


# -------------------------------------------------------------- the registry
_FOLDER = Path(__file__).parent / "weights"


@lru_cache(maxsize=1)
def _systems() -> dict[str, type[Model]]:
    names = [m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")]
    modules = [importlib.import_module(f"{__name__}.{name}") for name in sorted(names)]
    return {module.SYSTEM.name: module.SYSTEM for module in modules}


def _system(name: str) -> type[Model]:
    systems = _systems()
    if name not in systems:
        raise EcgkitError(
            f"no model {name!r}; there are {', '.join(systems)} (see ek.list_models())"
        )
    return systems[name]


@lru_cache(maxsize=64)
def _bundled(name: str) -> Card | None:
    path = _FOLDER / name / "card.json"
    return Card.read(path) if path.is_file() else None


def _variant(name: str, system: type[Model], given: Mapping[str, Any]) -> dict[str, Any]:
    """The choices given, checked, and the system's defaults for the rest."""
    for key, value in given.items():
        if key not in system.variants:
            known = ", ".join(system.variants) or "none"
            raise EcgkitError(f"{name} has no variant {key!r}; its variants are {known}")
        if value not in system.variants[key]:
            raise EcgkitError(
                f"{name}: {key} must be one of {_choices(system.variants[key])}; got {value!r}"
            )
    return system.complete(given)


def _choices(values: Any) -> str:
    if isinstance(values, range):
        return f"{values.start}..{values.stop - 1}"
    return ", ".join(str(v) for v in values)
