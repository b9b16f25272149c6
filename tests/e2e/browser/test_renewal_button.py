"""The landing page's button for a new link in Chromium: where it is, and what it posts."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import pytest

from campaign.landing import landing_page
from campaign.tags import Tags
from support.browser.frontend_api import PUBLISHABLE_KEY
from support.browser.visitor import CONTRASTS

if TYPE_CHECKING:
    from playwright.sync_api import Route

    from support.browser.frontend_api import FrontendApi
    from support.browser.visitor import Arrive

pytestmark = pytest.mark.browser

MIA = "user_2xk11oHUGCiczMSpxkMzN5E6EUC"
TAG = Tags({1: bytes(range(32))}).renewal_tag(7)
ELSEWHERE = "https://mail.acme.example"
DEAD = [
    ("accepted", "used", "Each link signs in once"),
    ("sign_in_token_revoked_code", "revoked", "Look for the latest one"),
    ("ticket_expired_code", "expired", "It was good for a limited time only"),
]


@pytest.fixture
def renewable(api: FrontendApi) -> FrontendApi:
    """The page with the button, at `/renewable`; `campaign serve` is at another origin."""
    api.pages["/renewable"] = landing_page(
        publishable_key=PUBLISHABLE_KEY, redirect=None, frontend_api="/__clerk", renew=f"{ELSEWHERE}/u/renew"
    )
    return api


@pytest.mark.parametrize(("status", "state", "words"), DEAD)
def test_a_dead_link_can_be_replaced(
    arrive: Arrive, renewable: FrontendApi, status: str, state: str, words: str
) -> None:
    """The button posts the tag alone, in a form without a script, and shows the answer; the tag left the address."""
    posted: list[tuple[str, dict[str, list[str]], dict[str, str]]] = []

    def answer(route: Route) -> None:
        request = route.request
        posted.append((request.method, parse_qs(request.post_data or ""), request.headers))
        route.fulfill(body="<title>x</title><h1>Look into your inbox</h1>", content_type="text/html")

    visitor = arrive(renewable, viewport={"width": 320, "height": 800}, color_scheme="dark")
    visitor.page.route(f"{ELSEWHERE}/u/renew", answer)
    visitor.open(renewable.issue(MIA, status=status), f"/renewable?renew={TAG}&x=1&y=", onward="/cart").sees("ready")
    assert visitor.address == "/renewable?x=1&y=%3Fcart%3DC-1&next=%2Fcart"
    said = visitor.press("Continue").sees(state)
    assert words in said
    assert "it goes to the address that got this one" in said
    assert visitor.page.locator(".landing-action").all_inner_texts() == ["Send me a new link", "Go on without it"]
    assert visitor.page.evaluate("document.documentElement.scrollWidth") == 320
    assert min(visitor.page.evaluate(CONTRASTS)) >= 4.5
    visitor.press("Send me a new link").page.get_by_role("heading", name="Look into your inbox").wait_for()
    ((method, fields, headers),) = posted
    assert (method, fields) == ("POST", {"tag": [TAG]})
    assert "referer" not in headers
    assert visitor.foreign == [f"{ELSEWHERE}/u/renew"]
    visitor.foreign.clear()
    assert all("status of 400" in each for each in visitor.complaints)  # Clerk's refusal of the link


@pytest.mark.parametrize(
    ("path", "tag", "state"),
    [
        ("/renewable", "", "expired"),
        ("/renewable", f"&renew={TAG[:-1]}", "expired"),
        ("/renewable", "&renew=%22%3E%3Cb%3Eaaaaaaaaaaaaaaaaaaaaaaaaaaa", "expired"),
        ("/renewable", f"&renew={TAG}", "invalid"),
        ("/welcome", f"&renew={TAG}", "expired"),
    ],
)
def test_no_button_without_a_way(arrive: Arrive, renewable: FrontendApi, path: str, tag: str, state: str) -> None:
    """Without a tag that looks like one, an address in the page, or a link that Clerk knows, there is no button."""
    visitor = arrive(renewable)
    visitor.open(renewable.issue(MIA, status=f"ticket_{state}_code"), f"{path}?a=1{tag}&b=").sees("ready")
    said = visitor.press("Continue").sees(state)
    assert visitor.page.locator("form").count() == 0
    assert ("Reply to the email" in said) == (state == "expired")
