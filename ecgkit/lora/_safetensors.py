"""Safetensors files read tensor by tensor; nothing a header claims is believed unchecked.

The layout: 8 bytes little-endian N, N bytes of JSON, then the data; every tensor states dtype,
shape and its range of the data, and the ranges tile the data without hole or overlap.
Source: the format's specification (huggingface/safetensors: README, safetensors/src/tensor.rs).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._typing import Array
from ..errors import FormatError, WeightsError

MOST_HEADER = 100_000_000
"""Bytes of a header at most, as the format's own reader has it."""

_MOST_NUMBER = 1 << 48
_MOST_DIMS = 64

BITS = {
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32,
    "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
"""Bits of one element of every dtype of the format."""

NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""The dtypes that are computed with; BF16 comes as its bits."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of a file: what its header says, checked."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    """First byte, from the start of the data."""
    end: int

    @property
    def size(self) -> int:
        """How many elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """How many bytes."""
        return self.end - self.begin


class File:
    """An open safetensors file: ``tensors`` by name in order of their place, ``read`` for values.

    Parameters
    ----------
    path : path-like
    handle : int, optional
        Open file to read in place of ``path``; closed with this object.

    Raises
    ------
    FormatError
        The file is truncated, or its header lies: the message names the tensor.
    OSError
        The file cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str], handle: int | None = None):
        self.path = Path(path)
        self.handle = os.open(self.path, os.O_RDONLY) if handle is None else handle
        try:
            self.size = os.fstat(self.handle).st_size
            self.header, self.tensors, self.metadata = _header(self.handle, self.size, self.path)
            self.start = 8 + len(self.header)
        except BaseException:
            os.close(self.handle)
            raise

    @classmethod
    def of(cls, path: Path, tensors: Mapping[str, Array]) -> File:
        """The tensors of a file in another format, laid out as this one in memory."""
        kinds = {np.dtype(kind): name for name, kind in NUMPY.items()}
        for name, x in tensors.items():
            if x.dtype not in kinds:
                raise WeightsError(f"{path}: {name} is of dtype {x.dtype}; wanted a float dtype")
        header, placed = lay_out(((k, kinds[v.dtype], v.shape) for k, v in tensors.items()), {})
        handle = os.memfd_create("ecgkit-adapter")
        with os.fdopen(handle, "wb", closefd=False) as out:
            out.write(len(header).to_bytes(8, "little") + header)
            for t in placed:
                out.write(np.ascontiguousarray(tensors[t.name]).tobytes())
        return cls(path, handle)

    def close(self) -> None:
        """Close the file."""
        os.close(self.handle)

    def __enter__(self) -> File:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read_into(self, buffer: Any, offset: int) -> None:
        """Fill ``buffer`` with the data from ``offset`` on."""
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view):
            got = os.preadv(self.handle, [view[done:]], self.start + offset + done)
            if got == 0:
                raise FormatError(f"{self.path}: the file became shorter while it was read")
            done += got

    def read(self, name: str) -> Array:
        """The values of a tensor; BF16 as uint16."""
        tensor = self.tensors[name]
        if tensor.dtype not in NUMPY:
            raise FormatError(
                f"{self.path}: {name} has dtype {tensor.dtype}; wanted {', '.join(NUMPY)}"
            )
        out = np.empty(tensor.shape, NUMPY[tensor.dtype])
        if out.size:
            self.read_into(out.reshape(-1).view(np.uint8), tensor.begin)
        return out


def _header(handle: int, size: int, path: Path) -> tuple[bytes, dict[str, Tensor], dict[str, str]]:
    if size < 8:
        raise FormatError(f"{path}: {size} bytes are no safetensors file; fetch it again")
    length = int.from_bytes(os.pread(handle, 8, 0), "little")
    if length > min(MOST_HEADER, size - 8):
        raise FormatError(
            f"{path}: claims a header of {length} bytes in a file of {size}; it is truncated or "
            "not in the safetensors format"
        )
    raw = os.pread(handle, length, 8)
    if len(raw) != length:
        raise FormatError(f"{path}: the header is cut off; fetch the file again")
    return raw, *parse_header(raw, size - 8 - length, str(path))


def parse_header(
    raw: bytes, data_bytes: int, source: str
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors (in order of their place) and metadata of a header.

    Parameters
    ----------
    raw : bytes
    data_bytes : int
        How many bytes follow the header.
    source : str
        Named in errors.

    Raises
    ------
    FormatError
        Not JSON, a name twice, an unknown dtype, a number that is none, ranges with a hole, an
        overlap or another length than dtype and shape give, or more or less data than stated.
    """
    try:
        entries = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise FormatError(
            f"{source}: the header is not JSON as the format has it ({error})"
        ) from None
    if not isinstance(entries, dict):
        raise FormatError(f"{source}: the header is no JSON object")
    metadata = entries.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise FormatError(f"{source}: __metadata__ must map strings to strings")
    tensors = [_tensor(name, entry, source) for name, entry in entries.items()]
    tensors.sort(key=lambda t: (t.begin, t.end))
    at = 0
    for t in tensors:
        if t.begin != at:
            what = "overlaps the tensor before it" if t.begin < at else "leaves a hole before it"
            raise FormatError(f"{source}: {t.name} begins at byte {t.begin}, which {what} ({at})")
        at = t.end
    if at != data_bytes:
        raise FormatError(
            f"{source}: the header states {at} bytes of data, the file holds {data_bytes}; it is "
            "truncated or damaged"
        )
    return {t.name: t for t in tensors}, metadata


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        seen: set[str] = set()
        twice = next(k for k, _ in pairs if k in seen or seen.add(k))  # type: ignore[func-returns-value]
        raise ValueError(f"{twice!r} comes twice")
    return out


def _whole(value: Any) -> bool:
    return type(value) is int and 0 <= value < _MOST_NUMBER


def _tensor(name: str, entry: Any, source: str) -> Tensor:
    wrong = f"{source}: {name}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise FormatError(f"{wrong} must have dtype, shape and data_offsets and nothing else")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        raise FormatError(f"{wrong} has the dtype {dtype!r}, which the format has not")
    if not isinstance(shape, list) or len(shape) > _MOST_DIMS or not all(map(_whole, shape)):
        raise FormatError(f"{wrong} has the shape {shape!r}; wanted whole numbers from 0 up")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_whole, offsets)):
        raise FormatError(f"{wrong} has data_offsets {offsets!r}; wanted [begin, end]")
    begin, end = offsets
    bits = math.prod(shape) * BITS[dtype]
    if bits % 8 or end - begin != bits // 8:
        raise FormatError(
            f"{wrong} claims bytes {begin} to {end}, but {dtype} of shape {shape} takes "
            f"{bits / 8:g} bytes"
        )
    return Tensor(name, dtype, tuple(shape), begin, end)


def lay_out(
    tensors: Iterable[tuple[str, str, tuple[int, ...]]], metadata: Mapping[str, str]
) -> tuple[bytes, list[Tensor]]:
    """Header and places of tensors given as (name, dtype, shape): widest dtype first, then by name,
    so that each lies aligned."""
    placed, at = [], 0
    for name, dtype, shape in sorted(tensors, key=lambda t: (-BITS[t[1]], t[0])):
        end = at + math.prod(shape) * BITS[dtype] // 8
        placed.append(Tensor(name, dtype, tuple(shape), at, end))
        at = end
    entries: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    for t in placed:
        entries[t.name] = {
            "dtype": t.dtype,
            "shape": list(t.shape),
            "data_offsets": [t.begin, t.end],
        }
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    return text + b" " * (-len(text) % 8), placed
