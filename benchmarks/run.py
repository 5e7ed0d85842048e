"""Runs the benchmarks and renders docs/benchmarks.md and docs/models/table.md from their results.

python benchmarks/run.py                    all of them, then the page and README's table
python benchmarks/run.py signal end_to_end  some of them, then the page
python benchmarks/run.py --render           the page alone, from benchmarks/results/*.json
python benchmarks/run.py --quick            do they all run and agree? (no figures, no page)
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from _harness import RESULTS, render, seconds
from _table_models import table

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
MODELS = HERE.parent / "docs" / "models" / "table.md"
README = HERE.parent / "README.md"
MARKS = ("<!-- measured: python benchmarks/run.py --render -->", "<!-- end measured -->")
INTRO = """# Benchmarks

Every figure is printed by a file of `benchmarks/`, with the peers timed in the same process and in
turn; the agreement of the results was checked before the clock started (largest difference over
max(1, largest value)). ±% is the interquartile range over the median; a ratio is the median over
turns with its quartiles, above 1 where ecgkit is faster. One thread means: the process pinned to
one core, every library told one thread. "Other load" is the share of the machine that other
processes, and the hypervisor, took meanwhile. Run them again with `make bench`.
"""


PAGES = ("delineate", "quality", "rpeaks")
"""They write pages on accuracy from recordings; their speed is in signal.py."""


def names() -> list[str]:
    return sorted(
        p.stem
        for p in HERE.glob("*.py")
        if p.stem not in ("run", *PAGES) and not p.stem.startswith("_")
    )


def page() -> str:
    parts = [INTRO]
    for path in sorted(RESULTS.glob("*.json")):
        suite = json.loads(path.read_text())
        title = suite["about"].splitlines()[0].rstrip(".")
        parts.append(f"## {title}\n\n`python benchmarks/{suite['suite']}.py`. {render(suite)}")
    return "\n".join(parts)


def barred() -> str:
    """README's table: every row that has a bar, beside the fastest peer of that bar."""
    rows: dict[tuple[str, str], dict[int, str]] = {}
    machines = {}
    for path in sorted(RESULTS.glob("*.json")):
        suite = json.loads(path.read_text())
        for row in suite["results"]:
            ratios = {k: v["median"] for k, v in row["ratios"].items() if k in row["bars"]}
            if not ratios:
                continue
            machines[suite["machine"]["cpu"], suite["machine"]["simd"]] = None
            closest = min(ratios, key=ratios.__getitem__)
            ours = row["cases"][next(iter(row["cases"]))]["median"]
            text = f"{seconds(ours)}, **{ratios[closest]:.3g}x** {closest}"
            rows.setdefault((suite["suite"], row["name"]), {})[row["threads"]] = text
    lines = ["| what | one thread | two threads |", "|---|---|---|"]
    for (_, name), found in rows.items():
        lines.append(f"| {name} | {found.get(1, '')} | {found.get(2, '')} |")
    where = "; ".join(f"{cpu} ({simd})" for cpu, simd in machines)
    return "\n".join([*lines, "", f"Median time and how many times faster than the peer, {where}."])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help=f"of {', '.join(names())}")
    parser.add_argument("--render", action="store_true")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    unknown = sorted(set(args.names) - set(names()))
    if unknown:
        parser.error(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(names())}")
    failed = []
    for name in [] if args.render else args.names or names():
        print(f"\n# {name}", flush=True)
        if (
            subprocess.run(
                [sys.executable, HERE / f"{name}.py", *(["--quick"] if args.quick else [])]
            ).returncode
            != 0
        ):
            failed.append(name)
    if not args.quick:
        PAGE.write_text(page())
        models = RESULTS / "models.json"
        if models.exists():
            MODELS.write_text(table(json.loads(models.read_text())))
        before, _, rest = README.read_text().partition(MARKS[0])
        after = rest.partition(MARKS[1])[2]
        README.write_text(f"{before}{MARKS[0]}\n{barred()}\n{MARKS[1]}{after}")
        print(f"written: {PAGE}, {MODELS}, {README}")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
