"""Schedule deliveries: `Scheduler.next` picks the next due row, within the limits and the pauses of domains."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from campaign.delivery.domain_queue import NEVER, DomainQueue
from campaign.delivery.other_runs import OtherRuns
from campaign.delivery.turnstile import before_server
from campaign.errors import Scope
from campaign.model import Status
from campaign.sendlog import QueueCursor

if TYPE_CHECKING:
    from collections.abc import Callable

    from campaign.clock import Clock
    from campaign.delivery.concurrency import Concurrency
    from campaign.delivery.eligibility import Eligibility
    from campaign.delivery.permit import Permit
    from campaign.delivery.ramp import Ramp
    from campaign.delivery.rate_limiter import RateLimiter
    from campaign.delivery.rate_limits import RateLimits
    from campaign.delivery.token_issuer import TokenIssuer
    from campaign.model import Delivery, Outcome
    from campaign.sendlog import RunLog

#: Rows are read from the log by the hundred: one call to Clerk checks as many addresses.
_PAGE_SIZE = 100
#: While a service has no permit for longer than this, no delivery starts: its token would age.
_MAX_WAIT_S = 2.0
#: With `--no-wait` a run still waits this long for its rate.
_MAX_RATE_WAIT_S = 60.0
#: Why nothing is sent while no row is due: without a schedule, with one.
NOTHING_DUE = ("all remaining messages wait for their next attempt", "no message is due yet")


class Scheduler:
    """Hands out due rows, within the concurrency limit, the rate limits and the pauses of domains.

    Args:
        log: the queue, entered.
        clock: the time.
        concurrency: how many may be under way.
        limits: a service with no permit soon keeps all recipients in the log, a domain only its own.
        gate: puts off the rows of each page that may not be sent yet; None if the campaign has no such rules.
        tokens: asks Clerk for the users of each page ahead of their turn; None for a campaign without a link.
        longest_wait: stay for rows that become due within this many seconds; 0 is `--no-wait`.
        on_wait: told why nothing goes out, and until when (seconds since the epoch).
    """

    def __init__(
        self,
        log: RunLog,
        clock: Clock,
        concurrency: Concurrency,
        limits: RateLimits,
        *,
        gate: Eligibility | None,
        tokens: TokenIssuer | None,
        longest_wait: float,
        on_wait: Callable[[str, float], None],
    ) -> None:
        self._log = log
        self._clock = clock
        self.concurrency = concurrency
        self._limits = limits
        self._services = limits.services
        self._acquire_from_server = partial(limits.messages.acquire_or_defer, "the mail server", Scope.SERVER)
        self._turnstile = before_server(limits.messages, concurrency, clock, limits.turnstiles)
        #: Decides who may be mailed now; None if the campaign has no such rules.
        self.gate = gate
        self._tokens = tokens
        self._longest_wait = longest_wait
        self._on_wait = on_wait
        self._others = OtherRuns(log, clock, longest_wait, on_wait)
        self._other_domains = DomainQueue(QueueCursor(without=tuple(limits.domains)), None, concurrency, clock)
        self._domain_queues = {domain: self._new_queue(domain, limiter) for domain, limiter in limits.domains.items()}
        self._ready: deque[Delivery] = deque()
        #: The domain of each, by the row's number.
        self._under_way: dict[int, str] = {}
        self._stopped = False
        self._changed = asyncio.Event()

    async def next(self, group: asyncio.TaskGroup) -> Delivery | None:
        """Return the next recipient when it may start, or None when there is no next one in this run.

        Args:
            group: where Clerk is asked for the users of the rows that were read, meanwhile.
        """
        while not self._stopped:
            self._changed.clear()
            now = self._clock.now()
            waiting = sum([queue.waiting for queue in self._domain_queues.values()]) if self._domain_queues else 0
            if len(self._under_way) - waiting >= self.concurrency.max_deliveries:
                await self._until(now + _MAX_RATE_WAIT_S)
            elif self.gate and self.gate.ramp and self.gate.ramp.is_spent(ahead=len(self._under_way)):
                if not await self._wait_for_quota(self.gate.ramp):
                    return None
            # each delivery that is under way may still need a permit of each service
            elif (free_at := self._next_permit_at(ahead=len(self._under_way))) > now + _MAX_WAIT_S:
                if not self._longest_wait and not self._under_way and self._not_soon(now, free_at):
                    return None
                if self._next_permit_at(ahead=0) > now + _MAX_WAIT_S:
                    self._on_wait(self._limits.told_of_pause or "no message can be sent now", free_at)
                await self._until(free_at)
            else:
                await self._read_all(group)
                if self._ready:
                    delivery = self._ready.popleft()
                    self._under_way[delivery.id] = delivery.recipient.domain
                    return delivery
                if not await self._something_comes():
                    return None
        return None

    def raise_if_paused(self, delivery: Delivery) -> None:
        """Raise TransientError if the recipient's domain is paused for long: the row waits in the log instead."""
        if queue := self._queue_for(delivery):
            queue.raise_if_paused()

    async def wait_until_due(self, delivery: Delivery) -> None:
        """Return when the permits of the recipient's domain and of the mail server are near.

        Raises:
            TransientError: it is not soon.
        """
        queue = self._queue_for(delivery)
        if queue is not None:
            self._changed.set()  # a delivery that waits here makes room for others
            await queue.wait_until_due(delivery.id)
        await self._turnstile.wait(delivery.id)

    async def acquire(self, delivery: Delivery) -> Permit:
        """Return a permit of the mail server and of the recipient's domain for the message; both are then taken.

        Raises:
            TransientError: not soon.
        """
        queue = self._queue_for(delivery)
        server = self._acquire_from_server
        acquire = partial(queue.acquire, delivery.id, server) if queue else server
        permit = await (self.gate.ramp.acquire(acquire) if self.gate and self.gate.ramp else acquire())
        self._turnstile.discard(delivery.id)
        return permit

    def pause_domain(self, domain: str, seconds: float, why: str = "", *, tell: bool = True) -> None:
        """Hand out no row of a domain for `seconds`, or to the run's end if that is infinite; `tell` other workers."""
        queue = self._domain_queues.get(domain)
        if queue is None:
            queue = self._domain_queues[domain] = self._new_queue(domain, self._limits.new_domain(domain, self._clock))
            self._other_domains.cursor.without += (domain,)
        queue.pause(seconds, why, tell=tell)
        # rows that were read are still `queued` in the log, where the domain's own queue finds them again
        given_back = [delivery.id for delivery in self._ready if delivery.recipient.domain == domain]
        if given_back:
            self._ready = deque(delivery for delivery in self._ready if delivery.id not in given_back)
            self._log.give_back(given_back)
            queue.rewind()
            queue.scheduled.difference_update(given_back)

    def paused_until(self, domain: str) -> float:
        """Return the instant until which a domain is paused; one in the past if it is not paused, or blocked."""
        queue = self._domain_queues.get(domain)
        until = queue.limiter.paused_until if queue and queue.limiter else 0.0
        return until if until < NEVER else 0.0

    def settled(self, delivery: Delivery, outcome: Outcome | None) -> None:
        """Note that an attempt has ended; a row that is queued again comes back. None: another run has the row."""
        self._turnstile.discard(delivery.id)
        if queue := self._domain_queues.get(self._under_way.pop(delivery.id)):
            queue.discard(delivery.id)
            if outcome and outcome.status is Status.SENT:
                queue.accepted()
        if outcome and outcome.status is Status.QUEUED:
            (queue or self._other_domains).came_back(outcome.not_before)
        self._changed.set()

    @property
    def stopped(self) -> bool:
        """Whether this run takes no further delivery."""
        return self._stopped

    def stop(self) -> None:
        """Hand out no further delivery."""
        self._stopped = True
        self._log.give_back([delivery.id for delivery in self._ready])
        self._ready.clear()
        self._changed.set()

    async def pause(self, why: str, until: float) -> None:
        """Return at an instant, or when the scheduler is stopped; with `--no-wait` stop it at once."""
        if not self._longest_wait:
            self.stop()
            return
        self._on_wait(self._limits.told_of_pause or why, until)
        while not self._stopped and self._clock.now() < until:
            self._changed.clear()
            await self._until(until)

    # -- inside --------------------------------------------------------------------------------------------------

    def _next_permit_at(self, *, ahead: int) -> float:
        return max([limiter.next_permit_at(ahead) for limiter in self._services] or [self._clock.now()])

    def _not_soon(self, now: float, free_at: float) -> bool:
        return free_at > now + _MAX_RATE_WAIT_S or any(limiter.paused_until > now for limiter in self._services)

    async def _read_all(self, group: asyncio.TaskGroup) -> None:
        for queue in list(self._domain_queues.values()):  # a domain that is paused meanwhile gets a queue
            await self._read(queue, group)
        if len(self._ready) < (self._tokens.read_ahead if self._tokens else 1):
            await self._read(self._other_domains, group)

    async def _read(self, queue: DomainQueue, group: asyncio.TaskGroup) -> None:
        """Read a queue's next page, if its domain has a permit soon and rows may be due."""
        if queue.exhausted or not queue.may_claim(self._clock.now(), self._under_way):
            return
        # A claimed row is `queued` in the log until its token is requested, and one that is settled during the read is
        # in the page as it was before.
        claimed = self._under_way.keys() | {delivery.id for delivery in self._ready}
        page = await queue.claim(self._log, max(_PAGE_SIZE, self.concurrency.max_deliveries), self._under_way)
        # a domain that was paused meanwhile has its own queue
        others = self._domain_queues if queue is self._other_domains else ()
        kept = [each for each in page if each.id not in claimed and each.recipient.domain not in others]
        self._log.give_back({each.id for each in page} - {each.id for each in kept})
        page = kept
        if self.gate and page:
            page = await self.gate.review(page)
        if queue.limiter is None:
            self._ready.extend(page)
        else:
            queue.scheduled.update(delivery.id for delivery in page)
            self._ready.extendleft(reversed(page))
        if page and self._tokens:
            group.create_task(self._tokens.prepare(page))
        for call in self.gate.preparations(page) if page and self.gate else ():
            group.create_task(call)

    async def _wait_for_quota(self, ramp: Ramp) -> bool:
        """Wait until today's quota ends, or a delivery under way does; return False if the run does not stay for it."""
        if self._under_way:
            await self._until(ramp.free_at)
            return True
        due = self._clock.now() if self._ready else await self._log.next_due(-1.0)
        if due is None or max(due, ramp.free_at) > self._clock.now() + self._longest_wait:
            return False
        self._on_wait(ramp.why, max(due, ramp.free_at))
        await self._until(max(due, ramp.free_at))
        return True

    async def _something_comes(self) -> bool:
        """Wait until something may be due; return False if nothing ever will be in this run."""
        now = self._clock.now()
        # before the log is read: a row that comes back meanwhile is not yet in what was read
        under_way = bool(self._under_way)
        due = await self._next_due()
        if due is not None and due <= now:
            for queue in self._all_queues():
                queue.exhausted = False
        elif under_way or self._under_way:
            await self._until(min(now + _MAX_RATE_WAIT_S if due is None else due, now + self._log.queue_holds_s))
        elif due is None or (not self._longest_wait and due > now + _MAX_WAIT_S):
            return await self._others.wait(self._changed)
        else:
            self._on_wait(self._limits.told_of_pause or NOTHING_DUE[self.gate is not None], due)
            await self._until(min(due, now + self._log.queue_holds_s))
        return True

    async def _next_due(self) -> float | None:
        """Return when the next row is due: one that waits for its retry, or one whose domain has a permit again."""
        for queue in list(self._domain_queues.values()):  # the run does not wait for a domain that has no row left
            if not queue.exhausted and not queue.stopped:
                await queue.look_ahead(self._log)
        turns = [queue.next_claim_at(self._under_way) for queue in self._all_queues() if not queue.exhausted]
        looked = [queue.cursor.after[0] for queue in self._all_queues() if queue.exhausted]
        stopped = [domain for domain, queue in self._domain_queues.items() if queue.stopped]
        due = await self._log.next_due(min(looked), without=stopped) if looked else None
        # a run stays for its rates, however slow, and not for rows that are due a day later
        latest = self._clock.now() + max(self._longest_wait, _MAX_WAIT_S)
        rows = [] if due is None or due > latest else [due]
        return min((instant for instant in turns + rows if instant < NEVER), default=None)

    def _queue_for(self, delivery: Delivery) -> DomainQueue | None:
        """Return the queue of the domain of a delivery that is under way, if the domain has one."""
        return self._domain_queues.get(self._under_way[delivery.id]) if self._domain_queues else None

    def _new_queue(self, domain: str, limiter: RateLimiter) -> DomainQueue:
        return DomainQueue(QueueCursor(domain=domain), limiter, self.concurrency, self._clock)

    def _all_queues(self) -> list[DomainQueue]:
        return [self._other_domains, *self._domain_queues.values()]

    async def _until(self, instant: float) -> None:
        """Return at an instant, or earlier when something changed since `next` looked."""
        await self._clock.wait(self._changed, max(0.0, instant - self._clock.now()))
