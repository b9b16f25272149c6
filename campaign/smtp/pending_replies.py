"""Commands that leave in one write, and the server's replies to them. What a reply means is decided elsewhere."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from campaign.smtp.replies import Reply


class PendingReplies:
    """The replies that the server owes; the waiter is woken once, when all have come or the connection has ended.

    Args:
        wanted: how many replies.
        seconds: how long each of them may take.
    """

    __slots__ = ("_done", "_replies", "_wanted", "seconds")

    def __init__(self, wanted: int, seconds: float) -> None:
        self.seconds = seconds
        self._wanted = wanted
        self._replies: list[Reply] = []
        self._done: asyncio.Future[list[Reply]] = asyncio.get_running_loop().create_future()

    async def wait(self) -> list[Reply]:
        """Return all replies, or fewer if the connection ended before."""
        return await self._done

    def add(self, reply: Reply) -> bool:
        """Add the next reply; return whether it was the last one."""
        self._replies.append(reply)
        return len(self._replies) == self._wanted

    def end(self) -> None:
        """Wake the waiter."""
        if not self._done.done():
            self._done.set_result(self._replies)
