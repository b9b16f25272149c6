"""Read an HTML mail as a person does, in a mail program or in Outlook: `words_seen`, `seen_by_outlook`, `styles_of`.

It shares no code with the program; the standard library's parser reads the HTML.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

_VOID = frozenset({"br", "img", "meta", "link", "hr", "input", "col", "wbr"})
#: Elements that do not start a new word.
_INLINE = frozenset({"a", "b", "i", "em", "strong", "span", "font", "u", "small"})
_UNSEEN = frozenset({"style", "script", "title", "head"})
_HIDING = re.compile(r"display:none|max-height:0|opacity:0(?![.0-9])")
#: Invisible characters that fill a preheader.
_FILLING = re.compile("[\u00ad\u034f\u200b-\u200f\u2060\ufeff]")


class _Reader(HTMLParser):
    """Collects the words that a reader sees, each link followed by its address."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self._open: list[tuple[str, bool, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember whether the element hides its content."""
        given = dict(attrs)
        hides = tag in _UNSEEN or bool(_HIDING.search("".join((given.get("style") or "").split()))) or "hidden" in given
        if tag not in _INLINE:
            self.seen.append(" ")
        if tag == "img" and not self._hidden:
            self.seen.append(given.get("alt") or "")
        if tag not in _VOID:
            self._open.append((tag, hides, given.get("href") or ""))

    def handle_endtag(self, tag: str) -> None:
        """Close the element."""
        while self._open:
            name, _, address = self._open.pop()
            if name == "a" and address and not self._hidden:
                self.seen.append(f" <{address.replace(' ', '%20')}>")
            if name not in _INLINE:
                self.seen.append(" ")
            if name == tag:
                break

    def handle_data(self, data: str) -> None:
        """Keep visible text."""
        if not self._hidden:
            self.seen.append(data)

    @property
    def _hidden(self) -> bool:
        return any(hides for _, hides, _ in self._open)


def words_seen(html: str) -> list[str]:
    """Return the words that a reader sees in an HTML document."""
    reader = _Reader()
    reader.feed(re.sub(r"<!--.*?-->", "", html, flags=re.DOTALL))
    reader.close()
    text = _FILLING.sub("", "".join(reader.seen))
    return re.sub(r"( <[a-z]+:[^<>\s]+>)(?=\w)", r"\1 ", text).split()


def seen_by_outlook(html: str) -> str:
    """Return the document as Outlook for Windows reads it: its conditions opened, the others' part left out."""
    html = re.sub(r"<!--\[if !mso\]>\s*(?:<!-->|<!-- -->|<!---->|-->).*?<!--<!\[endif\]-->", "", html, flags=re.DOTALL)
    return re.sub(r"<!--\[if [^\]]*\]>(.*?)<!\[endif\]-->", r"\1", html, flags=re.DOTALL)


class _Styles(HTMLParser):
    """Collects each element's text and the declarations of its `style`."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self._open: list[tuple[str, str, list[str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element."""
        if tag not in _VOID:
            self._open.append((tag, dict(attrs).get("style") or "", []))

    def handle_endtag(self, tag: str) -> None:
        """Close elements up to the one with this tag."""
        while self._open:
            name, style, texts = self._open.pop()
            self.found.append((" ".join(" ".join(texts).split()), style))
            if name == tag:
                break

    def handle_data(self, data: str) -> None:
        """Add a text to all open elements."""
        for _, _, texts in self._open:
            texts.append(data)


def styles_of(html: str, text: str) -> list[dict[str, str]]:
    """Return the inline styles of the elements whose whole text is `text`, the innermost first."""
    reader = _Styles()
    reader.feed(re.sub(r"<!--.*?-->", "", html, flags=re.DOTALL))
    reader.close()
    return [_declarations(style) for found, style in reader.found if found == text]


def _declarations(style: str) -> dict[str, str]:
    pairs = (declaration.partition(":") for declaration in style.split(";") if ":" in declaration)
    return {name.strip(): value.strip() for name, _, value in pairs}
