"""Ctrl-C and SIGTERM: the first finishes deliveries in progress, the second stops at once. Both exit 130."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from support.crash.records import read_log
from support.environment import environment, wait_for
from support.no_fault import assert_no_fault
from support.servers.script import Delay, Fault, Silence
from support.servers.smtp_script import SmtpScript

if TYPE_CHECKING:
    from pathlib import Path

FEW = '[limits]\nconnections = 2\ntokens = "1000/second"\n'


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)], ids=lambda number: number.name
)
def test_one_signal_finishes_what_is_in_hand(tmp_path: Path, number: signal.Signals) -> None:
    """After the first signal no more rows are claimed, deliveries in progress finish, and the exit code is 130."""
    slow = SmtpScript(faults=(Fault("dot", Delay(0.3)),))
    with environment(tmp_path, 40, smtp=slow, more=FEW) as env:
        process = env.work.start("run", "campaign.toml", "--yes")
        wait_for(lambda: env.smtp.events("data"), process)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 130, (out, err)
        assert err == ""
        assert "Stopping" in out
        assert "To send: campaign run campaign.toml" in out
        status = env.work.status()
        assert 0 < status["sent"] == len(env.accepted) < 40
        assert status["queued"] == 40 - status["sent"]
        assert {event["tokens"][0] for event in env.accepted} >= {
            token["token"] for token in env.tokens if token["id"] not in env.revoked
        }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_two_signals_stop_at_once(tmp_path: Path, number: signal.Signals) -> None:
    """After the second signal rows at the final dot are uncertain, the rest is queued, and the next run continues."""
    silent = SmtpScript(faults=(Fault("dot", Silence(), times=2),))
    with environment(tmp_path, 12, smtp=silent, more=FEW) as env:
        process = env.work.start("run", "campaign.toml", "--yes")
        wait_for(lambda: len(env.smtp.events("dot")) == 2, process)
        process.send_signal(number)
        assert process.stdout is not None
        heard = ""
        while "Stopping" not in heard:
            heard = process.stdout.readline()
        began = time.monotonic()
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        assert time.monotonic() - began < 20
        assert process.returncode == 130, err
        assert_no_fault(err)
        status = env.work.status()
        assert (status["uncertain"], status["queued"], status["sent"]) == (2, 10, 0)
        assert env.work.run().returncode == 1
        status = env.work.status()
        assert (status["uncertain"], status["sent"]) == (2, 10)
        living = {token["id"] for token in env.tokens} - env.revoked
        kept = {row["token_id"] for row in env.work.rows()}
        assert kept <= living
        # a token may have been on its way to the program
        assert len(living - kept) <= len(read_log(env.work.log, "trial").orphans)


def test_a_signal_before_anything_began_leaves_everybody_queued(tmp_path: Path) -> None:
    """A signal before the mail server's greeting ends the run with 130, and no token is requested."""
    with environment(tmp_path, smtp=SmtpScript(faults=(Fault("connect", Silence()),))) as env:
        process = env.work.start("run", "campaign.toml", "--yes")
        wait_for(lambda: env.smtp.events("open"), process)
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)  # noqa: TID251 - simulates a person's delay
        out, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
        assert_no_fault(err)
        assert "The run was waiting: the mail server 127.0.0.1:" in out
        assert "has not answered yet" in out
        assert not env.tokens
        assert env.work.status()["queued"] == 3
