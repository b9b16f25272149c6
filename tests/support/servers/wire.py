"""Read lines and message bodies from a connection, write replies, and close or reset it: `Wire`."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable


class GoneError(Exception):
    """The connection has ended, closed by the client or by the server."""


class Wire(asyncio.Protocol):
    """A connection with its own buffer, so that a test can see which bytes had arrived at which time.

    All bytes from the client arrive `latency` seconds late and in order, as over a long distance.
    """

    def __init__(self, opened: Callable[[Wire], None], closed: Callable[[Wire], None], latency: float) -> None:
        self._opened = opened
        self._closed: Callable[[Wire], None] | None = closed
        self._latency = latency
        self._late: deque[bytes | None] = deque()
        self._buffer = bytearray()
        self._ended = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.tls = False
        self.transport: asyncio.Transport

    # -- what the event loop calls ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the session."""
        self.transport = cast("asyncio.Transport", transport)
        self._opened(self)

    def data_received(self, data: bytes) -> None:
        """Buffer the client's bytes."""
        self._arrive(data)

    def eof_received(self) -> bool:
        """Note the client's FIN; plain connections stay open for the remaining replies."""
        self._note_closed()
        self._arrive(None)
        return not self.tls

    def connection_lost(self, _exc: Exception | None) -> None:
        """Note the end of the connection."""
        self._note_closed()
        self._room.set()
        self._arrive(None)

    def pause_writing(self) -> None:
        """Pause the session: the client does not read."""
        self._room.clear()

    def resume_writing(self) -> None:
        """Resume the session."""
        self._room.set()

    def _note_closed(self) -> None:
        closed, self._closed = self._closed, None
        if closed is not None:
            closed(self)

    def _arrive(self, data: bytes | None) -> None:
        if self._latency:
            self._late.append(data)
            asyncio.get_running_loop().call_later(self._latency, self._arrive_late)
        else:
            self._take(data)

    def _arrive_late(self) -> None:
        self._take(self._late.popleft())

    def _take(self, data: bytes | None) -> None:
        if data is None:
            self._ended = True
        else:
            self._buffer += data
        self._news.set()

    # -- what the session calls ------------------------------------------------------------------------------

    @property
    def pending(self) -> int:
        """The number of bytes that have arrived but were not read yet."""
        return len(self._buffer)

    @property
    def waiting(self) -> bytes:
        """The bytes that have arrived but were not read yet."""
        return bytes(self._buffer)

    @property
    def ended(self) -> bool:
        """Whether the client has closed the connection, or it is broken."""
        return self._ended

    async def news(self) -> None:
        """Wait until more bytes have arrived.

        Raises:
            GoneError: the connection has ended.
        """
        if self._ended:
            raise GoneError
        self._news.clear()
        await self._news.wait()

    async def line(self) -> bytes:
        """Return the next line without its line end.

        Raises:
            GoneError: the connection ended first.
        """
        while (end := self._buffer.find(b"\n")) < 0:
            await self.news()
        found = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        return found

    async def body(self) -> bytes:
        """Return the bytes up to and including the lone dot.

        Raises:
            GoneError: the connection ended first.
        """
        seen = 0
        while True:
            if self._buffer.startswith(b".\r\n"):
                size = 3
                break
            found = self._buffer.find(b"\r\n.\r\n", max(0, seen - 4))
            if found >= 0:
                size = found + 5
                break
            seen = len(self._buffer)
            await self.news()
        whole = bytes(self._buffer[:size])
        del self._buffer[:size]
        return whole

    async def write(self, data: bytes) -> None:
        """Send bytes; wait while the client does not read.

        Raises:
            GoneError: the connection has ended.
        """
        if self.transport.is_closing():
            raise GoneError
        self.transport.write(data)
        await self._room.wait()

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Start TLS; bytes that arrived before are discarded.

        Raises:
            OSError: the handshake failed (`ssl.SSLError` is a subclass).
        """
        self._buffer.clear()
        transport = await asyncio.get_running_loop().start_tls(
            self.transport, self, context, server_side=True, ssl_handshake_timeout=10
        )
        if transport is None:
            raise ConnectionResetError("the client left during the handshake")
        self.transport, self.tls = transport, True

    def close(self) -> None:
        """Close the connection (FIN)."""
        self.transport.close()

    def reset(self) -> None:
        """Reset the connection (RST)."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()
