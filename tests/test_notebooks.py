"""The notebooks are kept without outputs, and run from an empty folder without a network."""

import resource
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
if not NOTEBOOKS:
    pytest.skip(f"no notebooks in {FOLDER}", allow_module_level=True)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_is_valid_and_without_outputs(path):
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert code
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert path.stat().st_size < 50_000


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No proxy leads out: what asks for the network fails."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    return tmp_path


@pytest.mark.slow
def test_the_first_steps_take_less_than_a_minute_and_show_pictures(offline):
    client = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    book = nbformat.read(FOLDER / "first_steps.ipynb", as_version=4)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    client.NotebookClient(
        book, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(offline)}}
    ).execute()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert spent < 60, "CPU seconds: says the same on a busy machine"
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    shown = [output.data for cell in code for output in cell.outputs if "data" in output]
    html = "".join(data.get("text/html", "") for data in shown)
    for kind in ("ecg-paper", "ecg-scalogram"):
        assert kind in html
    assert sum("image/png" in data for data in shown) == 2, "each figure once"
    assert not any(output.output_type == "stream" for cell in code for output in cell.outputs)
