"""What a built wheel must be: ``python tests/wheel_facts.py dist/*.whl`` says what is not so."""

import sys
import zipfile
from email.parser import Parser
from pathlib import Path

MAX_MB = 24  # 10 MB of code and libraries, at most 12 MB of weights


def main(path: Path) -> list[str]:
    wrong = []
    if "-cp311-abi3-" not in path.name:
        wrong.append(f"{path.name}: not cp311-abi3")
    size = path.stat().st_size / 1e6
    if size > MAX_MB:
        wrong.append(f"{size:.1f} MB, allowed {MAX_MB}")
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        info = next(n.split("/")[0] for n in names if n.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(wheel.read(f"{info}/METADATA").decode())
    wanted = [
        "ecgkit/_core.abi3.so",
        "ecgkit/_core.pyi",
        "ecgkit/py.typed",
        "ecgkit/_libs/libfftw3.so.3",
        "ecgkit/_libs/libfftw3f.so.3",
        "ecgkit/_libs/libscipy_openblas.so",
        f"{info}/licenses/LICENSE",
        f"{info}/licenses/docs/licences/GPL-2.0.txt",
        f"{info}/licenses/docs/licences/FFTW.txt",
        f"{info}/licenses/docs/licences/OpenBLAS.txt",
    ]
    wrong += [f"{name} is missing" for name in wanted if name not in names]
    top = {n.split("/")[0] for n in names} - {"ecgkit", info}
    wrong += [f"{name} does not belong in the wheel" for name in sorted(top)]
    wrong += [
        f"{n} does not belong in the wheel" for n in names if n.endswith((".c", ".h", ".pyc"))
    ]
    if metadata["License-Expression"] != "BSD-3-Clause AND GPL-2.0-or-later":
        wrong.append(f"licence in the metadata: {metadata['License-Expression']}")
    print(f"{path.name}: {size:.1f} MB, {len(names)} files, {metadata['License-Expression']}")
    return wrong


if __name__ == "__main__":
    problems = [p for path in sys.argv[1:] for p in main(Path(path))]
    print("\n".join(problems), end="\n" if problems else "")
    sys.exit(bool(problems))
