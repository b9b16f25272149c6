"""All routes that a person's browser asks for: the inbox under `/__inbox`, and the landing page everywhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.sandbox.inbox.landing import landing_route
from campaign.sandbox.inbox.mails import Mails
from campaign.sandbox.inbox.pages import Pages

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from campaign.sandbox.inbox.landing import LandingPage
    from campaign.sandbox.inbox.mails import LogOf
    from campaign.sandbox.state import State

#: Where the inbox is. No site has a path like it, so no link of a mail meets it.
ROOT = "/__inbox"


def inbox_pages(
    state: State,
    *,
    landing: LandingPage,
    log_of: LogOf = lambda _: None,
    command: str = "campaign run FILE",
) -> list[BaseRoute]:
    """Return the routes.

    Args:
        state: the sandbox's.
        landing: makes the landing page's HTML from a publishable key and the query parameter of the token.
        log_of: says what the send log knows of the recipient of a Message-ID, field by field.
        command: what to type to get mail, for who has none yet.
    """
    pages = Pages(ROOT)
    return [*Mails(state, pages, log_of, command).routes(), pages.files(), landing_route(state, pages, landing)]
