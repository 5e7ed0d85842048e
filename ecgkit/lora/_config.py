"""``adapter_config.json``: every field that changes arithmetic is honoured or refused by name.

Source: PEFT's ``tuners/lora/config.py``, ``tuners_utils.check_target_module_exists`` and
``utils.other.get_pattern_key`` (huggingface/peft 0.21).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import FormatError, WeightsError

REFUSED = {
    "target_parameters": "LoRA on bare parameters (experts)",
    "layer_replication": "duplicated layers",
    "use_qalora": "grouped quantised input",
    "alora_invocation_tokens": "an update that acts after certain tokens only",
    "arrow_config": "a router between adapters",
    "kasa_config": "singular values between A and B",
    "use_bdlora": "block-diagonal factors",
    "monteclora_config": "sampled factors",
}
"""Fields whose meaning is not a fixed low-rank update; set, they are refused."""

_CHANGED_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga", "mica", "eva_residual")

_KNOWN = {
    "alpha_pattern", "arrow_config", "auto_mapping", "base_model_name_or_path", "bias",
    "alora_invocation_tokens", "corda_config", "ensure_weight_tying", "eva_config",
    "exclude_modules", "fan_in_fan_out", "inference_mode", "init_lora_weights", "kasa_config",
    "layer_replication", "layers_pattern", "layers_to_transform", "loftq_config", "lora_alpha",
    "lora_bias", "lora_dropout", "lora_ga_config", "megatron_config", "megatron_core",
    "modules_to_save", "monteclora_config", "peft_type", "peft_version", "qalora_group_size", "r",
    "rank_pattern", "revision", "runtime_config", "target_modules", "target_parameters",
    "task_type", "trainable_token_indices", "use_bdlora", "use_dora", "use_qalora", "use_rslora",
    "velora_config", "ephemeral_gpu_offload",
}  # fmt: skip


@dataclass(frozen=True)
class Config:
    """The fields that decide what is merged, checked; ``notes`` is what a user must be told."""

    r: int
    lora_alpha: float
    use_rslora: bool = False
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)
    fan_in_fan_out: bool = False
    bias: str = "none"
    lora_bias: bool = False
    use_dora: bool = False
    target_modules: Any = None
    exclude_modules: Any = None
    layers_to_transform: tuple[int, ...] = ()
    layers_pattern: tuple[str, ...] = ()
    modules_to_save: tuple[str, ...] = ()
    trainable_token_indices: Any = None
    notes: tuple[str, ...] = ()

    def rank(self, module: str) -> int:
        """The rank of ``module``: of the first pattern that matches, else ``r``."""
        return _by_pattern(self.rank_pattern, module, self.r)

    def scale(self, module: str) -> float:
        """alpha/r, with ``use_rslora`` alpha/sqrt(r), by the patterns of ``module``."""
        alpha, rank = _by_pattern(self.alpha_pattern, module, self.lora_alpha), self.rank(module)
        return float(alpha) / (math.sqrt(rank) if self.use_rslora else rank)

    def targets(self, module: str) -> bool:
        """Whether PEFT would put LoRA on ``module`` (True where it picks its own defaults)."""
        if _named(self.exclude_modules, module):
            return False
        for name in self.modules_to_save:
            if re.match(rf"(^|.*\.){name}($|\..*)", module):
                return False
        if self.target_modules is None or self.target_modules == "all-linear":
            return True
        if isinstance(self.target_modules, str):
            return re.fullmatch(self.target_modules, module) is not None
        if module in self.target_modules:
            return True
        if not _named(self.target_modules, module):
            return False
        return not self.layers_to_transform or self._layer(module) in self.layers_to_transform

    def _layer(self, module: str) -> int | None:
        patterns = [rf"(?:^|.*?\.){p}\.(\d+)\." for p in self.layers_pattern]
        for pattern in patterns or [r".*?\.[^.]*\.(\d+)\."]:
            found = re.match(pattern, module)
            if found:
                return int(found[1])
        return None

    def saves(self, tensor: str) -> bool:
        """Whether ``modules_to_save`` names the module of ``tensor`` or one around it: by the end
        of its path, as PEFT finds them."""
        parts = tensor.split(".")
        paths = [".".join(parts[:k]) for k in range(1, len(parts))]
        return any(path.endswith(name) for path in paths for name in self.modules_to_save)

    def token_rows(self, module: str) -> list[int] | None:
        """Which rows of the embedding ``module`` were trained."""
        rows = self.trainable_token_indices
        if isinstance(rows, dict):
            found = [v for k, v in rows.items() if module == k or module.endswith(f".{k}")]
            return found[0] if len(found) == 1 else None
        return rows


def _named(names: Any, module: str) -> bool:
    if not names:
        return False
    if isinstance(names, str):
        return re.fullmatch(names, module) is not None
    return any(module == name or module.endswith(f".{name}") for name in names)


def _by_pattern(patterns: Mapping[str, Any], module: str, default: Any) -> Any:
    for pattern, value in patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default


def read_config(path: Path) -> Config:
    """Read ``adapter_config.json``.

    Raises
    ------
    FormatError
        Not JSON, or a field has the wrong type.
    WeightsError
        Not LoRA, or a field that is refused (:data:`REFUSED`) is set.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WeightsError(
            f"{path}: cannot be read ({error.strerror}); an adapter is a folder with "
            "adapter_config.json and adapter_model.safetensors"
        ) from None
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: not JSON ({error})") from None
    if not isinstance(raw, dict):
        raise FormatError(f"{path}: not a JSON object")
    return parse_config(raw, str(path))


def parse_config(raw: Mapping[str, Any], source: str = "adapter_config") -> Config:
    """Check the fields of a configuration; see :func:`read_config`."""
    if raw.get("peft_type", "LORA") != "LORA":
        raise WeightsError(f"{source}: peft_type is {raw['peft_type']!r}; only LORA is merged here")
    refused = [f"{name} ({why})" for name, why in REFUSED.items() if raw.get(name)]
    if refused:
        raise WeightsError(
            f"{source}: not a fixed low-rank update: {', '.join(refused)}; merge it with PEFT"
        )
    get = _Fields(raw, source)
    config = Config(
        r=get.number("r", 8, whole=True),
        lora_alpha=get.number("lora_alpha", 8),
        use_rslora=get.flag("use_rslora"),
        rank_pattern=get.patterns("rank_pattern", whole=True),
        alpha_pattern=get.patterns("alpha_pattern"),
        fan_in_fan_out=get.flag("fan_in_fan_out"),
        bias=get.choice("bias", ("none", "all", "lora_only")),
        lora_bias=get.flag("lora_bias"),
        use_dora=get.flag("use_dora"),
        target_modules=get.names("target_modules"),
        exclude_modules=get.names("exclude_modules"),
        layers_to_transform=get.layers("layers_to_transform"),
        layers_pattern=_listed(get.names("layers_pattern")),
        modules_to_save=_listed(get.names("modules_to_save")),
        trainable_token_indices=get.tokens("trainable_token_indices"),
        notes=tuple(_notes(raw)),
    )
    get.compile(config)
    return config


def _listed(names: Any) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names or ())


def _notes(raw: Mapping[str, Any]) -> list[str]:
    notes = []
    init = raw.get("init_lora_weights", True)
    if isinstance(init, str) and init.lower().startswith(_CHANGED_BASE):
        notes.append(
            f"init_lora_weights is {init!r}, which changed the base weights when training began: "
            "merging into the original base is right only if the adapter was converted to plain "
            "LoRA"
        )
    unknown = sorted(set(raw) - _KNOWN)
    if unknown:
        notes.append(f"unknown fields of adapter_config.json, not used: {', '.join(unknown)}")
    return notes


class _Fields:
    """Typed access to the fields of a configuration."""

    def __init__(self, raw: Mapping[str, Any], source: str):
        self.raw, self.source = raw, source

    def wrong(self, name: str, value: Any, wanted: str) -> FormatError:
        return FormatError(f"{self.source}: {name} is {value!r}; wanted {wanted}")

    def number(self, name: str, default: Any, *, whole: bool = False) -> Any:
        return self._number(name, self.raw.get(name, default), whole)

    def _number(self, name: str, value: Any, whole: bool) -> Any:
        kinds = (int,) if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value):
            raise self.wrong(name, value, "a whole number" if whole else "a number")
        if whole and value < 1:
            raise self.wrong(name, value, "at least 1")
        return value

    def flag(self, name: str) -> bool:
        value = self.raw.get(name) or False
        if not isinstance(value, bool):
            raise self.wrong(name, value, "true or false")
        return value

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        value = self.raw.get(name) or choices[0]
        if value not in choices:
            raise self.wrong(name, value, f"one of {', '.join(choices)}")
        return value

    def names(self, name: str) -> Any:
        value = self.raw.get(name)
        if value is None or isinstance(value, str):
            return value or None
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise self.wrong(name, value, "a string or a list of strings")
        return tuple(value) or None

    def layers(self, name: str) -> tuple[int, ...]:
        value = self.raw.get(name)
        listed = [] if value is None else value if isinstance(value, list) else [value]
        if not all(type(v) is int for v in listed):
            raise self.wrong(name, value, "a whole number or a list of them")
        return tuple(listed)

    def patterns(self, name: str, *, whole: bool = False) -> dict[str, Any]:
        value = self.raw.get(name) or {}
        if not isinstance(value, dict):
            raise self.wrong(name, value, "a mapping from pattern to number")
        return {k: self._number(f"{name}[{k!r}]", v, whole) for k, v in value.items()}

    def tokens(self, name: str) -> Any:
        value = self.raw.get(name)
        groups = value if isinstance(value, dict) else {} if value is None else {"": value}
        for rows in groups.values():
            if not isinstance(rows, list) or not all(type(v) is int and v >= 0 for v in rows):
                raise self.wrong(name, value, "row numbers, or a mapping from module to them")
            if len(set(rows)) != len(rows):
                raise self.wrong(name, value, "each row once")
        return value

    def compile(self, config: Config) -> None:
        """Every pattern is a regular expression."""
        whole = [p for p in (config.target_modules, config.exclude_modules) if isinstance(p, str)]
        parts = [*config.rank_pattern, *config.alpha_pattern, *config.layers_pattern]
        for pattern in [*whole, *parts, *config.modules_to_save]:
            try:
                re.compile(pattern)
            except re.error as error:
                raise FormatError(
                    f"{self.source}: {pattern!r} is no regular expression ({error})"
                ) from None
