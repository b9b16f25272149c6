"""The operator's commands `retry`, `resolve`, `resend`, `skip` and `revoke`: `retry_rows` and so on."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from campaign.clerk.client import Clerk
from campaign.delivery.campaign_log import open_log
from campaign.delivery.rate_limiter import RateLimiter
from campaign.delivery.retry import Backoff, RetryPolicy
from campaign.delivery.revoker import TokenRevoker
from campaign.delivery.services import clock_of, log_path, needs_user_id, open_services
from campaign.delivery.waitlist import written_down
from campaign.delivery.worker_rates import TOKENS, open_worker_rates
from campaign.errors import LogHeldError
from campaign.model import Revocation, Status
from campaign.recipients import read_recipients
from campaign.sendlog import LogReader, SendLog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from campaign.config.definition import Definition
    from campaign.config.settings import Settings
    from campaign.delivery.services import Services


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
    #: The operator did not confirm, and nothing was changed.
    declined: bool = False
    #: The states of the named recipient's rows, if none of them is `sent`; empty if there is no such recipient.
    instead: Mapping[Status, int] = field(default_factory=dict)


async def retry_rows(
    definition: Definition, settings: Settings, *, state: Status, email: str | None, sandbox: bool
) -> CommandResult:
    """Put failed or skipped rows back to `queued`; the next run sends them."""
    async with open_services(definition, settings, sandbox=sandbox) as services:
        with open_log(services, definition, services.clock) as log:
            log.recover()
            return CommandResult(queued=log.retry(state=state, email=email))


async def resolve_rows(
    definition: Definition, settings: Settings, *, resend: bool, email: str | None, sandbox: bool
) -> CommandResult:
    """Settle uncertain rows: set them to `sent`, or revoke their tokens and then queue them again."""
    async with open_services(definition, settings, sandbox=sandbox) as services:
        with open_log(services, definition, services.clock) as log:
            log.recover()
            if not resend:
                return CommandResult(kept=log.keep_uncertain(email=email))
            log.revoke_uncertain(email=email)
            answers = await _settle_revocations(definition, services, log)
            queued, arrived = log.resend_uncertain(email=email)
            return CommandResult(queued=queued, kept=arrived, answers=answers, pending=log.summary().revocations)


async def resend_rows(
    definition: Definition,
    settings: Settings,
    *,
    email: str | None,
    sandbox: bool,
    confirm: Callable[[int, Services], bool],
) -> CommandResult:
    """Revoke the links of sent rows and queue the rows again; the next run sends each a new mail with a new link.

    Args:
        definition: the campaign file.
        settings: the settings.
        email: the recipient's address; None: all recipients whose link was revoked.
        sandbox: use the sandbox, whatever the settings are.
        confirm: called with the number of recipients; returns whether to go on.
    """
    async with open_services(definition, settings, sandbox=sandbox) as services:
        with open_log(services, definition, services.clock) as log:
            log.recover()
            number = log.count_resendable(email=email)
            if not number:
                return CommandResult(instead=log.states_of(email) if email else {})
            if not confirm(number, services):
                return CommandResult(declined=True)
            if email is not None:
                log.revoke_resendable(email=email)
            answers = await _settle_revocations(definition, services, log)
            queued = log.resend(email=email)
            return CommandResult(queued=queued, answers=answers, pending=log.summary().revocations)


def skip_rows(
    definition: Definition, settings: Settings, *, key: str | None, reason: str, sandbox: bool
) -> tuple[int, Status | None]:
    """Set a recipient, or all queued recipients that left the CSV, to `skipped`. A run may go on meanwhile.

    Args:
        definition: the campaign file.
        settings: the settings.
        key: the recipient's key; None: all queued recipients that are not in the CSV.
        reason: why; it is stored.
        sandbox: use the sandbox's log, whatever the settings are.

    Returns:
        The number of recipients skipped, and the state that the named recipient had (None: there is no such one).

    Raises:
        SendLogUnusableError: there is no log, or it does not contain the campaign.
        RecipientsError: the CSV cannot be read.
    """
    path = log_path(settings, definition, asked=sandbox)
    with closing(LogReader(path)) as reader:
        reader.require(definition.name)
    with closing(SendLog(path, definition.name, clock_of(settings, path))) as log:
        if key is not None:
            return log.skip_key(key, reason=reason), log.state_of(key)
        section = written_down(definition, settings, asked=sandbox, sample=False).recipients
        rows = read_recipients(section.file, section, needs_user_id=needs_user_id(definition))
        return log.skip_missing((row.key for row in rows), reason=reason), None


async def revoke_tokens(
    definition: Definition, settings: Settings, *, sandbox: bool, confirm: Callable[[int, Services], bool]
) -> CommandResult:
    """Revoke every token of the campaign that may still be pending.

    Args:
        definition: the campaign file.
        settings: the settings.
        sandbox: use the sandbox, whatever the settings are.
        confirm: called with the number of links that may still be used, if there are any; returns whether to go on.
    """
    async with open_services(definition, settings, sandbox=sandbox) as services:
        with open_log(services, definition, services.clock) as log:
            log.recover()
            if (number := log.count_live_links()) and not confirm(number, services):
                return CommandResult(declined=True)
            log.revoke_everything()
            answers = await _settle_revocations(definition, services, log)
            return CommandResult(answers=answers, pending=log.summary().revocations)


async def settle_if_free(definition: Definition, settings: Settings, *, sandbox: bool) -> int:
    """Revoke the campaign's tokens whose revocation is pending; return how many Clerk has not confirmed.

    It does so beside runs if they can share the log. While a run holds one that they cannot share, that run revokes
    them at its end, so this does nothing and returns 0.
    """
    async with open_services(definition, settings, sandbox=sandbox) as services:
        try:
            with open_log(services, definition, services.clock, with_others=True) as log:
                await _settle_revocations(definition, services, log)
                return log.summary().revocations
        except LogHeldError:
            return 0


async def _settle_revocations(definition: Definition, services: Services, log: SendLog) -> Counter[Revocation]:
    if services.clerk_key is None:
        return Counter()
    clock = services.clock
    rates = services.clerk_rates if definition.limits.tokens is None else definition.limits.tokens
    async with (
        log,
        Clerk(services.clerk_url, services.clerk_key) as clerk,
        open_worker_rates(log, clock) as workers,
    ):
        limiter = (
            workers.limiter(TOKENS, rates, Status.ISSUING)
            if workers
            else RateLimiter(rates, clock, log.spent(Status.ISSUING, rates))
        )
        backoff = Backoff(RetryPolicy(definition.retry.attempts, definition.retry.first_delay))
        revoker = TokenRevoker(log, clerk, limiter, backoff, clock)
        for _ in range(definition.retry.attempts):
            wait = await revoker.settle_all()
            if wait is None:
                break
            await clock.sleep(wait)
        return revoker.settled
