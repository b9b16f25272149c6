"""The Jinja tags of an HTML template hidden from an HTML parser, and what the parser may not change about them."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING, NamedTuple

from campaign.errors import TemplateError
from campaign.message.markup import Place, literal

if TYPE_CHECKING:
    from campaign.message.markup import Cut, Tag

COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
#: A start or end tag, with values that may hold `>`.
ELEMENT = re.compile(r"""</?[a-zA-Z][^\s/>]*(?:[^"'>]|"[^"]*"|'[^']*')*>""")
#: What is no text: comments, elements whose content is no HTML, start and end tags, the document type.
MARKUP = re.compile(
    rf"<!--.*?-->|<(style|script|title|textarea)\b.*?</\1\s*>|(?P<tag>{ELEMENT.pattern})|<![^>]*>",
    re.DOTALL | re.IGNORECASE,
)
_NAME = re.compile(r"</?[^\s/>]*")
#: Elements that a parser adds where they are not written (WHATWG HTML §13.1.2.4): once, and in every table.
_IMPLIED = ("html", "head", "body")
_IMPLIED_IN_TABLE = re.compile(r"<(?:tbody|colgroup)(?=[\s>])", re.IGNORECASE)
_IMPLIED_TAG = re.compile(r"(?P<comment><!--.*?-->)|<(?P<end>/?)(?:tbody|colgroup)(?:\s[^<>]*)?>", re.DOTALL)
#: Of these the place cannot be wrong: a parser takes the first start tag and no end tag in earnest.
_DOCUMENT = frozenset({"<html>", "</html>", "<head>", "</head>", "<body>", "</body>"})
#: How much of a template an error text shows.
_SHOWN = 40


class Hidden(NamedTuple):
    """A template as HTML, in which marks stand for the Jinja tags."""

    html: str
    #: The tags by their marks, in the order of the source.
    tags: dict[str, Tag]
    #: Matches a mark.
    mark: re.Pattern[str]
    #: Stands before the name of a `style` attribute that holds tags.
    renamed: str
    #: An attribute of the elements that a parser might have added, but that are written.
    written: str
    parts: Cut
    where: str

    def put_back(self, html: str) -> str:
        """Return HTML with the tags in the places of their marks, as the source of a template."""
        pieces = self.mark.split(html)
        result = [literal(pieces[0])]
        for found, piece in zip(self.mark.findall(html), pieces[1:], strict=True):
            result += [self.parts.text(self.tags[found]), literal(piece)]
        return "".join(result)


def hide(parts: Cut, where: str) -> Hidden:
    """Return a template with its tags hidden; Jinja comments are left out.

    Raises:
        TemplateError: a tag stands where no mark can.
    """
    prefix = "jx"
    while prefix in parts.source.lower():
        prefix += "x"
    renamed = f"data-{prefix}-"
    styles = {value.name_start for value in parts.values if value.attribute == "style" and not value.conditional}
    cuts: list[tuple[int, int, str]] = [(at, at, renamed) for at in styles]
    written = f' data-{prefix}-written=""'
    comments = [found.span() for found in COMMENT.finditer(parts.source)]
    cuts += [
        (found.end(), found.end(), written)
        for found in _IMPLIED_IN_TABLE.finditer(parts.source)
        if not any(start < found.start() < end for start, end in comments)
    ]
    tags: dict[str, Tag] = {}
    for number, tag in enumerate(parts.tags):
        mark = f"{prefix}{number}x"
        if tag.kind == "comment" or parts.keyword(tag) in {"raw", "endraw"}:
            cuts.append((tag.start, tag.end, ""))
            continue
        if tag.place is Place.STYLE and not tag.conditional:
            raise TemplateError(
                f"{where}:{tag.line}: {_short(parts.text(tag))} stands in a <style>, which is inlined "
                "for all recipients at once; put it into a style attribute."
            )
        if tag.place in {Place.TAG, Place.BARE} and not tag.conditional:
            raise TemplateError(
                f"{where}:{tag.line}: {_short(parts.text(tag))} stands between attributes, where CSS "
                'cannot be inlined; put it inside the quotes of one, as in class="{% if … %}…{% endif %}".'
            )
        # A comment may stand anywhere between elements, where text would be moved out of a table.
        if tag.place is Place.TEXT and not tag.conditional:
            mark = f"<!--{mark}-->"
        cuts.append((tag.start, tag.end, mark))
        tags[mark] = tag
    result: list[str] = []
    position = 0
    for start, end, text in sorted(cuts):
        result += [parts.source[position:start], text]
        position = end
    marks = re.compile(rf"<!--{prefix}\d+x-->|{prefix}\d+x")
    return Hidden("".join([*result, parts.source[position:]]), tags, marks, renamed, written, parts, where)


def without_implied(hidden: Hidden, after: str) -> str:
    """Return the HTML without the start and end tags that the parser added.

    It adds them where it meets the first content, which may be in a loop or a condition.
    """
    source = COMMENT.sub("", hidden.html).lower()
    for name in _IMPLIED:
        if not re.search(rf"<{name}[\s/>]", source):
            after = re.sub(rf"</?{name}>", "", after)
    result: list[str] = []
    is_written: list[bool] = []
    position = 0
    for found in _IMPLIED_TAG.finditer(after):
        if found["comment"]:
            continue
        if not found["end"]:
            is_written.append(hidden.written in found[0])
        if not (is_written.pop() if found["end"] and is_written else is_written[-1:] == [True]):
            result.append(after[position : found.start()])
            position = found.end()
    return "".join([*result, after[position:]]).replace(hidden.written, "")


def compare(hidden: Hidden, after: str) -> None:
    """Hold the order of tags, elements and text against what the parser made of it.

    It moves text out of a table, and closes an element by itself that only one branch of a condition opens. In a
    template without statements every reader of the HTML closes elements in the same way, so these may differ.

    Raises:
        TemplateError: they differ.
    """
    tags = hidden.tags
    strict = any(tag.kind == "statement" for tag in tags.values())
    meant, made = (_content(hidden.mark, html, end_tags=strict) for html in (hidden.html, after))
    if meant == made:
        return
    at = next(
        (n for n, (one, other) in enumerate(zip(meant, made, strict=False)) if one != other), min(len(meant), len(made))
    )
    passed = [tags[part].line for part in meant[: at + 1] if part in tags]
    first, second = (_shown(parts, at, tags) for parts in (meant, made))
    line = passed[-1] if passed else 1
    raise TemplateError(
        f"{hidden.where}:{line}: CSS cannot be inlined here, because an HTML parser puts {second} where the template "
        f"has {first}. Open and close each element in the same branch of a condition, put text and values inside "
        "cells, and write each attribute once."
    )


def _content(mark: re.Pattern[str], html: str, *, end_tags: bool) -> list[str]:
    """Return the marks, the text, the start tags and, where wanted, the end tags of some HTML in their order."""
    content: list[str] = []
    text = ""
    position = 0
    for found in MARKUP.finditer(html):
        text += "".join(unescape(html[position : found.start()]).split())
        position = found.end()
        name = f"{_NAME.findall(found[0])[0].lower()}>"
        is_counted = found["tag"] and name not in _DOCUMENT and (end_tags or not name.startswith("</"))
        parts = [name] if is_counted else []
        parts += mark.findall(found[0])
        if parts:
            content += [text, *parts]
            text = ""
    content += [text + "".join(unescape(html[position:]).split())]
    return [part for part in content if part]


def _shown(parts: list[str], at: int, tags: dict[str, Tag]) -> str:
    if at >= len(parts):
        return "nothing"
    return f"line {tags[parts[at]].line}'s Jinja tag" if parts[at] in tags else _short(parts[at])


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 4]} … {text[-2:]}"
