"""The queue of a recipient domain: its permits are taken with the mail server's, and no connection waits for them."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from campaign.delivery.concurrency import Concurrency
from campaign.delivery.domain_queue import DomainQueue
from campaign.delivery.rate_limiter import RateLimiter
from campaign.errors import Scope, TransientError
from campaign.model import Outcome, Rate, Status
from campaign.sendlog import QueueCursor, SendLog
from support.fake_clock import FakeClock, settled
from support.sendlog_helpers import TWO_DAYS, enlist, people

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from campaign.delivery.permit import Permit
    from campaign.model import Delivery

START = 1_750_000_000.0


def played(clock: FakeClock, *work: Coroutine[object, object, None]) -> None:
    """Run all coroutines concurrently on the fake clock, without waiting in real time."""

    async def run() -> None:
        await clock.play(asyncio.gather(*work))

    asyncio.run(run())


def limiter(clock: FakeClock, *rates: str) -> RateLimiter:
    """Return a rate limiter that uses this clock."""
    return RateLimiter([Rate.parse(rate) for rate in rates], clock)


@pytest.mark.parametrize("rates", [("5/second",), ("7/hour",), ("4/second", "6/hour"), ("3/10 seconds",)], ids=str)
@pytest.mark.parametrize("taken", [0, 3])
def test_it_is_known_when_those_in_line_will_have_their_turns(rates: tuple[str, ...], taken: int) -> None:
    """The predicted time of a permit, behind n other waiters, is close to the time at which it is granted."""
    clock = FakeClock(START)
    one, told, had = limiter(clock, *rates), list[float](), list[float]()

    async def take() -> None:
        for _ in range(taken):
            await one.acquire()
        told.extend(one.next_permit_behind(others) for others in range(8))
        for _ in range(8):
            await one.acquire()
            had.append(clock.now())

    played(clock, take())
    for expected, instant in zip(told, had, strict=True):
        assert expected <= instant + 0.06  # a late timer may catch up this much
        assert instant - expected <= max(Rate.parse(rate).period.total_seconds() for rate in rates) * 0.35


def test_both_turns_are_taken_at_one_instant() -> None:
    """A message that needs permits from two rate limiters takes both at the same instant, so neither is used late."""
    clock = FakeClock(START)
    server, domain = limiter(clock, "3/second"), limiter(clock, "2/second")
    went = list[float]()

    async def other() -> None:
        for _ in range(10):
            await server.acquire()

    async def message() -> None:
        await domain.acquire_both(server.acquire)
        went.append(clock.now())
        assert domain.next_permit_at() >= clock.now() + 0.45

    played(clock, other(), *[message() for _ in range(10)])
    assert all(later - earlier >= 0.45 for earlier, later in pairwise(went))
    assert len(went) == 10


def test_a_turn_that_is_not_to_be_had_there_is_not_taken_here() -> None:
    """While the mail server is paused, a message takes no permit from the domain's rate limiter."""
    clock = FakeClock(START)
    server, domain = limiter(clock, "3/second"), limiter(clock, "1/hour")
    server.pause(600.0)

    async def of_the_server() -> Permit:
        return await server.acquire_or_defer("the mail server", Scope.SERVER)

    async def message() -> None:
        with pytest.raises(TransientError) as caught:
            await domain.acquire_both(of_the_server)
        assert caught.value.scope is Scope.SERVER

    played(clock, message())
    assert domain.next_permit_at() == clock.now()


def lane(clock: FakeClock, *rates: str, concurrency: Concurrency | None = None) -> DomainQueue:
    """Return the queue of one domain."""
    concurrency = concurrency or Concurrency(rate=None, connections=1, with_token=False)
    return DomainQueue(QueueCursor(domain="d.example"), limiter(clock, *rates), concurrency, clock)


def test_a_message_takes_up_a_connection_only_shortly_before_its_turn() -> None:
    """Only one waiting message at a time gets a connection, about one message's duration before its permit is due."""
    clock = FakeClock(START)
    concurrency = Concurrency(rate=None, connections=1, with_token=False)
    concurrency.transaction.note(0.2)
    slow, early = lane(clock, "1/minute", concurrency=concurrency), list[float]()

    async def message(number: int) -> None:
        await slow.wait_until_due(number)
        came = clock.now()
        await slow.acquire(number, RateLimiter((), clock).acquire)
        early.append(clock.now() - came)

    played(clock, *[message(number) for number in range(5)])
    assert clock.now() - START > 240
    assert max(early) <= 0.2 + 0.001
    assert max(early[1:]) >= 0.1
    assert slow.waiting == 0


class TardyClock(FakeClock):
    """A clock whose sleeps end late, as on a real machine."""

    async def sleep(self, seconds: float) -> None:
        """Sleep one millisecond too long."""
        await super().sleep(seconds + 0.001)


def test_timers_that_are_late_cost_nothing_of_the_rate() -> None:
    """A rate of 100 per second is reached and never exceeded although every timer fires late."""
    clock = TardyClock(START)
    concurrency = Concurrency(rate=None, connections=1, with_token=False)
    concurrency.transaction.note(0.0003)
    fast, went = lane(clock, "100/second", concurrency=concurrency), list[float]()

    async def message(number: int) -> None:
        await fast.wait_until_due(number)
        await clock.sleep(0.0003)
        await fast.acquire(number, RateLimiter((), clock).acquire)
        went.append(clock.now())

    played(clock, *[message(number) for number in range(500)])
    assert went[-1] - went[0] <= 5.0 * 1.01
    assert all(later - earlier >= 1.0 for earlier, later in zip(went, went[100:], strict=False))


def test_a_hold_sends_those_back_who_are_not_near_yet() -> None:
    """Pausing a domain sends messages that wait for a permit back to the queue; the one that is next still goes out."""
    clock = FakeClock(START)
    slow, back = lane(clock, "1/minute"), list[tuple[int, Scope]]()

    async def message(number: int) -> None:
        try:
            await slow.wait_until_due(number)
        except TransientError as error:
            back.append((number, error.scope))
        else:
            await slow.acquire(number, RateLimiter((), clock).acquire)

    async def hold() -> None:
        await settled()
        slow.pause(900.0)

    played(clock, message(0), message(1), message(2), hold())
    assert back == [(1, Scope.DOMAIN), (2, Scope.DOMAIN)]
    assert clock.now() - START < 120


class SlowLog(SendLog):
    """A send log whose pages arrive only when the test allows it."""

    def __init__(self, path: Path, clock: FakeClock) -> None:
        super().__init__(path, "trial", clock)
        self.read = asyncio.Event()
        self.arrive = asyncio.Event()
        self.arrive.set()

    async def claim(self, limit: int, lane: QueueCursor) -> list[Delivery]:
        """Return due rows, once the test lets the page arrive."""
        page = await super().claim(limit, lane)
        self.read.set()
        await self.arrive.wait()
        return page


@pytest.mark.parametrize("when", ["while the log is read", "after it was read"])
def test_a_row_that_comes_back_while_the_log_is_read_is_found(when: str, tmp_path: Path) -> None:
    """A row that is settled as due again while the log is being read is found by the next read."""

    async def play(log: SlowLog, clock: FakeClock) -> None:
        async with log:
            queue = DomainQueue(QueueCursor(), None, Concurrency(rate=None, connections=1, with_token=False), clock)
            (delivery,) = await queue.claim(log, 100, {})
            delivery = await log.issuing(delivery, user_id="", expires_in=TWO_DAYS)
            fault_at = clock.now()
            clock.jump(1)
            log.read.clear()
            log.arrive.clear()
            reading = asyncio.ensure_future(queue.claim(log, 100, {}))  # noqa: TID251 - a read still in progress
            await log.read.wait()
            await log.settle(delivery, Outcome(Status.QUEUED, "later", not_before=fault_at))
            if when == "after it was read":
                log.arrive.set()
                await reading
            queue.came_back(fault_at)
            log.arrive.set()
            assert await reading == []
            assert not queue.exhausted
            assert [found.id for found in await queue.claim(log, 100, {})] == [delivery.id]

    clock = FakeClock(START)
    log = SlowLog(tmp_path / "send-log.db", clock)
    enlist(log, people(1))
    try:
        asyncio.run(play(log, clock))
    finally:
        log.close()
