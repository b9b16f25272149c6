"""Recognise addresses of this machine as browsers read them: `is_own_host`, `is_own_page`, `LoopbackOnly`.

The match is exact: a URL that a browser and a URL library read in different ways (a backslash, a user name) is foreign.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp, Receive, Scope, Send

#: Names under `localhost` never leave the machine (RFC 6761 §6.3).
_HOST = r"(?:127\.0\.0\.1|\[::1\]|(?:[a-z0-9_-]{1,63}\.){0,8}localhost)(?::[0-9]{1,5})?"
#: The origin of a page on this machine, on any port, as a regular expression.
OWN_ORIGIN = rf"https?://{_HOST}"
_OWN_HOST = re.compile(_HOST, re.IGNORECASE)
#: Printable ASCII behind the origin; browsers drop tabs and line breaks from a URL (WHATWG URL §4.4).
_OWN_PAGE = re.compile(rf"{OWN_ORIGIN}(?:[/?#][!-\[\]-~]*)?", re.IGNORECASE)


def is_own_host(host: str) -> bool:
    """Return whether a `Host` header names this machine."""
    return _OWN_HOST.fullmatch(host) is not None


def is_own_page(url: str) -> bool:
    """Return whether a URL leads to a page of this machine."""
    return _OWN_PAGE.fullmatch(url) is not None


class LoopbackOnly:
    """Middleware that accepts only requests whose `Host` header names loopback.

    Protects against DNS rebinding: a foreign page could point its own host name at 127.0.0.1 and read the answers
    through the browser, but its requests carry that name in `Host`.

    Args:
        app: the application that answers the others.
        what: how the refusal calls it, such as "This sandbox".
    """

    def __init__(self, app: ASGIApp, what: str) -> None:
        self._app = app
        self._what = what

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http" and not _names_loopback(scope["headers"]):
            refusal = PlainTextResponse(
                f"{self._what} answers only on this machine: open it as http://127.0.0.1 or http://localhost.\n",
                status_code=421,
            )
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _names_loopback(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
    return len(hosts) == 1 and is_own_host(hosts[0])
