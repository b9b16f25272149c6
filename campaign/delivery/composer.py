"""Compose the message of each delivery, with its envelope: `Composer.compose`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from campaign.clock import instant
from campaign.errors import PermanentError, RowError, TemplateError
from campaign.message.message_id import message_id
from campaign.smtp import Envelope

if TYPE_CHECKING:
    from campaign.clock import Clock
    from campaign.delivery.attempt import Attempt
    from campaign.message.dkim.signer import Signer
    from campaign.message.variants import CampaignMessages, MessageVariant
    from campaign.model import Delivery, Recipient
    from campaign.smtp import Features
    from campaign.tags import Tags


@dataclass(frozen=True, slots=True)
class Identity:
    """What the messages of a campaign name themselves and their recipients by."""

    #: What a recipient unsubscribes from; None if the messages have no unsubscribe link.
    mailing_list: str | None
    #: The campaign's secret key from which Message-IDs are derived.
    message_key: bytes = field(repr=False)
    #: The send log's tags, for unsubscribe links and return paths.
    tags: Tags

    def return_path(self, tag: str, variant: MessageVariant) -> str:
        """Return the envelope sender of a message: with its tag, so that returned mail names its recipient (VERP).

        Without a mailbox for returned mail it is From's address, without a tag.
        """
        if variant.definition.email.bounces is None:
            return variant.sender
        mailbox, _, domain = variant.definition.email.bounces.rpartition("@")
        return f"{mailbox}+{tag}@{domain}"

    def unsubscribe_token(self, delivery: Delivery) -> str | None:
        """Return the token of a message's unsubscribe link, or None if the campaign has no such link."""
        if self.mailing_list is None:
            return None
        return self.tags.unsubscribe_token(delivery.id, self.mailing_list)

    def renewal_tag(self, delivery: Delivery, variant: MessageVariant) -> str | None:
        """Return the tag by which a message's reader asks for a new link, or None if its links carry none."""
        link = variant.definition.link
        return self.tags.renewal_tag(delivery.id) if link and link.renew else None


class Composer:
    """Fills in the template of a recipient's step and locale, and adds the DKIM signature if there is a signer.

    Args:
        messages: the compiled messages.
        signer: adds the DKIM signature; None leaves messages unsigned.
        identity: makes the Message-ID and the unsubscribe link of each message.
        clock: the time.
    """

    def __init__(self, messages: CampaignMessages, signer: Signer | None, *, identity: Identity, clock: Clock) -> None:
        self._messages = messages
        self._signer = signer
        self._identity = identity
        self._clock = clock

    def require_files(self, attempt: Attempt) -> None:
        """Check that the attachments of an attempt are there, before a token is issued for it.

        Raises:
            PermanentError: a file is missing or cannot be attached; the row is skipped.
        """
        recipient = attempt.delivery.recipient
        try:
            self._messages.of(attempt.delivery.step, recipient.variables).template.require_files(recipient.variables)
        except TemplateError as error:
            raise _refusal(error, recipient) from None

    async def compose(self, attempt: Attempt, offered: Features) -> tuple[Envelope, tuple[bytes, ...]]:
        """Return the envelope and the message of an attempt, in pieces, and set the attempt's Message-ID.

        Args:
            attempt: already has its token if the campaign has a link.
            offered: what the mail server offers: 8-bit bodies (8BITMIME), an envelope id (DSN).

        Raises:
            PermanentError: the message cannot be rendered for this row, or a file of the row cannot be attached.
        """
        delivery, identity = attempt.delivery, self._identity
        variant = self._messages.of(delivery.step, delivery.recipient.variables)
        # RFC 6376 §5.3: sign a 7-bit message, because a relay that converts 8-bit to 7-bit breaks the signature
        eight_bit = offered.eight_bit and self._signer is None
        attempt.message_id = message_id(
            identity.message_key,
            delivery.recipient.key,
            delivery.generation,
            sender=variant.sender,
            step=delivery.step,
        )
        try:
            message = variant.template.compose(
                delivery.recipient.variables,
                email=delivery.recipient.email,
                message_id=attempt.message_id,
                date=instant(self._clock.now() // 1),
                token=attempt.token.token if attempt.token else None,
                unsubscribe=identity.unsubscribe_token(delivery),
                renewal=identity.renewal_tag(delivery, variant),
                eight_bit=eight_bit,
            )
        except TemplateError as error:
            raise _refusal(error, delivery.recipient) from None
        pieces = await self._signer.sign(message.pieces) if self._signer else message.pieces
        secret = attempt.token.token if attempt.token else ""
        # the tag is the envelope id, too: a relay that replaces the return path may keep that
        is_tagged = offered.dsn or variant.definition.email.bounces is not None
        tag = identity.tags.bounce_tag(delivery.id, delivery.generation) if is_tagged else ""
        return_path, size = identity.return_path(tag, variant), sum(map(len, pieces))
        return Envelope(return_path, delivery.recipient.email, size, eight_bit, secret, tag), pieces


def _refusal(error: TemplateError, recipient: Recipient) -> PermanentError:
    return PermanentError(f"line {recipient.line}: {error}", skip=isinstance(error, RowError))
