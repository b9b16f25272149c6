"""A CSV that is read in parts: others write meanwhile, and what was not read to its end is taken back."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from campaign.errors import RecipientsError
from campaign.model import InvalidRow, Receipt, Status
from campaign.sendlog import Enlistment, LogReader, ReturnedMail, SuppressionList
from campaign.sendlog.postgres.connection import PostgresConnection
from campaign.sendlog.sqlite.connection import SqliteConnection
from campaign.sendlog.unfinished import UnfinishedReading
from support.fake_clock import FakeClock
from support.sendlog_helpers import bring, enlist, opened, people, person, states, table, working

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from campaign.model import Delivery, Recipient

#: How many rows of a CSV one transaction writes in these tests.
PART = 4


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "send-log.db"


def in_parts(monkeypatch: pytest.MonkeyPatch, size: int = PART) -> None:
    """Set how many rows of a CSV one transaction writes."""
    for kind in (SqliteConnection, PostgresConnection):
        monkeypatch.setattr(kind, "rows_per_part", size)


def broken_after(
    rows: Sequence[Recipient | InvalidRow], number: int, act: Callable[[], object] = lambda: None
) -> Callable[[], Iterator[Recipient | InvalidRow]]:
    """Return what opens a CSV that breaks off after a number of rows, when `act` has been called."""

    def read() -> Iterator[Recipient | InvalidRow]:
        yield from rows[:number]
        act()
        raise RecipientsError("people.csv: a quote is never closed")

    return read


def content(path: Path) -> list[dict[str, Any]]:
    """Return all rows, without the instants of their last changes, and what the log says of their CSV."""
    rows = table(path, "SELECT * FROM delivery ORDER BY id")
    counters = {"updated_at", "fence"}
    campaigns = table(path, "SELECT name, source, enlistment, steps, reading_after, reading_step FROM campaign")
    return [{name: value for name, value in row.items() if name not in counters} for row in [*rows, *campaigns]]


def prepared(path: Path, *, steps: Sequence[str] = ("",)) -> list[dict[str, Any]]:
    """Bring the rows of a CSV into several states, and return the log's content."""

    async def work(deliveries: list[Delivery]) -> None:
        for delivery, state in zip(deliveries, (Status.SENT, Status.FAILED, Status.SKIPPED, Status.UNCERTAIN)):  # noqa: B905
            await bring(log, delivery, state)

    with opened(path) as log:
        enlist(log, people(9), source="first.csv", steps=steps)
        working(log, work)
        log.skip_key("user_6", reason="skipped by hand")
        log.skip_missing([f"user_{number}" for number in range(1, 9)], reason="not in the CSV any more")
    return content(path)


@contextmanager
def killed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a reading end during the block as if the process was killed: nothing is taken back."""
    with monkeypatch.context() as patch:
        patch.setattr(UnfinishedReading, "take_back", lambda _: None)
        yield


#: Another CSV: known rows with other data, or the same, invalid and double rows, and new ones.
CHANGED: list[Recipient | InvalidRow] = [
    *(person(number, first_name="Another") for number in range(1, 8)),
    InvalidRow("user_70", "no address", None, "the address has no @", 9),
    person(9),
    person(2)._replace(line=11),
    *(person(number) for number in range(20, 31)),
]


@pytest.mark.parametrize("number", [1, PART, PART + 1, 2 * PART, 11, len(CHANGED)])
@pytest.mark.parametrize("is_killed", [False, True])
def test_a_csv_that_breaks_off_leaves_the_log_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int, is_killed: bool
) -> None:
    """Wherever a CSV breaks off, all rows are as before it: at once, or after a kill when the next one is read."""
    in_parts(monkeypatch)
    before = prepared(path)
    with opened(path) as log:
        if is_killed:
            with killed(monkeypatch), pytest.raises(RecipientsError):
                log.enlist(broken_after(CHANGED, number), source="second.csv", digest="broken")
            assert (content(path) != before) is (number >= PART)
            log.take_back()
        else:
            with pytest.raises(RecipientsError):
                log.enlist(broken_after(CHANGED, number), source="second.csv", digest="broken")
        assert content(path) == before
        assert table(path, "SELECT id FROM former_delivery") == []
        whole = log.enlist(lambda: CHANGED, source="second.csv", digest="whole")
        assert (whole.recipients, whole.added, whole.invalid, whole.duplicates) == (19, 11, 1, 1)
    assert table(path, "SELECT id FROM former_delivery") == []


def test_a_csv_in_parts_is_enlisted_as_one_in_a_single_part(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of rows in a part changes neither a row nor a count."""
    results = []
    for part in (PART, 1000):
        in_parts(monkeypatch, part)
        name = f"parts of {part}"
        with opened(path, campaign=name) as log:
            counts = [enlist(log, people(9)), enlist(log, CHANGED, source="second.csv")]
        rows = table(path, "SELECT * FROM delivery JOIN campaign ON campaign.id = campaign_id ORDER BY delivery.id")
        kept = ("key", "line", "slot", "email", "variables", "state", "reason", "batch", "enlistment", "step")
        results.append((counts, [tuple(row[each] for each in kept) for row in rows if row["name"] == name]))
    assert results[0] == results[1]
    assert results[0][0][1] == Enlistment(recipients=19, added=11, changed=7, invalid=1, duplicates=1)


def test_a_reading_with_other_steps_is_taken_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CSV of a campaign that has got steps, and breaks off, leaves the rows of the campaign without steps."""
    in_parts(monkeypatch)
    before = prepared(path)
    with opened(path) as log:
        with killed(monkeypatch), pytest.raises(RecipientsError):
            log.enlist(broken_after(CHANGED, 9), source="second.csv", digest="broken", steps=("first", "second"))
        assert content(path) != before
        with pytest.raises(RecipientsError):
            log.enlist(broken_after(CHANGED, 9), source="second.csv", digest="broken", steps=("first", "second"))
    assert content(path) == before


def test_no_run_sends_rows_of_half_a_csv(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a killed reading a run that goes on has the rows of the CSV before, with their data."""
    in_parts(monkeypatch)

    async def untouched(deliveries: list[Delivery]) -> None:
        assert [delivery.recipient for delivery in deliveries] == [person(8)]

    async def work(deliveries: list[Delivery]) -> None:
        assert [delivery.recipient for delivery in deliveries] == people(9)

    with opened(path) as log:
        enlist(log, people(9))
        with killed(monkeypatch), pytest.raises(RecipientsError):
            log.enlist(broken_after(CHANGED, len(CHANGED)), source="people.csv", digest="broken")
        working(log, untouched)
    with opened(path) as log:
        assert log.resume([""])
        working(log, work)


def test_a_csv_is_read_again_after_one_that_broke_off(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CSV before is read again, although its bytes are the same: the log has its invalid rows no more."""
    in_parts(monkeypatch)
    rows: list[Recipient | InvalidRow] = [
        *people(3),
        InvalidRow("user_70", "no address", None, "the address has no @", 5),
    ]
    with opened(path) as log:
        log.enlist(lambda: rows, source="people.csv", digest="same")
        with pytest.raises(RecipientsError):
            log.enlist(broken_after(people(9), 9), source="people.csv", digest="broken")
        assert log.enlist(lambda: rows, source="people.csv", digest="same").invalid == 1


def test_others_write_while_a_csv_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the rest of a CSV is read, a person unsubscribes, a mail comes back, and an operator skips a recipient."""
    in_parts(monkeypatch)
    clock, done = FakeClock(), list[str]()

    def act() -> None:
        with SuppressionList(path, clock) as suppressions:
            assert suppressions.add(["u9@example.com"], reason="asked us") == 1
            token = suppressions._tags.unsubscribe_token(1, "trial")  # noqa: SLF001 - of a mail that was sent
            assert suppressions.unsubscribe(token) is not None
        with ReturnedMail(path, clock) as returned:
            message = returned.message_of([log.tags.bounce_tag(3, 1)])
            assert message is not None
            returned.complained("a report", message, Receipt(0, "", "spam"))
        with opened(path) as other:
            assert other.skip_key("user_2", reason="skipped by hand") == 1
            assert other.skip_key("user_6", reason="skipped by hand") == 1
        with closing(LogReader(path)) as reader:
            summary = reader.summary("trial", now=clock.now())
            assert (summary[Status.SKIPPED], summary.is_reading) == (2, True)
        done.append("all of it")

    def rows() -> Iterator[Recipient]:
        yield from people(2 * PART + 1)
        act()
        yield from people(20)[2 * PART + 1 :]

    with opened(path) as log:
        enlist(log, people(3))
        log.note_list("trial")
        log.enlist(rows, source="people.csv", digest="more")
        assert done
        assert log.skip_suppressed() == 3
        assert not log.summary().is_reading
    skipped = {key for key, state in states(path).items() if state == "skipped"}
    assert skipped == {"user_1", "user_2", "user_3", "user_6", "user_9"}


def test_a_new_row_that_was_skipped_by_hand_stays_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipient whom an operator skips while half a CSV is in the log gets no mail when the whole one is read."""
    in_parts(monkeypatch)

    def act() -> None:
        with opened(path) as other:
            assert other.skip_key("user_6", reason="skipped by hand") == 1

    with opened(path) as log:
        enlist(log, people(3))
        with pytest.raises(RecipientsError):
            log.enlist(broken_after(people(20), 9, act), source="people.csv", digest="broken")
        assert sorted(states(path)) == ["user_1", "user_2", "user_3", "user_6"]
        assert enlist(log, people(20)).added == 16
    assert states(path)["user_6"] == "skipped"


def test_a_reading_that_is_taken_back_keeps_what_others_did(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an operator did to a known row while the CSV was read is not undone with it."""
    in_parts(monkeypatch)

    def act() -> None:
        with opened(path) as other:
            other.skip_key("user_2", reason="skipped by hand")

    with opened(path) as log:
        enlist(log, people(9))
        with pytest.raises(RecipientsError):
            log.enlist(broken_after(CHANGED, 9, act), source="people.csv", digest="broken")
    [row] = table(path, "SELECT state, actor, enlistment, variables FROM delivery WHERE key = 'user_2'")
    assert row == {"state": "skipped", "actor": "skip", "enlistment": 1, "variables": '{"first_name":"Name 2"}'}
