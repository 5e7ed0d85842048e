"""One-dimensional signals: filters, resampling, beats and waves, quality."""

from ._resample import resample
from ._scale import zscore

__all__ = ["resample", "zscore"]
