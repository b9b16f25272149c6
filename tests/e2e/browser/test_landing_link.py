"""The plain landing page's link in Chromium: out of the address at once, and whose account it opens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.browser.frontend_api import FrontendApi
    from support.browser.visitor import Arrive, Visitor

pytestmark = pytest.mark.browser

MIA, TOM = "user_2xk11oHUGCiczMSpxkMzN5E6EUC", "user_2xK5kN1LZTSj1OLXdIWz47woEu6"
HINT = "m…@example.com"
NO_STORAGE = """Object.defineProperty(window, "sessionStorage", {
  get() { throw new DOMException("refused", "SecurityError"); },
})"""
WHAT_SCRIPTS_SEE = "JSON.stringify([location.href, history.state, document.URL, document.referrer])"


def stored(visitor: Visitor) -> int:
    """Return the number of values in the tab's storage."""
    return int(visitor.page.evaluate("sessionStorage.length"))


@pytest.mark.parametrize("fragment", [False, True])
def test_the_link_leaves_the_address_at_once(arrive: Arrive, api: FrontendApi, fragment: bool) -> None:
    """Before Clerk's script is there the token is out of the address, and a reload and a click still sign in."""
    ticket = api.issue(MIA)
    visitor = arrive(api)
    visitor.page.route("**/clerk.browser.js", lambda route: route.abort(), times=1)
    visitor.open(ticket, hint=HINT, fragment=fragment).sees("unreachable")
    assert visitor.address == "/welcome?cart=C-1"
    assert ticket not in visitor.page.evaluate(WHAT_SCRIPTS_SEE)
    visitor.press("Try again").sees("ready")
    visitor.press(f"Continue as {HINT}").sees("signed_in")
    assert stored(visitor) == 0
    assert len([request for request in api.requests if ticket in request]) == (0 if fragment else 1)


def test_without_storage_the_page_keeps_the_link_itself(arrive: Arrive, api: FrontendApi) -> None:
    """In a browser that refuses sessionStorage the token leaves the address, too, and a click signs in."""
    ticket = api.issue(MIA)
    visitor = arrive(api)
    visitor.page.add_init_script(NO_STORAGE)
    visitor.open(ticket).sees("ready")
    assert visitor.address == "/welcome?cart=C-1"
    assert MIA in visitor.press("Continue").sees("signed_in")


def test_a_second_link_in_the_same_tab_is_taken(arrive: Arrive, api: FrontendApi) -> None:
    """A link that differs from the page's address in the fragment only is opened, and replaces the first one."""
    visitor = arrive(api)
    visitor.open(api.issue(MIA), fragment=True).sees("ready")
    second = api.issue(TOM)
    with visitor.page.expect_event("domcontentloaded"):
        visitor.open(second, fragment=True)
    visitor.sees("ready")
    assert visitor.address == "/welcome?cart=C-1"
    visitor.press("Continue").sees("signed_in")
    assert api.redemptions == [second]


@pytest.mark.parametrize(
    "end", ["accepted", "sign_in_token_revoked_code", "ticket_expired_code", "ticket_invalid_code"]
)
def test_a_dead_link_is_forgotten(arrive: Arrive, api: FrontendApi, end: str) -> None:
    """A token that Clerk refused for good is not kept for a reload."""
    visitor = arrive(api)
    visitor.open(api.issue(MIA, status=end)).sees("ready")
    visitor.press("Continue").page.locator("[data-tone=warn]").wait_for()
    assert stored(visitor) == 0
    visitor.page.reload()
    visitor.sees("no_token")


def test_the_account_is_named_before_and_after(arrive: Arrive, api: FrontendApi) -> None:
    """The button names the masked address of the link, and then the page the account's address instead of its id."""
    visitor = arrive(api)
    visitor.open(api.issue(MIA, email="mia@example.com"), hint=HINT).sees("ready")
    assert visitor.press(f"Continue as {HINT}").sees("signed_in").endswith("Signed in as mia@example.com")
    words = visitor.open(api.issue(TOM), hint="t…@example.com").sees("already_other")
    assert words.endswith("You are signed in as mia@example.com. The link signs in t…@example.com.")


@pytest.mark.parametrize("forged", ["your bank", "mia@example.com", "m…@example.com or call 555", "m…@", "m…@a\u202eb"])
def test_only_a_masked_address_is_shown(arrive: Arrive, api: FrontendApi, forged: str) -> None:
    """Other words in the place of the hint are not shown: anyone can write a link."""
    visitor = arrive(api).open(api.issue(MIA), hint=forged)
    visitor.sees("ready")
    assert visitor.page.get_by_role("button").all_inner_texts() == ["Continue"]
