"""WFDB records from disk (page cache) to millivolt: the C fast path beside the wfdb package."""

import os
import sys
from pathlib import Path

import numpy as np
from _harness import bench, main, peer

import ecgkit as ek

CACHE = Path(os.environ.get("ECGKIT_CACHE", Path.home() / ".cache" / "ecgkit"))


def read_all(paths):
    return np.stack([ek.read(path).signal for path in paths])


def read_all_wfdb(wfdb, paths):
    return np.stack([wfdb.rdrecord(path).p_signal.T for path in paths])


def run():
    ptbxl = sorted((CACHE / "ptbxl" / "records100").glob("*/*.hea"))
    mitbih = sorted((CACHE / "mitbih").rglob("*.hea"))
    if not (ptbxl and mitbih):
        print(f"read_wfdb: PTB-XL and MIT-BIH are not unpacked in {CACHE}", file=sys.stderr)
    for name, headers, count in (
        ("PTB-XL, 12 leads x 1,000, format 16", ptbxl, 40),
        ("MIT-BIH, 2 leads x 650,000, format 212", mitbih, 2),
    ):
        paths = [str(h.with_suffix("")) for h in headers[:: max(1, len(headers) // count)][:count]]
        if not paths:
            continue
        bench(
            f"read {len(paths)} WFDB records: {name}",
            {
                "ours": lambda paths=paths: read_all(paths),
                "wfdb": peer("wfdb", lambda wfdb, paths=paths: lambda: read_all_wfdb(wfdb, paths)),
            },
            check=1e-7,
            threads=(1,),
            work=(len(paths), "records"),
            bar=15,
            note="files in the page cache; ours also reads beat annotations where there are any",
        )


if __name__ == "__main__":
    main(run)
