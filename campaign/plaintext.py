"""The text part of a message, derived from its HTML. No templates, no MIME."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inscriptis.model.config import ParserConfig  # type: ignore[import-untyped]
    from inscriptis.model.html_document_state import HtmlDocumentState  # type: ignore[import-untyped]

_EMPTY_LINES = re.compile(r"\n(?:[ \t]*\n){2,}")
_TRAILING = re.compile(r"[ \t\u00a0\u034f\u200c]+$", re.MULTILINE)


def text_of(html: str) -> str:
    """Return the text of an HTML document: `label <address>` for a link, one blank line between paragraphs.

    Any HTML will do. The addresses of links stand whole and on one line.
    """
    # lxml takes 40 ms that a campaign with a text template need not pay.
    from inscriptis import get_text  # type: ignore[import-untyped] # noqa: PLC0415

    text = get_text(html, _config())
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
    # RFC 3986 appendix C: angle brackets tell an address from the text around it.
    state.link_target = attributes.get("href", "").strip()


def _end_link(state: HtmlDocumentState) -> None:
    if state.link_target:
        state.tags[-1].write(f" <{state.link_target}>")
    state.link_target = ""
