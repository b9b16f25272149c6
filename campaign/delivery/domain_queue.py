"""The rows of one recipient domain: taken up at its rate, not while it is paused, and few at first afterwards.

The domain's turn is taken before the final dot. A row is taken up so early that its token is there when the turn
comes, and its message waits for the turn without a connection. Who is under way is for the feed to say.
"""

from __future__ import annotations

import asyncio
from copy import copy
from typing import TYPE_CHECKING

from campaign.errors import Scope, TransientError
from campaign.sendlog import QueueCursor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from campaign.clock import Clock
    from campaign.delivery.concurrency import Concurrency
    from campaign.delivery.rate_limiter import Permit, RateLimiter
    from campaign.model import Delivery
    from campaign.sendlog import SendLog

NEVER = float("inf")
#: A row is taken up so many times earlier than it is on its way in the mean, for some take longer.
_LEAD_FACTOR = 2.0
#: At most so early (seconds): while Clerk is slow no crowd of tokens waits for the turns of a domain.
_MAX_LEAD_S = 5.0
#: Seconds by which it may be earlier still, so that a fast domain is not looked at for each row.
_LEAD_MARGIN_S = 0.05
#: A domain that is held for so long (seconds) is waited for in the log.
_MAX_WAIT_S = 2.0
#: So many may be under way to a domain whose hold is over: whoever was deferred by it, and whoever was not tried yet.
_INITIAL_WINDOW = 2
#: Each message that it takes allows for one more, up to this number; from there on as many as are of use.
_MAX_WINDOW = 32
#: Whoever was tried carries an instant in `not_before`, and whoever was not, 0.
_FIRST_INSTANT_S = 1.0
_UNLIMITED = 2**31


class DomainQueue:
    """A part of the queue with a pacer of its own, or the rest of the queue."""

    def __init__(
        self, cursor: QueueCursor, limiter: RateLimiter | None, concurrency: Concurrency, clock: Clock
    ) -> None:
        self.cursor = cursor
        self.limiter = limiter
        self._concurrency = concurrency
        self._clock = clock
        #: Nothing was due at the last look.
        self.exhausted = False
        #: The numbers of the rows that were taken up and have not had their domain's turn yet.
        self.scheduled: set[int] = set()
        #: Of these, those that have a connection or wait for one.
        self._admitted: set[int] = set()
        #: How many are ready, and wait for the turn to come near.
        self.waiting = 0
        self._turnstile = asyncio.Lock()
        self._slow_start_window: int | None = None
        self._must_probe = False
        #: Rows were given back this many times. A page that was read meanwhile is dropped: it may lack them.
        self._rewinds = 0

    def next_claim_at(self, under_way: Mapping[int, str]) -> float:
        """Return when another row may be taken up; never, while those under way are as many as may be.

        Args:
            under_way: the domain of each recipient who is, by the row's number.
        """
        if not self._capacity(under_way):
            return NEVER
        if self.limiter is None or self.limiter.per_second is None:
            return self.limiter.next_permit_at() if self.limiter else 0.0
        return self.limiter.next_permit_behind(len(self.scheduled)) - self._lead

    def may_claim(self, now: float, under_way: Mapping[int, str]) -> bool:
        """Return whether rows of this lane could go out at once."""
        return self.next_claim_at(under_way) <= now + _LEAD_MARGIN_S

    async def wait_until_due(self, number: int) -> None:
        """Return when the domain's turn is as near as a message takes at least to get there.

        Raises:
            TransientError: it is not soon; the row is better off in the log.
        """
        assert self.limiter is not None  # noqa: S101 - lanes of domains have one
        self.waiting += 1
        try:
            async with self._turnstile:
                self.raise_if_paused()
                while (wait := self._admit_at() - self._clock.now()) > 0:
                    await self._clock.sleep(wait)
                    self.raise_if_paused()
                self._admitted.add(number)
        finally:
            self.waiting -= 1

    async def acquire(self, number: int, acquire_from_server: Callable[[], Awaitable[Permit]]) -> Permit:
        """Return when it is the turn of a message of the domain, at its server and here."""
        assert self.limiter is not None  # noqa: S101 - lanes of domains have one
        acquire = await self.limiter.acquire_both(acquire_from_server)
        self.discard(number)
        return acquire

    def discard(self, number: int) -> None:
        """Note that a row has had its turn, or will not take any."""
        self.scheduled.discard(number)
        self._admitted.discard(number)

    def raise_if_paused(self) -> None:
        """Raise TransientError if the domain is left alone for long."""
        if self.limiter is not None and self.limiter.paused_until > self._clock.now() + _MAX_WAIT_S:
            raise TransientError(f"{self.cursor.domain} is paused for a while", scope=Scope.DOMAIN)

    @property
    def stopped(self) -> bool:
        """Whether nothing more goes to this domain in this run."""
        return self.limiter is not None and self.limiter.paused_until == NEVER

    async def claim(self, log: SendLog, most: int, under_way: Mapping[int, str]) -> list[Delivery]:
        """Return the next rows that are due: of a domain no more than it allows about now, and few after a hold.

        The first one after a hold is one who was put off before, for a domain that greylists takes none but those; not
        the same one each time, whose attempts would be used up.
        """
        rate = self.limiter.per_second if self.limiter else None
        if rate is not None:
            most = max(1, min(most, int(rate * (self._lead + _LEAD_MARGIN_S)) - len(self.scheduled)))
        size = min(self._capacity(under_way), most)
        rewinds = self._rewinds
        first: list[Delivery] = []
        if self._must_probe:
            self._must_probe = False
            tried = QueueCursor(domain=self.cursor.domain)
            tried.skip_to(_FIRST_INSTANT_S)
            first = await log.claim(1, tried)
            size -= len(first)
        if not size:
            return first
        place = copy(self.cursor)
        page = await log.claim(size, place)
        if rewinds != self._rewinds:
            return []
        self.cursor.after = place.after
        self.exhausted = len(page) < size
        return first + [delivery for delivery in page if delivery.id not in {one.id for one in first}]

    async def look_ahead(self, log: SendLog) -> None:
        """Note whether nothing is due, so that the run does not wait for the domain's turn."""
        place, rewinds = copy(self.cursor), self._rewinds
        if not await log.claim(1, place) and rewinds == self._rewinds:
            self.cursor.after, self.exhausted = place.after, True

    def rewind(self, instant: float = -1.0) -> None:
        """Read the queue again from an instant on: rows that were claimed and are still queued are found again."""
        self._rewinds += 1
        self.cursor.skip_to(instant)
        self.exhausted = False

    def came_back(self, not_before: float) -> None:
        """Note that a row is queued again.

        The cursor may be past it, or is about to be: the log is read between the instant of a fault and its record.
        """
        if not_before <= self.cursor.after[0]:
            self.rewind(not_before)
        elif not_before <= self._clock.now():
            self._rewinds += 1
            self.exhausted = False

    def pause(self, seconds: float) -> None:
        """Take up nobody for so long, and few afterwards."""
        assert self.limiter is not None  # noqa: S101 - lanes of domains have one
        self.limiter.pause(seconds)
        self._slow_start_window, self._must_probe = _INITIAL_WINDOW, True

    def accepted(self) -> None:
        """Note that the domain took a message."""
        if self._slow_start_window is not None:
            self._slow_start_window = self._slow_start_window + 1 if self._slow_start_window < _MAX_WINDOW else None

    @property
    def _lead(self) -> float:
        return min(_LEAD_FACTOR * self._concurrency.lead_time, _MAX_LEAD_S)

    def _admit_at(self) -> float:
        assert self.limiter is not None  # noqa: S101 - lanes of domains have one
        best = self._concurrency.transaction.best
        return self.limiter.next_permit_behind(len(self._admitted)) - (best if best < NEVER else 0.0)

    def _capacity(self, under_way: Mapping[int, str]) -> int:
        if self._slow_start_window is None:
            return _UNLIMITED
        taken_up = self.scheduled | {number for number, domain in under_way.items() if domain == self.cursor.domain}
        return max(0, self._slow_start_window - len(taken_up))
