"""Reference beats of the real recordings, read with wfdb."""

import numpy as np
import pytest

BEATS = set("NLRBAaJSVrFejnE/fQ?")


def mitbih_records(root):
    """(name, signal (lead, time), fs, beats, flutter stretches) of each record."""
    wfdb = pytest.importorskip("wfdb")
    for header in sorted(root.rglob("*.hea")):
        path = str(header.with_suffix(""))
        record, notes = wfdb.rdrecord(path), wfdb.rdann(path, "atr")
        marks = list(zip(notes.sample, notes.symbol))
        beats = np.array([s for s, c in marks if c in BEATS])
        starts = [s for s, c in marks if c == "["]
        ends = [s for s, c in marks if c == "]"]
        ends += [record.sig_len] * (len(starts) - len(ends))
        yield header.stem, record.p_signal.T, record.fs, beats, list(zip(starts, ends))


def ludb_records(root):
    """(name, signal (lead, time), fs, beats of lead II) of each record."""
    wfdb = pytest.importorskip("wfdb")
    for header in sorted(root.rglob("*.hea")):
        path = str(header.with_suffix(""))
        record, notes = wfdb.rdrecord(path), wfdb.rdann(path, "ii")
        beats = np.array([s for s, c in zip(notes.sample, notes.symbol) if c == "N"])
        yield header.stem, record.p_signal.T, record.fs, beats


def outside(beats, stretches, margin):
    """Beats further than margin samples from every stretch."""
    keep = np.ones(len(beats), bool)
    for first, last in stretches:
        keep &= (beats < first - margin) | (beats > last + margin)
    return beats[keep]


def between(beats, first, last):
    return beats[(beats >= first) & (beats <= last)]
