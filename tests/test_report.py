"""The report is whole, self-contained, safe to open, and never half written."""

import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import numpy as np
import pytest
from toy_model import toy

import ecgkit as ek
from ecgkit.errors import LayoutError
from ecgkit.models import Card, Prediction
from ecgkit.record import STANDARD_LEADS, Record
from ecgkit.report import _sections

jinja2 = pytest.importorskip("jinja2")

BAD = (
    "</title><script>document.title = 'owned'</script><img src=http://x.invalid/a onerror=alert(1)>"
)
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Checks nesting; keeps elements and text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.text = [], [], ""
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def tags(self, name):
        return [attrs for tag, attrs in self.seen if tag == name]


def recording(**facts) -> Record:
    t = np.arange(5000) / 500
    beat = np.exp(-0.5 * ((t % 0.8 - 0.4) / 0.012) ** 2)
    noise = np.random.default_rng(0).normal(0, 0.01, (12, 5000))
    return Record(
        np.linspace(0.4, 1.5, 12)[:, None] * beat + noise, 500, STANDARD_LEADS, meta=facts
    )


def test_the_page_shows_recording_beats_answer_and_model():
    page = Page(ek.report.html(recording(source="a.dcm", sex="F"), model=toy()))
    for text in ("a.dcm", "75 /min", "SDNN", "Signal quality", "toy(size=small)", "Contract"):
        assert text in page.text
    assert "resampled from 500 to 100 Hz" in page.text
    assert page.text.count("not a medical device") == 1
    assert {a["class"] for a in page.tags("svg")} == {"ecg-paper", "ecg-bars"}


def test_what_is_above_its_threshold_is_marked():
    signal = recording().signal.copy()
    signal[2, 1000:3000] = 0.0
    page = Page(ek.report.html(Record(signal, 500, STANDARD_LEADS)))
    assert "flat III" in page.text
    assert sum(a.get("class") == "high" for a in page.tags("td")) == 1
    clean = Page(ek.report.html(recording()))
    assert "nothing above its threshold" in clean.text


@pytest.mark.parametrize("network", ["cnn1d", "resnet18"])
def test_the_scalogram_shown_is_what_the_network_gets(network):
    model = ek.load_model("scalogram_arrhythmia", weights="random", network=network)
    shown = ek.plot.seen_by(model, recording())
    assert shown.values.shape == (10, 768, 64)
    if network == "cnn1d":
        np.testing.assert_array_equal(shown.values, model.preprocess(recording())[0])
    page = Page(ek.report.html(recording(), model=model))
    assert "ecg-scalogram" in {a["class"] for a in page.tags("svg")}
    assert "These weights come without a card" in page.text


def test_a_recording_that_breaks_the_contract_says_so_in_the_page():
    model = ek.load_model("scalogram_arrhythmia", weights="random", network="cnn1d")
    two = recording().pick(["I", "II"])
    page = Page(ek.report.html(two, Prediction(("A",), np.ones(1)), model=model))
    assert "the record lacks III" in page.text


def test_a_figure_is_the_papers_or_ours_and_never_both():
    about = {"value": 0.9, "low": 0.8, "high": 1.0}
    each = {"precision": about, "recall": about, "f1": about, "support": 7}
    whole = dict.fromkeys(("accuracy", "balanced_accuracy", "macro_f1"), about)
    metrics = {"n": 14, **whole, "per_class": {"A": each, "B": each}, "confusion": [[7, 0], [0, 7]]}
    net = {
        "weights": "w", "sha256": "", "dtype": "float32", "parameters": 1, "contract": {},
        "seed": 0, "script": "s", "metrics_note": "fold 10, once",
        "metrics": {"ecg": metrics, "window": metrics},
    }  # fmt: skip
    said = {
        "model": "best",
        "metric": "accuracy",
        "value": 0.98,
        "data": "other",
        "split": "unknown",
    }
    card = Card.from_dict(
        {
            "format": 1,
            "system": "s",
            "labels": ["A", "B"],
            "paper": {},
            "paper_reported": [said],
            "data": {"name": "D", "version": "1"},
            "best": "a",
            "networks": {"a": net, "b": net},
        }
    )
    rows = _sections.figures_of(card, "a")
    assert rows[0] == ("best", "accuracy", "0.98", "", "other; split unknown")
    assert all(bool(paper) != bool(measured) for _, _, paper, measured, _ in rows)
    assert ("a, per ECG", "accuracy", "", "0.900 (0.800-1.000)", "D 1, fold 10; n=14") in rows
    assert {what for what, *_ in rows} == {"best", "a, per ECG", "a, per window", "b, per ECG"}


def test_without_a_model_the_page_is_about_the_recording_alone():
    page = Page(ek.report.html(recording()))
    assert "Contract" not in page.text
    assert "Header" in page.text


def test_a_prediction_of_a_batch_is_refused():
    batch = Prediction(("A", "B"), np.full((2, 2), 0.5), None, ((), ()), "toy")
    with pytest.raises(LayoutError, match=r"prediction\[i\]"):
        ek.report.html(recording(), batch)


def test_nothing_is_fetched_and_no_script_is_there():
    page = Page(ek.report.html(recording(source="a"), model=toy()))
    assert not page.tags("script")
    assert not page.tags("link")
    policy = next(a for a in page.tags("meta") if a.get("http-equiv"))
    assert policy["content"].startswith("default-src 'none'")
    for tag, attrs in page.seen:
        for name in ("src", "href"):
            assert attrs.get(name, "data:").startswith("data:"), tag


def hostile() -> tuple[Record, Prediction]:
    """Markup wherever a file or a model can put text."""
    rec = Record(
        recording().signal[:2], 500, [BAD, "II"], labels={BAD: [BAD]},
        meta={"source": BAD, "patient_name": BAD, BAD: BAD},
    )  # fmt: skip
    return rec, Prediction((BAD, "B"), np.array([0.7, 0.3]), None, (BAD,), BAD)


def test_markup_in_headers_labels_and_notes_stays_text():
    page = Page(ek.report.html(*hostile()))
    assert not page.tags("script")
    assert not page.tags("img")
    assert page.text.count(BAD) >= 7


def test_pictures_in_the_page_are_well_formed():
    text = ek.report.html(*hostile())
    pictures = re.findall(r"<svg.*?</svg>", text, flags=re.S)
    assert len(pictures) == 2
    for svg in pictures:
        ET.fromstring(svg)


def test_the_file_is_replaced_whole_and_nothing_else_is_left(tmp_path):
    out = tmp_path / "r.html"
    out.write_text("old")
    assert ek.report.html(recording(), out=out) == out
    assert out.read_text().startswith("<!doctype html>")
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]


def test_a_failed_write_leaves_the_old_page(tmp_path, monkeypatch):
    out = tmp_path / "r.html"
    out.write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        ek.report.html(recording(), out=out)
    assert out.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]


def test_a_long_recording_stays_a_small_page():
    signal = np.tile(recording().signal, (1, 180))
    rec = Record(signal, 500, STANDARD_LEADS)
    text = ek.report.html(rec)
    assert len(text) < 200_000
    assert "more beats are not listed" in text


@pytest.mark.parametrize(
    "signal",
    [np.zeros((12, 5000)), np.full((12, 5000), np.nan), np.zeros((12, 3))],
    ids=["flat", "invalid", "three samples"],
)
def test_a_recording_without_beats_still_gets_its_page(signal):
    page = Page(ek.report.html(Record(signal, 500, STANDARD_LEADS)))
    assert "not found" in page.text


# ------------------------------------------------------------------ a browser
def browser() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if path := shutil.which(name):
            return path
    pytest.skip("no browser here: install chromium to see the report rendered")


def headless(profile, *args):
    command = [browser(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += ["--disable-dev-shm-usage", f"--user-data-dir={profile}", *args]
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    return done.stdout.decode()


@pytest.mark.slow
def test_a_browser_shows_hostile_text_and_runs_nothing(tmp_path):
    out = ek.report.html(*hostile(), tmp_path / "r.html")
    dom = headless(tmp_path / "profile", "--dump-dom", out.as_uri())
    assert "<title>owned" not in dom
    assert "<script" not in dom
    assert "onerror=alert(1)&gt;" in dom
    assert dom.count("<svg") == 2


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 520])
def test_a_browser_paints_paper_and_ink_at_any_width(tmp_path, width):
    image = pytest.importorskip("PIL.Image")
    out = ek.report.html(recording(), out=tmp_path / "r.html")
    shot = tmp_path / "r.png"
    size = f"--window-size={width},1200"
    headless(tmp_path / "profile", size, f"--screenshot={shot}", out.as_uri())
    pixels = np.asarray(image.open(shot).convert("RGB")).astype(int)
    assert pixels.shape[1] == width
    red = (pixels[..., 0] - pixels[..., 2] > 15).mean()
    dark = (pixels.max(axis=2) < 90).mean()
    assert red > 0.03, "no grid"
    assert dark > 0.003, "no ink"
    # Nothing hangs out at the right: the last columns are the page's own background.
    assert (np.ptp(pixels[:, -4:], axis=2) < 10).all()
