"""Workers that share a rate, on one fake clock: nobody's permit is another's, and what one learns the others do."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from math import inf
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from campaign.delivery.clock_offset import ClockOffset
from campaign.delivery.retry import Backoff, RetryPolicy
from campaign.delivery.worker_rates import Listener, WorkerRates, worker_rates
from campaign.errors import DeferredError, Scope, TransientError
from campaign.model import Rate, Receipt, Status, Waiting
from campaign.sendlog.permits import HoldKind
from support.fake_clock import FakeClock, settled
from support.shared_permits import PermitLog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from campaign.delivery.permit import Permit
    from campaign.delivery.rate_limiter import RateLimiter

START = 1_750_000_000.0


class Fleet:
    """Some workers that share the rates of one log.

    Args:
        number: how many.
        rates: of each bucket, by its name.
        start: the time at the beginning.
    """

    def __init__(self, number: int, rates: Mapping[str, list[str]], *, start: float = START) -> None:
        self.clock = FakeClock(start)
        self.log = PermitLog(self.clock, rates)
        self._number = number
        self.workers: list[WorkerRates] = []

    def play(self, story: Callable[[Fleet], Awaitable[None]]) -> None:
        """Run the workers during a story, without waiting in real time."""

        async def run() -> None:
            async with AsyncExitStack() as stack:
                for _ in range(self._number):
                    rates = worker_rates(self.log.desk(), self.clock)
                    self.workers.append(await stack.enter_async_context(rates))
                await story(self)

        async def main() -> None:
            task = asyncio.ensure_future(run())  # noqa: TID251 - a test
            await self.clock.play(task)
            await task

        asyncio.run(main())

    def messages(self, *rates: str) -> list[RateLimiter]:
        """Return each worker's limiter of messages."""
        parsed = [Rate.parse(rate) for rate in rates]
        return [worker.limiter("messages", parsed, Status.SENDING) for worker in self.workers]


async def use(limiter: RateLimiter, number: int, clock: FakeClock, *, for_s: float = 0.003) -> list[float]:
    """Take permits one after the other, each used after a while; return the instants of their use."""
    used: list[float] = []
    while len(used) < number:
        permit = await limiter.acquire()
        await clock.sleep(for_s)
        if await permit.used():
            used.append(clock.now())
    return used


@pytest.mark.parametrize("rate", ["14/second", "100/second", "1000/10 seconds", "60/minute"])
@pytest.mark.parametrize("commit_s", [pytest.param(0.003, marks=pytest.mark.long), 0.12])
def test_workers_share_a_rate_and_use_it(rate: str, commit_s: float) -> None:
    """Four workers keep an even spread together and use 98 % of it, also if an intent's commit takes long."""

    async def story(fleet: Fleet) -> None:
        calls = [use(limiter, 20, fleet.clock, for_s=commit_s) for limiter in fleet.messages(rate) for _ in range(5)]
        used = sorted(instant for each in await asyncio.gather(*calls) for instant in each)
        assert len(used) == 400
        per_second = Rate.parse(rate).per_second
        settled_in = used[100:300]  # at the end not all of them call any more
        assert (len(settled_in) - 1) / (settled_in[-1] - settled_in[0]) >= 0.98 * per_second
        late = [instant - settled_in[0] - number / per_second for number, instant in enumerate(settled_in)]
        assert min(late) >= -0.06

    Fleet(4, {"messages": [rate]}).play(story)


def test_permits_come_by_handfuls() -> None:
    """Calls that wait together ask the log together."""

    async def story(fleet: Fleet) -> None:
        [limiter] = fleet.messages("100/second")
        await asyncio.gather(*[use(limiter, 20, fleet.clock) for _ in range(10)])
        assert len([request for request in fleet.log.requests if request.wanted]) < 100

    Fleet(1, {"messages": ["100/second"]}).play(story)


def test_a_use_is_reported_when_nothing_more_is_wanted() -> None:
    """The log hears soon of a worker's last permits, for which the others would wait as long as they could be used."""

    async def story(fleet: Fleet) -> None:
        [limiter] = fleet.messages("10/second")
        for _ in range(3):
            permit = await limiter.acquire()
            await fleet.clock.sleep(0.2)  # the intent's commit, while the log is asked for nothing
            assert await permit.used()
            await fleet.clock.sleep(0.2)
            assert set(fleet.log.used) == set(fleet.log.reserved)

    Fleet(1, {"messages": ["10/second"]}).play(story)


def test_no_call_leaves_before_its_permits_instant() -> None:
    """A timer that is early by a millisecond lets no call leave early: that would be a part of the windows' margin."""

    async def story(fleet: Fleet) -> None:
        [limiter] = fleet.messages("10/second")
        await use(limiter, 5, fleet.clock)
        sleep = fleet.clock.sleep

        async def sleep_too_short(seconds: float) -> None:
            await sleep(max(0.0002, seconds - 0.001))

        fleet.clock.sleep = sleep_too_short  # type: ignore[method-assign]
        permit = await limiter.acquire()
        [(_, piece)] = permit.pieces
        assert piece.at > fleet.clock.now()
        assert await permit.used()
        assert fleet.clock.now() >= piece.at

    Fleet(1, {"messages": ["10/second"]}).play(story)


def test_a_permit_that_is_used_too_late_must_not_be_used() -> None:
    """A call that took longer than other workers wait for needs another permit, and gives the first one back."""

    async def story(fleet: Fleet) -> None:
        [limiter] = fleet.messages("10/second")
        permit = await limiter.acquire()
        fleet.clock.jump(0.6)
        assert not await permit.used()
        assert await (await limiter.acquire()).used()
        await fleet.clock.sleep(1.0)
        assert fleet.log.given_back == {1}
        assert 1 not in fleet.log.used

    Fleet(1, {"messages": ["10/second"]}).play(story)


def test_a_call_of_a_suspended_process_waits_for_another_permit() -> None:
    """A call that wakes too late for its permit leaves with another one, so that no permit counts for two calls."""

    async def story(fleet: Fleet) -> None:
        [limiter] = fleet.messages("10/second")
        acquire, given = limiter.acquire_or_defer, []

        async def acquire_and_sleep(who: str, scope: Scope) -> Permit:
            given.append(await acquire(who, scope))
            if len(given) == 1:
                fleet.clock.jump(0.6)
            return given[-1]

        limiter.acquire_or_defer = acquire_and_sleep  # type: ignore[method-assign]
        await limiter.pass_call("Clerk", Scope.CLERK)
        await fleet.clock.sleep(1.0)
        assert len(given) == 2
        assert fleet.log.given_back == {1}
        assert set(fleet.log.used) == {2}

    Fleet(1, {"messages": ["10/second"]}).play(story)


def test_a_permit_of_before_a_lost_connection_is_not_used() -> None:
    """The log may have forgotten a permit that a call has when the connection is lost: the call needs another one."""

    async def story(fleet: Fleet) -> None:
        [limiter] = fleet.messages("10/second")
        permit = await limiter.acquire()
        limiter.expect(lambda: 5)
        fleet.log.is_gone = True
        waiting = asyncio.ensure_future(limiter.acquire())  # noqa: TID251 - a call beside
        await fleet.clock.sleep(0.3)
        fleet.log.is_gone = False
        assert not await permit.used()
        assert await (await waiting).used()

    Fleet(1, {"messages": ["10/second"]}).play(story)


def test_what_nobody_takes_is_given_back() -> None:
    """A permit that was reserved for calls which did not come is given back, and not used later."""

    async def story(fleet: Fleet) -> None:
        [limiter] = fleet.messages("10/second")
        demand = [3]
        limiter.expect(lambda: demand[0])
        await (await limiter.acquire()).used()
        demand[0] = 0
        await fleet.clock.sleep(2.0)
        assert fleet.log.given_back == set(fleet.log.reserved) - {1}
        woken = fleet.clock.now()
        await (await limiter.acquire()).used()
        assert fleet.clock.now() - woken < 0.1

    Fleet(1, {"messages": ["10/second"]}).play(story)


def test_nothing_is_reserved_during_a_pause() -> None:
    """While a service is paused no worker reserves permits; afterwards they are there at once."""

    async def story(fleet: Fleet) -> None:
        limiters = fleet.messages("10/second")
        limiters[0].pause(30.0, "421")
        await settled()
        used = await asyncio.gather(*[use(limiter, 1, fleet.clock) for limiter in limiters])
        assert all(30.0 <= instant - START < 30.5 for [instant] in used)
        assert min(fleet.log.reserved.values()) >= START + 30.0

    Fleet(3, {"messages": ["10/second"]}).play(story)


def test_a_budget_that_others_used_up_defers_the_row() -> None:
    """A delivery does not wait for tomorrow's budget with its token in hand: its row waits in the log."""

    async def story(fleet: Fleet) -> None:
        first, second = fleet.messages("5/hour")
        await use(first, 5, fleet.clock)
        with pytest.raises(DeferredError, match=r"all workers together have used up the limit \(5/hour\)") as raised:
            await second.acquire_or_defer("the server", Scope.SERVER)
        assert raised.value.waiting is Waiting.QUOTA
        assert raised.value.until == pytest.approx(START + 3600, abs=5)
        assert second.next_permit_at() == pytest.approx(START + 3600, abs=5)

    Fleet(2, {"messages": ["5/hour"]}).play(story)


@pytest.mark.parametrize("later_s", [0.0, 0.1, 0.2, 0.3])
def test_a_stalled_worker_gets_its_permits_of_a_budget_again(later_s: float) -> None:
    """Permits of a budget that came too late, since the machine was slow, are used after all: none is lost."""

    async def story(fleet: Fleet) -> None:
        [limiter] = fleet.messages("5/hour")
        limiter.expect(lambda: 5)
        await use(limiter, 1, fleet.clock)
        fleet.log.latency_s = 0.15
        fleet.clock.jump(1.0)
        limiter.expect(lambda: 0)
        await fleet.clock.sleep(later_s)
        for _ in range(4):
            assert await (await limiter.acquire_or_defer("the server", Scope.SERVER)).used()
        with pytest.raises(DeferredError):
            await limiter.acquire_or_defer("the server", Scope.SERVER)
        assert len(fleet.log.used) == 5

    Fleet(1, {"messages": ["1000/second", "5/hour"]}).play(story)


@pytest.mark.parametrize("is_far", [False, True])
def test_a_budget_is_used_up_when_no_permit_can_come_back(*, is_far: bool) -> None:
    """What a worker has reserved and does not use is the others': they wait for it, and are not told of tomorrow."""

    async def story(fleet: Fleet) -> None:
        first, second = fleet.messages("1000/second", "5/hour")
        first.expect(lambda: 5)
        permit = await first.acquire()
        first.expect(lambda: 0)
        if is_far:  # a scheduler looks without asking for a permit
            await fleet.clock.sleep(0.1)
            assert fleet.clock.now() + 2.0 < second.next_permit_at() <= fleet.clock.now() + 5.0
        else:
            assert await permit.used()
        left = 5 if is_far else 4
        for _ in range(left):
            assert await (await second.acquire_or_defer("the server", Scope.SERVER)).used()
        with pytest.raises(DeferredError):
            await second.acquire_or_defer("the server", Scope.SERVER)
        assert second.next_permit_at() > fleet.clock.now() + 1000.0
        assert len(fleet.log.used) == 5

    Fleet(2, {"messages": ["1000/second", "5/hour"]}).play(story)


def test_the_permit_of_a_call_that_failed_is_given_back() -> None:
    """A message that fails between its permit and its dot uses no part of the limits that it was given."""

    async def story(fleet: Fleet) -> None:
        server, [domain] = (
            fleet.messages("5/hour"),
            [worker.domain("example.com", [Rate.parse("5/hour")]) for worker in fleet.workers],
        )
        for _ in range(3):
            await domain.acquire_both(server[0].acquire)
            await fleet.clock.sleep(1.0)
        assert fleet.log.given_back == set(fleet.log.reserved) != set()
        assert await (await domain.acquire_both(server[0].acquire)).used()

    Fleet(1, {"messages": [], "@example.com": []}).play(story)


@pytest.mark.parametrize("expected", [3, 5])
def test_what_a_log_reserved_without_an_answer_is_given_back(expected: int) -> None:
    """A lost connection costs a budget nothing: what the log reserved meanwhile, and what was dropped, comes back."""

    async def story(fleet: Fleet) -> None:
        [limiter] = fleet.messages("5/hour")
        limiter.expect(lambda: expected)
        await use(limiter, 1, fleet.clock)
        fleet.log.answers_are_lost = True
        await fleet.clock.sleep(2.0)  # the first use is reported, and the permits are dropped
        calls = [limiter.pass_call("the server", Scope.SERVER) for _ in range(4)]
        waiting = asyncio.gather(*calls)
        await fleet.clock.sleep(3.0)
        fleet.log.answers_are_lost = False
        await waiting
        await fleet.clock.sleep(1.0)
        assert len(fleet.log.used) == 5
        assert len(fleet.log.reserved) > 5

    Fleet(1, {"messages": ["1000/second", "5/hour"]}).play(story)


def test_a_run_that_ends_while_it_reports_repeats_the_report() -> None:
    """Whenever a run ends, its last report has every permit that was used, and gives none of them back."""

    async def story(fleet: Fleet) -> None:
        for number in range(150):  # it ends at each millisecond, also while the log answers
            async with worker_rates(fleet.log.desk(), fleet.clock) as rates:
                limiter = rates.limiter("messages", [Rate.parse("1000/second")], Status.SENDING)
                permits = [await limiter.acquire() for _ in range(2)]
                assert await permits[0].used()
                await fleet.clock.sleep(number / 1000)
                assert await permits[1].used()
                await fleet.clock.sleep(0.0005)
            assert set(fleet.log.used) == set(fleet.log.reserved) - fleet.log.given_back
            assert len(fleet.log.used) == 2 * number + 2

    Fleet(0, {"messages": ["1000/second"]}).play(story)


def test_deliveries_under_way_count_against_a_budget() -> None:
    """The scheduler sees how many permits a budget has left for deliveries that will still ask."""

    async def story(fleet: Fleet) -> None:
        [limiter] = fleet.messages("5/hour")
        await use(limiter, 2, fleet.clock)
        await fleet.clock.sleep(1.0)
        assert limiter.next_permit_at(2) < fleet.clock.now() + 1
        assert limiter.next_permit_at(3) > fleet.clock.now() + 1000

    Fleet(1, {"messages": ["5/hour"]}).play(story)


def test_a_log_that_is_gone_stops_the_permits_until_it_is_back() -> None:
    """While the log cannot be reached no permit is given, what was reserved is dropped, and then it goes on."""

    async def story(fleet: Fleet) -> None:
        [limiter] = fleet.messages("10/second")
        await use(limiter, 3, fleet.clock)
        fleet.log.is_gone = True
        waiting = asyncio.gather(*[use(limiter, 1, fleet.clock) for _ in range(5)])
        await fleet.clock.sleep(10.0)
        assert not waiting.done()
        fleet.log.is_gone = False
        back = fleet.clock.now()
        used = [instant for each in await waiting for instant in each]
        assert len([instant for instant in used if instant < back]) <= 3
        assert max(used) < back + 2.0

    Fleet(1, {"messages": ["10/second"]}).play(story)


def test_a_pause_is_told_once_and_obeyed_by_all() -> None:
    """What a service itself said pauses it for all workers; they do not tell it again."""

    async def story(fleet: Fleet) -> None:
        limiters = fleet.messages()
        said = TransientError("421 busy", scope=Scope.SERVER, wait=timedelta(seconds=9), reply=Receipt(421, "", "busy"))
        Backoff(RetryPolicy()).back_off(limiters[1], said)
        await fleet.clock.sleep(0.1)
        assert [limiter.paused_until for limiter in limiters] == [pytest.approx(START + 9, abs=0.1)] * 3
        assert {limiter.paused_why for limiter in limiters} == {"421 busy"}
        assert [(hold.kind, hold.service) for hold in fleet.log.told] == [(HoldKind.PAUSE, "messages")]

    Fleet(3, {}).play(story)


def test_a_fault_of_this_machines_network_is_told_nobody() -> None:
    """A connection that cannot be opened pauses this worker alone: the others may reach the service."""

    async def story(fleet: Fleet) -> None:
        limiters = fleet.messages()
        Backoff(RetryPolicy()).back_off(limiters[0], TransientError("no route", scope=Scope.SERVER))
        await fleet.clock.sleep(0.1)
        assert [limiter.is_paused for limiter in limiters] == [True, False]
        assert fleet.log.told == []

    Fleet(2, {}).play(story)


def test_all_workers_that_call_lower_their_rate() -> None:
    """After "too fast" every worker pauses, and those that called lately call a tenth less often."""

    async def story(fleet: Fleet) -> None:
        calling, told, idle = fleet.messages("100/second")
        await asyncio.gather(use(calling, 40, fleet.clock), use(told, 40, fleet.clock))
        calling.slow_down("too fast")
        await fleet.clock.sleep(0.1)
        assert all(limiter.is_paused for limiter in (calling, told, idle))
        await fleet.clock.sleep(2.0)
        began = fleet.clock.now()
        await asyncio.gather(use(calling, 40, fleet.clock), use(told, 40, fleet.clock))
        assert 60 < 80 / (fleet.clock.now() - began) < 92
        began = fleet.clock.now()
        await use(idle, 40, fleet.clock, for_s=0.0)
        assert 39 / (fleet.clock.now() - began) > 90
        assert [hold.kind for hold in fleet.log.told] == [HoldKind.SLOW_DOWN]

    Fleet(3, {"messages": ["100/second"]}).play(story)


def test_a_blocked_domain_and_an_end_are_told() -> None:
    """A domain that is blocked for this run is blocked by all, and a campaign that must end ends everywhere."""

    async def story(fleet: Fleet) -> None:
        first, second = fleet.workers
        told: list[object] = []
        with second.heard_by(Listener("c", lambda *each: told.append(each), told.append)):
            first.domain("example.com", ()).pause(inf, "554 no")
            first.abort("c", "550 not you")
            await fleet.clock.sleep(0.1)
        assert told == [("example.com", inf, "554 no"), "550 not you"]

    Fleet(2, {}).play(story)


def test_a_campaign_that_begins_later_hears_of_the_pauses() -> None:
    """Campaigns come and go under one worker: each obeys what was told before, as long as it lasts, and its own end."""

    async def story(fleet: Fleet) -> None:
        first, second = fleet.workers
        first.domain("example.com", ()).pause(60.0, "451 later")
        await fleet.clock.sleep(20.0)
        told: list[object] = []
        one = Listener("c", lambda *each: told.append(each), told.append)
        other = Listener("d", lambda *_: None, told.append)
        with second.heard_by(one), second.heard_by(other):
            assert told == [("example.com", pytest.approx(40.0, abs=0.5), "451 later")]
            first.abort("d", "550 not you")
            await fleet.clock.sleep(0.1)
        assert told[1:] == ["550 not you"]
        await fleet.clock.sleep(60.0)
        told.clear()
        with second.heard_by(one):
            assert told == []

    Fleet(2, {}).play(story)


def test_both_permits_are_reserved_before_one_is_used() -> None:
    """A message to a slow domain holds no permit of the server while the domain's is far away."""

    async def story(fleet: Fleet) -> None:
        [server] = fleet.messages("100/second")
        domain = fleet.workers[0].domain("example.com", [Rate.parse("1/5 seconds")])
        used: list[float] = []
        for _ in range(3):
            permit = await domain.acquire_both(server.acquire)
            assert await permit.used()
            used.append(fleet.clock.now() - START)
        assert used == [pytest.approx(number * 5.03, abs=0.2) for number in range(3)]
        await fleet.clock.sleep(1.0)
        assert len(fleet.log.used) == 6

    Fleet(1, {"messages": ["100/second"], "@example.com": ["1/5 seconds"]}).play(story)


def test_workers_use_up_a_ramps_day_together() -> None:
    """All workers together send a day's quota and no more; the next day has its own."""
    zone = ZoneInfo("UTC")
    day, next_day = "ramp on 2025-06-15 in UTC", "ramp on 2025-06-16 in UTC"

    async def story(fleet: Fleet) -> None:
        quotas = [Rate.parse("3/day"), Rate.parse("5/day")]
        ramps = [worker.ramp(quotas, zone, {}, fleet.clock) for worker in fleet.workers]
        servers = fleet.messages()
        for ramp, server in zip([ramps[0], ramps[1], ramps[0]], [servers[0], servers[1], servers[0]], strict=True):
            assert await (await ramp.acquire(server.acquire)).used()
            ramp.sent()
        with pytest.raises(DeferredError, match="the ramp's quota for today is used up") as raised:
            await ramps[1].acquire(servers[1].acquire)
        assert raised.value.until == ramps[1].ends_at
        assert ramps[1].is_spent()
        await fleet.clock.sleep(ramps[1].ends_at - fleet.clock.now() + 1)
        assert not ramps[1].is_spent()
        assert await (await ramps[1].acquire(servers[1].acquire)).used()

    late_in_the_day = datetime(2025, 6, 15, 23, 59, 30, tzinfo=zone).timestamp()
    Fleet(2, {day: [], next_day: []}, start=late_in_the_day).play(story)


def test_the_offset_of_the_clocks_is_that_of_the_quickest_exchange() -> None:
    """The quickest of the last exchanges tells it; those before one of the clocks was set count no more."""
    offset = ClockOffset()
    offset.note(100.0, 100.2, 160.1)
    offset.note(101.0, 102.0, 161.9)
    assert offset.seconds == pytest.approx(60.0)
    offset.note(103.0, 104.0, 104.5)
    assert offset.seconds == pytest.approx(1.0)


def test_campaigns_of_one_worker_share_a_ramps_day() -> None:
    """However often a campaign begins anew, its day has one quota, for which one without a ramp counts, too."""
    day = "ramp on 2025-06-15 in UTC"

    async def story(fleet: Fleet) -> None:
        [worker], [server] = fleet.workers, fleet.messages()
        zone, quotas = ZoneInfo("UTC"), [Rate.parse("4/day")]
        for _ in range(2):
            for each in (quotas, []):
                ramp = worker.ramp(each, zone, {}, fleet.clock)
                assert await (await ramp.acquire(server.acquire)).used()
                ramp.sent()
        await fleet.clock.sleep(6.0)
        assert worker.ramp(quotas, zone, {}, fleet.clock).is_spent()
        assert not worker.ramp([], zone, {}, fleet.clock).is_spent()

    Fleet(1, {day: ["4/day"]}).play(story)
