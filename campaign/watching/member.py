"""Look after one campaign of a watch, cycle by cycle: `Member.keep`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from campaign.errors import CannotStartError, SendLogError, SendLogUnusableError, ServiceRefusesError, first_error
from campaign.model import NEVER
from campaign.watching.cycle import open_cycle
from campaign.watching.events import About
from campaign.watching.member_reading import MemberReading
from campaign.watching.other_versions import OtherVersions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from campaign.clock import Clock
    from campaign.delivery.sending import Sending
    from campaign.sendlog import QueueState, Summary
    from campaign.watching.events import CampaignEvents
    from campaign.watching.session import WatchSession
    from campaign.watching.version import CampaignVersion

#: A row that is due this soon begins a sending (seconds).
_SOON_S = 1.0
#: The longest wait for an event: a timer of years cannot be set.
_MAX_WAIT_S = 86_400.0


class Member(MemberReading):
    """One campaign of a watch, over all versions of its file and all sessions.

    Args:
        version: the campaign file as it was read.
        events: told what happens.
        clock: the time.
    """

    def __init__(self, version: CampaignVersion, events: CampaignEvents, clock: Clock) -> None:
        super().__init__(version, events, clock)
        self._wake = asyncio.Event()
        self._sending: Sending | None = None
        #: The instant before which the campaign is not sent again, and the end of a quota that is spent.
        self._send_at = self._quota_until = 0.0
        self._others = OtherVersions(events)
        self._is_stopped = False
        #: Asked, once it is stopped, whether a sending that waits for a log that is away may end without it.
        self._may_end: Callable[[], bool] = lambda: True

    def changed(self, files: Collection[Path]) -> None:
        """Take up files that have changed, when what is under way is finished."""
        has_sources, has_rows = not self.files.isdisjoint(files), self.version.csv in files
        if not (has_sources or has_rows):
            return
        # a file that was refused may be right now that another one has changed
        self._must_reload |= has_sources or self._was_refused
        self._reading.is_wanted |= has_rows
        self._send_at = 0.0
        self.interrupt()

    def tick(self, now: float) -> None:
        """Interrupt a sending if something else is due by the clock (seconds since the epoch)."""
        if self._sending and now >= min(self._reading.waitlist_at, self._batch.next_at):
            self.interrupt()

    def counted(self, summary: Summary) -> None:
        """Take note of what the log says: revocations that Clerk has not answered yet are tried again."""
        if summary.revocations and self._sending is None:
            self._has_revocations = True
            self.interrupt()

    def queue_stands(self, state: QueueState, now: float, *, is_alone: bool) -> None:
        """Take note of what other runs of the log did to the queue while nothing of the campaign is sent here.

        Args:
            state: how the queue stands.
            now: seconds since the epoch.
            is_alone: no other run sends the campaign at present.
        """
        if self._sending or not self._has_rows:
            return
        if self._others.must_read(self, state, now, is_alone=is_alone):
            self._reading.is_wanted = True
            self.interrupt()
        elif state.next_due is not None and max(state.next_due, self._send_at, self._quota_until) <= now:
            self.interrupt()

    def interrupt(self) -> None:
        """Finish what is in hand, and look again at what there is to do."""
        self._wake.set()
        if self._sending:
            self._sending.pause()

    @property
    def under_way(self) -> int:
        """How many attempts have begun and not ended."""
        return self._sending.under_way if self._sending else 0

    def stop(self, *, may_end: Callable[[], bool]) -> None:
        """Finish what is in hand, since a signal came.

        Args:
            may_end: asked whether what waits for a log that is away may end without it.
        """
        self._is_stopped, self._may_end = True, may_end
        if self._sending:
            self._stop(self._sending)
        self.log.drain()

    # -- cycles --------------------------------------------------------------------------------------------------

    async def keep(self, session: WatchSession) -> None:
        """Read, send and wait, until the session ends."""
        clock = session.services.clock
        try:
            while not session.ending.is_set():
                self._wake.clear()
                await self.log.restore()
                if self._must_reload:
                    await self._reload(session)
                elif clock.now() >= self._reading.next_at:
                    await self.read(session)
                next_at = await self._cycle(session)
                until = min(next_at, self._reading.next_at)
                if not session.ending.is_set():
                    await clock.wait(self._wake, min(max(0.0, until - clock.now()), _MAX_WAIT_S * clock.speed))
        except (SendLogError, SendLogUnusableError) as error:
            session.end(error)

    async def _cycle(self, session: WatchSession) -> float:
        """Send what is due; return when the campaign is to be looked at again (seconds since the epoch)."""
        clock = session.services.clock
        if not self._has_rows:
            return NEVER
        if self._send_at > clock.now():
            return self._send_at
        # the log is not read either while a large CSV is written to it
        async with session.turns.sending():
            if self._batch.is_due(clock.now()):
                await self._take_batch(clock.now())
            due = await self._next_due()
            if not self._has_revocations and due > clock.now() + _SOON_S:
                session.metrics.cycle_ended(self.events.name, at=clock.now())
                return min(due, self._batch.next_at)
            try:
                sending = await self._send(session)
            except SendLogUnusableError:
                raise
            except (CannotStartError, ServiceRefusesError) as error:
                return self._rests(session, error)
            return await self._after(session, sending)

    async def _send(self, session: WatchSession) -> Sending:
        try:
            async with open_cycle(self.version, self.log, session, self.events) as sending:
                self._sending = sending
                if self._is_stopped:
                    self._stop(sending)
                elif self._wake.is_set():
                    sending.pause()
                await sending.run()
                return sending
        except BaseExceptionGroup as group:
            raise first_error(group) or group from None
        finally:
            self._sending = None

    def _stop(self, sending: Sending) -> None:
        sending.stop(may_end=self._may_end, end=lambda: None)  # its next write fails, which ends the session

    async def _after(self, session: WatchSession, sending: Sending) -> float:
        """Note how a sending ended; return when to look again."""
        clock = session.services.clock
        self._has_revocations = False
        self.events.works(About.SENDING)
        self._quota_until = sending.quota_until or 0.0
        due = max(await self._next_due(), self._quota_until)
        if due > clock.now():
            self._rest.succeeded()
        elif not self._wake.is_set():
            # it ended by itself, and rows are due: their domain is stopped for now
            due = self._send_at = clock.now() + self._rest.failed(None)
        due = min(due, self._batch.next_at)
        self.events.cycle_ended(sending.tally, at=clock.now(), next_at=None if due >= NEVER else due)
        session.cycle_ended(self.events.name, next_at=due)
        return due

    def _rests(self, session: WatchSession, error: ServiceRefusesError | CannotStartError) -> float:
        seconds = self._rest.failed(None)
        self._send_at = session.services.clock.now() + seconds
        then = f"nothing is sent meanwhile, and it is tried again in {seconds:.0f} s"
        if isinstance(error, CannotStartError):
            then += "; a changed setting needs a restart of the watch"
        self.events.failed(error, about=About.SENDING, then=then)
        session.news.add(self.events.name)
        return self._send_at

    async def _next_due(self) -> float:
        """Return when the next row is due (seconds since the epoch, or less for one that is due at once)."""
        async with self.log as log:
            due = await log.next_due(-1.0)
        return NEVER if due is None else due

    async def _take_batch(self, now: float) -> None:
        batch = await asyncio.to_thread(self._batch.take, self.log, self.version.definition, now=now)
        if batch is not None:
            self.events.told(f"batch {batch.number}: {batch.size} new recipients today", event="batch")
