"""Say whether a watch works: `Health`. The watch reports to it; `GET /healthz` answers with its `report`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from campaign.words import redacted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: A watch that was not alive for this long (seconds) hangs: its event loop stands still, or its machine is overloaded.
STALLED_AFTER_S = 30.0
#: Monitoring keeps what it reads, so an address in a reason does not reach it.
_ADDRESS = re.compile(r"[^\s<>\"'(),;:]+@[^\s<>\"'(),;:]+")


class HealthReport(NamedTuple):
    """The state of a watch."""

    #: `ok`, `failing`, `stalled` or `draining`.
    status: str
    #: Why each campaign that does not work fails.
    campaigns: Mapping[str, str]

    @property
    def is_ok(self) -> bool:
        """Whether the watch is alive and all its campaigns work."""
        return self.status == "ok"


class Health:
    """What a watch said of itself.

    The watch speaks in its event loop; `report` may be called from another thread, also while that loop hangs.

    Args:
        now: the machine's time in seconds, as `SystemClock.now`; in simulated time a working watch would look stalled.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._alive_at = now()
        self._failing: dict[str, str] = {}
        self._draining = False

    def alive(self, at: float) -> None:
        """Record that the watch's loop ran (seconds, from the clock that `now` reads): at least every few seconds."""
        self._alive_at = max(at, self._alive_at)

    def failing(self, name: str, why: str) -> None:
        """Record that a campaign cannot go on, and why, in one sentence for the operator."""
        self._failing[name] = redacted(_ADDRESS.sub("[address]", why))

    def works(self, name: str) -> None:
        """Record that a campaign works, or works again."""
        self._failing.pop(name, None)

    def draining(self) -> None:
        """Record that the watch finishes what is in hand and ends."""
        self._draining = True

    def report(self) -> HealthReport:
        """Return the state of the watch, from any thread."""
        failing = self._failing.copy()
        if self._draining:
            return HealthReport("draining", failing)
        if self._now() - self._alive_at > STALLED_AFTER_S:
            return HealthReport("stalled", failing)
        return HealthReport("failing" if failing else "ok", failing)
