"""Model the quotas of a plan: `DailyRamp`, `RecipientCap`, and the runs that take up the batches, `run_of`."""

from __future__ import annotations

from collections import deque
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING

from campaign.schedule.zones import instant_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from campaign.model import Rate


class DailyRamp:
    """The quotas of `[limits] ramp`: the n-th calendar day with mail has the n-th one, or else the last.

    Args:
        quotas: rates a day; at least one.
        zone: in whose time a day begins.
        days: the days with mail before the first instant that is asked about.
        spent: the messages of that instant's own day so far.
    """

    def __init__(self, quotas: Sequence[Rate], zone: tzinfo, *, days: int = 0, spent: int = 0) -> None:
        self._counts = [quota.count for quota in quotas]
        self._zone = zone
        self._days = days
        self._spent = spent
        self._ends = 0.0

    def next_at(self, at: float) -> float:
        """Return the first instant from `at` on at which a message may go out; `at` never decreases."""
        self._begin_day(at)
        return at if self._spent < self._counts[min(self._days, len(self._counts) - 1)] else self._ends

    def take(self, at: float) -> None:
        """Count a message that goes out at an instant."""
        self._begin_day(at)
        self._spent += 1

    def _begin_day(self, at: float) -> None:
        """Go on to the day of an instant, if it is a later one."""
        if at < self._ends:
            return
        if self._ends and self._spent:
            self._days += 1
            self._spent = 0
        tomorrow = datetime.fromtimestamp(at, self._zone).date() + timedelta(days=1)
        self._ends = instant_of(datetime.combine(tomorrow, time.min), self._zone)


class RecipientCap:
    """The limit `[limits] per_recipient`, for the mails of this campaign.

    Args:
        rate: how many mails an address may get in any period of that length.
    """

    def __init__(self, rate: Rate) -> None:
        self._count = rate.count
        self._period = rate.period.total_seconds()
        self._taken: dict[str, deque[float]] = {}

    def next_at(self, address: str, at: float) -> float:
        """Return the first instant from `at` on at which the address may get a mail."""
        taken = self._taken.get(address)
        return at if taken is None or len(taken) < self._count else max(at, taken[0] + self._period)

    def take(self, address: str, at: float) -> None:
        """Count a mail to the address."""
        self._taken.setdefault(address, deque(maxlen=self._count)).append(at)


def run_of(batch: int, start: float, zone: tzinfo | None) -> float:
    """Return when a batch is taken up (seconds since the epoch): one run a day, at the time of day of the first.

    Args:
        batch: counted from 0.
        start: the first run.
        zone: whose time of day it is; None: this machine's.
    """
    if not batch:
        return start
    first = datetime.fromtimestamp(start, zone).replace(tzinfo=None) + timedelta(days=batch)
    return first.timestamp() if zone is None else instant_of(first, zone)
