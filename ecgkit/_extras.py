"""Import of optional dependencies: one place, one message."""

import importlib
from types import ModuleType

from .errors import MissingExtraError


def need(module: str, extra: str, why: str) -> ModuleType:
    """Import ``module`` or say which extra brings it.

    Raises
    ------
    MissingExtraError
        ``pip install 'ecgkit-native[extra]'`` is in the message.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.split(".")[0]
        raise MissingExtraError(
            f"{why} needs the package {package!r}, which is not installed ({error}); "
            f"pip install 'ecgkit-native[{extra}]'"
        ) from error
