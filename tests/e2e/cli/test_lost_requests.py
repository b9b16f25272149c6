"""A database that is lost at any request of a command: a sentence, or the work is done; never half of it unsaid."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from support.environment import environment
from support.no_fault import assert_no_fault
from support.servers.clerk_script import Answer, ClerkScript
from support.servers.database_proxy import DatabaseProxy
from support.servers.postgres import ROLE
from support.servers.script import Drop, Fault, Reply
from support.servers.smtp_script import SmtpScript

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from subprocess import CompletedProcess

    from support.environment import Environment
    from support.servers.postgres import Postgres

pytestmark = pytest.mark.long

#: One recipient is refused, of another the reply to the dot is lost: so that there is something to decide.
MIXED = SmtpScript(faults=(Fault("rcpt", Reply("550 5.1.1 No"), to="u1@*"), Fault("dot", Drop(done=True), to="u2@*")))
#: It revokes a token as often as it is asked, since the copies of a log ask for the same ones.
REVOKING = ClerkScript(faults=(Fault("revoke", Answer(200)),))
ADDRESSES = [f"u{number}@d{number}.example" for number in range(4)]
QUICK = '[limits]\ntokens = "1000/second"\n'
#: Each third request of a command is lost in one of two ways; each command begins with another one.
STEP = 3
READING = (
    "status campaign.toml --json",
    "log campaign.toml",
    "report campaign.toml --html report.html",
    "plan campaign.toml",
    "workers",
    "suppress list",
)
CHANGING = (
    "skip campaign.toml --key user_0",
    "skip campaign.toml --missing",
    "retry campaign.toml",
    "resolve campaign.toml --keep",
    "resolve campaign.toml --resend",
    "resend campaign.toml --email u0@d0.example --yes",
    "revoke campaign.toml --yes",
    "suppress add someone@acme.example",
    "results campaign.toml",
    "migrate",
    "log move campaign.toml --to moved.db",
)


@contextmanager
def mailed(folder: Path, server: Postgres) -> Iterator[tuple[Environment, DatabaseProxy, str]]:
    """Yield a campaign that was mailed, the proxy through which its log is reached, and the database."""
    url = server.fresh(is_empty=True)
    with environment(folder, 4, clerk=REVOKING, smtp=MIXED, more=QUICK) as env, DatabaseProxy(server.port) as proxy:
        env.work.environment["CAMPAIGN_LOG"] = url
        assert env.work.run().returncode == 1
        yield env, proxy, url.rpartition("/")[2]
    server.drop(url)


def through(proxy: DatabaseProxy, database: str) -> str:
    return f"postgresql://{ROLE}:secret@127.0.0.1:{proxy.port}/{database}"


def lose_each(
    env: Environment, proxy: DatabaseProxy, command: str, first: int, *, before: Callable[[], object] = lambda: None
) -> Iterator[CompletedProcess[str]]:
    """Run a command until it makes fewer requests than the number of the one to lose; yield the runs that lost one.

    Args:
        env: where it runs.
        proxy: loses the request.
        command: the command with its arguments.
        first: the number of the first request to lose.
        before: is called before each run.
    """
    number = first
    while True:
        before()
        proxy.lose_request(number, answered=number % 2 == 0)
        done = env.work.campaign(*command.split())
        assert_no_fault(done.stdout + done.stderr)
        if not proxy.lost:
            proxy.join()
            break
        yield done
        number += STEP
    assert number > first + STEP, "it asks the database, more than once"


def require_one_sentence(code: int, said: str) -> None:
    """Check that a command that failed names the log and the next thing to type, on one line."""
    *progress, sentence = said.rstrip("\n").split("\n")
    assert sentence.startswith("campaign: the send log postgresql://"), (code, said)
    assert not [line for line in progress if not line.startswith("Copying ")], said
    assert "secret" not in said


@pytest.mark.parametrize("command", READING)
def test_what_reads_says_so(command: str, tmp_path: Path, postgres_server: Postgres) -> None:
    """A command that only reads ends with 3 and one sentence, or with all that it was to print."""
    with mailed(tmp_path, postgres_server) as (env, proxy, database):
        whole = env.work.campaign(*command.split()).stdout
        env.work.environment["CAMPAIGN_LOG"] = through(proxy, database)
        whole = whole.replace(f":{postgres_server.port}/", f":{proxy.port}/")
        for done in lose_each(env, proxy, command, 1 + READING.index(command) % STEP):
            assert done.returncode in {0, 3}
            if done.returncode:
                require_one_sentence(done.returncode, done.stderr)
        if command in {"log campaign.toml", "suppress list"}:
            assert env.work.campaign(*command.split()).stdout == whole


@pytest.mark.parametrize("command", CHANGING)
def test_what_changes_can_be_repeated(command: str, tmp_path: Path, postgres_server: Postgres) -> None:
    """A command that changes rows says what is known of its change, and the same command again leads to the same."""
    with mailed(tmp_path, postgres_server) as (env, proxy, database):
        env.work.environment["CAMPAIGN_LOG"] = through(proxy, copy(postgres_server, database, "whole"))
        assert env.work.campaign(*command.split()).returncode in {0, 1}
        wanted = end_of(env)

        def begin_anew() -> None:
            env.work.environment["CAMPAIGN_LOG"] = through(proxy, copy(postgres_server, database, "lost"))
            (tmp_path / "moved.db").unlink(missing_ok=True)

        for done in lose_each(env, proxy, command, 1 + CHANGING.index(command) % STEP, before=begin_anew):
            if "campaign: " in done.stderr:
                assert done.returncode in {1, 3}, done.stderr
                require_one_sentence(done.returncode, done.stderr)
                env.work.campaign(*command.split())
            assert end_of(env) == wanted, done
        for end in ("whole", "lost"):
            postgres_server.drop(postgres_server.url(f"{database}_{end}"))


def test_a_run_mails_each_once(tmp_path: Path, postgres_server: Postgres) -> None:
    """A run goes on after each request that was lost, or ends before it has mailed anybody, and can be repeated."""
    ended, went_on, number = 0, 0, 1
    with DatabaseProxy(postgres_server.port) as proxy:
        while True:
            url = postgres_server.fresh(is_empty=True)
            (folder := tmp_path / str(number)).mkdir()
            with environment(folder, 4, more=QUICK) as env:
                env.work.environment["CAMPAIGN_LOG"] = through(proxy, url.rpartition("/")[2])
                proxy.lose_request(number, answered=number % 2 == 0)
                done = env.work.run()
                proxy.join()
                assert_no_fault(done.stdout + done.stderr)
                if done.returncode:
                    ended += 1
                    require_end(done)
                    assert env.silent
                    assert env.work.run().returncode == 0
                else:
                    went_on += proxy.lost
                assert (env.mailed, {row["state"] for row in env.work.rows()}) == (ADDRESSES, {"sent"}), done
            postgres_server.drop(url)
            if not proxy.lost:
                break
            number += STEP
    assert min(ended, went_on) > 5


def require_end(done: CompletedProcess[str]) -> None:
    """Check that a run that ended before it sent anything says what to do, in its last line."""
    last = done.stderr.rstrip("\n").split("\n")[-1]
    assert done.returncode in {1, 3}
    assert last.startswith("campaign: the send log postgresql://"), last
    assert "secret" not in done.stderr


def copy(server: Postgres, database: str, name: str) -> str:
    """Make a copy of a database in place of an earlier one, and return its name."""
    name = f"{database}_{name}"
    with server.admin() as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {database} OWNER {ROLE}")
    return name


def end_of(env: Environment) -> list[tuple[str, str]]:
    """Return the state of each recipient, in the log that is used now."""
    if (moved := env.work.folder / "moved.db").exists():
        env.work.environment["CAMPAIGN_LOG"] = str(moved)
    return sorted((row["key"], row["state"]) for row in env.work.rows())
