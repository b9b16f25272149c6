"""Links that `link_to` makes of a path, in Chromium: the plain landing page goes on to their own path of the site."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.browser.visitor import ELSEWHERE

if TYPE_CHECKING:
    from support.browser.frontend_api import FrontendApi
    from support.browser.visitor import Arrive, Visitor

pytestmark = pytest.mark.browser

MIA, TOM = "user_2xk11oHUGCiczMSpxkMzN5E6EUC", "user_2xK5kN1LZTSj1OLXdIWz47woEu6"
CART, ONWARD = "/cart?answer=4#items", "%2Fcart%3Fanswer%3D4%23items"
#: The page with a fixed redirect, and where that leads.
FIXED, REDIRECT = "/welcome/redirect", "/cart?from=mail"


def way_on(visitor: Visitor, label: str = "Go on") -> str | None:
    """Return where the link onward leads; None if there is none."""
    link = visitor.page.get_by_role("link", name=label, exact=True)
    return link.get_attribute("href") if link.count() else None


def goes_on_to(visitor: Visitor, api: FrontendApi, path: str) -> None:
    """Check where the link onward leads; on a slow machine the page may have gone there already."""
    found = way_on(visitor)
    if found is None:
        visitor.page.wait_for_url(api.url + path)
    else:
        assert found == path


@pytest.mark.parametrize("path", ["/welcome", FIXED])
@pytest.mark.parametrize("fragment", [False, True])
def test_a_click_leads_to_the_links_own_path(arrive: Arrive, api: FrontendApi, path: str, fragment: bool) -> None:
    """After the sign-in the page goes to the path of the link, whole, and not to the fixed redirect."""
    visitor = arrive(api)
    visitor.open(api.issue(MIA), path, onward=ONWARD, fragment=fragment).sees("ready")
    visitor.press("Continue").sees("signed_in")
    goes_on_to(visitor, api, CART)
    visitor.page.wait_for_url(api.url + CART)
    assert visitor.complaints == []


def test_who_is_in_already_gets_there_too(arrive: Arrive, api: FrontendApi) -> None:
    """A person who is signed in goes to the link's own path; no token is spent, and a spent one is no dead end."""
    visitor = arrive(api)
    ticket = api.issue(MIA)
    visitor.signs_in(ticket)
    for link in (api.issue(MIA), ticket):
        visitor.open(link, FIXED, onward=ONWARD).sees("already_same")
        goes_on_to(visitor, api, CART)
        visitor.page.wait_for_url(api.url + CART)
    assert len(api.redemptions) == 1


def test_a_reload_keeps_the_path(arrive: Arrive, api: FrontendApi) -> None:
    """The path outlives a reload before the click and one after it."""
    visitor = arrive(api)
    visitor.open(api.issue(MIA), onward=ONWARD).sees("ready")
    visitor.page.reload()
    visitor.sees("ready")
    visitor.page.route("**/cart?*", lambda route: route.abort())
    visitor.press("Continue").sees("signed_in")
    visitor.page.reload()
    visitor.sees("signed_in")
    goes_on_to(visitor, api, CART)


def test_after_switching_accounts_it_goes_there(arrive: Arrive, api: FrontendApi) -> None:
    """Whoever opens another user's link is asked first, and then goes to the link's own path."""
    visitor = arrive(api)
    visitor.signs_in(api.issue(MIA))
    visitor.open(api.issue(TOM), onward=ONWARD).sees("already_other")
    assert way_on(visitor) is None
    visitor.press("Switch account").page.wait_for_url(api.url + CART)


def test_a_task_that_is_left_comes_first_and_then_the_path(arrive: Arrive, api: FrontendApi) -> None:
    """Clerk is told to come back to the page with the path, which then goes on."""
    visitor = arrive(api)
    visitor.open(api.issue(MIA, task="choose-organization"), onward=ONWARD).sees("ready")
    visitor.press("Continue").sees("task")
    assert way_on(visitor) is None
    place = visitor.page.get_by_role("link", name="Go to this step").get_attribute("href") or ""
    assert "next%3D%252Fcart%253Fanswer" in place
    api.sign_in(visitor.browser_name(), MIA)
    visitor.page.reload()
    visitor.page.wait_for_url(api.url + CART)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("accepted", "used"),
        ("sign_in_token_revoked_code", "revoked"),
        ("ticket_expired_code", "expired"),
        ("ticket_invalid_code", "invalid"),
    ],
)
def test_a_dead_link_still_knows_its_path(arrive: Arrive, api: FrontendApi, status: str, state: str) -> None:
    """Where the token is good for nothing, the page offers the link's own path, and does not go there by itself."""
    visitor = arrive(api)
    visitor.open(api.issue(MIA, status=status), FIXED, onward=ONWARD).sees("ready")
    visitor.press("Continue").sees(state)
    assert (way_on(visitor, "Go on without it"), way_on(visitor)) == (CART, None)
    visitor.open(api.issue(MIA, status=status), FIXED).sees("ready")
    visitor.press("Continue").sees(state)
    assert way_on(visitor, "Go on without it") is None


def test_no_link_leads_to_another_site(arrive: Arrive, api: FrontendApi) -> None:
    """Whatever stands in `next`, the page goes to a path of its own site, or to the fixed redirect."""
    visitor = arrive(api)
    visitor.signs_in(api.issue(MIA))
    for onward in ELSEWHERE:
        visitor.open(api.issue(MIA), FIXED, onward=onward).sees("already_same")
        goes_on_to(visitor, api, REDIRECT)
        visitor.open(api.issue(MIA), onward=onward).sees("already_same")
        assert way_on(visitor) is None, onward
    visitor.open(None, FIXED, onward=ELSEWHERE[0]).page.wait_for_url(api.url + REDIRECT)
