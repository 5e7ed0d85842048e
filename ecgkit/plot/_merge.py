"""The picture of a LoRA merge: how strong every change is, and what rounding left of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import EcgkitError
from ._figure import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..lora import MergeReport

COLOURS = {"BF16": "#b3452c", "F16": "#2b6a99", "F32": "#3f7d4e", "F64": "#6b6b6b"}


def plot_merge(report: MergeReport) -> Figure:
    """Two panels over the tensors merged, in the order of the files.

    Parameters
    ----------
    report : MergeReport
        Of a merge that was done (a dry run measures nothing).

    Returns
    -------
    matplotlib.figure.Figure
        Above: norm of the change over norm of the weight. Below: share of the change that rounding
        lost (filled) and share of elements that stayed as they were (rings), in the colour of the
        dtype written.

    Raises
    ------
    EcgkitError
        Nothing was measured.
    MissingExtraError
        matplotlib is not installed (extra ``plot``).
    """
    merged = [t for t in report.tensors if t.action == "merge" and t.ratio == t.ratio]
    if not merged:
        raise EcgkitError("MergeReport.plot: no tensor was merged and measured (a dry run is not)")
    figure = new_figure(9.0, 5.2)
    above = figure.add_axes((0.09, 0.60, 0.88, 0.31))
    below = figure.add_axes((0.09, 0.12, 0.88, 0.38))
    for dtype in dict.fromkeys(t.dtype for t in merged):
        at = np.array([k for k, t in enumerate(merged) if t.dtype == dtype])
        some = [merged[k] for k in at]
        colour = COLOURS.get(dtype, "#444444")
        above.vlines(
            at, 0, [t.ratio for t in some], color=colour, lw=max(0.6, 200 / len(merged) / 4)
        )
        below.plot(at, [100 * t.loss for t in some], "o", color=colour, ms=4,
                   label=f"{dtype}: change lost")  # fmt: skip
        below.plot(at, [100 * t.unchanged for t in some], "o", mfc="none", color=colour, ms=5,
                   label=f"{dtype}: elements unchanged")  # fmt: skip
    total = ", ".join(f"{d}: {x['loss']:.2%} lost" for d, x in report.loss_by_dtype.items())
    above.set_title(
        f"{report.out.name}: {len(merged)} tensors merged; {total}", loc="left", size=10
    )
    above.set(ylabel="change / weight", ylim=(0, None), xticklabels=[])
    below.set(ylabel="percent", ylim=(0, 105), xlabel="tensor, in the order of the files")
    below.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4)
    for axes in (above, below):
        axes.set_xlim(-0.7, len(merged) - 0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    return figure
