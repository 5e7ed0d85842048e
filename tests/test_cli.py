"""Each verb does its job, speaks JSON when asked, and fails with one clear line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("click")
pytest.importorskip("rich")

ROOT = Path(__file__).resolve().parents[1]


def start(*args, **options):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "COLUMNS": "120"}
    return subprocess.Popen(
        [sys.executable, "-m", "ecgkit", *map(str, args)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, **options,
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
    for verb in ("demo", "info", "convert", "score", "evaluate", "report", "models"):
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
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
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


@pytest.mark.parametrize("text", ["network", "=3"])
def test_a_choice_without_name_or_value_is_wrong_usage(text):
    _, err = run("score", ".", "--set", text, code=2)
    assert "NAME=VALUE" in err


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
