"""Inline the CSS of a rendered email, as mail programs need it: `inline_css`."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from campaign.errors import RowError

if TYPE_CHECKING:
    from collections.abc import Iterator

_STYLE = re.compile(r"<style\b([^>]*)>(.*?)</style\s*>", re.DOTALL | re.IGNORECASE)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
#: An element with a class or an id inside a conditional comment.
_FOR_OUTLOOK = re.compile(r"<!--\[if(?:(?!-->).)*?<[a-z][^>]*\s(?:class|id)\s*=", re.DOTALL | re.IGNORECASE)
_DOCTYPE = re.compile(r"<!doctype[^>]*>\s*", re.IGNORECASE)
_MEDIA = re.compile(r"""\bmedia\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+))""", re.IGNORECASE)
#: Media queries that match every screen (Media Queries 4 §2.3).
_EVERY_SCREEN = frozenset({"", "all", "screen", "only screen"})
#: Tells css-inline to leave a `<style>` alone (css-inline's README, "data-css-inline").
_IGNORED = ' data-css-inline="ignore"'
#: Outlook's conditions that are not written as comments, and the comments that an HTML parser turns them into.
_BARE_CONDITION = re.compile(r"<!\[(?:if[^\]]*|endif)\]>", re.IGNORECASE)
_PARSED_CONDITION = re.compile(r"<!--(\[(?:if[^\]]*|endif)\])-->", re.IGNORECASE)


def inline_css(html: str) -> str:
    """Return a rendered document with the rules of its `<style>` elements as `style` attributes.

    A `<style>` keeps the rules that only it can express (`@media`, `:hover`). A `<style>` whose `media` does not match
    every screen stays as it is. A document without a rule to inline is returned unchanged. No stylesheet is fetched.

    Raises:
        RowError: css-inline cannot read the CSS.
    """
    if "<style" not in html and not _STYLE.search(html):
        return html
    seen = _STYLE.findall(_COMMENT.sub("", html))
    if not any(_is_for_every_screen(attributes) and _has_rule(css) for attributes, css in seen):
        return html
    import css_inline  # noqa: PLC0415 - only a campaign with a <style> needs it

    inliner = css_inline.CSSInliner(
        keep_style_tags=True,
        keep_at_rules=True,
        # Outlook reads elements that the parser treats as comments, so the rules for them must stay.
        remove_inlined_selectors=_FOR_OUTLOOK.search(html) is None,
        keep_link_tags=True,
        load_remote_stylesheets=False,
    )
    try:
        inlined = inliner.inline(_STYLE.sub(_with_mark, html))
    except css_inline.InlineError as error:
        raise RowError(f"The CSS cannot be inlined ({error}); correct it, or remove it.") from None
    return _as_written(html, inlined.replace(_IGNORED, ""))


def sheets_of(source: str, *, whole: bool = False) -> Iterator[tuple[str, int]]:
    """Yield each style sheet of a document that would be inlined, and the line on which it begins.

    Args:
        source: the document.
        whole: the source is itself a style sheet.
    """
    if whole:
        yield source, 1
        return
    seen = _COMMENT.sub(lambda comment: "\n" * comment[0].count("\n"), source)
    for found in _STYLE.finditer(seen):
        if _is_for_every_screen(found[1]) and _IGNORED.strip() not in found[1]:
            yield found[2], seen.count("\n", 0, found.start(2)) + 1


def _as_written(before: str, after: str) -> str:
    """Restore the document type and Outlook's conditions, which the parser rewrites."""
    if found := _DOCTYPE.search(before):
        after = _DOCTYPE.sub(lambda _: found[0], after, count=1)
    return _PARSED_CONDITION.sub(r"<!\1>", after) if _BARE_CONDITION.search(before) else after


def _with_mark(found: re.Match[str]) -> str:
    if _is_for_every_screen(found[1]):
        return found[0]
    end = found.end(1) - found.start()
    return f"{found[0][:end]}{_IGNORED}{found[0][end:]}"


def _is_for_every_screen(attributes: str) -> bool:
    found = _MEDIA.search(attributes)
    return found is None or " ".join((found[1] or found[2] or found[3] or "").lower().split()) in _EVERY_SCREEN


@lru_cache(maxsize=64)  # the same for nearly every recipient
def _has_rule(css: str) -> bool:
    """Return whether a style sheet has a rule outside of at-rules such as `@media`."""
    import tinycss2  # type: ignore[import-untyped] # noqa: PLC0415 - only a campaign with a <style> needs it

    return any(node.type == "qualified-rule" for node in tinycss2.parse_stylesheet(css, skip_comments=True))
