"""Writing: what comes back is what was there, and no half-written file is ever seen."""

import os

import numpy as np
import pytest

import ecgkit as ek
from ecgkit import FormatError, LeadError, Record


def record(t=1000, *, scale=1.0, fs=500.0, leads=("I", "II", "V1"), **more):
    x = np.cumsum(np.random.default_rng(0).normal(size=(len(leads), t)), axis=1) * 0.01 * scale
    return Record(x, fs, leads, **more)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e3, 1e6])
def test_wfdb_keeps_samples_to_half_a_step(tmp_path, scale):
    rec = record(scale=scale)
    header = ek.io.write(rec, tmp_path / "r.hea")
    back = ek.read(header, strict=True)
    span = np.ptp(np.concatenate([rec.signal, np.zeros((3, 1))], axis=1), axis=1)
    error = np.abs(back.signal - rec.signal).max(axis=1)
    assert (error <= 0.5 * span / 65532 + 2**-23 * span).all()
    assert (back.leads, back.fs, back.meta["format"]) == (rec.leads, 500.0, "WFDB")


@pytest.mark.parametrize(
    "row",
    [np.zeros(9), np.full(9, 1.25), np.full(9, -3e-5), [0, 1e-7] * 3, [-1e5, 2e5, 0], [7.0]],
)
def test_wfdb_of_flat_tiny_and_huge_leads(tmp_path, row):
    x = np.float32(row)
    ek.io.write(Record(x[None], 250, ["II"]), tmp_path / "flat")
    back = ek.read(tmp_path / "flat", strict=True).signal[0]
    assert np.abs(back - x).max() <= 1e-5 * np.abs(x).max()


def test_wfdb_stores_nan_as_its_invalid_code(tmp_path):
    x = np.array(record().signal)
    x[0, 10:20] = np.nan
    x[2] = np.nan
    ek.io.write(Record(x, 500, ["I", "II", "V1"]), tmp_path / "r")
    back = ek.read(tmp_path / "r", strict=True)
    assert np.array_equal(np.isnan(back.signal), np.isnan(x))
    assert (back.raw[np.isnan(x)] == -32768).all()


@pytest.mark.data
def test_wfdb_and_edf_write_the_integers_back(tmp_path, ptbxl):
    source = next(iter(sorted((ptbxl / "records100").glob("*/*.hea"))))
    rec = ek.read(source)
    for name in ("copy.hea", "copy.edf"):
        back = ek.read(ek.io.write(rec, tmp_path / name), strict=True)
        assert np.array_equal(back.raw, rec.raw)
        assert back.leads == rec.leads
        np.testing.assert_array_equal(back.signal, rec.signal)
    assert (tmp_path / "copy.dat").read_bytes() == source.with_suffix(".dat").read_bytes()


def test_wfdb_is_what_the_wfdb_package_reads(tmp_path):
    wfdb = pytest.importorskip("wfdb")
    rec = record(leads=("I", "aVF", "lead number 3"), fs=257.5)
    ek.io.write(rec, tmp_path / "r")
    want = wfdb.rdrecord(str(tmp_path / "r"))
    assert (want.sig_name, want.fs, want.units) == (list(rec.leads), 257.5, ["mV"] * 3)
    assert np.allclose(want.p_signal.T, rec.signal, atol=1e-4)


def test_reordered_leads_do_not_take_the_gain_of_another(tmp_path):
    raw = np.array([[100, 200], [300, 400]], np.int16)
    meta = {"gain": (100.0, 1000.0), "baseline": (0, 0), "unit": ("mV", "mV")}
    rec = Record([[1.0, 2.0], [0.3, 0.4]], 100, ["I", "II"], meta=meta, raw=raw)
    ek.io.write(rec.reorder(["II", "I"]), tmp_path / "r")
    np.testing.assert_allclose(ek.read(tmp_path / "r")["I"], [1.0, 2.0], rtol=1e-4)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 100.0])
def test_edf_keeps_samples_to_a_step(tmp_path, scale):
    rec = record(scale=scale)
    back = ek.read(ek.io.write(rec, tmp_path / "r.edf"), strict=True)
    step = 1.01 * (max(rec.signal.max(), 0) - min(rec.signal.min(), 0)) / 65535 + 1e-6
    assert np.abs(back.signal - rec.signal).max() <= step
    assert (back.leads, back.fs) == (rec.leads, 500.0)


def test_edf_says_what_it_cannot_hold(tmp_path):
    nan = Record([[1.0, np.nan]], 100, ["I"])
    with pytest.raises(FormatError, match="missing samples and the record has 1"):
        ek.io.write(nan, tmp_path / "r.edf")
    with pytest.raises(FormatError, match="8 characters"):
        ek.io.write(record(t=997, fs=249.8901), tmp_path / "r.edf")
    with pytest.raises(LeadError, match="16 ASCII"):
        ek.io.write(record(leads=("a name of many letters", "I", "II")), tmp_path / "r.edf")
    with pytest.raises(FormatError, match="does not fit"):
        ek.io.write(record(scale=1e9), tmp_path / "r.edf")
    assert os.listdir(tmp_path) == []


def test_arrays_and_tables_come_back_exactly(tmp_path):
    rec = record()
    ek.io.write(rec, tmp_path / "r.npy")
    ek.io.write(rec, tmp_path / "r.csv")
    npy = ek.read(tmp_path / "r.npy", fs=500, unit="mV", leads=rec.leads)
    csv = ek.read(tmp_path / "r.csv", fs=500, unit="mV")
    assert np.array_equal(npy.signal, rec.signal)
    assert np.array_equal(csv.signal, rec.signal)
    assert csv.leads == rec.leads


def test_labels_and_start_survive(tmp_path, ecg_data):
    rec = ek.read(ecg_data / "formats" / "edf" / "test_subsecond.edf")
    back = ek.read(ek.io.write(rec, tmp_path / "r.edf"))
    assert back.labels == rec.labels
    assert back.meta["start"] == rec.meta["start"]
    back = ek.read(ek.io.write(rec, tmp_path / "r.hea"))
    assert back.meta["start"] == rec.meta["start"]


@pytest.mark.parametrize(
    ("path", "format", "error"),
    [("r.xyz", None, FormatError), ("r", "mat", FormatError), ("a b", "wfdb", FormatError)],
)
def test_what_cannot_be_written_is_refused(tmp_path, path, format, error):
    with pytest.raises(error, match="write"):
        ek.io.write(record(), tmp_path / path, format)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["r.hea", "r.edf", "r.npy", "r.csv"])
def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch, name):
    ek.io.write(record(), tmp_path / name)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        ek.io.write(record(scale=2.0), tmp_path / name)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
