"""Let messages pass in order when their permit is near, so that none waits for it on a connection: `Turnstile.wait`."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakSet

from campaign.errors import Scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from campaign.clock import Clock
    from campaign.delivery.concurrency import Concurrency
    from campaign.delivery.rate_limiter import RateLimiter


#: How long a message may wait for the server's permit on its connection, or as long as a message takes.
_MAX_WAIT_ON_CONNECTION_S = 1.0


class Turnstile:
    """A FIFO queue before a rate limiter: a message passes a short time before it can have its permit.

    The permit itself is acquired before the final dot. A message that waited for it there would hold the server inside
    DATA, whose time-out may be short.

    Args:
        limiter: gives the permits.
        clock: the time.
        lead: returns how long before its permit a message passes, in seconds.
        raise_if_paused: raises an error if the wait would be a pause for long; the row waits in the log instead.
        beside: those before the same limiter, of campaigns that are sent side by side; this one is added.
    """

    def __init__(
        self,
        limiter: RateLimiter,
        clock: Clock,
        *,
        lead: Callable[[], float],
        raise_if_paused: Callable[[], None],
        beside: WeakSet[Turnstile] | None = None,
    ) -> None:
        self._limiter = limiter
        self._clock = clock
        self._lead = lead
        self._raise_if_paused = raise_if_paused
        #: How many messages wait.
        self.waiting = 0
        #: The ids of the rows that passed and have not had their permit yet.
        self._passed: set[int] = set()
        self._queue = asyncio.Lock()
        together: WeakSet[Turnstile] = WeakSet() if beside is None else beside
        together.add(self)
        limiter.expect(lambda: sum(each.expected for each in together))

    @property
    def expected(self) -> int:
        """How many permits are needed soon."""
        return len(self._passed) + bool(self.waiting)

    async def wait(self, number: int) -> None:
        """Return when the permit of a row's message is near.

        Raises:
            TransientError: see `raise_if_paused`.
        """
        if not self._limiter.is_limited and not self._limiter.is_paused:
            self._passed.add(number)
            return
        self.waiting += 1
        try:
            async with self._queue:
                self._raise_if_paused()
                while (seconds := self._passes_at() - self._clock.now()) > 0:
                    await self._limiter.wait(seconds)
                    self._raise_if_paused()
                self._passed.add(number)
        finally:
            self.waiting -= 1

    def discard(self, number: int) -> None:
        """Note that a row has its permit, or needs none any more."""
        self._passed.discard(number)

    def _passes_at(self) -> float:
        return self._limiter.next_permit_behind(len(self._passed), is_ready=True) - self._lead()


def before_server(
    limiter: RateLimiter, concurrency: Concurrency, clock: Clock, beside: WeakSet[Turnstile] | None = None
) -> Turnstile:
    """Return a campaign's turnstile before the mail server's rate limiter."""
    return Turnstile(
        limiter,
        clock,
        lead=lambda: max(_MAX_WAIT_ON_CONNECTION_S, concurrency.transaction.seconds),
        raise_if_paused=partial(limiter.raise_if_paused, "the mail server", Scope.SERVER),
        beside=beside,
    )
