"""Several campaigns, and several CSVs of one, on one log in PostgreSQL: what enlists keeps no other from its work."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

from campaign.config.postgres_url import parse_postgres_url
from campaign.errors import SendLogError
from campaign.model import Outcome, Rate, Status
from campaign.sendlog import Enlistment, QueueCursor, SuppressionList
from support.fake_clock import FakeClock, eventually
from support.sendlog_helpers import bring, enlist, intend, opened, people, person, table
from support.servers.database_proxy import DatabaseProxy

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from typing import Any

    from campaign.config.postgres_url import PostgresUrl
    from campaign.model import Delivery, Recipient
    from campaign.sendlog import SendLog
    from support.servers.postgres import Postgres

LEASE = timedelta(minutes=1)
#: More than one part of a CSV, so that some rows are written while the rest is read.
MANY = 6000
PART = 5000


@pytest.fixture
def log_url(postgres_server: Postgres) -> Iterator[str]:
    url = postgres_server.fresh()
    yield url
    postgres_server.drop(url)


@pytest.fixture
def place(log_url: str) -> PostgresUrl:
    return parse_postgres_url(log_url)


@contextmanager
def enlisting(place: PostgresUrl, campaign: str) -> Iterator[None]:
    """Have a CSV half enlisted during the block."""
    is_half, may_end = threading.Event(), threading.Event()

    def rows() -> Iterator[Recipient]:
        yield from people(MANY)
        is_half.set()
        assert may_end.wait(60)
        yield person(MANY + 1)

    def work() -> None:
        with opened(place, campaign=campaign) as log, log.preparing():
            log.enlist(rows, source="big.csv", digest="big")

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert is_half.wait(60)
        yield
    finally:
        may_end.set()
        thread.join()


@contextmanager
def preparing(log: SendLog) -> Iterator[None]:
    """Have a transaction open during the block that changes the rows of the log's campaign."""
    with log._preparation() as connection:  # noqa: SLF001 - as a part of a CSV is written
        connection.execute("UPDATE delivery SET line = line + 1 WHERE campaign_id = %(campaign)s", log._arguments())  # noqa: SLF001
        yield


def sent(log: SendLog, number: int) -> Callable[[], Coroutine[Any, Any, None]]:
    """Return what claims some rows and sends them, as a run does."""

    async def work() -> None:
        log.share(lease=LEASE, say=lambda _: None)
        async with log:
            for delivery in await log.claim(number, QueueCursor()):
                await log.settle(await intend(log, delivery), Outcome(Status.SENT))

    return work


def states(place: PostgresUrl, campaign: str) -> dict[str, int]:
    """Return how many rows of a campaign are in each state."""
    rows = table(
        place,
        "SELECT name, state, count(*) AS number FROM delivery JOIN campaign ON campaign.id = campaign_id GROUP BY 1, 2",
    )
    return {row["state"]: row["number"] for row in rows if row["name"] == campaign}


def test_a_campaign_begins_and_is_sent_while_another_is_enlisted(place: PostgresUrl) -> None:
    """A run of another campaign starts, enlists its own CSV and sends it while a large one is read."""
    cap = Rate(2, timedelta(days=1))
    with opened(place, campaign="an earlier one") as log:
        log.note_cap(cap)  # the first one makes an index
    with enlisting(place, "big"):
        began = time.monotonic()
        with opened(place, campaign="small") as log, log.preparing():
            log.recover()
            enlist(log, people(10))
            log.note_list("news")
            log.note_cap(cap)
            assert log.skip_suppressed() == 0
            log.take_batch(None)
            asyncio.run(sent(log, 10)())
        assert time.monotonic() - began < 10, "it did not wait for the other"
        assert states(place, "big") == {"queued": PART}, "the other one is still under way"
    assert (states(place, "small"), states(place, "big")) == ({"sent": 10}, {"queued": MANY + 1})


def test_a_suppression_does_not_wait_for_a_csv(place: PostgresUrl) -> None:
    """A suppression is durable at once, while the CSV of a campaign is read and a run of another campaign sends."""
    with opened(place, campaign="small") as log:
        enlist(log, people(10))
        log.note_list("news")
        with enlisting(place, "big"):
            with SuppressionList(place, FakeClock()) as suppressions:
                assert suppressions.add(["u11@example.com"], reason="complained") == 1
            asyncio.run(sent(log, 10)())
            assert states(place, "small") == {"sent": 10}
            assert states(place, "big") == {"queued": PART}
    with opened(place, campaign="big") as log:
        log.note_list("news")
        assert log.enlist(list, source="big.csv", digest="big") == Enlistment(unchanged=True)
        assert log.skip_suppressed() == 1


def test_a_command_that_waits_for_a_preparation_holds_up_nobody(place: PostgresUrl, log_url: str) -> None:
    """A suppression waits for the end of a transaction that prepares a campaign; meanwhile another campaign is sent."""
    done: list[int] = []

    def suppress() -> None:
        with SuppressionList(place, FakeClock()) as log:
            done.append(log.add(["u1@example.com"], reason="complained"))

    with opened(place, campaign="small") as log, opened(place, campaign="big") as big:
        enlist(log, people(10))
        log.note_list("news")
        with preparing(big):
            command = threading.Thread(target=suppress)
            command.start()
            with psycopg.connect(log_url, autocommit=True) as watching:
                waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'"
                asyncio.run(eventually(lambda: watching.execute(waits).fetchone() is not None))
            asyncio.run(sent(log, 10)())
            assert states(place, "small") == {"sent": 10}
            assert done == []
        command.join()
    assert done == [1]


def test_recovery_leaves_rows_that_are_being_enlisted_for_later(place: PostgresUrl, log_url: str) -> None:
    """The rows of a lost run that a preparation is changing are recovered after it, and nothing waits for it."""

    async def lose(log: SendLog) -> None:
        log.share(lease=LEASE, say=lambda _: None)
        async with log:
            first, *_ = await log.claim(5, QueueCursor())
            await bring(log, first, Status.SENDING)
            with psycopg.connect(log_url, autocommit=True) as server:
                server.execute("UPDATE campaign.worker SET lease_until = clock_timestamp()")
            with opened(place, campaign="big") as big, preparing(big), opened(place, campaign="small") as other:
                assert other.recover().uncertain == 0
            with opened(place, campaign="small") as other:
                assert other.recover().uncertain == 1

    with opened(place, campaign="big") as log:
        enlist(log, people(5))
        asyncio.run(lose(log))
    assert states(place, "big")["uncertain"] == 1


@pytest.mark.long
def test_a_run_says_that_its_campaign_is_being_prepared(place: PostgresUrl) -> None:
    """A run whose campaign gets another CSV meanwhile waits for it, says so, and goes on."""
    said: list[str] = []

    async def work(log: SendLog) -> None:
        log.share(lease=LEASE, say=said.append)
        async with log:
            first, *_ = await log.claim(5, QueueCursor())
            with opened(place, campaign="big") as big, preparing(big):
                issuing = asyncio.ensure_future(bring(log, first, Status.SENT))  # noqa: TID251 - a step of a run
                await eventually(lambda: bool(said))
                assert states(place, "big") == {"queued": 5}
            await issuing

    with opened(place, campaign="big") as log:
        enlist(log, people(5))
        asyncio.run(work(log))
    assert [sentence.partition(" ")[0] for sentence in said] == ["Waiting", "The"]
    assert states(place, "big")["sent"] == 1


def test_each_run_sends_the_rows_of_its_own_csv(place: PostgresUrl) -> None:
    """Two runs of one campaign with a CSV each send their own rows; one who is in both is for the later CSV's run."""
    mine, theirs = people(10), [person(number) for number in range(9, 15)]

    async def claimed(log: SendLog) -> list[str]:
        log.share(lease=LEASE, say=lambda _: None)
        async with log:
            page: list[Delivery] = await log.claim(100, QueueCursor())
            for delivery in page:
                await bring(log, delivery, Status.SENT)
            assert await log.next_due(-1.0) is None
            return [delivery.recipient.key for delivery in page]

    with opened(place) as first, opened(place) as second:
        with first.preparing():
            enlist(first, mine, source="mine.csv")
        with second.preparing():
            assert enlist(second, theirs, source="theirs.csv").added == 4
        keys = [asyncio.run(claimed(log)) for log in (first, second)]
        assert keys == [[each.key for each in mine[:8]], [each.key for each in theirs]]
        counts = [log.summary().here for log in (first, second)]
    assert [count[Status.SENT] for count in counts] == [8, 6]
    assert states(place, "trial") == {"sent": 14}


@pytest.mark.parametrize("answered", [False, True])
def test_a_batch_whose_commit_is_lost_is_taken_once(
    place: PostgresUrl, log_url: str, postgres_server: Postgres, answered: bool
) -> None:
    """A run that cannot know whether its batch was taken looks it up with a new connection, and takes no second one."""

    async def work(log: SendLog, proxy: DatabaseProxy) -> None:
        log.share(lease=LEASE, say=lambda _: None)
        log.enlist(lambda: people(10), source="people.csv", digest="1", in_batches=True)
        assert log.take_batch(1) is not None
        proxy.lose_commit(answered=answered)
        with pytest.raises(SendLogError):
            log.take_batch(3)
        with psycopg.connect(log_url, autocommit=True) as server:
            others = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"  # what the lost session had
            await eventually(lambda: server.execute(others).fetchone() is None)
        assert await log.is_back()
        assert not await log.is_back()
        for number in (2, 3):
            batch = log.take_batch(3)
            assert batch is not None
            assert (batch.number, batch.size) == (number, 3)

    with DatabaseProxy(postgres_server.port) as proxy:
        url = parse_postgres_url(log_url.replace(f":{postgres_server.port}/", f":{proxy.port}/"))
        with opened(url) as log:
            asyncio.run(work(log, proxy))
    assert states(place, "trial") == {"queued": 10}
