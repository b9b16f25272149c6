"""Prepare a mail's HTML for a frame: rewrite links, embed inline images, keep the rest unchanged: `framed`.

The frame itself keeps a mail from doing harm, see `pages.FRAME`. Safety does not depend on this module.
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

#: URLs in plain text, without the punctuation that follows them.
_ADDRESS = re.compile(r"""https?://[^\s<>"']+[^\s<>"'.,;:!?)\]}]""")

#: Elements that load or connect to other hosts without a click, and that mail clients ignore.
_DROPPED = frozenset({"link", "base"})

#: Attributes of a link that this module sets.
_OURS = frozenset({"href", "target", "rel", "ping", "download"})


@dataclass(frozen=True, slots=True)
class Anchor:
    """A link in the HTML."""

    #: The URL exactly as in the mail.
    url: str
    #: The link text; may be empty.
    name: str


@dataclass(frozen=True, slots=True)
class Framed:
    """A mail's HTML for the frame."""

    html: str
    anchors: tuple[Anchor, ...]
    #: The number of images on other hosts.
    remote_images: int


def framed(
    html: str,
    *,
    follow: Callable[[str], str | None] = lambda url: url,
    attachments: Iterable[Attachment] = (),
) -> Framed:
    """Return the HTML for the frame, with its links.

    Args:
        html: of the mail.
        follow: from a link to the address that a click opens; None if it opens nothing.
        attachments: the parts that the HTML may refer to by `cid:`.
    """
    reader = _Reader(html, follow, {part.content_id: part for part in attachments if part.content_id})
    try:
        reader.feed(html)
        reader.close()
    except AssertionError:
        # html.parser raises this on unknown declarations; the rest of the HTML stays unchanged.
        reader.end_link()
    pieces, at = [], 0
    for start, end, replacement in reader.changes:
        pieces += [html[at:start], replacement]
        at = end
    return Framed("".join([*pieces, html[at:]]), tuple(reader.anchors), reader.remote_images)


def addresses(text: str) -> list[tuple[str, bool]]:
    """Return a plain text in pieces, each with whether it is a URL."""
    pieces, at = [], 0
    for found in _ADDRESS.finditer(text):
        pieces += [(text[at : found.start()], False), (found[0], True)]
        at = found.end()
    return [piece for piece in [*pieces, (text[at:], False)] if piece[0]]


class _Reader(HTMLParser):
    """Parse the HTML and record which tags to replace."""

    def __init__(self, html: str, follow: Callable[[str], str | None], parts: dict[str, Attachment]) -> None:
        super().__init__(convert_charrefs=True)
        self._follow = follow
        self._parts = parts
        # html.parser gives positions as line and column.
        self._lines = list(accumulate((len(line) + 1 for line in html.split("\n")), initial=0))
        self._url: str | None = None
        self._name: list[str] = []
        #: Start, end and replacement, in the order of the HTML.
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
