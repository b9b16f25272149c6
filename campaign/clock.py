"""The time: what it is, and waiting for it. Nothing else in the package asks the machine."""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


#: Seconds that only grow, since some instant.
_ticks: Callable[[], float] = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic
)


class Clock(Protocol):
    """A source of time that never runs backwards."""

    def now(self) -> float:
        """Return seconds since the epoch; within a process it only grows, whatever is done to the wall clock."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        ...

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        """Return True as soon as the event is set, or False after `seconds`."""
        ...


class SystemClock:
    """The machine's time: the wall clock once at the start, and a clock that nobody sets from then on.

    So a step of the wall clock (NTP, a hand) neither stalls a run nor makes it burst. While the machine sleeps (a
    closed lid) time passes, since tokens grow old meanwhile; where the system has no such clock it stands still.
    """

    def __init__(self) -> None:
        self._offset = time.time() - _ticks()

    def now(self) -> float:
        """Return seconds since the epoch."""
        return _ticks() + self._offset

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        await asyncio.sleep(max(0.0, seconds))  # noqa: TID251 - the one place

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
