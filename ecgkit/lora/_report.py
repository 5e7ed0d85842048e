"""What a merge did, tensor by tensor: how large the change was and how much of it rounding ate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .. import _html
from .._extras import need


@dataclass(frozen=True)
class TensorReport:
    """One tensor that the adapter touches.

    Attributes
    ----------
    name, shard, shape, dtype : str, str, tuple, str
        As written.
    action : str
        ``merge``, ``replace`` (a whole tensor of the adapter) or ``rows`` (some rows of it).
    rank : int
        Of all adapters together; 0 where there is no low-rank update.
    scale : tuple of float
        alpha/r (or alpha/sqrt(r)) times the weight of each adapter.
    weight_norm, delta_norm : float
        Frobenius norms of the stored weight and of the change wanted. NaN where not measured.
    unchanged : float
        Share of elements that rounding left as they were.
    loss : float
        Norm of (change made - change wanted) over ``delta_norm``.
    broken, clamped : int
        Elements that became infinite or NaN; those that ``clamp`` brought back.
    """

    name: str
    shard: str
    shape: tuple[int, ...]
    dtype: str
    action: str
    rank: int = 0
    scale: tuple[float, ...] = ()
    weight_norm: float = math.nan
    delta_norm: float = math.nan
    unchanged: float = math.nan
    loss: float = math.nan
    broken: int = 0
    clamped: int = 0

    @property
    def ratio(self) -> float:
        """``delta_norm / weight_norm``: how strong the change is."""
        if self.weight_norm > 0:
            return self.delta_norm / self.weight_norm
        return math.nan


@dataclass(frozen=True)
class MergeReport:
    """What :func:`merge_checkpoint` did, or with ``dry_run`` would do.

    Attributes
    ----------
    out, base, adapters : Path, Path, tuple of Path
    tensors : tuple of TensorReport
        Those an adapter touches; all others were copied.
    copied : int
        How many were.
    skipped : tuple of (key, reason)
        Adapter tensors left out (``strict=False`` only).
    notes : tuple of str
        What to know about this adapter and base.
    bytes : int
        Size of the weight files written.
    resumed : int
        Weight files that an earlier run had finished.
    seconds : float
    dry_run : bool
    """

    out: Path
    base: Path
    adapters: tuple[Path, ...]
    tensors: tuple[TensorReport, ...]
    copied: int
    skipped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    bytes: int
    resumed: int = 0
    seconds: float = 0.0
    dry_run: bool = False
    fingerprint: str = field(default="", repr=False)

    @property
    def loss_by_dtype(self) -> dict[str, dict[str, float]]:
        """For every dtype written: ``tensors``, ``unchanged`` (share of elements), ``loss`` (of all
        changes together)."""
        out = {}
        for dtype in sorted({t.dtype for t in self.tensors if t.action == "merge"}):
            some = [t for t in self.tensors if t.dtype == dtype and t.action == "merge"]
            sizes = [math.prod(t.shape) for t in some]
            wanted = sum(t.delta_norm**2 for t in some)
            lost = sum((t.loss * t.delta_norm) ** 2 for t in some if t.delta_norm > 0)
            out[dtype] = {
                "tensors": len(some),
                "unchanged": sum(t.unchanged * n for t, n in zip(some, sizes)) / max(1, sum(sizes)),
                "loss": math.sqrt(lost / wanted) if wanted > 0 else 0.0,
            }
        return out

    def to_dict(self) -> dict[str, Any]:
        """Everything in JSON's types; what was not measured is None."""
        return _plain(asdict(self) | {"loss_by_dtype": self.loss_by_dtype})

    def to_frame(self):
        """One row per tensor (pandas)."""
        pd = need("pandas", "cli", "MergeReport.to_frame")
        rows = [asdict(t) | {"ratio": t.ratio} for t in self.tensors]
        return pd.DataFrame(rows, columns=None if rows else ["name"])

    def plot(self):
        """The change of every tensor and what rounding left of it (matplotlib figure)."""
        from ..plot._merge import plot_merge

        return plot_merge(self)

    def __repr__(self) -> str:
        verb = "would change" if self.dry_run else "changed"
        lines = [
            f"MergeReport: {len(self.tensors)} tensors {verb}, {self.copied} copied, "
            f"{self.bytes / 1e9:.3g} GB in {self.out} ({self.seconds:.1f} s)"
        ]
        for dtype, loss in self.loss_by_dtype.items():
            if not self.dry_run:
                lines.append(
                    f"  {dtype}: rounding lost {loss['loss']:.2%} of the change; "
                    f"{loss['unchanged']:.1%} of the elements stayed as they were"
                )
        lines += [f"  left out: {key}: {why}" for key, why in self.skipped[:10]]
        lines += ["  ..."] * (len(self.skipped) > 10)
        return "\n".join(lines + [f"  note: {note}" for note in self.notes])

    def _repr_html_(self) -> str:
        head = repr(self).splitlines()
        rows = [
            (
                *(t.name, t.dtype, t.action, t.rank),
                *map("{:.2e}".format, (t.ratio, t.unchanged, t.loss)),
            )
            for t in self.tensors[:200]
        ]
        columns = ["tensor", "dtype", "action", "rank", "change / weight", "unchanged", "lost"]
        text = "<br>".join(_html.text(line) for line in head)
        return f"<div>{text}{_html.table(columns, rows)}</div>"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
