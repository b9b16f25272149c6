"""Check whether a socket has data that a busy event loop has not read yet: `SocketProbe`."""

from __future__ import annotations

import select
from types import coroutine
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Generator

#: Iterations of the event loop until the protocol has received the data: read, decrypt, hand over.
_LOOP_ITERATIONS = 8


class SocketProbe:
    """Polls the socket of a transport without the event loop."""

    def __init__(self, transport: asyncio.BaseTransport) -> None:
        self._poll = select.poll()
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            self._poll.register(sock.fileno(), select.POLLIN)  # POLLIN reports the peer's close, too

    @property
    def has_unread_data(self) -> bool:
        """Whether the socket has data, or the end of the stream, that the event loop has not read."""
        return bool(self._poll.poll(0))

    async def catch_up(self) -> None:
        """Return when the transport's protocol has received all data that had arrived at the socket."""
        if self.has_unread_data:
            for _ in range(_LOOP_ITERATIONS):
                await _turn()


@coroutine
def _turn() -> Generator[None]:
    """Wait for one iteration of the event loop."""
    yield
