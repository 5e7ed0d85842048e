"""Methods by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import EcgkitError
from ._attention import attention
from ._occlusion import occlusion
from ._prototypes import prototypes

METHODS: dict[str, Callable[..., Any]] = {
    "prototypes": prototypes,
    "attention": attention,
    "occlusion": occlusion,
}


def explain(model: Any, x: Any, fs: float | None = None, *, method: str | None = None, **options):
    """One recording explained by one of the model's methods.

    Parameters
    ----------
    model : Model
    x, fs
        One recording, as for calling the model.
    method : str, optional
        One of ``model.explanations``; default the first of them.
    **options
        Those of the method: :func:`prototypes`, :func:`attention`, :func:`occlusion`.

    Returns
    -------
    Prototypes, Attention or Occlusion

    Raises
    ------
    EcgkitError
        The model has no such method.
    """
    known = model.explanations
    chosen = known[0] if method is None else method
    if chosen not in known:
        raise EcgkitError(
            f"{model.title} is not explained by {chosen!r}; its methods: {', '.join(known)}"
        )
    return METHODS[chosen](model, x, fs, **options)
