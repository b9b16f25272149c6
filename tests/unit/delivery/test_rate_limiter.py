"""What a pacer promises: never more than allowed, hardly ever less, and no burst after a pause."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign.delivery.rate_limiter import RateLimiter, Window
from campaign.model import Rate
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
    """Return the largest number of instants in any half-open window of so many seconds."""
    most = first = 0
    for number, instant in enumerate(instants, 1):
        while instants[first] <= instant - seconds:
            first += 1
        most = max(most, number - first)
    return most


def taken(rate: Rate, delays: Iterable[float]) -> list[float]:
    """Return the instants of turns that are each taken so many seconds later than they could have been."""
    window, now, instants = Window(rate), START, list[float]()
    for delay in delays:
        now = window.next_permit_at(now) + delay
        window.take(now)
        instants.append(now)
    return instants


@given(rates, st.data())
def test_no_window_holds_more_than_the_rate(rate: Rate, data: st.DataObject) -> None:
    """However irregularly turns are asked for, no window of the declared length holds more than the count."""
    period = rate.period.total_seconds()
    kinds = [0.0, 0.001, 0.03, period / rate.count, period / 2, period * 1.5]
    delays = data.draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=50))
    instants = taken(rate, [*delays, *[0.0] * rate.count, *delays, *[0.0] * rate.count])
    assert most_within(instants, period) <= rate.count


@given(rates, st.randoms(use_true_random=False))
@settings(max_examples=30)
def test_steady_demand_gets_what_is_allowed(rate: Rate, dice: random.Random) -> None:
    """Under steady demand at least 99 % of the allowance is used, though each sleep ends a little late."""
    lateness = min(0.002, rate.period.total_seconds() / 1000)
    window, now, turns = Window(rate), START, max(2 * rate.count + 1, 100)
    for _ in range(turns):
        free_at = window.next_permit_at(now)
        now = free_at + dice.uniform(0.0, lateness) if free_at > now else now
        window.take(now)
    assert turns >= 0.99 * rate.per_second * (now - START)


@pytest.mark.parametrize("rate", ["14/second", "100/second", "1000/10 seconds", "1/second", "60/minute"])
def test_short_windows_are_spread_evenly(rate: str) -> None:
    """Turns of a rate of up to a minute are spread over it, to within the twentieth of a second of a late timer."""
    parsed = Rate.parse(rate)
    gap = parsed.period.total_seconds() / parsed.count
    instants = taken(parsed, [0.0] * (parsed.count + 1))
    assert all(instant - START >= number * gap - 0.051 for number, instant in enumerate(instants))


def test_long_windows_are_budgets() -> None:
    """Turns of a rate over hours are given at once until they are used up, and then none until the first expires."""
    instants = taken(Rate.parse("50/day"), [0.0] * 51)
    assert instants[:50] == [START] * 50
    assert START + 86_400 <= instants[50] <= START + 86_400 * 1.01


@given(st.sampled_from(["14/second", "100/second", "1000/10 seconds"]), st.floats(0.0, 600.0))
def test_a_paused_process_does_not_burst(rate: str, pause: float) -> None:
    """After a pause of any length only what a late timer missed is caught up, not what the pause missed."""
    parsed = Rate.parse(rate)
    before = [0.0] * parsed.count
    instants = taken(parsed, [*before, pause, *before])
    woken = instants[parsed.count]
    at_once = sum(woken <= instant <= woken + 0.001 for instant in instants[parsed.count :])
    assert at_once <= 2 + 0.051 * parsed.per_second


class Turns:
    """A pacer on a clock of its own, and when its turns were taken."""

    def __init__(self, *rates: str, spent: Iterable[tuple[float, int]] = ()) -> None:
        self.clock = FakeClock(START)
        self.limiter = RateLimiter([Rate.parse(rate) for rate in rates], self.clock, spent)
        self.instants: list[float] = []
        self.names: list[int] = []

    async def take(self, number: int, name: int = 0) -> None:
        """Take so many turns, one after the other."""
        for _ in range(number):
            await self.limiter.acquire()
            self.instants.append(self.clock.now() - START)
            self.names.append(name)

    def play(self, *takers: Coroutine[object, object, None]) -> None:
        """Let them take their turns while time passes as fast as it can."""

        async def run() -> None:
            await self.clock.play(asyncio.gather(*takers))

        asyncio.run(run())


@given(
    st.lists(st.sampled_from(["5/second", "3/2 seconds", "40/minute", "7/hour", "2/day"]), min_size=1, max_size=3),
    st.integers(1, 4),
)
@settings(max_examples=30)
def test_all_rates_are_kept_at_once(texts: list[str], takers: int) -> None:
    """Of several rates none is exceeded, however many ask for turns."""
    turns = Turns(*texts)
    turns.play(*[turns.take(12 // takers) for _ in range(takers)])
    for text in texts:
        rate = Rate.parse(text)
        assert most_within(turns.instants, rate.period.total_seconds()) <= rate.count


def test_turns_are_given_in_the_order_they_were_asked_for() -> None:
    """Nobody is overtaken."""
    turns = Turns("10/second")
    turns.play(*[turns.take(1, name) for name in range(20)])
    assert turns.names == list(range(20))


def test_without_a_rate_everybody_goes_at_once() -> None:
    """A pacer without a rate makes nobody wait."""
    turns = Turns()
    turns.play(turns.take(1000))
    assert turns.instants == [0.0] * 1000


@pytest.mark.parametrize("rates", [[], ["100/second"]], ids=["no rate", "a rate"])
def test_no_turn_is_given_during_a_hold(rates: list[str]) -> None:
    """While a hold is on nobody has a turn, and afterwards they go on at their rate."""
    turns = Turns(*rates)
    assert turns.limiter.pause(30.0) == START + 30.0
    turns.play(turns.take(5), turns.take(5))
    assert min(turns.instants) >= 30.0
    assert max(turns.instants) <= 30.2


def test_a_shorter_hold_does_not_shorten_a_longer_one() -> None:
    """Of two holds the one that ends later counts."""
    turns = Turns("100/second")
    turns.limiter.pause(60.0)
    assert turns.limiter.pause(5.0) == START + 60.0
    assert turns.limiter.paused_until == turns.limiter.next_permit_at() == START + 60.0


def test_a_hold_reaches_those_who_wait_already() -> None:
    """A hold that begins while somebody waits for a turn makes them wait for its end."""

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
    """Waiters of a process that was stopped for a minute go on one by one when it continues."""

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
    """Turns of earlier runs count as long as their window lasts, and no longer."""
    turns = Turns(rate, spent=spent)
    wait = turns.limiter.next_permit_at() - START
    assert first <= wait <= first + Rate.parse(rate).period.total_seconds() * 0.01


def test_turns_of_a_clock_that_was_ahead_do_not_stall() -> None:
    """Turns noted at instants still to come, by a clock that was wrong, count as taken now."""
    turns = Turns("14/second", spent=[(START + 86_400, 14)])
    assert turns.limiter.next_permit_at() <= START + 1.01


def test_the_slowest_rate_is_told() -> None:
    """Of several rates the slowest one says how many turns a second there are."""
    assert Turns("14/second", "86400/day").limiter.per_second == pytest.approx(1.0)
    assert Turns().limiter.per_second is None


def test_a_budget_counts_those_who_will_still_ask() -> None:
    """What others will still take of a budget is gone already; an even spread is not delayed by them."""
    budget = Window(Rate(5, timedelta(days=1)))
    for second in range(2):
        budget.take(START + second)
    assert budget.next_permit_at(START + 10, 2) == START + 10
    assert budget.next_permit_at(START + 10, 3) == pytest.approx(START + 86400, abs=1000)
    assert budget.next_permit_at(START + 10, 4) - budget.next_permit_at(START + 10, 3) == pytest.approx(1.0)
    assert budget.next_permit_at(START + 10, 50) > budget.next_permit_at(START + 10, 4)
    assert Window(Rate(5, timedelta(seconds=1))).next_permit_at(START, 50) == START


def test_turns_that_are_used_late_crowd_nobody() -> None:
    """Calls that leave long after their turns, as in a process that was stopped between, count from when they leave."""

    async def run() -> None:
        turns = Turns("14/second")
        waiting = asyncio.gather(*[turns.limiter.acquire() for _ in range(10)])
        await turns.clock.play(waiting)
        turns.clock.jump(60.0)
        assert turns.limiter.next_permit_at() == turns.clock.now()
        for turn in waiting.result():
            turn.used()
        late = [turns.clock.now() - START] * 10
        await turns.clock.play(asyncio.gather(turns.take(30)))
        assert most_within(late + turns.instants, 1.0) <= 14

    asyncio.run(run())


@given(
    st.lists(st.floats(0.0, 0.9), min_size=1, max_size=40), st.sampled_from(["14/second", "5/second", "2000/second"])
)
@settings(max_examples=30)
def test_calls_that_leave_a_little_late_keep_the_rate(delays: list[float], rate: str) -> None:
    """What counts is when a call leaves, not when it had its turn."""

    async def run() -> None:
        turns, left = Turns(rate), list[float]()

        async def call(delay: float) -> None:
            turn = await turns.limiter.acquire()
            await turns.clock.sleep(delay)
            turn.used()
            left.append(turns.clock.now())

        await turns.clock.play(asyncio.gather(*[call(delay) for delay in delays * 2]))
        assert most_within(sorted(left), 1.0) <= Rate.parse(rate).count

    asyncio.run(run())
