"""Serve Clerk's Backend API under `/v1`: `Backend` checks keys, limits the rate and validates requests.

The endpoints are in `backend_tokens.py`, `backend_users.py` and `backend_waitlist.py`.
"""

from __future__ import annotations

import hmac
import json
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from campaign.sandbox.answers import ApiError, answer, invalid, malformed, not_found
from campaign.sandbox.limits import ClerkLimit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from campaign.sandbox.state import State

    Endpoint = Callable[[Request], Awaitable[Response]]

#: The limit that Clerk documents for a development instance: requests, and seconds.
_CLERKS_LIMIT = (100, 10)

#: Clerk's default page size, and its largest.
_PAGE, _LARGEST_PAGE = 10, 500


class Backend:
    """The entry of the Backend API: checks the key, counts requests, turns refusals into responses.

    Attributes:
        state: the data that the endpoints work on.
    """

    def __init__(self, state: State, *, limited: bool) -> None:
        self.state = state
        self._limit = ClerkLimit(*_CLERKS_LIMIT) if limited else None

    def route(self, method: str, path: str, endpoint: Endpoint) -> Route:
        """Return the route of an endpoint, behind the check of key and rate limit."""

        async def guarded(request: Request) -> Response:
            try:
                self._admit(request)
                return await endpoint(request)
            except ApiError as refusal:
                return refusal.answer()

        return Route(path, guarded, methods=[method], name=f"{method} {path}")

    def routes(self) -> list[Route]:
        """Return the route of the public key, and a 404 route for all unknown paths."""

        async def nothing(request: Request) -> Response:
            raise not_found(f"There is no {request.method} {request.url.path} in this API.")

        methods = ("GET", "POST", "PUT", "PATCH", "DELETE")
        return [
            self.route("GET", "/v1/jwks", self._jwks),
            *(self.route(method, "/v1/{path:path}", nothing) for method in methods),
        ]

    async def _jwks(self, _: Request) -> Response:
        return answer(self.state.keys.jwks())

    def _admit(self, request: Request) -> None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key or " " in key:
            raise ApiError(
                401,
                "authorization_header_format_invalid",
                "Invalid Authorization header format",
                long_message="Invalid Authorization header format. Must be 'Bearer <YOUR_API_KEY>'.",
            )
        if not hmac.compare_digest(key.encode(), self.state.keys.secret.encode()):
            raise ApiError(
                401,
                "clerk_key_invalid",
                "The provided Clerk Secret Key is invalid",
                long_message="The provided Clerk Secret Key is invalid: it is not the one of this sandbox, "
                "which `campaign sandbox` prints at its start.",
            )
        if self._limit is not None:
            self._limit.spend()


async def body_of(request: Request, *, known: frozenset[str]) -> dict[str, Any]:
    """Return the JSON object in the request's body; an empty body is an empty object.

    Raises:
        Refusal: the body is not a JSON object, or has a parameter that is not in `known`.
    """
    content = await request.body()
    try:
        body = json.loads(content) if content.strip() else {}
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise ApiError(
            400,
            "request_body_invalid",
            "Request body invalid",
            long_message="The request body is invalid: it is not a JSON object.",
        )
    for name in body:
        if name not in known:
            raise ApiError(
                422,
                "form_param_unknown",
                "is unknown",
                long_message=f"{name} is not a valid parameter for this request.",
                param=name,
            )
    return body


def page_of(request: Request) -> tuple[int, int]:
    """Return the limit and the offset from the request's query.

    Raises:
        Refusal: one of them is not a number, or is outside Clerk's bounds.
    """
    return (
        _number(request, "limit", default=_PAGE, lowest=1, highest=_LARGEST_PAGE),
        _number(request, "offset", default=0, lowest=0, highest=2**62),
    )


def _number(request: Request, name: str, *, default: int, lowest: int, highest: int) -> int:
    written = request.query_params.get(name)
    if written is None:
        return default
    if not (written.isascii() and written.isdigit()):
        raise malformed(name, "must be a number")
    number = int(written[:20])
    if not lowest <= number <= highest:
        raise invalid(name, f"must be between {lowest} and {highest}")
    return number
