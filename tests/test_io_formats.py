"""Every sample file of every format: what it is, or why it is refused."""

import numpy as np
import pytest

import ecgkit as ek
from ecgkit import FormatError, LayoutError, RateError, UnitError

pytestmark = pytest.mark.data

TWELVE = "I II III aVR aVL aVF V1 V2 V3 V4 V5 V6"
STORED = "I II V1 V2 V3 V4 V5 V6 III aVR aVL aVF"
STORAGES = [8, 16, 61, 80, 160, 212, 310, 311, 24, 32]
BINARY = " ".join(f"sig {i}, fmt {f}" for i, f in enumerate(STORAGES))
FLAC = "sig 0, fmt 508 sig 1, fmt 516 sig 2, fmt 524"
FIFTEEN = f"{TWELVE} vx vy vz"
DIGITS = ("hea", *[f"d{i}" for i in range(10)])
SEGMENTS = "wfdb_odd/multi-segment/"

# File: (format, rate in Hz, samples, leads), or the error and a word of its message.
EXPECTED = {
    "dicom/anonymous_ecg.dcm": ("DICOM", 1000, 10000, TWELVE),
    "edf/test_edfann.edf": (LayoutError, "annotations alone"),
    "edf/test_subsecond.edf": ("EDF", 128, 89344, "Fp1"),
    "ge_muse_xml/example1.xml": ("MUSE", 500, 5000, TWELVE),
    "hl7_aecg/subject1_0.xml": ("aECG", 500, 5000, STORED),
    "philips_xml/129DYPRG.XML": ("Philips XML", 500, 5500, TWELVE),
    "scp/62.SCP": (FormatError, "the record should have"),
    "scp/Example.scp": ("SCP-ECG", 500, 5000, STORED),
    "wfdb_odd/03700181.dat": (RateError, "500 Hz: MCL1; 125 Hz: RESP"),
    "wfdb_odd/03700181.hea": (RateError, "500 Hz: MCL1; 125 Hz: RESP"),
    "wfdb_odd/03700181.gqrsh": (FormatError, "unknown binary"),
    "wfdb_odd/03700181.gqrsl": (FormatError, "unknown binary"),
    "wfdb_odd/03700181.sqrs": (FormatError, "unknown binary"),
    "wfdb_odd/1003.atr": (FormatError, "unknown binary"),
    "wfdb_odd/1003.hea": (FormatError, "1003.dat"),
    "wfdb_odd/100_3chan.dat": ("WFDB", 360, 999, "I II III"),
    "wfdb_odd/100_3chan.hea": ("WFDB", 360, 999, "I II III"),
    "wfdb_odd/a103l-no-len.hea": ("WFDB", 250, 82500, "II V"),
    "wfdb_odd/a103l.hea": ("WFDB", 250, 82500, "II V"),
    "wfdb_odd/a103l.mat": ("WFDB", 250, 82500, "II V"),
    **{f"wfdb_odd/binformats.{d}": ("WFDB", 200, 499, BINARY) for d in DIGITS},
    **{f"wfdb_odd/flacformats.{d}": ("WFDB", 200, 499, FLAC) for d in ("hea", "d0", "d1", "d2")},
    "wfdb_odd/mixedsignals.hea": ("WFDB", 4 * 62.4725, 57600, "II III V"),
    "wfdb_odd/mixedsignals_e.dat": (FormatError, "through its .hea"),
    "wfdb_odd/mixedsignals_p.dat": (FormatError, "through its .hea"),
    "wfdb_odd/mixedsignals_r.dat": (FormatError, "through its .hea"),
    **{f"wfdb_odd/s0010_re.{d}": ("WFDB", 1000, 38400, FIFTEEN) for d in ("dat", "hea", "xyz")},
    "wfdb_odd/test01_00s.dat": ("WFDB", 500, 4000, "ECG 1 ECG 2 ECG 3 ECG 4"),
    "wfdb_odd/test01_00s.hea": ("WFDB", 500, 4000, "ECG 1 ECG 2 ECG 3 ECG 4"),
    "wfdb_odd/test01_00s_frame.hea": (RateError, "1000 Hz: ECG_2"),
    "wfdb_odd/test01_00s_skew.hea": ("WFDB", 500, 4000, "ECG_1 ECG_2 ECG_3 ECG_4"),
    "wfdb_odd/test01_00s_skewframe.hea": (RateError, "1000 Hz: ECG_2"),
    f"{SEGMENTS}041s/041s.hea": (RateError, "leads=['III', 'I', 'V']"),
    **{f"{SEGMENTS}041s/041s0{i}": (RateError, "125 Hz") for i in ("1.hea", "2.hea")},
    **{f"{SEGMENTS}041s/041s0{i}": (RateError, "125 Hz") for i in ("1.dat", "2.dat")},
    f"{SEGMENTS}fixed1/v102s.hea": ("WFDB", 250, 225000, "II V"),
    f"{SEGMENTS}fixed1/v102s.dat": (FormatError, "through its .hea"),
    **{f"{SEGMENTS}fixed1/v102s_{i}.hea": ("WFDB", 250, 75000, "II V") for i in (1, 2, 3)},
    f"{SEGMENTS}p000878/3269321_0001.hea": (UnitError, "PLETH in NU"),
    f"{SEGMENTS}p000878/3269321_0001.dat": (UnitError, "PLETH in NU"),
    f"{SEGMENTS}p000878/3269321_0002.hea": ("WFDB", 125, 1750, "II"),
    f"{SEGMENTS}p000878/3269321_0002.dat": ("WFDB", 125, 1750, "II"),
    f"{SEGMENTS}p000878/3269321_layout.hea": (FormatError, "layout header"),
    f"{SEGMENTS}p000878/p000878-2137-10-26-16-57.hea": (FormatError, "3269321_0003"),
    f"{SEGMENTS}s25047/s25047-2704-05-04-10-44.hea": ("WFDB", 125, 543240, "II V"),
    f"{SEGMENTS}s25047/s25047-2704-05-04-10-44n.hea": (UnitError, "HR in bpm"),
    f"{SEGMENTS}s25047/3234460n.dat": (FormatError, "through its .hea"),
    f"{SEGMENTS}s25047/3234460_layout.hea": (FormatError, "layout header"),
}  # fmt: skip
LENGTHS = [
    28637,
    4,
    636,
    512,
    4,
    1532,
    4,
    636,
    4,
    508,
    4,
    16508,
    128,
    128,
    48644,
    322111,
    3525,
    93975,
]
for number, length in enumerate(LENGTHS, 1):
    for end in ("hea", "dat"):
        EXPECTED[f"{SEGMENTS}s25047/3234460_{number:04}.{end}"] = ("WFDB", 125, length, "II V")


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_reads_or_fails_as_written_down(ecg_data, name):
    wanted = EXPECTED[name]
    path = ecg_data / "formats" / name
    if isinstance(wanted[0], type):
        with pytest.raises(wanted[0]) as caught:
            ek.read(path)
        assert wanted[1] in str(caught.value)
        assert path.stem[:4] in str(caught.value)
        return
    kind, fs, samples, leads = wanted
    rec = ek.read(path)
    assert rec.meta["format"] == kind
    assert rec.fs == pytest.approx(fs)
    assert rec.n_samples == samples
    assert " ".join(rec.leads) == leads
    assert not rec.signal.flags.writeable
    assert "warnings" not in rec.meta
    if rec.raw is not None and "gain" in rec.meta and np.isfinite(rec.signal).all():
        gain, baseline = (
            np.array(rec.meta["gain"])[:, None],
            np.array(rec.meta["baseline"])[:, None],
        )
        factor = np.array([{"mV": 1, "uV": 1e-3, "nV": 1e-6}[u] for u in rec.meta["unit"]])[:, None]
        value = (rec.raw - baseline) / gain * factor
        np.testing.assert_allclose(rec.signal, value, rtol=1e-6, atol=1e-7)


def test_no_sample_file_is_forgotten(ecg_data):
    root = ecg_data / "formats"
    files = {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}
    assert files - {"LICENSE-SOURCE.txt"} == set(EXPECTED)


def test_text_that_is_no_ecg_is_refused(ecg_data):
    with pytest.raises((FormatError, RateError)):
        ek.read(ecg_data / "formats" / "LICENSE-SOURCE.txt")
    with pytest.raises(FormatError):
        ek.read(ecg_data / "formats" / "LICENSE-SOURCE.txt", fs=100, unit="mV")


ODD = "test01_00s_skew test01_00s_skewframe binformats flacformats mixedsignals 03700181 a103l"


@pytest.mark.parametrize("name", [*ODD.split(), "s0010_re", "100_3chan"])
def test_wfdb_oddities_are_those_of_wfdb(ecg_data, name):
    wfdb = pytest.importorskip("wfdb")
    path = ecg_data / "formats" / "wfdb_odd" / name
    want = wfdb.rdrecord(str(path), smooth_frames=False).e_p_signal
    names = wfdb.rdheader(str(path)).sig_name
    for i in range(len(names)):
        try:
            rec = ek.read(path, leads=[i])
        except UnitError:
            continue
        assert np.array_equal(rec.signal[0], want[i].astype(np.float32), equal_nan=True)


def test_variable_layout_has_nan_where_nothing_was_recorded(ecg_data):
    wfdb = pytest.importorskip("wfdb")
    path = ecg_data / "formats" / SEGMENTS / "s25047" / "s25047-2704-05-04-10-44"
    rec = ek.read(path)
    want = wfdb.rdrecord(str(path))
    columns = [want.sig_name.index(lead) for lead in rec.leads]
    assert np.array_equal(rec.signal, want.p_signal.T[columns].astype(np.float32), equal_nan=True)
    assert np.isnan(rec.signal[:, :25740]).all()
    assert rec.raw is None  # segments have gains of their own
    assert rec.meta["dropped"] == (("ABP", "mmHg"),)


def test_fixed_layout_keeps_the_integers(ecg_data):
    rec = ek.read(ecg_data / "formats" / SEGMENTS / "fixed1" / "v102s")
    one = ek.read(ecg_data / "formats" / SEGMENTS / "fixed1" / "v102s_2")
    assert np.array_equal(rec.raw[:, 75000:150000], one.raw)
    assert rec.meta["gain"] == (2281.0, 1856.0)


def test_one_rate_of_a_multi_rate_record(ecg_data):
    rec = ek.read(ecg_data / "formats" / SEGMENTS / "041s" / "041s", leads=["III", "I", "V"])
    assert (rec.fs, rec.n_samples, rec.leads) == (500, 8000, ("III", "I", "V"))


def test_scp_agrees_with_an_independent_reader(ecg_data):
    scp = pytest.importorskip("ecgdatakit.parsing.parsers.scp_ecg")
    path = ecg_data / "formats" / "scp" / "Example.scp"
    rec = ek.read(path)
    for row, lead in zip(rec.signal, scp.SCPECGParser().parse(path).leads, strict=True):
        np.testing.assert_allclose(row, lead.samples * lead.resolution / 1000, rtol=1e-6)


def test_philips_agrees_with_an_independent_reader(ecg_data):
    sierraecg = pytest.importorskip("sierraecg")
    path = ecg_data / "formats" / "philips_xml" / "129DYPRG.XML"
    for row, lead in zip(ek.read(path).raw, sierraecg.read_file(str(path)).leads, strict=True):
        assert np.array_equal(row, lead.samples)


def test_dicom_agrees_with_pydicom_and_offers_its_groups(ecg_data):
    pydicom = pytest.importorskip("pydicom")
    path = ecg_data / "formats" / "dicom" / "anonymous_ecg.dcm"
    ds = pydicom.dcmread(path)
    for group, name in enumerate(("RHYTHM", "MEDIAN BEAT")):
        rec = ek.read(path, record=name)
        assert np.allclose(rec.signal, ds.waveform_array(group).T / 1000, atol=1e-6)
        assert np.array_equal(rec.signal, ek.read(path, record=group).signal)
    with pytest.raises(FormatError, match=r"0 \(RHYTHM\), 1 \(MEDIAN BEAT\)"):
        ek.read(path, record="rhythm 2")


def test_edf_agrees_with_edfio(ecg_data):
    edfio = pytest.importorskip("edfio")
    path = ecg_data / "formats" / "edf" / "test_subsecond.edf"
    rec = ek.read(path)
    np.testing.assert_allclose(
        rec.signal[0], edfio.read_edf(path).signals[0].data / 1000, rtol=1e-6
    )
    assert rec.labels["events"][0] == (1.9511719, None, "XLSpike")
    assert rec.meta["start"].year == 2020


def test_muse_derives_four_leads_and_says_so(ecg_data):
    path = ecg_data / "formats" / "ge_muse_xml" / "example1.xml"
    rec = ek.read(path)
    assert rec.meta["derived"] == ("III", "aVR", "aVL", "aVF")
    np.testing.assert_allclose(rec["III"], rec["II"] - rec["I"], atol=1e-6)
    np.testing.assert_allclose(rec["aVR"] + rec["aVL"] + rec["aVF"], 0, atol=1e-5)
    stored = ek.read(path, leads=["V6", "I"], strict=True)  # strict: the CRC of each lead fits
    assert stored.raw.dtype == np.int16
    np.testing.assert_allclose(stored.signal, stored.raw * 4.88e-3, rtol=1e-6)
    assert ek.read(path, record="Median").n_samples == 600


def test_aecg_offers_the_representative_beat(ecg_data):
    path = ecg_data / "formats" / "hl7_aecg" / "subject1_0.xml"
    assert ek.read(path, record="REPRESENTATIVE_BEAT").n_samples == 599
    rec = ek.read(path)
    assert rec.meta["unit"] == ("uV",) * 12
    np.testing.assert_allclose(rec["III"], rec["II"] - rec["I"], atol=0.006)


def test_sample_names_its_source_and_licence():
    rec = ek.sample()
    assert rec.leads == tuple(TWELVE.split())
    assert "pydicom" in rec.meta["source"]
    assert "MIT" in rec.meta["license"]
    with pytest.raises(ValueError, match="dicom-12-lead"):
        ek.sample("other")
