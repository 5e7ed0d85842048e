"""What an answer rests on: prototypes, attention, or what changes when a part is taken away.

:meth:`Model.explain` chooses the method that suits the model; the functions here run one each.
"""

from ._attention import Attention, Tokens, attention
from ._methods import METHODS, explain
from ._occlusion import Occlusion, occlusion
from ._picture import PictureMap
from ._prototypes import Prototypes, prototypes

__all__ = [
    "METHODS", "Attention", "Occlusion", "PictureMap", "Prototypes", "Tokens", "attention",
    "explain", "occlusion", "prototypes",
]  # fmt: skip
