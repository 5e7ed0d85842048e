"""Weight files: read and written as mappings from key to array; a pickle is never run."""

from __future__ import annotations

import hashlib
import math
import mmap as _mmap
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import _atomic, _torch
from ._typing import Array
from .errors import FormatError, WeightsError

_CONTAINERS = ("state_dict", "model_state_dict", "model", "module", "net", "network")
_LONGEST = 64  # characters in the name of a dict of tensors
_TRAINING = {
    "optimizer", "optimizers", "optimizer_state", "optimizer_state_dict", "optimizer_states", "opt",
    "scheduler", "lr_scheduler", "lr_schedulers", "scaler", "amp", "loops", "callbacks",
}  # fmt: skip
_WRAPPERS = ("module.", "_orig_mod.", "model.", "network.", "net.")


@dataclass(frozen=True)
class WeightsInfo:
    """What a weight file holds, by :func:`inspect`.

    ``format``: ``"safetensors"``, ``"torch zip"`` or ``"torch stream"``. ``containers``: dotted
    place of every dict of tensors, the number of tensors, the number of values; the place is ``""``
    where the file is one dict of tensors. ``refused``: classes and functions named in the file,
    none of which was looked up or called, and how often.
    """

    format: str
    sha256: str
    nbytes: int
    containers: tuple[tuple[str, int, int], ...]
    refused: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        lines = [f"{self.format}, {self.nbytes} bytes, sha256 {self.sha256}"]
        for name, tensors, values in self.containers:
            lines.append(f"  {name or '(the file itself)'}: {tensors} tensors, {values} values")
        lines += [f"  not built: {name} ({n} times)" for name, n in self.refused]
        return "\n".join(lines)


def read(
    path: str | os.PathLike[str],
    *,
    container: str | None = None,
    sha256: str | None = None,
    mmap: bool = False,
) -> dict[str, Array]:
    """All tensors of a weight file, by its content: safetensors, or what ``torch.save`` wrote.

    A file of ``torch.save`` (zip archive, or the stream of PyTorch before 1.6) is a pickle. It is
    read as data by a stack machine of our own: nothing that it names is looked up or called, and
    objects in it other than tensors are left out (:func:`inspect` lists them).

    Parameters
    ----------
    path : path-like
    container : str, optional
        Dotted place of the dict of tensors inside a checkpoint, such as ``"state_dict"`` or
        ``"ema"``. Default: the file itself, else ``state_dict``, ``model_state_dict``, ``model``,
        ..., else the only one that is not an optimizer's. Averaged copies are never the default.
    sha256 : str, optional
        Hexadecimal digest that the file must have.
    mmap : bool
        Map the file instead of reading it: values come from the disk when they are used, and cost
        no memory of their own beside a compiled network. The file must not change meanwhile.

    Returns
    -------
    dict of str to ndarray
        In the order of the file. ``bfloat16`` tensors come as their float32 values. Arrays may be
        read-only.

    Raises
    ------
    WeightsError
        The file is absent, truncated, damaged, not the one of ``sha256``, in another format, holds
        a whole module instead of a state dict, or has several dicts of tensors: all are listed.
    """
    file = Path(path)
    data = _bytes(file, mmap)
    if sha256 is not None and (got := hashlib.sha256(data).hexdigest()) != sha256:
        raise WeightsError(
            f"{file}: sha256 is {got}, wanted {sha256}: the file was changed or damaged; fetch it "
            "again"
        )
    if not _torch.looks_like(data[:4]):
        if container:
            raise WeightsError(f"{file}: a safetensors file has no container {container!r}")
        return _parse(data, str(file))
    torch_file = _open_torch(file, data)
    found = _containers(torch_file.root)
    chosen = _choose(found, container, file, torch_file)
    try:
        return torch_file.values(chosen)
    except _torch.Refused as error:
        raise WeightsError(f"{file}: {error}") from None


def inspect(path: str | os.PathLike[str]) -> WeightsInfo:
    """What a weight file holds, without running anything in it.

    Raises
    ------
    WeightsError
        As :func:`read`.
    """
    file = Path(path)
    data = _bytes(file, mmap=True)
    if _torch.looks_like(data[:4]):
        torch_file = _open_torch(file, data)
        form, refused = f"torch {torch_file.form}", tuple(sorted(torch_file.refused.items()))
        sizes = {
            name: [math.prod(t.shape) for t in tensors.values()]
            for name, tensors in _containers(torch_file.root).items()
        }
    else:
        form, refused = "safetensors", ()
        sizes = {"": [a.size for a in _parse(data, str(file)).values()]}
    containers = tuple((name, len(n), sum(n)) for name, n in sizes.items())
    return WeightsInfo(form, hashlib.sha256(data).hexdigest(), len(data), containers, refused)


def settings(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a checkpoint of ``torch.save`` says beside its tensors, such as a trainer's
    configuration: numbers, texts, None, and lists and dicts of them by text.

    Whatever else the file names is left out, as :func:`read` leaves it out; safetensors say
    nothing.

    Raises
    ------
    WeightsError
        As :func:`read`.
    """
    file = Path(path)
    data = _bytes(file, mmap=True)
    if not _torch.looks_like(data[:4]):
        return {}
    found = _plain(_open_torch(file, data).root)
    return found if isinstance(found, dict) else {}


_NOTHING = object()


def _plain(value: object, depth: int = 0) -> Any:
    """The value with all that is not plain left out; ``_NOTHING`` if nothing remains."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if depth > 5 or not isinstance(value, dict | list | tuple):
        return _NOTHING
    if isinstance(value, dict):
        pairs = ((k, _plain(v, depth + 1)) for k, v in value.items() if isinstance(k, str))
        return {k: v for k, v in pairs if v is not _NOTHING}
    items = (_plain(v, depth + 1) for v in value)
    return [v for v in items if v is not _NOTHING]


def _bytes(file: Path, mmap: bool) -> memoryview:
    try:
        if not mmap:
            return memoryview(file.read_bytes())
        with file.open("rb") as f:
            if os.fstat(f.fileno()).st_size == 0:
                return memoryview(b"")
            return memoryview(_mmap.mmap(f.fileno(), 0, access=_mmap.ACCESS_READ))
    except OSError as error:
        raise WeightsError(
            f"{file}: cannot be read ({error.strerror}); pass the path of a .safetensors file or "
            "of one that torch.save wrote"
        ) from None


def _open_torch(file: Path, data: memoryview) -> _torch.TorchFile:
    try:
        with file.open("rb") as f:
            return _torch.read(data, f)
    except _torch.Refused as error:
        raise WeightsError(
            f"{file}: {error}. Nothing in it was run. If you trust the file, convert it once: "
            "safetensors.torch.save_file(torch.load(path, weights_only=True), "
            "'weights.safetensors')"
        ) from None


def _containers(root: object) -> dict[str, dict[str, _torch.Tensor]]:
    """Every dict with tensors in it, by dotted place."""
    found: dict[str, dict[str, _torch.Tensor]] = {}
    todo: list[tuple[str, object, int]] = [("", root, 0)]
    seen: set[int] = set()
    while todo:
        name, value, depth = todo.pop(0)
        if not isinstance(value, dict) or id(value) in seen or depth > 5:
            continue
        seen.add(id(value))
        tensors = {k: v for k, v in value.items() if isinstance(v, _torch.Tensor)}
        if tensors and all(isinstance(k, str) for k in tensors):
            found[name] = tensors
        todo += [
            (f"{name}.{k}" if name else k, v, depth + 1)
            for k, v in value.items()
            if isinstance(v, dict) and isinstance(k, str) and len(k) <= _LONGEST
        ]
    return found


def _choose(
    found: Mapping[str, dict[str, _torch.Tensor]],
    container: str | None,
    file: Path,
    torch_file: _torch.TorchFile,
) -> dict[str, _torch.Tensor]:
    listing = ", ".join(f"{k or '(the file itself)'} ({len(v)})" for k, v in found.items())
    if container is not None:
        if container not in found:
            raise WeightsError(
                f"{file}: no tensors at {container!r}; there are: {listing or 'none'}"
            )
        return found[container]
    if "" in found:
        return found[""]
    for name in _CONTAINERS:
        if name in found:
            return found[name]
    rest = [k for k in found if k.split(".")[0] not in _TRAINING]
    if len(rest) == 1:
        return found[rest[0]]
    if not found:
        names = ", ".join(torch_file.refused) or "nothing else"
        raise WeightsError(
            f"{file}: no dict of tensors in it, but {names}; a whole module cannot be read without "
            "running its code: save module.state_dict() instead"
        )
    raise WeightsError(f"{file}: several dicts of tensors, pass container=: {listing}")


def unwrap(given: Mapping[str, Array], expected: Collection[str]) -> dict[str, Array]:
    """Keys without what wrappers put before all of them, if the expected ones are among them then.

    ``module.`` comes from DataParallel, ``_orig_mod.`` from ``torch.compile``, ``model.`` and its
    like from Lightning and trainers.
    """
    keys = dict(given)
    wanted = set(expected)
    for _ in range(4):
        if wanted & keys.keys():
            return keys
        prefix = next((p for p in _WRAPPERS if keys and all(k.startswith(p) for k in keys)), None)
        if prefix is None:
            break
        keys = {k[len(prefix) :]: v for k, v in keys.items()}
    return keys if wanted & keys.keys() else dict(given)


def _parse(data: memoryview, source: str) -> dict[str, Array]:
    """Views of the file's bytes, by name."""
    from .lora._safetensors import parse_header

    length = int.from_bytes(data[:8], "little")
    try:
        if len(data) < 8 or length > len(data) - 8:
            raise FormatError("it is cut off, or no safetensors file")
        start = 8 + length
        tensors, _ = parse_header(bytes(data[8:start]), len(data) - start, "its header")
    except FormatError as error:
        raise WeightsError(
            f"{source}: not a whole .safetensors file ({len(data)} bytes: {error}), nor one that "
            "torch.save wrote; fetch or convert it again"
        ) from None
    return {
        name: _array(name, t.dtype, t.shape, data[start + t.begin : start + t.end], source)
        for name, t in tensors.items()
    }


_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip


def _array(name: str, kind: str, shape: tuple[int, ...], raw: memoryview, source: str) -> Array:
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
    given = unwrap(given, expected)
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
