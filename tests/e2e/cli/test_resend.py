"""`campaign revoke` and `campaign resend`: they ask first, and a resent mail has a new link."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from support.environment import environment
from support.refusals import refused, stranger_to
from support.servers.clerk_script import Answer, ClerkScript, Used
from support.servers.script import Drop, Fault, Reply
from support.servers.smtp_script import SmtpScript

if TYPE_CHECKING:
    from pathlib import Path

    from support.environment import Environment

SOON = '[retry]\nfirst_delay = "100ms"\nattempts = 2\n'


def typed(env: Environment, answer: str, *arguments: str) -> tuple[int, str]:
    """Run a command on a terminal, and return its exit code and what it printed."""
    keyboard, terminal = os.openpty()
    try:
        process = env.work.start(*arguments, stdin=terminal)
        os.write(keyboard, f"{answer}\n".encode())
        said, warned = process.communicate(timeout=30)
    finally:
        os.close(keyboard)
        os.close(terminal)
    assert warned == ""
    return process.returncode, said


def messages_to(env: Environment, address: str) -> list[tuple[str, str]]:
    """Return Message-ID and token of each mail that was accepted for an address."""
    found = [event for event in env.accepted if event["rcpt"] == [address]]
    return [(event["message_id"], event["tokens"][0]) for event in found]


@pytest.mark.parametrize(
    "command",
    [
        ("revoke",),
        pytest.param(("resend", "--email", "u0@d0.example"), marks=pytest.mark.long),
        pytest.param(("resend", "--revoked"), marks=pytest.mark.long),
    ],
)
def test_no_link_is_revoked_without_a_yes(tmp_path: Path, command: tuple[str, ...]) -> None:
    """Without a terminal and without `--yes` no command revokes a link."""
    with environment(tmp_path) as env:
        env.work.run()
        refused(env.work.campaign(command[0], "campaign.toml", *command[1:]), "revoke links for real", "--yes")
        assert not env.revoked


@pytest.mark.parametrize(("answer", "revoked"), [("y", 0), ("yes", 2)])
def test_revoke_asks_with_the_number_of_live_links(tmp_path: Path, answer: str, revoked: int) -> None:
    """The question counts the links that still work and names the log; only `yes` goes on."""
    bounce = SmtpScript(faults=(Fault("rcpt", Reply("550 5.1.1 No such user"), to="u1@*"),))
    with environment(tmp_path, 3, smtp=bounce) as env:
        env.work.run()
        before = set(env.revoked)
        code, said = typed(env, answer, "revoke", "campaign.toml")
        assert f"The send log is {env.work.log}. Revoke 2 live links of trial, so that they stop working?" in said
        assert code == (0 if revoked else 130)
        assert len(env.revoked - before) == revoked
        assert ("Nothing was changed." in said) == (not revoked)
        assert ("campaign resend campaign.toml --revoked" in said) == bool(revoked)


def test_the_sandbox_asks_nothing(tmp_path: Path) -> None:
    """In the sandbox `revoke` and `resend` need no `--yes`, as `run`."""
    work = stranger_to(tmp_path)
    work.campaign("run", "campaign.toml")
    assert "3 revoked" in work.campaign("revoke", "campaign.toml").stdout
    assert "3 recipients queued" in work.campaign("resend", "campaign.toml", "--revoked").stdout
    assert "3 messages sent" in work.campaign("run", "campaign.toml").stdout


def test_resend_gives_one_recipient_a_new_link(tmp_path: Path) -> None:
    """`resend --email` revokes the old link, and the next run sends that recipient a new mail with a new link."""
    with environment(tmp_path) as env:
        env.work.run()
        (old,) = messages_to(env, "u1@d1.example")
        code, said = typed(env, "yes", "resend", "campaign.toml", "--email", "U1@d1.example")
        assert code == 0, said
        assert "Queue 1 recipient of trial for another mail, and revoke the old links?" in said
        assert "1 revoked" in said
        assert "campaign run campaign.toml" in said
        assert env.revoked == {token["id"] for token in env.tokens if token["token"] == old[1]}
        assert env.work.run().returncode == 0
        first, second = messages_to(env, "u1@d1.example")
        assert first == old
        assert first[0] != second[0]
        assert first[1] != second[1]
        assert len(env.accepted) == 4
        assert "nothing to send" in env.work.run().stdout


def test_resend_serves_all_whose_link_was_revoked(tmp_path: Path) -> None:
    """`resend --revoked` takes who was mailed and lost the link, and not who had signed in with it."""
    clerk = ClerkScript(faults=(Fault("revoke", Used(), times=1),))
    with environment(tmp_path, 4, clerk=clerk) as env:
        env.work.run()
        assert "3 revoked, 1 already used" in env.work.campaign("revoke", "campaign.toml", "--yes").stdout
        done = env.work.campaign("resend", "campaign.toml", "--revoked", "--yes")
        assert "3 recipients queued again" in done.stdout
        assert env.work.run().returncode == 0
        assert len(env.accepted) == 7
        assert "nothing to do" in env.work.campaign("resend", "campaign.toml", "--revoked", "--yes").stdout


def test_a_resent_row_waits_until_the_old_link_is_dead(tmp_path: Path) -> None:
    """If Clerk does not answer the revocation, `resend` exits 1 and queues nobody."""
    clerk = ClerkScript(faults=(Fault("revoke", Answer(500, "<html>no</html>"), times=2),))
    with environment(tmp_path, clerk=clerk, more=SOON) as env:
        env.work.run()
        again = ("resend", "campaign.toml", "--email", "u1@d1.example", "--yes")
        done = env.work.campaign(*again)
        assert done.returncode == 1
        assert "run the same command again" in done.stdout
        assert env.work.status()["sent"] == 3
        assert env.work.campaign(*again).returncode == 0
        assert env.work.status()["queued"] == 1


def test_a_link_that_was_used_can_be_replaced_without_an_alarm(tmp_path: Path) -> None:
    """A used link of a mail that had arrived is no alarm after the mail is sent again, in `status` or the report."""
    clerk = ClerkScript(faults=(Fault("revoke", Used()),))
    with environment(tmp_path, clerk=clerk) as env:
        env.work.run()
        assert (
            "1 already used" in env.work.campaign("resend", "campaign.toml", "--email", "u1@d1.example", "--yes").stdout
        )
        assert "ALARM" not in env.work.run().stdout
        assert len(messages_to(env, "u1@d1.example")) == 2
        env.work.campaign("report", "campaign.toml", "--html", "out.html")
        assert "should not have been" not in (tmp_path / "out.html").read_text(encoding="utf-8")


def test_resend_says_what_to_type_for_who_has_no_mail(tmp_path: Path) -> None:
    """A recipient who is not `sent` is refused with the command for their state, and nothing is revoked."""
    people = [{"user_id": f"user_{n}", "email": f"u{n}@d{n}.example", "first_name": "A"} for n in range(4)]
    people[3]["email"] = "nobody"
    faults = (Fault("rcpt", Reply("550 5.1.1 No such user"), to="u0@*"), Fault("dot", Drop(done=True), to="u1@*"))
    with environment(tmp_path, people, smtp=SmtpScript(faults=faults)) as env:
        env.work.run("--limit", "2")
        known = {
            "u0@d0.example": "campaign retry campaign.toml --email u0@d0.example",
            "u1@d1.example": "campaign resolve campaign.toml --resend --email u1@d1.example",
            "u2@d2.example": "campaign run campaign.toml",
            "nobody": "no recipient of trial has the address nobody",
        }
        before = env.work.rows(), set(env.revoked)
        for address, words in known.items():
            done = env.work.campaign("resend", "campaign.toml", "--email", address, "--yes")
            assert (done.returncode, words in done.stderr) == (2, True), done.stderr
        assert (env.work.rows(), env.revoked) == before
        for options in ((), ("--revoked", "--email", "u0@d0.example")):
            assert env.work.campaign("resend", "campaign.toml", *options).returncode == 2


def test_a_campaign_without_links_can_be_resent(tmp_path: Path) -> None:
    """Without [link] nothing is revoked, and the named recipient gets another mail."""
    with environment(tmp_path, link=False) as env:
        env.work.run()
        done = env.work.campaign("resend", "campaign.toml", "--email", "u2@d2.example", "--yes")
        assert (done.returncode, done.stderr) == (0, "")
        assert env.work.run().returncode == 0
        assert env.mailed == ["u0@d0.example", "u1@d1.example", "u2@d2.example", "u2@d2.example"]
