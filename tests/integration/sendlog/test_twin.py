"""Every statement on SQLite and on PostgreSQL, at every step of long campaigns: the same rows, the same changes."""

from __future__ import annotations

from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from campaign.errors import DeliveryError, RecipientsError
from campaign.model import Deferral, InvalidRow, Outcome, Rate, Receipt, Status, Waiting
from campaign.sendlog import LogReader, QueueCursor, QueueReader, ReturnedMail, SendLog, Suppression, SuppressionList
from campaign.sendlog.aggregates import Aggregates
from campaign.sendlog.renewals import Renewals
from campaign.sendlog.sign_ins import SignInLog
from campaign.sendlog.sqlite.statements import script
from support.fake_clock import FakeClock
from support.log_history import LogHistory
from support.sendlog_helpers import REFUSED, TWO_DAYS, bring, enlist, intend, issue, people, person, token, working
from support.servers.postgres import ROLE
from support.twin_log import TwinDatabase

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from campaign.model import Delivery, Recipient
    from support.servers.postgres import Postgres

START = 1_772_528_400.0
#: What an administrator may have set for a database, and what changes a statement's meaning or a value's text.
STRANGE_SETTINGS = (
    "default_transaction_isolation = 'serializable'", "extra_float_digits = -5", "array_nulls = off",
    "timezone = 'Pacific/Auckland'", "datestyle = 'SQL, DMY'", "bytea_output = 'escape'", "intervalstyle = 'iso_8601'",
    "search_path = 'nowhere'", "enable_indexscan = off",
)  # fmt: skip
STEPS = ("first", "second", "third")
DAY = 86_400.0
A_DAY = Rate(2, timedelta(days=1))


CSV: list[Recipient | InvalidRow] = [
    *(
        person(number)._replace(position=float(-number), due_at=START + (number * 1000 if number % 3 == 0 else -number))
        for number in range(1, 56)
    ),
    person(7),
    InvalidRow("user_70", "no address", None, "the address has no @", 52),
    person(60)._replace(email="U8@Example.com"),
]


@pytest.fixture
def twin(tmp_path: Path, postgres_server: Postgres) -> Iterator[TwinDatabase]:
    url = postgres_server.fresh()
    with postgres_server.admin(url.rpartition("/")[2]) as connection:  # for `_use_the_next_id` of the twin
        connection.execute(f"GRANT UPDATE ON ALL SEQUENCES IN SCHEMA campaign TO {ROLE}")
    yield TwinDatabase(tmp_path / "send-log.db", url)
    postgres_server.drop(url)


def named_statements() -> set[str]:
    """Return the names of all statements that both backends have."""
    text = "".join(map(script, ("queries.sql", "aggregates.sql", "renewals.sql")))
    return {line.removeprefix("-- name: ") for line in text.splitlines() if line.startswith("-- name: ")}


def read_everything(twin: TwinDatabase, clock: FakeClock, campaign: str = "trial") -> None:
    """Read whatever a command may show."""
    now = clock.now()
    with closing(QueueReader(twin)) as reader:
        assert campaign in reader.campaigns()
        assert reader.summary(campaign, now=now).deliveries
        reader.batches(campaign, limit=5)
        assert reader.latest_instant() >= START
        list(reader.explanations(campaign))
        records = list(reader.recipients(campaign))
        assert records
        for state in Status:
            list(reader.recipients(campaign, state=state))
        for message_id in {each["message_id"] for each in records[:5]} - {None}:
            assert reader.by_message_id(message_id)
        list(reader.progress(campaign))
        reader.sent_by_quarter()
        for status in (Status.SENDING, Status.ISSUING):
            reader.spent(status, [A_DAY], now=now)
            reader.spent(status, [A_DAY], now=now, domain="gmail.example")
        reader.suppressed("news")
    with Aggregates(twin, campaign, now=now) as report:
        for rows in (report.minutes(), report.refusals(), report.attempts(), report.explanations(), report.mailings()):
            list(rows)
        list(report.calls(origin=START, width=0.7))
        list(report.acceptances(limit=5))
        report.fullest(Status.SENDING, timedelta(seconds=10))
        report.fullest_of(["gmail.example", "acme.example"], timedelta(seconds=10))
        report.domains(largest=3, troubled=2)
        report.answers(limit=5)
        report.tokens_carried()
        report.revocations()
        report.orphans()
        report.held_out()
        report.inquiries()
        report.people(Status.FAILED, limit=3)
        report.people_signed_in(limit=3)


def test_the_history_of_days_is_the_same(twin: TwinDatabase, postgres_server: Postgres) -> None:
    """Two days of a campaign leave the same rows and the same report, whatever the database's own settings are."""
    with postgres_server.admin() as connection:
        for setting in STRANGE_SETTINGS:
            connection.execute(f"ALTER DATABASE {twin.database_name} SET {setting}")
    LogHistory(twin.place, log=twin, recipients=400, batches=2).write()
    read_everything(twin, FakeClock(START + 5 * DAY))
    assert {"answers", "calls", "fullest_domains", "refusals"} <= twin.seen


def test_each_statement_does_the_same(twin: TwinDatabase) -> None:
    """Steps, batches, holdouts, crashes and all commands of an operator change the same rows, by each statement."""
    clock = FakeClock(START)
    for act in (begin, send, renew, come_back, ask_who_signed_in, operate, begin_again):
        act(twin, clock)
        clock.jump(3600)
        read_everything(twin, clock)
    assert named_statements() - twin.seen == {"column_of_batch"}  # a part of `counts_of_batches`


def begin(twin: TwinDatabase, clock: FakeClock) -> None:
    """Enlist a CSV with invalid rows, doubles and shared addresses, hold some out, and take a batch by position."""
    with closing(twin.connect(for_writing=True)) as connection:
        # a key of our own, so that the same people are held out each time
        connection.execute(twin.sql.add_campaign, {"name": "trial", "message_key": bytes(32)})
    with SuppressionList(twin, clock) as suppressions:
        assert suppressions.add(["u12@example.com", "u13@example.com"], reason="asked us", mailing_list="news") == 2
        assert suppressions.merge([Suppression("u14@example.com", "", "complaint", START - DAY)]) == 1
        assert suppressions.remove("u13@example.com", mailing_list="news") == 1
    with closing(SendLog(twin, "trial", clock)) as log:
        assert log.is_empty()
        log.note_list("news")
        log.note_file("campaign.toml")
        log.note_templates("fingerprint")
        log.note_cap(Rate(2, timedelta(days=1)))
        assert (log.file, log.latest()) == ("campaign.toml", 0)
        enlist(log, CSV, steps=STEPS, in_batches=True)
        assert log.skip_suppressed() == 2 * len(STEPS)
        assert log.hold_out(25.0, in_batches=True).held
        assert log.take_batch(18, by_position=True)
        assert log.take_batch(None)
        # who a run without a limit did not reach counts for the next limit
        assert log.take_batch(9)


def send(twin: TwinDatabase, clock: FakeClock) -> None:
    """Send what is due, with every outcome, and leave some rows in the midst of it, as a crash does."""
    outcomes = [Status.SENT, Status.FAILED, Status.UNCERTAIN, Status.SENT, Status.SENT, Status.BOUNCED, Status.SENT]

    async def work(deliveries: list[Delivery]) -> None:
        """Bring each delivery to an end of its own."""
        first, second, third, fourth, fifth, sixth, *rest = deliveries
        assert await log.creating_user(first) is None
        await log.settle_user(first.recipient.email, "created", "user_new")
        assert await log.creating_user(second) is None
        assert await log.pending_users() == {second.recipient.email}
        await log.put_off({third.id: Deferral(START + 2 * DAY, Waiting.WINDOW, "", START + 2 * DAY)})
        await log.skip({fourth.id: "no longer wanted"}, ends_sequence=True)
        await log.settle(fifth, Outcome(Status.QUEUED, "451", Receipt(451, "4.7.1", "later"), faults=1))
        await log.issuing(sixth, user_id="user_6", expires_in=TWO_DAYS)
        await log.settle(sixth._replace(attempts=1), Outcome(Status.QUEUED, "timed out", possible_orphan=True))
        for delivery, state in zip(rest, outcomes, strict=False):
            clock.jump(0.004)
            if state is Status.BOUNCED:
                await refused(log, delivery)
            else:
                await bring(log, delivery, state)
        again = await intend(log, rest[7])
        await log.settle(again, Outcome(Status.SENT, reply=Receipt(250, "2.1.5", "delivered")))
        await log.put_back({rest[5].id: "the domain refuses everybody"})
        await issue(log, rest[-1])
        await log.issuing(rest[-2], user_id="user_x", expires_in=TWO_DAYS)
        await intend(log, rest[-3])
        for token_id, is_doubtful in await log.try_revocations(10):
            assert not is_doubtful
            await log.undo_attempt([token_id])
        for place, (token_id, _) in enumerate(await log.try_revocations(10)):
            await log.settle_revocation(token_id, "used" if place % 2 else "revoked")
        await log.note_quota("2 a day", START + DAY)
        cursor = QueueCursor(without=["example.org"])
        assert await log.claim(5, cursor)
        await log.claim(5, cursor)
        await log.claim(5, QueueCursor(domain="example.com"))
        assert await log.next_due(clock.now(), without=["example.org"])

    with opened_again(twin, clock) as log:
        working(log, work)


def renew(twin: TwinDatabase, clock: FakeClock) -> None:
    """Let readers ask for a new link: some get one, and a later step waits again."""
    clock.jump(1)
    with closing(LogReader(twin)) as reader, closing(SendLog(twin, "trial", clock)) as log:
        rows = [int(each["message_id"][1:].partition(".")[0]) for each in reader.recipients("trial", state=Status.SENT)]
        tags = [log.tags.renewal_tag(row) for row in rows]
    with Renewals(twin, clock) as renewals:
        assert renewals.knows(tags[0])
        granted = [renewals.renew(tag, lambda mail, _: mail.row != rows[1]) for tag in (tags[0], tags[1], tags[0])]
        assert [bool(each) for each in granted] == [True, False, False]
        assert renewals.renew("forged", lambda *_: True) is None
        assert (renewals.declined, renewals.forged) == (2, 1)


async def refused(log: SendLog, delivery: Delivery) -> None:
    """Let a message be refused so that its address gets no more mail."""
    delivery = await intend(log, delivery)
    outcome = Outcome(Status.FAILED, "550", REFUSED, suppress="refused with 550 5.1.1")
    await log.settle(delivery, outcome, revoke=token(delivery))


@contextmanager
def opened_again(twin: TwinDatabase, clock: FakeClock) -> Iterator[SendLog]:
    """Open the log for a run that goes on with the CSV it has."""
    with closing(SendLog(twin, "trial", clock)) as log:
        log.note_list("news")
        assert enlist(log, CSV, steps=STEPS, in_batches=True).unchanged
        yield log


def come_back(twin: TwinDatabase, clock: FakeClock) -> None:
    """Recover from the crash, send the next steps, and take in what came back."""
    sent: list[Delivery] = []

    async def work(deliveries: list[Delivery]) -> None:
        """Send to all, revoking the link of the step before."""
        for delivery in deliveries:
            with suppress(DeliveryError):
                for earlier in (await log.earlier_steps([delivery.id]))[delivery.id]:
                    if earlier.token_id:
                        await log.ask_revocation(delivery, earlier.token_id)
                sent.append(await bring(log, delivery, Status.SENT))

    with opened_again(twin, clock) as log:
        log.note_cap(Rate(1, timedelta(minutes=30)))
        recovered = log.recover()
        assert (recovered.orphans, recovered.revocations, recovered.uncertain) == (1, 1, 1)
        assert log.release_steps() == 0
        assert log.begun_keys()
        assert log.sent_by_day(ZoneInfo("Europe/Berlin"))
        assert log.spent(Status.SENDING, [A_DAY])
        log.spent(Status.ISSUING, [A_DAY], domain="example.com")
        working(log, work)
        tags = log.tags
    assert len(sent) > 5
    hard, soft = Receipt(550, "5.1.1", "No such user"), Receipt(452, "4.2.2", "Mailbox full")
    with ReturnedMail(twin, clock) as returned, SuppressionList(twin, clock) as suppressions:
        for place, delivery in enumerate(sent):
            message = returned.message_of([tags.bounce_tag(delivery.id, delivery.generation)])
            assert message
            assert not returned.is_known(f"{place}")
            if place % 4 == 0:
                returned.bounced(f"{place}", message, f"returned: {hard}", hard, suppress=place % 8 == 0)
                returned.bounced(f"{place} again", message, f"returned: {hard}", hard, suppress=False)
            elif place % 4 == 1:
                for campaign in (message.campaign_id, 2, 3):
                    other = replace(message, campaign_id=campaign)
                    returned.came_back_for_now(f"{place} in {campaign}", other, soft)
            elif place % 4 == 2:
                returned.complained(f"{place}", message, Receipt(0, "", "Feedback-Type: abuse"))
            else:
                unsubscribe = tags.unsubscribe_token(delivery.id, "news")
                assert suppressions.knows(unsubscribe)
                assert suppressions.unsubscribe(unsubscribe)
        assert suppressions.unsubscribe("forged") is None
        assert suppressions.forged == 2
        assert list(suppressions.entries(mailing_list="news"))
        assert list(suppressions.entries())


def ask_who_signed_in(twin: TwinDatabase, clock: FakeClock) -> None:
    """Write down what Clerk says of who was mailed, and of who was held out."""
    clock.jump(DAY)
    with SignInLog(twin, "trial", clock) as log:
        began, last, asked = clock.now(), "", 0
        while True:
            some, after = log.people_to_ask(last, limit=4)
            if after is None:
                break
            answers = [(each, each.since + 60 if place % 2 else None) for place, each in enumerate(some)]
            log.note(answers, some[:1])
            last, asked = after, asked + len(some)
        assert asked > 5
        clock.jump(10)
        log.note_inquiry(began)


def operate(twin: TwinDatabase, clock: FakeClock) -> None:
    """Use every command of an operator."""
    with opened_again(twin, clock) as log:
        uncertain, failed, sent = (
            addresses(twin, state)[0] for state in (Status.UNCERTAIN, Status.FAILED, Status.SENT)
        )
        assert log.state_of("user_1")
        assert log.states_of("U1@example.com")
        assert log.states_of("u8@example.COM")[Status.QUEUED]
        assert log.count_live_links()
        assert log.revoke_uncertain(email=uncertain.upper()) == 1
        assert log.resend_uncertain(email=uncertain) == (0, 0)
        answer_revocations(log, "revoked")
        assert log.resend_uncertain(email=uncertain) == (1, 0)
        assert log.revoke_uncertain() == 1
        assert log.revoke_uncertain() == 0
        answer_revocations(log, "used")
        assert log.resend_uncertain() == (0, 1)
        log.keep_uncertain()
        assert log.retry(state=Status.FAILED, email=failed) == 1
        log.retry(state=Status.FAILED)
        log.retry(state=Status.SKIPPED)
        sent = next(each for each in addresses(twin, Status.SENT) if log.revoke_resendable(email=each))
        assert log.count_resendable(email=sent) == 1
        answer_revocations(log, "revoked")
        assert log.resend(email=sent) == 1
        assert log.revoke_everything()
        answer_revocations(log, "revoked")
        log.count_resendable(email=None)
        assert log.resend(email=None)
        assert log.skip_key("user_30", reason="asked by telephone")
        assert log.skip_missing([f"user_{number}" for number in range(1, 36)], reason="not in the CSV any more")


def answer_revocations(log: SendLog, answer: str) -> None:
    """Answer all revocations that wait for it."""

    async def work(_: list[Delivery]) -> None:
        for token_id, _maybe in await log.try_revocations(100):
            await log.settle_revocation(token_id, answer)

    working(log, work)


def break_off(log: SendLog, rows: list[Recipient]) -> None:
    """Read a CSV that is not whole, so that what it changed is taken back."""

    def read() -> Iterator[Recipient]:
        yield from rows
        raise RecipientsError("a quote is never closed")

    with pytest.raises(RecipientsError):
        log.enlist(read, source="later.csv", digest="broken", steps=STEPS, in_batches=True)


def begin_again(twin: TwinDatabase, clock: FakeClock) -> None:
    """Enlist a CSV of which some rows are new, some changed and some gone, without batches, then without steps."""
    changed = [person(number, name="changed") for number in range(20, 46)]
    other = [person(number, name="other") for number in range(1, 50)]
    with closing(SendLog(twin, "trial", clock)) as log:
        enlist(log, other, source="other.csv", steps=STEPS, in_batches=True)
        break_off(log, [*changed, *people(70)])
        enlist(log, changed, source="later.csv", steps=STEPS)
        assert log.take_batch(None)
        log.hold_out(10.0, in_batches=False)
        log.hold_out(5.0, in_batches=False)
        assert log.release_steps() >= 0
        enlist(log, [*changed, *changed[:2]], source="later.csv")
        enlist(log, people(60), source="last.csv")
    with closing(SendLog(twin, "another", clock)) as log:
        enlist(log, people(3))


def addresses(twin: TwinDatabase, state: Status) -> list[str]:
    """Return the addresses of the rows in a state."""
    with closing(LogReader(twin)) as reader:
        return [str(each["email"]) for each in reader.recipients("trial", state=state)]
