"""`campaign log move`: an interrupted campaign goes on in PostgreSQL and comes back, and nobody has two mails."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest

from support.environment import environment, wait_for
from support.fork_server import ForkingWorkspace
from support.sendlog_helpers import enlist, opened, people
from support.servers.script import Delay, Fault
from support.servers.smtp_script import SmtpScript

if TYPE_CHECKING:
    from pathlib import Path

    from support.servers.postgres import Postgres

PEOPLE = 40
FEW = '[limits]\nconnections = 4\ntokens = "1000/second"\n'
SLOW = SmtpScript(faults=(Fault("dot", Delay(0.1)),))


@pytest.mark.long
def test_a_campaign_goes_on_where_its_log_was_moved(tmp_path: Path, postgres_server: Postgres) -> None:
    """Moved after kill -9, and back after a batch, a campaign mails exactly the rest; the old log refuses each run."""
    url = postgres_server.fresh(is_empty=True)
    with environment(tmp_path, PEOPLE, smtp=SLOW, more=FEW) as env:
        process = env.work.start("run", "campaign.toml", "--yes")
        wait_for(lambda: len(env.accepted) >= 8, process)
        process.send_signal(signal.SIGSTOP)
        held = env.work.campaign("log", "move", "--to", url)
        assert (held.returncode, held.stdout) == (75, "")
        assert "another run uses the send log" in held.stderr
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)

        moved = env.work.campaign("log", "move", "--to", url)
        assert moved.returncode == 0, moved.stderr
        assert ["delivery", str(PEOPLE)] in [line.split()[:2] for line in moved.stdout.splitlines()]
        assert "both have the same rows, compared table by table" in moved.stdout
        assert "secret@" not in moved.stdout + moved.stderr, "the password is in no output"
        again = env.work.campaign("log", "move", "--to", url)
        assert (again.returncode, "has the same rows already" in again.stdout) == (0, True), again.stderr
        assert_refused(env.work, "was moved to postgresql://tester@127.0.0.1")

        file, env.work.environment["CAMPAIGN_LOG"] = env.work.environment["CAMPAIGN_LOG"], url
        batch = env.work.run("--limit", "10")
        assert batch.returncode in {0, 1}, batch.stderr
        counts = env.work.status()
        assert 0 < counts["queued"] < PEOPLE - 8
        assert counts["issuing"] + counts["sending"] == 0
        back = env.work.campaign("log", "move", "--to", file)
        assert back.returncode == 0, back.stderr
        assert_refused(env.work, f"was moved to {file}")

        env.work.environment["CAMPAIGN_LOG"] = file
        assert env.work.run().returncode in {0, 1}
        rows = env.work.rows()
        uncertain = {row["email"] for row in rows if row["state"] == "uncertain"}
        assert len(uncertain) <= 4, "at most one for each connection"
        assert {row["email"] for row in rows if row["state"] == "sent"} == set(env.mailed) - uncertain
        assert len(set(env.mailed) | uncertain) == len(rows) == PEOPLE
        assert len(env.mailed) == len(set(env.mailed)), "nobody has two mails"
    postgres_server.drop(url)


def assert_refused(work: ForkingWorkspace, why: str) -> None:
    """Check that a run of the old log says why it sends nothing, and `status` whose counts it shows."""
    refused = work.run()
    assert refused.returncode == 2, refused.stdout
    assert why in refused.stderr
    assert "set CAMPAIGN_LOG to that" in refused.stderr
    shown = work.campaign("status")
    assert (shown.returncode, "These are the counts of then" in shown.stdout) == (0, True)
    assert why in shown.stdout
    told = json.loads(work.campaign("status", "--json").stdout)["moved_to"]
    assert f"was moved to {told}" in shown.stdout
    for command in (
        ["status", "--json"], ["workers", "--json"], ["workers"], ["log", "campaign.toml"], ["plan", "campaign.toml"],
        ["report", "campaign.toml", "--html", "report.html"],
    ):  # fmt: skip
        also = work.campaign(*command)
        assert (also.returncode, "What is shown is of then: the send log" in also.stderr) == (0, True), also.stderr
        assert why in also.stderr
    assert "What is shown is of then" in (work.folder / "report.html").read_text("utf-8")


def test_a_log_is_that_of_the_campaign_file(tmp_path: Path) -> None:
    """With FILE its log and its `.env` count, from any folder; what is wrong is a sentence, and nothing is changed."""
    campaign, elsewhere = ForkingWorkspace(tmp_path / "a"), ForkingWorkspace(tmp_path / "b")
    for each in (campaign, elsewhere):
        each.folder.mkdir()
    campaign.write(3, link=False)
    missing = elsewhere.campaign("log", "move", "../a/campaign.toml", "--to", "log.db")
    assert (missing.returncode, "the send log ../a/send-log.db does not exist" in missing.stderr) == (2, True)
    (campaign.folder / ".env").write_text("CAMPAIGN_LOG=kept.db\n", encoding="utf-8")
    assert campaign.campaign("suppress", "add", "a@example.com").returncode == 0
    moved = elsewhere.campaign("log", "move", "../a/campaign.toml", "--to", "log.db")
    assert moved.returncode == 0, moved.stderr
    assert "\nsuppression  " in moved.stdout
    refused = campaign.campaign("suppress", "add", "b@example.com")
    assert (refused.returncode, f"was moved to {elsewhere.folder / 'log.db'}" in refused.stderr) == (2, True)
    elsewhere.environment["CAMPAIGN_LOG"] = "log.db"
    for target, said in (
        ("none/log.db", "folder none"),
        ("../a/campaign.toml", "is not a send log"),
        ("x://y", "--to:"),
    ):
        wrong = elsewhere.campaign("log", "move", "--to", target)
        assert (wrong.returncode, said in wrong.stderr, "CAMPAIGN_LOG" in wrong.stderr) == (2, True, False), (
            wrong.stderr
        )
    assert elsewhere.campaign("suppress", "add", "b@example.com").returncode == 0


def test_a_campaign_file_keeps_its_command(tmp_path: Path) -> None:
    """`campaign log FILE` is what it was, also with options before FILE and for a file that is named `move`."""
    work = ForkingWorkspace(tmp_path).write(3, link=False)
    with opened(work.log) as log:
        enlist(log, people(3))
    shown = work.campaign("log", "--format", "jsonl", "campaign.toml")
    assert len(shown.stdout.splitlines()) == 3
    work.file.rename(tmp_path / "move")
    assert work.campaign("log", "./move", "--format", "jsonl").stdout == shown.stdout
    assert "campaign log move --to LOCATION" in work.campaign("log", "--help").stdout
    assert "--to LOCATION" in work.campaign("log", "move", "--help").stdout
