"""`campaign watch`: new rows and changed files are taken up, and nothing else disturbs what is sent."""

from __future__ import annotations

import json
import resource
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from support.environment import environment
from support.fork_server import ForkingWorkspace
from support.refusals import refused
from support.servers.clerk_script import ClerkScript, Users
from support.servers.script import Delay, Fault, Reply, Silence
from support.servers.smtp_script import SmtpScript
from support.watching import csv_of, replace, watching
from support.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.environment import Environment

LIMITS = '[limits]\nconnections = 4\ntokens = "1000/second"\n'
HALF = csv_of(range(3)) + "user_3,u3@d3.exam"


@contextmanager
def two_campaigns(folder: Path, people: int, *, limits: str = "") -> Iterator[Environment]:
    """Yield the campaign `trial` and, in the folder `other`, the campaign `other`, whose CSV has one person."""
    (folder / "everybody.csv").write_text(csv_of(range(1000)), encoding="utf-8")
    clerk = ClerkScript(users=Users(csv=str(folder / "everybody.csv")))
    with environment(folder, people, clerk=clerk, more=LIMITS + limits) as env:
        (folder / "other").mkdir()
        other = Workspace(folder / "other").write(1, more=LIMITS)
        other.file.write_text(other.file.read_text(encoding="utf-8").replace('"trial"', '"other"'), encoding="utf-8")
        (other.folder / "people.csv").write_text(csv_of(range(900, 901)), encoding="utf-8")
        yield env


def test_whole_files_are_taken_up_and_wrong_ones_are_said(tmp_path: Path) -> None:
    """New rows are mailed once; a half-written CSV, a broken file and a vanished folder leave all as it was."""
    with (
        two_campaigns(tmp_path, 3) as env,
        watching(env.work, "campaign.toml", "other/campaign.toml", "--yes") as watch,
    ):
        first = [f"u{number}@d{number}.example" for number in range(3)] + ["u900@d0.example"]
        watch.until(lambda: env.mailed == first)
        # a half-written CSV is not read, though the other campaign's, which came later, is
        replace(tmp_path / "people.csv", HALF)
        replace(tmp_path / "other/people.csv", csv_of(range(900, 902)))
        watch.until(lambda: "u901@d1.example" in env.mailed)
        assert len(env.accepted) == 5
        replace(tmp_path / "people.csv", csv_of(range(4)))
        watch.until(lambda: "u3@d3.example" in env.mailed)
        # a broken campaign file is said, and the campaign goes on as it was
        good = env.work.file.read_text(encoding="utf-8")
        replace(env.work.file, good.replace("subject", "subjekt"))
        watch.until(lambda: watch.events("refused", "trial"))
        assert "did you mean" in watch.events("refused", "trial")[0]["message"]
        replace(tmp_path / "people.csv", csv_of(range(5)))
        watch.until(lambda: "u4@d4.example" in env.mailed)
        assert env.accepted[-1]["subject"] == "Hello Name 4"
        # another name would mail everybody again
        replace(env.work.file, good.replace('"trial"', '"other"'))
        watch.until(lambda: len(watch.events("refused", "trial")) > 1)
        assert "as that of" in watch.events("refused", "trial")[1]["message"]
        replace(env.work.file, good.replace("Hello {{", "Welcome {{"))
        watch.until(lambda: len(watch.events("loaded", "trial")) == 2)
        # a CSV that is missing is said once, and nobody has left it
        (tmp_path / "other").rename(tmp_path / "aside")
        watch.until(lambda: watch.events("failed", "other"))
        replace(tmp_path / "people.csv", csv_of(range(6)))
        watch.until(lambda: "u5@d0.example" in env.mailed)
        assert env.accepted[-1]["subject"] == "Welcome Name 5"
        (tmp_path / "aside").rename(tmp_path / "other")
        watch.until(lambda: watch.events("works", "other"))
        assert watch.stop() == 0
        assert len(watch.events("failed")) == 1
        assert "@" not in watch.told
        assert len(set(env.mailed)) == len(env.mailed) == 8
        status = env.work.campaign("status", "other/campaign.toml", "--json").stdout
        assert '"sent": 2' in status, "no row of the CSV was taken for one that has left it"


def test_a_reminder_does_not_wait_for_a_long_campaign(tmp_path: Path) -> None:
    """Under one rate a campaign of one row is sent beside one of hundreds; `status` and a second run see the watch."""
    with (
        two_campaigns(tmp_path, 400, limits='messages = "40/second"\n') as env,
        watching(env.work, "campaign.toml", "other/campaign.toml", "--yes") as watch,
    ):
        watch.until(lambda: "u900@d0.example" in env.mailed)
        watch.until(lambda: len(env.accepted) > 20)
        assert len(env.accepted) < 200
        replace(tmp_path / "other/people.csv", csv_of(range(900, 902)))
        watch.until(lambda: "u901@d1.example" in env.mailed)
        refused(env.work.run(), "campaign watch", "campaign status", code=75)
        assert env.work.status()["sent"] < 400
        assert watch.stop() == 0, "what is in hand is finished, the rest stays"
        assert watch.process.stdout is not None
        told = watch.process.stdout.read()
        assert (
            "[limits] messages is not the same in all campaigns: 40/second holds for all of them, so also for" in told
        )
        assert "trial: 400 emails due now, from Acme <hello@acme.example> through 127.0.0.1" in told
        sent = len(env.accepted)
        assert 20 < sent < 402
        instants = [event["t"] for event in env.accepted]
        assert all(late - early > 0.9 for early, late in zip(instants, instants[41:], strict=False)), "one rate"
        status = env.work.status()
        assert (status["sent"] + 2, status["sending"], status["issuing"]) == (sent, 0, 0)


@pytest.mark.long
def test_a_watch_that_was_killed_goes_on(tmp_path: Path) -> None:
    """After kill -9 the next watch mails the rest, nobody twice, and the checker finds nothing to complain about."""
    slow = SmtpScript(faults=(Fault("dot", Delay(0.03)),))
    with environment(tmp_path, 60, smtp=slow, more=LIMITS) as env:
        for number in (10, 25):
            with watching(env.work, "campaign.toml", "--yes") as watch:
                watch.until(lambda least=number: len(env.accepted) > least)  # type: ignore[misc]
                watch.process.kill()
                watch.process.wait()
        with watching(env.work, "campaign.toml", "--yes") as watch:
            watch.until(lambda: sum(env.work.status()[state] for state in ("sent", "uncertain")) == 60, every=0.3)
            assert watch.stop() == 0
        verdict = env.verdict()
        assert verdict.holds, verdict.table()
        assert verdict.states["uncertain"] <= 8, "only what was in hand"


@pytest.mark.long
def test_a_full_disk_is_waited_for(tmp_path: Path) -> None:
    """While the send log cannot be written nothing is sent, and the watch goes on when there is room again."""
    slow = SmtpScript(faults=(Fault("dot", Delay(0.05)),))
    with (
        environment(tmp_path, 100, smtp=slow, more=LIMITS) as env,
        watching(env.work, "campaign.toml", "--yes") as watch,
    ):
        watch.until(lambda: len(env.accepted) > 5)
        log = env.work.log.with_name("send-log.db-wal")
        resource.prlimit(watch.process.pid, resource.RLIMIT_FSIZE, (log.stat().st_size, resource.RLIM_INFINITY))
        watch.until(lambda: watch.events("failed", "trial"))
        stopped_at = len(env.accepted)
        assert "nothing is sent meanwhile" in watch.events("failed", "trial")[0]["message"]
        watch.until(lambda: env.work.status()["recipients"] == 100, every=0.3)
        assert len(env.accepted) == stopped_at < 100
        resource.prlimit(watch.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        watch.until(lambda: sum(env.work.status()[state] for state in ("sent", "uncertain")) == 100, every=0.3)
        assert watch.events("works", "trial")
        assert watch.stop() == 0
        verdict = env.verdict()
        assert verdict.holds, verdict.table()


@pytest.mark.long
def test_a_refusing_service_is_tried_again(tmp_path: Path) -> None:
    """A login that is refused lets the campaigns rest, once said, and the mail goes out when it is accepted again."""
    refuses = SmtpScript(faults=(Fault("auth", Reply("535 5.7.8 No"), times=1),), credentials=("acme", "secret"))
    with (
        environment(tmp_path, 3, smtp=refuses, more=LIMITS) as env,
        watching(env.work, "campaign.toml", "--yes") as watch,
    ):
        watch.until(lambda: watch.events("failed", "trial"))
        assert "535" in watch.events("failed", "trial")[0]["message"]
        assert env.accepted == []
        watch.until(lambda: len(env.accepted) == 3)
        watch.until(lambda: watch.events("works", "trial"))
        assert watch.stop() == 0


def test_two_signals_stop_at_once(tmp_path: Path) -> None:
    """The second signal leaves a row at its final dot uncertain, and ends with 130."""
    with (
        environment(tmp_path, 3, smtp=SmtpScript(faults=(Fault("dot", Silence()),)), more=LIMITS) as env,
        watching(env.work, "campaign.toml", "--yes") as watch,
    ):
        watch.until(lambda: len(env.smtp.events("dot")) == 3)
        watch.process.send_signal(signal.SIGINT)
        watch.until(lambda: watch.events("stopping"))
        assert watch.stop(signal.SIGINT) == 130
        assert env.work.status()["uncertain"] == 3


@pytest.mark.long
def test_days_pass_in_seconds_in_the_sandbox(tmp_path: Path) -> None:
    """Without settings a watch uses the sandbox, where reminders of the next day come with `--speed`."""
    work = ForkingWorkspace(tmp_path)
    assert work.campaign("new", "carts", "--like", "cart").returncode == 0
    with watching(work, "carts/campaign.toml", "--speed", "36000x") as watch:
        watch.until(lambda: sum(event["counts"].get("sent", 0) for event in watch.events("cycle", "carts")) == 12)
        assert watch.stop() == 0
    status = json.loads(work.campaign("status", "carts/campaign.toml", "--json").stdout)
    assert {name: counts["sent"] for name, counts in status["steps"].items()} == {"first": 6, "second": 6}
    assert len(list((tmp_path / ".campaign/mail/new").iterdir())) == 12


def test_what_cannot_be_watched_is_refused(tmp_path: Path) -> None:
    """Two files of one name, a missing file, and logs that differ or are away are refused; nothing is sent."""
    with two_campaigns(tmp_path, 2) as env:
        (tmp_path / "same").mkdir()
        same = Workspace(tmp_path / "same").write(1)
        refused(env.work.campaign("watch", "campaign.toml", str(same.file), "--yes"), "'trial'", "another name", code=2)
        refused(env.work.campaign("watch", "campaign.toml", "none.toml", "--yes"), "none.toml", code=2)
        refused(env.work.campaign("watch", "campaign.toml"), "--yes", code=2)
        del env.work.environment["CAMPAIGN_LOG"]
        found = env.work.campaign("watch", "campaign.toml", "other/campaign.toml", "--yes")
        refused(found, "different send logs", "CAMPAIGN_LOG", code=2)
        env.work.environment["CAMPAIGN_LOG"] = "postgresql://nobody@127.0.0.1:9/campaign"
        refused(env.work.campaign("watch", "campaign.toml", "--yes"), "start the server", "CAMPAIGN_LOG", code=3)
        assert env.silent
