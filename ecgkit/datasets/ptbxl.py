"""PTB-XL in its official layout: two tables, ``records100`` and ``records500``.

Wagner et al., Scientific Data 7:154 (2020), doi 10.1038/s41597-020-0495-6; CC BY 4.0. Folds are
disjoint in patients; the official use is 1-8 training, 9 validation, 10 test. Statements count
whatever their likelihood, as in the benchmark of Strodthoff et al.
(doi 10.1109/jbhi.2020.3022989).
"""

from __future__ import annotations

import ast
import csv
from collections.abc import Callable, Iterable
from os import PathLike
from pathlib import Path

import numpy as np

from ..errors import FormatError, RateError
from ._dataset import Dataset, total

#: Four groups of rhythm statements, in the order of the labels.
RHYTHM4 = {
    "SB": ("SBRAD",),
    "AFIB": ("AFIB", "AFLT"),
    "GSVT": ("SVTAC", "PSVT", "STACH"),
    "SR": ("SR", "SARRH"),
}
TASKS = ("all", "diagnostic", "subdiagnostic", "superdiagnostic", "form", "rhythm", "rhythm4")
_VERSIONS = {21837: "1.0.1", 21799: "1.0.3"}
_FILE = {100: "filename_lr", 500: "filename_hr"}
NO_CLASS, MANY = "no class", "more than one class"


def ptbxl(
    root: str | PathLike[str],
    *,
    fs: float = 100,
    folds: Iterable[int] | None = None,
    task: str = "superdiagnostic",
) -> Dataset:
    """PTB-XL, labelled for a task; no signal is read yet.

    Parameters
    ----------
    root : path-like
        The folder that holds ``ptbxl_database.csv``.
    fs : 100 or 500
        Which of the two published rates, in Hz. Their files are not samples of each other.
    folds : iterable of int, optional
        Some of 1..10 (default: all).
    task : str
        ``"rhythm4"``: one of SB, AFIB, GSVT, SR (:data:`RHYTHM4`); records with none or more than
        one of them are dropped and counted. ``"all"``, ``"diagnostic"``, ``"subdiagnostic"``,
        ``"superdiagnostic"``, ``"form"``, ``"rhythm"``: the multi-label tasks of the PTB-XL
        benchmark, classes ascending, records without a label dropped and counted.

    Returns
    -------
    Dataset

    Raises
    ------
    FormatError
        A table is absent or is not PTB-XL's.
    RateError
        ``fs`` is not a published rate.
    ValueError
        Unknown task or fold.
    """
    root = Path(root)
    if fs not in _FILE:
        raise RateError(f"fs must be 100 or 500 (the rates that PTB-XL publishes), got {fs!r}")
    if task not in TASKS:
        raise ValueError(f"task must be one of {', '.join(TASKS)}; got {task!r}")
    wanted = set(range(1, 11)) if folds is None else {int(fold) for fold in folds}
    if not wanted <= set(range(1, 11)):
        raise ValueError(f"folds must be among 1..10, got {sorted(wanted)}")

    rows = _table(
        root / "ptbxl_database.csv",
        ("ecg_id", "patient_id", "scp_codes", "strat_fold", _FILE[int(fs)]),
    )
    classes, mapping = _classes(root, task)
    kept, sets = [], []
    by_fold = {
        fold: {NO_CLASS: 0} | ({MANY: 0} if task == "rhythm4" else {}) for fold in sorted(wanted)
    }
    present: set[str] = set()
    for row in rows:
        found = classes(_codes(row))
        present |= found
        fold = int(row["strat_fold"])
        if fold not in wanted:
            continue
        if not found:
            by_fold[fold][NO_CLASS] += 1
        elif task == "rhythm4" and len(found) > 1:
            by_fold[fold][MANY] += 1
        else:
            kept.append(row)
            sets.append(found)

    order = sorted(range(len(kept)), key=lambda i: int(kept[i]["ecg_id"]))
    kept, sets = [kept[i] for i in order], [sets[i] for i in order]
    if task == "rhythm4":
        labels = tuple(RHYTHM4)
        y = np.array([labels.index(next(iter(s))) for s in sets], dtype=np.int64)
    else:
        labels = tuple(sorted(present))
        y = np.array([[label in s for label in labels] for s in sets], dtype=np.uint8)
        y = y.reshape(len(sets), len(labels))
    dropped = total(by_fold, next(iter(by_fold.values()), {}))
    return Dataset(
        name="PTB-XL",
        version=_VERSIONS.get(len(rows), f"unknown ({len(rows)} records)"),
        task=task,
        fs=float(fs),
        ids=np.array([int(row["ecg_id"]) for row in kept], dtype=np.int64),
        paths=tuple(root / row[_FILE[int(fs)]] for row in kept),
        y=y,
        labels=labels,
        patient=np.array([int(float(row["patient_id"])) for row in kept], dtype=np.int64),
        fold=np.array([int(row["strat_fold"]) for row in kept], dtype=np.int64),
        dropped=dropped,
        mapping={label: mapping.get(label, (label,)) for label in labels},
        dropped_by_fold=by_fold,
    )


def _table(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        raise FormatError(
            f"{path} does not exist; root must be the folder of PTB-XL that holds {path.name}"
        ) from None
    missing = [name for name in columns if not rows or name not in rows[0]]
    if missing:
        raise FormatError(f"{path}: no column {', '.join(missing)}; is it PTB-XL's own table?")
    return rows


def _codes(row: dict[str, str]) -> set[str]:
    """Statement codes of a record; the cell is a Python literal, read without running it."""
    try:
        return set(ast.literal_eval(row["scp_codes"]))
    except (ValueError, SyntaxError, TypeError) as error:
        raise FormatError(
            f"ptbxl_database.csv: scp_codes of ecg_id {row['ecg_id']} is not a mapping ({error})"
        ) from None


def _classes(
    root: Path, task: str
) -> tuple[Callable[[set[str]], set[str]], dict[str, tuple[str, ...]]]:
    """A function from codes to labels, and label -> codes."""
    if task == "rhythm4":
        source: dict[str, str | None] = {
            code: label for label, codes in RHYTHM4.items() for code in codes
        }
    elif task == "all":
        return (lambda codes: codes), {}
    else:
        table = _table(
            root / "scp_statements.csv", ("diagnostic", "form", "rhythm", "diagnostic_class")
        )
        code = next(iter(table[0]))  # the first column has no name
        kind = "diagnostic" if task.endswith("diagnostic") else task
        label = {"subdiagnostic": "diagnostic_subclass", "superdiagnostic": "diagnostic_class"}.get(
            task, code
        )
        source = {r[code]: r[label] or None for r in table if r[kind] and float(r[kind]) == 1.0}
    mapping: dict[str, tuple[str, ...]] = {}
    for name, label_ in source.items():
        if label_ is not None:
            mapping[label_] = (*mapping.get(label_, ()), name)
    return (lambda codes: {label for c in codes if (label := source.get(c)) is not None}), mapping
