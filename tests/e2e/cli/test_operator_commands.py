"""The operator's commands after a run: retry, resolve, revoke."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.environment import environment
from support.servers.clerk_script import Answer, ClerkScript, Used, Users
from support.servers.script import Drop, Fault, Reply
from support.servers.smtp_script import SmtpScript

if TYPE_CHECKING:
    from pathlib import Path

    from support.environment import Environment
    from support.servers.script import Action

#: The first mail to u1 is refused for good.
REFUSED = SmtpScript(faults=(Fault("rcpt", Reply("550 5.7.1 Refused by policy"), to="u[12]@*", times=2),))
#: The first mail to u1 is accepted, and the reply is lost.
LOST = SmtpScript(faults=(Fault("dot", Drop(done=True), to="u1@*", times=1),))
SOON = '[retry]\nfirst_delay = "100ms"\nattempts = 2\n'


def row_of(env: Environment, key: str) -> dict[str, object]:
    """Return the log's record of one recipient."""
    return next(row for row in env.work.rows() if row["key"] == key)


def test_retry_queues_the_failed_for_a_new_token_and_a_new_message(tmp_path: Path) -> None:
    """`retry` requeues failed recipients, and the next run sends each one mail with a new token and Message-ID."""
    with environment(tmp_path, smtp=REFUSED) as env:
        assert env.work.run().returncode == 1
        old = {token["id"] for token in env.tokens if token["user_id"] in {"user_1", "user_2"}}
        assert env.revoked == old
        done = env.work.campaign("retry", "campaign.toml")
        assert done.returncode == 0
        assert "2 recipients" in done.stdout
        assert "campaign run campaign.toml" in done.stdout
        assert env.work.status()["queued"] == 2
        assert env.work.run().returncode == 0
        assert env.mailed == ["u0@d0.example", "u1@d1.example", "u2@d2.example"]
        new = {token["token"] for token in env.tokens if token["id"] not in old}
        assert {event["tokens"][0] for event in env.accepted} == new
        assert env.revoked == old


def test_retry_can_name_one_address(tmp_path: Path) -> None:
    """`retry --email` requeues only that recipient, and does not touch one that has not failed."""
    with environment(tmp_path, smtp=REFUSED) as env:
        env.work.run()
        assert "1 recipient queued" in env.work.campaign("retry", "campaign.toml", "--email", "U1@d1.example").stdout
        assert "nothing to do" in env.work.campaign("retry", "campaign.toml", "--email", "u0@d0.example").stdout
        assert [row["state"] for row in env.work.rows()] == ["sent", "queued", "failed"]


def test_retry_can_take_up_the_skipped(tmp_path: Path) -> None:
    """`retry --state skipped` requeues recipients whose user Clerk did not know then."""
    clerk = ClerkScript(faults=(Fault("users", Answer(200, [], content_type="application/json"), times=1),))
    with environment(tmp_path, clerk=clerk) as env:
        assert env.work.run().returncode == 2
        assert env.work.status()["skipped"] == 3
        assert not env.tokens
        assert env.work.campaign("retry", "campaign.toml", "--state", "skipped").returncode == 0
        assert env.work.run().returncode == 0
        assert env.work.status()["sent"] == len(set(env.mailed)) == 3


def test_uncertain_is_asked_about_and_not_sent_again(tmp_path: Path) -> None:
    """A lost reply leaves the row uncertain with a live link; the run names both commands, and no later run resends."""
    with environment(tmp_path, smtp=LOST) as env:
        done = env.work.run()
        assert done.returncode == 1
        assert "campaign resolve campaign.toml --keep" in done.stdout
        assert "campaign resolve campaign.toml --resend" in done.stdout
        assert env.work.run().returncode == 1
        assert len(env.accepted) == 3
        assert not env.revoked


def test_keep_takes_the_uncertain_as_sent(tmp_path: Path) -> None:
    """`resolve --keep` changes uncertain rows to sent, sends no request and leaves their links alive."""
    with environment(tmp_path, smtp=LOST) as env:
        env.work.run()
        heard = len(env.clerk.events())
        done = env.work.campaign("resolve", "campaign.toml", "--keep")
        assert done.returncode == 0
        assert "1 recipient" in done.stdout
        assert len(env.clerk.events()) == heard
        assert env.work.status()["sent"] == 3
        assert env.work.run().returncode == 0
        assert len(env.accepted) == len(env.tokens) == 3


def test_resend_revokes_the_old_link_before_the_new_one_exists(tmp_path: Path) -> None:
    """`resolve --resend` revokes the old token first, and the second mail has a new token and Message-ID."""
    with environment(tmp_path, smtp=LOST) as env:
        env.work.run()
        before = row_of(env, "user_1")
        done = env.work.campaign("resolve", "campaign.toml", "--resend")
        assert done.returncode == 0
        assert "1 revoked" in done.stdout
        assert "campaign run campaign.toml" in done.stdout
        assert env.revoked == {before["token_id"]}
        assert env.work.run().returncode == 0
        after = row_of(env, "user_1")
        assert after["state"] == "sent"
        first, second = [event for event in env.accepted if event["rcpt"] == ["u1@d1.example"]]
        assert (first["message_id"], second["message_id"]) == (before["message_id"], after["message_id"])
        assert first["message_id"] != second["message_id"]
        assert first["tokens"] != second["tokens"]
        order = [event["event"] for event in env.clerk.events("token", "revoked")]
        assert order == ["token", "token", "token", "revoked", "token"]


def test_resend_waits_until_the_old_link_is_dead(tmp_path: Path) -> None:
    """If Clerk does not answer the revocation, `resolve --resend` exits 1 and queues no recipient."""
    clerk = ClerkScript(faults=(Fault("revoke", Answer(500, "<html>no</html>"), times=2),))
    with environment(tmp_path, smtp=LOST, clerk=clerk, more=SOON) as env:
        env.work.run()
        done = env.work.campaign("resolve", "campaign.toml", "--resend")
        assert done.returncode == 1
        assert "run the same command again" in done.stdout
        assert env.work.status()["uncertain"] == 1
        assert env.work.campaign("resolve", "campaign.toml", "--resend").returncode == 0
        assert len(env.revoked) == 1
        assert env.work.status()["queued"] == 1


def test_resend_leaves_alone_who_has_signed_in(tmp_path: Path) -> None:
    """If the link was used, the mail has arrived, so `resolve --resend` changes the row to sent and sends nothing."""
    clerk = ClerkScript(faults=(Fault("revoke", Used()),))
    with environment(tmp_path, smtp=LOST, clerk=clerk) as env:
        env.work.run()
        assert env.work.campaign("resolve", "campaign.toml", "--resend").returncode == 0
        assert row_of(env, "user_1")["state"] == "sent"
        assert env.work.run().returncode == 0
        assert len(env.accepted) == 3


@pytest.mark.parametrize(
    "lost",
    [Drop(done=True), pytest.param(Answer(500, "<html>oops</html>", done=True), marks=pytest.mark.long)],
    ids=["closed", "500"],
)
def test_a_revocation_whose_answer_was_lost_proves_nothing(lost: Action, tmp_path: Path) -> None:
    """A token that an unanswered revocation may have ended proves no sign-in: its mail is resent without an alarm."""
    clerk = ClerkScript(faults=(Fault("revoke", lost, times=1),))
    with environment(tmp_path, smtp=LOST, clerk=clerk, more=SOON) as env:
        env.work.run()
        done = env.work.campaign("resolve", "campaign.toml", "--resend")
        assert done.returncode == 0, done
        assert "0 already used" in done.stdout
        assert row_of(env, "user_1")["state"] == "queued"
        assert "ALARM" not in env.work.campaign("status", "campaign.toml").stdout
        assert env.work.run().returncode == 0
        assert len(env.accepted) == 4


def test_revoke_is_the_kill_switch(tmp_path: Path) -> None:
    """`revoke` revokes every token of the campaign that may still be pending, once, and prints how many."""
    clerk = ClerkScript(users=Users(), faults=(Fault("revoke", Used(), times=1),))
    with environment(
        tmp_path, 5, clerk=clerk, smtp=SmtpScript(faults=(Fault("dot", Drop(done=True), to="u1@*"),))
    ) as env:
        env.work.run()
        done = env.work.campaign("revoke", "campaign.toml", "--yes")
        assert done.returncode == 0
        assert "4 revoked, 1 already used" in done.stdout
        issued = {token["id"] for token in env.tokens}
        assert env.revoked | {event["id"] for event in env.clerk.events("used")} == issued
        asked = len(env.clerk.events("request"))
        assert "0 revoked" in env.work.campaign("revoke", "campaign.toml", "--yes").stdout
        assert len(env.clerk.events("request")) == asked
        assert len(env.accepted) == 5


def test_revoke_that_clerk_does_not_answer_exits_1(tmp_path: Path) -> None:
    """Revocations that Clerk did not confirm are counted with exit 1, and the same command again settles them."""
    clerk = ClerkScript(faults=(Fault("revoke", Answer(503), times=6),))
    with environment(tmp_path, clerk=clerk, more=SOON) as env:
        assert env.work.run().returncode == 0
        done = env.work.campaign("revoke", "campaign.toml", "--yes")
        assert done.returncode == 1
        assert "Clerk has not confirmed" in done.stdout
        assert "campaign run campaign.toml" in env.work.campaign("status", "campaign.toml").stdout
        for _ in range(4):
            if env.work.campaign("revoke", "campaign.toml", "--yes").returncode == 0:
                break
        assert env.revoked == {token["id"] for token in env.tokens}
