"""Serve the landing page at every path without another route, so that links keep path and query: `landing_route`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse, Response
from starlette.routing import Match, Route

from campaign.sandbox.errors import SandboxError
from campaign.sandbox.inbox.links import Links, parameter_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.types import Scope

    from campaign.sandbox.inbox.pages import Pages
    from campaign.sandbox.state import State

    #: From a publishable key and the token's parameter to the page's HTML.
    LandingPage = Callable[[str, str], str]

_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # The page's own policy is in a meta element, where this directive has no effect.
    "Content-Security-Policy": "frame-ancestors 'none'",
}

#: The major version of clerk-js that the page asks for.
_CLERK_JS = ("6", "clerk.browser.js")


class LandingRoute(Route):
    """Matches the paths of all sites, except `/__…` (the sandbox's own) and `/v1/…` (Clerk's Backend API)."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether the request opens a link of a mail."""
        path = scope.get("path", "")
        if path.startswith("/__") or (path.startswith("/v1/") and not _is_visit(scope)):
            return Match.NONE, {}
        return super().matches(scope)


def landing_route(state: State, pages: Pages, page: LandingPage) -> Route:
    """Return the route of the landing page; `/` without a query redirects to the inbox."""
    links = Links(state)

    def landing(request: Request) -> Response:
        if request.url.path == "/" and not request.url.query:
            return pages.redirect("/")
        try:
            state.clerk_js.file(*_CLERK_JS)
        except SandboxError as error:
            return pages.sentence(503, "Clerk's script is missing", str(error))
        html = page(state.keys.publishable, parameter_of(request.url.query, links))
        return HTMLResponse(html, headers=_HEADERS)

    return LandingRoute("/{path:path}", landing, methods=["GET"])


def _is_visit(scope: Scope) -> bool:
    """Return whether a browser opens the address; clients of an API do not ask for HTML."""
    headers = dict(scope.get("headers", ()))
    return (
        scope.get("method") == "GET" and b"text/html" in headers.get(b"accept", b"") and b"authorization" not in headers
    )
