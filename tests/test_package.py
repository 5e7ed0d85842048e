"""The installed package: what it exports, what it loads, what it leaves alone in the process."""

import importlib.metadata
import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import ecgkit as ek
from ecgkit import _core

ROOT = Path(__file__).resolve().parents[1]
INSTALLED = "ECGKIT_TEST_INSTALLED" in os.environ


def python(code: str, **env: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(ek.__file__).parents[1]), **env},
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_the_tests_see_the_installed_package():
    if not INSTALLED:
        pytest.skip("on the sources in place; .ci/test runs this on the installed wheel")
    assert ROOT not in Path(ek.__file__).parents or ".venv" in Path(ek.__file__).parts


def test_only_the_init_function_is_exported():
    run = subprocess.run(
        ["nm", "-D", "--defined-only", _core.__file__], capture_output=True, text=True, check=True
    )
    names = [line.split()[-1] for line in run.stdout.splitlines()]
    assert [n for n in names if n not in ("_init", "_fini")] == ["PyInit__core"]


def test_the_module_is_abi3():
    assert Path(_core.__file__).name == "_core.abi3.so"


def test_libraries_come_from_the_package_and_no_other_fftw_is_loaded():
    if not INSTALLED:
        pytest.skip("on the sources in place; .ci/test runs this on the installed wheel")
    code = """
import json, ecgkit as ek, numpy as np
ek.wavelet.scalogram(np.zeros(500, np.float32), fs=100, freqs=[5, 10])
print(json.dumps(sorted({l.split()[-1] for l in open("/proc/self/maps") if "/" in l})))
"""
    mapped = json.loads(python(code))
    ours = {p.rsplit("/", 1)[1] for p in mapped if "/ecgkit/_libs/" in p}
    assert {"libfftw3.so.3", "libfftw3f.so.3", "libscipy_openblas.so"} <= ours
    assert [p for p in mapped if "fftw" in p and "/ecgkit/_libs/" not in p] == []


def test_metadata_says_the_licences_and_carries_their_texts():
    if not INSTALLED:
        pytest.skip("on the sources in place; .ci/test runs this on the installed wheel")
    metadata = importlib.metadata.metadata("ecgkit-native")
    assert metadata["License-Expression"] == "BSD-3-Clause AND GPL-2.0-or-later"
    files = {f.name for f in importlib.metadata.files("ecgkit-native") or ()}
    assert {"LICENSE", "GPL-2.0.txt", "FFTW.txt", "OpenBLAS.txt"} <= files
    assert "GNU GENERAL PUBLIC LICENSE" in (ROOT / "docs/licences/GPL-2.0.txt").read_text()


def test_import_says_nothing_and_loads_nothing_heavy():
    code = """
import os, sys, numpy
env = dict(os.environ)
import ecgkit
assert dict(os.environ) == env
heavy = {"scipy", "torch", "matplotlib", "pandas", "wfdb", "pydicom"}
print(sorted(heavy & set(sys.modules)))
"""
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(ek.__file__).parents[1])},
    )
    assert run.stdout.strip() == "[]"
    assert run.stderr == ""


def test_import_leaves_subnormals_and_numpys_blas_alone():
    code = """
import numpy as np, threadpoolctl
def state():
    blas = {i["filepath"]: i["num_threads"] for i in threadpoolctl.threadpool_info()}
    return float(np.float32(1e-40) * np.float32(0.5)), blas
before = state()
import ecgkit as ek
ek.signal.zscore(np.ones((4, 1000), np.float32))
subnormal, blas = state()
assert subnormal == before[0] != 0.0, subnormal
assert {k: blas[k] for k in before[1]} == before[1]
assert any("ecgkit" in k or "scipy_openblas32" in k for k in blas)
"""
    pytest.importorskip("threadpoolctl")
    python(code)


PUBLIC = sorted(m.name for m in pkgutil.iter_modules(ek.__path__) if not m.name.startswith("_"))


@pytest.mark.parametrize("name", PUBLIC)
def test_every_module_of_the_api_imports_without_optional_packages(name):
    optional = "torch pandas matplotlib wfdb edfio pydicom defusedxml click rich jinja2 pyarrow"
    code = f"""
import importlib, sys
sys.modules.update(dict.fromkeys("{optional} sklearn pywt dask".split()))
importlib.import_module("ecgkit.{name}")
"""
    python(code)
