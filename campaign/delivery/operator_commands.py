"""The operator's commands `retry`, `resolve` and `revoke`: `retry_rows`, `resolve_rows`, `revoke_tokens`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from campaign.clerk.client import Clerk
from campaign.clock import SystemClock
from campaign.delivery.rate_limiter import RateLimiter
from campaign.delivery.retry import Backoff, RetryPolicy
from campaign.delivery.revoker import TokenRevoker
from campaign.delivery.run import open_log
from campaign.delivery.services import open_services
from campaign.errors import LogHeldError
from campaign.model import Revocation, Status

if TYPE_CHECKING:
    from campaign.config.definition import Definition
    from campaign.config.settings import Settings
    from campaign.delivery.services import Services
    from campaign.sendlog import SendLog


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command changed."""

    #: Rows put back to `queued`.
    queued: int = 0
    #: Uncertain rows set to `sent`.
    kept: int = 0
    #: Clerk's answers to the revocations, counted; None if the command revokes nothing.
    answers: Counter[Revocation] | None = None
    #: Revocations that Clerk has not confirmed yet.
    pending: int = 0


async def retry_rows(
    definition: Definition, settings: Settings, *, state: Status, email: str | None, sandbox: bool
) -> CommandResult:
    """Put failed or skipped rows back to `queued`; the next run sends them."""
    async with open_services(definition, settings, sandbox=sandbox) as services:
        with open_log(services, definition, SystemClock()) as log:
            log.recover()
            return CommandResult(queued=log.retry(state=state, email=email))


async def resolve_rows(
    definition: Definition, settings: Settings, *, resend: bool, email: str | None, sandbox: bool
) -> CommandResult:
    """Settle uncertain rows: set them to `sent`, or revoke their tokens and then queue them again."""
    async with open_services(definition, settings, sandbox=sandbox) as services:
        with open_log(services, definition, SystemClock()) as log:
            log.recover()
            if not resend:
                return CommandResult(kept=log.keep_uncertain(email=email))
            log.revoke_uncertain(email=email)
            answers = await _settle_revocations(definition, services, log)
            queued, arrived = log.resend_uncertain(email=email)
            return CommandResult(queued=queued, kept=arrived, answers=answers, pending=log.summary().revocations)


async def revoke_tokens(definition: Definition, settings: Settings, *, sandbox: bool) -> CommandResult:
    """Revoke every token of the campaign that may still be pending."""
    async with open_services(definition, settings, sandbox=sandbox) as services:
        with open_log(services, definition, SystemClock()) as log:
            log.recover()
            log.revoke_everything()
            answers = await _settle_revocations(definition, services, log)
            return CommandResult(answers=answers, pending=log.summary().revocations)


async def settle_if_free(definition: Definition, settings: Settings, *, sandbox: bool) -> int:
    """Revoke the campaign's tokens whose revocation is pending; return how many Clerk has not confirmed.

    While a run holds the log, that run revokes them at its end, so this does nothing and returns 0.
    """
    async with open_services(definition, settings, sandbox=sandbox) as services:
        try:
            with open_log(services, definition, SystemClock()) as log:
                await _settle_revocations(definition, services, log)
                return log.summary().revocations
        except LogHeldError:
            return 0


async def _settle_revocations(definition: Definition, services: Services, log: SendLog) -> Counter[Revocation]:
    if services.clerk_key is None:
        return Counter()
    clock = SystemClock()
    rates = services.clerk_rates if definition.limits.tokens is None else definition.limits.tokens
    async with log, Clerk(services.clerk_url, services.clerk_key) as clerk:
        limiter = RateLimiter(rates, clock, log.spent(Status.ISSUING, rates))
        backoff = Backoff(RetryPolicy(definition.retry.attempts, definition.retry.first_delay))
        revoker = TokenRevoker(log, clerk, limiter, backoff, clock)
        for _ in range(definition.retry.attempts):
            wait = await revoker.settle_all()
            if wait is None:
                break
            await clock.sleep(wait)
        return revoker.settled
