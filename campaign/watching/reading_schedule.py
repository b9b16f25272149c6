"""Decide when the recipients of a watched campaign are read again: `ReadingSchedule`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.model import NEVER

if TYPE_CHECKING:
    from campaign.clock import Clock

#: How often Clerk's waitlist is read (seconds).
WAITLIST_EVERY_S = 300.0
#: In a simulation not more often than this (seconds of the machine).
_WAITLIST_AT_LEAST_S = 2.0
#: Reading takes at most this share of the time, however often a CSV changes.
_SHARE = 0.1
#: How often a CSV is looked at that was not whole when the watch began (seconds of the machine).
_HALF_READ_EVERY_S = 5.0


class ReadingSchedule:
    """When a CSV that has changed, or Clerk's waitlist, is to be read.

    Args:
        clock: the time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: The CSV has changed, or was not read yet.
        self.is_wanted = True
        self._not_before = 0.0
        #: When Clerk's waitlist is to be read again (seconds since the epoch); `NEVER` for a campaign with a CSV.
        self.waitlist_at = NEVER

    @property
    def next_at(self) -> float:
        """When to read (seconds since the epoch)."""
        return min(self.waitlist_at, self._not_before if self.is_wanted else NEVER)

    def done(self, *, took: float, is_waitlist: bool) -> None:
        """Note that the recipients were read.

        Args:
            took: seconds of the machine.
            is_waitlist: they are Clerk's waitlist, which nobody says has changed.
        """
        now, speed = self._clock.now(), self._clock.speed
        self.is_wanted = False
        self._not_before = now + took * (1 / _SHARE - 1) * speed
        self.waitlist_at = now + max(WAITLIST_EVERY_S, _WAITLIST_AT_LEAST_S * speed) if is_waitlist else NEVER

    def failed(self, *, is_half: bool, try_waitlist_in: float | None) -> None:
        """Note that they cannot be read.

        Args:
            is_half: the CSV is not whole, and nothing may change that says so: look again soon. Otherwise a change of
                the CSV is waited for.
            try_waitlist_in: seconds until Clerk is asked for its waitlist again; None for a campaign with a CSV.
        """
        now = self._clock.now()
        self.is_wanted = is_half
        self._not_before = now + _HALF_READ_EVERY_S * self._clock.speed
        self.waitlist_at = NEVER if try_waitlist_in is None else now + try_waitlist_in
