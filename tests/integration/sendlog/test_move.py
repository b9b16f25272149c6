"""Moving a log from a file to PostgreSQL and back: every value, every step that can be killed, and what is refused."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest

from campaign.errors import LogHeldError, SendLogError, SendLogUnusableError
from campaign.sendlog import SuppressionList, exists, held
from campaign.sendlog.backends import contents_of, database_of
from campaign.sendlog.contents import TABLES
from campaign.sendlog.move import Course, move_log
from support.fake_clock import FakeClock
from support.full_log import contents, fill
from support.killed_move import COMMITS, END, ROWS, killed_move, location
from support.sendlog_helpers import enlist, opened, people

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from campaign.sendlog import LogLocation
    from campaign.sendlog.move import MoveResult
    from support.servers.postgres import Postgres

NOW = 1_700_000_000.0


@pytest.fixture
def url(postgres_server: Postgres) -> Iterator[str]:
    """Yield the URL of a database without a log."""
    url = postgres_server.fresh(is_empty=True)
    yield url
    postgres_server.drop(url)


def move(source: LogLocation, target: LogLocation) -> MoveResult:
    """Move a log."""
    return move_log(source, target, now=NOW, say=lambda _: None)


def can_be_used(log: LogLocation) -> bool:
    """Return whether commands may write to a log."""
    try:
        SuppressionList(log, FakeClock()).__exit__()
    except SendLogUnusableError:
        return False
    return True


def test_there_and_back_nothing_changes(tmp_path: Path, url: str) -> None:
    """A log with rows in every table and state, and values at every edge, is the same in PostgreSQL and back again."""
    file, database = tmp_path / "send-log.db", location(url)
    fill(file)
    before = contents(file)
    assert all(digest.rows for digest in before.values())
    assert move(file, database).course is Course.COPIED
    assert contents(database) == before
    assert move(database, file).course is Course.COPIED
    assert contents(file) == before
    assert move(file, database).course is Course.COPIED
    assert contents(database) == before


def test_each_table_and_column_is_moved(tmp_path: Path, postgres_server: Postgres) -> None:
    """Both backends have the tables and columns that a move copies, but for those of several runs and of rates."""
    SuppressionList(tmp_path / "a.db", FakeClock()).__exit__()
    here, there = (contents_of(database_of(each)) for each in (tmp_path / "a.db", location(postgres_server.fresh())))
    with closing(here.connection), closing(there.connection) as session:
        for table in TABLES:
            assert here.columns(table) == there.columns(table), table
        tables = {row[0] for row in here.connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        assert {name for name in tables if not name.startswith("sqlite_")} == set(TABLES)
        rows = session.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'campaign'").fetchall()
        own = {"worker", "removed_worker", "schema_version", "permit", "permit_bucket", "permit_slice", "pause"}
        assert {row[0] for row in rows} == set(TABLES) | own


@pytest.mark.parametrize("commit", COMMITS)
@pytest.mark.parametrize("way", ["there", pytest.param("back", marks=pytest.mark.long)])
def test_a_killed_move_leaves_one_log_and_is_finished(
    tmp_path: Path, postgres_server: Postgres, url: str, way: str, commit: int
) -> None:
    """Killed before any of its commits, a move leaves at most one log in use; the same command then completes it."""
    file, database = tmp_path / "send-log.db", location(url)
    with opened(file) as log:
        enlist(log, people(20))
    if way == "back":
        move(file, database)
        with opened(database) as log:
            enlist(log, people(30))
    source, target = (file, database) if way == "there" else (database, file)
    killed_move(*((str(file), url) if way == "there" else (url, str(file))), commit=commit, folder=tmp_path)
    with postgres_server.admin() as connection:  # else the server notices a little later that the process is gone
        connection.execute(
            "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE datname = %s",
            (url.rpartition("/")[2],),
        )
    assert exists(target) is (way == "back" or commit > ROWS), "no table is left of a copy that was not complete"
    assert can_be_used(source) is (commit <= END)
    assert not (exists(target) and can_be_used(target))
    if commit <= END:
        with opened(source) as log:  # a run goes on before the move is made again
            enlist(log, people(40))
    before = contents(source)
    assert move(source, target).course is (Course.COPIED if commit <= END else Course.FINISHED)
    assert contents(target) == before
    assert (can_be_used(source), can_be_used(target)) == (False, True)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("email = 'a' || char(0) || '@example.com'", "column email.*PostgreSQL text fields cannot contain NUL"),
        ("attempts = 3000000000", "3000000000.* is out of range for type integer"),
    ],
)
def test_a_value_that_postgresql_cannot_hold_names_its_row(tmp_path: Path, url: str, change: str, what: str) -> None:
    """A value that PostgreSQL cannot hold stops the move with the campaign and the line; neither log is changed."""
    file = tmp_path / "send-log.db"
    with opened(file) as log:
        enlist(log, people(9))
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"UPDATE delivery SET {change} WHERE line = 4")  # noqa: S608
        connection.commit()
    where = r"row 3 of the table delivery \(campaign 'trial', line 4 of people.csv"
    with pytest.raises(SendLogUnusableError, match=f"{where}.*{what}.*Nothing was changed"):
        move(file, location(url))
    assert not exists(location(url))
    assert can_be_used(file)


def test_a_row_without_its_campaign_is_not_moved(tmp_path: Path, url: str) -> None:
    """What the server refuses without a line is told with its table, and no other row is blamed."""
    file = tmp_path / "send-log.db"
    with opened(file) as log:
        enlist(log, people(2))
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE delivery SET campaign_id = 7 WHERE line = 2")
        connection.commit()
    with pytest.raises(SendLogUnusableError, match=r"cannot hold a row of the table delivery of .*foreign key"):
        move(file, location(url))


def test_a_difference_takes_the_copy_back(tmp_path: Path, postgres_server: Postgres) -> None:
    """If the target's rows are not those of the source, the digests show it, and nothing was changed."""
    file, url = tmp_path / "send-log.db", postgres_server.for_admin(postgres_server.fresh())
    with opened(file) as log:
        enlist(log, people(9))
    with psycopg.connect(url) as connection:
        connection.execute("""
            CREATE FUNCTION campaign.spoil() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN NEW.not_before = NEW.not_before + 1e-9; RETURN NEW; END $$;
            CREATE TRIGGER spoil BEFORE INSERT ON campaign.delivery FOR EACH ROW WHEN (NEW.line = 4)
            EXECUTE FUNCTION campaign.spoil();
        """)
    digests = rf"delivery has 9 rows with the digest \w+ in {file}, and 9 rows with the digest \w+ in postgresql:"
    with pytest.raises(SendLogError, match=f"{digests}.*taken back; nothing was changed"):
        move(file, location(url))
    assert not any(digest.rows for digest in contents(location(url)).values())
    assert can_be_used(file)
    assert can_be_used(location(url))


def test_new_rows_continue_the_ids(tmp_path: Path, url: str) -> None:
    """Rows that are added after the move have ids of their own, in PostgreSQL and back in the file."""
    file, database = tmp_path / "send-log.db", location(url)
    fill(file)
    for source, target in ((file, database), (database, file)):
        move(source, target)
        before = contents(target)
        with opened(target, campaign=f"another in {target}") as log:
            enlist(log, people(3))
            log.skip_key("user_1", reason="by hand")
        after = contents(target)
        for table, more in (("campaign", 1), ("delivery", 3), ("history", 1)):
            assert after[table].rows == before[table].rows + more, table


def test_a_log_in_use_is_not_moved(tmp_path: Path, url: str) -> None:
    """A run that holds the file or shares the database keeps the move from it, in both directions."""
    file, database = tmp_path / "send-log.db", location(url)
    with opened(file) as log:
        enlist(log, people(2))
    with held(database, with_others=True), pytest.raises(LogHeldError, match="a run uses the send log postgresql:"):
        move(file, database)
    with held(file), pytest.raises(LogHeldError, match="another run uses the send log"):
        move(file, database)
    move(file, database)
    with held(database, with_others=True), pytest.raises(LogHeldError, match="a run uses the send log postgresql:"):
        move(database, file)
    assert can_be_used(database)


def test_the_old_database_refuses_changes(tmp_path: Path, url: str) -> None:
    """After a move back the tables in PostgreSQL refuse changes, also of what had them open and of other roles."""
    file, database = tmp_path / "send-log.db", location(url)
    fill(file)
    move(file, database)
    with SuppressionList(database, FakeClock()) as before:
        move(database, file)
        with pytest.raises(SendLogUnusableError, match=f"was not changed: it was moved to {file}; set CAMPAIGN_LOG"):
            before.add(["u1@example.com"], reason="by hand")
    with psycopg.connect(url, autocommit=True) as connection:
        for table in TABLES:
            for statement in (f"DELETE FROM campaign.{table}", f"TRUNCATE campaign.{table} CASCADE"):  # noqa: S608
                with pytest.raises(psycopg.errors.CheckViolation, match=r"it was moved to|append-only"):
                    connection.execute(statement)


def test_a_role_with_rights_on_the_tables_learns_of_the_move(tmp_path: Path, postgres_server: Postgres) -> None:
    """A role that got its rights before the move can work with the log after it, and is told when it has gone."""
    file, url = tmp_path / "send-log.db", postgres_server.for_admin(postgres_server.fresh())
    role = f"worker_{postgres_server.port}"
    with opened(file) as log:
        enlist(log, people(2))
    with postgres_server.admin(url.rpartition("/")[2]) as connection:
        connection.execute(f"""
            CREATE ROLE {role} LOGIN;
            GRANT USAGE ON SCHEMA campaign TO {role};
            GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA campaign TO {role};
        """)
    socket = (
        f"postgresql:///{url.rpartition('/')[2]}?host={postgres_server.folder}&port={postgres_server.port}&user={role}"
    )
    try:
        move(file, location(url))
        assert can_be_used(location(socket))
        move(location(url), file)
        with pytest.raises(SendLogUnusableError, match=f"was moved to {file}"):
            SuppressionList(location(socket), FakeClock())
    finally:
        postgres_server.drop(url)
        with postgres_server.admin() as connection:
            connection.execute(f"DROP ROLE {role}")  # its rights went with the database


def test_the_rates_of_the_database_are_forgotten(tmp_path: Path, url: str) -> None:
    """A log that comes back to its database brings the history by which rates are counted: old permits are gone."""
    file, database = tmp_path / "send-log.db", location(url)
    fill(file)
    move(file, database)
    move(database, file)
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO campaign.permit_bucket (name, first_number, next_number) VALUES ('messages', 1, 9)"
        )
    move(file, database)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM campaign.permit_bucket").fetchone() == (0,)


def test_a_second_move_leaves_what_went_on(tmp_path: Path, url: str) -> None:
    """The same move again says what is there already; a database in which another log went on is left as it is."""
    file, database, other = tmp_path / "send-log.db", location(url), tmp_path / "other.db"
    for path in (file, other):
        with opened(path) as log:
            enlist(log, people(2))
    move(file, database)
    again = move(file, database)
    assert (again.course, again.is_same) == (Course.DONE_BEFORE, True)
    with opened(database) as log:
        enlist(log, people(3))
    before = contents(database)
    assert not move(file, database).is_same
    with pytest.raises(SendLogUnusableError, match=r"has the campaign 'trial' already.*such as an empty database"):
        move(other, database)
    assert contents(database) == before
