"""The terms of a transaction: who to whom, what the server offers, how long to wait. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Envelope(NamedTuple):
    """Who sends to whom, and how much: one recipient, so that no reply is ambiguous."""

    sender: str
    recipient: str
    #: Bytes of the message.
    size: int
    #: The message holds bytes above 127 (8BITMIME, RFC 6152).
    eight_bit: bool = False


@dataclass(frozen=True, slots=True)
class Features:
    """What the server offered in its EHLO reply."""

    pipelining: bool = False
    eight_bit: bool = False
    #: RFC 1870: None if SIZE was not offered, 0 if offered without a limit.
    size: int | None = None

    def common(self, other: Features) -> Features:
        """Return what two servers behind the same name both take."""
        sizes = [size for size in (self.size, other.size) if size]
        return Features(
            self.pipelining and other.pipelining, self.eight_bit and other.eight_bit, min(sizes, default=None)
        )


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait, after RFC 5321 §4.5.3.2."""

    command: float = 300.0
    #: For the socket to take the body.
    body: float = 180.0
    #: For the reply to the final dot; long, so that `uncertain` stays rare.
    dot: float = 600.0


def opening_of(envelope: Envelope, features: Features) -> tuple[bytes, bytes, bytes]:
    """Return the commands that open a transaction: MAIL, RCPT and DATA."""
    mail = b"MAIL FROM:<%b>" % envelope.sender.encode()
    if features.size is not None:
        mail += b" SIZE=%d" % envelope.size
    if envelope.eight_bit:
        mail += b" BODY=8BITMIME"
    return mail + b"\r\n", b"RCPT TO:<%b>\r\n" % envelope.recipient.encode(), b"DATA\r\n"


def stuffed(message: bytes) -> bytes:
    """Return a message with a second dot at the beginning of each line that begins with one (RFC 5321 §4.5.2)."""
    if message.startswith(b"."):
        message = b"." + message
    # from the end it is the CR that is looked for, which is rare: a third of the time of a search from the beginning
    return message.replace(b"\r\n.", b"\r\n..") if message.rfind(b"\r\n.") >= 0 else message
