"""The creation of Clerk users in the send log: the intent, what came of it, and that there is one for each address."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from campaign.errors import PermanentError
from campaign.model import Outcome, Rate, Status
from support.fake_clock import FakeClock
from support.sendlog_helpers import bring, enlist, opened, people, person, table, working

if TYPE_CHECKING:
    from pathlib import Path

    from campaign.model import Delivery, UserCreation


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "send-log.db"


def test_an_intent_is_recorded_once(path: Path) -> None:
    """The first call may leave; before another one the log says that there was one, whose answer is not known."""
    answers: list[UserCreation | None] = []
    with opened(path) as log:
        enlist(log, people(2))

        async def work(rows: list[Delivery]) -> None:
            answers.extend([await log.creating_user(rows[0]), await log.creating_user(rows[0])])
            assert await log.pending_users() == {"u1@example.com"}

        working(log, work)
        assert log.summary().users_unanswered == 1
    assert answers[0] is None
    assert answers[1] is not None
    assert (answers[1].settled_at, answers[1].user_id) == (None, None)
    assert table(path, "SELECT address, outcome FROM user_creation") == [{"address": "u1@example.com", "outcome": None}]


def test_another_call_follows_only_an_unanswered_or_a_refused_one(path: Path) -> None:
    """`again` lets a call leave after a lost one; a refused one needs no `again`, a settled one allows none."""
    allowed: list[bool] = []
    with opened(path) as log:
        enlist(log, people(1))

        async def work(rows: list[Delivery]) -> None:
            (row,) = rows

            async def ask(*, again: bool = False) -> None:
                allowed.append(await log.creating_user(row, again=again) is None)

            await ask()
            await ask(again=True)
            await log.settle_user("u1@example.com", "refused", None)
            await ask()
            await log.settle_user("U1@example.com", "created", "user_9")
            await ask()
            await ask(again=True)
            await log.settle_user("u1@example.com", "found", "user_8")

        working(log, work)
        assert (log.summary().users_created, log.summary().users_unanswered) == (1, 0)
    assert allowed == [True, True, True, False, False]
    assert table(path, "SELECT user_id FROM user_creation") == [{"user_id": "user_9"}]


def test_an_address_has_one_entry_for_all_campaigns_of_the_log(path: Path) -> None:
    """A second campaign learns that the first one asked for the user."""
    found: list[UserCreation | None] = []
    for campaign in ("one", "two"):
        with opened(path, campaign=campaign) as log:
            enlist(log, people(1))

            async def work(rows: list[Delivery]) -> None:
                found.append(await log.creating_user(rows[0]))

            working(log, work)
    assert found[0] is None
    assert found[1] is not None


def test_no_user_is_asked_for_an_address_that_gets_no_mail(path: Path) -> None:
    """A suppressed address gets no user, and neither does a row that an operator skipped meanwhile."""
    with opened(path) as log:
        enlist(log, [person(1), person(2)._replace(email="u1@example.com")])

        async def work(rows: list[Delivery]) -> None:
            await log.settle(rows[0], Outcome(Status.FAILED, "gone", suppress="refused with 5.1.1"))
            with pytest.raises(PermanentError, match="suppressed"):
                await log.creating_user(rows[1])

        working(log, work)
    assert table(path, "SELECT * FROM user_creation") == []


def test_the_calls_count_as_calls_of_clerk(path: Path) -> None:
    """A run that follows has the calls in its windows, beside those for tokens."""
    with opened(path, clock=FakeClock()) as log:
        enlist(log, people(3))

        async def work(rows: list[Delivery]) -> None:
            await log.creating_user(rows[0])
            await log.creating_user(rows[1])
            await bring(log, rows[2], Status.SENT)

        working(log, work)
        spent = log.spent(Status.ISSUING, [Rate.parse("100/hour")])
        assert sum(number for _, number in spent) == 3
        assert sum(number for _, number in log.spent(Status.SENDING, [Rate.parse("100/hour")])) == 1


def test_who_was_begun_is_known(path: Path) -> None:
    """The recipients of a mail, and those for whom a user was asked for, are told from those who only wait."""
    with opened(path) as log:
        enlist(log, people(4))

        async def work(rows: list[Delivery]) -> None:
            await log.creating_user(rows[0])
            await bring(log, rows[1], Status.SENT)
            await bring(log, rows[2], Status.SKIPPED)

        working(log, work)
        assert log.begun_keys() == {"user_1", "user_2"}
