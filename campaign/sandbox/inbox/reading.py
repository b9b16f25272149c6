"""What a page shows of one mail, sent or not yet: which view of it, how wide, light or dark."""

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

#: As much of a source as a page can show with ease, in characters.
_MAX_SOURCE_CHARS = 500_000


@dataclass(frozen=True, slots=True)
class Reading:
    """One mail, opened at a place."""

    place: Place
    #: The path below which the mail's own routes are: `html` and `source`.
    base: str
    content: bytes
    letter: Letter | None
    #: Why there is no letter; empty where there is one.
    problem: str
    links: tuple[Link, ...]
    #: Where a link is opened; None: nowhere.
    follow: Callable[[str], str | None]

    @classmethod
    def of(cls, content: bytes, place: Place, *, base: str, follow: Callable[[str], str | None] = outside) -> Reading:
        """Return the reading of a mail's bytes, whatever they are."""
        try:
            letter = read_letter(content)
        except UnreadableError as error:
            return cls(place, base, content, None, str(error), (), follow)
        return cls(place, base, content, letter, "", tuple(links_of(letter)), follow)

    @property
    def views(self) -> list[tuple[str, str]]:
        """The views that there are of this mail, each with its name."""
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
        """The view that is asked for, or the first that there is."""
        wanted = self.place["view"]
        names = [view for view, _ in self.views]
        return wanted if wanted in names else names[0]

    @property
    def width(self) -> str:
        """`phone` or `desktop`."""
        return "phone" if self.place["width"] == "phone" else "desktop"

    @property
    def scheme(self) -> str:
        """`light` or `dark`: what the mail is told that its reader prefers."""
        return "dark" if self.place["scheme"] == "dark" else "light"

    @property
    def frame(self) -> str:
        """The address of the HTML for the frame."""
        return f"{self.base}/html" + ("?images=1" if self.place["images"] else "")

    @property
    def framed(self) -> str:
        """The HTML for the frame; empty where there is none."""
        if self.letter is None or self.letter.html is None:
            return ""
        return framed(self.letter.html, follow=self.follow, attachments=self.letter.attachments).html

    @property
    def remote_images(self) -> int:
        """How many images stand elsewhere and are not loaded."""
        if self.letter is None or self.letter.html is None or self.place["images"]:
            return 0
        return framed(self.letter.html).remote_images

    @property
    def text(self) -> list[tuple[str, str | None]]:
        """The text part in pieces, each with where it leads."""
        text = self.letter.text if self.letter is not None else None
        return [(piece, self.follow(piece) if is_address else None) for piece, is_address in addresses(text or "")]

    @property
    def source(self) -> str:
        """The mail as it came, as far as a page can show it."""
        shown = self.content[:_MAX_SOURCE_CHARS].decode("utf-8", "replace").replace("\r\n", "\n")
        left = len(self.content) - _MAX_SOURCE_CHARS
        return f"{shown}\n… and {left:,} more bytes" if left > 0 else shown
