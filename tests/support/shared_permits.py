"""A log in memory in which workers share rates, on the tests' clock: `PermitLog` and a `PermitDesk` for each worker."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from itertools import count
from typing import TYPE_CHECKING

from campaign.delivery.window import Window
from campaign.model import Rate
from campaign.sendlog.permits import PermitGrant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from campaign.sendlog.permits import Hold, PermitRequest, PermitTerms
    from support.fake_clock import FakeClock


class PermitLog:
    """What all workers share.

    Args:
        clock: the time.
        rates: of each bucket, by its name.
    """

    def __init__(self, clock: FakeClock, rates: Mapping[str, list[str]]) -> None:
        self.clock = clock
        self.windows = {name: [Window(Rate.parse(rate)) for rate in each] for name, each in rates.items()}
        #: What was reserved, used and given back, by number, in all buckets.
        self.reserved: dict[int, float] = {}
        self.used: dict[int, float] = {}
        self.given_back: set[int] = set()
        #: Each request, in order.
        self.requests: list[PermitRequest] = []
        self.is_gone = False
        #: How long it takes to answer, in seconds.
        self.latency_s = 0.002
        #: Each answer is lost once the log has reserved what was wanted.
        self.answers_are_lost = False
        self.told: list[Hold] = []
        self.desks: list[PermitDesk] = []
        self._numbers = count(1)
        #: Who holds a permit of which bucket and from when on, by number.
        self._held: dict[int, tuple[str, PermitDesk, float]] = {}
        self._spent: defaultdict[str, int] = defaultdict(int)

    def desk(self) -> PermitDesk:
        """Return the log as one more worker reaches it."""
        self.desks.append(PermitDesk(self))
        return self.desks[-1]

    def reserve(self, request: PermitRequest, desk: PermitDesk) -> PermitGrant:
        """Answer a worker."""
        if self.is_gone:
            raise ConnectionError("gone")
        self.requests.append(request)
        terms, now = request.terms, self.clock.now()
        for number, at in request.used:
            if self._held.pop(number, None):
                self.used[number] = at
        mine = [number for number, held in self._held.items() if held[:2] == (terms.bucket, desk)]
        for number in mine if request.gives_all_back else request.unused:
            if self._held.pop(number, None):
                self.given_back.add(number)
                self._spent[terms.bucket] -= 1
        permits: list[tuple[int, float]] = []
        while (at := self._next_at(terms, now)) <= now + terms.horizon_s and len(permits) < request.wanted:
            for window in self.windows[terms.bucket]:
                window.take(at)
            permits.append((next(self._numbers), at))
            self._spent[terms.bucket] += 1
            self._held[permits[-1][0]] = terms.bucket, desk, at
        self.reserved |= dict(permits)
        if self.answers_are_lost:
            raise ConnectionError("the answer is lost")
        left = min([budget.count - self._spent[terms.bucket] for budget in terms.budgets], default=None)
        held = [at + terms.late_s for bucket, _, at in self._held.values() if bucket == terms.bucket]
        settled_at = max([at for at in held if at > now], default=None) if left == 0 else None
        more_at = None if left is None else now + 3600
        return PermitGrant(now, permits, at, left, more_at, settled_at, len(self.desks))

    def _next_at(self, terms: PermitTerms, now: float) -> float:
        if any(self._spent[terms.bucket] >= budget.count for budget in terms.budgets):
            return now + 3600.0
        return max([window.next_permit_at(now) for window in self.windows[terms.bucket]] or [now])


class PermitDesk:
    """`PermitExchange` for one worker."""

    def __init__(self, log: PermitLog) -> None:
        self._log = log
        self._heard: asyncio.Queue[Hold] = asyncio.Queue()

    async def reserve(self, request: PermitRequest) -> PermitGrant:
        """Report what became of permits, and reserve more."""
        await self._log.clock.sleep(self._log.latency_s)
        return self._log.reserve(request, self)

    async def tell(self, hold: Hold) -> None:
        """Tell the other workers."""
        if self._log.is_gone:
            raise ConnectionError("gone")
        self._log.told.append(hold)
        for desk in self._log.desks:
            if desk is not self:
                desk._heard.put_nowait(hold)  # noqa: SLF001 - another one of its kind

    async def holds(self, connected: Callable[[], object]) -> AsyncIterator[Hold]:
        """Yield what other workers tell."""
        connected()
        while True:
            yield await self._heard.get()

    async def close(self) -> None:
        """Do nothing."""
