"""Four workers on a real PostgreSQL: one rate for all, no permit twice, and a pause that reaches every worker."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import psycopg
import pytest

from campaign.clock import ScaledClock, SystemClock
from campaign.config.postgres_url import parse_postgres_url
from campaign.delivery.shared_terms import terms_of, terms_of_day
from campaign.delivery.worker_rates import Listener, WorkerRates, worker_rates
from campaign.errors import DeferredError, Scope
from campaign.model import Rate, Status, Waiting
from campaign.sendlog.permits import PermitRequest
from campaign.sendlog.postgres.rates import PostgresRates
from campaign.sendlog.postgres.session import session_parameters
from support.fake_clock import eventually
from support.servers.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from campaign.config.postgres_url import PostgresUrl
    from campaign.delivery.rate_limiter import RateLimiter
    from support.servers.postgres import Postgres

#: The share of a window that is measured: the machine may stop a test between a permit's use and its record.
MEASURED = 0.95
#: Each worker's clock is wrong by so many seconds.
WRONG_BY = (0.0, 300.0, -3600.0, 12.5)
#: Whether a worker's request waits for a lock.
_WAITING = (
    "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%reserve_permits%' "
    "AND datname = current_database())"
)


@pytest.fixture
def url(postgres_server: Postgres) -> Iterator[PostgresUrl]:
    """Make a send log."""
    made = postgres_server.fresh()
    yield parse_postgres_url(made)
    postgres_server.drop(made)


def most_within(instants: Sequence[float], seconds: float) -> int:
    """Return the largest number of instants in any half-open window of `seconds`."""
    most = first = 0
    for number, instant in enumerate(instants, 1):
        while instants[first] <= instant - seconds:
            first += 1
        most = max(most, number - first)
    return most


class Workers:
    """Workers with clocks of their own, which all use permits of one rate as fast as they get them."""

    def __init__(self, url: PostgresUrl) -> None:
        self._url = url
        self._stack = AsyncExitStack()
        self.rates: list[WorkerRates] = []
        #: When each permit was used, by the machine's clock.
        self.used: list[float] = []

    async def __aenter__(self) -> Self:
        """Start them."""
        for number, wrong_by in enumerate(WRONG_BY):
            clock = ScaledClock(time.time() + wrong_by)
            exchange = PostgresRates(self._url, f"worker {number}")
            self.rates.append(await self._stack.enter_async_context(worker_rates(exchange, clock)))
        return self

    async def __aexit__(self, *_: object) -> None:
        """End them."""
        await self._stack.aclose()

    def hears(self, rates: WorkerRates, listener: Listener) -> None:
        """Let a campaign hear what the others tell, until the workers end."""
        self._stack.enter_context(rates.heard_by(listener))

    def limiters(self, *rates: str) -> list[RateLimiter]:
        """Return the limiter of each worker."""
        parsed = [Rate.parse(rate) for rate in rates]
        return [each.limiter("messages", parsed, Status.SENDING) for each in self.rates]

    async def listening(self) -> None:
        """Return when every worker hears the others: each is told a pause that is over at once."""
        probes = [each.limiter("tokens", (), Status.ISSUING) for each in self.rates]
        for number, teller in enumerate(probes):
            hearers = [probe for probe in probes if probe is not teller]
            while not all(probe.paused_why == f"probe {number}" for probe in hearers):
                teller.pause(0.2, f"probe {number}")
                await asyncio.sleep(0.3)  # noqa: TID251 - the server lives in the real time

    async def use(self, limiter: RateLimiter, callers: int, until: float) -> None:
        """Let `callers` tasks use permits until an instant of the monotonic clock."""

        async def call() -> None:
            while True:
                permit = await limiter.acquire()
                await asyncio.sleep(0.002)  # noqa: TID251 - the commit of the intent
                if await permit.used():
                    self.used.append(time.monotonic())

        tasks = [asyncio.ensure_future(call()) for _ in range(callers)]  # noqa: TID251 - the callers
        await asyncio.sleep(until - time.monotonic())  # noqa: TID251 - the real time is measured
        for task in tasks:
            task.cancel()


def _ignore(*_: object) -> None:
    return


@pytest.mark.parametrize(
    ("rate", "seconds", "share"),
    [
        ("40/second", 3.0, 0.5),
        # a machine that does other things at the same time is late, and what is late is lost
        *[
            pytest.param(rate, 20.0, 0.98, marks=pytest.mark.long)
            for rate in ("14/second", "100/second", "200/2 seconds", "600/second")
        ],
    ],
)
def test_four_workers_keep_one_rate_and_use_it(url: PostgresUrl, rate: str, seconds: float, share: float) -> None:
    """Four workers whose clocks differ by an hour exceed no window of their common rate, and use 98 % of it."""

    async def run() -> list[float]:
        async with Workers(url) as workers:
            until = time.monotonic() + seconds
            await asyncio.gather(*[workers.use(limiter, 5, until) for limiter in workers.limiters(rate)])
            return sorted(workers.used)

    used, parsed = asyncio.run(run()), Rate.parse(rate)
    assert most_within(used, MEASURED * parsed.period.total_seconds()) <= parsed.count
    assert (len(used) - 1) / (used[-1] - used[0]) >= share * parsed.per_second


def test_a_worker_that_is_killed_loses_its_permits_and_no_window_is_exceeded(url: PostgresUrl) -> None:
    """Permits that a worker reserved before it was killed are given to no other one, and the others go on."""

    async def run() -> tuple[list[int], list[float]]:
        killed = PostgresRates(url, "killed")
        terms = terms_of("messages", [Rate.parse("20/second")], Status.SENDING)
        lost = await killed.reserve(PermitRequest(terms, 5))
        await killed.close()
        async with Workers(url) as workers:
            until = time.monotonic() + 3.0
            await asyncio.gather(*[workers.use(limiter, 5, until) for limiter in workers.limiters("20/second")])
            return [number for number, _ in lost.permits], workers.used

    lost, used = asyncio.run(run())
    assert lost
    with psycopg.connect(**session_parameters(url)) as connection:
        held = connection.execute("SELECT number FROM campaign.permit WHERE worker = 'killed' ORDER BY number")
        assert [number for (number,) in held] == lost
    assert most_within(sorted(used), MEASURED) <= 20
    assert len(used) > 30


def test_a_late_use_delays_the_others_by_one_place(url: PostgresUrl) -> None:
    """Permits come a window after the uses in their order: one that is late, or unknown, stops none of the others."""
    exchange, now = PostgresRates(url, "one"), time.time() + 1000.0
    terms = replace(terms_of("messages", [Rate.parse("10/second")], Status.SENDING), horizon_s=2000.0)
    [window] = terms.even
    used = [now + 0.101 * number for number in range(10)]
    used[2] = now + 0.45  # used late; of the fifth no report came, and it may have been used as late as that
    with psycopg.connect(**session_parameters(url), autocommit=True) as connection:
        bucket = "INSERT INTO campaign.permit_bucket (name, first_number, next_number, last_slot, last_at, kept_s)"
        connection.execute(f"{bucket} VALUES ('messages', 1, 11, %s, %s, 1.01)", (used[9], used[9]))
        for number, at in enumerate(used, 1):
            connection.execute(
                "INSERT INTO campaign.permit VALUES ('messages', %s, %s, %s, 'gone')",
                (number, at, "held" if number == 5 else "used"),
            )

    async def run() -> list[float]:
        found = (await exchange.reserve(PermitRequest(terms, 9))).permits
        await exchange.close()
        return [at for _, at in found]

    used[4] += terms.late_s
    after_uses = [at + window.period_s for at in sorted(used)]
    assert asyncio.run(run()) == pytest.approx(after_uses[:9], abs=0.01)


def test_a_pause_reaches_all_workers_within_a_second(url: PostgresUrl) -> None:
    """When one worker pauses a service or a domain, the others pause it within a second, and one that starts later."""

    async def run() -> None:
        async with Workers(url) as workers:
            limiters = workers.limiters("100/second")
            domains: list[tuple[str, float, str]] = []
            for rates in workers.rates[1:]:
                workers.hears(rates, Listener("c", lambda *told: domains.append(told), _ignore))
            await workers.listening()
            limiters[0].pause(30.0, "421 too busy")
            workers.rates[0].domain("example.com", ()).pause(60.0, "451 later")
            began = time.monotonic()
            await eventually(lambda: all(limiter.is_paused for limiter in limiters) and len(domains) == 3)
            assert time.monotonic() - began < 1.0
            assert {limiter.paused_why for limiter in limiters} == {"421 too busy"}
            assert {(domain, round(seconds), why) for domain, seconds, why in domains} == {
                ("example.com", 60, "451 later")
            }
        async with worker_rates(PostgresRates(url, "late"), ScaledClock(0.0)) as late:
            limiter = late.limiter("messages", (), Status.SENDING)
            await eventually(lambda: limiter.is_paused)
            assert limiter.paused_until == pytest.approx(30.0, abs=5.0)

    asyncio.run(run())


def test_a_refusal_ends_the_runs_of_the_same_campaign_alone(url: PostgresUrl) -> None:
    """A worker tells the others why a campaign must end, and those of another campaign go on."""

    async def run() -> None:
        told: list[tuple[str, str]] = []
        async with (
            Workers(url) as workers,
            worker_rates(PostgresRates(url, "x"), ScaledClock(0.0)) as other,
        ):
            workers.hears(workers.rates[1], Listener("c", _ignore, lambda why: told.append(("same", why))))
            workers.hears(other, Listener("d", _ignore, lambda why: told.append(("other", why))))
            calls = other.limiter("messages", (), Status.SENDING)
            await workers.listening()
            workers.rates[0].abort("c", "550 no")
            workers.limiters()[0].pause(9.0, "later")
            await eventually(lambda: calls.is_paused)
        assert told == [("same", "550 no")]

    asyncio.run(run())


def test_what_is_reserved_is_given_back_at_the_end(url: PostgresUrl) -> None:
    """A worker that ends gives its unused permits back: a budget is used up by what was used, and by nothing else."""

    async def run() -> list[int | None]:
        found = []
        for _ in range(3):
            async with worker_rates(PostgresRates(url, "one"), SystemClock()) as rates:
                limiter = rates.limiter("messages", [Rate.parse("10/day")], Status.SENDING)
                limiter.expect(lambda: 5)
                await (await limiter.acquire()).used()
            exchange = PostgresRates(url, "two")
            terms = terms_of("messages", [Rate.parse("10/day")], Status.SENDING)
            found.append((await exchange.reserve(PermitRequest(terms, 0))).remaining)
            await exchange.close()
        return found

    assert asyncio.run(run()) == [9, 8, 7]


def test_workers_share_a_budget_and_defer_what_is_over_it(url: PostgresUrl) -> None:
    """Of a budget all workers together get as many permits as it has, and the others are told until when to wait."""

    async def run() -> None:
        async with Workers(url) as workers:
            limiters = workers.limiters("25/hour")
            given, waits = 0, []
            for limiter, wrong_by in zip(limiters, WRONG_BY, strict=True):
                calls = [limiter.pass_call("the server", Scope.SERVER) for _ in range(10)]
                for ended in await asyncio.gather(*calls, return_exceptions=True):
                    if isinstance(ended, DeferredError):
                        assert ended.waiting is Waiting.QUOTA
                        waits.append(ended.until - wrong_by - time.time())
                    else:
                        given += 1
            assert given == 25
            assert waits == [pytest.approx(3600, abs=60)] * 15

    asyncio.run(run())


def test_what_was_spent_before_the_first_worker_counts(url: PostgresUrl) -> None:
    """The history says what runs spent before: of all campaigns, of one domain, of tokens, of a ramp's day."""
    with psycopg.connect(**session_parameters(url), autocommit=True) as connection:
        now = time.time()
        connection.execute("INSERT INTO campaign.campaign (name, message_key) VALUES ('c', ''), ('d', '')")
        for number, (campaign, domain) in enumerate([(1, "a.example"), (1, "b.example"), (2, "a.example")], 1):
            connection.execute(
                "INSERT INTO campaign.delivery (campaign_id, key, source, line, enlistment, email, domain, variables, "
                "digest, state, actor, updated_at) VALUES (%s, %s, '', 1, 1, '', %s, '', '', 'queued', '', 0)",
                (campaign, str(number), domain),
            )
            for seconds, state in ((7200, "sending"), (60, "sending"), (60, "issuing")):
                connection.execute(
                    "INSERT INTO campaign.history (delivery_id, since, at, old_state, new_state, actor, attempt, "
                    "reason) VALUES (%s, 0, %s, '', %s, '', 1, '')",
                    (number, now - seconds, state),
                )
        connection.execute("INSERT INTO campaign.user_creation VALUES ('u@a.example', 1, 1, %s)", (now - 9,))

    async def run() -> list[int | None]:
        exchange, hour = PostgresRates(url, "one"), [Rate.parse("10/hour")]
        terms = [
            terms_of("messages", hour, Status.SENDING),
            terms_of("@a.example", hour, Status.SENDING, domain="a.example"),
            terms_of("tokens", hour, Status.ISSUING),
            terms_of_day("2026-01-01", 10, now - 10_000),
            terms_of_day("2026-01-02", 10, now - 100),
        ]
        found = [(await exchange.reserve(PermitRequest(each, 0))).remaining for each in terms]
        await exchange.close()
        return found

    assert asyncio.run(run()) == [7, 8, 6, 4, 7]


def test_a_server_that_crashes_forgets_no_budget_and_doubles_no_permit() -> None:
    """After a crash of the server the windows count as full, and the budgets count what they did before."""

    async def run(server: Postgres, url: str) -> None:
        exchange = PostgresRates(parse_postgres_url(url), "one")
        terms = terms_of("tokens", [Rate.parse("20/second"), Rate.parse("10/hour")], Status.ISSUING)
        before = await exchange.reserve(PermitRequest(terms, 3))
        assert before.permits
        assert before.remaining == 10 - len(before.permits)
        with psycopg.connect(url) as connection:  # something else becomes durable
            connection.execute("INSERT INTO campaign.campaign (name, message_key) VALUES ('c', '')")
        server.crash()
        with pytest.raises(ConnectionError):
            await exchange.reserve(PermitRequest(terms, 0))
        back = await exchange.reserve(PermitRequest(terms, 3, used=before.permits, gives_all_back=True))
        assert back.permits == []
        assert back.next_at >= back.now + 1.0
        assert back.remaining == before.remaining
        await asyncio.sleep(back.next_at - back.now)  # noqa: TID251 - the server lives in the real time
        after = await exchange.reserve(PermitRequest(terms, 3))
        assert after.permits
        assert min(number for number, _ in after.permits) > max(number for number, _ in before.permits)
        await exchange.close()

    with postgres(is_durable=True) as server:
        asyncio.run(run(server, server.fresh()))


def test_what_a_lost_answer_reserved_comes_back_to_the_budget(url: PostgresUrl) -> None:
    """A worker whose connection was lost gives all back that it may have; meanwhile the others are told to wait."""

    async def run() -> None:
        one, two, hour = PostgresRates(url, "one"), PostgresRates(url, "two"), [Rate.parse("10/hour")]
        terms = terms_of("messages", hour, Status.SENDING)
        used = (await one.reserve(PermitRequest(terms, 2))).permits[:1]
        lost = await one.reserve(PermitRequest(terms, 8))
        assert lost.remaining == 0
        told = await two.reserve(PermitRequest(terms, 3))
        assert told.permits == []
        assert told.settled_at == pytest.approx(max(at for _, at in lost.permits) + terms.late_s)
        back = await one.reserve(PermitRequest(terms, 0, used=used, gives_all_back=True))
        assert back.remaining == 9
        assert back.settled_at is None
        assert len((await two.reserve(PermitRequest(terms, 20))).permits) == 9
        for exchange in (one, two):
            await exchange.close()

    asyncio.run(run())


def test_a_report_that_is_cancelled_is_made_again(url: PostgresUrl) -> None:
    """A run that ends while the log is slow to take its report gives no permit back that it has used."""

    async def run() -> int | None:
        exchange = PostgresRates(url, "two")
        terms = terms_of("messages", [Rate.parse("10/hour")], Status.SENDING)
        watcher = psycopg.connect(**session_parameters(url), autocommit=True)
        async with await psycopg.AsyncConnection.connect(**session_parameters(url)) as slow:
            async with worker_rates(PostgresRates(url, "one"), SystemClock()) as rates:
                limiter = rates.limiter("messages", [Rate.parse("10/hour")], Status.SENDING)
                permits = [await limiter.acquire() for _ in range(2)]
                await slow.execute("SELECT FROM campaign.permit_bucket FOR UPDATE")
                for permit in permits:
                    assert await permit.used()
                await eventually(lambda: watcher.execute(_WAITING).fetchone() == (True,))
                free = asyncio.ensure_future(_rolled_back(slow))  # noqa: TID251 - the last report waits for it
            await free
        remaining = (await exchange.reserve(PermitRequest(terms, 0))).remaining
        await exchange.close()
        watcher.close()
        return remaining

    assert asyncio.run(run()) == 8


async def _rolled_back(connection: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
    await asyncio.sleep(0.5)  # noqa: TID251 - the server lives in the real time
    await connection.rollback()
