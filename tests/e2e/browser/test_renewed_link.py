"""A new link on demand in Chromium, with `campaign serve` and a send log in a file or in PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from campaign.landing import landing_page
from support.browser.frontend_api import PUBLISHABLE_KEY
from support.renewing import PLAIN, Server, links, mailing

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Route

    from support.browser.frontend_api import FrontendApi
    from support.browser.visitor import Arrive, Visitor
    from support.environment import Environment

pytestmark = pytest.mark.browser

#: Where the page finds `campaign serve`.
_SERVED = "https://mail.acme.example/u/renew"
#: How Clerk refuses a token that was revoked.
_REVOKED = "sign_in_token_revoked_code"
_WITH_URL = PLAIN + '[unsubscribe]\nurl = "https://mail.acme.example/u"\n'


@pytest.mark.parametrize("database", ["SQLite", "PostgreSQL"])
def test_the_second_mail_signs_in_and_the_first_does_not(
    tmp_path: Path, arrive: Arrive, api: FrontendApi, request: pytest.FixtureRequest, database: str
) -> None:
    """From the expired link over the page's button, `campaign serve` and the next run to the second mail's link."""
    postgres = request.getfixturevalue("postgres_server") if database == "PostgreSQL" else None
    url = postgres.fresh() if postgres else None
    api.pages["/welcome"] = landing_page(
        publishable_key=PUBLISHABLE_KEY, redirect=None, frontend_api="/__clerk", renew=_SERVED
    )
    # without an icon of its own, Chromium may ask the site for one, with this page as the Referer
    api.pages["/cart/user_1"] = "<title>Cart</title><link rel=icon href=data:,><h1>Your cart</h1>"
    with mailing(tmp_path, more=_WITH_URL, log=url) as (env, kept):
        assert env.work.run().returncode == 0
        assert (env.work.log.exists(), len(env.accepted)) == (url is None, 3)
        (first,) = links(env, kept, "u1@d1.example")
        tell(api, env)
        api.tickets[first["token"]].status = "ticket_expired_code"
        server = Server(env)

        def serve(route: Route) -> None:
            route.fulfill(response=route.fetch(url=server.url))

        visitor = arrive(api)
        visitor.page.route(_SERVED, serve)
        assert "Ask for a new link" in opened(visitor, first).sees("expired")
        visitor.press("Send me a new link").page.get_by_role("heading", name="Look into your inbox").wait_for()
        assert visitor.foreign == [_SERVED]
        visitor.foreign.clear()
        done = env.work.run()
        assert (done.returncode, "1 message sent" in done.stdout) == (0, True), done.stderr
        _, second = links(env, kept, "u1@d1.example")
        tell(api, env)
        visitor = arrive(api)
        opened(visitor, first).sees("revoked")
        assert "Signed in" in opened(visitor, second).sees("signed_in")
        assert [api.tickets[each["token"]].status for each in (first, second)] == [_REVOKED, "accepted"]
        server.end()
        verdict = env.verdict()
        assert verdict.violated == {}, verdict.table()
    if postgres:
        postgres.drop(url)


def tell(api: FrontendApi, env: Environment) -> None:
    """Let Clerk's Frontend API know what its Backend API does: the tokens, and which of them were revoked."""
    revoked = env.revoked
    for token in env.tokens:
        api.issue(token["user_id"], ticket=token["token"], status=_REVOKED if token["id"] in revoked else "pending")


def opened(visitor: Visitor, link: dict[str, Any]) -> Visitor:
    """Open the link of a mail, by its parameters, and press the button that signs in."""
    visitor.page.goto(f"{visitor.site}/welcome?{urlencode(link)}")
    visitor.sees("ready")
    visitor.page.get_by_role("button", name="Continue").click()
    return visitor
