"""Compose the message of each delivery, with its envelope: `Composer.compose`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.clock import instant
from campaign.errors import AttachmentError, PermanentError, TemplateError
from campaign.message.message_id import message_id
from campaign.smtp import Envelope

if TYPE_CHECKING:
    from campaign.clock import Clock
    from campaign.delivery.attempt import Attempt
    from campaign.message import MessageTemplate
    from campaign.message.dkim.signer import Signer
    from campaign.model import Recipient


class Composer:
    """Fills in the message template for one recipient, and adds the DKIM signature if there is a signer.

    Args:
        template: the compiled message.
        signer: adds the DKIM signature; None leaves messages unsigned.
        message_key: the campaign's secret key from which Message-IDs are derived.
        sender: the envelope sender, a plain address.
        clock: the time.
    """

    def __init__(
        self, template: MessageTemplate, signer: Signer | None, *, message_key: bytes, sender: str, clock: Clock
    ) -> None:
        self._template = template
        self._signer = signer
        self._message_key = message_key
        self._sender = sender
        self._clock = clock

    def require_files(self, attempt: Attempt) -> None:
        """Check that the attachments of an attempt are there, before a token is issued for it.

        Raises:
            PermanentError: a file is missing or cannot be attached; the row is skipped.
        """
        recipient = attempt.delivery.recipient
        try:
            self._template.require_files(recipient.variables)
        except TemplateError as error:
            raise _refusal(error, recipient) from None

    async def compose(self, attempt: Attempt, *, eight_bit: bool) -> tuple[Envelope, tuple[bytes, ...]]:
        """Return the envelope and the message of an attempt, in pieces, and set the attempt's Message-ID.

        Args:
            attempt: already has its token if the campaign has a link.
            eight_bit: whether the mail server accepts 8-bit bodies (8BITMIME).

        Raises:
            PermanentError: the message cannot be rendered for this row, or a file of the row cannot be attached.
        """
        delivery = attempt.delivery
        # RFC 6376 §5.3: sign a 7-bit message, because a relay that converts 8-bit to 7-bit breaks the signature
        eight_bit = eight_bit and self._signer is None
        attempt.message_id = message_id(
            self._message_key, delivery.recipient.key, delivery.generation, sender=self._sender
        )
        try:
            message = self._template.compose(
                delivery.recipient.variables,
                email=delivery.recipient.email,
                message_id=attempt.message_id,
                date=instant(self._clock.now() // 1),
                token=attempt.token.token if attempt.token else None,
                eight_bit=eight_bit,
            )
        except TemplateError as error:
            raise _refusal(error, delivery.recipient) from None
        pieces = await self._signer.sign(message.pieces) if self._signer else message.pieces
        secret = attempt.token.token if attempt.token else ""
        size = sum(map(len, pieces))
        return Envelope(self._sender, delivery.recipient.email, size, eight_bit, secret), pieces


def _refusal(error: TemplateError, recipient: Recipient) -> PermanentError:
    return PermanentError(f"line {recipient.line}: {error}", skip=isinstance(error, AttachmentError))
