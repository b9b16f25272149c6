"""The plain landing page in Chromium, with the real clerk-js, against a fake Frontend API."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from campaign.landing import frontend_api_host
from support.browser.frontend_api import PUBLISHABLE_KEY
from support.browser.visitor import CONTRASTS

if TYPE_CHECKING:
    from support.browser.frontend_api import FrontendApi
    from support.browser.visitor import Arrive

pytestmark = pytest.mark.browser

MIA, TOM = "user_2xk11oHUGCiczMSpxkMzN5E6EUC", "user_2xK5kN1LZTSj1OLXdIWz47woEu6"

#: Each error of a redemption, with the state and the words that the page shows.
REFUSALS = [
    ({"status": "accepted"}, "used", "ask for a new link"),
    ({"status": "sign_in_token_revoked_code"}, "revoked", "Look for the latest one"),
    ({"status": "ticket_expired_code"}, "expired", "ask for a new link"),
    ({"status": "ticket_invalid_code"}, "invalid", "Press the button in the email again"),
    ({"status": "user_locked", "http_status": 403}, "locked", "Wait a while"),
    ({"status": "user_banned", "http_status": 403}, "banned", "reply to the email"),
    ({"status": "too_many_requests", "http_status": 429}, "too_many", "Wait a minute"),
    (
        {"status": "too_many_requests", "http_status": 429, "headers": {"Retry-After": "7"}},
        "too_many",
        "Wait 7 seconds",
    ),
    ({"status": "internal_clerk_error", "http_status": 500}, "failed", "internal_clerk_error"),
    ({"status": "not_allowed_access", "http_status": 403}, "failed", "not_allowed_access"),
    ({"further": "needs_second_factor"}, "second_factor", "with your code at hand"),
]


def test_a_click_signs_the_person_in(arrive: Arrive, api: FrontendApi) -> None:
    """One click signs in, shows the account, and removes the token from the URL; a reload keeps the session."""
    visitor = arrive(api)
    assert visitor.signs_in(api.issue(MIA)).endswith(f"Signed in as {MIA}")
    assert visitor.address == "/welcome?cart=C-1"
    visitor.page.reload()
    assert MIA in visitor.sees("signed_in")
    assert len(api.redemptions) == 1
    assert visitor.complaints == []


def test_it_works_with_clerks_own_host(arrive: Arrive, api: FrontendApi) -> None:
    """As on a real site, the page calls the host in the publishable key, and its policy allows that."""
    visitor = arrive(api)
    visitor.reach(f"https://{frontend_api_host(PUBLISHABLE_KEY)}", f"{api.url}/__clerk")
    assert MIA in visitor.signs_in(api.issue(MIA), "/welcome/direct")
    assert visitor.complaints == []


def test_opening_the_page_leaves_the_token_unspent(arrive: Arrive, api: FrontendApi) -> None:
    """A scanner that opens the link in a browser, moves the mouse, reloads and leaves does not use the token."""
    ticket = api.issue(MIA)
    scanner = arrive(api)
    scanner.open(ticket).sees("ready")
    scanner.page.mouse.move(200, 200)
    scanner.page.keyboard.press("Tab")
    scanner.page.reload()
    assert "Press Continue" in scanner.sees("ready")
    assert api.redemptions == []
    assert MIA in arrive(api).signs_in(ticket)


def test_without_scripts_the_page_says_what_it_needs(arrive: Arrive, api: FrontendApi) -> None:
    """With JavaScript switched off the page says so, and sends no request to Clerk."""
    visitor = arrive(api, java_script_enabled=False).open(api.issue(MIA))
    assert "needs JavaScript" in visitor.page.inner_text("main")
    assert len(api.requests) == 1


def test_the_keyboard_suffices(arrive: Arrive, api: FrontendApi) -> None:
    """Tab and Enter are enough to sign in, and the focus moves to the new message."""
    visitor = arrive(api)
    visitor.open(api.issue(MIA)).sees("ready")
    visitor.page.keyboard.press("Tab")
    visitor.page.keyboard.press("Enter")
    visitor.sees("signed_in")
    assert visitor.page.evaluate("document.activeElement.tagName") == "H1"


@pytest.mark.parametrize(
    ("fate", "state", "words"), REFUSALS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_refusal_has_its_words(
    arrive: Arrive, api: FrontendApi, fate: dict[str, Any], state: str, words: str
) -> None:
    """For each error of Clerk the page announces what it means and what to do."""
    visitor = arrive(api)
    visitor.open(api.issue(MIA, **fate)).sees("ready")
    assert words in visitor.press("Continue").sees(state)
    assert visitor.page.evaluate("document.activeElement.tagName") == "H1"


def test_a_forged_token_is_told(arrive: Arrive, api: FrontendApi) -> None:
    """A token that Clerk does not know is shown as invalid."""
    visitor = arrive(api)
    visitor.open("made.up.token").sees("ready")
    assert "copy the whole address" in visitor.press("Continue").sees("invalid")


def test_a_missing_token_is_told(arrive: Arrive, api: FrontendApi) -> None:
    """Without a token the page says where to find the link, and shows no button."""
    visitor = arrive(api).open(None)
    assert "Open the email" in visitor.sees("no_token")
    assert visitor.page.get_by_role("button").count() == 0


def test_a_link_works_in_one_browser_only(arrive: Arrive, api: FrontendApi) -> None:
    """A link that was used in one browser is shown as used in a second one."""
    ticket = api.issue(MIA)
    arrive(api).signs_in(ticket)
    other = arrive(api)
    other.open(ticket).sees("ready")
    assert "already used" in other.press("Continue").sees("used")


def test_what_passes_by_can_be_tried_again(arrive: Arrive, api: FrontendApi) -> None:
    """After too many requests another click on the same page signs in."""
    ticket = api.issue(MIA, status="too_many_requests", http_status=429)
    visitor = arrive(api)
    visitor.open(ticket).sees("ready")
    visitor.press("Continue").sees("too_many")
    api.tickets[ticket].status = "pending"
    assert MIA in visitor.press("Try again").sees("signed_in")


def test_second_factor_leaves_no_token_in_the_address(arrive: Arrive, api: FrontendApi) -> None:
    """If Clerk asks for a second factor, the used token is removed from the URL."""
    visitor = arrive(api)
    visitor.open(api.issue(MIA, further="needs_second_factor")).sees("ready")
    visitor.press("Continue").sees("second_factor")
    assert visitor.address == "/welcome?cart=C-1"


def test_a_second_link_of_the_same_user_is_not_spent(arrive: Arrive, api: FrontendApi) -> None:
    """A user who is already signed in and opens another link of their own is told so, and the link stays unused."""
    visitor = arrive(api)
    visitor.signs_in(api.issue(MIA))
    assert f"Signed in as {MIA}" in visitor.open(api.issue(MIA)).sees("already_same")
    assert visitor.address == "/welcome?cart=C-1"
    assert len(api.redemptions) == 1


def test_another_users_link_can_be_declined(arrive: Arrive, api: FrontendApi) -> None:
    """A user who opens another user's link may stay signed in as before, and the link stays unused."""
    visitor = arrive(api)
    visitor.signs_in(api.issue(MIA))
    words = visitor.open(api.issue(TOM)).sees("already_other")
    assert MIA in words
    assert words.endswith("The link signs in another account.")
    assert MIA in visitor.press("Stay as I am").sees("signed_in")
    assert visitor.address == "/welcome?cart=C-1"
    assert len(api.redemptions) == 1


def test_another_users_link_can_be_taken(arrive: Arrive, api: FrontendApi) -> None:
    """A user who opens another user's link may switch to that account, and a reload keeps it."""
    visitor = arrive(api)
    visitor.signs_in(api.issue(MIA))
    visitor.open(api.issue(TOM)).sees("already_other")
    assert visitor.press("Switch account").sees("signed_in").endswith(TOM)
    visitor.page.reload()
    assert visitor.sees("signed_in").endswith(TOM)


def test_a_link_that_names_nobody_asks_first(arrive: Arrive, api: FrontendApi) -> None:
    """If the token does not name its user, a user who is already signed in is asked first."""
    visitor = arrive(api)
    visitor.signs_in(api.issue(MIA))
    ticket = api.issue(TOM, ticket="opaque")
    assert "may be for another account" in visitor.open(ticket).sees("already_unknown")
    assert visitor.press("Sign in with the link").sees("signed_in").endswith(TOM)


@pytest.mark.parametrize(("second", "state"), [(MIA, "already_same"), (TOM, "already_other")])
def test_a_session_from_another_tab_is_seen(arrive: Arrive, api: FrontendApi, second: str, state: str) -> None:
    """A tab that was open before a sign-in in another tab notices it at the click, and does not use the token."""
    first = arrive(api)
    behind = arrive(api, beside=first)
    ticket = api.issue(second)
    behind.open(ticket).sees("ready")
    api.sign_in(first.browser_name(), MIA)
    assert MIA in behind.press("Continue").sees(state)
    assert api.tickets[ticket].status == "pending"


def test_a_lost_answer_is_made_up_for(arrive: Arrive, api: FrontendApi) -> None:
    """If Clerk accepted the token but its answer was lost, the next click finds the session."""
    visitor = arrive(api)
    visitor.open(api.issue(MIA)).sees("ready")

    def lose(route: Any) -> None:  # noqa: ANN401 - Playwright's
        route.fetch()
        route.abort()

    visitor.page.route("**/sign_ins?*", lose, times=1)
    assert "Check your connection" in visitor.press("Continue").sees("offline")
    assert MIA in visitor.press("Try again").sees("already_same")
    assert visitor.address == "/welcome?cart=C-1"


def test_a_session_that_was_not_made_active_is_so_at_the_next_press(arrive: Arrive, api: FrontendApi) -> None:
    """If Clerk fails after accepting the token, trying again does not send the token a second time."""
    visitor = arrive(api)
    visitor.open(api.issue(MIA)).sees("ready")
    visitor.page.route("**/touch?*", lambda route: route.fulfill(status=500, body=""), times=1)
    visitor.press("Continue").sees("failed")
    assert visitor.address == "/welcome?cart=C-1"
    visitor.press("Try again")
    assert MIA in visitor.sees("signed_in")
    assert len(api.redemptions) == 1


def test_without_a_connection_nothing_is_lost(arrive: Arrive, api: FrontendApi) -> None:
    """Without a connection the page says so, and signs in when the connection is back."""
    visitor = arrive(api)
    visitor.open(api.issue(MIA)).sees("ready")
    visitor.context.set_offline(offline=True)
    assert "Check your connection" in visitor.press("Continue").sees("offline")
    visitor.context.set_offline(offline=False)
    assert MIA in visitor.press("Try again").sees("signed_in")


def test_without_clerks_script_the_page_says_so(arrive: Arrive, api: FrontendApi) -> None:
    """If clerk-js cannot be loaded, the page says so, and loads it at the next click."""
    visitor = arrive(api)
    visitor.page.route("**/clerk.browser.js", lambda route: route.abort(), times=1)
    assert "Check your connection" in visitor.open(api.issue(MIA)).sees("unreachable")
    assert "almost in" in visitor.press("Try again").sees("ready")


def test_the_redirect_follows(arrive: Arrive, api: FrontendApi) -> None:
    """With a redirect the page says that the person is signed in, shows a link onward, and follows it by itself."""
    visitor = arrive(api)
    visitor.signs_in(api.issue(MIA), "/welcome/redirect")
    assert visitor.page.get_by_role("link", name="Go on").get_attribute("href") == "/cart?from=mail"
    visitor.page.wait_for_url(f"{api.url}/cart?from=mail")


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("choose-organization", "choose the organization"),
        ("reset-password", "choose a new password"),
        ("setup-mfa", "second step for signing in"),
        ("sign-the-terms", "finish what your account asks for"),
    ],
)
def test_a_task_that_is_left_comes_first(arrive: Arrive, api: FrontendApi, task: str, words: str) -> None:
    """A session with a task left is not called signed in: the page says what is left, and leads there, not onward."""
    visitor = arrive(api)
    visitor.open(api.issue(MIA, task=task), "/welcome/redirect").sees("ready")
    assert words in visitor.press("Continue").sees("task")
    visitor.page.reload()
    assert words in visitor.sees("task")
    assert words in visitor.open(api.issue(MIA), "/welcome/redirect").sees("task")
    visitor.page.get_by_role("link", name="Go to this step").click()
    visitor.page.wait_for_url(re.compile(rf"{api.url}/account.*#/tasks/"))
    assert len(api.redemptions) == 1
    api.sign_in(visitor.browser_name(), MIA)
    visitor.open(None, "/welcome/redirect").page.wait_for_url(f"{api.url}/cart?from=mail")


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (320, "dark"),
        (1280, "light"),
        pytest.param(320, "light", marks=pytest.mark.long),
        pytest.param(1280, "dark", marks=pytest.mark.long),
    ],
)
def test_it_can_be_read_everywhere(arrive: Arrive, api: FrontendApi, scheme: str, width: int) -> None:
    """At widths from phone to desktop nothing is cut off, and all text has the contrast of WCAG 2.2 AA (4.5 to 1)."""
    visitor = arrive(api, color_scheme=scheme, viewport={"width": width, "height": 700})
    visitor.signs_in(api.issue(MIA))
    visitor.open(api.issue(TOM)).sees("already_other")
    assert visitor.page.evaluate("document.documentElement.scrollWidth") == width
    assert min(visitor.page.evaluate(CONTRASTS)) >= 4.5
