"""An ear at a socket: has everything that came been heard of, though the event loop is busy? Nothing is read here."""

from __future__ import annotations

import select
from types import coroutine
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Generator

#: So many turns of the event loop until the reader knows: it is read, decrypted, and told.
_TURNS = 8
#: What arrived while the loop was busy is read the next time it looks, and told, if it is an error, the time after.
_LOOKS = 3


class Ear:
    """Listens to the socket of a transport, past the event loop."""

    def __init__(self, transport: asyncio.BaseTransport) -> None:
        self._poll = select.poll()
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            self._poll.register(sock.fileno(), select.POLLIN)  # the other side's end is something to read, too

    @property
    def hears_nothing(self) -> bool:
        """Whether nothing has arrived that the event loop has not read."""
        return not self._poll.poll(0)

    async def catch_up(self, *, patiently: bool) -> None:
        """Return when the transport's protocol has been told of everything that had arrived.

        Args:
            patiently: let the event loop look around in any case; a call that waited for something has let it already.
        """
        number = _LOOKS if patiently else 0 if self.hears_nothing else _TURNS
        for _ in range(number):
            await _turn()


@coroutine
def _turn() -> Generator[None]:
    """Wait for one turn of the event loop."""
    yield
