"""Commands that leave in one write, and the server's replies to them. What a reply means is decided elsewhere."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from campaign.smtp.replies import Reply


class Exchange:
    """So many replies that a connection owes one waiter; whoever waits is woken once, when they are complete.

    It may be waited for before it is known which connection will carry it.
    """

    __slots__ = ("_done", "replies", "seconds", "wanted")

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        #: How many there will be, set when the commands are written.
        self.wanted = 0
        #: How long each of them may take.
        self.seconds = 0.0
        self._done: asyncio.Future[list[Reply]] = asyncio.get_running_loop().create_future()

    def over(self) -> Awaitable[list[Reply]]:
        """Return the replies: all of them, or fewer if the connection ended before.

        Raises:
            CampaignError: (when it is awaited) what kept it from a connection.
        """
        return self._done

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for it any more."""
        return self._done.done()

    def end(self) -> None:
        """Wake whoever waits."""
        if not self._done.done():
            self._done.set_result(self.replies)

    def fail(self, error: BaseException) -> None:
        """Give whoever waits an error instead."""
        if not self._done.done():
            self._done.set_exception(error)
