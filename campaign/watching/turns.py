"""Let many campaigns send at once, and one read a large CSV alone: `Turns`."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class Turns:
    """Whose turn it is to write to the send log for long.

    A CSV is enlisted in one transaction, and SQLite has one writer at a time. While a large CSV is read, no message
    must wait for the commit of its intent on a connection that the mail server holds open: the campaigns finish what
    is in hand, and go on afterwards. A small CSV takes less time than the log waits for its lock.
    """

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._reading = asyncio.Lock()
        self._senders = 0
        self._is_closed = False

    @property
    def is_only_one(self) -> bool:
        """Whether no campaign sends, or only the one that asks."""
        return self._senders <= 1

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        """Wait until no large CSV is read, and keep the next one waiting during the block."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._is_closed)
            self._senders += 1
        try:
            yield
        finally:
            async with self._changed:
                self._senders -= 1
                self._changed.notify_all()

    @asynccontextmanager
    async def reading(self, *, alone: bool, pause: Callable[[], None]) -> AsyncIterator[None]:
        """Read a CSV during the block, one campaign at a time.

        Args:
            alone: the CSV is large: wait until nothing is sent, and let nothing be sent during the block.
            pause: called then; makes the campaigns that send finish what is in hand.
        """
        async with self._reading:
            if not alone:
                yield
                return
            async with self._changed:
                self._is_closed = True
                pause()
                try:
                    await self._changed.wait_for(lambda: not self._senders)
                except BaseException:
                    self._is_closed = False
                    self._changed.notify_all()
                    raise
            try:
                yield
            finally:
                async with self._changed:
                    self._is_closed = False
                    self._changed.notify_all()
