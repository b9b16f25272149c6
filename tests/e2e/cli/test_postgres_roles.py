"""The commands under the roles of deploy/postgres-roles.sql: an owner, one who runs campaigns, one who reads."""

from __future__ import annotations

import csv
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from support.environment import environment
from support.no_fault import assert_no_fault
from support.servers.postgres import NAMES

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from support.environment import Environment
    from support.servers.postgres import Postgres

PEOPLE = 12
#: With what makes a run ask most of the log: a cap for each address, which has an index of its own.
MORE = """
[limits]
connections = 2
tokens = "1000/second"
messages = "1000/second"
per_recipient = "3/day"
[unsubscribe]
url = "https://mail.acme.example/u"
list = "news"
"""
HTML = '<p><a href="{{ link }}">Sign in</a></p><p><a href="{{ unsubscribe }}">No more</a></p>'
#: Each with its exit code; in this order, and beside no run.
OF_A_WORKER = (
    (0, "results", "campaign.toml"),
    (0, "skip", "campaign.toml", "--missing"),
    (0, "suppress", "add", "u1@d1.example"),
    (0, "suppress", "remove", "u1@d1.example"),
    (0, "bounces", "campaign.toml", "mail"),
    (0, "resend", "campaign.toml", "--email", "u2@d2.example", "--yes"),
    (0, "retry", "campaign.toml"),
    (0, "resolve", "campaign.toml", "--keep"),
    (0, "revoke", "campaign.toml", "--yes"),
)
OF_A_READER = (
    (0, "status", "campaign.toml", "--json"),
    (0, "log", "campaign.toml"),
    (0, "plan", "campaign.toml"),
    (0, "report", "campaign.toml", "--html", "report.html"),
    (0, "workers"),
    (2, "run", "campaign.toml", "--yes"),
    (2, "results", "campaign.toml"),
    (2, "suppress", "add", "u1@d1.example"),
    (2, "retry", "campaign.toml"),
    (2, "revoke", "campaign.toml", "--yes"),
    (2, "migrate"),
)


@contextmanager
def with_roles(folder: Path, server: Postgres) -> Iterator[tuple[Environment, dict[str, str]]]:
    """Yield a campaign with the URL of its log for each role, in a database that has no tables yet."""
    database = server.fresh(is_empty=True).rpartition("/")[2]
    with server.admin() as connection:
        connection.execute(f"ALTER DATABASE {database} OWNER TO postgres".encode())
    server.make_roles(database)
    of = {role: f"postgresql://{name}:secret@127.0.0.1:{server.port}/{database}" for role, name in NAMES.items()}
    with environment(folder, PEOPLE, html=HTML, text=None, more=MORE) as env:
        yield env, of
    server.drop(of["owner"])


def ask(env: Environment, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command as one of the roles; it prints neither a password nor a traceback."""
    env.work.environment["CAMPAIGN_LOG"] = url
    done = env.work.campaign(*arguments)
    assert "secret@" not in done.stdout + done.stderr
    assert_no_fault(done.stderr)
    return done


@pytest.mark.long
def test_each_role_has_its_commands(tmp_path: Path, postgres_server: Postgres) -> None:
    """The owner makes the tables; a worker runs the campaign and other commands; a reader looks at it, and no more."""
    (tmp_path / "mail/new").mkdir(parents=True)
    (tmp_path / "mail/cur").mkdir()
    with with_roles(tmp_path, postgres_server) as (env, of):
        early = ask(env, of["worker"], "run", "campaign.toml", "--yes")
        assert early.returncode == 2
        assert (
            "has no tables yet, and this user may not make them (permission denied for schema campaign)" in early.stderr
        )
        assert "campaign migrate" in early.stderr
        assert ask(env, of["reader"], "status", "campaign.toml").returncode == 2
        assert env.silent

        made = ask(env, of["owner"], "migrate")
        assert (made.returncode, made.stderr) == (0, "")
        assert "has the tables of this version; runs can use it" in made.stdout
        run = ask(env, of["worker"], "run", "campaign.toml", "--yes", "--verbose", "--log-format", "json")
        assert run.returncode == 0, run.stderr
        assert len(env.mailed) == len(set(env.mailed)) == PEOPLE
        for code, *arguments in OF_A_WORKER:
            done = ask(env, of["worker"], *arguments)
            assert done.returncode == code, (arguments, done.stdout, done.stderr)
        before = ask(env, of["worker"], "log", "campaign.toml").stdout
        for code, *arguments in OF_A_READER:
            done = ask(env, of["reader"], *arguments)
            assert done.returncode == code, (arguments, done.stdout, done.stderr)
            if code:
                assert f"postgresql://{NAMES['reader']}@127.0.0.1" in done.stderr
                assert "can only be read by this user" in done.stderr
        assert ask(env, of["reader"], "log", "campaign.toml").stdout == before
        assert [row["state"] for row in csv.DictReader(before.splitlines())].count("queued") == 1, (
            "the one to send again"
        )
