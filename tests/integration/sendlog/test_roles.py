"""The roles of deploy/postgres-roles.sql: each may do what it is for, and nothing else.

All other tests of logs in PostgreSQL have the rights of its worker.
"""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import CheckViolation, InsufficientPrivilege

from campaign.config.postgres_url import parse_postgres_url
from campaign.errors import LogHeldError, SendLogUnusableError
from campaign.model import Status
from campaign.sendlog import LogReader, QueueReader, SendLog, held, migrate
from campaign.sendlog.aggregates import Aggregates
from campaign.sendlog.postgres.database import PostgresDatabase
from support.fake_clock import FakeClock
from support.sendlog_helpers import enlist, opened, people
from support.servers.postgres import NAMES, ROLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.servers.postgres import Postgres

OWNER, READER = NAMES["owner"], NAMES["reader"]
#: What no role but an administrator may do.
_TOO_MUCH = (
    "CREATE SCHEMA another",
    "CREATE TABLE public.another (id integer)",
    "CREATE ROLE another",
    "COPY campaign.delivery TO PROGRAM 'true'",
    "SELECT pg_read_file('/etc/hostname')",
)
#: What may be done by the owner alone.
_OF_THE_OWNER = (
    "CREATE TABLE campaign.another (id integer)",
    "DROP TABLE campaign.orphan",
    "ALTER TABLE campaign.delivery DISABLE TRIGGER USER",
    "CREATE OR REPLACE FUNCTION campaign.instant_now() RETURNS double precision LANGUAGE sql AS 'SELECT 1.0'",
    "TRUNCATE campaign.suppression",
    "UPDATE campaign.history SET reason = ''",
    "DELETE FROM campaign.history",
    "UPDATE campaign.schema_version SET version = 99",
    "DELETE FROM campaign.schema_version",
    f"SET ROLE {OWNER}",
)
_OF_THE_WORKER = (
    "CALL campaign.analyze_deliveries()",
    "CALL campaign.index_addresses()",
    "SELECT campaign.tell_workers('pause', 'smtp', 60, 'no', '', '')",
    "CREATE TEMP TABLE present (key text)",
)


@pytest.fixture
def url(postgres_server: Postgres) -> Iterator[str]:
    """Yield the URL of a database with an empty log and its roles, for the worker."""
    fresh = postgres_server.fresh()
    postgres_server.make_roles(name_of(fresh), worker=ROLE)
    yield fresh
    postgres_server.drop(fresh)


def name_of(url: str) -> str:
    return url.rpartition("/")[2]


def as_user(url: str, role: str) -> str:
    """Return the URL for another role."""
    return url.replace(f"{ROLE}:", f"{role}:")


def is_allowed(url: str, statement: str) -> bool:
    """Return whether a role has the right to execute a statement; it is taken back."""
    with closing(psycopg.connect(url)) as connection:
        try:
            connection.execute(statement.encode())
        except InsufficientPrivilege:
            return False
        except CheckViolation:  # the history's trigger
            return True
        return True


@pytest.mark.parametrize("role", NAMES)
def test_a_role_may_do_what_it_is_for(url: str, role: str) -> None:
    """The owner changes its tables, the worker their rows but not the history, the reader nothing; none does more."""
    its = as_user(url, {**NAMES, "worker": ROLE}[role])
    assert [each for each in _TOO_MUCH if is_allowed(its, each)] == []
    allowed = {each for each in (*_OF_THE_OWNER, *_OF_THE_WORKER) if is_allowed(its, each)}
    if role == "owner":
        assert allowed >= {*_OF_THE_OWNER, *_OF_THE_WORKER[:3]}
    else:
        assert allowed == (set(_OF_THE_WORKER) if role == "worker" else set())


def test_the_rights_on_each_table_are_these(postgres_server: Postgres, url: str) -> None:
    """The worker changes rows of every table but the history, to which it adds, and the version; the reader of none."""
    for role, usual, of in (
        (ROLE, "INSERT SELECT UPDATE DELETE", {"history": "INSERT SELECT", "schema_version": "SELECT"}),
        (READER, "SELECT", {}),
    ):
        found = rights(postgres_server, name_of(url), role)
        assert len(found) > 20
        assert found == {table: set(of.get(table, usual).split()) for table in found}


def rights(server: Postgres, database: str, role: str) -> dict[str, set[str]]:
    """Return what a role may do with each table."""
    query = """
        SELECT relname, coalesce(array_agg(kind) FILTER (WHERE has_table_privilege(%s, pg_class.oid, kind)), '{}')
        FROM pg_class, unnest('{SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER}'::text[]) AS kind
        WHERE relnamespace = 'campaign'::regnamespace AND relkind = 'r' GROUP BY 1"""
    with server.admin(database) as connection:
        return {table: set(kinds) for table, kinds in connection.execute(query, [role])}


def test_the_file_serves_tables_that_are_there(postgres_server: Postgres, url: str) -> None:
    """Typed for a log that its user has made before, and typed twice, the file grants the same as before the tables."""
    old = postgres_server.fresh(is_empty=True)
    migrate(parse_postgres_url(old))
    names = {name: f"{name}_{os.getpid()}" for name in ("worker", "reader")}
    for _ in range(2):
        postgres_server.make_roles(name_of(old), owner=ROLE, **names)
    for mine, usual in ((names["worker"], ROLE), (names["reader"], READER)):
        assert rights(postgres_server, name_of(old), mine) == rights(postgres_server, name_of(url), usual)
        statement = "CALL campaign.analyze_deliveries()"
        assert is_allowed(as_user(old, mine), statement) == (mine == names["worker"])
    postgres_server.drop(old)
    with postgres_server.admin() as connection:
        for each in names.values():
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(each)))


def test_a_table_of_a_later_version_has_these_rights_at_once(postgres_server: Postgres, url: str) -> None:
    """What the owner makes later can be used by the worker and read by the reader, and by no other role."""
    with psycopg.connect(as_user(url, OWNER)) as connection:
        connection.execute("CREATE TABLE campaign.later (id bigint GENERATED ALWAYS AS IDENTITY, what text)")
    assert is_allowed(url, "INSERT INTO campaign.later (what) VALUES ('new')")
    assert rights(postgres_server, name_of(url), READER)["later"] == {"SELECT"}
    with postgres_server.admin(name_of(url)) as connection:
        connection.execute("SET ROLE pg_monitor")  # a role that exists everywhere, and is none of the three
        with pytest.raises(InsufficientPrivilege):
            connection.execute("SELECT FROM campaign.later")


def test_tables_are_made_and_changed_by_their_owner(postgres_server: Postgres) -> None:
    """A worker without tables is told to have the owner migrate; then it works, and beside it nothing migrates."""
    url = postgres_server.fresh(is_empty=True)
    with postgres_server.admin() as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO postgres").format(sql.Identifier(name_of(url))))
    postgres_server.make_roles(name_of(url), worker=ROLE)
    log, its_owner = parse_postgres_url(url), parse_postgres_url(as_user(url, OWNER))
    with pytest.raises(
        SendLogUnusableError, match=r"has no tables yet, and this user may not make them .*type, with a"
    ):
        migrate(log)
    migrate(its_owner)
    with opened(log) as open_log:
        assert enlist(open_log, people(2)).added == 2
    with held(log, with_others=True), pytest.raises(LogHeldError):
        migrate(its_owner)
    migrate(its_owner)
    postgres_server.drop(url)


def test_tables_of_an_earlier_version_are_changed_by_their_owner(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is newer than the tables, and may not change them, is told who may."""
    newer = "ALTER TABLE delivery ADD COLUMN later text; UPDATE schema_version SET version = 2"
    monkeypatch.setattr("campaign.sendlog.postgres.database.VERSION", 2)
    monkeypatch.setattr(PostgresDatabase.sql.fget(None), "to_2", newer, raising=False)  # type: ignore[attr-defined]
    log = parse_postgres_url(url)
    with pytest.raises(SendLogUnusableError, match=r"tables of an earlier version, and this user may not .*migrate"):
        SendLog(log, "trial", FakeClock())
    migrate(parse_postgres_url(as_user(url, OWNER)))
    with opened(log) as open_log:
        assert enlist(open_log, people(1)).added == 1


def test_a_user_without_rights_is_told(postgres_server: Postgres, url: str) -> None:
    """A user who may not even look at the tables is told who can grant it."""
    name = f"guest_{os.getpid()}"
    with postgres_server.admin(name_of(url)) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'".encode())
        connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO PUBLIC").format(sql.Identifier(name_of(url))))
    log = parse_postgres_url(as_user(url, name))
    for attempt in (lambda: LogReader(log), lambda: SendLog(log, "trial", FakeClock())):
        with pytest.raises(
            SendLogUnusableError, match=r"does not let this user work with it \(permission denied .*postgres-roles.sql"
        ):
            attempt()
    with postgres_server.admin() as connection:
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def test_a_reader_reads_without_writing(url: str) -> None:
    """The reader reads the log, and cannot change it."""
    with opened(parse_postgres_url(url)) as open_log:
        enlist(open_log, people(1))
    reading = parse_postgres_url(as_user(url, READER))
    with closing(QueueReader(reading)) as reader:
        assert reader.summary("trial", now=0.0)[Status.QUEUED] == 1
        assert [each.key for each in reader.progress("trial")] == ["user_1"]
    with Aggregates(reading, "trial", now=0.0) as aggregates:
        assert aggregates.domains(largest=1, troubled=1)[1] == 1
    with (
        pytest.raises(SendLogUnusableError, match=r"can only be read by this user; name one"),
        held(reading) as database,
    ):
        SendLog(database, "another", FakeClock())
