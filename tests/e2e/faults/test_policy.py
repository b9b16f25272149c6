"""Refusals that concern the sender and not a mailbox: sending stops, and no row is lost for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.crash.records import read_log
from support.environment import environment
from support.faults.provider_refusals import REFUSALS
from support.refusals import refused, table_of
from support.servers.script import Fault, Reply
from support.servers.smtp_script import SmtpScript

if TYPE_CHECKING:
    from pathlib import Path

    from support.faults.provider_refusals import Refusal

LIMITS = '[limits]\nconnections = 2\ntokens = "1000/second"\n[retry]\nfirst_delay = "300ms"\n'
POLICY = {
    "5.7.1": "550 5.7.1 Message refused by policy",
    "unusual rate": "550 Our system has detected an unusual rate of unsolicited mail from your IP address",
    "5.7.515": "550 5.7.515 Access denied, sending domain acme.example does not meet the required authentication level",
}


@pytest.mark.parametrize(
    "reply",
    [pytest.param(text, id=what, marks=() if what == "5.7.1" else pytest.mark.long) for what, text in POLICY.items()],
)
def test_a_domain_that_refuses_us_gets_no_more(reply: str, tmp_path: Path) -> None:
    """A domain that refuses messages for policy reasons gets no more, and the other domains get theirs."""
    smtp = SmtpScript(faults=(Fault("dot", Reply(reply), to="*@d0.example"),))
    with environment(tmp_path, 100, smtp=smtp, more=LIMITS) as env:
        done = env.work.run()
        assert (done.returncode, done.stderr) == (1, "")
        assert "This run sends nothing more to d0.example" in done.stdout
        verdict = env.verdict(connections=2, finished=False)
        assert verdict.holds, verdict.table()
        assert verdict.states["sent"] == 80
        assert verdict.states["queued"] == 20, "the list was burnt"
        again = env.work.run()
        assert again.returncode == 1
        assert env.work.status()["queued"] == 20, "another run is careful, too"


def test_a_server_that_refuses_us_altogether_stops_the_run(tmp_path: Path) -> None:
    """If all domains refuse messages for policy reasons, the run stops with exit 3 and most rows stay queued."""
    smtp = SmtpScript(faults=(Fault("dot", Reply(POLICY["5.7.1"]), skip=20),))
    with environment(tmp_path, 200, smtp=smtp, more=LIMITS) as env:
        refused(env.work.run(), "5.7.1", "the other rows stay queued", code=3)
        verdict = env.verdict(connections=2, finished=False)
        assert verdict.holds, verdict.table()
        assert verdict.states["sent"] == 20
        assert verdict.states["queued"] == 180


STOPPING = [each for each in REFUSALS if each.reaction == "stop"]


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(each, id=str(each), marks=() if "5.4.5" in each.text else pytest.mark.long)  # a quota
        for each in STOPPING
    ],
)
def test_a_refusal_of_the_sender_costs_no_row(refusal: Refusal, tmp_path: Path) -> None:
    """A dozen same refusals of the sender stop the run with exit 3; all rows are queued and the next run sends them."""
    lasting = tmp_path / "refusing"
    lasting.touch()
    faults = tuple(
        Fault(refusal.at, Reply(refusal.reply(n, f"u{n}@d{n % 5}.example")), to=f"u{n}@*", while_there=str(lasting))
        for n in range(20, 100)
    )
    with environment(tmp_path, 100, smtp=SmtpScript(faults=faults), more=LIMITS) as env:
        refused(env.work.run(), refusal.text[:12], refusal.after, "no recipient's fault", code=3)
        verdict = env.verdict(connections=2, finished=False)
        assert verdict.holds, verdict.table()
        assert (verdict.states["sent"], verdict.states["queued"]) == (20, 80)
        steps = [step for step in read_log(env.work.log, "trial").transitions if step.actor == "breaker"]
        assert {(step.old, step.new) for step in steps} == {("failed", "queued")}
        assert 11 <= len(steps) <= 13, "a dozen had failed, and one on the other connection, as the history says"
        assert all("not this recipient's fault" in step.reason for step in steps)
        assert len(table_of(env.work.log, "revocation")) < 30, "few tokens were spent"
        lasting.unlink()
        assert env.work.run().returncode == 0
        verdict = env.verdict(connections=2)
        assert verdict.holds, verdict.table()
        assert verdict.states["sent"] == 100


def test_refusals_of_mailboxes_stop_nobody(tmp_path: Path) -> None:
    """Any number of unknown mailboxes in a row each fail with the server's words, and the others are mailed."""
    gone = Fault("rcpt", Reply("550 5.1.1 No such user"), to="*@d0.example")
    with environment(tmp_path, 100, smtp=SmtpScript(faults=(gone,)), more=LIMITS) as env:
        done = env.work.run()
        assert (done.returncode, done.stderr) == (1, "")
        verdict = env.verdict(connections=2)
        assert verdict.holds, verdict.table()
        assert (verdict.states["sent"], verdict.states["failed"]) == (80, 20)
        reasons = {row["reason"] for row in env.work.rows() if row["state"] == "failed"}
        assert reasons == {"RCPT TO was answered: 550 5.1.1 No such user"}
