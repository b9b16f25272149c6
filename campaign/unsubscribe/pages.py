"""The pages of the endpoints that answer the links of mails: `answer_page`, with the headers of every answer."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from starlette.requests import Request

#: More than this of a body is not read.
_MAX_BODY_BYTES = 1_000_000
#: More than this of it is not kept: a mail program posts 26 bytes, a landing page 38.
_KEPT_BYTES = 1000
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
}


def answer_page(title: str, content: str) -> str:
    """Return a whole page.

    Args:
        title: its title, as HTML.
        content: what stands in its middle, as HTML.
    """
    frame = (resources.files(__package__) / "page.html").read_text("utf-8")
    return frame.replace("{{ title }}", title).replace("{{ content }}", content.strip())


def read_part(folder: Traversable, name: str) -> str:
    """Return the text of a file beside an endpoint."""
    return (folder / name).read_text("utf-8")


def html_answer(page: str, status: int = 200) -> HTMLResponse:
    """Return an answer that no browser or proxy keeps, and that names the address to no other site."""
    return HTMLResponse(page, status, headers=_HEADERS)


async def read_body(request: Request) -> bytes:
    """Return the first 1000 bytes of a body; up to a megabyte is read, so that its client can finish sending it."""
    kept, size = b"", 0
    async for part in request.stream():
        kept = (kept + part)[:_KEPT_BYTES]
        size += len(part)
        if size > _MAX_BODY_BYTES:
            break
    return kept
