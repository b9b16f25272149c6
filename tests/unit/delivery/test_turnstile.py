"""The turnstile: a message passes when its permit is near, in the order of arrival, and not into a long pause."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from campaign.delivery.concurrency import Concurrency
from campaign.delivery.rate_limiter import RateLimiter
from campaign.delivery.turnstile import before_server
from campaign.errors import Scope, TransientError
from campaign.model import Rate
from support.fake_clock import FakeClock

START = 1_750_000_000.0


def passed(clock: FakeClock, limiter: RateLimiter, number: int) -> list[tuple[float, float]]:
    """Return when each of several messages passed, and when it had its permit, in seconds since the start."""
    turnstile = before_server(limiter, Concurrency(rate=None, connections=4, with_token=False), clock)
    instants: list[tuple[float, float]] = []

    async def go(each: int) -> None:
        await turnstile.wait(each)
        at = clock.now() - START
        await limiter.acquire_or_defer("the mail server", Scope.SERVER)
        turnstile.discard(each)
        instants.append((at, clock.now() - START))

    async def run() -> None:
        await clock.play(asyncio.gather(*map(go, range(number))))

    asyncio.run(run())
    return instants


@pytest.mark.parametrize("rate", ["6/minute", "2/3 seconds", "1/10 seconds"])
def test_a_message_passes_a_second_before_its_permit(rate: str) -> None:
    """At a slow rate a message has no connection until a second before its permit, and the rate is kept and used."""
    clock = FakeClock(START)
    instants = passed(clock, RateLimiter([Rate.parse(rate)], clock), 5)
    assert all(permit - at <= 1.001 for at, permit in instants)
    period = 1 / Rate.parse(rate).per_second
    gaps = [later - earlier for (_, earlier), (_, later) in pairwise(instants)]
    assert all(abs(gap - period) < 0.07 for gap in gaps), "a late permit may catch up 0.05 s"


def test_at_a_fast_rate_nobody_waits_before_the_envelope() -> None:
    """At a fast rate the messages of the next second pass at once."""
    clock = FakeClock(START)
    instants = passed(clock, RateLimiter([Rate.parse("100/second")], clock), 90)
    assert {at for at, _ in instants} == {0.0}


def test_no_message_waits_for_the_end_of_a_long_pause() -> None:
    """A long pause that is on, or begins while a message waits, sends the message back to the log."""
    clock = FakeClock(START)
    limiter = RateLimiter([Rate.parse("6/minute")], clock)
    turnstile = before_server(limiter, Concurrency(rate=None, connections=4, with_token=False), clock)
    refused: list[float] = []

    async def go(each: int) -> None:
        try:
            await turnstile.wait(each)
        except TransientError:
            refused.append(clock.now() - START)
        else:
            await limiter.acquire()
            limiter.pause(60.0)

    async def run() -> None:
        await clock.play(asyncio.gather(*map(go, range(3))))

    asyncio.run(run())
    assert len(refused) == 2
    assert max(refused) < 20
