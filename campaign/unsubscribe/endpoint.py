"""Answer the link of a mail's List-Unsubscribe header (RFC 8058): `UnsubscribeEndpoint`, in `application`.

GET and HEAD change nothing, since mail scanners open every link: they show a page with a button. A POST with any body
suppresses the address, durably, before it is answered. A false token gets the same page and the same answer, after the
same work, so that nobody can try tokens out. No cookie, no redirect, no login (RFC 8058 §3.2).
"""

from __future__ import annotations

import threading
from importlib import resources
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.resources.abc import Traversable

    from starlette.requests import Request
    from starlette.responses import Response

    from campaign.sendlog import Suppression, SuppressionList

#: A mail program posts 26 bytes; more than this of a body is not read.
_MAX_BODY_BYTES = 1_000_000
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
}


class UnsubscribeEndpoint:
    """Suppresses the address that a link names, in the send log that signed the link's token.

    Args:
        logs: the suppression lists of the served campaigns, one for each send log.
        on_unsubscribed: called with each new suppression.
    """

    def __init__(
        self, logs: Sequence[SuppressionList], on_unsubscribed: Callable[[Suppression], None] = lambda _: None
    ) -> None:
        self._logs = logs
        self._on_unsubscribed = on_unsubscribed
        self._lock = threading.Lock()
        folder = resources.files(__package__)
        self._ask, self._done = _page(folder, "ask.html"), _page(folder, "done.html")

    async def answer(self, request: Request) -> Response:
        """Answer a request for a link; its token is the last segment of the path, whatever stands before it."""
        if request.method != "POST":
            return HTMLResponse(self._ask, headers=_HEADERS)
        await _pass_over_body(request)
        token = request.url.path.rstrip("/").rpartition("/")[2]
        found = await run_in_threadpool(self._unsubscribe, token)
        if found is not None:
            self._on_unsubscribed(found)
        return HTMLResponse(self._done, headers=_HEADERS)

    def _unsubscribe(self, token: str) -> Suppression | None:
        with self._lock:  # SQLite's connection is used by one thread at a time
            for log in [log for log in self._logs if log.knows(token)] or self._logs[:1]:
                return log.unsubscribe(token)
        return None


def application(endpoint: UnsubscribeEndpoint) -> Starlette:
    """Return the application of `campaign serve`: the endpoint at every path but `/`, which says what this is."""
    return Starlette(
        routes=[
            Route("/", _about, methods=["GET"]),
            Route("/{path:path}", endpoint.answer, methods=["GET", "POST"]),
        ]
    )


async def _about(_: Request) -> Response:
    return PlainTextResponse("This server answers the unsubscribe links of mails.\n")


async def _pass_over_body(request: Request) -> None:
    """Read the body, which says nothing that the token does not say, so that the client can finish sending it."""
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > _MAX_BODY_BYTES:
            break


def _page(folder: Traversable, name: str) -> str:
    frame = (folder / "page.html").read_text("utf-8")
    return frame.replace("{{ content }}", (folder / name).read_text("utf-8").strip())
