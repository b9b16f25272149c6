"""Read the file and the recipients of a watched campaign: `MemberReading`, the base class of `Member`."""

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
    SendLogUnusableError,
    ServiceRefusesError,
    TemplateError,
)
from campaign.sendlog import Recovered
from campaign.watching.daily_batch import DailyBatch
from campaign.watching.enlisting import enlist
from campaign.watching.events import About
from campaign.watching.reading_schedule import ReadingSchedule
from campaign.watching.version import CampaignVersion

if TYPE_CHECKING:
    from pathlib import Path

    from campaign.clock import Clock
    from campaign.delivery.observer import Plan
    from campaign.sendlog import SendLog
    from campaign.watching.events import CampaignEvents
    from campaign.watching.session import WatchSession

#: The first pause after a service refused all requests, or while all rows that are left are of a domain that refuses
#: the sender; it doubles up to an hour.
_FIRST_REST = timedelta(seconds=30)
NOTHING_RECOVERED = Recovered(0, 0, 0)


class MemberReading:
    """One campaign of a watch, over all versions of its file and all sessions: what is read of it.

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
        self._reading = ReadingSchedule(clock)
        self._must_reload = self._was_refused = False
        #: The rows of a CSV are enlisted, so that there is something to send.
        self._has_rows = False
        self._has_revocations = False
        self._batch = DailyBatch()
        self._rest = Backoff(RetryPolicy(1, _FIRST_REST))

    @property
    def files(self) -> frozenset[Path]:
        """The files whose change concerns it, without the CSV.

        While a change is refused, they include the folder, where a file may be missing.
        """
        return self.version.sources | ({self.version.definition.folder} if self._was_refused else set())

    def begin(self, log: SendLog) -> None:
        """Begin with a log that was opened anew, in which nothing is read yet."""
        self.log, self._reading.is_wanted, self._has_rows = log, True, False

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
            session.require_same_name(self.version, version)
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
        plan = await enlist(session, version, self.log, recovered, self.events.observer().waiting)
        self._reading.done(took=system.now() - began, is_waitlist=version.csv is None)
        self._has_rows = True
        self._has_revocations = plan.summary.revocations > 0
        self._batch.enlisted()
        session.news.add(self.events.name)
        return plan

    async def _resume(self, session: WatchSession) -> bool:
        async with session.turns.reading(alone=False, pause=session.pause):
            return await asyncio.to_thread(resume, self.log, self.version.definition)
