"""A send log in PostgreSQL: the same commands, one run at a time, and a lost server ends it with a sentence."""

from __future__ import annotations

import re
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import psycopg
import pytest

from campaign.clock import SystemClock
from campaign.config.postgres_url import parse_postgres_url
from campaign.model import Receipt
from campaign.sendlog import ReturnedMail, held
from support.environment import environment, wait_for
from support.no_fault import assert_no_fault
from support.plain_http import NO_TLS
from support.servers.database_proxy import DatabaseProxy
from support.servers.script import Delay, Fault, Reply
from support.servers.smtp_script import SmtpScript

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from subprocess import Popen

    from support.environment import Environment
    from support.servers.postgres import Postgres

PEOPLE = 40
FEW = '[limits]\nconnections = 4\ntokens = "1000/second"\n'
UNSUBSCRIBE = FEW + '[unsubscribe]\nurl = "https://mail.acme.example/u"\nlist = "news"\n'
HTML = '<p><a href="{{ link }}">Sign in</a></p><p><a href="{{ unsubscribe }}">No more</a></p>'
SLOW = SmtpScript(faults=(Fault("dot", Delay(0.1)),))


@contextmanager
def on_postgres(folder: Path, server: Postgres, *, smtp: SmtpScript = SLOW) -> Iterator[tuple[Environment, str]]:
    """Yield a campaign with the URL of its log, in a database that has none yet."""
    url = server.fresh(is_empty=True)
    with environment(folder, PEOPLE, smtp=smtp, more=FEW) as env:
        env.work.environment["CAMPAIGN_LOG"] = url
        yield env, url
    server.drop(url)


def end_sessions(server: Postgres, url: str) -> None:
    """End all sessions of a database, as a server that restarts does."""
    with server.admin() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s",
            (url.rpartition("/")[2],),
        )


def admit(server: Postgres, url: str, *, is_admitted: bool) -> None:
    """Let a database take new sessions, or none."""
    with server.admin() as connection:
        connection.execute(f"ALTER DATABASE {url.rpartition('/')[2]} ALLOW_CONNECTIONS {is_admitted}")


def require_each_at_most_once(env: Environment) -> dict[str, int]:
    """Check that nobody has two mails, and that whoever has one is `sent` or `uncertain`; return the states."""
    mailed = env.mailed
    assert len(mailed) == len(set(mailed))
    rows = env.work.rows()
    assert {row["email"] for row in rows if row["state"] == "sent"} <= set(mailed)
    assert set(mailed) <= {row["email"] for row in rows if row["state"] in {"sent", "uncertain"}}
    return {state: sum(row["state"] == state for row in rows) for state in ("sent", "uncertain", "queued")}


@pytest.mark.long
def test_a_killed_run_is_resumed_from_the_database(tmp_path: Path, postgres_server: Postgres) -> None:
    """Beside a run `resolve` is refused with 75; after kill -9 the next run goes on, and nobody is mailed twice."""
    with on_postgres(tmp_path, postgres_server) as (env, url):
        missing = env.work.campaign("status", "campaign.toml")
        assert missing.returncode == 2
        assert "does not exist yet; `campaign run FILE` creates it" in missing.stderr
        process = env.work.start("run", "campaign.toml", "--yes")
        wait_for(lambda: len(env.accepted) >= 8, process)
        second = env.work.campaign("resolve", "campaign.toml", "--keep")
        assert second.returncode == 75
        assert "a run uses the send log postgresql://tester@127.0.0.1" in second.stderr
        assert env.work.status()["recipients"] == PEOPLE, "status reads beside the run"
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        end_sessions(postgres_server, url)  # the server notices that it has gone, sooner or later
        again = env.work.run()
        assert again.returncode in {0, 1}, again.stderr
        states = require_each_at_most_once(env)
        assert states == {"sent": PEOPLE - states["uncertain"], "uncertain": states["uncertain"], "queued": 0}
        assert states["uncertain"] <= 4, "at most one for each connection"
        for arguments in (
            ("resolve", "campaign.toml", "--keep"),
            ("plan", "campaign.toml"),
            ("report", "campaign.toml", "--html", "report.html"),
            ("skip", "campaign.toml", "--missing"),
            ("suppress", "add", "u1@d1.example"),
            ("results", "campaign.toml"),
            ("resend", "campaign.toml", "--email", "u2@d2.example", "--yes"),
            ("revoke", "campaign.toml", "--yes"),
            ("retry", "campaign.toml"),
        ):
            done = env.work.campaign(*arguments)
            assert done.returncode == 0, (arguments, done.stderr)
            assert "secret@" not in done.stdout + done.stderr, "the password is in no output"
        assert env.work.status()["sent"] == PEOPLE - 1, "one is queued for a new mail"
        assert env.work.run().returncode == 0
        assert env.work.status()["sent"] == PEOPLE


def test_a_run_outlives_a_lost_session(tmp_path: Path, postgres_server: Postgres) -> None:
    """When its sessions with the log are lost, a run begins new ones and goes on: everybody is mailed, nobody twice."""
    with on_postgres(tmp_path, postgres_server) as (env, url):
        process = env.work.start("run", "campaign.toml", "--yes")
        wait_for(lambda: len(env.accepted) >= 8, process)
        end_sessions(postgres_server, url)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, (out, err)
        assert require_each_at_most_once(env) == {"sent": PEOPLE, "uncertain": 0, "queued": 0}


@pytest.mark.parametrize("answered", [True, pytest.param(False, marks=pytest.mark.long)])
def test_a_preparation_whose_commit_is_lost_is_made_again(
    tmp_path: Path, postgres_server: Postgres, answered: bool
) -> None:
    """A CSV is enlisted once, whether or not the server had committed it when the connection was lost."""
    with on_postgres(tmp_path, postgres_server) as (env, url), DatabaseProxy(postgres_server.port) as proxy:
        env.work.environment["CAMPAIGN_LOG"] = url.replace(str(postgres_server.port), str(proxy.port))
        proxy.lose_commit(answered=answered, after=b"COPY delivery")
        done = env.work.run("--limit", "5")
        assert done.returncode == 0, (done.stdout, done.stderr)
        assert proxy.lost >= 1
        assert require_each_at_most_once(env) == {"sent": 5, "uncertain": 0, "queued": PEOPLE - 5}


def test_a_preparation_waits_for_a_server_that_is_away(tmp_path: Path, postgres_server: Postgres) -> None:
    """A run whose server goes away while it prepares waits for it, says so, and prepares again."""
    with on_postgres(tmp_path, postgres_server) as (env, url), psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(x'43414D43'::integer, 1)")  # the rows of the first campaign
        process = env.work.start("run", "campaign.toml", "--yes")
        waiting = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'"
        wait_for(lambda: other.execute(f"SELECT 1 {waiting}").fetchone(), process)
        admit(postgres_server, url, is_admitted=False)
        # not all sessions: the one with the lock would end first, and let the run go on
        other.execute(f"SELECT pg_terminate_backend(pid) {waiting}")
        assert process.stdout is not None
        said = next(line for line in process.stdout if line.startswith("Waiting for PostgreSQL"))
        assert "is not currently accepting connections" in said
        other.execute("SELECT pg_advisory_unlock_all()")
        admit(postgres_server, url, is_admitted=True)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, (out, err)
        assert "PostgreSQL answers again; the run goes on." in out
        assert require_each_at_most_once(env) == {"sent": PEOPLE, "uncertain": 0, "queued": 0}


#: By what a session of a run asked last: how long a mail takes (seconds), so that the run does not end before; what is
#: said when the session is lost, and when there is another one.
SESSIONS = {
    "reserve_permits": (
        0.3,
        "Waiting for the rates that all runs share",
        "The rates that all runs share answer again; the run goes on",
    ),
    "campaign.pause": (
        1.0,
        "This run does not hear when other runs pause for Clerk or the mail server",
        "This run hears the other runs again",
    ),
}


@pytest.mark.parametrize("asked", ["reserve_permits", pytest.param("campaign.pause", marks=pytest.mark.long)])
def test_a_run_says_which_session_it_lacks(asked: str, tmp_path: Path, postgres_server: Postgres) -> None:
    """A database that takes no session for the shared rates, or to hear other runs, is said, and so is its end."""
    delay, lost, back = SESSIONS[asked]
    slow = SmtpScript(faults=(Fault("dot", Delay(delay)),))
    with on_postgres(tmp_path, postgres_server, smtp=slow) as (env, url), postgres_server.admin() as admin:
        database = url.rpartition("/")[2]
        process = env.work.start("run", "campaign.toml", "--yes")
        wait_for(lambda: env.accepted, process)
        admin.execute(f"ALTER DATABASE {database} CONNECTION LIMIT 0")  # the run keeps its other sessions
        ending = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND query LIKE %s"
        assert admin.execute(ending, (database, f"%{asked}%")).fetchall() == [(True,)]
        assert process.stdout is not None
        said = next(line for line in process.stdout if line.startswith(lost[: len("Waiting for")]))
        assert said.startswith(f"{lost}: the send log postgresql://")
        assert "too many connections" in said
        admin.execute(f"ALTER DATABASE {database} CONNECTION LIMIT -1")
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, (out, err)
        assert f"{back}." in out
        assert require_each_at_most_once(env) == {"sent": PEOPLE, "uncertain": 0, "queued": 0}


def is_idle(url: str) -> bool:
    """Return whether all but one recipient are mailed, and that one waits for its next attempt."""
    with psycopg.connect(url) as connection:
        if connection.execute("SELECT to_regclass('campaign.delivery')").fetchone() == (None,):
            return False
        left = "SELECT state, attempts > 0, worker_id IS NULL FROM campaign.delivery WHERE state <> 'sent'"
        return connection.execute(left).fetchall() == [("queued", True, True)]


def lost(server: Postgres, url: str, process: Popen[str]) -> None:
    """Let the database go away for a run, and return when the run says that it waits."""
    admit(server, url, is_admitted=False)
    end_sessions(server, url)
    assert process.stdout is not None
    assert any(line.startswith("Waiting for PostgreSQL") for line in process.stdout)


def test_a_signal_ends_a_run_whose_server_is_away(tmp_path: Path, postgres_server: Postgres) -> None:
    """With nothing in hand the first signal ends a run that waits for its database, and the next run goes on."""
    later = SmtpScript(faults=(Fault("rcpt", Reply("450 4.2.1 Mailbox busy"), to="u1@*"),))
    with on_postgres(tmp_path, postgres_server, smtp=later) as (env, url):
        process = env.work.start("run", "campaign.toml", "--yes")
        wait_for(lambda: is_idle(url), process)
        lost(postgres_server, url, process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 130, (out, err)
        assert "no message is in progress: this command ends now" in out
        admit(postgres_server, url, is_admitted=True)
        assert require_each_at_most_once(env) == {"sent": PEOPLE - 1, "uncertain": 0, "queued": 1}


def test_a_signal_beside_a_lost_server_finishes_what_is_in_hand(tmp_path: Path, postgres_server: Postgres) -> None:
    """With messages in hand the first signal says what is waited for, and the outcomes are written at the end."""
    with on_postgres(tmp_path, postgres_server) as (env, url):
        process = env.work.start("run", "campaign.toml", "--yes")
        wait_for(lambda: len(env.accepted) >= 8, process)
        lost(postgres_server, url, process)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        said = next(line for line in process.stdout if line.startswith("Stopping"))
        assert re.search(r"Stopping: (1 message is|\d+ messages are) in progress\. PostgreSQL at \S+ is away;", said)
        admit(postgres_server, url, is_admitted=True)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 130, (out, err)
        states = require_each_at_most_once(env)
        assert (states["sent"], states["uncertain"]) == (len(env.mailed), 0)


def test_a_run_waits_for_a_server_that_is_away_at_the_start(tmp_path: Path, postgres_server: Postgres) -> None:
    """With --wait-for-server a run whose database is away waits for it, says so, and mails everybody then."""
    with on_postgres(tmp_path, postgres_server) as (env, url):
        admit(postgres_server, url, is_admitted=False)
        process = env.work.start("run", "campaign.toml", "--yes", "--wait-for-server")
        assert process.stdout is not None
        assert "is not currently accepting connections" in next(iter(process.stdout))
        admit(postgres_server, url, is_admitted=True)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, (out, err)
        assert "PostgreSQL answers again" in out
        assert require_each_at_most_once(env) == {"sent": PEOPLE, "uncertain": 0, "queued": 0}


def test_returned_mail_is_acted_upon_beside_a_run(tmp_path: Path, postgres_server: Postgres) -> None:
    """While a run has the log, `bounces` revokes the token of a returned mail at once, and keeps no run out."""
    with on_postgres(tmp_path, postgres_server) as (env, url):
        assert env.work.run().returncode == 0
        place = parse_postgres_url(url)
        with ReturnedMail(place, SystemClock()) as log:
            message = log.message_of([log._tags.bounce_tag(1, 1)])  # noqa: SLF001 - of the first mail
            assert message is not None
            log.bounced("a report", message, "returned", Receipt(550, "5.1.1", "No such user"), suppress=True)
        (tmp_path / "mbox").write_text("", encoding="utf-8")
        with held(place, with_others=True):
            done = env.work.campaign("bounces", "campaign.toml", str(tmp_path / "mbox"))
        assert done.returncode == 0, (done.stdout, done.stderr)
        assert len(env.clerk.events("revoked")) == 1


def test_a_run_does_not_begin_without_its_server(tmp_path: Path, postgres_server: Postgres) -> None:
    """A server that is away when a run begins ends it with 3 and what to do; nothing was sent."""
    with on_postgres(tmp_path, postgres_server) as (env, url):
        env.work.environment["CAMPAIGN_LOG"] = url.replace(str(postgres_server.port), "9")
        refused = env.work.run()
        assert refused.returncode == 3
        assert "start the server, or check host and port in CAMPAIGN_LOG" in refused.stderr
        assert env.silent


def test_a_campaign_that_began_in_a_file_does_not_begin_anew_in_a_database(
    tmp_path: Path, postgres_server: Postgres
) -> None:
    """A campaign whose log is a file is refused with a database that does not know it: all would be mailed again."""
    with on_postgres(tmp_path, postgres_server) as (env, url):
        del env.work.environment["CAMPAIGN_LOG"]
        assert env.work.run().returncode == 0
        env.work.environment["CAMPAIGN_LOG"] = url
        refused = env.work.run()
        assert refused.returncode == 2
        assert "everybody would be mailed again" in refused.stderr
        assert "move the file away if they are to be" in refused.stderr
        assert len(env.accepted) == PEOPLE


def test_a_link_that_cannot_be_answered_says_so_until_it_can(tmp_path: Path, postgres_server: Postgres) -> None:
    """While the database is away, an unsubscribe link is answered with 503 and a sentence, and afterwards as before."""
    with on_postgres(tmp_path, postgres_server) as (env, url):
        env.work.write(PEOPLE, html=HTML, more=UNSUBSCRIBE)
        process = env.work.start("serve", "campaign.toml", "--port", "0")
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        link = f"{address}/u/nobody"
        try:
            assert httpx.post(link, timeout=60, verify=NO_TLS).status_code == 200
            admit(postgres_server, url, is_admitted=False)
            end_sessions(postgres_server, url)
            answer = httpx.post(link, timeout=60, verify=NO_TLS)
            assert (answer.status_code, "not unsubscribed yet" in answer.text) == (503, True)
            admit(postgres_server, url, is_admitted=True)
            assert httpx.post(link, timeout=60, verify=NO_TLS).status_code == 200
        finally:
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        assert "is not currently accepting connections" in err
        assert_no_fault(err)
