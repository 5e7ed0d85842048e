"""Intervals of PTB-XL's fold 9 beside the statements of its cardiologists.

python benchmarks/_intervals_ptbxl.py    PTB-XL at 100 Hz under ECGKIT_CACHE; writes
docs/intervals_ptbxl.md. Nothing was trained or chosen on these recordings.
"""

import ast
import csv
import os
from pathlib import Path

import numpy as np

import ecgkit as ek

ROOT = Path(os.environ.get("ECGKIT_CACHE", Path.home() / ".cache" / "ecgkit")) / "ptbxl"
PAGE = Path(__file__).resolve().parent.parent / "docs" / "intervals_ptbxl.md"
ROWS = (
    ("SBRAD", "sinus bradycardia", "rate"),
    ("SR", "sinus rhythm", "rate"),
    ("STACH", "sinus tachycardia", "rate"),
    ("NORM", "normal", "pr"),
    ("1AVB", "first-degree AV block", "pr"),
    ("NORM", "normal", "qrs"),
    ("CLBBB", "complete left bundle branch block", "qrs"),
    ("CRBBB", "complete right bundle branch block", "qrs"),
    ("NORM", "normal", "qtc_fridericia"),
    ("LNGQT", "long QT", "qtc_fridericia"),
    ("NORM", "normal", "p_present"),
    ("AFIB", "atrial fibrillation", "p_present"),
)
INTRO = """# Intervals on recordings from elsewhere

`python benchmarks/_intervals_ptbxl.py`. PTB-XL fold 9 at 100 Hz, {n:,} recordings: what
`ek.signal.delineate(rec).summary()` says, by the cardiologists' statement. Nothing was trained or
chosen on PTB-XL, and it has no reference intervals: this is a check of plausibility, not of
accuracy. Rate in 1/min, PR, QRS and QTc (Fridericia) in ms; `p_present` is the share of beats with
a P wave. Percentiles over recordings.

| statement | figure | recordings | 5 % | 25 % | median | 75 % | 95 % |
|---|---|--:|--:|--:|--:|--:|--:|
"""


def main():
    with open(ROOT / "ptbxl_database.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["strat_fold"] == "9"]
    rows = [row for row in rows if (ROOT / f"{row['filename_lr']}.hea").exists()]
    codes = [ast.literal_eval(row["scp_codes"]) for row in rows]
    found = [ek.signal.delineate(ek.read(ROOT / row["filename_lr"])).summary() for row in rows]
    text = INTRO.format(n=len(rows))
    for code, words, figure in ROWS:
        values = np.array([f[figure] for f, c in zip(found, codes) if code in c])
        values = values[~np.isnan(values)]
        digits = 2 if figure == "p_present" else 0
        cells = " | ".join(f"{v:.{digits}f}" for v in np.percentile(values, [5, 25, 50, 75, 95]))
        text += f"| {code}, {words} | {figure} | {len(values)} | {cells} |\n"
    PAGE.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
