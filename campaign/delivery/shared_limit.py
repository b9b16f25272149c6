"""This worker's share of a rate that all workers keep together: `SharedLimit`, in the place of a limiter's windows.

The permits are reserved in the send log, a handful at a time (`worker_rates.py`). Each has an instant, and is used then
or a little later. What is not used in time is given back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING

from campaign.errors import DeferredError
from campaign.model import Waiting
from campaign.sendlog.permits import PermitRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from campaign.clock import Clock
    from campaign.sendlog.permits import PermitGrant, PermitTerms

#: How late a permit may be taken (seconds after its instant).
_MAX_TAKEN_LATE_S = 0.25
#: A permit is given before its instant, by the time in which all but two of the last calls could leave (an intent is
#: committed first), and by at most this share of the horizon. A call that leaves late delays the one a window later.
_MEASURED_CALLS = 32
_SLOWER_CALLS = 2
_MAX_LEAD_SHARE = 0.6
#: The longest time that a permit of one limit waits for a permit of another (seconds).
_NEAR_S = 0.1
#: The largest number of permits that are reserved at once.
_MAX_HANDFUL = 100
#: As many as were taken within so many seconds are reserved before they are asked for.
_LOOK_AHEAD_S = 0.1
#: A use is reported after so many seconds at the latest.
_REPORT_WITHIN_S = 0.1
#: The log is asked again after so many seconds at the earliest, so that calls which come together ask once.
_MIN_GAP_S = 0.005
#: While nothing is reserved, the log is asked again after so many seconds for how a budget stands.
_REFRESH_S = 5.0
#: A delivery under way does not wait longer than this for a permit: other workers have used up a budget.
_LONGEST_WAIT_S = 60.0


@dataclass(slots=True)
class ReservedPermit:
    """A permit that this worker has reserved."""

    #: Names it in the log.
    number: int
    #: When it may be used, by this worker's clock.
    at: float
    #: When it arrived, and when it was given to a call.
    arrived_at: float
    taken_at: float = 0.0


class SharedLimit:
    """The surface of a `Window`, for rates that all workers keep together.

    Args:
        terms: what is limited together; see shared_terms.py.
        clock: the time.
        wake: called when the log is to be asked.
        why: said to those who have to wait for long.
    """

    def __init__(self, terms: PermitTerms, clock: Clock, wake: Callable[[], None], *, why: str) -> None:
        self._terms = terms
        self._horizon = terms.horizon_s
        self._spacing = max([window.period_s / window.count for window in terms.even], default=0.0)
        self._why = why
        self._clock = clock
        self._wake = wake
        #: How many deliveries wait for a permit, and how many will soon; set by the limiter and its turnstile.
        self.asking = 0
        self.expected: Callable[[], int] = int
        self._reserved: deque[ReservedPermit] = deque()
        #: Those that calls have and have not used yet, by their numbers.
        self._in_hand: dict[int, ReservedPermit] = {}
        #: How long the last calls needed from their permit until they could leave, and how long before its instant a
        #: permit is given therefore.
        self._needed: deque[float] = deque(maxlen=_MEASURED_CALLS)
        self._lead = 0.0
        self._taken: deque[float] = deque(maxlen=_MAX_HANDFUL)
        self._used: list[tuple[int, float]] = []
        self._unused: list[int] = []
        #: How many unused ones the log is being told of now.
        self._returning = 0
        #: The log may hold permits for this worker of which it does not know.
        self._gives_all_back = False
        # how things stood when the log was asked last, by this worker's clock
        self._asked_at = 0.0
        self._next_at = 0.0
        self._remaining: int | None = None
        self._more_at = 0.0
        #: Until when permits of a budget that is used up may come back, since they were reserved and not used yet.
        self._settled_at = 0.0
        self._sharers = 1
        self._paused_until = 0.0
        #: The permits that had arrived by then are worth nothing.
        self._forgotten_at = -inf
        self._arrived = asyncio.Event()

    # -- the surface of a window ---------------------------------------------------------------------------------

    def next_permit_at(self, now: float, ahead: int = 0) -> float:
        """Return the earliest instant (>= now) for the next permit; of a budget, `ahead` permits are spent already."""
        self._give_back_late(now)
        if self.is_spent(ahead) and self._more_at > now:
            return self.spent_until(self._more_at)
        if self._reserved:
            return max(now, self._reserved[0].at - self._lead)
        return max(self._next_at, now + _LOOK_AHEAD_S)

    def next_permit_behind(self, now: float, others: int) -> float:
        """Return the earliest instant (>= now) for a permit after `others`, if the workers share as they did lately."""
        self._give_back_late(now)
        if others < len(self._reserved):
            return max(now, self._reserved[others].at - self._lead)
        last = self._reserved[-1].at + self._spacing * self._sharers if self._reserved else now
        return max(self._next_at, last) + self._spacing * self._sharers * (others - len(self._reserved))

    def reserved_behind(self, now: float, others: int) -> float:
        """Return the same for a message that is ready: a permit that is not reserved yet comes after the horizon."""
        expected = self.next_permit_behind(now, others)
        if others < len(self._reserved):
            return expected
        self._ask_for_more()
        return max(expected, now + self._horizon)

    def take(self, now: float) -> ReservedPermit:
        """Take the first permit; `next_permit_at` says that there is one."""
        permit = self._reserved.popleft()
        self._in_hand[permit.number] = permit
        permit.taken_at = now
        self._taken.append(now)
        self._ask_for_more()
        return permit

    def ready(self, permit: ReservedPermit, now: float) -> float:
        """Note that a call could leave now; return the seconds that it has to wait for its permit's instant."""
        self._needed.append(now - permit.taken_at)
        slowest = sorted(self._needed)[-1 - _SLOWER_CALLS :]
        self._lead = min(slowest[0], _MAX_LEAD_SHARE * self._horizon)
        return max(0.0, permit.at - now)

    def use(self, permit: ReservedPermit, now: float) -> None:
        """Note that a permit is used only now."""
        self._in_hand.pop(permit.number, None)
        self._used.append((permit.number, now))
        self._wake()

    def is_late(self, permit: ReservedPermit, now: float) -> bool:
        """Return whether it is too late for a permit: other workers do not wait for it any more."""
        return now > permit.at + self._terms.late_s or permit.arrived_at <= self._forgotten_at

    def give_back(self, permit: ReservedPermit) -> None:
        """Note that a permit is not used."""
        if self._in_hand.pop(permit.number, None):
            self._unused.append(permit.number)
            self._wake()

    # -- for the limiter -----------------------------------------------------------------------------------------

    def near_in(self, now: float) -> float:
        """Return in how many seconds a reserved permit is so near that a permit of another limit may wait for it."""
        self._give_back_late(now)
        if not self._reserved:
            return self.next_permit_at(now) - now
        return self._reserved[0].at - self._lead - _NEAR_S - now

    def is_spent(self, ahead: int = 0) -> bool:
        """Return whether a budget is used up, as far as is known, when `ahead` more deliveries have their permits."""
        if self._remaining is None:
            return False
        return ahead >= self._remaining + len(self._reserved) + len(self._unused) + self._returning

    def spent_until(self, instant: float) -> float:
        """Return when to look again at a budget that is used up until an instant: soon while permits may come back."""
        now = self._clock.now()
        return min(instant, now + _REFRESH_S) if self._settled_at > now else instant

    async def wait(self, seconds: float) -> None:
        """Return after `seconds`, or earlier when permits arrive or a pause begins."""
        self._arrived.clear()
        self._ask_for_more()
        await self._clock.wait(self._arrived, seconds)

    def pause(self, until: float) -> None:
        """Reserve nothing until an instant, and let those who wait look again."""
        self._paused_until = until
        self._arrived.set()

    def raise_if_far(self, wait: float) -> None:
        """Raise DeferredError if the next permit is so far away that a delivery under way must not wait for it."""
        if wait > _LONGEST_WAIT_S and self.is_spent():
            raise DeferredError(self._why, until=self._more_at, waiting=Waiting.QUOTA)

    def took_lately(self, seconds: float) -> int:
        """Return how many permits were taken in the last seconds."""
        since = self._clock.now() - seconds
        return sum(at > since for at in self._taken)

    # -- for the exchange with the log ---------------------------------------------------------------------------

    def asks_at(self) -> float:
        """Return when the log is to be asked next, by this worker's clock."""
        now = self._clock.now()
        self._give_back_late(now)
        if self._used or self._unused:
            reports_at = self._asked_at + _REPORT_WITHIN_S
        else:  # others use up a budget meanwhile
            reports_at = inf if self._asked_at and self._remaining is None else self._asked_at + _REFRESH_S
        if self._reserved:
            reports_at = min(reports_at, self._reserved[0].at + _MAX_TAKEN_LATE_S)
        if self._in_hand:
            reports_at = min(reports_at, self._first_in_hand().at + self._terms.late_s + _MIN_GAP_S)
        if self._settled_at > self._asked_at:
            reports_at = min(reports_at, self._settled_at)
        missing = self._demand()
        if not missing:
            return reports_at
        # by handfuls: while most of what is needed is there, the next report is soon enough
        gap = _MIN_GAP_S if missing >= len(self._reserved) else _REPORT_WITHIN_S
        wants_at = max(self._asked_at + gap, self._next_at - self._horizon, self._paused_until)
        return min(reports_at, wants_at)

    def request(self, offset: float) -> PermitRequest:
        """Return what the log is to be told and asked; `offset` is how far its clock is ahead of this worker's."""
        used, self._used = self._used, []
        unused, self._unused = self._unused, []
        self._returning = len(unused)
        reports = [(number, at + offset) for number, at in used]
        return PermitRequest(self._terms, self._missing(), reports, unused, gives_all_back=self._gives_all_back)

    def refused(self, request: PermitRequest, offset: float) -> None:
        """Take back a request that did not reach the log."""
        self._used += [(number, at - offset) for number, at in request.used]
        self._unused += request.unused
        self._returning = 0

    def granted(self, grant: PermitGrant, offset: float) -> None:
        """Take in what the log said."""
        now = self._clock.now()
        self._asked_at, self._next_at = now, grant.next_at - offset
        self._remaining, self._sharers = grant.remaining, grant.sharers
        self._returning, self._gives_all_back = 0, False
        self._more_at = 0.0 if grant.more_at is None else grant.more_at - offset
        # then the workers report what became of their permits
        self._settled_at = 0.0 if grant.settled_at is None else grant.settled_at - offset + 2 * _REPORT_WITHIN_S
        if grant.permits:
            arrived = [ReservedPermit(number, at - offset, now) for number, at in grant.permits]
            self._reserved = deque(sorted([*self._reserved, *arrived], key=lambda permit: permit.at))
        self._arrived.set()

    def last_request(self, offset: float) -> PermitRequest:
        """Return the request that gives all reserved permits back."""
        self._reserved.clear()
        return replace(self.request(offset), wanted=0, gives_all_back=True)

    def forget(self) -> None:
        """Drop what is reserved, also what was given to a call that has not left: the log may have forgotten it.

        If it has not, all of it is given back with the next request, and so is what the log gave without an answer.
        """
        self._reserved.clear()
        self._forgotten_at = self._clock.now()
        self._gives_all_back = True
        # how a budget stands is asked at once
        self._asked_at, self._remaining = 0.0, None

    def _missing(self) -> int:
        """Return how many permits to reserve now."""
        return 0 if self._paused_until > self._clock.now() else self._demand()

    def _demand(self) -> int:
        wanted = max(self.asking, self.expected())
        if wanted:
            wanted = max(wanted, self.took_lately(_LOOK_AHEAD_S))
        return max(0, min(wanted, _MAX_HANDFUL) - len(self._reserved))

    def _ask_for_more(self) -> None:
        if self._demand():
            self._wake()

    def _give_back_late(self, now: float) -> None:
        while self._reserved and self._reserved[0].at + _MAX_TAKEN_LATE_S < now:
            self._unused.append(self._reserved.popleft().number)
        # a call that failed after it was given its permit has not used it, and can no longer
        while self._in_hand and self.is_late(first := self._first_in_hand(), now):
            self.give_back(first)

    def _first_in_hand(self) -> ReservedPermit:
        return next(iter(self._in_hand.values()))
