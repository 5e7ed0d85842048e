"""Pictures of merges and of prototype matches."""

import pytest
from lora_data import adapter, base, pairs

import ecgkit as ek

pytest.importorskip("matplotlib")


def test_a_merge_report_is_drawn_tensor_by_tensor(tmp_path):
    tensors = base(tmp_path / "base")
    adapter(tmp_path / "adapter", pairs(tensors))
    report = ek.lora.merge_checkpoint(tmp_path / "base", tmp_path / "adapter", tmp_path / "out")
    above, below = report.plot().axes
    assert "12 tensors merged" in above.get_title("left")
    lost, unchanged = below.lines
    assert list(lost.get_ydata()) == [100 * t.loss for t in report.tensors]
    assert list(unchanged.get_ydata()) == [100 * t.unchanged for t in report.tensors]


def test_a_dry_run_has_nothing_to_draw(tmp_path):
    adapter(tmp_path / "adapter", pairs(base(tmp_path / "base")))
    dry = ek.lora.merge_checkpoint(
        tmp_path / "base", tmp_path / "adapter", tmp_path / "out", dry_run=True
    )
    with pytest.raises(ek.EcgkitError, match="dry run"):
        dry.plot()


@pytest.mark.parametrize(("window", "span"), [(0, (0.0, 0.93)), (12, (3.75, 4.68)), (29, (9, 10))])
def test_a_match_is_marked_where_it_lies_in_every_row(window, span):
    rec = ek.synth.ecg(10, fs=100)
    figure = ek.plot.prototype_figure(rec, window, length=3, steps=32, score=0.9, label="AFIB")
    page = ek.plot.compose(rec)
    marks = [p for p in figure.axes[0].patches if p.get_alpha() == 0.18]
    assert len(marks) == len(page.rows)
    x = marks[0].get_x() - page.left
    assert x / page.speed == pytest.approx(span[0], abs=0.07)
    assert (x + marks[0].get_width()) / page.speed == pytest.approx(span[1], abs=0.07)
    assert any(text.get_text().startswith("AFIB: 0.900") for text in figure.axes[0].texts)


def test_a_window_outside_the_map_is_refused():
    rec = ek.synth.ecg(10, fs=100)
    with pytest.raises(ek.LayoutError, match="outside"):
        ek.plot.prototype_figure(rec, 30, length=3, steps=32)
