"""Each verb does its job, speaks JSON when asked, and fails with one clear line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("click")
pytest.importorskip("rich")

ROOT = Path(__file__).resolve().parents[1]


def start(*args, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "ecgkit", *map(str, args)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "COLUMNS": "120"}, **options,
    )  # fmt: skip


def run(*args, code=0, **options):
    process = start(*args, **options)
    out, err = process.communicate(timeout=300)
    assert process.returncode == code, (out, err)
    return out, err


def as_json(*args):
    out, err = run(*args, "--json")
    assert err == ""
    assert out.count("\n") == 1
    return json.loads(out)


@pytest.fixture(scope="module")
def dicom():
    data = pytest.importorskip("pydicom.data")
    return data.get_testdata_file("waveform_ecg.dcm", download=False)


# -------------------------------------------------------------------- general
def test_help_names_every_verb():
    out, _ = run("--help")
    for verb in ("demo", "info", "convert", "score", "evaluate", "report", "models", "bench"):
        assert f"\n  {verb} " in out
    assert "not a medical device" in out


def test_version():
    import ecgkit

    assert ecgkit.__version__ in run("--version")[0]


@pytest.mark.parametrize("args", [[], ["nonsense"], ["info"], ["info", "a", "--nonsense"]])
def test_wrong_usage_is_two(args):
    out, err = run(*args, code=2)
    assert "Traceback" not in err + out
    assert "Usage" in err


@pytest.mark.parametrize("verb", ["info", "report", "demo"])
def test_a_file_that_is_not_there_is_one_line_and_one(verb):
    out, err = run(verb, "/nowhere/ecg.dcm", code=1)
    assert out == ""
    assert err.startswith("ecgkit: ")
    assert "/nowhere/ecg.dcm" in err
    assert err.count("\n") == 1


def test_a_file_that_is_no_ecg_is_one_line_that_names_it(tmp_path):
    bad = tmp_path / "bad.dcm"
    bad.write_bytes(b"\0" * 128 + b"DICM" + bytes(range(256)))
    _, err = run("info", bad, code=1)
    assert "bad.dcm" in err
    assert err.count("\n") == 1


def test_debug_shows_the_traceback():
    _, err = run("info", "/nowhere", "--debug", code=1)
    assert "Traceback" in err


def test_an_unknown_model_is_one_line(dicom):
    _, err = run("report", dicom, "--model", "nonsense", code=1)
    assert "nonsense" in err
    assert "scalogram_arrhythmia" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("package", ["click", "rich"])
def test_without_the_extra_one_line_names_it(package):
    code = (
        f"import sys; sys.modules[{package!r}] = None; import ecgkit.cli as c; sys.exit(c.main())"
    )
    env = dict(os.environ)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.returncode == 1
    assert "ecgkit-native[cli]" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_reader_that_stops_reading_is_no_traceback():
    process = start("models")
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    process.wait(60)


# ---------------------------------------------------------------------- verbs
def test_bench_times_a_model_on_one_thread_and_on_all():
    import ecgkit as ek

    answer = as_json("bench", "ptbxl_reference", "--set", "network=fcn_wang", "--seconds", "0")
    assert answer["isa"] in ek.simd.available()
    assert {row["threads"] for row in answer["rows"]} == {1, ek.get_threads()}
    for row in answer["rows"]:
        assert "fcn_wang" in row["model"]
        assert row["calls"] >= 5
        assert 0 < row["quartiles_ms"][0] <= row["median_ms"] <= row["quartiles_ms"][1]
    assert "middle half" in run("bench", "ptbxl_reference", "--seconds", "0")[0]
    run("bench", "--set", "network=fcn_wang", code=2)
    assert "nonsense" in run("bench", "nonsense", code=1)[1]


def test_models_lists_what_the_library_lists():
    import ecgkit as ek

    listed = as_json("models")["models"]
    assert [row["name"] for row in listed] == [row.name for row in ek.list_models()]
    assert "scalogram_arrhythmia" in run("models")[0]


def test_info_tells_header_and_beats(dicom):
    out, err = run("info", dicom)
    assert err == ""
    for text in ("Mortara", "1000 Hz", "RITMO SINUSALE", "heart rate"):
        assert text in out
    assert not any(line.endswith(" ") for line in out.splitlines())
    facts = as_json("info", dicom)
    assert facts["fs"] == 1000
    assert facts["samples"] == 10000
    assert len(facts["leads"]) == 12
    assert 50 < facts["heart_rate"] < 75
    assert len(facts["beats"]) == pytest.approx(10, abs=1)


def test_quiet_prints_nothing(dicom):
    assert run("info", dicom, "--quiet") == ("", "")


def test_a_header_cannot_move_the_cursor():
    from ecgkit.cli._show import clean

    assert clean("a\x1b[2Jb\rc\u202e") == "a\ufffd[2Jb\ufffdc\ufffd"


def test_json_has_no_nan():
    from ecgkit.cli._show import data

    value = {
        "a": np.float32(np.nan),
        "b": np.arange(2),
        "c": (np.int8(3), True, None),
        4: Path("x"),
    }
    assert data(value) == {"a": None, "b": [0, 1], "c": [3, True, None], "4": "x"}
    json.dumps(data(value), allow_nan=False)


def test_report_without_a_model_writes_its_page(dicom, tmp_path):
    facts = as_json("report", dicom, "--model", "none", "-o", tmp_path / "r.html")
    assert Path(facts["report"]) == tmp_path / "r.html"
    assert "Mortara" in (tmp_path / "r.html").read_text()
    _, err = run("report", dicom, "--model", "none", "-o", tmp_path / "no" / "r.html", code=1)
    assert err.count("\n") == 1


@pytest.fixture
def folder(tmp_path):
    """Nine readable recordings of 10 s and one file that only looks like one."""
    import ecgkit as ek

    rng = np.random.default_rng(0)
    where = tmp_path / "records"
    where.mkdir()
    for i in range(9):
        noise = rng.normal(size=(12, 1000)).astype(np.float32)
        ek.io.write(ek.Record(noise, 100, ek.record.STANDARD_LEADS), where / f"r{i}.hea")
    (where / "bad.edf").write_bytes(b"0       " + b"x" * 500)
    return where


RANDOM = ("--weights", "random", "--set", "network=cnn1d")


def test_score_tables_every_recording_and_reports_the_bad_one(folder, tmp_path):
    out = tmp_path / "s.parquet"
    facts = as_json("score", folder, *RANDOM, "-o", out)
    assert (facts["total"], facts["failed"], facts["scored"]) == (10, 1, 10)
    assert Path(facts["errors"][0]["record"]).name == "bad.edf"
    table = pytest.importorskip("pandas").read_parquet(out)
    assert len(table) == 10
    again, err = run("score", folder, *RANDOM, "-o", out)
    assert err == "", "no progress bar without a terminal"
    assert "bad.edf" in again
    assert "0 in" in again
    _, err = run("score", folder, *RANDOM, "-o", tmp_path / "t.parquet", "--strict", code=1)
    assert "bad.edf" in err
    assert err.count("\n") == 1


def test_a_terminal_gets_a_progress_bar(folder, tmp_path):
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    env = {**os.environ, "TERM": "xterm"}
    command = [
        sys.executable,
        "-m",
        "ecgkit",
        "score",
        folder,
        *RANDOM,
        "-o",
        tmp_path / "s.parquet",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=slave, env=env) as process:
        os.close(slave)
        seen = b""
        while True:
            try:
                piece = os.read(master, 65536)
            except OSError:
                break
            if not piece:
                break
            seen += piece
        assert b"records:" not in process.stdout.read()
    os.close(master)
    assert process.returncode == 0
    assert b"scoring" in seen
    assert b"10/10" in seen


def test_an_empty_folder_is_one_line(tmp_path):
    _, err = run("score", tmp_path, *RANDOM, code=1)
    assert str(tmp_path) in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("text", ["network", "=3"])
def test_a_choice_without_name_or_value_is_wrong_usage(text):
    _, err = run("score", ".", "--set", text, code=2)
    assert "NAME=VALUE" in err


def test_demo_does_the_main_job(tmp_path):
    facts = as_json("demo", *RANDOM, "-o", tmp_path / "report.html")
    assert set(facts["prediction"]["probabilities"]) == {"SB", "AFIB", "GSVT", "SR"}
    assert sum(facts["prediction"]["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert facts["prediction"]["notes"] == ["resampled from 1000 to 100 Hz (fir)"]
    page = Path(facts["report"]).read_text()
    for text in ("ecg-paper", "ecg-scalogram", "ecg-bars", "0.98", "not a medical device"):
        assert text in page
    out, _ = run("demo", *RANDOM, "-o", tmp_path / "report.html")
    for text in ("Signal quality", "heart rate", "sinus rhythm", str(tmp_path / "report.html")):
        assert text in out


def test_demo_with_the_bundled_model_agrees_with_the_device_that_recorded_it(tmp_path):
    facts = as_json("demo", "-o", tmp_path / "report.html")
    assert "RITMO SINUSALE" in facts["header"]["labels"]
    assert facts["prediction"]["top"] == "SR"
    assert facts["prediction"]["weights"].startswith("bundled")
    assert "PTB-XL" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("ending", ["hea", "edf", "csv"])
def test_convert_keeps_the_recording(dicom, tmp_path, ending):
    import ecgkit as ek

    target = tmp_path / f"x.{ending}"
    facts = as_json("convert", dicom, target)
    assert facts["samples"] == 10000
    options = {"fs": 1000, "unit": "mV"} if ending == "csv" else {}
    back, rec = ek.read(target, **options), ek.read(dicom)
    assert back.leads == rec.leads
    np.testing.assert_allclose(back.signal, rec.signal, atol=0.0013)


def test_convert_to_an_unknown_ending_is_one_line_and_writes_nothing(dicom, tmp_path):
    _, err = run("convert", dicom, tmp_path / "x.nonsense", code=1)
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------ real data
@pytest.mark.data
@pytest.mark.slow
def test_evaluate_prints_the_paper_beside_the_measured(ptbxl):
    facts = as_json("evaluate", ptbxl, *RANDOM, "--draws", 50)
    assert facts["measured"]["ecg"]["n"] == sum(facts["counts"].values())
    assert facts["folds"] == [10]
    assert {row["value"] for row in facts["paper"]} == {0.98, 0.95}
    assert set(facts["measured"]) == {"ecg", "window"}
    assert "accuracy" in facts["measured"]["ecg"]


@pytest.mark.data
def test_evaluate_needs_ptbxl(tmp_path):
    _, err = run("evaluate", tmp_path, *RANDOM, code=1)
    assert "ptbxl_database.csv" in err
    assert err.count("\n") == 1
    _, err = run("evaluate", tmp_path, *RANDOM, "--folds", "x", code=2)
    assert "1-8" in err


@pytest.mark.data
@pytest.mark.slow
def test_control_c_ends_with_one_line_and_no_half_table(ptbxl, tmp_path):
    out = tmp_path / "s.parquet"
    process = start("score", ptbxl / "records100", *RANDOM, "-o", out)
    for _ in range(600):
        if (tmp_path / "s.parquet.parts").exists():
            break
        time.sleep(0.1)
    time.sleep(1)
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - asked < 5
    assert process.returncode == 1
    assert err.strip() == "ecgkit: interrupted"
    assert not out.exists()
