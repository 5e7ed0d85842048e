"""ECG paper is true to scale, small, well-formed and safe to show."""

import re
import xml.etree.ElementTree as ET
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ecgkit as ek
from ecgkit.errors import LayoutError, LeadError
from ecgkit.plot import Scalogram, StackedScalogram, _image, _svg, bars_svg, compose, paper_svg
from ecgkit.record import STANDARD_LEADS, Record

SVG = "{http://www.w3.org/2000/svg}"


def made_up(fs=500.0, seconds=10.0, leads=STANDARD_LEADS, noise=0.02, seed=0) -> Record:
    """Sharp 1-mV complexes once a second, another height on every lead."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(fs * seconds)) / fs
    beat = np.exp(-0.5 * ((t % 1.0 - 0.5) / 0.01) ** 2)
    height = np.linspace(-1.0, 1.5, len(leads))[:, None]
    return Record(height * beat + rng.normal(0, noise, (len(leads), len(t))), fs, leads)


def traces(svg: str) -> list[np.ndarray]:
    """The traces of a page as points in mm (calibration pulses and joint ticks left out)."""
    group = next(g for g in ET.fromstring(svg).iter(SVG + "g") if "scale" in g.get("transform", ""))
    found = []
    for path in group.iter(SVG + "path"):
        numbers = [int(v) for v in re.findall(r"-?\d+", path.get("d"))]
        if path.get("stroke-width") is None and len(numbers) > 20:
            steps = np.array(numbers).reshape(-1, 2)
            found.append(np.cumsum(steps, axis=0) / _svg.UNITS)
    return found


def test_a_millivolt_is_ten_millimetres_and_a_second_twenty_five():
    rec = made_up(noise=0.0)
    page = compose(rec, "12x1")
    drawn = traces(paper_svg(rec, "12x1"))
    assert len(drawn) == 12
    for strip, points, lead in zip(page.strips, drawn, STANDARD_LEADS):
        assert points[0, 0] == pytest.approx(page.left, abs=0.05)
        assert points[-1, 0] - points[0, 0] == pytest.approx(250.0, abs=_svg.COLUMN + 0.05)
        mv = rec[lead] - np.median(rec[lead])
        assert strip.y - points[:, 1].min() == pytest.approx(10 * mv.max(), abs=0.05)
        assert points[:, 1].max() - strip.y == pytest.approx(-10 * mv.min(), abs=0.05)
        peak = points[np.argmax(np.abs(points[:, 1] - strip.y)), 0] - page.left
        assert (peak / 25) % 1.0 == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("gain", [5.0, 10.0, 20.0])
@pytest.mark.parametrize("speed", [25.0, 50.0])
def test_the_calibration_pulse_is_one_millivolt_and_200_ms(speed, gain):
    page = compose(made_up(), speed=speed, gain=gain)
    x, y = page.pulse(page.rows[1])
    assert np.ptp(y) == pytest.approx(gain)
    assert x[3] - x[2] == pytest.approx(0.2 * speed)
    assert f"{speed:g} mm/s" in page.foot
    assert f"{gain:g} mm/mV" in page.foot


def test_the_grid_has_a_line_every_millimetre_and_a_strong_one_every_five():
    svg = paper_svg(made_up())
    root = ET.fromstring(svg)
    width, height = float(root.get("width")[:-2]), float(root.get("height")[:-2])
    assert root.get("width").endswith("mm")
    assert root.get("viewBox") == f"0 0 {width:g} {height:g}"
    assert width % 5 == height % 5 == 0
    fine, bold = [p.get("d") for p in root.findall(SVG + "path")[:2]]
    assert fine.count("M") == width + 1 + height + 1
    assert bold.count("M") == width / 5 + 1 + height / 5 + 1


def test_three_by_four_shows_each_lead_in_its_quarter_and_a_rhythm_strip():
    page = compose(made_up(), "3x4")
    assert [s.lead for s in page.strips] == [
        "I", "aVR", "V1", "V4", "II", "aVL", "V2", "V5", "III", "aVF", "V3", "V6", "II",
    ]  # fmt: skip
    rec = made_up()
    quarter = page.strips[3]
    expected = rec["V4"][3750:].astype(float)
    np.testing.assert_allclose(quarter.millivolt, expected - np.median(expected))
    assert quarter.x - page.left == pytest.approx(187.5)
    assert len(page.strips[-1].millivolt) == 5000


@pytest.mark.parametrize("layout", ["3x4", "6x2", "12x1"])
@pytest.mark.parametrize("noise", [0.02, 0.5])
def test_ten_seconds_at_500_hz_stay_below_200_kb(layout, noise):
    assert len(paper_svg(made_up(noise=noise), layout).encode()) < 200_000


def test_a_high_rate_costs_no_more():
    slow = len(paper_svg(made_up(500), "12x1"))
    assert len(paper_svg(made_up(8000), "12x1")) < 1.5 * slow


def per_column(extreme, x, y):
    """Column to its smallest or largest y."""
    column = np.floor(x / _svg.COLUMN + 1e-9).astype(int)
    first = np.flatnonzero(np.diff(column, prepend=-1))
    return dict(zip(column[first].tolist(), extreme.reduceat(y, first).tolist()))


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(3, 1500), st.floats(0.001, 0.3))
def test_columns_keep_the_extremes_of_every_column(seed, n, step):
    y = np.random.default_rng(seed).normal(size=n)
    x = np.arange(n) * step
    cx, cy = _svg.columns(x, y)
    assert len(cx) == len(cy) <= n * 2
    assert (np.diff(cx) >= 0).all()
    assert cy.max() == y.max()
    assert cy.min() == y.min()
    for extreme in (np.minimum, np.maximum):
        assert per_column(extreme, x, y) == per_column(extreme, cx, cy)


def test_a_gap_in_the_samples_is_a_gap_on_the_paper():
    rec = made_up(leads=["II"])
    signal = rec.signal.copy()
    signal[0, 1000:2000] = np.nan
    left, right = traces(paper_svg(Record(signal, 500, ["II"])))
    assert right[0, 0] - left[-1, 0] == pytest.approx(50.0, abs=0.5)


def test_a_lead_without_valid_samples_says_so():
    signal = made_up().signal.copy()
    signal[4] = np.nan
    svg = paper_svg(Record(signal, 500, STANDARD_LEADS))
    assert "aVL (no valid samples)" in svg


def test_markup_in_a_lead_name_and_in_a_header_is_text():
    bad = "</svg><script>alert(1)</script>"
    rec = Record(np.zeros((1, 1000)), 500, [bad], meta={bad: bad, "n": 3}, labels=[bad])
    html = rec._repr_html_()
    assert "<script" not in html
    assert html.count("</svg>") == 1
    assert "&lt;script&gt;" in html
    assert "<script" not in bars_svg([bad], [0.5])


def test_the_first_ten_seconds_are_drawn_and_the_page_says_of_how_many():
    rec = made_up(100, 60, ["II", "V1"])
    page = compose(rec)
    assert page.seconds == 10
    assert "0-10 s of 60 s" in page.foot
    later = compose(rec, start=50, duration=5)
    assert (later.start, later.seconds) == (50, 5)
    assert "50-55 s of 60 s" in later.foot


def test_leads_that_a_layout_leaves_out_are_named():
    page = compose(made_up(leads=[*STANDARD_LEADS, "X"]))
    assert "not drawn: X" in page.foot


def test_neighbouring_traces_do_not_touch():
    rec = made_up(noise=0.0)
    page = compose(rec, "12x1")
    for upper, lower in zip(page.strips, page.strips[1:]):
        assert (page.y_of(lower) - page.y_of(upper)).min() > 0


def test_beats_are_marked_with_their_rr_intervals():
    rec = made_up()
    page = compose(rec, beats=[250, 750, 1300])
    assert [text for _, text in page.marks] == ["", "1000", "1100"]
    assert page.marks[1][0] == pytest.approx(page.left + 37.5)
    assert "RR (ms)" in paper_svg(rec, beats=[250, 750, 1300])
    shifted = compose(rec, start=1.0, beats=[250, 750, 1300])
    assert [text for _, text in shifted.marks] == ["1000", "1100"]


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"layout": "2x2"}, LayoutError, "3x4"),
        ({"layout": "3x4"}, LeadError, "rows"),
        ({"speed": 0}, LayoutError, "speed"),
        ({"gain": float("nan")}, LayoutError, "gain"),
        ({"start": 10}, LayoutError, "start=10"),
        ({"duration": 11}, LayoutError, "duration=11"),
    ],
)
def test_impossible_pages_are_refused(options, error, text):
    with pytest.raises(error, match=text):
        paper_svg(made_up(leads=["I", "II"]), **options)


@pytest.mark.parametrize("n", [1, 2, 7])
def test_very_short_records_are_drawn(n):
    for leads in (["II"], STANDARD_LEADS):
        ET.fromstring(paper_svg(Record(np.ones((len(leads), n)), 500, leads)))


def test_the_figure_has_the_paper_size_and_the_signal():
    pytest.importorskip("matplotlib")
    rec = made_up()
    figure = rec.plot("12x1", beats=[250, 750])
    page = compose(rec, "12x1", beats=[250, 750])
    np.testing.assert_allclose(figure.get_size_inches() * 25.4, (page.width, page.height))
    longest = max(figure.axes[0].lines, key=lambda line: len(line.get_xdata()))
    assert len(longest.get_xdata()) == 5000


def test_a_record_becomes_a_frame_with_time_in_seconds():
    pytest.importorskip("pandas")
    rec = made_up(fs=250.0)
    frame = rec.to_frame()
    assert list(frame.columns) == list(STANDARD_LEADS)
    assert frame.index[250] == 1.0
    np.testing.assert_array_equal(frame["V2"].to_numpy(), rec["V2"])


def test_a_png_holds_the_picture_it_was_given():
    entries = np.arange(6, dtype=np.uint8).reshape(2, 3)
    data = _image.png(entries)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    at = data.index(b"IDAT")
    size = int.from_bytes(data[at - 4 : at], "big")
    lines = np.frombuffer(zlib.decompress(data[at + 4 : at + 4 + size]), np.uint8).reshape(2, 4)
    np.testing.assert_array_equal(lines[:, 1:], entries)
    image = pytest.importorskip("PIL.Image")
    import io

    picture = np.asarray(image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(picture, _image.palette()[entries])


def test_levels_clip_and_mark_what_is_not_a_number():
    got = _image.levels(np.array([-1.0, 0.0, 0.5, 1.0, 2.0, np.nan]), 0.0, 1.0)
    np.testing.assert_array_equal(got, [0, 0, 127, 254, 254, 255])
    np.testing.assert_array_equal(_image.levels(np.array([3.0, np.nan]), 3.0, 3.0), [0, 255])


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    freqs = np.geomspace(1, 40, 8)
    whole = Scalogram(
        rng.random((2, 8, 2500)).astype(np.float32),
        freqs,
        np.arange(2500) / 250 + 0.002,
        ("I", "<b>"),
    )
    stacked = StackedScalogram(
        rng.random((10, 16, 64)).astype(np.float32), freqs[::-1], ("I", "<b>")
    )
    return whole, stacked


def test_scalograms_show_themselves_with_their_axes(pictures):
    for shown in pictures:
        html = shown._repr_html_()
        assert "40 Hz" in html
        assert "<b>" not in html
        ET.fromstring(shown.svg())
        np.testing.assert_array_equal(np.asarray(shown), shown.values)
        pytest.importorskip("matplotlib")
        axes = shown.plot().axes[0]
        assert axes.get_xlim() == pytest.approx((0, 10))


def test_a_stacked_picture_puts_windows_side_by_side(pictures):
    stacked = pictures[1]
    bands = stacked._bands()
    assert bands.shape == (2, 8, 640)
    np.testing.assert_array_equal(bands[1, 3, 64 * 7 : 64 * 8], stacked.values[7, 8 + 3])


def test_a_tone_is_brightest_at_its_frequency_and_pictures_have_high_frequencies_on_top():
    t = np.arange(5000) / 500
    rec = Record(np.sin(2 * np.pi * 20 * t)[None], 500, ["II"])
    whole = rec.scalogram(np.geomspace(2, 80, 41), width=100)
    assert whole.values.shape == (1, 41, 100)
    assert whole.unit == "mV"
    assert whole.times[[0, -1]] == pytest.approx([0.05, 9.95])
    middle = whole.values[0, :, 20:80].mean(axis=1)
    assert whole.freqs[middle.argmax()] == pytest.approx(20, rel=0.05)
    assert middle.max() == pytest.approx(1.0, abs=0.03)
    rows = whole._picture()[0]
    assert rows.mean(axis=1).argmax() == 40 - middle.argmax()
    stacked = rec.stacked_scalogram(np.geomspace(2, 80, 41), width=32)
    assert stacked.values.shape == (10, 41, 32)
    assert stacked.freqs[stacked.values[5].mean(axis=1).argmax()] == pytest.approx(20, rel=0.1)


def test_plots_without_matplotlib_name_the_extra(monkeypatch):
    import builtins

    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    monkeypatch.setattr("importlib.import_module", lambda name: refuse(name))
    with pytest.raises(ek.MissingExtraError, match=r"ecgkit-native\[plot\]"):
        made_up().plot()
