"""Pictures: ECG paper as SVG or matplotlib figure, scalograms, probability bars."""

from ._evidence import evidence_figure
from ._figure import paper_figure
from ._html import record_html
from ._metrics import coupling_figure, reliability_figure, roc_figure
from ._paper import Page, compose
from ._prototype import prototype_figure
from ._raster import STYLES, page_image
from ._scalogram import Scalogram, StackedScalogram, scalogram, seen_by, stacked_scalogram
from ._svg import bars_svg, page_svg, paper_svg
from ._waves import delineation, poincare

__all__ = [
    "STYLES", "Page", "Scalogram", "StackedScalogram", "bars_svg", "compose", "coupling_figure",
    "delineation", "evidence_figure", "page_image", "page_svg", "paper_figure", "paper_svg",
    "poincare",
    "prototype_figure", "record_html", "reliability_figure", "roc_figure", "scalogram", "seen_by",
    "stacked_scalogram",
]  # fmt: skip
