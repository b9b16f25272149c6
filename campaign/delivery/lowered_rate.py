"""A rate that is lowered because a service found it too fast, and recovers: `LoweredRate`."""

from __future__ import annotations

from datetime import timedelta

from campaign.model import Rate

#: The share of the rate that each step down keeps.
_SHARE = 0.9
#: Seconds until the next step up.
_RECOVERY_S = 10.0


class LoweredRate:
    """A rate below the one that was too fast for the service: lowered by steps, and raised more slowly.

    Args:
        per_second: calls a second.
        now: the instant from which on it holds.
        steps: how often it must be raised until it is lifted.
    """

    def __init__(self, per_second: float, now: float, steps: int = 0) -> None:
        self._per_second = per_second
        self._steps = steps
        #: When it is raised.
        self.raised_at = now + _RECOVERY_S

    @property
    def rate(self) -> Rate:
        """The rate, evenly spread."""
        return Rate(1, timedelta(seconds=1 / self._per_second))

    def lower(self, now: float) -> LoweredRate:
        """Return the next lower rate."""
        return LoweredRate(self._per_second * _SHARE, now, self._steps + 1)

    def raised(self, now: float) -> LoweredRate | None:
        """Return the next higher rate, or None if it is lifted."""
        return LoweredRate(self._per_second / _SHARE, now, self._steps - 1) if self._steps > 1 else None
