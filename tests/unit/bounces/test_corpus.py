"""The corpus of reports: each is what its mail server meant, and no address is suppressed for anything else."""

from __future__ import annotations

import re

import pytest

from campaign.bounces.report import Kind
from campaign.bounces.reports import parse_report
from support.reports import FOLDER, MEANS, TAG, mail_named

#: What makes these mild stands behind what would be hard without it.
MILD_AT_THE_END = {"postfix-alias-half-dead", "gmail-too-fast", "sendmail-spam-called-unknown"}
HARD_IN_PLAIN_TEXT = [name for name in MEANS if MEANS[name].kind == "hard" and name != "international-address"]
#: These name no message of ours: the relay replaced the return path.
UNTAGGED = {"ses-unknown"}


def test_the_table_has_every_mail() -> None:
    """Each file of the corpus has a row in the table."""
    assert sorted(path.stem for path in FOLDER.glob("*.eml")) == sorted(MEANS)


@pytest.mark.parametrize("name", MEANS)
def test_a_report_is_what_its_server_meant(name: str) -> None:
    """Each mail has the kind, the status code and the recipient of the table."""
    report = parse_report(mail_named(name))
    assert (report.kind, report.status, report.recipient) == MEANS[name]


@pytest.mark.parametrize("name", sorted(MEANS.keys() - UNTAGGED))
def test_a_report_shows_the_tag(name: str) -> None:
    """Each mail that comes back to a tagged address, or returns a tagged message, yields that one tag."""
    assert parse_report(mail_named(name)).tags == (TAG,)


@pytest.mark.parametrize("name", sorted(UNTAGGED))
def test_a_message_id_is_no_tag(name: str) -> None:
    """A report without the tag yields none, although it holds the message's id."""
    mail = mail_named(name)
    assert b"Message-ID" in mail
    assert parse_report(mail).tags == ()


@pytest.mark.parametrize("name", MEANS)
def test_line_ends_make_no_difference(name: str) -> None:
    """A mail means the same with LF and with CRLF as line end."""
    mail = mail_named(name)
    assert parse_report(mail.replace(b"\n", b"\r\n")) == parse_report(mail)


@pytest.mark.parametrize("name", MEANS)
def test_no_link_and_no_token_is_kept(name: str) -> None:
    """What is kept of a mail is printable, and holds neither a link nor a sign-in token nor the tag in its words."""
    report = parse_report(mail_named(name))
    kept = repr(report.recipients)
    assert "http" not in kept
    assert "eyJ" not in kept
    assert TAG not in kept
    assert all(one.words.isprintable() and len(one.words) <= 200 for one in report.recipients)


@pytest.mark.parametrize("name", MEANS)
def test_a_mail_cut_off_anywhere_is_no_harder(name: str) -> None:
    """A mail that ends too early is never a hard bounce or a complaint if the whole is not."""
    mail = mail_named(name)
    severe = {Kind.HARD, Kind.COMPLAINT}
    if parse_report(mail).kind in severe or name in MILD_AT_THE_END:
        return
    for end in range(0, len(mail), 37):
        assert parse_report(mail[:end]).kind not in severe


@pytest.mark.parametrize("name", HARD_IN_PLAIN_TEXT)
@pytest.mark.parametrize("status", ["5.6.0", "5.6.7", "5.7.1", "5.7.26", "5.7.515", "5.2.2", "4.2.1", "4.7.0"])
def test_no_other_status_is_a_hard_bounce(name: str, status: str) -> None:
    """A hard bounce in every server's form is none any more when the server says 5.2.2, 5.6.x, 5.7.x or 4.x."""
    mail = re.sub(rb"\b5\.1\.\d+|\b5\.2\.1\b", status.encode(), mail_named(name))
    kind = parse_report(mail).kind
    assert kind is not Kind.HARD
    assert kind is (Kind.REJECTED if status.startswith(("5.6", "5.7")) else Kind.SOFT)
