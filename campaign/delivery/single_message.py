"""Send one real email to the operator's own address, without a row in the send log: `send_test`."""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from campaign.audience import Audience
from campaign.clerk.client import Clerk
from campaign.clock import instant
from campaign.delivery.mail_server import connector_to
from campaign.delivery.services import needs_user_id, open_services
from campaign.delivery.waitlist import written_down
from campaign.errors import CannotStartError, RecipientsError, ServiceRefusesError, UncertainError
from campaign.message import MessageTemplate
from campaign.message.dkim.signer import signer_of
from campaign.message.dry_run import DUMMY_TOKEN, SAMPLE_RENEWAL, SAMPLE_UNSUBSCRIBE, sample_message
from campaign.message.mime.headers import split_mailbox
from campaign.model import Recipient
from campaign.recipients import normalise_address, read_recipients
from campaign.smtp import Envelope, Pool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from campaign.config.definition import Definition
    from campaign.config.settings import Settings
    from campaign.delivery.services import Services
    from campaign.model import Receipt


def sample_recipient(definition: Definition, *, email: str | None = None) -> Recipient:
    """Return the CSV's first valid recipient, of those inside `where` if there is one, or the one with this address.

    Raises:
        RecipientsError: there is no such recipient.
        TemplateError: `where` is malformed, or a column that the campaign file names is missing.
    """
    section, audience = definition.recipients, Audience(definition)
    outside: Recipient | None = None
    for row in read_recipients(section.file, section, needs_user_id=needs_user_id(definition)):
        if not isinstance(row, Recipient):
            continue
        if email is not None:
            if row.email.lower() == email.lower():
                return row
        elif isinstance(judged := audience.judge(row), Recipient):
            return judged
        elif judged is None:
            outside = outside or row
    if outside is not None:
        return outside
    who = "no valid row" if email is None else f"no valid row for {email}"
    raise RecipientsError(f"{section.file}: there is {who}; `campaign check` shows what is wrong with the rows")


def variant_for(
    definition: Definition, recipient: Recipient, *, step: str | None = None, locale: str | None = None
) -> Definition:
    """Return the campaign as a step and a locale see it.

    Args:
        definition: the campaign file.
        recipient: whose own locale is the default.
        step: a step's name; by default the first.
        locale: a locale's name.

    Raises:
        CannotStartError: the campaign file has no such step or locale.
    """
    if step is not None and step not in definition.step_names:
        raise _no_such("step", step, definition.step_names, "[[steps]]")
    locales = {name.lower(): name for name in definition.locale_names}
    if locale is not None and locale.lower() not in locales:
        raise _no_such("locale", locale, definition.locale_names, "[locales]")
    chosen = locales[locale.lower()] if locale is not None else definition.locale_of(recipient.variables)
    return definition.variant(step or "", chosen)


async def send_test(
    definition: Definition,
    settings: Settings,
    to: str,
    *,
    user_id: str | None,
    sandbox: bool,
    step: str | None = None,
    locale: str | None = None,
) -> tuple[Receipt, Services]:
    """Send one real mail, made from the CSV's first valid row, to the operator's own address.

    Args:
        definition: the campaign file.
        settings: the settings from the environment.
        to: the address.
        user_id: the Clerk user whose token the link carries; None puts a dummy token into it.
        sandbox: use the sandbox, whatever the settings are.
        step: the step to send; by default the first.
        locale: the locale to send; by default the row's own.

    Raises:
        CampaignError: of any kind; nothing is retried.
        ValueError: the address is not one plain mailbox.
    """
    address = normalise_address(to)
    definition = written_down(definition, settings, asked=sandbox)
    recipient = sample_recipient(definition)
    definition = variant_for(definition, recipient, step=step, locale=locale)
    template = MessageTemplate.load(definition)
    sender = split_mailbox(definition.email.sender)[1]
    sample_message(template, recipient, definition)  # find errors before a token is issued
    async with open_services(definition, settings, sandbox=sandbox) as services:
        connector, clock = connector_to(services.smtp, settings, sender=sender), services.clock
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
                        unsubscribe=SAMPLE_UNSUBSCRIBE,
                        renewal=SAMPLE_RENEWAL,
                    )
                    pieces = await signer.sign(message.pieces) if signer else message.pieces
                    envelope = Envelope(sender, address, sum(map(len, pieces)), secret=token)
                    receipt = await pool.send(envelope, pieces, _nothing_to_log)
        return receipt, services


@asynccontextmanager
async def _token(definition: Definition, services: Services, user_id: str | None) -> AsyncIterator[str]:
    """Yield a token for the test mail; a real token is revoked if the mail was certainly not sent."""
    if user_id is None or definition.link is None or services.clerk_key is None:
        yield DUMMY_TOKEN
        return
    async with Clerk(services.clerk_url, services.clerk_key) as clerk:
        token = await clerk.create_sign_in_token(user_id, expires_in=definition.link.expires_in)
        try:
            if token.user_id != user_id:
                raise ServiceRefusesError(
                    f"Clerk issued a token for {token.user_id} instead of {user_id}; ask Clerk's support"
                )
            yield token.token
        except UncertainError:
            raise
        except BaseException:
            await clerk.revoke_sign_in_token(token.id)
            raise


def _no_such(kind: str, name: str, known: Sequence[str], section: str) -> CannotStartError:
    has = f"its {kind}s are {', '.join(known)}" if known[0] else f"it has no {section}; leave --{kind} out"
    return CannotStartError(f"--{kind} {name}: the campaign has no such {kind}: {has}.")


async def _nothing_to_log() -> None:
    """Do nothing: a test mail has no row in the send log."""
