"""Parse the URL of the mail server, `CAMPAIGN_SMTP_URL`, without DNS: `parse_smtp_url`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from campaign.config.server_url import host_and_port, is_loopback, login, service_url

if TYPE_CHECKING:
    from urllib.parse import SplitResult

_EXAMPLE = "write it like smtp://user:password@smtp.example.com:587 or smtps://user:password@smtp.example.com:465"


class Tls(StrEnum):
    """How the connection is encrypted."""

    #: The connection starts in clear text and must then be upgraded with STARTTLS (RFC 3207).
    STARTTLS = "starttls"
    #: TLS from the first byte (RFC 8314 §3).
    IMPLICIT = "implicit"
    #: No encryption; allowed only for a server on this machine.
    NONE = "none"


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """A mail server, the login and the encryption."""

    #: A host name or IP address, lower-case, without brackets.
    host: str
    port: int
    username: str | None
    password: str | None = field(repr=False)
    tls: Tls

    @property
    def label(self) -> str:
        """The server for messages, without secrets: `smtp.example.com:587`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_smtp_url(url: str) -> SmtpServer:
    """Return the server that an `smtp://` or `smtps://` URL names.

    Raises:
        ValueError: the URL is not valid; the message says what to write and contains no part of user or password.
    """
    parts = service_url(url, "smtp", "smtps", example=_EXAMPLE)
    if parts.path not in {"", "/"} or "#" in url:
        raise ValueError("there is text after host and port; in user or password write / as %2F, # as %23, ? as %3F")
    try:
        host, port = host_and_port(parts)
    except ValueError as error:
        raise ValueError(f"{error}; {_EXAMPLE}") from None
    username, password = login(parts, _EXAMPLE)
    tls = _tls(parts, host)
    return SmtpServer(host, port or (465 if parts.scheme == "smtps" else 587), username, password, tls)


def _tls(parts: SplitResult, host: str) -> Tls:
    query = parse_qsl(parts.query, keep_blank_values=True)
    if any(pair != ("tls", "none") for pair in query) or (parts.query and not query):
        raise ValueError("only tls=none can follow the ?, and only for a server on this machine")
    if not query:
        return Tls.IMPLICIT if parts.scheme == "smtps" else Tls.STARTTLS
    if parts.scheme == "smtps":
        raise ValueError("smtps:// and tls=none contradict each other; write smtp://")
    if not is_loopback(host):
        raise ValueError(
            "tls=none is allowed only for localhost, 127.0.0.0/8 or [::1]; leave it out, because without"
            " TLS the sign-in links can be read on the way to any other host"
        )
    return Tls.NONE
