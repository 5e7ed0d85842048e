"""ecgkit runs the ECG deep-learning literature on a CPU.

Research software, not a medical device.

>>> import ecgkit as ek
>>> rec = ek.sample()
>>> ek.load_model("scalogram_arrhythmia")(rec)
"""

import importlib
from typing import TYPE_CHECKING

from . import errors
from ._config import get_threads, set_threads, show_config
from .errors import (
    ContractError,
    ConversionError,
    EcgkitError,
    FormatError,
    LayoutError,
    LeadError,
    MetricError,
    MissingExtraError,
    OutputError,
    RangeError,
    RateError,
    UnitError,
    WeightsError,
)
from . import simd  # isort: skip  (reads ECGKIT_SIMD)

__version__ = "0.1.0"

# Loaded on first use, so that `import ecgkit` stays fast.
_MODULES = {
    "datasets", "evaluate", "explain", "fft", "io", "lora", "metrics", "models", "nn", "plot",
    "proto", "report", "signal", "synth", "train", "wavelet", "weights",
}  # fmt: skip
_NAMES = {
    "Record": "record",
    "read": "io",
    "read_many": "io",
    "sample": "io",
    "list_models": "models",
    "load_model": "models",
    "score": "scoring",
}

__all__ = [
    "ContractError", "ConversionError", "EcgkitError", "FormatError", "LayoutError", "LeadError",
    "MetricError", "MissingExtraError", "OutputError", "RangeError", "RateError", "UnitError",
    "WeightsError", "errors", "get_threads", "set_threads", "show_config", "simd",
    *_MODULES, *_NAMES,
]  # fmt: skip


def __getattr__(name: str):
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _NAMES:
        value = getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})


if TYPE_CHECKING:
    from .io import read, read_many, sample
    from .models import list_models, load_model
    from .record import Record
    from .scoring import score
