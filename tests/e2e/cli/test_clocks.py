"""Machines whose clocks are minutes apart, with one log in PostgreSQL: the times are those of its server."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

from support.environment import environment
from support.fork_server import CLOCK_AHEAD_S

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from support.environment import Environment
    from support.servers.postgres import Postgres

MINUTES = 10
#: Two people are due in five minutes, two were due five minutes ago.
SCHEDULE = '[schedule]\ndue = "due"\ndefault_zone = "UTC"\n'


@pytest.fixture
def env(tmp_path: Path, postgres_server: Postgres) -> Iterator[Environment]:
    url = postgres_server.fresh()
    now = datetime.now(UTC)
    people = [
        {"user_id": f"user_{n}", "email": f"u{n}@d.example", "first_name": "Ada", "due": (now + due).isoformat()}
        for n, due in enumerate([timedelta(minutes=5), timedelta(minutes=-5)] * 2)
    ]
    with environment(tmp_path, people, more=SCHEDULE) as found:
        found.work.environment["CAMPAIGN_LOG"] = url
        yield found
    postgres_server.drop(url)


def on_a_machine(env: Environment, *arguments: str, ahead_s: float) -> subprocess.CompletedProcess[str]:
    """Run the program to its end where the clock is wrong."""
    env.work.environment[CLOCK_AHEAD_S] = str(ahead_s)
    return env.work.campaign(*arguments, timeout=60)


@pytest.mark.parametrize("minutes", [MINUTES, -MINUTES])
def test_due_times_are_by_the_clock_of_the_log(env: Environment, minutes: int) -> None:
    """A machine ten minutes ahead sends nothing early, one ten minutes behind holds nothing back; both say so."""
    began = time.time()
    done = on_a_machine(env, "run", "campaign.toml", "--yes", "--no-wait", ahead_s=minutes * 60)
    assert done.returncode == 0, done.stderr
    assert env.mailed == ["u1@d.example", "u3@d.example"]
    where = "ahead of" if minutes > 0 else "behind"
    assert f"This machine's clock is 600 seconds {where} that of the send log's server" in done.stdout
    assert done.stdout.count("timedatectl") == 1
    with psycopg.connect(env.work.environment["CAMPAIGN_LOG"]) as log:
        times = [
            *log.execute("SELECT at FROM campaign.history UNION SELECT sent_at FROM campaign.delivery").fetchall(),
            *log.execute("SELECT token_expires_at - 48 * 3600 FROM campaign.delivery").fetchall(),
        ]
    assert [at for (at,) in times if at and not began - 2 < at < time.time() + 2] == []


def test_commands_write_the_time_of_the_log(env: Environment) -> None:
    """A suppression that a machine with a wrong clock writes has the time of the log's server."""
    assert on_a_machine(env, "suppress", "add", "u1@d.example", ahead_s=MINUTES * 60).returncode == 0
    with psycopg.connect(env.work.environment["CAMPAIGN_LOG"]) as log:
        [[at]] = log.execute("SELECT at FROM campaign.suppression").fetchall()
    assert abs(at - time.time()) < 10
