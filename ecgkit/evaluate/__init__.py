"""Evaluation: what a paper reports beside what was measured, never mixed."""

from ..metrics import confusion
from .single import Estimate, SingleLabelReport, single_label

__all__ = ["Estimate", "SingleLabelReport", "confusion", "single_label"]
