"""Answer the button "Send me a new link" of the landing page: `RenewalEndpoint`, at the path `renew`.

A plain form posts the tag of the old link, so the page needs no script and no permission of this server (CORS) for it.
The tag only makes a mail go to the address on file. GET changes nothing. Every request gets the same answer after
the same work, whether the tag is valid, forged, used too often or too late, so the answer does not reveal who is a
recipient. The request is on the disk before it is answered; `campaign run` sends the mail.
"""

from __future__ import annotations

import threading
from importlib import resources
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from campaign.config.definition.unsubscribe import RENEWAL_PATH
from campaign.errors import CampaignError
from campaign.unsubscribe.pages import answer_page, html_answer, read_body, read_part

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from campaign.sendlog import LastMail, Renewals

    #: A send log, and whether the mails in it may be sent again.
    Served = tuple[Renewals, Callable[[LastMail, float], bool]]

#: The form's field with the tag.
_FIELD = "tag"


class RenewalEndpoint:
    """Queues the mail that a tag names again, in the send log that signed the tag.

    Args:
        logs: the send logs of the served campaigns, each with what says whether a mail may be sent again.
        on_renewed: called with each mail that is sent again.
        on_fault: called with a sentence if a send log cannot be written.
    """

    def __init__(
        self,
        logs: Sequence[Served],
        *,
        on_renewed: Callable[[LastMail], None],
        on_fault: Callable[[str], None],
    ) -> None:
        self._logs = logs
        self._on_renewed = on_renewed
        self._on_fault = on_fault
        self._lock = threading.Lock()
        folder = resources.files(__package__)
        self._ask, self._done, self._failed = (
            answer_page("A new link", read_part(folder, f"{name}.html")) for name in ("ask", "done", "failed")
        )

    @property
    def routes(self) -> list[Route]:
        """The endpoint's routes: `renew`, whatever stands before it in the path."""
        return [
            Route(path, self.answer, methods=["GET", "POST"])
            for path in (f"/{RENEWAL_PATH}", f"/{{path:path}}/{RENEWAL_PATH}")
        ]

    async def answer(self, request: Request) -> Response:
        """Answer a request for a new link."""
        if request.method != "POST":
            return html_answer(self._ask)
        fields = parse_qs((await read_body(request)).decode("ascii", "replace"))
        try:
            mail = await run_in_threadpool(self._renew, fields.get(_FIELD, [""])[0])
        except CampaignError as error:
            self._on_fault(str(error))
            return html_answer(self._failed, 503)
        if mail is not None:
            self._on_renewed(mail)
        return html_answer(self._done)

    def _renew(self, tag: str) -> LastMail | None:
        with self._lock:  # SQLite's connection is used by one thread at a time
            for log, permits in [each for each in self._logs if each[0].knows(tag)] or self._logs[:1]:
                return log.renew(tag, permits)
        return None
