"""One-dimensional signals: filters, resampling, beats and waves, quality."""

from ._scale import zscore

__all__ = ["zscore"]
