"""Schedule deliveries: `Scheduler.next` picks the next due row, within the limits and the pauses of domains."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from campaign.delivery.domain_queue import NEVER, DomainQueue
from campaign.delivery.rate_limiter import RateLimiter
from campaign.errors import Scope
from campaign.model import Status
from campaign.sendlog import QueueCursor

if TYPE_CHECKING:
    from collections.abc import Callable

    from campaign.clock import Clock
    from campaign.delivery.concurrency import Concurrency
    from campaign.delivery.rate_limiter import Permit, RateLimits
    from campaign.delivery.user_directory import UserDirectory
    from campaign.model import Delivery, Outcome
    from campaign.sendlog import SendLog

#: Rows are read from the log by the hundred: one call to Clerk checks as many addresses.
_PAGE = 100
#: A service that has no turn for so long (seconds) is waited for with no token in hand.
_LONG = 2.0
#: A run that is not to wait for what comes later does wait so long (seconds) for its rate.
_PATIENCE = 60.0

#: Not waiting for another try: on its way, or settled.
_UNDER_WAY = float("inf")


class Scheduler:
    """Hands out due recipients, never more at once than are of use.

    Args:
        log: the queue, entered.
        clock: the time.
        concurrency: how many may be under way.
        limits: a service with no permit soon keeps all recipients in the log, a domain only its own.
        users: asked for the users of each page ahead of their turn, if there is one.
        wait: whether to stay for what becomes due later.
        limit: how many recipients this run takes at most, or None.
        on_wait: told why nothing goes out, and until when (seconds since the epoch).
    """

    def __init__(
        self,
        log: SendLog,
        clock: Clock,
        concurrency: Concurrency,
        limits: RateLimits,
        *,
        users: UserDirectory | None,
        wait: bool,
        limit: int | None,
        on_wait: Callable[[str, float], None],
    ) -> None:
        self._log = log
        self._clock = clock
        self._concurrency = concurrency
        self._services = limits.services
        self._acquire_server = partial(limits.messages.acquire_or_defer, "the mail server", Scope.SERVER)
        self._users = users
        self._wait = wait
        self._limit = limit
        self._on_wait = on_wait
        self._rest = DomainQueue(QueueCursor(without=tuple(limits.domains)), None, concurrency, clock)
        self._special = {domain: self._lane_of(domain, limiter) for domain, limiter in limits.domains.items()}
        self._ready: deque[Delivery] = deque()
        #: Within a limit: who was claimed in this run, when each comes back, and of which domain.
        self._ours: dict[int, tuple[float, str]] | None = None if limit is None else {}
        self._full = False
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
            parked = sum([lane.waiting for lane in self._special.values()]) if self._special else 0
            if len(self._under_way) - parked >= self._concurrency.max_deliveries:
                await self._until(now + _PATIENCE)
            # whoever is under way may still need a turn of each service: not to be held with a token in hand for a day
            elif (free_at := self._free_at(ahead=len(self._under_way))) > now + _LONG:
                if not self._wait and not self._under_way and self._not_soon(now, free_at):
                    return None
                if self._free_at(ahead=0) > now + _LONG:
                    self._on_wait(self._held_why or "no message may leave now", free_at)
                await self._until(free_at)
            else:
                for lane in list(self._special.values()):  # a domain may be held meanwhile, and gets a lane
                    await self._read(lane, group)
                if len(self._ready) < (self._users.read_ahead if self._users else 1):
                    await self._read(self._rest, group)
                if self._ready:
                    delivery = self._ready.popleft()
                    self._under_way[delivery.id] = delivery.recipient.domain
                    return delivery
                if not await self._something_comes():
                    return None
        return None

    def raise_if_paused(self, delivery: Delivery) -> None:
        """Raise TransientError if the recipient's domain is left alone for long: the row is better off in the log."""
        if lane := self._lane(delivery):
            lane.raise_if_paused()

    async def wait_until_due(self, delivery: Delivery) -> None:
        """Return when the permit of the recipient's domain is near.

        Raises:
            TransientError: it is not soon.
        """
        lane = self._lane(delivery)
        if lane is not None:
            self._changed.set()  # a delivery that waits here makes room for others
            await lane.wait_until_due(delivery.id)

    async def acquire(self, delivery: Delivery) -> Permit:
        """Return a permit of the mail server and of the recipient's domain for the message; both are then taken.

        Raises:
            TransientError: not soon.
        """
        lane = self._lane(delivery)
        return await (lane.turn(delivery.id, self._acquire_server) if lane else self._acquire_server())

    def pause_domain(self, domain: str, seconds: float) -> None:
        """Hand out nobody of a domain for `seconds`; for ever if that is infinite."""
        lane = self._special.get(domain)
        if lane is None:
            lane = self._special[domain] = self._lane_of(domain, RateLimiter((), self._clock))
            self._rest.lane.without += (domain,)
        lane.hold(seconds)
        # what was read already is still queued in the log, where the domain's own lane finds it again
        back = {delivery.id: (0.0, domain) for delivery in self._ready if delivery.recipient.domain == domain}
        if back:
            self._ready = deque(delivery for delivery in self._ready if delivery.id not in back)
            lane.rewind()
            lane.scheduled -= back.keys()
            if self._ours is not None:
                self._ours |= back

    def paused_until(self, domain: str) -> float:
        """Return the instant until which a domain is held; in the past if it is not, or for ever."""
        lane = self._special.get(domain)
        until = lane.pacer.paused_until if lane and lane.pacer else 0.0
        return until if until < NEVER else 0.0

    def settled(self, delivery: Delivery, outcome: Outcome) -> None:
        """Note that a recipient's path has ended, and that the row may come back."""
        domain = self._under_way.pop(delivery.id)
        if lane := self._special.get(domain):
            lane.gone(delivery.id)
            if outcome.status is Status.SENT:
                lane.accepted()
        if outcome.status is Status.QUEUED:
            (lane or self._rest).came_back(outcome.not_before)
        if self._ours is not None:
            back = outcome.not_before if outcome.status is Status.QUEUED else _UNDER_WAY
            self._ours[delivery.id] = (back, domain)
        self._changed.set()

    @property
    def stopped(self) -> bool:
        """Whether this run takes no further delivery."""
        return self._stopped

    def stop(self) -> None:
        """Hand out no further delivery."""
        self._stopped = True
        self._ready.clear()
        self._changed.set()

    async def pause(self, why: str, until: float) -> None:
        """Return at an instant, or when the feed is stopped."""
        if not self._wait:
            self.stop()
            return
        self._on_wait(why, until)
        while not self._stopped and self._clock.now() < until:
            self._changed.clear()
            await self._until(until)

    # -- inside --------------------------------------------------------------------------------------------------

    def _free_at(self, *, ahead: int) -> float:
        return max([pacer.free_at(ahead) for pacer in self._services] or [self._clock.now()])

    @property
    def _held_why(self) -> str:
        """What a service did that is left alone for it; empty if none is."""
        return next((pacer.paused_why for pacer in self._services if pacer.is_paused), "")

    def _not_soon(self, now: float, free_at: float) -> bool:
        return free_at > now + _PATIENCE or any(pacer.paused_until > now for pacer in self._services)

    async def _read(self, lane: DomainQueue, group: asyncio.TaskGroup) -> None:
        """Take a lane's next page up, if it has a turn to give and rows that are due."""
        if lane.exhausted or not lane.has_a_turn(self._clock.now(), self._under_way):
            return
        # A row that was claimed before is `queued` in the log until its token is asked for. Rows that are settled while
        # the log is read count, too: the page has them as they were.
        claimed = self._under_way.keys() | {delivery.id for delivery in self._ready}
        page = await lane.claim(self._log, max(_PAGE, self._concurrency.max_deliveries), self._under_way)
        if lane is self._rest and self._special:  # rows of a domain that was held meanwhile are found by its own lane
            page = [delivery for delivery in page if delivery.recipient.domain not in self._special]
        page = [delivery for delivery in self._within_limit(page) if delivery.id not in claimed]
        if lane.pacer is None:
            self._ready.extend(page)
        else:
            lane.scheduled.update(delivery.id for delivery in page)
            self._ready.extendleft(reversed(page))
        if page and self._users:
            group.create_task(self._users.fetch([delivery.recipient for delivery in page]))

    def _within_limit(self, page: list[Delivery]) -> list[Delivery]:
        """Return the rows of a page that this run may still claim."""
        if self._ours is None or self._limit is None:
            return page
        allowed = []
        for delivery in page:
            if delivery.id in self._ours or len(self._ours) < self._limit:
                self._ours[delivery.id] = (_UNDER_WAY, delivery.recipient.domain)
                allowed.append(delivery)
        if not self._full and len(self._ours) >= self._limit:
            # from here on only what comes back is looked at
            self._full = True
            back = min([self._clock.now(), *(instant for instant, _ in self._ours.values())])
            for lane in self._all():
                lane.lane.skip_to(back)
                lane.exhausted = True
        return allowed

    async def _something_comes(self) -> bool:
        """Wait until something may be due; return False if nothing ever will be in this run."""
        now = self._clock.now()
        due = await self._next_due()
        if due is not None and due <= now:
            for lane in self._all():
                lane.exhausted = False
        elif self._under_way:
            await self._until(now + _PATIENCE if due is None else due)
        elif due is None or (not self._wait and due > now + _LONG):
            return False
        else:
            self._on_wait(self._held_why or "all that is left waits for its next try", due)
            await self._until(due)
        return True

    async def _next_due(self) -> float | None:
        """Return when the next row is due: a waiting one, or one whose domain has a turn again."""
        await self._look_ahead()
        turns = [lane.turn_at(self._under_way) for lane in self._all() if not lane.exhausted]
        if self._ours is not None and self._full:
            rows = [max(instant, self._turn_of(domain)) for instant, domain in self._ours.values()]
        else:
            looked = [lane.lane.after[0] for lane in self._all() if lane.exhausted]
            stopped = [domain for domain, lane in self._special.items() if lane.stopped]
            due = await self._log.next_due(min(looked), without=stopped) if looked else None
            rows = [] if due is None else [due]
        return min((instant for instant in turns + rows if instant < NEVER), default=None)

    def _turn_of(self, domain: str) -> float:
        lane = self._special.get(domain)
        return lane.turn_at(self._under_way) if lane else 0.0

    async def _look_ahead(self) -> None:
        """Note which domains have nobody left, so that the run does not wait for their turn."""
        for lane in list(self._special.values()):
            if not lane.exhausted and not lane.stopped:
                await lane.look_ahead(self._log)

    def _lane(self, delivery: Delivery) -> DomainQueue | None:
        """Return the lane of the domain of somebody who is under way, if it has one."""
        return self._special.get(self._under_way[delivery.id]) if self._special else None

    def _lane_of(self, domain: str, pacer: RateLimiter) -> DomainQueue:
        return DomainQueue(QueueCursor(domain=domain), pacer, self._concurrency, self._clock)

    def _all(self) -> list[DomainQueue]:
        return [self._rest, *self._special.values()]

    async def _until(self, instant: float) -> None:
        """Return at an instant, or earlier when something changed since `next` looked."""
        await self._clock.wait(self._changed, max(0.0, instant - self._clock.now()))
