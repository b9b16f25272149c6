"""Claim the rows of one recipient domain at its rate, with pauses and a slow start after each: `DomainQueue.claim`.

The domain's permit is acquired before the final dot. A row is claimed early enough that its token is there when the
permit comes, and its message waits for the permit without a connection.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

from campaign.delivery.turnstile import Turnstile
from campaign.errors import Scope, TransientError
from campaign.sendlog import QueueCursor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from campaign.clock import Clock
    from campaign.delivery.concurrency import Concurrency
    from campaign.delivery.permit import Permit
    from campaign.delivery.rate_limiter import RateLimiter
    from campaign.model import Delivery
    from campaign.sendlog import RunLog

NEVER = float("inf")
#: A row is claimed this many times its mean lead time before its permit, because some rows take longer than the mean.
_LEAD_FACTOR = 2.0
#: At most this early: while Clerk is slow, tokens must not age in a queue for the domain's permits.
_MAX_LEAD_S = 5.0
#: Rows whose permit comes within this time are claimed together, so that a fast domain is not read row by row.
_LEAD_MARGIN_S = 0.05
#: The rows of a domain that is paused for longer than this wait in the log.
_MAX_WAIT_S = 2.0
#: Slow start: deliveries at once to a domain whose pause is over, a deferred row and one that was not tried yet.
_INITIAL_WINDOW = 2
#: Each accepted message adds one delivery to the window; from this number on there is no window.
_MAX_WINDOW = 32
#: Rows that were deferred have an instant in `not_before`, the others 0, or their place in a batch.
_FIRST_INSTANT_S = 1e9
_UNLIMITED = 2**31


class DomainQueue:
    """The rows of one domain with a rate limiter of its own, or those of all other domains, without one.

    Args:
        cursor: which rows, and how far they were read.
        limiter: the domain's; None for the other domains.
        concurrency: says how early a row is to be claimed.
        clock: the time.
    """

    def __init__(
        self, cursor: QueueCursor, limiter: RateLimiter | None, concurrency: Concurrency, clock: Clock
    ) -> None:
        self.cursor = cursor
        self.limiter = limiter
        self._concurrency = concurrency
        self._clock = clock
        #: Nothing was due at the last look.
        self.exhausted = False
        #: The ids of the rows that were claimed and have not had their domain's permit yet.
        self.scheduled: set[int] = set()
        if limiter is not None:
            self._turnstile = Turnstile(
                limiter, clock, lead=lambda: self._best_transaction, raise_if_paused=self.raise_if_paused
            )
        self._slow_start_window: int | None = None
        self._must_probe = False
        #: Rows were given back this many times. A page that was read meanwhile is dropped: it may lack them.
        self._rewinds = 0

    def next_claim_at(self, under_way: Mapping[int, str]) -> float:
        """Return when the next row may be claimed; `NEVER` while the slow-start window is full.

        Args:
            under_way: the domain of each delivery that is under way, by the row's id.
        """
        if not self._capacity(under_way):
            return NEVER
        if self.limiter is None or self.limiter.per_second is None:
            return self.limiter.next_permit_at() if self.limiter else 0.0
        return self.limiter.next_permit_behind(len(self.scheduled)) - self._lead

    def may_claim(self, now: float, under_way: Mapping[int, str]) -> bool:
        """Return whether a row may be claimed now."""
        return self.next_claim_at(under_way) <= now + _LEAD_MARGIN_S

    async def wait_until_due(self, number: int) -> None:
        """Return when the domain's permit is as near as the fastest transaction takes to its final dot.

        Raises:
            TransientError: the domain is paused for long; the row waits in the log instead.
        """
        await self._turnstile.wait(number)

    async def acquire(self, number: int, acquire_from_server: Callable[[], Awaitable[Permit]]) -> Permit:
        """Return a permit of the server and of the domain for a row's message; both are then taken."""
        assert self.limiter is not None  # noqa: S101 - the queue of a domain has one
        permit = await self.limiter.acquire_both(acquire_from_server)
        self.discard(number)
        return permit

    def discard(self, number: int) -> None:
        """Note that a row has its permit, or needs none any more."""
        self.scheduled.discard(number)
        if self.limiter is not None:
            self._turnstile.discard(number)

    @property
    def waiting(self) -> int:
        """How many messages are ready and wait until the permit is near."""
        return self._turnstile.waiting if self.limiter is not None else 0

    def raise_if_paused(self) -> None:
        """Raise TransientError if the domain is paused for long."""
        if self.limiter is not None and self.limiter.paused_until > self._clock.now() + _MAX_WAIT_S:
            raise TransientError(f"{self.cursor.domain} is paused", scope=Scope.DOMAIN)

    @property
    def stopped(self) -> bool:
        """Whether nothing more goes to this domain in this run."""
        return self.limiter is not None and self.limiter.paused_until == NEVER

    async def claim(self, log: RunLog, most: int, under_way: Mapping[int, str]) -> list[Delivery]:
        """Return the next due rows: at most as many as the domain's rate and its slow-start window allow now.

        The first row after a pause is one that was deferred before, because a domain that greylists accepts only those.
        It is the one that is due longest, so that a single row does not use up its attempts.

        Args:
            log: the queue.
            most: the largest page.
            under_way: the domain of each delivery that is under way, by the row's id.
        """
        rate = self.limiter.per_second if self.limiter else None
        if rate is not None:
            most = max(1, min(most, int(rate * (self._lead + _LEAD_MARGIN_S)) - len(self.scheduled)))
        size = min(self._capacity(under_way), most)
        rewinds = self._rewinds
        first: list[Delivery] = []
        if self._must_probe:
            self._must_probe = False
            first = await log.claim(1, QueueCursor(domain=self.cursor.domain, since=_FIRST_INSTANT_S))
            size -= len(first)
        if not size:
            return first
        place = copy(self.cursor)
        page = await log.claim(size, place)
        if rewinds != self._rewinds:
            log.give_back([delivery.id for delivery in first + page])
            return []
        self.cursor.after = place.after
        self.exhausted = len(page) < size
        probed = {delivery.id for delivery in first}
        return first + [delivery for delivery in page if delivery.id not in probed]

    async def look_ahead(self, log: RunLog) -> None:
        """Note whether nothing is due, so that the run does not wait for the domain's permits."""
        place, rewinds = copy(self.cursor), self._rewinds
        found = await log.claim(1, place)
        log.give_back([delivery.id for delivery in found])
        if not found and rewinds == self._rewinds:
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

    def pause(self, seconds: float, why: str = "", *, tell: bool = True) -> None:
        """Claim no row for `seconds`, and begin with the slow-start window afterwards; see `RateLimiter.pause`."""
        assert self.limiter is not None  # noqa: S101 - the queue of a domain has one
        self.limiter.pause(seconds, why, tell=tell)
        self._slow_start_window, self._must_probe = _INITIAL_WINDOW, True

    def accepted(self) -> None:
        """Note that the domain accepted a message: the slow-start window grows by one."""
        if self._slow_start_window is not None:
            self._slow_start_window = self._slow_start_window + 1 if self._slow_start_window < _MAX_WINDOW else None

    @property
    def _lead(self) -> float:
        return min(_LEAD_FACTOR * self._concurrency.lead_time, _MAX_LEAD_S)

    @property
    def _best_transaction(self) -> float:
        best = self._concurrency.transaction.best
        return best if best < NEVER else 0.0

    def _capacity(self, under_way: Mapping[int, str]) -> int:
        if self._slow_start_window is None:
            return _UNLIMITED
        claimed = self.scheduled | {number for number, domain in under_way.items() if domain == self.cursor.domain}
        return max(0, self._slow_start_window - len(claimed))
