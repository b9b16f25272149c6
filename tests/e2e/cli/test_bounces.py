"""Returned mail end to end: `campaign bounces` marks rows, revokes tokens and suppresses addresses."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from support.environment import environment, wait_for
from support.reports import MEANS, TAG, mail_named
from support.servers.script import Drop, Fault, Reply, Silence
from support.servers.smtp_script import SmtpScript

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.environment import Environment

#: A report for each kind, by its name in the corpus.
HARD, SOFT, REJECTED, COMPLAINT = (
    "postfix-unknown-user",
    "postfix-mailbox-full",
    "postfix-content-rejected",
    "aol-feedback",
)


@contextmanager
def mailed(tmp_path: Path, *, smtp: SmtpScript | None = None) -> Iterator[Environment]:
    """Yield a campaign with tagged return paths that has been mailed to three people."""
    with environment(tmp_path, 3, smtp=smtp) as env:
        text = env.work.file.read_text(encoding="utf-8")
        env.work.file.write_text(text.replace("[email]\n", '[email]\nbounces = "bounces@acme.example"\n'), "utf-8")
        env.work.run()
        yield env


def tag_of(env: Environment, address: str) -> str:
    """Return the tag in the return path of the mail to an address."""
    (sender,) = {event["sender"] for event in env.smtp.events("accept") if event["rcpt"] == [address]}
    found = re.fullmatch(r"bounces\+([a-z2-7]{28})@acme\.example", sender)
    assert found is not None, sender
    return found[1]


def box(env: Environment, *mails: bytes) -> str:
    """Return the Maildir with these mails."""
    folder = env.work.folder / "returned"
    for name in ("new", "cur", "tmp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number, mail in enumerate(mails):
        (folder / "new" / f"{number}.host").write_bytes(mail)
    return "returned"


def report(name: str, tag: str, address: str) -> bytes:
    """Return a report of the corpus about one message of ours."""
    mail = mail_named(name).replace(TAG.encode(), tag.encode())
    return mail.replace(MEANS[name].recipient.encode(), address.encode()) if MEANS[name].recipient else mail


def rows(env: Environment) -> dict[str, str]:
    """Return each row's state by address."""
    return {str(row["email"]): str(row["state"]) for row in env.work.rows()}


def suppressed(env: Environment) -> list[str]:
    """Return the suppressed addresses with their lists and reasons."""
    return env.work.campaign("suppress", "list").stdout.splitlines()[1:]


def test_a_returned_mail_is_bounced_and_its_token_revoked(tmp_path: Path) -> None:
    """The row is `bounced`, the token revoked, the address suppressed for all lists; a second reading does nothing."""
    with mailed(tmp_path) as env:
        tag = tag_of(env, "u1@d1.example")
        place = box(env, report(HARD, tag, "u1@d1.example"))
        done = env.work.campaign("bounces", "campaign.toml", place)
        assert done.returncode == 0, done.stderr
        assert re.search(r"^bounced +1 ", done.stdout, re.MULTILINE)
        assert rows(env) == {"u0@d0.example": "sent", "u1@d1.example": "bounced", "u2@d2.example": "sent"}
        assert env.revoked == {token["id"] for token in env.tokens if token["user_id"] == "user_1"}
        (entry,) = suppressed(env)
        assert entry.startswith("u1@d1.example,,bounced,")
        assert env.work.status()["bounced"] == 1
        assert re.search(r"^read before +1 ", env.work.campaign("bounces", "campaign.toml", place).stdout, re.MULTILINE)
        assert env.work.run().returncode == 0, "a bounced row does not bear on a run"
        assert env.work.campaign("retry", "campaign.toml", "--state", "bounced").returncode == 0
        env.work.run()
        assert rows(env)["u1@d1.example"] == "skipped", "a retry does not lift a suppression"


@pytest.mark.parametrize(
    ("name", "state", "revoked", "list_has"),
    [(SOFT, "sent", 0, 0), (REJECTED, "bounced", 1, 0), (COMPLAINT, "sent", 1, 1)],
)
def test_each_kind_of_report_has_its_consequence(
    tmp_path: Path, name: str, state: str, revoked: int, list_has: int
) -> None:
    """A full mailbox changes nothing, a rejected message is no fault of the address, a complaint suppresses it."""
    with mailed(tmp_path) as env:
        place = box(env, report(name, tag_of(env, "u1@d1.example"), "u1@d1.example"))
        assert env.work.campaign("bounces", "campaign.toml", place).returncode == 0
        assert rows(env)["u1@d1.example"] == state
        assert len(env.revoked) == revoked
        assert len(suppressed(env)) == list_has


def test_a_forged_report_changes_nothing(tmp_path: Path) -> None:
    """A changed tag, the tag of no row, a report without a tag: counted, exit 1 for the forged, and no row changes."""
    with mailed(tmp_path) as env:
        tag = tag_of(env, "u1@d1.example")
        false = [tag[:-2] + ("a" if tag[-2] != "a" else "b") + tag[-1], "a" * 28]
        place = box(env, *(report(HARD, each, "u1@d1.example") for each in false))
        done = env.work.campaign("bounces", "campaign.toml", place)
        assert done.returncode == 1
        assert re.search(r"^forged +2 ", done.stdout, re.MULTILINE)
        assert set(rows(env).values()) == {"sent"}
        assert not env.revoked
        assert not suppressed(env)


def test_an_uncertain_mail_that_comes_back_is_bounced(tmp_path: Path) -> None:
    """A report proves that the message was taken: the row leaves `uncertain`, and no later resolve mails it again."""
    lost = SmtpScript(faults=(Fault("dot", Drop(done=True), to="u1@*", times=1),))
    with mailed(tmp_path, smtp=lost) as env:
        assert rows(env)["u1@d1.example"] == "uncertain"
        place = box(env, report(HARD, tag_of(env, "u1@d1.example"), "u1@d1.example"))
        assert env.work.campaign("bounces", "campaign.toml", place).returncode == 0
        assert rows(env)["u1@d1.example"] == "bounced"


def test_a_report_before_the_recovery_of_a_crash_waits_for_it(tmp_path: Path) -> None:
    """A report about a message that a killed run left `sending` changes nothing until a run has settled the row."""
    silent = SmtpScript(faults=(Fault("dot", Silence(60.0, done=True), to="u1@*", times=1),))
    with environment(tmp_path, 3, smtp=silent) as env:
        text = env.work.file.read_text(encoding="utf-8")
        env.work.file.write_text(text.replace("[email]\n", '[email]\nbounces = "bounces@acme.example"\n'), "utf-8")
        process = env.work.start("run", "campaign.toml", "--yes")
        wait_for(lambda: len(env.accepted) == 3 and sorted(rows(env).values()) == ["sending", "sent", "sent"], process)
        process.kill()
        process.communicate()
        place = box(env, report(HARD, tag_of(env, "u1@d1.example"), "u1@d1.example"))
        done = env.work.campaign("bounces", "campaign.toml", place)
        assert re.search(r"^not settled +1 .*read this again$", done.stdout, re.MULTILINE)
        assert rows(env)["u1@d1.example"] == "sending"
        assert not env.revoked
        assert not suppressed(env)
        assert env.work.run().returncode == 1
        assert rows(env)["u1@d1.example"] == "uncertain"
        done = env.work.campaign("bounces", "campaign.toml", place)
        assert re.search(r"^bounced +1 ", done.stdout, re.MULTILINE)
        assert rows(env)["u1@d1.example"] == "bounced"
        assert len(env.revoked) == len(suppressed(env)) == 1


def test_a_report_about_an_earlier_message_leaves_the_row(tmp_path: Path) -> None:
    """The tag names the message: a late report about one that was sent again does not touch the new message's token."""
    lost = SmtpScript(faults=(Fault("dot", Drop(done=True), to="u1@*", times=1),))
    with mailed(tmp_path, smtp=lost) as env:
        tag = tag_of(env, "u1@d1.example")
        assert env.work.campaign("resolve", "campaign.toml", "--resend").returncode == 0
        assert env.work.run().returncode == 0
        before = env.revoked
        assert env.work.campaign("bounces", "campaign.toml", box(env, report(REJECTED, tag, "u1@d1.example"))).stdout
        assert rows(env)["u1@d1.example"] == "sent"
        assert env.revoked == before


@pytest.mark.long
def test_three_campaigns_in_a_row_that_come_back_suppress(tmp_path: Path) -> None:
    """A mailbox that is full for three campaigns gets no fourth one."""
    with mailed(tmp_path) as env:
        text = env.work.file.read_text(encoding="utf-8")
        for number in range(3):
            env.work.file.write_text(text.replace('name = "trial"', f'name = "trial-{number}"'), encoding="utf-8")
            assert env.work.run().returncode == 0
            sender = [event["sender"] for event in env.accepted if event["rcpt"] == ["u1@d1.example"]][-1]
            tag = sender.partition("+")[2].partition("@")[0]
            assert not suppressed(env)
            place = box(env, report(SOFT, tag, "u1@d1.example"))
            assert env.work.campaign("bounces", "campaign.toml", place).returncode == 0
        (entry,) = suppressed(env)
        assert entry.startswith("u1@d1.example,,returned in 3 campaigns in a row,")


def test_an_address_that_is_refused_at_once_is_suppressed(tmp_path: Path) -> None:
    """5.1.1 in reply to RCPT suppresses for all lists, so no later campaign asks for a token; other refusals do not."""
    faults = (
        Fault("rcpt", Reply("550 5.1.1 No such user"), to="u0@*"),
        Fault("dot", Reply("550 5.1.1 No such user"), to="u1@*"),
        Fault("rcpt", Reply("550 5.7.1 No such user"), to="u2@*"),
    )
    with environment(tmp_path, 4, smtp=SmtpScript(faults=faults)) as env:
        assert env.work.run().returncode == 1
        assert sorted(rows(env).values()) == ["failed", "failed", "failed", "sent"]
        (entry,) = suppressed(env)
        assert entry.startswith("u0@d0.example,,refused with 5.1.1,")
        assert entry.endswith(",trial,user_0")
        text = env.work.file.read_text(encoding="utf-8")
        env.work.file.write_text(text.replace('name = "trial"', 'name = "second"'), encoding="utf-8")
        before = len(env.tokens)
        env.work.run()
        assert {token["user_id"] for token in env.tokens[before:]} == {"user_1", "user_2", "user_3"}
        (row,) = (row for row in env.work.rows() if row["email"] == "u0@d0.example")
        assert row["state"] == "skipped"
        assert str(row["reason"]).startswith("suppressed: refused with 5.1.1 ")


def test_a_wrong_source_is_refused(tmp_path: Path) -> None:
    """A mailbox that is none, and no mailbox at all, are sentences with exit 2."""
    with mailed(tmp_path) as env:
        done = env.work.campaign("bounces", "campaign.toml", "nowhere")
        assert (done.returncode, "nowhere does not exist" in done.stderr) == (2, True)
        done = env.work.campaign("bounces", "campaign.toml")
        assert (done.returncode, "CAMPAIGN_IMAP_URL is not set" in done.stderr) == (2, True)


def test_the_tag_is_the_envelope_id_too(tmp_path: Path) -> None:
    """Where the server offers DSN, a bounce brings back the headers only and the tag, whatever the return path is."""
    script = SmtpScript(capabilities=("PIPELINING", "8BITMIME", "DSN"))
    with mailed(tmp_path, smtp=script) as env:
        options = {event["rcpt"][0]: event["options"].split() for event in env.accepted}
        assert len(options) == 3
        for address, words in options.items():
            assert {"RET=HDRS", f"ENVID={tag_of(env, address)}"} <= set(words)
