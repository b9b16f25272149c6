"""Notice that the mail server or Clerk has not worked for a while, although they are waited for: `Outage.reason`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from campaign.delivery.outbound import Outbound

#: A service that was paused again and again for this long, with no message accepted, does not work (seconds).
OUTAGE_S = 60.0
#: One that was not paused for this long is not tried, or works; a try to connect may take two minutes (seconds).
FORGET_S = 300.0


class Outage:
    """Since when no message went out because a service was paused.

    Args:
        outbound: the limits, which know each pause, and the accepted messages.
    """

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound
        self._accepted = outbound.latency.number
        self._since: float | None = None
        self._paused_at = 0.0
        self._why = ""

    def reason(self, now: float) -> str:
        """Return why nothing goes out; empty if something does, or a pause is no outage.

        It is called every second or so.

        Args:
            now: seconds of the machine.
        """
        accepted, why = self._outbound.latency.number, self._outbound.limits.paused_why
        if accepted != self._accepted or now - self._paused_at > FORGET_S:
            self._accepted, self._since = accepted, None
        if why:
            self._why, self._paused_at = why, now
            self._since = now if self._since is None else self._since
        return self._why if self._since is not None and now - self._since >= OUTAGE_S else ""
