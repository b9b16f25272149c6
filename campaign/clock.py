"""The time: what it is, and waiting for it. Nothing else in the package asks the machine."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


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
    """The machine's time: the wall clock once at the start, and the monotonic clock from then on.

    So a step of the wall clock (NTP, a hand) neither stalls a run nor makes it burst.
    """

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Return seconds since the epoch."""
        return time.monotonic() + self._offset

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


def instant(seconds: float) -> datetime:
    """Return the aware UTC datetime of a clock reading."""
    return datetime.fromtimestamp(seconds, UTC)
