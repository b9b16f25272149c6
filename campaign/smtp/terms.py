"""Define the values of a transaction: `Envelope`, the server's `Features` and `Timeouts`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Bytes that are written to the socket at once; nearly every message without attachments is smaller.
_BLOCK_SIZE = 1 << 18


class Envelope(NamedTuple):
    """Sender, recipient and size of a message; there is one recipient, so that no reply is ambiguous."""

    sender: str
    recipient: str
    #: Size of the message in bytes.
    size: int
    #: Whether the message contains bytes above 127 (8BITMIME, RFC 6152).
    eight_bit: bool = False
    #: The token in the message: no piece of it is kept of the server's words.
    secret: str = ""
    #: The envelope id, which a bounce brings back (RFC 3461 §4.4): ASCII letters and digits; empty for none.
    envelope_id: str = ""

    def __repr__(self) -> str:
        """Return the envelope as it stands in tracebacks, without the token."""
        return f"Envelope({self.sender!r}, {self.recipient!r}, {self.size}, {self.eight_bit})"


@dataclass(frozen=True, slots=True)
class Features:
    """The extensions that the server offered in its EHLO reply."""

    pipelining: bool = False
    eight_bit: bool = False
    #: SIZE (RFC 1870) in bytes: None if the server did not offer it, 0 if it gave no limit.
    size: int | None = None
    #: DSN (RFC 3461).
    dsn: bool = False

    def common(self, other: Features) -> Features:
        """Return the features that two servers behind the same name have in common."""
        sizes = [size for size in (self.size, other.size) if size]
        return Features(
            self.pipelining and other.pipelining,
            self.eight_bit and other.eight_bit,
            min(sizes, default=None),
            self.dsn and other.dsn,
        )


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Timeouts in seconds (RFC 5321 §4.5.3.2)."""

    #: From dialing to the login, all steps together.
    login: float = 120.0
    command: float = 300.0
    #: For writing a block of the body to the socket.
    body: float = 180.0
    #: For the reply to the final dot; long, so that few rows become `uncertain`.
    dot: float = 600.0


def opening_of(envelope: Envelope, features: Features) -> tuple[bytes, bytes, bytes]:
    """Return the commands that open a transaction: MAIL, RCPT and DATA."""
    mail = b"MAIL FROM:<%b>" % envelope.sender.encode()
    if features.size is not None:
        mail += b" SIZE=%d" % envelope.size
    if envelope.eight_bit:
        mail += b" BODY=8BITMIME"
    if features.dsn:
        mail += b" RET=HDRS"  # RFC 3461 §4.3: a bounce brings back the headers only, not the sign-in link
        if envelope.envelope_id:
            mail += b" ENVID=%b" % envelope.envelope_id.encode()
    return mail + b"\r\n", b"RCPT TO:<%b>\r\n" % envelope.recipient.encode(), b"DATA\r\n"


def stuffed(message: bytes) -> bytes:
    """Return a message with a second dot at the beginning of each line that begins with one (RFC 5321 §4.5.2)."""
    if message.startswith(b"."):
        message = b"." + message
    # `rfind` searches for the CR, which is rare, and takes a third of the time of a search from the beginning
    return message.replace(b"\r\n.", b"\r\n..") if message.rfind(b"\r\n.") >= 0 else message


def blocks_of(message: Iterable[bytes]) -> Iterator[memoryview]:
    """Yield the pieces of a message, each of which ends with CRLF, dot-stuffed and in blocks of at most 256 kB."""
    for piece in message:
        data = memoryview(stuffed(piece))
        for begin in range(0, len(data), _BLOCK_SIZE):
            yield data[begin : begin + _BLOCK_SIZE]
