"""Parse what the URLs of services have in common, their host, port and login, without DNS: `host_and_port`, `login`."""

from __future__ import annotations

import ipaddress
import re
import ssl
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from urllib.parse import SplitResult

#: A plain host name.
HOST_NAME = re.compile(r"(?=.{1,253}\Z)(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?)+")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


def service_url(url: str, *schemes: str, example: str) -> SplitResult:
    """Return the parts of a URL with one of the schemes; `example` ends the error's sentence.

    Raises:
        ValueError: the text is not such a URL; the message contains no part of it.
    """
    if not url.isprintable() or set(url) & set(" \\"):
        raise ValueError(f"it contains a space, a backslash or a control character; {example}")
    try:
        parts = urlsplit(url)
    except ValueError:
        # The message of `urlsplit` quotes the URL with its password.
        raise ValueError(f"it is not a URL; {example}") from None
    if parts.scheme not in schemes:
        raise ValueError(f"it must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}; {example}")
    return parts


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
    elif not HOST_NAME.fullmatch(host):
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


def login(parts: SplitResult, example: str) -> tuple[str | None, str | None]:
    """Return the user and the password of a URL, percent-decoded; None for each that is not there.

    Raises:
        ValueError: one of them is empty or not valid; the message contains no part of the URL.
    """
    userinfo, at, _ = parts.netloc.rpartition("@")
    if not at:
        return None, None
    username, colon, password = userinfo.partition(":")
    if not username or (colon and not password):
        raise ValueError(f"give a user and a password, or neither; {example}")
    if _STRAY_PERCENT.search(userinfo):
        raise ValueError("write a % in the user or password as %25")
    try:
        decoded = (unquote(username, errors="strict"), unquote(password, errors="strict"))
    except UnicodeDecodeError:
        raise ValueError("the user or password is not UTF-8 after its %XX are decoded") from None
    if not all(text.isprintable() for text in decoded):
        raise ValueError("the user or password contains a control character")
    return decoded if colon else (decoded[0], None)


def tls_context(url: str) -> ssl.SSLContext:
    """Return what verifies the server of a URL, by the authorities that the system trusts.

    For plain HTTP it trusts no server: nothing asks it, and to read the authorities takes 20 ms.
    """
    is_encrypted = urlsplit(url).scheme == "https"
    return ssl.create_default_context() if is_encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
