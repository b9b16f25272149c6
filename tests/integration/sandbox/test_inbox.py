"""The inbox's pages: mails by campaign and address, each as HTML, text, headers and source."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from html import unescape
from typing import TYPE_CHECKING

import httpx
import pytest

from campaign.sandbox import Sandbox
from campaign.sandbox.inbox import inbox_pages
from support.plain_http import NO_TLS
from support.sandbox.inboxes import MIA, landing, shown, written

if TYPE_CHECKING:
    from pathlib import Path

    from support.sandbox.inboxes import Inbox


def test_without_mail_the_page_says_what_to_type(tmp_path: Path) -> None:
    """An empty inbox is a page that names the command that fills it."""

    async def scenario() -> httpx.Response:
        pages = partial(inbox_pages, landing=landing, command="campaign run my/campaign.toml")
        async with (
            Sandbox(tmp_path / "state", pages=pages) as empty,
            httpx.AsyncClient(
                base_url=empty.clerk_url, trust_env=False, follow_redirects=True, verify=NO_TLS
            ) as client,
        ):
            return await client.get("/")

    answer = asyncio.run(scenario())
    assert answer.status_code == 200
    assert "No mail yet" in shown(answer)
    assert "campaign run my/campaign.toml" in shown(answer)


def test_mails_are_listed_by_campaign(inbox: Inbox) -> None:
    """Each List-Id is a campaign with its number of mails, and its page lists only these, newest first."""
    for subject in ("first", "second"):
        inbox.post(written(subject=subject, list_id="<spring.acme.example>"))
    inbox.post(written(subject="other", list_id='"Other news" <other.acme.example>'))
    every = inbox.get("/")
    assert "spring 2" in shown(every)
    assert "Other news 1" in shown(every)
    one = inbox.get("/", campaign="<spring.acme.example>")
    assert re.findall(r'class="subject">(\w+)<', one.text) == ["second", "first"]


def test_mails_are_found_by_address(inbox: Inbox) -> None:
    """A search finds part of an address in any case, and the page says if none matches."""
    inbox.post(written(subject="to-ines"), to="Ines.Carvalho@example.net")
    found = inbox.get("/", address="ines.c")
    assert re.findall(r'class="subject">([\w-]+)<', found.text) == ["to-ines"]
    assert "No mail to “nobody@”" in shown(inbox.get("/", address="nobody@"))


def test_a_long_list_has_pages(inbox: Inbox) -> None:
    """A page lists fifty mails, with links to the other pages."""
    for number in range(51):
        message = written(subject=f"n{number}", list_id="<long.acme.example>")
        inbox.sandbox.state.mailbox.store(message.as_bytes(), sender="hello@acme.example", recipients=[MIA])
    first = inbox.get("/", campaign="<long.acme.example>")
    assert len(re.findall(r"<li data-number", first.text)) == 50
    older = re.search(r'href="([^"]+)" rel="next"', first.text)
    assert older is not None
    second = inbox.get(unescape(older[1]))
    assert re.findall(r'class="subject">(\w+)<', second.text) == ["n0"]
    assert 'rel="next"' not in second.text


@pytest.mark.parametrize("page", ["0", "-1", "x", "9" * 12, "9" * 99])
def test_a_page_that_cannot_be_is_no_fault(inbox: Inbox, page: str) -> None:
    """Any value of the query parameter for the page number is answered without an error."""
    assert inbox.get("/", page=page).status_code == 200


def test_the_list_tells_whether_anything_came(inbox: Inbox) -> None:
    """A browser that has the current list gets 304 until a mail arrives, and then the new list."""
    mark = {"If-None-Match": inbox.get("/list").headers["etag"]}
    assert inbox.http.get("/__inbox/list", headers=mark).status_code == 304
    inbox.post(written(subject="arrived"))
    answer = inbox.http.get("/__inbox/list", headers=mark)
    assert answer.status_code == 200
    assert "arrived" in answer.text
    assert answer.headers["etag"] != mark["If-None-Match"]


def test_a_mail_is_shown_as_html_text_headers_and_source(inbox: Inbox) -> None:
    """The four views show the mail: HTML in a frame only, headers decoded, and the source unchanged."""
    message = written("<p>Hi <b>Mia</b></p>", "Hi Mia & all\n", subject="Grüße, Mia", message_id="<a@acme.example>")
    place = inbox.post(message)
    page = inbox.get(place)
    assert f'src="{place}/html"' in page.text
    assert "<b>Mia</b>" not in page.text
    assert inbox.get(f"{place}/html").text.strip() == "<p>Hi <b>Mia</b></p>"
    assert "Hi Mia &amp; all" in inbox.get(place, view="text").text
    headers = shown(inbox.get(place, view="headers"))
    assert "Subject Grüße, Mia" in headers
    assert "Message-ID &lt;a@acme.example&gt;" in inbox.get(place, view="headers").text.replace("</th><td>", " ")
    assert "Subject: =?utf-8?" in shown(inbox.get(place, view="source"))
    assert inbox.get(f"{place}/source").content == message.as_bytes()


def test_the_frame_is_isolated(inbox: Inbox) -> None:
    """A mail's HTML runs no script, sends no form and loads nothing, by the policies of the frame and of the page."""
    place = inbox.post(written('<link rel="preconnect" href="https://cdn.example"><script>x()</script>'))
    page, frame = inbox.get(place), inbox.get(f"{place}/html")
    (attribute,) = re.findall(r'<iframe [^>]*sandbox="([^"]*)"', page.text)
    policy = dict(part.split(" ", 1) for part in frame.headers["content-security-policy"].split("; "))
    for rights in (attribute, policy["sandbox"]):
        assert set(rights.split()) == {"allow-popups", "allow-popups-to-escape-sandbox"}
    assert policy["default-src"] == "'none'"
    assert policy["img-src"] == "data:"
    assert "script-src" not in policy
    assert "preconnect" not in frame.text
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]


def test_images_from_elsewhere_wait_for_a_click(inbox: Inbox) -> None:
    """Remote images are counted and not loaded; inline images are shown."""
    message = written('<img src="https://img.example/a.png"><img src="cid:logo" alt="Logo">')
    message.get_payload()[1].add_related(b"\x89PNG", "image", "png", cid="<logo>")  # type: ignore[index, union-attr]
    place = inbox.post(message)
    assert "An image from elsewhere is not loaded" in shown(inbox.get(place))
    assert 'src="data:image/png;base64,iVBORw=="' in inbox.get(f"{place}/html").text
    loaded = inbox.get(f"{place}/html", images="1")
    assert "img-src data: https: http:" in loaded.headers["content-security-policy"]


def test_data_never_becomes_markup(inbox: Inbox) -> None:
    """Markup in a subject, a header, a link, a campaign or a search is shown as text."""
    evil = '"><script>alert(1)</script>'
    message = written(f'<a href="https://acme.example/{evil}">x</a>', subject=evil, list_id=f"<{evil}>")
    message["X-Evil"] = evil
    place = inbox.post(message)
    for answer in (
        inbox.get(place),
        inbox.get(place, view="headers", address=evil, campaign=evil, width=evil),
        inbox.get("/", address=evil),
        inbox.get("/list", campaign=evil),
    ):
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text


def test_the_send_log_says_its_part(inbox: Inbox) -> None:
    """Each mail shows what the send log records of its recipient, or that it records nothing."""
    known = inbox.get(inbox.post(written(message_id="<known@acme.example>")))
    unknown = inbox.get(inbox.post(written(message_id="<other@acme.example>")))
    assert '<span class="chip state-sent">sent</span>' in known.text
    assert "250 2.0.0 &lt;b&gt;OK&lt;/b&gt;" in known.text
    assert "<dt>reason</dt>" not in known.text
    assert "It knows nothing of this mail" in shown(unknown)


UNREADABLE = [
    b"no header anywhere\r\n",
    b"\r\n",
    b"Subject: half\r\nContent-Type: multipart/mixed; boundary=xx\r\n\r\nno boundary\r\n",
    b"Subject: cut\r\nContent-Type: multipart/mixed\r\n\r\nwithout any\r\n",
    bytes(range(256)) * 4,
]
STRANGE = [
    b'Content-Type: text/plain; name*0*="%FF\r\n\r\n',
    b"Subject: =?utf-8?b?////?=\r\nContent-Type: text/html; charset=utf-7\r\n\r\n+2AA-\r\n",
    b'Subject: \xff\xfe\r\nFrom: "\r\nTo: <<>>\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!\r\n',
    b"Content-Type: text/html\r\n\r\n<![odd[ <a href='x'>&#xD800;<a href='https://[::1'>\r\n",
]


@pytest.mark.parametrize("content", UNREADABLE + STRANGE)
def test_whatever_arrived_has_a_page(inbox: Inbox, content: bytes) -> None:
    """Any bytes are shown with their source, and if they cannot be parsed, the page says so."""
    inbox.sandbox.state.mailbox.store(content, sender="", recipients=["a@example.com"])
    place = inbox.newest()
    for view in ("html", "text", "headers", "source"):
        page = inbox.get(place, view=view)
        assert page.status_code == 200
    assert "Source" in shown(page)
    assert inbox.get(f"{place}/html").status_code == 200
    assert inbox.get(f"{place}/source").content == content
    assert ("This mail cannot be read" in shown(page)) == (content in UNREADABLE)


def test_faults_are_told(inbox: Inbox) -> None:
    """A mail that has a fault but can be read is shown with a note about the fault."""
    place = inbox.post(b"Subject: odd\r\nContent-Type: text/plain; charset=klingon\r\n\r\nqapla'\r\n")
    page = shown(inbox.get(place))
    assert "This mail is malformed" in page
    assert "a character set that nobody knows" in page
    assert "qapla'" in page


def test_what_is_not_there_is_said(inbox: Inbox) -> None:
    """A mail that does not exist, or whose file was removed, gives a page that says so."""
    place = inbox.post(written())
    mail = inbox.sandbox.state.mailbox.find(limit=1)[0]
    (inbox.sandbox.maildir / "new" / mail.name).unlink()
    for missing, words in (
        (place, "was removed from"),
        (f"/mails/{10**6}", "has no mail"),
        (f"/mails/{2**70}", "has no mail"),
    ):
        answer = inbox.get(missing)
        assert answer.status_code == 404
        assert words in shown(answer)


def test_attachments_are_saved_and_never_shown(inbox: Inbox) -> None:
    """Attachments are listed, and are always sent as downloads whatever type they declare."""
    message = written("<p>see the file</p>")
    message.add_attachment(b"<script>1</script>", maintype="text", subtype="html", filename='R"ech für.html')
    place = inbox.post(message)
    assert "Attached" in shown(inbox.get(place))
    part = inbox.get(f"{place}/parts/1")
    assert part.content.strip() == b"<script>1</script>"
    assert part.headers["content-type"] == "application/octet-stream"
    assert part.headers["content-disposition"] == 'attachment; filename="R_ech f_r.html"'
    assert inbox.get(f"{place}/parts/2").status_code == 404
