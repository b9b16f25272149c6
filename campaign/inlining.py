"""CSS from `<style>` into `style=""`, once per campaign, on the source of an HTML template.

The Jinja tags are hidden from the HTML parser and put back; where that would change what they do, it is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from campaign.errors import TemplateError
from campaign.markup import Place, cut, literal

if TYPE_CHECKING:
    from jinja2 import Environment

    from campaign.markup import Cut, Tag

_STYLE = re.compile(r"<style[\s>]", re.IGNORECASE)
_DOCTYPE = re.compile(r"<!doctype[^>]*>\s*", re.IGNORECASE)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_RAW = re.compile(r"<(style|script|title|textarea)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
_ELEMENT = re.compile(r"""</?[a-zA-Z][^\s/>]*(?:[^"'>]|"[^"]*"|'[^']*')*>""")
_ELEMENT_NAME = re.compile(r"</?[a-zA-Z][^\s/>]*")
#: What a parser adds by itself (WHATWG HTML §13.1.2.4), and elements that have no end tag.
_IMPLIED = frozenset(
    {
        *("<html", "</html", "<head", "</head", "<body", "</body", "<tbody", "</tbody", "<colgroup", "</colgroup"),
        *("<p", "</p", "</li", "</dt", "</dd", "</td", "</th", "</tr", "</thead", "</tfoot", "</option", "</optgroup"),
        *("</br", "</img", "</hr", "</input", "</meta", "</link", "</col", "</area", "</base", "</wbr", "</embed"),
        *("</source", "</track", "</param"),
    }
)
#: Statements that bring in markup which stands elsewhere.
_ELSEWHERE = frozenset({"include", "extends", "block", "import", "from", "call"})


def inlined(env: Environment, source: str, where: str) -> str:
    """Return the source with the rules of its `<style>` elements as `style` attributes.

    Rules that only a `<style>` can express (`@media`, `:hover`) stay there. A source without `<style>` comes
    back as it is.

    Raises:
        TemplateError: the CSS is broken, or a Jinja tag stands where inlining would change what it does.
    """
    if not _STYLE.search(_COMMENT.sub("", source)):
        return source
    parts = cut(env, source)
    prefix = "jx"
    while prefix in source.lower():
        prefix += "x"
    hidden, marks = _hidden(parts, prefix, where)
    changed = _with_doctype(hidden, _inline(hidden, where, keep_all=_has_unseen_markup(parts)))
    changed = _merged_styles(changed, prefix)
    mark = re.compile(rf"<!--{prefix}\d+x-->|{prefix}\d+x")
    found = mark.findall(changed)
    for expected, tag in marks:
        if not found or found[0] != expected:
            raise TemplateError(
                f"{where}:{tag.line}: {_short(parts.text(tag))} stands where HTML allows no text, and would be moved; "
                "put it inside an element, or around a whole one."
            )
        del found[0]
    if any(tag.kind == "statement" for _, tag in marks):
        _compare(mark, hidden, changed, [tag.line for _, tag in marks], where)
    pieces = mark.split(changed)
    texts = [parts.text(tag) for _, tag in marks]
    result = [literal(pieces[0])]
    for text, piece in zip(texts, pieces[1:], strict=True):
        result += [text, literal(piece)]
    return "".join(result)


def _hidden(parts: Cut, prefix: str, where: str) -> tuple[str, list[tuple[str, Tag]]]:
    """Return HTML in which placeholders stand for the tags, and each placeholder with its tag."""
    renamed = {value.name_start for value in parts.values if value.attribute == "style" and not value.conditional}
    cuts: list[tuple[int, int, str]] = [(at, at, f"data-{prefix}-") for at in renamed]
    marks: list[tuple[str, Tag]] = []
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
        if tag.place is Place.TEXT and not tag.conditional:
            mark = f"<!--{mark}-->"
        cuts.append((tag.start, tag.end, mark))
        marks.append((mark, tag))
    result: list[str] = []
    position = 0
    for start, end, text in sorted(cuts):
        result += [parts.source[position:start], text]
        position = end
    return "".join([*result, parts.source[position:]]), marks


def _inline(html: str, where: str, *, keep_all: bool) -> str:
    import css_inline  # noqa: PLC0415 - only a campaign with a <style> needs it

    try:
        return css_inline.CSSInliner(
            keep_style_tags=True,
            keep_at_rules=True,
            remove_inlined_selectors=not keep_all,
            keep_link_tags=True,
            load_remote_stylesheets=False,
        ).inline(html)
    except css_inline.InlineError as error:
        raise TemplateError(f"{where}: The CSS cannot be inlined: {error}.") from None


def _has_unseen_markup(parts: Cut) -> bool:
    """Return whether rules may match what the parser does not see, so that all of them must stay in `<style>`."""
    return any(value.attribute in {"class", "id"} for value in parts.values) or any(
        parts.keyword(tag) in _ELSEWHERE for tag in parts.tags
    )


def _with_doctype(before: str, after: str) -> str:
    """Return the HTML with its whole document type, which decides the mode it is shown in."""
    found = _DOCTYPE.search(before)
    return _DOCTYPE.sub(lambda _: found[0], after, count=1) if found else after


def _merged_styles(html: str, prefix: str) -> str:
    """Return the HTML with each `style` that holds Jinja tags, renamed before, behind what was inlined."""
    own = re.compile(rf' data-{prefix}-style="([^"]*)"')

    def merged(found: re.Match[str]) -> str:
        element, style = found[0], own.search(found[0])
        if style is None:
            return element
        rest = element[: style.start()] + element[style.end() :]
        with_both = re.sub(r' style="([^"]*?);?\s*"', lambda given: f' style="{given[1]};{style[1]}"', rest, count=1)
        return with_both if with_both != rest else own.sub(r' style="\1"', element)

    return _ELEMENT.sub(merged, html) if f"data-{prefix}-style" in html else html


def _compare(mark: re.Pattern[str], before: str, after: str, lines: list[int], where: str) -> None:
    """Hold the elements between the Jinja tags against those that the parser made of them.

    Where only one branch of a condition opens an element, a parser would close it by itself at the end.

    Raises:
        TemplateError: they differ.
    """
    pairs = zip(_elements(mark, before), _elements(mark, after), strict=True)
    for number, (meant, made) in enumerate(pairs):
        if meant != made:
            line = lines[number - 1] if number else 1
            raise TemplateError(
                f"{where}:{line}: The HTML from here on is not nested as it must be to inline CSS: "
                f"{' '.join(meant) or 'nothing'} became {' '.join(made) or 'nothing'}. Open and close each element in "
                "the same branch."
            )


def _elements(mark: re.Pattern[str], html: str) -> list[list[str]]:
    """Return the names of the start and end tags between any two placeholders."""
    bare = _COMMENT.sub(lambda found: "".join(mark.findall(found[0])), html)
    bare = _RAW.sub(lambda found: f"<{found[1]}>" + "".join(mark.findall(found[0])), bare)
    return [
        [
            f"{name}>"
            for name in map(str.lower, _ELEMENT_NAME.findall(" ".join(_ELEMENT.findall(piece))))
            if name not in _IMPLIED
        ]
        for piece in mark.split(bare)
    ]


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:36]} … {text[-2:]}"
