"""Assemble the routes of all parts into the sandbox's one HTTP application: `application`."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from starlette.applications import Starlette

from campaign.sandbox.answers import ApiError
from campaign.sandbox.backend import Backend
from campaign.sandbox.backend_tokens import token_routes
from campaign.sandbox.backend_users import user_routes
from campaign.sandbox.backend_waitlist import waitlist_routes
from campaign.sandbox.frontend import Frontend
from campaign.sandbox.frontend_scripts import script_routes
from campaign.sandbox.frontend_sessions import session_routes
from campaign.sandbox.loopback import LoopbackOnly

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp

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
    return LoopbackOnly(Starlette(routes=routes, exception_handlers={sqlite3.Error: _failed}), "This sandbox")


async def _failed(_: Request, error: Exception) -> Response:
    message = f"The sandbox's state cannot be read or written: {error}."
    return ApiError(500, "internal_clerk_error", "Oops, an unexpected error occurred", long_message=message).answer()
