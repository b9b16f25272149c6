"""Run a campaign: `run` makes a pipeline of the settings and the campaign file, and runs it."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack, suppress
from functools import partial
from math import inf
from typing import TYPE_CHECKING, TypeVar

from campaign.clock import SystemClock
from campaign.delivery.campaign_log import lease_of, open_log
from campaign.delivery.log_outage import until_answered
from campaign.delivery.observer import Observer, Result
from campaign.delivery.outbound import SharedRates, limits_of, open_outbound
from campaign.delivery.patience import Patience
from campaign.delivery.preparing import clock_notice, prepare
from campaign.delivery.run_logging import LoggingObserver, log_end, log_error
from campaign.delivery.sending import Sending, SendingParts, open_sending
from campaign.delivery.services import open_services
from campaign.delivery.signals import caught
from campaign.delivery.waitlist import read_waitlist
from campaign.delivery.worker_rates import open_worker_rates
from campaign.errors import CampaignError, SendLogError, SendLogUnusableError, first_error
from campaign.message.dkim.signer import UNSIGNED, signer_of
from campaign.message.variants import CampaignMessages
from campaign.model import LONGEST_WAIT
from campaign.sendlog import exists

if TYPE_CHECKING:
    from collections.abc import Callable

    from campaign.config.definition import Definition
    from campaign.config.settings import Settings
    from campaign.delivery.sandbox_time import Simulation
    from campaign.model import Batch
    from campaign.sendlog import SendLog

T = TypeVar("T")


async def run(
    definition: Definition,
    settings: Settings,
    observer: Observer,
    *,
    sandbox: bool,
    wait: bool,
    limit: int | None,
    wait_for_server: bool = False,
    simulation: Simulation | None = None,
) -> Result:
    """Run a campaign, or resume it.

    Args:
        definition: the campaign file.
        settings: the environment.
        observer: told what happens, and asked before anything is sent.
        sandbox: work in the sandbox whatever is set.
        wait: stay for what becomes due later.
        limit: the most new recipients to send to; None for `[recipients] batch`, or else all.
        wait_for_server: wait without an end for services that do not work from the start.
        simulation: the time that the sandbox shows; the run then stays to its end, whatever becomes due days later.

    Raises:
        CannotStartError: input or settings are wrong.
        LogHeldError: another run holds the log.
        ServiceRefusesError: Clerk or the mail server refuses us, or one of them did not work for five minutes and
            nothing was sent.
        SendLogError: the log cannot be written any longer.
    """
    try:
        result = await _run(
            definition,
            settings,
            LoggingObserver(observer),
            sandbox=sandbox,
            wait=wait,
            limit=limit,
            wait_for_server=wait_for_server,
            simulation=simulation,
        )
    except BaseExceptionGroup as group:
        error = first_error(group)
        log_error(error or group)
        if error is None:
            raise
        raise error from None
    except CampaignError as error:
        log_error(error)
        raise
    log_end(result.summary, interrupted=result.interrupted)
    return result


async def _run(
    definition: Definition,
    settings: Settings,
    observer: Observer,
    *,
    sandbox: bool,
    wait: bool,
    limit: int | None,
    wait_for_server: bool,
    simulation: Simulation | None,
) -> Result:
    longest_wait = (inf if simulation else LONGEST_WAIT.total_seconds()) if wait else 0.0
    limit = definition.recipients.batch if limit is None else limit
    messages = CampaignMessages.load(definition)
    if wait_for_server and not sandbox:
        await until_answered(partial(exists, settings.log_of(definition.path)), observer.notice)
    async with (
        open_services(definition, settings, sandbox=sandbox, simulation=simulation) as services,
        AsyncExitStack() as stack,
    ):
        clock = services.clock
        observer.opened(services)
        with (
            signer_of(definition, settings, clock, sandbox=services.maildir is not None) as signer,
            open_log(services, definition, clock, with_others=True) as log,
        ):
            log.share(lease=lease_of(settings), say=_in_loop(observer.notice))
            if definition.dkim and signer is None:
                observer.notice(UNSIGNED)
            if told := await _durably(log, partial(clock_notice, log, clock)):
                observer.notice(told)
            rates = SharedRates.of([definition], services)
            workers = await stack.enter_async_context(open_worker_rates(log, clock))
            limits = limits_of(rates, services, log, workers)
            if definition.recipients.clerk and limits.clerk:
                begun_keys = partial(_durably, log, log.begun_keys)
                definition = await read_waitlist(definition, services, begun_keys, limits.clerk, observer.waiting)
            recovered = await _durably(log, log.recover)
            prepared = partial(prepare, log, definition, messages, services, recovered=recovered, limit=limit)
            plan = await _durably(log, partial(prepared, stays_until=clock.now() + longest_wait))
            goes_on = observer.confirm(plan)
            if not goes_on or not plan.has_work:
                return Result(plan.summary, interrupted=not goes_on, services=services)
            by_position = definition.recipients.order is not None
            batch = await _durably(log, partial(_batch, log, limit, by_position=by_position))
            batch = batch if limit is not None else None  # without a limit a batch is nothing that was asked for
            try:
                with services.time_passes():
                    async with (
                        log,
                        open_outbound(
                            [definition], services, settings, connections=rates.connections, limits=limits
                        ) as outbound,
                        open_sending(
                            SendingParts(
                                definition,
                                messages,
                                services,
                                settings,
                                observer,
                                signer,
                                outbound,
                                longest_wait,
                                # a network is as slow in a simulation
                                Patience(SystemClock(), is_endless=wait_for_server),
                            ),
                            log,
                        ) as sending,
                    ):
                        interrupted = await _until_done(sending)
                        if others := await log.held_by_others():
                            observer.notice(
                                f"Other runs have {others} rows of this CSV in hand; see them with: campaign workers"
                            )
                    summary = await _durably(log, log.summary)
                    return Result(summary, interrupted, services, waited_for=sending.waited_for, batch=batch)
            except asyncio.CancelledError:
                # what was in hand is what a crash would have left; say so at once
                with suppress(SendLogError, SendLogUnusableError):
                    log.recover()
                raise


async def _durably(log: SendLog, prepare: Callable[[], T]) -> T:
    """Return what a step of the preparation returns; if the log's server is lost meanwhile, wait for it and step again.

    Raises:
        SendLogError, SendLogUnusableError: it failed for another reason.
    """
    while True:
        try:
            return prepare()
        except (SendLogError, SendLogUnusableError):
            if not await log.is_back():
                raise


def _batch(log: SendLog, limit: int | None, *, by_position: bool) -> Batch | None:
    with log.preparing():
        return log.take_batch(limit, by_position=by_position)


async def _until_done(sending: Sending) -> bool:
    """Send until nothing is due soon; return whether a signal ended it before."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine runs in one
    with caught(partial(sending.stop, may_end=lambda: True, end=task.cancel)) as signals:
        await sending.run()
    if signals:
        sending.tell_wait()
    return bool(signals)


def _in_loop(notice: Callable[[str], None]) -> Callable[[str], None]:
    """Return a function that any thread may call: its sentence is shown from the event loop's."""
    loop, thread = asyncio.get_running_loop(), threading.get_ident()

    def say(text: str) -> None:
        if threading.get_ident() == thread:
            notice(text)
        else:
            loop.call_soon_threadsafe(notice, text)

    return say
