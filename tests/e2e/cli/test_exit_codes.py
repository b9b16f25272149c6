"""The exit codes of `run`: whether all that it was to do is done, and whether somebody could be mailed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from support.environment import environment
from support.servers.clerk_script import ClerkScript, Users
from support.servers.script import Drop, Fault, Reply
from support.servers.smtp_script import SmtpScript

if TYPE_CHECKING:
    from pathlib import Path

ALL_SENT: dict[str, int] = {"sent": 4}
BOUNCE = Fault("rcpt", Reply("550 5.1.1 No such user"), to="u[03]@*")
LOST = Fault("dot", Drop(done=True), to="u0@*", times=1)
LATER = Fault("rcpt", Reply("451 4.7.1 Greylisted"), to="u0@*", times=1)


@dataclass(frozen=True)
class Case:
    """Runs for four recipients: their options, and each exit code with the states after it."""

    options: tuple[tuple[str, ...], ...]
    codes: tuple[int, ...]
    states: dict[str, int]
    smtp: SmtpScript = field(default_factory=SmtpScript)
    unknown: tuple[str, ...] = ()
    more: str = '[retry]\nfirst_delay = "1h"\n'


CASES = {
    "everybody is sent": Case(((),), (0,), ALL_SENT),
    "nothing is left to do": Case(((), ()), (0, 0), ALL_SENT),
    "some are skipped": Case(((),), (0,), {"sent": 3, "skipped": 1}, unknown=("user_1",)),
    "some failed": Case(((), ()), (1, 1), {"sent": 2, "failed": 2}, SmtpScript(faults=(BOUNCE,))),
    "one is uncertain": Case(((), ()), (1, 1), {"sent": 3, "uncertain": 1}, SmtpScript(faults=(LOST,))),
    "one is left for a later try": Case((("--no-wait",),), (1,), {"sent": 3, "queued": 1}, SmtpScript(faults=(LATER,))),
    "everybody is skipped": Case(((), ()), (2, 2), {"skipped": 4}, unknown=("user_*",)),
    "a batch is done": Case((("--limit", "2"),), (0,), {"sent": 2, "queued": 2}),
    "a batch larger than the rest is done": Case((("--limit", "3"),) * 2, (0, 0), ALL_SENT),
    "a batch with nothing left to do": Case(((), ("--limit", "3")), (0, 0), ALL_SENT),
    "a failure belongs to its own batch": Case(
        (("--limit", "2"),) * 3, (1, 1, 0), {"sent": 2, "failed": 2}, SmtpScript(faults=(BOUNCE,))
    ),
    "one of a batch is left": Case(
        (("--limit", "2", "--no-wait"),), (1,), {"sent": 1, "queued": 3}, SmtpScript(faults=(LATER,))
    ),
    "one of a batch is skipped": Case(
        (("--limit", "2"),), (0,), {"sent": 1, "skipped": 1, "queued": 2}, unknown=("user_0",)
    ),
    "a whole batch is skipped": Case((("--limit", "2"),), (2,), {"skipped": 2, "queued": 2}, unknown=("user_*",)),
    "a batch when everybody is skipped": Case(((), ("--limit", "2")), (2, 2), {"skipped": 4}, unknown=("user_*",)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_exit_code_says_whether_the_run_is_done(case: Case, tmp_path: Path) -> None:
    """0: what the run was to do is done; 1: some of it failed, is uncertain or left; 2: nobody can be mailed."""
    clerk = ClerkScript(users=Users(unknown=case.unknown))
    with environment(tmp_path, 4, clerk=clerk, smtp=case.smtp, more=case.more) as env:
        assert tuple(env.work.run(*options).returncode for options in case.options) == case.codes
        status = env.work.status()
        assert {state: status[state] for state in case.states} == case.states
        assert sum(case.states.values()) == status["recipients"]
