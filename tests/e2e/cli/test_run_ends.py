"""How runs that share a log in PostgreSQL end: they wait for each other's rows, and say so."""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from campaign.config.postgres_url import parse_postgres_url
from campaign.sendlog import workers_of
from support.environment import environment, wait_for
from support.servers.script import Delay, Fault
from support.servers.smtp_script import SmtpScript

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from support.environment import Environment
    from support.servers.postgres import Postgres

PEOPLE = 12
FEW = '[limits]\nconnections = 4\ntokens = "1000/second"\n'


@contextmanager
def shared(folder: Path, server: Postgres, delay: Delay, *, people: int = PEOPLE) -> Iterator[Environment]:
    """Yield a campaign with its log in a database, whose mail server takes its time at each final dot."""
    url = server.fresh()
    with environment(folder, people, smtp=SmtpScript(faults=(Fault("dot", delay),)), more=FEW) as env:
        # a lease of half a minute, and a beat every 3.5 seconds
        env.work.environment |= {"CAMPAIGN_LOG": url, "CAMPAIGN_REPLY_TIMEOUT": "20s"}
        yield env
    server.drop(url)


@pytest.fixture
def env(tmp_path: Path, postgres_server: Postgres) -> Iterator[Environment]:
    with shared(tmp_path, postgres_server, Delay(0.2)) as found:
        yield found


def begin(env: Environment) -> subprocess.Popen[str]:
    """Start a run and return it, stopped (SIGSTOP), when it has all rows of the CSV in hand."""
    run = env.work.start("run", "campaign.toml", "--yes")
    wait_for(lambda: env.smtp.events("data"), run)
    run.send_signal(signal.SIGSTOP)
    return run


def begin_second(env: Environment) -> subprocess.Popen[str]:
    """Start another run, and return it when it waits for the first one's rows."""
    run = env.work.start("run", "campaign.toml", "--yes")
    assert run.stdout is not None
    line = next(line for line in run.stdout if line.startswith("Waiting"))
    assert "of this CSV in hand; see them with: campaign workers." in line
    return run


@pytest.mark.long
def test_a_run_ends_when_the_rows_of_the_others_are_sent(env: Environment) -> None:
    """A run that finds all rows in another one's hands waits for them, and both end with 0: the campaign is done."""
    first = begin(env)
    second = begin_second(env)
    first.send_signal(signal.SIGCONT)
    assert [run.wait(60) for run in (first, second)] == [0, 0]
    assert len(env.mailed) == len(set(env.mailed)) == env.work.status()["sent"] == PEOPLE


@pytest.mark.long
def test_a_run_goes_on_with_the_rows_of_one_that_was_killed(env: Environment) -> None:
    """A run that waits for another's rows sends those that the other, killed, had not begun."""
    first = begin(env)
    second = begin_second(env)
    first.kill()
    first.wait()
    out, err = second.communicate(timeout=60)
    assert "its rows are recovered" in out, (out, err)
    status = env.work.status()
    assert second.returncode == (1 if status["uncertain"] else 0), (out, err)
    assert status["sent"] + status["uncertain"] == PEOPLE
    assert status["uncertain"] <= 4, "at most one for each connection"
    assert len(env.mailed) == len(set(env.mailed))


def test_a_signal_ends_the_wait_for_the_others(env: Environment) -> None:
    """SIGTERM ends a run at once that waits for another one's rows, and it says what it waited for."""
    first = begin(env)
    second = begin_second(env)
    asked = time.monotonic()
    second.send_signal(signal.SIGTERM)
    out, err = second.communicate(timeout=60)
    assert time.monotonic() - asked < 10, "less than the wait"
    assert second.returncode == 130, err
    assert "The run was waiting: other runs have" in out
    first.send_signal(signal.SIGCONT)
    assert first.wait(60) == 0


@pytest.mark.long
def test_a_run_that_does_not_wait_ends_with_1_beside_another(env: Environment) -> None:
    """With --no-wait a run leaves the rows in the hands of others, says so, and ends with 1: they are not sent yet."""
    first = begin(env)
    second = env.work.run("--no-wait")
    assert second.returncode == 1, second.stderr
    assert "rows of this CSV in hand" in second.stdout
    first.send_signal(signal.SIGCONT)
    assert first.wait(60) == 0


def test_a_run_that_is_to_stop_leaves_its_rows_to_others(tmp_path: Path, postgres_server: Postgres) -> None:
    """After the first signal a run ends in `campaign workers`, and others can have what it has not begun."""
    seen = tmp_path / "seen"
    with shared(tmp_path, postgres_server, Delay(0.0, until=str(seen)), people=90) as env:
        log = parse_postgres_url(env.work.environment["CAMPAIGN_LOG"])
        run = env.work.start("run", "campaign.toml", "--yes")
        wait_for(lambda: env.smtp.events("data"), run)
        run.send_signal(signal.SIGTERM)
        wait_for(lambda: [each for each in workers_of(log) or () if each.is_draining], run)
        [shown] = workers_of(log) or []
        assert shown.sending > 0, "it finishes what it has begun"
        assert shown.queued + shown.issuing + shown.sending < 60, "others can have the rest at once"
        seen.touch()
        assert run.wait(60) == 130
