"""benchmarks/signal.py has a standard module's name: neither hides the other."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import ecgkit as ek

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def run(*command):
    return subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        cwd=BENCHMARKS,
        env={**os.environ, "PYTHONPATH": str(Path(ek.__file__).parents[1])},
        timeout=120,
        check=False,
    )


def test_beside_the_script_the_standard_module_is_found():
    """`python file` puts the file's folder first on the path, as `python -c` puts this one."""
    done = run("-c", "import subprocess, signal; print(signal.SIGINT.name, signal.__name__)")
    assert done.stdout.split() == ["SIGINT", "signal"], done.stderr


def test_the_script_starts():
    pytest.importorskip("threadpoolctl")
    done = run("signal.py", "--help")
    assert done.returncode == 0, done.stderr
    assert "every row" in done.stdout
