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
from campaign.delivery.campaign_log import lease_of
from campaign.delivery.outbound import limits_of, open_outbound
from campaign.delivery.retry import Backoff, RetryPolicy
from campaign.delivery.services import open_services
from campaign.delivery.signals import caught
from campaign.delivery.worker_rates import open_worker_rates
from campaign.errors import CampaignError, LogHeldError, SendLogError, SendLogUnusableError, first_error
from campaign.sendlog import SendLog, held_by_process
from campaign.watching.events import LOG, About, CampaignEvents
from campaign.watching.file_watch import FileWatch
from campaign.watching.health import Health
from campaign.watching.lookout import Lookout
from campaign.watching.member import Member
from campaign.watching.metrics import Metrics
from campaign.watching.session import WatchSession
from campaign.watching.start import start_notices
from campaign.watching.version import require_own_names, require_same_services, shared_rates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from campaign.delivery.sandbox_time import Simulation
    from campaign.delivery.services import Services
    from campaign.sendlog import LogDatabase
    from campaign.watching.start import StartReport
    from campaign.watching.version import CampaignVersion

#: The first pause before a log that could not be written is opened anew; it doubles up to a minute (seconds).
_LOG_POLICY, _LONGEST_LOG_WAIT_S = RetryPolicy(1, timedelta(seconds=5)), 60.0
#: After these the log is opened anew.
_LOG_ERRORS = (SendLogError, SendLogUnusableError, LogHeldError)
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
    first = versions[0]
    services = open_services(
        first.definition, first.settings, sandbox=options.sandbox, simulation=options.simulation, learns=False
    )
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(services)
        engine = Engine(versions, opened, report)
        report.opened(engine.services)
        if options.port is not None:
            from campaign.watching.endpoint import serve  # noqa: PLC0415 - a watch without a port starts sooner

            report.serving(await stack.enter_async_context(serve(options.port, engine.metrics, engine.health)))
        with held_by_process(opened.log, by=HOLDER) as database:
            return await engine.run(database)


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

    async def run(self, database: LogDatabase) -> bool:
        """Run until a signal comes; return False if the operator did not confirm.

        Args:
            database: that of the send log, held.
        """
        for member in self._members:
            member.events.loaded()
        with ExitStack() as confirmed:
            try:
                while not self._stopping.is_set():
                    error = await self._run_session(database, confirmed)
                    if not self._is_confirmed:
                        return False
                    if error is not None:
                        await self._wait_for_log(error)
            except asyncio.CancelledError:
                # what was in hand is what a crash would have left; say so at once
                with suppress(CampaignError), database.writer() as held, closing(self._new_log(held, 0)) as log:
                    log.recover()
                raise
        LOG.info("the watch has ended; what was in hand is finished", extra={"event": "ended"})
        return True

    # -- sessions ------------------------------------------------------------------------------------------------

    async def _run_session(self, database: LogDatabase, confirmed: ExitStack) -> CampaignError | None:
        """Open the log and the connections, and keep all campaigns until the session ends.

        Args:
            database: that of the send log, held.
            confirmed: what lasts from the confirmation to the end of the watch: the signals that are caught, so that
                Ctrl-C ends the question, and a simulated time that passes.

        Returns:
            Why the log has to be opened anew; None if it has not.
        """
        try:
            async with AsyncExitStack() as stack:
                session = await self._open_session(database, stack)
                recovered = await asyncio.to_thread(self._members[0].log.recover)
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
                    group.create_task(Lookout(session, self._members, self.health).keep())
                    for member in self._members:
                        group.create_task(member.keep(session))
                return session.error
        except BaseExceptionGroup as group:  # of the tasks, and of those that open connections
            error = first_error(group)
            if self._is_confirmed and isinstance(error, _LOG_ERRORS):
                return error
            raise error or group from None
        except _LOG_ERRORS as error:
            if not self._is_confirmed:
                raise
            return error
        finally:
            self._session = None

    async def _open_session(self, database: LogDatabase, stack: AsyncExitStack) -> WatchSession:
        for number, member in enumerate(self._members):
            log = await asyncio.to_thread(self._open_log, database, number, stack)
            log.share(lease=lease_of(member.version.settings), say=member.events.told)
            await stack.enter_async_context(log.working())
            member.begin(log)
        versions = [member.version for member in self._members]
        rates, log = shared_rates(versions, self.services), self._members[0].log
        workers = await stack.enter_async_context(open_worker_rates(log, self.services.clock))
        limits = limits_of(rates, self.services, log, workers)
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

    def _open_log(self, database: LogDatabase, number: int, stack: AsyncExitStack) -> SendLog:
        """Open the log of a campaign, by its number, under the lock, until the session ends."""
        return stack.enter_context(closing(self._new_log(stack.enter_context(database.writer()), number)))

    def _new_log(self, database: LogDatabase, number: int) -> SendLog:
        return SendLog(database, self._members[number].version.name, self.services.clock)

    async def _wait_for_log(self, error: CampaignError) -> None:
        """Wait before the log is opened anew; nothing is sent meanwhile."""
        seconds = min(self._backoff.failed(None), _LONGEST_LOG_WAIT_S)
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
            member.stop(may_end=lambda: not any(each.under_way for each in self._members))
        if self._session:
            self._session.end()
