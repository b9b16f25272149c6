"""Check that the links of a rendered message arrive whole: `check_sign_in_link`, `check_unsubscribe_link`."""

from __future__ import annotations

import re
from string import ascii_letters, digits
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import escape

from campaign.errors import TemplateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: If one of these directly precedes a link, the link is part of a query, a path or a word.
_INSIDE = frozenset("=/?&#%@" + ascii_letters + digits)
#: HTML comments: readers do not see them, but some mail programs interpret them (WHATWG HTML §13.1.6).
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
#: The beginning of an attribute's value, at the end of what precedes a link in a tag.
_ATTRIBUTE = re.compile(r"[\s\"']([^\s\"'=<>/?&;#]+)\s*=\s*([\"']?)\s*\Z")
_ELEMENT = re.compile(r"<([a-zA-Z][^\s/>]*)")
#: Elements whose `href` a program opens without a click.
_OPENED = frozenset({"base", "link"})
#: What may follow a link in text: punctuation that a mail program does not take for a part of it, and then an end.
_TEXT_END = re.compile(r"[.,;:!?)\]}>'\"*_|]*(?:\s|\Z|<|&(?!amp;)|[^\x00-\x7f])")


class Bodies(NamedTuple):
    """The rendered bodies of a message, and the files that they were made from."""

    html: str
    #: None if it was not rendered yet.
    text: str | None
    html_file: str
    #: The HTML's if the text is made from it.
    text_file: str


def check_sign_in_link(bodies: Bodies, links: Sequence[str], token: str) -> tuple[str, ...]:
    """Return the links that stand unchanged in the HTML.

    Args:
        bodies: the rendered bodies.
        links: all links with the token that the templates were given.
        token: the token.

    Raises:
        TemplateError: the HTML or the text contains no link, or the token stands outside the links.
    """
    html, text = bodies.html, bodies.text
    found = arrived(html, links)
    if not found:
        raise TemplateError(f"{bodies.html_file}: The HTML does not contain the sign-in link unchanged.")
    if text is not None and not any(link in text for link in links):
        raise TemplateError(f"{bodies.text_file}: The text part does not contain the sign-in link unchanged.")
    forms = [form for link in links for form in in_html(link)]
    for body, allowed, file in ((html, forms, bodies.html_file), (text, links, bodies.text_file)):
        if body is None:
            continue
        if wrong := misplaced(body, allowed, html=body is html):
            raise TemplateError(
                f"{file}: The sign-in link {wrong}; put {{{{ link }}}} there alone. Parameters belong into link.url."
            )
        if not only_links_hold(token, body, allowed):
            raise TemplateError(
                f"{file}: The sign-in link is inside another address or is changed, so the token would go elsewhere; "
                "put {{ link }} there alone."
            )
    return found


def check_unsubscribe_link(bodies: Bodies, link: str) -> None:
    """Check that the unsubscribe link stands whole in both parts.

    Raises:
        TemplateError: it does not.
    """
    in_text = bodies.text is None or link in bodies.text
    if (found := arrived(bodies.html, [link])) and in_text:
        return
    raise TemplateError(
        f"{bodies.text_file if found else bodies.html_file}: The {'text part' if found else 'HTML'} does not contain "
        "the unsubscribe link unchanged; put {{ unsubscribe }} there alone."
    )


def arrived(html: str, links: Iterable[str]) -> tuple[str, ...]:
    """Return the links that stand in the HTML where a reader sees them."""
    seen = _COMMENT.sub("", html) if "<!--" in html else html
    return tuple(dict.fromkeys(link for link in links if any(form in seen for form in in_html(link))))


def in_html(link: str) -> tuple[str, str]:
    """Return a link as Jinja escapes it, and as an HTML serialiser does (WHATWG HTML §13.3): it does not escape `'`."""
    return str(escape(link)), link.replace("&", "&amp;")


def misplaced(body: str, links: Iterable[str], *, html: bool) -> str | None:
    """Return what is wrong with the place of a link, as a clause; None if every link can be followed.

    Args:
        body: the rendered HTML or text.
        links: as they stand in it.
        html: whether it is HTML.
    """
    for link in dict.fromkeys(links):
        at = body.find(link)
        while at >= 0:
            end = at + len(link)
            opened = body.rfind("<", 0, at) if html else -1
            wrong = (
                _wrong_in_tag(body[opened:at], body[end : end + 5], fragment="#" in link)
                if opened > body.rfind(">", 0, at)
                else _wrong_in_text(body[end : end + 40])
            )
            if wrong:
                return wrong
            at = body.find(link, end)
    return None


def _wrong_in_tag(before: str, after: str, *, fragment: bool) -> str | None:
    attribute, element = _ATTRIBUTE.search(before), _ELEMENT.match(before)
    if attribute is None or element is None:
        return "stands inside another address"
    name, quote = attribute[1].lower(), attribute[2]
    if name != "href" or element[1].lower() in _OPENED:
        return f"stands in {name} of <{element[1].lower()}>, which mail programs open without a click"
    # A second `#` is a part of the fragment (RFC 3986 §3.5), and with it of a token that stands there.
    if after.startswith((quote or ">", "&")) or after[:1].isspace() or (after.startswith("#") and not fragment):
        return None
    return f"is followed by {after.partition(quote or '>')[0]!r}, which would become a part of the token"


def _wrong_in_text(after: str) -> str | None:
    if _TEXT_END.match(after):
        return None
    return f"is followed by {after.split(maxsplit=1)[0][:20]!r}, which mail programs would take for a part of it"


def only_links_hold(token: str, text: str, links: Iterable[str]) -> bool:
    """Return whether the token occurs only in these links, and none of the links is part of another address."""
    rest = [text]
    for link in sorted(set(links), key=len, reverse=True):
        cut = [part.split(link) for part in rest]
        if any(part[-1:] in _INSIDE for parts in cut for part in parts[:-1] if part):
            return False
        rest = [part for parts in cut for part in parts]
    return not any(token in part for part in rest)
