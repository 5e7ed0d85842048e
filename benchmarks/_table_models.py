"""The table of models in the documentation, from the results of ``models.py``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

INTRO = """# Models, measured

Written by `python benchmarks/run.py --render` from the results of `python benchmarks/models.py`.
Random weights in the authors' layout. **Error**: of the network's answer against PyTorch in
float64, in the 2-norm over the size of the answer, ours beside that of PyTorch in float32.
**Time**: one recording through the network, as the contract prepares it. **Ratio**: how many
times faster than the fastest of PyTorch traced, ONNX Runtime and OpenVINO (float32) that agrees
with float64; each runtime's own time is in [benchmarks](../benchmarks.md). **File to result**:
recordings per second of `ek.score`, from WFDB files to the Parquet table, preprocessing in it. 1T
and 2T: one thread, two threads.
"""

HEADER = (
    "| model | choices | parameters | contract | error, ours / PyTorch | 1T | 2T | ratio 1T | "
    "ratio 2T | file to result 1T | 2T |\n|---|---|--:|---|---|--:|--:|---|---|--:|--:|"
)


def table(suite: Mapping[str, Any]) -> str:
    """The page: where it ran, then one line per network."""
    networks: dict[str, dict[tuple[str, int], Mapping[str, Any]]] = {}
    for row in suite["results"]:
        kind = "score" if row["name"].startswith("ek.score ") else "forward"
        title = row["name"].removeprefix("ek.score ")
        networks.setdefault(title, {})[kind, row["threads"]] = row
    m = suite["machine"]
    packages = ("torch", "onnxruntime", "openvino")
    versions = ", ".join(f"{k} {m['packages'][k]}" for k in packages if k in m["packages"])
    where = (
        f"{m['cpu']}, ISA in use {m['simd']}; {versions}. Commit {suite['commit']}, "
        f"{suite['date']}."
    )
    lines = [_line(rows) for rows in networks.values()]
    return "\n".join([INTRO, where, "", HEADER, *lines]) + "\n"


def _line(rows: Mapping[tuple[str, int], Mapping[str, Any]]) -> str:
    facts = next(iter(rows.values()))["model"]
    choices = ", ".join(f"{k}={v}" for k, v in facts["variant"].items())
    cells = [
        f"[{facts['model']}]({facts['model']}.md)",
        choices or "the default",
        f"{facts['parameters']:,}",
        facts["contract"],
        f"{facts['error']:.1e} / {facts['error_torch']:.1e}",
    ]
    for threads in (1, 2):
        row = rows.get(("forward", threads))
        cells.append("" if row is None else f"{row['cases']['ours']['median'] * 1e3:.3g} ms")
    cells += [_ratio(rows.get(("forward", threads))) for threads in (1, 2)]
    for threads in (1, 2):
        row = rows.get(("score", threads))
        rate = 0 if row is None else row["work"]["count"] / row["cases"]["ours"]["median"]
        cells.append(f"{rate:,.3g}/s" if rate else "")
    return f"| {' | '.join(cells)} |"


def _ratio(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return ""
    if not row["ratios"]:
        return "no peer runs it"
    peer, ratio = next(iter(row["ratios"].items()))
    return f"**{ratio['median']:.2f}x** {peer}"
