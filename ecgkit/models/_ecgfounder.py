"""ECGFounder's preprocessing as a contract, usable without the model."""

from __future__ import annotations

from collections.abc import Sequence

from ..record import STANDARD_LEADS
from ._contract import Contract
from ._steps import Step


def ecgfounder_contract(
    leads: Sequence[str] = STANDARD_LEADS, preprocess: str = "full"
) -> Contract:
    """What ECGFounder demands: 10 s at 500 Hz, filtered as its repository does.

    Parameters
    ----------
    leads : sequence of str
        The standard twelve (default), or ``("I",)`` for the single-lead model.
    preprocess : {"full", "zscore"}
        ``"full"``: NaN to 0, notch at 50 Hz, Butterworth 0.67-40 Hz, baseline by a running median
        of 201 samples, one z-score over all leads and samples (``dataset.py`` and ``util.py`` of
        the repository). ``"zscore"``: the z-score alone, as its PTB-XL script does.

    Returns
    -------
    Contract

    Raises
    ------
    ValueError
        ``preprocess`` is neither.

    Notes
    -----
    Recordings at another rate go through :func:`ecgkit.signal.resample`, not through the straight
    lines of the repository. The filters run in float64, the median and the z-score in float32:
    within 2e-6 of the repository's float64 chain at the scale of the result.

    References
    ----------
    Li et al., ECGFounder, NEJM AI 2(7) 2025; repository PKUDigitalHealth/ECGFounder.

    Examples
    --------
    >>> contract = ek.models.ecgfounder_contract()
    >>> prepared, notes = contract.prepare(ek.synth.ecg())
    >>> prepared.shape
    (1, 12, 5000)
    """
    if preprocess not in ("full", "zscore"):
        raise ValueError(
            f"ecgfounder_contract: preprocess must be 'full' or 'zscore', got {preprocess!r}"
        )
    filters = (
        Step("notch", frequency=50.0, q=30.0),
        Step("bandpass", low=0.67, high=40.0, order=4),
        Step("median_baseline", sizes=(201,), edge="zero"),
    )
    return Contract(
        fs=500.0,
        length=5000,
        leads=tuple(leads),
        filters=filters if preprocess == "full" else (),
        normalisation=Step("zscore_all", eps=1e-8),
        nan="zero",
    )
