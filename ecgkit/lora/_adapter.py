"""A PEFT adapter on disk: its tensors sorted by what they do to the base.

Source: PEFT's ``utils/save_and_load.py`` (which names what) and ``tuners/lora/layer.py``.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .. import weights
from .._config import _core
from .._typing import Array
from ..errors import WeightsError
from ._config import Config, read_config
from ._safetensors import NUMPY, File, Tensor

_PREFIX = "base_model.model."
_LORA = re.compile(
    r"(?P<module>.+)\.(?P<part>lora_A|lora_B|lora_embedding_A|lora_embedding_B|"
    r"lora_magnitude_vector)(?:\.(?!weight$|bias$)[^.]+)?(?:\.(?P<leaf>weight|bias))?"
)
_TOKENS = re.compile(r"(?P<module>.+)\.token_adapter\.trainable_tokens_delta(?:\.[^.]+)?")
_SAVED = re.compile(r"\.modules_to_save\.[^.]+(?=\.)")
_PARTS = {
    ("lora_A", "weight"): "a",
    ("lora_B", "weight"): "b",
    ("lora_B", "bias"): "bias",
    ("lora_embedding_A", None): "a",
    ("lora_embedding_B", None): "b",
    ("lora_magnitude_vector", None): "magnitude",
    ("lora_magnitude_vector", "weight"): "magnitude",
}


@dataclass
class Module:
    """The tensors of one module with LoRA; the values are keys of the file."""

    name: str
    owner: str
    """The module that the configuration speaks of: for the output projection of PyTorch's
    MultiheadAttention, the attention."""
    embedding: bool = False
    keys: dict[str, str] = field(default_factory=dict)


class Adapter:
    """Configuration and file of an adapter; ``modules``, ``full`` and ``tokens`` say what each
    tensor is for.

    Parameters
    ----------
    folder : path-like
        Holds ``adapter_config.json`` and ``adapter_model.safetensors``, or
        ``adapter_model.bin``, which is read as data (:func:`ecgkit.weights.read`) and held whole.

    Raises
    ------
    WeightsError
        The folder holds no such files, or a pair is incomplete.
    FormatError
        A file is malformed.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = Path(folder)
        self.config: Config = read_config(self.folder / "adapter_config.json")
        self.file = _open(self.folder)
        self.modules: dict[str, Module] = {}
        self.full: dict[str, str] = {}
        self.tokens: dict[str, str] = {}
        self.odd: list[str] = []
        try:
            for key in self.file.tensors:
                self._sort(key)
            self._complete()
        except BaseException:
            self.file.close()
            raise

    def _sort(self, key: str) -> None:
        path = key
        while path.startswith(_PREFIX):
            path = path[len(_PREFIX) :]
        path = _SAVED.sub("", path)
        if found := _LORA.fullmatch(path):
            part = _PARTS.get((found["part"], found["leaf"]))
            if part is None:
                self.odd.append(key)
                return
            name = found["module"].replace(".base_layer.", ".")
            owner = found["module"].partition(".base_layer.")[0]
            module = self.modules.setdefault(name, Module(name, owner))
            module.embedding |= found["part"].startswith("lora_embedding")
            self._put(module.keys, part, key)
        elif found := _TOKENS.fullmatch(path):
            self._put(self.tokens, found["module"].replace(".base_layer", ""), key)
        else:
            self._put(self.full, path.replace(".base_layer.", "."), key)

    def _put(self, into: dict[str, str], name: str, key: str) -> None:
        if name in into:
            raise WeightsError(
                f"{self.file.path}: {into[name]} and {key} are the same tensor; keep one"
            )
        into[name] = key

    def _complete(self) -> None:
        for module in self.modules.values():
            lacking = [n for n in ("a", "b") if n not in module.keys]
            if lacking:
                raise WeightsError(
                    f"{self.file.path}: {module.name} has no "
                    f"{' and no '.join(f'lora_{n.upper()}' for n in lacking)}; the adapter is "
                    "incomplete"
                )

    def tensor(self, key: str) -> Tensor:
        """What the file says of ``key``."""
        return self.file.tensors[key]

    def values(self, key: str) -> Array:
        """The tensor as float32 (float64 where it is stored so)."""
        raw = self.file.read(key)
        if self.tensor(key).dtype == "BF16":
            return _core.lora_widen(raw)
        return raw if raw.dtype == np.float64 else raw.astype(np.float32, copy=False)

    def check_dtypes(self) -> None:
        """Every tensor is of a float dtype."""
        odd = [f"{t.name} ({t.dtype})" for t in self.file.tensors.values() if t.dtype not in NUMPY]
        if odd:
            raise WeightsError(f"{self.file.path}: not of a float dtype: {', '.join(odd[:10])}")


def _open(folder: Path) -> File:
    path = folder / "adapter_model.safetensors"
    if path.exists():
        return File(path)
    pickled = folder / "adapter_model.bin"
    if not pickled.exists():
        raise WeightsError(
            f"{folder}: holds neither adapter_model.safetensors nor adapter_model.bin; pass the "
            "folder of a PEFT adapter"
        )
    return File.of(pickled, weights.read(pickled))
