"""List the CSS and HTML that mail programs drop: `dropped_css`, `DROPPED_ELEMENTS`.

Kept by hand, after the tables of https://www.caniemail.com/features/ as of June 2026. An entry stands here if a large
mail program drops it and the layout or the content suffers, not only the decoration. Code inside of `@media` and
`@supports` is left out: who writes it there has thought of the others.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator


class Dropped(NamedTuple):
    """A feature that some mail programs drop."""

    #: As it is named in a finding.
    name: str
    #: A regular expression that finds it in CSS or HTML, in lower case.
    pattern: str
    #: The mail programs.
    by: str
    instead: str
    #: The page's name at caniemail.com.
    page: str


_GMAIL_OUTLOOK_YAHOO = "Gmail, Outlook and Yahoo"
_WINDOWS = "Outlook on Windows"

_CSS = (
    Dropped(
        "position: absolute, fixed or sticky",
        r"(?<![\w-])position\s*:\s*(?:absolute|fixed|sticky)",
        "Gmail and Outlook",
        "place it with table cells and padding",
        "css-position",
    ),
    Dropped(
        "display: flex",
        r"(?<![\w-])display\s*:\s*(?:inline-)?flex",
        _WINDOWS,
        "lay it out by a table",
        "css-display-flex",
    ),
    Dropped(
        "display: grid",
        r"(?<![\w-])display\s*:\s*(?:inline-)?grid",
        _WINDOWS,
        "lay it out by a table",
        "css-display-grid",
    ),
    Dropped(
        "a background image",
        r"(?<![\w-])background(?:-image)?\s*:[^;}]*url\(",
        _WINDOWS,
        "add a background colour that the text can be read on",
        "css-background-image",
    ),
    Dropped("var()", r"(?<![\w-])var\(", _GMAIL_OUTLOOK_YAHOO, "write the value itself", "css-variables"),
    Dropped("calc()", r"(?<![\w-])calc\(", "Outlook and Yahoo", "write a fixed or a percent value", "css-unit-calc"),
    Dropped("transform", r"(?<![\w-])transform\s*:(?!\s*none)", _GMAIL_OUTLOOK_YAHOO, "do without", "css-transform"),
    Dropped(
        "aspect-ratio", r"(?<![\w-])aspect-ratio\s*:", _GMAIL_OUTLOOK_YAHOO, "set width and height", "css-aspect-ratio"
    ),
    Dropped("clip-path", r"(?<![\w-])clip-path\s*:", _GMAIL_OUTLOOK_YAHOO, "clip the image itself", "css-clip-path"),
    Dropped(
        "inset", r"(?<![\w-])inset\s*:", _GMAIL_OUTLOOK_YAHOO, "place it with table cells and padding", "css-inset"
    ),
)
_IMPORT = Dropped("@import", r"@import\b", _GMAIL_OUTLOOK_YAHOO, "write the rules into a <style>", "css-at-import")

#: Elements that are dropped, by name; of `link` only one with `rel=stylesheet`.
DROPPED_ELEMENTS = {
    "link": Dropped(
        "<link rel=stylesheet>",
        r"<link\b[^>]*\bstylesheet",
        _GMAIL_OUTLOOK_YAHOO,
        "write the rules into a <style>",
        "html-link",
    ),
    "svg": Dropped("<svg>", r"<svg\b", _GMAIL_OUTLOOK_YAHOO, "take a PNG", "html-svg"),
    "video": Dropped(
        "<video>", r"<video\b", _GMAIL_OUTLOOK_YAHOO, "show an image that links to the film", "html-video"
    ),
    "object": Dropped("<object>", r"<object\b", _GMAIL_OUTLOOK_YAHOO, "take an image", "html-object"),
    "form": Dropped("<form>", r"<form\b", "Outlook, and Yahoo on iOS", "link to a page with the form", "html-form"),
}
#: Bytes of all `<style>` elements together, of which Gmail reads no more (https://www.caniemail.com/features/html-style,
#: note 6).
MAX_STYLE_BYTES = 16 * 1024

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_COMPILED = tuple((feature, re.compile(feature.pattern)) for feature in _CSS)


@lru_cache(maxsize=1024)  # the same for nearly every recipient
def dropped_css(sheets: tuple[str, ...], declarations: str) -> frozenset[Dropped]:
    """Return the features of some CSS that mail programs drop.

    Args:
        sheets: the text of each `<style>`.
        declarations: the value of a `style` attribute.
    """
    found = set()
    css = [_COMMENT.sub("", declarations).lower()]
    for sheet in sheets:
        for at_keyword, text in _top_level(sheet):
            if at_keyword == "import":
                found.add(_IMPORT)
            elif not at_keyword:
                css.append(text.lower())
    text = "\n".join(css)
    return frozenset(found | {feature for feature, pattern in _COMPILED if pattern.search(text)})


def _top_level(sheet: str) -> Iterator[tuple[str, str]]:
    """Yield each rule of a style sheet with the keyword of its at-rule, empty for an ordinary rule."""
    import tinycss2  # type: ignore[import-untyped] # noqa: PLC0415 - only a campaign with a <style> needs it

    for rule in tinycss2.parse_stylesheet(sheet, skip_comments=True, skip_whitespace=True):
        if rule.type == "qualified-rule":
            yield "", tinycss2.serialize(rule.content)
        elif rule.type == "at-rule":
            yield rule.lower_at_keyword, ""
