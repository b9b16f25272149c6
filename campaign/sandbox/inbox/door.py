"""Collect all routes for a person's browser: the inbox under `/__inbox`, the landing page elsewhere: `inbox_pages`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from campaign.sandbox.inbox.landing import landing_route
from campaign.sandbox.inbox.mails import Mails
from campaign.sandbox.inbox.pages import Pages
from campaign.sandbox.inbox.unsubscribe import is_unsubscribe, unsubscribe_route

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from campaign.sandbox.inbox.landing import LandingPage
    from campaign.sandbox.inbox.mails import LogOf
    from campaign.sandbox.inbox.unsubscribe import Unsubscribe
    from campaign.sandbox.state import State

    #: Answers a request for a new link.
    Renewal = Callable[[Request], Awaitable[Response]]

#: The path of the inbox. No real site has such a path, so it cannot collide with a link in a mail.
ROOT = "/__inbox"
#: The path at which the landing page asks for a new link.
RENEWAL = "/__renew"


def inbox_pages(
    state: State,
    *,
    landing: LandingPage,
    log_of: LogOf = lambda _: None,
    command: str = "campaign run FILE",
    unsubscribe: Unsubscribe | None = None,
    renewal: Renewal | None = None,
) -> list[BaseRoute]:
    """Return the routes of the inbox and of the landing page.

    Args:
        state: the sandbox's state.
        landing: makes the landing page's HTML from a publishable key and the token's parameter.
        log_of: returns what the send log knows about the recipient of a Message-ID, as fields.
        command: the command that an empty inbox tells the user to type.
        unsubscribe: answers the unsubscribe links of the mails; None: such links lead out of the sandbox.
        renewal: answers the requests of the landing page for a new link; None: there are none.
    """
    pages = Pages(ROOT, state.now)
    mails = Mails(state, pages, log_of, command, is_unsubscribe=is_unsubscribe(unsubscribe))
    leaving = [unsubscribe_route(unsubscribe)] if unsubscribe else []
    asking = [Route(RENEWAL, renewal, methods=["GET", "POST"])] if renewal else []
    return [*mails.routes(), pages.files(), *leaving, *asking, landing_route(state, pages, landing)]
