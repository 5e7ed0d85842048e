"""Signal quality: speed, how often each flag is raised on real recordings, exchanged electrodes.

python benchmarks/quality.py    recordings: PTB-XL and LUDB, unpacked under ECGKIT_CACHE (default
~/.cache/ecgkit); writes docs/quality_rates.md
"""

import csv
import os
from collections import Counter
from pathlib import Path

import numpy as np
from _harness import bench, main

import ecgkit as ek
from ecgkit.signal._quality import THRESHOLDS

CACHE = Path(os.environ.get("ECGKIT_CACHE", Path.home() / ".cache" / "ecgkit"))
PAGE = Path(__file__).resolve().parent.parent / "docs" / "quality_rates.md"
RECORDED = {  # leads I and II as recorded with these electrodes exchanged
    "RA-LA": [[-1, 0], [-1, 1]],
    "RA-LL": [[1, -1], [0, -1]],
    "RA-LA-LL": [[-1, 1], [-1, 0]],
    "RA-LL-LA": [[0, -1], [1, -1]],
}


def ptbxl(fold):
    root = CACHE / "ptbxl"
    with open(root / "ptbxl_database.csv", newline="") as file:
        for row in csv.DictReader(file):
            if row["strat_fold"] == str(fold):
                yield ek.read(root / (row["filename_lr"] + ".hea"))


def ludb():
    for header in sorted((CACHE / "ludb").rglob("*.hea")):
        yield ek.read(header)


def rates(name, records):
    flagged, leads = Counter(), Counter()
    for rec in records:
        flags = rec.quality().flags
        flagged["any"] += bool(flags)
        for measure, where in flags.items():
            flagged[measure] += 1
            leads[measure] += len(where)
    n = len(records)
    lines = [f"## {name}: {n:,} records", "", "| measure | flagged above | records | leads |"]
    lines.append("|---|---|---|---|")
    for measure, threshold in THRESHOLDS.items():
        share = "" if measure == "reversal" else f"{leads[measure] / (12 * n):.2%}"
        lines.append(f"| {measure} | {threshold:g} | {flagged[measure] / n:.2%} | {share} |")
    lines.append(f"| any | | {flagged['any'] / n:.2%} | |")
    lines += ["", "Electrodes exchanged in the data: suspected afterwards.", "", "| kind | found |"]
    lines.append("|---|---|")
    for kind, recorded in RECORDED.items():
        found = 0
        for rec in records:
            x = rec.signal.copy()
            x[:2] = np.array(recorded, np.float32) @ x[:2]
            swapped = ek.Record(x, rec.fs, rec.leads).quality()
            found += swapped.reversal > THRESHOLDS["reversal"]
        lines.append(f"| {kind} | {found / n:.1%} |")
    return "\n".join([*lines, ""])


def speed():
    rec = ek.synth.ecg()
    bench(
        "quality, 12 leads of 10 s at 500 Hz",
        {"ours": rec.quality},
        check="no peer computes these numbers",
    )


def run():
    if not (CACHE / "ptbxl").is_dir() or not (CACHE / "ludb").is_dir():
        print(f"no recordings under {CACHE}: rates left out")
        return
    parts = [
        "# How often quality flags are raised\n\n`python benchmarks/quality.py`. What each measure"
        " means: `ecgkit.signal.quality`.\n",
        rates("PTB-XL fold 9, 100 Hz", list(ptbxl(9))),
        rates("LUDB, 500 Hz", list(ludb())),
    ]
    print("\n".join(parts))
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("\n".join(parts))


if __name__ == "__main__":
    main(run)
