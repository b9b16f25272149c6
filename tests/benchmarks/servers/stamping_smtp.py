"""An SMTP server that records the time at which it accepts each message, and discards the message.

It measures the rates, because `smtp-sink` counts messages without their times. It offers PIPELINING (RFC 2920)
and accepts every message. If it may, it runs before all other processes: while it waited for a core, the messages of
50 ms would arrive at one instant by its clock.
"""

from __future__ import annotations

import asyncio
import os
import time
from array import array
from collections import defaultdict
from contextlib import suppress
from typing import Any

from serve import serve

_REPLIES = {
    b"EHLO": b"250-stamp.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n",
    b"HELO": b"250 stamp.example\r\n",
    b"MAIL": b"250 2.1.0 Ok\r\n",
    b"RCPT": b"250 2.1.5 Ok\r\n",
    b"DATA": b"354 End data with <CR><LF>.<CR><LF>\r\n",
    b"RSET": b"250 2.0.0 Ok\r\n",
    b"NOOP": b"250 2.0.0 Ok\r\n",
    b"QUIT": b"221 2.0.0 Bye\r\n",
}
_END = b"\r\n.\r\n"


class Book:
    """The accepted messages and their times."""

    def __init__(self) -> None:
        self.stamps = array("d")
        self.by_domain: defaultdict[str, array[float]] = defaultdict(lambda: array("d"))
        self.bytes = 0
        self.open = self.peak = 0

    def record(self) -> dict[str, Any]:
        """Return the times (seconds, monotonic), also by domain, the total bytes and the most open connections."""
        domains = {domain: list(stamps) for domain, stamps in self.by_domain.items()}
        return {
            "stamps": list(self.stamps),
            "by_domain": domains,
            "bytes": self.bytes,
            "peak_connections": self.peak,
        }


class Receiver(asyncio.Protocol):
    """One connection."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._buffer = bytearray()
        self._in_data = False
        self._domain = ""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport and send the greeting."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._book.open += 1
        self._book.peak = max(self._book.peak, self._book.open)
        transport.write(b"220 stamp.example ESMTP\r\n")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Forget the connection."""
        self._book.open -= 1

    def data_received(self, data: bytes) -> None:
        """Reply to each complete command or message."""
        self._buffer += data
        replies: list[bytes] = []
        while reply := self._take():
            replies.append(reply)
        if replies and self._transport:
            self._transport.write(b"".join(replies))
            if replies[-1].startswith(b"221"):
                self._transport.close()

    def _take(self) -> bytes | None:
        """Return the reply to the next complete command or message, or None if there is none yet."""
        end = self._buffer.find(_END if self._in_data else b"\r\n")
        if end < 0:
            return None
        if self._in_data:
            now = time.monotonic()
            self._book.stamps.append(now)
            self._book.by_domain[self._domain].append(now)
            self._book.bytes += end + 2
            del self._buffer[: end + len(_END)]
            self._in_data = False
            return b"250 2.0.0 Ok: taken\r\n"
        verb = bytes(self._buffer[:4]).upper()
        if verb == b"RCPT":
            self._domain = self._buffer[:end].decode().partition("@")[2].partition(">")[0]
        del self._buffer[: end + 2]
        self._in_data = verb == b"DATA"
        return _REPLIES.get(verb, b"500 5.5.2 Command unknown\r\n")


def main() -> None:
    book = Book()
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    serve(lambda: Receiver(book), book.record)


if __name__ == "__main__":
    main()
