"""Files that lie, break off or attack: a typed error that says where, never a crash or a hang."""

import base64
import binascii
import os
import struct
import time
import tracemalloc

import numpy as np
import pytest

import ecgkit as ek
from ecgkit import EcgkitError, FormatError, LayoutError, LeadError, RateError, Record, UnitError

TYPED = (EcgkitError, FileNotFoundError)


def wfdb_record(folder, header, data=b"\1\0\2\0\3\0\4\0", name="r"):
    (folder / f"{name}.hea").write_bytes(header if isinstance(header, bytes) else header.encode())
    (folder / f"{name}.dat").write_bytes(data)
    return folder / f"{name}.hea"


GOOD = "r 2 100 2\nr.dat 16 200(0)/mV 16 0 1 4 0 I\nr.dat 16 200(0)/mV 16 0 2 6 0 II\n"


def test_the_good_one_reads(tmp_path):
    assert ek.read(wfdb_record(tmp_path, GOOD), strict=True).raw.tolist() == [[1, 3], [2, 4]]


# Part of the good header, what replaces it, error, and what its message must name.
WRONG = [
    ("r 2 100 2", "", FormatError, "line 2: sampling frequency"),
    ("r 2 100 2", "r", FormatError, "line 1: number of signals must be an integer"),
    ("r 2 100 2", "r two 100 2", FormatError, "line 1: number of signals .* got 'two'"),
    ("r 2 100 2", "r -2 100 2", FormatError, "got '-2'"),
    ("r 2 100 2", "r 3 100 2", FormatError, "line 3: number of signals is more"),
    ("r 2 100 2", "r 1 100 2", FormatError, "line 3: number of signals is less"),
    ("r 2 100 2", "r 4096 100 2", FormatError, "number of signals is more"),
    ("r 2 100 2", "r 99999999999999999999 100 2", FormatError, "0 to 4096"),
    ("r 2 100 2", "r 0 100 2", FormatError, "number of signals is less"),
    ("r 2 100 2", "r 2 0 2", FormatError, "line 1: sampling frequency"),
    ("r 2 100 2", "r 2 -100 2", FormatError, "line 1: sampling frequency .* got '-100'"),
    ("r 2 100 2", "r 2 nan 2", FormatError, "sampling frequency"),
    ("r 2 100 2", "r 2 1e400 2", FormatError, "sampling frequency"),
    ("r 2 100 2", "r 2 1e7 2", FormatError, "at most 1e6 Hz"),
    ("r 2 100 2", "r 2 100 3", FormatError, "must hold 3 frames, it holds 2"),
    ("r 2 100 2", "r 2 100 1099511627776", FormatError, "must hold 1099511627776 frames"),
    ("r 2 100 2", "r 2 100 1099511627777", FormatError, "0 to 2\\^40"),
    ("r 2 100 2", "r 2 100 2.5", FormatError, "number of samples"),
    ("r 2 100 2", "../r 2 100 2", FormatError, "record name"),
    (
        "r.dat 16 200(0)/mV 16 0 1",
        "../r.dat 16 200(0)/mV 16 0 1",
        FormatError,
        "line 2: signal file",
    ),
    ("r.dat 16 200(0)/mV 16 0 1", "/etc/passwd 16 200 16 0 1", FormatError, "got '/etc/passwd'"),
    ("r.dat 16 200(0)/mV 16 0 1", ".. 16 200(0)/mV 16 0 1", FormatError, "signal file"),
    ("r.dat 16 200(0)/mV 16 0 1", "-r.dat 16 200(0)/mV 16 0 1", FormatError, "signal file"),
    (
        "r.dat 16 200(0)/mV 16 0 1",
        "x.dat 16 200(0)/mV 16 0 1",
        FormatError,
        "'x.dat', which is not",
    ),
    ("r.dat 16 200(0)/mV 16 0 1", "r.dat 17 200(0)/mV 16 0 1", FormatError, "differ in format"),
    ("r.dat 16 200(0)/mV 16 0 1", "r.dat 16+9 200(0)/mV 16 0 1", FormatError, "differ in format"),
    (
        "16 200(0)/mV 16 0 1",
        "16 x 16 0 1",
        FormatError,
        "line 2: gain must be a number, .* got 'x'",
    ),
    ("16 200(0)/mV 16 0 1", "16 1e-400 16 0 1", FormatError, "gain must be a number"),
    ("16 200(0)/mV 16 0 1", "16 1e-30 16 0 1", FormatError, "gain must be a number, 0 or between"),
    ("16 200(0)/mV 16 0 1", "16 inf 16 0 1", FormatError, "gain"),
    ("16 200(0)/mV 16 0 1", "16 200(9999999999)/mV 16 0 1", FormatError, "baseline"),
    ("16 200(0)/mV 16 0 1", "16 200(0/mV 16 0 1", FormatError, "baseline"),
    ("16 200(0)/mV 16 0 1", "16 200(0)/ 16 0 1", FormatError, "unit must be 1 to 64"),
    ("16 200(0)/mV 16 0 1", "16 200(0)/furlong 16 0 1", UnitError, "'furlong'.*leads="),
    ("16 200(0)/mV 16 0 1", "16 200(0)/mV 16 0 x", FormatError, "line 2: initial value"),
    ("0 I\n", "0 II\n", LeadError, "names II more than once"),
    ("II\n", "i\n", LeadError, "names I more than once"),
    ("r.dat 16 200(0)/mV 16 0 1", "r.dat 999 200(0)/mV 16 0 1", FormatError, "differ in format"),
    ("\n", "\n\0", FormatError, "zero byte"),
]


@pytest.mark.parametrize(("old", "new", "error", "message"), WRONG)
def test_wrong_headers_are_named(tmp_path, old, new, error, message):
    path = wfdb_record(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(error, match=message) as caught:
        ek.read(path)
    assert "r.hea" in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("header", ["", "#\n", "\n\n", " ", "# only comments\n#\n"])
def test_empty_headers(tmp_path, header):
    with pytest.raises(TYPED):
        ek.read(wfdb_record(tmp_path, header))


def test_huge_headers_are_refused_in_no_time(tmp_path):
    start = time.perf_counter()
    for text in (
        "r 2" + " " * (1 << 21),
        "r 4096 100 2\n" + "r.dat 16\n" * 90_000,
        "#" * 70_000 + "\n" + GOOD,
    ):
        with pytest.raises(FormatError, match=r"at most|less than|64 KiB"):
            ek.read(wfdb_record(tmp_path, text))
    assert time.perf_counter() - start < 5


def test_every_prefix_of_a_record(tmp_path):
    for cut in range(len(GOOD) - 3):
        try:
            rec = ek.read(wfdb_record(tmp_path, GOOD[:cut]))
        except TYPED:
            continue
        assert rec.signal.shape == (2, 2)  # what is cut off is a description
    for cut in range(8):
        with pytest.raises(FormatError, match="must hold 2 frames"):
            ek.read(wfdb_record(tmp_path, GOOD, b"\1\0\2\0\3\0\4\0"[:cut]))


def test_unknown_length_is_that_of_the_file(tmp_path):
    rec = ek.read(wfdb_record(tmp_path, GOOD.replace("r 2 100 2", "r 2 100")))
    assert rec.n_samples == 2
    with pytest.raises(FormatError, match="it holds 0"):
        ek.read(wfdb_record(tmp_path, GOOD.replace("r 2 100 2", "r 2 100"), b""))


def test_checksum_and_first_sample_are_verified(tmp_path):
    path = wfdb_record(
        tmp_path, GOOD.replace("1 4 0 I\n", "1 65540 0 I\n").replace("2 6 0", "3 7 0")
    )
    rec = ek.read(path)
    assert rec.meta["warnings"] == (
        "checksum of II is 6, the header says 7",
        "first sample of II is 2, the header says 3",
    )  # 65540 is 4 modulo 65,536
    with pytest.raises(FormatError, match="checksum of II"):
        ek.read(path, strict=True)


@pytest.mark.parametrize("bit", range(64))
def test_every_flipped_bit_of_the_samples_is_seen(tmp_path, bit):
    data = bytearray(b"\1\0\2\0\3\0\4\0")
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(FormatError, match="checksum"):
        ek.read(wfdb_record(tmp_path, GOOD, bytes(data)), strict=True)


def test_links_out_of_the_folder_are_refused(tmp_path):
    home, away = tmp_path / "home", tmp_path / "away"
    home.mkdir(), away.mkdir()
    path = wfdb_record(home, GOOD)
    (home / "r.dat").rename(away / "r.dat")
    (home / "r.dat").symlink_to(away / "r.dat")
    with pytest.raises(FormatError, match="leaves the folder"):
        ek.read(path)
    (home / "r.dat").unlink()
    (home / "inside.dat").write_bytes((away / "r.dat").read_bytes())
    (home / "r.dat").symlink_to("inside.dat")
    assert ek.read(path).n_samples == 2
    (home / "inside.dat").unlink()
    with pytest.raises(FormatError, match="broken link"):
        ek.read(path)


def test_pipes_and_devices_do_not_block(tmp_path):
    path = wfdb_record(tmp_path, GOOD)
    (tmp_path / "r.dat").unlink()
    os.mkfifo(tmp_path / "r.dat")
    with pytest.raises(FormatError, match="not a regular file"):
        ek.read(path)
    for strange in (tmp_path / "r.dat", "/dev/zero"):
        with pytest.raises(FormatError, match="not a regular file"):
            ek.read(strange)
    with pytest.raises(FormatError, match="is a folder"):
        ek.read(tmp_path)


SEGMENT = "s 2 100 2\nr.dat 16 200(0)/mV 16 0 1 4 0 I\nr.dat 16 200(0)/mV 16 0 2 6 0 II\n"
MASTERS = [
    ("m/1 2 100 2\nm 2\n", "has segments itself"),
    ("m/2 2 100 4\ns 2\ns 2\n", "names a segment more than once"),
    ("m/2 2 100 4\ns 2\nt 2\n", "'t.hea', which is not beside"),
    ("m/2 2 100 4\ns 2\n", "number of segments is more"),
    ("m/1000000 2 100 4\ns 2\n", "number of segments is more"),
    ("m/0 2 100 4\n", "1 to 1000000"),
    ("m/1 2 100 3\ns 2\n", "says 3 samples, its segments have 2"),
    ("m/1 2 100 3\ns 3\n", "must have 3 samples, its header says 2"),
    ("m/1 2 200 2\ns 2\n", "100 frames per second, not 200"),
    ("m/2 2 100 1000000002\ns 2\n~ 1000000000\n", "claims 1000000002 samples"),
    ("m/1 2 100 2\n../s 2\n", "line 2: segment must be the plain name"),
    ("m/1 2 100 2\n~ 2\n", "claims 2 samples"),
]


@pytest.mark.parametrize(("master", "message"), MASTERS)
def test_wrong_segments_are_named(tmp_path, master, message):
    wfdb_record(tmp_path, SEGMENT, name="s")
    wfdb_record(tmp_path, GOOD)
    (tmp_path / "m.hea").write_text(master)
    with pytest.raises(FormatError, match=message):
        ek.read(tmp_path / "m")


def test_broken_annotations_do_not_hide_the_signal(tmp_path):
    path = wfdb_record(tmp_path, GOOD)
    (tmp_path / "r.atr").write_bytes(b"\1\4\0")
    rec = ek.read(path)
    assert rec.labels is None
    assert "r.atr, byte 2" in rec.meta["warnings"][0]
    with pytest.raises(FormatError, match="annotations"):
        ek.read(path, strict=True)


# ------------------------------------------------------------------------ XML
BOMB = (
    '<?xml version="1.0"?><!DOCTYPE {root} [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {y} "{f"&{x};" * 10}">' for x, y in zip("abcdefgh", "bcdefghi"))
    + "]><{root}>&i;</{root}>"
)
OUTSIDE = (
    '<?xml version="1.0"?><!DOCTYPE {root} [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    "<{root}>&x;</{root}>"
)


@pytest.mark.parametrize("root", ["RestingECG", "AnnotatedECG", "restingecgdata"])
@pytest.mark.parametrize("text", [BOMB, OUTSIDE])
def test_entities_are_refused(tmp_path, root, text):
    path = tmp_path / "bomb.xml"
    path.write_text(text.replace("{root}", root))
    with pytest.raises(FormatError, match="EntitiesForbidden"):
        ek.read(path)


@pytest.mark.parametrize("root", ["RestingECG", "AnnotatedECG", "restingecgdata"])
@pytest.mark.parametrize("body", ["", "<a>" * 300_000, "<Waveform/>", "<a>" * 300 + "</a>" * 300])
def test_xml_of_the_right_root_and_nothing_else(tmp_path, root, body):
    path = tmp_path / "x.xml"
    end = "" if body.startswith("<a>" * 1000) else f"</{root}>"
    path.write_text(f"<{root}>{body}{end}")
    with pytest.raises(FormatError, match=r"x\.xml"):
        ek.read(path)


# -------------------------------------------------------------- NPY, CSV, others
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, RateError, "pass fs="),
        ({"fs": 500}, UnitError, "pass unit="),
        ({"fs": 500, "unit": "mV"}, LeadError, "pass leads="),
        ({"fs": 500, "unit": "furlong", "leads": ["I", "II"]}, UnitError, "unit must be"),
        ({"fs": 0, "unit": "mV", "leads": ["I", "II"]}, RateError, "positive"),
        ({"fs": 500, "unit": "mV", "leads": ["I", "i"]}, LeadError, "more than once"),
        ({"fs": 500, "unit": "mV", "leads": list("abcde")}, LayoutError, "save its transpose"),
    ],
)
def test_arrays_do_not_get_facts_by_guessing(tmp_path, options, error, message):
    np.save(tmp_path / "x.npy", np.ones((2, 5)))
    with pytest.raises(error, match=message):
        ek.read(tmp_path / "x.npy", **options)


NPY = {"fs": 500, "unit": "mV", "leads": ["I", "II"]}


def npy(shape, dtype="<f8", data=b"", fortran=False):
    text = (
        f"{{'descr': {dtype!r}, 'fortran_order': {fortran}, 'shape': {shape}, }}".ljust(117) + "\n"
    )
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text.encode() + data


@pytest.mark.parametrize(
    "data",
    [
        npy("(2, 5)", data=bytes(79)),
        npy("(2, 5)", data=bytes(81)),
        npy("(2, 99999999999999)"),
        npy("(99999999999, 99999999999)"),
        npy("(-2, -5)", data=bytes(80)),
        npy("(2, 0)"),
        npy("()", data=bytes(8)),
        npy("(2, 5, 1)", data=bytes(80)),
        npy("(2, 5)", "|O", bytes(80)),
        npy("(2, 5)", "<c16", bytes(160)),
        npy("(2, 5)", "<M8[s]", bytes(80)),
        npy("__import__('os').system('x')"),
        b"\x93NUMPY",
        b"\x93NUMPY\3\0" + bytes(200),
        b"\x93NUMPY\1\0\xff\xff{",
    ],
)
def test_npy_headers_that_lie(tmp_path, data):
    (tmp_path / "x.npy").write_bytes(data)
    with pytest.raises((FormatError, LayoutError), match=r"x\.npy"):
        ek.read(tmp_path / "x.npy", **NPY)


def test_npy_in_both_orders_and_any_width(tmp_path):
    x = np.arange(10, dtype=">i2").reshape(2, 5)
    for array in (x, np.asfortranarray(x), x.astype("f2")):
        np.save(tmp_path / "x.npy", array)
        assert np.array_equal(ek.read(tmp_path / "x.npy", **NPY).signal, x)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("I,II\n1,2\n3\n", FormatError),
        ("I,II\n1,2\n3,x\n", FormatError),
        ("I,II\n", FormatError),
        ("I,I\n1,2\n", LeadError),
        ("I;II\n1,5;2\n", FormatError),
        ("I,II;III\n1,2;3\n", FormatError),
        ("1,2\n3,4\n", LeadError),
        ("I,II\n1,inf\n", FormatError),
        ("I,II\nnan,nan\n", FormatError),
        ("time,sample\n0,1\n", LeadError),
        ("just some words\nand more\n", FormatError),
    ],
)
def test_tables_that_are_none(tmp_path, text, error):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(error, match=r"x\.csv"):
        ek.read(tmp_path / "x.csv", fs=500, unit="mV")


def test_csv_leaves_out_the_clock_and_takes_names_or_positions(tmp_path):
    (tmp_path / "x.csv").write_text("# made by hand\ntime (s);I;II\n0;1;2\n0.1;nan;4\n")
    rec = ek.read(tmp_path / "x.csv", fs=10, unit="uV")
    assert rec.leads == ("I", "II")
    assert np.allclose(rec["II"], [0.002, 0.004])
    assert np.isnan(rec["I"][1])
    assert ek.read(tmp_path / "x.csv", fs=10, unit="uV", leads=["II"]).leads == ("II",)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"PK\3\4" + bytes(100), "ZIP"),
        (b"\x1f\x8b\x08" + bytes(100), "gzip"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
        (b"%PDF-1.7", "PDF"),
        (b"\x80\x04\x95" + bytes(100), "unknown binary"),
        (os.urandom(100) + b"\0", "unknown binary"),
        (b"<html></html>", "root element 'html'"),
        (b"<" * 1000, "XML"),
        (bytes(128) + b"DICM", "DICOM"),
        (bytes(128) + b"DICM" + b"\xff" * 400, "DICOM"),
        (b"0       " + b" " * 248, "number of signals"),
        (b"\xffBIOSEMI" + b" " * 100, "number of signals"),
    ],
)
def test_other_content_is_named(tmp_path, data, message):
    (tmp_path / "x.dat").write_bytes(data)
    with pytest.raises(FormatError, match=message):
        ek.read(tmp_path / "x.dat")


def test_a_file_without_any_valid_sample_is_refused(tmp_path):
    path = wfdb_record(tmp_path, GOOD, b"\0\x80" * 4)
    with pytest.raises(FormatError, match="no valid sample: all 4 are NaN"):
        ek.read(path)


def test_rate_and_unit_are_refused_where_the_file_says_them(tmp_path):
    path = wfdb_record(tmp_path, GOOD)
    with pytest.raises(FormatError, match="leave out fs="):
        ek.read(path, fs=500)
    with pytest.raises(FormatError, match="leave out unit="):
        ek.read(path, unit="mV")


def test_read_many_reports_skips_or_raises(tmp_path):
    good = wfdb_record(tmp_path, GOOD)
    bad = tmp_path / "bad.dcm"
    bad.write_bytes(b"")
    paths = [good, bad, tmp_path / "none", good]
    assert [type(x).__name__ for x in ek.read_many(paths, on_error="report")] == [
        "Record", "Failure", "Failure", "Record",
    ]  # fmt: skip
    assert len(list(ek.read_many(paths, on_error="skip"))) == 2
    with pytest.raises(FormatError, match=r"bad\.dcm is empty"):
        list(ek.read_many(paths))
    with pytest.raises(ValueError, match="on_error"):
        ek.read_many(paths, on_error="ignore")
    with pytest.raises(TypeError, match="iterable"):
        ek.read_many("r.hea")
    assert next(ek.read_many(iter([good]))).n_samples == 2


# ------------------------------------------------------------ SCP-ECG, made here
def scp_section(number, body):
    body += b"\0" * (len(body) % 2)
    rest = struct.pack("<HIBB6x", number, 16 + len(body), 20, 20) + body
    return struct.pack("<H", binascii.crc_hqx(rest, 0xFFFF)) + rest


def scp_file(sections):
    """An SCP-ECG record of {number: body}, with all its pointers and CRCs."""
    count = max(12, max(sections) + 1)
    at, pointers, bodies = 7 + 16 + 10 * count, b"", b""
    for number in range(1, count):
        one = scp_section(number, sections[number]) if number in sections else b""
        pointers += struct.pack("<HII", number, len(one), at if one else 0)
        at, bodies = at + len(one), bodies + one
    size = 16 + 10 * count
    zero = scp_section(0, struct.pack("<HII", 0, size, 7) + pointers)
    rest = struct.pack("<I", 6 + len(zero) + len(bodies)) + zero + bodies
    return struct.pack("<H", binascii.crc_hqx(rest, 0xFFFF)) + rest


def scp_leads(*lines, flags=0):
    return bytes([len(lines), flags]) + b"".join(struct.pack("<IIB", *line) for line in lines)


def scp_rows(*rows, avm=1000, interval=2000, difference=0, bimodal=0):
    data = [np.asarray(row, "<i2").tobytes() for row in rows]
    head = struct.pack("<HHBB", avm, interval, difference, bimodal)
    return head + b"".join(struct.pack("<H", len(d)) for d in data) + b"".join(data)


def test_scp_differences_and_plain_samples(tmp_path):
    x = np.array([5, 7, 4, -2, 100])
    path = tmp_path / "x.scp"
    for difference in (0, 1, 2):
        d = np.concatenate([x[:difference], np.diff(x, difference)])
        body = scp_rows(d, difference=difference)
        path.write_bytes(scp_file({3: scp_leads((1, 5, 1)), 6: body}))
        rec = ek.read(path)
        assert rec.raw.tolist() == [x.tolist()]
        assert (rec.fs, rec.leads) == (500.0, ("I",))
        np.testing.assert_allclose(rec.signal[0], x * 1e-3, rtol=1e-6)


def test_scp_adds_the_reference_beat_back(tmp_path):
    beat, residual = np.array([10, 20, 30]), np.arange(10)
    places = struct.pack("<HHH", 6, 2, 3)  # 6 ms, fiducial at its second sample, three beats
    for kind, fiducial in ((0, 3), (0, 8), (1, 5)):
        places += struct.pack("<HIII", kind, fiducial - 1, fiducial, fiducial + 1)
    sections = {
        3: scp_leads((1, 10, 2), flags=1),
        4: places,
        5: scp_rows(beat, avm=2000),
        6: scp_rows(residual, avm=1000),
    }
    path = tmp_path / "x.scp"
    path.write_bytes(scp_file(sections))
    want = residual.astype(float)
    want[1:4] += 2 * beat
    want[6:9] += 2 * beat
    rec = ek.read(path)
    np.testing.assert_allclose(rec["II"], want * 1e-3, rtol=1e-6)
    oracle = pytest.importorskip("ecgdatakit.parsing.parsers.scp_ecg")
    lead = oracle.SCPECGParser().parse(path).leads[0]
    np.testing.assert_allclose(rec["II"], lead.samples * lead.resolution / 1000, rtol=1e-6)


SCP = {3: scp_leads((1, 5, 1), (1, 5, 2)), 6: scp_rows(range(5), range(5))}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({3: None}, FormatError, "no section 3"),
        ({6: None}, FormatError, "no section 6"),
        ({2: struct.pack("<H", 1)}, FormatError, "brings 1 Huffman tables"),
        ({3: scp_leads((1, 5, 1), (1, 5, 1))}, LeadError, "names I more than once"),
        ({3: scp_leads((1, 2**32 - 1, 1), (1, 5, 2))}, FormatError, "do not fit its 10 bytes"),
        ({3: scp_leads((5, 1, 1), (1, 5, 2))}, FormatError, "covers samples 5 to 1"),
        ({3: scp_leads((1, 5, 1), (2, 5, 2))}, FormatError, "different samples"),
        ({3: b"\xff\0"}, FormatError, "section 3 must list"),
        ({3: scp_leads((1, 5, 1), (1, 5, 2), flags=1)}, FormatError, "no section 4"),
        ({6: scp_rows(range(5), range(5), avm=0)}, FormatError, "neither may be 0"),
        ({6: scp_rows(range(5), range(5), interval=0)}, FormatError, "neither may be 0"),
        ({6: scp_rows(range(5), range(5), difference=3)}, FormatError, "difference encoding 3"),
        ({6: scp_rows(range(5), range(5), bimodal=1)}, FormatError, "bimodal"),
        ({6: b""}, FormatError, "too few"),
    ],
)
def test_scp_that_is_wrong_or_not_supported(tmp_path, change, error, message):
    sections = {k: v for k, v in (SCP | change).items() if v is not None}
    (tmp_path / "x.scp").write_bytes(scp_file(sections))
    with pytest.raises(error, match=message):
        ek.read(tmp_path / "x.scp")


# ------------------------------------------------------------------ every format
def small_files(folder):
    """One small valid file of each format: name -> bytes, with the options to read it."""
    x = np.cumsum(np.random.default_rng(0).normal(size=(2, 40)), axis=1)
    rec = Record(x, 20, ["I", "II"])
    for name in ("a.edf", "a.npy", "a.csv", "a.hea"):
        ek.io.write(rec, folder / name)
    row = base64.b64encode(np.arange(20, dtype="<i2").tobytes()).decode()
    lead = (
        "<LeadData><LeadSampleCountTotal>20</LeadSampleCountTotal><LeadID>{}</LeadID>"
        "<LeadAmplitudeUnitsPerBit>5</LeadAmplitudeUnitsPerBit>"
        "<LeadAmplitudeUnits>MICROVOLTS</LeadAmplitudeUnits>"
        f"<WaveFormData>{row}</WaveFormData></LeadData>"
    )
    (folder / "muse.xml").write_text(
        "<RestingECG><Waveform><WaveformType>Rhythm</WaveformType><SampleBase>500</SampleBase>"
        + lead.format("I") + lead.format("II") + "</Waveform></RestingECG>"
    )  # fmt: skip
    digits = '<value><scale value="5" unit="uV"/><digits>1 2 3 4 5</digits></value>'
    (folder / "aecg.xml").write_text(
        '<AnnotatedECG><series><code code="RHYTHM"/><component><sequenceSet>'
        '<sequence><code code="TIME_RELATIVE"/><value><increment value="2" unit="ms"/></value>'
        "</sequence>"
        + "".join(
            f'<sequence><code code="MDC_ECG_LEAD_{n}"/>{digits}</sequence>' for n in ("I", "II")
        )
        + "</sequenceSet></component></series></AnnotatedECG>"
    )
    (folder / "philips.xml").write_text(
        "<restingecgdata><documentversion>1.03</documentversion><signalcharacteristics>"
        "<samplingrate>500</samplingrate><signalresolution>5</signalresolution>"
        '</signalcharacteristics><parsedwaveforms dataencoding="Base64" durationperchannel="20" '
        f'leadlabels="I II" numberofleads="2">{row}</parsedwaveforms></restingecgdata>'
    )
    (folder / "a.scp").write_bytes(scp_file(SCP))
    return {
        "a.edf": {}, "a.hea": {}, "a.npy": NPY, "a.csv": {"fs": 20, "unit": "mV"}, "muse.xml": {},
        "aecg.xml": {}, "philips.xml": {}, "a.scp": {},
    }  # fmt: skip


BINARY = ["dicom/anonymous_ecg.dcm", "edf/test_subsecond.edf", "scp/Example.scp"]
XML = ["ge_muse_xml/example1.xml", "hl7_aecg/subject1_0.xml", "philips_xml/129DYPRG.XML"]
FILES = ["a.edf", "a.hea", "a.npy", "a.csv", "muse.xml", "aecg.xml", "philips.xml", "a.scp"]


@pytest.mark.parametrize("name", FILES)
def test_every_prefix_of_every_format(tmp_path, name):
    options = small_files(tmp_path)[name]
    whole = (tmp_path / name).read_bytes()
    want = ek.read(tmp_path / name, **options)
    step = 1 if len(whole) < 900 else 3
    for cut in [*range(0, len(whole) - 1, step), len(whole) - 1]:
        (tmp_path / name).write_bytes(whole[:cut])
        try:
            rec = ek.read(tmp_path / name, **options)
        except TYPED:
            continue
        assert name in ("a.csv", "a.hea")  # text may end early and still be a table or a header
        assert rec.leads == want.leads or name == "a.hea"


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_every_flipped_bit_of_every_format(tmp_path, name):
    options = small_files(tmp_path)[name]
    whole = bytearray((tmp_path / name).read_bytes())
    survived = 0
    for bit in range(8 * min(len(whole), 4096)):
        whole[bit // 8] ^= 1 << bit % 8
        (tmp_path / name).write_bytes(whole)
        whole[bit // 8] ^= 1 << bit % 8
        try:
            rec = ek.read(tmp_path / name, **options)
        except TYPED:
            continue
        survived += 1
        assert rec.signal.dtype == np.float32
        assert not np.isinf(rec.signal).any()
    if name == "a.scp":
        assert survived == 0  # the CRC covers every byte


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("name", [*BINARY, *XML])
def test_flipped_bits_of_real_files(ecg_data, tmp_path, name):
    whole = bytearray((ecg_data / "formats" / name).read_bytes())
    path = tmp_path / "x"
    for bit in range(0, 8 * 4096, 97):  # a stride that meets every bit of a byte
        whole[bit // 8] ^= 1 << bit % 8
        path.write_bytes(whole)
        whole[bit // 8] ^= 1 << bit % 8
        try:
            assert not np.isinf(ek.read(path).signal).any()
        except TYPED:
            continue


@pytest.mark.data
@pytest.mark.parametrize("name", BINARY)
def test_cut_real_files_are_refused(ecg_data, tmp_path, name):
    whole = (ecg_data / "formats" / name).read_bytes()
    path = tmp_path / "x"
    for cut in [*range(0, 700, 23), len(whole) // 3, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:cut])
        try:
            rec = ek.read(path)
        except TYPED:
            continue
        assert name.startswith("dicom")  # the rhythm is whole, the cut is behind it
        assert rec.n_samples == 10000


def test_lying_sizes_allocate_nothing(tmp_path):
    path = wfdb_record(tmp_path, GOOD.replace("r 2 100 2", "r 2 100 1000000000000"))
    master = tmp_path / "m.hea"
    master.write_text("m/2 2 100 1000000000000\nr 2\n~ 999999999998\n")
    (tmp_path / "x.npy").write_bytes(npy("(2, 9999999999)"))
    tracemalloc.start()
    for file, options in ((path, {}), (master, {}), (tmp_path / "x.npy", NPY)):
        with pytest.raises(EcgkitError):
            ek.read(file, **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000
