"""Parse the URL of the mail server, `CAMPAIGN_SMTP_URL`, without DNS: `parse_smtp_url`."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from campaign.config.server_url import HOST_NAME, host_and_port, is_loopback, login, service_url

if TYPE_CHECKING:
    from urllib.parse import SplitResult

_EXAMPLE = "write it like smtp://user:password@smtp.example.com:587 or smtps://user:password@smtp.example.com:465"
#: The one way of TLS that a port has: RFC 8314 §7.3 (465), RFC 5321 (25), RFC 6409 (587).
_TLS_BY_PORT = {465: "smtps", 25: "smtp", 587: "smtp"}


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
    #: The command that prints an access token, instead of a password.
    token_command: str | None = field(default=None, repr=False)

    @property
    def label(self) -> str:
        """The server for messages, without secrets: `smtp.example.com:587`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_smtp_url(url: str) -> SmtpServer:
    """Return the server that an `smtp://` or `smtps://` URL names; with a user alone it has no password yet.

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


def parse_ehlo_name(name: str) -> str:
    """Return the name for EHLO, a host name or an address literal (RFC 5321 §4.1.3).

    Raises:
        ValueError: it is neither; the message says what to write.
    """
    literal = re.fullmatch(r"\[(IPv6:)?([0-9A-Fa-f:.]+)\]", name)
    if literal is None:
        if HOST_NAME.fullmatch(name) and not name.endswith("."):
            return name
    else:
        try:
            (ipaddress.IPv6Address if literal[1] else ipaddress.IPv4Address)(literal[2])
        except ValueError:
            pass
        else:
            return name
    raise ValueError("write this machine's host name in DNS, such as mail.example.com, or an address like [192.0.2.1]")


def with_login(server: SmtpServer, *, password: str | None, token_command: str | None) -> SmtpServer:
    """Return the server with what belongs to the user of its URL: the password of a file, or the command for a token.

    Raises:
        ValueError: there is not exactly one of password and command for a user, or there is no user.
    """
    given = [secret for secret in (server.password, password, token_command) if secret]
    if len(given) > 1:
        raise ValueError(
            "give the password once: in the URL or in CAMPAIGN_SMTP_PASSWORD_FILE, or a CAMPAIGN_SMTP_TOKEN_COMMAND"
        )
    if bool(given) != (server.username is not None):
        raise ValueError(
            f"give a user and a password, or neither; {_EXAMPLE}. The password may be in CAMPAIGN_SMTP_PASSWORD_FILE, "
            "or CAMPAIGN_SMTP_TOKEN_COMMAND may print an access token"
        )
    return replace(server, password=server.password or password, token_command=token_command)


def _require_fitting_port(parts: SplitResult) -> None:
    scheme = _TLS_BY_PORT.get(parts.port or 0, parts.scheme)
    if scheme == parts.scheme:
        return
    if scheme == "smtps":
        raise ValueError("port 465 begins with TLS, and smtp:// with STARTTLS; write smtps:// there, or port 587")
    raise ValueError(f"port {parts.port} begins with STARTTLS, and smtps:// with TLS; write smtp:// there, or port 465")


def _tls(parts: SplitResult, host: str) -> Tls:
    query = parse_qsl(parts.query, keep_blank_values=True)
    if any(pair != ("tls", "none") for pair in query) or (parts.query and not query):
        raise ValueError("only tls=none can follow the ?, and only for a server on this machine")
    if not query:
        _require_fitting_port(parts)
        return Tls.IMPLICIT if parts.scheme == "smtps" else Tls.STARTTLS
    if parts.scheme == "smtps":
        raise ValueError("smtps:// and tls=none contradict each other; write smtp://")
    if not is_loopback(host):
        raise ValueError(
            "tls=none is allowed only for localhost, 127.0.0.0/8 or [::1]; leave it out, because without"
            " TLS the sign-in links can be read on the way to any other host"
        )
    return Tls.NONE
