"""Waves: accuracy on LUDB beside NeuroKit2's methods.

python benchmarks/delineate.py    docs/accuracy_delineation.md from LUDB, unpacked under
ECGKIT_CACHE (ten minutes, most of them NeuroKit2's). Speed is a row of signal.py.

Matching, the same for all: per lead and point, one to one within 150 ms, as many pairs as possible
(ek.signal.match_beats). A point found and not matched counts as wrong where it lies between the
lead's first and last annotated points: the outer beats of LUDB are not annotated.
"""

import os
import warnings
from pathlib import Path

import numpy as np
from _harness import bench, main, peer

import ecgkit as ek
from ecgkit import _core

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("ECGKIT_CACHE", Path.home() / ".cache" / "ecgkit"))
PAGE = HERE.parent / "docs" / "accuracy_delineation.md"
METHODS = ("dwt", "cwt", "peak", "prominence")
POINTS = [f"{wave} {point}" for wave in ("P", "QRS", "T") for point in ("onset", "peak", "offset")]
NEUROKIT = [
    *("ECG_P_Onsets", "ECG_P_Peaks", "ECG_P_Offsets", "ECG_R_Onsets", None, "ECG_R_Offsets"),
    *("ECG_T_Onsets", "ECG_T_Peaks", "ECG_T_Offsets"),
]
CSE = {"P onset": 10.2, "P offset": 12.7, "QRS onset": 6.5, "QRS offset": 11.6, "T offset": 30.6}
INTRO = """# Waves on annotated recordings

`python benchmarks/delineate.py`. LUDB: 200 patients, 12 leads, each lead annotated by
cardiologists. Per lead and point, one-to-one matching within 150 ms; points beyond the lead's first
and last annotation are not judged. Error: found minus annotated, mean ± standard deviation in ms
over all matched points of all leads.

*Cross-validated*: four networks, each trained on 150 patients and judged on the 50 others; what is
chosen beside the weights (mean offsets) comes from the other folds too. What P must score to be
present was set once, on all of the cross-validated results. *All data*: the network that ships,
trained on all 200 patients and judged on them: this flatters. *One lead*: the cross-validated
networks, given each lead alone (and the beats of all). NeuroKit2 {version} on its own cleaned lead
(`ecg_clean`), with the R peaks that ecgkit finds in all leads, which are those of LUDB; and with
those that it finds itself in that lead (`own R`). Where it raises, the lead counts as undelineated.
"""
PUBLISHED = """## Tolerances and published figures

| | P onset | P offset | QRS onset | QRS offset | T peak | T offset |
|---|---|---|---|---|---|---|
| CSE, 2 SD between referees (ms) | 10.2 | 12.7 | 6.5 | 11.6 | UNKNOWN | 30.6 |
| ecgkit, LUDB, cross-validated | {ours} |
| Martínez 2004, QTDB, best of two leads | 2.0 ± 14.8 | 1.9 ± 12.8 | 4.6 ± 7.7 | 0.8 ± 8.7 | \
0.2 ± 13.9 | -1.6 ± 18.1 |
| Di Marco and Chiari 2011, QTDB | -4.5 ± 13.4 | -2.5 ± 13.0 | -5.1 ± 7.2 | 0.9 ± 8.7 | \
-0.3 ± 12.8 | 1.3 ± 18.6 |
| U-Nets on LUDB, per point | UNKNOWN | UNKNOWN | UNKNOWN | UNKNOWN | UNKNOWN | UNKNOWN |

CSE: CSE Working Party 1985, as cited by Martínez et al., IEEE Trans Biomed Eng 51, 2004, 570. Its
limits are for two standard deviations between referees; one standard deviation of ours is inside
them at QRS offset and T offset, not at P onset, P offset and QRS onset, as with the two others. The
rows on QTDB score the better of two leads per beat against another database's referees: they stand
here for orientation, not comparison, as later papers quote them. F1 on LUDB, P / QRS / T:
Moskalenko et al. 2019 (U-Net) 97.8 / 99.9 / 99.5 (on- and offsets, its own split); ecgkit,
cross-validated, {f1}.
"""


class Score:
    """Matched errors, missed and wrong points, for each of the nine."""

    def __init__(self):
        self.error = [[] for _ in POINTS]
        self.missed, self.wrong = np.zeros(9, int), np.zeros(9, int)

    def add(self, marks, found):
        """marks: (wave, onset, peak, offset) rows, -1 unknown; found: nine lists, None: no such."""
        known = marks[:, 1:][marks[:, 1:] >= 0]
        if not known.size:
            return
        for k, points in enumerate(found):
            if points is None:
                continue
            wanted = np.sort(marks[marks[:, 0] == k // 3, 1 + k % 3])
            points = np.sort(points[points >= 0]).astype(np.int64)
            m = ek.signal.match_beats(wanted[wanted >= 0], points, fs=500)
            self.error[k].append(1e3 * m.error)
            self.missed[k] += len(m.missed)
            self.wrong[k] += ((m.extra >= known.min()) & (m.extra <= known.max())).sum()

    def figures(self, k):
        """Se, P+ in %, mean and deviation in ms; None where the method has no such point."""
        if not self.error[k]:
            return None
        e = np.concatenate(self.error[k])
        if not e.size:
            return None
        se, pp = e.size / (e.size + self.missed[k]), e.size / (e.size + self.wrong[k])
        return 100 * se, 100 * pp, np.round(e.mean(), 1) + 0.0, e.std()

    def row(self, name):
        cells = []
        for k in range(9):
            f = self.figures(k)
            cells.append("" if f is None else f"{f[0]:.2f} / {f[1]:.2f}<br>{f[2]:.1f} ± {f[3]:.1f}")
        return f"| {name} | " + " | ".join(cells) + " |"


def ludb(root):
    """(number, signal (lead, time), marks of each lead)."""
    import wfdb

    for header in sorted(root.rglob("*.hea"), key=lambda p: int(p.stem)):
        path = str(header.with_suffix(""))
        record = wfdb.rdrecord(path)
        marks = []
        for lead in record.sig_name:
            notes = wfdb.rdann(path, lead)
            signs = [" ", *notes.symbol, " "]
            at = [-1, *notes.sample, -1]
            marks.append(
                [
                    (
                        "pNt".index(c),
                        at[i - 1] if signs[i - 1] == "(" else -1,
                        at[i],
                        at[i + 1] if signs[i + 1] == ")" else -1,
                    )
                    for i, c in enumerate(signs)
                    if c in "pNt"
                ]
            )
        rows = [np.array(m, np.int64).reshape(-1, 4) for m in marks]
        yield int(header.stem), record.p_signal.T.astype(np.float32), rows


def neurokit(lead, beats, method):
    """NeuroKit2's nine lists for one lead, beats None: its own; empty where it raises."""
    import neurokit2

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            clean = neurokit2.ecg_clean(np.asarray(lead, np.float64), sampling_rate=500)
            own = beats is None
            if own:
                beats = neurokit2.ecg_peaks(clean, sampling_rate=500)[1]["ECG_R_Peaks"]
            beats = np.array(beats)
            waves = neurokit2.ecg_delineate(clean, beats.copy(), 500, method=method)[1]
        except Exception:
            return [np.empty(0)] * 9
    points = [np.asarray(waves.get(name, []), np.float64) if name else None for name in NEUROKIT]
    if method == "peak":
        points = [p if name in waves else None for p, name in zip(points, NEUROKIT)]
    points[4] = beats.astype(np.float64) if own else None
    return [None if p is None else np.nan_to_num(p, nan=-1) for p in points]


def folds():
    """(weights of each fold, fold of each patient)."""
    from safetensors.numpy import load_file

    held = load_file(HERE / "delineate_folds.safetensors")
    return [held[f"fold{k}"] for k in range(4)], held["fold"]


def ours(x, beats, weights, alone=False):
    """(beat, lead, nine points) with given weights; alone: every lead by itself."""
    groups = x[:, None] if alone else x[None]
    start = np.arange(len(groups) + 1, dtype=np.int64) * len(beats)
    found = _core.delineate(groups, 500.0, np.tile(beats, len(groups)), start, weights)
    if alone:
        return found[:, 0].reshape(len(x), len(beats), 9).transpose(1, 0, 2)
    return found[:, :-1]


def accuracy(root=CACHE / "ludb"):
    """The scores by name."""
    from ecgkit.signal._delineate import _weights

    held, fold = folds()
    names = ["ecgkit, cross-validated", "ecgkit, all data", "ecgkit, one lead, cross-validated"]
    rows = {method: f"NeuroKit2 {method}" for method in METHODS}
    scores = {name: Score() for name in names}
    scores |= {f"{row}{own}": Score() for row in rows.values() for own in ("", ", own R")}
    for number, x, marks in ludb(root):
        beats = ek.signal.rpeaks(x, fs=500)
        own = held[fold[number - 1]]
        runs = [ours(x, beats, own), ours(x, beats, _weights()), ours(x, beats, own, alone=True)]
        for lead, wanted in enumerate(marks):
            for name, run in zip(names, runs):
                scores[name].add(wanted, list(run[:, lead].T))
            for method, row in rows.items():
                scores[row].add(wanted, neurokit(x[lead], beats, method))
                scores[f"{row}, own R"].add(wanted, neurokit(x[lead], None, method))
    return scores


def best_of(scores, k):
    """NeuroKit2's best Se, P+, |mean|, deviation at point k, each over all its methods."""
    figures = [s.figures(k) for name, s in scores.items() if name.startswith("NeuroKit2")]
    figures = [f for f in figures if f is not None]
    return (
        max(f[0] for f in figures),
        max(f[1] for f in figures),
        min(abs(f[2]) for f in figures),
        min(f[3] for f in figures),
    )


def page(scores, version):
    head = "| | " + " | ".join(POINTS) + " |\n|---|" + "---|" * 9
    parts = [INTRO.format(version=version), "## All points\n"]
    parts.append("Sensitivity / positive predictivity in %, then mean ± deviation in ms.\n")
    parts += [head, *(score.row(name) for name, score in scores.items()), ""]
    parts.append("## Point by point against NeuroKit2's best\n")
    parts.append(
        "Each figure of NeuroKit2 is its best over methods and R peaks, though no one method has "
        "them all.\n"
    )
    parts.append(
        "| point | figure | ecgkit, cross-validated | ecgkit, all data | NeuroKit2's best |"
    )
    parts.append("|---|---|---|---|---|")
    lost = []
    for k, point in enumerate(POINTS):
        best = best_of(scores, k)
        mine = [scores[n].figures(k) for n in ("ecgkit, cross-validated", "ecgkit, all data")]
        for j, figure in enumerate(("Se %", "P+ %", "abs(mean) ms", "SD ms")):
            values = [abs(m[j]) for m in mine]
            digits = 2 if j < 2 else 1
            cells = " | ".join(f"{v:.{digits}f}" for v in (*values, best[j]))
            parts.append(f"| {point} | {figure} | {cells} |")
            if (values[0] < best[j]) if j < 2 else (values[0] > best[j]):
                lost.append(f"{point}, {figure}")
    verdict = "none" if not lost else "; ".join(lost)
    parts.append(
        f"\nFigures where NeuroKit2's best is better than cross-validated ecgkit: {verdict}.\n"
    )
    final = scores["ecgkit, cross-validated"]
    cells = " | ".join("{2:.1f} ± {3:.1f}".format(*final.figures(k)) for k in (0, 2, 3, 5, 7, 8))
    f1 = []
    for k in (0, 3, 6):
        ends = [final.figures(k + j) for j in (0, 2)]
        f1.append(min(2 * f[0] * f[1] / (f[0] + f[1]) for f in ends))
    parts.append(PUBLISHED.format(ours=cells, f1=" / ".join(f"{v:.1f}" for v in f1)))
    return "\n".join(parts)


def every_lead(x, method):
    """What NeuroKit2 needs for a record: clean, R peaks and delineation, lead by lead."""
    return [neurokit(row, None, method) for row in x]


def speed():
    x = ek.synth.ecg(noise=0.02).signal
    theirs = {
        f"NeuroKit2 {m}": peer("neurokit2", lambda _, m=m: lambda: every_lead(x, m))
        for m in METHODS
    }

    def apart(found, other):
        got = found.samples[:, :-1, 2, 1].astype(float)
        peaks = [np.asarray(points[7]) for points in other]
        near = [abs(p[p >= 0][:, None] - row[row >= 0]).min(1) for p, row in zip(peaks, got.T)]
        return float(np.median(np.concatenate(near)) * 2)

    bench(
        "delineate, 12 leads of 10 s at 500 Hz",
        {"ours": lambda: ek.signal.delineate(x, fs=500), **theirs},
        check=apart,
        bar=dict.fromkeys(theirs, 50),
        note="with R peaks; agreement: median distance of T peaks in ms. Bar beside it: 3 ms",
    )
    rr = 800 + 40 * np.random.default_rng(0).normal(size=1200)
    peaks = np.cumsum(np.round(rr / 2)).astype(np.int64)

    def neurokit_hrv(nk):
        def call():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return nk.hrv(peaks, 500)

        return call

    bench(
        "heart-rate variability of 1,200 beats",
        {
            "ours": lambda: ek.signal.hrv(peaks, fs=500),
            "NeuroKit2": peer("neurokit2", neurokit_hrv),
        },
        check=lambda a, b: abs(a["SampEn"] / float(b["HRV_SampEn"].iloc[0]) - 1),
        bar=10,
        note="NeuroKit2 computes more figures (multifractal, multiscale); agreement: SampEn",
    )


def write():
    import neurokit2

    PAGE.write_text(page(accuracy(), neurokit2.__version__))


if __name__ == "__main__":
    main(write)
