"""Clerk's answers to revocations, or their absence: a revocation stays in the log until it is settled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.crash.records import read_log
from support.environment import environment, wait_for
from support.servers.clerk_script import Answer, ClerkScript, Used, refusal
from support.servers.script import Drop, Fault, Reply, Silence
from support.servers.smtp_script import SmtpScript

if TYPE_CHECKING:
    from pathlib import Path

    from support.servers.script import Action

LIMITS = '[limits]\nconnections = 4\ntokens = "1000/second"\n[retry]\nfirst_delay = "300ms"\n'


def clerk(*faults: Fault) -> ClerkScript:
    return ClerkScript(faults=faults, latency=0.02)


#: The first answer to the revocation of each recipient, all of whom bounce, in the order of the CSV.
UNSETTLED: tuple[Action, ...] = (
    Used(),
    refusal(404, "resource_not_found"),
    Answer(500, "<html>oops</html>"),
    Drop(),
    Drop(done=True),
    refusal(429, "too_many_requests", retry_after=0.5),
)
BOUNCE = SmtpScript(faults=(Fault("rcpt", Reply("550 5.1.1 No such user"), to="u[0-5]@*"),))


def test_a_revocation_is_kept_until_it_is_settled(tmp_path: Path) -> None:
    """After any first answer that does not settle a revocation it is requested again, if necessary by the next run."""
    faults = [Fault("revoke", action, to=f"user_{n}", times=1) for n, action in enumerate(UNSETTLED)]
    with environment(tmp_path, 8, clerk=clerk(*faults), smtp=BOUNCE, more=LIMITS) as env:
        done = env.work.run(timeout=30)
        assert (done.returncode, done.stderr) == (1, "")
        for _ in range(5):
            if not read_log(env.work.log, "trial").unsettled:
                break
            env.work.run(timeout=30)
        verdict = env.verdict(connections=4)
        (unknown,) = (token["id"] for token in env.tokens if token["user_id"] == "user_1")
        # the token whose revocation got 404 is alive, because Clerk said that it did not know it
        assert verdict.violated.keys() == {"I8"}, verdict.table()
        assert [text.split()[0] for text in verdict.violated["I8"]] == [unknown]
        assert verdict.states["failed"] == 6


def test_a_revocation_outlives_its_run(tmp_path: Path) -> None:
    """If Clerk answers no revocation the run still ends in time, and prints how many are open."""
    outage = tmp_path / "outage"
    outage.touch()
    shut = clerk(Fault("revoke", Answer(500, "<html>oops</html>"), while_there=str(outage)))
    with environment(tmp_path, 8, clerk=shut, smtp=BOUNCE, more=LIMITS) as env:
        done = env.work.run(timeout=30)
        assert (done.returncode, done.stderr) == (1, "")
        assert len(read_log(env.work.log, "trial").unsettled) == 6
        assert "6 tokens not revoked yet" in done.stdout
        outage.unlink()
        assert env.work.run().returncode == 1
        verdict = env.verdict(connections=4)
        assert verdict.holds, verdict.table()


def test_a_run_that_is_killed_amid_a_revocation_raises_no_alarm(tmp_path: Path) -> None:
    """If a run is killed between a revocation and its record, the next run does not take the dead token for used."""
    bounce = SmtpScript(faults=(Fault("rcpt", Reply("550 5.1.1 No such user"), to="u0@*"),))
    silent = clerk(Fault("revoke", Silence(done=True), times=1))
    with environment(tmp_path, 3, clerk=silent, smtp=bounce, more=LIMITS) as env:
        process = env.work.start("run", "campaign.toml", "--yes")
        wait_for(lambda: env.revoked, process)
        process.kill()
        process.communicate()
        done = env.work.run()
        assert (done.returncode, done.stderr) == (1, "")
        assert "ALARM" not in done.stdout
        assert not read_log(env.work.log, "trial").unsettled
