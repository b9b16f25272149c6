"""Run several campaigns in one process and one log, until a signal comes: `watch`.

Each campaign has a loop of its own (`Member.keep`), and the loops run side by side under the same rate limits and
connections. A limit gives its permits in the order in which they are asked for, and a campaign asks only for what it
has in hand: so one with a million rows and one with a single reminder share the rate, and neither waits for the other
to end. Taking turns would need a length for a turn, and would stop and start the sending at each.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, ExitStack, closing, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from campaign.clock import SystemClock
from campaign.delivery.outbound import limits_of, open_outbound
from campaign.delivery.retry import Backoff, RetryPolicy
from campaign.delivery.services import open_services
from campaign.delivery.signals import caught
from campaign.errors import (
    CampaignError,
    SendLogError,
    SendLogUnusableError,
    ServiceRefusesError,
    first_error,
)
from campaign.sendlog import LogReader, SendLog, held
from campaign.watching.events import LOG, About, CampaignEvents
from campaign.watching.file_watch import FileWatch
from campaign.watching.health import Health
from campaign.watching.member import Member
from campaign.watching.metrics import Metrics
from campaign.watching.outage import Outage
from campaign.watching.session import WatchSession
from campaign.watching.start import start_notices
from campaign.watching.version import require_log_file, require_own_names, require_same_services, shared_rates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from campaign.delivery.sandbox_time import Simulation
    from campaign.delivery.services import Services
    from campaign.sendlog import Summary
    from campaign.watching.start import StartReport
    from campaign.watching.version import CampaignVersion

#: Seconds of the machine between two looks at the files.
_LOOK_EVERY_S = 0.5
#: How often the counts of the log are read for the metrics (seconds of the machine).
_COUNT_EVERY_S = 30.0
#: The first pause before a log that could not be written is opened anew; it doubles up to an hour.
_LOG_POLICY = RetryPolicy(1, timedelta(seconds=5))
#: What the lock of the log says of its holder.
HOLDER = "campaign watch"


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """How a watch runs."""

    #: Use the sandbox, whatever the settings are.
    sandbox: bool
    #: The time that the sandbox is to show; None: the present.
    simulation: Simulation | None
    #: Where `/healthz` and `/metrics` are answered on 127.0.0.1; 0: a free port; None: nowhere.
    port: int | None


async def watch(versions: Sequence[CampaignVersion], options: WatchOptions, report: StartReport) -> bool:
    """Run campaigns until the first SIGINT or SIGTERM, which lets what is in hand be finished.

    Args:
        versions: the campaign files as they are when the watch begins; at least one.
        options: how it runs.
        report: asked before anything is sent.

    Returns:
        False if `report` did not confirm.

    Raises:
        CannotStartError: the campaigns or their settings do not go together, or the log cannot be opened.
        LogHeldError: another run holds the log.
        SendLogError: the log cannot be written when the watch begins.
    """
    require_own_names(versions)
    require_same_services(versions, sandbox=options.sandbox)
    require_log_file(versions[0], sandbox=options.sandbox)
    first = versions[0]
    services = open_services(
        first.definition, first.settings, sandbox=options.sandbox, simulation=options.simulation, learns=False
    )
    async with AsyncExitStack() as stack:
        engine = Engine(versions, await stack.enter_async_context(services), report)
        report.opened(engine.services)
        if options.port is not None:
            from campaign.watching.endpoint import serve  # noqa: PLC0415 - a watch without a port starts sooner

            report.serving(await stack.enter_async_context(serve(options.port, engine.metrics, engine.health)))
        with held(engine.services.log, by=HOLDER):
            return await engine.run()


class Engine:
    """The campaigns of a watch, and what becomes of them from one session to the next.

    Args:
        versions: the campaign files.
        services: the servers' addresses, and the time.
        report: asked before anything is sent.
    """

    def __init__(self, versions: Sequence[CampaignVersion], services: Services, report: StartReport) -> None:
        self.services = services
        self.metrics = Metrics()
        self._system = SystemClock()
        self.health = Health(self._system.now)
        self._report = report
        self._files = FileWatch(self._system.now)
        self._members = [
            Member(version, CampaignEvents(version.name, self.metrics, self.health), services.clock)
            for version in versions
        ]
        self._stopping = asyncio.Event()
        self._session: WatchSession | None = None
        self._is_confirmed = False
        self._backoff = Backoff(_LOG_POLICY)

    async def run(self) -> bool:
        """Run until a signal comes; return False if the operator did not confirm."""
        for member in self._members:
            member.events.loaded()
        with ExitStack() as confirmed:
            try:
                while not self._stopping.is_set():
                    error = await self._run_session(confirmed)
                    if not self._is_confirmed:
                        return False
                    if error is not None:
                        await self._wait_for_log(error)
            except asyncio.CancelledError:
                # what was in hand is what a crash would have left; say so at once
                with suppress(CampaignError), closing(self._open_log(self._members[0])) as log:
                    log.recover()
                raise
        LOG.info("the watch has ended; what was in hand is finished", extra={"event": "ended"})
        return True

    # -- sessions ------------------------------------------------------------------------------------------------

    async def _run_session(self, confirmed: ExitStack) -> CampaignError | None:
        """Open the log and the connections, and keep all campaigns until the session ends.

        Args:
            confirmed: what lasts from the confirmation to the end of the watch: the signals that are caught, so that
                Ctrl-C ends the question, and a simulated time that passes.

        Returns:
            Why the log has to be opened anew; None if it has not.
        """
        try:
            async with AsyncExitStack() as stack:
                session = await self._open_session(stack)
                recovered = self._members[0].log.recover()
                at_start = None if self._is_confirmed else recovered
                plans = [await member.read(session, at_start) for member in self._members]
                if at_start:
                    versions = [member.version for member in self._members]
                    notices = start_notices(versions, self.services, self._members[0].log)
                    if not self._report.confirm([plan for plan in plans if plan], notices):
                        return None
                    self._is_confirmed = True
                    confirmed.enter_context(caught(self._stop))
                    confirmed.enter_context(self.services.time_passes())
                    LOG.info("watching %s", ", ".join(each.name for each in versions), extra={"event": "started"})
                self._backoff.succeeded()
                for member in self._members:
                    member.events.works(About.LOG)
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._look(session))
                    for member in self._members:
                        group.create_task(member.keep(session))
                return session.error
        except BaseExceptionGroup as group:  # of the tasks, and of those that open connections
            error = first_error(group)
            if self._is_confirmed and isinstance(error, SendLogError | SendLogUnusableError):
                return error
            raise error or group from None
        except (SendLogError, SendLogUnusableError) as error:
            if not self._is_confirmed:
                raise
            return error
        finally:
            self._session = None

    async def _open_session(self, stack: AsyncExitStack) -> WatchSession:
        for member in self._members:
            member.begin(stack.enter_context(closing(self._open_log(member))))
        versions = [member.version for member in self._members]
        rates = shared_rates(versions, self.services)
        limits = limits_of(rates, self.services, self._members[0].log)
        definitions, settings = [version.definition for version in versions], versions[0].settings
        outbound = await stack.enter_async_context(
            open_outbound(definitions, self.services, settings, connections=rates.connections, limits=limits)
        )
        session = WatchSession(self.services, outbound, self._members, files=self._files, metrics=self.metrics)
        session.follow()
        if self._stopping.is_set():
            session.end()
        self._session = session
        return session

    def _open_log(self, member: Member) -> SendLog:
        return SendLog(self.services.log, member.version.name, self.services.clock)

    async def _wait_for_log(self, error: CampaignError) -> None:
        """Wait before the log is opened anew; nothing is sent meanwhile."""
        seconds = self._backoff.failed(None)
        for member in self._members:
            then = f"nothing is sent meanwhile, and it is tried again in {seconds:.0f} s"
            member.events.failed(error, about=About.LOG, then=then)
        self.health.alive(self._system.now())
        until = self._system.now() + seconds
        while (left := until - self._system.now()) > 0:
            if await self._system.wait(self._stopping, min(left, 1.0)):
                return
            self.health.alive(self._system.now())

    # -- beside the campaigns ------------------------------------------------------------------------------------

    def _stop(self) -> None:
        """Take nothing more up, since a signal came."""
        LOG.warning("stopping: what is in hand is finished first", extra={"event": "stopping"})
        self._stopping.set()
        self.health.draining()
        for member in self._members:
            member.stop()
        if self._session:
            self._session.end()

    async def _look(self, session: WatchSession) -> None:
        """Look at the files and the time until the session ends, and count what is in the log."""
        count_at, said, outage = 0.0, "", Outage(session.outbound)
        while not await self._system.wait(session.ending, _LOOK_EVERY_S):
            now = self._system.now()
            self.health.alive(now)
            if (why := outage.reason(now)) != said:
                said = why
                self._say_outage(why)
            changed = await asyncio.to_thread(self._files.look)
            for member in self._members:
                if changed:
                    member.changed(changed)
                member.tick(self.services.clock.now())
            if is_regular := now >= count_at:
                count_at = now + _COUNT_EVERY_S
            names = {member.version.name for member in self._members} if is_regular else session.news.copy()
            session.news.clear()
            with suppress(CampaignError):
                await self._count(names, is_regular=is_regular)

    def _say_outage(self, why: str) -> None:
        """Say that a service has not worked for a while, or works again."""
        for member in self._members:
            if why:
                member.events.failed(ServiceRefusesError(why), about=About.SERVICES, then="it is waited for")
            else:
                member.events.works(About.SERVICES)

    async def _count(self, names: set[str], *, is_regular: bool) -> None:
        """Read the counts of some campaigns for the metrics, in a thread."""
        if not names:
            return

        def read() -> list[Summary]:
            with closing(LogReader(self.services.log)) as reader:
                return [reader.summary(name, now=self.services.clock.now()) for name in names]

        found = {summary.campaign: summary for summary in await asyncio.to_thread(read)}
        for member in self._members:
            if summary := found.get(member.version.name):
                self.metrics.waiting(summary.campaign, summary)
                if is_regular:
                    member.counted(summary)
