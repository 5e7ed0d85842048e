"""A model's input contract: applied to records, enforced on arrays; every refusal shows the fix."""

import pickle

import numpy as np
import pytest

import ecgkit as ek
from ecgkit.models import Contract, Step
from ecgkit.record import STANDARD_LEADS

PLAIN = Contract(fs=100, length=1000)
FULL = Contract(
    fs=100,
    length=1000,
    filters=(Step("median_baseline", sizes=(21, 61), edge="zero"),),
    normalisation=Step("zscore"),
    features=Step("stacked_scalogram", low=1.0, high=40.0, rows=64, width=64, scale="minmax"),
)


def signals(samples=1000, leads=12, seed=0):
    return np.random.default_rng(seed).normal(size=(leads, samples)).astype(np.float32)


def record(samples=1000, fs=100, leads=STANDARD_LEADS, seed=0):
    return ek.Record(signals(samples, len(leads), seed), fs=fs, leads=leads)


# ------------------------------------------------------------------- applied
def test_what_fits_goes_through_unchanged_and_without_a_note():
    x = signals()
    for given, fs in (
        (ek.Record(x, fs=100, leads=STANDARD_LEADS), None),
        (x, 100),
        (x[None], 100.0),
    ):
        got, notes = PLAIN.prepare(given, fs)
        assert got.dtype == np.float32
        assert got.flags.c_contiguous
        assert np.array_equal(got, x[None])
        assert notes == ((),)


def test_a_record_at_another_rate_is_resampled_and_the_note_says_so():
    rec = record(5000, 500)
    got, notes = PLAIN.prepare(rec)
    assert np.array_equal(got[0], ek.signal.resample(rec.signal, 500, 100)[:, :1000])
    assert notes == (("resampled from 500 to 100 Hz (fir)",),)


def test_a_long_record_is_resampled_where_it_is_needed_only():
    rec = record(60000, 500)
    got, notes = PLAIN.prepare(rec)
    whole = ek.signal.resample(rec.signal, 500, 100)[:, :1000]
    np.testing.assert_allclose(got[0], whole, atol=1e-6)
    assert notes[0][-1] == "first 10 s of 120 s used"


def test_leads_are_taken_by_name_and_the_note_says_so():
    order = [*reversed(STANDARD_LEADS), "X"]
    rec = record(leads=order)
    got, notes = PLAIN.prepare(rec)
    assert np.array_equal(got[0], rec.signal[:12][::-1])
    assert notes == ((f"leads reordered by name from {' '.join(order)}", "leads not used: X"),)


def test_records_of_different_rates_make_one_batch():
    got, notes = PLAIN.prepare([record(), record(5000, 500), record(1200)])
    assert got.shape == (3, 12, 1000)
    assert [len(n) for n in notes] == [0, 1, 1]


@pytest.mark.parametrize("dtype", [np.int16, np.float64, ">f4"])
def test_any_real_dtype_and_stride_is_read_and_never_modified(dtype):
    x = (100 * signals(2000)).astype(dtype)
    before = x.copy()
    x.flags.writeable = False
    got, _ = FULL_WITHOUT_FEATURES.prepare(x[:, ::2], 100)
    want, _ = FULL_WITHOUT_FEATURES.prepare(np.ascontiguousarray(x[:, ::2], np.float32), 100)
    assert np.array_equal(got, want)
    assert np.array_equal(x, before)


FULL_WITHOUT_FEATURES = Contract(fs=100, length=1000, normalisation=Step("zscore"))


def test_an_array_in_microvolt_becomes_millivolt():
    x = signals()
    got, _ = PLAIN.prepare(1000 * x, 100, unit="uV")
    np.testing.assert_allclose(got[0], x, rtol=1e-6)


def test_the_steps_see_the_contracts_unit():
    got, _ = Contract(fs=100, length=1000, unit="uV").prepare(record())
    np.testing.assert_allclose(got[0], 1000 * signals(), rtol=1e-6)


def test_nan_outside_the_part_that_is_used_does_not_matter():
    x = signals(3000)
    x[:, 2500:] = np.nan
    got, _ = PLAIN.prepare(ek.Record(x, fs=100, leads=STANDARD_LEADS))
    assert np.isfinite(got).all()


# ------------------------------------------------------------------- refused
def nan_record():
    x = signals()
    x[[1, 7], 250] = np.nan
    return ek.Record(x, fs=100, leads=STANDARD_LEADS)


REFUSALS = {
    "no rate": (lambda: (signals(), None), ek.RateError, "pass fs=100"),
    "another rate": (lambda: (signals(5000), 500), ek.RateError, r"ek.Record\(x, fs=500, leads="),
    "a rate that is none": (lambda: (signals(), -1), ek.RateError, "positive number"),
    "a contradicting rate": (lambda: (record(), 500), ek.RateError, "leave fs out for records"),
    "turned": (lambda: (signals().T, 100), ek.LayoutError, r"np.swapaxes\(x, -1, -2\)"),
    "too few rows": (lambda: (signals(leads=8), 100), ek.LayoutError, "ek.Record"),
    "one dimension": (lambda: (signals()[0], 100), ek.LayoutError, r"x\[None, :\]"),
    "four dimensions": (lambda: (signals()[None, None], 100), ek.LayoutError, "n, lead, time"),
    "complex": (lambda: (signals() * 1j, 100), ek.LayoutError, "real numbers"),
    "a path": (lambda: ("a/b.dat", None), ek.LayoutError, r"ek.read\('a/b.dat'\)"),
    "a generator": (lambda: ((r for r in [record()]), None), ek.LayoutError, "list of Records"),
    "ragged": (lambda: ([[1.0], [1.0, 2.0]], 100), ek.LayoutError, "list of Records"),
    "mixed": (lambda: ([record(), signals()], None), ek.LayoutError, "cannot be mixed"),
    "missing lead": (
        lambda: (record(leads=STANDARD_LEADS[:-1]), None),
        ek.LeadError,
        r"lacks V6 .*name the leads rightly in ek.Record",
    ),
    "NaN": (
        lambda: (nan_record(), None),
        ek.ContractError,
        r"leads II V2, first at sample 250.*rec.window",
    ),
    "infinite": (lambda: (signals() / 0.0, 100), ek.ContractError, "infinite"),
    "too short": (
        lambda: (record(720), None),
        ek.ContractError,
        r"7.2 s .*needs 10 s .*longer recording",
    ),
    "too short array": (lambda: (signals(999), 100), ek.ContractError, "padding is never"),
    "too short at another rate": (lambda: (record(4999, 500), None), ek.ContractError, "9.998 s"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_a_refusal_is_typed_and_shows_the_fix(name):
    given, error, fix = REFUSALS[name]
    x, fs = given()
    with pytest.raises(error, match=fix):
        PLAIN.prepare(x, fs)


def test_a_unit_that_cannot_be_millivolt_is_refused():
    with pytest.raises(ek.UnitError, match=r"'adu'.*divide by the gain"):
        PLAIN.prepare(signals(), 100, unit="adu")
    with pytest.raises(ek.UnitError, match="pass unit='mV'"):
        ek.Record(signals(), fs=100, leads=STANDARD_LEADS, unit="mmHg")


def test_the_recording_that_breaks_the_contract_is_named():
    with pytest.raises(ek.ContractError, match="recording 2: too short"):
        PLAIN.prepare([record(), record(), record(100)])
    x = np.stack([signals(), signals()])
    x[1, 0, 0] = np.nan
    with pytest.raises(ek.ContractError, match="recording 1: 1 samples are NaN"):
        PLAIN.prepare(x, 100)


def test_nothing_is_guessed_from_magnitude():
    """Counts a thousand times too large go through as the millivolts they claim to be."""
    got, notes = PLAIN.prepare(1e4 * signals(), 100)
    assert np.array_equal(got[0], (1e4 * signals()).astype(np.float32))
    assert notes == ((),)


# ------------------------------------------------------------------- as data
def test_json_gives_the_same_contract_back():
    assert Contract.from_json(FULL.to_json()) == FULL
    assert Contract.from_json(PLAIN.to_json()) == PLAIN
    assert pickle.loads(pickle.dumps(FULL)) == FULL


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "JSON"),
        ("[]", "contract"),
        ('{"fs": 100}', "length"),
        ('{"fs": 100, "length": 10, "colour": 1}', "colour"),
        ('{"fs": 100, "length": 10, "filters": [{"step": "magic"}]}', "magic"),
        ('{"fs": 100, "length": 0}', "at least one sample"),
        ('{"fs": 100, "length": 10, "nan": "drop"}', "refuse"),
    ],
)
def test_json_that_is_no_contract_is_refused(text, what):
    with pytest.raises(ek.ContractError, match=what):
        Contract.from_json(text)


def test_the_contract_shows_everything():
    for text in (repr(FULL), FULL._repr_html_()):
        for fact in ("100 Hz", "1000 samples", "V6", "mV", "median_baseline", "zscore", "refused"):
            assert fact in text
