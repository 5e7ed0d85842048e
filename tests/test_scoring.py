"""ek.score: one row per recording whatever happens, the same table after any interruption."""

import errno
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from toy_model import Toy, toy

import ecgkit as ek
from ecgkit import scoring
from ecgkit.record import STANDARD_LEADS

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

TESTS = Path(__file__).parent


def write_record(folder, name, samples=250, fs=100, leads=STANDARD_LEADS, seed=0):
    """A WFDB record of format 16, 1000 counts per mV."""
    x = np.random.default_rng(seed).normal(scale=300, size=(samples, len(leads))).astype("<i2")
    (folder / f"{name}.dat").write_bytes(x.tobytes())
    lines = [f"{name} {len(leads)} {fs} {samples}"]
    lines += [f"{name}.dat 16 1000/mV 16 0 0 0 0 {lead}" for lead in leads]
    (folder / f"{name}.hea").write_text("\n".join(lines) + "\n")
    return str(folder / f"{name}.hea")


@pytest.fixture
def records(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    return [write_record(folder, f"r{i:03d}", seed=i) for i in range(45)]


def table(path):
    return pq.read_table(path)


def left_overs(folder):
    return sorted(p.name for p in Path(folder).iterdir() if p.name != "in")


# -------------------------------------------------------------------- the table
def test_every_recording_gets_its_own_probabilities(records, tmp_path):
    out, m = tmp_path / "o.parquet", toy()
    report = ek.score(m, records, out, batch=7)
    got = table(out)
    end = ["predicted", "notes", "error_type", "error"]
    assert got.column_names == ["record", "status", "A", "B", "C", *end]
    assert got["record"].to_pylist() == records
    for i in (0, 17, 44):
        p = m(ek.read(records[i]))
        assert [got[c][i].as_py() for c in "ABC"] == p.probabilities.tolist()
        assert got["predicted"][i].as_py() == p.top
        assert got["notes"][i].as_py() == "; ".join(p.notes)
    assert (report.total, report.failed, report.scored) == (45, 0, 45)
    assert report.errors == ()
    assert "45 records" in repr(report)
    assert "45 records" in report._repr_html_()
    assert len(report.to_frame()) == 45
    assert left_overs(tmp_path) == ["o.parquet"]


@pytest.mark.parametrize("batch", [1, 16, 1000])
@pytest.mark.parametrize("part", [1, 10, 1000])
def test_the_file_depends_on_neither_batch_nor_part_nor_threads(records, tmp_path, batch, part):
    ek.score(toy(), records, tmp_path / "a.parquet")
    ek.score(toy(), records, tmp_path / "b.parquet", batch=batch, part=part, threads=1 + part % 3)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_model_without_labels_gives_embeddings(with_bad, tmp_path):
    class Bare(Toy):
        labels = ()

    weight = {"weight": np.zeros((3, 12), np.float32)}
    m = Bare(weight, {"size": "small"}, Toy.contract_of("small"), Toy.bare_card(), "test")
    report = ek.score(m, with_bad, tmp_path / "o.parquet", batch=4)
    got = table(tmp_path / "o.parquet")
    assert got.column_names == ["record", "status", "embedding", "notes", "error_type", "error"]
    assert report.failed == 4
    assert got["embedding"][3].as_py() is None
    want = m.embed(ek.read(with_bad[7]))
    assert np.array_equal(np.float32(got["embedding"][7].as_py()), want.astype(np.float32))
    assert ek.score(m, with_bad, tmp_path / "o.parquet").scored == 0


def test_a_folder_a_glob_a_list_and_one_file(records, tmp_path):
    folder = tmp_path / "in"
    names = {
        "folder": (folder, 45),
        "glob": (f"{folder}/r00*.hea", 10),
        "deep": (f"{tmp_path}/**/*.hea", 45),
        "list": ([Path(r) for r in records[:3]], 3),
        "file": (records[5], 1),
    }
    for name, (given, count) in names.items():
        report = ek.score(toy(), given, tmp_path / f"{name}.parquet")
        assert report.total == count
        assert report.failed == 0


def test_the_contract_works_on_each_recording_and_the_notes_say_so(tmp_path):
    (tmp_path / "in").mkdir()
    path = write_record(tmp_path / "in", "fast", samples=2500, fs=500, leads=STANDARD_LEADS[::-1])
    ek.score(toy(), [path], tmp_path / "o.parquet")
    notes = table(tmp_path / "o.parquet")["notes"][0].as_py()
    for part in ("resampled from 500 to 100 Hz", "reordered", "first 2 s of 5 s"):
        assert part in notes


# ------------------------------------------------------------------ bad recordings
@pytest.fixture
def with_bad(records, tmp_path):
    folder = tmp_path / "in"
    write_record(folder, "r003", samples=20)
    (folder / "r010.dat").unlink()
    (folder / "r020.hea").write_text("nonsense")
    write_record(folder, "r044", leads=STANDARD_LEADS[:3])
    return records


def test_bad_files_are_reported_and_never_fatal(with_bad, tmp_path):
    out, m = tmp_path / "o.parquet", toy()
    report = ek.score(m, [*with_bad, "no/such.hea"], out)
    got = table(out)
    status = got["status"].to_pylist()
    assert [i for i, s in enumerate(status) if s == "failed"] == [3, 10, 20, 44, 45]
    assert report.failed == 5
    kinds = {Path(r).stem: (kind, text) for r, kind, text in report.errors}
    assert kinds["r003"][0] == "ContractError"
    assert "too short" in kinds["r003"][1]
    assert kinds["r044"][0] == "LeadError"
    assert all(kind and text for kind, text in kinds.values())
    assert "such" in kinds
    for name in ("A", "predicted"):
        assert [i for i, v in enumerate(got[name].to_pylist()) if v is None] == [3, 10, 20, 44, 45]
    assert got["A"][4].as_py() == pytest.approx(m(ek.read(with_bad[4]))["A"])
    assert "r020" in repr(report)
    assert "r020" in report._repr_html_()


def test_on_error_raise_keeps_what_came_before(with_bad, tmp_path):
    out = tmp_path / "o.parquet"
    with pytest.raises(ek.ContractError, match="too short") as info:
        ek.score(toy(), with_bad, out, on_error="raise", batch=1)
    assert "r003" in info.value.__notes__[0]
    assert not out.exists()
    assert ek.score(toy(), with_bad, out).scored == len(with_bad) - 3


def test_a_missing_reader_ends_the_run(records, tmp_path, monkeypatch):
    def read(path):
        raise ek.MissingExtraError("pip install 'ecgkit-native[io]'")

    monkeypatch.setattr("ecgkit.io.read", read)
    with pytest.raises(ek.MissingExtraError, match=r"\[io\]"):
        ek.score(toy(), records, tmp_path / "o.parquet")


def test_a_file_name_that_is_not_unicode_has_a_row(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    write_record(folder, "x")
    odd = os.fsdecode(os.fsencode(folder) + b"/\xff.hea")
    os.link(folder / "x.hea", odd)
    report = ek.score(toy(), [odd], tmp_path / "o.parquet")
    assert table(tmp_path / "o.parquet")["record"][0].as_py().endswith("\\udcff.hea")
    assert ek.score(toy(), [odd], tmp_path / "o.parquet").scored == 0
    assert report.total == 1


# ----------------------------------------------------------------------- refusals
def test_a_recording_given_twice_is_refused(records, tmp_path):
    again = os.path.join(os.path.dirname(records[0]), "..", "in", "r001")
    with pytest.raises(ek.EcgkitError, match=r"given twice: .*r001.hea' and .*r001'"):
        ek.score(toy(), [*records, again], tmp_path / "o.parquet")


@pytest.mark.parametrize(
    ("given", "what"), [([], "list"), ("in/*.xyz", "no files match"), ("empty", "folder empty")]
)
def test_nothing_to_score_is_refused(tmp_path, monkeypatch, given, what):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ek.EcgkitError, match=what):
        ek.score(toy(), given, tmp_path / "o.parquet")


@pytest.mark.parametrize(
    "wrong", [{"on_error": "skip"}, {"batch": 0}, {"part": 0}, {"threads": -1}]
)
def test_options_that_do_not_exist_are_refused(records, tmp_path, wrong):
    with pytest.raises(ek.EcgkitError, match=next(iter(wrong))):
        ek.score(toy(), records, tmp_path / "o.parquet", **wrong)


def test_another_model_is_refused_on_resume(records, tmp_path):
    out = tmp_path / "o.parquet"
    ek.score(toy(seed=0), records[:9], out)
    before = out.read_bytes()
    with pytest.raises(ek.OutputError, match=r"weights: \w+\S* there, \w+\S* now.*resume=False"):
        ek.score(toy(seed=1), records, out)
    assert out.read_bytes() == before
    assert left_overs(tmp_path) == ["o.parquet"]
    assert ek.score(toy(seed=0), records[:9], out).scored == 0
    ek.score(toy(seed=1), records, out, resume=False)
    assert len(table(out)) == 45
    assert left_overs(tmp_path) == ["o.parquet"]


def test_another_model_is_refused_in_the_middle_too(records, tmp_path):
    out = tmp_path / "o.parquet"
    interrupt_after(records, out, 20)
    with pytest.raises(ek.OutputError, match="begun with something else"):
        ek.score(toy(seed=1), records, out)
    assert ek.score(toy(), records, out).scored < 45


@pytest.mark.parametrize("content", [b"not parquet", None])
def test_a_file_of_somebody_else_is_not_replaced(records, tmp_path, content):
    out = tmp_path / "o.parquet"
    if content is None:
        pq.write_table(pa.table({"x": [1]}), out)
    else:
        out.write_bytes(content)
    before = out.read_bytes()
    with pytest.raises(ek.OutputError, match="choose another out"):
        ek.score(toy(), records, out)
    assert out.read_bytes() == before
    ek.score(toy(), records, out, resume=False)
    assert len(table(out)) == 45


def test_the_second_job_on_one_output_is_refused(records, tmp_path):
    out = tmp_path / "o.parquet"

    def second(progress):
        with pytest.raises(ek.OutputError, match="another job is writing it"):
            ek.score(toy(), records, out)
        with pytest.raises(ek.OutputError, match="another job is writing it"):
            ek.score(toy(), records, out, resume=False)

    assert ek.score(toy(), records, out, batch=40, progress=second).scored == 45
    assert len(table(out)) == 45


def test_an_output_folder_that_does_not_exist_is_a_clear_error(records, tmp_path):
    with pytest.raises(ek.OutputError, match=r"no.*cannot be written \(No such file"):
        ek.score(toy(), records, tmp_path / "no" / "o.parquet")


# --------------------------------------------------------------------- interrupted
class Stop(Exception):
    pass


def interrupt_after(records, out, count, **options):
    def stop(progress):
        if progress.done >= count:
            raise Stop

    with pytest.raises(Stop):
        ek.score(toy(), records, out, batch=5, progress=stop, **options)


def test_an_interrupted_run_goes_on_where_it_was(records, tmp_path):
    out, seen = tmp_path / "o.parquet", []
    interrupt_after(records, out, 20)
    assert not out.exists()
    report = ek.score(toy(), records, out, batch=5, progress=seen.append)
    assert report.scored == 25
    assert [p.done for p in seen] == [25, 30, 35, 40, 45]
    assert seen[0].total == 45
    assert seen[0].rate > 0
    assert seen[0].eta > 0
    assert "25/45" in str(seen[0])
    ek.score(toy(), records, tmp_path / "whole.parquet")
    assert out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_a_finished_table_is_left_alone_or_extended(records, tmp_path):
    out = tmp_path / "o.parquet"
    ek.score(toy(), records[:30], out)
    before = out.stat()
    assert ek.score(toy(), records[:30], out).scored == 0
    assert out.stat().st_mtime_ns == before.st_mtime_ns
    assert ek.score(toy(), records, out).scored == 15
    ek.score(toy(), records, tmp_path / "whole.parquet")
    assert out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert ek.score(toy(), records[5:7], out).total == 2
    assert table(out)["record"].to_pylist() == records[5:7]
    assert left_overs(tmp_path) == ["o.parquet", "whole.parquet"]


def test_after_a_full_disk_the_run_goes_on(records, tmp_path, monkeypatch):
    out, real, calls = tmp_path / "o.parquet", scoring.Parts.append, []

    def full(self, columns):
        calls.append(len(columns["record"]))
        if len(calls) > 2:
            with monkeypatch.context() as m:
                m.setattr("ecgkit._atomic.os.fsync", no_space)
                return real(self, columns)
        return real(self, columns)

    def no_space(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(scoring.Parts, "append", full)
    with pytest.raises(ek.OutputError, match=r"No space left on device.*run the same call again"):
        ek.score(toy(), records, out, batch=5, part=5)
    monkeypatch.undo()
    assert not out.exists()
    assert not list((tmp_path / "o.parquet.parts").glob(".*"))
    assert ek.score(toy(), records, out).scored == 35
    ek.score(toy(), records, tmp_path / "whole.parquet")
    assert out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()


JOB = textwrap.dedent(
    """
    import sys
    sys.path.insert(0, {tests!r})
    import ecgkit as ek
    from ecgkit import scoring
    from toy_model import toy
    scoring.PART_SECONDS = 0.02
    with open({names!r}) as file:
        records = file.read().splitlines()
    print("go", flush=True)
    ek.score(toy(), records, {out!r}, batch={batch}, part={part})
    """
)


def kill_until_done(records, out, rng, *, batch, part, wait, rounds):
    """Start the job again and again and kill -9 it after a random time; the number of kills."""
    names = Path(out).with_suffix(".txt")
    names.write_text("\n".join(records))
    job = JOB.format(tests=str(TESTS), names=str(names), out=str(out), batch=batch, part=part)
    for kills in range(rounds):
        process = subprocess.Popen([sys.executable, "-c", job], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(rng.uniform(0, wait))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()
        if process.returncode == 0:
            return kills
        assert process.returncode == -signal.SIGKILL
    subprocess.run([sys.executable, "-c", job], check=True, stdout=subprocess.DEVNULL)
    return rounds


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_moment_it_ends_with_the_same_table(tmp_path, seed):
    folder = tmp_path / "in"
    folder.mkdir()
    records = [write_record(folder, f"r{i:03d}", seed=i) for i in range(300)]
    write_record(folder, "r123", samples=20)
    ek.score(toy(), records, tmp_path / "whole.parquet")
    rng = random.Random(seed)
    out = tmp_path / "o.parquet"
    kill_until_done(records, out, rng, batch=2, part=6, wait=0.25, rounds=12)
    assert out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert left_overs(tmp_path) == ["o.parquet", "o.txt", "whole.parquet"]


DYING = textwrap.dedent(
    """
    import os, sys
    sys.path.insert(0, {tests!r})
    import ecgkit as ek
    from toy_model import toy
    steps = 0
    def counted(real):
        def step(*args, **kw):
            global steps
            steps += 1
            if steps == {nth}:
                os.kill(os.getpid(), 9)
            return real(*args, **kw)
        return step
    for name in ("fsync", "rename", "replace", "unlink", "rmdir", "mkdir"):
        setattr(os, name, counted(getattr(os, name)))
    ek.score(toy(), {records!r}, {out!r}, batch=5, part=15)
    print(steps)
    """
)


@pytest.mark.slow
def test_killed_before_any_step_on_disk_it_ends_with_the_same_table(records, tmp_path):
    """Every sync, rename and removal is a moment: the process dies just before it."""
    out, whole = tmp_path / "o.parquet", tmp_path / "whole.parquet"
    ek.score(toy(), records, whole)

    def run(nth):
        code = DYING.format(tests=str(TESTS), nth=nth, records=records, out=str(out))
        return subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE)

    steps = int(run(0).stdout)
    assert steps > 20
    for nth in range(1, steps + 1):
        out.unlink()
        assert run(nth).returncode == -signal.SIGKILL
        ek.score(toy(), records, out, batch=5, part=15)
        assert out.read_bytes() == whole.read_bytes(), f"killed before step {nth} of {steps}"
        assert left_overs(tmp_path) == ["o.parquet", "whole.parquet"]


# --------------------------------------------------------------------- at full size
def fold10(root):
    import csv

    with open(root / "ptbxl_database.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["strat_fold"] == "10"]
    return [str(root / row["filename_lr"]) for row in rows]


@pytest.mark.slow
@pytest.mark.data
def test_fold_10_of_ptbxl_survives_being_killed(ptbxl, tmp_path):
    records = fold10(ptbxl)
    assert len(records) == 2198
    report = ek.score(toy(), records, tmp_path / "whole.parquet")
    assert (report.total, report.failed) == (2198, 0)
    out = tmp_path / "o.parquet"
    kill_until_done(records, out, random.Random(0), batch=16, part=100, wait=1.5, rounds=4)
    assert out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert table(out)["record"].to_pylist() == records


def linked(records, folder, count):
    """So many recordings, each under a name of its own, of these files."""
    for i in range(count):
        header = Path(records[i % len(records)]).with_suffix(".hea")
        place = folder / f"{i // len(records):03d}"
        place.mkdir(parents=True, exist_ok=True)
        for file in (header, header.with_suffix(".dat")):
            os.symlink(file, place / file.name)
        yield str(place / header.name)


MEMORY = textwrap.dedent(
    """
    import resource, sys
    sys.path.insert(0, {tests!r})
    import ecgkit as ek
    from toy_model import toy
    resident = {{}}
    def note(progress):
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[1])
        resident[progress.done] = pages * resource.getpagesize()
    with open({names!r}) as file:
        records = file.read().splitlines()
    ek.score(toy(), records, {out!r}, batch=16, progress=note)
    early = max(v for k, v in resident.items() if k <= 10_000)
    late = max(v for k, v in resident.items() if k > 10_000)
    with open("/proc/self/status") as file:  # ru_maxrss would be that of the process before exec
        peak = next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    print(early, late, peak)
    """
)


@pytest.mark.slow
@pytest.mark.data
def test_memory_does_not_grow_with_the_number_of_recordings(ptbxl, tmp_path):
    """20,000 recordings, 960 MB of signals: the second half holds no more than the first, and the
    table at the end is put together a group of rows at a time."""
    names, out = tmp_path / "names.txt", tmp_path / "o.parquet"
    names.write_text("\n".join(linked(fold10(ptbxl), tmp_path / "in", 20_000)))
    code = MEMORY.format(tests=str(TESTS), names=str(names), out=str(out))
    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE)
    early, late, peak = map(int, done.stdout.split())
    assert pq.read_metadata(out).num_rows == 20_000
    print(f"resident: {early}, {late}, at most {peak}")
    assert late - early < 4e6
    assert peak - early < 64e6


# ------------------------------------------------------------------- many machines
@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as made:
        yield made


@pytest.mark.slow
def test_a_cluster_makes_the_same_file(with_bad, tmp_path, cluster):
    distributed = pytest.importorskip("distributed")
    whole, out, seen = tmp_path / "whole.parquet", tmp_path / "o.parquet", []
    ek.score(toy(), with_bad, whole)
    with distributed.Client(cluster) as client:
        report = ek.score(toy(), with_bad, out, part=10, dask=client, progress=seen.append)
    assert out.read_bytes() == whole.read_bytes()
    assert report.failed == 4
    assert seen[-1].done == 45
    ek.score(toy(), with_bad, tmp_path / "by_address.parquet", dask=cluster.scheduler_address)
    assert (tmp_path / "by_address.parquet").read_bytes() == whole.read_bytes()


@pytest.mark.slow
def test_a_run_goes_on_on_a_cluster(records, tmp_path, cluster):
    out = tmp_path / "o.parquet"
    interrupt_after(records, out, 20)
    assert ek.score(toy(), records, out, part=5, dask=cluster.scheduler_address).scored == 25
    ek.score(toy(), records, tmp_path / "whole.parquet")
    assert out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()


@pytest.mark.slow
def test_strict_on_a_cluster_raises_what_the_recording_raised(with_bad, tmp_path, cluster):
    with pytest.raises(ek.ContractError, match="too short"):
        ek.score(
            toy(),
            with_bad,
            tmp_path / "o.parquet",
            on_error="raise",
            dask=cluster.scheduler_address,
        )
