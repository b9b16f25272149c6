"""A clock that the tests control, `FakeClock`, and functions that wait for events outside of it."""

from __future__ import annotations

import asyncio
import heapq
import time
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

#: Rounds of the event loop that are enough for everything that needs no time.
_ROUNDS = 12


class FakeClock:
    """A `campaign.clock.Clock` that stands still until a test moves it.

    Args:
        now: seconds since the epoch.
    """

    speed = 1.0

    def __init__(self, now: float = 1_750_000_000.0) -> None:
        self._now = now
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = count()

    # -- campaign.clock.Clock ------------------------------------------------------------------------------------

    def now(self) -> float:
        """Return seconds since the epoch."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Return when the clock was moved by this many seconds."""
        await self._woken_in(seconds)

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        """Return True as soon as the event is set, or False when the clock was moved by this many seconds."""
        sleeper = self._woken_in(seconds)
        waiter = asyncio.ensure_future(event.wait())  # noqa: TID251 - a test's clock, not the program's
        futures: set[asyncio.Future[Any]] = {sleeper, waiter}
        try:
            await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
            return event.is_set()
        finally:
            sleeper.cancel()
            waiter.cancel()

    # -- for the tests -------------------------------------------------------------------------------------------

    @property
    def wakes_at(self) -> float | None:
        """The instant at which the first sleeper wakes, or None if there is no sleeper."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    def jump(self, seconds: float) -> None:
        """Let time pass at once, as for a stopped process: all sleepers wake late."""
        self._now += seconds
        self._wake()

    def set(self, instant: float) -> None:
        """Set the time at once, also to an earlier instant; no sleeper is woken."""
        self._now = instant

    async def advance(self, seconds: float) -> None:
        """Let time pass, and wake each sleeper at its own instant."""
        end = self._now + seconds
        await settled()
        while (instant := self.wakes_at) is not None and instant <= end:
            self._move_to(instant)
            await settled()
        self._now = end

    async def play(
        self, task: asyncio.Future[Any], *, work: Callable[[], tuple[int, int]] = lambda: (0, 0), within: float = 60.0
    ) -> None:
        """Move the clock from sleeper to sleeper until a task is done.

        Args:
            task: the task to run to its end.
            work: returns how many calls that take real time are running, and how many were started; the clock
                stands still while one is running.
            within: the time-out in real seconds.
        """
        until = time.monotonic() + within
        while not task.done():
            assert time.monotonic() < until, "the task does not end"
            before = work()
            await settled()
            if task.done() or before != work():
                continue
            if before[0] or (instant := self.wakes_at) is None:
                await asyncio.sleep(0.001)  # noqa: TID251 - something outside of this clock is under way
            else:
                self._move_to(instant)

    def _move_to(self, instant: float) -> None:
        self._now = max(self._now, instant)
        self._wake()

    def _wake(self) -> None:
        while (instant := self.wakes_at) is not None and instant <= self._now:
            heapq.heappop(self._sleepers)[2].set_result(None)

    def _woken_in(self, seconds: float) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._numbers), future))
        if seconds <= 0:
            self._wake()
        return future


async def settled() -> None:
    """Return when everything that needs no time has happened."""
    for _ in range(_ROUNDS):
        await asyncio.sleep(0)  # noqa: TID251 - a round of the event loop, no time


async def eventually(condition: Callable[[], bool], *, within: float = 60.0) -> None:
    """Return as soon as the condition is true; fail after `within` real seconds."""
    until = time.monotonic() + within
    while not condition():
        assert time.monotonic() < until, "it does not come true"
        await asyncio.sleep(0.002)  # noqa: TID251 - servers live in the real time
