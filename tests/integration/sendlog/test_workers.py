"""Several runs on one log in PostgreSQL: claims, fences, leases, recovery, and lost connections."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

from campaign.config.postgres_url import parse_postgres_url
from campaign.errors import ClaimLostError, PermanentError, SendLogError, SendLogUnusableError, TransientError
from campaign.model import Deferral, Outcome, Status, Waiting
from campaign.sendlog import QueueCursor, SuppressionList
from support.fake_clock import FakeClock
from support.sendlog_helpers import TWO_DAYS, enlist, intend, issue, opened, people, token
from support.servers.database_proxy import DatabaseProxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from campaign.config.postgres_url import PostgresUrl
    from campaign.model import Delivery
    from campaign.sendlog import Enlistment, SendLog
    from support.servers.postgres import Postgres

LEASE = timedelta(minutes=1)


class Shared:
    """A database with a campaign of some people, its workers' log, and what the tests look up there."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.location = parse_postgres_url(url)
        #: What the runs said.
        self.said: list[str] = []
        self._heard = threading.Event()

    def enlist(self, number: int) -> None:
        """Enlist some people."""
        with opened(self.location) as log:
            enlist(log, people(number))

    @contextmanager
    def worker(
        self, number: int = 5, *, location: PostgresUrl | None = None, lease: timedelta = LEASE
    ) -> Iterator[SendLog]:
        """Open the log as a run that has enlisted the same CSV."""
        with opened(location or self.location) as log:
            if number:
                enlist(log, people(number))
            log.share(lease=lease, say=self._hear)
            yield log

    def _hear(self, sentence: str) -> None:
        self.said.append(sentence)
        self._heard.set()

    async def heard_of(self) -> None:
        """Return when a run has said something."""
        assert await asyncio.to_thread(self._heard.wait, 30)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Execute a statement and return its rows."""
        with psycopg.connect(self.url, autocommit=True, options="-c search_path=campaign") as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def end_sessions(self) -> None:
        """End all sessions of the runs."""
        self.query(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    def states(self) -> list[str]:
        """Return the rows' states, in the order of the CSV."""
        return [row[0] for row in self.query("SELECT state FROM delivery ORDER BY id")]


@pytest.fixture
def shared(postgres_server: Postgres) -> Iterator[Shared]:
    url = postgres_server.fresh()
    yield Shared(url)
    postgres_server.drop(url)


async def claim(log: SendLog, limit: int = 100) -> list[Delivery]:
    return await log.claim(limit, QueueCursor())


def test_no_row_is_claimed_twice(shared: Shared) -> None:
    """Two runs that claim at the same time share the rows between them."""

    async def work(first: SendLog, second: SendLog) -> list[list[Delivery]]:
        async with first, second:
            return list(await asyncio.gather(*(claim(log, 3) for log in (first, second) for _ in range(2))))

    with shared.worker(10) as first, shared.worker(10) as second:
        pages = asyncio.run(work(first, second))
    numbers = [each.id for page in pages for each in page]
    assert len(numbers) == len(set(numbers)) == 10


def test_what_a_run_did_not_begin_is_for_others(shared: Shared) -> None:
    """A run that ends gives back what it has claimed, and one that puts a row off gives it back at once."""

    async def work(first: SendLog, second: SendLog) -> tuple[list[int], list[int]]:
        async with second:
            async with first:
                page = await claim(first)
                assert await claim(second) == []
                await first.put_off({page[0].id: Deferral(1.0, Waiting.DUE, "later")})
                early = await claim(second)
                await first.settle(page[1], Outcome(Status.QUEUED, "busy", not_before=1.0))
                early += await claim(second)
            return [each.id for each in early], [each.id for each in await claim(second)]

    with shared.worker() as first, shared.worker() as second:
        early, late = asyncio.run(work(first, second))
    assert (early, late) == ([1, 2], [3, 4, 5])


def test_the_rows_of_a_lost_run_are_recovered_by_the_table(shared: Shared) -> None:
    """When a run's lease is over, its rows are queued or uncertain, and each later write of the run is lost."""

    async def work(log: SendLog, other: SendLog) -> list[Delivery]:
        async with log:
            claimed, unnamed, named, sending, _ = await claim(log)
            unnamed = await log.issuing(unnamed, user_id="user_2", expires_in=TWO_DAYS)
            named, sending = await issue(log, named), await intend(log, sending)
            shared.query("UPDATE worker SET lease_until = clock_timestamp()")
            recovered = other.recover()
            assert (recovered.orphans, recovered.revocations, recovered.uncertain) == (1, 1, 1)
            assert shared.states() == ["queued", "queued", "queued", "uncertain", "queued"]
            with pytest.raises(ClaimLostError):
                await issue(log, claimed)
            with pytest.raises(ClaimLostError):
                await log.issued(unnamed, token(unnamed))
            with pytest.raises(ClaimLostError):
                await log.sending(named, message_id="<1@acme.example>", server="mail.example", with_token=True)
            with pytest.raises(ClaimLostError):
                await log.still_sending(sending)
            with pytest.raises(ClaimLostError):
                await log.settle(sending, Outcome(Status.SENT))
            await log.put_off({claimed.id: Deferral(1e12, Waiting.DUE, "never")})
            await log.revoke_unused(unnamed, token(unnamed))
            async with other:
                return await claim(other)

    with shared.worker() as log, shared.worker() as other:
        page = asyncio.run(work(log, other))
    assert [each.id for each in page] == [1, 2, 3, 5]
    assert shared.states()[3] == "uncertain"
    assert {row[0] for row in shared.query("SELECT token_id FROM revocation")} == {"sit_3_1", "sit_2_1"}


def test_a_run_whose_lease_is_over_begins_nothing(shared: Shared) -> None:
    """Without a lease no token is asked for and no intent is written, and what was under way is still recorded."""

    async def work(log: SendLog) -> None:
        async with log:
            first, second, third, *_ = await claim(log)
            second, third = await issue(log, second), await intend(log, third)
            shared.query("UPDATE worker SET lease_until = clock_timestamp()")
            with pytest.raises(TransientError):
                await log.issuing(first, user_id="user_1", expires_in=TWO_DAYS)
            with pytest.raises(TransientError):
                await log.sending(second, message_id="<2@acme.example>", server="mail.example", with_token=True)
            with pytest.raises(TransientError):
                await log.still_sending(third)
            assert await claim(log) == []
            await log.settle(third, Outcome(Status.SENT))
            await log.settle(second, Outcome(Status.QUEUED, "later"), revoke=token(second))

    with shared.worker() as log:
        asyncio.run(work(log))
    assert shared.states() == ["queued", "queued", "sent", "queued", "queued"]


@pytest.mark.parametrize("answered", [False, True])
def test_a_lost_commit_is_looked_up(shared: Shared, postgres_server: Postgres, answered: bool) -> None:
    """A write whose COMMIT has no answer is written once, whether or not the server had committed it."""

    async def work(log: SendLog, proxy: DatabaseProxy) -> None:
        async with log:
            first, *_ = await claim(log)
            first = await issue(log, first)
            proxy.lose_commit(answered=answered)
            await log.sending(first, message_id="<1@acme.example>", server="mail.example", with_token=True)
            proxy.lose_commit(answered=answered)
            await log.settle(first, Outcome(Status.SENT))
            assert proxy.lost == 2

    with DatabaseProxy(postgres_server.port) as proxy:
        url = parse_postgres_url(shared.url.replace(f":{postgres_server.port}/", f":{proxy.port}/"))
        with shared.worker(location=url) as log:
            asyncio.run(work(log, proxy))
    entries = shared.query("SELECT old_state, new_state FROM history ORDER BY id")
    assert entries == [("queued", "issuing"), ("issuing", "sending"), ("sending", "sent")]
    assert shared.said == []


def test_a_run_waits_for_its_database(shared: Shared, postgres_server: Postgres) -> None:
    """While the server cannot be reached a write waits, with a word, and is made when it can."""

    async def work(log: SendLog, proxy: DatabaseProxy) -> None:
        async with log:
            first, *_ = await claim(log)
            proxy.cut()

            async def repair() -> None:
                await shared.heard_of()
                assert shared.query("SELECT count(*) FROM history") == [(0,)]
                proxy.join()

            await asyncio.gather(issue(log, first), repair())

    with DatabaseProxy(postgres_server.port) as proxy:
        url = parse_postgres_url(shared.url.replace(f":{postgres_server.port}/", f":{proxy.port}/"))
        with shared.worker(location=url) as log:
            asyncio.run(work(log, proxy))
    assert "secret" not in shared.said[0]
    assert shared.said[0].startswith(f"Waiting for PostgreSQL at postgresql://tester@127.0.0.1:{proxy.port}/log_")
    assert shared.said[1] == "PostgreSQL answers again; the run goes on"
    assert shared.query("SELECT count(*) FROM history") == [(1,)]


def test_a_server_may_be_lost_again_while_a_run_returns_to_it(shared: Shared, postgres_server: Postgres) -> None:
    """Whatever request of the new session is lost, the run takes another one."""

    async def work(log: SendLog, proxy: DatabaseProxy) -> int:
        async with log:
            page = await claim(log)
            for number, delivery in enumerate(page, 1):
                shared.end_sessions()
                proxy.lose_request(number, answered=False)
                await issue(log, delivery)
                if not proxy.lost:
                    return number
        raise AssertionError

    with DatabaseProxy(postgres_server.port) as proxy:
        url = parse_postgres_url(shared.url.replace(f":{postgres_server.port}/", f":{proxy.port}/"))
        with shared.worker(40, location=url) as log:
            assert asyncio.run(work(log, proxy)) > 10
    assert "secret" not in "".join(shared.said)
    assert shared.said[0].startswith("Waiting for PostgreSQL at ")
    assert shared.said[-1] == "PostgreSQL answers again; the run goes on"


def test_a_run_with_nothing_to_write_waits_for_its_database(shared: Shared, postgres_server: Postgres) -> None:
    """A run that only waits for its rate says that the server is away, too, and when it is back."""

    async def work(log: SendLog, proxy: DatabaseProxy) -> None:
        async with log:
            await claim(log)
            proxy.cut()
            await shared.heard_of()
            assert log.is_away
            proxy.join()
            await log.next_due(0.0)

    with DatabaseProxy(postgres_server.port) as proxy:
        url = parse_postgres_url(shared.url.replace(f":{postgres_server.port}/", f":{proxy.port}/"))
        with shared.worker(location=url, lease=timedelta(seconds=5)) as log:
            asyncio.run(work(log, proxy))
    assert shared.said[0].startswith(f"Waiting for PostgreSQL at postgresql://tester@127.0.0.1:{proxy.port}/log_")
    assert shared.said[1:] == ["PostgreSQL answers again; the run goes on"]


def test_a_run_that_was_removed_goes_on_with_new_rows(shared: Shared) -> None:
    """A run that others took for dead registers anew, says so, and can claim again."""

    async def work(log: SendLog) -> list[Delivery]:
        async with log:
            before = await claim(log)
            shared.query("DELETE FROM worker")
            shared.query("UPDATE delivery SET worker_id = NULL, fence = fence + 1")
            await shared.heard_of()
            with pytest.raises(ClaimLostError):
                await issue(log, before[0])
            return await claim(log)

    with shared.worker(lease=timedelta(seconds=1)) as log:
        assert len(asyncio.run(work(log))) == 5
    assert shared.query("SELECT count(*) FROM worker") == [(0,)]


#: How the log of an older copy of the server differs: it has an earlier transaction of the run as the last one, or does
#: not know the run, or has removed it since.
OLDER_COPIES = (
    "UPDATE worker SET committed = committed - 1",
    "DELETE FROM worker",
    "WITH gone AS (DELETE FROM worker RETURNING *) INSERT INTO removed_worker SELECT id, committed - 1 FROM gone",
)


@pytest.mark.parametrize("change", OLDER_COPIES)
def test_a_server_that_lacks_commits_gets_no_more_intents(shared: Shared, change: str) -> None:
    """A run whose server is a standby that lacks what was committed ends: what it sent waits there to be sent again."""

    async def work(log: SendLog) -> None:
        async with log:
            first, second, *_ = await claim(log)
            await intend(log, first)
            shared.query(change)
            shared.end_sessions()
            with pytest.raises(SendLogError, match="lacks changes that were committed"):
                await intend(log, second)

    with shared.worker() as log:
        asyncio.run(work(log))


@pytest.mark.parametrize("change", OLDER_COPIES)
def test_a_watch_that_rests_finds_that_commits_are_lacking(shared: Shared, change: str) -> None:
    """A watch whose server lacks what was committed sends nothing more, whenever it goes on."""

    async def work(log: SendLog) -> None:
        async with log.working():
            async with log:
                await intend(log, (await claim(log))[0])
            shared.query(change)
            shared.end_sessions()
            with pytest.raises(SendLogUnusableError, match="lacks changes that were committed"):
                async with log:
                    pass
            with pytest.raises(SendLogUnusableError, match="lacks changes that were committed"):
                await log.restore()

    with shared.worker() as log:
        asyncio.run(work(log))


def test_a_run_that_has_ended_reads_its_counts(shared: Shared) -> None:
    """A run that has left the log, and whose session is lost then, takes another one for what it reads at its end."""

    async def work(log: SendLog) -> None:
        async with log:
            await intend(log, (await claim(log))[0])
        shared.end_sessions()
        assert await log.is_back()
        assert log.summary()[Status.SENDING] == 1
        async with log:
            shared.end_sessions()
            await log.next_due(0.0)

    with shared.worker() as log:
        asyncio.run(work(log))


def test_a_run_that_was_removed_finds_its_commits(shared: Shared) -> None:
    """A run that did not reach the server for longer than its lease goes on: the server knows its last transaction."""

    async def work(log: SendLog, other: SendLog) -> None:
        async with log:
            first, second, *_ = await claim(log)
            await intend(log, first)
            shared.query("UPDATE worker SET lease_until = clock_timestamp()")
            async with other:
                other.recover()
                shared.end_sessions()
                with pytest.raises(ClaimLostError):
                    await intend(log, second)

    with shared.worker() as log, shared.worker() as other:
        asyncio.run(work(log, other))
    assert shared.states() == ["uncertain", *["queued"] * 4]


def test_a_lost_row_costs_the_others_of_its_group_nothing(shared: Shared) -> None:
    """Of the rows that are written together, one is another run's now and one is suppressed: only these are not."""

    async def work(log: SendLog) -> list[Delivery | BaseException]:
        async with log:
            page = await claim(log)
            shared.query("UPDATE delivery SET worker_id = NULL, fence = fence + 1 WHERE id = 2")
            with SuppressionList(shared.location, FakeClock()) as suppressions:
                suppressions.add([page[2].recipient.email], reason="asked us")
            return await asyncio.gather(*(intend(log, each) for each in page), return_exceptions=True)

    with shared.worker() as log:
        first, lost, suppressed, *others = asyncio.run(work(log))
    assert isinstance(lost, ClaimLostError)
    assert isinstance(suppressed, PermanentError)
    assert not any(isinstance(each, BaseException) for each in (first, *others))
    written = shared.query(
        "SELECT DISTINCT delivery_id FROM history WHERE new_state IN ('issuing', 'sending') ORDER BY 1"
    )
    assert written == [(1,), (4,), (5,)]


def test_a_run_that_stays_is_one_worker(shared: Shared) -> None:
    """Between its sendings it waits for locks like one that prepares, and its session is made anew if it was lost."""

    async def run() -> None:
        with shared.worker(5) as log:
            async with log.working():
                found = []
                for _ in range(2):
                    async with log:
                        found.append(log.worker_id)
                        assert await log.next_due(-1.0) is not None
                        assert shared.query("SELECT id FROM worker") == [(log.worker_id,)]
                assert found == [log.worker_id] * 2
                assert log.summary()[Status.QUEUED] == 5
                shared.end_sessions()
                await log.restore()
                assert log.summary()[Status.QUEUED] == 5
                held = shared.query(
                    "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database "
                    "WHERE locktype = 'advisory' AND mode = 'ShareLock' AND granted AND datname = current_database()"
                )
                assert held == [(1,)], "the lock of a run"
            assert shared.query("SELECT id FROM worker") == []

    asyncio.run(run())


def test_what_was_left_behind_is_taken_up_at_once(shared: Shared, postgres_server: Postgres) -> None:
    """The rows of a worker that could not remove itself are free as soon as the next one of its process begins."""

    async def work(location: PostgresUrl, proxy: DatabaseProxy) -> None:
        with shared.worker(location=location) as lost:
            async with lost.working():
                async with lost:
                    assert len(await lost.claim(5, QueueCursor())) == 5
                proxy.cut()
        assert shared.query("SELECT count(*) FROM worker") == [(1,)]
        proxy.join()
        with shared.worker(location=location) as fresh:
            async with fresh.working():
                fresh.recover()
                async with fresh:
                    assert len(await fresh.claim(5, QueueCursor())) == 5

    with DatabaseProxy(postgres_server.port) as proxy:
        url = parse_postgres_url(shared.url.replace(f":{postgres_server.port}/", f":{proxy.port}/"))
        asyncio.run(work(url, proxy))


def test_a_watch_takes_a_batch_beside_others(shared: Shared) -> None:
    """A run that does not end takes its day's batch although another one works on the last."""
    with opened(shared.location) as first, opened(shared.location) as second:
        enlist(first, people(10), in_batches=True)
        assert enlist(second, people(10), in_batches=True).unchanged
        batches = [log.take_batch(4, helps=False) for log in (first, second)]
    assert [(each.number, each.size) for each in batches if each] == [(1, 4), (2, 4)]


def test_a_second_run_joins_the_batch_of_the_first(shared: Shared) -> None:
    """While a run works on a batch, a second one with a limit helps it; the next run after them takes another batch."""
    with opened(shared.location) as first, opened(shared.location) as second:
        enlist(first, people(10), in_batches=True)
        batch = first.take_batch(4)
        assert enlist(second, people(10), in_batches=True).unchanged
        assert batch is not None
        assert (second.take_batch(4), batch.size) == (batch, 4)
    with opened(shared.location) as third:
        enlist(third, people(10), in_batches=True)
        following = third.take_batch(4)
    assert following is not None
    assert (following.number, following.size) == (batch.number + 1, 4)


def test_a_csv_is_enlisted_by_one_run(shared: Shared) -> None:
    """A run that finds another one preparing its campaign waits, says so, and takes over what that one enlisted."""
    found: list[Enlistment] = []

    def second() -> None:
        with shared.worker(0) as log, log.preparing():
            found.append(enlist(log, people(5)))

    with opened(shared.location) as first:
        with first.preparing():
            other = threading.Thread(target=second)
            other.start()
            asyncio.run(shared.heard_of())
            enlist(first, people(5))
        other.join()
    assert shared.said == ["Another run prepares this campaign now; waiting for it"]
    assert [each.unchanged for each in found] == [True]
