"""Compose the message of each delivery, ready for the mail server: `Composer.compose`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.clock import instant
from campaign.errors import PermanentError, TemplateError
from campaign.message.message_id import message_id
from campaign.smtp import Envelope

if TYPE_CHECKING:
    from campaign.clock import Clock
    from campaign.delivery.attempt import Attempt
    from campaign.message import MessageTemplate
    from campaign.message.dkim.signer import Signer


class Composer:
    """Fills the campaign's message for one recipient, and signs it where the campaign asks for that.

    Args:
        template: the compiled message.
        signer: None: the mails are not signed here.
        message_key: the campaign's secret that Message-IDs are derived with.
        sender: the envelope's sender, a plain address.
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
        """Return the envelope and the message of an attempt, and note its Message-ID there.

        Args:
            attempt: has its token, where the campaign has a link.
            eight_bit: whether the mail server takes 8bit bodies.

        Raises:
            PermanentError: no message can be made of this row.
        """
        delivery = attempt.delivery
        # RFC 6376 §5.3: what is signed is in 7-bit, since a relay that made it so would break the signature
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
            raise PermanentError(f"line {delivery.recipient.line}: {error}") from None
        data = await self._signer.sign(message.data) if self._signer else message.data
        return Envelope(self._sender, delivery.recipient.email, len(data), eight_bit), data
