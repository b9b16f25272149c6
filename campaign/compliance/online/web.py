"""Ask a web server as a stranger does, and say why one does not answer: `ask`."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import httpx

from campaign.compliance.finding import not_checked, problem
from campaign.config.server_url import tls_context
from campaign.words import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from campaign.compliance.finding import Finding

TIMEOUT_S = 15.0

#: httpx logs each URL, and its path may hold a person's data.
logging.getLogger("httpx").addFilter(lambda record: "HTTP Request" not in record.getMessage())


@dataclass(frozen=True, slots=True)
class Silence:
    """What to say of an address that does not answer."""

    #: The rule that asks for an answer.
    rule: str
    #: The key of the campaign file with the address.
    setting: str
    #: What to start if nothing listens there.
    start: str
    #: What to do if the reason cannot be seen from here.
    otherwise: str


class Answer(NamedTuple):
    """The first line of an answer, and where a redirect leads."""

    status: int
    #: Absolute, without a query, and printable; empty if the answer names no other address.
    location: str


async def ask(
    name: str, method: str, url: str, silence: Silence, *, headers: Mapping[str, str], body: str | None = None
) -> Answer | Finding:
    """Send one request; return its answer, or the finding that there is none. The answer's body is not read.

    The client trusts what the system trusts, follows no redirect and sends no cookie.

    Args:
        name: what is asked, for the finding.
        method: of HTTP.
        url: the address.
        silence: what to say if there is no answer.
        headers: of the request.
        body: of the request.
    """
    try:
        async with (
            asyncio.timeout(TIMEOUT_S),
            httpx.AsyncClient(verify=tls_context(url), trust_env=False, timeout=TIMEOUT_S) as client,
            client.stream(method, url, headers=headers, content=body) as answer,
        ):
            location = answer.headers.get("Location", "")
            target = printable(str(httpx.URL(url).join(location).copy_with(query=None))) if location else ""
            return Answer(answer.status_code, target)
    except (httpx.HTTPError, OSError, TimeoutError, ValueError) as error:
        return _silent(name, error, silence)


def _silent(name: str, error: Exception, silence: Silence) -> Finding:
    rule, setting = silence.rule, silence.setting
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError):
            reason = getattr(cause, "verify_message", "") or cause.reason or "no TLS"
            text = f"{name}: browsers do not trust its TLS: {printable(str(reason))}"
            return problem(text, "RFC 9110 §4.2.2", "renew or correct its certificate")
        if isinstance(cause, socket.gaierror):
            if cause.errno == socket.EAI_NONAME:
                return problem(f"{name}: the host does not exist", rule, f"correct {setting}, or publish its address")
            return not_checked(f"{name}: the DNS did not answer for its host", rule, "try again later")
        if isinstance(cause, ConnectionRefusedError):
            return problem(f"{name}: nothing listens there", rule, f"start {silence.start}, or correct {setting}")
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return not_checked(f"{name}: no answer within {TIMEOUT_S:.0f} seconds", rule, silence.otherwise)
    return not_checked(f"{name}: no answer ({type(error).__name__})", rule, silence.otherwise)


def _causes(error: BaseException | None) -> Iterable[BaseException]:
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        # httpcore chains the errors of asyncio, which in turn groups those of several addresses
        error = (error.exceptions[0] if isinstance(error, BaseExceptionGroup) else None) or (
            error.__cause__ or error.__context__
        )
    return seen
