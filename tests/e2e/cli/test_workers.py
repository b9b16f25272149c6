"""`campaign run` by two processes on one log in PostgreSQL, and `campaign workers` beside them."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest

from campaign.config.postgres_url import parse_postgres_url
from campaign.sendlog import workers_of
from support import ROOT
from support.crash.records import read_states
from support.crash.scenario import Scenario
from support.crash.sender import Sender
from support.servers.background import ServerProcess
from support.servers.script import Delay, Fault
from support.servers.smtp import smtp_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.servers.postgres import Postgres

_PEOPLE = 220


@pytest.fixture
def senders(postgres_server: Postgres, tmp_path: Path) -> Iterator[list[Sender]]:
    """Yield two starters of the program in one campaign's folder, with the same servers."""
    url = postgres_server.fresh()
    records = tmp_path / "records"
    records.mkdir()
    scenario = Scenario(
        recipients=_PEOPLE,
        trouble=0.0,
        verify=False,
        witness=False,
        certain=(Fault("dot", Delay(0.0, until="seen"), times=20),),
    )
    script = scenario.smtp(url, password="secret")
    campaign = scenario.write(tmp_path)
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
    clerk_script = scenario.clerk(tmp_path / "people.csv", key="sk_test_0")
    with ServerProcess("smtp", script, records) as smtp, ServerProcess("clerk", clerk_script, records) as clerk:
        yield [
            Sender(
                folder=folder,
                campaign=campaign,
                log=url,
                key="sk_test_0",
                clerk_url=f"http://127.0.0.1:{clerk.port}",
                smtp_url=smtp_url(script, smtp.port),
                environment={"CAMPAIGN_REPLY_TIMEOUT": "1m"},
            )
            for folder in folders
        ]
    postgres_server.drop(url)


def test_two_runs_share_a_campaign(senders: list[Sender], tmp_path: Path) -> None:
    """Two runs of the same CSV mail everybody once, and `campaign workers` shows both meanwhile."""
    first, second = senders
    assert isinstance(first.log, str)
    log = parse_postgres_url(first.log)
    runs = [sender.start("run", str(sender.campaign), "--yes") for sender in senders]
    _until(lambda: sum(each.sending > 0 for each in workers_of(log) or ()) == 2, first)
    shown = [json.loads(line) for line in second.ask("workers", "--json").splitlines()]
    table = second.ask("workers", str(second.campaign))
    (tmp_path / "records" / "seen").touch()
    assert [run.wait() for run in runs] == [1, 1], first.last_output() + second.last_output()
    assert [each["late"] for each in shown] == [False, False]
    assert {each["pid"] for each in shown} == {run.pid for run in runs}
    assert all(str(run.pid) in table for run in runs)
    assert "password" not in table
    accepted = [json.loads(line)["rcpt"][0] for line in _accepted(tmp_path)]
    assert len(accepted) == len(set(accepted)) == read_states(first.log)["sent"] > _PEOPLE * 0.8
    assert second.ask("workers").startswith("No run uses the send log postgresql://tester@127.0.0.1:")


@pytest.mark.long
def test_another_version_of_the_program_is_refused(senders: list[Sender], tmp_path: Path) -> None:
    """While a run uses the log, one of another version ends with a sentence and exit code 75, and changes nothing."""
    first, second = senders
    assert isinstance(first.log, str)
    log = parse_postgres_url(first.log)
    run = first.start("run", str(first.campaign), "--yes")
    _until(lambda: bool(workers_of(log)), first)
    installed = tmp_path / "other/campaign-99.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: campaign\nVersion: 99.0\n", "utf-8")
    second.command = (sys.executable, "-u", "-m", "campaign")  # not as a fork, which has the packages of its parent
    second.environment["PYTHONPATH"] = os.pathsep.join([str(installed.parent), str(ROOT)])
    other = second.start("run", str(second.campaign), "--yes")
    assert other.wait() == 75
    mixed = re.escape(f"uses the send log {log} with campaign {version('campaign')}, and this is campaign 99.0: two")
    rest = "versions must not mix. End that run first, or use the same version here"
    assert re.search(rf"process {run.pid} on \S+ {mixed} {rest}", second.last_output()), second.last_output()
    assert [each.pid for each in workers_of(log) or ()] == [run.pid]
    run.kill()
    run.wait()


def _accepted(folder: Path) -> list[str]:
    lines = (folder / "records/smtp.jsonl").read_text("utf-8").splitlines()
    return [line for line in lines if '"event": "accept"' in line]


def _until(happens: Callable[[], bool], sender: Sender) -> None:
    deadline = time.monotonic() + 60
    while not happens():
        assert time.monotonic() < deadline, sender.last_output()
        time.sleep(0.05)  # noqa: TID251 - waits for another process
