"""Open the pages behind the links without a token: `review_pages`. Only this module opens them."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import httpx

from campaign.compliance.finding import not_checked, passed, problem, warning
from campaign.words import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from campaign.compliance.finding import Finding

_TIMEOUT_S = 15.0
#: Pages that are opened.
_MAX_PAGES = 5
#: The query parameters with the recipient's masked address, and with the path that the page goes to.
_ADDED = {"hint", "next"}
_RULE = "RFC 9110 §15; the page behind the link"
#: Answers of a page that is there, though not for a program such as this one.
_NOT_FOR_PROGRAMS = frozenset({401, 403, 405, 406, 429})

#: httpx logs each URL, and its path may hold a person's data.
logging.getLogger("httpx").addFilter(lambda record: "HTTP Request" not in record.getMessage())


async def review_pages(links: Iterable[str], parameter: str) -> list[Finding]:
    """Return whether the pages of a message's links answer. No token is sent, so none is spent.

    Args:
        links: the links of one message.
        parameter: the query parameter with the token, which is left out.
    """
    pages = list(dict.fromkeys(_without(link, parameter) for link in links))
    if not pages:
        return [not_checked("Landing page: no row can be rendered, so there is no link", _RULE, "fix the problems")]
    async with httpx.AsyncClient(
        verify=ssl.create_default_context(), trust_env=False, follow_redirects=False, timeout=_TIMEOUT_S
    ) as client:
        found = list(await asyncio.gather(*[_review(client, page) for page in pages[:_MAX_PAGES]]))
    if (more := len(pages) - _MAX_PAGES) > 0:
        found.append(not_checked(f"Landing page: {more} more pages of the first message", _RULE))
    return found


async def _review(client: httpx.AsyncClient, page: str) -> Finding:
    shown = printable(urlunsplit(urlsplit(page)._replace(query="", fragment="")))
    name = f"Landing page {shown}"
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            # GET, since a page need not answer HEAD; the body is not read
            async with client.stream("GET", page, headers={"Accept": "text/html"}) as answer:
                status, location = answer.status_code, answer.headers.get("Location", "")
    except (httpx.HTTPError, OSError, TimeoutError, ValueError) as error:
        return _unreachable(name, error)
    if status < 300:
        return passed(f"{name}: answers {status} without a token", _RULE)
    if status < 400:
        target = printable(str(httpx.URL(page).join(location).copy_with(query=None)) if location else "nowhere")
        text = f"{name}: redirects to {target} ({status}), and a redirect may lose the token or hand it to another site"
        return warning(text, _RULE, "let the link lead to the page itself")
    if status in _NOT_FOR_PROGRAMS:
        return not_checked(f"{name}: answers {status} to this program", _RULE, "open it in a browser")
    return problem(f"{name}: answers {status}", _RULE, "correct link.url, or publish the page: campaign landing")


def _unreachable(name: str, error: Exception) -> Finding:
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            reason = getattr(cause, "verify_message", "") or cause.reason or "no TLS"
            text = f"{name}: browsers do not trust its TLS: {printable(str(reason))}"
            return problem(text, "RFC 9110 §4.2.2", "renew or correct its certificate")
        if isinstance(cause, socket.gaierror):
            if cause.errno == socket.EAI_NONAME:
                return problem(f"{name}: the host does not exist", _RULE, "correct link.url, or publish its address")
            return not_checked(f"{name}: the DNS did not answer for its host", _RULE, "try again later")
        if isinstance(cause, ConnectionRefusedError):
            return problem(f"{name}: nothing listens there", _RULE, "start the web server, or correct link.url")
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return not_checked(f"{name}: no answer within {_TIMEOUT_S:.0f} seconds", _RULE, "open it in a browser")
    return not_checked(f"{name}: no answer ({type(error).__name__})", _RULE, "open it in a browser")


def _without(link: str, parameter: str) -> str:
    """Return a link without the token, the hint, the path behind it, and its fragment, which no server gets."""
    parts = urlsplit(link)
    query = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in {parameter, *_ADDED}]
    return urlunsplit(parts._replace(query=urlencode(query), fragment=""))


def _causes(error: BaseException | None) -> Iterable[BaseException]:
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        # httpcore chains the errors of asyncio, which in turn groups those of several addresses
        error = (error.exceptions[0] if isinstance(error, BaseExceptionGroup) else None) or (
            error.__cause__ or error.__context__
        )
    return seen
