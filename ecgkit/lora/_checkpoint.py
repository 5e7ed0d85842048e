"""Merging adapters into a checkpoint on disk: streamed, atomic, resumable."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from .. import _atomic
from ..errors import EcgkitError, OutputError, WeightsError
from ._adapter import Adapter
from ._base import INDEX, Base
from ._plan import Plan, Step, plan
from ._report import MergeReport, TensorReport
from ._safetensors import BITS
from ._staging import REPORT, Staging
from ._stream import Options, layout, unwritable, write_shard

_DTYPES = {
    "F32": "F32", "F16": "F16", "BF16": "BF16", "F64": "F64",
    "float32": "F32", "float16": "F16", "bfloat16": "BF16", "float64": "F64",
}  # fmt: skip
_WEIGHTS = {".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".gguf"}
_SPARE = 16 << 20  # bytes that stay free beside what is written

PathLike = str | os.PathLike[str]


def merge_checkpoint(
    base: PathLike,
    adapter: PathLike | Sequence[PathLike],
    out: PathLike,
    *,
    strict: bool = True,
    dtype: str | None = None,
    resume: bool = True,
    weights: Sequence[float] | None = None,
    dry_run: bool = False,
    parity: str = "exact",
    clamp: bool = False,
    threads: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> MergeReport:
    """Merge PEFT LoRA adapters into a checkpoint, shard by shard, in bounded memory.

    Parameters
    ----------
    base : path
        A folder with ``model.safetensors`` or shards and their index, or one safetensors file.
        Never written to.
    adapter : path or sequence of paths
        Folders with ``adapter_config.json`` and ``adapter_model.safetensors`` (or ``.bin``, the
        pickle of older PEFT, which is read as data: nothing in it is run). The changes of several
        are added in float32 and rounded once.
    out : path
        Folder of the result: weight files named as the base's, its index, every other file of the
        base's folder (configuration, tokenizer), and ``merge_report.json``. It appears at the end,
        whole; while a run lasts its files are in ``<out>.parts``.
    strict : bool
        Every tensor of the adapter must be used, and every sum be finite (default). ``False``: the
        report lists what was left out and counts what is not finite.
    dtype : {"F32", "BF16", "F16", "F64"}, optional
        Of all float tensors written (also ``"float32"``, ...). Default: each keeps the base's.
    resume : bool
        Go on with what an earlier run left (default). ``False``: start anew, and replace ``out`` if
        this function made it.
    weights : sequence of float, optional
        A factor for each adapter. Default: 1.
    dry_run : bool
        Check everything and say what would be done; nothing is written.
    parity : {"exact", "peft"}
        ``"exact"``: W + change in float32, rounded once, as PEFT's ``merge()``. ``"peft"``: the
        change is rounded to the base's dtype before it is added, as its ``safe_merge=True``.
    clamp : bool
        A sum beyond float16's 65504 becomes that; by default it is an error.
    threads : int, optional
        Default: the process setting.
    progress : callable, optional
        Called with (bytes done, bytes in all).

    Returns
    -------
    MergeReport
        Norms, and what rounding lost, of every tensor changed.

    Raises
    ------
    WeightsError
        The adapter does not fit the base, asks for what is refused by name (quantised or routed
        variants, experts), or is a pickle; or a sum is not finite. Nothing is written.
    FormatError
        A malformed file: truncated, overlapping or lying headers, a bad index or configuration.
    OutputError
        ``out`` exists and is not this merge, is being written by another job, or the disk is full.

    Notes
    -----
    ``W' = round(W + s B A)`` with ``s = alpha/r`` (``alpha/sqrt(r)`` for rsLoRA); transposed for
    ``fan_in_fan_out`` weights and embeddings; over the flattened kernel for convolutions; DoRA
    multiplies every output by magnitude / norm (Hu et al., Liu et al.).

    Killed at any moment, a run leaves ``out`` as it was; run again, it keeps the weight files that
    were finished and ends with the same bytes as an undisturbed run.

    References
    ----------
    Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022.
    Liu et al., DoRA: Weight-Decomposed Low-Rank Adaptation, ICML 2024.
    """
    began = time.monotonic()
    adapters = _paths(adapter)
    factors = _factors(weights, len(adapters))
    stored = _dtype(dtype)
    if parity not in ("exact", "peft"):
        raise EcgkitError(f"parity must be 'exact' or 'peft', got {parity!r}")
    options = Options(parity == "peft", clamp, strict, threads)
    base_path, target = Path(base), Path(out)
    if not base_path.exists():
        raise WeightsError(f"{base_path}: does not exist; pass the folder of a checkpoint")
    _apart(base_path, target)
    with ExitStack() as stack:
        model = Base(base_path)
        stack.callback(model.close)
        opened = []
        for path in adapters:
            opened.append(Adapter(path))
            stack.callback(opened[-1].file.close)
        what = plan(model, opened, factors, strict=strict, dtype=stored)
        made_with = _made_with(model, opened, factors, options, stored)
        facts: dict[str, Any] = {
            "out": target,
            "base": base_path,
            "adapters": tuple(adapters),
            "copied": sum(s.action == "copy" for steps in what.shards.values() for s in steps),
            "skipped": tuple(what.skipped),
            "notes": tuple(what.notes),
            "bytes": sum(_size(what, name) for name in what.shards),
            "fingerprint": hashlib.sha256(
                json.dumps(made_with, sort_keys=True).encode()
            ).hexdigest(),
        }
        if dry_run:
            _room(what, list(what.shards), target)
            return MergeReport(
                **facts, tensors=_foreseen(what), seconds=time.monotonic() - began, dry_run=True
            )
        return _run(what, facts, made_with, options, resume, progress, began)


def _run(
    what: Plan,
    facts: dict[str, Any],
    made_with: Mapping[str, Any],
    options: Options,
    resume: bool,
    progress: Callable[[int, int], object] | None,
    began: float,
) -> MergeReport:
    with Staging(facts["out"], made_with, facts["fingerprint"], resume=resume) as staging:
        if staging.finished is not None:
            known = staging.finished
            return MergeReport(
                **facts,
                tensors=tuple(_revive(t) for t in known["tensors"]),
                resumed=len(what.shards),
                seconds=time.monotonic() - began,
            )
        reports: list[TensorReport] = []
        done = {n: r for n in what.shards if (r := staging.shard(n, _size(what, n))) is not None}
        _room(what, [name for name in what.shards if name not in done], staging.model)
        at, total = sum(_size(what, n) for n in done), facts["bytes"]

        def advance(count: int) -> None:
            nonlocal at
            at += count
            if progress is not None:
                progress(at, total)

        advance(0)
        for name, steps in what.shards.items():
            if name in done:
                reports += [_revive(t) for t in done[name]]
                continue
            new: list[TensorReport] = []

            def fill(part: Path, name: str = name, steps: list[Step] = steps) -> None:
                new.extend(write_shard(part, what.base, name, steps, options, advance))  # noqa: B023

            staging.put(name, fill, lambda: [asdict(t) for t in new])  # noqa: B023
            reports += new
        report = MergeReport(
            **facts, tensors=tuple(reports), resumed=len(done), seconds=time.monotonic() - began
        )
        try:
            _companions(what, staging.model)
            text = json.dumps(report.to_dict(), indent=1)
            _atomic.write_bytes(staging.model / REPORT, text.encode())
            staging.finish()
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            raise unwritable(staging.model, error) from error
        return report


# ------------------------------------------------------------------- arguments
def _paths(adapter: PathLike | Sequence[PathLike]) -> list[Path]:
    if isinstance(adapter, (str, os.PathLike)):
        return [Path(adapter)]
    paths = [Path(a) for a in adapter]
    if not paths:
        raise EcgkitError("merge_checkpoint: no adapter given")
    return paths


def _factors(weights: Sequence[float] | None, count: int) -> list[float]:
    factors = [1.0] * count if weights is None else [float(w) for w in weights]
    if len(factors) != count or not np.isfinite(factors).all():
        raise EcgkitError(
            f"weights must be {count} finite numbers, one per adapter; got {weights!r}"
        )
    return factors


def _dtype(dtype: str | None) -> str | None:
    if dtype is None:
        return None
    if dtype not in _DTYPES:
        raise EcgkitError(f"dtype must be one of {', '.join(_DTYPES)}; got {dtype!r}")
    return _DTYPES[dtype]


def _apart(base: Path, out: Path) -> None:
    folder = (base if base.is_dir() else base.parent).resolve()
    if out.resolve() == folder or folder in out.resolve().parents:
        raise OutputError(f"{out} is or lies in the base's folder; choose a folder outside it")
    if not out.resolve().parent.is_dir():
        raise OutputError(f"{out}: the folder {out.resolve().parent} does not exist; make it first")


def _made_with(
    base: Base, adapters: Sequence[Adapter], weights: list[float], options: Options, dtype: Any
) -> dict[str, Any]:
    """What must not change between the runs of one merge."""

    def facts(file: Any) -> list[Any]:
        at = os.stat(file.path)
        return [file.size, at.st_mtime_ns, digest(file.header)]

    def digest(data: bytes) -> str:
        return hashlib.sha256(data).hexdigest()

    return {
        "base": {name: facts(file) for name, file in base.files.items()},
        "adapters": [
            [*facts(a.file), digest((a.folder / "adapter_config.json").read_bytes())]
            for a in adapters
        ],
        "weights": weights,
        "dtype": dtype,
        "parity": options.parity,
        "clamp": options.clamp,
        "strict": options.strict,
        "format": 1,
    }  # fmt: skip


# ------------------------------------------------------------------ sizes, facts
def _size(what: Plan, shard: str) -> int:
    header, placed = layout(what.base.files[shard], what.shards[shard])
    return 8 + len(header) + max((t.end for t in placed), default=0)


def _room(what: Plan, shards: list[str], where: Path) -> None:
    """The disk holds what is about to be written."""
    folder = where
    while not folder.exists():
        folder = folder.resolve().parent
    needed = sum(_size(what, name) for name in shards) + _SPARE
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            f"{where}: the merge needs {needed / 1e9:.2f} GB, the disk has {free / 1e9:.2f} GB "
            "free; free space or choose another disk. Nothing was written"
        )


def _foreseen(what: Plan) -> tuple[TensorReport, ...]:
    """The report of a dry run: the norm of the change is that of the factors' small products."""
    reports = []
    for shard, steps in what.shards.items():
        for step in steps:
            if step.action == "copy":
                continue
            reports.append(
                TensorReport(
                    step.name, shard, step.shape, step.dtype, step.action,
                    rank=sum(u.rank for u in step.updates if u.layout != "bias"),
                    scale=tuple(u.scale for u in step.updates),
                    delta_norm=_norm(step),
                )
            )  # fmt: skip
    return tuple(reports)


def _norm(step: Step) -> float:
    """Of the sum of the updates, without forming it: all inner products of B A with each other are
    traces of rank-sized matrices."""
    if not step.updates or any(u.dora for u in step.updates):
        return float("nan")
    pairs = [(*u.factors(), u.scale) for u in step.updates]
    b = np.concatenate([b.astype(np.float64) * s for _, b, s in pairs], axis=1)
    a = np.concatenate([a.astype(np.float64) for a, _, _ in pairs], axis=0)
    return float(np.sqrt(max(0.0, ((b.T @ b) * (a @ a.T)).sum())))


def _revive(entry: Mapping[str, Any]) -> TensorReport:
    values: dict[str, Any] = {k: float("nan") if v is None else v for k, v in entry.items()}
    values["shape"], values["scale"] = tuple(values["shape"]), tuple(values["scale"])
    return TensorReport(**values)


# ---------------------------------------------------------------- other files
def _companions(what: Plan, folder: Path) -> None:
    """The index and every other file of the base's folder but weights."""
    base = what.base
    if base.index is not None:
        _atomic.write_bytes(folder / INDEX, json.dumps(_index(what), indent=2).encode())
    for path in sorted(base.folder.iterdir()):
        skip = path.suffix.lower() in _WEIGHTS or path.name.endswith(".index.json")
        if not path.is_file() or skip or path.name.startswith(".") or path.name == REPORT:
            continue
        if path.name == "config.json":
            _atomic.write_bytes(folder / path.name, _model_config(path, what))
        else:
            _atomic.write(folder / path.name, functools.partial(shutil.copyfile, path))


def _index(what: Plan) -> dict[str, Any]:
    assert what.base.index is not None
    metadata = dict(what.base.index.get("metadata") or {})
    steps = [step for shard in what.shards.values() for step in shard]
    metadata["total_size"] = sum(int(np.prod(s.shape)) * BITS[s.dtype] // 8 for s in steps)
    where = {step.name: shard for shard, steps in what.shards.items() for step in steps}
    return {"metadata": metadata, "weight_map": dict(sorted(where.items()))}


def _model_config(path: Path, what: Plan) -> bytes:
    """config.json, with the dtype that was asked for."""
    raw = path.read_bytes()
    dtypes = {s.dtype for steps in what.shards.values() for s in steps if s.action != "copy"}
    changed = any(
        s.source is not None and s.source.dtype != s.dtype
        for steps in what.shards.values()
        for s in steps
    )
    if not changed or len(dtypes) != 1:
        return raw
    try:
        config = json.loads(raw)
    except ValueError:
        return raw
    name = {v: k for k, v in _DTYPES.items() if k.startswith(("f", "b"))}[dtypes.pop()]
    for key in ("torch_dtype", "dtype"):
        if isinstance(config, dict) and key in config:
            config[key] = name
    return json.dumps(config, indent=2).encode() + b"\n"
