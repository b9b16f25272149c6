"""The state transitions of a row: each is durable, is recorded in the history, and follows from the state before."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from campaign.errors import ClaimLostError, SendLogError
from campaign.model import Outcome, Receipt, Status
from campaign.sendlog import QueueCursor
from support.fake_clock import FakeClock
from support.sendlog_helpers import (
    END_STATES,
    REFUSED,
    TWO_DAYS,
    RefusedError,
    bring,
    change,
    enlist,
    history,
    intend,
    issue,
    opened,
    people,
    states,
    table,
    token,
    working,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from campaign.model import Delivery
    from campaign.sendlog import SendLog

    Step = Callable[[SendLog, Delivery], Coroutine[Any, Any, object]]

START = 1_750_000_000.0
MESSAGE_ID = "<1@acme.example>"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "send-log.db"


def test_each_step_is_durable_before_the_next(path: Path) -> None:
    """When a transition's write returns, another process sees it with everything that a restart needs."""
    fields = ("state", "attempts", "generation", "token_id", "token_expires_at", "message_id", "server", "code")
    seen: list[tuple[object, ...]] = []

    async def work(deliveries: list[Delivery]) -> None:
        (delivery,) = deliveries
        delivery = await log.issuing(delivery, user_id="user_1", expires_in=TWO_DAYS)
        look()
        await log.issued(delivery, token(delivery))
        look()
        await log.sending(delivery, message_id=MESSAGE_ID, server="mail.example:587", with_token=True)
        look()
        await log.settle(delivery, Outcome(Status.SENT, reply=Receipt(250, "2.0.0", "queued as 1")))
        look()

    def look() -> None:
        (row,) = table(path, "SELECT * FROM delivery")
        seen.append(tuple(row[name] for name in fields))

    with opened(path, clock=FakeClock(START)) as log:
        enlist(log, people(1))
        working(log, work)
    end = START + TWO_DAYS.total_seconds()
    assert seen == [
        ("issuing", 1, 1, None, end, None, None, None),
        ("issuing", 1, 1, "sit_1_1", end, None, None, None),
        ("sending", 1, 1, "sit_1_1", end, MESSAGE_ID, "mail.example:587", None),
        ("sent", 1, 1, "sit_1_1", end, MESSAGE_ID, "mail.example:587", 250),
    ]
    steps = [("queued", "issuing", "run"), ("issuing", "sending", "run"), ("sending", "sent", "run")]
    assert history(path) == steps


def test_a_mail_without_a_token_goes_straight_to_sending(path: Path) -> None:
    """Without a link a claimed row goes straight to `sending`; the attempt is counted and the Message-ID stays."""

    async def work(deliveries: list[Delivery]) -> None:
        await log.sending(deliveries[0], message_id=MESSAGE_ID, server="m", with_token=False)

    with opened(path) as log:
        enlist(log, people(1))
        working(log, work)
    assert history(path) == [("queued", "sending", "run")]
    assert table(path, "SELECT attempts, generation FROM delivery") == [{"attempts": 1, "generation": 0}]


def test_an_attempt_begins_without_the_last_ones_reply(path: Path) -> None:
    """A new attempt starts without the server's reply to the previous one."""
    said = {"code": 451, "enhanced": "4.7.1", "reply": "Greylisted"}

    async def work(deliveries: list[Delivery]) -> None:
        await log.settle(deliveries[0], Outcome(Status.QUEUED, "not now", Receipt(451, "4.7.1", "Greylisted")))
        (again,) = await log.claim(10, QueueCursor())
        await log.sending(again, message_id=MESSAGE_ID, server="m", with_token=False)

    with opened(path) as log:
        enlist(log, people(1))
        working(log, work)
    assert table(path, "SELECT new_state, code, enhanced, reply FROM history") == [
        {"new_state": "queued"} | said,
        {"new_state": "sending"} | dict.fromkeys(said),
    ]


def test_each_attempt_has_a_token_of_its_own(path: Path) -> None:
    """A retried row drops its token, requests its revocation, and increases attempt and generation."""

    async def work(deliveries: list[Delivery]) -> None:
        delivery = await intend(log, deliveries[0])
        outcome = Outcome(Status.QUEUED, "451 later", reply=Receipt(451, "4.7.1", "later"), faults=1)
        await log.settle(delivery, outcome, revoke=token(delivery))
        (row,) = table(path, "SELECT state, token_id, code, reply FROM delivery")
        assert row == {"state": "queued", "token_id": None, "code": 451, "reply": "later"}
        assert await log.try_revocations(10) == [("sit_1_1", False)]
        (again,) = await log.claim(10, QueueCursor())
        again = await issue(log, again)
        assert (again.attempts, again.generation, again.faults) == (2, 2, 1)

    with opened(path) as log:
        enlist(log, people(1))
        working(log, work)
    tokens = table(path, "SELECT new_state, token_id FROM history ORDER BY id")
    assert [tuple(row.values()) for row in tokens] == [
        ("issuing", None),
        ("sending", "sit_1_1"),
        ("queued", "sit_1_1"),
        ("issuing", None),
    ]


@pytest.mark.parametrize("state", END_STATES)
def test_each_end_has_its_row_in_the_history(path: Path, state: Status) -> None:
    """The last transition of a row is stored in the history with attempt, words and time."""
    with opened(path, clock=FakeClock(START)) as log:
        enlist(log, people(1))
        working(log, lambda found: _bring(log, found, state))
    (last,) = table(path, "SELECT * FROM history ORDER BY id DESC LIMIT 1")
    assert (last["new_state"], last["at"], last["actor"]) == (state, START, "run")
    assert last["attempt"] == (0 if state is Status.SKIPPED else 1)
    assert last["code"] == (REFUSED.code if state is Status.FAILED else None)
    assert last["reason"]


async def _bring(log: SendLog, found: list[Delivery], state: Status) -> None:
    await bring(log, found[0], state)


STEPS: dict[str, tuple[set[Status], Step]] = {
    "issuing": ({Status.QUEUED}, lambda log, row: log.issuing(row, user_id="u", expires_in=TWO_DAYS)),
    "issued": ({Status.ISSUING}, lambda log, row: log.issued(row, token(row))),
    "sending with a token": (
        {Status.ISSUING},
        lambda log, row: log.sending(row, message_id=MESSAGE_ID, server="m", with_token=True),
    ),
    "sending without": (
        {Status.QUEUED},
        lambda log, row: log.sending(row, message_id=MESSAGE_ID, server="m", with_token=False),
    ),
    "sent": ({Status.QUEUED, Status.ISSUING, Status.SENDING}, lambda log, row: log.settle(row, Outcome(Status.SENT))),
    "queued": (
        {Status.QUEUED, Status.ISSUING, Status.SENDING},
        lambda log, row: log.settle(row, Outcome(Status.QUEUED), revoke=token(row)),
    ),
}


@pytest.mark.parametrize(
    ("state", "step"), [(state, step) for state in Status for step in STEPS if state not in STEPS[step][0]]
)
def test_a_step_out_of_order_stops_everything(path: Path, state: Status, step: str) -> None:
    """A transition that does not follow from the row's state changes nothing; a run that is alone stops there."""

    async def work(deliveries: list[Delivery]) -> None:
        row = await bring(log, deliveries[0], state)
        before = table(path, "SELECT * FROM delivery"), history(path), table(path, "SELECT * FROM revocation")
        if isinstance(path, Path) or state in STEPS["sent"][0]:
            with pytest.raises(SendLogError, match="not in the expected state"):
                await STEPS[step][1](log, row)
            with pytest.raises(SendLogError):
                await log.claim(1, QueueCursor())
        else:  # in a log that several runs share, a row in an end state may be another run's work
            with pytest.raises(ClaimLostError):
                await STEPS[step][1](log, row)
        assert before == (table(path, "SELECT * FROM delivery"), history(path), table(path, "SELECT * FROM revocation"))

    with opened(path) as log:
        enlist(log, people(1))
        working(log, work)


def test_a_token_is_revoked_once(path: Path) -> None:
    """If a token is already to be revoked, that request stays unchanged and the row is still settled."""
    clock = FakeClock()

    async def work(deliveries: list[Delivery]) -> None:
        rows = [await issue(log, delivery) for delivery in deliveries]
        await log.settle(rows[0], Outcome(Status.FAILED, "no"), revoke=token(rows[0]))
        before = table(path, "SELECT * FROM revocation")
        clock.jump(5.0)
        await log.settle(rows[1], Outcome(Status.FAILED, "no"), revoke=token(rows[0]))
        assert table(path, "SELECT * FROM revocation") == before

    with opened(path, clock=clock) as log:
        enlist(log, people(2))
        working(log, work)
    assert set(states(path).values()) == {"failed"}


@pytest.mark.parametrize("state", END_STATES)
@pytest.mark.parametrize("actor", ["run", "recovery", "enlist", "breaker"])
def test_an_end_state_is_left_by_a_command_only(path: Path, state: Status, actor: str) -> None:
    """Only a command changes a settled row; but a changed CSV may requeue a skipped, the breaker a failed one."""
    with opened(path) as log:
        enlist(log, people(1))
        working(log, lambda found: _bring(log, found, state))
    move = f"UPDATE delivery SET state = 'queued', actor = '{actor}'"  # noqa: S608 - one of the names above
    if (state, actor) in {(Status.SKIPPED, "enlist"), (Status.FAILED, "breaker")}:
        assert change(path, move) == 1
    else:
        with pytest.raises(RefusedError, match="only by a command"):
            change(path, move)


@pytest.mark.parametrize("statement", ["DELETE FROM history", "UPDATE history SET reason = 'nothing happened'"])
def test_the_history_is_append_only(path: Path, statement: str) -> None:
    """Entries of the history can be neither changed nor deleted."""
    with opened(path) as log:
        enlist(log, people(1))
        working(log, lambda found: _bring(log, found, Status.SENT))
    with pytest.raises(RefusedError, match="append-only"):
        change(path, statement)
