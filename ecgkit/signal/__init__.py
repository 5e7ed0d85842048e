"""One-dimensional signals: filters, resampling, beats and waves, quality."""

from ._beats import Beats, beats, rpeaks
from ._correlate import SEGMENTS, autocorrelate, conserved_segments, correlate
from ._filter import filtfilt, sosfiltfilt
from ._match import BeatMatch, match_beats
from ._median import median_filter
from ._quality import Quality, quality
from ._resample import resample
from ._scale import zscore

__all__ = [
    "SEGMENTS",
    "BeatMatch",
    "Beats",
    "Quality",
    "autocorrelate",
    "beats",
    "conserved_segments",
    "correlate",
    "filtfilt",
    "match_beats",
    "median_filter",
    "quality",
    "resample",
    "rpeaks",
    "sosfiltfilt",
    "zscore",
]
