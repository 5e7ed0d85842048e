"""The engine's transcendentals, their true values, and the bounds on their errors."""

from collections.abc import Callable

import numpy as np
import torch

import ecgkit as ek

F = torch.nn.functional

FUNCTIONS: dict[str, tuple[Callable, Callable, float | None]] = {
    "exp": (ek.nn.exp, torch.exp, None),
    "sigmoid": (ek.nn.sigmoid, torch.sigmoid, -87.0),
    "tanh": (ek.nn.tanh, torch.tanh, None),
    "SiLU": (ek.nn.silu, F.silu, -87.0),
    "GELU": (ek.nn.gelu, F.gelu, -0.5),
    "GELU, tanh form": (
        lambda x: ek.nn.gelu(x, "tanh"),
        lambda t: F.gelu(t, approximate="tanh"),
        -0.5,
    ),
    "erf": (ek.nn.erf, torch.erf, None),
    "log": (ek.nn.log, torch.log, 0.0),
}
"""Ours, PyTorch's, and from which x on units of the last place are counted (None: everywhere)."""

BOUNDS = {
    "exp": (1.1, 1.0e-7),
    "sigmoid": (2.5, 1.2e-7),
    "tanh": (2.5, 1.2e-7),
    "SiLU": (2.5, 1.3e-7),
    "GELU": (3.0, 1.0e-6),
    "GELU, tanh form": (2.5, 2.0e-7),
    "erf": (1.0, 1.0e-7),
    "log": (1.0, 1.0e-7),
}
"""Largest ULP, largest error over max(1, value)."""


def sample(step: int) -> np.ndarray:
    """Every ``step``-th bit pattern of the finite floats of either sign."""
    x = np.arange(0, 0x7F800000, step, dtype=np.uint32).view(np.float32)
    return np.concatenate([x, -x])


def measure(x, y, want, least: float | None) -> tuple[float, float]:
    """The largest distance in units of the last place from ``least`` on, and over max(1, value)
    everywhere. A float that overflows where the true value does is right."""
    with np.errstate(over="ignore", invalid="ignore"):
        nearest = want.astype(np.float32)
        distance = np.abs(y.astype(np.float64) - want)
    equal = (y == nearest) | (np.isnan(y) & np.isnan(nearest))
    distance[equal & ~np.isfinite(nearest)] = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        smallest = np.finfo(np.float32).tiny
        unit = np.spacing(np.maximum(np.abs(nearest), smallest)).astype(np.float64)
    unit[~np.isfinite(unit)] = 2.0**104  # of the largest numbers
    counted = np.isfinite(nearest) if least is None else np.isfinite(nearest) & (x >= least)
    ulp = float(np.max(distance[counted] / unit[counted]))
    return ulp, float(np.max(distance / np.maximum(1.0, np.abs(want))))
