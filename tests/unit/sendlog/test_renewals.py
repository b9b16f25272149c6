"""New links on demand: which mails are sent again for their reader, how often, and what that leaves in the log."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from campaign.errors import DeferredError, PermanentError, SendLogError
from campaign.model import NEVER, Outcome, Rate, Status
from campaign.sendlog import MAX_RENEWALS, QueueCursor, Renewals, SuppressionList
from campaign.sendlog.sqlite.statements import SQL
from campaign.tags import Tags, new_key
from support.fake_clock import FakeClock
from support.sendlog_helpers import (
    TWO_DAYS,
    bring,
    change,
    enlist,
    history,
    intend,
    issue,
    opened,
    people,
    person,
    states,
    table,
    token,
    working,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from campaign.model import Delivery
    from campaign.sendlog import LastMail, SendLog

START = 1_750_000_000.0
MINUTE = 60.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a log."""
    return tmp_path / "send-log.db"


def tag_of(path: Path, row: int = 1) -> str:
    """Return the renewal tag of a row."""
    keys = {each["id"]: each["secret"] for each in table(path, "SELECT id, secret FROM tag_key")}
    return Tags(keys).renewal_tag(row)


def ask(path: Path, tag: str, at: float = START, *, permitted: bool = True, seen: list[LastMail] | None = None) -> bool:
    """Ask for a new link at a time; return whether one was granted, and keep the mail that was judged."""

    def permits(mail: LastMail, now: float) -> bool:
        assert now == at
        if seen is not None:
            seen.append(mail)
        return permitted

    with Renewals(path, FakeClock(at)) as renewals:
        return renewals.renew(tag, permits) is not None


async def send(log: SendLog, rows: Sequence[Delivery]) -> None:
    """Send the mails of rows."""
    for row in rows:
        await bring(log, row, Status.SENT)


def mailed(path: Path, number: int = 2) -> None:
    """Make a log in which people were mailed."""
    with opened(path) as log:
        enlist(log, people(number))
        log.note_list("news")
        working(log, lambda rows: send(log, rows))


def send_due(path: Path, at: float) -> None:
    """Send what is due at a time, as a run does; the old links are dead."""

    async def work(rows: list[Delivery]) -> None:
        for token_id, _ in await log.try_revocations(10):
            await log.settle_revocation(token_id, "revoked")
        await send(log, rows)

    with opened(path, clock=FakeClock(at)) as log:
        enlist(log, people(2))
        working(log, work)


def test_a_sent_mail_is_queued_again_and_its_link_revoked(path: Path) -> None:
    """One transaction queues the row, with another Message-ID to come, and requests the revocation of its token."""
    mailed(path)
    seen: list[LastMail] = []
    assert ask(path, tag_of(path), START + 5, seen=seen)
    assert states(path) == {"user_1": "queued", "user_2": "sent"}
    assert history(path)[-1] == ("sent", "queued", "renew")
    (row,) = table(path, "SELECT * FROM delivery WHERE id = 1")
    assert (row["token_id"], row["replaced_token"], row["generation"], row["waiting"]) == (None, "sit_1_1", 2, "")
    assert START + 5 < row["not_before"] <= START + 6
    assert table(path, "SELECT token_id, settled_at FROM revocation") == [{"token_id": "sit_1_1", "settled_at": None}]
    (mail,) = seen
    assert (mail.row, mail.campaign, mail.step, mail.source, mail.line) == (1, "trial", "", "people.csv", 2)
    assert dict(mail.variables) == {"first_name": "Name 1"}


def test_an_address_gets_one_in_ten_minutes_and_three_in_all(path: Path) -> None:
    """A second request within ten minutes, and the fourth at any time, change nothing but a count."""
    mailed(path)
    tag, at, granted = tag_of(path), START, 0
    for _ in range(MAX_RENEWALS):
        assert ask(path, tag, at)
        send_due(path, at + 2 * MINUTE)
        assert not ask(path, tag, at + 10 * MINUTE - 0.1)
        granted += 1
        at += 10 * MINUTE
    before = table(path, "SELECT * FROM delivery"), history(path)
    assert not ask(path, tag, at + 1_000_000)
    assert (table(path, "SELECT * FROM delivery"), history(path)) == before
    assert granted == MAX_RENEWALS == 3
    with Renewals(path, FakeClock()) as renewals:
        assert (renewals.declined, renewals.forged) == (4, 0)


def test_the_limits_are_a_persons_over_all_campaigns(path: Path) -> None:
    """Two campaigns that mailed one address, in whatever case, share its limits; another person has their own."""
    mailed(path)
    with opened(path, campaign="second") as log:
        enlist(log, [person(1)._replace(email="U1@Example.com"), person(2)])
        working(log, lambda rows: send(log, rows))
    assert ask(path, tag_of(path, 1))
    assert not ask(path, tag_of(path, 3), START + MINUTE)
    assert ask(path, tag_of(path, 4), START + MINUTE)
    assert ask(path, tag_of(path, 3), START + 11 * MINUTE)


@pytest.mark.parametrize(
    "state", [Status.QUEUED, Status.ISSUING, Status.SENDING, Status.FAILED, Status.UNCERTAIN, Status.SKIPPED]
)
def test_only_a_sent_mail_goes_out_again(path: Path, state: Status) -> None:
    """A row in any other state stays as it is, and nothing is revoked."""
    with opened(path) as log:
        enlist(log, people(1))
        working(log, lambda rows: bring(log, rows[0], state))  # type: ignore[arg-type, return-value]
    before = table(path, "SELECT * FROM delivery"), table(path, "SELECT * FROM revocation")
    assert not ask(path, tag_of(path), START + MINUTE)
    assert (table(path, "SELECT * FROM delivery"), table(path, "SELECT * FROM revocation")) == before


def test_a_bounced_or_suppressed_address_gets_none(path: Path) -> None:
    """Who said no to a list of the campaign, or whose mail came back, gets no mail by an old link."""
    mailed(path, 3)
    with SuppressionList(path, FakeClock()) as suppressions:
        suppressions.add(["u1@example.com"], reason="unsubscribed", mailing_list="news")
        suppressions.add(["u2@example.com"], reason="unsubscribed", mailing_list="offers")
    assert change(path, "UPDATE delivery SET state = 'bounced', actor = 'bounces' WHERE id = 3") == 1
    assert [ask(path, tag_of(path, row)) for row in (1, 2, 3)] == [False, True, False]


def test_a_false_tag_only_counts(path: Path) -> None:
    """A forged tag, one of another log, of a row that is not there or of another kind changes nothing."""
    mailed(path)
    with opened(path) as log:
        unsubscribe, bounce = log.tags.unsubscribe_token(1, "news"), log.tags.bounce_tag(1, 1)
    false = [Tags({1: new_key()}).renewal_tag(1), unsubscribe, bounce, "x" * 34, "", "é" * 34, tag_of(path)[:-1]]
    assert not any(ask(path, tag) for tag in false)
    assert not ask(path, tag_of(path, 99))
    with Renewals(path, FakeClock()) as renewals:
        assert (renewals.forged, renewals.declined) == (len(false), 1)
        assert renewals.knows(tag_of(path))
        assert not any(map(renewals.knows, false))
    assert set(states(path).values()) == {"sent"}


def test_a_link_that_an_operator_has_revoked_gets_no_new_one(path: Path) -> None:
    """After `campaign revoke` no reader gets a link, until the operator has sent the mail again."""
    mailed(path)

    async def settle(_: list[Delivery]) -> None:
        for token_id, _maybe in await log.try_revocations(10):
            await log.settle_revocation(token_id, "revoked")

    with opened(path, clock=FakeClock(START + MINUTE)) as log:
        assert log.revoke_everything() == 2
        enlist(log, people(2))
        working(log, settle)
    assert not any(ask(path, tag_of(path, row), START + 2 * MINUTE) for row in (1, 2))
    with opened(path, clock=FakeClock(START + 3 * MINUTE)) as log:
        assert log.resend(email="u1@example.com") == 1
    send_due(path, START + 4 * MINUTE)
    assert [ask(path, tag_of(path, row), START + 5 * MINUTE) for row in (1, 2)] == [True, False]


def test_the_campaign_may_refuse(path: Path) -> None:
    """What the campaign does not permit is declined, and does not count toward the limits."""
    mailed(path)
    assert not ask(path, tag_of(path), permitted=False)
    assert ask(path, tag_of(path))


def test_the_last_step_that_was_sent_goes_out_again(path: Path) -> None:
    """By the tag of any step it is the latest mail; the next step waits for it and counts from it."""
    steps = ("first", "second", "third")
    with opened(path, clock=FakeClock(START)) as log:
        enlist(log, people(1), steps=steps)
        for _ in range(2):
            working(log, lambda rows: send(log, rows))
            change(path, "UPDATE delivery SET not_before = 0 WHERE waiting = 'due'")
    seen: list[LastMail] = []
    assert ask(path, tag_of(path, 1), START + MINUTE, seen=seen)
    assert (seen[0].step, list(seen[0].sent)) == ("second", ["first"])
    found = {row["step"]: row for row in table(path, "SELECT * FROM delivery")}
    assert [found[step]["state"] for step in steps] == ["sent", "queued", "queued"]
    assert (found["third"]["not_before"], found["third"]["waiting"]) == (NEVER, "step")
    # while the second waits to be sent again, the first is not the latest one
    assert not ask(path, tag_of(path, 1), START + 20 * MINUTE)
    assert {row["step"]: row["state"] for row in table(path, "SELECT * FROM delivery")}["first"] == "sent"
    with opened(path, clock=FakeClock(START + 30 * MINUTE)) as log:
        enlist(log, people(1), steps=steps)
        log.release_steps()
        working(log, lambda rows: send(log, rows))
        summary = log.summary()
    assert summary.steps["third"] == {Status.QUEUED: 1}
    assert table(path, "SELECT waiting FROM delivery WHERE step = 'third'") == [{"waiting": "due"}]


def test_a_renewal_does_not_wait_for_its_addresss_share(path: Path) -> None:
    """`per_recipient` holds back the next mail of a campaign, and not the one that its reader asked for."""
    mailed(path)
    assert ask(path, tag_of(path))

    async def work(rows: list[Delivery]) -> None:
        (row,) = [each for each in rows if each.replaced_token]
        assert await log.ask_revocation(row, "sit_1_1") is None
        await log.settle_revocation("sit_1_1", "revoked")
        assert await log.ask_revocation(row, "sit_1_1") == "revoked"
        await log.settle(await intend(log, row), Outcome(Status.SENT))

    with opened(path, clock=FakeClock(START + 2)) as log:
        enlist(log, people(2))
        log.note_cap(Rate(1, timedelta(days=7)))
        working(log, work)
    assert set(states(path).values()) == {"sent"}

    async def capped(rows: list[Delivery]) -> None:
        with pytest.raises(DeferredError, match="to one address"):
            await log.issuing(rows[0], user_id="user_1", expires_in=TWO_DAYS)

    with opened(path, campaign="next", clock=FakeClock(START + 2)) as log:
        enlist(log, people(1))
        log.note_cap(Rate(1, timedelta(days=7)))
        working(log, capped)


def test_who_says_no_meanwhile_gets_none(path: Path) -> None:
    """A suppression between the request and the run is seen before the old link is looked at, and before the token."""
    mailed(path)
    assert ask(path, tag_of(path))

    async def work(rows: list[Delivery]) -> None:
        with SuppressionList(path, FakeClock()) as suppressions:
            suppressions.add(["u1@example.com"], reason="unsubscribed", mailing_list="news")
        for refused in (
            log.ask_revocation(rows[0], "sit_1_1"),
            log.issuing(rows[0], user_id="user_1", expires_in=TWO_DAYS),
        ):
            with pytest.raises(PermanentError, match="suppressed: unsubscribed"):
                await refused

    with opened(path, clock=FakeClock(START + 2)) as log:
        enlist(log, people(2))
        log.note_list("news")
        working(log, work)


def test_a_run_under_way_sees_it(path: Path) -> None:
    """A row that is queued again beside a run is after the run's cursor, which has passed the present."""
    mailed(path)
    clock = FakeClock(START)

    async def work(rows: list[Delivery]) -> None:
        assert not rows
        cursor = QueueCursor()
        assert await log.claim(100, cursor) == []
        assert ask(path, tag_of(path))
        due = await log.next_due(cursor.after[0])
        assert due is not None
        clock.set(due)
        (row,) = await log.claim(100, cursor)
        assert (row.id, row.generation, row.replaced_token) == (1, 2, "sit_1_1")
        issued = await issue(log, row)
        assert token(issued).id == "sit_1_3"

    with opened(path, clock=clock) as log:
        enlist(log, people(2))
        working(log, work)


def test_a_used_link_that_was_replaced_is_no_alarm(path: Path) -> None:
    """The old link had arrived, so that it was used raises no alarm once the row was sent again."""
    mailed(path)
    assert ask(path, tag_of(path))

    async def work(_: list[Delivery]) -> None:
        await log.settle_revocation("sit_1_1", "used")

    with opened(path, clock=FakeClock(START + 2)) as log:
        enlist(log, people(2))
        working(log, work)
        assert log.summary().used_before_revoked == 0


def test_a_request_that_cannot_be_written_changes_nothing(path: Path) -> None:
    """A full disk is told, and neither the row nor the revocations change."""
    mailed(path)
    tag = tag_of(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TRIGGER no BEFORE INSERT ON renewal BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
    with pytest.raises(SendLogError, match="disk is full"):
        ask(path, tag)
    assert set(states(path).values()) == {"sent"}
    assert table(path, "SELECT * FROM revocation") == []


def test_an_operators_resend_is_no_renewal(path: Path) -> None:
    """After `campaign resend` the row waits for its schedule again, as any mail."""
    mailed(path)
    assert ask(path, tag_of(path))
    send_due(path, START + MINUTE)
    assert table(path, "SELECT replaced_token FROM delivery WHERE id = 1") == [{"replaced_token": "sit_1_1"}]
    with opened(path, clock=FakeClock(START + MINUTE)) as log:
        log.revoke_resendable(email="u1@example.com")

        async def work(_: list[Delivery]) -> None:
            await log.settle_revocation("sit_1_3", "revoked")

        enlist(log, people(2))
        working(log, work)
        assert log.resend(email="u1@example.com") == 1
    assert table(path, "SELECT replaced_token FROM delivery WHERE id = 1") == [{"replaced_token": None}]


def test_a_request_reads_the_rows_of_its_key_only(path: Path) -> None:
    """However many rows wait in the queue, a request holds the log for as long as in a small one."""
    with opened(path) as log:
        enlist(log, people(3_000), steps=("first", "second"))
        working(log, lambda rows: send(log, rows[:1]))
    steps: list[int] = []
    with Renewals(path, FakeClock(START)) as renewals, closing(sqlite3.connect(path)) as connection:
        connection.set_progress_handler(lambda: steps.append(1), 100)
        found = {
            "campaign": 1,
            "row": 1,
            "key": "user_1",
            "step_number": 0,
            "never": NEVER,
            "address": "u1@example.com",
        }
        for statement in (
            "last_mail",
            "sent_steps",
            "suppressed_for_campaign",
            "renewals_of_address",
            "hold_next_steps",
        ):
            connection.execute(getattr(SQL, statement), found).fetchall()
        assert len(steps) <= 10, "so many hundred steps of SQLite's machine"
        connection.rollback()
        assert renewals.renew(tag_of(path), lambda _mail, _now: True)
