"""The samples at a receiver of real programs: Postfix takes them, opendkim verifies, SpamAssassin judges."""

from __future__ import annotations

import re
from csv import DictReader
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import SMTP
from typing import TYPE_CHECKING

import pytest

from campaign.samples import SAMPLES, write_sample
from support.crash.leaks import pieces
from support.dkim_keys import public_key, write_key
from support.mta.opendkim import AUTHSERV_ID, opendkim
from support.mta.postfix import postfix
from support.mta.spamassassin import score
from support.servers.clerk import ClerkServer
from support.servers.clerk_script import ClerkScript, Users
from support.workspace import SECRET_KEY, Workspace

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from email.message import EmailMessage
    from pathlib import Path

#: Real mail programs start and stop for each of these.
pytestmark = pytest.mark.long

#: The sender's domain of each sample.
DOMAINS = {
    "waitlist": "acme.example",
    "cart": "shop.example",
    "promotion": "wren.example",
    "survey": "quillnote.example",
}


class Sample:
    """A new campaign like a sample, which signs its mails and has a mailbox for what comes back."""

    def __init__(self, folder: Path, like: str) -> None:
        self.domain = DOMAINS[like]
        self.work = Workspace(folder / like)
        self.csv = self.work.folder / write_sample(self.work.folder, SAMPLES[like], now=datetime.now(UTC))[-1]
        text = self.work.file.read_text("utf-8")
        text = re.sub(r"^\[email\].*$", f'[email]\nbounces = "{self.bounces}"', text, flags=re.MULTILINE)
        # as many a second as Postfix takes, and at any hour
        text = re.sub(r"^(messages|hours) = .*$", "", text, flags=re.MULTILINE) + '\n[dkim]\nselector = "s1"\n'
        self.work.file.write_text(text, "utf-8")
        self.work.environment["CAMPAIGN_DKIM_KEY"] = str(write_key(folder, "rsa2048"))

    @property
    def bounces(self) -> str:
        """The mailbox of the return path."""
        return f"bounces@{self.domain}"

    @property
    def addresses(self) -> list[str]:
        """The recipients, each once: all rows but those of a customer without an order."""
        return list(dict.fromkeys(row["email"] for row in self.rows() if row.get("orders") != "0"))

    def rows(self) -> list[dict[str, str]]:
        """Return the rows of the CSV."""
        return list(DictReader(self.csv.read_text("utf-8").splitlines()))

    def users(self) -> Path:
        """Return a CSV of Clerk's users: the recipients, whose ids the campaign may have to look up."""
        users = [{"user_id": f"user_{number}", **row} for number, row in enumerate(self.rows())]
        return self.work.write_people(users, name="users.csv")

    def record(self) -> dict[str, str]:
        """Return the TXT record that `campaign check` says to publish, by its name."""
        done = self.work.campaign("check", "campaign.toml")
        assert done.returncode == 0, done.stdout
        lines = done.stdout.splitlines()
        name = f"s1._domainkey.{self.domain}"
        return {name: lines[lines.index(name) + 1]}


@pytest.fixture(params=DOMAINS)
def sample(request: pytest.FixtureRequest, tmp_path: Path) -> Sample:
    """Return each of the samples in turn."""
    return Sample(tmp_path, request.param)


def clerk_of(sample: Sample) -> AbstractContextManager[ClerkServer]:
    """Return a Clerk whose users are the recipients."""
    return ClerkServer(ClerkScript(users=Users(csv=str(sample.users())), key=SECRET_KEY))


def parsed(mail: bytes) -> EmailMessage:
    """Return a mail."""
    return message_from_bytes(mail, policy=SMTP)


def test_a_receiver_verifies_each_signature_and_finds_no_fault(sample: Sample, tmp_path: Path) -> None:
    """The milter verifies each mail, both unsubscribe headers are signed, and SpamAssassin gives 0.0 to all of them."""
    with (
        opendkim(tmp_path, sample.record()) as milter,
        postfix(sample.addresses, unknown=[], milter=milter) as server,
        clerk_of(sample) as clerk,
    ):
        sample.work.serve_by(clerk=clerk.url, smtp=server.url)
        done = sample.work.run()
        assert done.returncode == 0, done.stdout + done.stderr
        server.wait_for(lambda: all(server.mails(address) for address in sample.addresses))
        mails = [mail for address in sample.addresses for mail in server.mails(address)]
    assert len(mails) == len(sample.addresses)
    for mail in mails:
        message = parsed(mail)
        (results,) = (" ".join(text.split()) for text in message.get_all("Authentication-Results", []))
        assert results.startswith(f"{AUTHSERV_ID}; dkim=pass ")
        assert f" header.d={sample.domain} " in results
        assert " header.s=s1 " in results
        signature = re.sub(r"\s", "", message["DKIM-Signature"])
        signed = signature.partition(";h=")[2].partition(";")[0].lower().split(":")
        assert {"list-unsubscribe", "list-unsubscribe-post", "from", "subject"} <= set(signed)
        assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    scores = score(tmp_path, mails)
    assert len(scores) == len(mails)
    assert {each.points for each in scores} == {0.0}, scores


def test_a_signature_by_another_key_is_refused(tmp_path: Path) -> None:
    """With another key in the DNS the milter refuses every mail, so what it lets pass was verified."""
    sample = Sample(tmp_path, "waitlist")
    ((name, _),) = sample.record().items()
    other = {name: f"v=DKIM1; k=rsa; p={public_key('rsa1024')}"}
    with (
        opendkim(tmp_path, other) as milter,
        postfix(sample.addresses, unknown=[], milter=milter) as server,
        clerk_of(sample) as clerk,
    ):
        sample.work.serve_by(clerk=clerk.url, smtp=server.url)
        assert sample.work.run("--limit", "1").returncode == 1
        (row,) = (row for row in sample.work.rows() if row["attempts"])
        assert (row["state"], row["code"]) == ("failed", 550)
        assert not server.mails(sample.addresses[0])


def test_spamassassin_finds_a_fault_where_there_is_one(tmp_path: Path) -> None:
    """The judge has rules for what the samples avoid: text that is nearly white scores."""
    hidden = b"<html><body><p style='color:#fefefe;background:#ffffff'>Hello and welcome</p></body></html>"
    head = b"From: a@acme.example\r\nTo: b@example.com\r\nSubject: Hi\r\nMIME-Version: 1.0\r\nContent-Type: text/html"
    (found,) = score(tmp_path, [head + b"\r\n\r\n" + hidden + b"\r\n"])
    assert found.points > 0
    assert "HTML_FONT_LOW_CONTRAST" in found.rules


def test_a_report_of_postfix_marks_its_row_and_no_other(sample: Sample) -> None:
    """Postfix's report about an unknown mailbox has no token; its row is bounced, its token revoked, nobody else's."""
    gone, *others = sample.addresses
    with postfix([*others, sample.bounces], unknown=[gone]) as server, clerk_of(sample) as clerk:
        sample.work.serve_by(clerk=clerk.url, smtp=server.url)
        assert sample.work.run().returncode == 0
        assert sample.work.status()["sent"] == len(sample.addresses)
        server.wait_for(lambda: server.mails(sample.bounces) and all(server.mails(each) for each in others))
        (report,) = server.mails(sample.bounces)
        tokens = {event["id"]: event["token"] for event in clerk.events("token")}
        whole = re.sub(rb"=\r?\n|\s", b"", report)
        assert b"Status:5.1.1" in whole
        assert not any(piece in whole for piece in pieces(tokens.values()))
        assert not clerk.events("revoked")
        done = sample.work.campaign("bounces", "campaign.toml", str(server.box(sample.bounces)))
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.search(r"^bounced +1 ", done.stdout, re.MULTILINE)
        (row,) = (row for row in sample.work.rows() if row["state"] == "bounced")
        assert row["email"] == gone
        assert {event["id"] for event in clerk.events("revoked")} == {row["token_id"]} <= set(tokens)
        listed = sample.work.campaign("suppress", "list", "--format", "csv").stdout.splitlines()[1:]
        assert [line.split(",")[:3] for line in listed] == [[gone, "", "bounced"]]
