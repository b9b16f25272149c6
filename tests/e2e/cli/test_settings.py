"""Settings that contradict each other and unusable send logs: refused with an error, and nothing sent."""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from support.environment import environment, wait_for
from support.no_fault import assert_no_fault
from support.refusals import refused, stranger_to
from support.servers.script import Delay, Fault, Reply
from support.servers.smtp_script import SmtpScript

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from support.environment import Environment
    from support.fork_server import ForkingWorkspace

LIVE = "sk_live_" + "x" * 40

#: The variables to change (None: not set), how the run is started, and what the error must contain.
MATRIX: dict[str, tuple[dict[str, str | None], tuple[str, ...], tuple[str, ...]]] = {
    "only the key": ({"CAMPAIGN_SMTP_URL": None}, (), ("CAMPAIGN_SMTP_URL is not set", "sandbox")),
    "only the mail server": (
        {"CLERK_SECRET_KEY": None},
        (),
        ("CLERK_SECRET_KEY is not set", "its link would not work"),
    ),
    "a live key in the sandbox": ({"CLERK_SECRET_KEY": LIVE}, ("--sandbox",), ("CLERK_SECRET_KEY", "--sandbox")),
    "a live key alone in the sandbox": (
        {"CLERK_SECRET_KEY": LIVE, "CAMPAIGN_SMTP_URL": None},
        ("--sandbox",),
        ("CLERK_SECRET_KEY", "live key"),
    ),
    "a live key alone": ({"CLERK_SECRET_KEY": LIVE, "CAMPAIGN_SMTP_URL": None}, (), ("CAMPAIGN_SMTP_URL is not set",)),
    "a key that is none": ({"CLERK_SECRET_KEY": "pk_test_mistaken"}, (), ("CLERK_SECRET_KEY", "sk_live_")),
    "Clerk in clear": ({"CLERK_API_URL": "http://api.acme.example"}, (), ("CLERK_API_URL", "https://")),
    "Clerk at a folder": ({"CLERK_API_URL": "https://api.acme.example/v2"}, (), ("CLERK_API_URL", "/v1")),
    "Clerk with no scheme": ({"CLERK_API_URL": "api.acme.example"}, (), ("CLERK_API_URL", "https://api.clerk.com")),
    "mail in clear": (
        {"CAMPAIGN_SMTP_URL": "smtp://u:p@mail.acme.example:587?tls=none"},
        (),
        ("CAMPAIGN_SMTP_URL", "tls=none", "leave it out"),
    ),
    "mail in clear to a name that says loopback": (
        {"CAMPAIGN_SMTP_URL": "smtp://127.0.0.1.acme.example:25?tls=none"},
        (),
        ("CAMPAIGN_SMTP_URL", "tls=none"),
    ),
    "a mail server with no scheme": (
        {"CAMPAIGN_SMTP_URL": "mail.acme.example:587"},
        (),
        ("CAMPAIGN_SMTP_URL", "smtp://user:password@"),
    ),
    "a mail server with half a login": (
        {"CAMPAIGN_SMTP_URL": "smtp://hunter2@mail.acme.example"},
        (),
        ("CAMPAIGN_SMTP_URL", "a user and a password"),
    ),
    "a password with a slash": (
        {"CAMPAIGN_SMTP_URL": "smtp://acme:hunter2/7@mail.acme.example:587"},
        (),
        ("CAMPAIGN_SMTP_URL", "%2F"),
    ),
    "a folder that does not exist": ({"CAMPAIGN_LOG": "no/such/log.db"}, (), ("no/such", "CAMPAIGN_LOG")),
    "a folder for a log": ({"CAMPAIGN_LOG": "."}, (), ("not a file", "CAMPAIGN_LOG")),
}


def set_to(work: ForkingWorkspace, settings: dict[str, str | None]) -> None:
    """Change the environment of a workspace."""
    for name, value in settings.items():
        if value is None:
            del work.environment[name]
        else:
            work.environment[name] = value


@pytest.mark.parametrize(("settings", "options", "words"), MATRIX.values(), ids=MATRIX)
def test_settings_that_do_not_fit_are_refused(
    tmp_path: Path, settings: dict[str, str | None], options: tuple[str, ...], words: tuple[str, ...]
) -> None:
    """Wrong or contradictory settings give one error that names them, before anything is created."""
    with environment(tmp_path) as env:
        before = sorted(tmp_path.rglob("*"))
        set_to(env.work, settings)
        said = refused(env.work.run(*options), *words)
        for secret in ("hunter2", "mistaken", "x" * 40):
            assert secret not in said
        assert env.silent
        assert sorted(tmp_path.rglob("*")) == before


def test_all_wrong_settings_are_told_at_once(tmp_path: Path) -> None:
    """Two wrong settings are reported at once, on two lines."""
    with environment(tmp_path) as env:
        set_to(env.work, {"CLERK_SECRET_KEY": "secret", "CAMPAIGN_SMTP_URL": "mail.acme.example"})
        done = env.work.run()
        assert done.returncode == 2
        assert [line.partition(": it")[0] for line in done.stderr.splitlines()][1] == "CAMPAIGN_SMTP_URL"
        assert done.stderr.startswith("campaign: CLERK_SECRET_KEY:")


def test_a_dotenv_file_holds_settings_and_the_environment_wins(tmp_path: Path) -> None:
    """Settings in `.env` of the working directory are read, and those of the environment win."""
    with environment(tmp_path) as env:
        moved = {name: env.work.environment.pop(name) for name in ("CLERK_SECRET_KEY", "CAMPAIGN_SMTP_URL")}
        (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in moved.items()), "utf-8")
        assert env.work.run("--limit", "1").returncode == 0
        assert len(env.accepted) == 1
        set_to(env.work, {"CAMPAIGN_SMTP_URL": "mail.acme.example"})
        refused(env.work.run(), "CAMPAIGN_SMTP_URL")


def test_a_campaign_without_links_needs_no_key(tmp_path: Path) -> None:
    """Without [link] only the mail server is needed, and Clerk gets no request."""
    with environment(tmp_path, link=False) as env:
        set_to(env.work, {"CLERK_SECRET_KEY": None})
        assert env.work.run().returncode == 0
        assert len(env.accepted) == 3
        assert not env.clerk.events()


def test_real_mail_waits_for_a_yes(tmp_path: Path) -> None:
    """Without a terminal a real run is refused unless `--yes` is given, and a sandbox run needs no `--yes`."""
    with environment(tmp_path) as env:
        refused(env.work.campaign("run", "campaign.toml"), "--yes")
        assert env.silent
        assert not env.work.log.exists()
    alone = tmp_path / "alone"
    alone.mkdir()
    assert stranger_to(alone).campaign("run", "campaign.toml").returncode == 0


def make_stranger(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE orders (id)")
        database.commit()


def make_newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA application_id = 1128353104")  # "CAMP"
        database.execute("PRAGMA user_version = 99")
        database.execute("CREATE TABLE delivery (shape_of_tomorrow)")
        database.commit()


LOGS = {
    "a text file": (lambda path: path.write_text("Dear diary,\n" * 1000, encoding="utf-8"), "not a send log"),
    "another database": (make_stranger, "not a send log"),
    "a log of a newer version": (make_newer, "newer version"),
    "a link to somewhere": (lambda path: path.symlink_to(path.with_name("people.csv")), "symbolic link"),
}


@pytest.mark.parametrize(("make", "words"), LOGS.values(), ids=LOGS)
def test_a_file_that_is_no_send_log_is_left_as_it_is(tmp_path: Path, make: object, words: str) -> None:
    """Every command that opens a log refuses another program's file and leaves it unchanged byte for byte."""
    with environment(tmp_path) as env:
        assert callable(make)
        make(env.work.log)
        before = hashlib.sha256(env.work.log.read_bytes()).digest()
        for command in (
            ("run", "--yes"),
            ("status",),
            ("log",),
            ("retry",),
            ("resolve", "--keep"),
            ("revoke", "--yes"),
        ):
            done = env.work.campaign(command[0], "campaign.toml", *command[1:])
            refused(done, str(env.work.log), words)
        assert hashlib.sha256(env.work.log.read_bytes()).digest() == before
        assert env.silent


def test_a_log_that_is_damaged_is_refused(tmp_path: Path) -> None:
    """A log with damaged pages is refused with an error, and no recipient is mailed a second time."""
    with environment(tmp_path, 200, link=False) as env:
        assert env.work.run("--limit", "5").returncode == 0
        whole = env.work.log.read_bytes()
        env.work.log.write_bytes(whole[:4096] + os.urandom(len(whole) - 4096))
        refused(env.work.run(), str(env.work.log), "backup")
        assert len(env.accepted) == 5


class Patience(threading.Thread):
    """Waits in a thread until a process ends, and records how long that took and its output."""

    def __init__(self, env: Environment, process: subprocess.Popen[str]) -> None:
        super().__init__()
        self.stage = env
        self.process = process
        self.began = time.monotonic()

    def run(self) -> None:
        """Wait for the end of the process."""
        self.out, self.err = self.process.communicate()
        self.took = time.monotonic() - self.began


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patience]:
    """A run whose log another program has locked."""
    with environment(tmp_path_factory.mktemp("locked"), link=False) as env:
        assert env.work.run("--limit", "1").returncode == 0
        with closing(sqlite3.connect(env.work.log, isolation_level=None)) as backup:
            backup.execute("PRAGMA locking_mode = EXCLUSIVE")
            backup.execute("BEGIN EXCLUSIVE")
            patience = Patience(env, env.work.start("run", "campaign.toml", "--yes"))
            patience.start()
            yield patience
            patience.process.kill()
            patience.join()


@pytest.fixture(autouse=True)
def _meanwhile(locked: Patience) -> None:
    """Start the run of `locked` before the first test of this file, so that it waits beside the others."""


def test_a_second_run_on_the_same_log_exits_75(tmp_path: Path) -> None:
    """While one run uses a log another exits 75 and changes nothing, `status` can read it, and the first finishes."""
    slow = SmtpScript(faults=(Fault("dot", Delay(0.5)),))
    with environment(tmp_path, 2, smtp=slow) as env:
        first = env.work.start("run", "campaign.toml", "--yes")
        wait_for(lambda: env.smtp.events("data"), first)
        first.send_signal(signal.SIGSTOP)  # so that it still runs when the other commands have ended
        for command in (("run", "--yes"), ("retry",), ("resolve", "--keep"), ("revoke", "--yes")):
            refused(env.work.campaign(command[0], "campaign.toml", *command[1:]), "another run", "status", code=75)
        assert env.work.status()["recipients"] == 2
        first.send_signal(signal.SIGCONT)
        first.communicate(timeout=60)
        assert first.returncode == 0
        assert env.mailed == ["u0@d0.example", "u1@d1.example"]
        assert [event["stage"] for event in env.clerk.events("request")] == ["users", "create", "create"]


def test_a_lock_does_not_outlive_its_run(tmp_path: Path) -> None:
    """After a run was killed its lock on the log is gone."""
    with environment(tmp_path, 1, link=False, smtp=SmtpScript(faults=(Fault("connect", Delay(60.0)),))) as env:
        first = env.work.start("run", "campaign.toml", "--yes")
        wait_for(lambda: env.smtp.events("open"), first)
        first.send_signal(signal.SIGKILL)
        first.communicate()
        assert env.work.campaign("retry", "campaign.toml").returncode == 0


def test_a_service_that_refuses_us_is_exit_3(tmp_path: Path) -> None:
    """A refused key or password stops the run with exit 3, costs no recipient an attempt, and leaves all queued."""
    with environment(tmp_path) as env:
        set_to(env.work, {"CLERK_SECRET_KEY": "sk_test_" + "z" * 40})
        refused(env.work.run(), "Clerk", "CLERK_SECRET_KEY", code=3)
        assert env.work.status()["queued"] == 3
        assert not env.accepted
    other = tmp_path / "other"
    other.mkdir()
    with environment(
        other, smtp=SmtpScript(faults=(Fault("mail", Reply("530 5.7.0 Authentication required")),))
    ) as env:
        refused(env.work.run(), "530 5.7.0 Authentication required", "CAMPAIGN_SMTP_URL", code=3)
        assert env.work.status()["queued"] == 3
        assert env.revoked == {token["id"] for token in env.tokens}


def test_a_log_that_is_locked_is_refused_in_time(locked: Patience) -> None:
    """A log that another process keeps locked is refused within 30 seconds with exit 2, and no recipient is mailed."""
    locked.join(timeout=60)
    assert not locked.is_alive()
    assert locked.process.returncode == 2, (locked.out, locked.err)
    assert "locked by another process" in locked.err
    assert_no_fault(locked.err)
    assert locked.took < 30 + 10, "ten seconds are for a busy machine"
    assert len(locked.stage.accepted) == 1
