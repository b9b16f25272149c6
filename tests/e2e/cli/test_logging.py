"""What a run logs: its events, as text or JSON, and never an address, a token or a key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from support.environment import environment
from support.servers.script import Fault, Reply
from support.servers.smtp_script import SmtpScript
from support.workspace import SECRET_KEY

if TYPE_CHECKING:
    from pathlib import Path

LIMITS = '[limits]\nconnections = 2\ntokens = "1000/second"\n[retry]\nfirst_delay = "1100ms"\n'
#: Servers quote what they refuse.
QUOTING = SmtpScript(
    faults=(
        Fault("rcpt", Reply("451 4.7.1 <u1@d1.example> u1%40d1.example comes later"), to="u1@*", times=1),
        Fault("rcpt", Reply("550 5.1.1 <u2@d2.example>: no such user, see https://x.test/?token=abc"), to="u2@*"),
    )
)


def test_a_run_logs_its_events_as_json(tmp_path: Path) -> None:
    """With `-vv --log-format json` each event is an object a line, and each attempt names the line of its row."""
    with environment(tmp_path, 3, smtp=QUOTING, more=LIMITS) as env:
        done = env.work.run("-vv", "--log-format", "json")
        assert done.returncode == 1
        events = [json.loads(line) for line in done.stderr.splitlines()]
        named = [event["event"] for event in events]
        assert named[:2] == ["opened", "started"]
        assert named[-1] == "ended"
        assert "waiting" in named
        assert {(event["row"], event["state"]) for event in events if event["event"] == "settled"} == {
            (2, "sent"),
            (3, "queued"),
            (3, "sent"),
            (4, "failed"),
        }
        assert events[-1]["counts"] == {"sent": 2, "failed": 1}
        assert all(event["logger"] == "campaign.run" and event["time"].endswith("+00:00") for event in events)
        assert "@" not in done.stderr.replace("hello@", "")
        for secret in ("example", SECRET_KEY, *(token["token"] for token in env.tokens), "token=", "%40"):
            assert secret not in done.stderr


def test_a_run_logs_its_events_as_text(tmp_path: Path) -> None:
    """With `--verbose` the start and the end are on stderr, and no attempt."""
    with environment(tmp_path, 2, more=LIMITS) as env:
        done = env.work.run("--verbose")
        assert done.returncode == 0
        assert "INFO campaign.run: trial: 2 rows queued" in done.stderr
        assert "INFO campaign.run: ended: 2 sent" in done.stderr
        assert "row 2" not in done.stderr


def test_an_error_that_ends_a_run_is_logged(tmp_path: Path) -> None:
    """The error that ends a run is an event, too."""
    refuse = SmtpScript(credentials=("acme", "p@ss/word"), faults=(Fault("auth", Reply("535 5.7.8 Wrong password")),))
    with environment(tmp_path, 2, smtp=refuse, more=LIMITS) as env:
        done = env.work.run("--log-format", "json")
        assert done.returncode == 3
        told = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
        assert (told[-1]["event"], told[-1]["error"]) == ("error", "ServiceRefusesError")


def test_a_run_logs_nothing_unless_asked(tmp_path: Path) -> None:
    """Without the option stderr stays empty."""
    with environment(tmp_path, 2, more=LIMITS) as env:
        assert env.work.run().stderr == ""
