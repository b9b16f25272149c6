"""Moving a log: which logs may be used before, between and after its steps, shown on two files."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from campaign.errors import LogHeldError, SendLogUnusableError
from campaign.sendlog import LogReader, SendLog, SuppressionList, held
from campaign.sendlog.contents import TABLES
from campaign.sendlog.move import Course, move_log
from support import ROOT
from support.fake_clock import FakeClock
from support.full_log import contents, fill
from support.sendlog_helpers import enlist, opened, people, table

if TYPE_CHECKING:
    from pathlib import Path

    from campaign.sendlog.move import MoveResult

NOW = 1_700_000_000.0


def move(source: Path, target: Path) -> MoveResult:
    """Move a log."""
    return move_log(source, target, now=NOW, say=lambda _: None)


def test_every_table_and_value_arrives(tmp_path: Path) -> None:
    """After a move both logs have the same rows in every table, which both digests show."""
    source, target = tmp_path / "a.db", tmp_path / "b.db"
    fill(source)
    before = contents(source)
    result = move(source, target)
    assert result.course is Course.COPIED
    assert result.is_same
    assert {pair.name: pair.target for pair in result.tables} == before == contents(target)
    assert all(digest.rows for digest in before.values()), "every table has rows"


def test_the_old_log_takes_no_change_and_names_the_new_one(tmp_path: Path) -> None:
    """After a move each command that writes is refused at the old log, which can be read, and works at the new one."""
    source, target = tmp_path / "a.db", tmp_path / "b.db"
    with opened(source) as log:
        enlist(log, people(3))
    move(source, target)
    for command in (lambda: SendLog(source, "trial", FakeClock()), lambda: SuppressionList(source, FakeClock())):
        with pytest.raises(SendLogUnusableError, match=f"was moved to {target} on 2023-11-14 at 22:13 UTC"):
            command()
    with closing(LogReader(source)) as reader:
        assert reader.summary("trial", now=NOW).recipients == 3
    with opened(target) as log:
        assert enlist(log, people(4)).added == 1


def test_a_command_that_had_the_old_log_open_cannot_change_it(tmp_path: Path) -> None:
    """What opened the log before the move, as `campaign serve` does, gets an error afterwards, and loses no entry."""
    source, target = tmp_path / "a.db", tmp_path / "b.db"
    with SuppressionList(source, FakeClock()) as before:
        before.add(["u1@example.com"], reason="by hand")
        move(source, target)
        with pytest.raises(SendLogUnusableError, match=f"was not changed: it was moved to {target}"):
            before.add(["u2@example.com"], reason="by hand")
    with SuppressionList(target, FakeClock()) as after:
        assert [entry.address for entry in after.entries()] == ["u1@example.com"]


def test_no_table_of_the_old_log_can_be_changed(tmp_path: Path) -> None:
    """After a move the old log's own tables refuse every change, also from a version that knows of no moves."""
    source = tmp_path / "a.db"
    fill(source, rows=2)
    move(source, tmp_path / "b.db")
    with closing(sqlite3.connect(source)) as connection:
        for name in TABLES:
            column = connection.execute(f"PRAGMA table_info({name})").fetchone()[1]
            for statement in (
                f"INSERT INTO {name} SELECT * FROM {name} LIMIT 1",  # noqa: S608
                f"UPDATE {name} SET {column} = {column}",  # noqa: S608
                f"DELETE FROM {name}",  # noqa: S608
            ):
                with pytest.raises(sqlite3.IntegrityError, match="it was moved to"):
                    connection.execute(statement)


def test_a_second_move_changes_nothing(tmp_path: Path) -> None:
    """The same move again finds the same rows, or that the new log has gone on since, and changes nothing."""
    source, target = tmp_path / "a.db", tmp_path / "b.db"
    with opened(source) as log:
        enlist(log, people(3))
    move(source, target)
    again = move(source, target)
    assert (again.course, again.is_same, again.at) == (Course.DONE_BEFORE, True, NOW)
    with opened(target) as log:
        enlist(log, people(5))
    before = contents(target)
    again = move(source, target)
    assert (again.course, again.is_same) == (Course.DONE_BEFORE, False)
    assert contents(target) == before


def test_a_log_comes_back_with_what_happened_meanwhile(tmp_path: Path) -> None:
    """Moved back, the first log has the rows that came since, is used again, and the second one is not; and so on."""
    source, target = tmp_path / "a.db", tmp_path / "b.db"
    fill(source)
    move(source, target)
    for here, there in ((target, source), (source, target), (target, source)):
        with opened(here, campaign="third") as log:
            enlist(log, people(here.stat().st_ino % 50 + 3))
        before = contents(here)
        assert move(here, there).course is Course.COPIED
        assert contents(there) == before
        with pytest.raises(SendLogUnusableError, match="was moved to"):
            SendLog(here, "third", FakeClock())


def test_a_target_with_rows_of_its_own_is_left_as_it_is(tmp_path: Path) -> None:
    """A log that has a campaign or a suppressed address is not overwritten, and the source stays in use."""
    source, other, third = tmp_path / "a.db", tmp_path / "b.db", tmp_path / "c.db"
    for path in (source, other):
        with opened(path) as log:
            enlist(log, people(2))
    with SuppressionList(third, FakeClock()) as suppressed:
        suppressed.add(["u1@example.com"], reason="by hand")
    before = contents(other), contents(third)
    with pytest.raises(SendLogUnusableError, match=r"has the campaign 'trial' already.* Nothing was changed"):
        move(source, other)
    with pytest.raises(SendLogUnusableError, match="suppressed addresses or other rows already"):
        move(source, third)
    assert (contents(other), contents(third)) == before
    for path in (source, other):
        with opened(path) as log:
            enlist(log, people(3))


def test_a_log_that_was_moved_is_not_moved_to_a_third_place(tmp_path: Path) -> None:
    """The old log is not copied anew to somewhere else: only the new one has what happened since."""
    source, target, third = tmp_path / "a.db", tmp_path / "b.db", tmp_path / "c.db"
    with opened(source) as log:
        enlist(log, people(2))
    move(source, target)
    with pytest.raises(SendLogUnusableError, match=f"was moved to {target}"):
        move(source, third)
    assert not third.exists()
    assert move(target, third).course is Course.COPIED
    with pytest.raises(SendLogUnusableError, match=f"{target} was moved to {third}"):
        SendLog(target, "trial", FakeClock())


def test_a_log_comes_back_from_a_third_place(tmp_path: Path) -> None:
    """Moved on twice, a log goes straight back to the first place, or to the second, with what happened since."""
    first, second, third = (tmp_path / name for name in ("a.db", "b.db", "c.db"))
    fill(first)
    move(first, second)
    move(second, third)
    for number, (here, there) in enumerate(((third, first), (first, second), (second, third)), 3):
        with opened(here, campaign="third") as log:
            enlist(log, people(number))
        before = contents(here)
        assert move(here, there).course is Course.COPIED
        assert contents(there) == before
        with pytest.raises(SendLogUnusableError, match=f"{here} was moved to {there}"):
            SendLog(here, "third", FakeClock())


def test_the_old_log_of_another_one_is_not_overwritten(tmp_path: Path) -> None:
    """A log that was moved takes the rows of no log that did not come from it; the sentence says what to type."""
    first, second, other = (tmp_path / name for name in ("a.db", "b.db", "c.db"))
    for path in (first, other):
        with opened(path) as log:
            enlist(log, people(2))
    move(first, second)
    before = contents(first)
    with pytest.raises(SendLogUnusableError, match=rf"{first} was moved to {second}, and .* behind --to"):
        move(other, first)
    move(other, tmp_path / "d.db")
    with pytest.raises(SendLogUnusableError, match=rf"{first} was moved to {second}, and the rows that you move did"):
        move(tmp_path / "d.db", first)
    assert contents(first) == before


def test_an_empty_log_that_a_command_made_is_filled(tmp_path: Path) -> None:
    """A log without rows, but with the key that the first command makes, becomes the copy, with the source's key."""
    source, target = tmp_path / "a.db", tmp_path / "b.db"
    with opened(source) as log:
        enlist(log, people(2))
    with SuppressionList(target, FakeClock()):
        pass
    assert contents(target)["tag_key"].rows == 1
    move(source, target)
    assert contents(target) == contents(source)


def test_a_log_of_an_older_version_is_migrated_first(tmp_path: Path) -> None:
    """A log of the third version is brought up to date and moved, with its rows and their states."""
    source, target = tmp_path / "a.db", tmp_path / "b.db"
    with closing(sqlite3.connect(source)) as connection:
        connection.executescript((ROOT / "tests/support/old_logs/schema_3.sql").read_text("utf-8"))
    before = table(source, "SELECT key, state, reply FROM delivery ORDER BY id")
    move(source, target)
    assert table(target, "SELECT key, state, reply FROM delivery ORDER BY id") == before
    with opened(tmp_path / "fresh.db"):
        pass
    schema = "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE '%movement%' ORDER BY type, name"
    assert table(target, schema) == table(tmp_path / "fresh.db", schema)


def test_a_held_log_is_not_moved(tmp_path: Path) -> None:
    """While a run has one of the two logs, the move is refused and changes nothing."""
    source, target = tmp_path / "a.db", tmp_path / "b.db"
    with opened(source) as log:
        enlist(log, people(2))
    for place in (source, target):
        with held(place), pytest.raises(LogHeldError, match=f"another run uses the send log {place}"):
            move(source, target)
    assert not target.exists()


def test_a_value_that_cannot_be_read_names_its_row(tmp_path: Path) -> None:
    """A text that is not UTF-8 stops the move with the campaign, the line and the column; the source stays in use."""
    source, target = tmp_path / "a.db", tmp_path / "b.db"
    with opened(source) as log:
        enlist(log, people(5))
    with closing(sqlite3.connect(source)) as connection:
        connection.execute("UPDATE delivery SET email = CAST(x'ff' AS TEXT) WHERE line = 4")
        connection.commit()
    where = r"row 3 of the table delivery \(campaign 'trial', line 4 of people.csv, column email\)"
    with pytest.raises(SendLogUnusableError, match=f"{where} of {source}: a text of it is not UTF-8"):
        move(source, target)
    for path in (source, target):
        with opened(path) as log:
            assert log.is_empty() is (path == target), "the source stays in use, and nothing was copied"


def test_what_another_command_writes_to_the_target_stays(tmp_path: Path) -> None:
    """A command that writes to the target after the move has looked at it is not overwritten."""
    source, target = tmp_path / "a.db", tmp_path / "b.db"
    with opened(source) as log:
        enlist(log, people(2))

    def suppress(_: str) -> None:
        with SuppressionList(target, FakeClock()) as suppressed:
            suppressed.add(["u1@example.com"], reason="by hand")

    with pytest.raises(SendLogUnusableError, match="has suppressed addresses or other rows already"):
        move_log(source, target, now=NOW, say=suppress)
    with SuppressionList(target, FakeClock()) as after:
        assert [entry.address for entry in after.entries()] == ["u1@example.com"]
    with opened(source) as log:
        assert not log.is_empty()


def test_a_log_that_is_not_there_is_said(tmp_path: Path) -> None:
    """Without a log, and for the log itself, a sentence says what to name; no file is made."""
    with pytest.raises(SendLogUnusableError, match="does not exist; name its campaign file"):
        move(tmp_path / "a.db", tmp_path / "b.db")
    with pytest.raises(SendLogUnusableError, match="is the send log that CAMPAIGN_LOG names"):
        move(tmp_path / "a.db", tmp_path / "x" / ".." / "a.db")
    assert not list(tmp_path.iterdir())
