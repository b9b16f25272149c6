"""Limit the messages of a day while a sender's address is warmed up, `Ramp`: each day with mail allows more.

`SharedRamp` does the same for all workers of a log together.
"""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING

from campaign.delivery.rate_limiter import RateLimiter
from campaign.errors import DeferredError
from campaign.model import Rate, Waiting

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from datetime import date
    from zoneinfo import ZoneInfo

    from campaign.clock import Clock
    from campaign.delivery.permit import Permit
    from campaign.delivery.shared_limit import SharedLimit


class Ramp:
    """The quotas of a campaign's days: the n-th calendar day on which mail is sent has the n-th, or else the last.

    Args:
        quotas: rates a day, such as `500/day`; none: without an end, and the messages count for the ramps beside.
        zone: in whose time a day begins.
        sent: the messages of each day so far. What a clock that was ahead wrote to later days counts as today's.
        clock: the time.
        beside: the ramps of campaigns that are sent side by side, this one among them: a message counts for each.
    """

    def __init__(
        self,
        quotas: Sequence[Rate],
        zone: ZoneInfo,
        sent: Mapping[date, int],
        clock: Clock,
        *,
        beside: Iterable[Ramp] | None = None,
    ) -> None:
        self._quotas = quotas
        self._zone = zone
        self._sent = dict(sent)
        self._clock = clock
        self._beside = (self,) if beside is None else beside

    @property
    def quota(self) -> int:
        """How many messages may be sent today; there is at least one quota."""
        today = self._today
        days = sum(1 for day, number in self._sent.items() if number and day < today)
        return self._quotas[min(days, len(self._quotas) - 1)].count

    def is_spent(self, *, ahead: int = 0) -> bool:
        """Return whether today's quota is used up.

        Args:
            ahead: the number of deliveries under way that count as sent.
        """
        if not self._quotas:
            return False
        today = self._today
        used = sum(number for day, number in self._sent.items() if day >= today)
        return used + ahead >= self.quota

    @property
    def ends_at(self) -> float:
        """When the next day begins (seconds since the epoch)."""
        tomorrow = self._today + timedelta(days=1)
        return datetime.combine(tomorrow, time.min, self._zone).timestamp()

    @property
    def free_at(self) -> float:
        """When to look again if today's quota is used up (seconds since the epoch)."""
        return self.ends_at

    @property
    def why(self) -> str:
        """Why no message is sent while the quota is used up."""
        return f"the ramp's quota for today is used up ({self.quota:,} messages)"

    def raise_if_spent(self) -> None:
        """Raise DeferredError if today's quota is used up."""
        if self.is_spent():
            raise DeferredError(self.why, until=self.ends_at, waiting=Waiting.QUOTA)

    async def acquire(self, other: Callable[[], Awaitable[Permit]]) -> Permit:
        """Return the permit of a message, which `other` acquires: this quota was looked at before."""
        return await other()

    def sent(self) -> None:
        """Note that the intent to send a message is durable."""
        for ramp in self._beside:
            ramp.count()

    def count(self) -> None:
        """Count a message of this campaign, or of one beside."""
        today = self._today
        self._sent[today] = self._sent.get(today, 0) + 1

    @property
    def _today(self) -> date:
        return datetime.fromtimestamp(self._clock.now(), self._zone).date()

    @property
    def _begins_at(self) -> float:
        return datetime.combine(self._today, time.min, self._zone).timestamp()


class SharedRamp(Ramp):
    """A ramp of which all workers of the log use up each day's quota together.

    Args:
        quotas, zone, sent, clock: see `Ramp`.
        limit_of: returns the limit of a day, with its quota and the instant at which it begins.
    """

    def __init__(
        self,
        quotas: Sequence[Rate],
        zone: ZoneInfo,
        sent: Mapping[date, int],
        clock: Clock,
        limit_of: Callable[[date, int, float], SharedLimit],
    ) -> None:
        super().__init__(quotas, zone, sent, clock)
        self._limit_of = limit_of
        self._day: date | None = None
        self._open_today()

    def is_spent(self, *, ahead: int = 0) -> bool:
        """Return whether today's quota is used up, as far as this worker knows."""
        self._open_today()
        return self._limit.is_spent(ahead)

    @property
    def free_at(self) -> float:
        """When to look again if today's quota is used up: soon, if other workers may give a part of it back."""
        return self._limit.spent_until(self.ends_at)

    def raise_if_spent(self) -> None:
        """Do nothing: the message has its permit, which is a part of the quota."""

    async def acquire(self, other: Callable[[], Awaitable[Permit]]) -> Permit:
        """Return the permit of a message, which `other` acquires, together with one of today's quota.

        Raises:
            DeferredError: today's quota is used up.
        """
        self._open_today()
        try:
            return await self._limiter.acquire_both(other)
        except DeferredError:
            if self._limit.is_spent():
                raise DeferredError(self.why, until=self.ends_at, waiting=Waiting.QUOTA) from None
            raise

    def _open_today(self) -> None:
        if self._day == self._today:
            return
        self._day, quota = self._today, self.quota
        self._limit = self._limit_of(self._day, quota, self._begins_at)
        self._limiter = RateLimiter((Rate(quota, timedelta(days=1)),), self._clock, shared=self._limit)
