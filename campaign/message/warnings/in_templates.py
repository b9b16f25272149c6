"""Find accidents in a template as it was written, which are the same for every row: `accidents_in`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from campaign.message.html.css import sheets_of
from campaign.message.template_errors import located

if TYPE_CHECKING:
    from collections.abc import Iterator

    from campaign.message.renderer import TemplatePart

#: Places for values as other tools write them: Mailchimp, Salesforce and SendGrid, Mailjet, ERB, JavaScript.
_LEFTOVER = re.compile(
    r"\*\|[A-Za-z][\w:]*\|\*|%%[A-Za-z]\w*%%|%(?![A-F]{2}%)[A-Z][A-Z_]+%|\[\[\s*[A-Za-z][\w.: ]*\]\]|<%[=-]?.*?%>|"
    r"\$\{\s*[A-Za-z][\w.]*\s*\}|\{\$[A-Za-z]\w*\}"
)
_JINJA = re.compile(r"\{#.*?#\}|\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_STYLE = re.compile(r"<style\b.*?</style\s*>", re.DOTALL | re.IGNORECASE)
#: An address that a mail cannot follow, because it is relative to a page; also `//host/…`, which takes over a scheme.
_RELATIVE = re.compile(
    r"""<[a-z][^<>]*?\s(src|href|background|srcset|poster)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE
)
_SCHEME = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*:|#|\x00)", re.IGNORECASE)
_SELECTOR_PART = re.compile(r"[.#]?[\w-]+")


def accidents_in(part: TemplatePart) -> Iterator[str]:
    """Yield a sentence with `file:line` for each accident in a template."""
    # Jinja's tags become NUL, with their line breaks, so that the lines stay and a tag is no part of an address.
    plain = _JINJA.sub(lambda found: "\0" + "\n" * found[0].count("\n"), part.source)
    without_style = _STYLE.sub(lambda found: "\n" * found[0].count("\n"), plain)
    for leftover in _LEFTOVER.finditer(without_style):
        yield (
            f"{_at(part, without_style, leftover)}: {leftover[0]} is a placeholder of another tool and would be sent "
            "as it is; write {{ NAME }} with a column's name"
        )
    for attribute in _RELATIVE.finditer(without_style):
        address = (attribute[2] or attribute[3] or attribute[4] or "").strip(" \t\r\n")
        if address and not _SCHEME.match(address):
            yield (
                f'{_at(part, without_style, attribute, 1)}: {attribute[1].lower()}="{_first(address)}" is relative, '
                "and a mail has no address to which it could be; write the whole address, with https://"
            )
    yield from _importance(part, plain)


def _at(part: TemplatePart, source: str, found: re.Match[str], group: int = 0) -> str:
    return located(part.where, source.count("\n", 0, found.start(group)) + 1)


def _first(address: str) -> str:
    return address.replace("\0", "{{ … }}")[:60]


def _importance(part: TemplatePart, source: str) -> Iterator[str]:
    """Yield a sentence for each `!important` that is inlined and so wins over every `@media` rule."""
    for sheet, line in sheets_of(source, whole=part.where.endswith(".css")):
        import tinycss2  # type: ignore[import-untyped] # noqa: PLC0415 - only a campaign with a <style> needs it

        base: list[tuple[str, set[str], str, int]] = []
        media: list[tuple[set[str], str]] = []
        for rule in tinycss2.parse_stylesheet(sheet, skip_comments=True, skip_whitespace=True):
            if rule.type == "qualified-rule":
                base += [(*each[:3], each[4]) for each in _declarations(rule) if each[3]]
            elif rule.type == "at-rule" and rule.lower_at_keyword == "media" and rule.content is not None:
                for inner in tinycss2.parse_rule_list(rule.content, skip_comments=True, skip_whitespace=True):
                    if inner.type == "qualified-rule":
                        media += [(each[1], each[2]) for each in _declarations(inner)]
        for selector, parts, name, at in base:
            if any(parts & others and _overlaps(name, other) for others, other in media):
                yield (
                    f"{located(part.where, line + at - 1)}: {name} of {selector} is !important and is inlined so, "
                    "which no @media rule can win over; remove !important there"
                )


def _declarations(rule: Any) -> Iterator[tuple[str, set[str], str, bool, int]]:  # noqa: ANN401 - tinycss2 has no types
    """Yield the selector of a rule, its parts, and the name, importance and line of each of its declarations."""
    import tinycss2  # noqa: PLC0415 - as above

    selector = " ".join(tinycss2.serialize(rule.prelude).split())
    for each in tinycss2.parse_declaration_list(rule.content, skip_comments=True, skip_whitespace=True):
        if each.type == "declaration":
            yield selector, set(_SELECTOR_PART.findall(selector)), each.lower_name, each.important, each.source_line


def _overlaps(name: str, other: str) -> bool:
    """Return whether two properties set the same, as `margin` and `margin-top` do."""
    return name == other or name.startswith(f"{other}-") or other.startswith(f"{name}-")
