"""Collect the replies to commands that were sent in one write: `PendingReplies`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from campaign.smtp.replies import Reply


class PendingReplies:
    """The outstanding replies; `wait` returns once all have come or the connection has ended.

    Args:
        wanted: the number of expected replies.
        seconds: the timeout of each reply.
    """

    __slots__ = ("_done", "_replies", "_wanted", "seconds")

    def __init__(self, wanted: int, seconds: float) -> None:
        self.seconds = seconds
        self._wanted = wanted
        self._replies: list[Reply] = []
        self._done: asyncio.Future[list[Reply]] = asyncio.get_running_loop().create_future()

    async def wait(self) -> list[Reply]:
        """Return all replies; fewer if the connection ended before."""
        return await self._done

    def add(self, reply: Reply) -> bool:
        """Add the next reply; return whether it was the last one."""
        self._replies.append(reply)
        return len(self._replies) == self._wanted

    def end(self) -> None:
        """Let `wait` return the replies so far."""
        if not self._done.done():
            self._done.set_result(self._replies)
