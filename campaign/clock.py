"""Read the time and sleep: `SystemClock`, `ServerClock` for machines that share a log, `ScaledClock` for simulations.

This is the only place outside the sandbox that reads the machine's clock.
"""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


#: A monotonic clock in seconds; on Linux it also counts while the machine sleeps.
_ticks: Callable[[], float] = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic
)

#: Two clocks whose times differ by less show the same time (seconds).
_SAME_S = 0.05


class Clock(Protocol):
    """A source of time that never runs backwards."""

    @property
    def speed(self) -> float:
        """How many of its seconds pass in a second of the machine."""
        ...

    def now(self) -> float:
        """Return seconds since the epoch; it never decreases within a process, even if the wall clock is set back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        ...

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        """Return True as soon as the event is set, or False after `seconds`."""
        ...


class SystemClock:
    """The machine's time: the wall clock, read once at the start, plus a monotonic clock.

    So a step of the wall clock (NTP, the operator) neither stalls a run nor causes a burst. On Linux, time also passes
    while the machine sleeps, because tokens expire meanwhile. On other systems it may not.
    """

    speed = 1.0

    def __init__(self) -> None:
        self._offset = time.time() - _ticks()

    def now(self) -> float:
        """Return seconds since the epoch."""
        return _ticks() + self._offset

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        await _sleep(seconds)

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        """Return True as soon as the event is set, or False after `seconds`."""
        return await _wait(event, seconds)


class ServerClock:
    """The time of a server that several machines share; before it is measured, this machine's.

    Its seconds are those of this machine's monotonic clock. After the first measurement it never runs backwards: if
    it is found to be ahead, it passes half as fast until it is right.

    Args:
        machine: this machine's time.
    """

    speed = 1.0

    def __init__(self, machine: Clock | None = None) -> None:
        self._machine = machine or SystemClock()
        self._is_measured = False
        #: What is added to the machine's time; from an instant of it on, an excess that shrinks.
        self._correction, self._excess, self._since = 0.0, 0.0, 0.0

    def now(self) -> float:
        """Return seconds since the epoch, as the server has them."""
        machine = self._machine.now()
        return machine + self._correction_at(machine)

    @property
    def machine_ahead_s(self) -> float:
        """How far this machine's clock is ahead of the server's (seconds); negative if it is behind."""
        return -self._correction

    def measure(self, ask: Callable[[], float]) -> None:
        """Ask the server for its time (seconds since the epoch), and follow it; any thread may do so.

        The server's answer is true of some instant between question and answer, so that half the round trip is the
        largest error (Cristian's algorithm). A correction that may be such an error is not made.
        """
        asked = self._machine.now()
        said = ask()
        answered = self._machine.now()
        correction, error = said - (asked + answered) / 2, (answered - asked) / 2 + _SAME_S
        if not self._is_measured:
            self._correction, self._is_measured = correction, True
        elif abs(correction - self._correction) > error:
            excess = max(0.0, self._correction_at(answered) - correction)
            self._correction, self._excess, self._since = correction, excess, answered

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        await _sleep(seconds)

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        """Return True as soon as the event is set, or False after `seconds`."""
        return await _wait(event, seconds)

    def _correction_at(self, machine: float) -> float:
        left = self._excess - (machine - self._since) / 2 if self._excess else 0.0
        return self._correction + max(0.0, left)


class ScaledClock:
    """Time that begins at any instant and passes `speed` times as fast as the machine's: a simulated clock.

    `hold` stops it until `release`, so that a simulation begins and ends at the instants of its first and last event,
    however long the program takes to start.

    Args:
        start: what it shows first, in seconds since the epoch.
        speed: how many of its seconds pass in a second of the machine.
    """

    def __init__(self, start: float, speed: float = 1.0) -> None:
        self.speed = speed
        self._start = start
        self._began: float | None = _ticks()

    def now(self) -> float:
        """Return simulated seconds since the epoch."""
        return self._start if self._began is None else self._start + (_ticks() - self._began) * self.speed

    def release(self) -> None:
        """Let time pass."""
        self._began = _ticks()

    def hold(self) -> None:
        """Let time stand still."""
        self._start, self._began = self.now(), None

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of simulated time."""
        await _sleep(seconds / self.speed)

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        """Return True as soon as the event is set, or False after `seconds` of simulated time."""
        return await _wait(event, seconds / self.speed)


async def _sleep(seconds: float) -> None:
    await asyncio.sleep(max(0.0, seconds))  # noqa: TID251 - the only place that may sleep


async def _wait(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


@lru_cache(maxsize=8)
def instant(seconds: float) -> datetime:
    """Return the aware UTC datetime of a clock reading."""
    return datetime.fromtimestamp(seconds, UTC)
