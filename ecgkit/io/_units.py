"""What a unit in a file means: a factor to millivolt, no voltage at all, or nothing we know."""

from __future__ import annotations

from ..errors import UnitError

VOLTS = {
    "mV": 1.0, "mv": 1.0, "millivolt": 1.0, "millivolts": 1.0,
    "uV": 1e-3, "uv": 1e-3, "µV": 1e-3, "μV": 1e-3, "microvolt": 1e-3, "microvolts": 1e-3,
    "V": 1e3, "nV": 1e-6,
}  # fmt: skip

# Pressures, flows, rates, impedances, temperatures, fractions, counts: never an ECG.
OTHER = {
    "mmhg", "cmh2o", "kpa", "pa", "bar", "mbar", "ohm", "ohms", "kohm", "nu", "au", "a.u.", "adu",
    "%", "bpm", "pm", "/min", "1/min", "l/min", "ml/min", "l", "ml", "c", "degc", "°c", "f",
    "degf", "g", "mg", "m/s2", "hz", "s", "ms", "mm", "cm", "deg", "rpm", "lpm", "l/s", "ppm",
    "boolean",
}  # fmt: skip


def factor(unit: str, lead: str, source: str) -> float | None:
    """Factor to millivolt, or None for a quantity that is no voltage.

    Raises
    ------
    UnitError
        The unit is blank or unknown: nothing is guessed from its samples.
    """
    known = VOLTS.get(unit)
    if known is not None:
        return known
    if unit.strip().lower() in OTHER:
        return None
    raise UnitError(
        f"{source}: signal {lead!r} has the unit {unit!r}, which is neither a voltage (nV, uV, mV, "
        "V) nor a known other quantity; leave the signal out with leads=[...]"
    )
