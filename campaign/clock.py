"""Read the time and sleep: `SystemClock`, the only place in the package that reads the machine's clock."""

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

    def __init__(self) -> None:
        self._offset = time.time() - _ticks()

    def now(self) -> float:
        """Return seconds since the epoch."""
        return _ticks() + self._offset

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        await asyncio.sleep(max(0.0, seconds))  # noqa: TID251 - the only place that may sleep

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        """Return True as soon as the event is set, or False after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                return await event.wait()
        except TimeoutError:
            return False


@lru_cache(maxsize=8)
def instant(seconds: float) -> datetime:
    """Return the aware UTC datetime of a clock reading."""
    return datetime.fromtimestamp(seconds, UTC)
