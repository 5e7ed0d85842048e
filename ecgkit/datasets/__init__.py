"""Public ECG collections in their official layout, labelled for a task, read lazily."""

from ._dataset import Dataset
from .ptbxl import RHYTHM4, ptbxl

__all__ = ["RHYTHM4", "Dataset", "ptbxl"]
