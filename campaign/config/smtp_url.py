"""Parse the URL of the mail server, `CAMPAIGN_SMTP_URL`, without DNS: `parse_smtp_url`."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from urllib.parse import SplitResult

_EXAMPLE = "write it like smtp://user:password@smtp.example.com:587 or smtps://user:password@smtp.example.com:465"
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?)+")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


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
    if not url.isprintable() or set(url) & set(" \\"):
        raise ValueError(f"it contains a space, a backslash or a control character; {_EXAMPLE}")
    try:
        parts = urlsplit(url)
    except ValueError:
        # The message of `urlsplit` quotes the URL with its password.
        raise ValueError(f"it is not a URL; {_EXAMPLE}") from None
    if parts.scheme not in {"smtp", "smtps"}:
        raise ValueError(f"it must begin with smtp:// or smtps://; {_EXAMPLE}")
    if parts.path not in {"", "/"} or "#" in url:
        raise ValueError("there is text after host and port; in user or password write / as %2F, # as %23, ? as %3F")
    try:
        host, port = host_and_port(parts)
    except ValueError as error:
        raise ValueError(f"{error}; {_EXAMPLE}") from None
    username, password = _login(parts)
    tls = _tls(parts, host)
    return SmtpServer(host, port or (465 if parts.scheme == "smtps" else 587), username, password, tls)


def host_and_port(parts: SplitResult) -> tuple[str, int | None]:
    """Return the host of a URL, lower-case and without brackets, and its port or None.

    Raises:
        ValueError: the host is missing, or host or port is not valid; the message contains no part of the URL.
    """
    authority = parts.netloc.rpartition("@")[2]
    found = re.fullmatch(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::(\d*))?", authority, re.ASCII)
    if found is None or found[2] == "" or (found[2] and not 0 < int(found[2]) < 2**16):
        raise ValueError("the port is not a number from 1 to 65535, or an IPv6 address is not in [ ]")
    host = found[1].lower()
    if not host:
        raise ValueError("the host is missing")
    if host.startswith("["):
        try:
            host = str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            raise ValueError("the text in [ ] is not an IPv6 address") from None
    elif not _HOST_NAME.fullmatch(host):
        raise ValueError("the host is not a plain ASCII host name")
    return host, int(found[2]) if found[2] else None


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, judged by its text alone, without DNS.

    Only `localhost`, 127.0.0.0/8 and `::1` (with or without brackets) count.
    """
    host = host.lower()
    if host in {"localhost", "::1", "[::1]"}:
        return True
    try:
        return ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        return False


def _login(parts: SplitResult) -> tuple[str | None, str | None]:
    userinfo, at, _ = parts.netloc.rpartition("@")
    if not at:
        return None, None
    username, _, password = userinfo.partition(":")
    if not username or not password:
        raise ValueError(f"give a user and a password, or neither; {_EXAMPLE}")
    if _STRAY_PERCENT.search(userinfo):
        raise ValueError("write a % in the user or password as %25")
    try:
        decoded = (unquote(username, errors="strict"), unquote(password, errors="strict"))
    except UnicodeDecodeError:
        raise ValueError("the user or password is not UTF-8 after its %XX are decoded") from None
    if not all(text.isprintable() for text in decoded):
        raise ValueError("the user or password contains a control character")
    return decoded


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
