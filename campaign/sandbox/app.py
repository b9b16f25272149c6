"""Assemble the routes of all parts into the sandbox's one HTTP application: `application`."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse

from campaign.sandbox.answers import ApiError
from campaign.sandbox.backend import Backend
from campaign.sandbox.backend_tokens import token_routes
from campaign.sandbox.backend_users import user_routes
from campaign.sandbox.backend_waitlist import waitlist_routes
from campaign.sandbox.frontend import Frontend
from campaign.sandbox.frontend_scripts import script_routes
from campaign.sandbox.frontend_sessions import session_routes
from campaign.sandbox.loopback import is_own_host

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Receive, Scope, Send

    from campaign.sandbox.state import State


def application(state: State, *, clerk_limits: bool, more: Sequence[BaseRoute] = ()) -> ASGIApp:
    """Return the application: the routes of `more` first, then Clerk's two APIs for the remaining paths."""
    backend = Backend(state, limited=clerk_limits)
    frontend = Frontend(state)
    routes = [
        *more,
        *token_routes(backend),
        *user_routes(backend),
        *waitlist_routes(backend),
        *backend.routes(),
        frontend.mount([*session_routes(frontend, limited=clerk_limits), *script_routes(frontend)]),
    ]
    return LoopbackOnly(Starlette(routes=routes, exception_handlers={sqlite3.Error: _failed}))


async def _failed(_: Request, error: Exception) -> Response:
    message = f"The sandbox's state cannot be read or written: {error}."
    return ApiError(500, "internal_clerk_error", "Oops, an unexpected error occurred", long_message=message).answer()


class LoopbackOnly:
    """Middleware that accepts only requests whose `Host` header names loopback.

    Protects against DNS rebinding: a foreign page could point its own host name at 127.0.0.1 and read the inbox
    through the browser, but its requests carry that name in `Host`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http" and not _names_loopback(scope["headers"]):
            refusal = PlainTextResponse(
                "This sandbox answers only on this machine: open it as http://127.0.0.1 or http://localhost.\n",
                status_code=421,
            )
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _names_loopback(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
    return len(hosts) == 1 and is_own_host(hosts[0])
