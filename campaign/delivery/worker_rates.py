"""Share the rates and the pauses of a run with the other workers of its send log: `worker_rates`.

One task reserves permits and reports their use, as often as the limits of this worker need it; another hears what other
workers learnt of a service. While the log cannot be reached there are no new permits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from math import inf
from typing import TYPE_CHECKING

from campaign.delivery.clock_offset import ClockOffset
from campaign.delivery.log_outage import HEARING_OUTAGE, RATES_OUTAGE, SessionOutage
from campaign.delivery.ramp import SharedRamp
from campaign.delivery.rate_limiter import RateLimiter
from campaign.delivery.shared_limit import SharedLimit
from campaign.delivery.shared_terms import terms_of, terms_of_day
from campaign.model import Rate, Status
from campaign.sendlog.permits import Hold, HoldKind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
    from datetime import date
    from zoneinfo import ZoneInfo

    from campaign.clock import Clock
    from campaign.sendlog import SendLog
    from campaign.sendlog.permits import PermitExchange, PermitRequest, PermitTerms

#: The names of what is limited, for all workers of a log.
MESSAGES, TOKENS = "messages", "tokens"
#: The wait before the log is tried again that could not be reached.
_RECONNECT_S = 0.5
#: How long the last report may take: this worker may be about to end because the log is gone.
_LAST_REPORT_S = 5.0
#: The limits are looked at after this time at the latest (seconds).
_LONGEST_WAIT_S = 50.0
#: Of a campaign without a ramp whose messages count for the ramps of others.
_NO_QUOTA = Rate(1_000_000_000, timedelta(days=1))


@dataclass(frozen=True, slots=True)
class Listener:
    """A campaign that is sent, and what it does when other workers tell something."""

    #: Its name: it is ended only by another run of the same campaign.
    campaign: str
    #: Told of a domain's pause in seconds, and why; infinite if nothing more is to be sent to it.
    on_domain: Callable[[str, float, str], None]
    #: Told why the run must end.
    on_abort: Callable[[str], None]


class WorkerRates:
    """The limits that this worker shares with others, and what they tell each other.

    Args:
        exchange: the send log.
        clock: the time.
        reserving: told whether permits can be reserved.
        hearing: told whether other workers can be heard.
    """

    def __init__(
        self,
        exchange: PermitExchange,
        clock: Clock,
        reserving: SessionOutage | None = None,
        hearing: SessionOutage | None = None,
    ) -> None:
        self._exchange = exchange
        self._clock = clock
        self._reserving, self._hearing = reserving, hearing
        #: How often the log could not be reached to listen.
        self.losses = 0
        self._limits: list[SharedLimit] = []
        #: The limit of the present day for each quota of the ramps, and its day.
        self._days: dict[tuple[str, int], tuple[date, SharedLimit]] = {}
        self._limiters: dict[str, RateLimiter] = {}
        self._listeners: list[Listener] = []
        #: Until when domains are paused, by this worker's clock, and why.
        self._paused_domains: dict[str, tuple[float, str]] = {}
        self._offset = ClockOffset()
        self._wanted = asyncio.Event()
        self._to_tell: deque[Hold] = deque()
        self._has_to_tell = asyncio.Event()

    @contextmanager
    def heard_by(self, listener: Listener) -> Iterator[None]:
        """Let a campaign hear what other workers tell during the block; first of the domains that are paused now."""
        now = self._clock.now()
        self._paused_domains = {name: each for name, each in self._paused_domains.items() if each[0] > now}
        for domain, (until, why) in self._paused_domains.items():
            listener.on_domain(domain, until - now, why)
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def limiter(self, name: str, rates: Sequence[Rate], status: Status) -> RateLimiter:
        """Return the limiter of a service; `name` is the same for all workers that share it."""
        return self._new_limiter(name, rates, status, domain=None)

    def domain(self, domain: str, rates: Sequence[Rate]) -> RateLimiter:
        """Return the limiter of a recipient domain, with or without a rate."""
        return self._new_limiter(f"@{domain}", rates, Status.SENDING, domain=domain)

    def _new_limiter(self, name: str, rates: Sequence[Rate], status: Status, *, domain: str | None) -> RateLimiter:
        limit = None
        if rates:
            why = f"all workers together have used up the limit ({', '.join(map(str, rates))})"
            limit = self._new_limit(terms_of(name, rates, status, domain=domain), why)
        self._limiters[name] = limiter = RateLimiter(rates, self._clock, shared=limit, tell=self._teller(name))
        return limiter

    def ramp(self, quotas: Sequence[Rate], zone: ZoneInfo, sent: Mapping[date, int], clock: Clock) -> SharedRamp:
        """Return the quotas of a campaign's days."""

        def limit_of(day: date, quota: int, since: float) -> SharedLimit:
            known, limit = self._days.get((str(zone), quota), (None, None))
            if limit is None or known != day:
                if limit:
                    self._limits.remove(limit)
                limit = self._new_limit(terms_of_day(f"{day} in {zone}", quota, since), "the day's quota is used up")
                self._days[str(zone), quota] = day, limit
            return limit

        return SharedRamp(quotas or [_NO_QUOTA], zone, sent, clock, limit_of)

    def _new_limit(self, terms: PermitTerms, why: str) -> SharedLimit:
        limit = SharedLimit(terms, self._clock, self._wanted.set, why=why)
        self._limits.append(limit)
        self._wanted.set()
        return limit

    def abort(self, campaign: str, why: str) -> None:
        """Tell the other workers of a campaign that a service refuses all of its requests."""
        self._tell(Hold(HoldKind.ABORT, "", why, campaign=campaign))

    async def reserve(self) -> None:
        """Reserve permits and report their use, without an end."""
        while True:
            self._wanted.clear()
            now = self._clock.now()
            due = [limit for limit in self._limits if limit.asks_at() <= now]
            for limit in due:
                await self._ask(limit)
            next_at = min([limit.asks_at() for limit in self._limits], default=inf)
            if next_at > self._clock.now():
                await self._clock.wait(self._wanted, min(next_at - self._clock.now(), _LONGEST_WAIT_S))

    async def hear(self) -> None:
        """Do what other workers tell, without an end."""
        while True:
            try:
                async for hold in self._exchange.holds(self._hears):
                    self._obey(hold)
            except ConnectionError as error:
                self.losses += 1
                if self._hearing:
                    self._hearing.failed(str(error))
            await self._clock.sleep(_RECONNECT_S)

    def _hears(self) -> None:
        if self._hearing:
            self._hearing.ended()

    async def tell(self) -> None:
        """Tell the other workers what this one learns, without an end."""
        while True:
            self._has_to_tell.clear()
            while self._to_tell:
                try:
                    await self._exchange.tell(self._to_tell[0])
                except ConnectionError:
                    await self._clock.sleep(_RECONNECT_S)
                else:
                    self._to_tell.popleft()
            await self._has_to_tell.wait()

    async def end(self) -> None:
        """Give back what is reserved, and close the connections."""
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(_LAST_REPORT_S):
                for limit in self._limits:
                    await self._exchange.reserve(limit.last_request(self._offset.seconds))
                for hold in self._to_tell:
                    await self._exchange.tell(hold)
        await self._exchange.close()

    async def _ask(self, limit: SharedLimit) -> None:
        offset = self._offset.seconds
        request = limit.request(offset)
        asked = self._clock.now()
        try:
            grant = await self._exchange.reserve(request)
        except ConnectionError as error:
            self._lost(limit, request, offset)
            if self._reserving:
                self._reserving.failed(str(error))
            await self._clock.sleep(_RECONNECT_S)
            return
        except BaseException:  # the run ends, and says it again with its last report
            limit.refused(request, offset)
            raise
        self._offset.note(asked, self._clock.now(), grant.now)
        limit.granted(grant, self._offset.seconds)
        if self._reserving:
            self._reserving.ended()

    def _lost(self, limit: SharedLimit, request: PermitRequest, offset: float) -> None:
        """Drop all permits: a server that crashed has forgotten them, and gives them to others."""
        limit.refused(request, offset)
        for each in self._limits:
            each.forget()

    def _obey(self, hold: Hold) -> None:
        limiter = self._limiters.get(hold.service)
        match hold.kind:
            case HoldKind.ABORT:
                for listener in self._listeners:
                    if listener.campaign == hold.campaign:
                        listener.on_abort(hold.why)
            case HoldKind.SLOW_DOWN if limiter:
                limiter.slow_down(hold.why, tell=False)
            case HoldKind.PAUSE | HoldKind.BLOCK if hold.service.startswith("@"):
                seconds, domain = hold.seconds if hold.kind is HoldKind.PAUSE else inf, hold.service[1:]
                if seconds < inf:
                    self._paused_domains[domain] = self._clock.now() + seconds, hold.why
                for listener in self._listeners:
                    listener.on_domain(domain, seconds, hold.why)
            case HoldKind.PAUSE if limiter:
                limiter.pause(hold.seconds, hold.why, tell=False)

    def _teller(self, service: str) -> Callable[[HoldKind, float, str], None]:
        def tell(kind: HoldKind, seconds: float, why: str) -> None:
            self._tell(Hold(kind, service, why, seconds))

        return tell

    def _tell(self, hold: Hold) -> None:
        self._to_tell.append(hold)
        self._has_to_tell.set()


@asynccontextmanager
async def open_worker_rates(log: SendLog, clock: Clock) -> AsyncIterator[WorkerRates | None]:
    """Yield what the workers of a log share during the block; None if a log has one run at a time."""
    exchange = log.permits()
    if exchange is None:
        yield None
        return
    reserving, hearing = (SessionOutage(log, clock, words) for words in (RATES_OUTAGE, HEARING_OUTAGE))
    async with worker_rates(exchange, clock, reserving, hearing) as rates:
        yield rates


@asynccontextmanager
async def worker_rates(
    exchange: PermitExchange,
    clock: Clock,
    reserving: SessionOutage | None = None,
    hearing: SessionOutage | None = None,
) -> AsyncIterator[WorkerRates]:
    """Share rates and pauses during the block, and give back what is reserved at its end.

    Raises:
        SendLogError: the log refuses what it is asked; the block is cancelled.
    """
    rates = WorkerRates(exchange, clock, reserving, hearing)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each()) for each in (rates.reserve, rates.hear, rates.tell)]
            try:
                yield rates
            finally:
                for task in tasks:
                    task.cancel()
    finally:
        await rates.end()
