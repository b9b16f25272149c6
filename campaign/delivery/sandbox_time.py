"""Choose the time that a run in the sandbox sees, `sandbox_clock`: the present, a given instant, or a faster one."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from campaign.clock import ScaledClock, SystemClock, instant
from campaign.errors import SettingsError
from campaign.sendlog import LogReader

if TYPE_CHECKING:
    from pathlib import Path

    from campaign.clock import Clock


@dataclass(frozen=True, slots=True)
class Simulation:
    """The time as a run in the sandbox is to see it (`--at`, `--speed`)."""

    #: Where it begins (seconds since the epoch); None: at the present.
    at: float | None = None
    #: How many of its seconds pass in a second of the machine.
    speed: float = 1.0


def sandbox_clock(folder: Path, log: Path, simulation: Simulation | None) -> Clock:
    """Return the clock of a run in the sandbox: the machine's, unless something in the sandbox is later.

    That of a simulation stands still until it is released.

    Args:
        folder: the sandbox's.
        log: the sandbox's send log, which need not exist.
        simulation: the time that was asked for.

    Raises:
        SettingsError: the sandbox already has something later than the asked beginning.
    """
    clock, latest = SystemClock(), latest_instant(folder, log)
    if simulation is not None and simulation.at is not None:
        if latest > simulation.at:
            raise SettingsError(
                f"--at is before what has happened in the sandbox, which is at {shown_instant(latest)}: type a later "
                "time, leave --at out to go on from there, or add --fresh to delete what is later."
            )
        return _held(ScaledClock(simulation.at, simulation.speed))
    if simulation is not None:
        return _held(ScaledClock(max(latest, clock.now()), simulation.speed))
    return _not_before(latest)


def log_clock(log: Path) -> Clock:
    """Return the clock with which a command reads or changes the sandbox's log: never before what is in it.

    Raises:
        SendLogUnusableError: the log cannot be read.
    """
    return _not_before(_latest_in_log(log))


def _not_before(instant: float) -> Clock:
    clock = SystemClock()
    return ScaledClock(instant) if instant > clock.now() else clock


def _held(clock: ScaledClock) -> ScaledClock:
    clock.hold()
    return clock


def latest_instant(folder: Path, log: Path) -> float:
    """Return when something happened last in the sandbox or its send log, in seconds since the epoch; 0 if never.

    Raises:
        SettingsError: the sandbox's state cannot be read.
        SendLogUnusableError: the log cannot be read.
    """
    from campaign.sandbox import SandboxError, latest_in  # noqa: PLC0415 - a real run needs no sandbox

    try:
        return max(latest_in(folder), _latest_in_log(log))
    except SandboxError as error:
        raise SettingsError(str(error)) from error


def _latest_in_log(log: Path) -> float:
    if not log.exists():
        return 0.0
    with closing(LogReader(log)) as reader:
        return reader.latest_instant()


def shown_instant(seconds: float) -> str:
    """Return `2026-12-24 09:00:00 +01:00`: an instant (seconds since the epoch) in this machine's zone."""
    return instant(seconds).astimezone().isoformat(" ", "seconds")
