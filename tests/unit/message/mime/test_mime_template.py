"""The MIME template of a campaign's messages. Whole messages are tested in test_message.py."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP

import pytest

from campaign.errors import TemplateError
from campaign.message.mime.mime_template import MimeTemplate

SKELETON = MimeTemplate(
    sender="Acme <hello@acme.example>",
    reply_to=None,
    list_id="<x.acme.example>",
    boundary="=_0123456789abcdef",
)


def fill(*, subject: str = "Hello", text: str = "text", html: str = "<p>", eight_bit: bool = False) -> bytes:
    """Fill the MIME template and return the message."""
    (message,) = SKELETON.fill(
        to="ana@example.com",
        subject=subject,
        date=datetime(2025, 3, 1, 12, 30, 45, tzinfo=UTC),
        message_id="<1@acme.example>",
        text=text,
        html=html,
        eight_bit=eight_bit,
    )
    return message


@pytest.mark.parametrize(
    "subject",
    [
        "a\r\nBcc: evil@example.com",
        "a\r\n\r\nbody",
        "a\nBcc: x",
        "a\rBcc: x",
        "a\x00b",
        "a\tb",
        " a",
        "\r\n",
    ],
)
def test_the_header_block_holds_exactly_what_was_meant(subject: str) -> None:
    """A subject with a line break is refused, because the filled header block is checked as a whole."""
    with pytest.raises(TemplateError, match="would not be exactly the intended ones"):
        fill(subject=subject)


@pytest.mark.parametrize("list_id", ["<a.example>\r\nBcc: evil@example.com", "", "a\n b", "<a.example>\r\n\r\nbody"])
def test_the_headers_that_never_vary_are_looked_at_once(list_id: str) -> None:
    """A constant header that would add another header is refused when the MIME template is made."""
    with pytest.raises(ValueError, match="does not result in exactly one header"):
        MimeTemplate(sender="hello@acme.example", reply_to=None, list_id=list_id, boundary="=_1")


def test_a_body_that_holds_the_boundary_cannot_be_8bit() -> None:
    """A body that contains the boundary is encoded as quoted-printable, so that it cannot end its part."""
    text = "a\n--=_0123456789abcdef--\n"
    first, second = message_from_bytes(fill(text=text, eight_bit=True), policy=SMTP).iter_parts()
    assert first["Content-Transfer-Encoding"] == "quoted-printable"
    assert first.get_content().splitlines() == ["a", "--=_0123456789abcdef--"]
    assert second["Content-Transfer-Encoding"] == "8bit"


@pytest.mark.parametrize("eight_bit", [False, True])
def test_the_message_is_an_email_message(*, eight_bit: bool) -> None:
    """The message has the same parts, types and contents as an EmailMessage with the same content."""
    meant = EmailMessage(policy=SMTP)
    meant["Subject"] = "Hello"
    meant.set_content("Grüße\n.\nFrom here\n")
    meant.add_alternative("<p>Grüße</p>\n", subtype="html")
    made = message_from_bytes(
        fill(text="Grüße\n.\nFrom here\n", html="<p>Grüße</p>\n", eight_bit=eight_bit), policy=SMTP
    )
    assert made["Subject"] == meant["Subject"]
    assert made.get_content_type() == meant.get_content_type()
    for one, other in zip(made.iter_parts(), meant.iter_parts(), strict=True):
        assert one.get_content_type() == other.get_content_type()
        assert one.get_content().replace("\r\n", "\n") == other.get_content()
        assert one["Content-Transfer-Encoding"] == ("8bit" if eight_bit else "quoted-printable")
    assert made["Content-Transfer-Encoding"] == ("8bit" if eight_bit else None)


def test_each_body_is_8bit_where_it_may_be() -> None:
    """Only the body with too long a line is encoded; the other one stays 8bit."""
    made = message_from_bytes(fill(html="x" * 999, eight_bit=True), policy=SMTP)
    assert [part["Content-Transfer-Encoding"] for part in made.iter_parts()] == ["8bit", "quoted-printable"]
    assert made["Content-Transfer-Encoding"] == "8bit"
    made = message_from_bytes(fill(text="\0", html="x" * 999, eight_bit=True), policy=SMTP)
    assert "Content-Transfer-Encoding" not in made


def test_a_body_ends_where_it_ends() -> None:
    """Line breaks at the end of a body are kept, and none is added."""
    for text in ("", "a", "a\n", "a\n\n", "a "):
        made = message_from_bytes(fill(text=text), policy=SMTP)
        plain = made.get_body(("plain",))
        assert plain is not None
        assert plain.get_content() == text.replace("\n", "\r\n")
