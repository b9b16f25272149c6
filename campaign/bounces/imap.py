"""Fetch the mails of an IMAP mailbox without changing it (RFC 3501: EXAMINE, BODY.PEEK): `fetch_mails`."""

from __future__ import annotations

import base64
import imaplib
import re
import ssl
from array import array
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from campaign.errors import ServiceRefusesError
from campaign.words import redacted

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from campaign.config.imap_url import ImapServer

_TIMEOUT_S = 60
#: Mails whose sizes are asked for in one command.
_BATCH = 500
_UID = re.compile(rb"\bUID (\d{1,10})\b")
_SIZE = re.compile(rb"\bRFC822\.SIZE (\d{1,19})\b")
#: What LOGIN takes without quoting (RFC 3501 §9, astring).
_PLAIN_USER = re.compile(r"[A-Za-z0-9.@_+=-]+")


class _BoundedImap(imaplib.IMAP4):
    """A connection that does not read a literal longer than it asked for."""

    longest = 0

    def read(self, size: int) -> bytes:
        """Return the bytes of a literal."""
        if size > self.longest:
            raise self.abort("a reply is longer than what was asked for")
        return super().read(size)


class _BoundedImapTls(_BoundedImap, imaplib.IMAP4_SSL):
    """The same, encrypted from the first byte."""


def fetch_mails(server: ImapServer, most: int) -> Generator[bytes, None, None]:
    """Yield each mail of the mailbox, at most `most` bytes of it; flags and mails stay as they are.

    A mail that is deleted meanwhile is left out, and one that arrives meanwhile is for the next call.

    Raises:
        ServiceRefusesError: the server cannot be reached, refuses the login or the mailbox, or breaks off.
    """
    try:
        yield from _fetch(server, most)
    except (imaplib.IMAP4.error, OSError, UnicodeError) as error:
        raise ServiceRefusesError(_sentence(server, error)) from None


def _fetch(server: ImapServer, most: int) -> Iterator[bytes]:
    imap = _connect(server)
    imap.longest = most + 1024
    answers = True
    try:
        _log_in(imap, server)
        count = _examine(imap, server.mailbox)
        for uid, size in _sizes(imap, count):
            body = _body(imap, uid, size, most)
            if body is not None:
                yield body
    except (imaplib.IMAP4.abort, OSError):
        answers = False
        raise
    finally:
        with suppress(imaplib.IMAP4.error, OSError):
            if answers:
                imap.logout()
        with suppress(OSError):
            imap.shutdown()


def _connect(server: ImapServer) -> _BoundedImap:
    if server.tls:
        return _BoundedImapTls(server.host, server.port, ssl_context=ssl.create_default_context(), timeout=_TIMEOUT_S)
    return _BoundedImap(server.host, server.port, timeout=_TIMEOUT_S)


def _log_in(imap: imaplib.IMAP4, server: ImapServer) -> None:
    """Log in with SASL PLAIN (RFC 4616), which takes any password, or with LOGIN where it is not offered."""
    if "AUTH=PLAIN" in imap.capabilities:
        imap.authenticate("PLAIN", lambda _: _sasl_plain(server))
        return
    if not _PLAIN_USER.fullmatch(server.username) or not server.password.isascii():
        raise imaplib.IMAP4.error("it offers no AUTH=PLAIN, which this user name or password needs")
    imap.login(server.username, server.password)


def _examine(imap: imaplib.IMAP4, mailbox: str) -> int:
    """Open the mailbox for reading only, and return the number of its mails."""
    name = _modified_utf7(mailbox).replace("\\", "\\\\").replace('"', '\\"')
    kind, data = imap.select(f'"{name}"', readonly=True)
    if kind != "OK":
        raise imaplib.IMAP4.error(f"the mailbox {mailbox}: {_words(data)}")
    return int((data[0] or b"0").decode("ascii"))


def _sizes(imap: imaplib.IMAP4, count: int) -> Iterator[tuple[int, int]]:
    """Yield the UID and the size of each mail.

    All are asked for before the first mail is fetched. Only after a UID command a server may say that mails are gone,
    and then their numbers change (RFC 3501 §7.4.1).
    """
    uids, sizes = array("Q"), array("Q")
    for start in range(1, count + 1, _BATCH):
        kind, data = imap.fetch(f"{start}:{min(count, start + _BATCH - 1)}", "(UID RFC822.SIZE)")
        if kind != "OK":
            raise imaplib.IMAP4.error(_words(data))
        for line in data:
            text = line if isinstance(line, bytes) else b""
            if (uid := _UID.search(text)) and (size := _SIZE.search(text)):
                uids.append(int(uid[1]))
                sizes.append(int(size[1]))
    yield from zip(uids, sizes, strict=True)


def _body(imap: imaplib.IMAP4, uid: int, size: int, most: int) -> bytes | None:
    part = "BODY.PEEK[]" if size <= most else f"BODY.PEEK[]<0.{most}>"
    kind, data = imap.uid("FETCH", str(uid), f"(UID {part})")
    if kind != "OK":
        raise imaplib.IMAP4.error(_words(data))
    found = next((item[1] for item in data if isinstance(item, tuple)), None)
    return None if found is None else bytes(found[:most])


def _modified_utf7(name: str) -> str:
    """Return a mailbox name as IMAP writes it (RFC 3501 §5.1.3)."""

    def encoded(found: re.Match[str]) -> str:
        if found[0] == "&":
            return "&-"
        letters = base64.b64encode(found[0].encode("utf-16-be")).decode("ascii")
        return f"&{letters.rstrip('=').replace('/', ',')}-"

    return re.sub(r"&|[^\x20-\x7e]+", encoded, name)


def _sentence(server: ImapServer, error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        said = f"has a certificate that is not valid: {error.verify_message}"
    elif isinstance(error, TimeoutError):
        said = f"gave no answer within {_TIMEOUT_S} s"
    elif isinstance(error, OSError):
        said = f"cannot be reached: {error.strerror or error}"
    else:
        # A server may quote the command that it refuses, and with it the password.
        secrets = (server.password, base64.b64encode(_sasl_plain(server)).decode("ascii"))
        said = f"refuses: {redacted(_words(error.args), secrets)}"
    return f"the IMAP server {server.label} {said}. Check CAMPAIGN_IMAP_URL"


def _sasl_plain(server: ImapServer) -> bytes:
    return f"\0{server.username}\0{server.password}".encode()


def _words(data: Any) -> str:  # noqa: ANN401 - imaplib's replies are lists of bytes, None and tuples
    said = data[0] if data else b""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    return text.strip().rstrip(".")
