"""Serve Clerk's Frontend API under `/__clerk`: `Frontend` identifies the browser and handles CORS and methods.

The endpoints are in `frontend_sessions.py`, the scripts in `frontend_scripts.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import QueryParams
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route, Router

from campaign.sandbox.answers import ApiError, answer, not_found
from campaign.sandbox.frontend_objects import Shown
from campaign.sandbox.loopback import OWN_ORIGIN, is_own_page

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from starlette.requests import Request
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Receive, Scope, Send

    from campaign.sandbox.state import State

    Endpoint = Callable[[Request], Awaitable[Response]]

#: The path of the Frontend API; pages pass it to clerk-js as `proxyUrl`.
PREFIX = "/__clerk"

#: The Account Portal's sign-in page, below `PREFIX`.
_SIGN_IN = "/sign-in"


class Frontend:
    """The entry of the Frontend API: identifies the browser and turns refusals into responses.

    Attributes:
        state: the data that the endpoints work on.
    """

    def __init__(self, state: State) -> None:
        self.state = state

    def route(self, method: str, path: str, endpoint: Endpoint) -> Route:
        """Return the route of an endpoint, with refusals turned into responses."""

        async def guarded(request: Request) -> Response:
            try:
                return await endpoint(request)
            except ApiError as refusal:
                return refusal.answer()

        return Route(path, guarded, methods=[method], name=f"{method} {path}")

    def mount(self, routes: Sequence[BaseRoute]) -> Mount:
        """Return these routes and this class's own under `/__clerk`, open to pages on this machine."""
        own = [
            self.route("POST", "/v1/dev_browser", self._dev_browser),
            self.route("GET", "/v1/environment", self._environment),
            self.route("PATCH", "/v1/environment", self._environment),
            self.route("GET", "/v1/client/handshake", self._handshake),
            self.route("GET", "/v1/tickets/accept", self._portal),
            self.route("GET", _SIGN_IN, self._portal),
            self.route("GET", "/.well-known/jwks.json", self._jwks),
            *(
                self.route(method, "/{path:path}", self._nothing)
                for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
            ),
        ]
        app: ASGIApp = CORSMiddleware(
            _MethodInQuery(Router([*routes, *own])),
            allow_origin_regex=OWN_ORIGIN,
            allow_methods=["*"],
            allow_headers=["*"],
            allow_credentials=True,
            expose_headers=["Authorization", "Clerk-Db-Jwt", "Retry-After"],
        )
        return Mount(PREFIX, app=app)

    def browser_of(self, request: Request) -> str:
        """Return the id of the browser that sends the request.

        Raises:
            Refusal: the request has no browser id, or an unknown one; clerk-js then asks for a new one.
        """
        browser_id = request.query_params.get("__clerk_db_jwt", "")
        if not self.state.sessions.knows(browser_id):
            raise ApiError(
                401,
                "dev_browser_unauthenticated",
                "Browser unauthenticated",
                long_message="Unable to authenticate this browser for your development instance. "
                "Check your Clerk cookies and try again.",
            )
        return browser_id

    def shown_to(self, request: Request) -> Shown:
        """Return the API objects for the origin of the request."""
        origin = request.headers.get("origin", "")
        if not origin.startswith(("http://", "https://")):
            referrer = urlsplit(request.headers.get("referer", ""))
            origin = f"{referrer.scheme}://{referrer.netloc}" if referrer.netloc else ""
        return Shown(self.state, origin=origin or f"{request.url.scheme}://{request.url.netloc}")

    async def _dev_browser(self, _: Request) -> Response:
        return answer({"object": "dev_browser", "id": self.state.sessions.new_browser()})

    async def _environment(self, request: Request) -> Response:
        # clerk-js has a default for every other instance setting. Below this URL it expects the pages of the tasks.
        site = f"{request.url.scheme}://{request.url.netloc}"
        return answer({"display_config": {"object": "display_config", "sign_in_url": f"{site}{PREFIX}{_SIGN_IN}"}})

    async def _jwks(self, _: Request) -> Response:
        return answer(self.state.keys.jwks())

    async def _handshake(self, request: Request) -> Response:
        target = request.query_params.get("redirect_url", "")
        if not is_own_page(target):
            raise ApiError(
                400,
                "redirect_url_mismatch",
                "Invalid URL",
                long_message="The sandbox sends a browser back only to pages of this machine.",
                param="redirect_url",
            )
        return RedirectResponse(target, 307, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})

    async def _portal(self, _: Request) -> Response:
        return Response(
            "Clerk's Account Portal is not part of the sandbox. A campaign's links lead to a page of your own, "
            "with the token; what Clerk asks for after that (session tasks) people do at the portal, or at the pages "
            "that your site names in taskUrls.\n",
            501,
            {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"},
            media_type="text/plain",
        )

    async def _nothing(self, request: Request) -> Response:
        raise not_found(f"There is no {request.method} {request.url.path} in this sandbox.")


async def form_of(request: Request) -> dict[str, str]:
    """Return the fields of a form-encoded body; of repeated fields the last value."""
    fields = parse_qs((await request.body()).decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[-1] for name, values in fields.items()}


class _MethodInQuery:
    """Middleware that treats a POST with `?_method=DELETE` as a DELETE: clerk-js sends only GET and POST."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            method = QueryParams(scope["query_string"]).get("_method", "").upper()
            if method in {"PUT", "PATCH", "DELETE"}:
                scope = {**scope, "method": method}
        await self._app(scope, receive, send)
