"""Which signals of a file become the leads of a record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import FormatError, LeadError, RateError, UnitError
from ..record import canonical_lead
from . import _units

Leads = Sequence[str | int] | None


def choose(names: Sequence[str], leads: Leads, source: str) -> list[int]:
    """Indices of the signals asked for by name or position; all of them for None."""
    if leads is None:
        return list(range(len(names)))
    if isinstance(leads, (str, int)):
        leads = [leads]
    known = [canonical_lead(name) for name in names]
    chosen = []
    for lead in leads:
        if isinstance(lead, int) and not isinstance(lead, bool):
            if not 0 <= lead < len(names):
                raise LeadError(
                    f"{source} has signals 0 to {len(names) - 1}; leads asks for {lead}"
                )
            chosen.append(lead)
            continue
        found = [i for i, name in enumerate(known) if name == canonical_lead(str(lead))]
        if len(found) != 1:
            what = "no signal" if not found else f"{len(found)} signals"
            hint = "" if not found else f"; choose by position, one of {found}"
            raise LeadError(f"{source} has {what} named {lead!r}; it has {', '.join(names)}{hint}")
        chosen.append(found[0])
    return chosen


def recording(labels: Sequence[str], record: int | str | None, source: str) -> int:
    """Which of the recordings in a file is asked for: by position or label; the first for None."""
    if record is None:
        return 0
    shown = ", ".join(f"{i} ({label})" if label else str(i) for i, label in enumerate(labels))
    if isinstance(record, int) and not isinstance(record, bool) and 0 <= record < len(labels):
        return record
    found = [i for i, label in enumerate(labels) if label == record]
    if len(found) != 1:
        raise FormatError(f"{source} has no single recording {record!r}; record may be {shown}")
    return found[0]


def voltages(
    names: Sequence[str], units: Sequence[str], leads: Leads, source: str
) -> tuple[list[int], list[float], tuple[tuple[str, str], ...]]:
    """Indices of the signals to keep, their factors to mV, and the (name, unit) of those left out.

    A signal that is no voltage (a pressure, a respiration) is left out, unless ``leads`` asks for
    it: then it is an error.

    Raises
    ------
    UnitError
        A wanted signal has a unit that is no voltage, or unknown; or no signal is a voltage.
    LeadError
        A wanted signal is absent, or two kept signals have one name.
    """
    if leads is None and names and all(unit == "mV" for unit in units):  # the usual archive
        unique(names, source)
        return list(range(len(names))), [1.0] * len(names), ()
    kept, factors, dropped = [], [], []
    for i in choose(names, leads, source):
        f = _units.factor(units[i], names[i], source)
        if f is not None:
            kept.append(i)
            factors.append(f)
        elif leads is None:
            dropped.append((names[i], units[i]))
        else:
            raise UnitError(
                f"{source}: signal {names[i]!r} is in {units[i]}, which is no voltage; "
                "drop it from leads"
            )
    if not kept:
        what = ", ".join(f"{name} in {unit}" for name, unit in dropped[:8])
        raise UnitError(f"{source} has no signal that is a voltage ({what or 'no signal at all'})")
    unique([names[i] for i in kept], source)
    return kept, factors, tuple(dropped)


def unique(names: Sequence[str], source: str) -> None:
    """Refuse two signals of one name: the format does not say which is which."""
    known = [canonical_lead(name) for name in names]
    if len(set(known)) != len(known):
        twice = sorted({name for name in known if known.count(name) > 1})
        raise LeadError(
            f"{source} names {', '.join(twice)} more than once; "
            "choose signals by position with leads=[0, ...]"
        )


def one_rate(names: Sequence[str], rates: Sequence[float], source: str) -> float:
    """The rate that all signals share.

    Raises
    ------
    RateError
        They differ: lists the rates, and how to choose the signals of one of them.
    """
    if len(set(rates)) == 1:
        return rates[0]
    groups: dict[float, list[str]] = {}
    for name, rate in zip(names, rates, strict=True):
        groups.setdefault(rate, []).append(name)
    what = "; ".join(f"{rate:g} Hz: {', '.join(who)}" for rate, who in groups.items())
    first: Any = list(next(iter(groups.values())))
    raise RateError(
        f"{source} has signals at several rates ({what}); "
        f"choose those of one rate, e.g. leads={first!r}"
    )
