"""What single papers call FID and FVD, each under its own name."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._typing import Array, ArrayLike
from ..errors import LayoutError, MetricError
from ._gaussian import frechet_features

CLIP_PRESETS: dict[str, dict[str, Any]] = {
    "echopulse-fid": {
        "divisor": 11.0,
        "rescale": False,
        "note": "ECHOPulse eval/FiD.py: per pair of clips over their own frames, divided by 11",
    },
    "echopulse-fid-notebook": {
        "divisor": 1.0,
        "rescale": False,
        "note": "ECHOPulse notebook: per pair of clips over their own frames",
    },
    "echopulse-fvd": {
        "divisor": 1.0,
        "rescale": True,
        "note": "ECHOPulse eval/fvd.py: image features scaled to 0..1 per clip and dimension",
    },
}
"""Rules of :func:`frechet_clips`."""


def frechet_clips(real: ArrayLike, generated: ArrayLike, *, preset: str) -> Array:
    """Frechet distance per pair of clips over the frames of each, by a paper's own rule.

    Not the distance of two data sets that FID and FVD usually mean (:func:`frechet_features`):
    with fewer frames than dimensions every value depends on the number of frames.

    Parameters
    ----------
    real, generated : array_like, shape (clips, frames, d)
        Features of frames.
    preset : str
        A key of ``ecgkit.metrics.CLIP_PRESETS``: ``"echopulse-fid"`` (divided by 11),
        ``"echopulse-fid-notebook"``, ``"echopulse-fvd"`` (each dimension scaled to 0..1 over the
        clip's own frames; a constant one becomes 0).

    Returns
    -------
    ndarray of float64, shape (clips,)
        The papers report its mean.

    Raises
    ------
    MetricError
        An unknown preset, or features that are not finite.
    LayoutError
        Shapes do not fit.
    """
    if preset not in CLIP_PRESETS:
        raise MetricError(f"preset must be one of {', '.join(CLIP_PRESETS)}; got {preset!r}")
    a, b = np.asarray(real, np.float64), np.asarray(generated, np.float64)
    if a.ndim != 3 or b.ndim != 3 or len(a) != len(b) or a.shape[2] != b.shape[2]:
        raise LayoutError(
            f"real and generated must be (clips, frames, d) of as many clips, got {a.shape} and "
            f"{b.shape}"
        )
    rule = CLIP_PRESETS[preset]
    if rule["rescale"]:
        a, b = _unit(a), _unit(b)
    values = [frechet_features(x, y).value for x, y in zip(a, b)]
    return np.array(values) / rule["divisor"]


def _unit(x: Array) -> Array:
    low, high = x.min(1, keepdims=True), x.max(1, keepdims=True)
    return np.divide(x - low, high - low, out=np.zeros_like(x), where=high > low)
