"""Decide whether the pool may open another connection: `ConnectionLimit.allows_another`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from campaign.clock import Clock

#: Seconds until the limit is raised by one, after the server allowed fewer connections than configured.
_RAISE_AFTER_S = 60.0
#: Seconds until the next try, after a connection could not be opened while others were open.
_RETRY_AFTER_S = 1.0
#: Connections that are opened at the same time while others are open: at most 2 logins try a changed password.
_MAX_CONNECTING = 2


class ConnectionLimit:
    """Allows `limit` connections, or fewer if the server refused one; while none is open, one at a time."""

    def __init__(self, limit: int, clock: Clock) -> None:
        self._limit = self._allowed = limit
        self._clock = clock
        self._more_at = self._next_at = 0.0

    def allows_another(self, *, open_now: int, dialing: int, waiting: int) -> bool:
        """Return whether to open one more connection.

        Args:
            open_now: connections that are logged in.
            dialing: connections that are being opened.
            waiting: messages without a connection.
        """
        if open_now + dialing >= self._limit:
            return False
        now = self._clock.now()
        if self._allowed < self._limit and now >= self._more_at:
            self._allowed += 1
            self._more_at = now + _RAISE_AFTER_S
        if open_now and now < self._next_at:
            return False
        room = self._allowed if open_now else 1
        return open_now + dialing < room and dialing < min(waiting, _MAX_CONNECTING)

    def failed(self, *, open_now: int, spoke: bool) -> None:
        """Record that a connection could not be opened while others were open.

        Args:
            open_now: connections that are logged in.
            spoke: whether the server replied. If so, `open_now` becomes the limit, which is raised by one later.
        """
        self._next_at = self._clock.now() + _RETRY_AFTER_S
        if spoke:
            self.lower(to=open_now)

    def lower(self, *, to: int) -> None:
        """Allow no more than `to` connections; the limit is raised by one after a minute."""
        self._allowed = min(self._allowed, to)
        self._more_at = self._clock.now() + _RAISE_AFTER_S
