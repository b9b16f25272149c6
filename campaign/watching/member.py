"""Look after one campaign of a watch, cycle by cycle: `Member.keep`."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from campaign.clock import SystemClock
from campaign.delivery.preparing import resume
from campaign.delivery.retry import Backoff, RetryPolicy
from campaign.errors import (
    CannotStartError,
    NoRecipientsError,
    RecipientsError,
    SendLogError,
    SendLogUnusableError,
    ServiceRefusesError,
    TemplateError,
    first_error,
)
from campaign.model import NEVER
from campaign.sendlog import Recovered
from campaign.watching.cycle import open_cycle
from campaign.watching.daily_batch import DailyBatch
from campaign.watching.enlisting import enlist
from campaign.watching.events import About
from campaign.watching.reading_schedule import ReadingSchedule
from campaign.watching.version import CampaignVersion

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from campaign.clock import Clock
    from campaign.delivery.observer import Plan
    from campaign.delivery.sending import Sending
    from campaign.sendlog import SendLog, Summary
    from campaign.watching.events import CampaignEvents
    from campaign.watching.session import WatchSession

#: A row that is due this soon begins a sending (seconds).
_SOON_S = 1.0
#: The first pause after a service refused all requests, or while all rows that are left are of a domain that refuses
#: the sender; it doubles up to an hour.
_FIRST_REST = timedelta(seconds=30)
#: The longest wait for an event: a timer of years cannot be set.
_MAX_WAIT_S = 86_400.0
NOTHING_RECOVERED = Recovered(0, 0, 0)


class Member:
    """One campaign of a watch, over all versions of its file and all sessions.

    Args:
        version: the campaign file as it was read.
        events: told what happens.
        clock: the time.

    Attributes:
        log: the campaign's send log, from `begin` on.
    """

    log: SendLog

    def __init__(self, version: CampaignVersion, events: CampaignEvents, clock: Clock) -> None:
        self.version = version
        self.events = events
        self._wake = asyncio.Event()
        self._sending: Sending | None = None
        self._reading = ReadingSchedule(clock)
        self._must_reload = self._was_refused = False
        #: The rows of a CSV are enlisted, so that there is something to send.
        self._has_rows = False
        self._has_revocations = False
        self._batch = DailyBatch()
        #: The instant before which the campaign is not sent again.
        self._send_at = 0.0
        self._rest = Backoff(RetryPolicy(1, _FIRST_REST))
        self._is_stopped = False

    @property
    def files(self) -> frozenset[Path]:
        """The files whose change concerns it, without the CSV.

        While a change is refused, they include the folder, where a file may be missing.
        """
        return self.version.sources | ({self.version.definition.folder} if self._was_refused else set())

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

    def interrupt(self) -> None:
        """Finish what is in hand, and look again at what there is to do."""
        self._wake.set()
        if self._sending:
            self._sending.pause()

    def stop(self) -> None:
        """Finish what is in hand, since a signal came."""
        self._is_stopped = True
        if self._sending:
            self._sending.stop()

    # -- cycles --------------------------------------------------------------------------------------------------

    async def keep(self, session: WatchSession) -> None:
        """Read, send and wait, until the session ends."""
        clock = session.services.clock
        try:
            while not session.ending.is_set():
                self._wake.clear()
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

    def begin(self, log: SendLog) -> None:
        """Begin with a log that was opened anew, in which nothing is read yet."""
        self.log, self._reading.is_wanted, self._has_rows = log, True, False

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
                    sending.stop()
                elif self._wake.is_set():
                    sending.pause()
                await sending.run()
                return sending
        except BaseExceptionGroup as group:
            raise first_error(group) or group from None
        finally:
            self._sending = None

    async def _after(self, session: WatchSession, sending: Sending) -> float:
        """Note how a sending ended; return when to look again."""
        clock = session.services.clock
        self._has_revocations = False
        self.events.works(About.SENDING)
        due = max(await self._next_due(), sending.quota_until or 0.0)
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

    # -- reading -------------------------------------------------------------------------------------------------

    async def read(self, session: WatchSession, recovered: Recovered | None = None) -> Plan | None:
        """Enlist the CSV or the waitlist; return what there is to send, or None if it cannot be read.

        What cannot be read is said once. The rows enlisted before are sent: nobody has left a list that is not read.

        Args:
            session: the services, and whose turn it is.
            recovered: what a crash left; only when the watch begins.

        Raises:
            SendLogError: the log cannot be written.
            SendLogUnusableError: the log is damaged.
            CannotStartError: when the watch begins: another campaign file has the same name in this log.
        """
        try:
            plan = await self._enlist(session, self.version, recovered or NOTHING_RECOVERED)
        except SendLogUnusableError:
            raise
        except (CannotStartError, ServiceRefusesError) as error:
            if recovered and not isinstance(error, RecipientsError | TemplateError | ServiceRefusesError):
                raise
            if session.ending.is_set():
                return None  # the reading was stopped
            csv = self.version.csv
            self._reading.failed(
                is_half=csv is not None and not session.files.is_whole(csv),
                try_waitlist_in=self._rest.failed(None) if csv is None else None,
            )
            self._has_rows = self._has_rows or await self._resume(session)
            if isinstance(error, NoRecipientsError):
                self.events.nobody(error)
                return None
            goes_on = "the rows enlisted before are sent meanwhile" if self._has_rows else "the campaign waits for it"
            self.events.failed(error, about=About.RECIPIENTS, then=goes_on)
            return None
        self.events.works(About.RECIPIENTS)
        return plan

    async def _reload(self, session: WatchSession) -> None:
        """Take a changed campaign file or template up if all is well with it; go on as before otherwise."""
        self._must_reload = False
        file, settings = self.version.definition.path, self.version.settings
        try:
            version = await asyncio.to_thread(CampaignVersion.load, file, settings)
            session.require_same_name(self, version)
            await self._enlist(session, version, NOTHING_RECOVERED)
        except SendLogUnusableError:
            raise
        except (CannotStartError, ServiceRefusesError) as error:
            if session.ending.is_set():
                self._must_reload = True  # in the next session
                return
            self._was_refused = True
            self.events.refused(error)
            session.follow()
            return
        self.version, self._was_refused = version, False
        self.events.loaded()
        self.events.works(About.RECIPIENTS)
        session.has_changed()

    async def _enlist(self, session: WatchSession, version: CampaignVersion, recovered: Recovered) -> Plan:
        """Enlist the recipients of a version of the campaign; see `enlist`."""
        system = SystemClock()
        began = system.now()
        plan = await enlist(session, version, self.log, recovered)
        self._reading.done(took=system.now() - began, is_waitlist=version.csv is None)
        self._has_rows = True
        self._has_revocations = plan.summary.revocations > 0
        self._batch.enlisted()
        session.news.add(self.events.name)
        return plan

    async def _resume(self, session: WatchSession) -> bool:
        async with session.turns.reading(alone=False, pause=session.pause):
            return await asyncio.to_thread(resume, self.log, self.version.definition)
