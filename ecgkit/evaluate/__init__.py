"""Evaluation: what a paper reports beside what was measured, never mixed."""

from .single import Estimate, SingleLabelReport, confusion, single_label

__all__ = ["Estimate", "SingleLabelReport", "confusion", "single_label"]
