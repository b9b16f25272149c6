"""Rows that wait: put off without an attempt, due by the schedule, over an address's share, or for a quota."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from campaign.errors import DeferredError
from campaign.model import Deferral, Outcome, Rate, Status, Waiting
from campaign.sendlog import QueueCursor
from support.fake_clock import FakeClock
from support.sendlog_helpers import enlist, history, intend, issue, opened, people, person, table, token, working

if TYPE_CHECKING:
    from pathlib import Path

    from campaign.model import Delivery

START = 1_750_000_000.0
DAY = 86_400.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "send-log.db"


def test_a_row_is_put_off_without_an_attempt(path: Path) -> None:
    """A deferral keeps when and why a row waits, uses up no attempt and makes no entry in the history."""
    clock = FakeClock(START)

    async def work(rows: list[Delivery]) -> None:
        cursor = QueueCursor()
        await log.put_off({rows[0].id: Deferral(START + 50, Waiting.WINDOW, "until 09:00", due_at=START - 5)})
        log.give_back([rows[1].id])
        assert [row.recipient.key for row in await log.claim(9, cursor)] == ["user_2"]
        assert await log.next_due(cursor.after[0]) == START + 50
        clock.jump(51)
        (again,) = await log.claim(9, cursor)
        assert (again.recipient.key, again.attempts, again.due_at) == ("user_1", 0, START - 5)
        await log.put_off({again.id: Deferral(START + 90, Waiting.RECHECK, "the site does not answer")})
        assert table(path, "SELECT due_at FROM delivery WHERE id = 1") == [{"due_at": START - 5}]
        clock.jump(51)
        await issue(log, (await log.claim(9, QueueCursor()))[-1])

    with opened(path, clock=clock) as log:
        enlist(log, people(2))
        working(log, work)
    (row,) = table(path, "SELECT waiting, reason, state FROM delivery WHERE id = 1")
    assert row == {"waiting": "", "reason": "", "state": "issuing"}
    assert history(path) == [("queued", "issuing", "run")]


def test_what_a_settled_row_waits_for_is_kept(path: Path) -> None:
    """A row that an attempt put back says what it waits for; by default its next attempt."""

    async def work(rows: list[Delivery]) -> None:
        await log.settle(rows[0], Outcome(Status.QUEUED, "greylisted", faults=1, not_before=START + 60))
        await log.settle(rows[1], Outcome(Status.QUEUED, "cap", not_before=START + 30, waiting=Waiting.CAP))
        await log.settle(rows[2], Outcome(Status.SKIPPED, "banned"))

    with opened(path, clock=FakeClock(START)) as log:
        enlist(log, people(3))
        working(log, work)
        assert log.summary().waiting == {Waiting.RETRY: 1, Waiting.CAP: 1}
        assert log.summary().next_due == START + 30


def test_a_clock_set_back_moves_only_what_a_clock_measured(path: Path) -> None:
    """Recovery brings a retry nearer that a wrong clock put far ahead, and no due time, window or batch."""

    async def work(rows: list[Delivery]) -> None:
        far = START + 10 * DAY
        await log.settle(rows[0], Outcome(Status.QUEUED, "greylisted", faults=1, not_before=far))
        await log.put_off({rows[1].id: Deferral(far, Waiting.WINDOW, "closed")})

    rows = [person(1), person(2), person(3)._replace(due_at=START + 10 * DAY)]
    with opened(path, clock=FakeClock(START)) as log:
        enlist(log, rows)
        working(log, work)
        log.recover()
    waits = [row["not_before"] - START for row in table(path, "SELECT not_before FROM delivery ORDER BY id")]
    assert waits == [3600.0, 10 * DAY, 10 * DAY]


def test_a_row_is_due_at_its_due_time(path: Path) -> None:
    """A row with a due time is claimed then; if a new CSV changes the time while it waits, the new one holds."""
    clock = FakeClock(START)

    def cart(due_at: float) -> list[object]:
        return [person(1, left_at=str(due_at))._replace(due_at=due_at)]

    async def expect(rows: list[Delivery], number: int) -> None:
        assert len(rows) == number

    with opened(path, clock=clock) as log:
        enlist(log, cart(START + 100))  # type: ignore[arg-type]
        assert log.summary().waiting == {Waiting.DUE: 1}
        enlist(log, cart(START + 50))  # type: ignore[arg-type]
        clock.jump(51)
        working(log, lambda rows: expect(rows, 1))
        enlist(log, cart(START + 200))  # type: ignore[arg-type]
        assert log.summary().next_due == START + 200
        working(log, lambda rows: expect(rows, 0))


# -- the frequency cap -------------------------------------------------------------------------------------------


def send_one(path: Path, clock: FakeClock, campaign: str, *, cap: str | None, email: str = "u1@example.com") -> object:
    """Let a run of a campaign send to one person; return the deferral that it met, if any."""
    met: list[DeferredError] = []

    async def work(rows: list[Delivery]) -> None:
        for row in rows:
            try:
                await log.settle(await intend(log, row), Outcome(Status.SENT))
            except DeferredError as error:
                met.append(error)

    with opened(path, campaign=campaign, clock=clock) as log:
        enlist(log, [person(1)._replace(email=email)])
        log.note_cap(Rate.parse(cap) if cap else None)
        working(log, work)
    return met[0] if met else None


def test_an_address_gets_its_share_over_all_campaigns(path: Path) -> None:
    """The cap counts every campaign of the log and any spelling of the address, and names when the next may go."""
    clock = FakeClock(START)
    assert send_one(path, clock, "one", cap=None) is None
    clock.jump(DAY)
    assert send_one(path, clock, "two", cap="2/week", email="U1@Example.com") is None
    clock.jump(DAY)
    met = send_one(path, clock, "three", cap="2/week")
    assert isinstance(met, DeferredError)
    assert (met.until, met.waiting) == (START + 7 * DAY, Waiting.CAP)
    assert send_one(path, clock, "three", cap="2/week", email="other@example.com") is None
    clock.jump(5 * DAY + 1)
    assert send_one(path, clock, "four", cap="2/week") is None
    assert send_one(path, clock, "five", cap="2/week") is not None


def test_a_row_in_doubt_counts_and_a_refused_one_does_not(path: Path) -> None:
    """What may have reached the person counts towards the share; what was refused or not tried does not."""
    clock = FakeClock(START)

    async def doubt(rows: list[Delivery]) -> None:
        await log.settle(await intend(log, rows[0]), Outcome(Status.UNCERTAIN, "no reply"))
        await log.settle(await intend(log, rows[1]), Outcome(Status.FAILED, "refused"), revoke=token(rows[1]))

    with opened(path, campaign="one", clock=clock) as log:
        enlist(log, people(2))
        working(log, doubt)
    assert send_one(path, clock, "two", cap="1/day") is not None
    assert send_one(path, clock, "three", cap="1/day", email="u2@example.com") is None


def test_two_mails_at_the_same_moment_do_not_pass_the_cap_together(path: Path) -> None:
    """Of intents for one address that are committed together, only as many pass as the share allows."""

    async def work(rows: list[Delivery]) -> None:
        issued = await asyncio.gather(*(issue(log, row) for row in rows))
        intents = (
            log.sending(row, message_id=f"<{row.id}@acme.example>", server="m", with_token=True) for row in issued
        )
        results = await asyncio.gather(*intents, return_exceptions=True)
        assert [type(result) for result in results].count(DeferredError) == 4

    with opened(path, clock=FakeClock(START)) as log:
        enlist(log, [each._replace(email="same@example.com") for each in people(6)])
        log.note_cap(Rate.parse("2/week"))
        working(log, work)
    assert len(table(path, "SELECT 1 FROM delivery WHERE state = 'sending'")) == 2


def test_only_a_campaign_with_a_cap_has_an_index_of_addresses(path: Path) -> None:
    """The index for the cap is made when the first campaign has one, and its look-up uses it."""
    find = "SELECT name FROM sqlite_schema WHERE name = 'delivery_address'"
    with opened(path) as log:
        log.note_cap(None)
        assert table(path, find) == []
        log.note_cap(Rate.parse("2/week"))
        assert len(table(path, find)) == 1
        states = "('sending', 'sent', 'uncertain', 'bounced')"
        query = f"SELECT 1 FROM delivery WHERE lower(email) = 'a' AND sent_at > 1 AND state IN {states}"  # noqa: S608
        (plan,) = table(path, f"EXPLAIN QUERY PLAN {query}")
        assert "delivery_address" in plan["detail"]


# -- quotas ------------------------------------------------------------------------------------------------------


def test_the_days_of_mail_are_counted_in_a_zone(path: Path) -> None:
    """The days on which the log sent mail begin at midnight of the zone, with the messages of all campaigns."""
    clock = FakeClock(1_772_578_800.0)  # 2026-03-03 23:00 UTC
    send_one(path, clock, "one", cap=None)
    clock.jump(3600)
    send_one(path, clock, "two", cap=None)
    with opened(path, clock=clock) as log:
        assert log.sent_by_day(ZoneInfo("UTC")) == {date(2026, 3, 3): 1, date(2026, 3, 4): 1}
        assert log.sent_by_day(ZoneInfo("Europe/Berlin")) == {date(2026, 3, 4): 2}
        assert log.sent_by_day(ZoneInfo("Asia/Kathmandu")) == {date(2026, 3, 4): 2}


def test_a_spent_quota_is_told_until_it_ends(path: Path) -> None:
    """The rows that are due wait for the quota that the run found spent; afterwards they wait for nothing."""
    clock = FakeClock(START)

    async def work(rows: list[Delivery]) -> None:
        await log.put_off({rows[0].id: Deferral(START + DAY, Waiting.DUE, "not yet")})
        await log.note_quota("the ramp allows 500 messages today", START + 600)

    with opened(path, clock=clock) as log:
        enlist(log, people(3))
        working(log, work)
        summary = log.summary()
        assert summary.waiting == {Waiting.QUOTA: 2, Waiting.DUE: 1}
        assert (summary.quota, summary.quota_until) == ("the ramp allows 500 messages today", START + 600)
        assert summary.next_due == START + 600
        clock.jump(601)
        summary = log.summary()
        assert (summary.waiting, summary.quota, summary.quota_until) == ({Waiting.DUE: 1}, "", None)
