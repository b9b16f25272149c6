"""Whole messages: what the standard library parses is what the campaign meant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import SMTP
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.errors import DefinitionError, TemplateError
from campaign.message import Message, MessageTemplate, list_id
from campaign.message.mime.headers import one_line

if TYPE_CHECKING:
    from email.message import EmailMessage
    from pathlib import Path

    from campaign.config.definition import Definition

TOKEN = "eyJhbGciOiJSUzI1NiJ9." + "a-_9" * 220 + ".sig"
LINK = f"https://acme.example/welcome?token={TOKEN}"
DATE = datetime(2025, 3, 1, 12, 30, 45, tzinfo=UTC)
MESSAGE_ID = "<0123456789abcdef@acme.example>"

#: Values that imitate headers, markup, templates, encoded words, folds or boundaries.
HOSTILE = st.lists(
    st.sampled_from(
        [
            *(
                "a",
                " ",
                "\r\n",
                "\n",
                "\r",
                "\t",
                "\0",
                "é",
                "😀",
                "=",
                "=_",
                "--=_",
                ".",
                "\r\n.\r\n",
                "From ",
                "\x85",
            ),
            *("Bcc: x@example.com", "\r\nBcc: x@example.com\r\n\r\n", "=?utf-8?q?=0d=0aBcc:_x?=", "=?utf-8?B?YQ==?="),
            *(
                "{{ 7 * 7 }}",
                "{% raw %}",
                "{#",
                "<script>",
                "&amp;",
                '"',
                "'",
                "-->",
                "</p>",
                "]]>",
                "\u202e",
                "\u2028",
            ),
            *("x" * 80, "x" * 1000, "word " * 30, "\ufeff", "\x1b[31m", "https://evil.example/", "javascript:x"),
        ]
    )
).map("".join)


def definition(folder: Path, **changes: Any) -> Definition:  # noqa: ANN401 - as in the campaign file
    """Return a campaign in `folder` with the templates of these tests."""
    email = {
        "sender": "Acme, Inc. <hello@acme.example>",
        "reply_to": "Zoë <help@acme.example>",
        "subject": "Hello {{ name }}",
        "html": folder / "email.html",
        "text": folder / "email.txt",
        "attachments": (),
    }
    link: dict[str, Any] = {
        "url": "https://acme.example/welcome",
        "parameter": "token",
        "hosts": ("acme.example",),
        "hint": False,
        "renew": False,
    }
    link |= {"expires_in": timedelta(hours=1)} | changes.get("link", {})
    made = SimpleNamespace(
        path=folder / "campaign.toml",
        name="waitlist welcome",
        mailing_list=changes.get("mailing_list", "waitlist welcome"),
        unsubscribe=changes.get("unsubscribe"),
        email=SimpleNamespace(**(email | changes.get("email", {}))),
        link=SimpleNamespace(**link),
    )
    return cast("Definition", made)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an HTML and a text template."""
    path = tmp_path_factory.mktemp("campaign")
    (path / "email.html").write_text('<p>Hi {{ name }}</p>\n<a title="{{ name }}" href="{{ link }}">in</a>\n', "utf-8")
    (path / "email.txt").write_text("Hi {{ name }}\n\n{{ link }}\n{{ place }}", "utf-8")
    return path


@pytest.fixture(scope="module")
def template(folder: Path) -> MessageTemplate:
    """Return the compiled message of these tests."""
    return MessageTemplate.load(definition(folder))


def composed(template: MessageTemplate, *, eight_bit: bool = False, **variables: object) -> Message:
    """Return the message composed for one recipient."""
    return template.compose(
        {"name": "Ana", "place": "1"} | variables,
        email="ana@example.com",
        message_id=MESSAGE_ID,
        date=DATE,
        token=TOKEN,
        eight_bit=eight_bit,
    )


def parsed(message: Message) -> EmailMessage:
    """Return the message as the standard library parses it, after a check of its raw form."""
    head, _, body = message.data.partition(b"\r\n\r\n")
    assert all(len(line) <= 998 for line in message.data.split(b"\r\n"))
    assert not message.data.replace(b"\r\n", b"").count(b"\n")
    assert not message.data.replace(b"\r\n", b"").count(b"\r")
    assert b"\0" not in message.data
    assert head.isascii()
    assert body
    return message_from_bytes(message.data, policy=SMTP)


def newlines(text: str) -> str:
    """Replace all line breaks used in mail by newlines."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def unescaped(html: str) -> str:
    """Undo HTML escaping only; `html.unescape` would also change control characters."""
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&#34;", '"'), ("&#39;", "'"), ("&amp;", "&")):
        html = html.replace(entity, character)
    return html


def body(part: EmailMessage) -> str:
    """Return the text of a part, with newlines."""
    assert not part.defects
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return newlines(payload.decode("utf-8"))


@given(name=st.text() | HOSTILE, place=st.text() | HOSTILE, eight_bit=st.booleans())
def test_the_parsed_message_is_the_one_that_was_meant(
    template: MessageTemplate, name: str, place: str, *, eight_bit: bool
) -> None:
    """Whatever the columns contain, the message has exactly its headers, two parts, the data as text and the link."""
    if len(one_line(f"Hello {name}")) > 998:
        with pytest.raises(TemplateError, match="The subject has"):
            composed(template, name=name)
        return
    message = composed(template, name=name, place=place, eight_bit=eight_bit)
    mail = parsed(message)
    fields = [
        *(
            "From",
            "To",
            "Reply-To",
            "Subject",
            "Date",
            "Message-ID",
            "List-Id",
            "Auto-Submitted",
            "MIME-Version",
            "Content-Type",
        ),
        *(["Content-Transfer-Encoding"] if mail["Content-Transfer-Encoding"] else []),
    ]
    assert mail.keys() == fields
    assert not mail.defects
    assert mail["Subject"] == one_line(f"Hello {name}")
    assert [address.addr_spec for address in mail["To"].addresses] == ["ana@example.com"]
    assert [str(address) for address in mail["From"].addresses] == ['"Acme, Inc." <hello@acme.example>']
    assert [address.display_name for address in mail["Reply-To"].addresses] == ["Zoë"]
    assert mail["Date"].datetime == DATE
    assert mail["Message-ID"] == MESSAGE_ID
    assert mail["List-Id"] == "<waitlist-welcome.acme.example>"

    text, html = (cast("EmailMessage", part) for part in mail.iter_parts())
    assert text.get_content_type() == "text/plain"
    assert html.get_content_type() == "text/html"
    assert body(text) == message.text == newlines(f"Hi {name}\n\n{LINK}\n{place}")
    assert body(html) == message.html
    assert unescaped(message.html) == newlines(f'<p>Hi {name}</p>\n<a title="{name}" href="{LINK}">in</a>')
    assert message.html.count("<") == 4
    assert message.html.count('"') == 4
    assert message.links == (LINK,)


def test_the_message_is_what_the_library_would_hold(template: MessageTemplate) -> None:
    """For plain data the parts equal those of an EmailMessage with the same content."""
    mail = parsed(composed(template))
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_charset() for part in mail.iter_parts()] == ["utf-8", "utf-8"]
    plain = mail.get_body(("plain",))
    assert plain is not None
    assert plain.get_content() == f"Hi Ana\r\n\r\n{LINK}\r\n1"


@pytest.mark.parametrize(
    "email",
    [
        *("", "ana", "a@b@c.example", "a b@x.example", "Ana <a@x.example>", "a@x.example, b@x.example"),
        *(
            "a@x.example\r\nBcc: b@x.example",
            "é@x.example",
            "=?utf-8?q?a?=@x.example",
            '"a b"@x.example',
            "a@x.example\n",
        ),
        f"{'a' * 250}@x.example",
    ],
)
def test_what_is_not_one_address_is_refused(template: MessageTemplate, email: str) -> None:
    """Only a single plain address is accepted in To."""
    with pytest.raises(TemplateError, match="is not one plain address"):
        template.compose({"name": "", "place": ""}, email=email, message_id=MESSAGE_ID, date=DATE, token=TOKEN)


@pytest.mark.parametrize("message_id", ["", "a@b", "<a>", "<a@b>\r\nBcc: x", "<a b@c>", f"<{'a' * 1000}@c>"])
def test_what_is_not_a_message_id_is_refused(template: MessageTemplate, message_id: str) -> None:
    """Only a valid Message-ID is accepted."""
    with pytest.raises(ValueError, match="is not a Message-ID"):
        template.compose({"name": "", "place": ""}, email="a@x.example", message_id=message_id, date=DATE, token=TOKEN)


def test_a_message_without_its_token_is_a_mistake(template: MessageTemplate) -> None:
    """A campaign with a link cannot compose a message without a token."""
    with pytest.raises(ValueError, match="needs a token"):
        template.compose({"name": ""}, email="a@x.example", message_id=MESSAGE_ID, date=DATE, token=None)


def test_a_message_shows_no_token(template: MessageTemplate) -> None:
    """The `repr` of a message contains neither its bodies nor its links."""
    assert "eyJ" not in repr(composed(template))


def test_the_fingerprint_changes_with_the_campaign(folder: Path) -> None:
    """The fingerprint changes if templates, subject, sender or link change, and only then."""
    first = MessageTemplate.load(definition(folder)).fingerprint
    assert first == MessageTemplate.load(definition(folder)).fingerprint
    (folder / "other.html").write_text((folder / "email.html").read_text("utf-8") + "<p>", "utf-8")
    for changes in (
        {"email": {"html": folder / "other.html"}},
        {"email": {"subject": "Hallo {{ name }}"}},
        {"email": {"sender": "hello@acme.example"}},
        {"email": {"reply_to": None}},
        {"link": {"url": "https://acme.example/in"}},
        {"link": {"hint": True}},
        {"link": {"parameter": "ticket"}},
    ):
        assert MessageTemplate.load(definition(folder, **changes)).fingerprint != first


def test_a_sender_that_cannot_stand_in_a_header_is_refused(folder: Path) -> None:
    """A sender that cannot be a header is reported as an error of the campaign file."""
    with pytest.raises(DefinitionError, match=r"campaign\.toml: .* is not exactly one mailbox"):
        MessageTemplate.load(definition(folder, email={"sender": "Acme"}))


def test_the_columns_are_told(template: MessageTemplate) -> None:
    """The compiled message knows which columns it needs."""
    assert set(template.variables_used()) == {"name", "place"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("waitlist", "<waitlist.acme.example>"), ("Größe 1", "<Gr-e-1.acme.example>"), ("…", "<campaign.acme.example>")],
)
def test_the_list_id_names_the_campaign(name: str, expected: str) -> None:
    """The List-Id is the campaign's name, converted to a DNS label, before the sender's host."""
    assert list_id(name, "Acme <hello@acme.example>") == expected


def test_a_campaign_without_reply_to_has_no_such_header(folder: Path) -> None:
    """Without `reply_to` the message has no Reply-To, and is otherwise unchanged."""
    mail = parsed(composed(MessageTemplate.load(definition(folder, email={"reply_to": None}))))
    assert mail.keys()[:4] == ["From", "To", "Subject", "Date"]


def test_an_8bit_body_that_holds_the_boundary_is_encoded(template: MessageTemplate) -> None:
    """A body that contains the boundary is encoded, so that it cannot end its part."""
    boundary = parsed(composed(template)).get_boundary()
    message = composed(template, name=f"\n--{boundary}--\n", eight_bit=True)
    mail = parsed(message)
    assert [body(cast("EmailMessage", part)) for part in mail.iter_parts()] == [message.text, message.html]


def test_no_error_holds_the_token(folder: Path) -> None:
    """An error in a template that fails after the link was printed says so without the link's token."""
    (folder / "number.html").write_text("<p>{{ link }}\n{{ link_to('https://elsewhere.example/' ~ name) }}", "utf-8")
    template = MessageTemplate.load(definition(folder, email={"html": folder / "number.html"}))
    with pytest.raises(
        TemplateError, match=r"number\.html:2: The link 'https://elsewhere.example/Ana' leads to"
    ) as caught:
        composed(template)
    assert "eyJ" not in str(caught.value)
    assert caught.value.__cause__ is None


UNSUBSCRIBE = SimpleNamespace(url="https://mail.acme.example/u", mailto=None)


@pytest.mark.parametrize(
    ("html", "text", "words"),
    [
        ("", "{{ unsubscribe }}", "email.html: The unsubscribe link is missing: put {{ unsubscribe }}"),
        ('<a href="{{ unsubscribe }}">No</a>', "", "email.txt: The unsubscribe link is missing"),
        ("{% if False %}{{ unsubscribe }}{% endif %}", "{{ unsubscribe }}", "email.html: The HTML does not contain"),
        ("{{ unsubscribe|upper }}", "{{ unsubscribe }}", "email.html: The HTML does not contain the unsubscribe link"),
        ("{{ unsubscribe }}", "{{ unsubscribe|upper }}", "email.txt: The text part does not contain the unsubscribe"),
    ],
)
def test_the_unsubscribe_link_stands_whole_in_both_parts(tmp_path: Path, html: str, text: str, words: str) -> None:
    """A template without the link, or with an altered one, is refused with the file and what to write."""
    (tmp_path / "email.html").write_text('<a href="{{ link }}">in</a>' + html, "utf-8")
    (tmp_path / "email.txt").write_text("{{ link }}\n" + text, "utf-8")
    campaign = definition(tmp_path, unsubscribe=UNSUBSCRIBE, email={"subject": "Hello"})
    with pytest.raises(TemplateError) as refused:
        MessageTemplate.load(campaign).compose(
            {}, email="a@b.example", message_id=MESSAGE_ID, date=DATE, token=TOKEN, unsubscribe="x" * 34
        )
    assert words in str(refused.value)


def test_a_message_needs_its_unsubscribe_token(tmp_path: Path) -> None:
    """A campaign with unsubscribe links composes no message without one."""
    (tmp_path / "email.html").write_text('<a href="{{ link }}">in</a> {{ unsubscribe }}', "utf-8")
    campaign = definition(tmp_path, unsubscribe=UNSUBSCRIBE, email={"subject": "Hello", "text": None})
    with pytest.raises(ValueError, match="unsubscribe"):
        MessageTemplate.load(campaign).compose({}, email="a@b.example", message_id=MESSAGE_ID, date=DATE, token=TOKEN)
