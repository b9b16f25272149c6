"""Look at the files, the time and the send log beside the campaigns of a watch: `Lookout.keep`."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from campaign.clock import SystemClock
from campaign.errors import CampaignError, ServiceRefusesError
from campaign.sendlog import QueueReader, workers_of
from campaign.watching.events import About
from campaign.watching.outage import Outage

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from campaign.sendlog import QueueState, Summary
    from campaign.watching.health import Health
    from campaign.watching.member import Member
    from campaign.watching.session import WatchSession

#: Seconds of the machine between two looks at the files.
_LOOK_EVERY_S = 0.5
#: How often the counts of the log are read for the metrics (seconds of the machine).
_COUNT_EVERY_S = 30.0
#: Counting takes at most this share of the time, however many rows there are.
_SHARE = 0.05
#: How often the queue of a log is looked at that other runs share, and a log that is away (seconds of the machine).
_QUEUE_EVERY_S, _AWAY_EVERY_S = 5.0, 2.0


class _Queue(NamedTuple):
    """How a campaign's queue stands, and whether no other run sends it."""

    state: QueueState
    is_alone: bool


class Lookout:
    """What a watch looks at beside its campaigns, from one opening of the send log to the next.

    Args:
        session: the services, the log and the files.
        members: the campaigns.
        health: told that the watch is alive.
    """

    def __init__(self, session: WatchSession, members: Sequence[Member], health: Health) -> None:
        self._session = session
        self._members = members
        self._health = health
        self._system = SystemClock()
        self._outage = Outage(session.outbound)
        self._said = ""
        self._count_at = self._queue_at = self._rests_until = 0.0
        self._losses = 0
        self._is_away = False

    async def keep(self) -> None:
        """Look until the session ends."""
        while not await self._system.wait(self._session.ending, _LOOK_EVERY_S):
            now = self._system.now()
            self._health.alive(now)
            self._look_at_services(now)
            changed = await asyncio.to_thread(self._session.files.look)
            for member in self._members:
                if changed:
                    member.changed(changed)
                member.tick(self._session.services.clock.now())
            await self._look_at_log(now)

    def _look_at_services(self, now: float) -> None:
        """Say that a service has not worked for a while, or works again."""
        why = self._outage.reason(now)
        if why == self._said:
            return
        self._said = why
        for member in self._members:
            if why:
                member.events.failed(ServiceRefusesError(why), about=About.SERVICES, then="it is waited for")
            else:
                member.events.works(About.SERVICES)

    # -- the log -------------------------------------------------------------------------------------------------

    async def _look_at_log(self, now: float) -> None:
        """Read the counts that are due or have changed, and look at what other runs do to the queue."""
        workers, names = self._session.workers, set[str]()
        if workers and workers.losses != self._losses and now >= self._queue_at:
            self._losses, self._count_at = workers.losses, now
        if is_regular := now >= self._count_at:
            self._count_at = now + _COUNT_EVERY_S
            names = {member.version.name for member in self._members}
        elif now >= self._rests_until:
            names = self._session.news.copy()
        self._session.news.difference_update(names)
        try:
            await self._count(names, is_regular=is_regular)
            if workers and now >= self._queue_at:
                self._queue_at = now + _QUEUE_EVERY_S
                await self._look_at_queues()
        except CampaignError as error:
            if workers:  # of a file, those say it that write
                self._count_at = self._queue_at = now + _AWAY_EVERY_S
                self._log_is_away(error)
        else:
            if names and self._is_away:
                self._log_works()

    def _log_is_away(self, error: CampaignError) -> None:
        if not self._is_away:
            self._is_away = True
            for member in self._members:
                member.events.failed(error, about=About.LOG, then="nothing is sent meanwhile, and it is waited for")

    def _log_works(self) -> None:
        self._is_away = False
        for member in self._members:
            member.events.works(About.LOG)

    async def _count(self, names: Collection[str], *, is_regular: bool) -> None:
        """Read the counts of some campaigns for the metrics, in a thread."""
        if not names:
            return
        services = self._session.services

        def read() -> list[Summary]:
            with closing(QueueReader(services.log)) as reader:
                return [reader.summary(name, now=services.clock.now()) for name in names]

        began = self._system.now()
        found = {summary.campaign: summary for summary in await asyncio.to_thread(read)}
        ended = self._system.now()
        self._rests_until = ended + (ended - began) * (1 / _SHARE - 1)
        self._count_at = max(self._count_at, self._rests_until)
        for member in self._members:
            if summary := found.get(member.version.name):
                self._session.metrics.waiting(summary.campaign, summary)
                if is_regular:
                    member.counted(summary)

    async def _look_at_queues(self) -> None:
        """Let the campaigns know what other runs have queued or enlisted, in a thread."""
        for member, queue in await asyncio.to_thread(self._queues):
            member.queue_stands(queue.state, self._session.services.clock.now(), is_alone=queue.is_alone)

    def _queues(self) -> list[tuple[Member, _Queue]]:
        log, found = self._session.services.log, []
        with closing(QueueReader(log)) as reader:
            for member in self._members:
                state = reader.state(member.version.name)
                if state is not None:
                    is_same = state.enlistment <= member.log.enlistment or state.content == member.log.content
                    found.append((member, _Queue(state, is_same or self._is_alone(member))))
        return found

    def _is_alone(self, member: Member) -> bool:
        workers = workers_of(self._session.services.log) or []
        mine, name = member.log.worker_id, member.version.name
        return not any(each.campaign == name and each.id != mine and not each.is_late for each in workers)
