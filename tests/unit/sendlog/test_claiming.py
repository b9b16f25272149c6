"""The send log is the queue: rows are claimed in order, when they are due, and only once."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.model import Outcome, Status
from campaign.sendlog import QueueCursor
from campaign.sendlog.sqlite.statements import SQL
from support.examples import fewer_examples
from support.fake_clock import FakeClock
from support.sendlog_helpers import enlist, history, intend, opened, people, person, states, working

if TYPE_CHECKING:
    from campaign.model import Delivery
    from campaign.sendlog import SendLog

START = 1_750_000_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "send-log.db"


def keys(deliveries: list[Delivery]) -> list[str]:
    return [delivery.recipient.key.removeprefix("user_") for delivery in deliveries]


async def later(log: SendLog, delivery: Delivery, not_before: float) -> None:
    await log.settle(delivery, Outcome(Status.QUEUED, "greylisted", faults=1, not_before=not_before))


def test_rows_come_in_the_order_of_the_csv_and_once(path: Path) -> None:
    """Claims return the rows in order and each only once, until no row is left."""

    async def run(log: SendLog) -> list[list[str]]:
        async with log:
            lane = QueueCursor()
            return [keys(await log.claim(2, lane)) for _ in range(4)]

    with opened(path) as log:
        enlist(log, people(5))
        assert asyncio.run(run(log)) == [["1", "2"], ["3", "4"], ["5"], []]


@pytest.mark.parametrize(
    "lane", [QueueCursor(), QueueCursor(domain="example.com"), QueueCursor(without=("nobody.example",))]
)
def test_a_page_far_behind_takes_no_longer_than_the_first(path: Path, lane: QueueCursor) -> None:
    """Claiming stays fast however many queued rows were skipped before, such as those of a paused domain."""
    with opened(path) as log:
        enlist(log, people(5_000))
    steps = list[int]()
    with closing(sqlite3.connect(path)) as connection:
        connection.set_progress_handler(lambda: steps.append(1), 100)
        taken = []
        for place in (0, 4_900):
            lane.after = (0.0, place)
            arguments = {"campaign": 1, "enlistment": 1, "limit": 100, "now": START} | lane.arguments
            steps.clear()
            assert len(connection.execute(SQL.claim, arguments).fetchall()) == 100
            taken.append(len(steps))
    assert max(taken) <= 50, "so many hundred steps of SQLite's machine for a hundred rows"


def test_a_claimed_row_is_still_queued(path: Path) -> None:
    """Claiming changes nothing in the log, so a crash right after it needs no recovery."""

    async def work(deliveries: list[Delivery]) -> None:
        assert keys(deliveries) == ["1", "2"]

    with opened(path) as log:
        enlist(log, people(2))
        working(log, work)
    assert states(path) == {"user_1": "queued", "user_2": "queued"}
    assert history(path) == []


def test_a_row_that_waits_comes_when_it_is_due(path: Path) -> None:
    """A postponed row is claimed again at its time, not earlier, and after rows that were due before it."""
    clock = FakeClock(START)

    async def run(log: SendLog) -> None:
        async with log:
            lane = QueueCursor()
            one, two, three = await log.claim(10, lane)
            await later(log, one, START + 60)
            await later(log, two, START + 30)
            await later(log, three, START + 90)
            assert await log.claim(10, lane) == []
            assert await log.next_due(lane.after[0]) == START + 30
            clock.jump(29.9)
            assert await log.claim(10, lane) == []
            clock.jump(40.1)
            assert keys(await log.claim(10, lane)) == ["2", "1"]
            assert await log.next_due(lane.after[0]) == START + 90
            clock.jump(20)
            (again,) = await log.claim(10, lane)
            assert (again.recipient.key, again.faults, again.attempts) == ("user_3", 1, 0)
            assert await log.next_due(lane.after[0]) is None

    with opened(path, clock=clock) as log:
        enlist(log, people(3))
        asyncio.run(run(log))


def test_lanes_share_the_queue(path: Path) -> None:
    """A domain's cursor returns only the rows of its domain, and the cursor of the rest returns all others."""

    async def run(log: SendLog) -> None:
        async with log:
            gmail, rest, everything = (
                QueueCursor(domain="gmail.com"),
                QueueCursor(without=("gmail.com", "aol.com")),
                QueueCursor(),
            )
            of_gmail, others = await log.claim(10, gmail), await log.claim(10, rest)
            assert (keys(of_gmail), keys(others)) == (["1", "4"], ["2", "5"])
            log.give_back([delivery.id for delivery in of_gmail + others])
            assert keys(await log.claim(10, everything)) == ["1", "2", "3", "4", "5"]

    domains = ["gmail.com", "one.example", "aol.com", "GMAIL.com", "two.example"]
    with opened(path) as log:
        enlist(log, [person(number, domain=domain) for number, domain in enumerate(domains, 1)])
        asyncio.run(run(log))


def test_domains_that_do_not_count_are_left_out_of_what_is_due(path: Path) -> None:
    """The next due time can be computed without the rows of some domains."""

    async def run(log: SendLog) -> None:
        async with log:
            one, two = await log.claim(10, QueueCursor())
            await later(log, one, START + 10)
            await later(log, two, START + 20)
            assert await log.next_due(START) == START + 10
            assert await log.next_due(START, without=["one.example"]) == START + 20
            assert await log.next_due(START, without=["one.example", "two.example"]) is None

    with opened(path, clock=FakeClock(START)) as log:
        enlist(log, [person(1, domain="one.example"), person(2, domain="two.example")])
        asyncio.run(run(log))


@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.integers(0, 3), st.one_of(st.just(0.0), st.floats(0.001, 50.0))), max_size=12
    ),
    st.integers(1, 9),
)
@fewer_examples()
def test_no_row_is_lost_or_doubled(steps: list[tuple[int, int, float]], number: int) -> None:
    """However rows are claimed, postponed and settled, no row is claimed twice at once, and all come out in the end."""
    clock = FakeClock(START)

    async def run(log: SendLog) -> None:
        async with log:
            lane, done = QueueCursor(), set[int]()
            in_hand: list[Delivery] = []
            for limit, settle, wait in [*steps, (100, 100, 100.0), (100, 100, 100.0)]:
                page = await log.claim(limit, lane)
                assert not {row.id for row in page} & ({row.id for row in in_hand} | done)
                in_hand += page
                for row in in_hand[:settle]:
                    if wait and row.faults < 2:
                        waits = Outcome(Status.QUEUED, "later", faults=row.faults + 1, not_before=clock.now() + wait)
                        await log.settle(row, waits)
                    else:
                        await log.settle(await intend(log, row), Outcome(Status.SENT))
                        done.add(row.id)
                del in_hand[:settle]
                clock.jump(wait / 2)
            clock.jump(1000.0)
            rest = await log.claim(100, lane)
            assert len(done) + len(in_hand) + len(rest) == number
            assert len(done | {row.id for row in in_hand} | {row.id for row in rest}) == number

    with tempfile.TemporaryDirectory() as folder, opened(Path(folder) / "log.db", clock=clock) as log:
        enlist(log, people(number))
        asyncio.run(run(log))
