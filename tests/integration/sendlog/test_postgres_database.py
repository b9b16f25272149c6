"""A send log in PostgreSQL that cannot be used, is lost, or is another's: a sentence, and nothing is changed."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from contextlib import closing, contextmanager
from inspect import signature
from math import inf
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from campaign.config.postgres_url import PostgresUrl, parse_postgres_url
from campaign.errors import CampaignError, LogHeldError, LogUnreachableError, SendLogError, SendLogUnusableError
from campaign.model import Status
from campaign.sendlog import LogReader, QueueCursor, SendLog, SuppressionList, exists, held
from campaign.sendlog.operator_interface import OperatorLog
from campaign.sendlog.postgres import database as backend
from campaign.sendlog.postgres import session
from campaign.sendlog.postgres.connection import TCP_OPTIONS
from support.fake_clock import FakeClock
from support.mta.programs import free_port
from support.sendlog_helpers import TWO_DAYS, change, enlist, opened, people, states, table
from support.servers.cutting_proxy import CuttingProxy
from support.servers.pgbouncer import pgbouncer
from support.servers.postgres import ADMIN, ROLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from campaign.sendlog.postgres.connection import PostgresConnection
    from support.servers.postgres import Postgres


@pytest.fixture
def url(postgres_server: Postgres) -> Iterator[str]:
    """Yield the URL of a database with an empty log."""
    fresh = postgres_server.fresh()
    yield fresh
    postgres_server.drop(fresh)


@pytest.fixture
def bare(postgres_server: Postgres) -> Iterator[str]:
    """Yield the URL of a database without a log."""
    fresh = postgres_server.fresh(is_empty=True)
    yield fresh
    postgres_server.drop(fresh)


def name_of(url: str) -> str:
    return url.rpartition("/")[2]


def end_sessions(server: Postgres, url: str) -> None:
    """End all sessions of a database, as a server that restarts does; return when they have ended."""
    with server.admin(name_of(url)) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


@contextmanager
def administrator(url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(url.replace(f"{ROLE}:", f"{ADMIN}:"), autocommit=True) as connection:
        yield connection


def refusal(log: PostgresUrl) -> str:
    """Return why a log is refused, to be read and to be written alike."""
    said = []
    for attempt in (lambda: LogReader(log), lambda: SendLog(log, "trial", FakeClock())):
        with pytest.raises(SendLogUnusableError) as caught:
            attempt()
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert "secret@" not in said[0]
    assert "\n" not in said[0]
    return said[0]


# -- what CAMPAIGN_LOG may name ----------------------------------------------------------------------------------


def test_a_log_that_cannot_be_reached_is_refused_with_what_to_do(postgres_server: Postgres, url: str) -> None:
    """A wrong port, password, database, host or parameter is told with the server's words and what to change."""
    there = f"127.0.0.1:{postgres_server.port}"
    for wrong, sentence in (
        (f"postgresql://x:secret@127.0.0.1:{free_port()}/x", "Connection refused); start the server"),
        (f"postgresql://stranger:secret@{there}/{name_of(url)}", "check user and password in CAMPAIGN_LOG"),
        (f"postgresql://{ROLE}:secret@{there}/nowhere", 'database "nowhere" does not exist); check the database'),
        (f"postgresql://{ROLE}:secret@nowhere.invalid/x", "check the host in CAMPAIGN_LOG"),
        (f"{url}?sslmode=require", "add ?sslmode=disable to CAMPAIGN_LOG"),
        (f"{url}?sslmode=perhaps", "check the parameters after the ? in CAMPAIGN_LOG"),
        (f"{url}?no_such=1", "check the parameters after the ? in CAMPAIGN_LOG"),
    ):
        assert sentence in refusal(parse_postgres_url(wrong))


def test_a_database_without_a_free_session_is_refused_with_what_to_do(postgres_server: Postgres, url: str) -> None:
    """A limit of sessions that is reached is told in the server's words, with what to raise."""
    with postgres_server.admin() as connection:
        connection.execute(f"ALTER DATABASE {url.rpartition('/')[2]} CONNECTION LIMIT 0")
    said = refusal(parse_postgres_url(url))
    assert 'too many connections for database "log_' in said
    assert "raise the limit there: max_connections, or that of the database or the user" in said


def test_there_is_nothing_to_read_before_the_first_run(bare: str) -> None:
    """Reading makes no tables; the first command that writes makes them, with the rights of a plain owner."""
    log = parse_postgres_url(bare)
    with pytest.raises(SendLogUnusableError, match=r"does not exist yet; `campaign run FILE` creates it"):
        LogReader(log)
    assert not exists(log)
    with opened(log) as open_log:
        enlist(open_log, people(2))
    assert exists(log)
    assert states(log) == {"user_1": "queued", "user_2": "queued"}


def test_a_newer_log_is_refused(url: str) -> None:
    """A log whose schema is newer than the program is refused and not changed."""
    log = parse_postgres_url(url)
    change(log, "UPDATE schema_version SET version = 99")
    assert "written by a newer version of campaign (its schema is 99" in refusal(log)


def test_another_programs_tables_are_left_alone(bare: str) -> None:
    """A schema of the same name with other tables is refused and not changed."""
    with administrator(bare) as connection:
        connection.execute(f"SET ROLE {ROLE}; CREATE SCHEMA campaign; CREATE TABLE campaign.delivery (id integer)")
    with pytest.raises(SendLogUnusableError, match=r"another program's tables in its schema campaign.*not changed"):
        SendLog(parse_postgres_url(bare), "trial", FakeClock())
    with administrator(bare) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'campaign'").fetchall()
    assert found == [("delivery",)]


def test_a_server_that_only_reads_is_refused(postgres_server: Postgres, url: str) -> None:
    """A read-only server, such as a standby, is refused for writing and can be read."""
    log = parse_postgres_url(url)
    with opened(log) as open_log:
        enlist(open_log, people(1))
    with postgres_server.admin() as connection:
        connection.execute(f"ALTER DATABASE {name_of(url)} SET default_transaction_read_only = on")
    with pytest.raises(SendLogUnusableError, match=r"can only be read there; name the primary server"):
        SendLog(log, "trial", FakeClock())
    with closing(LogReader(log)) as reader:
        assert reader.summary("trial", now=0.0)[Status.QUEUED] == 1


def test_an_old_server_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server older than the statements need is refused with its version."""
    monkeypatch.setattr(session, "_OLDEST_SERVER", 99_00_00)
    assert "a send log needs version 14 or newer" in refusal(parse_postgres_url(url))


def test_a_database_of_few_characters_is_refused(postgres_server: Postgres) -> None:
    """A database that cannot hold every character of a name is refused before anything is made in it."""
    with postgres_server.admin() as connection:
        connection.execute("DROP DATABASE IF EXISTS latin")
        connection.execute(f"CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C' OWNER {ROLE}")
    assert "has the encoding LATIN1" in refusal(parse_postgres_url(postgres_server.url("latin")))
    postgres_server.drop(postgres_server.url("latin"))


def test_without_psycopg_the_extra_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without psycopg a URL is refused with the command that installs it."""
    for name in [name for name in sys.modules if name.startswith("campaign.sendlog.postgres.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert "type: pip install 'campaign[postgres]'" in refusal(parse_postgres_url(url))


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_a_pooler_must_keep_sessions(postgres_server: Postgres, url: str, mode: str) -> None:
    """A pooler that gives each transaction another session is refused, and one that keeps sessions is not."""
    with pgbouncer(postgres_server.port, mode=mode) as port:
        log = parse_postgres_url(f"postgresql://{ROLE}:secret@127.0.0.1:{port}/{name_of(url)}")
        if mode == "transaction":
            assert "gives each transaction another session" in refusal(log)
            assert "PgBouncer: pool_mode = session" in refusal(log)
            return
        with held(log) as database, closing(SendLog(database, "trial", FakeClock())) as open_log:
            assert enlist(open_log, people(1)).added == 1


# -- one run at a time -------------------------------------------------------------------------------------------


def test_one_log_has_one_runner(postgres_server: Postgres, url: str) -> None:
    """While a run holds the log a second one is refused; a run whose session is lost writes nothing any more."""
    log = parse_postgres_url(url)
    with held(log) as database, closing(SendLog(database, "trial", FakeClock())) as first:
        enlist(first, people(1))
        with pytest.raises(LogHeldError, match="a run uses the send log postgresql://tester@"), held(log):
            pass
        end_sessions(postgres_server, url)
        with held(log) as again, closing(SendLog(again, "trial", FakeClock())) as second:
            with pytest.raises(SendLogError, match=r"cannot be written .*nothing was changed"):
                first.retry()
            assert second.recover().uncertain == 0
    with held(log):
        pass


def test_a_transaction_waits_for_another_one_that_writes(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two transactions that write follow each other; one that waits too long says so and changes nothing."""
    monkeypatch.setattr(backend, "_WAIT_S", 1)
    log = parse_postgres_url(url)
    with SuppressionList(log, FakeClock()) as one, SuppressionList(log, FakeClock()) as other:
        with one._transaction(), pytest.raises(SendLogError) as caught:  # noqa: SLF001 - holds it as a long import does
            other.add(["a@example.com"], reason="by hand")
        assert "nothing was changed. Wait for the command or the run that changes it" in str(caught.value)
        assert other.add(["a@example.com"], reason="by hand") == 1


def test_the_locks_of_a_suspended_run_are_released(url: str) -> None:
    """The server ends a session that does nothing after the answers of a pipeline, as after those of a statement."""
    with administrator(url) as other:
        other.execute(f"CREATE TABLE campaign.trial (a bigint); GRANT INSERT ON campaign.trial TO {ROLE}")
    with closing(session.open_session(parse_postgres_url(url), wait_s=5)) as run:
        run.execute("SET idle_in_transaction_session_timeout TO '200ms'")
        with run.pipeline():
            run.begin_group(1)
            run.executemany("INSERT INTO trial VALUES (%(a)s)", [{"a": 1}, {"a": 2}])
        with administrator(url) as other:
            other.execute("SET lock_timeout TO '20s'")
            other.execute("ALTER TABLE campaign.trial ADD b text")
        with pytest.raises(psycopg.Error, match="idle-in-transaction timeout"):
            run.execute("SELECT 1")


def test_what_is_committed_is_on_the_disk(postgres_server: Postgres, url: str) -> None:
    """A database whose commits do not wait for the disk is told to wait for it in a log's sessions."""
    with postgres_server.admin() as connection:
        connection.execute(f"ALTER DATABASE {name_of(url)} SET synchronous_commit = off")
    with opened(parse_postgres_url(url)) as log:
        [[found]] = log._connection.execute("SHOW synchronous_commit")  # noqa: SLF001 - of this session
    assert found == "local"


def test_a_silent_server_is_lost_within_a_lease(url: str) -> None:
    """A third of a worker's lease is the longest silence; the URL wins; a session that prepares waits for a minute."""
    log, lease_s = parse_postgres_url(url), 24.0
    with closing(session.open_session(log, wait_s=5, lease_s=lease_s)) as worker:
        assert _longest_silence(worker) == (8000, 4, 2)
        session.notice_loss_within(worker, log, inf)
        assert _longest_silence(worker) == (60_000, 30, 10)
        session.notice_loss_within(worker, log, lease_s)
        assert _longest_silence(worker) == (8000, 4, 2)
    patient = parse_postgres_url(f"{url}?tcp_user_timeout=20000&keepalives_interval=7&connect_timeout=9")
    with closing(session.open_session(patient, wait_s=5, lease_s=lease_s)) as worker:
        assert _longest_silence(worker) == (20_000, 4, 7)
    assert session.session_parameters(log, lease_s)["connect_timeout"] == "8"
    assert session.session_parameters(patient, lease_s)["connect_timeout"] == "9"
    assert session.session_parameters(log)["connect_timeout"] == "10"


def test_the_server_ends_the_session_of_a_machine_that_is_gone(url: str) -> None:
    """Also if that machine was to get an answer: its locks would stay until the server gives up to send it again."""
    with closing(session.open_session(parse_postgres_url(url), wait_s=5)) as run:
        assert run.execute("SHOW tcp_user_timeout").fetchone() == ("60000",)


def _longest_silence(worker: PostgresConnection) -> tuple[int, ...]:
    """Return TCP_USER_TIMEOUT (ms), TCP_KEEPIDLE and TCP_KEEPINTVL (s) of a session's socket."""
    with socket.socket(fileno=os.dup(worker._connection.fileno())) as copy:  # noqa: SLF001 - the socket
        return tuple(copy.getsockopt(socket.IPPROTO_TCP, option) for option in TCP_OPTIONS.values())


# -- what is lost ------------------------------------------------------------------------------------------------


def test_a_full_disk_stops_everything_with_a_sentence(url: str) -> None:
    """When the server has no room left, a CSV is not taken in part, and a run's writes end with what to do."""
    log = parse_postgres_url(url)
    with administrator(url) as connection:
        connection.execute(
            "CREATE FUNCTION public.full() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$"
        )
        connection.execute("CREATE TRIGGER full_disk BEFORE INSERT ON campaign.delivery EXECUTE FUNCTION public.full()")
    with opened(log) as open_log:
        with pytest.raises(SendLogError, match=r"No space left on device\); nothing was changed. Free disk space on"):
            enlist(open_log, people(3))
        assert open_log.summary().recipients == 0
        with administrator(url) as connection:
            connection.execute("DROP TRIGGER full_disk ON campaign.delivery")
        enlist(open_log, people(3))
        with administrator(url) as connection:
            connection.execute(
                "CREATE TRIGGER full_disk BEFORE INSERT ON campaign.history EXECUTE FUNCTION public.full()"
            )
        asyncio.run(_issue_on_a_full_disk(open_log))
    assert set(states(log).values()) == {"queued"}


async def _issue_on_a_full_disk(log: SendLog) -> None:
    async with log:
        rows = await log.claim(3, QueueCursor())
        results = await asyncio.gather(
            *(log.issuing(row, user_id="u", expires_in=TWO_DAYS) for row in rows), return_exceptions=True
        )
        for result in results:
            assert isinstance(result, SendLogError)
            assert "nothing more was sent. Free disk space on its server, then run the same command again" in str(
                result
            )


def test_what_answers_links_outlives_its_session(postgres_server: Postgres, url: str) -> None:
    """A suppression list whose session the server has ended connects again, and keeps what it is told."""
    log = parse_postgres_url(url)
    with SuppressionList(log, FakeClock()) as suppressions:
        for address in ("a@example.com", "b@example.com"):
            end_sessions(postgres_server, url)
            assert suppressions.add([address], reason="by hand") == 1
        end_sessions(postgres_server, url)
        assert [each.address for each in suppressions.entries()] == ["a@example.com", "b@example.com"]


def test_a_lost_answer_to_a_commit_is_not_taken_for_a_failure(postgres_server: Postgres, url: str) -> None:
    """If the connection dies while a change is committed, it may be there: the sentence says so, and nothing else."""
    with CuttingProxy(postgres_server.port, b"COMMIT\0") as proxy:
        through = parse_postgres_url(f"postgresql://{ROLE}:secret@127.0.0.1:{proxy.port}/{name_of(url)}")
        with SuppressionList(through, FakeClock()) as suppressions:
            proxy.is_armed = True
            with pytest.raises(SendLogError) as caught:
                suppressions.add(["a@example.com"], reason="by hand")
            assert proxy.was_cut.wait(10)
    assert "so it may be there or not. Look with `campaign status`" in str(caught.value)
    assert "nothing was changed" not in str(caught.value)
    assert table(parse_postgres_url(url), "SELECT address FROM suppression") == [{"address": "a@example.com"}]


def test_rows_that_are_not_wanted_end_without_a_word(postgres_server: Postgres, url: str) -> None:
    """A caller that leaves a stream of rows hears of a lost session from the next statement, and only there."""
    log = parse_postgres_url(url)
    with opened(log) as writer:
        enlist(writer, people(3))
    with closing(LogReader(log)) as reader:
        rows = reader.recipients("trial")
        assert next(rows)["key"]
        end_sessions(postgres_server, url)
        rows.close()
        with pytest.raises(LogUnreachableError):
            reader.summary("trial", now=0.0)


@pytest.mark.parametrize("name", [name for name in vars(OperatorLog) if not name.startswith("_")])
def test_an_operator_hears_of_a_lost_session(name: str, postgres_server: Postgres, url: str) -> None:
    """Whatever an operator asks of a log whose session the server has ended is answered by a sentence of ours."""
    values = {"state": Status.FAILED, "email": "u0@d0.example", "key": "u0", "keys": ["u0"], "reason": "by hand"}
    log = parse_postgres_url(url)
    with opened(log) as lost:
        enlist(lost, people(3))
        end_sessions(postgres_server, url)
        act = getattr(lost, name)
        with pytest.raises(CampaignError, match="the send log postgresql://"):
            act(**{each: values[each] for each in signature(act).parameters})
