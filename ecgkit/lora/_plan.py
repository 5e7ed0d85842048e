"""What a merge will do to every tensor, decided and checked before a byte is written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from .._typing import Array
from ..errors import WeightsError
from ._adapter import Adapter, Module
from ._base import Base
from ._safetensors import NUMPY, Tensor

Pair = tuple[Array, Array, float]


@dataclass(frozen=True)
class Update:
    """One adapter's part in one tensor. ``layout`` says how A and B meet the stored weight."""

    adapter: Adapter
    module: Module
    layout: str
    """``linear`` (out, in), ``transposed`` (in, out), ``embedding`` (n, d), ``bias`` (out,)."""
    scale: float
    rank: int

    @property
    def dora(self) -> bool:
        """Whether a magnitude vector rescales the sum."""
        return self.layout != "bias" and "magnitude" in self.module.keys

    def factors(self) -> tuple[Array, Array]:
        """a (r, columns) and b (rows, r) of the weight seen as a matrix."""
        keys, values = self.module.keys, self.adapter.values
        if self.layout == "bias":
            bias = values(keys["bias"]).reshape(-1, 1)
            return np.ones((1, 1), bias.dtype), bias
        a, b = values(keys["a"]), values(keys["b"])
        a, b = a.reshape(a.shape[0], -1), b.reshape(b.shape[0], -1)
        if self.layout == "linear":
            return a, b
        return np.ascontiguousarray(b.T), np.ascontiguousarray(a.T)

    def magnitude(self) -> Array:
        """The magnitude vector, one number per output."""
        return self.adapter.values(self.module.keys["magnitude"]).reshape(-1)


@dataclass
class Step:
    """One tensor of the result."""

    name: str
    source: Tensor | None
    """The base's tensor; None: it is new."""
    shape: tuple[int, ...]
    dtype: str
    action: str = "copy"
    """``copy``, ``merge``, ``replace`` (a full tensor of the adapter), ``rows`` (some of it)."""
    updates: list[Update] = field(default_factory=list)
    adapter: Adapter | None = None
    key: str = ""
    rows: Sequence[int] = ()

    @property
    def matrix(self) -> tuple[int, int]:
        """Rows and columns of the tensor seen as a matrix, as the updates see it."""
        if len(self.shape) == 1:
            return self.shape[0], 1
        return self.shape[0], math.prod(self.shape[1:])


@dataclass
class Plan:
    """The steps of every output file, in the order of ``base.files``."""

    base: Base
    adapters: list[Adapter]
    shards: dict[str, list[Step]]
    notes: list[str]
    skipped: list[tuple[str, str]]
    """Adapter tensors that are left out (only where not strict), and why."""


def plan(
    base: Base,
    adapters: Sequence[Adapter],
    weights: Sequence[float],
    *,
    strict: bool,
    dtype: str | None,
) -> Plan:
    """Match every adapter tensor with the base.

    Raises
    ------
    WeightsError
        A tensor of an adapter fits nothing (all of them are listed), or asks for what is refused.
    """
    steps: dict[str, Step] = {}
    for name in base.home:
        t = base.tensor(name)
        steps[name] = Step(name, t, t.shape, _result_dtype(t.dtype, dtype))
    match = _Match(base, steps, dtype)
    for adapter, weight in zip(adapters, weights, strict=True):
        adapter.check_dtypes()
        match.adapter(adapter, weight, alone=len(adapters) == 1)
    if match.problems and strict:
        lines = "; ".join(f"{key}: {why}" for key, why in match.problems[:20])
        more = f"; and {len(match.problems) - 20} more" if len(match.problems) > 20 else ""
        raise WeightsError(
            f"{len(match.problems)} tensors of the adapter cannot be merged into {base.folder}: "
            f"{lines}{more}. Nothing was written; strict=False leaves them out"
        )
    match.check_sums()
    shards: dict[str, list[Step]] = {name: [] for name in base.files}
    last = list(base.files)[-1]
    for step in steps.values():
        shards[base.home.get(step.name, last)].append(step)
    return Plan(base, list(adapters), shards, match.notes, match.problems)


def _result_dtype(stored: str, wanted: str | None) -> str:
    return wanted if wanted is not None and stored in NUMPY else stored


class _Problem(Exception):
    """A tensor that cannot be merged, and why."""


class _Match:
    def __init__(self, base: Base, steps: dict[str, Step], dtype: str | None):
        self.base, self.steps, self.dtype = base, steps, dtype
        self.problems: list[tuple[str, str]] = []
        self.notes: list[str] = []

    def adapter(self, adapter: Adapter, weight: float, *, alone: bool) -> None:
        """Give every tensor of the adapter its place."""
        self.notes += adapter.config.notes
        self.problems += [(key, "not a name that PEFT gives") for key in adapter.odd]
        transposed = self._stored_transposed(adapter)
        for module in adapter.modules.values():
            try:
                self._module(adapter, module, weight, transposed, alone)
            except _Problem as problem:
                self.problems += [(key, str(problem)) for key in module.keys.values()]
        for name, key in adapter.full.items():
            try:
                self._full(adapter, name, key)
            except _Problem as problem:
                self.problems.append((key, str(problem)))
        for name, key in adapter.tokens.items():
            try:
                self._rows(adapter, name, key)
            except _Problem as problem:
                self.problems.append((key, str(problem)))
        self._not_in_adapter(adapter)

    # ------------------------------------------------------------------ pairs
    def _weight(self, module: str) -> Step:
        name = self.base.find(f"{module}.weight") or self.base.find(f"{module}.in_proj_weight")
        if name is None:
            raise _Problem(
                f"the base has no {module}.weight (an adapter of another model, or a weight that "
                "is tied to one of another name)"
            )
        return self.steps[name]

    def _module(
        self, adapter: Adapter, module: Module, weight: float, transposed: bool | None, alone: bool
    ) -> None:
        config = adapter.config
        if not config.targets(module.owner):
            raise _Problem("adapter_config.json does not target this module")
        step = self._weight(module.name)
        if step.source is None or step.source.dtype not in NUMPY:
            raise _Problem(
                f"the base stores {step.name} as {step.dtype}, which is quantised or no number; "
                "merge into the original weights"
            )
        a, b = (adapter.tensor(module.keys[part]) for part in ("a", "b"))
        rank = config.rank(module.owner)
        if len(a.shape) < 2 or len(b.shape) < 2 or not a.shape[0] == b.shape[1] == rank:
            raise _Problem(
                f"A is {a.shape} and B is {b.shape}, adapter_config.json gives the rank {rank}"
            )
        layout = _layout(module, a, b, step, transposed)
        scale = weight * config.scale(module.owner)
        if module.owner != module.name:
            scale *= 2  # PEFT adds this one twice, when it trains and when it merges
            self.notes.append(f"{module.name}: the update counts twice, as it does in PEFT")
        update = Update(adapter, module, layout, scale, rank)
        if update.dora != config.use_dora:
            has = "has a" if update.dora else "has no"
            raise _Problem(f"the file {has} magnitude vector, use_dora is {config.use_dora}")
        if update.dora:
            self._dora(adapter, module, step, layout, weight, alone)
        bias = self._bias(adapter, module)
        step.action = "merge"
        step.updates.append(update)
        if bias is not None:
            bias.action = "merge"
            bias.updates.append(Update(adapter, module, "bias", scale, 1))

    def _dora(
        self, adapter: Adapter, module: Module, step: Step, layout: str, weight: float, alone: bool
    ) -> None:
        if not alone or weight != 1.0:
            raise _Problem("DoRA rescales the whole weight: it merges alone and with weight 1")
        size = adapter.tensor(module.keys["magnitude"]).size
        outputs = step.matrix[0 if layout == "linear" else 1]
        if size != outputs:
            raise _Problem(f"the magnitude vector has {size} numbers, the weight {outputs} outputs")

    def _bias(self, adapter: Adapter, module: Module) -> Step | None:
        if "bias" not in module.keys:
            return None
        if not adapter.config.lora_bias:
            raise _Problem("the file has a bias of lora_B, lora_bias is false")
        name = self.base.find(f"{module.name}.bias")
        if name is None:
            raise _Problem("lora_bias needs a bias in the base, which has none")
        step = self.steps[name]
        if adapter.tensor(module.keys["bias"]).shape != step.shape:
            raise _Problem(f"its bias does not have the shape {step.shape} of the base's")
        return step

    def _stored_transposed(self, adapter: Adapter) -> bool | None:
        """Whether linear weights lie (in, out): told by those that are not square; None where they
        contradict ``fan_in_fan_out``, so that a square one cannot be told."""
        seen = set()
        for module in adapter.modules.values():
            name = self.base.find(f"{module.name}.weight")
            a, b = (adapter.tensor(module.keys[part]).shape for part in ("a", "b"))
            if module.embedding or name is None or len(a) != 2 or len(b) != 2 or b[0] == a[1]:
                continue
            shape = self.steps[name].shape
            if shape in ((b[0], a[1]), (a[1], b[0])):
                seen.add(shape == (a[1], b[0]))
        wanted = adapter.config.fan_in_fan_out
        return wanted if not seen or wanted in seen else None

    # ----------------------------------------------------------- whole tensors
    def _full(self, adapter: Adapter, name: str, key: str) -> None:
        config, t = adapter.config, adapter.tensor(key)
        saved = config.saves(name)
        biased = config.bias != "none" and name.endswith(".bias")
        embedding = any(
            f".{word}." in f".{name}"
            for word in ("embed_tokens", "lm_head", "word_embeddings", "wte", "embed_out")
        ) or any(name == f"{m}.weight" for m in adapter.modules)
        if not (saved or biased or embedding):
            raise _Problem(
                "a whole tensor that modules_to_save, bias and the embeddings do not explain"
            )
        stored = self.base.find(name)
        step = self.steps.get(stored) if stored else None
        if step is None:
            if not saved:
                raise _Problem(f"the base has no {name}")
            self.steps[name] = Step(
                name, None, t.shape, _result_dtype(t.dtype, self.dtype), "replace", [], adapter, key
            )
            self.notes.append(f"{name} is not in the base and was added (modules_to_save)")
            return
        if step.shape != t.shape:
            if not (saved or embedding):
                raise _Problem(f"has the shape {t.shape}, the base {step.shape}")
            self.notes.append(f"{step.name} changes its shape from {step.shape} to {t.shape}")
        if step.action == "replace" and step.adapter is not adapter:
            raise _Problem(f"two adapters bring their own {name}; merge them one after the other")
        if step.action == "merge":
            # PEFT saves the base of an embedding that has LoRA: the update goes onto that one.
            if step.shape != t.shape:
                raise _Problem("a resized embedding with LoRA; save the base with its new size")
            step.adapter, step.key = adapter, key
            return
        step.action, step.adapter, step.key, step.shape = "replace", adapter, key, t.shape

    def _rows(self, adapter: Adapter, name: str, key: str) -> None:
        rows = adapter.config.token_rows(name)
        stored = self.base.find(f"{name}.weight")
        if rows is None or stored is None:
            what = (
                "trainable_token_indices names no such module" if rows is None else "no such tensor"
            )
            raise _Problem(f"{name}: {what}")
        step, t = self.steps[stored], adapter.tensor(key)
        if step.action != "copy":
            raise _Problem(f"{name} has trained rows and is changed otherwise too")
        if len(step.shape) != 2 or t.shape != (len(rows), step.shape[1]):
            raise _Problem(f"{t.shape} does not fit {len(rows)} rows of {step.shape}")
        if any(r >= step.shape[0] for r in rows):
            raise _Problem(f"a row number is beyond the {step.shape[0]} rows of {stored}")
        step.action, step.adapter, step.key, step.rows = "rows", adapter, key, rows

    # ------------------------------------------------------------------ checks
    def _not_in_adapter(self, adapter: Adapter) -> None:
        """Modules that the configuration targets and the file lacks, where that can be told."""
        config = adapter.config
        if config.target_modules is None or config.target_modules == "all-linear":
            return
        have = {self.base.find(f"{m}.weight") for m in adapter.modules}
        lacking = [
            name
            for name, step in self.steps.items()
            if name.endswith(".weight") and len(step.shape) > 1 and name not in have
            if config.targets(name.removesuffix(".weight"))
        ]
        if lacking and adapter.modules:
            self.notes.append(
                f"{len(lacking)} modules are targeted by adapter_config.json but not in the "
                f"adapter: {', '.join(lacking[:5])}{', ...' if len(lacking) > 5 else ''}"
            )

    def check_sums(self) -> None:
        """A tensor that adapters change does not also get replaced by another's."""
        for step in self.steps.values():
            if step.action == "merge" and step.adapter is not None and len(step.updates) > 1:
                raise WeightsError(
                    f"{step.name}: an adapter brings its own base for this tensor, another changes "
                    "it too; merge them one after the other"
                )


def _layout(module: Module, a: Tensor, b: Tensor, step: Step, transposed: bool | None) -> str:
    rank, shape = a.shape[0], step.shape
    if module.embedding:
        if shape != (a.shape[1], b.shape[0]):
            raise _Problem(f"A is {a.shape} and B is {b.shape}, the embedding {shape}")
        return "embedding"
    if len(shape) > 2:
        if a.shape[1] != shape[1] and len(a.shape) == len(shape):
            raise _Problem(
                f"a grouped convolution (A takes {a.shape[1]} channels, the weight {shape[1]}): "
                "A mixes all channels, so the sum is no grouped kernel"
            )
        if a.shape[1:] != shape[1:] or b.shape[0] != shape[0] or math.prod(b.shape[2:]) != 1:
            raise _Problem(f"A is {a.shape} and B is {b.shape}, the kernel {shape}")
        return "linear"
    straight, across = shape == (b.shape[0], a.shape[1]), shape == (a.shape[1], b.shape[0])
    if b.shape != (b.shape[0], rank) or len(a.shape) != 2 or not (straight or across):
        raise _Problem(f"A is {a.shape} and B is {b.shape}, the weight {shape}")
    if straight and across:
        if transposed is None:
            raise _Problem(
                "a square weight, and fan_in_fan_out contradicts the weights that are not square"
            )
        return "transposed" if transposed else "linear"
    return "linear" if straight else "transposed"
