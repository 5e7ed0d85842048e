"""PTB-XL in its official layout: labels, counts, patients, signals."""

import csv

import numpy as np
import pytest

import ecgkit as ek
from ecgkit.datasets import RHYTHM4, ptbxl

HEAD = "ecg_id,patient_id,age,sex,scp_codes,strat_fold,filename_lr,filename_hr\n"


def write(root, rows):
    lines = [
        f'{i},{patient}.0,50,0,"{codes}",{fold},records100/00000/{i:05d}_lr,records500/00000/{i:05d}_hr\n'
        for i, patient, codes, fold in rows
    ]
    (root / "ptbxl_database.csv").write_text(HEAD + "".join(lines))
    (root / "scp_statements.csv").write_text(
        ",description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass\n"
        "NORM,normal,1.0,,,NORM,NORM\nIMI,infarct,1.0,,,MI,IMI\nNDT,t,1.0,1.0,,STTC,STTC\nSR,sinus,,,1.0,,\n"
    )


ROWS = [
    (3, 1, "{'STACH': 0.0, 'IMI': 35.0}", 1),
    (1, 2, "{'NORM': 100.0, 'SR': 0.0}", 9),
    (2, 3, "{'AFLT': 0.0, 'AFIB': 100.0}", 1),
    (4, 3, "{'AFIB': 0.0, 'SR': 0.0}", 1),
    (5, 4, "{'PACE': 0.0}", 1),
    (6, 5, "{'SBRAD': 0.0, 'NDT': 0.0}", 10),
]


def test_rhythm4_drops_and_counts_what_has_no_class_or_more_than_one(tmp_path):
    write(tmp_path, ROWS)
    data = ptbxl(tmp_path, task="rhythm4")
    assert data.ids.tolist() == [1, 2, 3, 6]
    assert [data.labels[i] for i in data.y] == ["SR", "AFIB", "GSVT", "SB"]
    assert data.dropped == {"no class": 1, "more than one class": 1}
    assert data.patient.tolist() == [2, 3, 1, 5]
    part = ptbxl(tmp_path, task="rhythm4", folds=[1])
    assert part.ids.tolist() == data.subset([1]).ids.tolist() == [2, 3]
    assert part.dropped == data.subset([1]).dropped == {"no class": 1, "more than one class": 1}
    assert data.subset([9]).dropped == {"no class": 0, "more than one class": 0}
    assert data.paths[0] == tmp_path / "records100/00000/00001_lr"
    assert ptbxl(tmp_path, fs=500, task="rhythm4").paths[0].name == "00001_hr"


def test_the_mapping_and_the_counts_are_printed(tmp_path):
    write(tmp_path, ROWS)
    text = ptbxl(tmp_path, task="rhythm4").summary()
    for label, codes in RHYTHM4.items():
        assert any(
            line.split()[0] == label and ", ".join(codes) in line for line in text.splitlines()[1:]
        )
    assert "dropped: 1 with no class" in text
    assert "dropped: 1 with more than one class" in text


def test_multilabel_tasks_ignore_likelihood_and_sort_their_classes(tmp_path):
    write(tmp_path, ROWS)
    data = ptbxl(tmp_path)
    assert data.task == "superdiagnostic"
    assert data.labels == ("MI", "NORM", "STTC")
    assert data.ids.tolist() == [1, 3, 6]
    assert data.y.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]
    assert data.dropped == {"no class": 3}
    assert ptbxl(tmp_path, task="form").labels == ("NDT",)
    # classes are those of the whole collection, whatever the folds
    assert ptbxl(tmp_path, task="all", folds=[10]).y.shape == (1, 9)


def test_a_cell_that_is_code_is_refused_and_not_run(tmp_path):
    write(tmp_path, [(1, 1, "__import__('os').getcwd()", 1)])
    with pytest.raises(ek.FormatError, match="ecg_id 1"):
        ptbxl(tmp_path, task="all")


def test_wrong_calls_are_named(tmp_path):
    write(tmp_path, ROWS)
    with pytest.raises(ek.FormatError, match="does not exist"):
        ptbxl(tmp_path / "nowhere")
    with pytest.raises(ek.RateError, match="100 or 500"):
        ptbxl(tmp_path, fs=250)
    with pytest.raises(ValueError, match="rhythm4"):
        ptbxl(tmp_path, task="rhythms")
    with pytest.raises(ValueError, match=r"1\.\.10"):
        ptbxl(tmp_path, folds=[0])
    (tmp_path / "ptbxl_database.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ek.FormatError, match="ecg_id"):
        ptbxl(tmp_path)


@pytest.mark.data
def test_ptbxl_rhythm_counts_and_patient_disjoint_splits(ptbxl):
    data = ek.datasets.ptbxl(ptbxl, task="rhythm4")
    assert data.version == "1.0.3"
    want = {
        "train": ({"SB": 506, "AFIB": 1242, "GSVT": 678, "SR": 14013}, 959, 20),
        "validation": ({"SB": 64, "AFIB": 156, "GSVT": 87, "SR": 1746}, 129, 1),
        "test": ({"SB": 64, "AFIB": 154, "GSVT": 86, "SR": 1748}, 143, 3),
    }
    folds = {"train": range(1, 9), "validation": [9], "test": [10]}
    patients = {}
    for split, (counts, none, many) in want.items():
        part = data.subset(folds[split])
        assert part.counts == counts
        assert part.dropped == {"no class": none, "more than one class": many}
        patients[split] = set(part.patient.tolist())
    assert not patients["train"] & patients["validation"]
    assert not patients["train"] & patients["test"]
    assert not patients["validation"] & patients["test"]


@pytest.mark.data
def test_ptbxl_labels_are_those_of_an_independent_table(ptbxl, ecg_data):
    with open(ecg_data / "ptbxl" / "ptbxl_labels.csv", newline="") as file:
        table = {int(row["ecg_id"]): row for row in csv.DictReader(file)}
    groups = {code: label for label, codes in RHYTHM4.items() for code in codes}
    data = ek.datasets.ptbxl(ptbxl, task="rhythm4")
    for i, y, patient, fold in zip(data.ids, data.y, data.patient, data.fold):
        row = table[int(i)]
        assert {groups[c] for c in row["rhythm"].split(";") if c in groups} == {data.labels[y]}
        assert (int(row["patient_id"]), int(row["strat_fold"])) == (patient, fold)
    supers = ek.datasets.ptbxl(ptbxl, folds=[10])
    assert len(supers) == 2158
    assert supers.dropped == {"no class": 40}


@pytest.mark.data
def test_ptbxl_signals_come_in_order_in_millivolt(ptbxl):
    data = ek.datasets.ptbxl(ptbxl, task="rhythm4", folds=[10])
    batches = data.signal_batches(5)
    first = next(batches)
    assert first.shape == (5, 12, 1000)
    assert first.dtype == np.float32
    raw = (
        np.fromfile(data.paths[3].with_name(data.paths[3].name + ".dat"), "<i2").reshape(1000, 12).T
    )
    np.testing.assert_allclose(first[3], raw / 1000, atol=1e-6)
    assert data.record(3).leads == ek.record.STANDARD_LEADS
    np.testing.assert_array_equal(data.record(3).signal, first[3])
    np.testing.assert_array_equal(next(batches)[0], data.record(5).signal)
