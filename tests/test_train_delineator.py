"""The training recipe of the delineator: layout, folding, one step."""

import delineate_oracle as oracle
import numpy as np
import pytest

import ecgkit as ek
from ecgkit import _core

torch = pytest.importorskip("torch")
from ecgkit.train import delineator  # noqa: E402


def patient(seed):
    rec = ek.synth.ecg(seed=seed, noise=0.01)
    d = ek.signal.delineate(rec)
    marks = []
    for lead in rec.leads:
        rows = [(w, *p) for w, wave in enumerate(("P", "QRS", "T")) for p in d.points(wave, lead)]
        rows = [r for r in rows if r[1] >= 0]
        marks.append(np.array(sorted(rows, key=lambda r: r[2]), float))
    return delineator.Patient(delineator._halved(rec.signal), rec.signal, d.rpeaks / 2, marks)


def test_folded_weights_score_as_the_network_does():
    torch.manual_seed(0)
    net = delineator.build()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    net.eval()
    weights = delineator.flatten(net, np.zeros(9))
    rng = np.random.default_rng(0)
    z, beats = rng.normal(size=(3, 800)), np.array([100.0, 310.0, 520.0, 700.0])
    want = net(
        torch.from_numpy(z.astype(np.float32))[:, None],
        torch.from_numpy(delineator._phases(beats, 400))[None],
        torch.zeros(3, dtype=torch.long),
        1,
    )
    got = oracle.scores(z, beats, oracle.unpack(weights))
    assert np.allclose(got, want.detach().numpy().transpose(0, 2, 1), atol=1e-4)


def test_an_example_is_shares_of_four_classes():
    rng = np.random.default_rng(1)
    p = patient(0)
    for _ in range(20):
        z, phase, share, weight = delineator.example(p, rng)
        assert z.shape[1] == 2 * share.shape[2] == 2 * len(phase)
        assert np.allclose(share.sum(1), 1, atol=1e-5)
        assert set(np.unique(weight)) <= {0, 1}
        assert np.isfinite(z).all()


def test_training_runs_and_its_weights_are_taken(capsys):
    patients = [patient(k) for k in range(2)]
    net = delineator.fit(patients, [0, 1], seed=0, epochs=10)
    weights = delineator.flatten(net, np.zeros(9))
    late = delineator.errors(weights, patients, [0])
    assert len(late) == 9
    beats = np.array([500, 900], np.int64)
    start = np.array([0, 2], np.int64)
    found = _core.delineate(patients[0].fast[None], 500.0, beats, start, weights)
    assert found.shape == (2, 13, 9)
