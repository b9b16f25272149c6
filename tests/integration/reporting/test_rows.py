"""The preview of a campaign's rows: each is rendered on request, from the current files."""

from __future__ import annotations

import asyncio
import re
from html import unescape
from typing import TYPE_CHECKING

import httpx
import pytest

from campaign.config.definition import load_definition
from campaign.reporting.rows import CampaignRows
from campaign.sandbox.httpd import PageServer
from campaign.sandbox.inbox import Row, preview_app
from support.plain_http import NO_TLS
from support.workspace import Workspace, made_up

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def campaign(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path).write(3)


def rows_of(campaign: Workspace) -> CampaignRows:
    return CampaignRows(lambda: load_definition(campaign.file))


def row(rows: CampaignRows, number: int) -> Row:
    """Return a row that must exist."""
    found = rows.row(number)
    assert isinstance(found, Row), found
    return found


def ask(rows: CampaignRows, *paths: str) -> list[httpx.Response]:
    """Return the preview's responses to these requests."""

    async def serve() -> list[httpx.Response]:
        async with (
            PageServer(preview_app(rows)) as server,
            httpx.AsyncClient(
                base_url=server.url, trust_env=False, follow_redirects=True, timeout=30, verify=NO_TLS
            ) as client,
        ):
            return [await client.get(path) for path in paths]

    return asyncio.run(serve())


def test_rows_are_rendered_in_the_order_of_the_file(campaign: Workspace) -> None:
    """Each row is rendered as the mail that its recipient would get, with its columns and its number in the file."""
    rows = rows_of(campaign)
    second = row(rows, 2)
    assert second.address == "u1@d1.example"
    assert second.where == f"{campaign.folder / 'people.csv'}:3"
    assert second.columns["first_name"] == "Name 1"
    assert b"Hello Name 1" in (second.content or b"")
    assert [row(rows, number).last for number in (1, 2, 3)] == [False, False, True]


def test_one_can_step_back_as_far_as_one_likes(campaign: Workspace) -> None:
    """Any earlier row can be shown again, in any order."""
    campaign.write_people(1200)
    rows = rows_of(campaign)
    for number in (1200, 1199, 3, 900, 1, 1200):
        assert row(rows, number).address == f"u{number - 1}@d{(number - 1) % 5}.example"
    assert "has no row 1,201; the last row is 1,200" in str(rows.row(1201))
    assert "has no row 0" in str(rows.row(0))


def test_addresses_are_found_onwards_and_from_the_start(campaign: Workspace) -> None:
    """A search finds the next address that contains the text, continues from the start, and reports if none does."""
    campaign.write_people(7)
    rows = rows_of(campaign)
    assert rows.find("@D1.example", after=0) == 2
    assert rows.find("@d1.example", after=2) == 7
    assert rows.find("@d1.example", after=7) == 2
    assert rows.find("u4@", after=4) == 5
    assert rows.find("u4@", after=5) == 5
    assert rows.find("4@d4.example", after=0, exact=True) != 5
    assert rows.find("u4@d4.example", after=0, exact=True) == 5
    assert "no row has the address nobody@" in str(rows.find("nobody@", after=2))


def test_a_row_that_makes_no_mail_says_why(campaign: Workspace) -> None:
    """Invalid rows and rows that cannot be rendered are shown at their position, with the reason."""
    people = [*made_up(1), {"user_id": "user_x", "email": "no address", "first_name": "X"}]
    campaign.write_people(people)
    skipped = row(rows_of(campaign), 2)
    assert skipped.content is None
    assert "It will be skipped: The address cannot be mailed" in skipped.problem
    (campaign.folder / "email.html").write_text("<p>{{ link }} {{ first_nam }}</p>")
    broken = row(rows_of(campaign), 1)
    assert broken.content is None
    assert "first_nam" in broken.problem


def test_a_row_outside_where_shows_that_it_gets_no_mail(campaign: Workspace) -> None:
    """A row that `where` leaves out is shown at its position, with the expression, and without a mail."""
    campaign.write(3, recipients="""where = "first_name != 'Name 1'" """)
    rows = rows_of(campaign)
    assert row(rows, 2).content is None
    assert row(rows, 2).problem == "It gets no mail, because it is outside `where`: first_name != 'Name 1'"
    assert row(rows, 3).content is not None


def test_the_preview_shows_the_chosen_step_in_each_rows_locale(campaign: Workspace) -> None:
    """Each row is shown in its own locale, and as the step and locale that were asked for."""
    steps = '[[steps]]\nname = "one"\n[[steps]]\nname = "two"\nsubject = "Two"\ndue = "one + 1d"\n'
    locales = '[locales]\ncolumn = "locale"\ndefault = "en"\n[locales.de.two]\nsubject = "Zwei"\n'
    campaign.write([each | {"locale": locale} for each, locale in zip(made_up(2), ("en", "de"), strict=True)])
    campaign.file.write_text(campaign.file.read_text() + steps + locales)

    def subjects(**chosen: str) -> list[str]:
        rows = CampaignRows(lambda: load_definition(campaign.file), **chosen)
        texts = [str(row(rows, number).content or b"", "ascii") for number in (1, 2)]
        return [re.findall(r"^Subject: (.*?)\r$", text, re.MULTILINE)[0] for text in texts]

    assert subjects() == ["Hello Name 0", "Hello Name 1"]
    assert subjects(step="two") == ["Two", "Zwei"]
    assert subjects(step="two", locale="de") == ["Zwei", "Zwei"]
    unknown = row(CampaignRows(lambda: load_definition(campaign.file), step="three"), 1)
    assert unknown.problem == "--step three: the campaign has no such step: its steps are one, two."


def test_what_was_edited_shows_at_once(campaign: Workspace) -> None:
    """Template, CSV and campaign file are read again for each row, so a reload shows every edit."""
    rows = rows_of(campaign)
    assert b"Hello Name 0" in (row(rows, 1).content or b"")
    html = campaign.folder / "email.html"
    html.write_text(html.read_text().replace("Hello", "Howdy"))
    assert b"Howdy Name 0" in (row(rows, 1).content or b"")
    campaign.write_people([{"user_id": "user_9", "email": "new@example.com", "first_name": "Neo and more"}])
    assert row(rows, 1).address == "new@example.com"
    campaign.file.write_text(campaign.file.read_text().replace("Hello {{", "Bonjour {{"))
    assert b"Subject: Bonjour Neo" in (row(rows, 1).content or b"")
    campaign.file.write_text("name = 1")
    assert "name" in str(rows.row(1))


def test_the_page_shows_the_mail_and_leads_on(campaign: Workspace) -> None:
    """The preview shows a row's mail as the inbox does, and its previous and next links keep the chosen view."""
    page, frame, last = ask(rows_of(campaign), "/rows/2?width=phone", "/rows/2/html", "/rows/3")
    assert "Hello Name 1" in page.text
    assert 'src="/rows/2/html"' in page.text
    assert "https://acme.example/welcome?token=dummy-token" in unescape(page.text)
    assert re.findall(r'rel="(prev|next)" href="([^"]+)"', page.text) == [
        ("prev", "/rows/1?width=phone"),
        ("next", "/rows/3?width=phone"),
    ]
    assert "Hello Name 1" in frame.text
    assert "sandbox allow-popups" in frame.headers["content-security-policy"]
    assert 'rel="next"' not in last.text


def test_rows_are_reached_by_number_and_address(campaign: Workspace) -> None:
    """The first row comes first; a number or part of an address leads to its row, or to a message if none matches."""
    rows = rows_of(campaign)
    answers = ask(
        rows, "/", "/find?after=3", "/find?address=u2&after=3&scheme=dark", "/find?address=nobody@&after=1", "/rows/9"
    )
    assert [answer.url.raw_path.decode() for answer in answers[:3]] == ["/rows/1", "/rows/3", "/rows/3?scheme=dark"]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 404, 404]
    assert "no row has the address nobody@" in answers[3].text
    assert "the last row is 3" in answers[4].text


def test_no_other_host_reads_the_preview(campaign: Workspace) -> None:
    """A request with a foreign Host header (DNS rebinding) gets nothing."""

    async def serve() -> httpx.Response:
        async with (
            PageServer(preview_app(rows_of(campaign))) as server,
            httpx.AsyncClient(base_url=server.url, trust_env=False, verify=NO_TLS) as client,
        ):
            return await client.get("/rows/1", headers={"Host": "evil.example"})

    assert asyncio.run(serve()).status_code == 421


def test_the_files_of_a_mail_are_shown(campaign: Workspace) -> None:
    """The preview lists the attachments of a row for download, and shows the images that go with the mail."""
    (campaign.folder / "logo.png").write_bytes(b"\x89PNG")
    (campaign.folder / "0.pdf").write_bytes(b"%PDF of Name 0")
    html = '<img src="{{ cid("logo.png") }}"><a href="{{ link }}">in</a>'
    campaign.write(2, html=html, more='[[email.attachments]]\npath = "{{ user_id[5:] }}.pdf"\n')
    first, shown, image, own, none, second = ask(
        rows_of(campaign),
        *("/rows/1", "/rows/1/html", "/rows/1/parts/1", "/rows/1/parts/2", "/rows/1/parts/3", "/rows/2"),
    )
    assert "0.pdf" in first.text
    assert "application/pdf, 14 B" in first.text
    assert "image/png, 4 B, in the HTML" in first.text
    assert 'src="data:image/png;base64,iVBORw=="' in shown.text
    assert (image.content, own.content, none.status_code) == (b"\x89PNG", b"%PDF of Name 0", 404)
    assert "attachment" in own.headers["Content-Disposition"]
    assert "1.pdf: The file to attach does not exist" in unescape(second.text)
