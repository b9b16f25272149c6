"""Serve the inbox: the list of campaigns and mails, one mail, its tokens and its send log entry: `Mails`."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING

from starlette.routing import Route

from campaign.sandbox.inbox.links import Links
from campaign.sandbox.inbox.pages import Place, download, frame, is_ours, number_in, unchanged
from campaign.sandbox.inbox.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from campaign.sandbox.inbox.pages import Pages
    from campaign.sandbox.mailbox import Mail
    from campaign.sandbox.state import State

    #: From a Message-ID to what the send log knows about its recipient, as fields; None if it knows nothing.
    LogOf = Callable[[str], Mapping[str, object] | None]

#: Mails per page of the list.
_PAGE_SIZE = 50

#: The query parameters that are kept when another mail is opened.
_KEPT_PARAMETERS = ("campaign", "address", "page", "width", "scheme")


class Mails:
    """The routes of the inbox."""

    def __init__(
        self, state: State, pages: Pages, log_of: LogOf, command: str, *, is_unsubscribe: Callable[[str], bool]
    ) -> None:
        self._state = state
        self._pages = pages
        self._log_of = log_of
        self._command = command
        self._links = Links(state, is_unsubscribe)

    def routes(self) -> list[Route]:
        """Return the routes of the inbox."""
        root = self._pages.root
        mail = f"{root}/mails/{{number:int}}"
        return [
            Route(f"{root}/", self.inbox),
            Route(f"{root}/list", self.fragment),
            Route(mail, self._opening(self.mail)),
            Route(f"{mail}/html", self._opening(self.html)),
            Route(f"{mail}/source", self._opening(self.source)),
            Route(f"{mail}/tokens", self._opening(self.tokens)),
            Route(f"{mail}/parts/{{part:int}}", self._opening(self.part)),
            Route(f"{mail}/tokens/{{token}}/{{fate}}", self.make, methods=["POST"]),
        ]

    def inbox(self, request: Request) -> Response:
        """Return the list, with no mail open."""
        return self._pages.render("inbox.html", {"command": self._command, **self._list(Place.of(request))})

    def fragment(self, request: Request) -> Response:
        """Return only the list, for an open page that polls for new mail."""
        mark, place = self._arrivals(), Place.of(request)
        opened = number_in(place["opened"])
        return unchanged(request, mark) or self._pages.render("list.html", self._list(place, opened), mark=mark)

    def mail(self, request: Request, mail: Mail, content: bytes) -> Response:
        """Return one mail beside the list."""
        reading = self._reading(request, mail, content)
        message_id = reading.letter.header("Message-ID").strip() if reading.letter else ""
        record = self._log_of(message_id) if message_id else None
        tickets, listed = self._tickets(reading), self._list(reading.place, mail.number)
        return self._pages.render(
            "mail.html", {"mail": mail, "reading": reading, "record": record, **tickets, **listed}
        )

    def html(self, request: Request, mail: Mail, content: bytes) -> Response:
        """Return the mail's HTML for the frame."""
        reading = self._reading(request, mail, content)
        return frame(reading.framed, images="images" in request.query_params)

    def source(self, _: Request, mail: Mail, content: bytes) -> Response:
        """Return the raw mail as a download."""
        return download(content, f"mail-{mail.number}.eml", "message/rfc822")

    def part(self, request: Request, mail: Mail, content: bytes) -> Response:
        """Return an attachment of a mail as a download."""
        letter, number = self._reading(request, mail, content).letter, request.path_params["part"]
        if letter is None or not 1 <= number <= len(letter.attachments):
            return self._pages.sentence(404, "No such part", f"Mail {mail.number} has no attachment {number}.")
        attachment = letter.attachments[number - 1]
        return download(attachment.content, attachment.name, "application/octet-stream")

    def tokens(self, request: Request, mail: Mail, content: bytes) -> Response:
        """Return only the status of the mail's tokens, for an open page that polls for changes."""
        reading = self._reading(request, mail, content)
        shown = self._tickets(reading)
        mark = str(shown["fates"])
        values = {"mail": mail, "reading": reading, "place": reading.place, **shown}
        return unchanged(request, mark) or self._pages.render("tokens.html", values, mark=mark)

    def make(self, request: Request) -> Response:
        """Make a token used, expired or revoked, and redirect to the mail."""
        if not is_ours(request):
            return self._pages.sentence(403, "Not from here", "Only the inbox itself may change a token.")
        tokens = self._state.tokens
        ways = {"used": tokens.redeem, "expired": tokens.expire, "revoked": tokens.revoke}
        fate, token_id = request.path_params["fate"], request.path_params["token"]
        if fate not in ways or tokens.get(token_id) is None:
            return self._pages.sentence(404, "No such token", f"The sandbox has no token {token_id}.")
        # The return value does not matter: if the token was already changed, the mail's page shows it.
        ways[fate](token_id)
        return self._pages.redirect(Place.of(request).at(f"/mails/{request.path_params['number']}"))

    def _opening(self, endpoint: Callable[[Request, Mail, bytes], Response]) -> Callable[[Request], Response]:
        """Wrap an endpoint so that it receives the mail whose number is in the path."""

        def opened(request: Request) -> Response:
            mailbox, number = self._state.mailbox, request.path_params["number"]
            mail = mailbox.get(number) if number < 1 << 63 else None
            if mail is None:
                return self._pages.sentence(404, "No such mail", f"The sandbox has no mail {number}.")
            content = mailbox.content(mail)
            if content is None:
                gone = f"Mail {number} to {', '.join(mail.recipients)} was removed from {mailbox.folder}."
                return self._pages.sentence(404, "This mail is gone", gone)
            return endpoint(request, mail, content)

        return opened

    def _reading(self, request: Request, mail: Mail, content: bytes) -> Reading:
        follow = partial(self._links.follow, site=_site(request))
        return Reading.of(content, Place.of(request), base=f"{self._pages.root}/mails/{mail.number}", follow=follow)

    def _tickets(self, reading: Reading) -> dict[str, object]:
        tickets = self._links.tickets(list(reading.links))
        carrying = {link.url for ticket in tickets for link in ticket.links}
        fates = " ".join(f"{ticket.token.id} {ticket.fate} {ticket.moment}" for ticket in tickets)
        return {
            "tickets": tickets,
            "others": [link for link in reading.links if link.url not in carrying],
            "fates": hashlib.sha256(fates.encode()).hexdigest()[:16],
        }

    def _list(self, place: Place, opened: int = 0) -> dict[str, object]:
        mailbox = self._state.mailbox
        arrivals = self._arrivals()
        page = max(number_in(place["page"]), 1)
        campaign = place["campaign"]
        address = (place["address"] or "").strip()
        mails = mailbox.find(address=address, list_id=campaign, limit=_PAGE_SIZE + 1, offset=(page - 1) * _PAGE_SIZE)
        campaigns = mailbox.campaigns()
        return {
            "place": place,
            "here": Place(
                place.path, {name: value for name, value in place.choices.items() if name in _KEPT_PARAMETERS}
            ),
            "opened": opened,
            "arrivals": arrivals,
            "campaigns": campaigns,
            "total": sum(count for _, count in campaigns),
            "campaign": campaign,
            "address": address,
            "page": page,
            "mails": mails[:_PAGE_SIZE],
            "older": len(mails) > _PAGE_SIZE,
        }

    def _arrivals(self) -> str:
        return f"mails-{self._state.mailbox.last_number()}"


def _site(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}"
