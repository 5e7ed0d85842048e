"""The exceptions ecgkit raises. A message says what came, what was wanted, and how to fix it."""

__all__ = [
    "ContractError",
    "ConversionError",
    "EcgkitError",
    "FormatError",
    "LayoutError",
    "LeadError",
    "MetricError",
    "MissingExtraError",
    "OutputError",
    "RangeError",
    "RateError",
    "UnitError",
    "WeightsError",
]


class EcgkitError(Exception):
    """Root of the tree: catches everything that ecgkit itself decides to refuse."""


class FormatError(EcgkitError, ValueError):
    """A file is not what it claims to be: names the file and, where known, the byte or line."""


class LayoutError(EcgkitError, ValueError):
    """An array has the wrong number of dimensions, leads or samples."""


class UnitError(EcgkitError, ValueError):
    """A unit is absent or cannot be converted to millivolt."""


class LeadError(EcgkitError, ValueError):
    """A lead is missing, unknown or given twice."""


class RangeError(EcgkitError, ValueError):
    """A number lies outside what is allowed, such as a row number beyond a table."""


class RateError(EcgkitError, ValueError):
    """A sampling rate is absent, not positive, or not the one demanded."""


class ContractError(EcgkitError, ValueError):
    """Input breaks a model's preprocessing contract (NaN, too short, ...)."""


class ConversionError(EcgkitError, ValueError):
    """A network of another framework cannot become a program: names the place, the op and why."""


class MetricError(EcgkitError, ValueError):
    """A figure of merit is not defined for these labels, scores or covariances."""


class WeightsError(EcgkitError, ValueError):
    """Weights do not fit a model: lists missing, unexpected and misshapen keys."""


class MissingExtraError(EcgkitError, ImportError):
    """An optional dependency is not installed: names the package and the extra that brings it."""


class OutputError(EcgkitError, OSError):
    """A result cannot be written: disk full, not permitted, in use, or made by something else."""
