"""Open the pages behind the links without a token: `review_pages`. Only this module opens them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from campaign.compliance.finding import not_checked, passed, problem, warning
from campaign.compliance.online.web import Answer, Silence, ask
from campaign.words import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from campaign.compliance.finding import Finding

#: Pages that are opened.
_MAX_PAGES = 5
#: The query parameters with the recipient's masked address, and with the path that the page goes to.
_ADDED = {"hint", "next"}
_RULE = "RFC 9110 §15; the page behind the link"
_SILENCE = Silence(_RULE, setting="link.url", start="the web server", otherwise="open it in a browser")
#: Answers of a page that is there, though not for a program such as this one.
_NOT_FOR_PROGRAMS = frozenset({401, 403, 405, 406, 429})


async def review_pages(links: Iterable[str], parameter: str) -> list[Finding]:
    """Return whether the pages of a message's links answer. No token is sent, so none is spent.

    Args:
        links: the links of one message.
        parameter: the query parameter with the token, which is left out.
    """
    pages = list(dict.fromkeys(_without(link, parameter) for link in links))
    if not pages:
        return [not_checked("Landing page: no row can be rendered, so there is no link", _RULE, "fix the problems")]
    found = list(await asyncio.gather(*[_review(page) for page in pages[:_MAX_PAGES]]))
    if (more := len(pages) - _MAX_PAGES) > 0:
        found.append(not_checked(f"Landing page: {more} more pages of the first message", _RULE))
    return found


async def _review(page: str) -> Finding:
    shown = printable(urlunsplit(urlsplit(page)._replace(query="", fragment="")))
    name = f"Landing page {shown}"
    # GET, since a page need not answer HEAD
    answer = await ask(name, "GET", page, _SILENCE, headers={"Accept": "text/html"})
    if not isinstance(answer, Answer):
        return answer
    status = answer.status
    if status < 300:
        return passed(f"{name}: answers {status} without a token", _RULE)
    if status < 400:
        target = answer.location or "nowhere"
        text = f"{name}: redirects to {target} ({status}), and a redirect may lose the token or hand it to another site"
        return warning(text, _RULE, "let the link lead to the page itself")
    if status in _NOT_FOR_PROGRAMS:
        return not_checked(f"{name}: answers {status} to this program", _RULE, "open it in a browser")
    return problem(f"{name}: answers {status}", _RULE, "correct link.url, or publish the page: campaign landing")


def _without(link: str, parameter: str) -> str:
    """Return a link without the token, the hint, the path behind it, and its fragment, which no server gets."""
    parts = urlsplit(link)
    query = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in {parameter, *_ADDED}]
    return urlunsplit(parts._replace(query=urlencode(query), fragment=""))
