"""Run the scheduler on a real send log and a fake clock; the test settles the rows: `SchedulerHarness`."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from campaign.delivery.concurrency import Concurrency
from campaign.delivery.rate_limiter import RateLimiter
from campaign.delivery.rate_limits import RateLimits
from campaign.delivery.scheduler import Scheduler
from campaign.errors import TransientError
from campaign.model import LONGEST_WAIT, Outcome, Rate, Status
from campaign.sendlog import SendLog
from support.fake_clock import FakeClock
from support.sendlog_helpers import enlist

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from pathlib import Path

    from campaign.model import Delivery, Recipient
    from campaign.sendlog import QueueCursor

START = 1_750_000_000.0
SENT = Outcome(Status.SENT)


def again(seconds: float, *, after: float = 0.0) -> Outcome:
    """Return the outcome of a row to be retried this many seconds after an instant."""
    return Outcome(Status.QUEUED, "later", faults=1, not_before=(after or START) + seconds)


def names(number: int) -> list[str]:
    """Return the keys of `people` in `sendlog_helpers.py`."""
    return [f"user_{each}" for each in range(1, number + 1)]


class Watched(SendLog):
    """A send log that counts its calls, running and in total; the calls take real time."""

    busy = calls = 0

    async def _while(self, call: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - whatever it returns
        self.busy += 1
        self.calls += 1
        try:
            return await call
        finally:
            self.busy -= 1

    async def claim(self, limit: int, lane: QueueCursor) -> list[Delivery]:
        """Return due rows."""
        found: list[Delivery] = await self._while(super().claim(limit, lane))
        return found

    async def next_due(self, after: float, *, without: Sequence[str] = ()) -> float | None:
        """Return when the next row is due, in seconds since the epoch."""
        due: float | None = await self._while(super().next_due(after, without=without))
        return due

    async def settle(self, delivery: Delivery, outcome: Outcome, **more: Any) -> None:  # noqa: ANN401 - handed on
        """Settle a row."""
        await self._while(super().settle(delivery, outcome, **more))


class SchedulerHarness:
    """A run that hands out recipients and settles each after `takes` seconds.

    Args:
        path: the send log.
        rows: the CSV.
        services: the rates that limit all deliveries; the first is that of messages.
        domains: rates by recipient domain.
        connections: determines the concurrency limit; one connection allows five deliveries.
        takes: seconds that each delivery takes.
    """

    def __init__(
        self,
        path: Path,
        rows: Sequence[Recipient],
        *,
        services: Sequence[str] = (),
        domains: Mapping[str, str] | None = None,
        connections: int = 1,
        takes: float = 0.1,
        wait: bool = True,
        limit: int | None = None,
    ) -> None:
        self.clock = FakeClock(START)
        self.log = Watched(path, "trial", self.clock)
        enlist(self.log, rows, in_batches=limit is not None)
        self.log.take_batch(limit)
        self.services = [RateLimiter([Rate.parse(rate)], self.clock) for rate in services]
        messages, *clerk = self.services or [RateLimiter((), self.clock)]
        self._takes = takes
        self.concurrency = Concurrency(rate=None, connections=connections, with_token=False)
        self.waits: list[tuple[str, float]] = []
        self.scheduler = Scheduler(
            self.log,
            self.clock,
            self.concurrency,
            RateLimits(
                messages=messages,
                clerk=clerk[0] if clerk else None,
                domains={name: RateLimiter([Rate.parse(rate)], self.clock) for name, rate in (domains or {}).items()},
            ),
            gate=None,
            tokens=None,
            longest_wait=LONGEST_WAIT.total_seconds() if wait else 0.0,
            on_wait=lambda why, until: self.waits.append((why, until - START)),
        )
        #: (seconds since the start, key) of each delivery that got its permits.
        self.went: list[tuple[float, str]] = []
        #: When each delivery was handed out, in seconds since the start.
        self.began: list[float] = []
        self.most_under_way = 0
        self._under_way: set[str] = set()

    def run(self, settle: Callable[[Delivery], Outcome] = lambda _: SENT) -> list[str]:
        """Hand out rows until none is left; return their keys in the order in which they got their permits."""

        async def play() -> None:
            async with self.log:
                running = asyncio.ensure_future(self._run(settle))  # noqa: TID251 - what the clock is moved for
                await self.clock.play(running, work=lambda: (self.log.busy, self.log.calls))

        try:
            asyncio.run(play())
        finally:
            self.log.close()
        return [key for _, key in self.went]

    @property
    def seconds(self) -> float:
        """How long the run took, by its own clock."""
        return self.clock.now() - START

    def times(self) -> Counter[str]:
        """Return how often each key was delivered."""
        return Counter(key for _, key in self.went)

    async def _run(self, settle: Callable[[Delivery], Outcome]) -> None:
        async with asyncio.TaskGroup() as group:
            while (delivery := await self.scheduler.next(group)) is not None:
                key = delivery.recipient.key
                assert key not in self._under_way, f"{key} was handed out twice"
                self._under_way.add(key)
                self.began.append(self.clock.now() - START)
                self.most_under_way = max(self.most_under_way, len(self._under_way))
                group.create_task(self._deliver(delivery, settle))

    async def _deliver(self, delivery: Delivery, settle: Callable[[Delivery], Outcome]) -> None:
        try:
            self.scheduler.raise_if_paused(delivery)
            await self.scheduler.wait_until_due(delivery)
            for service in self.services[1:]:
                await service.acquire()
            await self.scheduler.acquire(delivery)
        except TransientError:
            paused_until = self.scheduler.paused_until(delivery.recipient.domain)
            outcome = again(0, after=max(self.clock.now(), paused_until))
        else:
            self.went.append((self.clock.now() - START, delivery.recipient.key))
            await self.clock.sleep(self._takes)
            outcome = settle(delivery)
        await self.log.settle(delivery, outcome)
        self._under_way.discard(delivery.recipient.key)
        self.scheduler.settled(delivery, outcome)
