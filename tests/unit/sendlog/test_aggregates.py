"""The aggregates of a campaign: a snapshot of this campaign only, and an error message if the log cannot be read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from campaign.errors import SendLogUnusableError
from campaign.model import Outcome, Receipt, Status
from campaign.sendlog import QueueCursor
from campaign.sendlog.aggregates import Aggregates
from support.fake_clock import FakeClock
from support.sendlog_helpers import TWO_DAYS, bring, enlist, issue, opened, people, person, token, working

if TYPE_CHECKING:
    from pathlib import Path

    from campaign.model import Delivery
    from campaign.sendlog import SendLog

START = 1_750_000_000.0
LATER = Receipt(451, "4.7.1", "Greylisted")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "send-log.db"


def looked_back(path: Path, name: str = "trial") -> Aggregates:
    return Aggregates(path, name, now=START)


def bring_all(log: SendLog, state: Status) -> None:
    async def work(deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            await bring(log, delivery, state)

    working(log, work)


def test_all_numbers_are_of_one_instant(path: Path) -> None:
    """While a run goes on, all numbers belong to the instant at which reading began."""
    with opened(path) as log:
        enlist(log, people(4))
        with looked_back(path) as before:
            assert before.summary().counts == {Status.QUEUED: 4}
            bring_all(log, Status.SENT)
            assert before.summary().counts == {Status.QUEUED: 4}
            assert list(before.minutes()) == []
            assert list(before.acceptances(limit=10)) == []
        with looked_back(path) as after:
            assert after.summary().counts == {Status.SENT: 4}


def test_another_campaign_of_the_log_does_not_count(path: Path) -> None:
    """The aggregates count one campaign's rows only, even if the log has several; the limits are shared."""
    for campaign, number, state in (("trial", 2, Status.SENT), ("another", 5, Status.FAILED)):
        with opened(path, campaign=campaign) as log:
            enlist(log, people(number))
            bring_all(log, state)
    with looked_back(path) as log_of_trial:
        assert sum(call.number for call in log_of_trial.calls(origin=START, width=1)) == 4
        assert list(log_of_trial.refusals()) == []
        assert [(domain.name, domain.sent) for domain in log_of_trial.domains(largest=9, troubled=9)[0]] == [
            ("example.com", 2)
        ]
        assert list(log_of_trial.attempts()) == [(1, Status.SENT, 2)]
        assert [whose.key for _, _, whose in log_of_trial.explanations()] == ["user_1", "user_2"]
        assert [(each.state, each.number) for each in log_of_trial.tokens_carried()] == [(Status.SENT, 2)]
        assert log_of_trial.revocations() == []
        assert log_of_trial.people(Status.FAILED, limit=9) == []


def test_calls_are_put_into_slots(path: Path) -> None:
    """A call is counted in the slot in which it began, with its result and its duration."""
    clock = FakeClock(START)

    async def work(deliveries: list[Delivery]) -> None:
        clock.jump(25)
        delivery = await log.issuing(deliveries[0], user_id="user_1", expires_in=TWO_DAYS)
        clock.jump(0.1234)
        await log.issued(delivery, token(delivery))
        clock.jump(20)
        await log.sending(delivery, message_id="<1@acme.example>", server="m", with_token=True)
        clock.jump(3.5)
        await log.settle(delivery, Outcome(Status.SENT, reply=Receipt(250, "", "ok")))

    with opened(path, clock=clock) as log:
        enlist(log, people(1))
        working(log, work)
    with looked_back(path) as log_of_trial:
        clerk, mail = log_of_trial.calls(origin=START, width=10)
        ((first, last),) = log_of_trial.minutes()
    assert (clerk.slot, clerk.during, clerk.became, clerk.seconds) == (2, Status.ISSUING, Status.SENDING, 0.123)
    assert (mail.slot, mail.during, mail.became, mail.seconds) == (4, Status.SENDING, Status.SENT, 3.5)
    assert first == START + 25
    assert last == pytest.approx(START + 48.6234)


def test_what_was_put_off_without_leaving_the_queue_is_told(path: Path) -> None:
    """Each temporary refusal is counted for a campaign without a link, although the row stayed `queued`."""

    async def work(deliveries: list[Delivery]) -> None:
        outcome = Outcome(Status.QUEUED, "451 later", reply=LATER, faults=1)
        await log.settle(deliveries[0], outcome)
        (again,) = await log.claim(1, QueueCursor())
        await log.settle(again, outcome)

    with opened(path) as log:
        enlist(log, people(1))
        working(log, work)
    with looked_back(path) as log_of_trial:
        found = [(each.during, each.became, each.code, each.words) for each in log_of_trial.refusals()]
    assert found == [(Status.QUEUED, Status.QUEUED, 451, "Greylisted")] * 2


def test_an_interrupted_call_has_no_latency(path: Path) -> None:
    """A call that a crash interrupted is counted as one without an answer; a token that arrived keeps its latency."""

    async def work(deliveries: list[Delivery]) -> None:
        await bring(log, deliveries[0], Status.SENDING)
        await issue(log, deliveries[1])
        await log.issuing(deliveries[2], user_id="user_3", expires_in=TWO_DAYS)

    with opened(path) as log:
        enlist(log, people(3))
        working(log, work)
        log.recover()
    with looked_back(path) as log_of_trial:
        calls = [(each.during, each.became, each.seconds) for each in log_of_trial.calls(origin=START, width=1)]
        assert log_of_trial.orphans() == 1
    assert sorted(calls, key=str) == sorted(
        [
            (Status.ISSUING, Status.SENDING, 0.0),
            (Status.ISSUING, Status.QUEUED, 0.0),
            (Status.ISSUING, Status.QUEUED, None),
            (Status.SENDING, Status.UNCERTAIN, None),
        ],
        key=str,
    )


def test_a_token_used_by_its_reader_is_no_alarm(path: Path) -> None:
    """A token that was used before it was revoked is an alarm, unless a message that may have arrived carried it."""

    async def work(deliveries: list[Delivery]) -> None:
        await bring(log, deliveries[0], Status.SENT)
        await bring(log, deliveries[1], Status.FAILED)

    async def answer() -> None:
        async with log:
            for token_id, _ in await log.try_revocations(10):
                await log.settle_revocation(token_id, "used")

    with opened(path) as log:
        enlist(log, people(2))
        working(log, work)
        log.revoke_everything()
        asyncio.run(answer())
    with looked_back(path) as log_of_trial:
        assert sorted(log_of_trial.revocations()) == [("used", False, 1), ("used", True, 1)]
        assert [each.email for each in log_of_trial.people_signed_in(limit=10)] == ["u2@example.com"]


def test_the_worst_domains_are_shown_beside_the_largest(path: Path) -> None:
    """The domains with the most trouble are listed beside the largest ones, and the number counts all domains."""
    rows = [person(number, domain=f"d{number % 3}.example") for number in range(1, 13)]
    rows.append(person(99, domain="bad.example"))

    async def work(deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            bad = delivery.recipient.email.endswith("bad.example")
            await bring(log, delivery, Status.FAILED if bad else Status.SENT)

    with opened(path) as log:
        enlist(log, rows)
        working(log, work)
    with looked_back(path) as log_of_trial:
        domains, number = log_of_trial.domains(largest=2, troubled=2)
    assert [domain.name for domain in domains] == ["d0.example", "d1.example", "bad.example"]
    assert number == 4


def test_an_unknown_campaign_is_told_with_those_that_are_known(path: Path) -> None:
    """A campaign that the log does not contain is refused with the names of those that it contains."""
    with opened(path) as log:
        enlist(log, people(1))
    with pytest.raises(
        SendLogUnusableError,
        match=r"does not contain the campaign 'other' \(it contains: trial\); run the campaign first",
    ):
        looked_back(path, "other")


def test_a_log_that_breaks_while_it_is_read_is_told(path: Path) -> None:
    """Damage that is found only while rows are read is reported with the name of the log."""
    with opened(path) as log:
        enlist(log, people(300))
    data = path.read_bytes()
    page = data.index(b"u150@example.com") // 4096 * 4096
    path.write_bytes(data[:page] + b"\xde\xad" * 2048 + data[page + 4096 :])
    with looked_back(path) as log_of_trial, pytest.raises(SendLogUnusableError, match=r"send-log\.db .*damaged"):
        list(log_of_trial.explanations())
