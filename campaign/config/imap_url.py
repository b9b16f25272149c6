"""Parse the URL of the mailbox that gets the bounces, `CAMPAIGN_IMAP_URL`, without DNS: `parse_imap_url`."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote

from campaign.config.server_url import host_and_port, is_loopback, login, service_url

_EXAMPLE = "write it like imaps://user:password@imap.example.com/INBOX"

#: RFC 8314 §3.2: STARTTLS at 143, TLS from the first byte at 993.
_STARTTLS_PORT = 143


@dataclass(frozen=True, slots=True)
class ImapServer:
    """An IMAP server, the login, and the mailbox there."""

    #: A host name or IP address, lower-case, without brackets.
    host: str
    port: int
    username: str
    password: str = field(repr=False)
    #: The mailbox's name, such as `INBOX`.
    mailbox: str
    #: TLS from the first byte (RFC 8314 §3.2); without it the host is this machine.
    tls: bool

    @property
    def label(self) -> str:
        """The server for messages, without secrets: `imap.example.com:993`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_imap_url(url: str) -> ImapServer:
    """Return the server and mailbox that an `imaps://` URL names (RFC 5092 §2); without a path it is `INBOX`.

    `imap://`, which is not encrypted, is allowed only for a server on this machine.

    Raises:
        ValueError: the URL is not valid; the message says what to write and contains no part of user or password.
    """
    parts = service_url(url, "imap", "imaps", example=_EXAMPLE)
    if "?" in url or "#" in url or "@" in parts.path:
        raise ValueError("a user, password or mailbox contains / ? # or @; write them as %2F %3F %23 %40")
    try:
        host, port = host_and_port(parts)
    except ValueError as error:
        raise ValueError(f"{error}; {_EXAMPLE}") from None
    username, password = login(parts, _EXAMPLE)
    if username is None:
        raise ValueError(f"the user and the password are missing; {_EXAMPLE}")
    if password is None:
        raise ValueError(f"give a user and a password; {_EXAMPLE}")
    if port == _STARTTLS_PORT and parts.scheme == "imaps":
        raise ValueError("port 143 begins with STARTTLS, and imaps:// with TLS; write port 993, or leave the port out")
    if parts.scheme == "imap" and not is_loopback(host):
        raise ValueError("imap:// would send the password unencrypted; write imaps://")
    return ImapServer(
        host,
        port or (993 if parts.scheme == "imaps" else 143),
        username,
        password,
        _mailbox(parts.path),
        parts.scheme == "imaps",
    )


def _mailbox(path: str) -> str:
    try:
        name = unquote(path.removeprefix("/"), errors="strict")
    except UnicodeDecodeError:
        raise ValueError("the mailbox after the host is not UTF-8 after its %XX are decoded") from None
    if not name.isprintable():
        raise ValueError("the mailbox after the host contains a control character")
    return name or "INBOX"
