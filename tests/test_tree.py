"""What the source tree promises: layers, sizes, stubs like the bindings, nothing of one machine."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import ecgkit as ek

ROOT = Path(__file__).resolve().parents[1]
C_FILES = sorted(ROOT.glob("csrc/*/*.[ch]"))
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)
DOMAINS = {path.name for path in (ROOT / "csrc").iterdir() if path.is_dir()}
HOME = {
    "py": re.compile(r"^(Python\.h|numpy/|ekpy\.h)"),
    "fft": re.compile(r"fftw3\.h$"),
    "linalg": re.compile(r"(cblas|lapack|openblas)", re.IGNORECASE),
}


def tracked() -> list[str]:
    run = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        pytest.skip("not a git checkout")
    return run.stdout.splitlines()


@pytest.mark.parametrize("domain", HOME)
def test_a_foreign_header_is_included_in_one_domain_alone(domain):
    strangers = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in C_FILES
        for name in INCLUDE.findall(path.read_text())
        if HOME[domain].search(name) and path.parent.name != domain
    ]
    assert strangers == []


def test_the_core_stands_on_nothing_and_no_kernel_on_a_binding():
    for path in C_FILES:
        own = {n[3:-2] for n in INCLUDE.findall(path.read_text()) if re.match(r"ek_\w+\.h$", n)}
        if path.parent.name == "core":
            assert own <= {"core"}, f"{path.name} includes {own}"
        if path.parent.name in ("linalg", "fft"):
            assert own <= {"core", path.parent.name}, f"{path.name} includes {own}"


def test_files_stay_short_enough_to_read():
    long = [
        f"{path.relative_to(ROOT)}: {n} lines"
        for path in [*C_FILES, *ROOT.glob("tests/c/*.[ch]")]
        if (n := path.read_text().count("\n")) > 600
    ]
    assert long == []


def test_no_flag_changes_the_floating_point_of_the_whole_process():
    text = re.sub(r"#.*", "", (ROOT / "CMakeLists.txt").read_text())
    assert not re.search(r"-ffast-math|-Ofast|-funsafe-math|-march=native", text)


def test_the_top_level_is_the_agreed_one():
    folders = {name.split("/")[0] for name in tracked() if "/" in name}
    allowed = {"csrc", "ecgkit", "tests", "notebooks", "benchmarks", "docs", ".ci"}
    assert folders <= allowed


def test_nothing_names_one_machine():
    wrong = []
    for name in tracked():
        path = ROOT / name
        if not path.is_file() or path == Path(__file__).resolve():
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        wrong += [f"{name}: {m}" for m in re.findall(r"/(?:root|work|home/\w+)/[\w./-]+", text)]
    assert wrong == []


def test_the_version_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["version"] == ek.__version__


# ------------------------------------------------------------------- stubs
SIG = re.compile(r"ekpy_sig\s+\w+\s*=\s*\{\s*\"(\w+)\",\s*\{([^}]*)\},\s*(\d+)", re.DOTALL)
METHOD = re.compile(r"EKPY_METHOD\(\s*\"(\w+)\",\s*(\w+)\s*\)")


def c_signatures() -> dict[str, tuple[list[str], int]]:
    """Name in the module -> argument names and how many are required, as the C sources say."""
    out = {}
    for path in sorted((ROOT / "csrc" / "py").glob("bind_*.c")):
        text = path.read_text()
        functions = {}
        for start in re.finditer(r"^static PyObject \*(\w+)\(", text, re.MULTILINE):
            found = SIG.search(text, start.end())
            if found:
                names = re.findall(r'"(\w+)"', found[2])
                functions[start[1]] = (names, int(found[3]))
        for public, function in METHOD.findall(text):
            assert function in functions, f"{path.name}: {function} has no ekpy_sig"
            out[public] = functions[function]
    return out


def stub_signatures() -> dict[str, tuple[list[str], int]]:
    tree = ast.parse((ROOT / "ecgkit" / "_core.pyi").read_text())
    out = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            names = [a.arg for a in node.args.posonlyargs + node.args.args]
            out[node.name] = (names, len(names) - len(node.args.defaults))
    return out


def test_the_stub_has_the_arguments_of_the_bindings():
    assert stub_signatures() == c_signatures()


def test_the_stub_lists_what_the_module_has():
    from ecgkit import _core

    public = {n for n in dir(_core) if not n.startswith("_") and callable(getattr(_core, n))}
    tree = ast.parse((ROOT / "ecgkit" / "_core.pyi").read_text())
    stub = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    assert {n for n in stub if not n.startswith("_")} == public
