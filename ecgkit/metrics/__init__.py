"""Figures of merit: ranked scores, decisions, calibration, distances, and their intervals."""

from ._bootstrap import Interval, bootstrap, bootstrap_ptbxl
from ._calibration import Reliability, brier, ece, reliability
from ._curve import Coupling, frechet_coupling, frechet_curve
from ._delong import DeLong, delong
from ._gaussian import (
    FeatureStatistics,
    GaussianDistance,
    KernelDistance,
    feature_statistics,
    frechet_features,
    frechet_gaussian,
    kid,
)
from ._multilabel import (
    Fmax,
    binarize,
    coverage_error,
    f_beta,
    fmax,
    fmax_curve,
    g_beta,
    label_ranking_average_precision,
    ranking_loss,
)
from ._phenotypes import (
    Associations,
    MixedClassTest,
    PrototypeDistances,
    RankTest,
    adjust,
    associate,
    mann_whitney,
    mixed_class_test,
    prototype_distances,
)
from ._presets import CLIP_PRESETS, frechet_clips
from ._rank import auroc, average_precision, precision_recall_curve, roc_curve
from ._signal import correlation, prd, rmse, ssim
from ._single import confusion, confusion_figures, resample_counts

SCORED = (
    "auroc", "average_precision", "brier", "coverage_error", "ece", "f_beta", "fmax", "g_beta",
    "label_ranking_average_precision", "ranking_loss",
)  # fmt: skip
"""Figures of labels and scores, by the names that ``bootstrap`` takes."""

__all__ = [
    "CLIP_PRESETS", "SCORED", "Associations", "Coupling", "DeLong", "FeatureStatistics", "Fmax",
    "GaussianDistance", "Interval", "KernelDistance", "MixedClassTest", "PrototypeDistances",
    "RankTest", "Reliability", "adjust", "associate", "auroc", "average_precision", "binarize",
    "bootstrap", "bootstrap_ptbxl", "brier", "confusion", "confusion_figures", "correlation",
    "coverage_error", "delong", "ece", "f_beta", "feature_statistics", "fmax", "fmax_curve",
    "frechet_clips", "frechet_coupling", "frechet_curve", "frechet_features",
    "frechet_gaussian", "g_beta", "kid", "label_ranking_average_precision", "mann_whitney",
    "mixed_class_test", "prd", "precision_recall_curve", "prototype_distances", "ranking_loss",
    "reliability", "resample_counts", "rmse", "roc_curve", "ssim",
]  # fmt: skip
