"""Select what a page shows of one mail, sent or previewed: view, width, light or dark: `Reading`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from campaign.sandbox.inbox.letter import Letter, UnreadableError, read_letter
from campaign.sandbox.inbox.links import links_of, outside
from campaign.sandbox.inbox.markup import addresses, framed

if TYPE_CHECKING:
    from collections.abc import Callable

    from campaign.sandbox.inbox.links import Link
    from campaign.sandbox.inbox.pages import Place

#: At most this many characters of the source are shown.
_MAX_SOURCE_CHARS = 500_000


@dataclass(frozen=True, slots=True)
class Reading:
    """One mail, as shown at one address."""

    place: Place
    #: The path prefix of the mail's own routes, `html` and `source`.
    base: str
    content: bytes
    letter: Letter | None
    #: Why the mail could not be parsed; empty if it could.
    problem: str
    links: tuple[Link, ...]
    #: From a link to the address to open; None if it cannot be opened.
    follow: Callable[[str], str | None]

    @classmethod
    def of(cls, content: bytes, place: Place, *, base: str, follow: Callable[[str], str | None] = outside) -> Reading:
        """Return the reading of a mail's bytes, whether or not they can be parsed."""
        try:
            letter = read_letter(content)
        except UnreadableError as error:
            return cls(place, base, content, None, str(error), (), follow)
        return cls(place, base, content, letter, "", tuple(links_of(letter)), follow)

    @property
    def views(self) -> list[tuple[str, str]]:
        """The available views of this mail, each with its label."""
        if self.letter is None:
            return [("source", "Source")]
        bodies = [("html", "HTML", self.letter.html), ("text", "Text", self.letter.text)]
        return [
            *((view, name) for view, name, body in bodies if body is not None),
            ("headers", "Headers"),
            ("source", "Source"),
        ]

    @property
    def view(self) -> str:
        """The requested view, or the first available one."""
        wanted = self.place["view"]
        names = [view for view, _ in self.views]
        return wanted if wanted in names else names[0]

    @property
    def width(self) -> str:
        """`phone` or `desktop`."""
        return "phone" if self.place["width"] == "phone" else "desktop"

    @property
    def scheme(self) -> str:
        """`light` or `dark`: the preferred colour scheme that the mail is shown with."""
        return "dark" if self.place["scheme"] == "dark" else "light"

    @property
    def frame(self) -> str:
        """The address of the HTML for the frame."""
        return f"{self.base}/html" + ("?images=1" if self.place["images"] else "")

    @property
    def framed(self) -> str:
        """The HTML for the frame; empty if the mail has none."""
        if self.letter is None or self.letter.html is None:
            return ""
        return framed(self.letter.html, follow=self.follow, attachments=self.letter.attachments).html

    @property
    def remote_images(self) -> int:
        """The number of images on other hosts that are not loaded."""
        if self.letter is None or self.letter.html is None or self.place["images"]:
            return 0
        return framed(self.letter.html).remote_images

    @property
    def text(self) -> list[tuple[str, str | None]]:
        """The text body in pieces, each with the address to open, if any."""
        text = self.letter.text if self.letter is not None else None
        return [(piece, self.follow(piece) if is_address else None) for piece, is_address in addresses(text or "")]

    @property
    def source(self) -> str:
        """The raw mail as text, cut off where it is too long."""
        shown = self.content[:_MAX_SOURCE_CHARS].decode("utf-8", "replace").replace("\r\n", "\n")
        left = len(self.content) - _MAX_SOURCE_CHARS
        return f"{shown}\n… and {left:,} more bytes" if left > 0 else shown
