"""Find where the pieces of an MJML document stand, and refuse elements that MJML does not know: `read_elements`.

mrml leaves an unknown element out, with what is in it, and an unknown attribute, without a word.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from enum import Enum, auto
from typing import NamedTuple

_CONTENT = frozenset(
    {
        *("mj-accordion", "mj-button", "mj-carousel", "mj-divider", "mj-image", "mj-navbar", "mj-raw", "mj-social"),
        *("mj-spacer", "mj-table", "mj-text"),
    }
)
#: The elements that each element may contain (https://documentation.mjml.io, "Components").
_CHILDREN: dict[str, frozenset[str]] = {
    "": frozenset({"mjml"}),
    "mjml": frozenset({"mj-head", "mj-body"}),
    "mj-head": frozenset({"mj-attributes", "mj-breakpoint", "mj-font", "mj-preview", "mj-raw", "mj-style", "mj-title"}),
    "mj-body": frozenset({"mj-hero", "mj-raw", "mj-section", "mj-wrapper"}),
    "mj-wrapper": frozenset({"mj-hero", "mj-raw", "mj-section"}),
    "mj-section": frozenset({"mj-column", "mj-group", "mj-raw"}),
    "mj-group": frozenset({"mj-column", "mj-raw"}),
    "mj-column": _CONTENT,
    "mj-hero": _CONTENT,
    "mj-accordion": frozenset({"mj-accordion-element", "mj-raw"}),
    "mj-accordion-element": frozenset({"mj-accordion-text", "mj-accordion-title", "mj-raw"}),
    "mj-carousel": frozenset({"mj-carousel-image"}),
    "mj-navbar": frozenset({"mj-navbar-link", "mj-raw"}),
    "mj-social": frozenset({"mj-raw", "mj-social-element"}),
}
#: Elements whose content is HTML or text, which MJML takes over as it is.
_ENDING = frozenset(
    {
        *("mj-accordion-text", "mj-accordion-title", "mj-button", "mj-navbar-link", "mj-preview", "mj-raw"),
        *("mj-social-element", "mj-style", "mj-table", "mj-text", "mj-title"),
    }
)
#: Those whose content stands in the HTML as it is; that of the others may stand in an attribute, too.
HOLDS_HTML = _ENDING - {"mj-preview", "mj-title"}
#: Only in mj-attributes, where all other elements may stand as well.
_DEFAULTS = frozenset({"mj-all", "mj-class"})
#: Known, and not supported by mrml or by us.
_REFUSED = {
    "mj-include": 'write {% include "part.html" %} in mj-raw or mj-text instead, or put the part into this file',
    "mj-html-attributes": "write the attributes in mj-raw instead",
}
_KNOWN = frozenset().union(*_CHILDREN.values())

_SIDES = ("top", "right", "bottom", "left")
#: The attributes of all elements (the same source); a name that is nearly one of these is a misspelt one.
_ATTRIBUTES = frozenset(
    {
        *("align", "alt", "border", "border-radius", "border-style", "border-width", "cellpadding", "cellspacing"),
        *("background", "background-color", "background-height", "background-position", "background-position-x"),
        *("background-position-y", "background-repeat", "background-size", "background-url", "background-width"),
        *("base-url", "color", "container-background-color", "css-class", "dir", "direction", "fluid-on-mobile"),
        *("font-family", "font-size", "font-style", "font-weight", "full-width", "hamburger", "height", "href"),
        *("ico-align", "ico-close", "ico-color", "ico-font-family", "ico-font-size", "ico-line-height", "ico-open"),
        *("ico-padding", "ico-text-decoration", "ico-text-transform", "icon-align", "icon-height", "icon-padding"),
        *("icon-position", "icon-size", "icon-unwrapped-alt", "icon-unwrapped-url", "icon-width", "icon-wrapped-alt"),
        *("icon-wrapped-url", "inline", "inner-background-color", "inner-border", "inner-border-radius"),
        *("inner-padding", "lang", "left-icon", "letter-spacing", "line-height", "max-width", "mj-class", "mode"),
        *("name", "owa", "padding", "rel", "right-icon", "role", "sizes", "src", "srcset", "table-layout", "target"),
        *("tb-border", "tb-border-radius", "tb-hover-border-color", "tb-selected-border-color", "tb-width"),
        *("text-align", "text-decoration", "text-padding", "text-transform", "thumbnails", "thumbnails-src", "title"),
        *("usemap", "vertical-align", "width"),
        *(f"{kind}-{side}" for kind in ("border", "ico-padding", "inner-border", "padding") for side in _SIDES),
    }
)
_ATTRIBUTE = re.compile(r"([\w:.-]+)\s*=\s*(?:\"[^\"]*\"|'[^']*')")
#: How alike a misspelt name is to the right one, from 0 to 1.
_NEARLY = 0.8

_PIECE = re.compile(
    r"<!--.*?-->|<(?P<end>/?)(?P<name>[A-Za-z][\w-]*)(?P<attributes>(?:[^<>\"']|\"[^\"]*\"|'[^']*')*?)(?P<empty>/?)>",
    re.DOTALL,
)


class MjmlPlace(Enum):
    """Where in the MJML something stands."""

    #: Before `<mjml>` or after `</mjml>`.
    OUTSIDE = auto()
    #: Between two elements.
    BETWEEN = auto()
    #: In a start tag.
    TAG = auto()
    #: In a comment, or in the content of an element that holds HTML.
    CONTENT = auto()


class MjmlSpan(NamedTuple):
    """A piece of the document."""

    place: MjmlPlace
    start: int
    end: int
    #: The innermost element around it, or the element of a tag; empty outside of the document.
    element: str


class MjmlError(Exception):
    """The document is not MJML; `position` is where in the source."""

    def __init__(self, text: str, position: int) -> None:
        super().__init__(text)
        self.text = text
        self.position = position


def read_elements(source: str) -> list[MjmlSpan]:
    """Return the pieces of an MJML document, in their order; together they are the whole source.

    Raises:
        MjmlError: an element is unknown, stands in the wrong place, or is not closed.
    """
    reader = _Document(source)
    reader.read()
    return reader.spans


def may_hold_raw(element: str) -> bool:
    """Return whether mj-raw may stand in an element and stays between its neighbours; in mj-head it does not stay."""
    return element != "mj-head" and "mj-raw" in _CHILDREN.get(element, ())


def _check(name: str, around: str, position: int) -> None:
    if name in _REFUSED:
        raise MjmlError(f"<{name}> cannot be used here; {_REFUSED[name]}.", position)
    if around == "mj-attributes" and name in _KNOWN | _DEFAULTS:
        return
    allowed = _CHILDREN.get(around, frozenset())
    if name in allowed:
        return
    inside = f"<{around}>" if around else "an MJML file"
    if name in _KNOWN | _DEFAULTS:
        parents = sorted(parent for parent, children in _CHILDREN.items() if name in children and parent)
        where = " or ".join(f"<{parent}>" for parent in parents) or "<mj-attributes>"
        raise MjmlError(f"<{name}> cannot stand in {inside}; put it into {where}.", position)
    near = get_close_matches(name.lower(), sorted(allowed), n=1)
    if near:
        raise MjmlError(f"<{name}> is not an element of MJML; did you mean <{near[0]}>?", position)
    hint = "put HTML into <mj-text> or <mj-raw>" if not name.startswith("mj") else "MJML would leave it out"
    raise MjmlError(f"<{name}> is not an element of MJML that can stand in {inside}; {hint}.", position)


class _Document:
    """Reads a document from its beginning to its end."""

    def __init__(self, source: str) -> None:
        self.spans: list[MjmlSpan] = []
        self._source = source
        #: The elements that are open, each with the position of its start tag.
        self._open: list[tuple[str, int]] = []

    def read(self) -> None:
        """Read the whole document."""
        position = 0
        while found := _PIECE.search(self._source, position):
            self._add(MjmlPlace.BETWEEN, position, found.start())
            position = self._read_piece(found)
        self._add(MjmlPlace.BETWEEN, position, len(self._source))
        if self._open:
            name, start = self._open[-1]
            raise MjmlError(f"<{name}> is not closed; write </{name}>.", start)
        if not any(span.element == "mjml" for span in self.spans):
            raise MjmlError("This is not an MJML document; it begins with <mjml>.", 0)

    @property
    def _around(self) -> str:
        """The innermost open element; empty outside of the document."""
        return self._open[-1][0] if self._open else ""

    def _add(self, place: MjmlPlace, start: int, end: int) -> None:
        if start < end:
            self.spans.append(MjmlSpan(place if self._around else MjmlPlace.OUTSIDE, start, end, self._around))

    def _read_piece(self, found: re.Match[str]) -> int:
        """Read a tag, with the content of an element that holds HTML, or a comment; return where it ends."""
        start, end, name = found.start(), found.end(), found["name"]
        if name is None:
            self._add(MjmlPlace.CONTENT, start, end)
            return end
        self.spans.append(MjmlSpan(MjmlPlace.TAG, start, end, name))
        if found["end"]:
            if name != self._around:
                expected = f"</{self._around}>" if self._around else "nothing"
                raise MjmlError(f"</{name}> closes an element that is not open here; {expected} was expected.", start)
            self._open.pop()
            return end
        _check(name, self._around, start)
        _check_attributes(name, found)
        if found["empty"]:
            return end
        if name in _ENDING and self._around != "mj-attributes":
            return self._read_content(name, start, end)
        self._open.append((name, start))
        return end

    def _read_content(self, name: str, start: int, begin: int) -> int:
        end = re.compile(rf"</{name}\s*>").search(self._source, begin)
        if end is None:
            raise MjmlError(f"<{name}> is not closed; write </{name}> behind its content.", start)
        self.spans.append(MjmlSpan(MjmlPlace.CONTENT, begin, end.start(), name))
        self.spans.append(MjmlSpan(MjmlPlace.TAG, end.start(), end.end(), name))
        return end.end()


def _check_attributes(element: str, found: re.Match[str]) -> None:
    for attribute in _ATTRIBUTE.finditer(found["attributes"]):
        name = attribute[1]
        near = get_close_matches(name, sorted(_ATTRIBUTES), n=1, cutoff=_NEARLY)
        if near and name not in _ATTRIBUTES:
            raise MjmlError(
                f"{name} is not an attribute of <{element}>; did you mean {near[0]}?",
                found.start("attributes") + attribute.start(),
            )
