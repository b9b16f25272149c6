"""The operator's decisions about settled rows, and what the reading commands return."""

from __future__ import annotations

import asyncio
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from campaign.errors import PermanentError, SendLogUnusableError
from campaign.model import Outcome, Receipt, Status
from campaign.sendlog import FIELDS, LogReader, QueueCursor
from campaign.sendlog.aggregates import Aggregates
from support.fake_clock import FakeClock
from support.sendlog_helpers import (
    END_STATES,
    RefusedError,
    bring,
    change,
    enlist,
    history,
    intend,
    opened,
    people,
    states,
    table,
    token,
    working,
)

if TYPE_CHECKING:
    from pathlib import Path

    from campaign.model import Delivery
    from campaign.sendlog import SendLog

START = 1_750_000_000.0
ALL = [Status.QUEUED, *END_STATES]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "send-log.db"


def fill(log: SendLog, *wanted: Status) -> None:
    """Enlist one person per state and bring each into it; user_1 gets the first state, and so on."""

    async def work(deliveries: list[Delivery]) -> None:
        for delivery, state in zip(deliveries, wanted, strict=True):
            await bring(log, delivery, state)

    enlist(log, people(len(wanted)))
    working(log, work)


def settle(log: SendLog, **answers: str) -> None:
    """Store Clerk's answers to the revocations."""

    async def work(_: list[Delivery]) -> None:
        for token_id, outcome in answers.items():
            await log.settle_revocation(token_id, outcome)

    working(log, work)


@pytest.mark.parametrize("state", [Status.FAILED, Status.SKIPPED])
def test_retry_brings_back_the_rows_of_one_state(path: Path, state: Status) -> None:
    """`retry` puts failed rows (or skipped ones, if asked) back into the queue, and no others."""
    with opened(path) as log:
        fill(log, *ALL)
        assert log.retry(state=state) == 1
        assert log.retry(state=state) == 0
    moved = f"user_{ALL.index(state) + 1}"
    assert states(path) == {f"user_{n}": "queued" if f"user_{n}" == moved else s for n, s in enumerate(ALL, 1)}
    assert history(path)[-1] == (state, "queued", "retry")


def test_a_retried_row_has_all_its_attempts_before_it(path: Path) -> None:
    """A retried row gets all its attempts again, another token and another message, and is due at once."""

    async def give_up(deliveries: list[Delivery]) -> None:
        delivery = await intend(log, deliveries[0])
        await log.settle(delivery, Outcome(Status.FAILED, "given up", faults=5), revoke=token(delivery))

    async def again(deliveries: list[Delivery]) -> None:
        (row,) = deliveries
        assert (row.faults, row.attempts, row.generation) == (0, 1, 1)
        assert (await intend(log, row)).generation == 2

    with opened(path) as log:
        enlist(log, people(1))
        working(log, give_up)
        assert log.retry() == 1
        assert table(path, "SELECT token_id FROM delivery") == [{"token_id": None}]
        working(log, again)


def test_rows_that_failed_for_no_fault_of_theirs_are_put_back(path: Path) -> None:
    """Failed rows of this run are queued again with the reason, for another token; rows in other states stay."""

    async def put_back(_: list[Delivery]) -> None:
        await log.put_back(dict.fromkeys(range(1, len(ALL) + 1), "a daily limit"))

    with opened(path) as log:
        fill(log, *ALL)
        working(log, put_back)
    failed = f"user_{ALL.index(Status.FAILED) + 1}"
    assert states(path) == {f"user_{n}": "queued" if f"user_{n}" == failed else s for n, s in enumerate(ALL, 1)}
    assert history(path)[-1] == ("failed", "queued", "breaker")
    (row,) = table(path, "SELECT reason, token_id, faults, not_before FROM delivery WHERE actor = 'breaker'")
    assert row == {"reason": "a daily limit", "token_id": None, "faults": 0, "not_before": 0.0}
    assert len(table(path, "SELECT 1 FROM revocation WHERE settled_at IS NULL")) == 1


def test_retry_can_be_meant_for_one_address(path: Path) -> None:
    """With an address `retry` moves only its row, ignoring case."""
    with opened(path) as log:
        fill(log, Status.FAILED, Status.FAILED)
        assert log.retry(email="U2@Example.com") == 1
        assert log.retry(email="nobody@example.com") == 0
    assert states(path) == {"user_1": "failed", "user_2": "queued"}


def test_rows_that_cannot_be_mailed_are_not_retried(path: Path) -> None:
    """A second row of a key stays skipped, since each key gets one mail."""
    with opened(path) as log:
        enlist(log, [*people(1), *people(1)])
        assert log.retry(state=Status.SKIPPED) == 0


def test_a_row_skipped_beside_a_run_stays_skipped(path: Path) -> None:
    """The run's write for a row that was skipped meanwhile is refused alone; the other rows of the run go on."""

    async def work(deliveries: list[Delivery]) -> None:
        with opened(path) as beside:
            assert beside.skip_key("user_2", reason="skipped by hand") == 1
        first, second, third = deliveries
        begun = [log.issuing(row, user_id="u", expires_in=timedelta(hours=1)) for row in deliveries]
        results = await asyncio.gather(*begun, return_exceptions=True)
        assert [type(result).__name__ for result in results] == ["Delivery", "PermanentError", "Delivery"]
        with pytest.raises(PermanentError, match="an operator skipped it"):
            await log.sending(second, message_id="<2@acme.example>", server="m", with_token=False)
        await log.settle(second, Outcome(Status.QUEUED, "later"))
        for row in (first, third):
            await log.settle(row, Outcome(Status.FAILED, "refused"))

    with opened(path) as log:
        enlist(log, people(3))
        working(log, work)
    assert states(path) == {"user_1": "failed", "user_2": "skipped", "user_3": "failed"}
    assert ("queued", "skipped", "skip") in history(path)


def test_keeping_takes_uncertain_rows_as_sent(path: Path) -> None:
    """`--keep` changes uncertain rows to sent, does not revoke their tokens, and changes no other rows."""
    with opened(path) as log:
        fill(log, *ALL)
        assert log.keep_uncertain() == 1
        assert log.summary()[Status.SENT] == 2
    assert history(path)[-1] == ("uncertain", "sent", "resolve")
    assert table(path, "SELECT token_id FROM revocation WHERE token_id = 'sit_4_1'") == []


def test_resending_waits_for_the_revocation(path: Path) -> None:
    """An uncertain row is queued again, with a new message, only when its old token has been revoked."""
    with opened(path) as log:
        fill(log, Status.UNCERTAIN, Status.UNCERTAIN, Status.SENT)
        assert log.revoke_uncertain() == 2
        assert log.resend_uncertain() == (0, 0)
        settle(log, sit_1_1="revoked")
        assert log.resend_uncertain() == (1, 0)
        settle(log, sit_2_1="unknown")
        assert log.resend_uncertain() == (1, 0)
    assert states(path) == {"user_1": "queued", "user_2": "queued", "user_3": "sent"}
    (row, *_) = table(path, "SELECT token_id, generation, faults, not_before FROM delivery ORDER BY id")
    assert row == {"token_id": None, "generation": 2, "faults": 0, "not_before": 0.0}


def test_a_mail_whose_link_was_used_is_not_sent_again(path: Path) -> None:
    """If a token was used before it could be revoked, its mail has arrived, and the row becomes sent."""
    with opened(path) as log:
        fill(log, Status.UNCERTAIN, Status.UNCERTAIN)
        log.revoke_uncertain()
        settle(log, sit_1_1="used", sit_2_1="revoked")
        assert log.resend_uncertain() == (1, 1)
        assert log.summary().used_before_revoked == 0, "the reader used a link that had arrived"
    assert states(path) == {"user_1": "sent", "user_2": "queued"}


def test_a_used_token_of_no_message_is_an_alarm(path: Path) -> None:
    """A used token is an alarm unless a message that may have arrived carried it."""
    with opened(path) as log:
        fill(log, Status.FAILED, Status.SENT)
        log.revoke_everything()
        settle(log, sit_1_1="used", sit_2_1="used")
        assert log.summary().used_before_revoked == 1


def test_a_sent_row_leaves_its_state_by_resend_only(path: Path) -> None:
    """`resend` queues a sent row when its token is dead, with a line in the history; no other change is possible."""
    with opened(path) as log:
        fill(log, *ALL)
        assert (log.count_resendable(email="U2@example.com"), log.count_resendable(email="u3@example.com")) == (1, 0)
        assert log.revoke_resendable(email="u2@example.com") == 1
        assert log.resend(email="u2@example.com") == 0
        settle(log, sit_2_1="revoked")
        assert log.resend(email="u2@example.com") == 1
        assert log.count_live_links() == 2, "of the uncertain row, and of the failed one until Clerk has answered"
    assert history(path)[-1] == ("sent", "queued", "resend")
    (row,) = table(path, "SELECT token_id, generation FROM delivery WHERE key = 'user_2'")
    assert row == {"token_id": None, "generation": 2}
    with opened(path, campaign="other") as log:
        fill(log, Status.SENT)
        with pytest.raises(RefusedError, match="an end state is left only by a command"):
            change(path, "UPDATE delivery SET state = 'queued', actor = 'run' WHERE state = 'sent'")


def test_a_used_token_of_a_resent_mail_is_no_alarm(path: Path) -> None:
    """A token that its reader had used before the mail was sent again is no alarm."""
    with opened(path) as log:
        fill(log, Status.SENT, Status.SENT)
        log.revoke_everything()
        settle(log, sit_1_1="used", sit_2_1="unknown")
        assert log.resend(email=None) == 1, "who signed in does not need a new link"
        assert log.resend(email="u1@example.com") == 1
        assert log.summary().used_before_revoked == 0
    with Aggregates(path, "trial", now=START) as aggregates:
        assert list(aggregates.people_signed_in(limit=9)) == []
        assert sorted(aggregates.revocations()) == [("unknown", True, 1), ("used", True, 1)]


def test_an_uncertain_mail_without_a_token_can_be_sent_again(path: Path) -> None:
    """Without a link nothing needs to be revoked; the message gets a new Message-ID from its generation."""

    async def lose(deliveries: list[Delivery]) -> None:
        await log.sending(deliveries[0], message_id="<1@acme.example>", server="m", with_token=False)

    with opened(path) as log:
        enlist(log, people(1))
        working(log, lose)
        log.recover()
        assert log.resend_uncertain() == (1, 0)
    assert table(path, "SELECT state, generation FROM delivery") == [{"state": "queued", "generation": 1}]


def test_resolving_can_be_meant_for_one_address(path: Path) -> None:
    """With an address only its row is revoked, resent or kept."""
    with opened(path) as log:
        fill(log, Status.UNCERTAIN, Status.UNCERTAIN, Status.UNCERTAIN)
        assert log.keep_uncertain(email="u1@example.com") == 1
        assert log.revoke_uncertain(email="U2@example.com") == 1
        settle(log, sit_2_1="revoked")
        assert log.resend_uncertain(email="u2@example.com") == (1, 0)
    assert states(path) == {"user_1": "sent", "user_2": "queued", "user_3": "uncertain"}


def test_the_kill_switch_names_every_token_that_is_known(path: Path) -> None:
    """`revoke` requests the revocation of each token of the campaign once, in any state, and of no other campaign."""
    with opened(path, campaign="survey") as other:
        fill(other, Status.SENT)
    with opened(path) as log:
        fill(log, Status.SENT, Status.UNCERTAIN, Status.FAILED, Status.SKIPPED, Status.QUEUED)
        assert log.revoke_everything() == 2
        assert log.revoke_everything() == 0
        assert log.summary().revocations == 3
    assert {row["campaign_id"] for row in table(path, "SELECT campaign_id FROM revocation")} == {2}


# -- reading the log ---------------------------------------------------------------------------------------------


def test_the_counts_add_up(path: Path) -> None:
    """The counts of all states add up to the number of recipients, during a run and after it."""
    with opened(path) as log:
        fill(log, *ALL, Status.ISSUING, Status.SENDING)
        with closing(LogReader(path)) as reader:
            summary = reader.summary("trial", now=START)
            assert summary.counts == dict.fromkeys(set(Status) - {Status.BOUNCED}, 1)
            assert summary.recipients == 7
            assert summary == log.summary()
            assert reader.campaigns() == ["trial"]


def test_each_recipient_is_told(path: Path) -> None:
    """Each recipient gives one record with the documented fields, the server's own words and a readable time."""
    with opened(path, clock=FakeClock(START)) as log:
        fill(log, Status.FAILED, Status.QUEUED)
    with closing(LogReader(path)) as reader:
        failed, queued = reader.recipients("trial")
        assert tuple(failed) == FIELDS
        assert failed == {
            "key": "user_1",
            "user_id": "user_1",
            "email": "u1@example.com",
            "state": "failed",
            "reason": "as brought",
            "attempts": 1,
            "message_id": "<1.1@acme.example>",
            "token_id": "sit_1_1",
            "code": 550,
            "reply": "5.1.1 No such user",
            "updated_at": "2025-06-15T15:06:40.000+00:00",
            "step": "",
            "batch": 1,
            "due_at": None,
            "waiting": None,
            "not_before": None,
        }
        assert (queued["code"], queued["reply"], queued["message_id"]) == (None, None, None)
        assert [row["key"] for row in reader.recipients("trial", state=Status.FAILED)] == ["user_1"]


def test_reasons_are_those_of_the_csv(path: Path) -> None:
    """The rows of the current CSV that have a reason are returned with it, in the order of the CSV."""

    async def refuse(deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            word = "No such user" if delivery.id < 3 else "Mailbox full"
            await log.settle(delivery, Outcome(Status.FAILED, word, Receipt(550, "", word)))

    with opened(path) as log:
        enlist(log, people(3))
        working(log, refuse)
        with closing(LogReader(path)) as reader:
            found = [(each.state, each.reason, each.whose.key, each.line) for each in reader.explanations("trial")]
        assert found == [
            (Status.FAILED, "No such user", "user_1", 2),
            (Status.FAILED, "No such user", "user_2", 3),
            (Status.FAILED, "Mailbox full", "user_3", 4),
        ]
        enlist(log, people(1))
        with closing(LogReader(path)) as reader:
            assert [each.whose.key for each in reader.explanations("trial")] == ["user_1"]


def test_an_unknown_campaign_has_no_rows(path: Path) -> None:
    """A campaign that the log does not contain has zero counts; reading its rows fails with the known names."""
    with opened(path):
        pass
    with closing(LogReader(path)) as reader:
        assert reader.summary("survey", now=START).recipients == 0
        assert list(reader.explanations("survey")) == []
        with pytest.raises(SendLogUnusableError, match=r"the campaign 'survey' \(it contains: trial\)"):
            list(reader.recipients("survey"))


def test_reading_does_not_hold_a_run_up(path: Path) -> None:
    """A run can write while another process reads rows."""

    async def work(deliveries: list[Delivery]) -> None:
        rows = reader.recipients("trial")
        next(iter(rows))
        for delivery in deliveries:
            await log.settle(await intend(log, delivery), Outcome(Status.SENT))
        assert await log.claim(10, QueueCursor()) == []
        assert len(list(rows)) == len(deliveries) - 1

    with opened(path) as log:
        enlist(log, people(20))
        with closing(LogReader(path)) as reader:
            working(log, work)
