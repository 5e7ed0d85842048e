"""An ECG page as a picture: true to scale, its pen as round as drawn by brute force, quick."""

import numpy as np
import pytest

import ecgkit as ek
from ecgkit.errors import LayoutError, LeadError
from ecgkit.plot import STYLES, _raster, compose, page_image


def brute_force(x, y, shape, pen, fine=8):
    """Share of each pixel's points that lie within ``pen`` of the polyline."""
    high, wide = shape
    px, py = np.meshgrid(
        (np.arange(wide * fine) + 0.5) / fine, (np.arange(high * fine) + 0.5) / fine
    )
    near = np.full(px.shape, np.inf)
    for i in range(len(x) - 1):
        dx, dy = x[i + 1] - x[i], y[i + 1] - y[i]
        t = np.clip(((px - x[i]) * dx + (py - y[i]) * dy) / (dx * dx + dy * dy), 0, 1)
        near = np.minimum(near, np.hypot(px - x[i] - t * dx, py - y[i] - t * dy))
    return (near <= pen).reshape(high, fine, wide, fine).mean(axis=(1, 3))


@pytest.mark.parametrize("step", [0.05, 0.31, 4.7])
@pytest.mark.parametrize("pen", [0.6, 1.3, 2.5])
def test_ink_agrees_with_brute_force(step, pen):
    rng = np.random.default_rng(0)
    x = np.arange(5.0, 45.0, step)
    smooth = np.cumsum(rng.normal(0, 1, len(x))) * np.sqrt(step)
    y = 20 + 2 * (smooth - smooth.mean()) + 8 * (np.arange(len(x)) == len(x) // 2)
    ink = np.zeros((48, 60), np.float32)
    _raster._trace(ink, x, np.clip(y, 6, 40), pen)
    want = brute_force(x, np.clip(y, 6, 40), ink.shape, pen)
    # SUB fine columns against eight points: each may take a share of 1 / SUB of a pixel's edge.
    assert np.abs(ink - want).max() < 0.3
    assert np.abs(ink - want).mean() < 0.008


def test_the_grid_is_true_to_scale():
    picture = page_image(ek.synth.ecg(), style="red", dpi=254, names=False, foot=False)
    page = compose(ek.synth.ecg(), "3x4")
    assert picture.shape == (round(page.height * 10), round(page.width * 10), 3)
    line = picture[:, 3].astype(int)  # a column left of all ink
    bold, fine = (np.array(_raster._rgb(c)) for c in (STYLES["red"].bold, STYLES["red"].fine))
    for y in range(50, len(line) - 50, 50):
        np.testing.assert_array_equal(line[y], bold)
    for y in range(10, 50, 10):
        assert np.abs(line[y] - line[5]).sum() >= np.abs(fine - 255).sum() / 2 - 3


def test_a_wave_of_a_millivolt_is_a_centimetre_high_and_a_second_25_mm_wide():
    fs, t = 1000.0, np.arange(10000) / 1000.0
    x = np.where((t % 1.0 >= 0.5) & (t % 1.0 < 0.52), 1.0, 0.0)
    rec = ek.Record(np.tile(x, (12, 1)), fs, ek.record.STANDARD_LEADS)
    picture = page_image(rec, "12x1", style="plain", dpi=254, names=False, foot=False)
    page = compose(rec, "12x1")
    at = round(page.left * 10)
    row = slice(0, round(page.rows[0] * 10) + 10)
    dark = picture[row, at : at + 2500, 0] < 128
    columns = np.flatnonzero(dark.argmax(axis=0) < dark.argmax(axis=0).max() - 50)
    starts = columns[np.flatnonzero(np.diff(columns, prepend=-9) > 1)]
    np.testing.assert_allclose(np.diff(starts), 250, atol=1)
    rows = np.flatnonzero(dark.any(axis=1))
    assert abs((rows[-1] - rows[0] + 1) - (100 + 3)) <= 1  # 10 mm and the pen's 0.3 mm


@pytest.mark.parametrize("style", ["paper", "red", "dots", "plain"])
@pytest.mark.parametrize("layout", ["3x4", "6x2", "12x1", "rows", "auto"])
def test_every_style_and_layout_has_all_its_leads(style, layout):
    rec = ek.synth.ecg()
    picture = page_image(rec, layout, style=style, dpi=150)
    page = compose(rec, layout)
    assert picture.dtype == np.uint8
    ink = _raster._rgb(STYLES[style].ink)
    for strip in page.strips:
        x0, x1 = (round(float(v) * 150 / 25.4) for v in page.x_of(strip)[[0, -1]])
        y = round(strip.y * 150 / 25.4)
        box = picture[max(y - 50, 0) : y + 50, x0:x1].astype(int)
        distance = np.abs(box - ink).sum(axis=2).min(axis=0)
        assert (distance < 330).mean() > 0.9, strip.lead


def test_missing_samples_leave_no_ink():
    rec = ek.synth.ecg()
    signal = rec.signal.copy()
    signal[0, : rec.n_samples // 8] = np.nan
    signal[1] = np.nan
    holey = ek.Record(signal, rec.fs, rec.leads)
    picture = page_image(holey, style="plain", dpi=100, rhythm=None)
    page = compose(holey, "3x4", rhythm=None)
    scale = 100 / 25.4
    first = page.strips[0]
    x = page.x_of(first) * scale
    part = picture[:, round(x[0]) + 20 : round(x[len(x) // 2]) - 5]
    band = slice(round(first.y * scale) - 2, round(first.y * scale) + 3)
    assert (part[band] == 255).all()
    assert (picture[band, round(x[-1]) - 20 : round(x[-1])] < 255).any()


def test_each_picture_is_a_new_array_and_the_same_again():
    rec = ek.synth.ecg()
    first = page_image(rec, dpi=60)
    kept = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(page_image(rec, dpi=60), kept)


def test_names_and_foot_can_be_left_out():
    rec = ek.synth.ecg()
    whole = page_image(rec, dpi=100, style="plain")
    bare = page_image(rec, dpi=100, style="plain", names=False, foot=False)
    assert (whole[-40:] < 255).sum() > (bare[-40:] < 255).sum() == 0
    assert (whole <= bare).all()


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"style": "yellow"}, LayoutError),
        ({"layout": "4x4"}, LayoutError),
        ({"dpi": 0}, LayoutError),
        ({"dpi": float("nan")}, LayoutError),
        ({"dpi": 10_000}, LayoutError),
        ({"rhythm": "V9"}, LeadError),
    ],
)
def test_what_cannot_be_drawn_is_refused(given, error):
    with pytest.raises(error):
        page_image(ek.synth.ecg(), **given)


def test_a_record_of_one_sample_and_a_wild_one_are_drawn():
    assert page_image(ek.Record(np.zeros((1, 1)), 500.0, ["I"]), "rows", dpi=50).size
    wild = ek.Record(np.array([[0.0, 1e6, -1e6, 0.0] * 50]), 100.0, ["I"])
    assert (page_image(wild, "rows", dpi=50) < 100).any()
