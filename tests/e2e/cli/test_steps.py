"""Campaigns in steps, with servers of the tests: who gets which step, and what stops a sequence."""

from __future__ import annotations

import signal
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from support.environment import environment, wait_for
from support.fork_server import CLOCK_AHEAD_S
from support.servers.clerk_script import Answer, ClerkScript
from support.servers.recheck_site import RECHECK_KEY, RecheckSite
from support.servers.script import Delay, Drop, Fault, Reply
from support.servers.smtp_script import SmtpScript

if TYPE_CHECKING:
    from pathlib import Path

    from support.environment import Environment

HTML = '<p>Hello {{ first_name }}, {{ total }}</p><p><a href="{{ link }}">Sign in</a></p>'
#: Two steps; the wait between them is longer than a run with --no-wait stays for its rates: the next run is `later`.
STEPS = """
[[steps]]
name = "first"
[[steps]]
name = "second"
due = "first + 4s"
subject = "Still yours, {{ first_name }}"
"""
#: The same for one run that sends both.
AT_ONCE = STEPS.replace("4s", "1s")
SOON = '[retry]\nfirst_delay = "300ms"\n'
LATER = SmtpScript(faults=(Fault("rcpt", Reply("451 4.7.1 Greylisted"), to="u0@*", times=1),))


def carts(number: int = 3) -> list[dict[str, str]]:
    """Return rows of carts that were left just now."""
    now = datetime.now(UTC)
    return [
        {
            "user_id": f"user_{each}",
            "email": f"u{each}@shop.example",
            "first_name": f"Name {each}",
            "total": str(each),
            "left_at": (now - timedelta(minutes=each)).isoformat(),
        }
        for each in range(number)
    ]


def in_steps(folder: Path, more: str = STEPS, *, people: int = 3, **how: Any) -> Any:  # noqa: ANN401 - a context manager
    """Return an environment with a campaign in steps."""
    return environment(folder, carts(people), html=HTML, text=None, more=f"{more}\n{SOON}", **how)


def later(env: Environment) -> None:
    """Let the next commands run five seconds later than now."""
    env.work.environment[CLOCK_AHEAD_S] = "5"


def waits(env: Environment) -> dict[str, int]:
    """Return how many queued rows wait for what."""
    return dict(Counter(row["waiting"] for row in env.work.rows() if row["state"] == "queued"))


def states(env: Environment) -> dict[str, str]:
    """Return each row's state, or its reason if it was skipped, by `user_1/second`."""
    return {
        f"{row['key']}/{row['step']}": row["reason"] if row["state"] == "skipped" else row["state"]
        for row in env.work.rows()
    }


def test_each_step_follows_the_one_before_as_it_was_sent(tmp_path: Path) -> None:
    """The delay counts from the mail before, each mail has a Message-ID and a link of its own, and one link lives."""
    with in_steps(tmp_path, AT_ONCE, smtp=LATER) as env:
        done = env.work.run()
        assert (done.returncode, done.stderr) == (0, "")
        assert sorted(env.mailed) == sorted(f"u{each}@shop.example" for each in range(3) for _ in range(2))
        for each in range(3):
            first, second = (event for event in env.accepted if event["rcpt"] == [f"u{each}@shop.example"])
            assert second["t"] - first["t"] >= 0.9
        assert len({row["message_id"] for row in env.work.rows()}) == 6
        tokens = {row["token_id"]: row["step"] for row in env.work.rows()}
        assert {tokens[token_id] for token_id in env.revoked if token_id in tokens} == {"first"}
        assert len(env.revoked & {token_id for token_id, step in tokens.items() if step == "first"}) == 3


def test_who_used_the_link_gets_no_further_step(tmp_path: Path) -> None:
    """A person who signed in with the first link is skipped in all further steps; the others go on."""
    more = STEPS + '[[steps]]\nname = "third"\ndue = "second + 1s"\nsubject = "Last call"\n'
    with in_steps(tmp_path, more) as env:
        assert env.work.run("--no-wait").returncode == 0
        assert len(env.accepted) == 3
        used = next(row["token_id"] for row in env.work.rows() if (row["key"], row["step"]) == ("user_1", "first"))
        assert env.clerk.use(used)
        later(env)
        done = env.work.run()
        assert done.returncode == 0, done.stdout
        assert "link used" in done.stdout
        found = states(env)
        assert (found["user_1/second"], found["user_1/third"]) == ("link used", "link used")
        assert [found[f"user_{each}/third"] for each in (0, 2)] == ["sent", "sent"]
        assert env.mailed.count("u1@shop.example") == 1
        assert "ALARM" not in done.stdout


def test_who_was_active_gets_no_further_step(tmp_path: Path) -> None:
    """A person whom Clerk has seen since the first mail is skipped, whichever way they came."""
    with in_steps(tmp_path) as env:
        assert env.work.run("--no-wait").returncode == 0
        env.clerk.see("user_2", last_active_at=time.time() + 1)
        later(env)
        assert env.work.run().returncode == 0
        assert states(env) == {
            "user_0/first": "sent",
            "user_0/second": "sent",
            "user_1/first": "sent",
            "user_1/second": "sent",
            "user_2/first": "sent",
            "user_2/second": "active since step first",
        }


def test_a_step_whose_step_before_failed_waits(tmp_path: Path) -> None:
    """The next step of a refused mail stays queued, says what it waits for, and goes out after a retry."""
    refused = SmtpScript(faults=(Fault("rcpt", Reply("554 5.6.0 Not like this"), to="u0@*", times=1),))
    with in_steps(tmp_path, AT_ONCE, smtp=refused, people=2) as env:
        done = env.work.run()
        assert done.returncode == 1
        assert "1 for the step before" in done.stdout
        assert states(env)["user_0/second"] == "queued"
        assert waits(env) == {"step": 1}
        env.work.campaign("retry", "campaign.toml")
        assert env.work.run().returncode == 0
        assert env.mailed.count("u0@shop.example") == 2


def test_a_lost_revocation_is_tried_again_before_the_step(tmp_path: Path) -> None:
    """While Clerk's answer about the old link is lost the row waits; then the step goes out once, with a live link."""
    faults = (Fault("revoke", Drop(done=True), times=1), Fault("revoke", Answer(502, "oops"), times=1))
    with in_steps(tmp_path, AT_ONCE, clerk=ClerkScript(faults=faults), people=1) as env:
        done = env.work.run()
        assert (done.returncode, done.stderr) == (0, "")
        assert states(env) == {"user_0/first": "sent", "user_0/second": "sent"}
        assert len(env.accepted) == len(env.tokens) == 2
        live = {row["token_id"] for row in env.work.rows()} - env.revoked
        assert live == {row["token_id"] for row in env.work.rows() if row["step"] == "second"}
        assert "without a known id" not in done.stdout


@pytest.mark.long
def test_a_killed_run_sends_each_step_once(tmp_path: Path) -> None:
    """A run that is killed between the steps, and in the midst of each, mails nobody twice and leaves nobody out."""
    slow = SmtpScript(faults=(Fault("dot", Delay(0.05)),))
    with in_steps(tmp_path, f'{AT_ONCE}[limits]\ntokens = "20/second"\n', people=20, smtp=slow) as env:
        for enough in (5, 20, 27):
            running = env.work.start("run", "campaign.toml", "--yes")
            wait_for(lambda enough=enough: len(env.accepted) >= enough, running)  # type: ignore[misc]
            running.send_signal(signal.SIGKILL)
            running.communicate()
        env.work.run()
        sent = [(row["key"], row["step"]) for row in env.work.rows() if row["state"] == "sent"]
        unsure = [row for row in env.work.rows() if row["state"] == "uncertain"]
        assert len(unsure) <= 30
        mails = [event["rcpt"][0] for event in env.accepted]
        assert all(mails.count(f"u{each}@shop.example") <= 2 for each in range(20))
        assert len(mails) >= len(sent)
        if unsure:  # the step after it waits until an operator has decided
            assert waits(env).get("step", 0) == sum(row["step"] == "first" for row in unsure)
            env.work.campaign("resolve", "campaign.toml", "--keep")
            assert env.work.run().returncode == 0
        assert all(row["state"] == "sent" for row in env.work.rows())
        assert len(env.accepted) <= 40


RECHECK = '[recheck]\nurl = "{url}"\ntimeout = "1s"\n'


def rechecked(folder: Path, site: RecheckSite, more: str = "", *, people: int = 3) -> Any:  # noqa: ANN401 - the same
    """Return an environment whose campaign asks a site just before each mail."""
    return in_steps(folder, RECHECK.format(url=site.url) + more, people=people)


def test_only_what_the_site_still_wants_is_sent(tmp_path: Path) -> None:
    """Keys that the site leaves out are skipped before a token is asked for; its fresh variables are in the mail."""
    with RecheckSite() as site, rechecked(tmp_path, site, AT_ONCE) as env:
        env.work.environment["CAMPAIGN_RECHECK_KEY"] = RECHECK_KEY
        site.recheck.standing = {"user_0": {"total": "99.50"}, "user_2": {}}
        done = env.work.run()
        assert (done.returncode, done.stderr) == (0, "")
        assert states(env) == {
            "user_0/first": "sent",
            "user_0/second": "sent",
            "user_1/first": "no longer wanted",
            "user_1/second": "no longer wanted",
            "user_2/first": "sent",
            "user_2/second": "sent",
        }
        assert len(env.tokens) == 4
        assert all(event["signed"] for event in site.events("request"))
        assert {event["step"] for event in site.events("request")} == {"first", "second"}


@pytest.mark.parametrize(
    "fault", ["500 Oops", "302 Found -> http://127.0.0.1:9/", "<html>", '{"keys": {"user_9": {}}}', "silence"]
)
def test_on_doubt_nothing_is_sent(tmp_path: Path, fault: str) -> None:
    """An answer that cannot be used lets the rows wait; it is said once, and the exit code is 1."""
    with RecheckSite() as site, rechecked(tmp_path, site) as env:
        text = env.work.file.read_text(encoding="utf-8")
        env.work.file.write_text(text.replace('first_delay = "300ms"', 'first_delay = "4s"'), encoding="utf-8")
        env.work.environment["CAMPAIGN_RECHECK_KEY"] = RECHECK_KEY
        site.recheck.faults += [fault] * 5
        done = env.work.run("--no-wait")
        assert done.returncode == 1, done.stdout
        assert done.stdout.count("Nothing is sent to whom it was asked about") == 1
        assert env.accepted == env.tokens == []
        assert waits(env) == {"recheck": 3}
        assert "3 for the site's answer" in done.stdout
        assert site.asked == [("user_0", "user_1", "user_2")]
        site.recheck.faults.clear()
        later(env)
        assert env.work.run().returncode == 0
        assert len(env.accepted) == 3


def test_a_recheck_without_its_key_is_refused(tmp_path: Path) -> None:
    """With [recheck] url and no CAMPAIGN_RECHECK_KEY nothing is sent, and the sentence names the setting."""
    with RecheckSite() as site, rechecked(tmp_path, site) as env:
        done = env.work.run()
        assert done.returncode == 2
        assert "CAMPAIGN_RECHECK_KEY" in done.stderr
        assert env.silent


def test_a_cap_holds_over_two_campaigns_of_a_log(tmp_path: Path) -> None:
    """Who had a mail of another campaign waits, says why, and is no failure."""
    with environment(tmp_path, 3, more='[limits]\nper_recipient = "1/week"\n') as env:
        assert env.work.run().returncode == 0
        other = env.work.file.with_name("other.toml")
        other.write_text(env.work.file.read_text().replace('name = "trial"', 'name = "other"'), encoding="utf-8")
        done = env.work.campaign("run", "other.toml", "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Waiting: 3 because their address had its share of mails (limits.per_recipient)" in done.stdout
        assert env.mailed == ["u0@d0.example", "u1@d1.example", "u2@d2.example"]


def test_two_campaigns_of_one_name_are_refused(tmp_path: Path) -> None:
    """Another file with the same name in one log is refused with both names; a file that was moved goes on."""
    with environment(tmp_path, 2) as env:
        assert env.work.run().returncode == 0
        copy = env.work.file.with_name("copy.toml")
        copy.write_text(env.work.file.read_text(), encoding="utf-8")
        done = env.work.campaign("run", "copy.toml", "--yes")
        assert done.returncode == 2
        assert str(env.work.file.resolve()) in done.stderr
        assert "copy.toml" in done.stderr
        env.work.file.unlink()
        assert env.work.campaign("run", "copy.toml", "--yes").returncode == 0
        assert len(env.accepted) == 2
