"""How the command line speaks: tables for people, JSON for programs, progress on a terminal."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text


class Show:
    """Where results go: as text, with ``json`` as one object at the end, with ``quiet`` nowhere."""

    def __init__(self, *, json: bool, quiet: bool):
        self.json = json
        self.silent = quiet or json
        width = None if sys.stdout.isatty() else 100_000  # a pipe folds nothing
        self.console = Console(quiet=self.silent, highlight=False, width=width)
        self.result: dict[str, Any] = {}

    def title(self, text: str) -> None:
        """A heading."""
        self.console.print()
        self.console.print(Text(clean(text), style="bold"))

    def line(self, text: str) -> None:
        """A line of plain text."""
        self.console.print(Text(clean(text)))

    def pairs(self, rows: Iterable[Sequence[Any]]) -> None:
        """Names and values."""
        table = Table.grid(padding=(0, 2))
        for name, value in rows:
            table.add_row(Text(clean(name), style="dim"), Text(clean(value)))
        self._put(table)

    def table(self, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """A table with a head."""
        table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
        for name in head:
            table.add_column(Text(clean(name)), overflow="fold")
        for row in rows:
            table.add_row(*(Text(clean(value)) for value in row))
        self._put(table)

    def bars(self, names: Sequence[Sequence[str]], values: Sequence[float], best: int) -> None:
        """Probabilities; a name may have several columns."""
        table = Table.grid(padding=(0, 2))
        for i, (name, value) in enumerate(zip(names, values, strict=True)):
            style = "bold" if i == best else ""
            full = round(30 * value) if value == value else 0
            table.add_row(
                *(Text(clean(part), style=style) for part in name),
                Text(f"{value:.3f}", style=style),
                Text("█" * full + "·" * (30 - full), style="blue" if i == best else "dim"),
            )
        self._put(table)

    def _put(self, table: Table) -> None:
        """Print a table without the blanks that pad its last column."""
        if not self.silent:
            with self.console.capture() as text:
                self.console.print(table)
            self.console.file.writelines(line.rstrip() + "\n" for line in text.get().splitlines())

    def finish(self) -> None:
        """Write the JSON object, if one was asked for."""
        if self.json:
            print(json.dumps(data(self.result), ensure_ascii=False, allow_nan=False))

    @contextmanager
    def progress(self, text: str, unit: str) -> Iterator[Callable[[int, int], None]]:
        """A callable ``at(done, total)``; a bar with rate and time left, on a terminal only."""
        if self.silent or not sys.stderr.isatty():
            yield lambda done, total: None
            return
        columns = [
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TextColumn("left"),
            TimeRemainingColumn(compact=True),
        ]
        began, before = time.monotonic(), None
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(text, total=None, rate="")

            def at(done: int, total: int) -> None:
                nonlocal before
                before = done if before is None else before
                seconds = time.monotonic() - began
                rate = f"{(done - before) / seconds:.0f} {unit}/s" if done > before else ""
                bar.update(task, completed=done, total=total, rate=rate)

            yield at


def clean(value: Any) -> str:
    """Text for a terminal: what a file puts into a header must not move the cursor."""
    return "".join(c if c.isprintable() else "\ufffd" for c in str(value).replace("\n", " "))


def data(value: Any) -> Any:
    """A value in JSON's types; what is not a finite number is null."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, np.ndarray):
        return data(value.tolist())
    if isinstance(value, np.generic):
        return data(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return value
    if isinstance(value, Mapping):
        return {str(key): data(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [data(item) for item in value]
    return str(value)
