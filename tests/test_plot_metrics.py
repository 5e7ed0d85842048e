"""Pictures of figures of merit, and the page that explains them."""

import re
from pathlib import Path

import numpy as np
import pytest

import ecgkit as ek

pytest.importorskip("matplotlib")
PAGE = Path(__file__).resolve().parents[1] / "docs" / "metrics.md"


def scored(n=300):
    rng = np.random.default_rng(0)
    y = (rng.random(n) < 0.3).astype(int)
    return y, 1 / (1 + np.exp(-(rng.normal(size=n) + 2 * y - 1)))


@pytest.mark.parametrize("mode", ["amplitude", "plane"])
def test_a_coupling_shows_the_pair_that_sets_the_distance(mode):
    t = np.linspace(0, 6, 90)
    a, b = np.sin(t), np.sin(t[:80] + 0.4)
    figure = ek.plot.coupling_figure(a, b, mode=mode, time_scale=0.01, fs=100)
    (axes,) = figure.axes
    distance = ek.metrics.frechet_curve(a, b, mode=mode, time_scale=0.01)
    assert f"distance {distance:.3g}" in axes.get_legend_handles_labels()[1]
    assert axes.get_xlabel() == "time (s)"


def test_curves_state_their_figures_and_intervals():
    y, p = scored()
    figure = ek.plot.roc_figure(y, p, label="AFIB", n=20)
    area = ek.metrics.bootstrap(y, p, n=20)
    title = figure.axes[0].get_title(loc="left")
    assert title == f"AFIB: AUROC {area.point:.3f} ({area.low:.3f} to {area.high:.3f})"
    assert "average precision" in figure.axes[1].get_title(loc="left")
    by_patient = ek.plot.roc_figure(y, p, groups=np.arange(300) // 3, n=20)
    assert "100 patients" in by_patient.texts[0].get_text()


def test_reliability_shows_bins_and_counts():
    y, p = scored()
    figure = ek.plot.reliability_figure(y, p, bins=5)
    assert f"ECE {ek.metrics.ece(y, p, bins=5):.3f}" in figure.axes[0].get_title(loc="left")
    assert sum(bar.get_height() for bar in figure.axes[1].patches) == 300


def test_the_cells_of_the_page_run():
    scope = {}
    cells = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(cells) > 5
    for cell in cells:
        exec(cell, scope)
