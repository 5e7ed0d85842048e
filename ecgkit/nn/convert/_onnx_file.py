"""ONNX files as untrusted input: parsed, never executed, sizes checked before memory is taken."""

import os
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ..._extras import need
from ..._typing import Array
from ...errors import ConversionError, FormatError

OPSETS = range(7, 29)
MOST = 1 << 29  # elements of a constant: 2 GiB of floats, as much as a file can hold

_FIELDS = {  # data type: (NumPy's, the field that holds it when raw_data does not, bytes)
    "FLOAT": (np.float32, "float_data"),
    "DOUBLE": (np.float64, "double_data"),
    "INT64": (np.int64, "int64_data"),
    "INT32": (np.int32, "int32_data"),
    "INT16": (np.int16, "int32_data"),
    "INT8": (np.int8, "int32_data"),
    "UINT64": (np.uint64, "uint64_data"),
    "UINT32": (np.uint32, "uint64_data"),
    "UINT16": (np.uint16, "int32_data"),
    "UINT8": (np.uint8, "int32_data"),
    "BOOL": (np.bool_, "int32_data"),
    "FLOAT16": (np.float16, "int32_data"),
    "BFLOAT16": (np.uint16, "int32_data"),
}


def load(model: Any) -> tuple[Any, Path | None, str]:
    """``(ModelProto, folder of external data, name)`` of a path, bytes or a ModelProto."""
    onnx = need("onnx", "onnx", "from_onnx")
    if isinstance(model, onnx.ModelProto):
        return model, None, model.graph.name or "onnx"
    folder, name = None, "onnx"
    if isinstance(model, (str, os.PathLike)):
        path = Path(model)
        folder, name = path.parent, path.stem
        data = path.read_bytes()
    elif isinstance(model, (bytes, bytearray, memoryview)):
        data = bytes(model)
    else:
        raise TypeError(
            f"from_onnx: wanted a path, bytes or a ModelProto, got {type(model).__name__}"
        )
    parsed = onnx.ModelProto()
    try:
        parsed.ParseFromString(data)
    except Exception as error:  # protobuf's implementations raise types of their own
        raise FormatError(f"{name}: not an ONNX file, or cut off ({error})") from error
    if not parsed.graph.node and not parsed.graph.output:
        raise FormatError(f"{name}: not an ONNX file, or one without a graph")
    return parsed, folder, name


def opset(model: Any, name: str) -> int:
    """The version of the default operator set."""
    versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    others = [o.domain for o in model.opset_import if o.domain not in ("", "ai.onnx")]
    if others and not versions:
        raise ConversionError(
            f"{name}: the operator set {others[0]!r} is not supported: export to plain ONNX"
        )
    if len(set(versions)) != 1:
        raise FormatError(f"{name}: the file names {len(versions)} versions of the operator set")
    if versions[0] not in OPSETS:
        raise ConversionError(
            f"{name}: opset {versions[0]}; {OPSETS[0]} to {OPSETS[-1]} are supported: convert it "
            "with onnx.version_converter"
        )
    return versions[0]


class Constants:
    """Decodes the constants of one file."""

    def __init__(self, name: str, folder: Path | None):
        self.name, self.folder = name, folder
        self.proto = need("onnx", "onnx", "from_onnx").TensorProto

    def array(self, t: Any) -> Array:
        """The numbers of a TensorProto; its size is checked against its dimensions."""
        where = f"{self.name}: constant {t.name!r}"
        try:
            kind = self.proto.DataType.Name(t.data_type)
        except ValueError:
            raise FormatError(f"{where}: unknown data type {t.data_type}") from None
        if kind not in _FIELDS:
            raise ConversionError(f"{where}: data type {kind} is not supported")
        dtype, field = _FIELDS[kind]
        shape = tuple(t.dims)
        if any(d < 0 for d in shape) or prod(shape) > MOST:
            raise FormatError(f"{where}: impossible shape {shape}")
        count, size = prod(shape), np.dtype(dtype).itemsize
        flat: Array
        if t.data_location == self.proto.EXTERNAL:
            flat = np.frombuffer(self._external(t, where, count * size), dtype)
        elif t.HasField("raw_data"):
            if len(t.raw_data) != count * size:
                raise FormatError(
                    f"{where}: {len(t.raw_data)} bytes of data, shape {shape} of {kind} needs "
                    f"{count * size}"
                )
            flat = np.frombuffer(t.raw_data, dtype)
        else:
            given = getattr(t, field)
            if len(given) != count:
                raise FormatError(f"{where}: {len(given)} numbers, shape {shape} needs {count}")
            flat = self._narrow(np.asarray(given), kind, dtype, where)
        if kind == "BFLOAT16":
            flat = (flat.astype(np.uint32) << 16).view(np.float32)
        return flat.reshape(shape)

    @staticmethod
    def _narrow(given: Array, kind: str, dtype: Any, where: str) -> Array:
        if kind in ("FLOAT16", "BFLOAT16"):  # stored as the bits
            if given.size and (given.min() < 0 or given.max() > 0xFFFF):
                raise FormatError(f"{where}: a number is no {kind}")
            bits = given.astype(np.uint16)
            return bits.view(np.float16) if kind == "FLOAT16" else bits
        return given.astype(dtype)

    def _external(self, t: Any, where: str, size: int) -> bytes:
        """Bytes beside the model: in its folder or below, never elsewhere."""
        entries = {e.key: e.value for e in t.external_data}
        location = entries.get("location", "")
        if self.folder is None:
            raise ConversionError(
                f"{where} lies in the file {location!r}; pass the model's path instead of its bytes"
            )
        root = self.folder.resolve()
        path = (root / location).resolve()
        if not location or root not in path.parents or Path(location).is_absolute():
            raise FormatError(f"{where}: its data file {location!r} is not in the model's folder")
        if not path.is_file():
            raise FormatError(f"{where}: its data file {location!r} is missing")
        try:
            offset = int(entries.get("offset", 0))
            length = int(entries.get("length", size))
        except ValueError:
            raise FormatError(f"{where}: offset or length is no number") from None
        if length != size or offset < 0 or offset + size > path.stat().st_size:
            raise FormatError(
                f"{where}: {length} bytes at {offset} of {location!r} (shape needs {size}, the "
                f"file has {path.stat().st_size})"
            )
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(size)
