"""Tokens, keys and passwords appear only where they belong, even with all debug output of all libraries on."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from support.crash.leaks import files_under, scan
from support.environment import environment, wait_for
from support.servers.clerk_script import Answer, Change, ClerkScript, Truncate
from support.servers.script import Delay, Drop, Fault, Reply
from support.servers.smtp_script import SmtpScript
from support.workspace import SECRET_KEY

if TYPE_CHECKING:
    from pathlib import Path

    from support.environment import Environment

PASSWORD = "p/ss: wörd%40@hunter2"
#: Python runs this before the program: it sets every logger to its most verbose level.
_TALKATIVE = """
import logging, os, sys
logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(name)s %(message)s")
sys.path.insert(0, os.environ["AFTERWARDS"])
"""
#: Runs several commands in one process, which has to start with all debug output only once.
_IN_TURN = """
import json, sys
from campaign.cli import main
for command in json.loads(sys.argv[1]):
    sys.argv[1:] = command
    try:
        main()
    except SystemExit as ended:
        if ended.code:
            raise
"""
MORE = '[limits]\ntokens = "1000/second"\nconnections = 3\n[retry]\nfirst_delay = "100ms"\nattempts = 2\n'


def make_talkative(env: Environment) -> None:
    """Switch on all debug output, and trust the mail server's certificate."""
    beside = env.work.folder.parent
    (beside / "sitecustomize.py").write_text(_TALKATIVE, encoding="utf-8")
    (beside / "authority.pem").write_bytes(env.smtp.authority)
    before = os.environ.get("PYTHONPATH", "")
    env.work.environment |= {
        "PYTHONPATH": os.pathsep.join([str(beside), *([before] if before else [])]),
        "AFTERWARDS": before,
        "PYTHONASYNCIODEBUG": "1",
        "PYTHONDEVMODE": "1",
        "SSL_CERT_FILE": str(beside / "authority.pem"),
    }


def leaks(env: Environment, said: dict[str, str]) -> list[str]:
    """Return the places where a secret must not be but is."""
    places = files_under(env.work.folder) | {name: text.encode() for name, text in said.items()}
    assert any(name.endswith("send-log.db") for name in places)
    secrets = {
        "the secret key": SECRET_KEY,
        "the password": PASSWORD,
        "the login as AUTH PLAIN says it": f"\0acme\0{PASSWORD}",
    }
    return scan(places, tokens=[token["token"] for token in env.tokens], secrets=secrets)


def test_no_secret_leaves_the_message(tmp_path: Path) -> None:
    """With all debug output, TLS, a login, all kinds of faults and a kill, no secret is in any file or output."""
    smtp = SmtpScript(
        tls="starttls",
        credentials=("acme", PASSWORD),
        auth_required=True,
        faults=(
            Fault("rcpt", Reply("550 5.1.1 No such user"), to="u1@*"),
            Fault("rcpt", Reply("451 4.7.1 Greylisted"), to="u2@*", times=1),
            Fault("dot", Drop(done=True), to="u3@*"),
            Fault("dot", Reply("554 5.7.1 Refused after reading"), to="u4@*"),
            Fault("dot", Delay(0.05)),
        ),
    )
    clerk = ClerkScript(
        faults=(
            Fault("create", Truncate(), to="user_5", times=1),
            Fault("create", Change(without=("id",)), to="user_6"),
            Fault("create", Change(fields={"id": 7}), to="user_7", times=1),
            Fault("create", Answer(500, "<html>secret</html>", done=True), to="user_8", times=1),
            Fault("revoke", Answer(500), times=2),
        )
    )
    folder = tmp_path / "work"
    folder.mkdir()
    with environment(folder, 30, smtp=smtp, clerk=clerk, more=MORE) as env:
        make_talkative(env)
        process = env.work.start("run", "campaign.toml", "--yes")
        wait_for(lambda: len(env.accepted) >= 10, process)
        process.send_signal(signal.SIGKILL)
        out, err = process.communicate()
        assert (folder / "send-log.db-wal").stat().st_size, "the write-ahead log is looked through, too"
        said = {"the killed run's stdout": out, "the killed run's stderr": err}
        assert leaks(env, said) == []
        done = env.work.cold("run", "campaign.toml", "--yes")
        assert done.returncode == 1, done.stderr[-2000:]
        said |= {"stdout of run": done.stdout, "stderr of run": done.stderr}
        other = [[command, "campaign.toml"] for command in ("status", "log", "preview", "check")]
        other.append(["test", "campaign.toml", "--to", "me@acme.example", "--user-id", "user_9"])
        process = env.work.start(json.dumps(other), of=(sys.executable, "-c", _IN_TURN))
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err[-2000:]
        said |= {"stdout of the others": out, "stderr of the others": err}
        assert leaks(env, said) == []
        assert "DEBUG asyncio" in said["stderr of run"], "debugging was on"
        assert all(event["ok"] and event["tls"] for event in env.smtp.events("auth"))
        assert len(env.accepted) > 20
        assert env.work.status()["failed"] >= 2


@pytest.mark.long
def test_a_login_that_is_refused_is_told_without_the_password(tmp_path: Path) -> None:
    """A wrong password ends the run with exit 3 after at most two tries, and no output contains the password."""
    folder = tmp_path / "work"
    folder.mkdir()
    smtp = SmtpScript(tls="starttls", credentials=("acme", PASSWORD), auth_required=True)
    with environment(folder, 5, smtp=smtp) as env:
        make_talkative(env)
        wrong = env.work.environment["CAMPAIGN_SMTP_URL"].replace("acme:", "acme:mistaken")
        env.work.environment["CAMPAIGN_SMTP_URL"] = wrong
        done = env.work.cold("run", "campaign.toml", "--yes")
        assert done.returncode == 3
        assert "535 5.7.8" in done.stderr
        assert "mistaken" not in done.stdout + done.stderr
        assert leaks(env, {"stdout": done.stdout, "stderr": done.stderr}) == []
        assert 1 <= len(env.smtp.events("auth")) <= 2
        assert not env.tokens
        assert env.work.status()["queued"] == 5


def test_a_certificate_that_is_not_trusted_sees_no_login(tmp_path: Path) -> None:
    """With an untrusted certificate neither AUTH nor MAIL is sent, the run exits 3, and all rows stay queued."""
    smtp = SmtpScript(tls="starttls", credentials=("acme", PASSWORD), auth_required=True)
    with environment(tmp_path, 5, smtp=smtp) as env:
        done = env.work.run()
        assert done.returncode == 3
        assert "certificate" in done.stderr
        assert not env.smtp.events("auth", "data", "accept")
        assert not env.tokens
        assert env.work.status()["queued"] == 5
