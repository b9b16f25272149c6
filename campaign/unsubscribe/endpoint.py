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
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from campaign.errors import CampaignError
from campaign.unsubscribe.pages import answer_page, html_answer, read_body, read_part

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from campaign.sendlog import Suppression, SuppressionList


class UnsubscribeEndpoint:
    """Suppresses the address that a link names, in the send log that signed the link's token.

    Args:
        logs: the suppression lists of the served campaigns, one for each send log.
        on_unsubscribed: called with each new suppression.
        on_fault: called with a sentence if a send log cannot be written.
    """

    def __init__(
        self,
        logs: Sequence[SuppressionList],
        on_unsubscribed: Callable[[Suppression], None] = lambda _: None,
        on_fault: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._logs = logs
        self._on_unsubscribed = on_unsubscribed
        self._on_fault = on_fault
        self._lock = threading.Lock()
        folder = resources.files(__package__)
        self._ask, self._done, self._failed = (
            answer_page("Unsubscribe", read_part(folder, f"{name}.html")) for name in ("ask", "done", "failed")
        )

    async def answer(self, request: Request) -> Response:
        """Answer a request for a link; its token is the last segment of the path, whatever stands before it."""
        if request.method != "POST":
            return html_answer(self._ask)
        await read_body(request)  # which says nothing that the token does not say
        token = request.url.path.rstrip("/").rpartition("/")[2]
        try:
            found = await run_in_threadpool(self._unsubscribe, token)
        except CampaignError as error:  # a mail program that is not answered with 2xx asks again, or its reader does
            self._on_fault(str(error))
            return html_answer(self._failed, 503)
        if found is not None:
            self._on_unsubscribed(found)
        return html_answer(self._done)

    def _unsubscribe(self, token: str) -> Suppression | None:
        with self._lock:  # SQLite's connection is used by one thread at a time
            for log in [log for log in self._logs if log.knows(token)] or self._logs[:1]:
                return log.unsubscribe(token)
        return None


def application(endpoint: UnsubscribeEndpoint, others: Sequence[BaseRoute] = ()) -> Starlette:
    """Return the application of `campaign serve`.

    Args:
        endpoint: answers every path but `/`, which says what this is, and those of `others`.
        others: the routes of other endpoints.
    """
    return Starlette(
        routes=[
            Route("/", _about, methods=["GET"]),
            *others,
            Route("/{path:path}", endpoint.answer, methods=["GET", "POST"]),
        ]
    )


async def _about(_: Request) -> Response:
    return PlainTextResponse("This server answers the links of mails.\n")
