"""Compose the message of each delivery, with its envelope: `Composer.compose`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.clock import instant
from campaign.errors import PermanentError, RowError, TemplateError
from campaign.message.message_id import message_id
from campaign.smtp import Envelope

if TYPE_CHECKING:
    from campaign.clock import Clock
    from campaign.delivery.attempt import Attempt
    from campaign.message import MessageTemplate
    from campaign.message.dkim.signer import Signer


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

    async def compose(self, attempt: Attempt, *, eight_bit: bool) -> tuple[Envelope, bytes]:
        """Return the envelope and the message of an attempt, and set the attempt's Message-ID.

        Args:
            attempt: already has its token if the campaign has a link.
            eight_bit: whether the mail server accepts 8-bit bodies (8BITMIME).

        Raises:
            PermanentError: the message cannot be rendered for this row.
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
            reason = f"line {delivery.recipient.line}: {error}"
            raise PermanentError(reason, skip=isinstance(error, RowError)) from None
        data = await self._signer.sign(message.data) if self._signer else message.data
        secret = attempt.token.token if attempt.token else ""
        return Envelope(self._sender, delivery.recipient.email, len(data), eight_bit, secret), data
