"""Recipient domains in the scheduler: each at its own rate, paused when it defers, restarted slowly (slow start)."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from campaign.delivery.circuit_breaker import CircuitBreaker, PauseDomain
from campaign.delivery.retry import RetryPolicy, outcome_of
from campaign.errors import TransientError
from campaign.model import Rate, Receipt
from support.scheduler_harness import SENT, SchedulerHarness, again, names
from support.sendlog_helpers import person, states

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from campaign.model import Delivery, Outcome, Recipient

HOUR = 3600.0
LATER = Receipt(451, "4.7.1", "Come back later")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "send-log.db"


def mixed(slow: int, fast: int) -> list[Recipient]:
    """Return `slow` recipients of a slow domain, followed by `fast` recipients of another one."""
    first = [person(each, domain="Slow.example") for each in range(1, slow + 1)]
    return first + [person(each, domain="fast.example") for each in range(slow + 1, slow + fast + 1)]


def test_a_slow_domain_holds_nobody_up(path: Path) -> None:
    """Other recipients are sent to while a domain waits for its rate, and that rate is kept."""
    run = SchedulerHarness(path, mixed(20, 100), domains={"slow.example": "1/second"})
    run.run()
    slow = [at for at, key in run.went if int(key[5:]) <= 20]
    fast = [at for at, key in run.went if int(key[5:]) > 20]
    assert max(fast) < 6.0
    assert len(slow) == 20
    assert all(later - earlier >= 0.9 for earlier, later in pairwise(slow))
    assert slow[-1] < 20.0


@pytest.mark.parametrize("rate", ["2/minute", "5/second", "100/second"])
def test_rows_are_taken_up_shortly_before_their_turn(path: Path, rate: str) -> None:
    """A row stays in the log until shortly before its permit is due, and the rate is still reached."""
    run = SchedulerHarness(path, of_one_domain(20), domains={"d.example": rate}, connections=40)
    run.run()
    assert max(went - began for (went, _), began in zip(run.went, run.began, strict=True)) < 1.0
    assert run.went[-1][0] < 19 / Rate.parse(rate).per_second * 1.01 + 0.1


def test_no_run_waits_for_a_domain_that_has_nobody_left(path: Path) -> None:
    """A domain whose budget is used up by its last row does not delay the end of the run."""
    run = SchedulerHarness(path, mixed(10, 5), domains={"slow.example": "10/hour"})
    assert len(run.run()) == 15
    assert run.seconds < 60.0


def test_a_domain_with_a_budget_goes_on_when_there_is_some_again(path: Path) -> None:
    """Rows beyond a domain's budget wait in the log and are sent when the budget is renewed."""
    run = SchedulerHarness(path, mixed(25, 5), domains={"slow.example": "10/hour"})
    run.run()
    assert run.times() == dict.fromkeys(names(30), 1)
    slow = [at for at, key in run.went if int(key[5:]) <= 25]
    assert [sum(at // 3600 == hour for at in slow) for hour in range(3)] == [10, 10, 5]


def test_a_held_domain_waits_alone(path: Path) -> None:
    """Pausing a domain during a run stops all its rows, also those already read, and no other rows."""
    run = SchedulerHarness(path, [person(each, domain=f"d{each % 2}.example") for each in range(1, 101)])

    def settle(delivery: Delivery) -> Outcome:
        if delivery.recipient.key == "user_1":
            run.scheduler.pause_domain("d1.example", 900.0)
        return SENT

    run.run(settle)
    assert run.times() == dict.fromkeys(names(100), 1)
    held = [at for at, key in run.went if int(key[5:]) % 2]
    others = [at for at, key in run.went if not int(key[5:]) % 2]
    assert max(others) < 60.0
    # deliveries in progress when the pause began may still have been sent
    assert sum(at >= 900.0 for at in held) >= 45


def test_a_stopped_domain_ends_the_run_without_it(path: Path) -> None:
    """A domain that is paused for ever gets no messages; its rows stay queued and do not delay the end of the run."""
    run = SchedulerHarness(path, [person(each, domain=f"d{each % 2}.example") for each in range(1, 101)])
    run.scheduler.pause_domain("d1.example", float("inf"))
    assert sorted(run.run()) == sorted(f"user_{each}" for each in range(2, 101, 2))
    assert run.seconds < 60.0
    assert Counter(states(path).values()) == {"sent": 50, "queued": 50}


# -- after a pause -----------------------------------------------------------------------------------------------


def of_one_domain(number: int) -> list[Recipient]:
    """Return `number` recipients of the same domain."""
    return [person(each, domain="d.example") for each in range(1, number + 1)]


class Deferring:
    """A domain that defers some messages, and a run that pauses it by the circuit breaker's decisions.

    Args:
        run: the run.
        defers: whether a recipient is deferred, by the seconds since the start and since the recipient's first try.
    """

    def __init__(self, run: SchedulerHarness, defers: Callable[[float, float], bool]) -> None:
        self._run = run
        self._defers = defers
        self._policy = RetryPolicy()
        self._breaker = CircuitBreaker(self._policy)
        self._first: dict[int, float] = {}
        self.deferred: Counter[str] = Counter()

    def settle(self, delivery: Delivery) -> Outcome:
        """Return the outcome of a delivery, and pause the domain when the circuit breaker says so."""
        scheduler, now, domain = self._run.scheduler, self._run.clock.now(), delivery.recipient.domain
        if not self._defers(self._run.seconds, now - self._first.setdefault(delivery.id, now)):
            self._breaker.accepted(domain)
            return SENT
        self.deferred[delivery.recipient.key] += 1
        error = TransientError("451", reply=LATER)
        measure = self._breaker.refused(delivery, error, already_paused=scheduler.paused_until(domain) > now)
        if isinstance(measure, PauseDomain):
            scheduler.pause_domain(measure.domain, measure.seconds)
        return outcome_of(error, delivery, self._policy, now=now, paused_until=scheduler.paused_until(domain))


def test_after_a_hold_few_go_and_then_more(path: Path) -> None:
    """After a pause a domain gets two messages, and the limit grows by one with each that it accepts (slow start)."""
    run = SchedulerHarness(path, of_one_domain(200), connections=40, takes=1.0)
    run.scheduler.pause_domain("d.example", 100.0)
    run.run()
    assert run.times() == dict.fromkeys(names(200), 1)
    began = Counter(round(at) for at, _ in run.went)
    assert [began[second] for second in range(100, 105)] == [2, 4, 8, 16, 32]
    assert began[105] > 64, "from there on all go"


def test_a_domain_that_goes_on_deferring_costs_few_tries(path: Path) -> None:
    """However long a domain defers all messages, each pause is followed by two tries, and no row uses up attempts."""
    run = SchedulerHarness(path, of_one_domain(60), connections=5, takes=0.5)
    under_way = run.concurrency.max_deliveries
    storm = Deferring(run, lambda since_start, _: since_start < 4 * HOUR)
    run.run(storm.settle)
    assert set(states(path).values()) == {"sent"}
    holds = 7 + 3  # pauses double from half a minute to an hour, then last an hour each
    assert storm.deferred.total() <= under_way + 2 * holds
    assert run.seconds < 5.5 * HOUR


def test_a_domain_that_greylists_is_not_left_alone_for_ever(path: Path) -> None:
    """A domain that greylists each recipient for five minutes accepts them afterwards, so its pauses stay short."""
    run = SchedulerHarness(path, of_one_domain(300), connections=5, takes=0.5)
    greylist = Deferring(run, lambda _, since_first: since_first < 300.0)
    run.run(greylist.settle)
    assert set(states(path).values()) == {"sent"}
    assert run.seconds < HOUR


def test_after_a_hold_a_limit_on_recipients_still_holds(path: Path) -> None:
    """With `--limit n` the run ends when n recipients are done, even if their domain was paused."""
    run = SchedulerHarness(path, of_one_domain(30), connections=5, limit=12)
    storm = Deferring(run, lambda since_start, _: since_start < 100.0)
    run.run(storm.settle)
    assert Counter(states(path).values()) == {"sent": 12, "queued": 18}


def test_a_row_that_waits_to_be_handed_out_is_not_read_again(path: Path) -> None:
    """If two domains are paused while each has a message in progress, each other row is handed out exactly once."""
    rows = [person(each, domain=f"d{each % 2}.example") for each in range(1, 9)]
    run = SchedulerHarness(path, rows, connections=4)
    handed_out: list[str] = []

    async def settle(delivery: Delivery | None, outcome: Outcome) -> None:
        assert delivery is not None
        await run.log.settle(delivery, outcome)
        run.scheduler.settled(delivery, outcome)

    async def play() -> None:
        async with run.log, asyncio.TaskGroup() as group:

            async def hand_out() -> Delivery | None:
                delivery = await run.scheduler.next(group)
                return delivery and await run.log.issuing(delivery, user_id="", expires_in=timedelta(hours=1))

            for delivery in [await hand_out() for _ in rows]:
                await settle(delivery, again(1))
            run.clock.jump(2)
            under_way = [await hand_out(), await hand_out()]
            for domain in ("d0.example", "d1.example"):
                run.scheduler.pause_domain(domain, 0)
            while delivery := await hand_out():
                for each in (*under_way, delivery):
                    await settle(each, SENT)
                under_way.clear()
                handed_out.append(delivery.recipient.key)

    try:
        asyncio.run(play())
    finally:
        run.log.close()
    assert sorted(handed_out) == names(8)[2:]
    assert set(states(path).values()) == {"sent"}


def test_a_row_that_comes_back_as_the_end_is_looked_for_does_not_end_the_run(path: Path) -> None:
    """If the last message in progress is deferred while the log is asked for the next due row, the run waits for it."""
    run = SchedulerHarness(path, [person(1)], connections=1)
    asked = run.log.next_due

    async def play() -> None:
        async with run.log, asyncio.TaskGroup() as group:
            first = await run.scheduler.next(group)
            assert first is not None
            first = await run.log.issuing(first, user_id="", expires_in=timedelta(hours=1))

            async def next_due(after: float, *, without: Sequence[str] = ()) -> float | None:
                due = await asked(after, without=without)
                run.log.next_due = asked  # type: ignore[method-assign]
                await run.log.settle(first, again(0.5))
                run.scheduler.settled(first, again(0.5))
                return due

            run.log.next_due = next_due  # type: ignore[method-assign]
            running = asyncio.ensure_future(run.scheduler.next(group))  # noqa: TID251 - what the clock is moved for
            await run.clock.play(running, work=lambda: (run.log.busy, run.log.calls))
            found = running.result()
            assert found is not None
            assert found.recipient.key == "user_1"

    try:
        asyncio.run(play())
    finally:
        run.log.close()
