"""Make the text part of a message from its rendered HTML: `text_of`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from resiliparse.parse.html.node import DocumentNode, ElementNode

#: Declarations that hide an element, in a `style` without blanks. A `font-size` of 0 alone does not hide it: layouts
#: set it around elements that set their own size.
_HIDING = re.compile(
    r"(?:^|;)(?:display:none|visibility:hidden|opacity:0(?:\.0+)?|max-height:0(?:px)?)(?:!important)?(?:;|$)"
)
_NO_HEIGHT = re.compile(r"(?:^|;)(?:height|width):0(?:px)?(?:!important)?(?:;|$)")
_NO_OVERFLOW = re.compile(r"(?:^|;)overflow:hidden(?:!important)?(?:;|$)")
_TINY = re.compile(r"(?:^|;)font-size:[01](?:px)?(?:!important)?(?:;|$)")
#: Invisible characters that fill a preheader, to keep the text after it out of the inbox preview.
_FILLING = re.compile(r"(?:[\u00ad\u034f\u061c\u115f\u200b-\u200f\u2007\u2060\ufeff][ \t\u00a0]*){3,}")
_TRAILING = re.compile(r"[ \t\u00a0]+$", re.MULTILINE)
_EMPTY_LINES = re.compile(r"\n{3,}")
#: Tables are used for layout, so the tabs between their columns have no meaning in the text.
_LEADING_COLUMNS = re.compile(r"^(?=[ \u00a0]*\t)[ \t\u00a0]+|^ (?=<)", re.MULTILINE)
#: A label's address with a word directly behind it: links in a row may have no blank between them.
_AFTER_ADDRESS = re.compile(r"( <[a-z]+:[^<>\s]+>)(?=\w)")
_COLUMNS = re.compile(r"[ \u00a0]*\t[ \t\u00a0]*")


def text_of(html: str) -> str:
    """Return the text of an HTML document as a reader sees it.

    A link becomes `label <address>` (RFC 3986 appendix C) on one line. An image becomes its alternative text. One blank
    line separates paragraphs. Hidden elements and the filling of preheaders are left out. Malformed HTML is accepted.
    """
    # imported here because a campaign with a text template does not need them
    from resiliparse.extract.html2text import extract_plain_text  # noqa: PLC0415
    from resiliparse.parse.html import HTMLTree  # noqa: PLC0415

    # A lone surrogate cannot be encoded in UTF-8.
    tree = HTMLTree.parse(html.encode("utf-8", "replace").decode())
    document = cast("DocumentNode", tree.document)
    for element in cast("list[ElementNode]", list(document.query_selector_all("[hidden], [style]"))):
        if _is_hidden(element):
            element.remove()
    for anchor in cast("list[ElementNode]", list(document.query_selector_all("a[href]"))):
        if address := _address_of(anchor):
            anchor.append_child(document.create_text_node(f" <{address}>"))
    for legend in cast("list[ElementNode]", list(document.query_selector_all("legend"))):
        legend.append_child(document.create_element("br"))  # the library knows no line end after it
    text: str = extract_plain_text(tree, main_content=False, alt_texts=True, links=False, preserve_formatting=True)
    return tidied(_AFTER_ADDRESS.sub(r"\1 ", _COLUMNS.sub("  ", _LEADING_COLUMNS.sub("", _FILLING.sub("", text)))))


def tidied(text: str) -> str:
    """Return a text without trailing blanks on lines and without two empty lines in a row."""
    return _EMPTY_LINES.sub("\n\n", _TRAILING.sub("", text)).strip("\n") + "\n"


def _is_hidden(element: ElementNode) -> bool:
    if element.hasattr("hidden"):
        return True
    style = "".join((element.getattr("style") or "").lower().split())
    if _HIDING.search(style) or (_NO_HEIGHT.search(style) and _NO_OVERFLOW.search(style)):
        return True
    return bool(_TINY.search(style)) and element.query_selector('[style*="font-size"], img') is None


def _address_of(anchor: ElementNode) -> str:
    """Return the address to write after a link's label; empty if the label is the address, or there is no address."""
    # WHATWG URL §4.4: a parser removes blanks around a URL, and tabs and line breaks in it
    address = re.sub(r"[\t\r\n]", "", (anchor.getattr("href") or "").strip()).replace(" ", "%20")
    label = " ".join((anchor.text or "").split())
    return "" if address.startswith("#") or address.removeprefix("mailto:").removeprefix("tel:") == label else address
