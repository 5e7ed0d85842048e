"""Pictures of figures of merit: coupled curves, ROC and precision-recall, reliability."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .. import metrics
from .._typing import Array, ArrayLike
from . import _paper as paper
from ._figure import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FAINT, _SECOND = "#b9c0cc", "#c2571a"
_GRID = np.linspace(0.0, 1.0, 201)


def coupling_figure(
    p: ArrayLike,
    q: ArrayLike,
    *,
    names: tuple[str, str] = ("first", "second"),
    mode: Literal["amplitude", "plane"] = "amplitude",
    time_scale: float = 1.0,
    fs: float | None = None,
    links: int = 80,
) -> Figure:
    """Two curves, the coupling behind their Frechet distance, and the pair that sets it.

    Parameters
    ----------
    p, q : array_like, shapes (n,) and (m,)
    names : pair of str
    mode, time_scale
        As in :func:`ecgkit.metrics.frechet_curve`.
    fs : float, optional
        Rate in Hz, for an axis in seconds; samples otherwise.
    links : int
        About how many of the coupled pairs are drawn.

    Returns
    -------
    matplotlib.figure.Figure
    """
    a, b = np.asarray(p, float), np.asarray(q, float)
    got = metrics.frechet_coupling(a, b, mode=mode, time_scale=time_scale)
    step = 1.0 / fs if fs else 1.0
    figure = new_figure(8.0, 3.6)
    axes = figure.add_subplot()
    shown = got.path[:: max(1, len(got.path) // links)]
    for i, j in shown:
        axes.plot([i * step, j * step], [a[i], b[j]], color=_FAINT, lw=0.6, zorder=1)
    axes.plot(np.arange(len(a)) * step, a, color=paper.MARK, lw=1.4, label=names[0])
    axes.plot(np.arange(len(b)) * step, b, color=_SECOND, lw=1.4, label=names[1])
    i, j = got.path[got.at]
    axes.plot(
        [i * step, j * step], [a[i], b[j]], "o-", color=paper.INK, lw=1.8, ms=4,
        label=f"distance {got.distance:.3g}", zorder=4,
    )  # fmt: skip
    axes.set(xlabel="time (s)" if fs else "sample", ylabel="amplitude")
    title = "discrete Frechet coupling, amplitudes"
    if mode == "plane":
        title = f"discrete Frechet coupling, plane, {time_scale:g} per sample"
    axes.set_title(title, fontsize=10, loc="left")
    axes.legend(frameon=False, fontsize=8, loc="best")
    _bare(axes)
    figure.tight_layout()
    return figure


def roc_figure(
    y: ArrayLike,
    s: ArrayLike,
    *,
    label: str = "",
    groups: ArrayLike | None = None,
    n: int = 200,
    seed: int = 0,
    level: float = 0.95,
) -> Figure:
    """ROC and precision-recall curve of one label, with bootstrap bands and intervals.

    Parameters
    ----------
    y, s : array_like, shape (records,)
    label : str
        For the title.
    groups : array_like, shape (records,), optional
        Patients; they are resampled with all their records.
    n, seed, level : int, int, float
        Resamples, their seed, and the coverage of bands and intervals.

    Returns
    -------
    matplotlib.figure.Figure
    """
    truth, score = np.asarray(y).ravel(), np.asarray(s).ravel()
    resample: dict[str, Any] = {"n": n, "seed": seed, "level": level, "groups": groups}
    area = metrics.bootstrap(truth, score, "auroc", **resample)
    precision = metrics.bootstrap(truth, score, "average_precision", **resample)
    tpr, ppv = _bands(truth, score, groups, n, seed)
    figure = new_figure(8.4, 4.2)
    tail = [(1 - level) / 2, (1 + level) / 2]
    for at, (name, drawn, own, interval) in enumerate((
        ("ROC", tpr, _roc_on_grid(truth, score), area),
        ("precision-recall", ppv, _pr_on_grid(truth, score), precision),
    )):  # fmt: skip
        axes = figure.add_subplot(1, 2, at + 1)
        low, high = np.nanquantile(drawn, tail, axis=0)
        axes.fill_between(_GRID, low, high, color=paper.MARK, alpha=0.18, lw=0)
        axes.plot(_GRID, own, color=paper.MARK, lw=1.6)
        if name == "ROC":
            axes.plot([0, 1], [0, 1], color=_FAINT, lw=1, zorder=0)
            axes.set(xlabel="false positive rate", ylabel="true positive rate")
        else:
            axes.axhline(truth.mean(), color=_FAINT, lw=1, zorder=0)
            axes.set(xlabel="recall", ylabel="precision")
        axes.set(xlim=(0, 1), ylim=(0, 1.02), aspect="equal")
        head = f"{label + ': ' if label else ''}{'AUROC' if name == 'ROC' else 'average precision'}"
        axes.set_title(
            f"{head} {interval.point:.3f} ({interval.low:.3f} to {interval.high:.3f})",
            fontsize=9, loc="left",
        )  # fmt: skip
        _bare(axes)
    what = "patients" if groups is not None else "records"
    figure.text(
        0.01, 0.01, f"{100 * level:g} % bands and intervals: {n} resamples of {area.units} {what}",
        fontsize=7.5, color="#5a6270",
    )  # fmt: skip
    figure.tight_layout(rect=(0, 0.04, 1, 1))
    return figure


def reliability_figure(
    y: ArrayLike, p: ArrayLike, *, bins: int = 10, level: float = 0.95, label: str = ""
) -> Figure:
    """Reliability diagram: observed frequency over mean probability, with the records per bin.

    Parameters
    ----------
    y, p : array_like, shape (records,)
    bins, level
        As in :func:`ecgkit.metrics.reliability`.
    label : str
        For the title.

    Returns
    -------
    matplotlib.figure.Figure
    """
    got = metrics.reliability(y, p, bins=bins, level=level)
    figure = new_figure(4.6, 5.2)
    grid = figure.add_gridspec(2, 1, height_ratios=(4, 1), hspace=0.12)
    axes = figure.add_subplot(grid[0])
    kept = got.count > 0
    x, f = got.probability[kept], got.frequency[kept]
    spread = np.clip([f - got.low[kept], got.high[kept] - f], 0, None)
    axes.plot([0, 1], [0, 1], color=_FAINT, lw=1, zorder=0)
    axes.errorbar(x, f, yerr=spread, fmt="o-", color=paper.MARK, ms=4, lw=1.3, elinewidth=1)
    axes.set(xlim=(0, 1), ylim=(0, 1), ylabel="observed frequency", aspect="equal")
    axes.tick_params(labelbottom=False)
    axes.set_title(
        f"{label + ': ' if label else ''}ECE {got.ece:.3f}, Brier {got.brier:.3f}",
        fontsize=10, loc="left",
    )  # fmt: skip
    below = figure.add_subplot(grid[1])
    width = got.edges[1] - got.edges[0]
    below.bar(got.edges[:-1], got.count, width=0.92 * width, align="edge", color=paper.MARK)
    below.set(xlim=(0, 1), xlabel="predicted probability", ylabel="records")
    for each in (axes, below):
        _bare(each)
    figure.align_ylabels()
    figure.canvas.draw()
    box, lower = axes.get_position(), below.get_position()
    below.set_position((box.x0, lower.y0, box.width, lower.height))
    return figure


def _bare(axes: Any) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=8)


def _roc_on_grid(y: Array, s: Array) -> Array:
    fpr, tpr, _ = metrics.roc_curve(y, s)
    at = np.searchsorted(fpr, _GRID, side="right") - 1
    after = np.minimum(at + 1, len(fpr) - 1)
    gap = fpr[after] - fpr[at]
    share = np.divide(_GRID - fpr[at], gap, out=np.zeros_like(_GRID), where=gap > 0)
    return tpr[at] + share * (tpr[after] - tpr[at])


def _pr_on_grid(y: Array, s: Array) -> Array:
    precision, recall, _ = metrics.precision_recall_curve(y, s)
    at = np.searchsorted(recall, _GRID, side="left")
    return precision[np.minimum(at, len(recall) - 1)]  # a step: the next point reached


def _bands(y: Array, s: Array, groups: ArrayLike | None, n: int, seed: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    member = np.arange(len(y)) if groups is None else np.unique(groups, return_inverse=True)[1]
    rows = np.split(np.argsort(member, kind="stable"), np.cumsum(np.bincount(member))[:-1])
    tpr, ppv = [], []
    for _ in range(n):
        at = np.concatenate([rows[u] for u in rng.integers(0, len(rows), len(rows))])
        if 0 < y[at].sum() < len(at):
            tpr.append(_roc_on_grid(y[at], s[at]))
            ppv.append(_pr_on_grid(y[at], s[at]))
    return np.array(tpr), np.array(ppv)
