"""A mail's HTML made fit for a frame: links open elsewhere, inline images stand in it, the rest stays as it was sent.

What keeps a mail from doing harm is the frame itself: see `pages.FRAME`. Nothing here has to be complete for that.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from html import escape
from html.parser import HTMLParser
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from campaign.sandbox.inbox.letter import Attachment

#: Addresses in plain text, without what ends the sentence around them.
_ADDRESS = re.compile(r"""https?://[^\s<>"']+[^\s<>"'.,;:!?)\]}]""")

#: What loads or connects from another place before anybody clicks, and which no mail client heeds.
_DROPPED = frozenset({"link", "base"})

#: Attributes of a link that are set here.
_OURS = frozenset({"href", "target", "rel", "ping", "download"})


@dataclass(frozen=True, slots=True)
class Anchor:
    """A link of the HTML."""

    #: The address exactly as the mail holds it.
    url: str
    #: What a person reads on it; may be empty.
    name: str


@dataclass(frozen=True, slots=True)
class Framed:
    """A mail's HTML for the frame."""

    html: str
    anchors: tuple[Anchor, ...]
    #: Images that would be loaded from elsewhere.
    remote_images: int


def framed(
    html: str,
    *,
    follow: Callable[[str], str | None] = lambda url: url,
    attachments: Iterable[Attachment] = (),
) -> Framed:
    """Return the HTML for the frame, and its links.

    Args:
        html: the mail's.
        follow: where a link leads when it is clicked; None: nowhere.
        attachments: the parts that it may refer to by `cid:`.
    """
    reader = _Reader(html, follow, {part.content_id: part for part in attachments if part.content_id})
    try:
        reader.feed(html)
        reader.close()
    except AssertionError:
        # What html.parser raises on declarations that it does not know; the rest stays as it is.
        reader.end_link()
    pieces, at = [], 0
    for start, end, replacement in reader.changes:
        pieces += [html[at:start], replacement]
        at = end
    return Framed("".join([*pieces, html[at:]]), tuple(reader.anchors), reader.remote_images)


def addresses(text: str) -> list[tuple[str, bool]]:
    """Return a plain text in pieces, each with whether it is an address."""
    pieces, at = [], 0
    for found in _ADDRESS.finditer(text):
        pieces += [(text[at : found.start()], False), (found[0], True)]
        at = found.end()
    return [piece for piece in [*pieces, (text[at:], False)] if piece[0]]


class _Reader(HTMLParser):
    """Reads the HTML and notes which of its tags are to be replaced."""

    def __init__(self, html: str, follow: Callable[[str], str | None], parts: dict[str, Attachment]) -> None:
        super().__init__(convert_charrefs=True)
        self._follow = follow
        self._parts = parts
        # html.parser tells places by line and column.
        self._lines = list(accumulate((len(line) + 1 for line in html.split("\n")), initial=0))
        self._url: str | None = None
        self._name: list[str] = []
        #: Start, end and replacement, in order.
        self.changes: list[tuple[int, int, str]] = []
        self.anchors: list[Anchor] = []
        self.remote_images = 0

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        values = dict(reversed(attrs))
        if tag in _DROPPED:
            self._replace("")
        elif tag in {"a", "area"} and values.get("href"):
            self._link(tag, attrs, (values["href"] or "").strip())
        elif tag == "img":
            self._image(attrs, values.get("src") or "", values.get("alt") or "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self.end_link()

    def handle_data(self, data: str) -> None:
        if self._url is not None:
            self._name.append(data)

    def close(self) -> None:
        super().close()
        self.end_link()

    def end_link(self) -> None:
        if self._url is not None:
            self.anchors.append(Anchor(self._url, " ".join("".join(self._name).split())))
        self._url, self._name = None, []

    def _link(self, tag: str, attrs: Sequence[tuple[str, str | None]], url: str) -> None:
        self.end_link()
        self._url = url
        kept = [(name, value) for name, value in attrs if name not in _OURS]
        place = self._follow(url)
        if place is not None:
            kept += [("href", place), ("target", "_blank"), ("rel", "noopener noreferrer")]
        self._replace(_tag(tag, kept))
        if tag == "area":
            self.end_link()

    def _image(self, attrs: Sequence[tuple[str, str | None]], source: str, name: str) -> None:
        if self._url is not None:
            self._name.append(f" {name} ")
        part = self._parts.get(source[4:]) if source[:4].lower() == "cid:" else None
        if part is not None:
            data = f"data:{part.media_type};base64,{base64.b64encode(part.content).decode()}"
            self._replace(_tag("img", [(name, data if name == "src" else value) for name, value in attrs]))
        elif source.lower().startswith(("http:", "https:", "//")):
            self.remote_images += 1

    def _replace(self, replacement: str) -> None:
        line, column = self.getpos()
        start = self._lines[line - 1] + column
        self.changes.append((start, start + len(self.get_starttag_text() or ""), replacement))


def _tag(name: str, attrs: Iterable[tuple[str, str | None]]) -> str:
    written = "".join(f' {key}="{escape(value)}"' if value is not None else f" {key}" for key, value in attrs)
    return f"<{name}{written}>"
