"""Read the time and sleep: `SystemClock`, and `ScaledClock` for simulations.

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
