"""Run a campaign: `run` makes a pipeline of the settings and the campaign file, and runs it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from campaign.audience import Audience
from campaign.clock import SystemClock
from campaign.delivery.campaign_log import open_log
from campaign.delivery.composer import Composer, Identity
from campaign.delivery.concurrency import Concurrency
from campaign.delivery.failures import Failures
from campaign.delivery.mail_server import connector_to
from campaign.delivery.observer import Observer, Plan, Result
from campaign.delivery.patience import Patience
from campaign.delivery.pipeline import Pipeline
from campaign.delivery.rate_limiter import RateLimiter, RateLimits
from campaign.delivery.retry import Backoff, RetryPolicy
from campaign.delivery.revoker import TokenRevoker
from campaign.delivery.run_logging import LoggingObserver, log_end, log_error
from campaign.delivery.scheduler import Scheduler
from campaign.delivery.services import needs_clerk, needs_user_id, open_services
from campaign.delivery.signals import caught
from campaign.delivery.token_issuer import TokenIssuer
from campaign.delivery.user_directory import UserDirectory
from campaign.delivery.waiting import Waiting
from campaign.errors import CampaignError, SendLogError, first_error
from campaign.message.dkim.signer import UNSIGNED, signer_of
from campaign.message.dry_run import checked_rows
from campaign.message.mime.headers import split_mailbox
from campaign.message.variants import CampaignMessages
from campaign.model import Status
from campaign.recipients import fingerprint, read_recipients
from campaign.smtp import Pool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from campaign.clock import Clock
    from campaign.config.definition import Definition
    from campaign.config.settings import Settings
    from campaign.delivery.sandbox_time import Simulation
    from campaign.delivery.services import Services
    from campaign.message.dkim.signer import Signer
    from campaign.sendlog import PreparationLog, SendLog


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
        limit: the most recipients to send to; None for all.
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
    messages = CampaignMessages.load(definition)
    async with open_services(definition, settings, sandbox=sandbox, simulation=simulation) as services:
        clock = services.clock
        observer.opened(services)
        with (
            signer_of(definition, settings, clock, sandbox=services.maildir is not None) as signer,
            open_log(services, definition, clock) as log,
        ):
            if definition.dkim and signer is None:
                observer.notice(UNSIGNED)
            plan = _enlist(log, definition, messages, services)
            if not plan.to_send and not plan.summary.revocations:
                observer.confirm(plan)
                return Result(plan.summary, interrupted=False, services=services)
            if not observer.confirm(plan):
                return Result(plan.summary, interrupted=True, services=services)
            try:
                with services.time_passes():
                    return await _send(
                        log,
                        plan,
                        messages,
                        settings,
                        observer,
                        signer=signer,
                        clock=clock,
                        wait=wait,
                        limit=limit,
                        # a network is as slow in a simulation
                        patience=Patience(SystemClock(), is_endless=wait_for_server),
                    )
            except asyncio.CancelledError:
                # what was in hand is what a crash would have left; say so at once
                with suppress(SendLogError):
                    log.recover()
                raise


def _enlist(log: PreparationLog, definition: Definition, messages: CampaignMessages, services: Services) -> Plan:
    """Make every row of the CSV durable, each of them rendered once, before anything is asked for."""
    recovered = log.recover()
    section, audience = definition.recipients, Audience(definition)
    with_id = needs_user_id(definition)
    reading = section.model_dump_json(exclude={"file", "verify_address", "batch"})
    if definition.link and definition.link.org_id:
        reading += definition.link.org_id
    enlistment = log.enlist(
        lambda: checked_rows(
            audience.select(read_recipients(section.file, section, needs_user_id=with_id)), messages, section.file
        ),
        source=str(section.file.resolve()),
        digest=f"{fingerprint(section.file)} {messages.fingerprint} {with_id} {reading}{audience.fingerprint}",
    )
    changed = log.templates not in {"", messages.fingerprint}
    log.note_templates(messages.fingerprint)
    log.note_list(definition.mailing_list)
    suppressed = log.skip_suppressed()
    return Plan(
        definition, services, recovered, enlistment, changed, suppressed, log.summary(), outside=audience.sentence
    )


async def _send(
    log: SendLog,
    plan: Plan,
    messages: CampaignMessages,
    settings: Settings,
    observer: Observer,
    *,
    signer: Signer | None,
    clock: Clock,
    wait: bool,
    limit: int | None,
    patience: Patience,
) -> Result:
    """Put the parts together and run them."""
    waiting = Waiting(observer, clock)
    definition, services, limits = plan.definition, plan.services, plan.definition.limits
    policy = RetryPolicy(definition.retry.attempts, definition.retry.first_delay)
    with_clerk = needs_clerk(definition)
    token_rates = services.clerk_rates if limits.tokens is None else limits.tokens

    limiters = RateLimits(
        messages=RateLimiter(limits.messages, clock, log.spent(Status.SENDING, limits.messages)),
        clerk=RateLimiter(token_rates, clock, log.spent(Status.ISSUING, token_rates)) if with_clerk else None,
        domains={
            domain: RateLimiter(rates, clock, log.spent(Status.SENDING, rates, domain=domain))
            for domain, rates in limits.domains.items()
        },
    )
    rates = [limiter.per_second for limiter in limiters.services if limiter.per_second is not None]
    concurrency = Concurrency(rate=min(rates, default=None), connections=limits.connections, with_token=with_clerk)
    sender = split_mailbox(definition.email.sender)[1]
    identity = Identity(definition.mailing_list, log.message_key, log.tags)
    connector = connector_to(services.smtp, settings, sender=sender)
    pool = Pool(
        connector,
        limit=limits.connections,
        clock=clock,
        on_accepted=concurrency.transaction.note,
        on_too_fast=limiters.messages.slow_down,
    )
    async with (
        log,
        pool,
        _token_issuer(plan, log, limiters.clerk, policy=policy, concurrency=concurrency, clock=clock) as tokens,
    ):
        scheduler = Scheduler(
            log,
            clock,
            concurrency,
            limiters,
            users=tokens.users if tokens else None,
            wait=wait,
            limit=limit,
            on_wait=waiting.began,
        )
        pipeline = Pipeline(
            log,
            scheduler,
            tokens=tokens,
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
        waited_for = waiting.stopped_in or scheduler.paused_why
        if signals and waited_for:
            waiting.tell(waited_for)
    return Result(log.summary(), interrupted=bool(signals), services=services, waited_for=waited_for)


@asynccontextmanager
async def _token_issuer(
    plan: Plan,
    log: SendLog,
    limiter: RateLimiter | None,
    *,
    policy: RetryPolicy,
    concurrency: Concurrency,
    clock: Clock,
) -> AsyncIterator[TokenIssuer | None]:
    """Yield what issues the tokens of a run, or None for a campaign without a link."""
    definition, services = plan.definition, plan.services
    if definition.link is None or limiter is None or services.clerk_key is None:
        yield None
        return
    from campaign.clerk.client import Clerk  # noqa: PLC0415 - a campaign without a link starts sooner without httpx

    section = definition.recipients
    async with Clerk(services.clerk_url, services.clerk_key) as clerk:
        by_address = section.lookup == "email"
        yield TokenIssuer(
            clerk,
            UserDirectory(clerk, limiter, by_address=by_address, any_address=section.verify_address == "any")
            if by_address or section.verify_address
            else None,
            TokenRevoker(log, clerk, limiter, Backoff(policy), clock),
            log=log,
            limiter=limiter,
            concurrency=concurrency,
            clock=clock,
            link=definition.link,
        )
