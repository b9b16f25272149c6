"""An HTML template cut into text and Jinja tags, and where in the HTML each tag stands. Nothing is changed here."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

_NEWLINE = re.compile(r"\r\n|\r")
_BEGINNINGS = {"variable_begin": "expression", "block_begin": "statement", "comment_begin": "comment"}


class HtmlContext(Enum):
    """Where in the HTML a Jinja tag stands."""

    #: Between elements, or in the text of one.
    TEXT = auto()
    #: In `<title>` or `<textarea>`, which hold text and no comments.
    TITLE = auto()
    #: In `<style>`.
    STYLE = auto()
    #: In `<script>` and its like.
    SCRIPT = auto()
    #: Between `<` and `>`, but in no value.
    TAG = auto()
    #: In the quoted value of an attribute.
    VALUE = auto()
    #: In the value of an attribute that has no quotes.
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
    """A Jinja tag with its delimiters; `{% raw %}` and `{% endraw %}` are statements."""

    #: `expression`, `statement` or `comment`.
    kind: str
    start: int
    end: int
    #: Counted from 1.
    line: int
    place: HtmlContext = HtmlContext.TEXT


@dataclass(slots=True)
class Value:
    """The quoted value of an attribute that holds Jinja tags."""

    attribute: str
    #: Where the value begins and ends within its quotes.
    start: int
    end: int = 0
    tags: list[Tag] = field(default_factory=list)


@dataclass(slots=True)
class ParsedTemplate:
    """A template's source, its Jinja tags and the attributes that hold some."""

    #: With newlines for all line breaks.
    source: str
    tags: list[Tag]
    values: list[Value]

    def text(self, tag: Tag) -> str:
        """Return a tag as it is written."""
        return self.source[tag.start : tag.end]

    def keyword(self, tag: Tag) -> str:
        """Return the first word of a statement, or an empty string."""
        found = re.match(r"\{%[-+]?\s*(\w+)", self.text(tag))
        return found[1] if found else ""


def parse_template(env: Environment, source: str) -> ParsedTemplate:
    """Return where the Jinja tags of a source stand; the source has been parsed before, so its syntax is right."""
    source = _NEWLINE.sub("\n", source)
    tags = _tags(env, source)
    scanner = _Scanner(source)
    position = 0
    for tag in tags:
        scanner.read(position, tag.start)
        scanner.meet(tag)
        position = tag.end
    scanner.read(position, len(source))
    return ParsedTemplate(source, tags, scanner.values)


def _tags(env: Environment, source: str) -> list[Tag]:
    tags: list[Tag] = []
    position = 0
    for _, token, text in env.lexer.tokeniter(source, None):
        # The lexer leaves out blanks that a `{%-` strips.
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
    """Reads HTML as far as it takes to know the place of a Jinja tag (WHATWG HTML §13.2.5)."""

    _ATTRIBUTE = re.compile(r"([^\s/>=][^\s/>=]*)(\s*=\s*)?")
    _CONDITION = re.compile(r"<!--\[if[^\]]*\]>(<!-->|-->)?", re.IGNORECASE)
    _NAME = re.compile(r"</?([a-zA-Z][^\s/>]*)")
    _ENDIF = "<![endif]-->"

    def __init__(self, source: str) -> None:
        self.values: list[Value] = []
        self._source = source
        self._place = HtmlContext.TEXT
        #: Within `<!--[if mso]>` and `<![endif]-->`: markup to Outlook, a comment to all others.
        self._conditional = False
        self._element = ""
        self._closing = ""
        self._attribute = ""
        self._quote = ""
        self._value: Value | None = None

    def meet(self, tag: Tag) -> None:
        """Note the place of a Jinja tag that stands where the scanner has come to."""
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
            self._value = Value(self._attribute, position + 1)
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
