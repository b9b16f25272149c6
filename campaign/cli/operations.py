"""What an operator does besides running: a test mail, retry, resolve, revoke. How it is shown is told elsewhere."""

from __future__ import annotations

import secrets
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from campaign.clerk.client import Clerk
from campaign.clock import SystemClock, instant
from campaign.delivery.rate_limiter import RateLimiter
from campaign.delivery.retry import Backoff, RetryPolicy
from campaign.delivery.revoker import TokenRevoker
from campaign.delivery.run import open_log
from campaign.delivery.services import needs_user_id, open_services
from campaign.errors import RecipientsError, ServiceRefusesError, UncertainError
from campaign.message import MessageTemplate
from campaign.message.dkim.signer import signer_of
from campaign.message.dry_run import DUMMY_TOKEN, sample_message
from campaign.message.mime.headers import split_mailbox
from campaign.model import Recipient, Revocation, Status
from campaign.recipients import normalise_address, read_recipients
from campaign.reporting.summary import number
from campaign.smtp import Connector, Envelope, Pool, Timeouts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from campaign.config.definition import Definition
    from campaign.config.settings import Settings
    from campaign.delivery.services import Services
    from campaign.model import Receipt
    from campaign.sendlog import SendLog


_ANSWERS = {
    Revocation.REVOKED: "revoked",
    Revocation.USED: "used already",
    Revocation.UNKNOWN: "unknown to Clerk or dead already",
}


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command changed."""

    #: Rows put back to `queued`.
    queued: int = 0
    #: Rows taken as `sent`.
    kept: int = 0
    #: What Clerk answered to the revocations.
    answers: Counter[Revocation] | None = None
    #: Revocations that Clerk has not answered.
    pending: int = 0

    def lines(self, command: str) -> list[str]:
        """Return what a person reads, with the next command."""
        lines = []
        if self.answers is not None:
            told = ", ".join(f"{self.answers[kind]:,} {what}" for kind, what in _ANSWERS.items())
            lines.append(f"Tokens: {told}.")
        if self.kept:
            lines.append(f"Taken as sent: {number(self.kept, 'recipient')}.")
        if self.pending:
            lines.append(f"Clerk has not answered for {number(self.pending, 'token')}; type the same command again.")
        if self.queued:
            lines.append(f"Back in the queue: {number(self.queued, 'recipient')}. To send: campaign run {command}")
        return lines or ["There was nothing to do."]


def sample(definition: Definition, *, email: str | None = None) -> Recipient:
    """Return the CSV's first recipient, or the one with an address.

    Raises:
        RecipientsError: there is none.
    """
    section = definition.recipients
    for row in read_recipients(section.file, section, needs_user_id=needs_user_id(definition)):
        if isinstance(row, Recipient) and (email is None or row.email.lower() == email.lower()):
            return row
    who = "no row that can be mailed" if email is None else f"no row that can be mailed for {email}"
    raise RecipientsError(f"{section.file}: there is {who}; `campaign check` tells what is wrong with the rows")


async def send_test(
    definition: Definition, settings: Settings, to: str, *, user_id: str | None, sandbox: bool
) -> tuple[Receipt, Services]:
    """Send one real mail, made from the CSV's first row, to an address of one's own; the send log is not touched.

    Args:
        definition: the campaign file.
        settings: the environment.
        to: the address.
        user_id: whose token the link carries; None: a dummy that signs nobody in.
        sandbox: send it into the sandbox whatever is set.

    Raises:
        CampaignError: of any kind; nothing is tried twice.
        ValueError: the address is not one plain mailbox.
    """
    address = normalise_address(to)
    template, recipient, clock = MessageTemplate.load(definition), sample(definition), SystemClock()
    sender = split_mailbox(definition.email.sender)[1]
    sample_message(template, recipient, definition)  # what cannot be rendered is known before a token is asked for
    async with open_services(definition, settings, sandbox=sandbox) as services:
        connector = Connector(services.smtp, Timeouts(dot=settings.reply_timeout.total_seconds()))
        with signer_of(definition, settings, clock, sandbox=services.maildir is not None) as signer:
            async with Pool(connector, limit=1, clock=clock) as pool:
                await pool.warm_up()
                async with _token(definition, services, user_id) as token:
                    message = template.compose(
                        recipient.variables,
                        email=address,
                        message_id=f"<{secrets.token_hex(16)}@{sender.rpartition('@')[2]}>",
                        date=instant(clock.now()),
                        token=token if definition.link else None,
                    )
                    data = await signer.sign(message.data) if signer else message.data
                    receipt = await pool.send(Envelope(sender, address, len(data)), data, _nothing_to_log)
        return receipt, services


@asynccontextmanager
async def _token(definition: Definition, services: Services, user_id: str | None) -> AsyncIterator[str]:
    """Yield a token for the test mail; a real one is revoked if the mail was not sent."""
    if user_id is None or definition.link is None or services.clerk_key is None:
        yield DUMMY_TOKEN
        return
    async with Clerk(services.clerk_url, services.clerk_key) as clerk:
        token = await clerk.create_sign_in_token(user_id, expires_in=definition.link.expires_in)
        try:
            if token.user_id != user_id:
                raise ServiceRefusesError(
                    f"Clerk issued a token for {token.user_id} when one for {user_id} was asked for: ask its support"
                )
            yield token.token
        except UncertainError:
            raise
        except BaseException:
            await clerk.revoke_sign_in_token(token.id)
            raise


async def _nothing_to_log() -> None:
    """A test mail has no row in the send log."""


async def retry_rows(
    definition: Definition, settings: Settings, *, state: Status, email: str | None, sandbox: bool
) -> CommandResult:
    """Put failed or skipped rows back to `queued`; the next run takes them up."""
    async with open_services(definition, settings, sandbox=sandbox) as services:
        with open_log(services, definition, SystemClock()) as log:
            log.recover()
            return CommandResult(queued=log.retry(state=state, email=email))


async def resolve_rows(
    definition: Definition, settings: Settings, *, resend: bool, email: str | None, sandbox: bool
) -> CommandResult:
    """Decide about uncertain rows: take them as sent, or revoke their tokens and then queue them again."""
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
