"""Weight files: read and written as mappings from key to array; a pickle is never run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from . import _atomic
from ._typing import Array
from .errors import WeightsError

_TORCH = {".pt", ".pth", ".ckpt", ".bin"}


def read(path: str | os.PathLike[str], *, sha256: str | None = None) -> dict[str, Array]:
    """All tensors of a ``.safetensors`` file.

    Parameters
    ----------
    path : path-like
    sha256 : str, optional
        Hexadecimal digest that the file must have.

    Returns
    -------
    dict of str to ndarray
        In the order of the file. ``bfloat16`` tensors come as their float32 values.

    Raises
    ------
    WeightsError
        The file is absent, truncated, damaged, not the one of ``sha256``, or not in the safetensors
        format. PyTorch's own files (``.pt``, ``.pth``, ``.ckpt``) are pickles and are not read: the
        message shows how to convert one.
    """
    file = Path(path)
    if file.suffix.lower() in _TORCH:
        raise WeightsError(
            f"{file}: a PyTorch file is a pickle, which can run code, and is not read here; "
            "convert it once where you "
            "trust it: safetensors.torch.save_file(torch.load(path, weights_only=True), "
            "'weights.safetensors')"
        )
    try:
        data = file.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"{file}: cannot be read ({error.strerror}); pass the path of a .safetensors file"
        ) from None
    if sha256 is not None and (got := hashlib.sha256(data).hexdigest()) != sha256:
        raise WeightsError(
            f"{file}: sha256 is {got}, wanted {sha256}: the file was changed or damaged; fetch it "
            "again"
        )
    return _parse(data, str(file))


def _parse(data: bytes, source: str) -> dict[str, Array]:
    from safetensors import SafetensorError, deserialize

    try:
        tensors = deserialize(data)
    except SafetensorError as error:
        raise WeightsError(
            f"{source}: not a whole .safetensors file ({len(data)} bytes: {error}); fetch or "
            "convert it again"
        ) from None
    return {name: _array(name, entry, source) for name, entry in tensors}


_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip


def _array(name: str, entry: Mapping, source: str) -> Array:
    kind, shape, raw = entry["dtype"], entry["shape"], entry["data"]
    if kind == "BF16":
        wide = np.frombuffer(raw, "<u2").astype(np.uint32) << np.uint32(16)
        return wide.view(np.float32).reshape(shape)
    if kind not in _DTYPES:
        raise WeightsError(
            f"{source}: tensor {name!r} has the dtype {kind}, which NumPy has not; "
            f"known: {', '.join(sorted(_DTYPES))}, BF16"
        )
    return np.frombuffer(raw, _DTYPES[kind]).reshape(shape)


def save(path: str | os.PathLike[str], mapping: Mapping[str, Array]) -> None:
    """Write tensors as ``.safetensors``, whole or not at all (a temporary file, then a rename).

    Parameters
    ----------
    path : path-like
    mapping : mapping of str to array_like
        Stored in the dtype given (float, int or bool).

    Raises
    ------
    WeightsError
        An entry is not numeric, or the file cannot be written.
    """
    from safetensors.numpy import save as encode

    arrays = {}
    for name, value in mapping.items():
        array = np.ascontiguousarray(value)
        if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
            raise WeightsError(
                f"{name!r} has dtype {array.dtype}; weights are float, int or bool arrays"
            )
        arrays[str(name)] = array.reshape(np.shape(value))
    try:
        _atomic.write_bytes(path, encode(arrays))
    except OSError as error:
        raise WeightsError(f"{path}: cannot be written ({error.strerror})") from error


def check(
    expected: Mapping[str, Sequence[int]],
    given: Mapping[str, Array],
    *,
    what: str = "the model",
    tolerate: Sequence[str] = ("num_batches_tracked",),
) -> dict[str, Array]:
    """Exactly the expected tensors, or one error that lists everything that is wrong.

    Parameters
    ----------
    expected : mapping of key to shape
    given : mapping of key to array
    what : str
        Named in the error.
    tolerate : sequence of str
        Unexpected keys with one of these last parts are dropped (PyTorch's batch counters).

    Returns
    -------
    dict of str to ndarray
        float32, C-contiguous, in the order of ``expected``.

    Raises
    ------
    WeightsError
        Missing, unexpected or misshapen keys, or values that are not finite real numbers: all of
        them in one message.
    """
    extra = [k for k in given if k not in expected and k.rpartition(".")[2] not in tolerate]
    missing = [k for k in expected if k not in given]
    wrong, odd = [], []
    for key, shape in expected.items():
        if key not in given:
            continue
        value = np.asarray(given[key])
        if value.shape != tuple(shape):
            wrong.append(f"{key} has {value.shape}, wanted {tuple(shape)}")
        elif value.dtype.kind not in "fiu" or not np.isfinite(value).all():
            odd.append(key)
    problems = [
        f"{len(items)} {title}: {_some(items)}"
        for title, items in (
            ("missing", missing),
            ("unexpected", extra),
            ("of the wrong shape", wrong),
            ("not finite real numbers", odd),
        )
        if items
    ]
    if problems:
        raise WeightsError(
            f"weights do not fit {what} ({len(expected)} keys wanted, {len(given)} given). "
            + ". ".join(problems)
        )
    return {key: np.ascontiguousarray(given[key], dtype=np.float32) for key in expected}


def _some(items: Sequence[str], most: int = 20) -> str:
    text = ", ".join(items[:most])
    return text + (f", and {len(items) - most} more" if len(items) > most else "")


def fingerprint(mapping: Mapping[str, Array]) -> str:
    """SHA-256 over keys, dtypes, shapes and values, whatever the order: names the weights in
    results.

    Parameters
    ----------
    mapping : mapping of str to array

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for key in sorted(mapping):
        array = np.ascontiguousarray(mapping[key])
        digest.update(f"{key}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(array.data.cast("B") if array.size else b"")
    return digest.hexdigest()
