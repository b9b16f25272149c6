"""Time in a whole run: the clock is set while mail is sent, the machine sleeps, a service is down for minutes."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support import TESTS
from support.environment import environment, wait_for
from support.refusals import refused
from support.servers.clerk_script import Answer, ClerkScript
from support.servers.script import Delay, Fault
from support.servers.smtp_script import SmtpScript
from support.variants import variants

if TYPE_CHECKING:
    from pathlib import Path

    from support.environment import Environment

HOUR = 3600
PEOPLE = 24
asleep = pytest.mark.skipif(sys.platform != "linux", reason="no clock that counts the time asleep is known here")
LIMITS = '[limits]\nconnections = 4\nmessages = "40/second"\ntokens = "1000/second"\n[retry]\nfirst_delay = "300ms"\n'


def started(env: Environment, clock: str, seconds: int, *options: str) -> subprocess.Popen[str]:
    """Start a run whose clock jumps by `seconds` when `leap` is called."""
    env.work.environment["PYTHONPATH"] = str(TESTS)
    arguments = (clock, str(seconds), str(env.work.folder / "leap"), "run", "campaign.toml", "--yes", *options)
    return env.work.start(*arguments, of=(sys.executable, "-m", "support.faults.leaping_clock"))


def leap(env: Environment) -> None:
    """Make the clock jump."""
    (env.work.folder / "leap").touch()


@pytest.mark.parametrize(
    ("clock", "seconds"),
    [
        pytest.param("wall", 24 * HOUR, marks=pytest.mark.long),
        pytest.param("wall", -24 * HOUR, marks=pytest.mark.long),
        pytest.param("asleep", 24 * HOUR, marks=asleep),
    ],
    ids=["set forward", "set back", "asleep"],
)
def test_a_clock_that_leaps_neither_stalls_nor_hurries(clock: str, seconds: int, tmp_path: Path) -> None:
    """A clock that jumps a day forward or back does not change the speed of sending."""
    with environment(tmp_path, PEOPLE, more=LIMITS) as env:
        process = started(env, clock, seconds)
        wait_for(lambda: len(env.accepted) > PEOPLE // 3, process)
        leap(env)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, err) == (0, ""), out
        verdict = env.verdict(connections=4, rates=((40, 1.0),))
        # the server's clock did not jump, so its time of the dot is before the history's time of the intent
        assert verdict.violated.keys() <= ({"I9"} if clock == "asleep" else set()), verdict.table()
        assert verdict.states["sent"] == PEOPLE
        if clock == "wall":
            assert len(env.tokens) == PEOPLE


@asleep
def test_a_token_that_grew_old_in_hand_is_not_sent(tmp_path: Path) -> None:
    """If the machine sleeps for a night during a message, its token is revoked, and the mail gets a new one."""
    slow = SmtpScript(faults=(Fault("data", Delay(0.5), times=1),))
    with environment(tmp_path, 3, smtp=slow, more=LIMITS.replace("connections = 4", "connections = 1")) as env:
        process = started(env, "asleep", 20 * HOUR)
        wait_for(lambda: env.smtp.events("data"), process)
        leap(env)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, err) == (0, ""), out
        verdict = env.verdict(connections=1)
        assert verdict.violated.keys() <= {"I9"}, verdict.table()
        assert verdict.states["sent"] == 3
        old = env.tokens[0]
        assert old["id"] in env.revoked
        (mail,) = [event for event in env.accepted if event["rcpt"] == ["u0@d0.example"]]
        assert mail["tokens"] != [old["token"]]
        assert {row["state"] for row in env.work.rows()} == {"sent"}


def nobody_listens(env: Environment) -> None:
    """Let the run look for its mail server where there is none."""
    env.work.serve_by(smtp="smtp://127.0.0.1:1?tls=none")


DOWN = ClerkScript(faults=(Fault("users", Answer(503)),))
SLOWLY = LIMITS.replace("300ms", "1100ms")


@asleep
@pytest.mark.parametrize("who", variants(["mail server", "Clerk"]))
def test_a_service_that_is_down_from_the_start_is_given_up(who: str, tmp_path: Path) -> None:
    """If nothing was sent and a service did not work for five minutes, the run ends with exit 3 and its reason."""
    with environment(tmp_path, 3, clerk=DOWN if who == "Clerk" else None, more=SLOWLY) as env:
        if who == "mail server":
            nobody_listens(env)
        process = started(env, "asleep", 301)
        assert process.stdout is not None
        said = ""
        while "Waiting 1 s" not in said:
            said = process.stdout.readline()
            assert said, process.communicate()
        assert "if that lasts, the run ends in 300 s" in said
        leap(env)
        out, err = process.communicate(timeout=20)
        done = subprocess.CompletedProcess([], process.returncode, out, err)
        why = "503 Service Unavailable" if who == "Clerk" else "cannot be reached"
        refused(done, why, "lasted 5 minutes and nothing was sent", "--wait-for-server", code=3)
        assert env.work.status()["queued"] == 3
        assert not env.tokens


@asleep
def test_a_run_that_waits_for_its_server_does_not_give_up(tmp_path: Path) -> None:
    """With `--wait-for-server` the run waits on, and when it is stopped it says for what, also in the table."""
    with environment(tmp_path, 3, more=SLOWLY) as env:
        nobody_listens(env)
        process = started(env, "asleep", 301, "--wait-for-server")
        assert process.stdout is not None
        heard: list[str] = []
        while sum("Waiting" in line for line in heard) < 2:
            heard.append(process.stdout.readline())
            assert heard[-1], process.communicate()
            leap(env)
        assert not any("if that lasts" in line for line in heard)
        process.terminate()
        out, err = process.communicate(timeout=20)
        assert (process.returncode, err) == (130, "")
        assert "The run was waiting: the mail server 127.0.0.1:1 cannot be reached" in out
        assert "3 times: the mail server 127.0.0.1:1 cannot be reached" in out
