"""Reading one mail: any input has a result, in bounded memory and depth; only the right places show a tag."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.bounces.report import Kind, RecipientReport, Report
from campaign.bounces.reports import MAX_MAIL, parse_report
from support.reports import MEANS, TAG, mail_named

OTHER = "zyxwvutsrqponmlkjihgfedcba76"

#: Pieces of which mails are put together at random.
PIECES = st.sampled_from(
    [
        *(line + b"\n" for name in ("postfix-unknown-user", "gmail-unknown") for line in mail_named(name).split(b"\n")),
        b"Content-Type: multipart/report; boundary=b\n",
        b"Content-Type: message/delivery-status\n",
        b"Content-Type: message/feedback-report\n",
        b"Content-Type: multipart/digest; boundary*=utf-8'en'%62\n",
        b"Content-Type: multipart/mixed; boundary*0=b; boundary*1=\xff\n",
        b'Content-Type: text/plain; charset=unknown-8bit; x="\\\n',
        b"Content-Transfer-Encoding: base64\n",
        b"Content-Transfer-Encoding: quoted-printable\n",
        b"Subject: =?utf-8?b?!!!!?= =?nonsense?q?=ff?= =?utf-8?b?YQ?=\n",
        b"From: ((((((((((<@@>,;:\xe9\n",
        b"From: MAILER-DAEMON\n",
        b"Return-Path: <>\n",
        b"Diagnostic-Code: smtp; =?idna?q?=ff?=\n",
        b"--b\n",
        b"--b--\n",
        b"\n",
        b"\r\n",
        b"=\n",
    ]
)


@given(st.binary(max_size=2000) | st.lists(PIECES | st.binary(max_size=30), max_size=40).map(b"".join))
def test_any_input_has_a_result(mail: bytes) -> None:
    """Any bytes are read as a report of some kind, with safe words and well-formed tags."""
    report = parse_report(mail)
    assert report.kind in Kind
    assert len(report.tags) <= 5
    assert all(len(tag) == 28 and tag.isalnum() for tag in report.tags)
    for one in report.recipients:
        assert (one.words + one.original + one.final + one.status).isprintable()
        assert len(one.words) <= 200


@pytest.mark.parametrize("name", sorted(MEANS))
def test_an_altered_mail_has_a_result(name: str) -> None:
    """Each mail of the corpus with altered, lost and doubled bytes is read without an exception."""
    chance = random.Random(name)  # noqa: S311 - not for security
    for _ in range(20):
        mail = bytearray(mail_named(name))
        for _ in range(chance.randint(1, 10)):
            place = chance.randrange(len(mail))
            mail[place : place + chance.randint(0, 30)] = chance.randbytes(chance.randint(0, 3))
        assert parse_report(bytes(mail)).kind in Kind


def nested(levels: int) -> bytes:
    """Return a mail of multiparts within each other."""
    head = "".join(f"Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n" for level in range(levels))
    return b"From: MAILER-DAEMON@mx.example.com\n" + head.encode() + b"\n550 5.1.1\n"


BOMBS = {
    "nested multiparts": nested(20_000),
    "attached mails": b"From: MAILER-DAEMON\n" + b"Content-Type: message/rfc822\n\n" * 30_000,
    "parts": b"From: MAILER-DAEMON\nContent-Type: multipart/report; boundary=b\n\n" + b"--b\n\n" * 200_000,
    "empty multiparts": b"From: MAILER-DAEMON\nContent-Type: multipart/report; boundary=b\n\n"
    + b"--b\nContent-Type: multipart/mixed; boundary=c\n\n" * 20_000,
    "blocks": b"From: MAILER-DAEMON\nContent-Type: multipart/report; boundary=b\n\n--b\n"
    b"Content-Type: message/delivery-status\n\n" + b"Action: failed\n\n" * 60_000,
    "header fields": b"To: <a+" + TAG.encode() + b"@x.example>\n" * 200_000,
    "a long header field": b"From: " + b"(" * MAX_MAIL,
    "parameters": b"Content-Type: multipart/report" + b';"' * (MAX_MAIL // 2),
    "dashes": b"From: MAILER-DAEMON\n\n" + b"-" * MAX_MAIL,
    "blank lines": b"From: MAILER-DAEMON\n\n" + b" \n" * (MAX_MAIL // 2),
    "angle brackets": b"From: MAILER-DAEMON\n\n" + b"<" * MAX_MAIL,
    "addresses": b"From: MAILER-DAEMON\n\n" + b"a@b.example " * (MAX_MAIL // 12),
    "codes": b"From: MAILER-DAEMON\n\n" + b"5.1.1 " * (MAX_MAIL // 6),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_defused(name: str) -> None:
    """A mail made to be costly is read in a few times its own size, and acts on nothing."""
    mail = BOMBS[name]
    tracemalloc.start()
    try:
        report = parse_report(mail)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * MAX_MAIL
    assert report.kind is not Kind.HARD


def test_a_long_report_is_read_from_its_start() -> None:
    """A report that returns a message of 50 MB is understood by its first part."""
    mail = mail_named("gmail-unknown").removesuffix(b"--0000000000001a2b3c0001--\n")
    assert parse_report(mail + b"x" * 50_000_000).kind is Kind.HARD


@pytest.mark.parametrize(
    ("old", "new", "tags"),
    [
        (b"", b"", (TAG,)),
        (TAG.encode(), TAG.upper().encode(), (TAG,)),
        (b"bounces+", b"SRS0=abc=x=acme.example=bounces+", (TAG,)),
        (b"To: bounces+" + TAG.encode(), b"To: bounces+" + OTHER.encode(), (TAG, OTHER)),
        (b"Original-Envelope-Id: ", b"Original-Envelope-Id: +61", (TAG,)),
        (b"Original-Envelope-Id: a", b"Original-Envelope-Id: +61", (TAG,)),
        (b"Original-Envelope-Id: " + TAG.encode(), b"Original-Envelope-Id: " + OTHER.encode(), (TAG, OTHER)),
        (TAG.encode(), TAG[:-1].encode(), ()),
        (TAG.encode(), TAG.encode() + b"a", ()),
        (TAG.encode(), b"", ()),
    ],
)
def test_tags_come_from_the_envelope(old: bytes, new: bytes, tags: tuple[str, ...]) -> None:
    """Tags come from the address that the report was sent to, its envelope id and the returned return path."""
    assert set(parse_report(mail_named("postfix-unknown-user").replace(old, new)).tags) == set(tags)


def test_a_tag_in_a_text_or_another_field_is_none() -> None:
    """What looks like a tag in a body, a subject or an id is not one."""
    mail = (
        f"From: MAILER-DAEMON@mx.example.com\nTo: hello@acme.example\nSubject: bounces+{TAG}@acme.example\n"
        f"Message-ID: <x+{TAG}@acme.example>\nReferences: <y+{TAG}@acme.example>\n\nbounces+{TAG}@acme.example {TAG}\n"
    )
    assert parse_report(mail.encode()).tags == ()


def test_a_report_about_several_is_narrowed_to_one() -> None:
    """The part of a report that names an address decides for it; without such a part the mildest one does."""
    report = parse_report(mail_named("postfix-alias-half-dead"))
    assert report.kind is Kind.DELIVERED
    assert report.about("OLD@Example.Net").kind is Kind.HARD
    assert report.about("OLD@Example.Net").status == "5.1.1"
    assert report.about("new@example.net").kind is Kind.DELIVERED
    assert report.about("ada@example.com") == report


def test_a_report_about_very_many_is_no_hard_bounce() -> None:
    """Of a report about more recipients than are read, the rest may have fared better: it is no hard bounce."""
    block = b"Final-Recipient: rfc822; %d@example.com\nAction: failed\nStatus: 5.1.1\n\n"
    head, _, _ = mail_named("postfix-unknown-user").partition(b"Final-Recipient")
    assert parse_report(head + b"".join(block % number for number in range(20))).kind is Kind.HARD
    report = parse_report(head + b"".join(block % number for number in range(21)))
    assert report.kind is Kind.NOT_UNDERSTOOD
    assert report.about("7@example.com").kind is Kind.HARD


def test_a_tag_is_not_shown() -> None:
    """No representation of a report shows its tags: who knows one can forge a report."""
    report = parse_report(mail_named("postfix-unknown-user"))
    assert report.tags == (TAG,)
    assert TAG not in f"{report!r} {report}"


def test_a_report_about_one_holds_for_whom_it_was_forwarded_from() -> None:
    """A report with one recipient is about our recipient even if the address was forwarded elsewhere."""
    report = Report(Kind.HARD, (TAG,), (RecipientReport(Kind.HARD, final="old@example.net"),))
    assert report.about("ada@example.com") == report


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("smtp; 550 5.1.1 see https://mx.example.com/?token=abc for more", "see … for more"),
        ("smtp; 550 no such user (#5.1.1)", "no such user"),
        ("smtp; 550 5.1.1 see www.example.com/a", "see …"),
        (f"smtp; 550 5.1.1 <bounces+{TAG}@acme.example> unknown", "<bounces+…@acme.example> unknown"),
        ("smtp; 550 5.1.1 eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzaXQi unknown", "….eyJzaXQi unknown"),
        ("smtp; 550 5.1.1 \x1b[31mred\x07", "[31mred"),
        ("smtp; 550 5.1.1 " + "no " * 500, ("no " * 67)[:200]),
    ],
)
def test_the_words_are_safe(said: str, words: str) -> None:
    """The server's words are kept without links, tokens and control characters, at most 200 characters."""
    mail = mail_named("postfix-unknown-user").replace(
        b"Diagnostic-Code: smtp; 550 5.1.1 <ada@example.com>: Recipient address\n    rejected: User unknown in local"
        b" recipient table\n",
        f"Diagnostic-Code: {said}\n".encode(),
    )
    report = parse_report(mail)
    assert report.words == words
    assert report.code == 550
