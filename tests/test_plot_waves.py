"""Delineation overlay, Poincaré plot, and the cells of their page."""

import re
from pathlib import Path

import numpy as np
import pytest

import ecgkit as ek

pytest.importorskip("matplotlib")
PAGE = Path(__file__).parents[1] / "docs" / "signal" / "beats_and_waves.md"


@pytest.fixture(scope="module")
def waves():
    return ek.signal.delineate(ek.synth.ecg(heart_rate=70))


def test_the_overlay_shades_every_wave_shown(waves):
    figure = ek.plot.delineation(waves, ["II"], start=0, duration=10)
    shown = sum((waves.points(w, "II")[:, 0] >= 0).sum() for w in ("P", "QRS", "T"))
    assert len(figure.axes) == 1
    assert len(figure.axes[0].patches) == shown
    line = figure.axes[0].lines[-1]
    assert np.array_equal(line.get_ydata(), ek.synth.ecg(heart_rate=70)["II"])


def test_the_usual_leads_are_shown_and_what_is_not_there_is_named(waves):
    assert len(ek.plot.delineation(waves).axes) == 3
    one = ek.signal.delineate(ek.synth.ecg().signal[:1], fs=500)
    assert len(ek.plot.delineation(one).axes) == 1
    with pytest.raises(ek.LeadError, match="no lead 'X'"):
        ek.plot.delineation(waves, ["X"])
    with pytest.raises(ek.LayoutError, match="nothing between"):
        ek.plot.delineation(waves, start=11)


def test_the_poincare_plot_holds_every_pair_and_the_ellipse():
    h = ek.signal.hrv(rr=800 + 30 * np.random.default_rng(0).normal(size=100))
    axes = ek.plot.poincare(h).axes[0]
    assert len(axes.lines[1].get_xdata()) == 99
    ellipse = axes.patches[0]
    assert ellipse.width == pytest.approx(2 * h["SD2"])
    assert ellipse.height == pytest.approx(2 * h["SD1"])
    with pytest.raises(ek.LayoutError, match="three intervals"):
        ek.plot.poincare(ek.signal.hrv(rr=[800.0, 810.0]))


def test_the_cells_of_the_page_run():
    pytest.importorskip("pandas")
    pytest.importorskip("wfdb")
    space: dict = {}
    for cell in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(compile(cell, PAGE.name, "exec"), space)
    assert len(space["waves"]) > 0
