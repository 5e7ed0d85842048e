"""Single-label evaluation against scikit-learn, and its intervals against the plain bootstrap."""

import numpy as np
import pytest

import ecgkit as ek
from ecgkit.evaluate import single_label

LABELS = ("SB", "AFIB", "GSVT", "SR")


def answers(n=600, seed=0, right=0.8, share=(0.05, 0.1, 0.05, 0.8)):
    rng = np.random.default_rng(seed)
    y = rng.choice(4, n, p=share)
    return y, np.where(rng.random(n) < right, y, rng.integers(0, 4, n))


@pytest.mark.parametrize("seed", range(5))
def test_point_figures_agree_with_scikit_learn(seed):
    metrics = pytest.importorskip("sklearn.metrics")
    y, p = answers(seed=seed)
    got = single_label(y, p, LABELS, n=2)
    assert (got.confusion == metrics.confusion_matrix(y, p)).all()
    assert got.accuracy.value == pytest.approx(metrics.accuracy_score(y, p), abs=1e-15)
    assert got.balanced_accuracy.value == pytest.approx(
        metrics.balanced_accuracy_score(y, p), abs=1e-15
    )
    want = metrics.precision_recall_fscore_support(y, p)
    for i, label in enumerate(LABELS):
        one = got.per_class[label]
        assert [one[m].value for m in ("precision", "recall", "f1")] == pytest.approx(
            [w[i] for w in want[:3]]
        )
        assert got.support[label] == want[3][i]
    assert got.macro_f1.value == pytest.approx(metrics.f1_score(y, p, average="macro"))


def test_classes_that_never_occur_follow_scikit_learn_with_zero_division_0():
    metrics = pytest.importorskip("sklearn.metrics")
    y, p = np.array([3, 3, 3, 1]), np.array([3, 3, 0, 3])
    got = single_label(y, p, LABELS, n=2)
    for i, m in enumerate(("precision", "recall", "f1")):
        want = metrics.precision_recall_fscore_support(y, p, labels=range(4), zero_division=0)[i]
        assert [got.per_class[label][m].value for label in LABELS] == pytest.approx(want)
    assert got.balanced_accuracy.value == pytest.approx((2 / 3 + 0) / 2)


def test_interval_is_that_of_resampling_patients_one_by_one():
    rng = np.random.default_rng(3)
    y, p = answers(400, seed=3)
    patient = rng.integers(0, 150, 400)
    got = single_label(y, p, LABELS, groups=patient, n=4000)
    members = [np.flatnonzero(patient == g) for g in np.unique(patient)]
    draws = []
    for _ in range(4000):
        rows = np.concatenate([members[g] for g in rng.integers(0, len(members), len(members))])
        draws.append((y[rows] == p[rows]).mean())
    low, high = np.percentile(draws, [2.5, 97.5])
    assert (got.accuracy.low, got.accuracy.high) == pytest.approx((low, high), abs=0.004)
    assert got.groups == len(members)


def test_ten_windows_of_a_patient_widen_the_interval_as_one_decision_would():
    y, p = answers(200, seed=4)
    one = single_label(y, p, LABELS, groups=np.arange(200), n=500)
    ten = single_label(
        np.repeat(y, 10), np.repeat(p, 10), LABELS, groups=np.repeat(np.arange(200), 10), n=500
    )
    assert ten.n == 2000
    assert ten.macro_f1 == one.macro_f1


def test_same_seed_same_interval_and_scores_decide_by_their_largest():
    y, p = answers()
    scores = np.eye(4)[p] * 0.6 + 0.1
    a, b = single_label(y, p, LABELS, n=50), single_label(y, scores, LABELS, n=50)
    assert a.to_dict() == b.to_dict()
    assert a.to_dict() != single_label(y, p, LABELS, n=50, seed=1).to_dict()


def test_paper_figures_stand_in_their_own_column():
    y, p = answers()
    got = single_label(y, p, LABELS, n=20, paper={"accuracy": 0.98})
    frame = pytest.importorskip("pandas") and got.to_frame()
    column = frame["paper: other data, split unknown"]
    assert column[frame.metric == "accuracy"].tolist() == [0.98]
    assert column.notna().sum() == 1
    assert "paper: other data, split unknown" in repr(got)
    assert "0.98" in got._repr_html_()
    assert "paper" not in repr(single_label(y, p, LABELS, n=20))
    assert "paper" not in str(got.to_dict())


@pytest.mark.parametrize(
    ("y", "p", "groups", "word"),
    [
        ([0, 1], [0], None, "one length"),
        ([], [], None, "class numbers|one length"),
        ([0, 4], [0, 1], None, "0..3"),
        ([0.0, 1.0], [0, 1], None, "class numbers"),
        ([0, 1], [[0.1, 0.9], [0.2, 0.8]], None, "4 columns"),
        ([0, 1], [[0, 0, 0, np.nan]] * 2, None, "NaN"),
        ([0, 1], [0, 1], [1], "groups"),
    ],
)
def test_bad_input_is_named(y, p, groups, word):
    with pytest.raises(ek.LayoutError, match=word):
        single_label(y, p, LABELS, groups=groups)
