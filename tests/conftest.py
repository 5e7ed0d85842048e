"""What the tests share: instruction sets, real data, tolerances."""

import os
import signal
from pathlib import Path

import pytest

import ecgkit as ek

FORCED = os.environ.get("ECGKIT_SIMD")

# A background job of a shell ignores Ctrl-C; the tests of Ctrl-C need it heard.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=[FORCED] if FORCED else ek.simd.available())
def isa(request):
    """Run the test once on every instruction set of this machine (ECGKIT_SIMD leaves that one)."""
    before = ek.simd.use(request.param)
    yield request.param
    ek.simd.use(before)


def data_root() -> Path | None:
    """The folder of real recordings (``ECGKIT_DATA``, else ../shared/data beside the checkout)."""
    named = os.environ.get("ECGKIT_DATA")
    root = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    return root if root.is_dir() else None


@pytest.fixture(scope="session")
def ecg_data() -> Path:
    root = data_root()
    if root is None:
        pytest.skip("real recordings are absent: set ECGKIT_DATA")
    return root


def unpacked(name: str) -> Path:
    """Where an unpacked data set lies: ``$ECGKIT_CACHE/<name>`` (default ~/.cache/ecgkit)."""
    return Path(os.environ.get("ECGKIT_CACHE", Path.home() / ".cache" / "ecgkit")) / name


@pytest.fixture(scope="session")
def ptbxl(ecg_data) -> Path:
    """PTB-XL at 100 Hz in its official layout, folds 9 and 10, unpacked once."""
    root = unpacked("ptbxl")
    if not (root / "ptbxl_database.csv").exists():
        import subprocess
        import sys

        root.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [sys.executable, ecg_data / "unpack_ptbxl.py", root, "--folds", "9", "10"], check=True
        )
    return root


def _untar(archive: Path, name: str) -> Path:
    import tarfile

    root = unpacked(name)
    if not root.exists():
        part = root.with_name(name + ".part")
        with tarfile.open(archive) as tar:
            tar.extractall(part, filter="data")
        part.rename(root)
    return root


@pytest.fixture(scope="session")
def ludb(ecg_data) -> Path:
    return _untar(ecg_data / "ludb" / "ludb.tar.xz", "ludb")


@pytest.fixture(scope="session")
def mitbih(ecg_data) -> Path:
    return _untar(ecg_data / "mitbih" / "mitbih_ds1.tar.xz", "mitbih")
