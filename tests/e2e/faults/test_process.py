"""Faults of the process: file descriptors run out, or it is suspended for a while."""

from __future__ import annotations

import resource
import signal
import time
from typing import TYPE_CHECKING

from support.environment import environment, wait_for
from support.no_fault import assert_no_fault
from support.servers.script import Delay, Fault
from support.servers.smtp_script import SmtpScript

if TYPE_CHECKING:
    from pathlib import Path

FREE = 'tokens = "1000/second"\n[retry]\nfirst_delay = "200ms"\n'


def test_too_few_descriptors(tmp_path: Path) -> None:
    """With very few file descriptors the run uses fewer connections or stops with an error, and can continue later."""
    slow = SmtpScript(faults=(Fault("dot", Delay(0.02)),))
    with environment(tmp_path, 40, smtp=slow, more=f"[limits]\nconnections = 40\n{FREE}") as env:
        process = env.work.start("run", "campaign.toml", "--yes", "--no-wait")
        wait_for(lambda: env.smtp.events("open"), process)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (24, 24))
        out, err = process.communicate(timeout=60)
        assert process.returncode in {0, 1, 3}, (out, err)
        assert_no_fault(out + err)
        assert env.work.run().returncode == 0
        verdict = env.verdict(connections=40)
        assert verdict.holds, verdict.table()
        assert verdict.states["sent"] == 40


def test_a_process_that_was_stopped_does_not_burst(tmp_path: Path) -> None:
    """A run that is suspended longer than its timeouts resumes at its rate and mails no recipient twice."""
    slow = SmtpScript(faults=(Fault("dot", Delay(0.1)),))
    limits = f'[limits]\nconnections = 5\nmessages = "60/second"\n{FREE}'
    with environment(tmp_path, 50, smtp=slow, more=limits) as env:
        env.work.environment["CAMPAIGN_REPLY_TIMEOUT"] = "500ms"
        process = env.work.start("run", "campaign.toml", "--yes")
        wait_for(lambda: len(env.accepted) > 15, process)
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.9)  # noqa: TID251 - real time must pass
        process.send_signal(signal.SIGCONT)
        out, err = process.communicate(timeout=60)
        assert process.returncode in {0, 1}, (out, err)
        verdict = env.verdict(connections=5, rates=((60, 1.0),), squeeze=0.2)
        assert verdict.holds, verdict.table()
        assert verdict.states["sent"] + verdict.states["uncertain"] == 50
        assert verdict.states["uncertain"] <= 5, "only whoever was at the dot"
