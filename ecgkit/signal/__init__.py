"""One-dimensional signals: filters, resampling, beats and waves, quality."""

from ._beats import Beats, beats, rpeaks
from ._correlate import SEGMENTS, autocorrelate, conserved_segments, correlate
from ._delineate import MISSING, Delineation, Intervals, delineate
from ._filter import filtfilt, sosfiltfilt
from ._hrv import HRV, hrv
from ._match import BeatMatch, match_beats
from ._median import median_filter
from ._quality import Quality, quality
from ._resample import resample
from ._scale import zscore
from ._template import Template, template

__all__ = [
    "HRV",
    "MISSING",
    "SEGMENTS",
    "BeatMatch",
    "Beats",
    "Delineation",
    "Intervals",
    "Quality",
    "Template",
    "autocorrelate",
    "beats",
    "conserved_segments",
    "correlate",
    "delineate",
    "filtfilt",
    "hrv",
    "match_beats",
    "median_filter",
    "quality",
    "resample",
    "rpeaks",
    "sosfiltfilt",
    "template",
    "zscore",
]
