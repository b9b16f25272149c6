"""The options `--at` and `--speed` of a run in the sandbox: `AT`, `SPEED`, `simulation_of`."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

import click

from campaign.errors import CannotStartError

if TYPE_CHECKING:
    from datetime import tzinfo

    from campaign.delivery.sandbox_time import Simulation

AT = click.option("--at", metavar="TIME", help="Begin at this time, in the sandbox only: 2026-12-24T09:00+01:00.")
SPEED = click.option("--speed", metavar="Nx", help="Let time pass N times as fast, in the sandbox only: 3600x.")

_SPEED = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)x?", re.IGNORECASE)
#: A day in a second. Faster, and the hours in which mail may go out pass while one mail is on its way.
_MAX_SPEED = 86_400.0
#: The years in which a simulation may begin.
_YEARS = range(2000, 3000)


def simulation_of(at: str | None, speed: str | None, *, zone: tzinfo | None, in_sandbox: bool) -> Simulation | None:
    """Return the time as the run is to see it; None if neither option was typed.

    Args:
        at: what was typed after `--at`.
        speed: what was typed after `--speed`.
        zone: the campaign's zone, for a time without one; None: the machine's.
        in_sandbox: whether the run uses the sandbox.

    Raises:
        CannotStartError: the run is for real, or an option cannot be read.
    """
    from campaign.delivery.sandbox_time import Simulation  # noqa: PLC0415

    if at is None and speed is None:
        return None
    if not in_sandbox:
        typed = "--speed" if at is None else "--at"
        raise CannotStartError(f"{typed} is for the sandbox, and this would send for real: leave it out.")
    return Simulation(None if at is None else _instant(at, zone), 1.0 if speed is None else _factor(speed))


def _instant(text: str, zone: tzinfo | None) -> float:
    """Return a time in seconds since the epoch."""
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        raise CannotStartError(
            f"--at: {text!r} is not a time in ISO 8601; write one like 2026-12-24T09:00+01:00 or 2026-12-24T09:00."
        ) from None
    if time.year not in _YEARS:
        raise CannotStartError(f"--at: {text!r} is out of range; write a year from {_YEARS[0]} to {_YEARS[-1]}.")
    return (time if time.tzinfo else time.replace(tzinfo=zone)).timestamp()


def _factor(text: str) -> float:
    """Return the number in `3600x` or `60`."""
    found = _SPEED.fullmatch(text.strip())
    if found is None or not 1 <= float(found[1]) <= _MAX_SPEED:
        raise CannotStartError(f"--speed: {text!r} is not a number from 1 to {_MAX_SPEED:.0f}; write one like 3600x.")
    return float(found[1])
