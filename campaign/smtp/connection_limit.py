"""How many connections the server allows, as far as is known. Decisions only: none is opened here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from campaign.clock import Clock

#: Seconds after which one connection more is tried, when the server had allowed fewer than configured.
_RAISE_AFTER_S = 60.0
#: Seconds after which another connection is tried, when one could not be opened beside others.
_RETRY_AFTER_S = 1.0
#: Connections that are opened at once beside others: a password that was changed is not tried more often.
_MAX_CONNECTING = 2


class ConnectionLimit:
    """At most `limit` connections, and no more than the server is known to take; one at a time while there is none."""

    def __init__(self, limit: int, clock: Clock) -> None:
        self._limit = self._allowed = limit
        self._clock = clock
        self._more_at = self._next_at = 0.0

    def allows_another(self, *, open_now: int, dialing: int, waiting: int) -> bool:
        """Return whether one more is to be opened.

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
        """Note that one could not be opened beside others.

        Args:
            open_now: connections that are logged in.
            spoke: the server said no: it is met at its limit from now on, and one more is tried later.
        """
        now = self._clock.now()
        self._next_at = now + _RETRY_AFTER_S
        if spoke:
            self._allowed = open_now
            self._more_at = now + _RAISE_AFTER_S
