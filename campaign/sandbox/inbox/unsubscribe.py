"""Let the unsubscribe links of a mail lead to a page in the sandbox: `unsubscribe_route`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from starlette.routing import Match, Route

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Scope

#: An address whose last part is as long as an unsubscribe token.
_LINK = re.compile(r"(?:https?://[^/?#\s]+)?(?:/[^?#\s]*)?/([A-Za-z0-9_-]{34})")


class Unsubscribe(Protocol):
    """Answers unsubscribe links as the server of the real links does."""

    def knows(self, token: str) -> bool:
        """Return whether the token is of the sandbox's send log."""
        ...

    async def answer(self, request: Request) -> Response:
        """Answer a request for a link."""
        ...


class UnsubscribeRoute(Route):
    """Matches the paths whose last part may be an unsubscribe token, except the sandbox's own."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether the request opens an unsubscribe link."""
        path = scope.get("path", "")
        if path.startswith(("/__", "/v1/")) or _LINK.fullmatch(path) is None:
            return Match.NONE, {}
        return super().matches(scope)


def is_unsubscribe(unsubscribe: Unsubscribe | None) -> Callable[[str], bool]:
    """Return a function that says whether a URL is an unsubscribe link of the sandbox's send log."""

    def judge(url: str) -> bool:
        found = _LINK.fullmatch(url)
        return unsubscribe is not None and found is not None and unsubscribe.knows(found[1])

    return judge


def unsubscribe_route(unsubscribe: Unsubscribe) -> Route:
    """Return the route of the unsubscribe links."""
    return UnsubscribeRoute("/{path:path}", unsubscribe.answer, methods=["GET", "POST"])
