"""A log that an earlier version wrote: everything in it is kept, and it can be read before it is migrated."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from campaign.model import Batch, Status, Waiting
from campaign.sendlog import LogReader, QueueCursor
from campaign.sendlog.aggregates import Aggregates
from support import ROOT
from support.fake_clock import FakeClock
from support.sendlog_helpers import enlist, opened, people, states, table, working

if TYPE_CHECKING:
    from pathlib import Path

    from campaign.model import Delivery

#: Written by the version before steps and batches; user_1 to user_7, and an invalid row, user_8.
OLD = (ROOT / "tests/support/old_logs/schema_3.sql").read_text("utf-8")
START = 1_772_528_400.0
STATES = {
    "user_1": "sent",
    "user_2": "failed",
    "user_3": "uncertain",
    "user_4": "skipped",
    "user_5": "sending",
    "user_6": "queued",
    "user_7": "queued",
    "user_8": "skipped",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "send-log.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(OLD)
    return path


def without(rows: list[dict[str, object]], *names: str) -> list[dict[str, object]]:
    return [{name: value for name, value in row.items() if name not in names} for row in rows]


def test_everything_in_it_is_kept(path: Path) -> None:
    """Each row, its history, its tokens and its revocations are the same after the migration."""
    names = ("delivery", "history", "revocation", "orphan", "suppression", "campaign_list", "tag_key")
    before = {name: table(path, f"SELECT * FROM {name}") for name in names}  # noqa: S608
    with opened(path):
        pass
    new = ("step", "step_number", "batch", "position", "due_at", "waiting", "sent_at", "replaced_token", "declined")
    assert {name: without(table(path, f"SELECT * FROM {name}"), *new) for name in names} == before  # noqa: S608
    assert states(path) == STATES


def test_its_tables_are_those_of_a_new_log(path: Path) -> None:
    """Tables, indexes and triggers are named and declared as in a log that this version creates."""
    fresh = path.with_name("fresh.db")
    with opened(fresh), opened(path):
        pass
    objects = "SELECT type, name, sql FROM sqlite_schema WHERE type IN ('index', 'trigger') ORDER BY name"
    assert table(path, objects) == table(fresh, objects)
    for (name,) in (row.values() for row in table(fresh, "SELECT name FROM sqlite_schema WHERE type = 'table'")):
        columns = f"SELECT cid, name, type, \"notnull\", dflt_value, pk FROM pragma_table_info('{name}')"  # noqa: S608
        assert table(path, columns) == table(fresh, columns), name


def test_what_was_tried_is_its_first_batch(path: Path) -> None:
    """The rows that were tried are batch 1, with the instants of their intents; who was not waits for a batch."""
    with opened(path, clock=FakeClock(START + 1000)) as log:
        found = {row["key"]: row for row in table(path, "SELECT key, batch, sent_at, waiting FROM delivery")}
        assert [key for key, row in found.items() if row["batch"] == 1] == [
            f"user_{number}" for number in (1, 2, 3, 5, 6)
        ]
        assert found["user_1"]["sent_at"] == START + 10
        assert found["user_4"]["sent_at"] is None
        assert {key: row["waiting"] for key, row in found.items() if row["waiting"]} == {"user_6": "retry"}
        with closing(LogReader(path)) as reader:
            (first,) = reader.batches("trial", limit=9)
        assert first.batch == Batch(1, START + 10, 5)
        enlist(log, people(9))
        assert log.take_batch(2) == Batch(2, START + 1000, 2)
        working(log, lambda rows: _expect(rows, ["user_6", "user_7", "user_8"]))


async def _expect(rows: list[Delivery], keys: list[str]) -> None:
    assert [row.recipient.key for row in rows] == keys


def test_a_campaign_that_gets_steps_mails_nobody_again(path: Path) -> None:
    """The first step takes over what a campaign without steps has sent, and only later steps are new."""

    async def work(_: list[Delivery]) -> None:
        cursor = QueueCursor()
        found = {(row.recipient.key, row.step) for row in await log.claim(100, cursor)}
        assert found == {("user_7", "first"), ("user_6", "first"), ("user_1", "second")}

    with opened(path, clock=FakeClock(START + 1000)) as log:
        log.enlist(lambda: people(7), source="people.csv", digest="steps", steps=("first", "second"))
        assert log.release_steps() == 1
        working(log, work)
        assert log.summary().recipients == 7
        assert log.summary().steps["first"][Status.SENT] == 1


def test_it_can_be_read_before_it_is_migrated(path: Path) -> None:
    """`status`, `log` and `report` read an older log as it is, and change nothing in it."""
    before = path.read_bytes()
    with closing(LogReader(path)) as reader:
        summary = reader.summary("trial", now=START)
        assert {key: row["state"] for key, row in _by_key(reader).items()} == STATES
        assert _by_key(reader)["user_6"]["waiting"] == "retry"
        assert (summary.recipients, summary.waiting, summary.steps) == (8, {Waiting.RETRY: 1}, {})
        assert reader.batches("trial", limit=9) == []
    with Aggregates(path, "trial", now=START) as aggregates:
        assert aggregates.summary() == summary
        assert aggregates.batches(limit=9) == []
    assert path.read_bytes() == before


def _by_key(reader: LogReader) -> dict[str, dict[str, object]]:
    return {row["key"]: row for row in reader.recipients("trial")}
