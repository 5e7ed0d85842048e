"""ECGFounder's preprocessing: golden values of the authors' chain, SciPy as the witness."""

import numpy as np
import pytest
from scipy import signal

import ecgkit as ek
from ecgkit.errors import ContractError
from ecgkit.models import ecgfounder_contract
from ecgkit.models._steps import _design

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
GOLDEN = 5e-6  # the band-pass in polynomial form turns 1e-15 at its input into 2.5e-6, in SciPy too
TOL = 2e-6  # float32 after the filters, at the scale of the largest value


def authors_filters(x, fs=500):
    b, a = signal.iirnotch(50, 30, fs)
    x = signal.filtfilt(b, a, np.nan_to_num(x))
    b, a = signal.butter(4, [0.67, 40], "bandpass", fs=fs)
    x = signal.filtfilt(b, a, x)
    return x - np.stack([signal.medfilt(row, 201) for row in x])


def authors_chain(x):
    y = authors_filters(x)
    return (y - y.mean()) / (y.std() + 1e-8)


def test_golden_values():
    t = np.arange(5000) / 500
    x = np.sin(2 * np.pi * 1.2 * t) + 0.3 * np.sin(2 * np.pi * 50 * t)
    x += 0.5 * np.sin(2 * np.pi * 0.1 * t) + 0.1 * np.cos(2 * np.pi * 13 * t)
    y = x[None, None]
    for step in ecgfounder_contract().filters:
        y = step(y, 500.0)
    y = y[0, 0]
    golden = {0: -0.1041466387784922, 1: -0.08166646703464252, 4999: -0.02272511179760279}
    for i, value in golden.items():
        assert abs(y[i] - value) < GOLDEN
    assert abs(y.mean(dtype=np.float64) - 0.0013489833787943873) < GOLDEN
    assert abs(y.std(dtype=np.float64) - 0.15605688252487437) < GOLDEN


def test_the_filters_are_the_published_coefficients():
    b, a = _design("notch", 500.0, 50.0, 30.0)
    np.testing.assert_allclose(b[:2], [0.9896361753628921, -1.6012649682336106], rtol=1e-12)
    assert a[2] == pytest.approx(0.9792723507257841, rel=1e-12)
    b, a = _design("band", 500.0, 0.67, 40.0, 4)
    np.testing.assert_allclose(b, 0.00210678134062039 * np.array([1, 0, -4, 0, 6, 0, -4, 0, 1]))
    np.testing.assert_allclose(a[[1, 8]], [-6.69982772563499, 0.27056222781627265], rtol=1e-10)


@pytest.mark.parametrize("threads", [1, 2])
def test_equals_the_chain_of_the_authors(isa, threads):
    x = np.random.default_rng(0).normal(size=(3, 12, 5000)).cumsum(axis=-1).astype(np.float32) / 50
    with_threads = ek.get_threads()
    ek.set_threads(threads)
    try:
        got, notes = ecgfounder_contract().prepare(x, 500)
    finally:
        ek.set_threads(with_threads)
    assert got.dtype == np.float32
    assert notes == ((), (), ())
    for mine, one in zip(got, x):
        want = authors_chain(one.astype(np.float64))
        assert abs(mine - want).max() < TOL * abs(want).max()


def test_one_lead_and_the_script_without_filters():
    rec = ek.synth.ecg()
    got, _ = ecgfounder_contract(("I",)).prepare(rec)
    want = authors_chain(rec.signal[:1, :5000].astype(np.float64))
    assert got.shape == (1, 1, 5000)
    assert abs(got[0] - want).max() < TOL * abs(want).max()
    got, _ = ecgfounder_contract(preprocess="zscore").prepare(rec)
    x = rec.signal[:, :5000].astype(np.float64)
    assert abs(got[0] - (x - x.mean()) / (x.std() + 1e-8)).max() < TOL * 20


def test_nan_becomes_zero_infinity_is_refused_and_flat_stays_finite():
    contract = ecgfounder_contract()
    x = np.random.default_rng(1).normal(size=(12, 5000)).astype(np.float32)
    hole = x.copy()
    hole[3, 100:200] = np.nan
    filled = np.nan_to_num(hole)
    assert np.array_equal(contract.prepare(hole, 500)[0], contract.prepare(filled, 500)[0])
    hole[0, 0] = np.inf
    with pytest.raises(ContractError, match="NaN or infinite"):
        contract.prepare(hole, 500)
    assert (contract.prepare(np.zeros((12, 5000)), 500)[0] == 0).all()


def test_leads_go_by_name():
    """MIMIC-IV-ECG stores aVF before aVL."""
    rec = ek.synth.ecg()
    order = [*LEADS[:4], "aVF", "aVL", *LEADS[6:]]
    contract = ecgfounder_contract()
    got, notes = contract.prepare(rec.pick(order))
    assert np.array_equal(got, contract.prepare(rec)[0])
    assert "reordered" in notes[0][0]


def test_is_data():
    contract = ecgfounder_contract()
    assert type(contract).from_json(contract.to_json()) == contract
    with pytest.raises(ValueError, match="preprocess must be"):
        ecgfounder_contract(preprocess="none")
