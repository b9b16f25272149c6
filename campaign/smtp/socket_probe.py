"""Ask a socket whether it holds data that a busy event loop has not read yet: `SocketProbe`."""

from __future__ import annotations

import select
from types import coroutine
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Generator

#: Turns of the event loop until the reader has been told of what arrived: it is read, decrypted, and handed on.
_LOOP_ITERATIONS = 8


class SocketProbe:
    """Listens to the socket of a transport, past the event loop."""

    def __init__(self, transport: asyncio.BaseTransport) -> None:
        self._poll = select.poll()
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            self._poll.register(sock.fileno(), select.POLLIN)  # the other side's end is something to read, too

    @property
    def has_unread_data(self) -> bool:
        """Whether something has arrived that the event loop has not read; the other side's end counts, too."""
        return bool(self._poll.poll(0))

    async def catch_up(self) -> None:
        """Return when the transport's protocol has been told of everything that had arrived."""
        if self.has_unread_data:
            for _ in range(_LOOP_ITERATIONS):
                await _turn()


@coroutine
def _turn() -> Generator[None]:
    """Wait for one turn of the event loop."""
    yield
