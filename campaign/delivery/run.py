"""Run a campaign: `run` makes a pipeline of the settings and the campaign file, and runs it."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING

from campaign.clock import SystemClock
from campaign.delivery.campaign_log import lease_of, open_log
from campaign.delivery.composer import Composer, Identity
from campaign.delivery.concurrency import Concurrency
from campaign.delivery.current_wait import CurrentWait
from campaign.delivery.failures import Failures
from campaign.delivery.gate import GateParts, open_gate, ramp_of
from campaign.delivery.mail_server import connector_to
from campaign.delivery.observer import Observer, Plan, Result
from campaign.delivery.patience import Patience
from campaign.delivery.pipeline import Pipeline
from campaign.delivery.preparing import clock_notice, prepare
from campaign.delivery.rate_limiter import RateLimiter, RateLimits
from campaign.delivery.retry import RetryPolicy
from campaign.delivery.run_logging import LoggingObserver, log_end, log_error
from campaign.delivery.scheduler import Scheduler
from campaign.delivery.services import needs_clerk, open_services
from campaign.delivery.signals import caught
from campaign.delivery.waitlist import read_waitlist
from campaign.errors import CampaignError, SendLogError, first_error
from campaign.message.dkim.signer import UNSIGNED, signer_of
from campaign.message.mime.headers import split_mailbox
from campaign.message.unsubscribe import UnsubscribeLink
from campaign.message.variants import CampaignMessages
from campaign.model import LONGEST_WAIT, Status
from campaign.smtp import Pool

if TYPE_CHECKING:
    from collections.abc import Callable

    from campaign.clock import Clock
    from campaign.config.definition import Definition
    from campaign.config.settings import Settings
    from campaign.delivery.sandbox_time import Simulation
    from campaign.delivery.services import Services
    from campaign.message.dkim.signer import Signer
    from campaign.model import Batch
    from campaign.sendlog import SendLog


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
    async with open_services(definition, settings, sandbox=sandbox, simulation=simulation) as services:
        clock = services.clock
        observer.opened(services)
        with (
            signer_of(definition, settings, clock, sandbox=services.maildir is not None) as signer,
            open_log(services, definition, clock, with_others=True) as log,
        ):
            log.share(lease=lease_of(settings), say=_in_loop(observer.notice))
            if definition.dkim and signer is None:
                observer.notice(UNSIGNED)
            if told := clock_notice(log, clock):
                observer.notice(told)
            clerk = _clerk_limiter(definition, services, log, clock)
            if definition.recipients.clerk and clerk:
                definition = await read_waitlist(definition, services, log, clerk)
            plan = prepare(log, definition, messages, services, limit=limit, stays_until=clock.now() + longest_wait)
            goes_on = observer.confirm(plan)
            if not goes_on or not plan.has_work:
                return Result(plan.summary, interrupted=not goes_on, services=services)
            with log.preparing():
                batch = log.take_batch(limit, by_position=definition.recipients.order is not None)
            batch = batch if limit is not None else None  # without a limit a batch is nothing that was asked for
            try:
                with services.time_passes():
                    return await _send(
                        log,
                        plan,
                        messages,
                        settings,
                        observer,
                        clerk=clerk,
                        signer=signer,
                        clock=clock,
                        longest_wait=longest_wait,
                        batch=batch,
                        # a network is as slow in a simulation
                        patience=Patience(SystemClock(), is_endless=wait_for_server),
                    )
            except asyncio.CancelledError:
                # what was in hand is what a crash would have left; say so at once
                with suppress(SendLogError):
                    log.recover()
                raise


async def _send(
    log: SendLog,
    plan: Plan,
    messages: CampaignMessages,
    settings: Settings,
    observer: Observer,
    *,
    clerk: RateLimiter | None,
    signer: Signer | None,
    clock: Clock,
    longest_wait: float,
    batch: Batch | None,
    patience: Patience,
) -> Result:
    """Put the parts together and run them."""
    waiting = CurrentWait(observer, clock)
    definition, services, limits = plan.definition, plan.services, plan.definition.limits
    policy = RetryPolicy(definition.retry.attempts, definition.retry.first_delay)
    with_clerk = needs_clerk(definition)

    limiters = RateLimits(
        messages=RateLimiter(limits.messages, clock, log.spent(Status.SENDING, limits.messages)),
        clerk=clerk,
        domains={
            domain: RateLimiter(rates, clock, log.spent(Status.SENDING, rates, domain=domain))
            for domain, rates in limits.domains.items()
        },
    )
    rates = [limiter.per_second for limiter in limiters.services if limiter.per_second is not None]
    concurrency = Concurrency(rate=min(rates, default=None), connections=limits.connections, with_token=with_clerk)
    parts = GateParts(definition, messages, services, settings, observer, clock, policy, limiters.clerk, concurrency)
    ramp = ramp_of(definition, log, clock)
    sender = split_mailbox(definition.email.sender)[1]
    mailing_list = definition.mailing_list if UnsubscribeLink.of(definition) else None
    identity = Identity(mailing_list, log.message_key, log.tags)
    connector = connector_to(services.smtp, settings, sender=sender)
    pool = Pool(
        connector,
        limit=limits.connections,
        clock=clock,
        on_accepted=concurrency.transaction.note,
        on_too_fast=limiters.messages.slow_down,
    )
    async with log, pool, open_gate(parts, log, ramp) as gate:
        await log.note_quota("", 0.0)
        scheduler = Scheduler(
            log,
            clock,
            concurrency,
            limiters,
            gate=gate.eligibility,
            tokens=gate.tokens,
            longest_wait=longest_wait,
            on_wait=waiting.began,
        )
        pipeline = Pipeline(
            log,
            scheduler,
            tokens=gate.tokens,
            composer=Composer(messages, signer, identity=identity, clock=clock),
            pool=pool,
            failures=Failures(policy, scheduler, limiters, clock=clock, on_notice=observer.notice, patience=patience),
            server=services.smtp.label,
            on_settled=observer.settled,
        )

        def stop() -> None:
            connecting = f"the mail server {services.smtp.label} has not answered yet" if pipeline.is_connecting else ""
            pipeline.stop()
            waiting.stop(connecting)
            observer.stopping()

        with caught(stop) as signals:
            await pipeline.run()
        if others := await log.held_by_others():
            observer.notice(f"Other runs have {others} rows of this CSV in hand; see them with: campaign workers")
        waited_for = waiting.stopped_in or limiters.paused_why
        if signals and waited_for:
            waiting.tell(waited_for)
        if ramp and ramp.is_spent():
            await log.note_quota(ramp.why, ramp.ends_at)
    return Result(log.summary(), interrupted=bool(signals), services=services, waited_for=waited_for, batch=batch)


def _in_loop(notice: Callable[[str], None]) -> Callable[[str], None]:
    """Return a function that any thread may call: its sentence is shown from the event loop's."""
    loop, thread = asyncio.get_running_loop(), threading.get_ident()

    def say(text: str) -> None:
        if threading.get_ident() == thread:
            notice(text)
        else:
            loop.call_soon_threadsafe(notice, text)

    return say


def _clerk_limiter(definition: Definition, services: Services, log: SendLog, clock: Clock) -> RateLimiter | None:
    """Return Clerk's rate limiter; None for a campaign that does not call Clerk."""
    if not needs_clerk(definition):
        return None
    rates = services.clerk_rates if definition.limits.tokens is None else definition.limits.tokens
    return RateLimiter(rates, clock, log.spent(Status.ISSUING, rates))
