"""The scheduler: rows in order, each once, within the concurrency limit, and no run that waits needlessly."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, given
from hypothesis import strategies as st

from support.examples import fewer_examples
from support.fake_clock import settled
from support.scheduler_harness import SENT, START, SchedulerHarness, again, names
from support.sendlog_helpers import people, person, states

if TYPE_CHECKING:
    from collections.abc import Callable

    from campaign.model import Delivery, Outcome

DAY = 86_400.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "send-log.db"


def put_off(run: SchedulerHarness, seconds: float, *keys: str) -> Callable[[Delivery], Outcome]:
    """Return a way to settle that puts these recipients off once."""
    left = set(keys)

    def settle(delivery: Delivery) -> Outcome:
        if delivery.recipient.key in left:
            left.remove(delivery.recipient.key)
            return again(seconds, after=run.clock.now())
        return SENT

    return settle


def test_all_come_in_order_and_once(path: Path) -> None:
    """All due recipients are handed out once, in the order of the CSV."""
    run = SchedulerHarness(path, people(250))
    assert run.run() == names(250)
    assert run.waits == []


def test_no_more_are_under_way_than_are_of_use(path: Path) -> None:
    """The number of deliveries in progress reaches the concurrency limit and never exceeds it."""
    run = SchedulerHarness(path, people(60))
    most = run.concurrency.max_deliveries
    run.run()
    assert run.most_under_way == most


def test_who_was_put_off_comes_again_when_due(path: Path) -> None:
    """A run that may wait retries every postponed row, and reports why and until when it waits."""
    run = SchedulerHarness(path, people(4))
    order = run.run(put_off(run, 300.0, "user_2"))
    assert order == [*names(4), "user_2"]
    assert run.went[-1][0] == pytest.approx(300.1, abs=0.01)
    ((why, until),) = run.waits
    assert why == "all remaining messages wait for their next attempt"
    assert until == pytest.approx(300.1, abs=0.01)
    assert set(states(path).values()) == {"sent"}


def test_a_run_that_does_not_wait_ends_when_nothing_is_due(path: Path) -> None:
    """With `--no-wait` the run ends at once when no row is due, and postponed rows stay queued."""
    run = SchedulerHarness(path, people(4), wait=False)
    assert run.run(put_off(run, 300.0, "user_2")) == names(4)
    assert run.seconds < 1.0
    assert states(path)["user_2"] == "queued"


def test_a_run_that_does_not_wait_waits_for_its_rate(path: Path) -> None:
    """With `--no-wait` the run still waits for a permit that the rate allows soon."""
    run = SchedulerHarness(path, people(30), services=["5/second"], wait=False)
    assert run.run() == names(30)


def test_a_run_that_does_not_wait_leaves_a_budget_alone(path: Path) -> None:
    """With `--no-wait` the run ends when its budget is used up, and the other rows stay queued."""
    run = SchedulerHarness(path, people(5), services=["3/day"], wait=False)
    assert run.run() == names(3)
    assert run.seconds < 1.0
    assert Counter(states(path).values()) == {"sent": 3, "queued": 2}


def test_a_budget_is_waited_for_with_nobody_in_hand(path: Path) -> None:
    """When the budget is used up no row is handed out until it is renewed, and the wait is reported."""
    run = SchedulerHarness(path, people(5), services=["3/day"])
    assert run.run() == names(5)
    assert [at // DAY for at, _ in run.went] == [0.0, 0.0, 0.0, 1.0, 1.0]
    assert any(why == "no message can be sent now" and until > DAY for why, until in run.waits)


def test_while_a_service_is_held_nobody_is_handed_out(path: Path) -> None:
    """While a service is paused for long, rows stay in the log and the reason is reported; afterwards all are sent."""
    run = SchedulerHarness(path, people(20), services=["1000/second"])
    run.services[0].pause(600.0, "Clerk's rate limit is reached")
    run.run()
    assert min(at for at, _ in run.went) >= 600.0
    assert run.waits[0] == ("Clerk's rate limit is reached", 600.0)


def test_a_run_that_does_not_wait_ends_at_a_hold(path: Path) -> None:
    """With `--no-wait` a paused service ends the run."""
    run = SchedulerHarness(path, people(20), services=["1000/second"], wait=False)
    run.services[0].pause(30.0)
    assert run.run() == []


# -- a limit -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 7, 100, 101, 250, 1000])
def test_at_most_so_many_recipients(path: Path, limit: int) -> None:
    """`--limit n` hands out the first n recipients of the CSV and no others."""
    assert SchedulerHarness(path, people(250), limit=limit).run() == names(min(limit, 250))


def test_a_limit_counts_recipients_and_not_tries(path: Path) -> None:
    """A retry does not count toward the limit, so no other recipient takes the place of a postponed one."""
    run = SchedulerHarness(path, people(10), limit=3)
    assert run.run(put_off(run, 60.0, "user_1", "user_3")) == [*names(3), "user_1", "user_3"]
    assert Counter(states(path).values()) == {"sent": 3, "queued": 7}


def test_a_limit_holds_over_lanes(path: Path) -> None:
    """The limit counts recipients of rate-limited domains like all others."""
    rows = [person(each, domain=f"d{each % 3}.example") for each in range(1, 38)]
    run = SchedulerHarness(path, rows, domains={"d1.example": "5/second"}, limit=13)
    assert len(set(run.run(put_off(run, 0.001, "user_2", "user_6", "user_10", "user_14")))) == 13
    assert Counter(states(path).values()) == {"sent": 13, "queued": 24}


# -- its end -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("services", [[], ["2/day"], ["1/minute"]], ids=["all under way", "a budget", "a slow rate"])
def test_a_stop_ends_any_wait(path: Path, services: list[str]) -> None:
    """A stopped scheduler hands out no more rows, whatever it was waiting for."""
    run = SchedulerHarness(path, people(50), services=services, takes=30.0)

    async def play() -> int:
        async with run.log, asyncio.TaskGroup() as group:
            task = asyncio.ensure_future(_count(run, group))  # noqa: TID251 - a run of its own
            for _ in range(20):
                await run.clock.advance(0.5)
                while run.log.busy:
                    await settled()
            run.scheduler.stop()
            await run.clock.advance(0.0)
            return await asyncio.wait_for(task, 5)

    try:
        assert asyncio.run(play()) < 50
    finally:
        run.log.close()


async def _count(run: SchedulerHarness, group: asyncio.TaskGroup) -> int:
    number = 0
    while await run.scheduler.next(group) is not None:
        number += 1
        if run.services:
            await run.services[0].acquire()
    return number


@pytest.mark.parametrize("wait", [True, False])
def test_a_pause(path: Path, *, wait: bool) -> None:
    """A pause lasts until its end, is reported, and ends the run if it may not wait."""
    run = SchedulerHarness(path, people(3), wait=wait)

    async def play() -> Delivery | None:
        async with run.log, asyncio.TaskGroup() as group:
            await run.clock.play(asyncio.ensure_future(run.scheduler.pause("the server is not ready", START + 45.0)))  # noqa: TID251
            assert run.seconds == (45.0 if wait else 0.0)
            return await run.scheduler.next(group)

    try:
        assert (asyncio.run(play()) is not None) == wait
    finally:
        run.log.close()
    assert run.waits == ([("the server is not ready", 45.0)] if wait else [])


@given(
    number=st.integers(1, 40),
    tries=st.lists(st.tuples(st.integers(0, 2), st.sampled_from([0.001, 0.05, 3.0, 100.0])), min_size=1, max_size=7),
    domains=st.dictionaries(st.sampled_from(["d0.example", "d1.example"]), st.sampled_from(["5/second", "9/hour"])),
    hold=st.one_of(st.none(), st.tuples(st.integers(0, 10), st.integers(0, 2), st.sampled_from([1.0, 50.0]))),
    service=st.sampled_from([[], ["10/second"], ["20/hour"]]),
    limit=st.one_of(st.none(), st.integers(1, 50)),
)
@fewer_examples([Phase.generate])  # no shrinking: an example that hangs takes long
def test_everybody_has_all_tries_and_nobody_more(
    *,
    number: int,
    tries: list[tuple[int, float]],
    domains: dict[str, str],
    hold: tuple[int, int, float] | None,
    service: list[str],
    limit: int | None,
) -> None:
    """Under any limits, pauses and delays each recipient of the run is tried exactly as often as needed."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [person(each, domain=f"d{each % 3}.example") for each in range(1, number + 1)]
        run = SchedulerHarness(Path(folder) / "log.db", rows, domains=domains, services=service, limit=limit)
        tried: Counter[str] = Counter()

        def settle(delivery: Delivery) -> Outcome:
            if hold is not None and len(tried) == hold[0]:
                run.scheduler.pause_domain(f"d{hold[1]}.example", hold[2])
            again_times, wait = tries[delivery.id % len(tries)]
            tried[delivery.recipient.key] += 1
            if tried[delivery.recipient.key] <= again_times:
                return again(wait, after=run.clock.now())
            return SENT

        run.run(settle)
        assert len(tried) == (number if limit is None else min(limit, number))
        for key, times in tried.items():
            assert times == tries[int(key[5:]) % len(tries)][0] + 1
