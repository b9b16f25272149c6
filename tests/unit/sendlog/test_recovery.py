"""Recovery after a crash: the state of each unfinished row, and what earlier runs used of the limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from campaign.model import Outcome, Rate, Status
from campaign.sendlog import QueueCursor, Recovered
from support.fake_clock import FakeClock
from support.sendlog_helpers import (
    END_STATES,
    TWO_DAYS,
    bring,
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

MAYBE_SENT = "the run ended before the server replied: the message may have been sent"

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path
    from typing import Any

    from campaign.model import Delivery
    from campaign.sendlog import SendLog

    Work = Callable[[SendLog, Delivery], Coroutine[Any, Any, object]]

START = 1_750_000_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "send-log.db"


async def ask(log: SendLog, delivery: Delivery) -> None:
    await log.issuing(delivery, user_id="user_1", expires_in=TWO_DAYS)


async def nothing(_log: SendLog, _delivery: Delivery) -> None:
    """Claim the row and do nothing else."""


async def without_token(log: SendLog, delivery: Delivery) -> None:
    await log.sending(delivery, message_id="<1@acme.example>", server="m", with_token=False)


async def put_off(log: SendLog, delivery: Delivery) -> None:
    await log.settle(delivery, Outcome(Status.QUEUED, "greylisted", faults=1, not_before=START + 900))


def crash(path: Path, work: Work, *, after: float = 60.0) -> tuple[Recovered, SendLog]:
    """Return what recovery finds `after` seconds after a run crashed."""

    async def run(deliveries: list[Delivery]) -> None:
        await work(log, deliveries[0])

    with opened(path, clock=FakeClock(START)) as log:
        enlist(log, people(1))
        working(log, run)
    with opened(path, clock=FakeClock(START + after)) as log:
        return log.recover(), log


@pytest.mark.parametrize(
    ("work", "found", "state", "reason"),
    [
        (nothing, Recovered(0, 0, 0), "queued", ""),
        (ask, Recovered(1, 0, 0), "queued", "the run ended while it requested a token"),
        (issue, Recovered(0, 1, 0), "queued", "the run ended while it requested a token"),
        (intend, Recovered(0, 0, 1), "uncertain", MAYBE_SENT),
        (without_token, Recovered(0, 0, 1), "uncertain", MAYBE_SENT),
    ],
    ids=["claimed", "asked for a token", "token known", "intent durable", "intent without a token"],
)
def test_a_crash_leaves_the_state_of_the_table(
    path: Path, work: Work, found: Recovered, state: str, reason: str
) -> None:
    """Recovery finds and counts the row of a crash at any step, and puts it into the right state."""
    recovered, _ = crash(path, work)
    assert recovered == found
    (row,) = table(path, "SELECT state, reason FROM delivery")
    assert tuple(row.values()) == (state, reason)
    if found != Recovered(0, 0, 0):
        assert history(path)[-1][1:] == (state, "recovery")


def test_a_token_that_nobody_can_name_is_counted(path: Path) -> None:
    """A possible orphan is counted with its row and the time at which it expires."""
    crash(path, ask)
    (orphan,) = table(path, "SELECT delivery_id, at, expires_at FROM orphan")
    assert orphan == {"delivery_id": 1, "at": START, "expires_at": START + TWO_DAYS.total_seconds()}
    with opened(path, clock=FakeClock(START)) as log:
        assert log.summary().orphans == 1
        until = log.summary().orphans_until
        assert until is not None
        assert until.timestamp() == START + TWO_DAYS.total_seconds()
    with opened(path, clock=FakeClock(START + TWO_DAYS.total_seconds() + 1)) as log:
        assert log.summary().orphans == 0


def test_a_known_token_without_an_intent_is_revoked(path: Path) -> None:
    """The token of a row without an intent is put on the revocation list, and the row gets another one."""
    crash(path, issue)
    (revocation,) = table(path, "SELECT token_id, settled_at FROM revocation")
    assert revocation == {"token_id": "sit_1_1", "settled_at": None}
    (row,) = table(path, "SELECT token_id, attempts, generation, not_before FROM delivery")
    assert row == {"token_id": None, "attempts": 1, "generation": 1, "not_before": 0.0}


def test_a_token_that_may_be_in_an_inbox_is_kept(path: Path) -> None:
    """The token of a mail that may have been sent is neither dropped nor revoked."""
    crash(path, intend)
    assert table(path, "SELECT token_id FROM delivery") == [{"token_id": "sit_1_1"}]
    assert table(path, "SELECT * FROM revocation") == []


def test_a_row_that_was_put_off_stays_so(path: Path) -> None:
    """A restart does not make a postponed row due earlier."""
    recovered, _ = crash(path, put_off)
    assert recovered == Recovered(0, 0, 0)
    assert table(path, "SELECT not_before, faults FROM delivery") == [{"not_before": START + 900, "faults": 1}]


def test_a_row_put_off_by_a_clock_that_was_ahead_waits_an_hour_at_most(path: Path) -> None:
    """If the clock was set back a day, a row postponed for minutes waits at most an hour."""
    crash(path, put_off, after=-86_400.0)
    assert table(path, "SELECT not_before FROM delivery") == [{"not_before": START - 86_400.0 + 3600.0}]


@pytest.mark.parametrize("state", END_STATES)
def test_what_is_settled_is_left_alone(path: Path, state: Status) -> None:
    """Recovery does not change settled rows."""
    recovered, _ = crash(path, lambda log, delivery: bring(log, delivery, state))
    assert recovered == Recovered(0, 0, 0)
    assert states(path) == {"user_1": state}


def test_recovering_twice_changes_nothing(path: Path) -> None:
    """A second recovery finds nothing to do."""
    crash(path, ask)
    before = table(path, "SELECT * FROM delivery"), table(path, "SELECT * FROM orphan"), history(path)
    with opened(path) as log:
        assert log.recover() == Recovered(0, 0, 0)
    assert before == (table(path, "SELECT * FROM delivery"), table(path, "SELECT * FROM orphan"), history(path))


def test_all_campaigns_of_a_log_are_recovered(path: Path) -> None:
    """A run recovers the rows of all campaigns in the log, since only one run uses a log at a time."""
    crash(path, intend)
    with opened(path, campaign="survey") as log:
        enlist(log, people(1))
        working(log, lambda found: _intend(log, found))
        assert log.recover() == Recovered(0, 0, 1)
    assert {row["state"] for row in table(path, "SELECT state FROM delivery")} == {"uncertain"}


async def _intend(log: SendLog, found: list[Delivery]) -> None:
    await intend(log, found[0])


def test_revocations_that_were_not_confirmed_are_asked_for_again(path: Path) -> None:
    """A revocation stays on the list until Clerk has answered, and the answer is stored."""

    async def work(deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            await bring(log, delivery, Status.FAILED)
        assert await log.try_revocations(2) == [("sit_1_1", False), ("sit_2_1", False)]
        for token_id, outcome in (("sit_1_1", "revoked"), ("sit_2_1", "used"), ("sit_3_1", "unknown")):
            await log.settle_revocation(token_id, outcome)
        assert await log.try_revocations(10) == [("sit_4_1", False)]

    with opened(path) as log:
        enlist(log, people(4))
        working(log, work)
    with opened(path) as log:
        summary = log.summary()
        assert (summary.revocations, summary.used_before_revoked) == (1, 1)
    outcomes = table(path, "SELECT outcome FROM revocation ORDER BY token_id")
    assert [row["outcome"] for row in outcomes] == ["revoked", "used", "unknown", None]


# -- what earlier runs used of the limits ------------------------------------------------------------------------


def spend(path: Path, seconds: list[float], *, campaign: str = "trial", domain: str = "example.com") -> None:
    """Let a run send one mail at each of these seconds after START."""
    clock = FakeClock(START)

    async def work(deliveries: list[Delivery]) -> None:
        for second, delivery in zip(seconds, deliveries, strict=True):
            clock.jump(START + second - clock.now())
            await log.settle(await intend(log, delivery), Outcome(Status.SENT))

    with opened(path, campaign=campaign, clock=clock) as log:
        enlist(log, [person(number, domain=domain) for number in range(1, len(seconds) + 1)])
        working(log, work)


@pytest.mark.parametrize(
    ("rates", "status", "number"),
    [
        (["50000/day"], Status.SENDING, 4),
        (["50000/day"], Status.ISSUING, 4),
        (["14/second", "100/hour"], Status.SENDING, 2),
        (["14/second"], Status.SENDING, 0),
        ([], Status.SENDING, 0),
    ],
)
def test_what_earlier_runs_spent_is_counted(path: Path, rates: list[str], status: Status, number: int) -> None:
    """A new run counts the messages and tokens of earlier runs within the windows of its rates."""
    spend(path, [0.0, 10.0, 5000.0, 5001.0])
    with opened(path, clock=FakeClock(START + 5100.0)) as log:
        spent = log.spent(status, [Rate.parse(rate) for rate in rates])
    assert sum(turns for _, turns in spent) == number
    assert spent == sorted(spent)
    assert all(at <= START + 5001.0 for at, _ in spent)


def test_the_limit_is_the_servers_not_the_campaigns(path: Path) -> None:
    """Messages of all campaigns count toward the server's limit, and a domain's limit counts that domain only."""
    spend(path, [0.0, 1.0])
    spend(path, [2.0], campaign="survey", domain="gmail.com")
    rate = [Rate.parse("50/day")]
    with opened(path, clock=FakeClock(START + 10.0)) as log:
        assert sum(turns for _, turns in log.spent(Status.SENDING, rate)) == 3
        assert sum(turns for _, turns in log.spent(Status.SENDING, rate, domain="gmail.com")) == 1
        assert log.spent(Status.SENDING, rate, domain="aol.com") == []


def test_a_row_that_came_back_spends_again(path: Path) -> None:
    """Each attempt counts toward the limits, whatever its outcome."""

    async def work(deliveries: list[Delivery]) -> None:
        delivery = await intend(log, deliveries[0])
        await log.settle(delivery, Outcome(Status.QUEUED, "451"), revoke=token(delivery))
        (again,) = await log.claim(1, QueueCursor())
        await log.settle(await intend(log, again), Outcome(Status.SENT))

    with opened(path) as log:
        enlist(log, people(1))
        working(log, work)
        assert sum(turns for _, turns in log.spent(Status.SENDING, [Rate.parse("50/day")])) == 2
