"""Enlisting recipients: all rows or none, each key once, and changes only before anything was sent."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from campaign.errors import RecipientsError
from campaign.model import InvalidRow, Outcome, Status
from campaign.sendlog import Enlistment
from support.fake_clock import FakeClock
from support.sendlog_helpers import END_STATES, bring, enlist, history, opened, people, person, states, table, working

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from campaign.model import Delivery, Recipient
    from campaign.sendlog import SendLog


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "send-log.db"


def invalid(line: int, *, key: str = "", email: str = "no address") -> InvalidRow:
    return InvalidRow(key, email, None, "the address has no @", line)


def deliveries_in(path: Path) -> int:
    return len(table(path, "SELECT id FROM delivery"))


def test_each_row_is_queued_as_the_csv_says(path: Path) -> None:
    """A new recipient is queued with all data that its mail needs, and is read back from the log unchanged."""
    given = [person(1, domain="Example.COM", näme="Zoë", empty=""), person(2)]

    async def work(deliveries: list[Delivery]) -> None:
        assert [delivery.recipient for delivery in deliveries] == given

    with opened(path) as log:
        assert enlist(log, given) == Enlistment(recipients=2, added=2)
        working(log, work)
    assert states(path) == {"user_1": "queued", "user_2": "queued"}
    assert [row["domain"] for row in table(path, "SELECT domain FROM delivery")] == ["example.com", "example.com"]


def test_grouped_rows_come_back_as_lists(path: Path) -> None:
    """A list of rows among the variables is read back from the log unchanged."""
    cart = person(1)._replace(variables={"total": "9.99", "items": [{"name": "Tee ☕", "price": "9.99"}]})

    async def work(deliveries: list[Delivery]) -> None:
        assert deliveries[0].recipient == cart

    with opened(path) as log:
        enlist(log, [cart])
        working(log, work)


def test_variables_keep_their_text_from_version_to_version(path: Path) -> None:
    """Variables are stored in the same text form in every version, so that rows of an older log do not seem changed."""
    variables = {"näme": 'Zoë "☕" \\', "empty": "", "odd": "\t\x01\x7f\u2028", "items": [{"price": "9.99"}]}
    with opened(path) as log:
        enlist(log, [person(1)._replace(variables=variables)])
    (row,) = table(path, "SELECT variables, digest FROM delivery")
    text = '{"näme":"Zoë \\"☕\\" \\\\","empty":"","odd":"\\t\\u0001\x7f\u2028","items":[{"price":"9.99"}]}'
    assert row["variables"] == text
    content = f"u1@example.com\0user_1\0{text}"
    assert row["digest"] == hashlib.blake2b(content.encode(), digest_size=12).digest()


def test_all_rows_or_none(path: Path) -> None:
    """If the CSV breaks off in the middle, none of its rows are stored in the log."""

    def rows() -> Iterator[Recipient]:
        yield from people(1200)
        raise RecipientsError("people.csv:1202: a quote is never closed")

    with opened(path) as log:
        enlist(log, [person(1)], source="first.csv")
        with pytest.raises(RecipientsError):
            log.enlist(rows, source="people.csv", digest="d")
        assert deliveries_in(path) == 1
        assert log.enlist(lambda: people(3), source="people.csv", digest="d").added == 2


def test_an_unchanged_csv_is_not_read_again(path: Path) -> None:
    """The CSV enlisted last is recognised by its fingerprint and not read again, and its rows belong to this run."""

    def unread() -> list[Recipient]:
        raise AssertionError("it was read")

    async def work(deliveries: list[Delivery]) -> None:
        assert len(deliveries) == 3

    with opened(path) as log:
        log.enlist(lambda: people(3), source="people.csv", digest="same")
    with opened(path) as log:
        assert log.enlist(unread, source="people.csv", digest="same") == Enlistment(unchanged=True)
        working(log, work)


def test_another_csv_is_read(path: Path) -> None:
    """The same file with other bytes is read again."""
    with opened(path) as log:
        log.enlist(lambda: people(3), source="people.csv", digest="same")
        found = log.enlist(lambda: people(4), source="people.csv", digest="other")
    assert found == Enlistment(recipients=4, added=1)


def test_the_same_bytes_at_another_place_are_read(path: Path) -> None:
    """A file with another path is read again, although its bytes are the same."""
    with opened(path) as log:
        log.enlist(lambda: people(3), source="people.csv", digest="same")
        found = log.enlist(lambda: people(4), source="other.csv", digest="same")
    assert found == Enlistment(recipients=4, added=1)


def test_one_mail_per_key(path: Path) -> None:
    """Further rows of a key are skipped with the line of the first one, within a chunk of rows and across chunks."""
    rows = [*people(600), person(3)._replace(line=700), person(3)._replace(line=701), person(600)._replace(line=702)]
    with opened(path) as log:
        assert enlist(log, rows) == Enlistment(recipients=600, added=600, duplicates=3, shared_addresses=0)
    skipped = table(path, "SELECT key, reason FROM delivery WHERE state = 'skipped' ORDER BY id")
    assert [tuple(row.values()) for row in skipped] == [
        ("user_3", "line 700: duplicate: line 4 has the same key"),
        ("user_3", "line 701: duplicate: line 4 has the same key"),
        ("user_600", "line 702: duplicate: line 601 has the same key"),
    ]


@pytest.mark.parametrize("before", [1, 550, 1150])
def test_rows_are_told_apart_wherever_the_first_known_one_stands(path: Path, before: int) -> None:
    """If known rows follow many new ones in a CSV, each new row is added once and each known row is recognised."""
    known = person(9999)
    rows: list[Recipient | InvalidRow] = [*people(1200), person(3)._replace(line=2000), invalid(2001), person(1201)]
    with opened(path) as log:
        enlist(log, [known])
        found = enlist(log, [*rows[:before], known, *rows[before:]])
    assert found == Enlistment(recipients=1202, added=1201, duplicates=1, invalid=1)
    assert deliveries_in(path) == 1204
    assert [row["line"] for row in table(path, "SELECT line FROM delivery WHERE slot <> ''")] == [2000, 2001]


def test_addresses_of_several_keys_are_told(path: Path) -> None:
    """An address with several keys is counted once, ignoring case, and each of its keys is mailed."""
    rows = [
        person(1),
        person(2)._replace(email="U1@example.com"),
        person(3)._replace(email="u1@example.com"),
        person(4),
    ]
    with opened(path) as log:
        assert enlist(log, rows) == Enlistment(recipients=4, added=4, shared_addresses=1)


def test_rows_that_cannot_be_mailed_are_kept_with_their_reason(path: Path) -> None:
    """An invalid row is stored as skipped, with its line and reason, and is counted."""
    with opened(path) as log:
        assert enlist(log, [invalid(2), person(2), invalid(4, key="user_9")]).invalid == 2
    rows = table(path, "SELECT key, state, reason FROM delivery WHERE slot <> '' ORDER BY id")
    assert [tuple(row.values()) for row in rows] == [
        ("", "skipped", "line 2: the address has no @"),
        ("user_9", "skipped", "line 4: the address has no @"),
    ]


def test_the_same_line_of_two_csvs_may_be_invalid(path: Path) -> None:
    """Two CSVs with an invalid row on the same line can both be enlisted."""
    with opened(path) as log:
        enlist(log, [invalid(2), person(1)], source="monday.csv")
        assert enlist(log, [invalid(2), person(2)], source="tuesday.csv") == Enlistment(
            recipients=1, added=1, invalid=1
        )
    assert deliveries_in(path) == 4


def test_an_invalid_row_that_was_mended_is_mailed(path: Path) -> None:
    """A skipped row that is valid in a new CSV is queued, and its old reason is removed."""
    with opened(path) as log:
        enlist(log, [invalid(2, key="user_1"), invalid(3, key="user_2")])
        assert enlist(log, [person(1), invalid(3, key="user_2")]) == Enlistment(recipients=1, added=1, invalid=1)
    assert states(path) == {"user_1": "queued", "user_2": "skipped"}
    assert deliveries_in(path) == 2


@pytest.mark.parametrize("state", [Status.QUEUED, *END_STATES])
def test_a_changed_row_applies_only_where_nothing_was_sent(path: Path, state: Status) -> None:
    """Changed data replaces the old data if nothing was sent yet, and else has no effect; states stay unchanged."""
    with opened(path) as log:
        enlist(log, [person(1)])
        working(log, lambda deliveries: _bring(log, deliveries, state))
        changed = person(1)._replace(email="new@example.com", user_id="user_other", variables={"first_name": "New"})
        result = enlist(log, [changed])
    late = state in {Status.SENT, Status.UNCERTAIN}
    assert (result.changed, result.changed_late) == ((0, 1) if late else (1, 0))
    (row,) = table(path, "SELECT email, user_id, state FROM delivery")
    assert row["email"] == ("u1@example.com" if late else "new@example.com")
    assert row["user_id"] == ("user_1" if late else "user_other")
    assert row["state"] == ("queued" if state is Status.SKIPPED else state)


async def _bring(log: SendLog, deliveries: list[Delivery], state: Status) -> None:
    await bring(log, deliveries[0], state)


def test_a_skipped_row_that_changed_is_judged_anew(path: Path) -> None:
    """A row that was skipped for its data is queued again if the data changed, and only then."""

    async def skip(deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            await log.settle(delivery, Outcome(Status.SKIPPED, "the address is not one of user_1's at Clerk"))

    with opened(path) as log:
        enlist(log, people(2))
        working(log, skip)
        enlist(log, [person(1)._replace(email="right@example.com"), person(2)])
    assert states(path) == {"user_1": "queued", "user_2": "skipped"}
    assert history(path)[-1] == ("skipped", "queued", "enlist")


def test_only_rows_of_the_csv_at_hand_are_sent(path: Path) -> None:
    """Rows of an earlier CSV stay queued and are counted, and are sent by a run with their own CSV."""
    with opened(path, clock=FakeClock()) as log:
        first, second = people(3), [person(3), person(4)]
        enlist(log, first, source="monday.csv")
        enlist(log, second, source="tuesday.csv")
        working(log, lambda found: _expect(found, ["user_3", "user_4"]))
        assert log.summary().elsewhere == 2
        assert log.summary().here == {Status.QUEUED: 2}
        enlist(log, first, source="monday.csv")
        working(log, lambda found: _expect(found, ["user_1", "user_2", "user_3"]))
        assert log.summary().elsewhere == 1


async def _expect(found: list[Delivery], keys: list[str]) -> None:
    assert [delivery.recipient.key for delivery in found] == keys


def test_campaigns_in_one_log_do_not_meet(path: Path) -> None:
    """The same person is a separate recipient in each campaign of a log, with another Message-ID key."""
    with opened(path) as log, opened(path, campaign="survey") as other:
        assert log.message_key != other.message_key
        assert len(log.message_key) == 32
        enlist(log, people(2))
        assert enlist(other, people(2)).added == 2
        assert log.summary().recipients == other.summary().recipients == 2


def test_the_templates_of_the_last_run_are_known(path: Path) -> None:
    """The fingerprint of the templates is stored, so that the next run can compare it."""
    with opened(path) as log:
        assert log.templates == ""
        log.note_templates("abc")
    with opened(path) as log:
        assert log.templates == "abc"
        assert log.message_key


def test_the_rows_of_the_last_csv_can_be_taken_up_without_it(tmp_path: Path) -> None:
    """A log that was opened anew goes on with the CSV enlisted last, unless there is none or the steps are others."""
    path = tmp_path / "send-log.db"
    with opened(path) as log:
        assert not log.resume(("",))
        enlist(log, people(3))
    with opened(path) as log:
        assert log.summary().here == {}
        assert not log.resume(("first", "second"))
        assert log.resume(("",))
        assert log.summary().here == {Status.QUEUED: 3}
