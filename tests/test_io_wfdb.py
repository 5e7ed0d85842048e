"""WFDB: the C fast path against the wfdb package, and headers that are wrong."""

import numpy as np
import pytest

import ecgkit as ek
from ecgkit.io import _wfdb

wfdb = pytest.importorskip("wfdb")


def assert_same_as_wfdb(path):
    """Raw integers equal, physical values those of wfdb (float64) rounded to float32."""
    rec = ek.read(path)
    stored = wfdb.rdrecord(str(path), physical=False)
    want = wfdb.rdrecord(str(path)).p_signal.T.astype(np.float32)
    assert np.array_equal(rec.raw, stored.d_signal.T)
    assert np.array_equal(rec.signal, want, equal_nan=True)
    assert rec.fs == stored.fs
    assert [lead.upper() for lead in rec.leads] == [name.upper() for name in stored.sig_name]
    assert "warnings" not in rec.meta


@pytest.mark.data
def test_ptbxl_fold_sample_is_bit_equal(isa, ptbxl):
    headers = sorted((ptbxl / "records100").glob("*/*.hea"))
    for header in headers[:: len(headers) // 100]:
        assert_same_as_wfdb(header.with_suffix(""))


@pytest.mark.data
@pytest.mark.slow
def test_every_ptbxl_record_is_bit_equal(ptbxl):
    for header in sorted((ptbxl / "records100").glob("*/*.hea")):
        assert_same_as_wfdb(header.with_suffix(""))


@pytest.mark.data
def test_every_mit_bih_record_is_bit_equal(isa, mitbih):
    headers = sorted(mitbih.rglob("*.hea"))
    assert len(headers) == 22
    for header in headers:
        assert_same_as_wfdb(header.with_suffix(""))


def test_name_header_and_signal_file_are_one_record(tmp_path):
    write(tmp_path, "r", "r 1 100 4\nr.dat 16 200 16 0 1 10 0 II\n", np.arange(1, 5, dtype="<i2"))
    by = [ek.read(tmp_path / name) for name in ("r", "r.hea", "r.dat")]
    assert all(np.array_equal(rec.raw, [[1, 2, 3, 4]]) for rec in by)
    assert np.array_equal(ek.read(tmp_path, record="r").raw, by[0].raw)


def write(folder, name, header, samples):
    (folder / f"{name}.hea").write_text(header)
    (folder / f"{name}.dat").write_bytes(np.asarray(samples).tobytes())


def test_missing_baseline_is_the_adc_zero_and_gain_zero_is_200(tmp_path):
    lines = "r 2 360 2\nr.dat 16 200 11 1024 1024 0 0 MLII\nr.dat 16 0 11 0 0 0 0 V1\n"
    write(tmp_path, "r", lines, np.array([[1024, 0], [1224, 100]], "<i2"))
    rec = ek.read(tmp_path / "r")
    assert np.array_equal(rec.signal, np.float32([[0, 1], [0, 0.5]]))
    assert rec.meta["baseline"] == (1024, 0)
    assert any("V1" in w and "200" in w for w in rec.meta["warnings"])


@pytest.mark.parametrize("fmt", sorted(_wfdb.FAST))
@pytest.mark.parametrize("signals", [1, 2, 3])
@pytest.mark.parametrize("length", [1, 2, 7, 40, 77])
def test_formats_round_trip_with_the_wfdb_writer(isa, tmp_path, fmt, signals, length):
    bits = {80: 8, 16: 16, 24: 24, 32: 32, 212: 12}[fmt]
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    d = np.random.default_rng(fmt).integers(low, high, (length, signals), endpoint=True)
    d[-1, -1] = high
    if d.size > 1:
        d[0, 0] = low  # the code of an invalid sample
    leads = ["I", "II", "III"][:signals]
    facts = {"fmt": [str(fmt)], "adc_gain": [123.4], "baseline": [7]}
    facts = {key: value * signals for key, value in facts.items()}
    wfdb.wrsamp("r", 250, ["mV"] * signals, leads, d_signal=d, write_dir=str(tmp_path), **facts)
    rec = ek.read(tmp_path / "r")
    assert np.array_equal(rec.raw, d.T)
    assert np.isnan(rec.signal[0, 0]) == (d.size > 1)
    assert_same_as_wfdb(tmp_path / "r")


@pytest.mark.data
def test_annotations_are_those_of_wfdb(mitbih):
    for header in sorted(mitbih.rglob("*.hea"))[::5]:
        path = header.with_suffix("")
        got, want = ek.read(path).labels["annotations"], wfdb.rdann(str(path), "atr")
        assert np.array_equal(got.sample, want.sample)
        assert list(got.symbol) == want.symbol
        assert list(got.aux) == [text.rstrip("\0") for text in want.aux_note]
        for mine, theirs in (("subtype", "subtype"), ("channel", "chan"), ("number", "num")):
            assert np.array_equal(getattr(got, mine), getattr(want, theirs))
        assert got.fs == 360


@pytest.mark.data
def test_a_window_takes_its_annotations_and_start_along(mitbih):
    rec = ek.read(next(iter(sorted(mitbih.rglob("*.hea")))))
    part = rec.window(60, 30)
    got, every = part.labels["annotations"], rec.labels["annotations"]
    inside = (every.sample >= 21600) & (every.sample < 32400)
    assert np.array_equal(got.sample, every.sample[inside] - 21600)
    assert len(got.symbol) == len(got.aux) == inside.sum() > 20


def test_definitions_in_annotations_are_no_annotations(tmp_path):
    def word(code, value):
        return (code << 10 | value).to_bytes(2, "little")

    def note(text):
        return word(22, 0) + word(63, len(text)) + text.encode() + b"\0" * (len(text) % 2)

    notes = ["## time resolution: 500.5", "## annotation type definitions", "42 X own beat",
             "## end of definitions", "a remark"]  # fmt: skip
    skip = word(59, 0) + b"\1\0\2\0"  # 65,538 samples, the high half first
    data = b"".join(map(note, notes)) + word(42, 100) + word(61, 3) + skip + word(1, 5) + b"\0\0"
    (tmp_path / "r.atr").write_bytes(data)
    found = ek.io.read_annotations(tmp_path / "r.atr")
    assert found.fs == 500.5
    assert found.symbol == ('"', "X", "N")
    assert found.sample.tolist() == [0, 100, 100 + 65538 + 5]
    assert found.subtype.tolist() == [0, 3, 0]
    assert found.aux[0] == "a remark"
    for cut in range(len(data) - 2):
        (tmp_path / "r.atr").write_bytes(data[:cut])
        with pytest.raises(ek.FormatError, match="byte"):
            ek.io.read_annotations(tmp_path / "r.atr")


def test_gains_follow_their_leads(tmp_path):
    lines = "r 2 100 1\nr.dat 16 100 16 0 1 1 0 I\nr.dat 16 200 16 0 2 2 0 II\n"
    write(tmp_path, "r", lines, np.array([1, 2], "<i2"))
    rec = ek.read(tmp_path / "r")
    assert rec.pick(["II", "I"]).meta["gain"] == (200.0, 100.0)
    assert ek.read(tmp_path / "r", leads=["II"]).meta["gain"] == (200.0,)
