"""Batches: a run takes up so many recipients that were never tried, after what earlier batches left."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.model import Batch, Outcome, Status, Waiting
from campaign.sendlog import LogReader, QueueCursor
from support.examples import fewer_examples
from support.fake_clock import FakeClock
from support.sendlog_helpers import bring, enlist, intend, opened, people, person, table, working

if TYPE_CHECKING:
    from collections.abc import Sequence

    from campaign.model import Delivery, Recipient
    from campaign.sendlog import BatchCounts, SendLog

START = 1_750_000_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "send-log.db"


def in_batches(log: SendLog, rows: Sequence[Recipient], *, steps: Sequence[str] = ("",)) -> None:
    log.enlist(lambda: rows, source="people.csv", digest=repr(rows), steps=steps, in_batches=True)


def due(log: SendLog) -> list[str]:
    """Return the numbers of the people that are due, in the order in which a run claims them."""
    found: list[str] = []

    async def work(rows: list[Delivery]) -> None:
        found.extend(row.recipient.key.removeprefix("user_") for row in rows)

    working(log, work)
    return found


def send(log: SendLog, *, but: Sequence[int] = (), not_before: float = START + 60) -> None:
    """Send all rows that are due, except those of some people, which are put off."""

    async def work(rows: list[Delivery]) -> None:
        for row in rows:
            if int(row.recipient.key.removeprefix("user_")) in but:
                await log.settle(row, Outcome(Status.QUEUED, "greylisted", faults=1, not_before=not_before))
            else:
                await log.settle(await intend(log, row), Outcome(Status.SENT))

    working(log, work)


def test_nobody_is_due_before_a_batch_takes_them_up(path: Path) -> None:
    """Enlisted in batches, a row waits for a batch, without an instant at which it becomes due."""
    with opened(path, clock=FakeClock(START)) as log:
        in_batches(log, people(3))
        assert due(log) == []
        summary = log.summary()
        assert (summary.waiting, summary.next_due) == ({Waiting.BATCH: 3}, None)


def test_a_batch_is_the_next_in_the_order_of_the_csv(path: Path) -> None:
    """Each batch takes the next rows of the CSV that were never tried, with a number and a time."""
    clock = FakeClock(START)
    with opened(path, clock=clock) as log:
        in_batches(log, people(5))
        assert log.take_batch(2) == Batch(1, START, 2)
        assert due(log) == ["1", "2"]
        send(log)
        clock.jump(86_400)
        assert log.take_batch(2) == Batch(2, START + 86_400, 2)
        assert due(log) == ["3", "4"]
        send(log)
        assert log.take_batch(2) == Batch(3, START + 86_400, 1)
        assert due(log) == ["5"]
        send(log)
        assert log.take_batch(2) is None
        with closing(LogReader(path)) as reader:
            assert [(each.batch.number, each.counts) for each in reader.batches("trial", limit=2)] == [
                (2, {Status.SENT: 2}),
                (3, {Status.SENT: 1}),
            ]


def test_a_column_may_decide_the_order(path: Path) -> None:
    """With `by_position` the smallest positions come first, in batches and without a limit; equal ones by line."""
    rows = [person(number)._replace(position=place) for number, place in enumerate((3.5, -1, 2, 2, 9), 1)]
    with opened(path, clock=FakeClock(START)) as log:
        in_batches(log, rows)
        log.take_batch(3, by_position=True)
        assert due(log) == ["2", "3", "4"]
        log.take_batch(None, by_position=True)
        assert due(log) == ["2", "3", "4", "1", "5"]
    with opened(path, campaign="all at once", clock=FakeClock(START)) as log:
        enlist(log, rows)
        assert log.take_batch(None, by_position=True) == Batch(1, START, 5)
        assert due(log) == ["2", "3", "4", "1", "5"]


def test_what_an_earlier_batch_left_comes_first_and_does_not_count(path: Path) -> None:
    """A deferred row of an earlier batch comes before the new ones once its time has come, and takes nobody's place."""
    clock = FakeClock(START)
    with opened(path, clock=clock) as log:
        in_batches(log, people(6))
        log.take_batch(3)
        send(log, but=[2, 3])
        assert log.take_batch(1) == Batch(2, START, 1)
        assert due(log) == ["4"], "their time has not come"
        clock.jump(61)
        assert due(log) == ["4", "2", "3"]
        assert log.take_batch(1) == Batch(3, START + 61, 1)
        assert due(log)[-2:] == ["4", "5"]
        assert sorted(due(log)) == ["2", "3", "4", "5"]
    assert {row["key"]: row["batch"] for row in table(path, "SELECT key, batch FROM delivery")} == {
        "user_1": 1,
        "user_2": 1,
        "user_3": 1,
        "user_4": 2,
        "user_5": 3,
        "user_6": None,
    }


def test_a_batch_that_was_interrupted_goes_on(path: Path) -> None:
    """What a crash left of a batch stays due in its order, before the next batch."""
    with opened(path, clock=FakeClock(START)) as log:
        in_batches(log, people(6))
        log.take_batch(3)
    with opened(path, clock=FakeClock(START + 60)) as log:
        in_batches(log, people(6))
        log.take_batch(2)
        assert due(log) == ["1", "2", "3", "4", "5"]


def test_a_growing_csv_goes_on_where_it_was(path: Path) -> None:
    """Rows that a new CSV adds come after those that wait, and those tried already are not taken up again."""
    with opened(path, clock=FakeClock(START)) as log:
        in_batches(log, people(3))
        log.take_batch(2)
        send(log)
        in_batches(log, people(5))
        log.take_batch(2)
        assert due(log) == ["3", "4"]


def test_a_run_without_a_limit_is_one_batch(path: Path) -> None:
    """All new recipients of a CSV are a batch; a run with the same CSV goes on with it and makes none."""
    with opened(path, clock=FakeClock(START)) as log:
        enlist(log, people(3))
        assert log.take_batch(None) == Batch(1, START, 3)
        enlist(log, people(5))
        assert log.take_batch(None) == Batch(2, START, 2)
    with opened(path, clock=FakeClock(START)) as log:
        enlist(log, people(5))
        assert log.take_batch(None) is None
        assert due(log) == ["1", "2", "3", "4", "5"]


def test_a_limit_counts_who_a_run_without_one_did_not_reach(path: Path) -> None:
    """After an interrupted run without a limit, a limit counts everybody that it did not try."""
    with opened(path, clock=FakeClock(START)) as log:
        enlist(log, people(5))
        log.take_batch(None)
        working(log, lambda rows: _bring(log, rows[0], Status.SENT))
        assert log.take_batch(2) == Batch(2, START, 2)
        assert due(log) == ["2", "3"]
        with closing(LogReader(path)) as reader:
            assert [(each.batch.number, each.batch.size) for each in reader.batches("trial", limit=9)] == [
                (1, 1),
                (2, 2),
            ]
        assert log.take_batch(None) == Batch(3, START, 2)
        assert due(log) == ["2", "3", "4", "5"]


async def _bring(log: SendLog, row: Delivery, state: Status) -> None:
    await bring(log, row, state)


def test_a_limit_of_an_untouched_run_counts_everybody(path: Path) -> None:
    """If the run without a limit tried nobody, its batch is gone and the first one has the limit's size."""
    with opened(path, clock=FakeClock(START)) as log:
        enlist(log, people(4))
        log.take_batch(None)
        assert log.take_batch(3) == Batch(1, START, 3)
        assert due(log) == ["1", "2", "3"]


def test_a_row_of_a_batch_waits_for_its_due_time(path: Path) -> None:
    """A row that a batch takes up is not due before its own due time."""
    clock = FakeClock(START)
    with opened(path, clock=clock) as log:
        in_batches(log, [person(1)._replace(due_at=START + 100), person(2)._replace(due_at=START - 100), person(3)])
        log.take_batch(2)
        assert due(log) == ["2"]
        assert log.summary().waiting == {Waiting.DUE: 1, Waiting.BATCH: 1}
        assert log.summary().next_due == START + 100
        clock.jump(101)
        assert due(log) == ["2", "1"]


def test_who_was_skipped_leaves_the_place_to_others(path: Path) -> None:
    """A recipient that was skipped before a batch takes nobody's place in it."""
    with opened(path, clock=FakeClock(START)) as log:
        in_batches(log, people(4))
        assert log.skip_key("user_1", reason="skipped by hand") == 1
        assert log.take_batch(2) == Batch(1, START, 2)
        assert due(log) == ["2", "3"]


def test_who_comes_back_waits_for_a_batch(path: Path) -> None:
    """A skipped row that returns before any batch took it up waits for one."""
    with opened(path, clock=FakeClock(START)) as log:
        in_batches(log, people(3))
        assert log.skip_missing(["user_1"], reason="not in the CSV any more") == 2
        in_batches(log, people(3))
        assert log.summary().waiting == {Waiting.BATCH: 3}
        log.take_batch(2)
        assert due(log) == ["1", "2"]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 4),  # new rows of the CSV
            st.one_of(st.none(), st.integers(1, 4)),  # the run's limit
            st.booleans(),  # by position
            st.integers(0, 5),  # messages before the run is interrupted
            st.lists(st.integers(1, 20), max_size=3),  # who is put off
        ),
        max_size=8,
    )
)
@fewer_examples()
def test_a_limit_holds_and_nobody_is_left(runs: list[tuple[int, int | None, bool, int, list[int]]]) -> None:
    """However runs alternate and break off, no batch exceeds its limit, nobody is in two, and all are sent once."""
    clock = FakeClock(START)
    sent: list[str] = []

    async def work(rows: list[Delivery], messages: int, put_off: list[int]) -> None:
        for row in rows[:messages]:
            if int(row.recipient.key.removeprefix("user_")) in put_off:
                wait = Outcome(Status.QUEUED, "later", faults=1, not_before=clock.now() + 30)
                await log.settle(row, wait)
            else:
                await log.settle(await intend(log, row), Outcome(Status.SENT))
                sent.append(row.recipient.key)

    async def run(messages: int, put_off: list[int]) -> None:
        async with log:
            await work(await log.claim(100, QueueCursor()), messages, put_off)

    number = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.db"
        batches: dict[str, int] = {}
        for added, limit, by_position, messages, put_off in [*runs, (1, None, False, 100, [])]:
            number += added
            rows = [person(each)._replace(position=-each) for each in range(1, number + 1)]
            with opened(path, clock=clock) as log:
                (in_batches if limit else enlist)(log, rows)
                batch = log.take_batch(limit, by_position=by_position)
                assert limit is None or batch is None or batch.size <= limit
                asyncio.run(run(messages, put_off))
                clock.jump(60)
            found = {row["key"]: row["batch"] for row in table(path, "SELECT key, batch FROM delivery WHERE attempts")}
            assert batches.items() <= found.items(), "who was tried stays in the batch"
            batches = found
            if limit is not None and batch is not None:
                members = table(path, f"SELECT key FROM delivery WHERE batch = {batch.number}")  # noqa: S608
                assert len(members) == batch.size
        with opened(path, clock=clock) as log:
            asyncio.run(run(100, []))
            assert sorted(sent) == sorted(f"user_{each}" for each in range(1, number + 1))
            assert sum(each.counts.get(Status.SENT, 0) for each in _batches(path)) == number


def _batches(path: Path) -> list[BatchCounts]:
    with closing(LogReader(path)) as reader:
        return reader.batches("trial", limit=99)
