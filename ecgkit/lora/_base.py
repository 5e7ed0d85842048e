"""A base model on disk: one safetensors file or shards with an index, and the names in it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ..errors import FormatError, WeightsError
from ._safetensors import File, Tensor

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"

_RENAMED = (
    ("model.language_model.", "language_model.model."),
    ("model.vision_model.", "vision_model."),
    ("model.vision_tower.", "vision_tower."),
    ("model.visual.", "visual."),
    ("model.multi_modal_projector.", "multi_modal_projector."),
    ("lm_head.", "language_model.lm_head."),
)
"""Prefixes that transformers 4.52 moved in models of vision and language; either may be stored."""

_VISION = (
    ("layers.", "encoder.layer."),
    ("attention.q_proj.", "attention.attention.query."),
    ("attention.k_proj.", "attention.attention.key."),
    ("attention.v_proj.", "attention.attention.value."),
    ("attention.o_proj.", "attention.output.dense."),
    ("mlp.fc1.", "intermediate.dense."),
    ("mlp.fc2.", "output.dense."),
)
"""Vision transformers: names of the modules since transformers 5, and of the files they save."""

_BACKBONES = (
    "model.", "transformer.", "bert.", "roberta.", "distilbert.", "electra.", "deberta.", "vit.",
    "deit.", "beit.", "swin.", "base_model.",
)  # fmt: skip
"""Prefixes a head puts before its backbone's names; a checkpoint of the backbone alone lacks it."""


def spellings(name: str) -> list[str]:
    """``name`` and what checkpoints may call the same tensor."""
    out = [name]
    stored = held = name
    for new, old in _VISION:
        stored, held = stored.replace("." + new, "." + old), held.replace("." + old, "." + new)
    out += [stored, held]
    for one, other in _RENAMED:
        for old, new in ((one, other), (other, one)):
            if name.startswith(old):
                out.append(new + name[len(old) :])
    for prefix in _BACKBONES:
        if name.startswith(prefix):
            out.append(name[len(prefix) :])
        else:
            out.append(prefix + name)
    return list(dict.fromkeys(out))


class Base:
    """The tensors of a checkpoint: ``files`` by name, ``home`` from tensor to file name.

    Parameters
    ----------
    path : path-like
        A folder (``model.safetensors`` or its index), or one safetensors file.

    Raises
    ------
    WeightsError
        No safetensors there.
    FormatError
        An index that does not fit its shards, or a malformed file.
    """

    def __init__(self, path: str | os.PathLike[str]):
        path = Path(path)
        self.folder = path if path.is_dir() else path.parent
        self.index: dict[str, Any] | None = None
        self.files: dict[str, File] = {}
        names = [path.name] if path.is_file() else self._names()
        try:
            for name in names:
                try:
                    self.files[name] = File(self.folder / name)
                except FileNotFoundError:
                    raise WeightsError(
                        f"{self.folder / name}: the shard is absent; fetch the checkpoint again"
                    ) from None
            self.home = {t: name for name, file in self.files.items() for t in file.tensors}
            self._check()
        except BaseException:
            self.close()
            raise

    def _names(self) -> list[str]:
        index = self.folder / INDEX
        if not index.exists():
            if (self.folder / SINGLE).exists():
                return [SINGLE]
            found = sorted(p.name for p in self.folder.glob("*.safetensors"))
            if len(found) == 1:
                return found
            what = f"{len(found)} safetensors files and no {INDEX}" if found else "no safetensors"
            raise WeightsError(
                f"{self.folder}: holds {what}; pass the folder of a checkpoint with {SINGLE} or "
                f"{INDEX}, or one file"
            )
        try:
            self.index = json.loads(index.read_text(encoding="utf-8"))
            shards = sorted(set(self.index["weight_map"].values()))  # type: ignore[index]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise FormatError(f"{index}: not an index of shards ({error!r})") from None
        if not shards:
            raise FormatError(f"{index}: names no shard")
        for name in shards:
            if not isinstance(name, str) or Path(name).name != name or name.startswith("."):
                raise FormatError(f"{index}: {name!r} is no plain file name")
        return shards

    def _check(self) -> None:
        count = sum(len(file.tensors) for file in self.files.values())
        if count != len(self.home):
            raise FormatError(f"{self.folder}: a tensor is in two shards")
        if self.index is not None:
            stated = self.index["weight_map"]
            wrong = sorted({k for k, v in {**self.home, **stated}.items() if self.home.get(k) != v}
                           | (set(self.home) - set(stated)))  # fmt: skip
            if wrong:
                raise FormatError(
                    f"{self.folder / INDEX} does not fit the shards: {', '.join(wrong[:10])}"
                )

    def close(self) -> None:
        """Close the files."""
        for file in self.files.values():
            file.close()

    def tensor(self, name: str) -> Tensor:
        """What its file says of the tensor ``name``."""
        return self.files[self.home[name]].tensors[name]

    def find(self, name: str) -> str | None:
        """The name under which the tensor is stored here; None where it is not.

        Raises
        ------
        WeightsError
            Two spellings of the name are both here.
        """
        if name in self.home:
            return name
        found = [s for s in spellings(name) if s in self.home]
        if len(found) > 1:
            raise WeightsError(f"{name}: may be {' or '.join(found)} in {self.folder}")
        return found[0] if found else None

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(file.size for file in self.files.values())
