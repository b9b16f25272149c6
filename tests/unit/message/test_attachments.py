"""Attachments and inline images of whole messages, as the standard library parses them."""

from __future__ import annotations

import re
import tracemalloc
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import SMTP
from typing import TYPE_CHECKING, cast

import pytest

from campaign.config.definition import load_definition
from campaign.errors import RowError, TemplateError
from campaign.message import Message, MessageTemplate

if TYPE_CHECKING:
    from email.message import EmailMessage
    from pathlib import Path

HEAD = 'name = "trial"\n[recipients]\nfile = "people.csv"\nkey = "email"\n'
EMAIL = '[email]\nfrom = "Acme <hello@acme.example>"\nsubject = "Hello"\nhtml = "email.html"\ntext = "email.txt"\n'
TERMS = '[[email.attachments]]\npath = "terms.pdf"\n'
OWN = '[[email.attachments]]\npath = "invoices/{{ invoice }}.pdf"\nname = "Invoice {{ invoice }}.pdf"\n'
IMAGE = '<p>Hi</p><img alt="Acme" src="{{ cid("img/logo.png") }}">'


def loaded(folder: Path, more: str = "", *, html: str = "<p>Hi</p>", text: str = "Hi") -> MessageTemplate:
    """Return the compiled message of a campaign in `folder`, which gets a few files to attach."""
    (folder / "campaign.toml").write_text(HEAD + EMAIL + more, "utf-8")
    (folder / "email.html").write_text(html, "utf-8")
    (folder / "email.txt").write_text(text, "utf-8")
    for name, content in (("terms.pdf", b"%PDF"), ("invoices/7.pdf", b"seven\0"), ("img/logo.png", b"\x89PNG")):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return MessageTemplate.load(load_definition(folder / "campaign.toml"))


def composed(
    template: MessageTemplate, *, eight_bit: bool = False, unsubscribe: str | None = None, **variables: object
) -> Message:
    """Return the message for one recipient."""
    return template.compose(
        {"invoice": "7"} | variables,
        email="ana@example.com",
        message_id="<1@acme.example>",
        date=datetime(2025, 3, 1, tzinfo=UTC),
        token=None,
        unsubscribe=unsubscribe,
        eight_bit=eight_bit,
    )


def tree(part: EmailMessage) -> object:
    """Return the types of a message's parts, nested as they are."""
    inner = [tree(cast("EmailMessage", each)) for each in part.iter_parts()] if part.is_multipart() else []
    return [part.get_content_type(), *inner] if inner else part.get_content_type()


ALTERNATIVE = ["multipart/alternative", "text/plain", "text/html"]
RELATED = ["multipart/alternative", "text/plain", ["multipart/related", "text/html", "image/png"]]


@pytest.mark.parametrize("eight_bit", [False, True])
@pytest.mark.parametrize(
    ("more", "html", "shape"),
    [
        ("", "<p>Grüße</p>", ALTERNATIVE),
        ("", IMAGE + "ü", RELATED),
        (TERMS, "<p>Grüße</p>", ["multipart/mixed", ALTERNATIVE, "application/pdf"]),
        (TERMS + OWN, IMAGE, ["multipart/mixed", RELATED, "application/pdf", "application/pdf"]),
    ],
)
def test_a_message_has_the_parts_that_readers_expect(
    tmp_path: Path, more: str, html: str, shape: list[object], *, eight_bit: bool
) -> None:
    """Images are related to the HTML and attachments come last, in a message without a defect (RFC 2046, RFC 2387)."""
    message = composed(loaded(tmp_path, more, html=html, text="Grüße"), eight_bit=eight_bit)
    parsed = message_from_bytes(message.data, policy=SMTP)
    assert tree(parsed) == shape
    assert [defect for part in parsed.walk() for defect in part.defects] == []
    assert all(piece.endswith(b"\r\n") for piece in message.pieces)
    assert message.size == len(message.data)
    for part in parsed.walk():
        # RFC 2045 §6.4: what surrounds an 8bit part is 8bit itself
        inner = {each["Content-Transfer-Encoding"] for each in part.walk()}
        assert part["Content-Transfer-Encoding"] == "8bit" or "8bit" not in inner
        if part.get_content_type() == "multipart/related":
            assert part.get_param("type") == "text/html"
    html_part = parsed.get_body(("html",))
    assert html_part is not None
    assert html_part.get_content().rstrip("\n") == message.html


def test_each_recipient_gets_the_own_file_under_its_name(tmp_path: Path) -> None:
    """A path and a name with variables select each recipient's file; the type follows the ending or the campaign."""
    typed = '[[email.attachments]]\npath = "invoices/{{ invoice }}.pdf"\ntype = "application/x-seven"\n'
    message = composed(loaded(tmp_path, OWN + typed))
    first, second = message_from_bytes(message.data, policy=SMTP).iter_attachments()
    assert (first.get_filename(), first.get_content_type()) == ("Invoice 7.pdf", "application/pdf")
    assert (second.get_filename(), second.get_content_type()) == ("7.pdf", "application/x-seven")
    assert first.get_content() == b"seven\0"
    assert [str(file) for file in message.files] == [
        "Invoice 7.pdf (application/pdf, 6 B)",
        "7.pdf (application/x-seven, 6 B)",
    ]


def test_the_html_shows_the_image_that_goes_with_it(tmp_path: Path) -> None:
    """`cid` is the address of the image's part, once however often it is shown; in the text it is nothing."""
    text = 'Hi{{ cid("img/logo.png") }}'
    template = loaded(tmp_path, html=IMAGE + IMAGE + '{{ cid("img/" ~ "logo.png") }}', text=text)
    message = composed(template)
    (image,) = (
        part for part in message_from_bytes(message.data, policy=SMTP).walk() if part.get_content_type() == "image/png"
    )
    assert set(re.findall(r"cid:([^\"\s]+)", message.html)) == {image["Content-ID"].strip("<>")}
    assert message.text == "Hi"
    assert image.get_content_disposition() == "inline"
    assert "cid" not in template.variables_used()


def test_an_image_that_is_not_shown_does_not_go_along(tmp_path: Path) -> None:
    """A recipient whose HTML shows no image gets none."""
    template = loaded(tmp_path, html='{% if vip %}<img src="{{ cid("img/logo.png") }}">{% endif %}')
    assert [file.path for file in composed(template, vip=True).files] == ["img/logo.png"]
    assert composed(template, vip=False).files == ()


def test_an_optional_file_may_be_missing(tmp_path: Path) -> None:
    """A recipient without an optional file gets the mail without it; without `optional` there is no such mail."""
    for more, missing in ((OWN, None), (OWN + "optional = true\n", ())):
        template = loaded(tmp_path, more)
        for invoice in ("8", "../x/.."):
            if missing is None or invoice != "8":
                with pytest.raises(RowError):
                    composed(template, invoice=invoice)
                with pytest.raises(RowError):
                    template.require_files({"invoice": invoice})
            else:
                assert composed(template, invoice=invoice).files == missing
                template.require_files({"invoice": invoice})
    path = '[[email.attachments]]\npath = "{{ invoice }}"\n'
    assert composed(loaded(tmp_path, path + "optional = true\n"), invoice="").files == ()
    with pytest.raises(RowError, match=r"campaign\.toml:11: email\.attachments\.path: .* empty for this row"):
        composed(loaded(tmp_path, path), invoice="")


@pytest.mark.parametrize("path", ["{{ invoice }}", "invoices/{{ invoice }}", "{{ invoice }}.pdf"])
@pytest.mark.parametrize("invoice", ["../secret", "/etc/passwd", "people.csv", ".env", "a\nb", "campaign.toml"])
def test_data_leads_to_no_other_file(tmp_path: Path, path: str, invoice: str) -> None:
    """Whatever a row holds, no file outside the folder and no private one is attached."""
    folder = tmp_path / "campaign"
    folder.mkdir()
    for private in (tmp_path / "secret", tmp_path / "secret.pdf", folder / "people.csv", folder / ".env"):
        private.write_text("secret")
    template = loaded(folder, f'[[email.attachments]]\npath = "{path}"\n')
    with pytest.raises(RowError):
        composed(template, invoice=invoice)


@pytest.mark.parametrize(
    ("more", "html", "words"),
    [
        (
            '[limits]\nattachments = "1 kB"\n' + TERMS,
            "<p>",
            r"campaign\.toml:13: email\.attachments\.path: .*large\.pdf: The file has 2\.0 kB",
        ),
        (
            '[limits]\nattachments = "2500 B"\n' + TERMS,
            "<p>",
            r"campaign\.toml: The attachments and images of this mail have 2\.\d kB .* at most 2\.5 kB",
        ),
        (
            "",
            '<p>\n<img src="{{ cid("none.png") }}">',
            r"email\.html:2: .*none\.png: The file to attach does not exist",
        ),
        ("", '<img src="{{ cid("terms.pdf") }}">', r"email\.html:1: cid\('terms\.pdf'\): This is not an image"),
        (TERMS + 'name = "{{ x"\n', "<p>", r"campaign\.toml:12: email\.attachments\.name: "),
    ],
)
def test_a_file_for_all_is_looked_at_first(tmp_path: Path, more: str, html: str, words: str) -> None:
    """A file that would go with every mail, and cannot, is an error with its line before anything is sent."""
    (tmp_path / "large.pdf").write_bytes(b"x" * 2000)
    with pytest.raises(TemplateError, match=words) as caught:
        loaded(tmp_path, more.replace("terms.pdf", "large.pdf"), html=html)
    assert not isinstance(caught.value, RowError)


def test_messages_share_the_bytes_of_a_shared_file(tmp_path: Path) -> None:
    """A thousand messages with the same attachment of 3 MB need the memory of one."""
    (tmp_path / "large.pdf").write_bytes(b"x" * 3_000_000)
    template = loaded(tmp_path, '[[email.attachments]]\npath = "large.pdf"\n', html=IMAGE)
    tracemalloc.start()
    try:
        kept = [composed(template) for _ in range(1000)]
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 20_000_000
    assert sum(message.size for message in kept) > 4_000_000_000


def test_a_shared_file_is_read_once(tmp_path: Path) -> None:
    """A shared file that changes or goes during a run stays what it was, and a new run knows that it is another."""
    template = loaded(tmp_path, TERMS, html=IMAGE)
    before = composed(template).data
    (tmp_path / "terms.pdf").unlink()
    (tmp_path / "img/logo.png").write_bytes(b"other")
    assert composed(template).data == before
    (tmp_path / "terms.pdf").write_bytes(b"%PDF")
    again = MessageTemplate.load(load_definition(tmp_path / "campaign.toml"))
    assert again.fingerprint != template.fingerprint
    assert loaded(tmp_path, TERMS, html=IMAGE).fingerprint == template.fingerprint


def test_paths_are_rendered_before_anything_is_sent(tmp_path: Path) -> None:
    """A variable that no column has is an error of the campaign, with the line of the path."""
    template = loaded(tmp_path, OWN.replace("{{ invoice }}.pdf", "{{ invoyce }}.pdf", 1))
    assert template.variables_used()["invoyce"].endswith("campaign.toml:11: email.attachments.path")
    date = datetime(2025, 3, 1, tzinfo=UTC)
    with pytest.raises(TemplateError, match=r"toml:11: email\.attachments\.path: .*did you mean invoice\?") as caught:
        template.check({"invoice": "7"}, email="a@b.example", message_id="<1@b.example>", date=date, token=None)
    assert not isinstance(caught.value, RowError)


def test_a_mail_with_files_can_be_unsubscribed_from(tmp_path: Path) -> None:
    """Attachments and images change nothing of the headers and links by which a recipient says no."""
    more = f'{OWN}[unsubscribe]\nurl = "https://mail.acme.example/u"\n'
    template = loaded(tmp_path, more, html=IMAGE + '<a href="{{ unsubscribe }}">no</a>', text="{{ unsubscribe }}")
    message = composed(template, unsubscribe="T0k")
    parsed = message_from_bytes(message.data, policy=SMTP)
    assert parsed["List-Unsubscribe"] == "<https://mail.acme.example/u/T0k>"
    assert message.text == "https://mail.acme.example/u/T0k"
    assert [file.path for file in message.files] == ["img/logo.png", "invoices/7.pdf"]


def test_cid_in_a_macro_without_its_context_is_told_so(tmp_path: Path) -> None:
    """A macro that shows an image must be imported with its context, and the error says how."""
    (tmp_path / "macros.html").write_text('{% macro logo(name) %}<img src="{{ cid(name) }}">{% endmacro %}', "utf-8")
    html = '{% from "macros.html" import logo %}{{ logo("img/logo.png") }}'
    with pytest.raises(TemplateError, match=r"cid is not known .* write `with context`"):
        composed(loaded(tmp_path, html=html))
    with_context = html.replace("import logo", "import logo with context")
    assert [file.path for file in composed(loaded(tmp_path, html=with_context)).files] == ["img/logo.png"]
