"""The suppression list: who is on it is skipped at enlisting, before a token and before the dot."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from campaign.errors import PermanentError, SendLogError
from campaign.model import Outcome, Status
from campaign.sendlog import SuppressionList
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
    make_schema_3,
    opened,
    people,
    person,
    states,
    table,
    working,
)

if TYPE_CHECKING:
    from pathlib import Path

    from campaign.model import Delivery, Recipient
    from campaign.sendlog import SendLog

WHY = "suppressed: unsubscribed 2025-06-15 (news)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a log."""
    return tmp_path / "send-log.db"


def suppress(path: Path, *addresses: str, mailing_list: str = "news", reason: str = "unsubscribed") -> int:
    """Suppress addresses, as another process does beside a run; return how many are new."""
    with SuppressionList(path, FakeClock()) as suppressions:
        return suppressions.add(addresses, reason=reason, mailing_list=mailing_list)


def prepared(log: SendLog, rows: list[Recipient] | None = None, *, mailing_list: str = "news") -> int:
    """Enlist rows as a run of a list; return how many are skipped as suppressed."""
    enlist(log, people(3) if rows is None else rows)
    log.note_list(mailing_list)
    return log.skip_suppressed()


def reasons(path: Path) -> list[str]:
    """Return each row's reason, in order."""
    return [str(row["reason"]) for row in table(path, "SELECT reason FROM delivery ORDER BY id")]


def test_the_suppressed_are_skipped_at_enlisting(path: Path) -> None:
    """A row whose address is suppressed for the list, or for all, is skipped with reason, day and list."""
    suppress(path, "u1@example.com")
    suppress(path, "u2@example.com", mailing_list="", reason="complaint")
    suppress(path, "u3@example.com", mailing_list="offers")
    with opened(path) as log:
        assert prepared(log) == 2
    assert reasons(path) == [WHY, "suppressed: complaint 2025-06-15 (all lists)", ""]
    assert history(path) == [("queued", "skipped", "enlist")] * 2


def test_an_address_is_compared_in_one_form(path: Path) -> None:
    """Case does not matter, in the local part or in the domain."""
    suppress(path, "u1@example.com")
    with opened(path) as log:
        assert prepared(log, [person(1)._replace(email="U1@Example.com")]) == 1


@pytest.mark.parametrize("step", ["issuing", "sending", "sending without a token"])
def test_who_says_no_during_the_run_is_not_mailed(path: Path, step: str) -> None:
    """A suppression by another process is seen in the transaction of the next step, and other rows go on."""

    async def work(rows: list[Delivery]) -> None:
        first, second, _ = rows
        if step == "sending":
            first = await issue(log, first)
        suppress(path, "u1@example.com")
        refusing = (
            log.issuing(first, user_id="user_1", expires_in=TWO_DAYS)
            if step == "issuing"
            else log.sending(first, message_id="<1@a>", server="mail", with_token=step == "sending")
        )
        with pytest.raises(PermanentError, match="suppressed: unsubscribed") as refused:
            await refusing
        assert refused.value.skip
        await log.settle(first, Outcome(Status.SKIPPED, str(refused.value)))
        await bring(log, second, Status.SENT)

    with opened(path) as log:
        prepared(log)
        working(log, work)
    assert states(path) == {"user_1": "skipped", "user_2": "sent", "user_3": "queued"}
    assert reasons(path)[0] == WHY


def test_a_refused_address_is_suppressed_with_its_row(path: Path) -> None:
    """A row that failed for its address is suppressed for all lists; an older suppression stays; others have none."""

    async def work(rows: list[Delivery]) -> None:
        one, two, three = [await intend(log, row) for row in rows]
        suppress(path, "u2@example.com", mailing_list="", reason="by hand")
        for row in (one, two):
            await log.settle(row, Outcome(Status.FAILED, "no", REFUSED, suppress="refused with 5.1.1"))
        await log.settle(three, Outcome(Status.SENT))

    with opened(path) as log:
        prepared(log, [person(1)._replace(email="U1@Example.com"), person(2), person(3)])
        working(log, work)
    with SuppressionList(path, FakeClock()) as suppressions:
        found = {(each.address, *each[1:3], *each[4:]) for each in suppressions.entries()}
    assert found == {
        ("u1@example.com", "", "refused with 5.1.1", "trial", "user_1"),
        ("u2@example.com", "", "by hand", "", ""),
    }


def test_a_row_fails_and_its_address_is_suppressed_at_once(path: Path) -> None:
    """Both are one transaction: if the suppression cannot be written, the row stays `sending`."""

    async def work(rows: list[Delivery]) -> None:
        row = await intend(log, rows[0])
        with closing(sqlite3.connect(path)) as other, other:
            other.execute(
                "CREATE TRIGGER no BEFORE INSERT ON suppression BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
            )
        with pytest.raises(SendLogError, match="the disk is full"):
            await log.settle(row, Outcome(Status.FAILED, "no", REFUSED, suppress="refused with 5.1.1"))

    with opened(path) as log:
        prepared(log)
        working(log, work)
    assert states(path)["user_1"] == "sending"


def test_a_refusal_that_was_no_fault_of_the_row_suppresses_nobody(path: Path) -> None:
    """A row that is put back into the queue loses the suppression that its refusal made, and no other."""

    async def work(rows: list[Delivery]) -> None:
        suppress(path, "u3@example.com", mailing_list="", reason="by hand")
        for row in [await intend(log, row) for row in rows[:2]]:
            await log.settle(row, Outcome(Status.FAILED, "no", REFUSED, suppress="refused with 5.1.0"))
        await log.put_back({rows[0].id: "not its fault", rows[2].id: "not its fault"})

    with opened(path) as log:
        prepared(log)
        working(log, work)
        assert prepared(log) == 1
    assert states(path) == {"user_1": "queued", "user_2": "failed", "user_3": "skipped"}
    with SuppressionList(path, FakeClock()) as suppressions:
        assert {each.address for each in suppressions.entries()} == {"u2@example.com", "u3@example.com"}


def test_a_retry_does_not_lift_a_suppression(path: Path) -> None:
    """After `retry --state skipped` the next run skips the row again, until the address is removed from the list."""
    suppress(path, "u1@example.com")
    with opened(path) as log:
        prepared(log)
        assert log.retry(state=Status.SKIPPED) == 1
        assert prepared(log) == 1
        with SuppressionList(path, FakeClock()) as suppressions:
            assert suppressions.remove("u1@example.com", mailing_list="offers") == 0
            assert suppressions.remove("u1@example.com") == 1
        assert log.retry(state=Status.SKIPPED) == 1
        assert prepared(log) == 0


def test_an_unsubscribe_link_suppresses_for_the_list_of_its_mail(path: Path) -> None:
    """The token names the address; a second click changes nothing, and a false token only counts."""
    with opened(path, campaign="trial") as log:
        prepared(log)
        token = log.tags.unsubscribe_token(2, "news")
        false = log.tags.unsubscribe_token(2, "offers")
    with SuppressionList(path, FakeClock()) as suppressions:
        assert suppressions.knows(token)
        assert not suppressions.knows(false)
        for _ in range(2):
            found = suppressions.unsubscribe(token)
            assert found is not None
            assert (found.address, found.mailing_list, found.campaign, found.key) == (
                "u2@example.com", "news", "trial", "user_2",
            )  # fmt: skip
        assert suppressions.unsubscribe(false) is None
        assert suppressions.unsubscribe("x" * 34) is None
        assert suppressions.unsubscribe("") is None
        assert suppressions.forged == 3
        assert [entry.address for entry in suppressions.entries()] == ["u2@example.com"]


def test_a_link_stays_true_when_the_campaign_names_another_list(path: Path) -> None:
    """A link of an earlier mail still works after `list` was changed in the campaign file."""
    with opened(path) as log:
        prepared(log, mailing_list="news")
        token = log.tags.unsubscribe_token(1, "news")
        prepared(log, mailing_list="offers")
    with SuppressionList(path, FakeClock()) as suppressions:
        found = suppressions.unsubscribe(token)
    assert found is not None
    assert found.mailing_list == "news"


def test_a_log_has_one_key_for_all_its_campaigns(path: Path) -> None:
    """The key is made once; a token of one campaign's row is true for that campaign's list only."""
    with opened(path, campaign="one") as one, opened(path, campaign="two") as two:
        assert one.tags.unsubscribe_token(1, "a") == two.tags.unsubscribe_token(1, "a")
    assert len(table(path, "SELECT id FROM tag_key")) == 1


def test_entries_are_merged_all_or_none(path: Path) -> None:
    """An entry keeps its time and its campaign; one that is there already keeps its own."""
    suppress(path, "a@example.com", reason="by hand")
    with SuppressionList(path, FakeClock()) as suppressions:
        (there,) = suppressions.entries()
        new = there._replace(address="b@example.com", at=1.5, campaign="c", key="k")
        assert suppressions.merge([new, there._replace(reason="other")]) == 1
        assert list(suppressions.entries(mailing_list="news")) == [new, there]
        with pytest.raises(ZeroDivisionError):
            suppressions.merge(new._replace(address=f"c{1 // each}@example.com") for each in (1, 0))
        assert len(list(suppressions.entries())) == 2


def test_only_a_returned_message_leaves_sent(path: Path) -> None:
    """`sent` becomes `bounced` by the actor that reads returned mail, and nothing else; `retry` alone leaves it."""
    with opened(path) as log:
        prepared(log)

        async def work(rows: list[Delivery]) -> None:
            for row, state in zip(rows, END_STATES, strict=False):
                await bring(log, row, state)

        working(log, work)

    def leave(state: str, actor: str) -> int:
        return change(path, f"UPDATE delivery SET state = '{state}', actor = '{actor}' WHERE key = 'user_1'")  # noqa: S608

    for state, actor in (("bounced", "run"), ("queued", "bounces"), ("failed", "bounces")):
        with pytest.raises(RefusedError, match="end state"):
            leave(state, actor)
    assert leave("bounced", "bounces") == 1
    with pytest.raises(RefusedError, match="end state"):
        leave("queued", "run")
    assert leave("queued", "retry") == 1


def test_a_log_of_the_second_version_is_migrated(path: Path) -> None:
    """Its rows, their history and their numbers stay; the new tables are those of a new log."""
    fresh = path.with_name("fresh.db")
    schema = "SELECT type, name, tbl_name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY type, name"
    with opened(fresh), opened(path) as log:
        enlist(log, people(3))
        working(log, lambda rows: bring_all(log, rows))
    before = table(path, "SELECT * FROM delivery"), table(path, "SELECT * FROM history")
    before[0][2]["batch"] = None  # it was never tried
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        make_schema_3(connection)
        for name in ("tag_key", "campaign_list", "suppression", "report", "soft_bounce"):
            connection.execute(f"DROP TABLE {name}")
        connection.execute("DROP INDEX history_resent")
        connection.execute("PRAGMA user_version = 2")
    with opened(path) as log:
        assert log.summary()[Status.SENT] == 1
    assert (table(path, "SELECT * FROM delivery"), table(path, "SELECT * FROM history")) == before
    assert table(path, schema) == table(fresh, schema)
    for name in (
        "delivery",
        "campaign",
        "batch",
        "suppression",
        "tag_key",
        "campaign_list",
        "sign_in",
        "stranger",
        "inquiry",
    ):
        columns = f"SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_info('{name}')"  # noqa: S608
        assert table(path, columns) == table(fresh, columns)


async def bring_all(log: SendLog, rows: list[Delivery]) -> None:
    """Bring each row to another state."""
    for row, state in zip(rows, (Status.SENT, Status.FAILED, Status.QUEUED), strict=True):
        await bring(log, row, state)
