"""CSS from `<style>` into `style=""`, once per campaign, on the source of an HTML template.

The Jinja tags are hidden from the HTML parser and put back; where that would change what they do, it is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from campaign.errors import TemplateError
from campaign.message.markup import cut
from campaign.message.nesting import COMMENT, ELEMENT, compare, hide, without_implied

if TYPE_CHECKING:
    from jinja2 import Environment

    from campaign.message.markup import Cut

_STYLE = re.compile(r"<style[\s>]", re.IGNORECASE)
_DOCTYPE = re.compile(r"<!doctype[^>]*>\s*", re.IGNORECASE)
#: Statements that bring in markup which stands elsewhere.
_ELSEWHERE = frozenset({"include", "extends", "block", "import", "from", "call"})


def inlined(env: Environment, source: str, where: str) -> str:
    """Return the source with the rules of its `<style>` elements as `style` attributes.

    Rules that only a `<style>` can express (`@media`, `:hover`) stay there. A source without `<style>` comes
    back as it is.

    Raises:
        TemplateError: the CSS is broken, or a Jinja tag stands where inlining would change what it does.
    """
    if not _STYLE.search(COMMENT.sub("", source)):
        return source
    parts = cut(env, source)
    hidden = hide(parts, where)
    changed = _with_doctype(hidden.html, _inline(hidden.html, where, keep_all=_has_unseen_markup(parts)))
    changed = without_implied(hidden, changed)
    compare(hidden, changed)
    return hidden.put_back(_merged_styles(changed, hidden.renamed))


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
        raise TemplateError(f"{where}: The CSS cannot be inlined ({error}); mend it, or take it out.") from None


def _has_unseen_markup(parts: Cut) -> bool:
    """Return whether rules may match what the parser does not see, so that all of them must stay in `<style>`."""
    return any(value.attribute in {"class", "id"} for value in parts.values) or any(
        parts.keyword(tag) in _ELSEWHERE for tag in parts.tags
    )


def _with_doctype(before: str, after: str) -> str:
    """Return the HTML with its whole document type, which decides the mode it is shown in."""
    found = _DOCTYPE.search(before)
    return _DOCTYPE.sub(lambda _: found[0], after, count=1) if found else after


def _merged_styles(html: str, renamed: str) -> str:
    """Return the HTML with each `style` that holds Jinja tags, renamed before, behind what was inlined."""
    own = re.compile(rf' {renamed}style="([^"]*)"')

    def merged(found: re.Match[str]) -> str:
        element, style = found[0], own.search(found[0])
        if style is None:
            return element
        rest = element[: style.start()] + element[style.end() :]
        with_both = re.sub(r' style="([^"]*?);?\s*"', lambda given: f' style="{given[1]};{style[1]}"', rest, count=1)
        return with_both if with_both != rest else own.sub(r' style="\1"', element)

    return ELEMENT.sub(merged, html) if f"{renamed}style" in html else html
