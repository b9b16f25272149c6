"""Limit how long a run waits for a service that does not work before anything was sent: `Patience.seconds_left`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from campaign.clock import Clock
    from campaign.errors import Scope

#: A service that has not worked for this long, in a run that has sent nothing, is more likely a wrong setting than an
#: outage.
PATIENCE_S = 300.0


class Patience:
    """Knows since when each service has not worked; from the first accepted message on a run waits without an end.

    Args:
        clock: the time.
        is_endless: wait without an end from the start (`--wait-for-server`).
    """

    def __init__(self, clock: Clock, *, is_endless: bool) -> None:
        self._clock = clock
        self._is_endless = is_endless
        self._since: dict[Scope, float] = {}

    def sent(self) -> None:
        """Note that a message was accepted: all services work."""
        self._is_endless = True

    def works(self, service: Scope) -> None:
        """Note that a service works."""
        self._since.pop(service, None)

    def seconds_left(self, service: Scope) -> float | None:
        """Note that a service does not work; return how long the run still waits for it, or None without an end."""
        if self._is_endless:
            return None
        now = self._clock.now()
        return max(0.0, self._since.setdefault(service, now) + PATIENCE_S - now)
