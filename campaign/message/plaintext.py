"""The text part of a message, derived from its HTML: of one document, or once of its template. No MIME."""

from __future__ import annotations

import itertools
import re
from functools import cache
from typing import TYPE_CHECKING

from jinja2 import TemplateSyntaxError, nodes

from campaign.errors import TemplateError
from campaign.message.markup import Place, cut, literal
from campaign.message.nesting import MARKUP, compare, hide, without_implied

if TYPE_CHECKING:
    from inscriptis.model.config import ParserConfig  # type: ignore[import-untyped]
    from inscriptis.model.html_document_state import HtmlDocumentState  # type: ignore[import-untyped]
    from jinja2 import Environment

    from campaign.message.markup import Cut, Tag

_TRAILING = re.compile(r"[ \t\u00a0]+$", re.MULTILINE)
_EMPTY_LINES = re.compile(r"\n{3,}")
# Tables lay out an email; their columns as blanks would only push the text about.
_INDENTED = re.compile(r"^(?![ \t]*(?:\*|\d+\.) )[ \t]+", re.MULTILINE)
_COLUMNS = re.compile(r"(?<=\S)[ \t]{2,}")
_SAID_TWICE = re.compile(r"(\S+) <\1>")

#: Statements that only choose or repeat what stands between them.
_CONTROL = frozenset({"if", "elif", "else", "endif", "for", "endfor", "filter", "endfilter"})
_STATEMENTS = _CONTROL | {"set", "with", "endwith", "raw", "endraw"}
#: Filters that mean something else where nothing is escaped.
_ESCAPING = frozenset({"e", "escape", "forceescape", "safe", "tojson", "urlize", "xmlattr", "striptags"})
#: After these, text stands in no cell of a table, or in no row of it.
_BEFORE_ROW = frozenset(
    {"table", "tbody", "thead", "tfoot", "/tr", "/tbody", "/thead", "/tfoot", "/caption", "/colgroup"}
)
_BEFORE_CELL = frozenset({"tr", "/td", "/th"})
_MARK = re.compile(r"jx(\d+)x")
_HREF = re.compile(r"""\shref\s*=\s*(?:"[^"]*"|'[^']*'|[^\s>"']+)""", re.IGNORECASE)


def text_of(html: str) -> str:
    """Return the text of an HTML document: `label <address>` for a link, one blank line between paragraphs.

    Any HTML will do. The address of a link stands whole and on one line.
    """
    # lxml takes 40 ms that a campaign with a text template need not pay.
    from inscriptis import get_text  # type: ignore[import-untyped] # noqa: PLC0415

    # Of a document with a lone surrogate the parser keeps nothing.
    text: str = get_text(html.encode("utf-8", "replace").decode(), _config())
    return tidied(_SAID_TWICE.sub(r"\1", _COLUMNS.sub("  ", _INDENTED.sub("", text))))


def tidied(text: str) -> str:
    """Return a text without blanks at the ends of lines and with at most one empty line at a time."""
    return _EMPTY_LINES.sub("\n\n", _TRAILING.sub("", text)).strip("\n") + "\n"


@cache
def _config() -> ParserConfig:
    from inscriptis.css_profiles import CSS_PROFILES  # type: ignore[import-untyped] # noqa: PLC0415
    from inscriptis.model.config import ParserConfig  # noqa: PLC0415
    from inscriptis.model.tag import CustomHtmlTagHandlerMapping  # type: ignore[import-untyped] # noqa: PLC0415

    return ParserConfig(
        css=CSS_PROFILES["strict"],
        display_links=True,
        custom_html_tag_handler_mapping=CustomHtmlTagHandlerMapping({"a": _begin_link}, {"a": _end_link}),
    )


def _begin_link(state: HtmlDocumentState, attributes: dict[str, str]) -> None:
    state.links = [*getattr(state, "links", ()), attributes.get("href", "").strip()]


def _end_link(state: HtmlDocumentState) -> None:
    # RFC 3986 appendix C: angle brackets tell an address from the text around it.
    if address := state.links.pop():
        state.tags[-1].write(f" <{address}>")


def text_template(env: Environment, source: str) -> str | None:
    """Return a template that renders the text of what an HTML template renders, ready for `tidied`.

    Args:
        env: the environment of text templates.
        source: the source of the HTML template; its syntax is right.

    Returns:
        None where the text cannot be known before the HTML is rendered: with includes, blocks or macros, or
        where a statement stands across elements.
    """
    parts = cut(env, source)
    used = {node.name for node in env.parse(source).find_all(nodes.Filter)}
    if used & _ESCAPING or any(parts.keyword(tag) not in _STATEMENTS for tag in parts.tags if tag.kind == "statement"):
        return None
    if not _is_nested(parts):
        return None
    prologue, html = _marked(parts)
    if _MARK.search(source) or prologue is None or not _keeps_nesting(parts, html):
        return None
    # Equal expressions share a mark, so that an address that is its own label is seen to be.
    first: dict[str, int] = {}
    for number, tag in enumerate(parts.tags):
        if tag.kind == "expression":
            first.setdefault(parts.text(tag), number)
    shared = _MARK.sub(lambda mark: f"jx{first.get(parts.text(parts.tags[int(mark[1])]), mark[1])}x", html)
    result = prologue + _put_back(parts, text_of(shared))
    try:
        env.parse(result)
    except TemplateSyntaxError:
        return None
    return result


def _is_nested(parts: Cut) -> bool:
    """Return whether an HTML parser sees the elements between the statements as they are written."""
    import css_inline  # noqa: PLC0415 - it is the parser that is at hand

    try:
        hidden = hide(parts, "")
        parsed = css_inline.inline(hidden.html, inline_style_tags=False, keep_style_tags=True, keep_link_tags=True)
        compare(hidden, without_implied(hidden, parsed))
    except (TemplateError, css_inline.InlineError):
        return False
    return True


def _marked(parts: Cut) -> tuple[str | None, str]:
    """Return the statements before the body, and the HTML with marks for the tags that belong to its text."""
    addresses = {tag.start for value in parts.values if value.attribute == "href" for tag in value.tags}
    prologue: list[str] = []
    html: list[str] = []
    position = 0
    for number, tag in enumerate(parts.tags):
        html.append(parts.source[position : tag.start])
        position = tag.end
        keyword = parts.keyword(tag)
        in_text = tag.place is Place.TEXT and not tag.conditional
        if tag.kind == "comment" or keyword in {"raw", "endraw"}:
            continue
        if (in_text and tag.start >= parts.body) or (tag.start in addresses and not tag.conditional):
            html.append(_in_table(tag, f"jx{number}x"))
        elif in_text and tag.kind == "statement":
            prologue.append(parts.text(tag))
        elif tag.kind == "statement" and keyword not in _CONTROL:
            return None, ""
    return "".join(prologue), "".join([*html, parts.source[position:]])


def _in_table(tag: Tag, mark: str) -> str:
    if tag.place is not Place.TEXT or tag.kind != "statement":
        return mark
    if tag.after in _BEFORE_ROW:
        return f"<tr><td>{mark}</td></tr>"
    return f"<td>{mark}</td>" if tag.after in _BEFORE_CELL else mark


def _keeps_nesting(parts: Cut, html: str) -> bool:
    """Return whether all that is left in the text is chosen and repeated by the statements that did so before.

    Rows of a table are set line by line, so that a line of one cell may come between two of another. What lies in
    an element that is not displayed is left out with its statements.
    """
    numbered = _numbered(html, len(parts.tags))
    meant, found = ([int(number) for number in _MARK.findall(text)] for text in (numbered, text_of(numbered)))
    for mark in set(meant).difference(found):
        if (
            mark < len(parts.tags)
            and parts.tags[mark].kind == "statement"
            and parts.keyword(parts.tags[mark]) not in _CONTROL
        ):
            return False
    return len(set(found)) == len(found) and _nesting(parts, found) <= _nesting(parts, meant)


def _numbered(html: str, number: int) -> str:
    """Return HTML in which every word and every address is a mark of its own, counted from `number`."""
    count = itertools.count(number)
    result: list[str] = []
    position = 0
    for found in [*MARKUP.finditer(html), None]:
        for piece in re.split(r"(\s+|jx\d+x)", html[position : found.start() if found else None]):
            is_word = piece.strip() and not _MARK.fullmatch(piece)
            result.append(f"jx{next(count)}x" if is_word else piece)
        if found:
            position = found.end()
            is_link = found["tag"] and re.match(r"<a\s", found[0], re.IGNORECASE)
            result.append(_HREF.sub(lambda _: f' href="jx{next(count)}x"', found[0]) if is_link else found[0])
    return "".join(result)


def _nesting(parts: Cut, marks: list[int]) -> set[tuple[int, tuple[int, ...]]]:
    """Return each mark with the statements that it stands in."""
    stack: list[int] = []
    result = set()
    for mark in marks:
        keyword = parts.keyword(parts.tags[mark]) if mark < len(parts.tags) else ""
        if keyword.startswith("end"):
            del stack[-1:]
        elif keyword in {"else", "elif"}:
            stack[-1:] = [mark]
        result.add((mark, tuple(stack)))
        if keyword in {"if", "for", "filter", "with"}:
            stack.append(mark)
    return result


def _put_back(parts: Cut, text: str) -> str:
    """Return the text with the Jinja tags in it; a line of nothing but statements leaves no line."""
    result: list[str] = []
    for line in text.splitlines(keepends=True):
        tags = [parts.tags[int(number)] for number in _MARK.findall(line)]
        pieces = _MARK.split(line)[::2]
        if tags and not "".join(pieces).strip() and all(tag.kind == "statement" for tag in tags):
            result += map(parts.text, tags)
            continue
        result.append(literal(pieces[0]))
        for number, tag in enumerate(tags):
            before, after = pieces[number : number + 2]
            # A cell of nothing but a statement leaves no column.
            alone = tag.kind == "statement" and before.endswith(("  ",) if number else ("  ", ""))
            result += [parts.text(tag), literal(after.lstrip(" ") if alone else after)]
    return "".join(result)
