"""The two containers of ``torch.save``: a zip archive since PyTorch 1.6, a stream before."""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from .._typing import Array
from .machine import Machine, Refused, Storage, Tensor, shown

MAX_ENTRIES = 100_000
MAX_PICKLE = 64 << 20
_ENTRY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\- ]*(/\.?[A-Za-z0-9_][A-Za-z0-9_.\-]*)*/?")
_MAGIC = 0x1950A86A20F9469CFC6C
_BYTES = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "int16": 2,
    "int8": 1, "uint8": 1, "bool": 1, "bytes": 1,
}  # fmt: skip


@dataclass(frozen=True)
class TorchFile:
    """What a file holds: nested dicts and lists with :class:`~.machine.Tensor` notes in them.

    ``values(tensor)`` makes the array of a note; ``refused`` counts the objects that were not
    built, by name.
    """

    form: str
    root: Any
    refused: Mapping[str, int]
    _storage: Callable[[Storage], memoryview]
    _size: int

    def values(self, tensors: Mapping[str, Tensor]) -> dict[str, Array]:
        """The arrays, float32 for bfloat16, each in row-major order; read-only views of the file
        where the values lie so.

        Raises
        ------
        Refused
            Names the tensor whose values do not lie inside its storage, or more values than the
            file has bytes.
        """
        found: dict[str, Array] = {}
        copied = 0
        for key, tensor in tensors.items():
            try:
                found[key], new = _array(tensor, self._storage(tensor.storage))
            except Refused as error:
                raise Refused(f"tensor {key!r}: {error}") from None
            copied += new
            if copied > 2 * self._size + (1 << 20):
                raise Refused(
                    f"tensor {key!r}: the tensors up to here have {copied} bytes, the file "
                    f"{self._size}: views of one storage that overlap"
                )
        return found


def _array(t: Tensor, raw: memoryview) -> tuple[Array, int]:
    """The array and the bytes copied for it."""
    step = _BYTES[t.kind]
    held = len(raw) // step
    count = 1
    for n in t.shape:
        count *= n
    last = t.offset + sum((n - 1) * s for n, s in zip(t.shape, t.strides)) if count else t.offset
    if last >= held and (count or t.offset > held):
        raise Refused(
            f"shape {t.shape}, strides {t.strides} at {t.offset} reaches item {last} of {held}"
        )
    if count > held:
        raise Refused(f"shape {t.shape} wants {count} values of a storage of {held}")
    if t.kind == "bytes":
        raise Refused("untyped values without a dtype")
    stored = np.frombuffer(raw, "<u2" if t.kind == "bfloat16" else t.kind, held)
    if t.kind == "bool" and stored.size and stored.view(np.uint8).max() > 1:
        raise Refused("truth values other than 0 and 1")
    strides = tuple(s * step for s in t.strides)
    view = np.ndarray(t.shape, stored.dtype, stored, t.offset * step if count else 0, strides)
    if t.kind == "bfloat16":
        wide = (view.astype(np.uint32, order="C") << np.uint32(16)).view(np.float32)
        return wide.reshape(t.shape), wide.nbytes
    if view.flags.c_contiguous:
        view.flags.writeable = False
        return view, 0
    return view.copy(order="C"), view.nbytes


def _checked(storage: Storage, raw: memoryview) -> memoryview:
    """The view's bytes of a record that must have exactly the size its count says."""
    step = _BYTES[storage.kind]
    if len(raw) != storage.count * step:
        raise Refused(
            f"storage {storage.key} has {len(raw)} bytes, {storage.count} items of {storage.kind} "
            f"are {storage.count * step}"
        )
    return raw[storage.first * step :]


# ---- zip


def _zip_entries(file: BinaryIO, size: int) -> dict[str, zipfile.ZipInfo]:
    try:
        infos = zipfile.ZipFile(file).infolist()
    except (zipfile.BadZipFile, ValueError, struct.error, NotImplementedError) as error:
        raise Refused(f"not a whole zip archive: {error}") from None
    if len(infos) > MAX_ENTRIES:
        raise Refused(f"{len(infos)} entries, at most {MAX_ENTRIES}")
    found: dict[str, zipfile.ZipInfo] = {}
    end = 0
    for info in sorted(infos, key=lambda i: i.header_offset):
        name = info.filename
        if not _ENTRY.fullmatch(name) or ".." in name or len(name) > 1024:
            raise Refused(f"the entry name {name[:80]!r}")
        if name in found:
            raise Refused(f"the entry {name!r} twice")
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & ~0x808:
            raise Refused(f"the entry {name!r} is compressed or encrypted; torch.save stores plain")
        if info.file_size != info.compress_size or info.header_offset < end:
            raise Refused(f"the entry {name!r} overlaps another or lies about its size")
        end = info.header_offset + 30 + info.file_size
        if end > size:
            raise Refused(f"the entry {name!r} reaches byte {end} of {size}")
        found[name] = info
    return found


def _zip_bytes(data: memoryview, info: zipfile.ZipInfo) -> memoryview:
    """An entry's bytes, in place; its local header must agree, and so must its checksum."""
    at = info.header_offset
    signature, flags, method, crc, packed, size, names, extra = struct.unpack(
        "<4s2xHH4xIIIHH", data[at : at + 30]
    )
    begin = at + 30 + names + extra
    end = begin + info.file_size
    name = bytes(data[at + 30 : at + 30 + names])
    later = flags & 8  # sizes and checksum come behind the data
    agree = later or ((packed, size) in _sizes(info) and crc == info.CRC)
    if signature != b"PK\3\4" or method or name != info.filename.encode() or not agree:
        raise Refused(f"the entry {info.filename!r} has another header than the archive lists")
    if end > len(data):
        raise Refused(f"the entry {info.filename!r} reaches byte {end} of {len(data)}")
    raw = data[begin:end]
    if zlib.crc32(raw) != info.CRC:
        raise Refused(f"the entry {info.filename!r} is damaged: its checksum differs")
    return raw


def _sizes(info: zipfile.ZipInfo) -> tuple[tuple[int, int], ...]:
    return (info.compress_size, info.file_size), (0xFFFFFFFF, 0xFFFFFFFF)  # zip64's in the extra


def _read_zip(data: memoryview, file: BinaryIO) -> TorchFile:
    entries = _zip_entries(file, len(data))
    pickles = [name for name in entries if name.rpartition("/")[2] == "data.pkl"]
    if len(pickles) != 1:
        raise Refused(f"{len(pickles)} entries called data.pkl, one wanted: not of torch.save")
    prefix = pickles[0][: -len("data.pkl")]
    if any(name.startswith((f"{prefix}code/", f"{prefix}constants.pkl")) for name in entries):
        raise Refused("a TorchScript archive: it holds code; save its state_dict() instead")
    info = entries[pickles[0]]
    if info.file_size > MAX_PICKLE:
        raise Refused(f"a pickle of {info.file_size} bytes, at most {MAX_PICKLE}")
    order = entries.get(f"{prefix}byteorder")
    if order is not None and bytes(_zip_bytes(data, order)).strip() != b"little":
        raise Refused("values in big-endian order")
    machine = Machine(_zip_bytes(data, info))
    root = machine.run()
    records: dict[str, memoryview] = {}

    def storage(s: Storage) -> memoryview:
        if s.key not in records:
            entry = entries.get(f"{prefix}data/{s.key}")
            if entry is None:
                raise Refused(f"storage {s.key} is not in the archive")
            records[s.key] = _zip_bytes(data, entry)
        return _checked(s, records[s.key])

    return TorchFile("zip", root, machine.refused, storage, len(data))


# ---- the stream of PyTorch before 1.6


def _read_stream(data: memoryview) -> TorchFile:
    at = 0

    def value() -> tuple[Any, Machine]:
        nonlocal at
        machine = Machine(data[: at + MAX_PICKLE], at)
        got = machine.run()
        at = machine.at
        return got, machine

    magic, _ = value()
    if magic != _MAGIC:
        raise Refused("a pickle, but not of torch.save")
    protocol, _ = value()
    system, _ = value()
    if protocol != 1001 or not isinstance(system, dict) or system.get("little_endian") is not True:
        raise Refused(
            f"protocol {shown(protocol)} of a system {shown(system)}; 1001, little-endian wanted"
        )
    root, machine = value()
    keys, _ = value()
    if not isinstance(keys, list) or not all(type(k) is str for k in keys):
        raise Refused("no list of storages after the values")
    spans: dict[str, tuple[int, int]] = {}
    kinds = {s.key: s.kind for s in _storages(root)}
    for key in keys:
        if len(data) - at < 8:
            raise Refused(f"ends at byte {len(data)} before storage {key}")
        (count,) = struct.unpack("<q", data[at : at + 8])
        at += 8
        if key not in kinds:
            raise Refused(f"storage {key} belongs to no tensor, so its size is unknown")
        size = count * _BYTES[kinds[key]]
        if count < 0 or size > len(data) - at:
            raise Refused(f"storage {key} of {count} items reaches beyond byte {len(data)}")
        spans[key] = (at, at + size)
        at += size

    def storage(s: Storage) -> memoryview:
        if s.key not in spans:
            raise Refused(f"storage {s.key} is not in the file")
        begin, end = spans[s.key]
        return _checked(s, data[begin:end])

    return TorchFile("stream", root, machine.refused, storage, len(data))


def _storages(root: Any) -> list[Storage]:
    found, seen, todo = [], set(), [root]
    while todo:
        value = todo.pop()
        if isinstance(value, Tensor):
            found.append(value.storage)
        elif isinstance(value, Storage):
            found.append(value)
        elif isinstance(value, (dict, list, tuple)) and id(value) not in seen:
            seen.add(id(value))
            todo.extend(value.values() if isinstance(value, dict) else value)
    return found


def read(data: memoryview, file: BinaryIO) -> TorchFile:
    """A file of ``torch.save``, by its content; ``file`` is the same bytes as a file.

    Raises
    ------
    Refused
        Says what is wrong and where.
    """
    if data[:4] == b"PK\3\4":
        return _read_zip(data, file)
    return _read_stream(data)


def looks_like(head: bytes | memoryview) -> bool:
    """Whether these first bytes are a zip archive's or a pickle's."""
    return head[:4] == b"PK\3\4" or (head[:1] == b"\x80" and bytes(head[1:2]) in b"\2\3\4\5")
