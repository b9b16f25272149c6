"""Find the Jinja tags of an HTML template and the place of each in the HTML: `parse_template`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

#: Line breaks that become newlines, as Jinja does it.
NEWLINE = re.compile(r"\r\n|\r")
_BEGINNINGS = {"variable_begin": "expression", "block_begin": "statement", "comment_begin": "comment"}


class HtmlContext(Enum):
    """Where in the HTML a Jinja tag stands."""

    #: Between elements, or in the text of an element.
    TEXT = auto()
    #: In `<title>` or `<textarea>`, which hold only text.
    TITLE = auto()
    #: In `<style>`.
    STYLE = auto()
    #: In `<script>` or another element whose content is not HTML, such as `<iframe>`.
    SCRIPT = auto()
    #: Between `<` and `>`, but outside an attribute's value.
    TAG = auto()
    #: In an attribute's value in quotes.
    VALUE = auto()
    #: In an attribute's value without quotes.
    BARE = auto()
    #: In a comment or a declaration.
    COMMENT = auto()


#: Elements whose content is not parsed as HTML (WHATWG HTML §13.2.5.2 ff).
_RAW = {
    "title": HtmlContext.TITLE,
    "textarea": HtmlContext.TITLE,
    "style": HtmlContext.STYLE,
    "script": HtmlContext.SCRIPT,
    "xmp": HtmlContext.SCRIPT,
    "iframe": HtmlContext.SCRIPT,
    "noembed": HtmlContext.SCRIPT,
    "noframes": HtmlContext.SCRIPT,
}


@dataclass(slots=True)
class Tag:
    """A Jinja tag with its delimiters; `{% raw %}` and `{% endraw %}` count as statements."""

    #: `expression`, `statement` or `comment`.
    kind: str
    start: int
    end: int
    #: Line number, counted from 1.
    line: int
    place: HtmlContext = HtmlContext.TEXT


@dataclass(slots=True)
class Value:
    """An attribute's quoted value that contains Jinja tags."""

    attribute: str
    element: str
    #: Position of the value in the source, without its quotes; `end` is exclusive.
    start: int
    end: int = 0
    tags: list[Tag] = field(default_factory=list)


@dataclass(slots=True)
class ParsedTemplate:
    """A template's source, its Jinja tags, and the attribute values that contain tags."""

    #: All line breaks are newlines.
    source: str
    tags: list[Tag]
    values: list[Value]

    def text(self, tag: Tag) -> str:
        """Return a tag as it is written in the source."""
        return self.source[tag.start : tag.end]

    def keyword(self, tag: Tag) -> str:
        """Return the first word of a statement, or an empty string."""
        found = re.match(r"\{%[-+]?\s*(\w+)", self.text(tag))
        return found[1] if found else ""


def parse_template(env: Environment, source: str) -> ParsedTemplate:
    """Return the Jinja tags of a source with their places; the source must have no syntax errors."""
    source = NEWLINE.sub("\n", source)
    tags = jinja_tags(env, source)
    scanner = _Scanner(source)
    position = 0
    for tag in tags:
        scanner.read(position, tag.start)
        scanner.meet(tag)
        position = tag.end
    scanner.read(position, len(source))
    return ParsedTemplate(source, tags, scanner.values)


def jinja_tags(env: Environment, source: str) -> list[Tag]:
    """Return the Jinja tags of a source in their order; their places are not known yet."""
    tags: list[Tag] = []
    position = 0
    for _, token, text in env.lexer.tokeniter(source, None):
        # The lexer skips blanks that a `{%-` strips.
        start = source.find(text, position)
        position = start + len(text)
        if token in _BEGINNINGS:
            tags.append(Tag(_BEGINNINGS[token], start, position, source.count("\n", 0, start) + 1))
        elif token in {"raw_begin", "raw_end"}:
            tags.append(Tag("statement", start, position, source.count("\n", 0, start) + 1))
        elif token in {"variable_end", "block_end", "comment_end"}:
            tags[-1].end = start + len(text.rstrip())
    return tags


class _Scanner:
    """Reads HTML only to know the place of each Jinja tag (WHATWG HTML §13.2.5)."""

    _ATTRIBUTE = re.compile(r"([^\s/>=][^\s/>=]*)(\s*=\s*)?")
    _CONDITION = re.compile(r"<!--\[if[^\]]*\]>(<!-->|-->)?", re.IGNORECASE)
    _NAME = re.compile(r"</?([a-zA-Z][^\s/>]*)")
    _ENDIF = "<![endif]-->"

    def __init__(self, source: str) -> None:
        self.values: list[Value] = []
        self._source = source
        self._place = HtmlContext.TEXT
        #: Whether the scanner is between `<!--[if mso]>` and `<![endif]-->`, which only Outlook reads as markup.
        self._conditional = False
        self._element = ""
        self._closing = ""
        self._attribute = ""
        self._quote = ""
        self._value: Value | None = None

    def meet(self, tag: Tag) -> None:
        """Set the place of the Jinja tag at the scanner's position."""
        if self._place is HtmlContext.TAG and self._attribute:
            self._place = HtmlContext.BARE
        tag.place = self._place
        if self._place is HtmlContext.VALUE and self._value is not None:
            self._value.tags.append(tag)

    def read(self, position: int, end: int) -> None:
        """Read the HTML between two Jinja tags."""
        while position < end:
            if self._place is HtmlContext.TEXT:
                position = self._read_text(position, end)
            elif self._place is HtmlContext.TAG:
                position = self._read_tag(position, end)
            elif self._place is HtmlContext.VALUE:
                position = self._read_value(position, end)
            elif self._place is HtmlContext.BARE:
                position = self._read_bare(position, end)
            else:
                position = self._read_until_closed(position, end)

    def _read_text(self, position: int, end: int) -> int:
        source = self._source
        start = source.find("<", position, end)
        until = end if start < 0 else start
        if self._conditional and (stop := source.find("-->", position, until)) >= 0:
            self._conditional = False
            return stop + 3
        if start < 0 or source.startswith(("<!", "<?"), start):
            return self._read_declaration(until) if start >= 0 else end
        name = self._NAME.match(source, start, end)
        if name is None and source[start:end] not in {"<", "</"}:
            return start + 1
        self._place, self._attribute = HtmlContext.TAG, ""
        self._element = source[start + 1 : name.end()].lower() if name else ""
        return name.end() if name else end

    def _read_declaration(self, start: int) -> int:
        if self._source.startswith(self._ENDIF, start):
            self._conditional = False
            return start + len(self._ENDIF)
        if condition := self._CONDITION.match(self._source, start):
            self._conditional = condition[1] is None
            return condition.end()
        self._place, self._closing = HtmlContext.COMMENT, "-->" if self._source.startswith("<!--", start) else ">"
        return start + 2

    def _read_tag(self, position: int, end: int) -> int:
        letter = self._source[position]
        if letter == ">":
            self._close_tag()
            return position + 1
        if self._attribute and letter in "\"'":
            self._place, self._quote = HtmlContext.VALUE, letter
            self._value = Value(self._attribute, self._element, position + 1)
            return position + 1
        if self._attribute and not letter.isspace():
            self._place = HtmlContext.BARE
            return position
        found = self._ATTRIBUTE.match(self._source, position, end)
        if found is None:
            return position + 1
        self._attribute = found[1].lower() if found[2] else ""
        return found.end()

    def _read_value(self, position: int, end: int) -> int:
        stop = self._source.find(self._quote, position, end)
        if stop < 0:
            return end
        if self._value is not None and self._value.tags:
            self._value.end = stop
            self.values.append(self._value)
        self._place, self._attribute, self._value = HtmlContext.TAG, "", None
        return stop + 1

    def _read_bare(self, position: int, end: int) -> int:
        found = re.compile(r"[\s>]").search(self._source, position, end)
        if found is None:
            return end
        self._place, self._attribute = HtmlContext.TAG, ""
        return found.start()

    def _read_until_closed(self, position: int, end: int) -> int:
        found = re.compile(re.escape(self._closing), re.IGNORECASE).search(self._source, position, end)
        if found is None:
            return end
        if self._place is HtmlContext.COMMENT:
            self._place = HtmlContext.TEXT
        else:
            self._place, self._attribute, self._element = HtmlContext.TAG, "", self._closing[1:]
        return found.end()

    def _close_tag(self) -> None:
        self._place = _RAW.get(self._element, HtmlContext.TEXT)
        self._closing = f"</{self._element}"
