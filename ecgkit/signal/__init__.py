"""One-dimensional signals: filters, resampling, beats and waves, quality."""

from ._median import median_filter
from ._resample import resample
from ._scale import zscore

__all__ = ["median_filter", "resample", "zscore"]
