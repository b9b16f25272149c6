"""Links in the inbox's mails: where they open, the state of their tokens, and who may change it."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from html import unescape
from typing import TYPE_CHECKING

import httpx
import pytest

from campaign.sandbox import Sandbox, clerkjs
from campaign.sandbox.inbox import inbox_pages
from support.plain_http import NO_TLS
from support.sandbox.inboxes import ROOT, landing, shown, written

if TYPE_CHECKING:
    from pathlib import Path

    from support.sandbox.inboxes import Inbox


def test_a_link_opens_at_the_landing_page(inbox: Inbox) -> None:
    """The page shows a link as it was sent, and opens it on this machine with the same path and query; others stay."""
    _, token = inbox.issue()
    url = f"https://acme.example/de/willkommen?from=a%20b&token={token}#top"
    html = (
        f'<a href="{url.replace("&", "&amp;")}">Come <b>in</b></a> <a href="https://acme.example/help">Help</a>'
        '<a href="javascript:alert(1)">Bad</a><a href="/relative">Nowhere</a>'
    )
    place = inbox.post(written(html, f"Or: {url}\n"))
    here = url.replace("https://acme.example", inbox.sandbox.clerk_url)
    page, frame = inbox.get(place), inbox.get(f"{place}/html")
    assert f'title="{url.replace("&", "&amp;")}"' in page.text
    assert "Come in" in shown(page)
    assert f'href="{here}"' in unescape(page.text)
    assert shown(page).count("leads nowhere from a mail") == 2
    assert re.findall(r'href="([^"]+)"', unescape(frame.text)) == [here, "https://acme.example/help"]
    assert frame.text.count('target="_blank" rel="noopener noreferrer"') == 2
    assert f'href="{here}"' in unescape(inbox.get(place, view="text").text)
    assert inbox.http.get(here).text == f"<title>landing</title>{inbox.sandbox.publishable_key} token"


@pytest.mark.parametrize("path", ["/welcome", "/", "/v1/welcome", "/a//b", "/static/inbox.js"])
def test_the_landing_page_is_at_any_path(inbox: Inbox, path: str) -> None:
    """The landing page answers at the path of any campaign's link, and knows the parameter that holds the token."""
    _, token = inbox.issue()
    answer = inbox.http.get(
        path, params={"x": "1", "invite": token}, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    )
    assert answer.text.endswith(" invite")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("query", ["", "?from=a%20b"])
def test_a_token_in_the_fragment_is_known(inbox: Inbox, query: str) -> None:
    """A link with its token behind the `#` opens the landing page, which is told where to look, and shows its state."""
    token_id, token = inbox.issue()
    url = f"https://acme.example/{query}#invite={token}"
    place = inbox.post(written(f'<a href="{url}">In</a>'))
    assert "Sign-in link pending" in shown(inbox.get(f"{place}/tokens"))
    (here,) = re.findall(r'href="([^"]+)"', unescape(inbox.get(f"{place}/html").text))
    address, _, fragment = here.partition("#")
    assert fragment == f"invite={token}"
    assert address.startswith(f"{inbox.sandbox.clerk_url}/{query or '?'}")
    assert inbox.http.get(address).text.endswith(" #invite")
    assert inbox.status(token_id) == "pending"


def test_a_forged_token_reaches_the_landing_page(inbox: Inbox) -> None:
    """A token that the sandbox did not issue also leads to the landing page, which can then say that it is invalid."""
    assert inbox.http.get("/welcome", params={"t": "eyJhbGciOi.x.y"}).text.endswith(" t")
    assert inbox.http.get("/welcome", params={"t": "dummy-token"}).text.endswith(" token")


def test_clerks_api_is_not_covered_by_the_landing_page(inbox: Inbox) -> None:
    """API requests of programs are answered by Clerk's APIs and never with a landing page."""
    key = {"Authorization": f"Bearer {inbox.sandbox.secret_key}"}
    assert "keys" in inbox.http.get("/v1/jwks", headers=key).json()
    assert "keys" in inbox.http.get("/v1/jwks", headers=key | {"Accept": "text/html"}).json()
    assert inbox.http.get("/v1/jwks").status_code == 401
    assert inbox.http.post("/v1/sign_in_tokens", headers=key, json={"user_id": "user_mia"}).status_code == 200
    assert inbox.http.post("/__clerk/v1/dev_browser").json()["id"].startswith("dvb_")


def test_looking_leaves_the_token_pending(inbox: Inbox) -> None:
    """Opening the inbox or the landing page does not use up a token."""
    token_id, token = inbox.issue()
    place = inbox.post(written(f'<a href="https://acme.example/?token={token}">In</a>'))
    for path in (place, f"{place}/html", f"{place}/tokens", f"/?token={token}"):
        assert inbox.http.get(path).status_code == 200
    assert inbox.status(token_id) == "pending"


@pytest.mark.parametrize("fate", ["used", "expired", "revoked"])
def test_a_token_can_be_made_what_one_wants_to_see(inbox: Inbox, fate: str) -> None:
    """A button makes a pending token used, expired or revoked; the mail then shows that and has no more buttons."""
    token_id, token = inbox.issue()
    place = inbox.post(written(f'<a href="https://acme.example/welcome?token={token}">In</a>'))
    before = inbox.get(f"{place}/tokens")
    assert "Sign-in link pending" in shown(before)
    (action,) = re.findall(rf'formaction="([^"]*/{fate}\?width=phone)"', inbox.get(place, width="phone").text)
    answer = inbox.http.post(action)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{place}?width=phone")
    after = inbox.http.get(f"{place}/tokens", headers={"If-None-Match": before.headers["etag"]})
    assert f"Sign-in link {fate}" in shown(after)
    assert "formaction" not in after.text
    # A click on an outdated page.
    assert inbox.http.post(f"{place}/tokens/{token_id}/{'revoked' if fate == 'used' else 'used'}").status_code == 303
    assert f"Sign-in link {fate}" in shown(inbox.get(f"{place}/tokens"))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_no_other_page_changes_a_token(inbox: Inbox, headers: dict[str, str]) -> None:
    """A form from another page is refused, and the token is unchanged."""
    token_id, _ = inbox.issue()
    url = f"{inbox.sandbox.clerk_url}{ROOT}/mails/1/tokens/{token_id}/revoked"
    assert httpx.post(url, headers=headers, trust_env=False, verify=NO_TLS).status_code == 403
    assert inbox.status(token_id) == "pending"


def test_a_token_that_there_is_not_is_said(inbox: Inbox) -> None:
    """An unknown token or an unknown state is answered with a page that says so."""
    token_id, _ = inbox.issue()
    for path in ("sit_none/revoked", f"{token_id}/eaten"):
        assert inbox.http.post(f"{ROOT}/mails/1/tokens/{path}").status_code == 404
    assert inbox.status(token_id) == "pending"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "",
        "localhost@evil.example",
        "[::1].evil.example",
        "127.0.0.1:x@evil.example",
        "localhost:",
        "a/.localhost",
    ],
)
def test_no_other_host_reads_the_inbox(inbox: Inbox, host: str) -> None:
    """A request to the inbox with a foreign or odd Host header (DNS rebinding) gets nothing."""
    inbox.post(written())
    answer = httpx.get(f"{inbox.sandbox.clerk_url}{ROOT}/", headers={"Host": host}, trust_env=False, verify=NO_TLS)
    assert answer.status_code == 421
    assert "mia@" not in answer.text


def test_without_clerks_script_the_landing_page_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If clerk-js is not available, the link opens a page that says what to install."""
    monkeypatch.setattr(clerkjs, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setenv("PATH", str(tmp_path))

    async def scenario() -> httpx.Response:
        async with (
            Sandbox(tmp_path / "state", pages=partial(inbox_pages, landing=landing)) as bare,
            httpx.AsyncClient(base_url=bare.clerk_url, trust_env=False, verify=NO_TLS) as client,
        ):
            return await client.get("/welcome?token=x")

    answer = asyncio.run(scenario())
    assert answer.status_code == 503
    assert "install Node.js" in shown(answer)
