"""The verb merge-lora."""

from __future__ import annotations

import click

import ecgkit as ek

from ._app import verb
from ._show import Show

MOST_ROWS = 20  # of the table on the screen; JSON and merge_report.json have all


@verb
@click.argument("base")
@click.argument("adapter", nargs=-1, required=True)
@click.argument("out")
@click.option("--dry-run", is_flag=True, help="Check everything, write nothing.")
@click.option("--lenient", is_flag=True, help="Leave out adapter tensors that do not fit.")
@click.option("--dtype", help="F32, BF16, F16 or F64 instead of the base's own.")
@click.option("--weight", "weights", type=float, multiple=True, help="One per adapter.")
@click.option("--clamp", is_flag=True, help="Bound sums beyond float16 instead of stopping.")
@click.option("--restart", is_flag=True, help="Start anew; replace OUT if a merge made it.")
def merge_lora(
    show: Show,
    base: str,
    adapter: tuple[str, ...],
    out: str,
    dry_run: bool,
    lenient: bool,
    dtype: str | None,
    weights: tuple[float, ...],
    clamp: bool,
    restart: bool,
) -> None:
    """Merge LoRA adapters into a checkpoint, without loading it.

    BASE is a folder of safetensors, ADAPTER one or more folders of PEFT adapters, OUT the folder to
    be made. Run again after any interruption: it goes on where it stopped.
    """
    with show.progress("merging", "MB") as at:
        report = ek.lora.merge_checkpoint(
            base,
            adapter,
            out,
            strict=not lenient,
            dtype=dtype,
            resume=not restart,
            weights=weights or None,
            dry_run=dry_run,
            clamp=clamp,
            progress=lambda done, total: at(done // 1_000_000, total // 1_000_000),
        )
    show.title(f"{report.out}{' (dry run: nothing was written)' if dry_run else ''}")
    rate = report.bytes / 1e6 / report.seconds if report.seconds > 0 else 0.0
    show.pairs(
        [
            ("tensors", f"{len(report.tensors)} changed, {report.copied} copied"),
            ("weight files", f"{report.bytes / 1e9:.3g} GB, {report.resumed} kept from before"),
            ("this run", f"{report.seconds:.1f} s, {rate:.0f} MB/s"),
        ]
    )
    if report.tensors:
        show.title("Largest changes")
        rows = sorted(report.tensors, key=lambda t: -t.ratio if t.ratio == t.ratio else 0.0)
        show.table(
            ["tensor", "action", "dtype", "rank", "change/weight", "unchanged", "lost"],
            [
                (t.name, t.action, t.dtype, t.rank, *map(_share, (t.ratio, t.unchanged, t.loss)))
                for t in rows[:MOST_ROWS]
            ],
        )
        if len(rows) > MOST_ROWS:
            show.line(f"... and {len(rows) - MOST_ROWS} more, in merge_report.json")
    for key, why in report.skipped:
        show.line(f"left out: {key}: {why}")
    for note in report.notes:
        show.line(f"note: {note}")
    show.result = report.to_dict()


def _share(value: float) -> str:
    return "" if value != value else f"{value:.2%}"
