"""The rate limiter: never above its rate, hardly ever below it, and no burst after a pause."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.delivery.rate_limiter import RateLimiter
from campaign.delivery.window import Window
from campaign.model import Rate
from support.examples import fewer_examples
from support.fake_clock import FakeClock, settled

if TYPE_CHECKING:
    import random
    from collections.abc import Coroutine, Iterable

START = 1_750_000_000.0

rates = st.builds(
    Rate,
    st.integers(1, 3000),
    st.sampled_from([timedelta(seconds=1), timedelta(seconds=10), timedelta(minutes=1), timedelta(hours=1)]),
)


def most_within(instants: list[float], seconds: float) -> int:
    """Return the largest number of instants in any half-open window of `seconds`."""
    most = first = 0
    for number, instant in enumerate(instants, 1):
        while instants[first] <= instant - seconds:
            first += 1
        most = max(most, number - first)
    return most


def taken(rate: Rate, delays: Iterable[float]) -> list[float]:
    """Return the instants of permits, each taken `delay` seconds after it became available."""
    window, now, instants = Window(rate), START, list[float]()
    for delay in delays:
        now = window.next_permit_at(now) + delay
        window.take(now)
        instants.append(now)
    return instants


@given(rates, st.data())
def test_no_window_holds_more_than_the_rate(rate: Rate, data: st.DataObject) -> None:
    """However irregularly permits are taken, no window of the declared length holds more than the rate allows."""
    period = rate.period.total_seconds()
    kinds = [0.0, 0.001, 0.03, period / rate.count, period / 2, period * 1.5]
    delays = data.draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=50))
    instants = taken(rate, [*delays, *[0.0] * rate.count, *delays, *[0.0] * rate.count])
    assert most_within(instants, period) <= rate.count


@given(rates, st.randoms(use_true_random=False))
@fewer_examples()
def test_steady_demand_gets_what_is_allowed(rate: Rate, dice: random.Random) -> None:
    """Under steady demand at least 99 % of the rate is used, although each sleep ends a little late."""
    lateness = min(0.002, rate.period.total_seconds() / 1000)
    window, now, turns = Window(rate), START, max(2 * rate.count + 1, 100)
    for _ in range(turns):
        free_at = window.next_permit_at(now)
        now = free_at + dice.uniform(0.0, lateness) if free_at > now else now
        window.take(now)
    assert turns >= 0.99 * rate.per_second * (now - START)


@pytest.mark.parametrize("rate", ["14/second", "100/second", "1000/10 seconds", "1/second", "60/minute"])
def test_short_windows_are_spread_evenly(rate: str) -> None:
    """Permits of a rate of up to a minute are spread evenly, to within 50 ms for a late timer."""
    parsed = Rate.parse(rate)
    gap = parsed.period.total_seconds() / parsed.count
    instants = taken(parsed, [0.0] * (parsed.count + 1))
    assert all(instant - START >= number * gap - 0.051 for number, instant in enumerate(instants))


def test_long_windows_are_budgets() -> None:
    """A rate over hours is a budget: its permits are available at once, and then none until the first one expires."""
    instants = taken(Rate.parse("50/day"), [0.0] * 51)
    assert instants[:50] == [START] * 50
    assert START + 86_400 <= instants[50] <= START + 86_400 * 1.01


@given(st.sampled_from(["14/second", "100/second", "1000/10 seconds"]), st.floats(0.0, 600.0))
def test_a_paused_process_does_not_burst(rate: str, pause: float) -> None:
    """After a pause of any length only what a late timer missed (50 ms) is caught up, and not the whole pause."""
    parsed = Rate.parse(rate)
    before = [0.0] * parsed.count
    instants = taken(parsed, [*before, pause, *before])
    woken = instants[parsed.count]
    at_once = sum(woken <= instant <= woken + 0.001 for instant in instants[parsed.count :])
    assert at_once <= 2 + 0.051 * parsed.per_second


class Turns:
    """A rate limiter with its own clock, which records when each permit was taken."""

    def __init__(self, *rates: str, spent: Iterable[tuple[float, int]] = ()) -> None:
        self.clock = FakeClock(START)
        self.limiter = RateLimiter([Rate.parse(rate) for rate in rates], self.clock, spent)
        self.instants: list[float] = []
        self.names: list[int] = []

    async def take(self, number: int, name: int = 0) -> None:
        """Take `number` permits, one after the other."""
        for _ in range(number):
            await self.limiter.acquire()
            self.instants.append(self.clock.now() - START)
            self.names.append(name)

    def play(self, *takers: Coroutine[object, object, None]) -> None:
        """Run all takers concurrently on the fake clock, without waiting in real time."""

        async def run() -> None:
            await self.clock.play(asyncio.gather(*takers))

        asyncio.run(run())


@given(
    st.lists(st.sampled_from(["5/second", "3/2 seconds", "40/minute", "7/hour", "2/day"]), min_size=1, max_size=3),
    st.integers(1, 4),
)
@fewer_examples()
def test_all_rates_are_kept_at_once(texts: list[str], takers: int) -> None:
    """With several rates none is exceeded, however many tasks wait for permits."""
    turns = Turns(*texts)
    turns.play(*[turns.take(12 // takers) for _ in range(takers)])
    for text in texts:
        rate = Rate.parse(text)
        assert most_within(turns.instants, rate.period.total_seconds()) <= rate.count


def test_turns_are_given_in_the_order_they_were_asked_for() -> None:
    """Permits are granted in the order in which they were requested (FIFO)."""
    turns = Turns("10/second")
    turns.play(*[turns.take(1, name) for name in range(20)])
    assert turns.names == list(range(20))


def test_without_a_rate_everybody_goes_at_once() -> None:
    """A rate limiter without a rate grants every permit at once."""
    turns = Turns()
    turns.play(turns.take(1000))
    assert turns.instants == [0.0] * 1000


@pytest.mark.parametrize("rates", [[], ["100/second"]], ids=["no rate", "a rate"])
def test_no_turn_is_given_during_a_hold(rates: list[str]) -> None:
    """During a pause no permit is granted; afterwards permits are granted at the configured rate."""
    turns = Turns(*rates)
    assert turns.limiter.pause(30.0) == START + 30.0
    turns.play(turns.take(5), turns.take(5))
    assert min(turns.instants) >= 30.0
    assert max(turns.instants) <= 30.2


def test_a_shorter_hold_does_not_shorten_a_longer_one() -> None:
    """Of two pauses the one that ends later counts."""
    turns = Turns("100/second")
    turns.limiter.pause(60.0)
    assert turns.limiter.pause(5.0) == START + 60.0
    assert turns.limiter.paused_until == turns.limiter.next_permit_at() == START + 60.0


def test_a_hold_reaches_those_who_wait_already() -> None:
    """A pause also applies to tasks that already wait for a permit."""

    async def run() -> None:
        turns = Turns("1/second")
        waiting = asyncio.gather(turns.take(3))
        await turns.clock.advance(0.5)
        turns.limiter.pause(10.0)
        await turns.clock.play(waiting)
        assert turns.instants[0] == 0.0
        assert turns.instants[1] >= 10.5

    asyncio.run(run())


def test_a_process_stopped_amid_a_wait_does_not_burst() -> None:
    """If the process is suspended for a minute, waiting tasks do not get their permits all at once when it resumes."""

    async def run() -> None:
        turns = Turns("10/second")
        waiting = asyncio.gather(*[turns.take(1) for _ in range(30)])
        await turns.clock.advance(1.0)
        before = len(turns.instants)
        turns.clock.jump(60.0)
        await settled()
        assert len(turns.instants) <= before + 2
        await turns.clock.play(waiting)
        assert most_within(turns.instants, 1.0) <= 10

    asyncio.run(run())


@pytest.mark.parametrize(
    ("rate", "spent", "first"),
    [
        ("50/day", [(START - 86_000, 50)], 400.0),
        ("50/day", [(START - 86_000, 49), (START - 10, 1)], 400.0),
        ("50/day", [(START - 90_000, 50)], 0.0),
        ("50/day", [(START - 10, 49)], 0.0),
        ("14/second", [(START - 0.02, 14)], 0.98),
        ("14/second", [(START - 3600, 14_000)], 0.0),
    ],
)
def test_a_restart_resets_no_window(rate: str, spent: list[tuple[float, int]], first: float) -> None:
    """Permits taken by earlier runs count until their window has passed, and no longer."""
    turns = Turns(rate, spent=spent)
    wait = turns.limiter.next_permit_at() - START
    assert first <= wait <= first + Rate.parse(rate).period.total_seconds() * 0.01


def test_turns_of_a_clock_that_was_ahead_do_not_stall() -> None:
    """Permits recorded with a time in the future, because the clock was wrong, count as taken now."""
    turns = Turns("14/second", spent=[(START + 86_400, 14)])
    assert turns.limiter.next_permit_at() <= START + 1.01


def test_the_slowest_rate_is_told() -> None:
    """`per_second` is that of the slowest rate, and None without a rate."""
    assert Turns("14/second", "86400/day").limiter.per_second == pytest.approx(1.0)
    assert Turns().limiter.per_second is None


def test_a_budget_counts_those_who_will_still_ask() -> None:
    """Permits that other tasks will still take are subtracted from a budget; an evenly spread rate ignores them."""
    budget = Window(Rate(5, timedelta(days=1)))
    for second in range(2):
        budget.take(START + second)
    assert budget.next_permit_at(START + 10, 2) == START + 10
    assert budget.next_permit_at(START + 10, 3) == pytest.approx(START + 86400, abs=1000)
    assert budget.next_permit_at(START + 10, 4) - budget.next_permit_at(START + 10, 3) == pytest.approx(1.0)
    assert budget.next_permit_at(START + 10, 50) > budget.next_permit_at(START + 10, 4)
    assert Window(Rate(5, timedelta(seconds=1))).next_permit_at(START, 50) == START


def test_turns_that_are_used_late_crowd_nobody() -> None:
    """Calls that start long after their permits, as in a suspended process, count from when they start."""

    async def run() -> None:
        turns = Turns("14/second")
        waiting = asyncio.gather(*[turns.limiter.acquire() for _ in range(10)])
        await turns.clock.play(waiting)
        turns.clock.jump(60.0)
        assert turns.limiter.next_permit_at() == turns.clock.now()
        for turn in waiting.result():
            await turn.used()
        late = [turns.clock.now() - START] * 10
        await turns.clock.play(asyncio.gather(turns.take(30)))
        assert most_within(late + turns.instants, 1.0) <= 14

    asyncio.run(run())


@given(
    st.lists(st.floats(0.0, 0.9), min_size=1, max_size=40), st.sampled_from(["14/second", "5/second", "2000/second"])
)
@fewer_examples()
def test_calls_that_leave_a_little_late_keep_the_rate(delays: list[float], rate: str) -> None:
    """A call counts toward the rate when it starts, not when its permit was granted."""

    async def run() -> None:
        turns, left = Turns(rate), list[float]()

        async def call(delay: float) -> None:
            turn = await turns.limiter.acquire()
            await turns.clock.sleep(delay)
            await turn.used()
            left.append(turns.clock.now())

        await turns.clock.play(asyncio.gather(*[call(delay) for delay in delays * 2]))
        assert most_within(sorted(left), 1.0) <= Rate.parse(rate).count

    asyncio.run(run())


def test_a_rate_that_was_too_fast_is_lowered_and_recovers() -> None:
    """After the service said "too fast": a short pause, a tenth slower at most, and the full rate again in time."""

    async def run() -> tuple[list[float], list[float], list[float]]:
        clock = FakeClock()
        limiter = RateLimiter((Rate.parse("20/second"),), clock)

        async def permits(number: int) -> list[float]:
            instants = []
            for _ in range(number):
                await clock.play(asyncio.ensure_future(limiter.acquire()))  # noqa: TID251 - a test
                instants.append(clock.now())
            return instants

        before = await permits(40)
        for _ in range(3):  # those under way before the pause count as one
            limiter.slow_down("too fast")
        after = await permits(60)
        await clock.advance(11.0)
        await permits(1)
        return before, after, await permits(40)

    before, after, later = asyncio.run(run())
    assert 1.4 < after[0] - before[-1] < 2.1
    assert 17 < 59 / (after[-1] - after[0]) < 18.5
    assert 39 / (later[-1] - later[0]) > 19


def test_a_service_without_a_limit_is_slowed_down_to_what_was_measured() -> None:
    """Without a rate of the campaign, the measured rate is lowered, again and again if need be, and then lifted."""

    async def run() -> list[float]:
        clock = FakeClock()
        limiter = RateLimiter((), clock)
        rates = []
        for _ in range(5):
            for _ in range(20):
                await clock.play(asyncio.ensure_future(limiter.acquire()))  # noqa: TID251 - a test
                await clock.advance(0.01)
            limiter.slow_down("too fast")
            await clock.advance(2.0)
            start = clock.now()
            for _ in range(20):
                await clock.play(asyncio.ensure_future(limiter.acquire()))  # noqa: TID251 - a test
            rates.append(20 / (clock.now() - start))
        for _ in range(6):
            await clock.advance(11.0)
            await limiter.acquire()
        start = clock.now()
        for _ in range(50):
            await limiter.acquire()
        assert clock.now() == start, "the lowered rate was lifted"
        return rates

    rates = asyncio.run(run())
    assert rates == sorted(rates, reverse=True)
    assert rates[0] < 100
    assert rates[-1] < 0.75 * rates[0]
