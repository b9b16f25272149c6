"""Group commit: callers wait for their own writes, writes share an fsync, and a failure stops all writing."""

from __future__ import annotations

import asyncio
import resource
import threading
import time
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from campaign.errors import SendLogError
from campaign.model import Outcome, Status
from campaign.sendlog import QueueCursor
from campaign.sendlog import group_commit as commit
from campaign.sendlog.backends import database_of
from campaign.sendlog.group_commit import GroupCommit
from support.sendlog_helpers import TWO_DAYS, change, enlist, opened, people, states, table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from campaign.model import Delivery
    from campaign.sendlog import LogLocation, SendLog
    from campaign.sendlog.database import LogConnection


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "send-log.db"


#: Executed in this order, whatever the order in which the writes are submitted.
STATEMENTS = {
    "row": "INSERT INTO note (text) VALUES (:text)",
    "change": "UPDATE note SET text = :after WHERE text = :before",
}


class Counting:
    """A connection that counts its commits, which take `flush_s` longer than those in memory do."""

    commits = 0
    flush_s = 0.0

    def __init__(self, connection: LogConnection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the connection has
        """Return what the connection has of this name."""
        return getattr(self._connection, name)

    def commit(self) -> None:
        """Commit."""
        self.commits += 1
        time.sleep(self.flush_s)  # noqa: TID251 - as a disk does
        self._connection.commit()


class Writer:
    """A group commit on a log with one table more; it counts transactions and can be blocked."""

    def __init__(self, path: LogLocation, connection: Counting) -> None:
        self._path = path
        self._begun, self._held = threading.Event(), threading.Event()
        self._connection = connection
        number, statements = "INTEGER PRIMARY KEY", STATEMENTS
        if not isinstance(path, Path):
            number = "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
            statements = {name: statement.replace(":text", "%(text)s") for name, statement in STATEMENTS.items()}
            statements["change"] = "UPDATE note SET text = %(after)s WHERE text = %(before)s"
        table_of_ours = f"CREATE TABLE note (number {number}, text TEXT UNIQUE)"
        if isinstance(path, Path):
            connection.execute(table_of_ours)
        else:
            change(path, f"DROP TABLE IF EXISTS note; {table_of_ours}; GRANT SELECT, INSERT, UPDATE ON note TO PUBLIC")
        self._add = statements["row"]
        self.writer = GroupCommit(cast("LogConnection", connection), database_of(path), statements)

    @property
    def commits(self) -> int:
        """The number of transactions."""
        return self._connection.commits

    def slow_down(self, flush_s: float) -> None:
        """Let each commit take some seconds more."""
        self._connection.flush_s = flush_s

    async def hold(self) -> asyncio.Future[None]:
        """Submit a write that blocks the writer until `let_go` is called, and return its future."""
        write = self.writer.submit(lambda _: self._wait())
        assert await asyncio.to_thread(self._begun.wait, 10)
        return write

    def _wait(self) -> None:
        self._begun.set()
        assert self._held.wait(10)

    def let_go(self) -> None:
        """Let the blocking write finish."""
        self._held.set()

    def note(self, text: str) -> asyncio.Future[object]:
        """Submit a function that inserts a row."""
        row = {"text": text}
        return self.writer.submit(lambda connection: connection.execute(self._add, row))

    def row(self, text: str) -> asyncio.Future[None]:
        """Submit a row of a named statement."""
        return self.writer.write({"row": {"text": text}})

    @property
    def kept(self) -> list[str]:
        """The rows that another connection sees."""
        return [row["text"] for row in table(self._path, "SELECT text FROM note ORDER BY number")]


@asynccontextmanager
async def writing(path: LogLocation) -> AsyncIterator[Writer]:
    with closing(Counting(database_of(path).connect(for_writing=True))) as connection:
        writer = Writer(path, connection)
        try:
            yield writer
        finally:
            writer.let_go()
            await asyncio.to_thread(writer.writer.close)


def test_writes_that_wait_share_a_transaction(path: Path) -> None:
    """All writes submitted while a transaction is in progress share the next transaction."""

    async def run() -> None:
        async with writing(path) as writer:
            first = await writer.hold()
            notes = [writer.note(str(number)) for number in range(100)]
            writer.let_go()
            await asyncio.gather(first, *notes)
            assert writer.kept == [str(number) for number in range(100)]
            assert writer.commits == 2

    asyncio.run(run())


def test_no_row_waits_for_hundreds_behind_it(path: Path) -> None:
    """If many rows are submitted at once, the first ones are committed before the last ones are written."""

    async def run() -> None:
        async with writing(path) as writer:
            writer.slow_down(0.005)
            first = await writer.hold()
            rows = [writer.row(str(number)) for number in range(1000)]
            behind_the_first: list[int] = []
            rows[0].add_done_callback(lambda _: behind_the_first.append(sum(row.done() for row in rows)))
            writer.let_go()
            await asyncio.gather(first, *rows)
            assert behind_the_first[0] < 500
            assert writer.kept == [str(number) for number in range(1000)]
            assert writer.commits < 20

    asyncio.run(run())


def test_a_write_is_on_the_disk_when_it_returns(path: Path) -> None:
    """A write is committed when its caller continues."""

    async def run() -> None:
        async with writing(path) as writer:
            for number in range(3):
                await writer.note(str(number))
                assert len(writer.kept) == number + 1

    asyncio.run(run())


def test_what_is_read_holds_all_that_was_written_before(path: Path) -> None:
    """A read that is submitted after a write sees it, shares its transaction, and returns after the commit."""

    async def run() -> None:
        async with writing(path) as writer:
            first = await writer.hold()
            row = writer.row("a")
            reading = writer.writer.submit(lambda connection: connection.execute("SELECT text FROM note").fetchall())
            writer.let_go()
            assert await reading == [("a",)]
            assert writer.kept == ["a"]
            await asyncio.gather(first, row)
            assert writer.commits == 2

    asyncio.run(run())


def test_the_rows_of_a_transaction_are_written_in_the_order_of_the_statements(path: Path) -> None:
    """Rows of a transaction are written in the order of the statements, so a change finds the row it needs."""

    async def run() -> None:
        async with writing(path) as writer:
            first = await writer.hold()
            changes = [writer.writer.write({"change": {"before": text, "after": text.upper()}}) for text in "abc"]
            rows = [writer.row(text) for text in "abc"]
            writer.let_go()
            await asyncio.gather(first, *changes, *rows)
            assert writer.kept == ["A", "B", "C"]
            assert writer.commits == 2

    asyncio.run(run())


def test_what_one_write_asks_for_is_written_together_or_not_at_all(path: Path) -> None:
    """If a statement of a write finds no row, its transaction is rolled back and all later writes are refused."""

    async def run() -> None:
        async with writing(path) as writer:
            await writer.row("a")
            await writer.writer.write({"row": {"text": "b"}, "change": {"before": "a", "after": "c"}})
            assert sorted(writer.kept) == ["b", "c"]
            with pytest.raises(SendLogError, match=r"rows are not in the expected state \(change\)"):
                await writer.writer.write({"row": {"text": "d"}, "change": {"before": "nothing", "after": "e"}})
            with pytest.raises(SendLogError, match=r"expected state \(change\)"):
                await writer.row("f")
            assert sorted(writer.kept) == ["b", "c"]

    asyncio.run(run())


@pytest.mark.parametrize("urgent", [True, False])
def test_a_write_that_is_not_urgent_waits_for_another(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, urgent: bool
) -> None:
    """A write that is not urgent shares the transaction of the next write and waits no longer than that."""
    monkeypatch.setattr(commit, "_GROUPING_DELAY_S", 60.0)

    async def run() -> None:
        async with writing(path) as writer:
            one = writer.writer.write({"row": {"text": "one"}}, urgent=False)
            await asyncio.to_thread(lambda: None)
            other = writer.writer.write({"row": {"text": "other"}}, urgent=urgent)
            await asyncio.wait_for(asyncio.gather(one, other), 30)
            assert writer.kept == ["one", "other"]
            assert writer.commits == 1

    asyncio.run(run())


def test_an_urgent_write_waits_for_no_other(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An urgent write is committed at once if no other write is pending."""
    monkeypatch.setattr(commit, "_GROUPING_DELAY_S", 60.0)

    async def run() -> None:
        async with writing(path) as writer:
            await asyncio.wait_for(writer.row("alone"), 30)
            await asyncio.wait_for(writer.note("alone, too"), 30)

    asyncio.run(run())


def test_a_write_that_is_not_urgent_is_written_without_company(path: Path) -> None:
    """A write that is not urgent is committed after a delay even if no other write comes."""

    async def run() -> None:
        async with writing(path) as writer:
            await asyncio.wait_for(writer.writer.write({"row": {"text": "alone"}}, urgent=False), 10)
            assert writer.kept == ["alone"]

    asyncio.run(run())


def test_a_failure_reaches_everybody_and_lasts(path: Path) -> None:
    """If one write fails, all writes of its transaction fail, none is kept, and every later write is refused."""

    async def run() -> None:
        async with writing(path) as writer:
            await writer.note("before")
            first = await writer.hold()
            shared = [writer.note(text) for text in ("one", "before", "two")]
            writer.let_go()
            await first
            results = await asyncio.gather(*shared, return_exceptions=True)
            assert [type(result) for result in results] == [SendLogError] * 3
            assert "nothing more was sent" in str(results[0])
            with pytest.raises(SendLogError, match="can no longer be written"):
                await writer.note("three")
            with pytest.raises(SendLogError, match="can no longer be written"):
                await writer.writer.submit(lambda _: "not to be trusted")
            assert writer.kept == ["before"]

    asyncio.run(run())


def test_a_caller_that_gave_up_does_no_harm(path: Path) -> None:
    """A write whose caller was cancelled is still committed, and other callers get their results."""

    async def run() -> None:
        async with writing(path) as writer:
            first = await writer.hold()
            given_up, other = writer.note("given up"), writer.note("other")
            given_up.cancel()
            writer.let_go()
            await asyncio.gather(first, other)
            assert writer.kept == ["given up", "other"]

    asyncio.run(run())


def test_what_waits_is_written_before_the_end(path: Path) -> None:
    """Closing commits the writes that were submitted before it."""

    async def run() -> None:
        async with writing(path) as writer:
            await writer.hold()
            notes = [writer.note(str(number)) for number in range(5)]
        await asyncio.gather(*notes)
        assert writer.kept == ["0", "1", "2", "3", "4"]

    asyncio.run(run())


# -- the log on a full disk --------------------------------------------------------------------------------------


@contextmanager
def no_file_longer_than(octets: int) -> Iterator[None]:
    """Make every write beyond `octets` bytes of a file fail, as on a full disk, by the system's file-size limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def issue_all(log: SendLog, deliveries: list[Delivery]) -> list[object]:
    moves = [log.issuing(delivery, user_id="u", expires_in=TWO_DAYS) for delivery in deliveries]
    results: list[object] = await asyncio.gather(*moves, return_exceptions=True)
    return results


def test_a_full_disk_stops_the_run(path: Path) -> None:
    """If the disk becomes full during a run, every later write fails with an error, and no row of these changes."""

    async def run(log: SendLog) -> None:
        async with log:
            lane = QueueCursor()
            (one, *others) = await log.claim(2000, lane)
            await log.issuing(one, user_id="u", expires_in=TWO_DAYS)
            size = path.with_name(path.name + "-wal").stat().st_size
            with no_file_longer_than(size + 8192):
                results = await issue_all(log, others)
            assert all(isinstance(result, SendLogError) for result in results)
            # space is free again, but this run's view of the log may be wrong
            with pytest.raises(
                SendLogError, match="Free disk space or repair the log, then run the same command again"
            ):
                await log.settle(one, Outcome(Status.QUEUED))
            with pytest.raises(SendLogError):
                await log.claim(1, lane)

    with opened(path) as log:
        enlist(log, people(2000))
        asyncio.run(run(log))
    found = list(states(path).values())
    assert (found.count("issuing"), found.count("queued")) == (1, 1999)
    with opened(path) as log:
        assert log.recover().orphans == 1


def test_a_full_disk_keeps_a_csv_out_whole(path: Path) -> None:
    """If the disk is full while a CSV is enlisted, none of it is kept, and the next try succeeds."""
    with opened(path) as log:
        with no_file_longer_than(100_000), pytest.raises(SendLogError, match="nothing was changed"):
            enlist(log, people(20_000))
        assert log.summary().recipients == 0
        assert enlist(log, people(100)).added == 100


def test_nothing_is_written_outside_of_a_run(path: Path) -> None:
    """A write is refused before the writer starts and after it ends."""

    async def run(log: SendLog) -> None:
        async with log:
            (delivery,) = await log.claim(1, QueueCursor())
        with pytest.raises(SendLogError, match="closed"):
            await log.settle(delivery, Outcome(Status.SENT))

    with opened(path) as log:
        enlist(log, people(1))
        with pytest.raises(SendLogError, match="closed"):
            asyncio.run(log.claim(1, QueueCursor()))
        asyncio.run(run(log))
    assert states(path) == {"user_1": "queued"}
