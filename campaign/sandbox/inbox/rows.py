"""Preview a campaign's mails, one page per row of its CSV, before anything is sent: `preview_app`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from starlette.applications import Starlette
from starlette.routing import Route

from campaign.sandbox.inbox.letter import read_letter
from campaign.sandbox.inbox.pages import Pages, Place, download, frame, number_in
from campaign.sandbox.inbox.reading import Reading
from campaign.sandbox.loopback import LoopbackOnly

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the CSV, and its mail."""

    #: Counted from 1.
    number: int
    #: The recipient's address.
    address: str
    #: File and line.
    where: str
    #: The message as it would be sent, but with a dummy token; None if it cannot be rendered.
    content: bytes | None = field(repr=False)
    #: Why there is no message; may have several lines.
    problem: str = ""
    #: The row's columns, as far as they are worth showing.
    columns: Mapping[str, str] = field(default_factory=dict)
    #: A sentence about the message's links.
    note: str = ""
    #: Whether this is the last row.
    last: bool = False


class Rows(Protocol):
    """The rows of a campaign. The pages call it from several threads."""

    @property
    def name(self) -> str:
        """The campaign's name."""
        ...

    def row(self, number: int) -> Row | str:
        """Return a row, rendered now, or a sentence that says why there is no such row."""
        ...

    def find(self, address: str, *, after: int) -> int | str:
        """Return the number of the next row whose address contains the text, or a sentence. Wraps around at the end."""
        ...


def preview_app(rows: Rows) -> ASGIApp:
    """Return the application that serves the campaign's mails at `/rows/1`, `/rows/2` and so on."""
    pages = Pages("")

    def start(_: Request) -> Response:
        return pages.redirect("/rows/1")

    def row(request: Request) -> Response:
        found = rows.row(request.path_params["number"])
        place = Place.of(request)
        if isinstance(found, str):
            return pages.sentence(404, "Nothing to show", found)
        reading = None
        if found.content is not None:
            reading = Reading.of(found.content, place, base=f"/rows/{found.number}")
        return pages.render("row.html", {"name": rows.name, "row": found, "reading": reading, "place": place})

    def html(request: Request) -> Response:
        found = rows.row(request.path_params["number"])
        content = None if isinstance(found, str) else found.content
        shown = "" if content is None else Reading.of(content, Place.of(request), base="").framed
        return frame(shown, images="images" in request.query_params)

    def part(request: Request) -> Response:
        found, number = rows.row(request.path_params["number"]), request.path_params["part"]
        content = None if isinstance(found, str) else found.content
        return _part(content, number) or pages.sentence(
            404, "No such part", f"The mail of this row has no attachment {number}."
        )

    def find(request: Request) -> Response:
        address = request.query_params.get("address", "").strip()
        number = number_in(request.query_params.get("after"))
        choices = Place.of(request).choices
        kept = Place("", {name: value for name, value in choices.items() if name != "address"})
        if not address:
            return pages.redirect(kept.at(f"/rows/{max(number, 1)}"))
        found = rows.find(address, after=number)
        if isinstance(found, str):
            return pages.sentence(404, "Nobody found", found)
        return pages.redirect(kept.at(f"/rows/{found}"))

    routes = [
        Route("/", start),
        Route("/rows/{number:int}", row),
        Route("/rows/{number:int}/html", html),
        Route("/rows/{number:int}/parts/{part:int}", part),
        Route("/find", find),
        pages.files(),
    ]
    return LoopbackOnly(Starlette(routes=routes), "This preview")


def _part(content: bytes | None, number: int) -> Response | None:
    """Return an attachment of a mail as a download; None if there is none."""
    letter = None if content is None else read_letter(content)
    if letter is None or not 1 <= number <= len(letter.attachments):
        return None
    attachment = letter.attachments[number - 1]
    return download(attachment.content, attachment.name, "application/octet-stream")
