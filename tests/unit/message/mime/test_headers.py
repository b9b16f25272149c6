"""Header fields. The header block of whole messages is tested in test_message.py."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes
from email.header import decode_header, make_header
from email.policy import SMTP
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.errors import TemplateError
from campaign.message.mime import headers

#: Text that resembles headers, folds, encoded words and quoted strings.
NASTY = st.lists(
    st.sampled_from(
        [
            *(
                "a",
                " ",
                "  ",
                "\r\n",
                "\n",
                "\t",
                "\0",
                '"',
                "\\",
                ",",
                "<",
                ">",
                "@",
                ":",
                ";",
                "(",
                ")",
                "=?",
                "?=",
                "é",
            ),
            *("Bcc: x@example.com", "=?utf-8?q?=0d=0aBcc:_x?=", "=?utf-8?B?YQ==?=", "😀", "\u202e", "\u2028", "\x85"),
            *("word " * 20, "x" * 80, "e\u0301", "\u00a0", "\ufeff", "\x1b[31m"),
        ]
    )
).map("".join)


def parsed(field: bytes, name: str) -> str:
    """Return the value of a field as the standard library parses it."""
    message = message_from_bytes(field + b"\r\n", policy=SMTP)
    assert message.keys() == [name]
    assert not message.defects
    return str(message[name])


def assert_well_formed(field: bytes) -> None:
    """Check that a field is printable ASCII in short lines, folded before something printable."""
    assert re.fullmatch(rb"[A-Za-z-]+: [!-~][ -~]*(\r\n +[!-~][ -~]*)*\r\n", field)
    for line in field.split(b"\r\n"):
        assert len(line) <= 76
        assert all(len(word) <= 75 for word in re.findall(rb"=\?\S*\?=", line))


@given(st.text() | NASTY)
def test_a_text_comes_back_from_its_header(text: str) -> None:
    """Any text can be read back from its field as one line, and adds no second field."""
    text = headers.one_line(text)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text)
    if 0 < len(text) <= 998:
        field = headers.unstructured("Subject", text)
        assert_well_formed(field)
        assert parsed(field, "Subject") == text


def test_plain_text_stays_readable() -> None:
    """Short ASCII stays unchanged, longer ASCII is folded between words, and other text is encoded."""
    assert headers.unstructured("Subject", "You're in, Ana") == b"Subject: You're in, Ana\r\n"
    assert headers.unstructured("Subject", "word " * 20 + "end").count(b"=?") == 0
    assert headers.unstructured("Subject", "Zoë") == b"Subject: =?utf-8?B?Wm/Dqw==?=\r\n"
    assert headers.unstructured("Subject", "x" * 100).startswith(b"Subject: =?utf-8?B?")


@pytest.mark.parametrize("text", ["", "x" * 999, "é" * 100_000])
def test_a_subject_that_cannot_be_sent_is_refused(text: str) -> None:
    """An empty subject, or one of more than 998 characters, is refused with an error message."""
    with pytest.raises(TemplateError, match=r"subject (is empty|has \d+ characters)"):
        headers.unstructured("Subject", text)


def test_line_breaks_and_controls_in_a_subject() -> None:
    """Line breaks and tabs become one space; other controls and bidi characters are removed."""
    assert headers.one_line(" a\r\n\tb\u2028c\x00d\x7f\u202ee\u2066 \ud800") == "a b cde \ufffd"


@given(NASTY | st.text())
def test_a_display_name_comes_back(name: str) -> None:
    """Any display name can be read back unchanged, beside its address and no other."""
    name = headers.one_line(name).replace("<", "").replace(">", "").strip('"\\ \u00a0')
    name = re.sub(" +", " ", headers.one_line(name))
    if not name or len(name) > 300:
        return
    field = headers.mailbox("From", f"{name} <hello@acme.example>")
    assert_well_formed(field)
    (address,) = message_from_bytes(field + b"\r\n", policy=SMTP)["From"].addresses
    assert address.addr_spec == "hello@acme.example"
    read = address.display_name
    if b"=?" in field:
        # The library keeps the blank between two encoded words of a phrase, against RFC 2047 §6.2.
        read = str(make_header(decode_header(field[6:].rpartition(b" <")[0].decode())))
    assert read == name


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("hello@acme.example", b"From: hello@acme.example\r\n"),
        ("Acme <hello@acme.example>", b"From: Acme <hello@acme.example>\r\n"),
        ("Acme, Inc. <hello@acme.example>", b'From: "Acme, Inc." <hello@acme.example>\r\n'),
        ('"Acme, \\"Inc\\"" <hello@acme.example>', b'From: "Acme, \\"Inc\\"" <hello@acme.example>\r\n'),
        ("Grüner <hello@grün.example>", b"From: =?utf-8?B?R3LDvG5lcg==?= <hello@xn--grn-ioa.example>\r\n"),
        ("Zoë <hello@acme.example>", b"From: =?utf-8?B?Wm/Dqw==?= <hello@acme.example>\r\n"),
    ],
)
def test_mailboxes_are_written_as_rfc_5322_wants(text: str, field: bytes) -> None:
    """A display name is written as an atom if possible, else quoted, else encoded."""
    assert headers.mailbox("From", text) == field


@pytest.mark.parametrize(
    "text", ["", "Acme", "a@x.example, b@x.example", "Acme <>", "Acme <a@b@c.example>", "A <=?utf-8?q?x?=@x.example>"]
)
def test_what_is_not_one_mailbox_is_refused(text: str) -> None:
    """Only a single mailbox with a plain address is accepted as sender."""
    with pytest.raises(ValueError, match="not exactly one mailbox"):
        headers.mailbox("From", text)


@given(
    st.datetimes(datetime(1970, 1, 2), datetime(9998, 1, 1)),  # noqa: DTZ001 - the strategy adds the zone
    st.integers(-1439, 1439),
)
def test_the_date_is_the_instant(when: datetime, minutes: int) -> None:
    """The Date field names the same second in every time zone."""
    instant = when.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    text = parsed(headers.date(instant), "Date")
    assert parsedate_to_datetime(text) == instant.astimezone(UTC).replace(microsecond=0)
