"""A run that is killed right before or after each durable write leaves the specified state."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from support.crash.mutants import STEPS
from support.crash.records import read_log
from support.crash.scenario import CAMPAIGN, Scenario
from support.crash.sender import Sender
from support.servers.clerk import ClerkServer
from support.servers.clerk_script import ClerkScript, Users
from support.servers.script import Fault, Reply
from support.servers.smtp import SmtpServer
from support.servers.smtp_script import SmtpScript

if TYPE_CHECKING:
    from pathlib import Path

    from support.servers.script import Action


@dataclass(frozen=True)
class Case:
    """A kill before or after one durable write: what the log contains then, and the result after the restart."""

    step: str
    moment: str
    #: The row's state after the kill; None means that there is no row.
    found: str | None
    #: The row's state after the restart.
    after: str
    #: The numbers of tokens made, tokens revoked and possible orphans counted.
    made: int
    revoked: int
    orphans: int
    #: The number of messages that the server accepted.
    accepted: int
    #: Whether the server refuses the recipient for good.
    refused: bool = False
    #: Whether the recipient is on Clerk's waitlist and needs a user.
    waitlist: bool = False


CASES = [
    Case("creating_user", "before", "queued", "sent", 1, 0, 0, 1, waitlist=True),
    Case("creating_user", "after", "queued", "sent", 1, 0, 0, 1, waitlist=True),
    Case("settle_user", "before", "queued", "sent", 1, 0, 0, 1, waitlist=True),
    Case("settle_user", "after", "queued", "sent", 1, 0, 0, 1, waitlist=True),
    Case("enlist", "before", None, "sent", 1, 0, 0, 1),
    Case("enlist", "after", "queued", "sent", 1, 0, 0, 1),
    Case("issuing", "before", "queued", "sent", 1, 0, 0, 1),
    Case("issuing", "after", "issuing", "sent", 1, 0, 1, 1),
    Case("issued", "before", "issuing", "sent", 2, 0, 1, 1),
    Case("issued", "after", "issuing", "sent", 2, 1, 0, 1),
    Case("sending", "before", "issuing", "sent", 2, 1, 0, 1),
    Case("sending", "after", "sending", "uncertain", 1, 0, 0, 0),
    Case("settle", "before", "sending", "uncertain", 1, 0, 0, 1),
    Case("settle", "after", "sent", "sent", 1, 0, 0, 1),
    Case("settle", "before", "issuing", "failed", 2, 2, 0, 0, refused=True),
    Case("settle", "after", "failed", "failed", 1, 1, 0, 0, refused=True),
    Case("settle_revocation", "before", "failed", "failed", 1, 1, 0, 0, refused=True),
    Case("settle_revocation", "after", "failed", "failed", 1, 1, 0, 0, refused=True),
]


def run(sender: Sender, *command: str) -> int:
    sender.command = [sys.executable, "-m", *command]
    process = sender.start("run", str(sender.campaign), "--yes")
    try:
        return process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def state_of(log: str | Path) -> str | None:
    reading = sqlite3.connect(f"file:{log}?mode=ro", uri=True)
    try:
        row = reading.execute("SELECT state FROM delivery").fetchone()
    finally:
        reading.close()
    return None if row is None else str(row[0])


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=() if case.step in {"sending", "settle_user"} else pytest.mark.long) for case in CASES],
    ids=lambda case: f"{case.step}-{case.moment}-{case.after}",
)
def test_a_kill_at_each_durable_step(case: Case, tmp_path: Path) -> None:
    """After the kill the row has exactly the specified state, and the restart handles it as specified."""
    refusal: Action = Reply("550 5.1.1 No such user")
    faults = (Fault("rcpt", refusal),) if case.refused else ()
    campaign = Scenario(recipients=1, seed=4, verify=False, waitlist=case.waitlist).write(tmp_path)
    users = Users(csv=str(tmp_path / "people.csv"), waitlist=True) if case.waitlist else Users()
    with SmtpServer(SmtpScript(faults=faults)) as smtp, ClerkServer(ClerkScript(users=users)) as clerk:
        sender = Sender(
            folder=tmp_path,
            campaign=campaign,
            log=tmp_path / "send-log.db",
            key="sk_test_1234567890",
            clerk_url=clerk.url,
            smtp_url=smtp.url,
        )
        assert run(sender, "support.crash.mutants", f"kill:{case.step}:{case.moment}") == -9, sender.last_output()
        assert state_of(sender.log) == case.found
        assert run(sender, "campaign") == (0 if case.after == "sent" else 1), sender.last_output()
        assert state_of(sender.log) == case.after
        events = Counter(event["event"] for event in clerk.events())
        accepted = len(smtp.events("accept"))
    file = read_log(sender.log, CAMPAIGN)
    assert (events["token"], events["revoked"], len(file.orphans), accepted) == (
        case.made,
        case.revoked,
        case.orphans,
        case.accepted,
    )
    assert not file.unsettled
    assert events["user"] == case.waitlist


def test_every_durable_step_is_tried() -> None:
    """The cases have a kill before and after each durable write."""
    assert {(case.step, case.moment) for case in CASES} == {(step, m) for step in STEPS for m in ("before", "after")}
