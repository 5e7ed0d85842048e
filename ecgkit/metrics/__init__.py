"""Figures of merit: ranked scores, decisions, calibration, distances, and their intervals."""

from ._bootstrap import Interval, bootstrap, bootstrap_ptbxl
from ._delong import DeLong, delong
from ._rank import auroc, average_precision, precision_recall_curve, roc_curve

SCORED = ("auroc", "average_precision")

__all__ = [
    "DeLong", "Interval", "auroc", "average_precision", "bootstrap", "bootstrap_ptbxl", "delong",
    "precision_recall_curve", "roc_curve",
]  # fmt: skip
